//! One live connection: frames in, frames out, until either end has had enough.
//!
//! The reader checks each frame's sender and receiver and hands it to the node's task, waiting while that one is
//! behind; the writer takes from a bounded queue and writes many frames with one call. Invariant: whatever the
//! peer sends or does not send, only this connection ends by it; and what was queued for it is bounded in frames
//! and in bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use raft_core::{NodeId, ReplicaId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument;

use crate::codec::{DecodeError, Decoder, encode};
use crate::frame::{Content, Frame};
use crate::handshake::Hello;
use crate::runtime::counters::count;
use crate::runtime::shared::Shared;

/// A peer's queue holds at most so many frames.
pub(crate) const QUEUE_FRAMES: usize = 4096;
/// And at most so many bytes, except that one frame always finds room.
pub(crate) const QUEUE_BYTES: usize = 32 << 20;
/// When nothing at all has come for so long, the peer is suspected and the connection closed.
const SILENCE: Duration = Duration::from_secs(1);
/// A frame must be complete so long after its first byte, and a write must get on within it.
const FRAME_TIME: Duration = Duration::from_secs(10);
/// One batch of the writer ends at so many frames or bytes.
const WRITE_FRAMES: usize = 256;
const WRITE_BYTES: usize = 1 << 20;
/// Pieces passed to one vectored write.
const PIECES: usize = 64;
/// What a frame and an entry cost in a queue beside their payload, in bytes.
const FRAME_OVERHEAD: usize = 64;
const ENTRY_OVERHEAD: usize = 16;

/// News for the node's task.
pub(crate) enum Event {
    /// A founder, called at its listed address, said who it is.
    Heard(Hello),
    /// A connection passed its hand-shake. Comes before its frames.
    Up {
        /// Which connection; later ones have greater numbers.
        serial: u64,
        /// Who is at the other end.
        peer: ReplicaId,
        /// Where to put frames for it. Dropping it closes the connection.
        outbox: Outbox,
    },
    /// A frame from the connection's peer to this node.
    Frame {
        /// By which connection.
        serial: u64,
        /// The frame.
        frame: Frame,
        /// Its share of the inbox, given back when the node has taken it.
        share: OwnedSemaphorePermit,
    },
    /// A connection is gone.
    Down {
        /// Which.
        serial: u64,
        /// Whose.
        node: NodeId,
    },
}

/// What a frame costs in a queue, in bytes.
pub(crate) fn cost(frame: &Frame) -> usize {
    let payload = match &frame.content {
        Content::Raft { entries, .. } => entries.iter().map(|e| e.payload.len() + ENTRY_OVERHEAD).sum(),
        Content::Submit { command, .. } => command.len(),
        _ => 0,
    };
    FRAME_OVERHEAD + payload
}

/// How full a queue is, known to both its ends.
#[derive(Debug, Default)]
struct Gauge {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether the node's task wants to hear when there is room again.
    is_watched: AtomicBool,
}

impl Gauge {
    fn is_half_full(&self) -> bool {
        self.frames.load(Ordering::SeqCst) > QUEUE_FRAMES / 2
            || self.bytes.load(Ordering::SeqCst) > QUEUE_BYTES / 2
    }
}

/// The node's end of the queue to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Frame>,
    gauge: Arc<Gauge>,
}

/// The writer's end of the queue to one peer.
struct Queue {
    frames: mpsc::Receiver<Frame>,
    gauge: Arc<Gauge>,
    room: Arc<Notify>,
}

fn outbox(room: Arc<Notify>) -> (Outbox, Queue) {
    let (queue, frames) = mpsc::channel(QUEUE_FRAMES);
    let gauge = Arc::new(Gauge::default());
    (Outbox { queue, gauge: gauge.clone() }, Queue { frames, gauge, room })
}

impl Outbox {
    /// Queues a frame; says false and drops it when there is no room.
    pub(crate) fn offer(&self, frame: Frame) -> bool {
        let cost = cost(&frame);
        let bytes = self.gauge.bytes.load(Ordering::SeqCst);
        let has_room = bytes == 0 || bytes + cost <= QUEUE_BYTES;
        if !has_room || self.gauge.frames.load(Ordering::SeqCst) >= QUEUE_FRAMES {
            return false;
        }
        // Counted first, so that the writer never takes away what is not yet there.
        self.gauge.frames.fetch_add(1, Ordering::SeqCst);
        self.gauge.bytes.fetch_add(cost, Ordering::SeqCst);
        let is_queued = self.queue.try_send(frame).is_ok();
        if !is_queued {
            self.gauge.frames.fetch_sub(1, Ordering::SeqCst);
            self.gauge.bytes.fetch_sub(cost, Ordering::SeqCst);
        }
        is_queued
    }

    /// Room for how many frames and bytes there is now. When less than half is left, the node's task is woken once
    /// there is more.
    pub(crate) fn room(&self) -> (usize, usize) {
        if self.gauge.is_half_full() {
            self.gauge.is_watched.store(true, Ordering::SeqCst);
        }
        let frames = QUEUE_FRAMES.saturating_sub(self.gauge.frames.load(Ordering::SeqCst));
        let bytes = QUEUE_BYTES.saturating_sub(self.gauge.bytes.load(Ordering::SeqCst));
        (frames, bytes)
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.gauge.frames.load(Ordering::SeqCst) == 0
    }
}

impl Queue {
    /// Waits for frames and puts some of them, encoded, behind `pieces`. Returns their number and cost; `None` when
    /// the node's task has dropped its end.
    async fn take(&mut self, pieces: &mut VecDeque<Bytes>, shared: &Shared) -> Option<(usize, usize)> {
        let mut next = Some(self.frames.recv().await?);
        let (mut frames, mut bytes) = (0, 0);
        while let Some(frame) = next {
            frames += 1;
            bytes += cost(&frame);
            match encode(&frame) {
                Ok(encoded) => pieces.extend(encoded),
                Err(error) => {
                    count(&shared.counters.dropped_frames);
                    tracing::error!(group = %frame.group, to = %frame.to, %error, "cannot encode a frame");
                }
            }
            let is_enough = frames >= WRITE_FRAMES || bytes >= WRITE_BYTES;
            next = if is_enough { None } else { self.frames.try_recv().ok() };
        }
        Some((frames, bytes))
    }

    /// These have been written.
    fn gone(&self, frames: usize, bytes: usize) {
        self.gauge.frames.fetch_sub(frames, Ordering::SeqCst);
        self.gauge.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if !self.gauge.is_half_full() && self.gauge.is_watched.swap(false, Ordering::SeqCst) {
            self.room.notify_one();
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the peer closed it")]
    Closed,
    #[error("the peer closed it within a frame")]
    ClosedWithinFrame,
    #[error("a newer connection took its place, or this node stops")]
    Replaced,
    #[error("nothing came for {SILENCE:?}")]
    Silent,
    #[error("a frame was not complete {FRAME_TIME:?} after its first byte")]
    HalfFrame,
    #[error("the peer took nothing for {FRAME_TIME:?}")]
    Stuck,
    #[error("what came is no frame: {0}")]
    Frame(#[from] DecodeError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A task that ends with its owner.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a connection whose hand-shake is done, until it ends.
pub(crate) async fn run(stream: TcpStream, peer: ReplicaId, address: SocketAddr, shared: &Arc<Shared>) {
    let serial = shared.next_serial();
    let node = peer.node;
    let (read, write) = stream.into_split();
    let (outbox, queue) = outbox(shared.room.clone());
    if shared.events.send(Event::Up { serial, peer, outbox }).await.is_err() {
        return;
    }
    count(&shared.counters.connections);
    tracing::info!(%peer, %address, "connected");
    let mut writer =
        AbortOnDrop(tokio::spawn(write_frames(write, queue, shared.clone()).instrument(shared.span.clone())));
    let end = tokio::select! {
        end = read_frames(read, serial, node, shared) => end,
        end = &mut writer.0 => end.unwrap_or(End::Replaced),
    };
    match &end {
        End::Frame(_) => {
            count(&shared.counters.bad_bytes);
            tracing::warn!(%peer, %address, reason = %end, "close");
        }
        End::HalfFrame | End::Silent | End::Stuck => {
            count(&shared.counters.timeouts);
            tracing::warn!(%peer, %address, reason = %end, "close");
        }
        _ => tracing::info!(%peer, %address, reason = %end, "disconnected"),
    }
    let _ = shared.events.send(Event::Down { serial, node }).await;
}

async fn read_frames(mut read: OwnedReadHalf, serial: u64, peer: NodeId, shared: &Shared) -> End {
    let me = shared.id();
    let mut decoder = Decoder::new();
    let mut heard = Instant::now();
    // When the first byte of a frame came that is not complete.
    let mut begun: Option<Instant> = None;
    loop {
        let late = begun.map(|begun| begun + FRAME_TIME);
        let silent = heard + SILENCE;
        let received = tokio::select! {
            biased;
            received = read.read_buf(decoder.buffer()) => received,
            () = sleep_until(late.map_or(silent, |late| late.min(silent))) => {
                let is_late = late.is_some_and(|late| late < silent);
                return if is_late { End::HalfFrame } else { End::Silent };
            }
        };
        match received {
            Ok(0) if decoder.is_between_frames() => return End::Closed,
            Ok(0) => return End::ClosedWithinFrame,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
        let mut has_whole = false;
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    has_whole = true;
                    if let Err(end) = deliver(frame, serial, peer, me, shared).await {
                        return end;
                    }
                }
                Ok(None) => break,
                Err(error) => return error.into(),
            }
        }
        // Taken after delivery: the time this node itself was behind is not the peer's silence.
        heard = Instant::now();
        if decoder.is_between_frames() {
            begun = None;
        } else if has_whole || begun.is_none() {
            begun = Some(heard);
        }
    }
}

/// Hands a frame to the node's task, waiting for room there.
async fn deliver(frame: Frame, serial: u64, peer: NodeId, me: NodeId, shared: &Shared) -> Result<(), End> {
    if frame.from != peer || frame.to != me {
        count(&shared.counters.misaddressed_frames);
        tracing::debug!(%peer, from = %frame.from, to = %frame.to, "drop a misaddressed frame");
        return Ok(());
    }
    // A frame is at most 20 MiB and its entries at most 65,536, so this fits and is below the inbox's bound.
    let share = u32::try_from(cost(&frame)).unwrap_or(u32::MAX);
    let share = shared.inbox.clone().acquire_many_owned(share).await.map_err(|_| End::Replaced)?;
    shared.events.send(Event::Frame { serial, frame, share }).await.map_err(|_| End::Replaced)
}

async fn write_frames(mut write: OwnedWriteHalf, mut queue: Queue, shared: Arc<Shared>) -> End {
    let mut pieces = VecDeque::new();
    while let Some((frames, bytes)) = queue.take(&mut pieces, &shared).await {
        if let Err(end) = write_pieces(&mut write, &mut pieces).await {
            return end;
        }
        queue.gone(frames, bytes);
    }
    End::Replaced
}

async fn write_pieces(write: &mut OwnedWriteHalf, pieces: &mut VecDeque<Bytes>) -> Result<(), End> {
    while !pieces.is_empty() {
        let mut slices = [IoSlice::new(&[]); PIECES];
        let count = pieces.len().min(PIECES);
        for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
            *slice = IoSlice::new(piece);
        }
        let written = timeout(FRAME_TIME, write.write_vectored(&slices[..count])).await;
        let written = written.map_err(|_| End::Stuck)??;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        advance(pieces, written);
    }
    Ok(())
}

/// Takes `count` bytes, which are there, off the front.
fn advance(pieces: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = pieces.front_mut() {
        if count < front.len() {
            front.advance(count);
            return;
        }
        count -= front.len();
        pieces.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use raft_core::GroupId;

    use super::*;
    use crate::request::{Origin, RequestId};

    fn submit(bytes: usize) -> Frame {
        let origin = Origin { node: NodeId::new(1), boot: 1 };
        let request = RequestId { origin, sequence: 1, answered_below: 0 };
        let content = Content::Submit { request, command: Bytes::from(vec![0; bytes]) };
        Frame { group: GroupId::ROOT, from: NodeId::new(1), to: NodeId::new(2), content }
    }

    fn ping() -> Frame {
        Frame { content: Content::Ping, ..submit(0) }
    }

    #[test]
    fn a_queue_takes_no_more_frames_than_its_bound() {
        let (outbox, _queue) = outbox(Arc::new(Notify::new()));
        let taken = (0..QUEUE_FRAMES + 10).filter(|_| outbox.offer(ping())).count();
        assert_eq!(taken, QUEUE_FRAMES);
        assert_eq!(outbox.room().0, 0);
    }

    #[test]
    fn a_queue_takes_no_more_bytes_than_its_bound() {
        let (outbox, _queue) = outbox(Arc::new(Notify::new()));
        let taken = (0..100).filter(|_| outbox.offer(submit(1 << 20))).count();
        assert_eq!(taken, QUEUE_BYTES / ((1 << 20) + FRAME_OVERHEAD));
        assert!(outbox.room().1 < 1 << 20);
    }

    #[test]
    fn the_node_hears_of_room_once_when_it_asked_while_there_was_little() {
        let room = Arc::new(Notify::new());
        let (outbox, mut queue) = outbox(room.clone());
        let is_woken = || poll_once(room.notified()).is_some();
        for _ in 0..QUEUE_FRAMES {
            assert!(outbox.offer(ping()));
        }
        outbox.room();
        let take = |queue: &mut Queue, count: usize| {
            for _ in 0..count {
                queue.frames.try_recv().unwrap();
            }
            queue.gone(count, count * FRAME_OVERHEAD);
        };
        take(&mut queue, QUEUE_FRAMES / 4);
        assert!(!is_woken());
        take(&mut queue, QUEUE_FRAMES / 4);
        assert!(is_woken());
        take(&mut queue, QUEUE_FRAMES / 2);
        assert!(!is_woken());
        assert!(outbox.is_empty());
    }

    fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_partial_write_leaves_the_rest_in_order() {
        let mut pieces: VecDeque<Bytes> = ["abc", "de", "fghi"].map(Bytes::from).into();
        advance(&mut pieces, 4);
        assert_eq!(pieces.iter().flatten().copied().collect::<Vec<u8>>(), b"efghi");
        advance(&mut pieces, 5);
        assert!(pieces.is_empty());
    }
}
