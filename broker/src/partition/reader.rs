//! Reads committed batches of a partition, from any task, beside the node.
//!
//! The bytes are those of the log, by reference. Entries in memory are taken at once; for others a blocking thread
//! reads the files, so that no task waits for a disk on a runtime thread. Invariant: only whole batches below the
//! high watermark, in offset order, without a gap.

use std::sync::Arc;

use bytes::Bytes;
use raft_core::LogIndex;
use raft_wal::{Entry, EntryKind, LogReader, ReadError};
use tokio::sync::watch;

use super::facts::BatchFacts;
use super::state::{PartitionState, Stretch};
use crate::kafka::{PartitionError, PartitionRead, PartitionView, ReadLimit};
use crate::record::Offset;

/// The least and the most that is read from the log at once, in bytes.
const PIECE_MIN: usize = 64 * 1024;
const PIECE_MAX: usize = 4 * 1024 * 1024;

/// One partition, as readers on this broker hold it. Cheap to clone.
#[derive(Clone)]
pub struct Partition {
    view: watch::Receiver<PartitionView>,
    state: Arc<PartitionState>,
    log: LogReader,
}

impl Partition {
    /// Pairs what the machine shares with a reader of its log.
    pub fn new(view: watch::Receiver<PartitionView>, state: Arc<PartitionState>, log: LogReader) -> Self {
        Self { view, state, log }
    }

    /// What the machine shares.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    async fn entries(&self, first: LogIndex, last: LogIndex, bytes: u64) -> Result<Vec<Entry>, ReadError> {
        if self.log.measure(first, last, bytes).is_some() {
            return self.log.read_from(first, last, bytes);
        }
        let log = self.log.clone();
        match tokio::task::spawn_blocking(move || log.read_from(first, last, bytes)).await {
            Ok(read) => read,
            // Only when the runtime stops.
            Err(_) => Err(ReadError::UnknownGroup { group: self.log.group() }),
        }
    }

    async fn collect(&self, from: Offset, limit: ReadLimit, until: Offset, within: Stretch) -> Result<Vec<Bytes>, ReadError> {
        let mut basket = Basket::new(from, until, limit, within.from.base_offset);
        let mut next = within.from.index;
        while next <= within.last && !basket.full {
            let piece = basket.room().clamp(PIECE_MIN, PIECE_MAX) as u64;
            let entries = self.entries(next, within.last, piece).await?;
            let Some(reached) = entries.last().map(|entry| entry.id.index) else { break };
            entries.iter().for_each(|entry| basket.offer(entry));
            next = reached.next();
        }
        Ok(basket.batches)
    }
}

impl PartitionRead for Partition {
    fn watch(&self) -> watch::Receiver<PartitionView> {
        self.view.clone()
    }

    async fn read(&self, from: Offset, limit: ReadLimit) -> Result<Vec<Bytes>, PartitionError> {
        let PartitionView { log_start, high_watermark, .. } = *self.view.borrow();
        if from < log_start || from > high_watermark {
            let asked = from.as_i64();
            return Err(PartitionError::OffsetOutOfRange { asked, log_start, high_watermark });
        }
        let Some(stretch) = self.state.stretch(from) else { return Ok(Vec::new()) };
        self.collect(from, limit, high_watermark, stretch).await.map_err(|error| match error {
            ReadError::UnknownGroup { .. } => PartitionError::Absent,
            other => {
                tracing::error!(group = %self.log.group(), error = %other, "fetch: the log cannot be read");
                PartitionError::Storage
            }
        })
    }

    fn search_hint(&self, timestamp_ms: i64) -> Offset {
        self.state.search_hint(timestamp_ms)
    }
}

/// Takes batches until the limit is reached.
struct Basket {
    /// Batches that end at or before this are passed over.
    from: Offset,
    /// No batch that ends after this is taken.
    until: Offset,
    limit: ReadLimit,
    /// Where the next batch of the log begins. Whatever begins elsewhere took no offset.
    next: Offset,
    batches: Vec<Bytes>,
    bytes: usize,
    full: bool,
}

impl Basket {
    fn new(from: Offset, until: Offset, limit: ReadLimit, next: Offset) -> Self {
        Self { from, until, limit, next, batches: Vec::new(), bytes: 0, full: false }
    }

    fn room(&self) -> usize {
        let (ReadLimit::AtMost(most) | ReadLimit::AtLeastOneBatch(most)) = self.limit;
        most.saturating_sub(self.bytes)
    }

    fn fits(&self, bytes: usize) -> bool {
        let first_in_any_case = matches!(self.limit, ReadLimit::AtLeastOneBatch(_)) && self.batches.is_empty();
        first_in_any_case || bytes <= self.room()
    }

    fn offer(&mut self, entry: &Entry) {
        if self.full || entry.kind != EntryKind::Batch {
            return;
        }
        let Some(facts) = BatchFacts::of(&entry.payload).filter(|facts| facts.base_offset == self.next) else {
            return;
        };
        self.next = facts.end();
        if facts.end() <= self.from {
            return;
        }
        if facts.end() > self.until || !self.fits(entry.payload.len()) {
            self.full = true;
            return;
        }
        self.bytes += entry.payload.len();
        self.batches.push(entry.payload.clone());
    }
}
