//! What the metadata is made of.

use raft_core::{Configuration, GroupId, LogIndex, ReplicaId};
use serde::{Deserialize, Serialize};

use super::names::{BrokerId, PartitionId, TopicId, TopicName};
use super::{MAX_PARTITIONS_PER_TOPIC, PRODUCER_IDS_PER_BLOCK};
use crate::address::HostPort;

/// A broker that has registered, alive or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    /// Its node and the disk under which it registered. The disk never changes: a broker that comes back with
    /// another one is refused.
    pub replica: ReplicaId,
    /// Where Kafka clients reach it.
    pub kafka: HostPort,
    /// Where other nodes reach it.
    pub peer: HostPort,
    /// Index of the entry that registered it first.
    pub registered_at: LogIndex,
}

impl Broker {
    /// Its id, as Kafka clients know it.
    pub fn id(&self) -> BrokerId {
        self.replica.node
    }
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Its name, unique among the topics that exist.
    pub name: TopicName,
    /// Its id, unique for ever.
    pub id: TopicId,
    /// Its partitions, by number: 1 to [`MAX_PARTITIONS_PER_TOPIC`]. Their groups share one incarnation and have
    /// consecutive numbers.
    pub partitions: Vec<Partition>,
    /// Index of the entry that created it.
    pub created_at: LogIndex,
}

impl Topic {
    /// The partition with this number, if there is one.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(id.as_usize())
    }

    /// The partitions with their numbers, ascending.
    pub fn numbered(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        (0..MAX_PARTITIONS_PER_TOPIC as u32).map(PartitionId::new).zip(&self.partitions)
    }
}

/// A partition: one Raft group and who votes in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its group. Number and incarnation are never used again, also not after the topic is deleted.
    pub group: GroupId,
    /// Its replicas: 1 to [`super::MAX_REPLICAS`], each on another broker. The first is the preferred leader.
    pub replicas: Vec<ReplicaId>,
}

impl Partition {
    /// The broker that should lead while nothing is wrong.
    pub fn preferred_leader(&self) -> Option<BrokerId> {
        self.replicas.first().map(|replica| replica.node)
    }

    /// Whether exactly this replica, disk included, holds it.
    pub fn is_on(&self, replica: ReplicaId) -> bool {
        self.replicas.contains(&replica)
    }

    /// The genesis configuration of its group: the preferred leader campaigns first.
    pub fn configuration(&self) -> Configuration {
        // What stands in the metadata was checked by `apply`, so there is always a configuration; should that law
        // ever break, the group gets no voter here and waits, instead of a wrong one.
        Configuration::new(self.replicas.iter().copied()).unwrap_or_default()
    }
}

/// A run of producer ids that belongs to one broker for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    /// The first id of the block. Never negative.
    pub first: i64,
}

impl ProducerIdBlock {
    /// The ids, ascending: [`PRODUCER_IDS_PER_BLOCK`] of them.
    pub fn ids(self) -> std::ops::Range<i64> {
        self.first..self.first.saturating_add(PRODUCER_IDS_PER_BLOCK as i64)
    }
}
