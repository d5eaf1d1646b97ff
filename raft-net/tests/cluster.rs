//! Three real nodes in one process: forming, forwarding, stopping, starting again.

mod common;

use bytes::Bytes;
use common::{Cluster, Counter, PATIENCE, add, command, id, leader, number, run, sum, until};
use raft_core::{Configuration, GroupId, ReplicaId};
use raft_net::{
    Consistency, GroupSpec, Membership, NodeHandle, OpenGroupError, Outcome, Refusal, StartError,
};

const ROOT: GroupId = GroupId::ROOT;

async fn stop_all(handles: Vec<NodeHandle>) {
    for handle in handles {
        handle.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_submitted_at_a_follower_is_read_everywhere() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    let leader = leader(&nodes).await;
    let follower = (leader + 1) % 3;
    assert_eq!(add(&nodes[follower], 5).await, 5);
    assert_eq!(add(&nodes[leader], 7).await, 12);
    for node in &nodes {
        assert_eq!(sum(node, Consistency::Linearizable).await, 12);
        assert_eq!(node.waiting_for(), vec![]);
        until("has two peers", node, |node| node.live().len() == 2).await;
    }
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_founder_leads_a_fresh_cluster() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    assert_eq!(leader(&nodes).await, 0);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_follower_that_comes_back_on_its_directory_catches_up() {
    let cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    let leader = leader(&nodes).await;
    let other = (leader + 1) % 3;
    assert_eq!(add(&nodes[leader], 1).await, 1);

    nodes[other].stop().await;
    assert_eq!(add(&nodes[leader], 2).await, 3);

    nodes[other] = cluster.start(other as u64 + 1).await;
    assert_eq!(sum(&nodes[other], Consistency::Linearizable).await, 3);
    assert_eq!(add(&nodes[other], 4).await, 7);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_go_on_without_a_stopped_leader() {
    let cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    let at = leader(&nodes).await;
    assert_eq!(add(&nodes[at], 1).await, 1);
    let old = nodes.remove(at);
    old.stop().await;
    assert_eq!(add(&nodes[0], 2).await, 3);
    assert_eq!(sum(&nodes[1], Consistency::Linearizable).await, 3);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_stopped_and_started_again_know_everything_that_was_answered() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    leader(&nodes).await;
    for n in 1..=10 {
        add(&nodes[n as usize % 3], n).await;
    }
    stop_all(nodes).await;
    let nodes = cluster.start_all().await;
    assert_eq!(sum(&nodes[2], Consistency::Linearizable).await, 55);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_founder_is_a_cluster() {
    let cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    assert_eq!(add(&node, 3).await, 3);
    node.stop().await;
    let node = cluster.start(1).await;
    assert_eq!(sum(&node, Consistency::Linearizable).await, 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_before_all_founders_have_met() {
    let cluster = Cluster::new(3);
    let first = cluster.start(1).await;
    let refused = first.submit(ROOT, command(1), PATIENCE).await;
    let waiting_for = vec![id(2), id(3)];
    assert_eq!(refused, Outcome::Refused(Refusal::Forming { waiting_for: waiting_for.clone() }));
    until("says whom it waits for", &first, |node| node.waiting_for() == waiting_for).await;

    let second = cluster.start(2).await;
    until("has heard the second", &first, |node| node.waiting_for() == vec![id(3)]).await;
    let third = cluster.start(3).await;
    until("is formed", &first, |node| node.waiting_for().is_empty()).await;
    assert_eq!(add(&first, 1).await, 1);
    stop_all(vec![first, second, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_joins_forwards_and_reads_and_comes_back() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    leader(&nodes).await;
    assert_eq!(add(&nodes[0], 1).await, 1);

    let learner = cluster.start(9).await;
    until("has joined", &learner, |node| node.waiting_for().is_empty()).await;
    assert_eq!(add(&learner, 2).await, 3);
    assert_eq!(sum(&learner, Consistency::Linearizable).await, 3);
    until("is connected to all founders", &learner, |node| node.live() == [id(1), id(2), id(3)]).await;
    learner.stop().await;

    let learner = cluster.start(9).await;
    assert_eq!(add(&learner, 4).await, 7);
    learner.stop().await;
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_founder_is_another_voter_and_gets_no_configuration() {
    let cluster = Cluster::new(3);
    let mut nodes = cluster.start_all().await;
    let leader = leader(&nodes).await;
    assert_eq!(add(&nodes[leader], 1).await, 1);
    let at = (leader + 1) % 3;
    nodes[at].stop().await;
    cluster.wipe(at as u64 + 1);

    nodes[at] = cluster.start(at as u64 + 1).await;
    // It has been answered, and still takes nothing.
    let others: Vec<_> = (0..3).filter(|n| *n != at).map(|n| id(n as u64 + 1)).collect();
    let waiting = Outcome::Refused(Refusal::Forming { waiting_for: others.clone() });
    until("waits for those who formed without it", &nodes[at], |node| node.waiting_for() == others).await;
    assert_eq!(nodes[at].submit(ROOT, command(1), PATIENCE).await, waiting);
    assert_eq!(nodes[at].status(ROOT), None);
    assert_eq!(add(&nodes[leader], 1).await, 2);
    stop_all(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn founders_that_were_told_of_different_founders_form_nothing() {
    let cluster = Cluster::new(2);
    let both = cluster.start(1).await;
    let mut config = cluster.config(2);
    config.founders.insert(id(3), "127.0.0.1:1".to_owned());
    let (other, _) = run(config).await.unwrap();
    until("refuses", &both, |node| node.counts().refusals >= 2).await;
    assert_eq!(both.waiting_for(), vec![id(2)]);
    stop_all(vec![both, other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_no_founders_stay_out_where_learners_are_not_admitted() {
    let cluster = Cluster::new(1);
    let mut config = cluster.config(1);
    config.admit_learners = false;
    let (node, _) = run(config).await.unwrap();
    assert_eq!(add(&node, 1).await, 1);
    let learner = cluster.start(9).await;
    until("refuses", &node, |node| node.counts().refusals >= 2).await;
    assert_eq!(learner.waiting_for(), vec![id(1)]);
    stop_all(vec![learner, node]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_learners_replicates_over_the_same_port_and_survives_its_leader() {
    let cluster = Cluster::new(1);
    let manager = cluster.start(1).await;
    let mut brokers = Vec::new();
    for node in 11..=13 {
        brokers.push(run(cluster.config(node)).await.unwrap());
    }
    let voters: Vec<ReplicaId> = brokers.iter().rev().map(|(broker, _)| broker.replica()).collect();
    let group = GroupId::new(1, 1);
    for (broker, _) in &brokers {
        until("has joined", broker, |node| node.waiting_for().is_empty()).await;
        for (peer, address) in &brokers {
            broker.add_peer(peer.id(), address.to_string()).await;
        }
        let genesis = Some(Configuration::new(voters.iter().copied()).unwrap());
        let machine = Box::new(Counter::default());
        broker.open_group(GroupSpec { group, genesis, note: Bytes::new(), machine }).await.unwrap();
    }
    let (first, _) = &brokers[0];
    until("knows the leader", first, |node| node.leader(group).is_some_and(|(_, leader)| leader == id(13)))
        .await;
    let done = first.submit(group, command(3), PATIENCE).await;
    assert!(matches!(&done, Outcome::Done(sum) if number(sum) == 3), "{done:?}");

    let (leader, _) = brokers.pop().unwrap();
    leader.stop().await;
    let done = brokers[0].0.submit(group, command(4), PATIENCE).await;
    assert!(matches!(&done, Outcome::Done(sum) if number(sum) == 7), "{done:?}");

    brokers[0].0.remove_group(group).await;
    assert_eq!(brokers[0].0.status(group), None);
    for (broker, _) in brokers {
        broker.stop().await;
    }
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused_and_free_again_after_a_stop() {
    let cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    let mut config = cluster.config(1);
    config.listen = ([127, 0, 0, 1], 0).into();
    let second = run(config).await;
    assert!(matches!(second, Err(StartError::Log(raft_wal::OpenError::Locked { .. }))));
    node.stop().await;
    cluster.start(1).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_refused() {
    let cluster = Cluster::new(1);
    let held = std::net::TcpListener::bind(cluster.address(1)).unwrap();
    assert!(matches!(cluster.try_start(1).await, Err(StartError::Bind { .. })));
    drop(held);
    cluster.start(1).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_founder_must_stand_in_its_own_list_and_a_learner_must_not() {
    let cluster = Cluster::new(1);
    let mut learner = cluster.config(1);
    learner.membership = Membership::Learner;
    let refused = run(learner).await;
    assert!(matches!(refused, Err(StartError::Membership { .. })));
    let mut founder = cluster.config(9);
    founder.membership = Membership::Founder;
    let refused = run(founder).await;
    assert!(matches!(refused, Err(StartError::Membership { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_stopped_node_is_refused() {
    let cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    assert_eq!(add(&node, 1).await, 1);
    node.stop().await;
    let refused = node.submit(ROOT, command(1), PATIENCE).await;
    assert_eq!(refused, Outcome::Refused(Refusal::Stopping));
    let spec = GroupSpec {
        group: GroupId::new(1, 1),
        genesis: Some(Configuration::none()),
        note: Bytes::new(),
        machine: Box::new(Counter::default()),
    };
    assert_eq!(node.open_group(spec).await.err(), Some(OpenGroupError::Stopping));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_with_its_last_handle() {
    let cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    let mut changes = node.changes();
    drop(node);
    // The board's other end is dropped with the node's task, and with it the directory is free.
    while changes.changed().await.is_ok() {}
    cluster.start(1).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_at_once_are_each_applied_once() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    leader(&nodes).await;
    let mut tasks = Vec::new();
    for n in 0..600 {
        let node = nodes[n % 3].clone();
        tasks.push(tokio::spawn(async move { node.submit(ROOT, command(1), PATIENCE).await }));
    }
    let mut sums = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Outcome::Done(sum) => sums.push(number(&sum)),
            other => panic!("{other:?}"),
        }
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=600).collect::<Vec<u64>>());
    stop_all(nodes).await;
}
