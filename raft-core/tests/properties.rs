//! Each pure part against a slow and obvious twin, and the whole against anything a peer may say.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, id, index, replica};
use proptest::prelude::*;
use raft_core::{
    AppendOutcome, AppendReply, AppendRequest, Configuration, LogId, LogIndex, Message, PreVote,
    PreVoteReply, ReadIndexReply, ReadIndexRequest, Term, TermRun, TermRuns, Vote, VoteReply,
};

/// The terms of a log as a plain list: never falling, from 1.
fn terms(max: usize) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0..3_u64, 0..max).prop_map(|steps| {
        let mut term = 1;
        steps
            .into_iter()
            .map(|step| {
                term += step.saturating_sub(1);
                term
            })
            .collect()
    })
}

fn runs(terms: &[u64]) -> TermRuns {
    cluster::log_of(terms)
}

proptest! {
    #[test]
    fn runs_know_the_term_of_every_index(list in terms(40)) {
        let log = runs(&list);
        prop_assert_eq!(log.len(), list.len() as u64);
        for (at, term) in list.iter().enumerate() {
            prop_assert_eq!(log.term_at(index(at as u64 + 1)), Some(Term::new(*term)));
        }
        prop_assert_eq!(log.term_at(index(list.len() as u64 + 1)), None);
        prop_assert_eq!(TermRuns::new(LogId::ZERO, log.runs().to_vec(), log.last_index()), Ok(log));
    }

    #[test]
    fn cutting_runs_is_cutting_the_list(list in terms(40), at in 0..50_u64) {
        let mut log = runs(&list);
        log.truncate(index(at));
        prop_assert_eq!(log, runs(&list[..list.len().min(at as usize)]));
    }

    #[test]
    fn a_slice_of_runs_is_a_slice_of_the_list(list in terms(40), a in 0..45_u64, b in 0..45_u64) {
        let log = runs(&list);
        let part = log.slice(index(a), index(b));
        prop_assert_eq!(part.is_some(), a <= b && b <= list.len() as u64);
        if let Some(part) = part {
            prop_assert_eq!(part.before().index, index(a));
            prop_assert_eq!(part.last_index(), index(b));
            for i in a + 1..=b {
                prop_assert_eq!(part.term_at(index(i)), Some(Term::new(list[i as usize - 1])));
            }
            prop_assert_eq!(TermRuns::new(part.before(), part.runs().to_vec(), part.last_index()), Ok(part));
        }
    }

    #[test]
    fn the_first_conflict_is_the_first_index_with_two_terms(a in terms(30), b in terms(30)) {
        let plain = a.iter().zip(&b).position(|(x, y)| x != y).map(|at| index(at as u64 + 1));
        prop_assert_eq!(runs(&a).first_conflict(&runs(&b)), plain);
    }

    #[test]
    fn the_floor_by_term_is_the_last_entry_not_above(list in terms(30), i in 0..40_u64, t in 0..12_u64) {
        let plain = list.iter().enumerate().take(i as usize).rev().find(|(_, term)| **term <= t);
        let expected = plain.map_or(LogId::ZERO, |(at, term)| id(at as u64 + 1, *term));
        prop_assert_eq!(runs(&list).floor_by_term(id(i, t)), expected);
    }

    #[test]
    fn extending_overlaps_what_is_known(list in terms(30), from in 0..30_u64, to in 0..30_u64) {
        let (from, to) = (from.min(list.len() as u64), to.min(list.len() as u64));
        let mut log = runs(&list[..to as usize]);
        if let Some(tail) = runs(&list).slice(index(from.min(to)), index(list.len() as u64)) {
            log.extend(&tail);
        }
        prop_assert_eq!(log, runs(&list));
    }

    #[test]
    fn arbitrary_runs_are_refused_or_consistent(
        before in (0..5_u64, 0..5_u64),
        list in prop::collection::vec((0..8_u64, 0..8_u64), 0..5),
        last in 0..10_u64,
    ) {
        let list = list.into_iter().map(|(t, f)| TermRun { term: Term::new(t), first: index(f) }).collect();
        if let Ok(log) = TermRuns::new(id(before.0, before.1), list, index(last)) {
            for i in before.0..=last {
                prop_assert!(log.term_at(index(i)).is_some());
            }
        }
    }

    #[test]
    fn the_quorum_index_is_what_a_majority_holds(held in prop::collection::vec(0..20_u64, 1..=7)) {
        let voters = Configuration::new((1..=held.len() as u64).map(replica)).unwrap();
        let of = |r: raft_core::ReplicaId| index(held[r.node.as_u64() as usize - 1]);
        let found = voters.quorum_index(of);
        let plain = (0..=20).rev().find(|i| held.iter().filter(|h| *h >= i).count() * 2 > held.len()).unwrap();
        prop_assert_eq!(found, index(plain));
        prop_assert!(voters.is_quorum(|r| of(r) >= found));
        prop_assert!(!voters.is_quorum(|r| of(r) > found));
    }

    /// Rule: nothing a peer says can panic a replica or break what holds between inputs.
    #[test]
    fn arbitrary_messages_never_panic_nor_break_an_invariant(
        setup in 0..3_u64,
        messages in prop::collection::vec((1..=5_u64, message()), 0..60),
    ) {
        let mut c = Cluster::new(3);
        if setup > 0 {
            let leader = c.elect();
            c.propose(leader, setup * 3);
            c.run(Duration::from_millis(100));
        }
        let target = 1 + setup;
        for (from, message) in messages {
            let now = c.now;
            c.raft(target).receive(now, replica(from), message);
            // Checks the invariants; what it decided goes nowhere.
            while c.raft(target).poll_effect().is_some() {}
            c.raft(target).check_invariants().unwrap();
            if c.raft(target).fault().is_some() {
                break;
            }
        }
    }

    /// The law of laws: whatever is lost, cut, crashed and restarted, a healed group converges to one log that
    /// holds everything that was committed.
    #[test]
    fn any_schedule_of_crashes_and_cuts_ends_in_one_log(
        seed in any::<u64>(),
        steps in prop::collection::vec((0..6_u8, 1..=5_u64, 1..60_u64), 1..40),
    ) {
        let mut c = Cluster::with_seed(5, seed);
        let mut committed = LogIndex::ZERO;
        for (what, node, amount) in steps {
            match what {
                0 if c.replicas[&node].is_up => c.crash(node),
                1 if !c.replicas[&node].is_up => c.restart(node),
                2 => c.isolate(node),
                3 => c.heal(),
                4 => {
                    if c.slow_disks.contains(&node) {
                        c.slow_disks.retain(|n| *n != node);
                        c.finish_writes(node);
                    } else {
                        c.slow_disks.push(node);
                    }
                }
                _ => {
                    if let Some(leader) = c.leader() {
                        let _ = c.raft(leader).propose(amount);
                    }
                }
            }
            c.run(Duration::from_millis(amount * 10));
            committed = c.replicas.values().map(|r| r.committed).max().unwrap().max(committed);
        }
        c.heal();
        c.slow_disks.clear();
        for node in 1..=5 {
            if c.replicas[&node].is_up {
                c.finish_writes(node);
            } else {
                c.restart(node);
            }
        }
        c.elect();
        c.assert_converged();
        prop_assert!(c.replicas[&1].committed >= committed);
    }
}

fn message() -> impl Strategy<Value = Message> {
    let term = (0..6_u64).prop_map(Term::new);
    let at = (0..12_u64, 0..6_u64).prop_map(|(i, t)| id(i, t));
    let runs = prop::collection::vec((0..6_u64, 0..12_u64), 0..3).prop_map(|list| {
        list.into_iter().map(|(t, f)| TermRun { term: Term::new(t), first: index(f) }).collect::<Vec<_>>()
    });
    let outcome = prop_oneof![
        (0..12_u64).prop_map(|m| AppendOutcome::Matched { matched: index(m) }),
        (at.clone(), at.clone()).prop_map(|(prev, hint)| AppendOutcome::Conflict { prev, hint }),
    ];
    prop_oneof![
        (term.clone(), at.clone(), 0..4_u64).prop_map(|(term, last, attempt)| Message::PreVote(PreVote {
            term,
            last,
            attempt
        })),
        (term.clone(), 0..4_u64, any::<bool>()).prop_map(|(term, attempt, granted)| {
            Message::PreVoteReply(PreVoteReply { term, attempt, granted })
        }),
        (term.clone(), at.clone()).prop_map(|(term, last)| Message::Vote(Vote { term, last })),
        (term.clone(), any::<bool>())
            .prop_map(|(term, granted)| Message::VoteReply(VoteReply { term, granted })),
        (term.clone(), at, runs, 0..12_u64, 0..12_u64, 0..9_u64).prop_filter_map(
            "not a log",
            |(term, prev, runs, last, commit, round)| {
                let entries = TermRuns::new(prev, runs, index(last)).ok()?;
                let (memberships, commit) = (Vec::new(), index(commit));
                Some(Message::Append(AppendRequest { term, entries, memberships, commit, round }))
            }
        ),
        (term.clone(), 0..9_u64, outcome)
            .prop_map(|(term, round, outcome)| Message::AppendReply(AppendReply { term, round, outcome })),
        (term.clone(), 0..9_u64).prop_map(|(term, read)| Message::ReadIndex(ReadIndexRequest { term, read })),
        (term, 0..9_u64, prop::option::of(0..12_u64)).prop_map(|(term, read, i)| Message::ReadIndexReply(
            ReadIndexReply { term, read, index: i.map(index) }
        )),
    ]
}
