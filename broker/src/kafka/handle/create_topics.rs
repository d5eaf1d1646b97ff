//! CreateTopics: forwarded to the managers by whichever broker is asked.
//!
//! What this broker would not honour is refused and not ignored: manual assignments, and configurations other than
//! those that say what is done anyway.

use std::collections::HashMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};

use super::{Edge, HandlerError, decode, patience};
use crate::kafka::backend::{Backend, CreatedTopic, Intent, NewTopic, TopicError};
use crate::kafka::codec::{encode, text};
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;
use crate::kafka::topic_name::topic_name_fault;
use crate::kafka::{error_code, gather};

/// How many topics of one request are created at a time.
const CREATED_AT_A_TIME: usize = 32;

/// Configurations that may be asked for, because they are so in any case. Acknowledged records are on a majority's
/// disks, which is at least what `min.insync.replicas` of 1 or 2 asks for with three replicas.
const ALREADY_SO: [(&str, &[&str]); 5] = [
    ("cleanup.policy", &["delete"]),
    ("compression.type", &["producer"]),
    ("message.timestamp.type", &["CreateTime"]),
    ("min.insync.replicas", &["1", "2"]),
    ("retention.ms", &["-1"]),
];

/// Why a topic was not created: a code and words.
struct Refused {
    code: ResponseError,
    words: String,
}

impl From<TopicError> for Refused {
    fn from(error: TopicError) -> Self {
        Self { code: error_code::of_topic(&error), words: error.to_string() }
    }
}

pub(super) async fn create_topics<B: Backend>(
    edge: &Edge<B>,
    request: &Request,
) -> Result<Reply, HandlerError> {
    let asked: CreateTopicsRequest = decode(request)?;
    let intent = if asked.validate_only { Intent::Validate } else { Intent::Do };
    let mut named: HashMap<&str, usize> = HashMap::new();
    for topic in &asked.topics {
        *named.entry(topic.name.as_str()).or_default() += 1;
    }
    let mut results = Vec::with_capacity(asked.topics.len());
    for batch in asked.topics.chunks(CREATED_AT_A_TIME) {
        let creations = batch.iter().map(|topic| {
            let twice = named.get(topic.name.as_str()).is_some_and(|count| *count > 1);
            create(edge, topic, twice, intent, asked.timeout_ms)
        });
        results.extend(batch.iter().zip(gather::all(creations).await).map(|(topic, end)| result(topic, end)));
    }
    Ok(encode(request, &CreateTopicsResponse::default().with_topics(results))?)
}

async fn create<B: Backend>(
    edge: &Edge<B>,
    topic: &CreatableTopic,
    twice: bool,
    intent: Intent,
    timeout_ms: i32,
) -> Result<CreatedTopic, Refused> {
    if twice {
        return Err(TopicError::Unsupported { what: "the same topic twice in one request" }.into());
    }
    let wanted = checked(topic)?;
    Ok(edge.backend.create_topic(wanted, intent, patience(timeout_ms)).await?)
}

fn checked(topic: &CreatableTopic) -> Result<NewTopic, Refused> {
    let name = topic.name.as_str().to_owned();
    if let Some(fault) = topic_name_fault(&name) {
        return Err(TopicError::IllegalName { name, fault }.into());
    }
    if !topic.assignments.is_empty() {
        return Err(TopicError::Unsupported { what: "choosing the brokers of a partition" }.into());
    }
    topic.configs.iter().try_for_each(check_config)?;
    let partitions = match topic.num_partitions {
        -1 => None,
        count if count >= 1 => Some(count.unsigned_abs()),
        count => return Err(illegal(ResponseError::InvalidPartitions, count, "partitions")),
    };
    let replicas = match topic.replication_factor {
        -1 => None,
        count if count >= 1 => Some(count.unsigned_abs()),
        count => return Err(illegal(ResponseError::InvalidReplicationFactor, count.into(), "replicas")),
    };
    Ok(NewTopic { name, partitions, replicas })
}

fn illegal(code: ResponseError, count: i32, what: &str) -> Refused {
    Refused {
        code,
        words: format!("{count} {what} were asked for: ask for at least 1, or -1 for the default"),
    }
}

fn check_config(config: &CreatableTopicConfig) -> Result<(), Refused> {
    let (name, value) = (config.name.as_str(), config.value.as_deref().unwrap_or_default());
    let known = ALREADY_SO.iter().find(|(known, _)| *known == name);
    if known.is_some_and(|(_, values)| values.contains(&value)) {
        return Ok(());
    }
    let words = match known {
        Some((_, values)) => format!("{name}={value} is not served; only {} is", values.join(" or ")),
        None => format!("the configuration {name:?} is not served"),
    };
    Err(Refused { code: ResponseError::InvalidConfig, words })
}

fn result(topic: &CreatableTopic, end: Result<CreatedTopic, Refused>) -> CreatableTopicResult {
    let result = CreatableTopicResult::default().with_name(topic.name.clone());
    match end {
        Ok(created) => result
            .with_error_message(None)
            .with_topic_id(created.id)
            .with_num_partitions(created.partitions.try_into().unwrap_or(i32::MAX))
            .with_replication_factor(created.replicas.try_into().unwrap_or(i16::MAX)),
        Err(refused) => {
            result.with_error_code(refused.code.code()).with_error_message(Some(text(refused.words)))
        }
    }
}
