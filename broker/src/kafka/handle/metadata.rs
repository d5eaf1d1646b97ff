//! Metadata: brokers, topics, and who leads what, from this broker's own copy.
//!
//! Leaders are told as they announced themselves, with their epoch, and never guessed: a partition without a known
//! leader has leader -1 and LEADER_NOT_AVAILABLE.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use uuid::Uuid;

use super::{Edge, HandlerError, decode};
use crate::kafka::backend::{Backend, BrokerId, PartitionInfo, TopicError, TopicInfo};
use crate::kafka::codec::{encode, text};
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;
use crate::kafka::topic_name::topic_name_fault;
use crate::kafka::{error_code, gather};

/// How many topics of one request are created at a time.
const CREATED_AT_A_TIME: usize = 32;

pub(super) async fn metadata<B: Backend>(edge: &Edge<B>, request: &Request) -> Result<Reply, HandlerError> {
    let asked: MetadataRequest = decode(request)?;
    let topics = match asked.topics {
        Some(topics) if request.version > 0 || !topics.is_empty() => {
            some_topics(edge, topics, asked.allow_auto_topic_creation).await
        }
        // Null means all. Version 0 has no null and means all by none.
        _ => edge.backend.topics().values().map(|topic| found(topic)).collect(),
    };
    let cluster = edge.backend.cluster();
    let brokers = cluster.brokers.iter().map(|broker| {
        MetadataResponseBroker::default()
            .with_node_id(broker.id.as_i32().into())
            .with_host(text(&broker.host))
            .with_port(broker.port.into())
    });
    let response = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(text(&cluster.cluster_id)))
        .with_controller_id(cluster.controller.map_or(-1, BrokerId::as_i32).into())
        .with_topics(topics);
    Ok(encode(request, &response)?)
}

async fn some_topics<B: Backend>(
    edge: &Edge<B>,
    topics: Vec<MetadataRequestTopic>,
    create: bool,
) -> Vec<MetadataResponseTopic> {
    let mut answers = Vec::with_capacity(topics.len());
    for batch in topics.chunks(CREATED_AT_A_TIME) {
        answers.extend(gather::all(batch.iter().map(|topic| one_topic(edge, topic, create))).await);
    }
    answers
}

async fn one_topic<B: Backend>(
    edge: &Edge<B>,
    asked: &MetadataRequestTopic,
    create: bool,
) -> MetadataResponseTopic {
    let Some(name) = &asked.name else {
        let id = asked.topic_id;
        let known = edge.backend.topic_by_id(id).ok_or(TopicError::AbsentId { id });
        return known.map_or_else(|error| failed(None, id, &error), |topic| found(&topic));
    };
    match by_name(edge, name.as_str(), create).await {
        Ok(topic) => found(&topic),
        Err(error) => failed(Some(name.clone()), Uuid::nil(), &error),
    }
}

async fn by_name<B: Backend>(edge: &Edge<B>, name: &str, create: bool) -> Result<Arc<TopicInfo>, TopicError> {
    if let Some(fault) = topic_name_fault(name) {
        return Err(TopicError::IllegalName { name: name.to_owned(), fault });
    }
    match edge.backend.topic(name) {
        Some(topic) => Ok(topic),
        None if create => edge.backend.ensure_topic(name, edge.limits.auto_create_patience).await,
        None => Err(TopicError::Absent { name: name.to_owned() }),
    }
}

fn found(topic: &TopicInfo) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(index, info)| partition(index, info));
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}

fn failed(name: Option<TopicName>, id: Uuid, error: &TopicError) -> MetadataResponseTopic {
    // Below version 12 a name may not be null; a topic asked for by id in version 10 or 11 gets an empty one.
    MetadataResponseTopic::default()
        .with_error_code(error_code::of_topic_in_metadata(error).code())
        .with_name(Some(name.unwrap_or_default()))
        .with_topic_id(id)
}

fn partition(index: i32, info: &PartitionInfo) -> MetadataResponsePartition {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.as_i32().into()).collect::<Vec<_>>();
    let gone = info.replicas.iter().copied().filter(|replica| !info.in_sync.contains(replica));
    let error = info.leader.is_none().then_some(ResponseError::LeaderNotAvailable);
    MetadataResponsePartition::default()
        .with_error_code(error.map_or(0, |error| error.code()))
        .with_partition_index(index)
        .with_leader_id(info.leader.map_or(-1, |(leader, _)| leader.as_i32()).into())
        .with_leader_epoch(info.leader.map_or(-1, |(_, epoch)| epoch.as_i32()))
        .with_replica_nodes(ids(&info.replicas))
        .with_isr_nodes(ids(&info.in_sync))
        .with_offline_replicas(ids(&gone.collect::<Vec<_>>()))
}
