//! The drivers do the work that is measured.

use std::time::Duration;

use raft_core_peers::idle::{Idle, Ours, RaftRs, Voters};
use raft_core_peers::{DEPTHS, Library};

#[test]
fn every_entry_is_applied_in_order_on_three_nodes_and_completed_once() {
    for library in Library::ALL {
        for depth in DEPTHS {
            let mut group = library.open();
            // The group and its client check it and panic otherwise; the second run finds what the first one left.
            group.run(depth, 5_000);
            group.run(depth, 1);
        }
    }
}

#[test]
fn idle_groups_keep_their_leaders_while_time_passes() {
    let mut ours = Ours::awake(3, Voters::Own);
    ours.pass(Duration::from_secs(60));
    assert!(ours.into_followers().iter().all(|follower| follower.hard_state().term.as_u64() == 1));
    let mut raft_rs = RaftRs::awake(3);
    raft_rs.pass(Duration::from_secs(60));
    assert!(raft_rs.into_followers().iter().all(|follower| follower.raft.term == 1));
}

#[test]
fn nothing_is_due_in_groups_that_sleep() {
    let mut ours = Ours::asleep(3, Voters::Shared);
    ours.pass(Duration::from_secs(3_600));
    assert!(ours.into_followers().iter().all(|follower| follower.next_deadline().is_none()));
}
