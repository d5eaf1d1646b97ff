//! Produce over a socket.

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Client, Server};
use crate::kafka::backend::Leadership;
use crate::kafka::fake::{Commits, FakeBroker, broker};
use crate::record::sample::{self, Sample};

fn batch(value: u8) -> Bytes {
    sample::batch(&Sample { value: vec![value; 10], timestamps: vec![5, 6], ..Sample::default() })
}

fn request(acks: i16, topic: &'static str, partitions: Vec<(i32, Bytes)>) -> ProduceRequest {
    let data = partitions.into_iter().map(|(index, records)| {
        PartitionProduceData::default().with_index(index).with_records(Some(records))
    });
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_partition_data(data.collect());
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5000).with_topic_data(vec![topic])
}

async fn produce(
    client: &mut Client,
    version: i16,
    request: &ProduceRequest,
) -> Vec<PartitionProduceResponse> {
    client.ask(version, request).await.responses.remove(0).partition_responses
}

async fn one_error(client: &mut Client, version: i16, acks: i16, records: Bytes) -> i16 {
    produce(client, version, &request(acks, "lines", vec![(0, records)])).await[0].error_code
}

#[tokio::test]
async fn a_committed_batch_is_answered_with_its_offset_in_every_version_served() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for (position, version) in (3..=9).enumerate() {
        for acks in [-1, 1] {
            let found = produce(&mut client, version, &request(acks, "lines", vec![(0, batch(1))])).await;
            let expected = position as i64 * 4 + if acks == 1 { 2 } else { 0 };
            assert_eq!((found[0].error_code, found[0].base_offset), (0, expected), "v{version} acks={acks}");
        }
    }
}

#[tokio::test]
async fn pipelined_batches_replicate_together_and_are_answered_in_order() {
    let server = Server::start(FakeBroker::with_lines(Commits::Held)).await;
    let mut client = server.client().await;
    for value in 0..10 {
        client.send(9, &request(-1, "lines", vec![(i32::from(value) % 2, batch(value))])).await;
    }
    server.broker.until_started(10).await;
    for partition in 0..2 {
        let stored = server.broker.lines(partition).batches();
        let values: Vec<u8> = stored.iter().map(|batch| batch[batch.len() - 3]).collect();
        let expected: Vec<u8> = (0..10).filter(|value| value % 2 == partition as u8).collect();
        assert_eq!(values, expected, "in the order in which they were sent");
    }
    for _ in 0..10 {
        server.broker.commit_one();
    }
    for position in 0..10 {
        let (id, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(id, position + 1);
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, i64::from(position / 2 * 2)));
    }
}

#[tokio::test]
async fn no_answer_leaves_before_the_commit() {
    let server = Server::start(FakeBroker::with_lines(Commits::Held)).await;
    let mut client = server.client().await;
    client.send(9, &request(-1, "lines", vec![(0, batch(1))])).await;
    server.broker.until_started(1).await;
    let mut early = [0];
    assert!(client.stream.try_read(&mut early).is_err(), "nothing to read yet");
    server.broker.commit_one();
    assert_eq!(client.receive::<ProduceRequest>(9).await.0, 1);
}

#[tokio::test]
async fn other_requests_wait_for_the_batches_before_them_and_batches_wait_for_them() {
    let server = Server::start(FakeBroker::with_lines(Commits::Held)).await;
    let mut client = server.client().await;
    client.send(9, &request(-1, "lines", vec![(0, batch(1))])).await;
    client.send(9, &MetadataRequest::default().with_topics(None)).await;
    client.send(9, &request(-1, "lines", vec![(0, batch(2))])).await;
    server.broker.until_started(1).await;
    server.broker.add_topic("late", 1);
    assert_eq!(*server.broker.started.borrow(), 1, "the second batch waits behind Metadata");
    server.broker.commit_one();
    assert_eq!(client.receive::<ProduceRequest>(9).await.0, 1);
    let (id, metadata) = client.receive::<MetadataRequest>(9).await;
    assert_eq!((id, metadata.topics.len()), (2, 2));
    server.broker.until_started(2).await;
    server.broker.commit_one();
    assert_eq!(client.receive::<ProduceRequest>(9).await.0, 3);
}

#[tokio::test]
async fn acks_0_is_never_answered() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    client.send(9, &request(0, "lines", vec![(0, batch(1))])).await;
    let (id, found) = {
        let sent = client.send(9, &request(-1, "lines", vec![(0, batch(2))])).await;
        let (id, response) = client.receive::<ProduceRequest>(9).await;
        assert_eq!(id, sent);
        (id, response)
    };
    assert_eq!((id, found.responses[0].partition_responses[0].base_offset), (2, 2));
}

#[tokio::test]
async fn a_failed_batch_without_acks_closes_the_connection() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    client.send(9, &request(0, "absent", vec![(0, batch(1))])).await;
    client.is_closed().await;
}

#[tokio::test]
async fn acks_that_kafka_does_not_know_are_refused() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for acks in [2, -2, i16::MAX] {
        assert_eq!(one_error(&mut client, 9, acks, batch(1)).await, 21);
    }
    assert!(server.broker.lines(0).batches().is_empty());
}

#[tokio::test]
async fn each_partition_has_its_own_outcome() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let elsewhere = Leadership::Elsewhere { leader: Some(broker(2)) };
    server.broker.lines(1).lead(elsewhere);
    let mut client = server.client().await;
    let mut damaged = batch(4).to_vec();
    damaged[70] ^= 1;
    let partitions =
        vec![(0, batch(1)), (1, batch(2)), (7, batch(3)), (0, damaged.into()), (0, Bytes::new())];
    let found = produce(&mut client, 8, &request(-1, "lines", partitions)).await;
    let codes: Vec<_> = found.iter().map(|partition| (partition.index, partition.error_code)).collect();
    assert_eq!(codes, [(0, 0), (1, 6), (7, 3), (0, 2), (0, 87)]);
    assert!(found[3].error_message.as_ref().is_some_and(|words| words.contains("damaged")));
}

#[tokio::test]
async fn zstd_is_refused_from_clients_too_old_to_know_it() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    let zstd = sample::batch(&Sample { attributes: 4, ..Sample::default() });
    assert_eq!(one_error(&mut client, 6, -1, zstd.clone()).await, 76);
    assert_eq!(one_error(&mut client, 7, -1, zstd).await, 0);
}

#[tokio::test]
async fn transactions_are_refused() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    let id = Some(StrBytes::from_static_str("tx").into());
    let request = request(-1, "lines", vec![(0, batch(1))]).with_transactional_id(id);
    assert_eq!(produce(&mut client, 9, &request).await[0].error_code, 48);
}

#[tokio::test]
async fn versions_0_to_2_are_answered_with_unsupported_version() {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let mut client = server.client().await;
    for version in 0..3u8 {
        let head = [0, 0, 0, version, 0, 0, 0, 9, 0xff, 0xff];
        let body = b"\x00\x01\x00\x00\x00\x05\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01x";
        client.send_frame(&[&head[..], body].concat()).await;
        let (id, answer) = client.receive_frame().await;
        assert_eq!(id, 9);
        let head = b"\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x02\x00\x23\xff\xff\xff\xff\xff\xff\xff\xff";
        let tail: &[u8] =
            [&b""[..], b"\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"][usize::from(version)];
        assert_eq!(answer, [&head[..], tail].concat(), "v{version}");
    }
    client.ask(3, &ApiVersionsRequest::default()).await;
}
