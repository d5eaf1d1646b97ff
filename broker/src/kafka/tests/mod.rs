//! The edge as a client sees it: over a socket, with an independent codec, before a broker in memory.

mod connections;
mod decoding;
mod fetching;
mod producing;
mod topics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fake::FakeBroker;
use super::{Limits, serve_within};

/// Longer than any test may take to see one answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server before a broker in memory.
struct Server {
    address: SocketAddr,
    broker: Arc<FakeBroker>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(broker: Arc<FakeBroker>) -> Self {
        Self::start_within(Limits::default(), broker).await
    }

    async fn start_within(limits: Limits, broker: Arc<FakeBroker>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(serve_within(limits, listener, broker.clone(), stopping));
        Self { address, broker, stop, task }
    }

    async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.expect("connects"), next_id: 1 }
    }
}

/// A client that sends whatever it is told.
struct Client {
    stream: TcpStream,
    next_id: i32,
}

impl Client {
    /// Sends a request without waiting for its answer; returns its correlation id.
    async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        let id = self.next_id;
        self.next_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(StrBytes::from_static_str("test")));
        let mut frame = BytesMut::new();
        header.encode(&mut frame, R::header_version(version)).expect("encodes");
        request.encode(&mut frame, version).expect("encodes");
        self.send_frame(&frame).await;
        id
    }

    async fn send_frame(&mut self, frame: &[u8]) {
        self.send_bytes(&(frame.len() as i32).to_be_bytes()).await;
        self.send_bytes(frame).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    /// Reads one answer: its correlation id and the rest.
    async fn receive_frame(&mut self) -> (i32, Bytes) {
        let read = async {
            let length = self.stream.read_i32().await.expect("an answer");
            let mut frame = vec![0; usize::try_from(length).expect("a length")];
            self.stream.read_exact(&mut frame).await.expect("a whole answer");
            let mut frame = Bytes::from(frame);
            (frame.get_i32(), frame)
        };
        timeout(DEADLINE, read).await.expect("an answer in time")
    }

    async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        let (id, mut body) = self.receive_frame().await;
        if R::Response::header_version(version) == 1 {
            assert_eq!(body.get_u8(), 0, "no tagged fields");
        }
        let response = R::Response::decode(&mut body, version).expect("decodes");
        assert!(body.is_empty(), "nothing follows the answer");
        (id, response)
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (id, response) = self.receive::<R>(version).await;
        assert_eq!(id, sent);
        response
    }

    /// Waits until the server closes the connection; nothing may come before.
    async fn is_closed(&mut self) {
        let mut rest = Vec::new();
        let end = timeout(DEADLINE, self.stream.read_to_end(&mut rest)).await.expect("closed in time");
        // A close with unread bytes left is a reset.
        if let Err(error) = end {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!(rest, b"", "nothing is answered");
    }
}
