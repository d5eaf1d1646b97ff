//! Bugs that were found in review or simulation; each test tells its story and failed before the fix.

mod by_hand;

use std::time::Duration;

use by_hand::{GROUP, Net, PATIENCE};
use bytes::Bytes;
use raft_core::{Configuration, Learner, LogId, MembershipChange, NodeId};
use raft_net::frame::{Content, Frame};
use raft_net::node::Output;
use raft_net::{Consistency, Outcome};
use raft_wal::Fs;

#[test]
fn a_group_speaks_only_to_nodes_that_have_it() {
    let mut net = Net::new();
    let leader = net.leader();
    net.boot(4);
    net.connect_all();
    net.run(Duration::from_millis(300));
    net.delivered.clear();
    for _ in 0..20 {
        net.submit(leader, "hello");
        net.run(Duration::from_millis(5));
    }
    let to_stranger = net.delivered.iter().filter(|f| **f == (4, GROUP, true)).count();
    assert_eq!(to_stranger, 0, "frames to a node without the group, for 20 commands");
}

#[test]
fn a_lost_submit_is_sent_again_while_its_leader_lives() {
    let mut net = Net::new();
    let follower = net.follower();
    net.loses = |frame| matches!(frame.content, Content::Submit { .. });
    let ticket = net.submit(follower, "hello");
    net.settle();
    net.loses = |_| false;
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(follower, ticket), Some(&Outcome::Done(Bytes::from_static(b"5"))));
}

#[test]
fn a_lost_read_index_is_sent_again_while_its_leader_lives() {
    let mut net = Net::new();
    let follower = net.follower();
    net.loses =
        |frame| matches!(&frame.content, Content::Raft { message: raft_core::Message::ReadIndex(_), .. });
    let ticket = net.query(follower, Consistency::Linearizable);
    net.settle();
    net.loses = |_| false;
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(follower, ticket), Some(&Outcome::Done(Bytes::new())));
}

#[test]
fn writes_of_a_removed_group_say_nothing_about_a_new_one_of_its_name() {
    let mut net = Net::new();
    let leader = net.leader();
    let now = net.now;
    let held: Vec<u64> = net.stations.keys().copied().filter(|id| *id != leader).collect();
    let follower = held[0];
    net.stations.get_mut(&follower).unwrap().holds_disk = true;
    net.submit(leader, "hello");
    net.settle();
    // The append is on its way to the follower's disk. Its group goes, and comes back under the same name.
    let ticket = net.ticket();
    net.node(follower).remove_group(now, GROUP, ticket);
    net.open(follower);
    net.run(Duration::from_millis(10));
    let station = net.stations.get_mut(&follower).unwrap();
    if let Some((round, requests)) = station.disk.pop_front() {
        for request in &requests {
            station.fs.execute(request).unwrap();
        }
        station.node.disk_done(now, round);
    }
    let core = net.node(follower).core(GROUP).unwrap();
    assert_eq!(core.fault(), None, "of the new group");
    assert_eq!(core.durable(), raft_core::LogIndex::ZERO, "nothing of the new group is on disk");
}

#[test]
fn a_vote_in_a_new_group_does_not_leave_because_a_write_of_its_removed_namesake_is_durable() {
    for votes in 1..=4 {
        let mut net = Net::new();
        let leader = net.leader();
        let now = net.now;
        let follower = net.follower();
        net.stations.get_mut(&follower).unwrap().holds_disk = true;
        net.submit(leader, "hello");
        net.settle();
        let ticket = net.ticket();
        net.node(follower).remove_group(now, GROUP, ticket);
        net.open(follower);
        for term in 1..=votes {
            let vote = raft_core::Vote {
                term: raft_core::Term::new(100 + term),
                last: LogId::new(raft_core::Term::new(100), raft_core::LogIndex::new(100)),
            };
            let content = Content::Raft { message: raft_core::Message::Vote(vote), entries: Vec::new() };
            let (from, to) = (NodeId::new(leader), NodeId::new(follower));
            net.node(follower).receive(now, Frame { group: GROUP, from, to, content });
        }
        let station = net.stations.get_mut(&follower).unwrap();
        station.node.pump(now);
        let (round, requests) = station.disk.pop_front().expect("the append of hello");
        for request in &requests {
            station.fs.execute(request).unwrap();
        }
        station.node.disk_done(now, round);
        // The votes are in the next round, which is not written yet.
        while let Some(output) = station.node.poll_output() {
            if let Output::Send(Frame { content: Content::Raft { message, .. }, .. }) = output {
                let is_vote = matches!(message, raft_core::Message::VoteReply(reply) if reply.granted);
                assert!(!is_vote, "a vote left before it was on disk: {message:?}");
            }
        }
    }
}

#[test]
fn a_replica_that_missed_the_change_of_a_disk_follows_the_leader_on_the_new_one() {
    let mut net = Net::of(5);
    net.submit(1, "one ");
    net.run(Duration::from_millis(100));
    net.kill(2);
    // Node 3 loses its disk and takes part with another one from then on, which node 2 cannot know.
    let old = net.replica(3);
    net.kill(3);
    std::fs::remove_dir_all(net.dir.path().join("3")).unwrap();
    net.boot(3);
    net.open_with(3, Some(Configuration::none()));
    net.connect_all();
    let learner = Learner { replica: net.replica(3), replaces: Some(old) };
    assert_ne!(learner.replica, old);
    net.change(1, MembershipChange::AddLearner(learner));
    net.run(Duration::from_secs(1));
    assert_eq!(net.voters(1), Some(vec![1, 2, 3, 4, 5]));
    net.transfer(1, Some(3));
    net.run(Duration::from_millis(200));
    assert_eq!(net.leader(), 3);

    net.boot(2);
    net.open_with(2, None);
    assert!(net.node(2).core(GROUP).unwrap().membership().is_voter(old), "it was away");
    net.connect_all();
    net.run(Duration::from_millis(300));
    assert_eq!(net.leader(), 3);
    assert_eq!(net.read(2), "one ");
    assert!(!net.node(2).core(GROUP).unwrap().membership().is_voter(old));
}
