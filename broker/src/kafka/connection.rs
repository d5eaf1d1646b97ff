//! One client's connection: requests in, answers out, in the order of the requests.
//!
//! Two halves run as one task. The reader takes a request off the wire, gives Produce batches their places at once, and
//! queues the rest of the work; the writer finishes the oldest work and writes its answer. So a client may have many
//! Produce requests replicating at a time, while every other request takes effect after all earlier ones have and
//! before any later one does: what Kafka guarantees on one connection.
//!
//! *Invariant:* at most `in_flight_requests` requests and `in_flight_bytes` bytes of them are held; when either is used
//! up, nothing is read, and the client's own socket tells it to wait.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::api::Api;
use super::backend::Backend;
use super::frame::{FrameError, FrameReader};
use super::handle::{self, Answer, Edge, HandlerError};
use super::header::{HeaderError, Request};
use super::limits::Limits;
use super::reply::Reply;

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// No further frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame is no request that can be answered.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A request has no response.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The broker stops.
    #[error("this broker is stopping")]
    Stopping,
    /// Nothing was asked for too long.
    #[error("idle for {0:?}")]
    Idle(Duration),
    /// The client does not take its answer.
    #[error("the client took no byte of its answer for {0:?}")]
    WriteStall(Duration),
    /// Writing failed.
    #[error("writing an answer: {0}")]
    Write(std::io::Error),
    /// A batch failed whose producer does not want answers (acks=0).
    #[error(
        "a batch sent with acks=0 was not appended ({0}): closing, so that the producer looks for the leader"
    )]
    Unanswered(Arc<str>),
}

impl Closed {
    /// Whether it is the ordinary end of a connection.
    pub(crate) fn is_ordinary(&self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        match self {
            Self::Frame(FrameError::Closed) | Self::Idle(_) | Self::Stopping => true,
            Self::Frame(FrameError::Io(error)) | Self::Write(error) => {
                matches!(error.kind(), ConnectionReset | BrokenPipe)
            }
            _ => false,
        }
    }
}

/// Work that ends in an answer, or in none (acks=0).
type Work = Pin<Box<dyn Future<Output = Result<Option<Reply>, Closed>> + Send>>;

/// Work in the queue, and what it holds until its answer is written.
struct Queued {
    work: Work,
    _slot: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
    _budget: OwnedSemaphorePermit,
    /// Dropped when the work is done.
    _done: Option<oneshot::Sender<()>>,
}

/// Serves a client until it goes, breaks a rule, or `stop` holds true. What it asked for before it closed its half or
/// the broker stopped is still answered, within `limits.unfinished`.
pub(crate) async fn serve<B, R, W>(
    edge: Edge<B>,
    peer: SocketAddr,
    read: R,
    write: W,
    mut stop: watch::Receiver<bool>,
) -> Closed
where
    B: Backend,
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let limits = edge.limits.clone();
    let (queue, work) = mpsc::channel(limits.in_flight_requests.max(1));
    let mut reader = Reader::new(edge, peer, read, queue);
    let mut writer = Box::pin(write_answers(work, write, limits.write_stall));
    let closed = tokio::select! {
        closed = reader.run() => closed,
        () = stopped(&mut stop) => Closed::Stopping,
        written = &mut writer => return written.err().unwrap_or(Closed::Frame(FrameError::Closed)),
    };
    if matches!(closed, Closed::Frame(FrameError::Closed) | Closed::Stopping) {
        // A client that has closed only its own half may still read.
        drop(reader);
        let _ = timeout(limits.unfinished, writer).await;
    }
    closed
}

/// Waits until `stop` holds true or its sender is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Writes the answers in the order of the queue, until the queue is closed or something fails.
async fn write_answers(
    mut queue: mpsc::Receiver<Queued>,
    mut write: impl AsyncWrite + Unpin,
    stall: Duration,
) -> Result<(), Closed> {
    while let Some(queued) = queue.recv().await {
        if let Some(mut reply) = queued.work.await? {
            while reply.has_remaining() {
                let written = timeout(stall, write.write_buf(&mut reply)).await;
                let written = written.map_err(|_| Closed::WriteStall(stall))?.map_err(Closed::Write)?;
                if written == 0 {
                    return Err(Closed::Write(std::io::ErrorKind::WriteZero.into()));
                }
            }
        }
    }
    Ok(())
}

struct Reader<B, R> {
    edge: Edge<B>,
    peer: SocketAddr,
    frames: FrameReader<R>,
    queue: mpsc::Sender<Queued>,
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Ends when the last request that was not a Produce is done.
    barrier: Option<oneshot::Receiver<()>>,
}

impl<B: Backend, R: AsyncRead + Unpin> Reader<B, R> {
    fn new(edge: Edge<B>, peer: SocketAddr, read: R, queue: mpsc::Sender<Queued>) -> Self {
        let Limits { max_request_bytes, unfinished, .. } = edge.limits;
        let slots = Arc::new(Semaphore::new(slot_count(&edge.limits)));
        let bytes = Arc::new(Semaphore::new(byte_count(&edge.limits)));
        let budget = edge.budget.clone();
        let frames =
            FrameReader::new(read, budget, max_request_bytes.min(byte_count(&edge.limits)), unfinished);
        Self { edge, peer, frames, queue, slots, bytes, barrier: None }
    }

    async fn run(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.take_request().await {
                return closed;
            }
        }
    }

    async fn take_request(&mut self) -> Result<(), Closed> {
        let slot = acquire(&self.slots, 1).await?;
        self.await_begin().await?;
        let length = self.frames.length().await?;
        let begun = Instant::now();
        let bytes = acquire(&self.bytes, length).await?;
        self.frames.excuse(begun.elapsed());
        let (frame, budget) = self.frames.body(length).await?;
        let request = Request::parse(frame)?;
        tracing::trace!(peer = %self.peer, api = ?request.served.api, version = request.version, "request");
        let (work, done) = match request.served.api {
            Api::Produce => (self.start_produce(request).await?, None),
            _ => self.prepare(request),
        };
        let queued = Queued { work, _slot: slot, _bytes: bytes, _budget: budget, _done: done };
        // The queue has room for every slot; it is closed only when the writer has ended, and then so do we.
        self.queue.send(queued).await.map_err(|_| Closed::Frame(FrameError::Closed))
    }

    /// Waits for the next request to begin, for as long as a connection may be idle.
    async fn await_begin(&mut self) -> Result<(), Closed> {
        let idle = self.edge.limits.idle;
        loop {
            match timeout(idle, self.frames.begin()).await {
                Ok(begun) => return Ok(begun?),
                Err(_) if self.slots.available_permits() + 1 < slot_count(&self.edge.limits) => {}
                Err(_) => return Err(Closed::Idle(idle)),
            }
        }
    }

    /// Gives the batches their places now, and leaves the waiting for later.
    async fn start_produce(&mut self, request: Request) -> Result<Work, Closed> {
        if let Some(earlier) = self.barrier.take() {
            let _ = earlier.await;
        }
        let started = handle::start_produce(&self.edge, &request).await?;
        // The frame is not needed any more: whoever holds a batch holds it alone, and may patch it in place.
        let request = Request { frame: bytes::Bytes::new(), ..request };
        Ok(Box::pin(async move {
            let answer: Answer = handle::finish_produce(started).await;
            if answer.is_wanted() {
                return Ok(Some(answer.write(&request)));
            }
            match answer.failure() {
                Some(refused) => Err(Closed::Unanswered(refused.message.clone())),
                None => Ok(None),
            }
        }))
    }

    /// Leaves all of the work for when its turn comes.
    fn prepare(&mut self, request: Request) -> (Work, Option<oneshot::Sender<()>>) {
        let edge = self.edge.clone();
        let (done, barrier) = oneshot::channel();
        self.barrier = Some(barrier);
        let work = Box::pin(async move { Ok(Some(handle::handle(&edge, &request).await?)) });
        (work, Some(done))
    }
}

fn slot_count(limits: &Limits) -> usize {
    limits.in_flight_requests.clamp(1, 1 << 16)
}

fn byte_count(limits: &Limits) -> usize {
    limits.in_flight_bytes.max(limits.max_request_bytes).min(Semaphore::MAX_PERMITS).min(u32::MAX as usize)
}

async fn acquire(semaphore: &Arc<Semaphore>, count: usize) -> Result<OwnedSemaphorePermit, Closed> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    // Never closed while the connection lives.
    semaphore.clone().acquire_many_owned(count).await.map_err(|_| Closed::Frame(FrameError::Closed))
}
