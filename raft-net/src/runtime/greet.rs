//! The hand-shake over a socket, from either end. The rules are in [`crate::handshake`].
//!
//! Invariant: not one byte beyond the hand-shake is read, so that frames begin where it ends; and whatever the
//! other end does, it is over after a bounded time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use raft_core::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::handshake::{
    Admitted, Greeting, GreetingError, Hello, PREAMBLE_BYTES, Purpose, Refusal, RefusalCode, RefusalReason,
};
use crate::runtime::counters::count;
use crate::runtime::shared::Shared;

/// A caller that has not finished its hand-shake by then is cut off.
const ANSWERING: Duration = Duration::from_secs(10);
/// A called node that does not answer by then is called again later.
const CALLING: Duration = Duration::from_secs(2);

/// Why a call led to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer within {CALLING:?}")]
    TimedOut,
    #[error("{0}")]
    Greeting(#[from] GreetingError),
    #[error("it refuses: {}", .0.text)]
    Refused(Refusal),
    #[error("refused by this node: {0}")]
    Reason(RefusalReason),
    #[error("node {found} answers there, not node {expected}; check the addresses")]
    OtherNode { expected: NodeId, found: NodeId },
}

impl CallError {
    /// Whether this is what happens while a cluster starts or a node is down, and not worth a warning.
    pub(crate) fn is_usual(&self) -> bool {
        match self {
            Self::Io(_) | Self::TimedOut => true,
            Self::Refused(refusal) => refusal.code == RefusalCode::NotFormed,
            Self::Reason(reason) => reason.code() == RefusalCode::NotFormed,
            Self::Greeting(_) | Self::OtherNode { .. } => false,
        }
    }
}

/// Calls a node and returns the connection, ready for frames, and what the node says of itself.
pub(crate) async fn call(
    shared: &Shared,
    address: &str,
    expected: NodeId,
    purpose: Purpose,
) -> Result<(TcpStream, Hello), CallError> {
    let calling = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&Greeting::Hello(shared.hello(purpose)).encode()).await?;
        let greeting = read(&mut stream).await?;
        Ok::<_, CallError>((stream, greeting))
    };
    let (stream, greeting) = timeout(CALLING, calling).await.map_err(|_| CallError::TimedOut)??;
    let hello = match greeting {
        Greeting::Hello(hello) => hello,
        Greeting::Refusal(refusal) => return Err(CallError::Refused(refusal)),
    };
    let found = hello.replica.node;
    shared.admit(&hello).map_err(CallError::Reason)?;
    if found != expected {
        return Err(CallError::OtherNode { expected, found });
    }
    Ok((stream, hello))
}

/// Answers a caller. `None` when it was not let in; that has been logged and counted.
pub(crate) async fn answer(shared: &Shared, stream: &mut TcpStream, from: SocketAddr) -> Option<Admitted> {
    let result = match timeout(ANSWERING, try_answer(shared, stream, from)).await {
        Ok(result) => result,
        Err(_) => {
            count(&shared.counters.timeouts);
            tracing::warn!(%from, "close: the hand-shake was not finished within {ANSWERING:?}");
            return None;
        }
    };
    match result {
        Ok(admitted) => admitted,
        Err(CallError::Io(error)) => {
            tracing::debug!(%from, %error, "close: the connection broke during the hand-shake");
            None
        }
        Err(error) => {
            count(&shared.counters.bad_bytes);
            tracing::warn!(%from, %error, "close: what came is no hand-shake");
            None
        }
    }
}

async fn try_answer(
    shared: &Shared,
    stream: &mut TcpStream,
    from: SocketAddr,
) -> Result<Option<Admitted>, CallError> {
    let theirs = match read(stream).await {
        Ok(Greeting::Hello(hello)) => hello,
        // Nobody refuses before being asked.
        Ok(Greeting::Refusal(_)) => return Err(GreetingError::Field { field: "kind" }.into()),
        Err(CallError::Greeting(GreetingError::Version { found })) => {
            let reason = RefusalReason::OtherVersion { theirs: found };
            refuse(stream, &reason).await;
            return Err(GreetingError::Version { found }.into());
        }
        Err(error) => return Err(error),
    };
    match shared.admit(&theirs) {
        Ok(admitted) => {
            let hello = shared.hello(theirs.purpose);
            stream.write_all(&Greeting::Hello(hello).encode()).await?;
            Ok(Some(admitted))
        }
        Err(reason) => {
            shared.note_refusal(theirs.replica.node, from, &reason);
            refuse(stream, &reason).await;
            Ok(None)
        }
    }
}

async fn refuse(stream: &mut TcpStream, reason: &RefusalReason) {
    let bytes = Greeting::Refusal(Refusal::new(reason)).encode();
    let _ = stream.write_all(&bytes).await;
}

async fn read(stream: &mut TcpStream) -> Result<Greeting, CallError> {
    let mut preamble = [0; PREAMBLE_BYTES];
    stream.read_exact(&mut preamble).await?;
    let mut bytes = vec![0; Greeting::length(&preamble)?];
    let (front, rest) = bytes.split_at_mut(PREAMBLE_BYTES);
    front.copy_from_slice(&preamble);
    stream.read_exact(rest).await?;
    Ok(Greeting::decode(&bytes)?)
}
