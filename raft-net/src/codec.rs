//! Frames as bytes: what travels between two nodes after the hand-shake.
//!
//! Encoding puts everything but payloads into one piece and passes payloads on by reference. Decoding is
//! incremental: bytes go in as they arrive, whole frames come out, and their payloads are slices of the buffer
//! the bytes arrived in. `docs/formats/frame.md` draws the layout byte by byte.
//!
//! What it does not do: read sockets, or judge whether a frame makes sense to its receiver. Invariant: bytes from
//! a peer never make the decoder panic, nor hold more memory than a small multiple of what has arrived; and what it hands
//! out has passed the frame's CRC, every payload's CRC, and the match between entries and term runs; the memberships of
//! an append do not travel but in its entries, so the two cannot part.

use std::borrow::Cow;

use bytes::{Buf, Bytes, BytesMut};
use raft_core::{AppendRequest, GroupId, LogId, LogIndex, Message, NodeId, Term, TermRuns};
use raft_wal::{Entry, EntryKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::{Content, Frame, Taken};
use crate::request::RequestId;

/// The longest frame, inclusive, in bytes, its length field counted.
pub const MAX_FRAME_BYTES: usize = 20 << 20;
/// The longest payload of one entry or command, inclusive, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// The most entries in one frame, inclusive.
pub const MAX_ENTRIES: usize = 65_536;
/// The longest postcard header, inclusive, in bytes.
pub const MAX_HEADER_BYTES: usize = 1 << 20;
/// The length of what every frame begins with, in bytes.
pub const FIXED_BYTES: usize = 40;

/// A read is offered at least this much room.
const READ_ROOM_MIN: usize = 4 << 10;
/// A fresh piece of buffer has this much room, in bytes.
const READ_ROOM: usize = 64 << 10;

/// The codes of the kinds. A code is never given a second meaning.
mod kind {
    pub(super) const RAFT: u8 = 1;
    pub(super) const PING: u8 = 2;
    pub(super) const SUBMIT: u8 = 3;
    pub(super) const SUBMIT_REPLY: u8 = 4;
    pub(super) const LEADS: u8 = 5;
}

/// Why a frame cannot be encoded. Whoever built it went beyond what any receiver takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A payload is too long.
    #[error(
        "a payload of {bytes} bytes is longer than the {MAX_PAYLOAD_BYTES} a frame may carry in one; split it"
    )]
    Payload {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Too many entries.
    #[error("{count} entries are more than the {MAX_ENTRIES} of one frame; send fewer at a time")]
    Entries {
        /// How many there are.
        count: usize,
    },
    /// The header, whose length grows with entries and term runs, is too long.
    #[error("a header of {bytes} bytes is longer than {MAX_HEADER_BYTES}; send fewer entries at a time")]
    Header {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The memberships of an append are not those that stand in its entries: the two have parted.
    #[error(
        "the append lists {listed} memberships, which are not those of its entries; read both from one log"
    )]
    Memberships {
        /// How many it lists.
        listed: usize,
    },
    /// The frame is too long.
    #[error("a frame of {bytes} bytes is longer than {MAX_FRAME_BYTES}; send fewer entries at a time")]
    Frame {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The header could not be written.
    #[error("the header could not be encoded: {why}")]
    Postcard {
        /// The encoder's reason.
        why: postcard::Error,
    },
}

/// Why bytes are no frame. The connection they came by must be closed: where the next frame begins is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It says that it is longer than any frame.
    #[error("the frame declares {declared} bytes, but {MAX_FRAME_BYTES} are the most allowed")]
    Oversized {
        /// Its length field.
        declared: u32,
    },
    /// It says that it is shorter than any frame.
    #[error("the frame declares {declared} bytes, but {FIXED_BYTES} are the least possible")]
    Undersized {
        /// Its length field.
        declared: u32,
    },
    /// The bytes are not those that were sent.
    #[error("expected frame CRC {expected:#010x}, found {found:#010x}")]
    Crc {
        /// What the frame says.
        expected: u32,
        /// Computed from the bytes.
        found: u32,
    },
    /// A kind from a later version, or no frame at all.
    #[error("unknown frame kind {kind}")]
    Kind {
        /// The code.
        kind: u8,
    },
    /// Reserved bytes are in use.
    #[error("reserved bytes must be zero, found {found:?}")]
    Reserved {
        /// What stands there.
        found: [u8; 3],
    },
    /// The header would be longer than the frame, or than any header.
    #[error("the header declares {declared} bytes, but at most {allowed} are possible here")]
    HeaderLength {
        /// Its length field.
        declared: u32,
        /// What remains of the frame, or the bound of all headers, in bytes.
        allowed: usize,
    },
    /// The header is not what its kind needs.
    #[error("the header of a frame of kind {kind} could not be decoded: {why}")]
    Header {
        /// The frame's kind.
        kind: u8,
        /// The decoder's reason.
        why: postcard::Error,
    },
    /// The header is followed by bytes that belong to nothing.
    #[error("the header of a frame of kind {kind} has {bytes} bytes too many")]
    HeaderRest {
        /// The frame's kind.
        kind: u8,
        /// How many.
        bytes: usize,
    },
    /// Entries and term runs are not of the same number.
    #[error("the message speaks of {declared} entries, but {found} are in the frame")]
    EntryCount {
        /// By the message; zero when it is no append.
        declared: u64,
        /// By the entry table.
        found: usize,
    },
    /// More entries than allowed.
    #[error("{count} entries are more than the {MAX_ENTRIES} of one frame")]
    TooManyEntries {
        /// How many there are.
        count: usize,
    },
    /// An entry is of no known kind.
    #[error("entry {index} is of unknown kind {kind}")]
    EntryKind {
        /// Its index.
        index: LogIndex,
        /// The code.
        kind: u8,
    },
    /// A no-op has a payload.
    #[error("entry {index} is a no-op, yet it has {bytes} bytes of payload")]
    NoopPayload {
        /// Its index.
        index: LogIndex,
        /// How many bytes.
        bytes: u32,
    },
    /// An entry of the kind that holds a membership holds none.
    #[error("entry {index} is to hold a membership, but its {bytes} bytes are none")]
    Membership {
        /// Its index.
        index: LogIndex,
        /// How many bytes.
        bytes: u32,
    },
    /// The message itself lists memberships, which are to stand in the payloads alone.
    #[error("the message lists {found} memberships; they stand in its entries, and nowhere else")]
    ListedMemberships {
        /// How many.
        found: usize,
    },
    /// A payload is longer than allowed.
    #[error("a payload of {bytes} bytes is longer than {MAX_PAYLOAD_BYTES}")]
    PayloadTooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// What follows the header is not as long as the header says.
    #[error("the header declares {declared} bytes of payload, but {found} are in the frame")]
    PayloadLength {
        /// By the header.
        declared: u64,
        /// By the frame's length.
        found: usize,
    },
    /// The payload is not what its sender read from its log.
    #[error("entry {index}: expected payload CRC {expected:#010x}, found {found:#010x}")]
    PayloadCrc {
        /// Its index.
        index: LogIndex,
        /// By the entry table.
        expected: u32,
        /// Computed from the bytes.
        found: u32,
    },
}

/// One row of the entry table. The entry's term and index are not in it: they follow from the message.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Row {
    kind: u8,
    len: u32,
    crc: u32,
}

#[derive(Serialize)]
struct RaftHeaderRef<'a> {
    message: &'a Message,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct RaftHeader {
    message: Message,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct SubmitReplyHeader {
    request: RequestId,
    taken: Taken,
}

/// Encodes a frame as pieces to be written one after another: first everything but payloads, then each payload,
/// the very bytes of the frame and no copy. Empty payloads make no piece.
///
/// # Errors
/// When the frame is larger than a receiver takes; see [`EncodeError`].
pub fn encode(frame: &Frame) -> Result<Vec<Bytes>, EncodeError> {
    let mut head = vec![0; FIXED_BYTES];
    let payloads: Vec<Bytes>;
    let kind;
    match &frame.content {
        Content::Raft { message, entries } => {
            kind = kind::RAFT;
            if entries.len() > MAX_ENTRIES {
                return Err(EncodeError::Entries { count: entries.len() });
            }
            let rows = entries.iter().map(row).collect::<Result<_, _>>()?;
            let message = &*without_memberships(message, entries)?;
            head = append_header(head, &RaftHeaderRef { message, rows })?;
            payloads = entries.iter().map(|e| &e.payload).filter(|p| !p.is_empty()).cloned().collect();
        }
        Content::Ping => {
            kind = kind::PING;
            payloads = Vec::new();
        }
        Content::Submit { request, command } => {
            kind = kind::SUBMIT;
            payload_length(command)?;
            head = append_header(head, request)?;
            payloads = Some(command).filter(|c| !c.is_empty()).cloned().into_iter().collect();
        }
        Content::SubmitReply { request, taken } => {
            kind = kind::SUBMIT_REPLY;
            head = append_header(head, &SubmitReplyHeader { request: *request, taken: *taken })?;
            payloads = Vec::new();
        }
        Content::Leads { term } => {
            kind = kind::LEADS;
            head = append_header(head, term)?;
            payloads = Vec::new();
        }
    }
    let header_len = head.len() - FIXED_BYTES;
    if header_len > MAX_HEADER_BYTES {
        return Err(EncodeError::Header { bytes: header_len });
    }
    let total = head.len() + payloads.iter().map(Bytes::len).sum::<usize>();
    if total > MAX_FRAME_BYTES {
        return Err(EncodeError::Frame { bytes: total });
    }
    // Both fit: they are at most MAX_FRAME_BYTES.
    head[0..4].copy_from_slice(&(total as u32).to_le_bytes());
    head[8] = kind;
    head[12..20].copy_from_slice(&frame.group.as_u64().to_le_bytes());
    head[20..28].copy_from_slice(&frame.from.as_u64().to_le_bytes());
    head[28..36].copy_from_slice(&frame.to.as_u64().to_le_bytes());
    head[36..40].copy_from_slice(&(header_len as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head[8..]);
    for payload in &payloads {
        crc.update(payload);
    }
    head[4..8].copy_from_slice(&crc.finalize().to_le_bytes());

    let mut pieces = Vec::with_capacity(1 + payloads.len());
    pieces.push(Bytes::from(head));
    pieces.extend(payloads);
    Ok(pieces)
}

fn append_header<T: Serialize>(head: Vec<u8>, header: &T) -> Result<Vec<u8>, EncodeError> {
    postcard::to_extend(header, head).map_err(|why| EncodeError::Postcard { why })
}

fn payload_length(payload: &Bytes) -> Result<u32, EncodeError> {
    let bytes = payload.len();
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(EncodeError::Payload { bytes });
    }
    Ok(bytes as u32)
}

fn row(entry: &Entry) -> Result<Row, EncodeError> {
    let len = payload_length(&entry.payload)?;
    Ok(Row { kind: entry.kind.code(), len, crc: crc32fast::hash(&entry.payload) })
}

/// Turns a connection's bytes into frames, however they are cut into reads.
///
/// Append what arrives to [`Decoder::buffer`] and call [`Decoder::next_frame`] until it has no more. After an
/// error the decoder gives the same error for ever.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// Starts at the beginning of a frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where received bytes are to be appended. There is room for some kilobytes; while a large frame is arriving
    /// the room is at most as much again as has arrived of it, whatever its length field says.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < READ_ROOM_MIN {
            let missing = self.declared().map_or(0, |d| (d as usize).saturating_sub(self.buffer.len()));
            let want = missing.min(self.buffer.len()).max(READ_ROOM);
            self.buffer.reserve(want);
        }
        &mut self.buffer
    }

    /// Whether no byte of an unfinished frame is waiting.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole frame; `None` until more bytes arrive.
    ///
    /// # Errors
    /// See [`DecodeError`]. A length beyond [`MAX_FRAME_BYTES`] is refused as soon as its four bytes are here.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.try_next();
        self.failed = result.as_ref().err().cloned();
        result
    }

    fn declared(&self) -> Option<u32> {
        self.buffer.first_chunk::<4>().map(|length| u32::from_le_bytes(*length))
    }

    fn try_next(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(declared) = self.declared() else { return Ok(None) };
        let total = declared as usize;
        if total > MAX_FRAME_BYTES {
            return Err(DecodeError::Oversized { declared });
        }
        if total < FIXED_BYTES {
            return Err(DecodeError::Undersized { declared });
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        decode(self.buffer.split_to(total).freeze()).map(Some)
    }
}

/// Decodes exactly one frame, whose length is at least [`FIXED_BYTES`] and is that of its length field.
fn decode(mut bytes: Bytes) -> Result<Frame, DecodeError> {
    let _length = bytes.get_u32_le();
    let expected = bytes.get_u32_le();
    let found = crc32fast::hash(&bytes);
    if expected != found {
        return Err(DecodeError::Crc { expected, found });
    }
    let kind = bytes.get_u8();
    let mut reserved = [0; 3];
    bytes.copy_to_slice(&mut reserved);
    if reserved != [0; 3] {
        return Err(DecodeError::Reserved { found: reserved });
    }
    let group = GroupId::from_u64(bytes.get_u64_le());
    let from = NodeId::new(bytes.get_u64_le());
    let to = NodeId::new(bytes.get_u64_le());
    let declared = bytes.get_u32_le();
    let allowed = bytes.len().min(MAX_HEADER_BYTES);
    if declared as usize > allowed {
        return Err(DecodeError::HeaderLength { declared, allowed });
    }
    let header = bytes.split_to(declared as usize);
    let content = decode_content(kind, &header, bytes)?;
    Ok(Frame { group, from, to, content })
}

fn decode_content(kind: u8, header: &[u8], payload: Bytes) -> Result<Content, DecodeError> {
    match kind {
        kind::RAFT => {
            let RaftHeader { mut message, rows } = decode_header(kind, header)?;
            let entries = decode_entries(&mut message, &rows, payload)?;
            Ok(Content::Raft { message, entries })
        }
        kind::PING => {
            if !header.is_empty() {
                return Err(DecodeError::HeaderRest { kind, bytes: header.len() });
            }
            no_payload(&payload)?;
            Ok(Content::Ping)
        }
        kind::SUBMIT => {
            let request = decode_header(kind, header)?;
            if payload.len() > MAX_PAYLOAD_BYTES {
                return Err(DecodeError::PayloadTooLong { bytes: payload.len() });
            }
            Ok(Content::Submit { request, command: payload })
        }
        kind::SUBMIT_REPLY => {
            let SubmitReplyHeader { request, taken } = decode_header(kind, header)?;
            no_payload(&payload)?;
            Ok(Content::SubmitReply { request, taken })
        }
        kind::LEADS => {
            let term: Term = decode_header(kind, header)?;
            no_payload(&payload)?;
            Ok(Content::Leads { term })
        }
        kind => Err(DecodeError::Kind { kind }),
    }
}

fn decode_header<T: DeserializeOwned>(kind: u8, header: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(header).map_err(|why| DecodeError::Header { kind, why })?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::HeaderRest { kind, bytes: rest.len() }) }
}

fn no_payload(payload: &Bytes) -> Result<(), DecodeError> {
    if payload.is_empty() {
        Ok(())
    } else {
        Err(DecodeError::PayloadLength { declared: 0, found: payload.len() })
    }
}

fn decode_entries(message: &mut Message, rows: &[Row], payload: Bytes) -> Result<Vec<Entry>, DecodeError> {
    if rows.len() > MAX_ENTRIES {
        return Err(DecodeError::TooManyEntries { count: rows.len() });
    }
    let declared = rows.iter().map(|row| u64::from(row.len)).sum::<u64>();
    if declared != payload.len() as u64 {
        return Err(DecodeError::PayloadLength { declared, found: payload.len() });
    }
    match message {
        Message::Append(request) => decode_append(request, rows, payload),
        _ if rows.is_empty() => Ok(Vec::new()),
        _ => Err(DecodeError::EntryCount { declared: 0, found: rows.len() }),
    }
}

/// Cuts the payload, whose length is that of all rows together, into the entries of `request`, and notes the memberships
/// among them there.
fn decode_append(
    request: &mut AppendRequest,
    rows: &[Row],
    mut payload: Bytes,
) -> Result<Vec<Entry>, DecodeError> {
    let shape = &request.entries;
    if shape.len() != rows.len() as u64 {
        return Err(DecodeError::EntryCount { declared: shape.len(), found: rows.len() });
    }
    if !request.memberships.is_empty() {
        return Err(DecodeError::ListedMemberships { found: request.memberships.len() });
    }
    let mut memberships = Vec::new();
    let mut ids = ids(shape);
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        // There are as many ids as rows: checked above.
        let Some(id) = ids.next() else { break };
        let index = id.index;
        let Some(kind) = EntryKind::from_code(row.kind) else {
            return Err(DecodeError::EntryKind { index, kind: row.kind });
        };
        if kind == EntryKind::Noop && row.len != 0 {
            return Err(DecodeError::NoopPayload { index, bytes: row.len });
        }
        if row.len as usize > MAX_PAYLOAD_BYTES {
            return Err(DecodeError::PayloadTooLong { bytes: row.len as usize });
        }
        let payload = payload.split_to(row.len as usize);
        let found = crc32fast::hash(&payload);
        if row.crc != found {
            return Err(DecodeError::PayloadCrc { index, expected: row.crc, found });
        }
        let entry = Entry { id, kind, payload };
        if kind == EntryKind::Membership {
            let membership = entry.membership().ok_or(DecodeError::Membership { index, bytes: row.len })?;
            memberships.push((index, membership));
        }
        entries.push(entry);
    }
    request.memberships = memberships;
    Ok(entries)
}

/// The message as it travels: the memberships of an append stand in its entries, and nowhere else.
fn without_memberships<'a>(message: &'a Message, entries: &[Entry]) -> Result<Cow<'a, Message>, EncodeError> {
    let Message::Append(request) = message else { return Ok(Cow::Borrowed(message)) };
    let mut listed = request.memberships.iter();
    let is_listed = |entry: &Entry| {
        let (index, membership) = (entry.id.index, entry.membership());
        membership
            .is_some_and(|held| listed.next().is_some_and(|(at, listed)| (*at, listed) == (index, &held)))
    };
    let mut holders = entries.iter().filter(|entry| entry.kind == EntryKind::Membership);
    if !holders.all(is_listed) || listed.next().is_some() {
        return Err(EncodeError::Memberships { listed: request.memberships.len() });
    }
    if request.memberships.is_empty() {
        return Ok(Cow::Borrowed(message));
    }
    let bare = AppendRequest { memberships: Vec::new(), ..request.clone() };
    Ok(Cow::Owned(Message::Append(bare)))
}

/// The ids of the entries of a log, in order.
fn ids(log: &TermRuns) -> impl Iterator<Item = LogId> {
    let (runs, last) = (log.runs(), log.last_index());
    runs.iter().enumerate().flat_map(move |(at, run)| {
        let end = runs.get(at + 1).map_or(last, |next| next.first.prev());
        (run.first.as_u64()..=end.as_u64()).map(|index| LogId::new(run.term, LogIndex::new(index)))
    })
}

#[cfg(test)]
mod tests;
