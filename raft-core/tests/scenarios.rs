//! The rules of Raft as a stranger would check them, one law per test, over three to five replicas.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, id, index, log_of, replica};
use raft_core::{
    AppendOutcome, AppendReply, AppendRequest, Configuration, HardState, Law, LogChange, Message, NodeId,
    Options, PreVote, PreVoteReply, Raft, ReadError, ReadId, Restored, RoleKind, Term, TermRun, TermRuns,
    Time, Vote, VoteReply,
};

/// Raft §5.2: a fresh group elects exactly one leader, at once and without waiting for a time-out.
#[test]
fn a_fresh_group_is_led_by_its_first_replica_at_once() {
    let mut c = Cluster::new(3);
    c.run(Duration::from_millis(20));
    assert_eq!(c.leader(), Some(1));
    c.assert_converged();
}

#[test]
fn a_single_voter_commits_once_its_own_disk_has_it() {
    let mut c = Cluster::new(1);
    c.elect();
    c.slow_disks = vec![1];
    let proposed = c.propose(1, 3);
    c.settle();
    assert!(c.at(1).committed < proposed.first);
    c.finish_writes(1);
    assert_eq!(c.at(1).committed, proposed.last);
}

/// Raft figure 2 and thesis §3.8: a vote is durable before it is given.
#[test]
fn no_vote_leaves_before_it_is_on_disk() {
    let mut c = Cluster::new(3);
    c.slow_disks = vec![2];
    let now = c.now;
    c.raft(2).receive(now, replica(3), Message::Vote(Vote { term: Term::new(4), last: id(9, 3) }));
    c.drain(2);
    assert!(c.wire.is_empty(), "nothing is said while the vote is on its way to the disk");
    c.finish_writes(2);
    let granted = Message::VoteReply(VoteReply { term: Term::new(4), granted: true });
    assert_eq!(c.wire.pop_front(), Some((2, 3, granted)));
    assert_eq!(c.at(2).disk.hard_state, HardState { term: Term::new(4), vote: Some(replica(3)) });
}

/// A candidate asks for votes only once its own is on disk: after a crash it could give it to another.
#[test]
fn no_candidate_asks_before_its_own_vote_is_on_disk() {
    let mut c = Cluster::new(3);
    c.slow_disks = vec![1];
    let now = c.now;
    c.raft(1).tick(now);
    c.settle();
    let is_vote = |m: &Message| matches!(m, Message::Vote(_));
    assert_eq!(c.raft(1).soft_state().role, RoleKind::Candidate);
    assert!(!c.wire.iter().any(|(_, _, m)| is_vote(m)));
    c.finish_writes(1);
    assert_eq!(c.wire.iter().filter(|(_, _, m)| is_vote(m)).count(), 2);
}

/// Raft §5.2: at most one vote in a term, also over a restart.
#[test]
fn a_second_candidate_of_a_term_gets_no_vote_even_after_a_restart() {
    let mut c = Cluster::new(3);
    let now = c.now;
    let ask = Message::Vote(Vote { term: Term::new(4), last: id(9, 3) });
    c.raft(2).receive(now, replica(3), ask.clone());
    c.drain(2);
    c.crash(2);
    c.restart(2);
    c.wire.clear();
    c.raft(2).receive(now, replica(1), ask);
    c.drain(2);
    let refused = Message::VoteReply(VoteReply { term: Term::new(4), granted: false });
    assert_eq!(c.wire.pop_front(), Some((2, 1, refused)));
}

/// Raft §5.4.1: a later last term beats a longer log.
#[test]
fn a_longer_log_of_an_older_term_gets_no_vote() {
    let configuration = Configuration::new((1..=3).map(replica)).unwrap();
    let restored = Restored {
        hard_state: HardState { term: Term::new(3), vote: None },
        log: log_of(&[1, 1, 3]),
        ..Restored::default()
    };
    let mut raft = Raft::new(replica(1), configuration, Options::default(), restored, 1, Time::ZERO);
    raft.receive(Time::ZERO, replica(2), Message::Vote(Vote { term: Term::new(4), last: id(9, 2) }));
    assert_eq!(raft.hard_state(), HardState { term: Term::new(4), vote: None });
    raft.receive(Time::ZERO, replica(2), Message::Vote(Vote { term: Term::new(4), last: id(3, 3) }));
    assert_eq!(raft.hard_state().vote, Some(replica(2)));
}

/// Thesis §9.6: a replica that cannot win disturbs nobody, however often it tries.
#[test]
fn an_isolated_replica_deposes_nobody_when_it_returns() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    let term = c.raft(leader).hard_state().term;
    let outsider = c.nodes().into_iter().find(|n| *n != leader).unwrap();
    c.isolate(outsider);
    c.run(Duration::from_secs(5));
    c.heal();
    c.run(Duration::from_secs(2));
    assert_eq!(c.leader(), Some(leader));
    assert_eq!(c.raft(leader).hard_state().term, term);
}

/// Thesis §6.2: a leader that hears from no quorum steps down, and the others go on.
#[test]
fn a_leader_without_a_quorum_steps_down_and_the_others_elect_another() {
    let mut c = Cluster::new(3);
    let old = c.elect();
    c.isolate(old);
    c.run(Duration::from_secs(3));
    assert_ne!(c.raft(old).soft_state().role, RoleKind::Leader);
    let new = c.elect();
    assert_ne!(new, old);
    c.propose(new, 2);
    c.heal();
    c.assert_converged();
}

/// A closed connection is suspicion at once: no election time-out is waited for.
#[test]
fn the_death_of_a_leaders_process_is_answered_within_the_suspicion_spread() {
    let mut c = Cluster::new(3);
    let old = c.elect();
    c.crash(old);
    c.run(Duration::from_millis(120));
    assert!(c.leader().is_some_and(|l| l != old));
}

/// Raft §5.3: entries that no quorum holds are overwritten by the next leader.
#[test]
fn uncommitted_entries_of_a_deposed_leader_are_overwritten() {
    let mut c = Cluster::new(3);
    let old = c.elect();
    c.isolate(old);
    c.propose(old, 5);
    c.run(Duration::from_secs(3));
    let new = c.elect();
    c.propose(new, 2);
    c.settle();
    let committed = c.at(new).committed;
    c.heal();
    c.assert_converged();
    assert!(c.raft(old).log().last_index() >= committed);
}

/// Raft figure 8: an entry of an older term is not committed by counting replicas.
#[test]
fn an_entry_of_an_older_term_is_committed_only_with_one_of_the_own() {
    let configuration = Configuration::new((1..=3).map(replica)).unwrap();
    let restored = Restored {
        hard_state: HardState { term: Term::new(2), vote: None },
        log: log_of(&[1, 2]),
        ..Restored::default()
    };
    let mut raft = Raft::new(replica(1), configuration, Options::default(), restored, 1, Time::ZERO);
    let later = Time::from_micros(5_000_000);
    raft.tick(later);
    let persist_all = |raft: &mut Raft| {
        let (mut tokens, mut attempt) = (vec![], None);
        while let Some(effect) = raft.poll_effect() {
            match effect {
                raft_core::Effect::Persist(p) => tokens.push(p.token),
                raft_core::Effect::Send { message: Message::PreVote(m), .. } => attempt = Some(m.attempt),
                _ => {}
            }
        }
        for token in tokens {
            raft.persisted(later, token);
        }
        attempt
    };
    let attempt = persist_all(&mut raft).expect("it asks whether it could be elected");
    let pre = raft_core::PreVoteReply { term: Term::new(2), attempt, granted: true };
    raft.receive(later, replica(2), Message::PreVoteReply(pre));
    persist_all(&mut raft);
    raft.receive(later, replica(2), Message::VoteReply(VoteReply { term: Term::new(3), granted: true }));
    assert_eq!(raft.soft_state().role, RoleKind::Leader);
    persist_all(&mut raft);
    let matched = |m| {
        let outcome = AppendOutcome::Matched { matched: index(m) };
        Message::AppendReply(AppendReply { term: Term::new(3), round: 1, outcome })
    };
    raft.receive(later, replica(2), matched(2));
    assert_eq!(raft.commit(), index(0), "a quorum holds entry 2 of term 2, which is not enough");
    raft.receive(later, replica(2), matched(3));
    assert_eq!(raft.commit(), index(3));
}

/// The leader is a peer of itself: it may commit without its disk, and its disk alone commits nothing.
#[test]
fn a_leader_commits_by_its_followers_while_its_own_disk_is_slow() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    c.slow_disks = vec![leader];
    let proposed = c.propose(leader, 1);
    c.settle();
    assert_eq!(c.at(leader).committed, proposed.last);
    assert!(c.raft(leader).durable() < proposed.last);
}

#[test]
fn nothing_is_committed_while_the_disks_of_a_majority_are_slow() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    c.slow_disks = c.nodes().into_iter().filter(|n| *n != leader).collect();
    let proposed = c.propose(leader, 1);
    c.settle();
    assert!(c.at(leader).committed < proposed.last);
    let one = c.slow_disks[0];
    c.finish_writes(one);
    c.settle();
    assert_eq!(c.at(leader).committed, proposed.last);
}

/// The conflict is found by term: a long divergence costs few questions (Raft §5.3).
#[test]
fn a_long_divergence_is_repaired_in_one_question_per_term() {
    let mut c = Cluster::new(3);
    let old = c.elect();
    c.isolate(old);
    c.propose(old, 3_000);
    let new = loop {
        c.run(Duration::from_millis(100));
        if let Some(l) = c.leader().filter(|l| *l != old) {
            break l;
        }
    };
    c.propose(new, 3_000);
    c.settle();
    c.heal();
    let now = c.now;
    c.raft(new).peer_unreachable(now, NodeId::new(old));
    let mut refusals = 0;
    c.drain(new);
    for _ in 0..400 {
        c.now = c.now.after(Duration::from_millis(10));
        let now = c.now;
        for node in c.nodes() {
            c.raft(node).tick(now);
            c.drain(node);
        }
        while let Some((from, to, message)) = c.wire.pop_front() {
            let conflict = |m: &Message| {
                matches!(m, Message::AppendReply(AppendReply { outcome: AppendOutcome::Conflict { .. }, .. }))
            };
            refusals += usize::from(from == old && conflict(&message));
            c.deliver(from, to, message);
        }
    }
    assert!(refusals <= 4, "{refusals} refusals for a divergence of 3,000 entries in two terms");
    c.assert_converged();
}

/// scylla#9965: the commit index moves only over what this leader has verified.
#[test]
fn commit_does_not_move_over_an_unverified_suffix() {
    let configuration = Configuration::new((1..=3).map(replica)).unwrap();
    let restored = Restored {
        hard_state: HardState { term: Term::new(2), vote: None },
        log: log_of(&[1, 1, 1, 1]),
        ..Restored::default()
    };
    let mut raft = Raft::new(replica(1), configuration, Options::default(), restored, 1, Time::ZERO);
    let heartbeat = |prev| {
        Message::Append(AppendRequest {
            term: Term::new(2),
            entries: TermRuns::empty(prev),
            memberships: vec![],
            commit: index(4),
            round: 1,
        })
    };
    raft.receive(Time::ZERO, replica(2), heartbeat(id(2, 1)));
    assert_eq!(raft.commit(), index(2));
}

/// Truncate only on a term mismatch: a late, shorter append leaves what follows it alone.
#[test]
fn a_late_short_append_cuts_nothing() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    let follower = c.nodes().into_iter().find(|n| *n != leader).unwrap();
    c.propose(leader, 10);
    c.settle();
    let term = c.raft(leader).hard_state().term;
    let last = c.raft(follower).log().last_index();
    let late = AppendRequest {
        term,
        entries: TermRuns::new(id(1, term.as_u64()), vec![TermRun { term, first: index(2) }], index(3))
            .unwrap(),
        memberships: vec![],
        commit: index(1),
        round: 1,
    };
    c.deliver(leader, follower, Message::Append(late));
    assert_eq!(c.raft(follower).log().last_index(), last);
}

/// ABA: a report about entries that were overwritten since counts for nothing.
#[test]
fn a_write_report_about_overwritten_entries_counts_for_nothing() {
    let configuration = Configuration::new((1..=3).map(replica)).unwrap();
    let mut raft =
        Raft::new(replica(3), configuration, Options::default(), Restored::default(), 1, Time::ZERO);
    let append = |term: u64, prev, first, last| {
        let runs = vec![TermRun { term: Term::new(term), first: index(first) }];
        Message::Append(AppendRequest {
            term: Term::new(term),
            entries: TermRuns::new(prev, runs, index(last)).unwrap(),
            memberships: vec![],
            commit: index(0),
            round: 1,
        })
    };
    raft.receive(Time::ZERO, replica(1), append(1, id(0, 0), 1, 5));
    raft.receive(Time::ZERO, replica(2), append(2, id(0, 0), 1, 1));
    let mut tokens = vec![];
    while let Some(effect) = raft.poll_effect() {
        if let raft_core::Effect::Persist(p) = effect {
            tokens.push((p.token, matches!(p.log, LogChange::Append { .. })));
        }
    }
    let first_append = tokens.iter().find(|(_, append)| *append).unwrap().0;
    raft.persisted(Time::ZERO, first_append);
    assert_eq!(raft.durable(), index(0), "the five entries are on disk, and none of them is in the log");
    raft.persisted(Time::ZERO, tokens.last().unwrap().0);
    assert_eq!(raft.durable(), index(1));
}

/// Thesis §6.4: a read is confirmed by a quorum, and never by a deposed leader.
#[test]
fn a_read_at_a_cut_off_leader_is_not_confirmed() {
    let mut c = Cluster::new(3);
    let old = c.elect();
    c.isolate(old);
    let now = c.now;
    c.raft(old).read(now, ReadId(7)).unwrap();
    c.run(Duration::from_secs(3));
    assert_eq!(c.at(old).ready, []);
    assert_eq!(c.at(old).failed, [ReadId(7)]);
}

#[test]
fn a_read_at_a_follower_or_learner_sees_all_that_was_committed_before() {
    let mut c = Cluster::new(3);
    c.add_learner(9);
    let leader = c.elect();
    let proposed = c.propose(leader, 5);
    c.run(Duration::from_millis(300));
    for node in c.nodes() {
        let now = c.now;
        c.raft(node).read(now, ReadId(node)).unwrap();
        c.settle();
        let (read, at) = c.at(node).ready[0];
        assert_eq!(read, ReadId(node));
        assert!(at >= proposed.last, "node {node} read at {at}");
    }
}

/// etcd#7331: before the own-term commit a leader does not know what is committed, so reads wait.
#[test]
fn a_read_before_the_own_term_commit_waits_for_it() {
    let mut c = Cluster::new(3);
    c.slow_disks = vec![2, 3];
    let now = c.now;
    c.raft(1).tick(now);
    c.settle();
    for node in [2, 3] {
        c.finish_writes(node);
    }
    c.settle();
    assert_eq!(c.leader(), Some(1));
    c.raft(1).read(now, ReadId(1)).unwrap();
    c.settle();
    assert_eq!(c.at(1).ready, []);
    for node in [2, 3] {
        c.finish_writes(node);
    }
    c.settle();
    assert_eq!(c.at(1).ready, [(ReadId(1), index(1))]);
}

#[test]
fn a_read_without_a_leader_is_refused_at_once() {
    let mut c = Cluster::new(3);
    let now = c.now;
    assert_eq!(c.raft(2).read(now, ReadId(1)), Err(ReadError::NoLeader));
}

/// A learner holds the log, counts in no quorum and never campaigns.
#[test]
fn a_standing_learner_follows_and_never_votes() {
    let mut c = Cluster::new(3);
    c.add_learner(9);
    let leader = c.elect();
    c.propose(leader, 10);
    c.assert_converged();
    assert_eq!(c.raft(9).next_deadline(), None);
    let (now, term) = (c.now, c.raft(9).hard_state().term);
    c.raft(9).receive(now, replica(1), Message::Vote(Vote { term: Term::new(99), last: id(99, 98) }));
    c.raft(9).receive(now, replica(1), Message::PreVote(PreVote { term, last: id(99, 98), attempt: 1 }));
    c.drain(9);
    assert_eq!(c.raft(9).hard_state().term, term);
    c.isolate(1);
    c.isolate(2);
    let before = c.at(leader).committed;
    c.propose(leader, 1);
    c.settle();
    assert_eq!(c.at(leader).committed, before, "leader and learner are no quorum");
}

/// Identity is (node, disk): the same node with a wiped disk is not the voter.
#[test]
fn a_voter_with_another_disk_is_not_counted() {
    let mut c = Cluster::new(3);
    let now = c.now;
    let mut wiped = replica(3);
    wiped.disk = raft_core::DiskId::new(0xdead);
    c.raft(2).receive(now, wiped, Message::Vote(Vote { term: Term::new(4), last: id(0, 0) }));
    assert_eq!(c.raft(2).hard_state(), HardState::default());
    c.isolate(2);
    c.run(Duration::from_secs(2));
    let term = c.raft(2).hard_state().term;
    for attempt in 1..9 {
        let yes = PreVoteReply { term, attempt, granted: true };
        c.raft(2).receive(now, wiped, Message::PreVoteReply(yes));
    }
    assert_eq!(c.raft(2).soft_state().role, RoleKind::PreCandidate);
}

#[test]
fn a_second_leader_in_one_term_fences_the_group_and_says_which_law() {
    let mut c = Cluster::new(3);
    let now = c.now;
    let heartbeat = Message::Append(AppendRequest {
        term: Term::new(1),
        entries: TermRuns::empty(id(0, 0)),
        memberships: vec![],
        commit: index(0),
        round: 1,
    });
    c.raft(3).receive(now, replica(1), heartbeat.clone());
    c.raft(3).receive(now, replica(2), heartbeat);
    c.drain(3);
    assert_eq!(c.at(3).faults, [Law::OneLeaderPerTerm]);
    assert_eq!(c.raft(3).next_deadline(), None);
    assert_eq!(c.raft(3).propose(1), Err(raft_core::ProposeError::Fenced));
}

#[test]
fn a_leader_that_would_overwrite_a_committed_entry_is_refused_and_the_group_fenced() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    c.propose(leader, 3);
    c.run(Duration::from_millis(200));
    let follower = c.nodes().into_iter().find(|n| *n != leader).unwrap();
    let other = c.nodes().into_iter().find(|n| *n != leader && *n != follower).unwrap();
    let before = c.raft(follower).log().clone();
    let evil = Message::Append(AppendRequest {
        term: Term::new(9),
        entries: TermRuns::new(id(0, 0), vec![TermRun { term: Term::new(9), first: index(1) }], index(1))
            .unwrap(),
        memberships: vec![],
        commit: index(0),
        round: 1,
    });
    c.deliver(other, follower, evil);
    assert_eq!(c.at(follower).faults, [Law::CommittedIsForEver]);
    assert_eq!(c.raft(follower).log(), &before);
}

/// etcd#14633: lost appends in a full window are noticed by the next heartbeat.
#[test]
fn appends_lost_in_a_full_window_are_sent_again() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    let follower = c.nodes().into_iter().find(|n| *n != leader).unwrap();
    c.cut.push((leader, follower));
    for _ in 0..200 {
        c.propose(leader, 1);
    }
    c.settle();
    c.heal();
    c.assert_converged();
}

#[test]
fn everything_committed_survives_the_crash_of_all() {
    let mut c = Cluster::new(5);
    let leader = c.elect();
    let proposed = c.propose(leader, 100);
    c.settle();
    let committed = c.at(leader).committed;
    assert_eq!(committed, proposed.last);
    for node in c.nodes() {
        c.crash(node);
    }
    for node in 1..=5 {
        c.restart(node);
    }
    let leader = c.elect();
    assert!(c.at(leader).committed > committed);
    c.assert_converged();
}
