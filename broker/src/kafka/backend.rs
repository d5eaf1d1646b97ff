//! What the Kafka edge needs of the broker behind it.
//!
//! The edge decodes requests, checks what can be checked from the bytes alone and words the answers. Whatever
//! needs the cluster goes through [`Backend`]; whatever reads one partition goes through [`PartitionRead`]. No
//! type of the wire codecs appears here, and no Kafka error number: errors say what happened, and
//! `error_code` translates them.
//!
//! *Invariant:* the edge never answers success for a produced batch before the [`Pending`] future of that
//! batch ended with `Ok`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use crate::record::{CheckedBatch, LeaderEpoch, Offset};

/// A broker as Kafka's wire numbers it: a node id that fits `i32` and is not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(i32);

impl BrokerId {
    /// Names the broker `id`; `None` if it is negative, which on the wire means "nobody".
    pub const fn new(id: i32) -> Option<Self> {
        if id < 0 { None } else { Some(Self(id)) }
    }

    /// The number, for the wire.
    pub const fn as_i32(self) -> i32 {
        self.0
    }
}

impl std::fmt::Display for BrokerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where clients reach a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Which broker.
    pub id: BrokerId,
    /// Host name or address that clients can resolve and reach.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The cluster as this broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// A constant name of the cluster, at most 64 bytes.
    pub cluster_id: String,
    /// The broker to which admin clients send their requests: any live one, since every broker forwards.
    pub controller: Option<BrokerId>,
    /// The brokers that may be handed to clients, sorted by id. Without the fenced ones.
    pub brokers: Vec<BrokerAddress>,
}

/// A topic as this broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Its id, for ever: a topic deleted and made anew under the same name has another one.
    pub id: Uuid,
    /// Its partitions: the one at position `p` has number `p`. Not empty.
    pub partitions: Vec<PartitionInfo>,
}

/// A partition as this broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Who leads it, under which epoch. Never a guess: `None` unless the winner of that epoch said so.
    pub leader: Option<(BrokerId, LeaderEpoch)>,
    /// The brokers that hold it, in the order of the metadata.
    pub replicas: Vec<BrokerId>,
    /// Those of `replicas` that are alive, as far as this broker knows.
    pub in_sync: Vec<BrokerId>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name. The edge has checked it with `crate::kafka::topic_name_fault`.
    pub name: String,
    /// How many partitions, at least 1; `None` for the broker's default.
    pub partitions: Option<u32>,
    /// How many replicas each, at least 1; `None` for the broker's default.
    pub replicas: Option<u16>,
}

/// Whether to do something or only to say whether it would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Do it.
    Do,
    /// Change nothing; answer as if it had been done.
    Validate,
}

/// A topic that was created (or, with [`Intent::Validate`], would be).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; `Uuid::nil()` if it was only validated.
    pub id: Uuid,
    /// How many partitions.
    pub partitions: u32,
    /// How many replicas each.
    pub replicas: u16,
}

/// Names a topic to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// By name: whichever topic has it when the delete is applied.
    Name(String),
    /// By id.
    Id(Uuid),
}

/// Why a topic could not be created, deleted or found. Every variant is a definite "nothing was done" except
/// [`TopicError::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// There is a topic of that name.
    #[error("topic {name:?} exists already")]
    Exists {
        /// Which.
        name: String,
    },
    /// There is no topic of that name, and it was not to be created.
    #[error("there is no topic {name:?}")]
    Absent {
        /// Which.
        name: String,
    },
    /// There is no topic with that id.
    #[error("there is no topic with id {id}")]
    AbsentId {
        /// Which.
        id: Uuid,
    },
    /// The name breaks Kafka's rules.
    #[error("topic name {name:?} is not legal: {fault}")]
    IllegalName {
        /// Which.
        name: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Too many partitions, or none.
    #[error("{asked} partitions were asked for: a topic has 1 to {limit}")]
    IllegalPartitions {
        /// How many were asked for.
        asked: i64,
        /// The largest allowed, inclusive.
        limit: u32,
    },
    /// More replicas than live brokers, or none.
    #[error("{asked} replicas were asked for, and {live} brokers are alive; ask for at most that many")]
    IllegalReplicas {
        /// How many were asked for.
        asked: i64,
        /// How many brokers could hold one.
        live: usize,
    },
    /// The request asks for something this broker does not do.
    #[error("{what} is not supported")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// The managers have no majority, or no manager could be reached: nothing was done.
    #[error("the managers have no majority or cannot be reached: nothing was done; try again")]
    NoManagers,
    /// The broker is shutting down: nothing was done.
    #[error("this broker is stopping: nothing was done; ask another one")]
    Stopping,
    /// It may have been done, or may still be.
    #[error("no answer within {waited:?}: it may have been done; look before you try again")]
    Unknown {
        /// How long it was waited for.
        waited: Duration,
    },
}

/// Why a partition did not do what it was asked. Each maps to exactly one Kafka error code; see
/// `crate::kafka::error_code`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// There is no such topic, or it has no such partition, or it was deleted meanwhile. Nothing was done.
    #[error("there is no such topic or partition")]
    Absent,
    /// Another broker leads, or nobody known. Nothing was done.
    #[error("this broker does not lead the partition")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<BrokerId>,
    },
    /// This broker won the partition, and has not yet committed an entry of its own term. Nothing was done.
    #[error("this broker leads the partition and has not committed an entry of its own term yet")]
    NotReady,
    /// Too much is waiting for this partition or broker. Nothing was done.
    #[error("too much is waiting; try again")]
    Overloaded,
    /// No majority of the replicas answered in time and nothing was appended.
    #[error("no majority of the replicas: nothing was appended")]
    NoMajority,
    /// The batch was appended and it is not known whether it is or will be committed: the time given ran out,
    /// or the leader changed. A retry by an idempotent producer is safe.
    #[error("unknown outcome: the batch may or may not be committed")]
    Unknown,
    /// The batch's sequence does not follow the producer's last one. Nothing was done.
    #[error("sequence out of order: expected {expected}, found {found}")]
    OutOfOrderSequence {
        /// The next sequence of this producer.
        expected: i32,
        /// The batch's base sequence.
        found: i32,
    },
    /// The producer's epoch is older than the one last seen. Nothing was done.
    #[error("producer epoch {found} is older than {current}")]
    FencedProducer {
        /// The newest epoch seen.
        current: i16,
        /// The batch's epoch.
        found: i16,
    },
    /// The batch is larger than an entry of the log may be. Nothing was done.
    #[error("the batch of {size} bytes is larger than {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest allowed, inclusive, in bytes.
        limit: usize,
    },
    /// The offset lies outside `[log start offset, high watermark]`.
    #[error("offset {asked} is outside {log_start}..={high_watermark}")]
    OffsetOutOfRange {
        /// What was asked for.
        asked: i64,
        /// First offset still held.
        log_start: Offset,
        /// First offset not yet visible.
        high_watermark: Offset,
    },
    /// The client's leader epoch is older than this one's.
    #[error("leader epoch {found} is older than {current}")]
    FencedLeaderEpoch {
        /// The partition's epoch here.
        current: LeaderEpoch,
        /// What the client sent.
        found: i32,
    },
    /// The client's leader epoch is newer than this one's.
    #[error("leader epoch {found} is newer than {current}, the newest known here")]
    UnknownLeaderEpoch {
        /// The partition's epoch here.
        current: LeaderEpoch,
        /// What the client sent.
        found: i32,
    },
    /// The log could not be read or written, or the replica is fenced: see this broker's log.
    #[error("the partition's log failed on this broker; see its log")]
    Storage,
    /// The broker is shutting down. Nothing was done.
    #[error("this broker is stopping")]
    Stopping,
}

/// Why no producer id could be given out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerIdError {
    /// The managers have no majority or cannot be reached, and this broker's block is used up.
    #[error("no block of producer ids: the managers cannot be reached; try again")]
    NoManagers,
}

/// A producer id with its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdentity {
    /// The id; unique in the cluster, for ever. Not negative.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// A batch that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of its first record. For a retry of a batch that is already committed: the original one.
    pub base_offset: Offset,
    /// First offset the partition still holds.
    pub log_start: Offset,
}

/// A batch on its way: ends when the batch is committed, refused, or its outcome is unknown.
///
/// The batch makes progress whether this future is polled or not, and dropping it takes nothing back.
pub type Pending = Pin<Box<dyn Future<Output = Result<Produced, PartitionError>> + Send>>;

/// Whether this replica may serve clients, and under which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// It leads and has committed an entry of its own term: it may serve.
    Serving(LeaderEpoch),
    /// It leads and has not committed an entry of its own term yet: it may take batches, and must not serve
    /// reads.
    Elected(LeaderEpoch),
    /// It does not lead.
    Elsewhere {
        /// Who does, if known.
        leader: Option<BrokerId>,
    },
}

/// What a replica knows of its partition. A picture; `high_watermark` and `log_start` never fall while the
/// leadership stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Whether it may serve.
    pub leadership: Leadership,
    /// First offset still held.
    pub log_start: Offset,
    /// First offset not yet visible to consumers (exclusive): everything below is committed.
    pub high_watermark: Offset,
}

impl PartitionView {
    /// The epoch under which reads may be served.
    ///
    /// # Errors
    /// [`PartitionError::NotReady`] and [`PartitionError::NotLeader`].
    pub fn serving(&self) -> Result<LeaderEpoch, PartitionError> {
        match self.leadership {
            Leadership::Serving(epoch) => Ok(epoch),
            Leadership::Elected(_) => Err(PartitionError::NotReady),
            Leadership::Elsewhere { leader } => Err(PartitionError::NotLeader { leader }),
        }
    }
}

/// How much [`PartitionRead::read`] may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// At most this many bytes; nothing, if already the first batch is larger.
    AtMost(usize),
    /// At most this many bytes, but the first batch in any case, so that a reader gets past a large batch.
    AtLeastOneBatch(usize),
}

/// One partition on this broker, as readers see it. Cheap to clone or hold (an `Arc` inside).
pub trait PartitionRead: Send + Sync + 'static {
    /// The current view, and a way to wait for its next change. The sender is dropped when the partition is
    /// deleted or the broker stops.
    fn watch(&self) -> watch::Receiver<PartitionView>;

    /// Reads whole batches in offset order, beginning with the one that contains `from`, ending below the high
    /// watermark. Each `Bytes` holds one or more whole batches exactly as they lie in the log. Empty when
    /// `from` is at the high watermark, or as `limit` says. `from` must not be below the log start.
    ///
    /// # Errors
    /// [`PartitionError::OffsetOutOfRange`] when `from` is outside `[log start, high watermark]`,
    /// [`PartitionError::Storage`], [`PartitionError::Absent`].
    fn read(
        &self,
        from: Offset,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<Vec<Bytes>, PartitionError>> + Send;

    /// A good place to begin looking for the first record at or after a point in time: no record before the
    /// returned offset has a timestamp of `timestamp_ms` or later. Without a time index: the log start.
    fn search_hint(&self, timestamp_ms: i64) -> Offset {
        let _ = timestamp_ms;
        self.watch().borrow().log_start
    }
}

/// The broker behind the Kafka edge. All methods may be called from any connection's task.
pub trait Backend: Send + Sync + 'static {
    /// One partition on this broker.
    type Partition: PartitionRead;

    /// The cluster, from this broker's own copy of the metadata. Does not block.
    fn cluster(&self) -> ClusterInfo;

    /// All topics by name, from this broker's own copy of the metadata. Does not block.
    fn topics(&self) -> BTreeMap<Arc<str>, Arc<TopicInfo>>;

    /// The topic of that name, from this broker's own copy of the metadata. Does not block.
    fn topic(&self, name: &str) -> Option<Arc<TopicInfo>>;

    /// The topic with that id, from this broker's own copy of the metadata. Does not block.
    fn topic_by_id(&self, id: Uuid) -> Option<Arc<TopicInfo>>;

    /// Creates the topic with the defaults if it is not there and the broker is configured to. Returns once
    /// every partition has a leader that this broker knows of, or after `patience` at the latest. The edge has
    /// checked the name. Called for Metadata requests with `allow_auto_topic_creation`.
    ///
    /// # Errors
    /// [`TopicError::Absent`] if topics are not created on first use.
    fn ensure_topic(
        &self,
        name: &str,
        patience: Duration,
    ) -> impl Future<Output = Result<Arc<TopicInfo>, TopicError>> + Send;

    /// Creates a topic, forwarding to the managers. With [`Intent::Do`] it returns once every partition has a
    /// leader that this broker knows of; should that take longer than `patience` (which it may still do after
    /// the topic is committed), the answer is [`TopicError::Unknown`].
    ///
    /// # Errors
    /// See [`TopicError`].
    fn create_topic(
        &self,
        topic: NewTopic,
        intent: Intent,
        patience: Duration,
    ) -> impl Future<Output = Result<CreatedTopic, TopicError>> + Send;

    /// Deletes a topic, forwarding to the managers. Returns once the delete is committed and applied here.
    ///
    /// # Errors
    /// See [`TopicError`].
    fn delete_topic(
        &self,
        topic: TopicRef,
        patience: Duration,
    ) -> impl Future<Output = Result<Arc<TopicInfo>, TopicError>> + Send;

    /// Hands a batch to the partition's leader on this broker, in two steps.
    ///
    /// This future ends when the batch has its place in the partition's order: of two batches handed over one
    /// after the other's `start_produce` ended, the first comes first in the log. It may wait while the broker
    /// is behind, and the connection reads no further request meanwhile. The [`Pending`] it returns ends when
    /// the batch is committed, at the latest after `patience`, whose time begins now. Under the edge only the
    /// oldest unfinished [`Pending`] of a connection is polled.
    ///
    /// # Errors
    /// See [`PartitionError`]; nothing was appended then.
    fn start_produce(
        &self,
        topic: &str,
        partition: i32,
        batch: CheckedBatch,
        patience: Duration,
    ) -> impl Future<Output = Result<Pending, PartitionError>> + Send;

    /// The partition, if this broker holds a replica of it.
    ///
    /// # Errors
    /// [`PartitionError::Absent`] if there is no such partition in the cluster, [`PartitionError::NotLeader`]
    /// if there is and this broker holds no replica of it.
    fn partition(&self, topic: &str, partition: i32) -> Result<Self::Partition, PartitionError>;

    /// A producer id that nobody had before.
    ///
    /// # Errors
    /// See [`ProducerIdError`].
    fn allocate_producer_id(&self) -> impl Future<Output = Result<ProducerIdentity, ProducerIdError>> + Send;

    /// The largest record batch a partition takes, inclusive, in bytes.
    fn max_batch_bytes(&self) -> usize {
        crate::record::DEFAULT_MAX_BATCH_BYTES
    }
}
