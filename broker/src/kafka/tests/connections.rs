//! What a connection may do, and what ends it.

use std::time::Duration;

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{DEADLINE, Server};
use crate::kafka::Limits;
use crate::kafka::fake::{Commits, FakeBroker};

/// Short enough for a test, long enough that nothing but silence takes it.
const SHORT: Duration = Duration::from_millis(200);

async fn server(limits: Limits) -> Server {
    Server::start_within(limits, FakeBroker::with_lines(Commits::AtOnce)).await
}

fn metadata() -> MetadataRequest {
    MetadataRequest::default().with_topics(None)
}

#[tokio::test]
async fn a_frame_that_declares_an_impossible_length_ends_its_connection_and_no_other() {
    let server = server(Limits::default()).await;
    let mut good = server.client().await;
    good.ask(9, &metadata()).await;
    for declared in [i32::MAX, i32::MIN, -1, 0, 7, (16 << 20) + 1] {
        let mut bad = server.client().await;
        bad.send_bytes(&declared.to_be_bytes()).await;
        bad.is_closed().await;
    }
    good.ask(9, &metadata()).await;
}

#[tokio::test]
async fn garbage_ends_its_connection_and_no_other() {
    let server = server(Limits::default()).await;
    let mut good = server.client().await;
    good.ask(9, &metadata()).await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
        &[0xff; 64],
        b"\x00\x00\x00\x08\x7f\xff\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x00\x0a\x00\x03\x00\x63\x00\x00\x00\x01\xff\xff",
    ];
    for bytes in garbage {
        let mut bad = server.client().await;
        bad.send_bytes(bytes).await;
        bad.is_closed().await;
    }
    good.ask(9, &metadata()).await;
}

#[tokio::test]
async fn an_array_that_claims_more_than_the_frame_holds_ends_its_connection() {
    let server = server(Limits::default()).await;
    let mut bad = server.client().await;
    bad.send_frame(b"\x00\x03\x00\x00\x00\x00\x00\x01\xff\xff\x7f\xff\xff\xff").await;
    bad.is_closed().await;
}

#[tokio::test]
async fn a_half_frame_is_closed_after_its_time() {
    let server = server(Limits { unfinished: SHORT, ..Limits::default() }).await;
    let mut client = server.client().await;
    client.ask(9, &metadata()).await;
    client.send_bytes(b"\x00\x00\x00\x20\x00\x03").await;
    client.is_closed().await;
}

#[tokio::test]
async fn a_connection_that_never_asks_anything_is_closed_after_its_time() {
    let server = server(Limits { unfinished: SHORT, ..Limits::default() }).await;
    server.client().await.is_closed().await;
    let mut half = server.client().await;
    half.send_bytes(b"\x00\x00").await;
    half.is_closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let server = server(Limits { idle: SHORT, ..Limits::default() }).await;
    let mut client = server.client().await;
    client.ask(9, &metadata()).await;
    client.is_closed().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let server = server(Limits { connections: 2, ..Limits::default() }).await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    first.ask(9, &metadata()).await;
    second.ask(9, &metadata()).await;
    server.client().await.is_closed().await;
    drop(first);
    // The server learns of the close in its own time.
    let again = async {
        loop {
            let mut third = server.client().await;
            third.send_frame(b"\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff").await;
            let mut first_byte = [0];
            if third.stream.peek(&mut first_byte).await.is_ok_and(|read| read == 1) {
                break;
            }
        }
    };
    timeout(DEADLINE, again).await.expect("there is room again");
}

#[tokio::test]
async fn no_more_than_the_bound_of_requests_is_in_flight() {
    use kafka_protocol::messages::ProduceRequest;
    let limits = Limits { in_flight_requests: 3, ..Limits::default() };
    let server = Server::start_within(limits, FakeBroker::with_lines(Commits::Held)).await;
    let mut client = server.client().await;
    // Acks=-1 with one topic and one partition, by hand.
    let batch = crate::record::sample::batch(&crate::record::sample::Sample::default());
    let mut frame = b"\x00\x00\x00\x03\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\x00\x00\x13\x88\x00\x00\x00\x01\x00\x05lines\x00\x00\x00\x01\x00\x00\x00\x00".to_vec();
    frame.extend((batch.len() as i32).to_be_bytes());
    frame.extend(&batch);
    for _ in 0..5 {
        client.send_frame(&frame).await;
    }
    server.broker.until_started(3).await;
    for committed in 1..=5 {
        assert!(*server.broker.started.borrow() <= committed + 2, "at most three are in flight");
        server.broker.commit_one();
        client.receive::<ProduceRequest>(3).await;
        server.broker.until_started((committed + 3).min(5)).await;
    }
}

#[tokio::test]
async fn a_client_that_closes_its_half_is_still_answered() {
    let server = server(Limits::default()).await;
    let mut client = server.client().await;
    client.send(9, &metadata()).await;
    client.send(3, &ApiVersionsRequest::default()).await;
    client.stream.shutdown().await.expect("half closed");
    assert_eq!(client.receive::<MetadataRequest>(9).await.0, 1);
    assert_eq!(client.receive::<ApiVersionsRequest>(3).await.0, 2);
    client.is_closed().await;
}

#[tokio::test]
async fn when_the_broker_stops_its_connections_are_closed_and_its_port_is_free() {
    let server = server(Limits::default()).await;
    let mut client = server.client().await;
    client.ask(9, &metadata()).await;
    server.stop.send(true).expect("it runs");
    client.is_closed().await;
    timeout(DEADLINE, server.task).await.expect("it stops in time").expect("it did not panic");
    tokio::net::TcpListener::bind(server.address).await.expect("the port is free");
}
