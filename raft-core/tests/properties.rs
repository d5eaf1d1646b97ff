//! Each pure part against a slow and obvious twin, and the whole against anything a peer may say.

mod cluster;

use std::time::Duration;

use cluster::{Cluster, id, index, replica};
use proptest::prelude::*;
use raft_core::{
    Configuration, ConfigurationError, Learner, LogId, LogIndex, Membership, Options, Term, TermRun, TermRuns,
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
    fn compacting_runs_forgets_the_front_of_the_list(list in terms(40), at in prop::collection::vec(0..50_u64, 1..4)) {
        let mut log = runs(&list);
        let mut start = 0;
        for to in at {
            log.compact(index(to));
            // What lies beyond the end, or before the start, changes nothing.
            start = if to <= list.len() as u64 { start.max(to) } else { start };
            prop_assert_eq!(log.before().index, index(start));
            prop_assert_eq!(log.last_index(), index(list.len() as u64));
            for i in 0..=list.len() as u64 + 1 {
                let known = (start..=list.len() as u64).contains(&i);
                let term = match i {
                    0 => 0,
                    _ => list.get(i as usize - 1).copied().unwrap_or(0),
                };
                prop_assert_eq!(log.term_at(index(i)), known.then(|| Term::new(term)));
            }
        }
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

    /// The slow oracle of joint consensus: an index is held if a majority of each side holds it.
    #[test]
    fn the_joint_quorum_index_is_what_a_majority_of_each_side_holds(
        held in prop::collection::vec(0..20_u64, 9),
        incoming in prop::sample::subsequence((1..=9_u64).collect::<Vec<_>>(), 1..=7),
        outgoing in prop::sample::subsequence((1..=9_u64).collect::<Vec<_>>(), 1..=7),
    ) {
        let sides = [cluster::voters(incoming.iter().copied()), cluster::voters(outgoing.iter().copied())];
        let joint = Membership::new(sides[0].clone(), Some(sides[1].clone()), vec![]).unwrap();
        let of = |r: raft_core::ReplicaId| index(held[r.node.as_u64() as usize - 1]);
        let is_held = |i: u64| {
            let has = |side: &Vec<u64>| side.iter().filter(|n| held[**n as usize - 1] >= i).count() * 2 > side.len();
            has(&incoming) && has(&outgoing)
        };
        let plain = (0..=20).rev().find(|i| is_held(*i)).unwrap();
        prop_assert_eq!(joint.quorum_index(of), index(plain));
        prop_assert!(joint.is_quorum(|r| of(r) >= index(plain)));
        prop_assert!(!joint.is_quorum(|r| of(r) > index(plain)));
        for side in sides {
            // Whoever decides while joint has asked a majority of either side: the next decision meets it.
            prop_assert!(joint.quorum_index(of) <= side.quorum_index(of));
        }
    }

    #[test]
    fn any_two_quorums_of_a_change_meet(
        old in prop::sample::subsequence((1..=7_u64).collect::<Vec<_>>(), 1..=7),
        new in prop::sample::subsequence((1..=7_u64).collect::<Vec<_>>(), 1..=7),
        has in 0..128_u32,
    ) {
        let before = Membership::from(cluster::voters(old.iter().copied()));
        let joint = before.towards(cluster::voters(new.iter().copied())).unwrap();
        let after = joint.settled();
        let is_in = |r: raft_core::ReplicaId| has >> (r.node.as_u64() - 1) & 1 == 1;
        for (one, next) in [(&before, &joint), (&joint, &joint), (&joint, &after)] {
            // A set and those it leaves out are never both quorums, one of each.
            prop_assert!(!(one.is_quorum(is_in) && next.is_quorum(|r| !is_in(r))));
        }
        prop_assert!(joint.is_joint() && !after.is_joint());
        prop_assert_eq!(after.voters(), joint.voters());
    }

    #[test]
    fn each_node_is_counted_once_among_the_replicas_of_a_membership(
        incoming in prop::sample::subsequence((1..=9_u64).collect::<Vec<_>>(), 1..=7),
        outgoing in prop::sample::subsequence((1..=9_u64).collect::<Vec<_>>(), 1..=7),
        learners in prop::sample::subsequence((1..=9_u64).collect::<Vec<_>>(), 0..=4),
    ) {
        let added = learners.iter().filter(|n| !incoming.contains(n)).count();
        let in_the_end = incoming.len() + added;
        let learners = learners.into_iter().map(|n| {
            let replaces = incoming.contains(&n).then(|| replica(n));
            Learner { replica: cluster::incarnation(n, 1), replaces }
        });
        let (voters, old) = (cluster::voters(incoming.clone()), cluster::voters(outgoing.clone()));
        let membership = Membership::new(voters, Some(old), learners.collect());
        if in_the_end > 7 {
            prop_assert_eq!(membership, Err(ConfigurationError::TooLarge(in_the_end)));
            return Ok(());
        }
        let membership = membership.unwrap();
        let nodes: Vec<u64> = membership.replicas().map(|r| r.node.as_u64()).collect();
        let mut sorted = nodes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), nodes.len(), "{:?}", nodes);
        prop_assert!(membership.replicas().all(|r| membership.is_member(r)));
        let all = incoming.iter().chain(&outgoing);
        prop_assert!(all.copied().all(|n| nodes.contains(&n)));
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

    /// A follower as its leader sees it, against the follower itself: what it is said to hold it holds, durably; no more
    /// appends are under way than the window has room for; and all of it arrives once nothing is lost any more.
    #[test]
    fn a_leader_knows_of_a_follower_what_is_so_and_feeds_it_within_the_window(
        window in 1..5_usize,
        bytes in 1..9_u64,
        steps in prop::collection::vec((0..8_u8, any::<prop::sample::Index>(), 1..9_u64), 1..150),
    ) {
        let options = Options { max_inflight_appends: window, max_append_bytes: bytes, ..Options::default() };
        let mut c = Cluster::with_options(2, 1, options);
        prop_assert_eq!(c.elect(), 1);
        // Appends with entries that left since the last word from the follower.
        let mut unanswered = 0;
        let mut counted = c.appends_built;
        for (what, which, amount) in steps {
            let mut is_answer = false;
            match what {
                0 | 1 => drop(c.raft(1).propose(amount)),
                2 => {
                    c.now = c.now.after(Duration::from_millis(amount * 10));
                    let now = c.now;
                    c.raft(1).tick(now);
                }
                3 if !c.wire.is_empty() => drop(c.wire.remove(which.index(c.wire.len()))),
                4 if !c.wire.is_empty() => {
                    let doubled = c.wire[which.index(c.wire.len())].clone();
                    c.wire.push_back(doubled);
                }
                5 => c.slow_disks = if c.slow_disks.is_empty() { vec![2] } else { vec![] },
                6 => c.finish_writes(2),
                _ if !c.wire.is_empty() => {
                    let at = if amount > 2 { 0 } else { which.index(c.wire.len()) };
                    let (from, to, message) = c.wire.remove(at).unwrap();
                    is_answer = to == 1;
                    c.deliver(from, to, message);
                }
                _ => {}
            }
            c.drain(1);
            if is_answer {
                unanswered = 0;
            } else {
                unanswered += c.appends_built - counted;
            }
            counted = c.appends_built;
            prop_assert!(unanswered <= window, "{} appends without an answer", unanswered);
            let (leader, follower) = (&c.replicas[&1].raft, &c.replicas[&2].raft);
            if let Some(matched) = leader.matched(cluster::node(2)) {
                prop_assert!(matched <= follower.durable());
                prop_assert_eq!(leader.log().term_at(matched), follower.log().term_at(matched));
            }
        }
        c.slow_disks.clear();
        c.finish_writes(2);
        c.elect();
        c.assert_converged();
    }
}
