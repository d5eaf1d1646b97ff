//! Produce, in two steps: [`start`] gives every batch its place in its partition's order, [`finish`] waits until all
//! are committed.
//!
//! Between the two the connection starts its next Produce requests, so that a client has as many batches on their way
//! as it likes. *Invariant:* a success is only ever written for a batch whose [`Pending`] ended with `Ok`.

use kafka_protocol::ResponseError;

use super::{Edge, HandlerError, patience};
use crate::kafka::api::PRODUCE_SERVED_FROM;
use crate::kafka::backend::{Backend, Pending};
use crate::kafka::error_code;
use crate::kafka::header::Request;
use crate::kafka::produce_request::{Acks, ProduceRequest, ProduceTopic};
use crate::kafka::produce_response::{self, ProduceResponse, Refused};
use crate::kafka::reply::Reply;
use crate::record::{BatchError, CheckedBatch, Compression};

/// The first version in which clients know zstd (KIP-110).
const ZSTD_FROM: i16 = 7;

/// A Produce request whose batches have their places.
pub(crate) struct Started {
    acks: Acks,
    topics: Vec<ProduceTopic<Result<Pending, Refused>>>,
}

/// The end of a Produce request.
#[derive(Debug)]
pub(crate) struct Answer {
    acks: Acks,
    response: ProduceResponse,
}

impl Answer {
    /// Whether the client wants to read an answer.
    pub(crate) fn is_wanted(&self) -> bool {
        self.acks != Acks::NONE
    }

    /// The first failure. A client that wants no answer learns of it by a closed connection, as Kafka does it.
    pub(crate) fn failure(&self) -> Option<&Refused> {
        let partitions = self.response.iter().flat_map(|topic| &topic.partitions);
        partitions.filter_map(|(_, outcome)| outcome.as_ref().err()).next()
    }

    /// Writes the answer.
    pub(crate) fn write(&self, request: &Request) -> Reply {
        produce_response::write(request, &self.response)
    }
}

/// Checks the batches and hands them over, in the order of the request.
///
/// # Errors
/// Only for a request that is none. Whatever is wrong with a batch is part of the answer.
pub(crate) async fn start<B: Backend>(edge: &Edge<B>, request: &Request) -> Result<Started, HandlerError> {
    let ProduceRequest { transactional, acks, timeout_ms, topics } =
        ProduceRequest::parse(request).map_err(|why| HandlerError::malformed(request, why))?;
    let refused = refusal(request.version, acks, transactional);
    let mut started = Vec::with_capacity(topics.len());
    for ProduceTopic { name, partitions } in topics {
        let mut outcomes = Vec::with_capacity(partitions.len());
        for (index, records) in partitions {
            let outcome = match &refused {
                Some(refused) => Err(refused.clone()),
                None => match check(edge, request.version, records) {
                    Ok(batch) => hand_over(edge, &name, index, batch, timeout_ms).await,
                    Err(error) => Err(Refused::new(error_code::of_batch(&error), &error)),
                },
            };
            outcomes.push((index, outcome));
        }
        started.push(ProduceTopic { name, partitions: outcomes });
    }
    Ok(Started { acks, topics: started })
}

/// Waits for the end of every batch.
pub(crate) async fn finish(started: Started) -> Answer {
    let mut response = Vec::with_capacity(started.topics.len());
    for ProduceTopic { name, partitions } in started.topics {
        let mut outcomes = Vec::with_capacity(partitions.len());
        for (index, outcome) in partitions {
            let end = match outcome {
                Ok(pending) => {
                    pending.await.map_err(|error| Refused::new(error_code::of_partition(&error), &error))
                }
                Err(refused) => Err(refused),
            };
            outcomes.push((index, end));
        }
        response.push(ProduceTopic { name, partitions: outcomes });
    }
    Answer { acks: started.acks, response }
}

/// Why all batches of a request are refused, if they are.
fn refusal(version: i16, acks: Acks, transactional: bool) -> Option<Refused> {
    if version < PRODUCE_SERVED_FROM {
        let words =
            format!("Produce version {version} is not served: use version {PRODUCE_SERVED_FROM} or later");
        Some(Refused::new(ResponseError::UnsupportedVersion, &words))
    } else if !acks.is_known() {
        let words = format!("acks={} is not served: use -1 (all), 1 or 0", acks.0);
        Some(Refused::new(ResponseError::InvalidRequiredAcks, &words))
    } else if transactional {
        Some(Refused::new(ResponseError::InvalidTxnState, &"transactions are not served"))
    } else {
        None
    }
}

fn check<B: Backend>(
    edge: &Edge<B>,
    version: i16,
    records: Option<bytes::Bytes>,
) -> Result<CheckedBatch, BatchError> {
    let batch = CheckedBatch::parse(records.unwrap_or_default(), edge.backend.max_batch_bytes())?;
    if version < ZSTD_FROM && batch.header().compression() == Ok(Compression::Zstd) {
        return Err(BatchError::ZstdTooEarly);
    }
    Ok(batch)
}

async fn hand_over<B: Backend>(
    edge: &Edge<B>,
    topic: &str,
    partition: i32,
    batch: CheckedBatch,
    timeout_ms: i32,
) -> Result<Pending, Refused> {
    let started = edge.backend.start_produce(topic, partition, batch, patience(timeout_ms)).await;
    started.map_err(|error| Refused::new(error_code::of_partition(&error), &error))
}
