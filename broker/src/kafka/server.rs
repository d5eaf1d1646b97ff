//! The Kafka port: accepts clients, and keeps each one's troubles its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::backend::Backend;
use super::connection;
use super::handle::Edge;
use super::limits::Limits;

/// How long to wait after a failed accept: most often the process has no file descriptor left, and trying again at once
/// would only burn a core.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves Kafka clients on `listener` within the default [`Limits`] until `stop` holds true; see [`serve_within`].
pub async fn serve<B: Backend>(listener: TcpListener, backend: Arc<B>, stop: watch::Receiver<bool>) {
    serve_within(Limits::default(), listener, backend, stop).await;
}

/// Serves Kafka clients on `listener` until `stop` holds true (or its sender is gone). Then no request is taken any
/// more, those taken are answered while `limits.unfinished` lasts, and all connections are closed. Dropping the future
/// closes them at once; batches already handed to the backend go on, unanswered.
pub async fn serve_within<B: Backend>(
    limits: Limits,
    listener: TcpListener,
    backend: Arc<B>,
    mut stop: watch::Receiver<bool>,
) {
    let mut server = Server {
        room: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
        edge: Edge::new(backend, limits),
        stop: stop.clone(),
        connections: JoinSet::new(),
    };
    loop {
        tokio::select! {
            () = connection::stopped(&mut stop) => break,
            accepted = listener.accept() => server.take(accepted).await,
        }
    }
    drop(listener);
    while server.connections.join_next().await.is_some() {}
}

struct Server<B> {
    /// A permit for each open connection.
    room: Arc<Semaphore>,
    edge: Edge<B>,
    stop: watch::Receiver<bool>,
    connections: JoinSet<()>,
}

impl<B: Backend> Server<B> {
    async fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                return tokio::time::sleep(ACCEPT_RETRY).await;
            }
        };
        while self.connections.try_join_next().is_some() {}
        let Ok(permit) = self.room.clone().try_acquire_owned() else {
            let limit = self.edge.limits.connections;
            return tracing::warn!(%peer, limit, "closed: so many connections are open already");
        };
        let (edge, stop) = (self.edge.clone(), self.stop.clone());
        self.connections.spawn(async move {
            serve_one(edge, stream, peer, stop).await;
            drop(permit);
        });
    }
}

async fn serve_one<B: Backend>(
    edge: Edge<B>,
    mut stream: TcpStream,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let (read, write) = stream.split();
    let reason = connection::serve(edge, peer, read, write, stop).await;
    if reason.is_ordinary() {
        tracing::debug!(%peer, %reason, "close");
    } else {
        tracing::warn!(%peer, %reason, "close");
    }
}
