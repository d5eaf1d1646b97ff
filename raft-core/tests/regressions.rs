//! Bugs that were found in review; each test failed before its fix.

mod cluster;

use std::collections::VecDeque;
use std::time::Duration;

use cluster::{Cluster, index, ms, node};
use raft_core::{AppendOutcome, Effect, Law, Message, Options, Restored, RoleKind};

#[test]
fn a_disk_slower_than_an_election_still_elects_in_the_end() {
    // One fsync is on its way at a time and takes 600 ms; what is asked for meanwhile goes with the next.
    let mut cluster = Cluster::new(1);
    cluster.slow_disks = vec![1];
    let mut in_flight = None;
    for step in 0..6_000u64 {
        cluster.run(Duration::from_millis(10));
        if step % 60 == 0 {
            if let Some(token) = in_flight.take() {
                let now = cluster.now;
                cluster.raft(1).persisted(now, token);
                cluster.drain(1);
            }
            in_flight = cluster.at(1).writes.drain(..).next_back().map(|(write, _)| write.token);
        }
        if cluster.raft(1).is_serving() {
            return;
        }
    }
    let term = cluster.raft(1).hard_state().term;
    panic!("no leader within a minute; the term is {term} by now");
}

#[test]
fn a_voter_that_lost_what_it_acknowledged_is_not_asked_for_it_without_a_pause() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.elect();
    cluster.propose(leader, 10);
    cluster.run(Duration::from_millis(300));
    let follower = (1..=3).find(|n| *n != leader).unwrap();
    cluster.crash(follower);
    // A disk that lied about fsync, or an old image of it.
    let disk = cluster.at(follower).disk.clone();
    let mut log = disk.log.clone();
    log.truncate(index(5));
    cluster.at(follower).disk = Restored { log, ..disk };
    cluster.restart(follower);
    cluster.run(Duration::from_millis(150));
}

#[test]
fn voters_whose_disks_are_slower_than_an_election_still_elect_in_the_end() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks = vec![1, 2, 3];
    let mut in_flight = [None; 4];
    for step in 0..12_000u64 {
        cluster.run(Duration::from_millis(10));
        for node in 1..=3u64 {
            if (step + node * 17).is_multiple_of(40) {
                if let Some(token) = in_flight[node as usize].take() {
                    let now = cluster.now;
                    cluster.raft(node).persisted(now, token);
                    cluster.drain(node);
                }
                in_flight[node as usize] =
                    cluster.at(node).writes.drain(..).next_back().map(|(write, _)| write.token);
            }
        }
        cluster.settle();
        if cluster.leader().is_some() {
            return;
        }
    }
    let term = cluster.raft(1).hard_state().term;
    panic!("no leader within two minutes; the term is {term} by now");
}

// Bugs of other libraries (see README.md in this folder), where no test of a rule shows them already.

fn leader_of_three() -> Cluster {
    let mut cluster = Cluster::new(3);
    assert_eq!(cluster.elect(), 1);
    cluster.run(Duration::from_millis(200));
    cluster
}

/// openraft `docs/protocol/io_ordering.md` and #1960: term, vote and log are one stream; a report stands for all before it.
#[test]
fn a_report_of_one_write_is_a_report_of_all_before_it_and_comes_again_without_harm() {
    let mut cluster = leader_of_three();
    cluster.slow_disks = vec![1];
    for _ in 0..5 {
        cluster.propose(1, 2);
    }
    let tokens: Vec<_> = cluster.at(1).writes.iter().map(|(write, _)| write.token).collect();
    assert!(tokens.is_sorted() && tokens.len() > 1);
    let (now, last) = (cluster.now, *tokens.last().unwrap());
    cluster.raft(1).persisted(now, tokens[2]);
    assert_eq!(cluster.raft(1).durable(), tokens[2].last);
    cluster.raft(1).persisted(now, tokens[0]);
    assert_eq!(cluster.raft(1).durable(), tokens[2].last, "an old report takes nothing back");
    cluster.raft(1).persisted(now, last);
    cluster.raft(1).persisted(now, last);
    assert_eq!(cluster.raft(1).durable(), last.last);
}

/// A report of a write that was never asked for is a broken host, not a durable log.
#[test]
fn a_report_of_a_write_that_was_never_asked_for_fences_the_group() {
    let (mut one, mut other) = (leader_of_three(), leader_of_three());
    for _ in 0..9 {
        one.propose(1, 1);
        one.settle();
    }
    one.slow_disks = vec![1];
    one.propose(1, 1);
    let token = one.at(1).writes[0].0.token;
    let now = other.now;
    other.raft(1).persisted(now, token);
    assert_eq!(other.raft(1).fault(), Some(raft_core::Law::HostContract));
}

/// hashicorp#605: the pre-vote of a leader that comes back is not refused for ever.
#[test]
fn a_leader_that_comes_back_can_be_elected_again() {
    let mut cluster = leader_of_three();
    cluster.crash(3);
    cluster.propose(1, 3);
    cluster.settle();
    cluster.crash(1);
    cluster.restart(1);
    cluster.isolate(2);
    cluster.run(Duration::from_millis(2_000));
    cluster.heal();
    cluster.elect();
    cluster.assert_converged();
}

/// KAFKA-10527: a leader that restarts never makes entries of the term in which it led before.
#[test]
fn a_leader_that_restarts_makes_entries_of_a_later_term_only() {
    let mut cluster = Cluster::new(1);
    cluster.elect();
    for _ in 0..5 {
        let before = cluster.propose(1, 1).term;
        cluster.crash(1);
        cluster.restart(1);
        assert!(cluster.raft(1).propose(1).is_err());
        cluster.elect();
        assert!(cluster.propose(1, 1).term > before);
    }
}

/// raft-rs#557, raft#149, openraft `fbbf37b1`: `next` never falls to or below `matched`, whatever comes late.
#[test]
fn late_refusals_and_answers_hurt_no_progress() {
    let mut cluster = leader_of_three();
    let mut late = vec![];
    for round in 0..30 {
        cluster.cut = if round % 3 == 0 { vec![(1, 2)] } else { vec![] };
        cluster.propose(1, 2);
        while let Some((from, to, message)) = cluster.wire.pop_front() {
            if to == 1 && from == 2 {
                late.push(message.clone());
            }
            cluster.deliver(from, to, message);
        }
        cluster.run(Duration::from_millis(20));
    }
    cluster.cut.clear();
    cluster.run(Duration::from_millis(300));
    for message in late.into_iter().rev() {
        cluster.deliver(2, 1, message); // The harness checks that matched < next.
        cluster.settle();
    }
    cluster.assert_converged();
    assert_eq!(cluster.leader(), Some(1));
}

/// async-raft `6d53aa12`: repair ends, however many entries it takes.
#[test]
fn repair_ends_however_much_is_missing_and_however_little_fits_into_a_message() {
    let options =
        raft_core::Options { max_append_bytes: 7, max_inflight_appends: 3, ..raft_core::Options::default() };
    let mut cluster = Cluster::with_options(3, 1, options);
    cluster.elect();
    cluster.isolate(3);
    cluster.propose(1, 1_000);
    cluster.run(Duration::from_millis(300));
    cluster.heal();
    cluster.assert_converged();
}

/// openraft `b06cbb37`: to adopt a term is not to give a vote in it.
#[test]
fn a_term_that_was_adopted_leaves_the_vote_free() {
    use raft_core::{Message, Vote};
    let mut cluster = leader_of_three();
    let now = cluster.now;
    let ask = |last| Message::Vote(Vote { term: cluster::term(9), last });
    cluster.raft(2).receive(now, cluster::replica(3), ask(cluster::id(0, 0)));
    assert_eq!(cluster.raft(2).hard_state(), raft_core::HardState { term: cluster::term(9), vote: None });
    cluster.raft(2).receive(now, cluster::replica(1), ask(cluster::id(99, 8)));
    assert_eq!(cluster.raft(2).hard_state().vote, Some(cluster::replica(1)));
}

/// raft-rs#462: what was asked of the host for a peer may come when the peer is gone.
#[test]
fn a_snapshot_for_a_peer_that_is_gone_is_refused_and_nothing_else_happens() {
    let mut cluster = leader_of_three();
    cluster.hosts_serve_snapshots = false;
    cluster.add_learner(9);
    cluster.isolate(9);
    cluster.propose(1, 5);
    cluster.run(Duration::from_millis(200));
    let last = cluster.committed(1).as_u64();
    cluster.compact(1, last);
    cluster.heal();
    cluster.run(Duration::from_millis(200));
    assert!(!cluster.at(1).needed.is_empty());
    cluster.raft(1).dismiss_learner(cluster::node(9));
    let membership = cluster.raft(1).membership().clone();
    let snapshot = raft_core::Snapshot { last: cluster::id(last, 1), membership };
    let refused = cluster.raft(1).offer_snapshot(cluster::node(9), snapshot);
    assert_eq!(refused, Err(raft_core::OfferError::NotWanted));
    cluster.assert_converged();
}

#[test]
fn a_proposal_of_nothing_changes_nothing() {
    let mut cluster = leader_of_three();
    cluster.slow_disks = vec![1];
    let last = cluster.raft(1).log().last_index();
    let _ = cluster.raft(1).propose(0);
    cluster.drain(1);
    assert!(cluster.at(1).writes.is_empty(), "there is nothing to write");
    assert_eq!(cluster.raft(1).log().last_index(), last);
}

#[test]
fn a_fenced_leader_serves_nobody() {
    let mut cluster = leader_of_three();
    assert!(cluster.raft(1).is_serving());
    cluster.raft(1).fence(raft_core::Law::LogIsReadable);
    assert!(!cluster.raft(1).is_serving());
    assert_eq!(cluster.raft(1).next_deadline(), None);
}

#[test]
fn what_would_wait_beyond_its_limit_is_refused() {
    use raft_core::{Options, ProposeError, ReadError, ReadId};
    let options = Options { max_uncommitted_entries: 5, max_pending_reads: 2, ..Options::default() };
    let mut cluster = Cluster::with_options(3, 1, options);
    cluster.elect();
    cluster.isolate(1);
    assert_eq!(cluster.raft(1).propose(6), Err(ProposeError::Full));
    cluster.propose(1, 4);
    assert_eq!(cluster.raft(1).propose(2), Err(ProposeError::Full));
    assert_eq!(cluster.raft(1).propose(u64::MAX), Err(ProposeError::Full));
    cluster.propose(1, 1);
    for at in [1, 2] {
        let now = cluster.now;
        cluster.raft(at).read(now, ReadId(1)).unwrap();
        cluster.raft(at).read(now, ReadId(2)).unwrap();
        assert_eq!(cluster.raft(at).read(now, ReadId(3)), Err(ReadError::Full));
    }
}

/// The same, one by one: what is refused below what is acknowledged is no answer to anything.
#[test]
fn a_refusal_of_what_was_not_asked_moves_nothing() {
    use raft_core::{AppendOutcome, AppendReply, Message};
    let mut cluster = leader_of_three();
    cluster.propose(1, 5);
    cluster.settle();
    cluster.cut = vec![(1, 2)];
    cluster.propose(1, 5); // On its way to 2: asked for after entry 6, and beyond.
    cluster.wire.clear();
    let now = cluster.now;
    for (prev, hint) in [(3, 1), (5, 4)] {
        let (prev, hint) = (cluster::id(prev, 1), cluster::id(hint, 1));
        let outcome = AppendOutcome::Conflict { prev, hint };
        let refusal = AppendReply { term: cluster::term(1), round: 1, outcome };
        cluster.raft(1).receive(now, cluster::replica(2), Message::AppendReply(refusal));
        cluster.drain(1);
        assert_eq!(cluster.raft(1).matched(cluster::node(2)), Some(index(6)), "{prev:?}");
        let to_2: Vec<_> = cluster.wire.iter().filter(|(_, to, _)| *to == 2).collect();
        assert!(to_2.is_empty(), "{prev:?}: {to_2:?}");
    }
}

/// Whether a group elects within five minutes, with messages that take `one_way` milliseconds.
fn elects(heartbeat: u64, election: u64, one_way: u64) -> bool {
    let (heartbeat_interval, election_timeout) = (ms(heartbeat), ms(election));
    let options = Options { heartbeat_interval, election_timeout, ..Options::default() };
    options.validate().unwrap();
    let mut c = Cluster::with_options(3, 1, options);
    let mut flying = VecDeque::new();
    for _ in 0..300_000 / 5 {
        c.tick_all(ms(5));
        while flying.front().is_some_and(|(at, _)| *at <= c.now) {
            let Some((_, (from, to, message))) = flying.pop_front() else { break };
            c.deliver(from, to, message);
        }
        let at = c.now.after(ms(one_way));
        flying.extend(c.wire.drain(..).map(|message| (at, message)));
        if c.leader().is_some_and(|leader| c.raft(leader).is_serving()) {
            return true;
        }
    }
    false
}

/// Answers count for the latest attempt only, so attempts at a fixed, short interval never outlast a long way.
#[test]
fn a_way_much_longer_than_the_heartbeat_interval_still_elects() {
    assert!(elects(100, 500, 20));
    assert!(elects(10, 500, 20));
    assert!(elects(900, 3_000, 160));
    assert!(elects(100, 3_000, 160));
}

/// One append has overtaken another, and its refusal comes after the acknowledgement of both.
#[test]
fn an_overtaken_refusal_takes_no_acknowledgement_back() {
    let mut c = Cluster::new(3);
    assert_eq!(c.elect(), 1);
    c.run(ms(200));
    let first = c.raft(1).matched(node(3)).unwrap();
    c.propose(1, 5);
    c.propose(1, 5);
    let mut appends: Vec<_> = c.wire.iter().filter(|(_, to, _)| *to == 3).cloned().collect();
    c.wire.retain(|(_, to, _)| *to != 3);
    let (later, earlier) = (appends.pop().unwrap(), appends.pop().unwrap());
    c.cut = vec![(1, 3)]; // All other messages are lost.
    c.settle();
    c.heal();
    c.deliver(later.0, later.1, later.2);
    let refusal = c.wire.pop_back().unwrap();
    let is_refusal = |m: &Message| matches!(m, Message::AppendReply(r) if matches!(r.outcome, AppendOutcome::Conflict { .. }));
    assert!(is_refusal(&refusal.2));
    c.deliver(earlier.0, earlier.1, earlier.2);
    c.settle();
    assert_eq!(c.raft(1).matched(node(3)), Some(first.plus(5)));
    c.deliver(refusal.0, refusal.1, refusal.2);
    assert_eq!(c.raft(1).matched(node(3)), Some(first.plus(5)));
    c.run(ms(300));
    assert_eq!(c.raft(1).matched(node(3)), Some(first.plus(10)));
}

/// News of the commit index went out for every commit, answered or not.
#[test]
fn a_peer_with_a_full_window_hears_of_commits_with_the_heartbeat() {
    let options = Options { max_inflight_appends: 1, ..Options::default() };
    let mut c = Cluster::with_options(3, 1, options);
    assert_eq!(c.elect(), 1);
    c.run(ms(200));
    c.isolate(3);
    c.propose(1, 1);
    c.settle();
    let mut sent = 0;
    for _ in 0..500 {
        c.propose(1, 1);
        while let Some((from, to, message)) = c.wire.pop_front() {
            sent += u32::from(to == 3);
            c.deliver(from, to, message);
        }
    }
    assert_eq!(sent, 0, "no heartbeat was due");
}

#[test]
fn a_host_that_takes_no_entry_is_not_asked_without_end() {
    let mut c = Cluster::new(3);
    c.elect();
    c.run(ms(200));
    c.raft(1).propose(1).unwrap();
    let mut built = 0;
    while c.raft(1).poll_append(node(2), |range, _| Some((range.before().index, 0))).is_some() {
        built += 1;
        assert!(built < 3);
    }
}

#[test]
fn a_fenced_leader_says_that_it_leads_no_more() {
    let mut c = Cluster::new(3);
    c.elect();
    c.raft(1).fence(Law::LogIsReadable);
    let state = c.raft(1).soft_state();
    assert_eq!((state.role, state.leader), (RoleKind::Follower, None));
    let effects: Vec<_> = std::iter::from_fn(|| c.raft(1).poll_effect()).collect();
    let law = Law::LogIsReadable;
    assert_eq!(effects, [Effect::RoleChanged(state), Effect::Fault { law }]);
}
