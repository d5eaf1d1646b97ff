//! HTTP for people and tools: `GET /healthz` and `GET /cluster`.
//!
//! Reads only, from what this manager knows; it never asks another node. A connection carries one request and is
//! closed after [`CONNECTION_TIME`] whatever happens; at most [`MAX_CONNECTIONS`] are open, further ones wait in
//! the listener's backlog. Nothing that arrives can hurt anything but its own connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::report::Facts;

/// How long one connection may live, from its acceptance to the last byte of its answer.
pub const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// How many connections may be open at once.
pub const MAX_CONNECTIONS: usize = 64;

/// The largest request body that a handler would read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The largest request head, in bytes, near enough: what hyper buffers before it answers 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How long to wait after the system refused to accept a connection, as it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Looks at the cluster as it is now.
pub type Look = Arc<dyn Fn() -> Facts + Send + Sync>;

/// A running HTTP server. It stops when dropped.
pub struct HttpServer {
    address: SocketAddr,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Binds `address` (port 0 takes a free one) and serves until stopped.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, look: Look) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(accept(listener, routes(look), CONNECTION_TIME, stopped));
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and what is open on it, and waits until that is done.
    pub async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

/// The routes, apart from any socket.
fn routes(look: Look) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/cluster", get(cluster))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(look)
}

async fn index() -> &'static str {
    "A manager of Flotilla.\nGET /healthz  whether this manager knows a leader\nGET /cluster  the cluster as JSON\n"
}

async fn healthz(State(look): State<Look>) -> Response {
    match look().health() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn cluster(State(look): State<Look>) -> Response {
    match serde_json::to_vec(&look().cluster()) {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    }
}

async fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "there is nothing here; try /healthz or /cluster\n").into_response()
}

async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET,HEAD")], "this can only be read; use GET\n")
        .into_response()
}

/// Accepts connections until `stopped` closes, then drops those still open.
async fn accept(listener: TcpListener, routes: Router, time: Duration, mut stopped: watch::Receiver<()>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            Some(_) = connections.join_next() => {}
            accepted = next(&listener, room.clone()) => {
                let Some((stream, from, permit)) = accepted else { continue };
                let routes = routes.clone();
                connections.spawn(async move {
                    serve(stream, from, routes, time).await;
                    drop(permit);
                });
            }
        }
    }
}

/// The next connection, once there is room for it. `None` after an error that a pause may cure.
async fn next(
    listener: &TcpListener,
    room: Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => Some((stream, from, permit)),
        Err(why) => {
            tracing::warn!(%why, "http: cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Serves one request on one connection.
async fn serve(stream: TcpStream, from: SocketAddr, routes: Router, time: Duration) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(time)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    match tokio::time::timeout(time, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => tracing::info!(%from, %why, "http: connection closed"),
        Err(_) => tracing::info!(%from, ?time, "http: connection closed, its time is over"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::report::tests::facts;

    async fn server(look: Look) -> HttpServer {
        HttpServer::start(([127, 0, 0, 1], 0).into(), look).await.unwrap()
    }

    /// Sends bytes on a connection of their own and returns everything that comes back.
    async fn exchange(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        exchange(address, format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await
    }

    #[tokio::test]
    async fn health_is_200_with_a_leader_and_503_with_the_reason_without() {
        let healthy = server(Arc::new(facts)).await;
        let answer = get(healthy.address(), "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let leaderless = server(Arc::new(|| Facts { root: None, ..facts() })).await;
        let answer = get(leaderless.address(), "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("no leader is known: 1 of 2 other managers are connected"), "{answer}");
    }

    #[tokio::test]
    async fn the_cluster_is_one_json_object() {
        let server = server(Arc::new(facts)).await;
        let answer = get(server.address(), "/cluster").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json, serde_json::to_value(facts().cluster()).unwrap());
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused_with_a_hint() {
        let server = server(Arc::new(facts)).await;
        let answer = get(server.address(), "/nothing").await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("/cluster"), "{answer}");
        let post = b"POST /cluster HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
        let answer = exchange(server.address(), post).await;
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("use GET"), "{answer}");
    }

    #[tokio::test]
    async fn garbage_and_oversized_heads_close_their_connection_and_nothing_else() {
        let server = server(Arc::new(facts)).await;
        let oversized = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(4 * MAX_HEAD_BYTES));
        let declares_2_gib = b"\x80\x00\x00\x00 frame of something else\r\n\r\n";
        for garbage in [&b"\0\0\0\x10garbage\r\n\r\n"[..], declares_2_gib, oversized.as_bytes()] {
            let answer = exchange(server.address(), garbage).await;
            assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        }
        assert!(get(server.address(), "/healthz").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_connection_that_never_finishes_its_request_is_closed_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = watch::channel(());
        let time = Duration::from_millis(50);
        tokio::spawn(accept(listener, routes(Arc::new(facts)), time, stopped));
        let begun = Instant::now();
        let answer = exchange(address, b"GET /healthz HTT").await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
        assert!(begun.elapsed() >= time && begun.elapsed() < CONNECTION_TIME);
    }

    #[tokio::test]
    async fn stopping_closes_what_is_open() {
        let server = server(Arc::new(facts)).await;
        let mut open = TcpStream::connect(server.address()).await.unwrap();
        open.write_all(b"GET /").await.unwrap();
        server.stop().await;
        let mut rest = Vec::new();
        let _ = open.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
}
