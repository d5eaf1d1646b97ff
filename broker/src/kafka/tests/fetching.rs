//! Fetch and ListOffsets over a socket.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, timeout};

use super::{Client, DEADLINE, Server};
use crate::kafka::backend::Leadership;
use crate::kafka::fake::{Commits, FakeBroker, broker, epoch};
use crate::record::sample::{self, Sample};

/// Longer than a test waits: a fetch that waits this long has hung.
const LONG_MS: i32 = 60_000;

fn name(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

fn batch(timestamps: Vec<i64>) -> Bytes {
    sample::batch(&Sample { timestamps, ..Sample::default() })
}

struct Ask {
    offsets: Vec<(i32, i64)>,
    epoch: i32,
    max_bytes: i32,
    min_bytes: i32,
    wait_ms: i32,
}

impl Default for Ask {
    fn default() -> Self {
        Self { offsets: vec![(0, 0)], epoch: -1, max_bytes: 1 << 20, min_bytes: 1, wait_ms: 0 }
    }
}

fn request(ask: &Ask) -> FetchRequest {
    let partitions = ask.offsets.iter().map(|(index, offset)| {
        FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_current_leader_epoch(ask.epoch)
            .with_partition_max_bytes(ask.max_bytes)
    });
    let topic = FetchTopic::default().with_topic(name("lines")).with_partitions(partitions.collect());
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(ask.wait_ms)
        .with_min_bytes(ask.min_bytes)
        .with_max_bytes(ask.max_bytes)
        .with_topics(vec![topic])
}

async fn fetch(client: &mut Client, version: i16, ask: Ask) -> Vec<PartitionData> {
    let mut response = client.ask(version, &request(&ask)).await;
    assert_eq!((response.error_code, response.session_id), (0, 0));
    response.responses.remove(0).partitions
}

fn records(partition: &PartitionData) -> &[u8] {
    partition.records.as_deref().expect("records are never null")
}

/// A server whose partition 0 holds two batches: offsets 0 to 2 in epoch 2, and 3 to 4 in epoch 3.
async fn two_batches() -> (Server, [Bytes; 2]) {
    let server = Server::start(FakeBroker::with_lines(Commits::AtOnce)).await;
    let partition = server.broker.lines(0);
    partition.append(batch(vec![100, 300, 200]), 2);
    partition.append(batch(vec![400, 500]), 3);
    partition.commit();
    let batches = partition.batches();
    (server, [batches[0].clone(), batches[1].clone()])
}

#[tokio::test]
async fn whole_batches_come_back_as_they_are_stored_in_every_version_served() {
    let (server, [first, second]) = two_batches().await;
    let mut client = server.client().await;
    for version in 4..=12 {
        let all = fetch(&mut client, version, Ask::default()).await;
        assert_eq!(records(&all[0]), [&first[..], &second[..]].concat());
        assert_eq!((all[0].error_code, all[0].high_watermark, all[0].last_stable_offset), (0, 5, 5));
        let middle = fetch(&mut client, version, Ask { offsets: vec![(0, 1)], ..Ask::default() }).await;
        assert!(records(&middle[0]).starts_with(&first), "the batch that contains the offset, whole");
        let end = fetch(&mut client, version, Ask { offsets: vec![(0, 5)], ..Ask::default() }).await;
        assert_eq!((records(&end[0]), end[0].error_code), (&b""[..], 0));
    }
}

#[tokio::test]
async fn the_first_partition_with_records_returns_a_batch_whatever_the_limit() {
    let (server, [first, _]) = two_batches().await;
    server.broker.lines(1).append(batch(vec![1]), 3);
    server.broker.lines(1).commit();
    let mut client = server.client().await;
    let ask = Ask { offsets: vec![(0, 5), (0, 0), (1, 0)], max_bytes: 1, ..Ask::default() };
    let found = fetch(&mut client, 11, ask).await;
    assert_eq!(records(&found[0]), b"");
    assert_eq!(records(&found[1]), first);
    assert_eq!(records(&found[2]), b"", "and the others nothing");
}

#[tokio::test]
async fn a_fetch_at_the_end_waits_for_the_next_commit_and_not_longer() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    let ask = Ask { offsets: vec![(1, 0), (0, 5)], wait_ms: LONG_MS, ..Ask::default() };
    let partition = server.broker.lines(0);
    let waits = partition.one_more_waits();
    let sent = client.send(11, &request(&ask)).await;
    timeout(DEADLINE, waits).await.expect("it waits");
    partition.append(batch(vec![600]), 3);
    partition.commit();
    let (id, response) = client.receive::<FetchRequest>(11).await;
    assert_eq!(id, sent);
    let partitions = &response.responses[0].partitions;
    assert_eq!((partitions[0].partition_index, records(&partitions[0])), (1, &b""[..]));
    assert_eq!((partitions[1].high_watermark, records(&partitions[1]).len()), (6, batch(vec![600]).len()));
}

#[tokio::test]
async fn a_fetch_waits_until_it_has_enough_bytes() {
    let (server, [first, second]) = two_batches().await;
    let mut client = server.client().await;
    let (have, one) = (first.len() + second.len(), batch(vec![600]).len());
    let min_bytes = (have + 2 * one) as i32;
    let partition = server.broker.lines(0);
    let waits = partition.one_more_waits();
    client.send(11, &request(&Ask { min_bytes, wait_ms: LONG_MS, ..Ask::default() })).await;
    timeout(DEADLINE, waits).await.expect("it waits");
    for timestamp in [600, 700] {
        partition.append(batch(vec![timestamp]), 3);
        partition.commit();
    }
    let (_, response) = client.receive::<FetchRequest>(11).await;
    assert_eq!(records(&response.responses[0].partitions[0]).len(), have + 2 * one);
}

#[tokio::test]
async fn an_empty_fetch_is_answered_when_its_time_is_over() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    let begun = Instant::now();
    let ask = Ask { offsets: vec![(0, 5)], wait_ms: 50, ..Ask::default() };
    assert_eq!(records(&fetch(&mut client, 11, ask).await[0]), b"");
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_waiting_fetch_ends_when_the_leader_changes_or_the_topic_goes() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    let partition = server.broker.lines(0);
    let ask = Ask { offsets: vec![(0, 5)], wait_ms: LONG_MS, ..Ask::default() };
    for (end, code) in [("deposed", 6), ("deleted", 3)] {
        partition.lead(Leadership::Serving(epoch(3)));
        let waits = partition.one_more_waits();
        client.send(11, &request(&ask)).await;
        timeout(DEADLINE, waits).await.expect("it waits");
        match end {
            "deposed" => partition.lead(Leadership::Elsewhere { leader: Some(broker(2)) }),
            _ => partition.delete(),
        }
        let (_, response) = client.receive::<FetchRequest>(11).await;
        let found = &response.responses[0].partitions[0];
        assert_eq!((found.error_code, records(found)), (code, &b""[..]), "{end}");
    }
}

#[tokio::test]
async fn a_replica_that_is_elected_and_not_ready_serves_nothing() {
    let (server, _) = two_batches().await;
    server.broker.lines(0).lead(Leadership::Elected(epoch(4)));
    let mut client = server.client().await;
    let found = fetch(&mut client, 11, Ask::default()).await;
    assert_eq!((found[0].error_code, records(&found[0])), (6, &b""[..]));
}

#[tokio::test]
async fn offsets_outside_the_log_and_epochs_of_another_time_are_told() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    for (offset, epoch, code) in [(6, -1, 1), (-1, -1, 1), (0, 2, 74), (0, 4, 75), (99, 4, 75), (0, 3, 0)] {
        let ask = Ask { offsets: vec![(0, offset)], epoch, ..Ask::default() };
        let found = fetch(&mut client, 12, ask).await;
        assert_eq!(found[0].error_code, code, "offset {offset}, epoch {epoch}");
    }
    let absent =
        fetch(&mut client, 12, Ask { offsets: vec![(9, 0)], wait_ms: LONG_MS, ..Ask::default() }).await;
    assert_eq!(absent[0].error_code, 3);
}

#[tokio::test]
async fn a_session_that_was_never_given_is_not_found() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    let unknown = request(&Ask::default()).with_session_id(5).with_session_epoch(1);
    let response = client.ask(11, &unknown).await;
    assert_eq!((response.error_code, response.session_id, response.responses.len()), (70, 0, 0));
    let full = request(&Ask::default()).with_session_epoch(0);
    assert_eq!(client.ask(11, &full).await.session_id, 0);
}

#[tokio::test]
async fn clients_too_old_for_zstd_get_the_batches_before_it_and_then_an_error() {
    let (server, [first, second]) = two_batches().await;
    let zstd = sample::batch(&Sample { attributes: 4, ..Sample::default() });
    server.broker.lines(0).append(zstd, 3);
    server.broker.lines(0).commit();
    let mut client = server.client().await;
    let found = fetch(&mut client, 9, Ask::default()).await;
    assert_eq!(records(&found[0]), [&first[..], &second[..]].concat());
    let found = fetch(&mut client, 9, Ask { offsets: vec![(0, 5)], ..Ask::default() }).await;
    assert_eq!((found[0].error_code, records(&found[0])), (76, &b""[..]));
    let found = fetch(&mut client, 10, Ask { offsets: vec![(0, 5)], ..Ask::default() }).await;
    assert_eq!(found[0].error_code, 0);
}

async fn list(client: &mut Client, version: i16, timestamp: i64) -> (i16, i64, i64, i32) {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name("lines")).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let response = client.ask(version, &request).await;
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.offset, found.timestamp, found.leader_epoch)
}

#[tokio::test]
async fn the_ends_of_a_partition_are_listed_with_the_epochs_of_their_offsets() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    for version in 1..=7 {
        let epoch = |epoch| if version >= 4 { epoch } else { -1 };
        assert_eq!(list(&mut client, version, -1).await, (0, 5, -1, epoch(3)), "latest, v{version}");
        assert_eq!(list(&mut client, version, -2).await, (0, 0, -1, epoch(2)), "earliest, v{version}");
    }
}

#[tokio::test]
async fn a_time_is_found_at_the_first_record_not_before_it() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    assert_eq!(list(&mut client, 7, 0).await, (0, 0, 100, 2));
    assert_eq!(list(&mut client, 7, 150).await, (0, 1, 300, 2));
    assert_eq!(list(&mut client, 7, 301).await, (0, 3, 400, 3));
    assert_eq!(list(&mut client, 7, 500).await, (0, 4, 500, 3));
    assert_eq!(list(&mut client, 7, 501).await, (0, -1, -1, -1), "there is none");
}

#[tokio::test]
async fn the_newest_record_is_found_by_its_time_from_version_7_on() {
    let (server, _) = two_batches().await;
    let mut client = server.client().await;
    assert_eq!(list(&mut client, 7, -3).await, (0, 4, 500, 3));
    assert_eq!(list(&mut client, 6, -3).await, (35, -1, -1, -1));
    assert_eq!(list(&mut client, 7, -4).await, (35, -1, -1, -1));
}

#[tokio::test]
async fn only_a_serving_leader_lists_offsets() {
    let (server, _) = two_batches().await;
    server.broker.lines(0).lead(Leadership::Elsewhere { leader: None });
    let mut client = server.client().await;
    assert_eq!(list(&mut client, 7, -1).await, (6, -1, -1, -1));
}
