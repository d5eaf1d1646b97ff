//! What the state machine of a partition shares with its readers: where the committed batches lie.
//!
//! Written by the machine alone, at each apply; read by any number of tasks. Locks are held for a lookup, never
//! over an await or a disk read. Invariant: whatever it names is committed and applied.

use std::sync::{Mutex, MutexGuard, PoisonError};

use raft_core::LogIndex;

use super::epochs::EpochTable;
use super::facts::Placed;
use super::index::{BatchIndex, Place};
use crate::record::{LeaderEpoch, Offset};

/// Where the committed batches of a partition lie, shared between its machine and its readers.
#[derive(Debug, Default)]
pub struct PartitionState {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    index: BatchIndex,
    epochs: EpochTable,
    end: Offset,
}

/// Where to read from, and how far it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// A batch at or a little before the one asked for.
    pub(super) from: Place,
    /// The entry of the newest committed batch, inclusive.
    pub(super) last: LogIndex,
}

impl PartitionState {
    /// The epochs of the committed entries.
    pub fn epochs(&self) -> EpochTable {
        self.lock().epochs.clone()
    }

    /// The epoch under which the record at `offset` was written; `None` if it is not committed.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let inner = self.lock();
        (offset < inner.end).then(|| inner.epochs.at(offset))?
    }

    pub(super) fn note_epoch(&self, epoch: LeaderEpoch) {
        let mut inner = self.lock();
        let end = inner.end;
        inner.epochs.note(epoch, end);
    }

    pub(super) fn note_batch(&self, batch: &Placed) {
        let mut inner = self.lock();
        let place = Place { base_offset: batch.facts.base_offset, index: batch.index };
        inner.index.note(place, batch.facts.bytes, batch.facts.max_timestamp);
        inner.end = batch.facts.end();
    }

    /// Where to find the batch that holds `offset`; `None` at and above the high watermark.
    pub(super) fn stretch(&self, offset: Offset) -> Option<Stretch> {
        let inner = self.lock();
        if offset >= inner.end {
            return None;
        }
        Some(Stretch { from: inner.index.before_offset(offset)?, last: inner.index.newest()?.index })
    }

    /// No record before the offset returned has a timestamp of `timestamp` (milliseconds) or later. The high
    /// watermark when no record has.
    pub(super) fn search_hint(&self, timestamp: i64) -> Offset {
        let inner = self.lock();
        inner.index.before_timestamp(timestamp).map_or(inner.end, |place| place.base_offset)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete when it is made, so a panic elsewhere leaves nothing half done here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
