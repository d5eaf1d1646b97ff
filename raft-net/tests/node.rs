//! What a node promises its application: commands, batches, reads, recovery, removal.

mod by_hand;

use std::time::Duration;

use by_hand::{GROUP, Net, PATIENCE};
use bytes::Bytes;
use raft_core::NodeId;
use raft_net::frame::Content;
use raft_net::node::Output;
use raft_net::{Board, Consistency, Outcome, Refusal};

#[test]
fn a_command_may_be_given_to_any_member_and_is_answered_from_its_own_state() {
    let mut net = Net::new();
    let follower = net.follower();
    let ticket = net.submit(follower, "hello");
    net.run(Duration::from_millis(200));
    assert_eq!(net.done(follower, ticket), "5");
    for id in 1..=3 {
        let read = net.query(id, Consistency::Linearizable);
        net.run(Duration::from_millis(200));
        assert_eq!(net.done(id, read), "hello");
    }
}

#[test]
fn a_batch_is_taken_by_the_leader_only_and_others_name_it() {
    let mut net = Net::new();
    let (leader, follower) = (net.leader(), net.follower());
    let now = net.now;
    let (refused, taken, answered) = (net.ticket(), net.ticket(), net.ticket());
    net.node(follower).propose(now, refused, GROUP, Bytes::from_static(b"abc"), PATIENCE);
    net.node(leader).propose(now, taken, GROUP, Bytes::from_static(b"abc"), PATIENCE);
    net.node(leader).propose(now, answered, GROUP, Bytes::new(), PATIENCE);
    net.run(Duration::from_millis(100));
    let named = Refusal::NotLeader { leader: Some(NodeId::new(leader)) };
    assert_eq!(net.answer(follower, refused), Some(&Outcome::Refused(named)));
    assert_eq!(net.done(leader, taken), "3");
    assert_eq!(net.done(leader, answered), "empty");
}

#[test]
fn nothing_is_answered_before_a_majority_has_it_on_disk() {
    let mut net = Net::new();
    let leader = net.leader();
    for (id, station) in &mut net.stations {
        station.holds_disk = *id != leader;
    }
    let ticket = net.submit(leader, "x");
    net.run(Duration::from_millis(300));
    assert_eq!(net.answer(leader, ticket), None);
    let follower = net.follower();
    net.stations.get_mut(&follower).unwrap().holds_disk = false;
    net.run(Duration::from_millis(300));
    assert_eq!(net.done(leader, ticket), "1");
}

#[test]
fn a_command_with_a_dying_leader_is_retried_and_applied_once() {
    let mut net = Net::new();
    let (leader, follower) = (net.leader(), net.follower());
    let ticket = net.submit(follower, "once");
    // The leader takes it, appends it and tells the others; its own answer and its commit are lost with it.
    let now = net.now;
    net.node(follower).pump(now);
    while let Some(output) = net.node(follower).poll_output() {
        let Output::Send(frame) = output else { continue };
        let station = net.stations.get_mut(&leader).unwrap();
        station.node.receive(now, frame);
        station.node.pump(now);
        while let Some(output) = station.node.poll_output() {
            match output {
                Output::Send(frame) if matches!(frame.content, Content::Raft { .. }) => {
                    net.wire.push_back(frame)
                }
                _ => {}
            }
        }
    }
    net.kill(leader);
    net.run(Duration::from_secs(1));
    assert_eq!(net.done(follower, ticket), "4");
    let read = net.query(follower, Consistency::Linearizable);
    net.run(Duration::from_millis(100));
    assert_eq!(net.done(follower, read), "once");
}

#[test]
fn without_a_majority_a_command_and_a_read_are_refused() {
    let mut net = Net::new();
    let survivor = net.follower();
    for id in (1..=3).filter(|id| *id != survivor) {
        net.kill(id);
    }
    net.run(Duration::from_secs(1));
    let (write, read) = (net.submit(survivor, "x"), net.query(survivor, Consistency::Linearizable));
    let local = net.query(survivor, Consistency::Local);
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(survivor, write), Some(&Outcome::Refused(Refusal::NoMajority)));
    assert_eq!(net.answer(survivor, read), Some(&Outcome::Refused(Refusal::NoMajority)));
    assert_eq!(net.done(survivor, local), "");
}

#[test]
fn a_leader_cut_off_after_appending_does_not_know_the_outcome() {
    let mut net = Net::new();
    let leader = net.leader();
    for id in (1..=3).filter(|id| *id != leader) {
        net.kill(id);
    }
    let ticket = net.submit(leader, "x");
    net.run(PATIENCE + Duration::from_millis(100));
    assert!(matches!(net.answer(leader, ticket), Some(Outcome::Unknown(_))));
}

#[test]
fn a_restarted_node_recovers_its_log_and_catches_up() {
    let mut net = Net::new();
    let victim = net.follower();
    net.kill(victim);
    let leader = net.leader();
    for _ in 0..20 {
        net.submit(leader, "word ");
    }
    net.run(Duration::from_millis(300));
    net.boot(victim);
    net.open(victim);
    net.connect_all();
    net.run(Duration::from_secs(1));
    let read = net.query(victim, Consistency::Linearizable);
    net.run(Duration::from_millis(200));
    assert_eq!(net.done(victim, read), "word ".repeat(20));
}

#[test]
fn the_winner_of_an_election_is_on_every_nodes_board() {
    let mut net = Net::new();
    let leader = net.leader();
    for station in net.stations.values_mut() {
        let mut board = Board::default();
        station.node.publish(&mut board);
        assert_eq!(board.leaders[&GROUP].1, NodeId::new(leader));
    }
}

#[test]
fn a_removed_group_leaves_nothing_on_disk() {
    let mut net = Net::new();
    let (now, ticket) = (net.now, net.ticket());
    net.node(1).remove_group(now, GROUP, ticket);
    net.run(Duration::from_millis(50));
    assert_eq!(net.done(1, ticket), "");
    net.kill(1);
    net.boot(1);
    assert!(net.node(1).recovered(GROUP).is_none());
}
