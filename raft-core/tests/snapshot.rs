//! Snapshots and compaction (Raft §7, thesis chapter 5): needed, offered, installed, and what of the log may go.

mod cluster;

use cluster::{Cluster, adds, id, index, log_of, ms, node, replica, term, voters};
use raft_core::{
    AppendOutcome, AppendReply, AppendRequest, Content, HardState, Law, LogChange, LogId, LogIndex,
    Membership, Message, OfferError, Options, Raft, Restored, Snapshot, SnapshotOffer, TermRuns, Time,
};

/// 1 leads, 3 has been away since the start, and the others' logs start after what they hold now.
fn compacted() -> Cluster {
    let mut c = Cluster::new(3);
    c.elect();
    c.run(ms(200));
    c.isolate(3);
    c.propose(1, 20);
    c.run(ms(200));
    let to = c.committed(1).as_u64();
    c.compact(1, to);
    c.compact(2, to);
    c
}

/// The same, node 3 back, and the leader's host asked for a snapshot that it has not offered yet.
fn asked() -> Cluster {
    let mut c = compacted();
    c.hosts_serve_snapshots = false;
    c.heal();
    c.run(ms(300));
    c
}

/// The same, and offered just now: the one that ends where the leader's log starts.
fn offered() -> (Cluster, LogId) {
    let mut c = asked();
    let start = c.raft(1).log().before();
    c.raft(1).offer_snapshot(node(3), snapshot(start.index.as_u64(), start.term.as_u64())).unwrap();
    (c, start)
}

fn snapshot(last: u64, of_term: u64) -> Snapshot {
    Snapshot { last: id(last, of_term), membership: voters([1, 2, 3]).into() }
}

fn append(of_term: u64, prev: (u64, u64), terms: &[u64], commit: u64) -> Message {
    let mut entries = TermRuns::empty(id(prev.0, prev.1));
    for t in terms {
        entries.append(term(*t), 1);
    }
    let (memberships, commit) = (vec![], index(commit));
    Message::Append(AppendRequest { term: term(of_term), entries, memberships, commit, round: 1 })
}

fn offer(of_term: u64, snapshot: Snapshot) -> Message {
    Message::Snapshot(SnapshotOffer { term: term(of_term), snapshot, round: 1 })
}

/// A follower on node 3 with this log, `committed` of which is known to be committed.
fn follower(terms: &[u64], committed: u64) -> Raft {
    let hard_state = HardState { term: term(*terms.last().unwrap_or(&0)), vote: None };
    let (log, committed) = (log_of(terms), index(committed));
    let restored = Restored { hard_state, log, committed, ..Restored::default() };
    Raft::new(replica(3), voters([1, 2, 3]), Options::default(), restored, 1, Time::ZERO)
}

/// Everything a core decided, with its writes done.
fn persist(raft: &mut Raft) -> Vec<raft_core::Effect> {
    let mut all = vec![];
    while let Some(effect) = raft.poll_effect() {
        if let raft_core::Effect::Persist(write) = &effect {
            raft.persisted(Time::ZERO, write.token);
        }
        all.push(effect);
    }
    raft.check_invariants().unwrap();
    all
}

fn replies(effects: &[raft_core::Effect]) -> Vec<AppendOutcome> {
    let reply = |effect: &raft_core::Effect| match effect {
        raft_core::Effect::Send { message: Message::AppendReply(reply), .. } => Some(reply.outcome),
        _ => None,
    };
    effects.iter().filter_map(reply).collect()
}

#[test]
fn a_follower_behind_the_start_of_the_log_gets_a_snapshot_and_then_entries() {
    let mut c = compacted();
    c.heal();
    c.propose(1, 5);
    c.assert_converged();
    assert!(c.raft(3).log().before().index >= index(20), "its log starts after the snapshot");
}

#[test]
fn a_learner_with_an_empty_disk_gets_the_membership_from_the_snapshot_and_becomes_a_voter() {
    let mut c = compacted();
    c.heal();
    c.run(ms(500));
    c.add_blank(4);
    c.change(1, adds(4)).unwrap();
    c.propose(1, 100);
    c.run(ms(1_000));
    let to = c.committed(1).as_u64();
    for node in [1, 2, 3] {
        c.compact(node, to);
    }
    c.run_until("4 votes", |c| c.voters_at(4) == [1, 2, 3, 4] && !c.raft(4).membership().is_joint());
    c.assert_converged();
}

#[test]
fn the_host_is_asked_again_with_each_heartbeat_until_it_offers() {
    let mut c = compacted();
    c.hosts_serve_snapshots = false;
    c.heal();
    c.run(ms(1_000));
    let needed = c.at(1).needed.clone();
    assert!(needed.len() > 5, "{needed:?}");
    let (peer, at_least) = needed[0];
    assert_eq!((peer, at_least), (node(3), c.raft(1).log().before().index));
}

#[test]
fn an_offer_is_repeated_until_the_follower_holds_it() {
    let (mut c, start) = offered();
    c.drain(1);
    c.wire.clear();
    c.run(ms(500));
    assert_eq!(c.at(3).installing.as_ref().map(|s| s.last), Some(start), "a lost offer comes again");
    assert!(c.install(3));
    c.assert_converged();
}

#[test]
fn an_offer_that_is_too_old_or_not_committed_or_not_wanted_is_refused() {
    let mut c = compacted();
    c.hosts_serve_snapshots = false;
    let start = c.raft(1).log().before();
    let (i, t) = (start.index.as_u64(), start.term.as_u64());
    assert_eq!(c.raft(1).offer_snapshot(node(2), snapshot(i, t)), Err(OfferError::NotWanted));
    assert_eq!(c.raft(1).offer_snapshot(node(8), snapshot(i, t)), Err(OfferError::NotWanted));
    assert_eq!(c.raft(2).offer_snapshot(node(3), snapshot(i, t)), Err(OfferError::NotLeader));
    c.heal();
    c.run(ms(300));
    let refused = Err(OfferError::TooOld { at_least: start.index });
    assert_eq!(c.raft(1).offer_snapshot(node(3), snapshot(i - 1, t)), refused);
    assert_eq!(c.raft(1).offer_snapshot(node(3), snapshot(i + 9, t)), Err(OfferError::NotCommitted));
    c.isolate(1);
    c.propose(1, 3);
    assert_eq!(c.raft(1).offer_snapshot(node(3), snapshot(i + 2, t)), Err(OfferError::NotCommitted));
    assert_eq!(c.raft(1).offer_snapshot(node(3), snapshot(i, t)), Ok(()));
}

#[test]
fn an_offer_that_the_log_has_moved_beyond_is_replaced() {
    let (mut c, _) = offered();
    c.isolate(3);
    c.propose(1, 50);
    c.run(ms(200));
    let to = c.committed(1);
    c.compact(1, to.as_u64());
    c.at(1).needed.clear();
    c.run(ms(200));
    assert_eq!(c.at(1).needed.first(), Some(&(node(3), to)));
}

/// raft#110, etcd#10308: whatever shows that the follower can go on ends the wait for a snapshot.
#[test]
fn a_follower_that_got_its_entries_from_another_source_leaves_the_snapshot_state() {
    let mut c = asked();
    assert!(!c.at(1).needed.is_empty());
    let matched = c.raft(1).log().before().index;
    let reply = AppendReply { term: term(1), round: 1, outcome: AppendOutcome::Matched { matched } };
    let now = c.now;
    c.raft(1).receive(now, replica(3), Message::AppendReply(reply));
    assert_eq!(c.raft(1).matched(node(3)), Some(matched));
    c.at(1).needed.clear();
    c.propose(1, 1);
    let is_append = |m: &Message| matches!(m, Message::Append(append) if !append.entries.is_empty());
    assert!(c.wire.iter().any(|(_, to, m)| *to == 3 && is_append(m)));
}

#[test]
fn a_failed_installation_is_asked_for_again() {
    let (mut c, _) = offered();
    c.run(ms(100));
    let first = c.at(3).installing.take().unwrap();
    c.run(ms(500));
    assert_eq!(c.at(3).installing, None, "one at a time");
    c.raft(3).snapshot_failed(first.last);
    c.run(ms(200));
    assert_eq!(c.at(3).installing, Some(first));
}

#[test]
fn an_installation_that_was_not_asked_for_changes_nothing() {
    let mut raft = follower(&[1, 1], 0);
    raft.snapshot_installed(id(9, 1));
    raft.snapshot_failed(id(9, 1));
    assert_eq!(raft.log(), &log_of(&[1, 1]));
    assert_eq!(raft.commit(), LogIndex::ZERO);
    assert_eq!(persist(&mut raft), []);
}

#[test]
fn an_installed_snapshot_takes_the_place_of_a_log_that_differs_and_of_its_memberships() {
    let mut raft = follower(&[1, 1, 1, 1, 1], 1);
    let joint = Membership::new(voters([1, 2]), Some(voters([1, 2, 3])), vec![]).unwrap();
    let mut with_joint = append(1, (5, 1), &[1], 0);
    if let Message::Append(m) = &mut with_joint {
        m.memberships = vec![(index(6), joint)];
    }
    raft.receive(Time::ZERO, replica(1), with_joint);
    assert!(raft.membership().is_joint());
    raft.receive(Time::ZERO, replica(2), offer(3, snapshot(4, 3)));
    persist(&mut raft);
    raft.snapshot_installed(id(4, 3));
    let effects = persist(&mut raft);
    assert_eq!(raft.log(), &TermRuns::empty(id(4, 3)));
    assert_eq!((raft.commit(), raft.durable()), (index(4), index(4)));
    assert!(!raft.membership().is_joint(), "the membership of the snapshot is in force");
    assert_eq!(raft.membership_index(), index(4));
    let restarts = |e: &raft_core::Effect| matches!(e, raft_core::Effect::Persist(p) if p.log == LogChange::Restart { after: id(4, 3) });
    assert_eq!(effects.iter().filter(|e| restarts(e)).count(), 1);
    assert_eq!(replies(&effects), [AppendOutcome::Matched { matched: index(4) }]);
}

#[test]
fn what_a_snapshot_covers_is_acknowledged_only_once_the_restart_of_the_log_is_durable() {
    let mut raft = follower(&[1], 0);
    raft.receive(Time::ZERO, replica(1), offer(1, snapshot(9, 1)));
    persist(&mut raft);
    raft.snapshot_installed(id(9, 1));
    let mut held = vec![];
    while let Some(effect) = raft.poll_effect() {
        held.push(effect);
    }
    assert_eq!(replies(&held), []);
    let token = held.iter().find_map(|e| match e {
        raft_core::Effect::Persist(write) => Some(write.token),
        _ => None,
    });
    raft.persisted(Time::ZERO, token.unwrap());
    assert_eq!(replies(&persist(&mut raft)), [AppendOutcome::Matched { matched: index(9) }]);
}

/// The ABA of a log that was replaced: late reports speak of another log.
#[test]
fn reports_of_writes_from_before_the_restart_count_for_nothing() {
    let mut raft = follower(&[], 0);
    raft.receive(Time::ZERO, replica(1), append(1, (0, 0), &[1; 30], 0));
    let mut tokens = vec![];
    while let Some(effect) = raft.poll_effect() {
        if let raft_core::Effect::Persist(write) = effect {
            tokens.push(write.token);
        }
    }
    raft.receive(Time::ZERO, replica(2), offer(2, snapshot(20, 2)));
    raft.snapshot_installed(id(20, 2));
    for token in tokens {
        raft.persisted(Time::ZERO, token);
    }
    assert!(raft.durable() < index(20), "thirty entries are on disk, none of this log");
    persist(&mut raft);
    assert_eq!(raft.durable(), index(20));
}

#[test]
fn a_snapshot_of_what_is_held_already_is_answered_and_not_installed() {
    let mut raft = follower(&[1, 1, 1, 1], 1);
    raft.receive(Time::ZERO, replica(1), offer(1, snapshot(3, 1)));
    let effects = persist(&mut raft);
    let installs = |e: &raft_core::Effect| matches!(e, raft_core::Effect::InstallSnapshot { .. });
    assert!(!effects.iter().any(installs));
    assert_eq!(replies(&effects), [AppendOutcome::Matched { matched: index(3) }]);
    assert_eq!(raft.commit(), index(3), "what a snapshot ends with is committed");
    assert_eq!(raft.log().last_index(), index(4), "and what follows it stays");
}

#[test]
fn a_snapshot_older_than_the_commit_index_changes_nothing_when_it_is_installed_at_last() {
    let mut raft = follower(&[1], 0);
    raft.receive(Time::ZERO, replica(1), offer(1, snapshot(3, 1)));
    persist(&mut raft);
    raft.snapshot_failed(id(3, 1));
    raft.receive(Time::ZERO, replica(1), append(1, (1, 1), &[1; 5], 5));
    persist(&mut raft);
    raft.snapshot_installed(id(3, 1));
    assert_eq!(raft.commit(), index(5));
    assert_eq!(raft.log().last_index(), index(6));
}

/// [`raft_core::Effect::InstallSnapshot`]: until it is done the host's state is about to be replaced.
#[test]
fn no_entry_is_accepted_while_a_snapshot_is_being_installed() {
    let mut raft = follower(&[1, 1], 2);
    raft.compacted(index(1));
    raft.receive(Time::ZERO, replica(1), offer(1, snapshot(9, 1)));
    persist(&mut raft);
    // The log of another leader may start before ours.
    for (of_term, from, prev) in [(1, 1, (2, 1)), (2, 2, (0, 0)), (2, 2, (1, 1))] {
        let held = raft.log().last_index();
        raft.receive(Time::ZERO, replica(from), append(of_term, prev, &[1; 6], 2));
        persist(&mut raft);
        assert_eq!(raft.log().last_index(), held, "an append after {prev:?} was accepted");
    }
}

/// The leader that offered is gone, and the next one has the whole log: it must neither flood nor starve a follower
/// that is still busy with the snapshot.
#[test]
fn a_follower_busy_with_a_snapshot_is_not_asked_for_its_log_without_a_pause() {
    let mut c = Cluster::new(5);
    c.hosts_serve_snapshots = false;
    c.elect();
    c.run(ms(200));
    c.isolate(3);
    c.propose(1, 200);
    c.run(ms(200));
    let start = c.committed(1).as_u64();
    c.compact(1, start);
    c.heal();
    c.run(ms(200));
    c.raft(1)
        .offer_snapshot(node(3), Snapshot { last: id(start, 1), membership: voters(1..=5).into() })
        .unwrap();
    c.settle();
    assert!(c.at(3).installing.is_some());
    c.crash(1); // Node 2 and the others have the log from its first entry on.
    let mut messages = 0;
    for _ in 0..100 {
        c.tick_all(ms(10));
        while let Some((from, to, message)) = c.wire.pop_front() {
            messages += usize::from(from == 3 || to == 3);
            assert!(messages < 200, "the new leader and the follower talk without end");
            c.deliver(from, to, message);
        }
    }
    assert!(c.leader().is_some_and(|leader| leader != 1));
    c.install(3);
    c.assert_converged();
}

#[test]
fn a_new_leaders_snapshot_replaces_one_that_never_comes() {
    let (mut c, _) = offered();
    c.settle();
    let last = c.at(3).installing.take().unwrap().last;
    c.crash(1);
    c.raft(3).snapshot_failed(last); // Its source is gone.
    c.hosts_serve_snapshots = true;
    c.elect();
    c.assert_converged();
}

#[test]
fn a_crash_between_the_installation_and_its_write_starts_it_again() {
    let mut c = compacted();
    c.slow_disks = vec![3];
    c.heal();
    c.run(ms(300));
    while c.at(3).writes.iter().all(|(write, _)| write.log == LogChange::Unchanged) {
        c.finish_writes(3);
        c.run(ms(100));
    }
    let restarts = |write: &raft_core::Persist| matches!(write.log, LogChange::Restart { .. });
    assert!(c.at(3).writes.iter().any(|(write, _)| restarts(write)));
    c.crash(3);
    c.restart(3);
    c.slow_disks.clear();
    c.assert_converged();
}

#[test]
fn compaction_waits_for_a_follower_that_is_being_fed_and_not_for_ever_for_one_that_is_gone() {
    let mut c = Cluster::new(3);
    let leader = c.elect();
    c.run(ms(200));
    let held = c.raft(leader).matched(node(3)).unwrap();
    c.isolate(3);
    c.propose(leader, 10);
    c.run(ms(1_000));
    let now = c.now;
    assert_eq!(c.raft(leader).compaction_limit(now), held, "it may come back any moment");
    c.run(ms(5_000));
    let now = c.now;
    assert_eq!(c.raft(leader).compaction_limit(now), c.committed(leader), "its entries may go now");
}

/// tikv#424: what follows a snapshot must still be there when it is installed.
#[test]
fn compaction_waits_for_a_snapshot_on_its_way() {
    let mut c = asked();
    let now = c.now;
    let start = c.raft(1).log().before();
    assert_eq!(c.raft(1).compaction_limit(now), start.index, "none is offered yet");
    c.propose(1, 30);
    c.run(ms(300));
    c.raft(1).offer_snapshot(node(3), snapshot(start.index.as_u64() + 4, 1)).unwrap();
    let now = c.now;
    assert_eq!(c.raft(1).compaction_limit(now), index(start.index.as_u64() + 4));
}

#[test]
fn compaction_beyond_what_is_committed_fences_the_group_and_before_the_start_changes_nothing() {
    let mut raft = follower(&[1, 1, 1], 2);
    raft.compacted(index(1));
    raft.compacted(index(0));
    assert_eq!(raft.log().before(), id(1, 1));
    raft.compacted(index(3));
    assert_eq!(raft.fault(), Some(Law::HostContract));
    assert_eq!(raft.log().before(), id(1, 1));
}

#[test]
fn compaction_keeps_the_membership_in_force_and_forgets_only_older_ones() {
    let mut c = Cluster::new(3);
    c.elect();
    c.add_blank(4);
    c.change(1, adds(4)).unwrap();
    c.run_until("4 votes", |c| c.voters_at(1) == [1, 2, 3, 4] && !c.raft(1).membership().is_joint());
    c.propose(1, 3);
    c.run(ms(300));
    let (before, to) = (c.raft(1).membership().clone(), c.committed(1).as_u64());
    for node in c.nodes() {
        c.compact(node, to);
        assert_eq!(c.raft(node).membership(), &before);
        assert_eq!(c.raft(node).membership_at(index(to)), Some(&before));
        assert_eq!(c.raft(node).membership_at(index(to - 1)), None);
    }
    for node in c.nodes() {
        c.crash(node);
        c.restart(node);
        assert_eq!(c.raft(node).membership(), &before, "also after a restart");
    }
    c.elect();
    c.assert_converged();
}

#[test]
fn an_append_that_begins_before_the_start_of_our_log_is_taken_from_there_on() {
    let mut raft = follower(&[1, 1, 1, 1], 3);
    raft.compacted(index(3));
    raft.receive(Time::ZERO, replica(1), append(1, (1, 1), &[1; 5], 4));
    let effects = persist(&mut raft);
    assert_eq!(raft.log().last_index(), index(6));
    assert_eq!(raft.commit(), index(4));
    let appended = effects.iter().find_map(|e| match e {
        raft_core::Effect::Persist(write) => Some(write.log.clone()),
        _ => None,
    });
    let mut entries = TermRuns::empty(id(4, 1));
    entries.append(term(1), 2);
    assert_eq!(appended, Some(LogChange::Append { cut: None, entries, content: Content::Payloads }));
}

/// openraft#1500: a heartbeat whose `prev` was compacted away on the follower is no conflict.
#[test]
fn a_heartbeat_before_the_start_of_our_log_is_no_conflict() {
    let mut raft = follower(&[1, 1, 1, 1], 4);
    raft.compacted(index(4));
    raft.receive(Time::ZERO, replica(1), append(1, (2, 1), &[], 2));
    assert_eq!(replies(&persist(&mut raft)), [AppendOutcome::Matched { matched: index(4) }]);
}

#[test]
fn an_append_that_disagrees_with_the_start_of_our_log_fences_the_group() {
    let mut raft = follower(&[1, 1, 1, 1], 4);
    raft.compacted(index(4));
    raft.receive(Time::ZERO, replica(1), append(3, (2, 1), &[2; 5], 2));
    assert_eq!(raft.fault(), Some(Law::CommittedIsForEver));
}

/// openraft#1828: a leader of whose log nothing is left can still feed others.
#[test]
fn a_leader_with_an_empty_log_feeds_a_blank_replica() {
    let mut c = Cluster::new(3);
    c.elect();
    c.propose(1, 10);
    c.run(ms(300));
    let to = c.committed(1).as_u64();
    for node in [1, 2, 3] {
        c.compact(node, to);
    }
    assert!(c.raft(1).log().is_empty());
    c.add_learner(9);
    c.run(ms(500));
    assert_eq!(c.committed(9), index(to));
}

/// openraft#1808: a membership that lies beyond the snapshot is not undone by it.
#[test]
fn a_snapshot_of_the_past_does_not_bring_back_a_past_membership() {
    let mut raft = follower(&[1, 1], 0);
    let newer: Membership = voters([1, 3]).into();
    let mut m = append(1, (2, 1), &[1, 1], 0);
    if let Message::Append(m) = &mut m {
        m.memberships = vec![(index(4), newer.clone())];
    }
    raft.receive(Time::ZERO, replica(1), m);
    raft.receive(Time::ZERO, replica(1), offer(1, snapshot(3, 1)));
    persist(&mut raft);
    raft.snapshot_installed(id(3, 1));
    assert_eq!(raft.membership(), &newer);
    assert_eq!(raft.commit(), index(3));
}

#[test]
fn a_snapshot_of_an_older_term_is_answered_with_the_newer_one() {
    let mut raft = follower(&[5], 1);
    raft.receive(Time::ZERO, replica(1), offer(4, snapshot(9, 4)));
    let effects = persist(&mut raft);
    let is_refusal = |e: &raft_core::Effect| matches!(e, raft_core::Effect::Send { message: Message::AppendReply(m), .. } if m.term == term(5));
    assert_eq!(effects.len(), 1);
    assert!(is_refusal(&effects[0]));
}

#[test]
fn a_snapshot_that_claims_a_later_term_than_its_leaders_is_dropped() {
    let mut raft = follower(&[1], 1);
    raft.receive(Time::ZERO, replica(1), offer(4, snapshot(9, 5)));
    assert_eq!(persist(&mut raft), []);
    assert_eq!(raft.hard_state().term, term(1));
}

#[test]
fn a_lost_connection_forgets_no_offer() {
    let (mut c, start) = offered();
    c.drain(1);
    c.wire.clear();
    c.at(1).needed.clear();
    let now = c.now;
    c.raft(1).peer_unreachable(now, node(3));
    c.run(ms(300));
    assert_eq!(c.at(1).needed, [], "the host is not asked for another");
    assert_eq!(c.at(3).installing.as_ref().map(|s| s.last), Some(start));
}

/// A follower would elect with the voters of what it installs.
#[test]
fn an_offer_with_a_membership_that_was_not_in_force_is_refused() {
    let mut c = asked();
    let last = c.raft(1).log().before();
    let wrong = Snapshot { last, membership: voters([3]).into() };
    assert_eq!(c.raft(1).offer_snapshot(node(3), wrong), Err(OfferError::WrongMembership));
}

#[test]
fn compaction_waits_for_who_has_merely_slept() {
    let mut c = Cluster::watched(3);
    assert_eq!(c.elect(), 1);
    c.run_until("all sleep", |c| c.nodes().into_iter().all(|n| c.raft(n).is_asleep()));
    c.now = c.now.after(ms(60_000));
    let held = c.raft(1).matched(node(3)).unwrap();
    c.isolate(3);
    c.propose(1, 10);
    c.settle();
    assert!(c.committed(1) > held, "2 has answered");
    for _ in 0..2 {
        let now = c.now;
        assert_eq!(c.raft(1).compaction_limit(now), held);
        c.tick_all(ms(0));
    }
}
