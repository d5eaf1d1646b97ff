//! Frames as bytes: what travels between two nodes after the hand-shake.
//!
//! Encoding puts everything but payloads into one piece and passes payloads on by reference. Decoding is
//! incremental: bytes go in as they arrive, whole frames come out, and their payloads are slices of the buffer
//! the bytes arrived in. `docs/formats/frame.md` draws the layout byte by byte.
//!
//! What it does not do: read sockets, or judge whether a frame makes sense to its receiver. Invariant: bytes from
//! a peer never make the decoder panic, nor hold more memory than a small multiple of what has arrived; and what it hands
//! out has passed the frame's CRC, every payload's CRC, and the match between entries and term runs.

use bytes::{Buf, Bytes, BytesMut};
use raft_core::{AppendRequest, GroupId, LogId, LogIndex, Message, NodeId, RunsError, Term};
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
    /// The term runs of an append describe no log.
    #[error("the append describes no log: {0}")]
    Runs(#[from] RunsError),
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
            let RaftHeader { message, rows } = decode_header(kind, header)?;
            let entries = decode_entries(&message, &rows, payload)?;
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

fn decode_entries(message: &Message, rows: &[Row], payload: Bytes) -> Result<Vec<Entry>, DecodeError> {
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

/// Cuts the payload, whose length is that of all rows together, into the entries of `request`.
fn decode_append(
    request: &AppendRequest,
    rows: &[Row],
    mut payload: Bytes,
) -> Result<Vec<Entry>, DecodeError> {
    let shape = &request.entries;
    if shape.len() != rows.len() as u64 {
        return Err(DecodeError::EntryCount { declared: shape.len(), found: rows.len() });
    }
    let mut ids = ids(request);
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
        entries.push(Entry { id, kind, payload });
    }
    Ok(entries)
}

/// The ids of the entries that a valid append speaks of, in order.
fn ids(request: &AppendRequest) -> impl Iterator<Item = LogId> {
    let (runs, last) = (request.entries.runs(), request.entries.last_index());
    runs.iter().enumerate().flat_map(move |(at, run)| {
        let end = runs.get(at + 1).map_or(last, |next| next.first.prev());
        (run.first.as_u64()..=end.as_u64()).map(|index| LogId::new(run.term, LogIndex::new(index)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use raft_core::{
        AppendOutcome, AppendReply, PreVote, PreVoteReply, ReadIndexReply, ReadIndexRequest, TermRuns, Vote,
        VoteReply,
    };

    use super::*;
    use crate::request::Origin;

    fn term() -> impl Strategy<Value = Term> {
        any::<u64>().prop_map(Term::new)
    }

    fn index() -> impl Strategy<Value = LogIndex> {
        any::<u64>().prop_map(LogIndex::new)
    }

    fn log_id() -> impl Strategy<Value = LogId> {
        (term(), index()).prop_map(|(term, index)| LogId::new(term, index))
    }

    fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
    }

    fn request() -> impl Strategy<Value = RequestId> {
        (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
            |(node, boot, sequence, answered_below)| RequestId {
                origin: Origin { node: NodeId::new(node), boot },
                sequence,
                answered_below,
            },
        )
    }

    fn append() -> impl Strategy<Value = Content> {
        let entry = (0..3_u64, 1..=3_u8, bytes(40));
        let prev =
            (1..1000_u64, 0..u64::MAX / 2).prop_map(|(t, i)| LogId::new(Term::new(t), LogIndex::new(i)));
        (prev, vec(entry, 0..12), index(), any::<u64>()).prop_map(|(prev, list, commit, round)| {
            let mut shape = TermRuns::empty(prev);
            let mut entries = Vec::new();
            let mut term = prev.term.as_u64();
            for (step, code, payload) in list {
                term += step;
                shape.append(Term::new(term), 1);
                let kind = EntryKind::from_code(code).unwrap();
                let payload = if kind == EntryKind::Noop { Bytes::new() } else { payload };
                entries.push(Entry { id: shape.last_id(), kind, payload });
            }
            let message = Message::Append(AppendRequest {
                term: Term::new(term),
                entries: shape,
                memberships: Vec::new(),
                commit,
                round,
            });
            Content::Raft { message, entries }
        })
    }

    fn other_message() -> impl Strategy<Value = Message> {
        let outcome = prop_oneof![
            index().prop_map(|matched| AppendOutcome::Matched { matched }),
            (log_id(), log_id()).prop_map(|(prev, hint)| AppendOutcome::Conflict { prev, hint }),
        ];
        prop_oneof![
            (term(), log_id(), any::<u64>()).prop_map(|(term, last, attempt)| Message::PreVote(PreVote {
                term,
                last,
                attempt
            })),
            (term(), any::<u64>(), any::<bool>()).prop_map(|(term, attempt, granted)| {
                Message::PreVoteReply(PreVoteReply { term, attempt, granted })
            }),
            (term(), log_id()).prop_map(|(term, last)| Message::Vote(Vote { term, last })),
            (term(), any::<bool>())
                .prop_map(|(term, granted)| Message::VoteReply(VoteReply { term, granted })),
            (term(), any::<u64>(), outcome).prop_map(|(term, round, outcome)| Message::AppendReply(
                AppendReply { term, round, outcome }
            )),
            (term(), any::<u64>())
                .prop_map(|(term, read)| Message::ReadIndex(ReadIndexRequest { term, read })),
            (term(), any::<u64>(), proptest::option::of(index())).prop_map(|(term, read, index)| {
                Message::ReadIndexReply(ReadIndexReply { term, read, index })
            }),
        ]
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let taken = prop_oneof![Just(Taken::Appended), Just(Taken::NotLeader), Just(Taken::Overloaded)];
        let content = prop_oneof![
            3 => append(),
            2 => other_message().prop_map(|message| Content::Raft { message, entries: Vec::new() }),
            1 => Just(Content::Ping),
            1 => (request(), bytes(60)).prop_map(|(request, command)| Content::Submit { request, command }),
            1 => (request(), taken).prop_map(|(request, taken)| Content::SubmitReply { request, taken }),
            1 => term().prop_map(|term| Content::Leads { term }),
        ];
        (any::<u64>(), any::<u64>(), any::<u64>(), content).prop_map(|(group, from, to, content)| Frame {
            group: GroupId::from_u64(group),
            from: NodeId::new(from),
            to: NodeId::new(to),
            content,
        })
    }

    fn ping() -> Frame {
        Frame { group: GroupId::ROOT, from: NodeId::new(1), to: NodeId::new(2), content: Content::Ping }
    }

    fn wire(frame: &Frame) -> Vec<u8> {
        encode(frame).unwrap().concat()
    }

    fn decode_all(pieces: &[&[u8]]) -> Result<Vec<Frame>, DecodeError> {
        let mut decoder = Decoder::new();
        let mut frames = Vec::new();
        for piece in pieces {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    /// Changes a frame's bytes and makes its CRC right again.
    fn forge(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        change(&mut bytes);
        let total = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&total.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn raft_wire(message: &Message, rows: Vec<Row>, payload: &[u8]) -> Vec<u8> {
        let header = postcard::to_allocvec(&RaftHeaderRef { message, rows }).unwrap();
        forge(wire(&ping()), |bytes| {
            bytes[8] = kind::RAFT;
            bytes[36..40].copy_from_slice(&(header.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(payload);
        })
    }

    fn one_entry() -> Message {
        let prev = LogId::new(Term::new(1), LogIndex::new(4));
        let mut shape = TermRuns::empty(prev);
        shape.append(Term::new(2), 1);
        Message::Append(AppendRequest {
            term: Term::new(2),
            entries: shape,
            memberships: Vec::new(),
            commit: LogIndex::ZERO,
            round: 0,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_frame_comes_back_as_it_was_sent(frames in vec(frame(), 1..5)) {
            let bytes: Vec<u8> = frames.iter().flat_map(wire).collect();
            prop_assert_eq!(decode_all(&[&bytes]).unwrap(), frames);
        }

        #[test]
        fn bytes_split_anywhere_decode_the_same(first in frame(), second in frame()) {
            let bytes = [wire(&first), wire(&second)].concat();
            let frames = vec![first, second];
            for at in 0..=bytes.len() {
                let (front, back) = bytes.split_at(at);
                prop_assert_eq!(&decode_all(&[front, back]).unwrap(), &frames);
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(&decode_all(&single).unwrap(), &frames);
        }

        #[test]
        fn no_frame_with_a_flipped_bit_is_accepted(frame in frame(), next in frame()) {
            let bytes = wire(&frame);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // A longer length waits for more bytes, so give it some.
                let accepted = decode_all(&[&flipped, &wire(&next)]);
                prop_assert!(accepted.as_ref().is_ok_and(Vec::is_empty) || accepted.is_err(), "bit {}", bit);
                if bit >= 32 {
                    let crc = matches!(accepted, Err(DecodeError::Crc { .. }));
                    prop_assert!(crc, "bit {}", bit);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = decode_all(&[&bytes]);
        }

        #[test]
        fn arbitrary_bytes_with_a_right_crc_never_panic(
            kind in 0..8_u8,
            header_len in 0..80_u32,
            tail in vec(any::<u8>(), 0..120),
        ) {
            let bytes = forge(wire(&ping()), |bytes| {
                bytes[8] = kind;
                bytes[36..40].copy_from_slice(&header_len.to_le_bytes());
                bytes.extend_from_slice(&tail);
            });
            let _ = decode_all(&[&bytes]);
        }

        #[test]
        fn a_changed_header_with_a_right_crc_never_panics(frame in frame(), at in any::<usize>(), value in any::<u8>()) {
            let bytes = forge(wire(&frame), |bytes| {
                let at = 8 + at % (bytes.len() - 8);
                bytes[at] = value;
            });
            let _ = decode_all(&[&bytes]);
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_frame_drawn_in_the_description_of_the_format_is_what_is_sent() {
        let Message::Append(request) = one_entry() else { panic!("an append") };
        let id = LogId::new(Term::new(2), LogIndex::new(5));
        let entries = vec![Entry { id, kind: EntryKind::Command, payload: Bytes::from_static(b"hi") }];
        let content = Content::Raft { message: Message::Append(request), entries };
        let pieces = encode(&Frame { content, ..ping() }).unwrap();
        let (fixed, header) = pieces[0].split_at(FIXED_BYTES);
        let drawn = "3c000000edf9e6a80100000000000000000000000100000000000000020000000000000012000000";
        assert_eq!(hex(fixed), drawn);
        assert_eq!(hex(header), "04020104010205050000010202acd5ccc40d");
        assert_eq!(&pieces[1][..], b"hi");
    }

    #[test]
    fn payloads_are_passed_on_without_a_copy() {
        let command = Bytes::from(vec![7; 1000]);
        let origin = Origin { node: NodeId::new(1), boot: 2 };
        let request = RequestId { origin, sequence: 3, answered_below: 0 };
        let content = Content::Submit { request, command: command.clone() };
        let pieces = encode(&Frame { content, ..ping() }).unwrap();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1].as_ptr(), command.as_ptr());

        let mut decoder = Decoder::new();
        decoder.buffer().extend_from_slice(&pieces.concat());
        let arrived = decoder.buffer.as_ptr();
        let Ok(Some(Frame { content: Content::Submit { command, .. }, .. })) = decoder.next_frame() else {
            panic!("a submit frame");
        };
        assert_eq!(command.as_ptr(), arrived.wrapping_add(pieces[0].len()));
    }

    #[test]
    fn a_frame_that_declares_two_gibibytes_is_refused_at_its_fourth_byte_and_nothing_is_allocated_for_it() {
        let mut decoder = Decoder::new();
        decoder.buffer().extend_from_slice(&(2_u32 << 30).to_le_bytes());
        assert_eq!(decoder.next_frame(), Err(DecodeError::Oversized { declared: 2 << 30 }));
        assert_eq!(decoder.next_frame(), Err(DecodeError::Oversized { declared: 2 << 30 }));
        assert!(decoder.buffer().capacity() <= 2 * READ_ROOM);
    }

    #[test]
    fn the_buffer_grows_only_as_bytes_arrive() {
        let mut decoder = Decoder::new();
        decoder.buffer().extend_from_slice(&(MAX_FRAME_BYTES as u32).to_le_bytes());
        let piece = [0; 1000];
        for _ in 0..3000 {
            decoder.buffer().extend_from_slice(&piece);
            assert_eq!(decoder.next_frame(), Ok(None));
            assert!(decoder.buffer.capacity() <= 4 * decoder.buffer.len() + 2 * READ_ROOM);
        }
    }

    #[test]
    fn a_frame_shorter_than_its_fixed_part_is_refused() {
        let bytes = (FIXED_BYTES as u32 - 1).to_le_bytes();
        assert_eq!(decode_all(&[&bytes]), Err(DecodeError::Undersized { declared: 39 }));
    }

    #[test]
    fn unknown_kinds_and_used_reserved_bytes_are_refused() {
        let unknown = forge(wire(&ping()), |bytes| bytes[8] = 99);
        assert_eq!(decode_all(&[&unknown]), Err(DecodeError::Kind { kind: 99 }));
        let reserved = forge(wire(&ping()), |bytes| bytes[10] = 1);
        assert_eq!(decode_all(&[&reserved]), Err(DecodeError::Reserved { found: [0, 1, 0] }));
    }

    #[test]
    fn a_header_longer_than_its_frame_is_refused() {
        let bytes = forge(wire(&ping()), |bytes| bytes[36] = 1);
        assert_eq!(decode_all(&[&bytes]), Err(DecodeError::HeaderLength { declared: 1, allowed: 0 }));
    }

    #[test]
    fn an_entry_table_that_does_not_match_the_message_is_refused() {
        let row =
            |kind, payload: &[u8]| Row { kind, len: payload.len() as u32, crc: crc32fast::hash(payload) };
        let id = LogIndex::new(5);
        let refused = |bytes: Vec<u8>| decode_all(&[&bytes]).unwrap_err();

        let missing = raft_wire(&one_entry(), Vec::new(), b"");
        assert_eq!(refused(missing), DecodeError::EntryCount { declared: 1, found: 0 });
        let twice = raft_wire(&one_entry(), vec![row(2, b"a"), row(2, b"b")], b"ab");
        assert_eq!(refused(twice), DecodeError::EntryCount { declared: 1, found: 2 });
        let short = raft_wire(&one_entry(), vec![row(2, b"abc")], b"ab");
        assert_eq!(refused(short), DecodeError::PayloadLength { declared: 3, found: 2 });
        let kind = raft_wire(&one_entry(), vec![row(9, b"")], b"");
        assert_eq!(refused(kind), DecodeError::EntryKind { index: id, kind: 9 });
        let noop = raft_wire(&one_entry(), vec![row(1, b"a")], b"a");
        assert_eq!(refused(noop), DecodeError::NoopPayload { index: id, bytes: 1 });
        let crc = raft_wire(&one_entry(), vec![row(2, b"a")], b"b");
        assert!(matches!(refused(crc), DecodeError::PayloadCrc { index, .. } if index == id));
        let vote = Message::VoteReply(VoteReply { term: Term::new(1), granted: true });
        let stray = raft_wire(&vote, vec![row(2, b"a")], b"a");
        assert_eq!(refused(stray), DecodeError::EntryCount { declared: 0, found: 1 });
    }

    #[test]
    fn term_runs_that_describe_no_log_are_refused() {
        let Message::Append(mut request) = one_entry() else { panic!("an append") };
        request.last = LogIndex::new(3);
        let bytes = raft_wire(&Message::Append(request), Vec::new(), b"");
        assert_eq!(decode_all(&[&bytes]), Err(DecodeError::Runs(RunsError::ShortLast)));
    }

    #[test]
    fn an_append_to_the_end_of_the_index_space_does_not_panic() {
        let Message::Append(mut request) = one_entry() else { panic!("an append") };
        request.last = LogIndex::new(u64::MAX);
        let bytes = raft_wire(&Message::Append(request), Vec::new(), b"");
        assert!(matches!(decode_all(&[&bytes]), Err(DecodeError::EntryCount { .. })));
    }

    #[test]
    fn what_no_receiver_would_take_is_not_sent() {
        let origin = Origin { node: NodeId::new(1), boot: 2 };
        let request = RequestId { origin, sequence: 3, answered_below: 0 };
        let command = Bytes::from(vec![0; MAX_PAYLOAD_BYTES + 1]);
        let bytes = command.len();
        let frame = Frame { content: Content::Submit { request, command }, ..ping() };
        assert_eq!(encode(&frame), Err(EncodeError::Payload { bytes }));

        let half = Bytes::from(vec![0; 12 << 20]);
        let entry = |index| Entry {
            id: LogId::new(Term::new(1), LogIndex::new(index)),
            kind: EntryKind::Batch,
            payload: half.clone(),
        };
        let content = Content::Raft { message: one_entry(), entries: vec![entry(1), entry(2)] };
        assert!(matches!(encode(&Frame { content, ..ping() }), Err(EncodeError::Frame { .. })));
    }
}
