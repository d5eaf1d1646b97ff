//! The one place where what happened becomes a Kafka error number.
//!
//! Each error has exactly one code. Chosen so that the clients in the field do the right thing: after a definite
//! "nothing was done" that may pass they retry, after an unknown outcome they retry only as their idempotence
//! allows, and they never drop a batch because of a code that they do not know from that request. `NotReady`,
//! for one, is not OFFSET_NOT_AVAILABLE: librdkafka fails a produced message for good on that.

use kafka_protocol::ResponseError;

use super::backend::{PartitionError, ProducerIdError, TopicError};
use crate::record::BatchError;

/// The code of a partition's error.
pub(crate) fn of_partition(error: &PartitionError) -> ResponseError {
    match error {
        PartitionError::Absent => ResponseError::UnknownTopicOrPartition,
        PartitionError::NotLeader { .. } | PartitionError::NotReady | PartitionError::Stopping => {
            ResponseError::NotLeaderOrFollower
        }
        PartitionError::Overloaded | PartitionError::NoMajority => ResponseError::NotEnoughReplicas,
        PartitionError::Unknown => ResponseError::RequestTimedOut,
        PartitionError::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        PartitionError::FencedProducer { .. } => ResponseError::InvalidProducerEpoch,
        PartitionError::TooLarge { .. } => ResponseError::MessageTooLarge,
        PartitionError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
        PartitionError::FencedLeaderEpoch { .. } => ResponseError::FencedLeaderEpoch,
        PartitionError::UnknownLeaderEpoch { .. } => ResponseError::UnknownLeaderEpoch,
        PartitionError::Storage => ResponseError::KafkaStorageError,
    }
}

/// The code of a batch that was refused for what its bytes say.
pub(crate) fn of_batch(error: &BatchError) -> ResponseError {
    match error {
        BatchError::CutOff { .. } | BatchError::Length { .. } | BatchError::Crc { .. } => {
            ResponseError::CorruptMessage
        }
        BatchError::Missing
        | BatchError::Trailing { .. }
        | BatchError::Magic { .. }
        | BatchError::Count { .. }
        | BatchError::Records { .. }
        | BatchError::Control
        | BatchError::Attributes { .. }
        | BatchError::Sequence { .. } => ResponseError::InvalidRecord,
        BatchError::Transactional => ResponseError::InvalidTxnState,
        BatchError::LogAppendTime => ResponseError::InvalidTimestamp,
        BatchError::Codec { .. } | BatchError::ZstdTooEarly => ResponseError::UnsupportedCompressionType,
        BatchError::TooLarge { .. } => ResponseError::MessageTooLarge,
    }
}

/// The code of a topic's error, for requests that create or delete topics.
pub(crate) fn of_topic(error: &TopicError) -> ResponseError {
    match error {
        TopicError::Exists { .. } => ResponseError::TopicAlreadyExists,
        TopicError::Absent { .. } => ResponseError::UnknownTopicOrPartition,
        TopicError::AbsentId { .. } => ResponseError::UnknownTopicId,
        TopicError::IllegalName { .. } => ResponseError::InvalidTopicException,
        TopicError::IllegalPartitions { .. } => ResponseError::InvalidPartitions,
        TopicError::IllegalReplicas { .. } => ResponseError::InvalidReplicationFactor,
        TopicError::Unsupported { .. } => ResponseError::InvalidRequest,
        TopicError::NoManagers | TopicError::Stopping => ResponseError::NotController,
        TopicError::Unknown { .. } => ResponseError::RequestTimedOut,
    }
}

/// The code of a topic's error in Metadata, where a topic that may yet come is one without a leader: clients ask
/// again.
pub(crate) fn of_topic_in_metadata(error: &TopicError) -> ResponseError {
    match error {
        TopicError::NoManagers
        | TopicError::Stopping
        | TopicError::Unknown { .. }
        | TopicError::IllegalReplicas { .. } => ResponseError::LeaderNotAvailable,
        other => of_topic(other),
    }
}

/// The code for a producer id that could not be given out.
pub(crate) fn of_producer_id(error: &ProducerIdError) -> ResponseError {
    match error {
        ProducerIdError::NoManagers => ResponseError::CoordinatorNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{LeaderEpoch, Offset};

    #[test]
    fn what_may_pass_is_retriable_and_what_is_decided_is_not() {
        let current = LeaderEpoch::default();
        let retriable = [
            PartitionError::Absent,
            PartitionError::NotLeader { leader: None },
            PartitionError::NotReady,
            PartitionError::Overloaded,
            PartitionError::NoMajority,
            PartitionError::Unknown,
            PartitionError::FencedLeaderEpoch { current, found: 1 },
            PartitionError::UnknownLeaderEpoch { current, found: 1 },
            PartitionError::Storage,
            PartitionError::Stopping,
        ];
        for error in retriable {
            assert!(of_partition(&error).is_retriable(), "{error:?}");
        }
        let (log_start, high_watermark) = (Offset::ZERO, Offset::ZERO);
        let decided = [
            PartitionError::OutOfOrderSequence { expected: 1, found: 2 },
            PartitionError::FencedProducer { current: 1, found: 0 },
            PartitionError::TooLarge { size: 2, limit: 1 },
            PartitionError::OffsetOutOfRange { asked: 1, log_start, high_watermark },
        ];
        for error in decided {
            assert!(!of_partition(&error).is_retriable(), "{error:?}");
        }
    }
}
