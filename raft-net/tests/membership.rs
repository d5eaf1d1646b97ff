//! Changing who takes part and who leads, while the group works and its nodes come and go.

mod by_hand;

use std::time::Duration;

use by_hand::{GROUP, Net, PATIENCE};
use bytes::Bytes;
use raft_core::{
    ChangeError, Configuration, Learner, LogId, LogIndex, Membership, MembershipChange, Message, NodeId,
    Snapshot, SnapshotOffer, Term, TransferError,
};
use raft_net::frame::{Content, Frame};
use raft_net::{Board, Doubt, Outcome, Refusal};

const DONE: Outcome = Outcome::Done(Bytes::new());

/// A node with an empty disk that has the group open and waits to be added.
fn boot_blank(net: &mut Net, id: u64) {
    net.boot(id);
    net.open_with(id, Some(Configuration::none()));
    net.connect_all();
}

fn add(net: &Net, id: u64, replaces: Option<u64>) -> MembershipChange {
    let replaces = replaces.map(|id| net.replica(id));
    MembershipChange::AddLearner(Learner { replica: net.replica(id), replaces })
}

fn voters(net: &Net, ids: &[u64]) -> MembershipChange {
    MembershipChange::Voters(Configuration::new(ids.iter().map(|id| net.replica(*id))).unwrap())
}

fn restart(net: &mut Net, ids: &[u64]) {
    for id in net.stations.keys().copied().collect::<Vec<_>>() {
        net.kill(id);
    }
    for id in ids {
        net.boot(*id);
        net.open_with(*id, None);
    }
    net.connect_all();
}

#[test]
fn a_blank_node_takes_a_voters_place_and_the_group_with_its_data_survives_a_restart_of_all() {
    let mut net = Net::new();
    net.submit(1, "one ");
    boot_blank(&mut net, 4);
    let ticket = net.change(1, add(&net, 4, Some(3)));
    net.submit(2, "two ");
    net.run(Duration::from_secs(1));
    assert_eq!(net.answer(1, ticket), Some(&DONE));
    for id in [1, 2, 4] {
        assert_eq!(net.voters(id), Some(vec![1, 2, 4]), "as node {id} knows");
        assert_eq!(net.read(id), "one two ");
        let mut board = Board::default();
        net.node(id).publish(&mut board);
        assert_eq!(board.memberships[&GROUP], *net.node(id).core(GROUP).unwrap().membership());
    }
    let gone = net.ticket();
    let now = net.now;
    net.node(3).remove_group(now, GROUP, gone);
    net.run(Duration::from_millis(50));
    assert_eq!(net.answer(3, gone), Some(&DONE));

    restart(&mut net, &[1, 2, 4]);
    net.run(Duration::from_secs(2));
    for id in [1, 2, 4] {
        assert_eq!(net.voters(id), Some(vec![1, 2, 4]), "as node {id} knows after a restart");
        assert_eq!(net.read(id), "one two ");
    }
    // The new one votes: with it, one of the old ones is enough.
    net.kill(1);
    net.run(Duration::from_secs(1));
    net.submit(4, "three ");
    net.run(Duration::from_millis(200));
    assert_eq!(net.read(2), "one two three ");
}

#[test]
fn a_leader_that_is_to_go_hands_over_and_its_node_says_when_that_is_done() {
    let mut net = Net::new();
    net.submit(1, "one ");
    let ticket = net.change(1, voters(&net, &[2, 3]));
    let began = net.now;
    while net.answer(1, ticket).is_none() {
        net.run(Duration::from_millis(5));
    }
    assert_eq!(net.answer(1, ticket), Some(&DONE));
    assert!(net.now.since(began) < Duration::from_millis(500), "without waiting for an election timeout");
    assert_eq!((net.voters(2), net.voters(3)), (Some(vec![2, 3]), Some(vec![2, 3])));
    assert_ne!(net.leader(), 1);
    net.kill(1);
    net.submit(2, "two ");
    net.run(Duration::from_millis(200));
    assert_eq!(net.read(3), "one two ");
}

#[test]
fn a_change_or_a_transfer_that_cannot_be_begun_is_refused_and_says_why() {
    let mut net = Net::new();
    boot_blank(&mut net, 4);
    let refused = |net: &mut Net, id, change: MembershipChange| {
        let ticket = net.change(id, change);
        net.settle();
        net.answer(id, ticket).cloned().expect("an answer at once")
    };
    let (remove, same, new, some) = (
        MembershipChange::RemoveLearner(net.replica(4)),
        voters(&net, &[1, 2, 3]),
        voters(&net, &[1, 2, 4]),
        add(&net, 4, None),
    );
    let not_leader = Refusal::NotLeader { leader: Some(NodeId::new(1)) };
    assert_eq!(refused(&mut net, 2, some), Outcome::Refused(not_leader.clone()));
    let no_change = Outcome::Refused(Refusal::Change(ChangeError::NoChange));
    assert_eq!(refused(&mut net, 1, same), no_change);
    let not_caught_up = ChangeError::NotCaughtUp { node: NodeId::new(4) };
    assert_eq!(refused(&mut net, 1, new), Outcome::Refused(Refusal::Change(not_caught_up)));
    let invalid = refused(&mut net, 1, remove);
    assert!(matches!(invalid, Outcome::Refused(Refusal::Change(ChangeError::Invalid(_)))), "{invalid:?}");

    let transfers = [(2, Some(3)), (1, Some(1)), (1, Some(4))].map(|(id, to)| (id, net.transfer(id, to)));
    net.settle();
    let nobody = |node| Outcome::Refused(Refusal::Transfer(TransferError::NoSuchVoter(NodeId::new(node))));
    let wanted = [Outcome::Refused(not_leader), nobody(1), nobody(4)];
    assert_eq!(transfers.map(|(id, ticket)| net.answer(id, ticket).cloned().unwrap()), wanted);
    assert_eq!(net.leader(), 1);
}

#[test]
fn leadership_moves_to_the_voter_that_was_named_and_commands_under_way_are_done() {
    let mut net = Net::new();
    let commands = [1, 2, 3].map(|id| (id, net.submit(id, "word ")));
    let ticket = net.transfer(1, Some(3));
    net.run(Duration::from_millis(200));
    assert_eq!(net.answer(1, ticket), Some(&DONE));
    assert_eq!(net.leader(), 3);
    for (id, ticket) in commands {
        assert!(matches!(net.answer(id, ticket), Some(Outcome::Done(_))), "of node {id}");
    }
    assert_eq!(net.read(1), "word ".repeat(3));
    let ticket = net.transfer(3, None);
    net.run(Duration::from_millis(200));
    assert_eq!(net.answer(3, ticket), Some(&DONE));
    assert_ne!(net.leader(), 3);
}

#[test]
fn a_transfer_to_a_voter_that_does_not_catch_up_ends_and_proposals_go_on() {
    let mut net = Net::new();
    net.loses = |frame| frame.to == NodeId::new(3);
    net.submit(1, "one ");
    net.settle();
    let transfer = net.transfer(1, Some(3));
    let (again, change, now) = (net.transfer(1, Some(2)), net.change(1, voters(&net, &[1, 2])), net.now);
    let (proposal, command) = (net.ticket(), net.submit(2, "two "));
    net.node(1).propose(now, proposal, GROUP, Bytes::from_static(b"three "), PATIENCE);
    net.settle();
    let transferring = Outcome::Refused(Refusal::Transferring { to: NodeId::new(3) });
    for ticket in [again, change, proposal] {
        assert_eq!(net.answer(1, ticket), Some(&transferring));
    }
    assert_eq!((net.answer(1, transfer), net.answer(2, command)), (None, None));
    net.run(Duration::from_secs(1));
    let kept = Outcome::Refused(Refusal::NotHandedOver { to: NodeId::new(3) });
    assert_eq!(net.answer(1, transfer), Some(&kept));
    assert!(matches!(net.answer(2, command), Some(Outcome::Done(_))), "it waited and was taken then");
    assert_eq!(net.leader(), 1);
}

#[test]
fn a_change_without_a_majority_is_unknown_when_its_time_runs_out() {
    let mut net = Net::new();
    for id in [2, 3] {
        net.stations.get_mut(&id).unwrap().holds_disk = true;
    }
    let (first, second) = (net.change(1, voters(&net, &[1, 2])), net.change(1, voters(&net, &[1, 3])));
    net.settle();
    let index = net.node(1).core(GROUP).unwrap().membership_index();
    let busy = Outcome::Refused(Refusal::Change(ChangeError::InProgress { index }));
    assert_eq!((net.answer(1, first), net.answer(1, second)), (None, Some(&busy)));
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(1, first), Some(&Outcome::Unknown(Doubt::TimedOut(PATIENCE))));
}

#[test]
fn a_change_that_a_new_leader_overwrites_is_unknown_and_the_membership_before_it_is_back() {
    let mut net = Net::new();
    net.loses = |frame| frame.to == NodeId::new(1) || frame.from == NodeId::new(1);
    let ticket = net.change(1, voters(&net, &[1, 2]));
    net.settle();
    assert_eq!(net.voters(1), None, "in force at once");
    net.run(Duration::from_millis(1500));
    assert_eq!(net.answer(1, ticket), None);
    net.submit(2, "two ");
    net.run(Duration::from_millis(100));
    net.loses = |_| false;
    net.run(Duration::from_millis(300));
    assert_eq!(net.answer(1, ticket), Some(&Outcome::Unknown(Doubt::LeaderChanged)));
    assert_eq!(net.voters(1), Some(vec![1, 2, 3]));
    assert_eq!(net.read(1), "two ");
}

#[test]
fn an_offer_of_a_snapshot_is_refused_and_counted_and_nothing_else_happens() {
    let mut net = Net::new();
    net.submit(1, "one ");
    net.run(Duration::from_millis(100));
    let last = LogId::new(Term::new(9), LogIndex::new(1000));
    let snapshot = Snapshot { last, membership: Membership::none() };
    let message = Message::Snapshot(SnapshotOffer { term: Term::new(9), snapshot, round: 1 });
    let content = Content::Raft { message, entries: Vec::new() };
    let (from, to, now) = (NodeId::new(3), NodeId::new(2), net.now);
    net.node(2).receive(now, Frame { group: GROUP, from, to, content });
    net.run(Duration::from_millis(100));
    assert_eq!(net.node(2).refused_snapshots(), 1);
    assert_eq!(net.node(2).core(GROUP).unwrap().fault(), None);
    assert_eq!(net.read(2), "one ");
}
