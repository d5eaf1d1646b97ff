//! Properties of chapters 3, 4, 9 and 10 of the Raft thesis (Ongaro, 2014), by section; chapter 6 is in `thesis_clients.rs`.
//! What figure 2 says already is in `figure2.rs`; membership, transfer, snapshots, sleep and doubt have files of their own with more of each.

mod cluster;

use cluster::{Cluster, adds, id, index, ms, node, replaces, replica, term, voters};
use raft_core::{
    ChangeError, HardState, Membership, MembershipChange, Message, Options, Raft, Restored, RoleKind, Time,
    TransferError, Vote,
};

fn led(voters: u64) -> Cluster {
    let mut c = Cluster::new(voters);
    assert_eq!(c.elect(), 1);
    c.run(ms(200));
    c
}

// §3.4 Leader election

#[test]
fn thesis_3_4_time_outs_are_drawn_anew_each_time_and_differ_between_servers() {
    let open = |node, seed| {
        let restored =
            Restored { hard_state: HardState { term: term(1), vote: None }, ..Restored::default() };
        Raft::new(replica(node), voters([1, 2, 3]), Options::default(), restored, seed, Time::ZERO)
    };
    let deadlines: Vec<Time> = (0..50).map(|seed| open(1, seed).next_deadline().unwrap()).collect();
    let mut distinct = deadlines.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() > 45, "{distinct:?}");
    assert!(deadlines.iter().all(|at| *at >= Time::ZERO.after(ms(500)) && *at < Time::ZERO.after(ms(1_000))));
    let mut raft = open(1, 7);
    let mut waits = vec![];
    for _ in 0..20 {
        let now = raft.next_deadline().unwrap();
        raft.receive(
            now,
            replica(2),
            Message::Vote(Vote { term: raft.hard_state().term.next(), last: id(9, 9) }),
        );
        waits.push(raft.next_deadline().unwrap().since(now));
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 15, "{waits:?}");
}

#[test]
fn thesis_3_4_an_election_ends_well_within_a_few_time_outs_whatever_the_seed() {
    for seed in 0..100 {
        for size in [2, 3, 5, 7] {
            let mut c = Cluster::with_seed(size, seed);
            let first = c.elect();
            c.run(ms(200));
            c.crash(first);
            if size > 2 {
                let before = c.now;
                c.elect();
                assert!(c.now.since(before) < ms(3_000), "seed {seed}, {size} voters");
            }
        }
    }
}

#[test]
fn thesis_3_4_a_leader_keeps_its_office_by_heartbeats_alone() {
    let mut c = led(5);
    let before = c.raft(1).hard_state().term;
    c.run(ms(20_000));
    assert_eq!((c.leader(), c.raft(1).hard_state().term), (Some(1), before));
}

// §3.5 Log replication

#[test]
fn thesis_3_5_a_slow_or_lost_follower_does_not_hold_up_the_others() {
    let mut c = led(3);
    c.isolate(3);
    c.propose(1, 1);
    c.settle();
    assert_eq!(c.committed(1), c.raft(1).log().last_index());
}

#[test]
fn thesis_3_5_the_leader_retries_until_every_follower_has_every_entry() {
    let mut c = led(3);
    for lost in [(1, 2), (2, 1), (1, 3), (3, 1)] {
        c.cut = vec![lost];
        c.propose(1, 4);
        c.run(ms(300));
    }
    c.heal();
    c.assert_converged();
}

/// Figure 3.6 (Raft figure 7): every way in which a follower's log can differ from that of a new leader.
#[test]
fn thesis_3_5_every_log_of_figure_3_6_is_brought_to_agree_with_the_leaders() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let others: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for other in others {
        // The third has the leader's log too and makes it win; it is the first that is to lead.
        let mut c = Cluster::of_logs(7, &[leader, other, leader]);
        c.isolate(2);
        let leader = c.elect();
        assert_ne!(leader, 2);
        c.heal();
        c.assert_converged();
        assert_eq!(c.replicas[&2].raft.log(), c.replicas[&leader].raft.log(), "from {other:?}");
    }
}

// §3.6 Safety

/// §3.6.1: without all committed entries nobody is elected.
#[test]
fn thesis_3_6_1_a_candidate_without_a_committed_entry_is_never_elected() {
    for missing in [2, 3] {
        let mut c = led(3);
        c.isolate(missing);
        c.propose(1, 3);
        c.settle();
        c.crash(1);
        c.heal();
        for _ in 0..5 {
            let leader = c.elect();
            assert_ne!(leader, missing);
        }
    }
}

/// §3.6.2: the figure-8 case as a whole. Until its own entry is committed, another may overwrite the old one.
#[test]
fn thesis_3_6_2_an_older_entry_on_a_majority_may_still_be_overwritten() {
    let mut c = Cluster::of_logs(3, &[&[1, 2], &[1, 2], &[1, 2], &[1], &[1, 3]]);
    c.isolate(1);
    c.isolate(2);
    c.isolate(3);
    c.cut.retain(|(from, to)| ![(5, 2), (2, 5), (5, 3), (3, 5)].contains(&(*from, *to)));
    let leader = c.elect();
    assert_eq!(leader, 5, "its last term is later than that of the majority's entry");
    c.heal();
    c.assert_converged();
    assert_eq!(c.raft(1).log().term_at(index(2)), Some(term(3)));
}

// §3.7 Follower and candidate crashes

#[test]
fn thesis_3_7_messages_that_come_twice_do_no_harm() {
    let mut c = led(3);
    for round in 0..20 {
        c.propose(1, 1 + round % 3);
        let mut steps = 0;
        while let Some((from, to, message)) = c.wire.pop_front() {
            steps += 1;
            if steps % 2 == 0 && steps < 40 {
                c.wire.push_back((from, to, message.clone()));
            }
            c.deliver(from, to, message);
        }
    }
    c.assert_converged();
}

#[test]
fn thesis_3_7_a_follower_that_crashes_at_any_write_comes_back_and_catches_up() {
    for writes in 0..6 {
        let mut c = led(3);
        c.slow_disks = vec![3];
        for _ in 0..3 {
            c.propose(1, 2);
            c.settle();
        }
        for _ in 0..writes {
            c.finish_write(3);
        }
        c.crash(3);
        c.restart(3);
        c.slow_disks.clear();
        c.assert_converged();
    }
}

// §3.8 Persisted state and server restarts

#[test]
fn thesis_3_8_term_and_vote_survive_a_restart_so_that_nobody_votes_twice() {
    let mut c = led(3);
    let now = c.now;
    c.raft(3).receive(now, replica(2), Message::Vote(Vote { term: term(7), last: id(9, 6) }));
    c.drain(3);
    c.crash(3);
    c.restart(3);
    assert_eq!(c.raft(3).hard_state(), HardState { term: term(7), vote: Some(replica(2)) });
}

/// Also where no other vote is needed: after a crash it would lead the same term again, with other entries.
#[test]
fn thesis_3_8_a_lone_voter_leads_only_once_its_own_vote_is_on_disk() {
    let mut c = Cluster::new(1);
    c.add_learner(9);
    c.slow_disks = vec![1];
    c.run(ms(50));
    assert_eq!(c.role(1), RoleKind::Candidate);
    assert_eq!(c.raft(9).hard_state().term, term(0), "and says nothing as a leader");
    c.finish_writes(1);
    assert_eq!(c.role(1), RoleKind::Leader);
}

#[test]
fn thesis_3_8_the_commit_index_need_not_survive_a_restart() {
    let mut c = led(3);
    c.propose(1, 5);
    c.run(ms(300));
    for node in [1, 2, 3] {
        c.crash(node);
    }
    for node in [1, 2, 3] {
        c.restart(node);
        assert_eq!(c.raft(node).commit(), index(0));
    }
    c.elect();
    c.assert_converged();
}

/// A server that lost its state is another server; the quorum it was part of must not be fooled.
#[test]
fn thesis_3_8_a_server_that_lost_its_disk_does_not_vote_as_the_one_it_was() {
    let mut c = led(3);
    c.cut = vec![(1, 2), (2, 1)];
    let last = c.propose(1, 1).last; // On 1 and 3.
    c.settle();
    assert_eq!(c.committed(1), last);
    c.crash(1);
    c.crash(3);
    c.heal();
    c.restart_with_empty_disk(3);
    c.run(ms(10_000));
    assert_eq!(c.leader(), None, "2 and an empty disk must not forget what was committed");
    c.restart(1);
    c.elect();
    c.assert_converged();
}

// §3.10 Leadership transfer extension

/// 1. The prior leader stops accepting new client requests. 2. It fully updates the target's log. 3. It sends TimeoutNow.
#[test]
fn thesis_3_10_leadership_is_transferred_in_three_steps() {
    let mut c = led(3);
    c.isolate(3);
    c.propose(1, 9);
    c.settle();
    let now = c.now;
    c.raft(1).transfer_leadership(now, Some(node(3))).unwrap();
    c.drain(1);
    assert!(c.raft(1).propose(1).is_err(), "1");
    c.heal();
    let mut held_before_word = None;
    while c.leader() == Some(1) {
        c.now = c.now.after(ms(10));
        let now = c.now;
        c.raft(1).tick(now);
        c.drain(1);
        while let Some((from, to, message)) = c.wire.pop_front() {
            if matches!(message, Message::TimeoutNow(_)) {
                held_before_word = Some(c.raft(3).durable());
            }
            c.deliver(from, to, message);
        }
    }
    assert_eq!(held_before_word, Some(index(10)), "2, and 3 after it");
    assert_eq!(c.leader(), Some(3));
}

/// "If leadership transfer does not complete after about an election timeout, the prior leader aborts the transfer."
#[test]
fn thesis_3_10_a_transfer_that_takes_an_election_timeout_is_aborted() {
    let mut c = led(3);
    c.isolate(2);
    c.propose(1, 1);
    let now = c.now;
    c.raft(1).transfer_leadership(now, Some(node(2))).unwrap();
    c.run(ms(700));
    assert_eq!(c.at(1).aborted, [node(2)]);
    assert!(c.raft(1).propose(1).is_ok());
}

#[test]
fn thesis_3_10_only_a_voter_that_is_another_can_be_the_target() {
    let mut c = led(3);
    let now = c.now;
    for nobody in [1, 8] {
        let refused = Err(TransferError::NoSuchVoter(node(nobody)));
        assert_eq!(c.raft(1).transfer_leadership(now, Some(node(nobody))), refused);
    }
}

// §4.1 Safety of membership changes

/// "The new configuration takes effect on each server as soon as it is added to that server's log."
#[test]
fn thesis_4_1_a_configuration_is_in_force_as_soon_as_it_is_in_the_log() {
    let mut c = led(3);
    c.isolate(1);
    c.change(1, MembershipChange::Voters(voters([1, 2]))).unwrap();
    assert_eq!(c.voters_at(1), [1, 2]);
    assert!(c.committed(1) < c.raft(1).membership_index());
}

/// "A server must be prepared to fall back to the previous configuration in its log."
#[test]
fn thesis_4_1_a_configuration_that_is_overwritten_is_in_force_no_more() {
    let mut c = led(3);
    c.isolate(1);
    c.change(1, MembershipChange::Voters(voters([1, 2]))).unwrap();
    c.run(ms(2_000));
    c.elect();
    c.heal();
    c.assert_converged();
    assert_eq!(c.raft(1).membership(), &Membership::from(voters([1, 2, 3])));
}

/// "If a leader's configuration entry is committed", and only then, the next change may begin.
#[test]
fn thesis_4_1_a_change_waits_for_the_one_before_it() {
    let mut c = led(5);
    c.isolate(1);
    let first = c.change(1, MembershipChange::Voters(voters([1, 2, 3, 4]))).unwrap();
    let second = c.change(1, MembershipChange::Voters(voters([1, 2, 3])));
    assert_eq!(second, Err(ChangeError::InProgress { index: first.first }));
}

/// "Servers process incoming RPC requests without consulting their current configuration": a leader that is not in it is
/// followed, so that a new server can be fed from nothing.
#[test]
fn thesis_4_1_entries_are_taken_from_a_leader_that_the_own_configuration_does_not_name() {
    let mut c = led(3);
    c.add_blank(4);
    c.change(1, adds(4)).unwrap();
    c.settle();
    assert!(c.raft(4).log().last_index() > index(0));
}

// §4.2.1 Catching up new servers

#[test]
fn thesis_4_2_1_a_new_server_does_not_count_before_it_has_caught_up() {
    let mut c = led(3);
    c.propose(1, 500);
    c.settle();
    c.add_blank(4);
    c.isolate(4);
    c.change(1, replaces(4, 3)).unwrap();
    c.run(ms(2_000));
    assert_eq!(c.voters_at(1), [1, 2, 3]);
    assert!(c.raft(1).matched(node(4)).is_some());
    c.heal();
    c.run(ms(1_000));
    assert_eq!(c.voters_at(1), [1, 2, 4]);
}

#[test]
fn thesis_4_2_1_a_new_server_that_never_catches_up_hinders_nobody() {
    let mut c = led(3);
    c.change(1, adds(4)).unwrap(); // There is no such server.
    for _ in 0..20 {
        c.propose(1, 10);
        c.run(ms(200));
    }
    assert_eq!(c.committed(1), c.raft(1).log().last_index());
    assert_eq!(c.leader(), Some(1));
    c.change(1, MembershipChange::RemoveLearner(replica(4))).unwrap();
    c.settle();
    assert_eq!(c.raft(1).membership(), &Membership::from(voters([1, 2, 3])));
}

// §4.2.2 Removing the current leader

/// By leadership transfer, the thesis' first way. So a leader always counts itself.
#[test]
fn thesis_4_2_2_a_leader_that_is_removed_transfers_leadership_first() {
    let mut c = led(3);
    c.change(1, MembershipChange::Voters(voters([2, 3]))).unwrap();
    c.run(ms(1_000));
    let leader = c.leader().unwrap();
    assert_ne!(leader, 1);
    assert_eq!(c.voters_at(leader), [2, 3]);
    assert_eq!(c.role(1), RoleKind::Follower);
}

// §4.2.3 Disruptive servers

#[test]
fn thesis_4_2_3_a_removed_server_does_not_disrupt() {
    let mut c = led(4);
    c.isolate(4);
    c.change(1, MembershipChange::Voters(voters([1, 2, 3]))).unwrap();
    c.run(ms(2_000));
    let before = c.raft(1).hard_state().term;
    c.heal();
    c.run(ms(5_000));
    assert_eq!((c.leader(), c.raft(1).hard_state().term), (Some(1), before));
}

/// "If a server receives a RequestVote request within the minimum election timeout of hearing from a current leader, it
/// does not update its term or grant its vote." Here that holds for the pre-vote, without which nobody asks for a vote.
#[test]
fn thesis_4_2_3_who_has_just_heard_a_leader_supports_no_other() {
    let mut c = led(3);
    let now = c.now;
    let last = id(99, 1);
    for to in [1, 2] {
        let ask = raft_core::PreVote { term: term(5), last, attempt: 3 };
        c.raft(to).receive(now, replica(3), Message::PreVote(ask));
        c.drain(to);
    }
    let is_yes = |m: &Message| matches!(m, Message::PreVoteReply(reply) if reply.granted);
    assert!(!c.wire.iter().any(|(_, _, m)| is_yes(m)));
    assert_eq!(c.raft(2).hard_state().term, term(1));
}

/// A transfer is the exception: the target campaigns with the leader's consent.
#[test]
fn thesis_4_2_3_a_transfer_needs_no_patience() {
    let mut c = led(3);
    let now = c.now;
    c.raft(1).transfer_leadership(now, Some(node(2))).unwrap();
    c.settle();
    assert_eq!(c.leader(), Some(2));
    assert_eq!(c.now, now);
}

// §4.3 Arbitrary configuration changes using joint consensus

#[test]
fn thesis_4_3_any_set_of_voters_can_follow_any_other() {
    for (from, to) in [(vec![1, 2, 3], vec![4, 5]), (vec![1], vec![2, 3, 4]), (vec![1, 2, 3, 4], vec![3])] {
        let mut c = led(from.len() as u64);
        for new in to.iter().filter(|new| !from.contains(new)) {
            c.add_blank(*new);
            c.isolate(*new);
            let leader = c.leader().unwrap();
            c.change(leader, adds(*new)).unwrap();
            c.settle();
        }
        c.heal();
        c.run(ms(2_000)); // They become voters, one after the other.
        let leader = c.leader().unwrap();
        c.change(leader, MembershipChange::Voters(voters(to.clone()))).unwrap();
        c.run(ms(2_000));
        let leader = c.leader().unwrap();
        assert_eq!(c.voters_at(leader), to, "from {from:?}");
        assert!(!c.raft(leader).membership().is_joint());
        c.assert_converged();
    }
}

/// "Any server from either configuration may serve as leader."
#[test]
fn thesis_4_3_while_joint_a_server_of_either_configuration_may_lead() {
    for leads in [1, 2, 4] {
        let mut c = Cluster::new(3);
        let joint = Membership::new(voters([2, 4, 5]), Some(voters([1, 2, 3])), vec![]).unwrap();
        for node in 1..=5 {
            c.open(node, joint.clone(), Restored::default());
        }
        let deadline = c.raft(leads).next_deadline().unwrap().max(c.now.after(ms(600)));
        c.now = deadline;
        c.raft(leads).tick(deadline);
        c.settle();
        c.elect();
        c.assert_converged();
        assert_eq!(c.voters_at(c.leader().unwrap()), [2, 4, 5]);
    }
}

/// "Agreement (for elections and entry commitment) requires majorities from both the old and new configurations."
#[test]
fn thesis_4_3_while_joint_an_election_needs_both_majorities() {
    for (missing, is_possible) in [(vec![2, 4], false), (vec![1, 3], false), (vec![3, 5], true)] {
        let mut c = Cluster::new(3);
        let joint = Membership::new(voters([2, 4, 5]), Some(voters([1, 2, 3])), vec![]).unwrap();
        for node in 1..=5 {
            c.open(node, joint.clone(), Restored::default());
        }
        for node in &missing {
            c.isolate(*node);
        }
        c.run(ms(5_000));
        assert_eq!(c.leader().is_some(), is_possible, "without {missing:?}");
    }
}

// §9.6 Preventing disruptions when a server rejoins the cluster

#[test]
fn thesis_9_6_a_pre_vote_changes_nothing_on_whoever_is_asked() {
    let mut c = led(3);
    c.now = c.now.after(ms(2_000));
    let now = c.now;
    let before = c.raft(2).hard_state();
    let deadline = c.raft(2).next_deadline();
    let ask = raft_core::PreVote { term: term(8), last: id(99, 8), attempt: 1 };
    c.raft(2).receive(now, replica(3), Message::PreVote(ask));
    c.drain(2);
    assert_eq!(c.raft(2).hard_state(), before);
    assert_eq!(c.raft(2).next_deadline(), deadline);
    assert!(c.at(2).writes.is_empty());
}

/// openraft#1796: nobody else tells a replica that only ever asks.
#[test]
fn thesis_9_6_a_higher_term_is_learned_from_a_refusal() {
    let mut c = Cluster::of_logs(1, &[&[1], &[1], &[1]]);
    let base = c.at(1).base.clone();
    let hard_state = HardState { term: term(9), vote: None };
    c.open(3, base, Restored { hard_state, log: cluster::log_of(&[1]), ..Restored::default() });
    c.isolate(2);
    c.elect();
    assert!(c.raft(1).hard_state().term >= term(9));
}

/// redpanda#21345: answers to an earlier attempt do not count for a later one.
#[test]
fn thesis_9_6_an_answer_to_an_earlier_attempt_does_not_count() {
    let mut c = led(3);
    c.isolate(3);
    c.run_until("it campaigns", |c| c.role(3) == RoleKind::PreCandidate);
    let now = c.now;
    for attempt in 0..3 {
        let yes = raft_core::PreVoteReply { term: term(1), attempt, granted: true };
        c.raft(3).receive(now, replica(2), Message::PreVoteReply(yes));
    }
    assert_eq!(c.role(3), RoleKind::PreCandidate);
}

/// etcd#8334: whoever campaigns believes in its old leader no more, and answers others.
#[test]
fn thesis_9_6_two_that_ask_at_once_both_get_an_answer() {
    let mut c = led(3);
    c.crash(1);
    let now = c.now.after(ms(1_100));
    c.now = now;
    for node in [2, 3] {
        c.raft(node).tick(now);
        c.drain(node);
    }
    let is_yes = |m: &Message| matches!(m, Message::PreVoteReply(reply) if reply.granted);
    let mut granted = 0;
    while let Some((from, to, message)) = c.wire.pop_front() {
        granted += usize::from(is_yes(&message));
        c.deliver(from, to, message);
    }
    assert_eq!(granted, 2);
    c.elect();
}

// §10.2.1 Writing to the leader's disk in parallel

#[test]
fn thesis_10_2_1_a_leader_replicates_and_commits_before_its_own_disk_has_answered() {
    let mut c = led(3);
    c.slow_disks = vec![1];
    let last = c.propose(1, 2).last;
    c.settle();
    assert_eq!(c.committed(1), last);
    assert!(c.raft(1).durable() < last);
    c.crash(1);
    c.restart(1);
    c.slow_disks.clear();
    c.elect();
    c.assert_converged();
}

/// etcd#14370: but it never counts itself before its disk has answered.
#[test]
fn thesis_10_2_1_a_leader_counts_itself_only_once_its_disk_has_answered() {
    let mut c = led(3);
    c.isolate(3);
    c.slow_disks = vec![1, 2];
    let last = c.propose(1, 2).last;
    c.settle();
    c.finish_writes(2);
    c.settle();
    assert!(c.committed(1) < last);
    c.finish_writes(1);
    assert_eq!(c.committed(1), last);
}
