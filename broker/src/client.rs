//! A small blocking Kafka client: one connection, one request at a time.
//!
//! For the command line and for tests. It negotiates nothing: each caller names a version that every broker of
//! ours serves. It follows no leader and retries nothing. Invariant: an answer is read whole or the connection is
//! given up.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// No answer is larger, in bytes.
const ANSWER_MAX: usize = 128 * 1024 * 1024;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing answers at the address.
    #[error("cannot reach a broker at {address}: {why}")]
    Unreachable {
        /// The address as given.
        address: String,
        /// The system's reason.
        why: io::Error,
    },
    /// The connection broke. A request that changes something may have been carried out.
    #[error("the connection to {address} broke before the answer came: {why}")]
    Broken {
        /// The address as given.
        address: String,
        /// The system's reason.
        why: io::Error,
    },
    /// What came back is no answer to what was asked.
    #[error("{address} does not answer as a Kafka broker does: {why}")]
    Nonsense {
        /// The address as given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
}

/// One connection to one broker.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    address: String,
    correlation: i32,
}

impl Client {
    /// Connects. `patience` bounds the attempt, and later the wait for each piece of an answer.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], also for a name that does not resolve.
    pub fn connect(address: &str, patience: Duration) -> Result<Self, ClientError> {
        let unreachable = |why| ClientError::Unreachable { address: address.to_owned(), why };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in address.to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&candidate, patience) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(unreachable)?;
                    stream.set_read_timeout(Some(patience)).map_err(unreachable)?;
                    stream.set_write_timeout(Some(patience)).map_err(unreachable)?;
                    return Ok(Self { stream, address: address.to_owned(), correlation: 0 });
                }
                Err(why) => last = why,
            }
        }
        Err(unreachable(last))
    }

    /// Sends a request in the given version and waits for its answer.
    ///
    /// # Errors
    /// [`ClientError::Broken`] and [`ClientError::Nonsense`]; the connection is of no use afterwards.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, ClientError> {
        let frame = self.encode(request, version)?;
        self.stream.write_all(&frame).map_err(|why| self.broken(why))?;
        let mut answer = self.read_frame()?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|why| self.nonsense(why))?;
        if header.correlation_id != self.correlation {
            return Err(self.nonsense("the answer belongs to another request"));
        }
        R::Response::decode(&mut answer, version).map_err(|why| self.nonsense(why))
    }

    fn encode<R: Request>(&mut self, request: &R, version: i16) -> Result<BytesMut, ClientError> {
        self.correlation = self.correlation.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str("broker-cli")));
        let mut frame = BytesMut::zeroed(4);
        header.encode(&mut frame, R::header_version(version)).map_err(|why| self.nonsense(why))?;
        request.encode(&mut frame, version).map_err(|why| self.nonsense(why))?;
        let length = u32::try_from(frame.len() - 4).map_err(|why| self.nonsense(why))?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    fn read_frame(&mut self) -> Result<Bytes, ClientError> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(|why| self.broken(why))?;
        let length = u32::from_be_bytes(length) as usize;
        if length > ANSWER_MAX {
            return Err(self.nonsense(format!("it announces an answer of {length} bytes")));
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).map_err(|why| self.broken(why))?;
        Ok(Bytes::from(answer))
    }

    fn broken(&self, why: io::Error) -> ClientError {
        ClientError::Broken { address: self.address.clone(), why }
    }

    fn nonsense(&self, why: impl ToString) -> ClientError {
        ClientError::Nonsense { address: self.address.clone(), why: why.to_string() }
    }
}
