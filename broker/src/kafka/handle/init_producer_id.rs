//! InitProducerId: a producer id that nobody had before. Works on any broker.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::init_producer_id_response::InitProducerIdResponse;

use super::{Edge, HandlerError, decode};
use crate::kafka::backend::{Backend, ProducerIdentity};
use crate::kafka::codec::encode;
use crate::kafka::error_code;
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;

pub(super) async fn init_producer_id<B: Backend>(
    edge: &Edge<B>,
    request: &Request,
) -> Result<Reply, HandlerError> {
    let asked: InitProducerIdRequest = decode(request)?;
    // An id that the client had before (KIP-360) only matters to transactions: without them it gets a new one.
    let outcome = match asked.transactional_id {
        // Transactions are not served. The one code that is final to every client.
        Some(_) => Err(ResponseError::TransactionalIdAuthorizationFailed),
        None => edge.backend.allocate_producer_id().await.map_err(|error| error_code::of_producer_id(&error)),
    };
    let response = InitProducerIdResponse::default();
    let response = match outcome {
        Ok(ProducerIdentity { id, epoch }) => response.with_producer_id(id.into()).with_producer_epoch(epoch),
        Err(error) => {
            response.with_error_code(error.code()).with_producer_id((-1).into()).with_producer_epoch(-1)
        }
    };
    Ok(encode(request, &response)?)
}
