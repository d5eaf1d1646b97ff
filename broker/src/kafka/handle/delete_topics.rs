//! DeleteTopics: forwarded to the managers by whichever broker is asked.

use std::sync::Arc;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use uuid::Uuid;

use super::{Edge, HandlerError, decode, patience};
use crate::kafka::backend::{Backend, TopicError, TopicInfo, TopicRef};
use crate::kafka::codec::{encode, text};
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;
use crate::kafka::{error_code, gather};

/// How many topics of one request are deleted at a time.
const DELETED_AT_A_TIME: usize = 32;

pub(super) async fn delete_topics<B: Backend>(
    edge: &Edge<B>,
    request: &Request,
) -> Result<Reply, HandlerError> {
    let asked: DeleteTopicsRequest = decode(request)?;
    let by_name = asked.topic_names.iter().map(|name| TopicRef::Name(name.as_str().to_owned()));
    let by_either = asked.topics.iter().map(|topic| match &topic.name {
        Some(name) => TopicRef::Name(name.as_str().to_owned()),
        None => TopicRef::Id(topic.topic_id),
    });
    let topics: Vec<TopicRef> = by_name.chain(by_either).collect();
    let patience = patience(asked.timeout_ms);
    let mut results = Vec::with_capacity(topics.len());
    for batch in topics.chunks(DELETED_AT_A_TIME) {
        let deletions = batch.iter().map(|topic| edge.backend.delete_topic(topic.clone(), patience));
        let ends = gather::all(deletions).await;
        results.extend(batch.iter().zip(ends).map(|(topic, end)| result(request.version, topic, end)));
    }
    Ok(encode(request, &DeleteTopicsResponse::default().with_responses(results))?)
}

fn result(version: i16, topic: &TopicRef, end: Result<Arc<TopicInfo>, TopicError>) -> DeletableTopicResult {
    let name = |name: &str| Some(TopicName(text(name)));
    match end {
        Ok(deleted) => DeletableTopicResult::default()
            .with_name(name(&deleted.name))
            .with_topic_id(deleted.id)
            .with_error_message(None),
        Err(error) => {
            let (name, id) = match topic {
                TopicRef::Name(asked) => (name(asked), Uuid::nil()),
                TopicRef::Id(id) => (None, *id),
            };
            DeletableTopicResult::default()
                .with_name(name)
                .with_topic_id(id)
                .with_error_code(error_code::of_topic(&error).code())
                .with_error_message((version >= 5).then(|| text(&error)))
        }
    }
}
