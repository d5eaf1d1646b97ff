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

    async fn collect(
        &self,
        from: Offset,
        limit: ReadLimit,
        until: Offset,
        within: Stretch,
    ) -> Result<Vec<Bytes>, ReadError> {
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
        let first_in_any_case =
            matches!(self.limit, ReadLimit::AtLeastOneBatch(_)) && self.batches.is_empty();
        first_in_any_case || bytes <= self.room()
    }

    fn offer(&mut self, entry: &Entry) {
        if self.full || entry.kind != EntryKind::Batch {
            return;
        }
        let Some(facts) = BatchFacts::of(&entry.payload).filter(|facts| facts.base_offset == self.next)
        else {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft_core::{Configuration, GroupId, LogId, Term};
    use raft_net::{Body, Prepared, StateMachine};
    use raft_wal::{Fs, Options, RealFs, Wal};

    use super::*;
    use crate::partition::PartitionMachine;
    use crate::record::sample::{self, Sample};

    /// A partition over a real log, with batches of these record counts and value sizes; a no-op where the count is 0.
    /// The last `uncommitted` entries are not applied. Also answers the batches with the offset after each.
    fn partition(
        dir: &std::path::Path,
        entries: &[(usize, usize)],
        uncommitted: usize,
        tail_cache_bytes: u64,
    ) -> (Partition, Vec<(Offset, Bytes)>, PartitionMachine) {
        let fs = Arc::new(RealFs::new());
        let options = Options { tail_cache_bytes, ..Options::default() };
        let (mut wal, _) = Wal::open(fs.clone(), dir, options).expect("a new log");
        let group = GroupId::new(1, 1);
        let mut machine = PartitionMachine::new(10);
        let mut batch = wal.batch();
        batch.create(group, &Configuration::none(), Bytes::new());
        let mut log = Vec::new();
        let mut committed = Vec::new();
        for (at, (records, size)) in (1..).zip(entries) {
            let id = LogId::new(Term::new(1), LogIndex::new(at));
            let sample =
                Sample { timestamps: vec![at as i64; *records], value: vec![7; *size], ..Sample::default() };
            let body = match records {
                0 => Body::Noop,
                _ => match machine.prepare(id, sample::batch(&sample)) {
                    Prepared::Append(bytes) => Body::Batch(bytes),
                    other => panic!("not appended: {other:?}"),
                },
            };
            machine.appended(id, &body);
            let (kind, payload) = match &body {
                Body::Batch(bytes) => (EntryKind::Batch, bytes.clone()),
                _ => (EntryKind::Noop, Bytes::new()),
            };
            batch.append(group, Entry { id, kind, payload });
            if at as usize + uncommitted <= entries.len()
                && let Body::Batch(bytes) = &body
            {
                committed.push((machine.appended_end(), bytes.clone()));
            }
            log.push((id, body));
        }
        let submitted = wal.submit(batch).expect("a good batch");
        submitted.requests.iter().for_each(|request| fs.execute(request).expect("a working disk"));
        wal.completed(submitted.round);
        for (id, body) in log.iter().take(entries.len().saturating_sub(uncommitted)) {
            machine.apply(*id, body);
        }
        let reader = wal.reader(group).expect("the group");
        (Partition::new(machine.watch(), machine.state(), reader), committed, machine)
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_read_answers_the_whole_batches_from_the_one_that_holds_the_offset_on(
            entries in proptest::collection::vec((0usize..4, 0usize..30_000), 1..40),
            uncommitted in 0usize..3,
            in_memory: bool,
            reads in proptest::collection::vec((0i64..130, 0usize..200_000, any::<bool>()), 8),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let cache = if in_memory { 1 << 30 } else { 0 };
            let (partition, committed, _machine) = partition(dir.path(), &entries, uncommitted, cache);
            let high_watermark = committed.last().map_or(Offset::ZERO, |(end, _)| *end);
            for (from, most, at_least_one) in reads {
                let from = Offset::new(from);
                let limit = if at_least_one { ReadLimit::AtLeastOneBatch(most) } else { ReadLimit::AtMost(most) };
                let read = wait(partition.read(from, limit));
                if from > high_watermark {
                    let refused = matches!(read, Err(PartitionError::OffsetOutOfRange { .. }));
                    prop_assert!(refused);
                    continue;
                }
                let mut expected = Vec::new();
                let mut bytes = 0;
                for (_, batch) in committed.iter().filter(|(end, _)| *end > from) {
                    bytes += batch.len();
                    if bytes > most && !(at_least_one && expected.is_empty()) {
                        break;
                    }
                    expected.push(batch.clone());
                }
                prop_assert_eq!(read, Ok(expected));
            }
        }
    }

    #[test]
    fn no_record_before_the_hint_is_as_new_as_the_time_asked_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let entries = vec![(1, 20_000); 40];
        let (partition, _, _machine) = partition(dir.path(), &entries, 0, 1 << 20);
        // The batch at offset `n` has the time `n + 1`.
        assert_eq!(partition.search_hint(0), Offset::ZERO);
        for time in 1..=40 {
            let hint = partition.search_hint(time).as_i64();
            assert!(hint < time && hint >= time - 5, "hint {hint} for {time}");
        }
        assert_eq!(partition.search_hint(41), Offset::new(40));
    }

    #[test]
    fn the_epoch_of_a_record_is_the_term_in_which_it_was_appended() {
        let dir = tempfile::tempdir().expect("a directory");
        let (partition, _, _machine) = partition(dir.path(), &[(0, 0), (3, 1), (2, 1)], 1, 0);
        let first = crate::record::LeaderEpoch::from_term(Term::new(1));
        assert_eq!(partition.state().epoch_at(Offset::new(2)), Some(first));
        assert_eq!(
            partition.state().epoch_at(Offset::new(3)),
            None,
            "above the high watermark nothing is said"
        );
    }
}
