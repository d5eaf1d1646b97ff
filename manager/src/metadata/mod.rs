//! The replicated metadata: which brokers, topics and partitions there are.
//!
//! Everything here is pure and deterministic: the same commands at the same indexes give the same state on every
//! replica, byte for byte ([`Metadata::encode`]). No clock, no randomness (ids are drawn by whoever proposes), no
//! I/O. Who leads a partition and which broker is alive are not here; they are soft state of the nodes.
//!
//! Invariants ([`Metadata::check_invariants`]): group numbers are given out once and never again; a group is
//! either a partition of a topic or deleted, never both; every replica of a partition stands on a registered
//! broker, under the disk with which that broker is registered.

mod apply;
pub(crate) mod command;
mod encoding;
mod model;
mod names;
mod state;

pub use command::{
    AllocateProducerIdsRefused, Command, CreateTopicRefused, DeleteTopicRefused, RegisterBrokerRefused,
    Registration, Response, TopicCreated, TopicDeleted, TopicRef,
};
pub use encoding::DecodeError;
pub use model::{Broker, Partition, ProducerIdBlock, Topic};
pub use names::{BrokerId, MAX_TOPIC_NAME_BYTES, PartitionId, TopicId, TopicName, TopicNameError};
pub use state::Metadata;

/// The most partitions of one topic, inclusive.
pub const MAX_PARTITIONS_PER_TOPIC: usize = 10_000;

/// The most replicas of one partition, inclusive: as many as a group may have voters.
pub const MAX_REPLICAS: usize = raft_core::MAX_VOTERS;

/// The highest broker id, inclusive: Kafka's protocol has 31 bits for it.
pub const MAX_BROKER_ID: u64 = i32::MAX as u64;

/// How many producer ids a broker gets at a time.
pub const PRODUCER_IDS_PER_BLOCK: u64 = 1_000;

#[cfg(test)]
pub(crate) mod tests;
