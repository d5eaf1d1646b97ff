//! FindCoordinator: there are no consumer groups here yet, and clients are told to ask again later.
//!
//! Transactions are refused for good, so that a transactional producer fails at once instead of waiting. Of all
//! codes only TRANSACTIONAL_ID_AUTHORIZATION_FAILED is final to every client: librdkafka goes on asking after any other.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use super::{HandlerError, decode};
use crate::kafka::codec::{encode, text};
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;

/// The key type of a consumer group.
const GROUP: i8 = 0;

pub(super) fn find_coordinator(request: &Request) -> Result<Reply, HandlerError> {
    let asked: FindCoordinatorRequest = decode(request)?;
    let (error, words) = if asked.key_type == GROUP {
        (
            ResponseError::CoordinatorNotAvailable,
            "consumer groups are not served yet; assign partitions instead",
        )
    } else {
        (ResponseError::TransactionalIdAuthorizationFailed, "transactions are not served")
    };
    let mut response = FindCoordinatorResponse::default();
    if request.version >= 4 {
        let coordinator = |key| {
            Coordinator::default()
                .with_key(key)
                .with_node_id((-1).into())
                .with_port(-1)
                .with_error_code(error.code())
                .with_error_message(Some(text(words)))
        };
        response.coordinators = asked.coordinator_keys.into_iter().map(coordinator).collect();
    } else {
        response.error_code = error.code();
        response.error_message = (request.version >= 1).then(|| text(words));
        response.node_id = (-1).into();
        response.port = -1;
    }
    Ok(encode(request, &response)?)
}
