//! Changing who votes (Raft §6, thesis chapter 4): joint, one at a time, rolled back when cut, finished by whoever leads.

mod cluster;

use cluster::{Cluster, adds, id, incarnation, index, ms, node, replaces, replica, term, voters};
use raft_core::{
    AppendRequest, ChangeError, Configuration, ConfigurationError, HardState, Learner, MAX_LEARNERS,
    Membership, MembershipChange, Message, Options, PreVote, Raft, Restored, RoleKind, TermRuns, Time, Vote,
};

fn led(voters: u64) -> Cluster {
    let mut c = Cluster::new(voters);
    assert_eq!(c.elect(), 1);
    c.run(ms(200));
    c
}

/// Until a change of voters is over, for whoever leads then.
fn run_until_voters(c: &mut Cluster, expected: &[u64]) {
    let is_so = |c: &mut Cluster| {
        let Some(leader) = c.leader() else { return false };
        let raft = c.raft(leader);
        let is_over = !raft.membership().is_joint() && raft.membership_index() <= raft.commit();
        is_over && c.voters_at(leader) == expected
    };
    c.run_until("the voters are as asked", is_so);
}

fn to(nodes: impl IntoIterator<Item = u64>) -> MembershipChange {
    MembershipChange::Voters(voters(nodes))
}

fn learner(node: u64, replaces: Option<u64>) -> Learner {
    Learner { replica: replica(node), replaces: replaces.map(replica) }
}

#[test]
fn a_learner_that_has_caught_up_becomes_a_voter_by_itself() {
    let mut c = led(3);
    c.propose(1, 1_000);
    c.settle();
    c.add_blank(4);
    c.change(1, adds(4)).unwrap();
    run_until_voters(&mut c, &[1, 2, 3, 4]);
    c.assert_converged();
    assert_eq!(c.voters_at(4), [1, 2, 3, 4]);
}

#[test]
fn a_learner_that_lags_is_not_promoted() {
    let mut c = led(3);
    c.add_blank(4);
    c.cut = vec![(4, 1)]; // It is fed, and nobody hears that it is.
    c.change(1, adds(4)).unwrap();
    c.run(ms(2_000));
    assert_eq!(c.voters_at(1), [1, 2, 3]);
    assert_eq!(c.raft(1).membership().learners(), [learner(4, None)]);
    assert!(c.raft(1).propose(1).is_ok(), "and hinders nobody");
}

#[test]
fn a_promotable_learner_counts_in_no_quorum_and_does_not_campaign() {
    let mut c = led(2);
    c.add_blank(4);
    c.isolate(2); // The entry that adds 4 is not committed, so 4 is not promoted.
    c.change(1, adds(4)).unwrap();
    c.run(ms(100));
    let before = c.committed(1);
    c.propose(1, 1);
    c.settle();
    assert_eq!(c.raft(4).log().last_index(), before, "it gets what is committed, and no more");
    assert_eq!(c.committed(1), before, "1 and 4 are no quorum of 1 and 2");
    assert_eq!(c.raft(4).next_deadline(), None);
}

#[test]
fn a_learner_can_replace_a_voter() {
    let mut c = led(3);
    c.add_blank(4);
    c.crash(3);
    c.change(1, replaces(4, 3)).unwrap();
    run_until_voters(&mut c, &[1, 2, 4]);
    c.assert_converged();
}

/// Thesis §3.8, openraft#898: a wiped disk is another replica, which takes the place of the old one.
#[test]
fn a_node_with_an_empty_disk_replaces_itself() {
    let mut c = led(3);
    c.propose(1, 10);
    c.settle();
    c.crash(3);
    c.propose(1, 3);
    c.settle();
    let new = c.restart_with_empty_disk(3);
    c.run(ms(2_000));
    assert_eq!(c.raft(3).log().last_index(), index(0), "nobody takes it for the voter it was");
    let change = MembershipChange::AddLearner(Learner { replica: new, replaces: Some(replica(3)) });
    c.change(1, change).unwrap();
    c.run_until("the new disk votes", |c| {
        c.raft(1).membership().is_voter(new) && !c.raft(1).membership().is_joint()
    });
    assert!(!c.raft(1).membership().is_voter(replica(3)));
    c.assert_converged();
}

#[test]
fn a_wiped_disk_without_a_word_must_not_be_added_beside_the_voter_it_was() {
    let mut c = led(3);
    let other = Learner { replica: incarnation(3, 1), replaces: None };
    let refused = c.change(1, MembershipChange::AddLearner(other));
    assert!(matches!(refused, Err(ChangeError::Invalid(_))), "{refused:?}");
    let other = Learner { replica: incarnation(3, 1), replaces: Some(replica(2)) };
    let refused = c.change(1, MembershipChange::AddLearner(other));
    assert!(matches!(refused, Err(ChangeError::Invalid(_))), "{refused:?}");
}

#[test]
fn a_learner_that_replaces_nobody_who_votes_is_refused() {
    let mut c = led(3);
    let refused = c.change(1, replaces(4, 9));
    assert!(matches!(refused, Err(ChangeError::Invalid(_))), "it would add a voter in silence: {refused:?}");
}

/// Thesis §4.1: a membership is in force as soon as it is appended, on leader and followers alike.
#[test]
fn a_membership_is_in_force_as_soon_as_it_is_appended() {
    let mut c = led(3);
    c.slow_disks = vec![1, 2, 3];
    let proposed = c.change(1, to([1, 2])).unwrap();
    assert!(c.raft(1).membership().is_joint());
    assert_eq!(c.at(1).active, proposed.first);
    c.settle();
    assert!(c.raft(2).membership().is_joint() && c.raft(3).membership().is_joint());
    assert!(c.committed(1) < proposed.first);
    assert_eq!(c.at(1).settled, index(0));
    c.slow_disks.clear();
    for node in [1, 2, 3] {
        c.finish_writes(node);
    }
    run_until_voters(&mut c, &[1, 2]);
    assert_eq!(c.replicas[&1].settled, c.replicas[&1].raft.membership_index());
}

/// Raft §6: while joint, a majority of each is needed.
#[test]
fn while_joint_neither_majority_alone_commits() {
    let cases = [(vec![2, 3], false), (vec![3, 4, 5], false), (vec![3, 5], true), (vec![4, 5], true)];
    for (missing, is_enough) in cases {
        let mut c = led(5);
        for node in &missing {
            c.isolate(*node);
        }
        let proposed = c.change(1, to([1, 2, 3])).unwrap();
        c.settle();
        assert_eq!(c.committed(1) >= proposed.last, is_enough, "without {missing:?}");
    }
}

#[test]
fn one_change_at_a_time() {
    let mut c = led(3);
    c.isolate(1);
    let proposed = c.change(1, to([1, 2])).unwrap();
    let refused = Err(ChangeError::InProgress { index: proposed.first });
    assert_eq!(c.change(1, to([1, 3])), refused);
    assert_eq!(c.change(1, adds(4)), refused);
    c.heal();
    c.settle();
    run_until_voters(&mut c, &[1, 2]);
    c.isolate(1);
    let proposed = c.change(1, adds(4)).unwrap();
    let refused = Err(ChangeError::InProgress { index: proposed.first });
    assert_eq!(c.change(1, adds(5)), refused, "a learner is a change too");
}

/// The bug of single-server changes (raft-dev, 2015), braft#182: none before an entry of the own term is committed.
#[test]
fn no_change_before_an_entry_of_the_own_term_is_committed() {
    let mut c = Cluster::just_led();
    assert_eq!(c.change(1, to([1, 2])), Err(ChangeError::NotServing));
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_appended() {
    let mut c = led(3);
    let last = c.raft(1).log().last_id();
    assert_eq!(c.change(1, to([3, 1, 2])), Err(ChangeError::NoChange));
    let invalid = |why| Err(ChangeError::Invalid(why));
    let nobody = MembershipChange::Voters(Configuration::none());
    assert_eq!(c.change(1, nobody), invalid(ConfigurationError::Empty));
    let gone = MembershipChange::RemoveLearner(replica(8));
    assert_eq!(c.change(1, gone), invalid(ConfigurationError::NoSuchLearner(node(8))));
    assert_eq!(c.change(1, adds(2)), invalid(ConfigurationError::LearnerVotes(node(2))));
    assert_eq!(c.change(1, to([1, 2, 3, 4])), Err(ChangeError::NotCaughtUp { node: node(4) }));
    let leader = Some(node(1));
    assert_eq!(c.change(2, to([1, 2])), Err(ChangeError::NotLeader { leader }));
    assert_eq!(c.raft(1).log().last_id(), last);
    assert_eq!(
        Configuration::new([replica(1), incarnation(1, 1)]),
        Err(ConfigurationError::Repeated(node(1)))
    );
    assert_eq!(Configuration::new((1..=8).map(replica)), Err(ConfigurationError::TooLarge(8)));
    let many = (10..=10 + MAX_LEARNERS as u64).map(|n| learner(n, None)).collect();
    let refused = Err(ConfigurationError::TooManyLearners(MAX_LEARNERS + 1));
    assert_eq!(Membership::new(voters([1]), None, many), refused);
}

#[test]
fn a_group_takes_no_more_learners_than_it_has_room_for_once_they_vote() {
    let mut c = Cluster::new(6);
    c.elect();
    c.run(ms(200));
    for node in [7, 8, 9] {
        c.add_blank(node);
        c.isolate(node);
    }
    c.change(1, adds(7)).unwrap();
    c.settle();
    let full = Err(ChangeError::Invalid(ConfigurationError::TooLarge(8)));
    assert_eq!(c.change(1, adds(8)), full, "whoever came second would be a learner for ever");
    c.change(1, replaces(9, 6)).unwrap();
    c.settle();
    c.heal();
    c.run(ms(3_000));
    assert_eq!(c.voters_at(1), [1, 2, 3, 4, 5, 7, 9]);
}

/// The second would find nobody to replace, and add a voter.
#[test]
fn two_learners_cannot_replace_the_same_voter() {
    let mut c = led(3);
    for node in [4, 5] {
        c.add_blank(node);
        c.isolate(node);
    }
    c.change(1, replaces(4, 3)).unwrap();
    c.settle();
    let taken = Err(ChangeError::Invalid(ConfigurationError::ReplacedTwice(node(3))));
    assert_eq!(c.change(1, replaces(5, 3)), taken);
    c.change(1, MembershipChange::RemoveLearner(replica(4))).unwrap();
    c.settle();
    c.change(1, replaces(5, 3)).unwrap();
    c.heal();
    run_until_voters(&mut c, &[1, 2, 5]);
}

#[test]
fn a_learner_can_be_let_go_and_is_fed_no_longer() {
    let mut c = led(3);
    c.add_blank(4);
    c.isolate(4);
    c.change(1, adds(4)).unwrap();
    c.settle();
    c.change(1, MembershipChange::RemoveLearner(replica(4))).unwrap();
    c.run(ms(1_000));
    assert!(c.raft(1).membership().learners().is_empty());
    assert_eq!(c.raft(1).peers().map(|p| p.as_u64()).collect::<Vec<_>>(), [2, 3]);
}

/// Thesis §4.2.2: a leader that is to go first hands over to one that stays.
#[test]
fn a_leader_that_is_removed_hands_over_and_the_next_one_finishes_the_change() {
    let mut c = led(3);
    c.change(1, to([2, 3])).unwrap();
    c.settle();
    let new = c.leader().unwrap();
    assert_ne!(new, 1);
    run_until_voters(&mut c, &[2, 3]);
    c.run(ms(2_000));
    assert_eq!(c.role(1), RoleKind::Follower);
    assert_eq!(c.raft(1).next_deadline(), None, "it knows that it votes no more");
    c.crash(1);
    c.assert_converged();
}

/// etcd#10563: two voters, and the leader is the one to go.
#[test]
fn the_leader_of_two_can_be_removed_and_so_can_the_follower() {
    for (stays, goes) in [(2, 1), (1, 2)] {
        let mut c = led(2);
        c.change(1, to([stays])).unwrap();
        run_until_voters(&mut c, &[stays]);
        c.crash(goes);
        let last = c.propose(stays, 3).last;
        c.settle();
        assert_eq!(c.committed(stays), last);
    }
}

#[test]
fn a_leader_can_be_replaced_by_a_learner() {
    let mut c = led(3);
    c.add_blank(4);
    c.change(1, replaces(4, 1)).unwrap();
    run_until_voters(&mut c, &[2, 3, 4]);
    assert_ne!(c.leader(), Some(1));
    c.crash(1);
    c.elect();
    c.assert_converged();
}

/// A new leader that finds a joint membership in its log, committed or not, finishes what another began.
#[test]
fn a_new_leader_leaves_a_joint_membership_that_it_inherited() {
    let mut c = led(3);
    for node in [4, 5] {
        c.add_blank(node);
        c.change(1, adds(node)).unwrap();
        let now: Vec<u64> = (1..=node).collect();
        run_until_voters(&mut c, &now);
    }
    c.change(1, to([1, 2, 3])).unwrap();
    c.wire.retain(|(_, to, _)| *to == 2); // Only 2 gets the joint one, and nobody hears of that.
    let wire = std::mem::take(&mut c.wire);
    for (from, to, message) in wire {
        c.deliver(from, to, message);
    }
    c.wire.clear();
    assert!(c.raft(2).membership().is_joint() && !c.raft(3).membership().is_joint());
    c.crash(1);
    c.cut = vec![(3, 2), (3, 4), (3, 5), (4, 2), (4, 3), (4, 5), (5, 2), (5, 3), (5, 4)];
    c.run(ms(50));
    c.heal();
    c.run_until("a leader settles it one way or the other", |c| {
        c.leader().is_some_and(|leader| {
            let raft = c.raft(leader);
            raft.is_serving() && !raft.membership().is_joint() && raft.membership_index() <= raft.commit()
        })
    });
    c.assert_converged();
}

/// Ra 82e5ca2f: when the entry is cut, the membership before it is back, as many levels as are cut.
#[test]
fn a_membership_that_is_cut_is_rolled_back_over_several_levels() {
    let base = voters([1, 2, 3]);
    let m1 = Membership::from(base.clone()).with_learner(learner(4, None)).unwrap();
    let m2 = m1.towards(voters([1, 2, 3, 4])).unwrap();
    let m3 = m2.settled();
    let restored = Restored {
        hard_state: HardState { term: term(1), vote: None },
        log: cluster::log_of(&[1, 1, 1, 1, 1]),
        memberships: vec![(index(2), m1.clone()), (index(3), m2), (index(5), m3.clone())],
        ..Restored::default()
    };
    let mut raft = Raft::new(replica(2), base, Options::default(), restored, 1, Time::ZERO);
    assert_eq!((raft.membership(), raft.membership_index()), (&m3, index(5)));
    let mut entries = TermRuns::empty(id(2, 1));
    entries.append(term(2), 1);
    let m = AppendRequest { term: term(2), entries, memberships: vec![], commit: index(0), round: 1 };
    raft.receive(Time::ZERO, replica(3), Message::Append(m));
    assert_eq!((raft.membership(), raft.membership_index()), (&m1, index(2)));
    let active = raft_core::Effect::MembershipActive { index: index(2) };
    let effects: Vec<_> = std::iter::from_fn(|| raft.poll_effect()).collect();
    assert_eq!(effects.iter().filter(|e| **e == active).count(), 1);
}

#[test]
fn an_uncommitted_change_of_a_deposed_leader_is_undone_by_the_next() {
    let mut c = led(3);
    c.isolate(1);
    c.change(1, to([1, 2])).unwrap();
    c.run(ms(3_000));
    c.elect();
    c.heal();
    c.assert_converged();
    for node in [1, 2, 3] {
        assert_eq!(c.voters_at(node), [1, 2, 3]);
        assert!(!c.raft(node).membership().is_joint());
    }
}

/// Thesis §4.2.3: who was removed and does not know it disturbs nobody.
#[test]
fn a_removed_voter_that_does_not_know_disturbs_nobody() {
    let mut c = led(3);
    c.isolate(3);
    c.change(1, to([1, 2])).unwrap();
    run_until_voters(&mut c, &[1, 2]);
    c.run(ms(1_000));
    let (leader, before) = (c.leader(), c.raft(1).hard_state().term);
    c.heal();
    c.run(ms(5_000));
    assert_eq!((c.leader(), c.raft(1).hard_state().term), (leader, before));
    assert!(c.role(3) != RoleKind::Leader);
}

#[test]
fn a_removed_voter_is_told_before_it_is_let_go() {
    let mut c = led(3);
    c.change(1, to([1, 2])).unwrap();
    run_until_voters(&mut c, &[1, 2]);
    c.run(ms(500));
    assert_eq!(c.voters_at(3), [1, 2]);
    assert_eq!(c.replicas[&3].settled, c.replicas[&1].raft.membership_index());
    assert_eq!(c.raft(3).next_deadline(), None);
    assert_eq!(c.raft(1).peers().map(|p| p.as_u64()).collect::<Vec<_>>(), [2]);
}

/// etcd#10998: whoever the candidate's log makes a voter must answer, even if its own log does not say so yet.
#[test]
fn a_voter_by_a_membership_it_has_not_seen_answers_candidates() {
    let mut c = led(3);
    c.add_blank(4);
    c.change(1, adds(4)).unwrap();
    c.run_until("4 knows the group", |c| c.voters_at(4).len() >= 3);
    run_until_voters(&mut c, &[1, 2, 3, 4]);
    // A replica that knows 1 to 4 is asked by 5, which its log does not name, and whose log goes further.
    let now = c.now.after(ms(5_000));
    let last = c.raft(4).log().last_id();
    let ask = |i| Message::PreVote(PreVote { term: term(9), last: i, attempt: 1 });
    c.raft(4).receive(now, replica(5), ask(last));
    assert_eq!(c.raft(4).poll_effect(), None, "a stranger with no longer log is left alone");
    c.raft(4).receive(now, replica(5), ask(id(last.index.as_u64() + 5, 1)));
    assert!(matches!(c.raft(4).poll_effect(), Some(raft_core::Effect::Send { .. })));
}

#[test]
fn a_replica_without_a_membership_has_no_say() {
    let mut c = led(3);
    c.add_blank(4);
    let now = c.now;
    c.raft(4).receive(now, replica(1), Message::Vote(Vote { term: term(9), last: id(99, 8) }));
    c.raft(4).receive(
        now,
        replica(1),
        Message::PreVote(PreVote { term: term(9), last: id(99, 8), attempt: 1 }),
    );
    assert_eq!(c.raft(4).poll_effect(), None);
    assert_eq!(c.raft(4).hard_state(), HardState::default());
}

/// Ra 110b8d63: the memberships of the whole log count when it is opened.
#[test]
fn the_membership_in_force_survives_a_restart_of_all() {
    let mut c = led(3);
    c.add_blank(4);
    c.change(1, replaces(4, 2)).unwrap();
    run_until_voters(&mut c, &[1, 3, 4]);
    c.run(ms(300));
    for node in c.nodes() {
        c.crash(node);
    }
    for node in [1, 3, 4] {
        c.restart(node);
        assert_eq!(c.voters_at(node), [1, 3, 4]);
    }
    c.elect();
    c.assert_converged();
}

#[test]
fn a_standing_learner_that_becomes_a_member_is_a_standing_learner_no_more() {
    let mut c = led(3);
    c.add_learner(9);
    c.run(ms(300));
    c.change(1, adds(9)).unwrap();
    run_until_voters(&mut c, &[1, 2, 3, 9]);
    for node in [1, 2, 3] {
        c.raft(node).dismiss_learner(cluster::node(9));
    }
    c.propose(1, 1);
    c.assert_converged();
    assert_eq!(c.committed(9), c.committed(1));
}

#[test]
fn five_voters_can_all_be_replaced_one_after_the_other_under_load() {
    let mut c = led(5);
    for (old, new) in [(1, 6), (2, 7), (3, 8), (4, 9), (5, 10)] {
        c.add_blank(new);
        let leader = c.elect();
        c.change(leader, replaces(new, old)).unwrap();
        for _ in 0..200 {
            if let Some(leader) = c.leader() {
                let _ = c.raft(leader).propose(3);
            }
            c.run(ms(10));
        }
        assert!(c.leader().is_some_and(|leader| c.voters_at(leader).contains(&new)));
        c.crash(old);
    }
    c.elect();
    c.assert_converged();
}

/// The change is over although its leader died at any moment of it.
#[test]
fn a_change_survives_the_crash_of_its_leader_after_any_number_of_messages() {
    for crash_after in 0..60 {
        let mut c = led(3);
        c.add_blank(4);
        c.change(1, replaces(4, 1)).unwrap();
        for _ in 0..crash_after {
            let Some((from, to, message)) = c.wire.pop_front() else { break };
            c.deliver(from, to, message);
        }
        c.crash(1);
        c.elect();
        c.restart(1);
        c.run(ms(3_000));
        let leader = c.elect();
        let voters = c.voters_at(leader);
        assert!(voters == [1, 2, 3] || voters == [2, 3, 4], "after {crash_after}: {voters:?}");
        c.assert_converged();
    }
}

/// openraft#2091: the replica that goes must not end up as the only one with the longest log, as it cannot lead and
/// its vote is still needed.
#[test]
fn a_voter_that_goes_gets_nothing_that_those_who_stay_could_lose() {
    let mut c = led(2);
    c.change(1, to([1])).unwrap();
    c.slow_disks = vec![1];
    // The joint membership gets to both disks, what follows it only to the memory of 1, and to 2.
    while c.raft(1).membership().is_joint() {
        c.finish_write(1);
        c.settle();
    }
    c.propose(1, 3);
    c.settle();
    c.crash(1);
    c.restart(1);
    c.slow_disks.clear();
    assert!(c.raft(1).membership().is_joint());
    c.elect();
    c.run(ms(1_000));
    assert_eq!((c.leader(), c.voters_at(1)), (Some(1), vec![1]));
}

/// Every request ends: also one of a replica that nobody feeds any more, and that does not know it.
#[test]
fn a_read_at_a_replica_that_was_let_go_ends() {
    let mut c = led(3);
    c.add_learner(9);
    c.run(ms(300));
    for voter in [1, 2, 3] {
        c.raft(voter).dismiss_learner(node(9));
    }
    c.read(9, 1);
    c.wire.clear(); // Its question is lost, and no heartbeat will make it ask again.
    for _ in 0..300 {
        c.run(ms(10));
    }
    assert_eq!(c.at(9).failed.len() + c.at(9).ready.len(), 1);
}

#[test]
fn a_learner_is_promoted_at_the_lag_that_was_asked_for_and_not_before() {
    let options =
        Options { promotion_lag: 3, max_append_bytes: 4, max_inflight_appends: 1, ..Options::default() };
    let mut c = Cluster::with_options(1, 1, options);
    c.elect();
    c.propose(1, 6);
    c.add_blank(2);
    let added = c.change(1, adds(2)).unwrap().last;
    c.propose(1, 30);
    let mut has_waited = false;
    while !c.raft(1).membership().is_joint() {
        let last = c.raft(1).log().last_index();
        let matched = c.raft(1).matched(node(2)).unwrap();
        has_waited |= matched >= added && last.since(matched) > 3;
        let (from, to, message) = c.wire.pop_front().expect("the learner is fed");
        c.deliver(from, to, message);
    }
    let before_joint = c.raft(1).membership_index().prev();
    let lag = before_joint.since(c.raft(1).matched(node(2)).unwrap());
    assert!(lag <= 3, "it lagged by {lag}");
    assert!(has_waited, "it held its own membership for a while, and was too far behind");
}

#[test]
fn a_removed_voter_that_is_out_of_reach_for_a_moment_is_still_told() {
    let mut c = led(3);
    c.isolate(3);
    c.change(1, to([1, 2])).unwrap();
    c.run(ms(250));
    assert_eq!(c.voters_at(1), [1, 2]);
    c.heal();
    c.run(ms(250));
    assert_eq!(c.voters_at(3), [1, 2]);
    assert_eq!(c.raft(3).next_deadline(), None);
}

/// Whoever opened with the wrong voters could elect a second leader.
#[test]
fn memberships_that_are_not_those_of_the_log_fence_the_group() {
    let of = |indexes: &[u64]| -> Restored {
        let one = |at: &u64| (index(*at), Membership::from(voters([1, 2])));
        let hard_state = HardState { term: term(1), vote: None };
        let log = cluster::log_of(&[1; 5]);
        Restored { hard_state, log, memberships: indexes.iter().map(one).collect(), ..Restored::default() }
    };
    for (indexes, is_lawful) in
        [(&[3, 5][..], true), (&[5, 3], false), (&[3, 3], false), (&[6], false), (&[0], false)]
    {
        let mut raft = Raft::new(replica(1), voters([1]), Options::default(), of(indexes), 1, Time::ZERO);
        assert_eq!(raft.fault().is_none(), is_lawful, "{indexes:?}");
        assert_eq!(raft.poll_effect().is_none(), is_lawful, "{indexes:?}");
    }
}
