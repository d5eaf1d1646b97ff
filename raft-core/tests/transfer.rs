//! Handing leadership over (thesis §3.10), by request or because the disk fails its leader.

mod cluster;

use cluster::{Cluster, id, ms, node, replica, term};
use raft_core::{
    ChangeError, HardState, Message, ProposeError, ReadId, RoleKind, StorageHealth, TimeoutNow, TransferError,
};

fn led(voters: u64) -> Cluster {
    let mut c = Cluster::new(voters);
    assert_eq!(c.elect(), 1);
    c.run(ms(200));
    c
}

fn transfer(c: &mut Cluster, from: u64, to: Option<u64>) -> Result<u64, TransferError> {
    let now = c.now;
    let to = c.raft(from).transfer_leadership(now, to.map(node));
    c.drain(from);
    to.map(|to| to.as_u64())
}

#[test]
fn the_chosen_voter_leads_at_once_and_in_the_next_term() {
    let mut c = led(3);
    assert_eq!(transfer(&mut c, 1, Some(3)), Ok(3));
    c.settle();
    assert_eq!(c.leader(), Some(3));
    assert_eq!(c.raft(3).hard_state().term, term(2));
    c.assert_converged();
}

#[test]
fn without_a_choice_it_is_the_voter_that_holds_most() {
    let mut c = led(3);
    c.cut = vec![(1, 3)];
    c.propose(1, 5);
    c.settle();
    assert_eq!(transfer(&mut c, 1, None), Ok(2));
    c.heal();
    c.settle();
    assert_eq!(c.leader(), Some(2));
}

/// Thesis §3.10: the prior leader brings the target's log up to date first.
#[test]
fn a_target_that_lags_is_fed_first() {
    let mut c = led(3);
    c.cut = vec![(1, 3)];
    let last = c.propose(1, 50).last;
    c.settle();
    transfer(&mut c, 1, Some(3)).unwrap();
    c.settle();
    assert_eq!(c.leader(), Some(1), "not before the target holds everything");
    c.heal();
    c.run(ms(200));
    assert_eq!(c.leader(), Some(3));
    assert!(c.raft(3).log().last_index() > last);
    c.assert_converged();
}

/// hashicorp#581: what would be accepted now could be lost with the office.
#[test]
fn proposals_and_changes_are_refused_while_leadership_is_handed_over() {
    let mut c = led(3);
    c.isolate(3);
    c.propose(1, 1);
    transfer(&mut c, 1, Some(3)).unwrap();
    assert_eq!(c.raft(1).transferring_to(), Some(node(3)));
    assert_eq!(c.raft(1).propose(1), Err(ProposeError::Transferring { to: node(3) }));
    assert_eq!(c.change(1, cluster::adds(4)), Err(ChangeError::Transferring { to: node(3) }));
    assert_eq!(transfer(&mut c, 1, Some(2)), Err(TransferError::Transferring { to: node(3) }));
}

#[test]
fn a_transfer_that_takes_an_election_timeout_is_given_up_and_the_leader_goes_on() {
    let mut c = led(3);
    c.isolate(3);
    c.propose(1, 1);
    transfer(&mut c, 1, Some(3)).unwrap();
    c.run(ms(450));
    assert_eq!(c.at(1).aborted, []);
    c.run(ms(200));
    assert_eq!(c.at(1).aborted, [node(3)]);
    assert_eq!((c.leader(), c.raft(1).transferring_to()), (Some(1), None));
    let last = c.propose(1, 1).last;
    c.settle();
    assert_eq!(c.committed(1), last);
}

#[test]
fn who_cannot_lead_is_not_chosen() {
    let mut c = led(3);
    c.add_learner(9);
    c.run(ms(200));
    for nobody in [1, 9, 77] {
        assert_eq!(transfer(&mut c, 1, Some(nobody)), Err(TransferError::NoSuchVoter(node(nobody))));
    }
    let refused = Err(TransferError::NotLeader { leader: Some(node(1)) });
    assert_eq!(transfer(&mut c, 2, Some(3)), refused);
    c.isolate(1);
    c.run(ms(520));
    assert_eq!(transfer(&mut c, 1, None), Err(TransferError::NobodyElse));
    let mut alone = Cluster::new(1);
    alone.elect();
    assert_eq!(transfer(&mut alone, 1, None), Err(TransferError::NobodyElse));
}

/// The old leader stops in the same step, so the two never lead at once, and its reads end.
#[test]
fn the_leader_stops_as_it_tells_the_target_and_its_reads_end() {
    let mut c = led(3);
    c.isolate(1);
    c.read(1, 7);
    transfer(&mut c, 1, Some(2)).unwrap();
    assert_eq!(c.role(1), RoleKind::Follower);
    assert_eq!(c.at(1).failed, [ReadId(7)]);
    let last = c.raft(1).log().last_id();
    assert!(c.wire.contains(&(1, 2, Message::TimeoutNow(TimeoutNow { term: term(1), last }))));
}

#[test]
fn a_lost_word_to_the_target_costs_one_election_and_no_more() {
    let mut c = led(3);
    transfer(&mut c, 1, Some(2)).unwrap();
    c.wire.clear();
    c.elect();
    c.assert_converged();
}

/// openraft#1805: a target without the whole log could not win, and would only disturb.
#[test]
fn a_target_without_the_last_entry_of_the_leader_does_not_campaign() {
    let mut c = led(3);
    let now = c.now;
    let last = c.raft(3).log().last_id();
    let beyond = id(last.index.as_u64() + 1, 1);
    c.raft(3).receive(now, replica(1), Message::TimeoutNow(TimeoutNow { term: term(1), last: beyond }));
    c.drain(3);
    assert_eq!(c.role(3), RoleKind::Follower);
    c.raft(3).receive(now, replica(1), Message::TimeoutNow(TimeoutNow { term: term(1), last }));
    c.drain(3);
    assert_eq!(c.role(3), RoleKind::Candidate);
}

#[test]
fn only_the_leader_of_this_term_can_make_a_follower_campaign() {
    let mut c = led(3);
    let (now, last) = (c.now, c.raft(3).log().last_id());
    for (from, of_term) in [(2, 1), (1, 0), (1, 2)] {
        let word = TimeoutNow { term: term(of_term), last };
        c.raft(3).receive(now, replica(from), Message::TimeoutNow(word));
        c.drain(3);
        assert_eq!(c.role(3), RoleKind::Follower, "from {from} in term {of_term}");
    }
    c.add_learner(9);
    c.run(ms(200));
    let (now, last) = (c.now, c.raft(9).log().last_id());
    c.raft(9).receive(now, replica(1), Message::TimeoutNow(TimeoutNow { term: term(1), last }));
    c.drain(9);
    assert_eq!(c.role(9), RoleKind::Follower, "a learner never campaigns");
}

/// The others still hear the old leader's last heartbeats; the target needs no pre-vote.
#[test]
fn a_target_is_elected_although_the_others_have_just_heard_the_leader() {
    let mut c = led(5);
    c.propose(1, 1);
    c.settle();
    transfer(&mut c, 1, Some(4)).unwrap();
    c.settle();
    assert_eq!(c.leader(), Some(4));
}

#[test]
fn a_stalled_disk_gives_leadership_away() {
    for health in [StorageHealth::Stalled, StorageHealth::Full] {
        let mut c = led(3);
        let now = c.now;
        c.raft(1).storage_health(now, health);
        c.settle();
        assert!(c.leader().is_some_and(|leader| leader != 1), "{health:?}");
        c.elect();
        c.assert_converged();
    }
}

#[test]
fn a_leader_with_a_bad_disk_steps_down_if_nobody_takes_over() {
    let mut c = led(3);
    c.cut = vec![(1, 2), (1, 3)]; // They answer what was sent before, and get nothing more.
    c.propose(1, 1);
    let now = c.now;
    c.raft(1).storage_health(now, StorageHealth::Stalled);
    c.run(ms(700));
    assert_ne!(c.role(1), RoleKind::Leader);
    c.heal();
    let new = c.elect();
    assert_ne!(new, 1);
}

#[test]
fn a_leader_alone_keeps_its_office_whatever_its_disk() {
    let mut c = led(1);
    let now = c.now;
    c.raft(1).storage_health(now, StorageHealth::Stalled);
    c.run(ms(2_000));
    assert_eq!(c.leader(), Some(1));
}

#[test]
fn a_replica_with_a_bad_disk_does_not_campaign_and_still_votes() {
    let mut c = led(3);
    let now = c.now;
    c.raft(2).storage_health(now, StorageHealth::Full);
    c.crash(1);
    let new = c.elect();
    assert_eq!(new, 3);
    assert_eq!(
        c.raft(2).hard_state(),
        HardState { term: c.raft(3).hard_state().term, vote: Some(replica(3)) }
    );
}

/// A deadline that has passed and does not move would make the host call again without end.
#[test]
fn a_campaign_whose_disk_goes_bad_has_a_deadline_in_the_future() {
    for is_candidate in [false, true] {
        let mut c = led(3);
        c.isolate(3);
        if is_candidate {
            let (now, last) = (c.now, c.raft(3).log().last_id());
            c.raft(3).receive(now, replica(1), Message::TimeoutNow(TimeoutNow { term: term(1), last }));
            c.drain(3);
        } else {
            c.run_until("it campaigns", |c| c.role(3) == RoleKind::PreCandidate);
        }
        let now = c.now;
        c.raft(3).storage_health(now, StorageHealth::Stalled);
        c.run(ms(3_000)); // The harness fails if a deadline stays in the past.
        let now = c.now;
        c.raft(3).storage_health(now, StorageHealth::Good);
        c.heal();
        c.elect();
        c.assert_converged();
    }
}

#[test]
fn a_transfer_to_one_who_dies_is_given_up() {
    let mut c = led(3);
    c.cut = vec![(1, 3)];
    c.propose(1, 1);
    transfer(&mut c, 1, Some(3)).unwrap();
    c.crash(3);
    c.heal();
    c.run(ms(700));
    assert_eq!(c.at(1).aborted, [node(3)]);
    assert_eq!(c.leader(), Some(1));
}

#[test]
fn a_leader_that_has_just_been_elected_can_hand_over_too() {
    let mut c = Cluster::just_led();
    transfer(&mut c, 1, Some(2)).unwrap();
    c.slow_disks.clear();
    c.finish_writes(2);
    c.finish_writes(3);
    c.settle();
    assert_eq!(c.leader(), Some(2));
    c.assert_converged();
}

/// They answer and so it is no matter of a quorum; but nobody gets what its disk is too slow for.
#[test]
fn a_leader_with_a_bad_disk_steps_down_although_a_majority_still_answers() {
    let mut c = led(3);
    c.propose(1, 1);
    let now = c.now;
    c.raft(1).storage_health(now, StorageHealth::Stalled);
    c.drain(1);
    for _ in 0..70 {
        c.tick_all(ms(10));
        while let Some((from, to, message)) = c.wire.pop_front() {
            let is_lost = matches!(&message, Message::Append(append) if !append.entries.is_empty());
            if !is_lost {
                c.deliver(from, to, message);
            }
        }
    }
    assert_ne!(c.role(1), RoleKind::Leader);
}

/// It stood for election with a full disk, and led.
#[test]
fn whoever_campaigns_when_its_disk_goes_bad_gives_up() {
    for role in [RoleKind::PreCandidate, RoleKind::Candidate] {
        let mut c = Cluster::new(3);
        c.tick_all(ms(0));
        while c.role(1) != role {
            let (from, to, message) = c.wire.pop_front().unwrap();
            c.deliver(from, to, message);
        }
        let now = c.now;
        c.raft(1).storage_health(now, StorageHealth::Full);
        c.drain(1);
        c.settle();
        assert_eq!(c.role(1), RoleKind::Follower);
        c.run(ms(3_000));
        assert!(c.leader().is_some_and(|leader| leader != 1));
    }
}
