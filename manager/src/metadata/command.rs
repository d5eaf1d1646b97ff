//! What may be asked of the metadata, and every answer there is.
//!
//! A command lies in the log as postcard: the variant's number, then its fields. Variants are only ever added at
//! the end, and a field's type never changes. Bytes that are no command of this version are applied as no change
//! and answered [`Response::Malformed`]; managers of one cluster must therefore run the same version for now.

use bytes::Bytes;
use raft_core::{DiskId, GroupId, ReplicaId};
use serde::{Deserialize, Serialize};

use super::model::ProducerIdBlock;
use super::names::{BrokerId, TopicId, TopicName};
use super::{MAX_BROKER_ID, MAX_PARTITIONS_PER_TOPIC, MAX_REPLICAS};
use crate::address::HostPort;

/// A change of the metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A broker makes itself known, on every start.
    RegisterBroker {
        /// Its node and disk.
        replica: ReplicaId,
        /// Where Kafka clients reach it.
        kafka: HostPort,
        /// Where other nodes reach it.
        peer: HostPort,
    },
    /// Create one topic.
    CreateTopic {
        /// Its name.
        name: TopicName,
        /// Its id, drawn by the proposer.
        id: TopicId,
        /// The replicas of each partition, the preferred leader first, as placed by the proposer.
        assignments: Vec<Vec<ReplicaId>>,
    },
    /// Delete one topic and, for ever, the groups of its partitions.
    DeleteTopic {
        /// Which.
        topic: TopicRef,
    },
    /// Give a broker the next block of producer ids.
    AllocateProducerIds {
        /// Who gets it.
        broker: BrokerId,
    },
}

/// Which topic: by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicRef {
    /// The one that has this name when the command is applied.
    Name(TopicName),
    /// Exactly this one.
    Id(TopicId),
}

impl std::fmt::Display for TopicRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "topic '{name}'"),
            Self::Id(id) => write!(f, "topic with id {id}"),
        }
    }
}

/// What became of a command. Each refusal means that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The entry holds no command that this version knows. Nothing changed.
    Malformed,
    /// To [`Command::RegisterBroker`].
    RegisterBroker(Result<Registration, RegisterBrokerRefused>),
    /// To [`Command::CreateTopic`].
    CreateTopic(Result<TopicCreated, CreateTopicRefused>),
    /// To [`Command::DeleteTopic`].
    DeleteTopic(Result<TopicDeleted, DeleteTopicRefused>),
    /// To [`Command::AllocateProducerIds`].
    AllocateProducerIds(Result<ProducerIdBlock, AllocateProducerIdsRefused>),
}

/// What a registration changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// The broker was not known before.
    New,
    /// It was known, with the same disk, under another address.
    Moved,
    /// Nothing.
    Unchanged,
}

/// A topic that now exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCreated {
    /// Its id.
    pub id: TopicId,
    /// The group of its partition 0. The others have the same incarnation and the numbers that follow.
    pub first_group: GroupId,
    /// How many partitions it has.
    pub partitions: u32,
}

impl TopicCreated {
    /// The groups of its partitions, by partition number.
    pub fn groups(self) -> impl Iterator<Item = GroupId> {
        let first = self.first_group;
        (0..self.partitions).map(move |n| GroupId::new(first.number().saturating_add(n), first.incarnation()))
    }
}

/// A topic that no longer exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDeleted {
    /// The name it had.
    pub name: TopicName,
    /// The id it had.
    pub id: TopicId,
    /// How many groups were deleted with it.
    pub partitions: u32,
}

/// Why a broker was not registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterBrokerRefused {
    /// The node is known with another disk.
    #[error(
        "broker {broker} is registered with disk {registered}, but came with disk {offered}: its data directory was \
         wiped or replaced. Start it with the data directory it had, or under an id that was never used"
    )]
    OtherDisk {
        /// Which broker.
        broker: BrokerId,
        /// The disk it is registered with.
        registered: DiskId,
        /// The disk it came with.
        offered: DiskId,
    },
    /// Kafka's protocol has no room for the id.
    #[error(
        "broker id {broker} is above {MAX_BROKER_ID}, the highest that Kafka's protocol can carry; choose a lower one"
    )]
    IdTooHigh {
        /// Which broker.
        broker: BrokerId,
    },
}

/// Why a topic was not created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum CreateTopicRefused {
    /// The name is taken.
    #[error("topic '{name}' exists already, with id {id}")]
    Exists {
        /// The name.
        name: TopicName,
        /// The id of the topic that has it.
        id: TopicId,
    },
    /// The id is another topic's, or nil.
    #[error("{id} cannot be a new topic's id: it is nil or taken; draw another")]
    BadId {
        /// The id.
        id: TopicId,
    },
    /// No partition, or too many.
    #[error("{partitions} partitions were asked for; a topic has 1 to {MAX_PARTITIONS_PER_TOPIC}")]
    PartitionCount {
        /// How many were asked for.
        partitions: usize,
    },
    /// A partition without replicas, or with too many.
    #[error("partition {partition} would have {replicas} replicas; a partition has 1 to {MAX_REPLICAS}")]
    ReplicaCount {
        /// Which partition.
        partition: u32,
        /// How many it would have.
        replicas: usize,
    },
    /// Two replicas of a partition on one broker.
    #[error("partition {partition} would have two replicas on broker {broker}")]
    RepeatedBroker {
        /// Which partition.
        partition: u32,
        /// Which broker.
        broker: BrokerId,
    },
    /// A replica on a broker that is not registered.
    #[error("partition {partition} would have a replica on broker {broker}, which is not registered")]
    UnknownBroker {
        /// Which partition.
        partition: u32,
        /// Which broker.
        broker: BrokerId,
    },
    /// A replica on a disk that is not the broker's.
    #[error(
        "partition {partition} would have a replica on disk {asked} of broker {broker}, which has disk {registered}"
    )]
    OtherDisk {
        /// Which partition.
        partition: u32,
        /// Which broker.
        broker: BrokerId,
        /// The disk asked for.
        asked: DiskId,
        /// The disk with which the broker is registered.
        registered: DiskId,
    },
    /// Every group number or incarnation has been given out.
    #[error("the cluster has no group numbers left for {partitions} partitions")]
    Exhausted {
        /// How many partitions were asked for.
        partitions: usize,
    },
}

/// Why a topic was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteTopicRefused {
    /// There is no such topic.
    #[error("there is no {topic}")]
    Unknown {
        /// Which was asked for.
        topic: TopicRef,
    },
}

/// Why no producer ids were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateProducerIdsRefused {
    /// The broker is not registered.
    #[error("broker {broker} is not registered; it must register before it asks for producer ids")]
    UnknownBroker {
        /// Who asked.
        broker: BrokerId,
    },
    /// All 2^63 are given out.
    #[error("the cluster has no producer ids left")]
    Exhausted,
}

impl Command {
    /// The command as it lies in the log.
    pub fn encode(&self) -> Bytes {
        to_bytes(self)
    }

    /// Reads a command from the log. `None` if the bytes are not exactly one command of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        from_bytes(bytes)
    }
}

impl Response {
    /// The response as it travels.
    pub fn encode(&self) -> Bytes {
        to_bytes(self)
    }

    /// Reads a response. `None` if the bytes are not exactly one response of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        from_bytes(bytes)
    }
}

/// Encodes a value of our own. Postcard fails only when a sequence does not know its length or a writer is full;
/// no type here has such a sequence, and memory is the writer.
pub(crate) fn to_bytes<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(postcard::to_allocvec(value).expect("values of known length always encode into memory"))
}

/// Decodes exactly one value: bytes left over are as wrong as bytes missing. Postcard allocates no more for a
/// declared count than serde's cautious bound.
pub(crate) fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}
