//! What a partition's state machine answers to a record batch, as bytes.
//!
//! The bytes pass from the machine to the broker through the node of the same process and are never stored or sent
//! to another version. Invariant: what is encoded here decodes to the same.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::record::Offset;

/// What became of a record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is committed, from this offset on. A retry gets the offset that the first attempt got.
    Appended {
        /// The offset of its first record.
        base_offset: i64,
    },
    /// It was not appended and will not be.
    Refused(BatchRefusal),
}

/// Why a record batch was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum BatchRefusal {
    /// A batch before this one is missing, or it is older than the batches remembered.
    #[error(
        "producer {producer} sent sequence {found} where {expected} must come next; a batch in between was lost"
    )]
    OutOfOrderSequence {
        /// Whose batch.
        producer: i64,
        /// The sequence number that must come next.
        expected: i32,
        /// The one that came.
        found: i32,
    },
    /// A producer of the same id and a higher epoch has taken over.
    #[error("producer {producer} sent epoch {found}, but epoch {current} has taken over")]
    StaleProducerEpoch {
        /// Whose batch.
        producer: i64,
        /// The current epoch.
        current: i16,
        /// The one that came.
        found: i16,
    },
    /// The bytes are no record batch.
    #[error("these bytes are no record batch of format 2")]
    NoBatch,
}

impl Answer {
    /// The batch is committed from `base_offset` on.
    pub const fn appended(base_offset: Offset) -> Self {
        Self::Appended { base_offset: base_offset.as_i64() }
    }

    /// Encodes it.
    pub fn to_bytes(self) -> Bytes {
        // Fixed-size numbers into a growing vector: nothing there can fail.
        postcard::to_allocvec(&self).map(Bytes::from).unwrap_or_default()
    }

    /// Decodes it; `None` when the bytes are no answer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_encoding() {
        let refusals = [
            BatchRefusal::OutOfOrderSequence { producer: 7, expected: i32::MAX, found: -1 },
            BatchRefusal::StaleProducerEpoch { producer: i64::MAX, current: i16::MAX, found: 0 },
            BatchRefusal::NoBatch,
        ];
        let appended = Answer::appended(Offset::ZERO.plus(u32::MAX));
        for answer in refusals.map(Answer::Refused).into_iter().chain([appended]) {
            assert_eq!(Answer::from_bytes(&answer.to_bytes()), Some(answer));
        }
        assert_eq!(Answer::from_bytes(b""), None);
    }
}
