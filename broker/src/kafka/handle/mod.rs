//! What each request means: from a decoded request to an encoded response, by way of the backend.
//!
//! A handler never closes a connection for something a response can say. *Invariant:* a handler does nothing before it
//! is polled, so that requests of a connection take effect in the order in which they came.

mod api_versions;
mod create_topics;
mod delete_topics;
mod fetch;
mod find_coordinator;
mod init_producer_id;
mod list_offsets;
mod metadata;
mod produce;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::api::Api;
use super::backend::Backend;
use super::codec::EncodeError;
use super::header::Request;
use super::limits::Limits;
use super::reply::Reply;
use super::wire::Malformed;

pub(crate) use produce::{Answer, finish as finish_produce, start as start_produce};

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct Edge<B> {
    /// The broker behind.
    pub(crate) backend: Arc<B>,
    /// How much clients may ask for.
    pub(crate) limits: Limits,
    /// Bytes that unanswered requests of all connections may still take, one permit each.
    pub(crate) budget: Arc<Semaphore>,
}

impl<B> Edge<B> {
    pub(crate) fn new(backend: Arc<B>, limits: Limits) -> Self {
        let all = limits.all_in_flight_bytes.max(limits.max_request_bytes).min(Semaphore::MAX_PERMITS);
        Self { backend, limits, budget: Arc::new(Semaphore::new(all)) }
    }
}

impl<B> Clone for Edge<B> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), limits: self.limits.clone(), budget: self.budget.clone() }
    }
}

/// Why a request has no response. The connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandlerError {
    /// The request is not what it claims to be.
    #[error("malformed {api:?} request, version {version}: {why}")]
    Malformed {
        /// What it claims to be.
        api: Api,
        /// In which version.
        version: i16,
        /// What is wrong with it.
        why: Malformed,
    },
    /// See [`EncodeError`].
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl HandlerError {
    pub(crate) fn malformed(request: &Request, why: Malformed) -> Self {
        Self::Malformed { api: request.served.api, version: request.version, why }
    }
}

/// Handles any request but Produce, which goes in two steps.
///
/// # Errors
/// See [`HandlerError`].
pub(crate) async fn handle<B: Backend>(edge: &Edge<B>, request: &Request) -> Result<Reply, HandlerError> {
    match request.served.api {
        Api::Produce => Ok(finish_produce(start_produce(edge, request).await?).await.write(request)),
        Api::Fetch => fetch::fetch(edge, request).await,
        Api::ListOffsets => list_offsets::list_offsets(edge, request).await,
        Api::Metadata => metadata::metadata(edge, request).await,
        Api::FindCoordinator => find_coordinator::find_coordinator(request),
        Api::ApiVersions => api_versions::api_versions(request),
        Api::CreateTopics => create_topics::create_topics(edge, request).await,
        Api::DeleteTopics => delete_topics::delete_topics(edge, request).await,
        Api::InitProducerId => init_producer_id::init_producer_id(edge, request).await,
    }
}

fn decode<T: kafka_protocol::protocol::Decodable>(request: &Request) -> Result<T, HandlerError> {
    super::codec::decode(request).map_err(|why| HandlerError::malformed(request, why))
}

/// A client's time-out as it is taken here: between a tenth of a second and five minutes.
fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::from(timeout_ms.clamp(100, 300_000).unsigned_abs()))
}
