//! Takes calls: a task for each, up to a bound.
//!
//! Invariant: at most [`MAX_CONNECTIONS`] accepted connections are open, hand-shake finished or not; beyond it a
//! caller is told so and cut off at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raft_core::NodeId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::handshake::{Admitted, Greeting, Purpose, Refusal, RefusalReason};
use crate::runtime::greet;
use crate::runtime::link;
use crate::runtime::shared::Shared;

/// The most accepted connections at a time, inclusive.
pub(crate) const MAX_CONNECTIONS: usize = 1024;
/// After the system refused to hand over a connection, as when there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections for ever. Aborting it closes all that it accepted.
pub(crate) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let (shared, span) = (shared.clone(), shared.span.clone());
                let serving = async move {
                    serve(&shared, stream, from).await;
                    drop(place);
                };
                open.spawn(serving.instrument(span));
            }
            Err(_) => refuse(&shared, &stream, from),
        }
    }
}

async fn serve(shared: &Arc<Shared>, mut stream: TcpStream, from: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%from, %error, "cannot set TCP_NODELAY");
    }
    match greet::answer(shared, &mut stream, from).await {
        Some(Admitted { peer, purpose: Purpose::Connect }) => link::run(stream, peer, from, shared).await,
        // The caller has its answer. What it said of itself counts only when it is called at its listed address.
        Some(Admitted { purpose: Purpose::Form, .. }) | None => {}
    }
}

/// Nobody is asked who they are: there is no room even for that.
fn refuse(shared: &Shared, stream: &TcpStream, from: SocketAddr) {
    let reason = RefusalReason::Busy { limit: MAX_CONNECTIONS };
    // All strangers count as one node here, so that the log stays quiet.
    shared.note_refusal(NodeId::new(u64::MAX), from, &reason);
    let _ = stream.try_write(&Greeting::Refusal(Refusal::new(&reason)).encode());
}
