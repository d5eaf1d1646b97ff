//! What a partition needs to know of a record batch. Nothing of its records.

use raft_core::LogIndex;

use super::producers::{Numbered, ProducerId, sequence_plus};
use crate::record::{BatchHeader, Offset};

/// A batch of the log, in few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchFacts {
    /// The offset of its first record.
    pub(super) base_offset: Offset,
    /// How many offsets it takes; at least 1.
    pub(super) records: u32,
    /// Its size in bytes.
    pub(super) bytes: u64,
    /// The largest timestamp of its records, in milliseconds.
    pub(super) max_timestamp: i64,
    /// Producer and sequence numbers; `None` for a producer that is not idempotent.
    pub(super) numbered: Option<Numbered>,
}

impl BatchFacts {
    /// Reads the header of a batch; `None` when the bytes are not one batch whose numbers make sense.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let header = BatchHeader::parse(bytes).ok()?;
        if header.size() != bytes.len() as u64 || header.base_offset < 0 {
            return None;
        }
        let last_delta = u32::try_from(header.last_offset_delta).ok()?;
        let numbered = ProducerId::new(header.producer_id).map(|producer| Numbered {
            producer,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: sequence_plus(header.base_sequence, last_delta),
        });
        if numbered.is_some_and(|numbered| numbered.base_sequence < 0 || numbered.epoch < 0) {
            return None;
        }
        Some(Self {
            base_offset: Offset::new(header.base_offset),
            records: last_delta.checked_add(1)?,
            bytes: bytes.len() as u64,
            max_timestamp: header.max_timestamp,
            numbered,
        })
    }

    /// The offset after its last record.
    pub(super) fn end(&self) -> Offset {
        self.base_offset.plus(self.records)
    }
}

/// The offsets of the first and the last record of a batch of the log; `None` when the bytes are no batch.
pub fn offsets_of(batch: &[u8]) -> Option<(Offset, Offset)> {
    let facts = BatchFacts::of(batch)?;
    Some((facts.base_offset, facts.base_offset.plus(facts.records.saturating_sub(1))))
}

/// A batch of the log and its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its entry.
    pub(super) index: LogIndex,
    /// What it is.
    pub(super) facts: BatchFacts,
}
