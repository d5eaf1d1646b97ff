//! Sleep by agreement: a group with nothing to do says nothing, and whatever means work wakes it.

mod cluster;

use cluster::{Cluster, adds, id, index, ms, node, replica, term};
use raft_core::{
    AppendOutcome, BootId, Liveness, Message, PreVote, ReadId, RoleKind, SleepReply, SleepRequest,
    StorageHealth, Wake,
};

/// A group of `n` that sleeps under its leader, which is 1.
fn asleep(n: u64) -> Cluster {
    let mut c = Cluster::watched(n);
    assert_eq!(c.elect(), 1);
    c.propose(1, 3);
    fall_asleep(&mut c);
    c
}

fn fall_asleep(c: &mut Cluster) {
    c.run_until("all sleep", |c| c.nodes().into_iter().all(|n| c.raft(n).is_asleep()));
    c.wire.clear();
}

fn assert_awake_and_then_asleep_again(c: &mut Cluster) {
    let nodes = c.nodes();
    assert!(nodes.iter().any(|n| !c.replicas[n].raft.is_asleep()), "nobody woke");
    c.elect();
    fall_asleep(c);
}

#[test]
fn a_group_with_nothing_to_do_has_no_deadline_and_says_nothing() {
    let mut c = asleep(3);
    for node in c.nodes() {
        assert_eq!(c.raft(node).next_deadline(), None, "node {node}");
    }
    let (leader, term) = (c.leader(), c.raft(1).hard_state().term);
    c.now = c.now.after(ms(3_600_000));
    let now = c.now;
    for node in c.nodes() {
        c.raft(node).tick(now);
        c.drain(node);
    }
    assert!(c.wire.is_empty());
    assert_eq!((c.leader(), c.raft(1).hard_state().term), (leader, term));
}

#[test]
fn a_group_of_one_sleeps_too() {
    let mut c = asleep(1);
    c.propose(1, 1);
    assert!(!c.raft(1).is_asleep());
    fall_asleep(&mut c);
}

#[test]
fn a_group_of_whose_nodes_nothing_was_said_never_sleeps() {
    let mut c = Cluster::new(3);
    c.elect();
    c.run(ms(3_000));
    assert!(c.nodes().into_iter().all(|n| !c.raft(n).is_asleep()));
}

#[test]
fn a_proposal_wakes_all_and_is_committed_at_once() {
    let mut c = asleep(3);
    let proposed = c.propose(1, 1);
    c.settle();
    assert_eq!(c.committed(1), proposed.last);
    assert_awake_and_then_asleep_again(&mut c);
    c.assert_converged();
}

#[test]
fn a_proposal_whose_first_appends_are_lost_is_still_committed() {
    let mut c = asleep(3);
    let proposed = c.propose(1, 1);
    c.wire.clear();
    c.run(ms(300));
    assert_eq!(c.committed(1), proposed.last);
}

#[test]
fn a_read_at_the_leader_wakes_it_and_is_confirmed() {
    let mut c = asleep(3);
    c.read(1, 5);
    c.settle();
    assert_eq!(c.ready(1), [(ReadId(5), c.committed(1))]);
    fall_asleep(&mut c);
}

#[test]
fn a_read_at_a_follower_wakes_the_leader() {
    let mut c = asleep(3);
    c.read(3, 5);
    c.run(ms(100));
    assert_eq!(c.ready(3), [(ReadId(5), c.committed(3))]);
    fall_asleep(&mut c);
}

#[test]
fn a_read_that_does_not_reach_the_sleeping_leader_still_ends() {
    let mut c = asleep(3);
    c.read(3, 5);
    c.wire.clear();
    c.run(ms(5_000));
    assert_eq!(c.at(3).ready.len() + c.at(3).failed.len(), 1, "it ends in exactly one outcome");
}

#[test]
fn a_change_of_the_membership_wakes_all() {
    let mut c = asleep(3);
    c.add_blank(4);
    c.change(1, adds(4)).unwrap();
    c.run_until("4 votes", |c| c.voters_at(1) == [1, 2, 3, 4] && !c.raft(1).membership().is_joint());
    c.settle();
    fall_asleep(&mut c);
}

#[test]
fn a_request_to_hand_over_wakes_the_leader() {
    for to in [Some(node(2)), None] {
        let mut c = asleep(3);
        let now = c.now;
        c.now = now.after(ms(60_000));
        let now = c.now;
        let to = c.raft(1).transfer_leadership(now, to).expect("all others live").as_u64();
        c.run(ms(100));
        assert_eq!(c.leader(), Some(to));
        c.elect();
        fall_asleep(&mut c);
    }
}

/// There are no heartbeats with which to try again, so the word of the disk itself must wake a leader.
#[test]
fn a_stalled_disk_wakes_a_sleeping_leader_which_hands_over() {
    let mut c = asleep(3);
    c.now = c.now.after(ms(60_000));
    let now = c.now;
    c.raft(1).storage_health(now, StorageHealth::Stalled);
    c.run(ms(3_000));
    assert!(c.leader().is_some_and(|leader| leader != 1), "led by {:?}", c.leader());
}

#[test]
fn the_death_of_the_leaders_process_wakes_its_followers_who_elect_another() {
    let mut c = asleep(3);
    c.crash(1);
    let new = c.elect();
    assert_ne!(new, 1);
    fall_asleep(&mut c);
}

#[test]
fn a_leader_that_is_back_before_anybody_noticed_is_known_by_its_new_boot_id() {
    let mut c = asleep(3);
    // No connection was seen to break.
    c.at(1).is_up = false;
    c.restart(1);
    let new = c.elect();
    c.assert_converged();
    assert!(c.raft(new).hard_state().term > term(1));
    fall_asleep(&mut c);
}

#[test]
fn a_follower_that_starts_anew_is_spoken_to_by_the_leader() {
    let mut c = asleep(3);
    let before = c.raft(1).hard_state().term;
    c.at(3).is_up = false;
    c.restart(3);
    assert!(!c.raft(1).is_asleep());
    c.run(ms(5_000));
    assert_eq!(c.raft(1).hard_state().term, before, "no election was needed");
    fall_asleep(&mut c);
}

#[test]
fn a_dead_node_keeps_nobody_awake_and_is_fed_when_it_returns() {
    let mut c = asleep(3);
    c.crash(3);
    c.propose(1, 5);
    c.run_until("1 and 2 sleep", |c| c.raft(1).is_asleep() && c.raft(2).is_asleep());
    c.restart(3);
    c.run(ms(500));
    assert_eq!(c.committed(3), c.committed(1));
    fall_asleep(&mut c);
}

#[test]
fn without_a_live_majority_nobody_sleeps() {
    let mut c = asleep(3);
    c.crash(2);
    c.crash(3);
    c.run(ms(3_000));
    assert!(!c.raft(1).is_asleep());
    assert_ne!(c.role(1), RoleKind::Leader);
}

#[test]
fn a_leader_that_steps_down_withdraws_and_the_sleepers_campaign() {
    let mut c = asleep(3);
    // 2 wakes and is elected behind 3's back.
    c.isolate(3);
    let now = c.now;
    c.raft(1).transfer_leadership(now, Some(node(2))).unwrap();
    c.settle();
    assert_eq!(c.at(1).withdrawn, [term(1)]);
    assert!(c.raft(3).is_asleep(), "it cannot know yet");
    assert_eq!(c.raft(3).hard_state().term, term(1));
    c.cut.retain(|link| *link == (2, 3));
    c.settle();
    assert!(!c.raft(3).is_asleep(), "the withdrawal has reached it");
    c.heal();
    c.elect();
    c.assert_converged();
}

#[test]
fn a_withdrawal_that_overtakes_the_request_to_sleep_is_remembered() {
    let mut c = Cluster::watched(3);
    c.elect();
    c.run(ms(40));
    let (now, last) = (c.now, c.raft(2).log().last_id());
    assert_eq!(c.raft(2).commit(), last.index);
    c.raft(2).leader_withdrew(now, node(1), term(1));
    let ask = Message::Sleep(SleepRequest { term: term(1), last, round: 1 });
    c.raft(2).receive(now, replica(1), ask);
    assert!(!c.raft(2).is_asleep());
    assert!(c.raft(2).next_deadline().is_some());
}

#[test]
fn a_withdrawal_of_an_older_term_wakes_nobody() {
    let mut c = asleep(3);
    c.crash(1);
    let new = c.elect();
    fall_asleep(&mut c);
    let (now, sleeper) = (c.now, c.other(new));
    c.raft(sleeper).leader_withdrew(now, node(new), term(1));
    assert!(c.raft(sleeper).is_asleep());
}

#[test]
fn whoever_is_woken_by_another_wakes_the_leader() {
    let mut c = asleep(3);
    let (now, last) = (c.now, id(9, 1));
    c.raft(2).receive(now, replica(3), Message::PreVote(PreVote { term: term(1), last, attempt: 1 }));
    assert!(!c.raft(2).is_asleep());
    c.drain(2);
    assert!(c.wire.contains(&(2, 1, Message::Wake(Wake { term: term(1) }))));
    c.settle();
    assert!(!c.raft(1).is_asleep());
    assert_eq!(c.raft(2).soft_state().leader, Some(node(1)), "and believes in it");
    fall_asleep(&mut c);
}

#[test]
fn a_sleeper_that_is_woken_refuses_a_campaign_as_its_leaders_node_lives() {
    let mut c = asleep(3);
    c.now = c.now.after(ms(60_000));
    let (now, last) = (c.now, id(9, 1));
    c.raft(2).receive(now, replica(3), Message::PreVote(PreVote { term: term(1), last, attempt: 1 }));
    c.drain(2);
    let is_granted = |m: &Message| matches!(m, Message::PreVoteReply(reply) if reply.granted);
    assert!(!c.wire.iter().any(|(_, _, m)| is_granted(m)));
}

#[test]
fn the_wake_up_of_ten_sleepers_at_once_elects_without_a_storm() {
    for seed in 0..20 {
        let mut c = Cluster::with_seed(5, seed);
        c.hosts_watch_nodes = true;
        c.tell_liveness();
        let leader = c.elect();
        fall_asleep(&mut c);
        let before = c.raft(leader).hard_state().term;
        c.crash(leader);
        let new = c.elect();
        let after = c.raft(new).hard_state().term;
        assert!(after.as_u64() <= before.as_u64() + 3, "seed {seed}: {after} after {before}");
    }
}

#[test]
fn who_is_not_at_exactly_that_log_does_not_sleep() {
    let mut c = asleep(3);
    c.propose(1, 1);
    c.settle();
    let (now, last) = (c.now, c.raft(2).log().last_id());
    let ask = |last| Message::Sleep(SleepRequest { term: term(1), last, round: 100 });
    for other in [id(last.index.as_u64() - 1, 1), id(last.index.as_u64() + 1, 1)] {
        c.raft(2).receive(now, replica(1), ask(other));
        assert!(!c.raft(2).is_asleep(), "asked to sleep at {other}");
    }
    c.raft(2).receive(now, replica(1), ask(last));
    assert_eq!(c.raft(2).is_asleep(), c.committed(2) == last.index);
}

#[test]
fn who_has_not_all_on_disk_or_in_doubt_or_a_bad_disk_does_not_sleep() {
    let mut c = asleep(3);
    let (now, last) = (c.now, c.raft(2).log().last_id());
    let ask = Message::Sleep(SleepRequest { term: term(1), last, round: 1 });
    c.raft(2).storage_health(now, StorageHealth::Full);
    c.raft(2).receive(now, replica(1), ask.clone());
    assert!(!c.raft(2).is_asleep());
    c.raft(2).storage_health(now, StorageHealth::Good);
    c.raft(2).receive(now, replica(1), ask.clone());
    assert!(c.raft(2).is_asleep());
    c.raft(2).node_liveness(now, node(1), Liveness::Silent);
    c.raft(2).receive(now, replica(1), ask);
    assert!(!c.raft(2).is_asleep(), "nobody sleeps in the care of a silent node");
}

#[test]
fn a_refusal_keeps_the_leader_awake() {
    let mut c = Cluster::watched(3);
    c.elect();
    let now = c.now;
    c.raft(3).storage_health(now, StorageHealth::Full);
    c.run(ms(3_000));
    assert!(!c.raft(1).is_asleep() && !c.raft(3).is_asleep());
    assert_eq!(c.leader(), Some(1));
}

/// The agreement of an earlier question is none to a later one, if the follower was woken in between.
#[test]
fn a_late_agreement_leaves_no_sleeper_without_a_leader() {
    let mut c = asleep(3);
    let last = c.raft(1).log().last_id();
    c.read(1, 1); // Wakes all; nothing is appended.
    c.settle();
    let (now, round) = (c.now, 9);
    c.cut = vec![(1, 3)];
    c.run(ms(110));
    let late = SleepReply { term: term(1), last, round, asleep: true };
    c.raft(1).receive(now, replica(3), Message::SleepReply(late));
    c.drain(1);
    c.heal();
    c.run(ms(10_000));
    c.elect();
    fall_asleep(&mut c);
}

#[test]
fn a_standing_learner_admitted_while_the_leader_sleeps_is_fed_even_if_the_first_message_is_lost() {
    let mut c = asleep(3);
    c.hosts_watch_nodes = false; // Nobody says anything of its node.
    c.add_learner(9);
    for node in c.nodes() {
        c.drain(node);
    }
    c.wire.clear();
    c.run(ms(3_000));
    assert_eq!(c.committed(9), c.committed(1));
}

#[test]
fn a_silent_learner_keeps_nobody_awake_and_a_live_one_must_have_all() {
    let mut c = Cluster::new(3);
    c.hosts_watch_nodes = true;
    c.add_learner(9);
    c.tell_liveness();
    c.elect();
    fall_asleep_but(&mut c, 9);
    c.crash(9);
    c.propose(1, 3);
    c.run(ms(300));
    fall_asleep(&mut c);
    c.restart(9);
    c.run(ms(500));
    assert_eq!(c.committed(9), c.committed(1));
}

fn fall_asleep_but(c: &mut Cluster, learner: u64) {
    let sleeps = |c: &mut Cluster, n: u64| n == learner || c.raft(n).is_asleep();
    c.run_until("all voters sleep", |c| c.nodes().into_iter().all(|n| sleeps(c, n)));
}

#[test]
fn another_nodes_death_wakes_no_follower() {
    let mut c = asleep(3);
    let now = c.now;
    c.raft(2).node_liveness(now, node(3), Liveness::Silent);
    c.raft(2).node_liveness(now, node(3), Liveness::Live(BootId::new(77)));
    assert!(c.raft(2).is_asleep());
}

#[test]
fn the_same_word_twice_wakes_nobody() {
    let mut c = asleep(3);
    c.tell_liveness();
    assert!(c.nodes().into_iter().all(|n| c.raft(n).is_asleep()));
}

#[test]
fn a_late_answer_does_not_wake_a_sleeping_leader() {
    use raft_core::{AppendOutcome, AppendReply};
    let mut c = asleep(3);
    let (now, matched) = (c.now, index(2));
    let outcome = AppendOutcome::Matched { matched };
    let late = Message::AppendReply(AppendReply { term: term(1), round: 1, outcome });
    c.raft(1).receive(now, replica(2), late);
    assert!(c.raft(1).is_asleep());
}

/// Its refusal is all that it can say; asking again and again would tell it nothing.
#[test]
fn a_follower_that_was_not_told_what_is_committed_is_told_before_it_is_asked_again() {
    let mut c = Cluster::watched(3);
    c.elect();
    let last = c.propose(1, 1).last;
    while let Some((from, to, message)) = c.wire.pop_front() {
        let is_news = matches!(&message, Message::Append(append) if append.commit == last);
        if !is_news {
            c.deliver(from, to, message); // The word that it is committed is lost.
        }
    }
    assert_eq!(c.committed(1), last);
    c.run(ms(500));
    assert_eq!((c.committed(2), c.committed(3)), (last, last));
    fall_asleep(&mut c);
}

#[test]
fn a_node_that_was_silent_and_comes_back_is_told_what_is_committed() {
    let mut c = asleep(3);
    c.crash(3);
    c.run(ms(300));
    c.restart(3); // It forgot the commit index, and holds all that the leader knows it to hold.
    c.run(ms(500));
    assert_eq!(c.committed(3), c.committed(1));
    fall_asleep(&mut c);
}

/// Its process is another one: the leader that the sleepers relied on is gone, even if nothing else is heard of it.
#[test]
fn a_new_life_of_the_leaders_node_makes_its_sleepers_campaign() {
    let mut c = asleep(3);
    let now = c.now;
    c.raft(2).node_liveness(now, node(1), Liveness::Live(BootId::new(99)));
    assert!(!c.raft(2).is_asleep());
    assert_eq!(c.raft(2).soft_state().leader, None);
    assert!(c.raft(2).next_deadline().is_some_and(|at| at <= now.after(ms(100))));
}

#[test]
fn whose_disk_does_not_have_it_all_does_not_sleep() {
    let mut c = asleep(3);
    c.slow_disks = vec![2];
    c.propose(1, 1);
    c.settle();
    let now = c.now;
    while c.committed(2) < c.committed(1) {
        c.run(ms(10)); // It knows that the entry is committed, by the disks of the others.
    }
    let last = c.raft(2).log().last_id();
    assert!(c.raft(2).durable() < last.index && c.committed(2) == last.index);
    let ask = Message::Sleep(SleepRequest { term: term(1), last, round: 9 });
    c.raft(2).receive(now, replica(1), ask);
    assert!(!c.raft(2).is_asleep());
}

#[test]
fn a_live_learner_that_lags_keeps_the_group_awake_until_it_has_all() {
    let mut c = asleep(3);
    c.add_learner(9);
    c.tell_liveness();
    c.run(ms(300));
    c.cut = vec![(1, 9)];
    c.propose(1, 3);
    c.run(ms(2_000));
    assert!(!c.raft(1).is_asleep(), "nobody would feed the learner");
    c.heal();
    fall_asleep_but(&mut c, 9);
    assert_eq!(c.committed(9), c.committed(1));
}

/// The leader has spoken again since: whoever fell asleep now would not hear it, and it would miss its quorum.
#[test]
fn a_doubled_request_to_sleep_puts_nobody_to_sleep_under_a_leader_that_is_awake() {
    let mut c = Cluster::watched(3);
    assert_eq!(c.elect(), 1);
    let mut doubles = Vec::new();
    while !c.nodes().into_iter().all(|n| c.raft(n).is_asleep()) {
        c.tick_all(ms(10));
        doubles.extend(c.wire.iter().filter(|(_, _, m)| matches!(m, Message::Sleep(_))).cloned());
        c.settle();
    }
    assert!(doubles.len() >= 2);
    // A learner of whose node nothing is said keeps the group awake.
    c.hosts_watch_nodes = false;
    c.add_blank(9);
    let now = c.now;
    c.raft(1).admit_learner(now, replica(9));
    c.run(ms(1_000));
    for (from, to, message) in doubles {
        c.deliver(from, to, message);
    }
    assert!([2, 3].into_iter().all(|n| !c.raft(n).is_asleep()));
    for _ in 0..200 {
        c.run(ms(10));
        assert_eq!(c.leader(), Some(1));
    }
}

/// What a replica said before it died speaks of what it knew then.
#[test]
fn an_answer_to_an_earlier_request_is_none_to_a_later_one() {
    let mut c = Cluster::new(3);
    c.hosts_watch_nodes = true;
    c.add_learner(9);
    c.tell_liveness();
    assert_eq!(c.elect(), 1);
    c.propose(1, 3);
    let mut said = Vec::new();
    while !c.raft(1).is_asleep() {
        c.tick_all(ms(10));
        while let Some((from, to, message)) = c.wire.pop_front() {
            said.extend((from == 9).then(|| message.clone()));
            c.deliver(from, to, message);
        }
    }
    let last = c.raft(1).log().last_index();
    assert_eq!(c.committed(9), last);
    let has_all = |m: &Message| matches!(m, Message::AppendReply(r) if r.outcome == AppendOutcome::Matched { matched: last });
    let matched = said.iter().rfind(|m| has_all(m)).cloned().unwrap();
    let agreed = said.iter().rfind(|m| matches!(m, Message::SleepReply(r) if r.asleep)).cloned().unwrap();
    // 9 starts anew, and hears nothing yet; what it said before is still on its way.
    c.at(9).is_up = false;
    c.cut = vec![(1, 9)];
    c.restart(9);
    c.deliver(9, 1, matched);
    for _ in 0..50 {
        c.tick_all(ms(10));
        let is_asked = c.wire.iter().any(|(_, to, m)| *to == 9 && matches!(m, Message::Sleep(_)));
        c.settle();
        if is_asked {
            c.deliver(9, 1, agreed.clone());
            c.settle();
        }
    }
    c.heal();
    c.run(ms(60_000));
    assert_eq!(c.committed(9), last, "it was left behind by a leader that sleeps");
}
