//! What a manager tells people and tools about the cluster: its health, and the picture of `GET /cluster`.
//!
//! Pure: [`Facts`] are gathered first, from the node's board and the local metadata, then read. The picture is
//! soft: it may be old, and no decision may rest on it. The names of its JSON fields are a contract; fields are
//! added, never renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use raft_core::{GroupId, NodeId, Term};
use raft_net::{Board, GroupStatus};
use serde::Serialize;

use crate::metadata::{Broker, Metadata, Topic};
use crate::peers::PeerList;

/// Everything a report is made from, as one manager sees it at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The manager that reports.
    pub manager: NodeId,
    /// All managers.
    pub managers: PeerList,
    /// The cluster's id, once it is formed and known.
    pub cluster: Option<String>,
    /// This manager's replica of the managers' group; `None` before it is open.
    pub root: Option<GroupStatus>,
    /// Who leads which group, by the highest term announced.
    pub leaders: BTreeMap<GroupId, (Term, NodeId)>,
    /// Nodes connected to this manager.
    pub live: BTreeSet<NodeId>,
    /// Managers that must answer before the cluster is formed.
    pub waiting_for: Vec<NodeId>,
    /// The metadata that this manager has applied.
    pub metadata: Arc<Metadata>,
}

/// Why a manager is not healthy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unhealthy {
    /// The cluster does not exist yet.
    #[error("the cluster is not formed yet: waiting for manager {}", list(.waiting_for))]
    Forming {
        /// The managers that have not answered yet.
        waiting_for: Vec<NodeId>,
    },
    /// Nobody is known to lead the managers' group.
    #[error("no leader is known: {connected} of {others} other managers are connected")]
    NoLeader {
        /// Other managers connected to this one.
        connected: usize,
        /// Other managers.
        others: usize,
    },
}

/// The body of `GET /cluster`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterReport {
    /// The cluster's id; `null` while unknown.
    pub cluster: Option<String>,
    /// The manager that reports.
    pub manager: u64,
    /// The manager that leads; `null` while unknown.
    pub leader: Option<u64>,
    /// The highest term known of the managers' group.
    pub term: u64,
    /// Last entry this manager knows to be committed, inclusive.
    pub commit: u64,
    /// Last entry this manager has applied, inclusive: what `brokers` and `topics` show.
    pub applied: u64,
    /// The managers, by id.
    pub managers: Vec<ManagerReport>,
    /// The registered brokers, by id.
    pub brokers: Vec<BrokerReport>,
    /// The topics, by name.
    pub topics: Vec<TopicReport>,
}

/// One manager.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ManagerReport {
    /// Its node id.
    pub id: u64,
    /// `HOST:PORT` of its peer port.
    pub address: String,
    /// Whether it is connected to the reporting manager, or is that manager.
    pub connected: bool,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BrokerReport {
    /// Its node id.
    pub id: u64,
    /// The incarnation of its disk, 32 hexadecimal digits.
    pub disk: String,
    /// `HOST:PORT` for Kafka clients.
    pub kafka: String,
    /// `HOST:PORT` of its peer port.
    pub peer: String,
    /// Whether it is connected to the reporting manager.
    pub live: bool,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicReport {
    /// Its name.
    pub name: String,
    /// Its UUID, with hyphens.
    pub id: String,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionReport>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PartitionReport {
    /// Its number, from 0.
    pub partition: u32,
    /// Its group, as `NUMBER.INCARNATION`.
    pub group: String,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<u64>,
    /// The broker that leads it; `null` while none has been announced.
    pub leader: Option<u64>,
    /// The term of that leader; `null` like it.
    pub term: Option<u64>,
}

impl Facts {
    /// Copies what a report needs from the board. The node's task waits meanwhile, so nothing is computed here.
    pub fn gather(manager: NodeId, managers: &PeerList, board: &Board, metadata: Arc<Metadata>) -> Self {
        Self {
            manager,
            managers: managers.clone(),
            cluster: board.cluster.map(|cluster| cluster.to_string()),
            root: board.groups.get(&GroupId::ROOT).copied(),
            leaders: board.leaders.clone(),
            live: board.live.iter().copied().collect(),
            waiting_for: board.waiting_for.clone(),
            metadata,
        }
    }

    /// Whether this manager knows a leader, which it does only while it hears from one.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn health(&self) -> Result<(), Unhealthy> {
        if self.root_leader().is_some() {
            return Ok(());
        }
        if !self.waiting_for.is_empty() {
            return Err(Unhealthy::Forming { waiting_for: self.waiting_for.clone() });
        }
        let others = self.managers.iter().filter(|(id, _)| *id != self.manager);
        let connected = others.filter(|(id, _)| self.live.contains(id)).count();
        Err(Unhealthy::NoLeader { connected, others: self.managers.len().saturating_sub(1) })
    }

    /// The picture of the cluster.
    pub fn cluster(&self) -> ClusterReport {
        let root = self.root.as_ref();
        ClusterReport {
            cluster: self.cluster.clone(),
            manager: self.manager.as_u64(),
            leader: self.root_leader().map(NodeId::as_u64),
            term: root.map_or(0, |status| status.term.as_u64()),
            commit: root.map_or(0, |status| status.commit.as_u64()),
            applied: root.map_or(0, |status| status.applied.as_u64()),
            managers: self.managers.iter().map(|(id, address)| self.manager_report(id, address)).collect(),
            brokers: self.metadata.brokers().map(|broker| self.broker_report(broker)).collect(),
            topics: self.metadata.topics().map(|topic| self.topic_report(topic)).collect(),
        }
    }

    /// The leader as this manager's own replica knows it. Announcements of other nodes are not asked: they are
    /// never taken back when a leader falls silent.
    fn root_leader(&self) -> Option<NodeId> {
        self.root.and_then(|status| status.leader)
    }

    fn manager_report(&self, id: NodeId, address: &crate::HostPort) -> ManagerReport {
        let connected = id == self.manager || self.live.contains(&id);
        ManagerReport { id: id.as_u64(), address: address.to_string(), connected }
    }

    fn broker_report(&self, broker: &Broker) -> BrokerReport {
        BrokerReport {
            id: broker.id().as_u64(),
            disk: broker.replica.disk.to_string(),
            kafka: broker.kafka.to_string(),
            peer: broker.peer.to_string(),
            live: self.live.contains(&broker.id()),
        }
    }

    fn topic_report(&self, topic: &Topic) -> TopicReport {
        let partitions = topic.numbered().map(|(id, partition)| {
            let leads = self.leaders.get(&partition.group);
            PartitionReport {
                partition: id.as_u32(),
                group: partition.group.to_string(),
                replicas: partition.replicas.iter().map(|replica| replica.node.as_u64()).collect(),
                leader: leads.map(|(_, node)| node.as_u64()),
                term: leads.map(|(term, _)| term.as_u64()),
            }
        });
        TopicReport {
            name: topic.name.to_string(),
            id: topic.id.to_string(),
            partitions: partitions.collect(),
        }
    }
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use raft_core::{LogIndex, RoleKind};
    use serde_json::json;

    use super::*;
    use crate::metadata::tests::{apply_all, create, register};

    /// Manager 101 of three as it sees a small cluster that 102 leads.
    pub(crate) fn facts() -> Facts {
        let mut board = Board::default();
        let status = GroupStatus {
            role: RoleKind::Follower,
            term: Term::new(4),
            leader: Some(NodeId::new(102)),
            serving: false,
            commit: LogIndex::new(9),
            applied: LogIndex::new(8),
            last: LogIndex::new(10),
        };
        board.groups.insert(GroupId::ROOT, status);
        board.leaders.insert(GroupId::new(1, 1), (Term::new(2), NodeId::new(2)));
        board.live = vec![NodeId::new(2), NodeId::new(102)];
        let managers: PeerList = "101=127.0.0.1:7101,102=127.0.0.1:7102,103=127.0.0.1:7103".parse().unwrap();
        let metadata = apply_all(&[register(1), register(2), create("lines", 7, &[&[2, 1], &[1, 2]])]);
        Facts::gather(NodeId::new(101), &managers, &board, Arc::new(metadata))
    }

    #[test]
    fn the_picture_of_the_cluster_has_the_promised_fields() {
        let expected = json!({
            "cluster": null, "manager": 101, "leader": 102, "term": 4, "commit": 9, "applied": 8,
            "managers": [
                {"id": 101, "address": "127.0.0.1:7101", "connected": true},
                {"id": 102, "address": "127.0.0.1:7102", "connected": true},
                {"id": 103, "address": "127.0.0.1:7103", "connected": false},
            ],
            "brokers": [
                {"id": 1, "disk": "000000000000000000000000d15c0001", "kafka": "127.0.0.1:9092",
                 "peer": "127.0.0.1:7001", "live": false},
                {"id": 2, "disk": "000000000000000000000000d15c0002", "kafka": "127.0.0.1:9093",
                 "peer": "127.0.0.1:7002", "live": true},
            ],
            "topics": [{"name": "lines", "id": "00000000-0000-0000-0000-000000000007", "partitions": [
                {"partition": 0, "group": "1.1", "replicas": [2, 1], "leader": 2, "term": 2},
                {"partition": 1, "group": "2.1", "replicas": [1, 2], "leader": null, "term": null},
            ]}],
        });
        assert_eq!(serde_json::to_value(facts().cluster()).unwrap(), expected);
    }

    #[test]
    fn a_manager_is_healthy_exactly_while_it_knows_a_leader() {
        let mut facts = facts();
        assert_eq!(facts.health(), Ok(()));
        // An announcement outlives its leader, so it does not count.
        facts.leaders.insert(GroupId::ROOT, (Term::new(4), NodeId::new(102)));
        facts.root.as_mut().unwrap().leader = None;
        let error = facts.health().unwrap_err();
        assert_eq!(error.to_string(), "no leader is known: 1 of 2 other managers are connected");
        facts.root = None;
        facts.waiting_for = vec![NodeId::new(102), NodeId::new(103)];
        let error = facts.health().unwrap_err();
        assert_eq!(error.to_string(), "the cluster is not formed yet: waiting for manager 102, 103");
        assert_eq!(facts.cluster().leader, None);
    }
}
