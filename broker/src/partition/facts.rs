//! What a partition needs to know of a record batch. Nothing of its records.

use raft_core::LogIndex;

use super::producers::{Numbered, ProducerId, sequence_plus};
use crate::record::{BatchHeader, Offset};

/// A batch of the log, in few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchFacts {
    /// The offset of its first record.
    pub(crate) base_offset: Offset,
    /// How many offsets it takes; at least 1.
    pub(crate) records: u32,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// The largest timestamp of its records, in milliseconds.
    pub(crate) max_timestamp: i64,
    /// Producer and sequence numbers; `None` for a producer that is not idempotent.
    pub(crate) numbered: Option<Numbered>,
}

impl BatchFacts {
    /// Reads the header of a batch; `None` when the bytes do not begin with one.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let header = BatchHeader::parse(bytes).ok()?;
        let last_delta = u32::try_from(header.last_offset_delta).ok()?;
        let numbered = ProducerId::new(header.producer_id).map(|producer| Numbered {
            producer,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: sequence_plus(header.base_sequence, last_delta),
        });
        Some(Self {
            base_offset: Offset::new(header.base_offset),
            records: last_delta.checked_add(1)?,
            bytes: bytes.len() as u64,
            max_timestamp: header.max_timestamp,
            numbered,
        })
    }

    /// The offset after its last record.
    pub(crate) fn end(&self) -> Offset {
        self.base_offset.plus(self.records)
    }
}

/// A batch of the log and its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// Its entry.
    pub(crate) index: LogIndex,
    /// What it is.
    pub(crate) facts: BatchFacts,
}
