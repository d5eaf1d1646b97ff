//! The generated codecs, behind the guard.
//!
//! *Invariant:* no generated decoder runs on a body that [`guard::check`] has not passed.

use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::guard;
use super::header::Request;
use super::reply::{Reply, ReplyWriter};
use super::wire::{Layout, Malformed};

/// Decodes a request's body.
///
/// # Errors
/// See [`Malformed`].
pub(crate) fn decode<T: Decodable>(request: &Request) -> Result<T, Malformed> {
    guard::check(request)?;
    let mut body = request.frame.slice(request.body_at..);
    T::decode(&mut body, request.version).map_err(|_| Malformed::Decode)
}

/// A response could not be encoded: a mistake of this broker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a response could not be encoded (a mistake of this broker): {0}")]
pub(crate) struct EncodeError(String);

/// Encodes a response in the version of its request.
///
/// # Errors
/// If a field is set that the version does not have.
pub(crate) fn encode<T: Encodable>(request: &Request, response: &T) -> Result<Reply, EncodeError> {
    let (served, version) = (request.served, request.version);
    encode_as(request.correlation_id, served.response_header_layout(version), version, response)
}

/// Encodes a response in a version of one's own choice.
///
/// # Errors
/// If a field is set that the version does not have.
pub(crate) fn encode_as<T: Encodable>(
    correlation_id: i32,
    header: Layout,
    version: i16,
    response: &T,
) -> Result<Reply, EncodeError> {
    let mut writer = ReplyWriter::new(correlation_id, header, header);
    response.encode(writer.body(), version).map_err(|error| EncodeError(error.to_string()))?;
    Ok(writer.finish())
}

/// Copies words into a string of the wire.
pub(crate) fn text(words: impl std::fmt::Display) -> StrBytes {
    StrBytes::from_string(words.to_string())
}
