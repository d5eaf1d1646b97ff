//! How `atm ... exec "deposit alice 50.00"` hands its command to the ATM that runs on the same data directory.
//!
//! The ATM listens on the Unix socket `control.sock` in its data directory, which only its owner may use. A
//! connection carries one request and one reply, each one line of JSON. Both are bounded in size and in time.
//! The peer port is not used for this: there only ATMs speak to each other.
//!
//! Invariant: a command is handed to an ATM only whole, and only to the ATM that the flags name.

mod client;
mod server;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_core::NodeId;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

pub use client::hand_over;
pub use server::{BindError, ControlSocket};

/// Which ATM is meant: what its flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number, `--id`.
    pub id: NodeId,
    /// Its peer port, `--listen`.
    pub listen: SocketAddr,
}

/// What `exec` asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    /// The ATM that is meant.
    to: Identity,
    /// The command's words.
    command: String,
    /// How long the ATM may wait for the bank.
    timeout_ms: u64,
}

/// The longest request, inclusive of its line end, in bytes.
const MAX_REQUEST_BYTES: usize = 4096;

/// The longest reply, inclusive of its line end, in bytes: a history of 1,000 operations with room to spare.
const MAX_REPLY_BYTES: usize = 4 << 20;

/// The longest time in which one side writes a frame that the other is waiting for.
const FRAME_TIME: Duration = Duration::from_secs(5);

fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Reads one line of at most `limit` bytes, its end included and not returned.
async fn read_frame(stream: impl AsyncRead + Unpin, limit: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(limit as u64)).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() + 1 == limit => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of more than {limit} bytes")))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes one line. `frame` holds no line end: JSON escapes those within text.
async fn write_frame(mut stream: impl AsyncWrite + Unpin, mut frame: Vec<u8>) -> io::Result<()> {
    frame.push(b'\n');
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_one_whole_line_within_its_limit() {
        let read = |bytes: &'static [u8]| read_frame(bytes, 6);
        assert_eq!(read(b"hello\nmore").await.unwrap(), b"hello");
        assert_eq!(read(b"\n").await.unwrap(), b"");
        assert_eq!(read(b"hello!\n").await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"half").await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(b"").await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_written_is_read_back() {
        let mut wire = Vec::new();
        write_frame(&mut wire, b"balance alice".to_vec()).await.unwrap();
        assert_eq!(read_frame(&wire[..], 64).await.unwrap(), b"balance alice");
    }
}
