//! Metadata, CreateTopics, DeleteTopics and the small requests over a socket.

use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::{ApiVersionsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Server;
use crate::kafka::backend::Backend;
use crate::kafka::fake::{Commits, FakeBroker};

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn metadata(names: &[&str]) -> MetadataRequest {
    let topic = |topic: &&str| MetadataRequestTopic::default().with_name(Some(name(topic)));
    MetadataRequest::default().with_topics(Some(names.iter().map(topic).collect()))
}

fn found(response: &MetadataResponse) -> Vec<(&str, i16, usize)> {
    let row = |topic: &kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
        (topic.error_code, topic.partitions.len())
    };
    let rows = response.topics.iter();
    rows.map(|topic| (topic.name.as_ref().map_or("", |name| name.as_str()), row(topic).0, row(topic).1))
        .collect()
}

#[tokio::test]
async fn metadata_tells_brokers_and_leaders_in_every_version_served() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for version in 0..=12 {
        let response = client.ask(version, &metadata(&["lines"])).await;
        let brokers: Vec<_> =
            response.brokers.iter().map(|b| (b.node_id.0, b.host.as_str(), b.port)).collect();
        assert_eq!(brokers, [(1, "b1", 9092), (2, "b2", 9093)]);
        assert_eq!(found(&response), [("lines", 0, 2)]);
        let partition = &response.topics[0].partitions[1];
        assert_eq!((partition.partition_index, partition.leader_id.0, partition.error_code), (1, 1, 0));
        assert_eq!(partition.leader_epoch, if version >= 7 { 3 } else { -1 });
        let isr: Vec<_> = partition.isr_nodes.iter().map(|id| id.0).collect();
        assert_eq!((partition.replica_nodes.len(), isr), (2, vec![1]));
        if version >= 1 {
            assert_eq!(response.controller_id.0, 2);
        }
        if version >= 2 {
            assert_eq!(response.cluster_id.as_deref(), Some("fake"));
        }
        if version >= 5 {
            assert_eq!(partition.offline_replicas, [2]);
        }
    }
}

#[tokio::test]
async fn null_means_all_topics_and_none_means_none_but_in_version_0() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    assert_eq!(client.ask(0, &metadata(&[])).await.topics.len(), 1);
    for version in 1..=12 {
        assert_eq!(client.ask(version, &metadata(&[])).await.topics.len(), 0);
        let all = MetadataRequest::default().with_topics(None);
        assert_eq!(client.ask(version, &all).await.topics.len(), 1);
    }
}

#[tokio::test]
async fn a_missing_topic_is_created_only_when_client_and_broker_both_want_it() {
    let mut broker = FakeBroker::new(Commits::AtOnce);
    broker.creates_topics = true;
    let server = Server::start(Arc::new(broker)).await;
    let mut client = server.client().await;
    let look = metadata(&["new"]).with_allow_auto_topic_creation(false);
    assert_eq!(found(&client.ask(12, &look).await), [("new", 3, 0)]);
    let create = metadata(&["new", "bad/name"]).with_allow_auto_topic_creation(true);
    assert_eq!(found(&client.ask(12, &create).await), [("new", 0, 1), ("bad/name", 17, 0)]);

    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    assert_eq!(found(&client.ask(12, &create).await), [("new", 3, 0), ("bad/name", 17, 0)]);
}

#[tokio::test]
async fn a_topic_is_found_by_its_id_from_version_10_on() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    let id = server.broker.topic("lines").expect("it is there").id;
    for version in 10..=12 {
        let topic = |id| MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic(id), topic(Uuid::from_u128(9))]));
        let response = client.ask(version, &request).await;
        assert_eq!(found(&response), [("lines", 0, 2), ("", 100, 0)]);
        assert_eq!(response.topics[0].topic_id, id);
    }
}

fn topic(topic: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

#[tokio::test]
async fn topics_are_created_in_every_version_served() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for version in 2..=7 {
        let wanted = topic(&format!("t{version}"), 4, 2);
        let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(5000);
        let response = client.ask(version, &request).await;
        let created = &response.topics[0];
        assert_eq!((created.error_code, created.name.as_str()), (0, &*format!("t{version}")));
        if version >= 5 {
            assert_eq!((created.num_partitions, created.replication_factor), (4, 2));
            assert_eq!(created.configs.as_ref().map(Vec::len), Some(0), "clients fail on null");
        }
        if version >= 7 {
            assert_eq!(Some(created.topic_id), server.broker.topic("t7").map(|topic| topic.id));
        }
    }
}

#[tokio::test]
async fn what_a_topic_may_not_be_is_refused_with_words() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    let config = |name: &'static str, value: &'static str| {
        let (name, value) = (StrBytes::from_static_str(name), StrBytes::from_static_str(value));
        vec![CreatableTopicConfig::default().with_name(name).with_value(Some(value))]
    };
    let assigned = CreatableReplicaAssignment::default().with_broker_ids(vec![1.into()]);
    let topics = vec![
        topic("lines", 1, 1),
        topic("bad name", 1, 1),
        topic("a", 0, 1),
        topic("b", 1, 0),
        topic("c", 1, 3),
        topic("d", -1, -1).with_assignments(vec![assigned]),
        topic("e", 1, 1).with_configs(config("cleanup.policy", "compact")),
        topic("f", 1, 1).with_configs(config("cleanup.policy", "delete")),
        topic("g", 1, 1),
        topic("g", 1, 1),
    ];
    let request = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(5000);
    let response = client.ask(5, &request).await;
    let codes: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [36, 17, 37, 38, 38, 42, 40, 0, 42, 42]);
    assert!(response.topics.iter().all(|topic| (topic.error_code == 0) == topic.error_message.is_none()));
}

#[tokio::test]
async fn validation_creates_nothing() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    let topics = vec![topic("new", -1, -1)];
    let request = CreateTopicsRequest::default().with_topics(topics).with_validate_only(true);
    let response = client.ask(7, &request).await;
    assert_eq!((response.topics[0].error_code, response.topics[0].num_partitions), (0, 1));
    assert!(server.broker.topic("new").is_none());
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let server = Server::start(FakeBroker::new(Commits::AtOnce).into()).await;
    let mut client = server.client().await;
    for version in 1..=5 {
        server.broker.add_topic("gone", 1);
        let request = DeleteTopicsRequest::default().with_topic_names(vec![name("gone"), name("absent")]);
        let response = client.ask(version, &request).await;
        let codes: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, 3]);
        assert!(server.broker.topic("gone").is_none());
    }
    server.broker.add_topic("gone", 1);
    let id = server.broker.add_topic("by-id", 1).id;
    let topics = vec![
        DeleteTopicState::default().with_name(Some(name("gone"))),
        DeleteTopicState::default().with_topic_id(id),
        DeleteTopicState::default().with_topic_id(Uuid::from_u128(9)),
    ];
    let response = client.ask(6, &DeleteTopicsRequest::default().with_topics(topics)).await;
    let codes: Vec<_> = response.responses.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 0, 100]);
    assert_eq!(response.responses[1].name, Some(name("by-id")));
    assert!(server.broker.topics().is_empty());
}

#[tokio::test]
async fn producer_ids_are_new_each_time_and_not_for_transactions() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for version in 0..=4 {
        let plain = InitProducerIdRequest::default().with_transactional_id(None);
        let response = client.ask(version, &plain).await;
        let expected = (0, 1001 + i64::from(version), 0);
        assert_eq!((response.error_code, response.producer_id.0, response.producer_epoch), expected);
        let transactional = plain.with_transactional_id(Some(StrBytes::from_static_str("tx").into()));
        let response = client.ask(version, &transactional).await;
        assert_eq!((response.error_code, response.producer_id.0), (53, -1));
    }
}

#[tokio::test]
async fn coordinators_of_groups_are_not_available_yet_and_of_transactions_never() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for version in 0..=3 {
        let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("group"));
        let response = client.ask(version, &request).await;
        assert_eq!((response.error_code, response.node_id.0), (15, -1));
        if version >= 1 {
            assert_eq!(client.ask(version, &request.with_key_type(1)).await.error_code, 53);
        }
    }
    let keys = vec![StrBytes::from_static_str("a"), StrBytes::from_static_str("b")];
    let response = client.ask(4, &FindCoordinatorRequest::default().with_coordinator_keys(keys)).await;
    let rows: Vec<_> = response.coordinators.iter().map(|c| (c.key.as_str(), c.error_code)).collect();
    assert_eq!(rows, [("a", 15), ("b", 15)]);
}

#[tokio::test]
async fn the_table_of_versions_is_told_in_every_version_served() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for version in 0..=4 {
        let response = client.ask(version, &ApiVersionsRequest::default()).await;
        assert_eq!((response.error_code, response.api_keys.len()), (0, 9));
        let produce = &response.api_keys[0];
        assert_eq!((produce.api_key, produce.min_version, produce.max_version), (0, 0, 9));
    }
}
