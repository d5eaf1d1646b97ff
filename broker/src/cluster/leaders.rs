//! Who leads, who is alive: the soft state of the node in the words of the Kafka edge.
//!
//! Invariant: a leader is named only when the winner of that term said so and is connected to this node.

use std::sync::Arc;

use manager::metadata::{Metadata, Partition, Topic};
use raft_core::{GroupId, NodeId};
use raft_net::NodeHandle;
use tokio::time::Instant;

use crate::kafka::{BrokerAddress, BrokerId, ClusterInfo, PartitionInfo, TopicInfo};
use crate::record::LeaderEpoch;

/// A node as Kafka's wire numbers it; `None` for a node that can be no broker.
pub(super) fn broker_id(node: NodeId) -> Option<BrokerId> {
    i32::try_from(node.as_u64()).ok().and_then(BrokerId::new)
}

/// The nodes that this one can reach, itself included, ascending.
pub(super) fn live(handle: &NodeHandle) -> Vec<NodeId> {
    let mut live = handle.live();
    live.push(handle.id());
    live.sort_unstable();
    live.dedup();
    live
}

/// Who leads a group, if that is known and the leader is alive as far as this node can see.
pub(super) fn leader(handle: &NodeHandle, group: GroupId, live: &[NodeId]) -> Option<(NodeId, LeaderEpoch)> {
    let (term, node) = handle.leader(group)?;
    live.binary_search(&node).is_ok().then(|| (node, LeaderEpoch::from_term(term)))
}

/// The cluster as clients are shown it: all brokers, also those that are away. A client that loses a broker from its
/// list in the answer that names a new leader (librdkafka) forgets that leader again until its next scan, a second
/// later; and a broker that is away mostly comes back.
pub(super) fn cluster(metadata: &Metadata, handle: &NodeHandle) -> ClusterInfo {
    let brokers = metadata
        .brokers()
        .filter_map(|broker| {
            let (host, port) = (broker.kafka.host().to_owned(), broker.kafka.port());
            Some(BrokerAddress { id: broker_id(broker.id())?, host, port })
        })
        .collect();
    let cluster_id = handle.cluster().map_or_else(String::new, |cluster| cluster.to_string());
    ClusterInfo { cluster_id, controller: broker_id(handle.id()), brokers }
}

/// A topic as clients are shown it.
pub(super) fn topic(handle: &NodeHandle, topic: &Topic, live: &[NodeId]) -> Arc<TopicInfo> {
    let partition = |partition: &Partition| {
        let ids = |nodes: &mut dyn Iterator<Item = NodeId>| nodes.filter_map(broker_id).collect::<Vec<_>>();
        let nodes = || partition.replicas.iter().map(|replica| replica.node);
        let leader = leader(handle, partition.group, live);
        PartitionInfo {
            leader: leader.and_then(|(node, epoch)| Some((broker_id(node)?, epoch))),
            replicas: ids(&mut nodes()),
            in_sync: ids(&mut nodes().filter(|node| live.binary_search(node).is_ok())),
        }
    };
    Arc::new(TopicInfo {
        name: Arc::from(topic.name.as_str()),
        id: topic.id.as_uuid(),
        partitions: topic.partitions.iter().map(partition).collect(),
    })
}

/// Waits until each of the groups has a leader that this node can reach; `false` when that took too long or the
/// node stopped.
pub(super) async fn wait_for_leaders(handle: &NodeHandle, groups: &[GroupId], deadline: Instant) -> bool {
    let mut changes = handle.changes();
    // Once led counts: what is asked is whether the groups have come to life.
    let mut waiting: Vec<GroupId> = groups.to_vec();
    loop {
        changes.borrow_and_update();
        let live = live(handle);
        waiting.retain(|group| leader(handle, *group, &live).is_none());
        if waiting.is_empty() {
            return true;
        }
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}
