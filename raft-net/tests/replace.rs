//! Real nodes over loopback: one takes the place of another, and leadership moves on request.

mod common;

use common::{Cluster, PATIENCE, add, id, leader, sum, until};
use raft_core::{GroupId, Learner, MembershipChange, NodeId};
use raft_net::{Consistency, NodeHandle, Outcome, Refusal};

const ROOT: GroupId = GroupId::ROOT;

/// Whether exactly these vote as far as the node knows, and nothing is changing.
fn is_settled(node: &NodeHandle, voters: &[NodeId]) -> bool {
    node.membership(ROOT).is_some_and(|membership| {
        let nodes = membership.voters().voters().iter().map(|voter| voter.node);
        !membership.is_joint() && membership.learners().is_empty() && nodes.eq(voters.iter().copied())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_node_replaces_a_voter_and_all_that_was_answered_outlives_a_restart() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    assert_eq!(leader(&nodes).await, 0, "the lowest one leads first");
    assert_eq!(add(&nodes[0], 1).await, 1);

    let fourth = cluster.start(4).await;
    until("has joined", &fourth, |node| node.cluster().is_some()).await;
    let old = nodes[2].replica();
    let change = MembershipChange::AddLearner(Learner { replica: fourth.replica(), replaces: Some(old) });
    // One other node is enough for the first to serve, so this one may hear of it last.
    let knows = |node: &NodeHandle| node.status(ROOT).is_some_and(|status| status.leader == Some(id(1)));
    until("knows who leads", &nodes[1], knows).await;
    let elsewhere = nodes[1].change_membership(ROOT, change.clone(), PATIENCE).await;
    assert_eq!(elsewhere, Outcome::Refused(Refusal::NotLeader { leader: Some(id(1)) }));
    let changed = nodes[0].change_membership(ROOT, change, PATIENCE).await;
    assert!(matches!(changed, Outcome::Done(_)), "{changed:?}");
    assert_eq!(add(&nodes[1], 2).await, 3);
    let voters = [id(1), id(2), id(4)];
    for node in nodes.iter().chain([&fourth]) {
        until("knows the new voters", node, |node| is_settled(node, &voters)).await;
    }

    // Who was replaced follows as every connected node does, and nobody waits for it.
    assert_eq!(add(&nodes[2], 3).await, 6);
    assert_eq!(sum(&nodes[2], Consistency::Linearizable).await, 6);
    nodes[2].stop().await;
    assert_eq!(add(&fourth, 4).await, 10);
    for node in nodes.iter().take(2).chain([&fourth]) {
        node.stop().await;
    }

    let mut nodes = vec![cluster.start(1).await, cluster.start(2).await, cluster.start(4).await];
    leader(&nodes).await;
    for node in &nodes {
        until("remembers the voters", node, |node| is_settled(node, &voters)).await;
        assert_eq!(sum(node, Consistency::Linearizable).await, 10);
    }
    // Two of the three are a majority only if the new one votes.
    nodes.remove(0).stop().await;
    assert_eq!(add(&nodes[1], 5).await, 15);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_on_request() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    let at = leader(&nodes).await;
    let next = (at + 1) % 3;
    let to = Some(nodes[next].id());
    let moved = nodes[at].transfer_leadership(ROOT, to, PATIENCE).await;
    assert!(matches!(moved, Outcome::Done(_)), "{moved:?}");
    until("leads and serves", &nodes[next], |node| node.status(ROOT).is_some_and(|s| s.serving)).await;
    assert_eq!(add(&nodes[at], 1).await, 1);
    let refused = nodes[at].transfer_leadership(ROOT, None, PATIENCE).await;
    assert_eq!(refused, Outcome::Refused(Refusal::NotLeader { leader: to }));
    for node in nodes {
        node.stop().await;
    }
}
