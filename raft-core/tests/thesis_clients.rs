//! Properties of chapter 6 of the Raft thesis (Ongaro, 2014), client interaction: who leads, and linearizable reads.

mod cluster;

use cluster::{Cluster, index, ms, node, replica, term, voters};
use raft_core::{
    AppendOutcome, AppendReply, MembershipChange, Message, ReadError, ReadId, ReadIndexReply, RoleKind,
};

fn led(voters: u64) -> Cluster {
    let mut c = Cluster::new(voters);
    assert_eq!(c.elect(), 1);
    c.run(ms(200));
    c
}

// §6.2 Routing requests to the leader

/// "A leader steps down if an election timeout elapses without a successful round of heartbeats to a majority."
#[test]
fn thesis_6_2_a_leader_steps_down_without_a_round_to_a_majority() {
    let mut c = led(5);
    for gone in [3, 4, 5] {
        c.isolate(gone);
    }
    c.run(ms(450));
    assert_eq!(c.role(1), RoleKind::Leader);
    c.run(ms(300));
    assert_ne!(c.role(1), RoleKind::Leader);
    assert_eq!(c.raft(1).soft_state().leader, None);
}

/// openraft#2080: it falls silent altogether, so that whoever still hears it is free to follow another.
#[test]
fn thesis_6_2_a_leader_that_has_stepped_down_says_nothing_as_a_leader() {
    let mut c = led(3);
    c.cut = vec![(2, 1), (3, 1)]; // It is heard, and hears nobody.
    c.run(ms(700));
    assert_ne!(c.role(1), RoleKind::Leader);
    c.wire.clear();
    c.run(ms(2_000));
    assert!(c.leader().is_some_and(|leader| leader != 1));
}

#[test]
fn thesis_6_2_a_follower_names_the_leader_and_forgets_it_as_it_campaigns() {
    let mut c = led(3);
    let refused = Err(raft_core::ProposeError::NotLeader { leader: Some(node(1)) });
    assert_eq!(c.raft(2).propose(1), refused);
    c.isolate(2);
    c.run(ms(1_200));
    assert_eq!(c.raft(2).propose(1), Err(raft_core::ProposeError::NotLeader { leader: None }));
}

// §6.4 Processing read-only queries more efficiently

/// 1. "If the leader has not yet marked an entry from its current term committed, it waits until it has done so."
#[test]
fn thesis_6_4_a_read_waits_for_the_first_commit_of_the_term() {
    let mut c = Cluster::just_led();
    c.read(1, 1);
    c.settle();
    assert_eq!(c.ready(1), []);
    c.slow_disks.clear();
    for node in [2, 3] {
        c.finish_writes(node);
    }
    c.settle();
    assert_eq!(c.ready(1), [(ReadId(1), index(1))]);
}

/// 2. The commit index is taken when the read comes. 3. A round of heartbeats that begins later confirms it.
#[test]
fn thesis_6_4_an_answer_to_an_earlier_round_confirms_no_read() {
    let mut c = led(3);
    let now = c.now;
    c.read(1, 1);
    c.wire.clear();
    let reply = |round| {
        let outcome = AppendOutcome::Matched { matched: index(1) };
        Message::AppendReply(AppendReply { term: term(1), round, outcome })
    };
    c.raft(1).receive(now, replica(2), reply(1));
    c.drain(1);
    assert_eq!(c.ready(1), [], "it followed when round 1 began, which was before the read");
    c.raft(1).receive(now, replica(2), reply(2));
    c.drain(1);
    assert_eq!(c.ready(1), [(ReadId(1), index(1))]);
}

/// etcd#20418: reads are told apart by their position, so a late answer to one cannot confirm another.
#[test]
fn thesis_6_4_each_read_is_confirmed_by_a_round_of_its_own_or_a_later_one() {
    let mut c = led(3);
    c.read(1, 1);
    c.read(1, 2);
    c.wire.clear();
    let now = c.now;
    let outcome = AppendOutcome::Matched { matched: index(1) };
    let reply = |round| Message::AppendReply(AppendReply { term: term(1), round, outcome });
    c.raft(1).receive(now, replica(2), reply(2));
    c.drain(1);
    assert_eq!(c.ready(1), [(ReadId(1), index(1))]);
    c.raft(1).receive(now, replica(3), reply(3));
    c.drain(1);
    assert_eq!(c.ready(1).len(), 2);
}

#[test]
fn thesis_6_4_one_round_confirms_all_reads_that_came_before_it() {
    let mut c = led(3);
    for read in 0..50 {
        c.read(1, read);
    }
    c.wire.clear();
    c.run(ms(110)); // One heartbeat.
    assert_eq!(c.ready(1).len(), 50);
}

/// A leader that was deposed and does not know it confirms nothing, whatever a minority says.
#[test]
fn thesis_6_4_a_deposed_leader_confirms_no_read() {
    let mut c = led(5);
    c.cut = [(1, 3), (1, 4), (1, 5)].into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect();
    c.read(1, 1);
    c.run(ms(3_000));
    assert_eq!(c.ready(1), []);
    assert_eq!(c.at(1).failed, [ReadId(1)]);
}

/// "Followers can help offload the processing of read-only queries."
#[test]
fn thesis_6_4_a_follower_asks_the_leader_for_the_index_of_a_read() {
    let mut c = led(3);
    c.cut = vec![(1, 3)];
    let last = c.propose(1, 3).last;
    c.settle();
    c.heal();
    c.read(3, 1);
    c.settle();
    assert_eq!(c.ready(3), [(ReadId(1), last)], "although 3 itself does not know that much is committed");
}

#[test]
fn thesis_6_4_a_read_at_a_follower_ends_when_its_leader_does() {
    let mut c = led(3);
    c.cut = vec![(3, 1)];
    c.read(3, 1);
    c.settle();
    c.crash(1);
    assert_eq!(c.at(3).failed, [ReadId(1)]);
    let now = c.now;
    assert_eq!(c.raft(3).read(now, ReadId(2)), Err(ReadError::NoLeader));
}

/// The name of a read may be used again: what was said about an earlier life of it counts for nothing.
#[test]
fn thesis_6_4_a_late_answer_to_an_earlier_read_of_the_same_name_confirms_nothing() {
    let mut c = led(3);
    c.read(3, 7);
    let mut late = vec![];
    while let Some((from, to, message)) = c.wire.pop_front() {
        if matches!(message, Message::ReadIndexReply(_)) {
            late.push(message.clone());
        }
        c.deliver(from, to, message);
    }
    assert_eq!(c.ready(3).len(), 1);
    let last = c.propose(1, 5).last;
    c.cut = vec![(1, 3)];
    c.settle();
    c.read(3, 7);
    let now = c.now;
    for message in late {
        c.raft(3).receive(now, replica(1), message);
        c.drain(3);
    }
    assert_eq!(c.ready(3).len(), 1, "the answer is from before {last} was committed");
    c.heal();
    c.run(ms(1_000));
    assert_eq!(c.ready(3)[1], (ReadId(7), last));
}

#[test]
fn thesis_6_4_a_read_at_a_follower_ends_although_its_question_or_answer_is_lost() {
    for lost in [(3, 1), (1, 3)] {
        let mut c = led(3);
        c.cut = vec![lost];
        c.read(3, 7);
        c.settle();
        c.heal();
        c.run(ms(2_000));
        assert_eq!(c.ready(3).len() + c.at(3).failed.len(), 1, "{lost:?}");
    }
}

#[test]
fn thesis_6_4_a_cancelled_read_is_never_heard_of_again() {
    for at in [1, 3] {
        let mut c = led(3);
        c.read(at, 7);
        c.raft(at).cancel_read(ReadId(7));
        c.run(ms(1_000));
        assert_eq!(c.ready(at), []);
        assert_eq!(c.at(at).failed, []);
    }
}

#[test]
fn thesis_6_4_only_the_leader_that_was_asked_can_answer_a_read() {
    let mut c = led(3);
    c.read(3, 7);
    let number = c.wire.drain(..).find_map(|(_, _, message)| match message {
        Message::ReadIndex(question) => Some(question.read),
        _ => None,
    });
    let read = number.expect("it asks its leader");
    let answer =
        |of, i| Message::ReadIndexReply(ReadIndexReply { term: term(of), read, index: Some(index(i)) });
    let now = c.now;
    c.raft(3).receive(now, replica(2), answer(1, 0));
    c.raft(3).receive(now, replica(1), answer(0, 0));
    c.drain(3);
    assert_eq!(c.ready(3), []);
    c.raft(3).receive(now, replica(1), answer(1, 1));
    c.drain(3);
    assert_eq!(c.ready(3), [(ReadId(7), index(1))]);
}

/// The commit that shrinks the group comes by the leader's own disk, and nobody is left who could answer.
#[test]
fn thesis_6_4_a_read_ends_when_the_group_shrinks_to_one() {
    let mut c = led(2);
    c.slow_disks = vec![1];
    c.change(1, MembershipChange::Voters(voters([1]))).unwrap();
    c.settle();
    c.isolate(2);
    c.read(1, 7);
    c.settle();
    assert!(c.ready(1).is_empty());
    c.slow_disks.clear();
    c.finish_writes(1);
    c.run(ms(1_000));
    assert_eq!((c.voters_at(1), c.raft(1).membership().is_joint()), (vec![1], false));
    assert_eq!(c.ready(1).len(), 1);
}
