//! Fetch: whole committed batches from the leader, at once or as soon as there are any.
//!
//! A request is answered at once if nothing is to be waited for: enough bytes, an error, no partitions, no time. Else it
//! waits, holding one waiter for all its partitions and no thread, until a high watermark passes, a leadership ends, or
//! its time is over. Fetch sessions (KIP-227) are declined by session id 0.
//!
//! *Invariant:* only bytes below the high watermark of a replica that serves are returned, in whole batches; and the
//! first partition that has any returns at least one batch, whatever the limits, so that a consumer gets past it.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Edge, HandlerError, decode};
use crate::kafka::backend::{Backend, PartitionError, PartitionRead, PartitionView, ReadLimit};
use crate::kafka::fetch_response::{self, Bounds, FetchedPartition, FetchedTopic, Isolation};
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;
use crate::kafka::{error_code, gather};
use crate::record::{BatchHeader, Batches, Compression, LeaderEpoch, Offset};

/// The first version in which clients know zstd (KIP-110).
const ZSTD_FROM: i16 = 10;

pub(super) async fn fetch<B: Backend>(edge: &Edge<B>, request: &Request) -> Result<Reply, HandlerError> {
    let asked: FetchRequest = decode(request)?;
    let isolation = if asked.isolation_level == 0 { Isolation::Uncommitted } else { Isolation::Committed };
    if asked.session_id != 0 {
        // No session was ever given out.
        let error = Some(ResponseError::FetchSessionIdNotFound);
        return Ok(fetch_response::write(request, error, isolation, Vec::new()));
    }
    let begun = Instant::now();
    let max_bytes = usize::try_from(asked.max_bytes).unwrap_or(0).min(edge.limits.max_fetch_bytes);
    let min_bytes = usize::try_from(asked.min_bytes).unwrap_or(0).min(max_bytes);
    let mut batch = Fetching::open(edge, &asked, request.version, max_bytes);
    let wait = std::time::Duration::from_millis(u64::try_from(asked.max_wait_ms).unwrap_or(0));
    let deadline = begun + wait;
    loop {
        batch.read().await;
        let over = batch.slots.is_empty() || batch.failed || batch.bytes >= min_bytes.max(1);
        if over || Instant::now() >= deadline || !batch.wait(deadline).await {
            break;
        }
    }
    Ok(fetch_response::write(request, None, isolation, batch.into_response(asked)))
}

/// Compares the leader epoch of a client (-1: unknown) with the partition's (KIP-320).
pub(super) fn check_epoch(current: LeaderEpoch, found: i32) -> Result<(), PartitionError> {
    match LeaderEpoch::from_wire(found) {
        Some(asked) if asked < current => Err(PartitionError::FencedLeaderEpoch { current, found }),
        Some(asked) if asked > current => Err(PartitionError::UnknownLeaderEpoch { current, found }),
        _ => Ok(()),
    }
}

/// A partition of the request and what has been found of it.
struct Slot<P> {
    asked: Asked,
    open: Result<Open<P>, PartitionError>,
    /// Unsupported codec, which is no error of the partition.
    refused: Option<ResponseError>,
    bounds: Option<Bounds>,
    records: Vec<Bytes>,
}

struct Open<P> {
    partition: P,
    watch: watch::Receiver<PartitionView>,
    /// Whether it was looked at before.
    seen: bool,
}

/// What a client asks of a partition.
#[derive(Clone, Copy)]
struct Asked {
    offset: i64,
    max_bytes: usize,
    leader_epoch: i32,
}

impl Asked {
    fn of(partition: &FetchPartition) -> Self {
        Self {
            offset: partition.fetch_offset,
            max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
            leader_epoch: partition.current_leader_epoch,
        }
    }

    /// Whether the partition may be read at all, and where from.
    fn check(&self, view: &PartitionView) -> Result<Offset, PartitionError> {
        check_epoch(view.serving()?, self.leader_epoch)?;
        let PartitionView { log_start, high_watermark, .. } = *view;
        let range = log_start.as_i64()..=high_watermark.as_i64();
        if !range.contains(&self.offset) {
            return Err(PartitionError::OffsetOutOfRange { asked: self.offset, log_start, high_watermark });
        }
        Ok(Offset::new(self.offset))
    }
}

struct Fetching<P> {
    /// In the order of the request.
    slots: Vec<Slot<P>>,
    version: i16,
    max_bytes: usize,
    /// Record bytes found so far.
    bytes: usize,
    /// Whether some partition has an error, which is answered without waiting.
    failed: bool,
}

impl<P: PartitionRead> Fetching<P> {
    fn open<B: Backend<Partition = P>>(
        edge: &Edge<B>,
        asked: &FetchRequest,
        version: i16,
        max_bytes: usize,
    ) -> Self {
        let partitions = asked.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |partition| (topic.topic.as_str(), partition))
        });
        let slots = partitions.map(|(topic, partition)| {
            let open = edge.backend.partition(topic, partition.partition).map(|partition| {
                let watch = partition.watch();
                Open { partition, watch, seen: false }
            });
            Slot { asked: Asked::of(partition), open, refused: None, bounds: None, records: Vec::new() }
        });
        Self { slots: slots.collect(), version, max_bytes, bytes: 0, failed: false }
    }

    /// Reads every partition that has changed since it was last looked at.
    async fn read(&mut self) {
        for slot in &mut self.slots {
            if !slot.has_changed() {
                continue;
            }
            self.bytes -= slot.bytes();
            let limit = slot.asked.max_bytes.min(self.max_bytes.saturating_sub(self.bytes));
            let limit = match self.bytes {
                0 => ReadLimit::AtLeastOneBatch(limit),
                _ => ReadLimit::AtMost(limit),
            };
            slot.read(limit).await;
            if self.version < ZSTD_FROM {
                slot.without_zstd();
            }
            self.bytes += slot.bytes();
            self.failed |= slot.open.is_err() || slot.refused.is_some();
        }
    }

    /// Waits for a change of any partition until `deadline`. Whether there was one.
    async fn wait(&self, deadline: Instant) -> bool {
        let changes = self.slots.iter().filter_map(|slot| slot.open.as_ref().ok()).map(|open| {
            // A copy: waiting on the original would mark the change as seen.
            let mut watch = open.watch.clone();
            async move {
                // The sender is dropped when the partition goes: that is a change too.
                let _ = watch.changed().await;
            }
        });
        tokio::select! {
            () = gather::any(changes) => true,
            () = sleep_until(deadline) => false,
        }
    }

    fn into_response(self, asked: FetchRequest) -> Vec<FetchedTopic> {
        let mut slots = self.slots.into_iter();
        let topic = |topic: kafka_protocol::messages::fetch_request::FetchTopic| {
            let partitions = topic.partitions.iter().zip(&mut slots);
            let partitions = partitions.map(|(partition, slot)| slot.into_response(partition.partition));
            FetchedTopic { name: topic.topic.as_str().to_owned(), partitions: partitions.collect() }
        };
        asked.topics.into_iter().map(topic).collect()
    }
}

impl<P: PartitionRead> Slot<P> {
    /// Bytes of the records found.
    fn bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }

    /// Whether it was never looked at, or its view has changed since, or it is gone.
    fn has_changed(&self) -> bool {
        self.open.as_ref().map_or(true, |open| !open.seen || open.watch.has_changed().unwrap_or(true))
    }

    /// Looks at the partition anew.
    async fn read(&mut self, limit: ReadLimit) {
        self.records.clear();
        if let Ok(open) = &mut self.open {
            match open.read(&self.asked, limit).await {
                Ok((bounds, records)) => {
                    self.bounds = Some(bounds);
                    self.records = records;
                }
                Err(error) => self.open = Err(error),
            }
        }
    }

    /// Ends the records before the first batch that the client could not read.
    fn without_zstd(&mut self) {
        let mut kept = Vec::new();
        let mut cut = false;
        for run in self.records.drain(..) {
            let plain = leading_bytes(&run, |header| header.compression() != Ok(Compression::Zstd));
            cut = plain < run.len();
            if plain > 0 {
                kept.push(run.slice(..plain));
            }
            if cut {
                break;
            }
        }
        if cut && kept.is_empty() {
            self.refused = Some(ResponseError::UnsupportedCompressionType);
        }
        self.records = kept;
    }

    fn into_response(self, index: i32) -> FetchedPartition {
        let error = self.open.as_ref().err();
        let mut bounds = self.bounds;
        if let Some(PartitionError::OffsetOutOfRange { log_start, high_watermark, .. }) = error {
            bounds = Some(Bounds { log_start: *log_start, high_watermark: *high_watermark });
        }
        let records = if error.is_none() { self.records } else { Vec::new() };
        let error = error.map(error_code::of_partition).or(self.refused);
        FetchedPartition { index, error, bounds, records }
    }
}

impl<P: PartitionRead> Open<P> {
    async fn read(
        &mut self,
        asked: &Asked,
        limit: ReadLimit,
    ) -> Result<(Bounds, Vec<Bytes>), PartitionError> {
        // Marks the view as seen before it is read: a later change wakes the next wait.
        let view = *self.watch.borrow_and_update();
        self.seen = true;
        if self.watch.has_changed().is_err() {
            return Err(PartitionError::Absent);
        }
        let from = asked.check(&view)?;
        let mut records = Vec::new();
        if from < view.high_watermark {
            records = self.partition.read(from, limit).await?;
        }
        let PartitionView { log_start, high_watermark, .. } = view;
        Ok((Bounds { log_start, high_watermark }, records))
    }
}

/// How many bytes the leading batches have that `wanted` says yes to.
fn leading_bytes(run: &Bytes, wanted: impl Fn(&BatchHeader) -> bool) -> usize {
    let leading = Batches::new(run.clone()).map_while(Result::ok).take_while(|batch| wanted(batch.header()));
    leading.map(|batch| batch.bytes().len()).sum()
}
