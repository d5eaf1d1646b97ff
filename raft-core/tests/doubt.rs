//! A log in doubt: its disk shows that it went on, perhaps acknowledged, and cannot say how.

mod cluster;

use cluster::{Cluster, id, index, ms, node, replica, term};
use raft_core::{
    DoubtQuery, DoubtReply, HardState, LogChange, LogId, MembershipChange, Message, RoleKind, Term,
    TimeoutNow, Vote, VoteReply,
};

/// Three voters; 1 led term 1 and holds `logs[0]`, and so on. 1 can read its log up to `keep` only.
fn with_doubt(logs: &[&[u64]], keep: u64) -> Cluster {
    let hard = logs.iter().flat_map(|log| log.iter().copied()).max().unwrap_or(0);
    let mut c = Cluster::of_logs(hard, logs);
    c.crash(1);
    c.damage(1, keep);
    c.restart(1);
    assert!(c.raft(1).is_in_doubt());
    c
}

#[test]
fn a_replica_in_doubt_never_campaigns() {
    let mut c = with_doubt(&[&[1, 1, 1], &[1, 1, 1], &[1, 1, 1]], 2);
    c.isolate(1);
    let term = c.raft(1).hard_state().term;
    for _ in 0..500 {
        c.run(ms(10));
        assert_eq!(c.role(1), RoleKind::Follower);
    }
    let (now, last) = (c.now, c.raft(1).log().last_id());
    let term = c.raft(1).hard_state().term.max(term);
    c.raft(1).receive(now, replica(2), Message::TimeoutNow(TimeoutNow { term, last }));
    c.drain(1);
    assert_eq!(c.role(1), RoleKind::Follower, "not even when it is told to");
}

#[test]
fn a_replica_in_doubt_votes_for_no_log_that_ends_before_the_doubtful_extent() {
    let mut c = with_doubt(&[&[1, 1, 1], &[1, 1, 1], &[1, 1]], 1);
    let now = c.now;
    let mut ask = |t, last| {
        c.raft(1).receive(now, replica(3), Message::Vote(Vote { term: term(t), last }));
        c.drain(1);
        c.wire.pop_back().unwrap().2
    };
    let granted = |t, granted| Message::VoteReply(VoteReply { term: term(t), granted });
    assert_eq!(ask(2, id(2, 1)), granted(2, false), "longer than what can be read, shorter than the extent");
    assert_eq!(ask(3, id(3, 1)), granted(3, true), "holds the extent");
    assert_eq!(ask(4, id(2, 2)), granted(4, true), "of a later term than the extent");
}

#[test]
fn a_leader_that_rewrites_the_extent_ends_the_doubt_once_that_is_durable() {
    let mut c = with_doubt(&[&[1, 1, 1], &[1, 1, 1], &[1, 1, 1]], 1);
    c.slow_disks = vec![1];
    c.run_until("a leader has sent what was lost", |c| {
        // Its term may get to the disk, its entries may not.
        while c.at(1).writes.front().is_some_and(|(write, _)| write.log == LogChange::Unchanged) {
            c.finish_write(1);
        }
        c.raft(1).log().last_index() >= index(3)
    });
    assert!(c.raft(1).is_in_doubt(), "what is not yet durable could be lost again");
    c.slow_disks.clear();
    c.finish_writes(1);
    assert!(!c.raft(1).is_in_doubt());
    c.elect();
    c.assert_converged();
}

#[test]
fn a_leader_of_a_later_term_without_the_extent_ends_the_doubt_too() {
    // Entry 3 of term 1 was only ever at 1.
    let mut c = with_doubt(&[&[1, 1, 1], &[1, 1], &[1, 1]], 2);
    let leader = c.elect();
    assert_ne!(leader, 1);
    c.run(ms(500));
    assert!(!c.raft(1).is_in_doubt());
    c.assert_converged();
}

/// The leader has its word for entries that it holds no more, and must not take that for the last word.
#[test]
fn what_was_acknowledged_to_this_leader_and_is_lost_is_sent_again_by_it() {
    for keep in [0, 1, 4] {
        let mut c = Cluster::new(3);
        let leader = c.elect();
        c.propose(leader, 10);
        c.run(ms(300));
        let follower = c.other(leader);
        c.crash(follower);
        c.damage(follower, keep);
        c.restart(follower);
        c.run(ms(2_000));
        assert_eq!(c.leader(), Some(leader), "no election was needed");
        assert!(!c.raft(follower).is_in_doubt(), "keeps {keep}");
        c.assert_converged();
    }
}

#[test]
fn a_partly_rewritten_extent_leaves_the_doubt() {
    let mut c = with_doubt(&[&[1, 1, 1, 1], &[1, 1, 1, 1], &[1, 1, 1, 1]], 1);
    let now = c.now;
    let part = Message::Append(raft_core::AppendRequest {
        term: term(1),
        entries: cluster::log_of(&[1, 1, 1]).slice(index(1), index(3)).unwrap(),
        memberships: vec![],
        commit: index(0),
        round: 1,
    });
    c.raft(1).receive(now, replica(2), part);
    c.drain(1);
    assert_eq!(c.raft(1).durable(), index(3));
    assert!(c.raft(1).is_in_doubt());
}

#[test]
fn a_nack_quorum_frees_what_no_quorum_can_have() {
    // 1 wrote entries 3 and 4 and nobody else ever had them; 2 cannot lead for want of links to 3.
    let mut c = with_doubt(&[&[1, 1, 1, 1], &[1, 1], &[1, 1]], 2);
    c.cut = vec![(2, 3), (3, 2)];
    c.run_until("it is free", |c| !c.raft(1).is_in_doubt());
    c.heal();
    c.elect();
    c.assert_converged();
}

#[test]
fn one_nack_of_three_frees_nothing() {
    let mut c = with_doubt(&[&[1, 1, 1, 1], &[1, 1], &[1, 1]], 2);
    c.crash(3);
    c.run(ms(10_000));
    assert!(c.raft(1).is_in_doubt(), "3 may hold the extent: 1 and 3 would have committed it");
    assert_eq!(c.leader(), None);
    c.restart(3);
    c.elect();
    c.assert_converged();
}

/// The nacks speak of the last entry in doubt, and those before it may be committed: 1 and 2 did commit entry 3.
#[test]
fn nacks_for_the_end_of_the_extent_do_not_free_the_entries_before_it() {
    let mut c = Cluster::new(3);
    c.elect();
    let shared = c.propose(1, 1);
    c.cut = vec![(1, 3), (3, 1)];
    let committed = c.propose(1, 1);
    c.settle();
    assert_eq!(c.at(1).committed, committed.last);
    c.cut.extend([(1, 2), (2, 1)]);
    c.propose(1, 1); // Nobody else gets this one.
    c.settle();
    c.crash(1);
    c.damage(1, shared.last.as_u64());
    // 2, who holds what was committed, and 3, who does not, both answer 1; they do not hear each other.
    c.cut = vec![(2, 3), (3, 2)];
    c.restart(1);
    c.run(ms(5_000));
    // 2 is gone for a while; 1 and 3 must not go on without it.
    c.isolate(2);
    c.cut.retain(|link| *link != (1, 3) && *link != (3, 1));
    c.run(ms(5_000)); // The harness fails if a leader lacks the committed entry.
    c.heal();
    c.elect();
    c.assert_converged();
}

fn query(of_term: u64, after: LogId, extent: LogId) -> Message {
    Message::Doubt(DoubtQuery { term: term(of_term), after, extent })
}

fn answer(of_term: u64, after: LogId, extent: LogId, holds: bool) -> Message {
    Message::DoubtReply(DoubtReply { term: term(of_term), after, extent, holds })
}

#[test]
fn a_nack_is_given_only_in_a_later_term_than_the_extents() {
    let mut c = Cluster::of_logs(1, &[&[1], &[1], &[1]]);
    let (now, after, extent) = (c.now, id(1, 1), id(2, 1));
    c.raft(2).receive(now, replica(1), query(1, after, extent));
    c.drain(2);
    assert!(c.wire.is_empty(), "a leader of term 1 could still give it the entry");
    c.slow_disks = vec![2];
    c.raft(2).receive(now, replica(1), query(2, after, extent));
    c.drain(2);
    assert!(c.wire.is_empty(), "the promise is made with term 2, which is not on disk yet");
    c.finish_writes(2);
    assert_eq!(c.wire.pop_front(), Some((2, 1, answer(2, after, extent, false))));
    assert_eq!(c.at(2).disk.hard_state, HardState { term: term(2), vote: None });
}

#[test]
fn who_holds_any_of_what_was_lost_or_is_in_doubt_itself_or_has_compacted_it_gives_no_nack() {
    let mut c = Cluster::of_logs(1, &[&[1, 1, 1], &[1, 1], &[1, 1]]);
    c.crash(3);
    c.at(3).disk.doubt = Some(id(9, 1));
    c.restart(3);
    let (now, after, extent) = (c.now, id(1, 1), id(3, 1));
    for to in [2, 3] {
        c.raft(to).receive(now, replica(1), query(5, after, extent));
        c.drain(to);
        assert_eq!(c.wire.pop_front(), Some((to, 1, answer(5, after, extent, true))), "node {to}");
    }
    let mut c = Cluster::new(3);
    c.elect();
    c.propose(1, 5);
    c.run(ms(300));
    c.compact(2, 4);
    c.now = c.now.after(ms(3_000));
    let (now, after, extent) = (c.now, id(2, 1), id(3, 2));
    c.raft(2).receive(now, replica(1), query(5, after, extent));
    c.drain(2);
    assert_eq!(c.wire.pop_front(), Some((2, 1, answer(5, after, extent, true))));
}

#[test]
fn an_entry_of_a_later_term_in_the_place_of_the_first_lost_one_is_another() {
    let mut c = Cluster::of_logs(4, &[&[1, 1, 1], &[1, 1, 4], &[1, 1]]);
    let (now, after, extent) = (c.now, id(2, 1), id(3, 1));
    c.raft(2).receive(now, replica(1), query(5, after, extent));
    c.drain(2);
    assert_eq!(c.wire.pop_front(), Some((2, 1, answer(5, after, extent, false))));
}

/// Terms never fall along a log: what follows an entry of term 4 has no term below it, so an old tail is no reason to
/// leave a group without a leader. The simulator's seed 50004942.
#[test]
fn an_entry_of_an_earlier_term_than_the_certain_end_is_another_than_the_first_lost_one() {
    let mut c = Cluster::of_logs(6, &[&[1, 4, 4], &[1, 1, 1], &[1, 1]]);
    let (now, after, extent) = (c.now, id(2, 4), id(3, 4));
    c.raft(2).receive(now, replica(1), query(7, after, extent));
    c.drain(2);
    assert_eq!(c.wire.pop_front(), Some((2, 1, answer(7, after, extent, false))));
}

#[test]
fn nacks_of_strangers_and_doubled_ones_count_for_nothing() {
    let mut c = with_doubt(&[&[1, 1, 1], &[1, 1], &[1, 1], &[1, 1], &[1, 1]], 2);
    c.isolate(1);
    c.run(ms(1_100)); // It has asked.
    let t = c.raft(1).hard_state().term.as_u64();
    let (now, after, extent) = (c.now, id(2, 1), id(3, 1));
    let nack = answer(t, after, extent, false);
    c.raft(1).receive(now, replica(4), answer(t, id(1, 1), extent, false));
    c.raft(1).receive(now, replica(4), answer(t, after, id(4, 1), false));
    c.raft(1).receive(now, replica(4), answer(1, after, extent, false));
    for from in [replica(2), replica(2), replica(9), cluster::incarnation(3, 7)] {
        c.raft(1).receive(now, from, nack.clone());
    }
    assert!(c.raft(1).is_in_doubt(), "one nack of five");
    c.raft(1).receive(now, replica(3), nack.clone());
    assert!(c.raft(1).is_in_doubt(), "three of five may still hold it");
    c.raft(1).receive(now, replica(4), nack);
    assert!(!c.raft(1).is_in_doubt());
}

/// The first lost entry may be the one that leaves the joint membership, which the incoming voters commit alone.
#[test]
fn while_joint_only_a_nack_quorum_of_the_incoming_voters_is_enough() {
    use raft_core::{Membership, Raft, Restored, Time};
    let joint = |c| Membership::new(cluster::voters([4, 5, 6]), Some(cluster::voters(c)), vec![]).unwrap();
    let open = || {
        let restored = Restored {
            hard_state: HardState { term: term(1), vote: None },
            log: cluster::log_of(&[1, 1]),
            doubt: Some(id(3, 1)),
            ..Restored::default()
        };
        Raft::new(replica(1), joint([1, 2, 3]), raft_core::Options::default(), restored, 1, Time::ZERO)
    };
    let nack = answer(2, id(2, 1), id(3, 1), false);
    for (nacks, is_free) in [(vec![2, 4], false), (vec![2, 3], false), (vec![5, 6], true)] {
        let mut raft = open();
        for from in nacks {
            raft.receive(Time::ZERO, replica(from), nack.clone());
        }
        assert_eq!(!raft.is_in_doubt(), is_free);
    }
}

/// The doubtful part may hold the change that made others the voters; nacks of the old ones then say nothing of it.
#[test]
fn nacks_of_former_voters_do_not_free_what_later_voters_committed() {
    let mut c = Cluster::new(3);
    c.elect();
    c.add_blank(4);
    c.run(ms(200));
    let before = c.raft(1).log().last_index();
    // 3 is lost to the group from here on: it knows of no change.
    c.isolate(3);
    c.change(1, cluster::replaces(4, 3)).unwrap();
    c.run_until("4 votes", |c| c.voters_at(1) == [1, 2, 4] && !c.raft(1).membership().is_joint());
    c.run(ms(200));
    c.cut.extend([(1, 2), (2, 1), (2, 4), (4, 2)]);
    let committed = c.propose(1, 3); // By 1 and 4 alone.
    c.settle();
    assert_eq!(c.at(1).committed, committed.last);
    c.crash(1);
    c.damage(1, before.as_u64());
    // 1 hears 2 and 3 only.
    c.cut.clear();
    c.isolate(4);
    c.cut.extend([(2, 3), (3, 2)]);
    c.restart(1);
    c.run(ms(5_000));
    c.isolate(2);
    c.run(ms(5_000)); // The harness fails if 1 and 3 elect one of them.
    c.heal();
    c.elect();
    c.assert_converged();
}

/// The same in full: 4's log is the only one with what was committed after the change, and it can be read up to the joint
/// membership only.
#[test]
fn the_vote_of_who_went_does_not_free_what_those_who_stayed_committed() {
    let mut c = Cluster::new(2);
    assert_eq!(c.elect(), 1);
    let joint = c.change(1, MembershipChange::Voters(cluster::voters([1]))).unwrap();
    // 2 gets the joint membership, and nothing after it.
    while c.raft(1).membership().is_joint() {
        let (from, to, message) = c.wire.pop_front().unwrap();
        c.deliver(from, to, message);
    }
    c.wire.clear();
    c.isolate(2);
    let committed = c.propose(1, 3).last;
    assert_eq!(c.committed(1), committed);
    c.crash(1);
    c.damage(1, joint.last.as_u64());
    c.heal();
    c.restart(1);
    c.run(ms(10_000)); // The harness fails if 1 leads without the committed entry.
    assert!(c.raft(1).is_in_doubt());
}

#[test]
fn an_extent_that_the_log_has_passed_is_no_doubt() {
    let mut c = Cluster::of_logs(2, &[&[1, 2], &[1, 2], &[1, 2]]);
    c.crash(1);
    c.at(1).disk.doubt = Some(id(9, 1));
    c.restart(1);
    assert!(!c.raft(1).is_in_doubt());
    assert!(LogId::new(Term::new(2), index(2)) > id(9, 1));
    assert_eq!(c.raft(1).matched(node(2)), None);
}

/// A power cut could bring back what is cut from the log and not yet from the disk: no promise before that is written.
#[test]
fn a_nack_waits_until_the_disk_has_forgotten_the_entry_too() {
    let mut c = Cluster::of_logs(1, &[&[1, 1], &[1, 1], &[1, 1]]);
    c.slow_disks = vec![2];
    let now = c.now;
    let mut entries = raft_core::TermRuns::empty(id(1, 1));
    entries.append(term(3), 1);
    let (memberships, commit, round) = (vec![], index(0), 1);
    let overwrites = raft_core::AppendRequest { term: term(4), entries, memberships, commit, round };
    c.raft(2).receive(now, replica(3), Message::Append(overwrites));
    c.drain(2);
    c.finish_write(2); // The term is on the disk, the cut is not.
    let now = now.after(ms(2_000));
    c.raft(2).receive(now, replica(1), query(4, id(1, 1), id(2, 1)));
    let is_nack = |(_, _, m): &(u64, u64, Message)| matches!(m, Message::DoubtReply(reply) if !reply.holds);
    for _ in 0..9 {
        c.drain(2);
        let is_forgotten = c.replicas[&2].disk.log.term_at(index(2)) == Some(term(3));
        assert!(is_forgotten || !c.wire.iter().any(is_nack));
        c.finish_write(2);
    }
    c.raft(2).receive(now, replica(1), query(4, id(1, 1), id(2, 1)));
    c.drain(2);
    assert!(c.wire.iter().any(is_nack));
}

/// A power cut took tails of different lengths. Who is in doubt about entries before the one asked for has never held it.
#[test]
fn replicas_in_doubt_about_other_entries_free_each_other() {
    let mut c = Cluster::of_logs(1, &[&[1, 1, 1], &[1, 1], &[1]]);
    for (node, keep) in [(1, 2), (2, 1)] {
        c.crash(node);
        c.damage(node, keep);
    }
    for node in [1, 2] {
        c.restart(node);
        assert!(c.raft(node).is_in_doubt());
    }
    // 3@1 was never on two disks, and once 1 is whole its log goes beyond all that 2 may have acknowledged.
    assert_eq!(c.elect(), 1);
}
