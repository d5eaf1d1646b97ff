//! ListOffsets: the ends of a partition, or the first record at or after a point in time.
//!
//! Everything is answered from the leader's committed batches, with the leader epoch *of the offset found*. Records in
//! compressed batches are not opened: see [`crate::record::first_at_or_after`] for what that means.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::fetch::check_epoch;
use super::{Edge, HandlerError, decode};
use crate::kafka::backend::{Backend, PartitionError, PartitionRead, PartitionView, ReadLimit};
use crate::kafka::codec::encode;
use crate::kafka::error_code;
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;
use crate::record::{Batch, Batches, LeaderEpoch, Located, Offset, first_at_or_after, newest};

/// Bytes read at a time while looking for a time.
const SCAN_BYTES: usize = 1 << 20;

/// What a client looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sought {
    /// The high watermark.
    Latest,
    /// The log start.
    Earliest,
    /// The newest record by time.
    Newest,
    /// The first record at or after this time, in ms.
    Time(i64),
}

impl Sought {
    /// `None` for special numbers that are not served in this version.
    fn of(timestamp: i64, version: i16) -> Option<Self> {
        match timestamp {
            -1 => Some(Self::Latest),
            -2 => Some(Self::Earliest),
            -3 if version >= 7 => Some(Self::Newest),
            time if time >= 0 => Some(Self::Time(time)),
            _ => None,
        }
    }
}

/// An answer. `None` inside an answer of a search means that there is no such record.
struct Found {
    offset: Offset,
    timestamp_ms: Option<i64>,
    leader_epoch: Option<LeaderEpoch>,
}

pub(super) async fn list_offsets<B: Backend>(
    edge: &Edge<B>,
    request: &Request,
) -> Result<Reply, HandlerError> {
    let asked: ListOffsetsRequest = decode(request)?;
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in asked.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let found = find(edge, topic.name.as_str(), partition, request.version).await;
            partitions.push(answer(partition, found, request.version));
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    Ok(encode(request, &ListOffsetsResponse::default().with_topics(topics))?)
}

async fn find<B: Backend>(
    edge: &Edge<B>,
    topic: &str,
    asked: &ListOffsetsPartition,
    version: i16,
) -> Result<Option<Found>, ResponseError> {
    let sought = Sought::of(asked.timestamp, version).ok_or(ResponseError::UnsupportedVersion)?;
    let found = async {
        let partition = edge.backend.partition(topic, asked.partition_index)?;
        let view = *partition.watch().borrow();
        let epoch = view.serving()?;
        check_epoch(epoch, asked.current_leader_epoch)?;
        search(&partition, &view, epoch, sought).await
    };
    found.await.map_err(|error: PartitionError| error_code::of_partition(&error))
}

async fn search<P: PartitionRead>(
    partition: &P,
    view: &PartitionView,
    epoch: LeaderEpoch,
    sought: Sought,
) -> Result<Option<Found>, PartitionError> {
    match sought {
        Sought::Latest => {
            Ok(Some(Found { offset: view.high_watermark, timestamp_ms: None, leader_epoch: Some(epoch) }))
        }
        Sought::Earliest => {
            let run = partition.read(view.log_start, ReadLimit::AtLeastOneBatch(1)).await?;
            let first = run.into_iter().next().and_then(|run| Batches::new(run).next()?.ok());
            let leader_epoch = first.map_or(Some(epoch), |batch| batch.leader_epoch());
            Ok(Some(Found { offset: view.log_start, timestamp_ms: None, leader_epoch }))
        }
        Sought::Time(time) => {
            let from = partition.search_hint(time).max(view.log_start);
            let mut found = None;
            scan(partition, from, |batch| {
                found = first_at_or_after(batch, time);
                if found.is_some() { Scan::Stop } else { Scan::Continue }
            })
            .await?;
            Ok(found.map(Found::from))
        }
        Sought::Newest => {
            let mut best: Option<Batch> = None;
            scan(partition, view.log_start, |batch| {
                let newest_yet = best.as_ref().map(|best| best.header().max_timestamp);
                if newest_yet.is_none_or(|newest| batch.header().max_timestamp > newest) {
                    best = Some(batch.clone());
                }
                Scan::Continue
            })
            .await?;
            Ok(best.map(|batch| Found::from(newest(&batch))))
        }
    }
}

/// Whether to look at the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scan {
    Continue,
    Stop,
}

/// Looks at the committed batches from `from` on, until told to stop or at the high watermark.
async fn scan<P: PartitionRead>(
    partition: &P,
    mut from: Offset,
    mut look: impl FnMut(&Batch) -> Scan + Send,
) -> Result<(), PartitionError> {
    loop {
        let before = from;
        for run in partition.read(from, ReadLimit::AtLeastOneBatch(SCAN_BYTES)).await? {
            for batch in Batches::new(run) {
                let batch = batch.map_err(|_| PartitionError::Storage)?;
                from = from.max(batch.end_offset());
                if look(&batch) == Scan::Stop {
                    return Ok(());
                }
            }
        }
        if from == before {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

impl From<Located> for Found {
    fn from(located: Located) -> Self {
        let Located { offset, timestamp_ms, leader_epoch } = located;
        Self { offset, timestamp_ms: Some(timestamp_ms), leader_epoch }
    }
}

fn answer(
    asked: &ListOffsetsPartition,
    found: Result<Option<Found>, ResponseError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let answer = ListOffsetsPartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_timestamp(-1)
        .with_offset(-1);
    match found {
        Ok(Some(found)) => {
            let epoch = found.leader_epoch.filter(|_| version >= 4);
            answer
                .with_offset(found.offset.as_i64())
                .with_timestamp(found.timestamp_ms.unwrap_or(-1))
                .with_leader_epoch(epoch.map_or(-1, LeaderEpoch::as_i32))
        }
        Ok(None) => answer,
        Err(error) => answer.with_error_code(error.code()),
    }
}
