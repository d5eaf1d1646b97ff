//! Requests cut out of a connection's bytes.
//!
//! A frame is a 32-bit length and as many bytes. The length is judged before anything is allocated for it, and memory
//! grows with the bytes that arrive, not with the ones announced, out of a budget that all connections share. Each frame gets memory of its own, so that a record
//! batch in it can be patched in place when nobody else holds the frame.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Small requests arrive in one read of this many bytes; larger ones bypass this buffer.
const READ_AHEAD_BYTES: usize = 8 * 1024;
/// Memory a frame begins with at most, in bytes; then it doubles as bytes arrive.
const FIRST_BYTES: usize = 64 * 1024;
/// The least a request has: key, version, correlation id.
const LEAST_BYTES: usize = 8;

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The client closed between two frames: no fault.
    #[error("closed by the client")]
    Closed,
    /// The client closed inside a frame.
    #[error("closed by the client inside a request")]
    ClosedInside,
    /// A length that no request has.
    #[error("a request declares {declared} bytes; it may have 8 to {limit}")]
    Length {
        /// The length as it was sent.
        declared: i32,
        /// The largest allowed, inclusive.
        limit: usize,
    },
    /// It was not complete in time, or the budget for unanswered requests was used up for as long.
    #[error("a request was not complete within {after:?}")]
    Unfinished {
        /// How long it had.
        after: Duration,
    },
    /// The connection was opened and no request began.
    #[error("no request came within {after:?} of connecting")]
    Silent {
        /// How long it had.
        after: Duration,
    },
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Cuts frames out of what a client sends.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    from: BufReader<R>,
    /// Bytes that unanswered requests of all connections may still take.
    budget: Arc<Semaphore>,
    max_bytes: usize,
    unfinished: Duration,
    /// Until the first frame is complete: when that has to be.
    first_by: Option<Instant>,
    /// When the frame now being read has to be complete.
    deadline: Instant,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `max_bytes`. Each has to be complete within `unfinished` of its first byte, and the
    /// first one within `unfinished` of now. Their memory is taken out of `budget`, one permit a byte.
    pub(crate) fn new(from: R, budget: Arc<Semaphore>, max_bytes: usize, unfinished: Duration) -> Self {
        let deadline = Instant::now() + unfinished;
        let from = BufReader::with_capacity(READ_AHEAD_BYTES, from);
        Self { from, budget, max_bytes, unfinished, first_by: Some(deadline), deadline }
    }

    /// Waits for the first byte of the next frame. May be dropped and called again.
    ///
    /// # Errors
    /// [`FrameError::Closed`], [`FrameError::Silent`], [`FrameError::Io`].
    pub(crate) async fn begin(&mut self) -> Result<(), FrameError> {
        let after = self.unfinished;
        let filled = match self.first_by {
            Some(by) => {
                timeout_at(by, self.from.fill_buf()).await.map_err(|_| FrameError::Silent { after })?
            }
            None => self.from.fill_buf().await,
        };
        if filled?.is_empty() {
            return Err(FrameError::Closed);
        }
        self.deadline = self.first_by.unwrap_or_else(|| Instant::now() + after);
        Ok(())
    }

    /// Reads and judges the length of the frame that has begun, in bytes.
    ///
    /// # Errors
    /// All but [`FrameError::Closed`] and [`FrameError::Silent`].
    pub(crate) async fn length(&mut self) -> Result<usize, FrameError> {
        let declared = timeout_at(self.deadline, self.from.read_i32()).await;
        let declared = declared.map_err(|_| self.late())?.map_err(inside)?;
        let legal = usize::try_from(declared).ok();
        legal
            .filter(|length| (LEAST_BYTES..=self.max_bytes).contains(length))
            .ok_or(FrameError::Length { declared, limit: self.max_bytes })
    }

    /// Gives the frame that has begun more time, because it was we who did not read it for `waited`.
    pub(crate) fn excuse(&mut self, waited: Duration) {
        self.deadline += waited;
    }

    /// Reads the `length` bytes after the length. Comes with what they took of the budget.
    ///
    /// # Errors
    /// [`FrameError::ClosedInside`], [`FrameError::Unfinished`], [`FrameError::Io`].
    pub(crate) async fn body(&mut self, length: usize) -> Result<(Bytes, OwnedSemaphorePermit), FrameError> {
        let mut room = length.min(FIRST_BYTES);
        let mut taken = self.take(room).await?;
        let mut frame = BytesMut::with_capacity(room);
        while frame.len() < length {
            if frame.len() == room {
                let more = room.min(length - room);
                taken.merge(self.take(more).await?);
                frame.reserve(more);
                room += more;
            }
            let mut rest = (&mut self.from).take((room - frame.len()) as u64);
            let read = timeout_at(self.deadline, rest.read_buf(&mut frame)).await;
            if read.map_err(|_| self.late())?? == 0 {
                return Err(FrameError::ClosedInside);
            }
        }
        self.first_by = None;
        Ok((frame.freeze(), taken))
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, FrameError> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let taken = timeout_at(self.deadline, self.budget.clone().acquire_many_owned(permits)).await;
        // The budget is never closed.
        taken.map_err(|_| self.late())?.map_err(|_| FrameError::Closed)
    }

    fn late(&self) -> FrameError {
        FrameError::Unfinished { after: self.unfinished }
    }
}

fn inside(error: io::Error) -> FrameError {
    if error.kind() == io::ErrorKind::UnexpectedEof { FrameError::ClosedInside } else { error.into() }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LATE: Duration = Duration::from_secs(3600);

    fn reader<R: AsyncRead + Unpin>(from: R, max_bytes: usize, unfinished: Duration) -> FrameReader<R> {
        FrameReader::new(from, Arc::new(Semaphore::new(1 << 20)), max_bytes, unfinished)
    }

    async fn read_all(bytes: &[u8], max_bytes: usize) -> (Vec<Bytes>, FrameError) {
        let mut reader = reader(bytes, max_bytes, LATE);
        let mut frames = Vec::new();
        loop {
            match next(&mut reader).await {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, error),
            }
        }
    }

    async fn next<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Result<Bytes, FrameError> {
        reader.begin().await?;
        let length = reader.length().await?;
        Ok(reader.body(length).await?.0)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&(body.len() as i32).to_be_bytes()[..], body].concat()
    }

    #[tokio::test]
    async fn frames_are_cut_where_their_lengths_say() {
        let (small, large) = (vec![1u8; 8], vec![2u8; 300_000]);
        let stream = [framed(&small), framed(&large), framed(&small)].concat();
        let (frames, end) = read_all(&stream, 300_000).await;
        assert_eq!(frames, [small.clone(), large, small]);
        assert!(matches!(end, FrameError::Closed));
    }

    #[tokio::test]
    async fn an_impossible_length_is_refused_before_anything_follows() {
        for declared in [i32::MIN, -1, 0, 7, 101, i32::MAX] {
            let (frames, end) = read_all(&declared.to_be_bytes(), 100).await;
            assert!(frames.is_empty());
            assert!(matches!(end, FrameError::Length { declared: d, limit: 100 } if d == declared));
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_frame_is_told_from_one_between_frames() {
        let whole = framed(&[0; 20]);
        for cut in 1..whole.len() {
            let (_, end) = read_all(&whole[..cut], 100).await;
            assert!(matches!(end, FrameError::ClosedInside), "cut at {cut}: {end:?}");
        }
    }

    #[tokio::test]
    async fn memory_grows_with_the_bytes_that_arrive_and_not_with_those_announced() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut reader = reader(server, 1 << 30, LATE);
        let budget = reader.budget.clone();
        client.write_all(&(1i32 << 30).to_be_bytes()).await.expect("written");
        reader.begin().await.expect("a byte");
        let length = reader.length().await.expect("a legal length");
        let mut body = Box::pin(reader.body(length));
        for arrived in [0, 100, 70_000, 300_000] {
            client.write_all(&vec![0; arrived]).await.expect("written");
            tokio::select! {
                biased;
                _ = &mut body => panic!("the body is not there"),
                () = tokio::task::yield_now() => {}
            }
            let taken = (1 << 20) - budget.available_permits();
            assert!(taken <= FIRST_BYTES.max(4 * arrived), "{taken} bytes for {arrived}");
        }
        drop(client);
        assert!(matches!(body.await, Err(FrameError::ClosedInside)));
        assert_eq!(budget.available_permits(), 1 << 20, "all of it is given back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_frame_is_late_after_its_time_and_a_silent_connection_too() {
        let limit = Duration::from_secs(10);
        let (_client, server) = tokio::io::duplex(1024);
        let mut silent = reader(server, 100, limit);
        assert!(matches!(silent.begin().await, Err(FrameError::Silent { .. })));

        let (mut late, server) = tokio::io::duplex(1024);
        let mut half = reader(server, 100, limit);
        late.write_all(&framed(&[0; 8])).await.expect("written");
        next(&mut half).await.expect("a first request");
        late.write_all(&[0, 0, 0]).await.expect("written");
        let begun = Instant::now();
        assert!(matches!(next(&mut half).await, Err(FrameError::Unfinished { .. })));
        assert_eq!(begun.elapsed(), limit);
    }
}
