//! The bytes of a segment: a header, then frames; drawn in `docs/formats/segment.md`.
//!
//! Encoding is private; decoding is public, so that a simulator's oracle can read what is on its disks without
//! trusting the rest of this crate. It never panics, whatever the bytes, and allocates nothing from their say-so.
//!
//! Every record (the segment header is one, too) carries a sequence number counted over the life of the group, the
//! CRC of the record before it, and the highest sequence number known durable when it was written. Its CRC covers
//! disk, group, segment number and place in the file, so that bytes that were recycled or misdirected never
//! validate. Invariant: what is encoded here decodes to the same, and with any bit flipped to nothing.

use bytes::Bytes;
use raft_core::{Configuration, DiskId, GroupId, HardState, LogIndex, MAX_VOTERS, NodeId, ReplicaId, Term};

use crate::entry::EntryKind;
use crate::error::Damage;
use crate::membership::{self, MEMBERSHIP_MAX};

/// The length of a frame's header in bytes. The payload follows it at once, the next frame that.
pub const FRAME_HEADER_LEN: usize = 56;
/// The length of a segment's header in bytes. The first frame follows it at once.
pub const SEGMENT_HEADER_LEN: usize = 96;
/// The longest note of a group, in bytes.
pub const NOTE_MAX: usize = 1024;
/// The longest payload of any frame that is not an entry, in bytes.
const META_MAX: usize = 1 + MAX_VOTERS * REPLICA_LEN + 2 + NOTE_MAX;

const SEGMENT_MAGIC: [u8; 8] = *b"FLOTLOG\0";
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"FLf\x91";
const VERSION: u32 = 1;
const REPLICA_LEN: usize = 24;

/// What the CRCs of one segment begin from: its disk, group and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// The seed of segment `number` (from 1) of a group on a disk.
    pub fn new(disk: DiskId, group: GroupId, number: u64) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&disk.as_u128().to_le_bytes());
        hasher.update(&group.as_u64().to_le_bytes());
        hasher.update(&number.to_le_bytes());
        Self(hasher.finalize())
    }

    fn crc(self, offset: u64, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(&offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut out = [0; 2];
    out.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(out)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

fn u128_at(bytes: &[u8], at: usize) -> u128 {
    let mut out = [0; 16];
    out.copy_from_slice(&bytes[at..at + 16]);
    u128::from_le_bytes(out)
}

/// What a segment begins with. It says where its predecessor ends, whatever else lies in that file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The disk it was written on.
    pub disk: DiskId,
    /// The group it belongs to.
    pub group: GroupId,
    /// Its number, from 1. Numbers of a group's segments rise, perhaps with gaps.
    pub number: u64,
    /// The index that the next entry would have had when it was made.
    pub next_index: LogIndex,
    /// The number of the segment it continues; 0 for the first one.
    pub previous: u64,
    /// Where that one ends, exclusive, in bytes from its start; 0 for the first one.
    pub previous_end: u64,
    /// Its own sequence number; 1 for the first segment.
    pub sequence: u64,
    /// All records up to this sequence number, inclusive, were known durable when it was written.
    pub synced_through: u64,
    /// The CRC of the record before it; 0 for the first one.
    pub chain: u32,
    /// Its own CRC, to which the next record is chained. Filled in by decoding.
    pub crc: u32,
}

impl SegmentHeader {
    /// The seed of the frames behind it.
    pub fn seed(&self) -> Seed {
        Seed::new(self.disk, self.group, self.number)
    }

    /// Encodes it, and says its CRC.
    pub(crate) fn encode(&self) -> ([u8; SEGMENT_HEADER_LEN], u32) {
        let mut out = [0; SEGMENT_HEADER_LEN];
        out[0..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        // 12..16 is reserved.
        out[16..32].copy_from_slice(&self.disk.as_u128().to_le_bytes());
        out[32..40].copy_from_slice(&self.group.as_u64().to_le_bytes());
        out[40..48].copy_from_slice(&self.number.to_le_bytes());
        out[48..56].copy_from_slice(&self.next_index.as_u64().to_le_bytes());
        out[56..64].copy_from_slice(&self.previous.to_le_bytes());
        out[64..72].copy_from_slice(&self.previous_end.to_le_bytes());
        out[72..80].copy_from_slice(&self.sequence.to_le_bytes());
        out[80..88].copy_from_slice(&self.synced_through.to_le_bytes());
        out[88..92].copy_from_slice(&self.chain.to_le_bytes());
        let crc = self.seed().crc(0, &out[..92]);
        out[92..96].copy_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// Decodes the first [`SEGMENT_HEADER_LEN`] bytes of a segment file. Whether disk, group and number are the
    /// expected ones is for the caller to check.
    ///
    /// # Errors
    /// Says why the bytes are no header.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let found = bytes.len() as u64;
        let Some(bytes) = bytes.get(..SEGMENT_HEADER_LEN) else {
            return Err(Damage::Short { expected: SEGMENT_HEADER_LEN as u64, found });
        };
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(Damage::Magic {
                expected: u64::from_le_bytes(SEGMENT_MAGIC),
                found: u64_at(bytes, 0),
            });
        }
        let header = Self {
            disk: DiskId::new(u128_at(bytes, 16)),
            group: GroupId::from_u64(u64_at(bytes, 32)),
            number: u64_at(bytes, 40),
            next_index: LogIndex::new(u64_at(bytes, 48)),
            previous: u64_at(bytes, 56),
            previous_end: u64_at(bytes, 64),
            sequence: u64_at(bytes, 72),
            synced_through: u64_at(bytes, 80),
            chain: u32_at(bytes, 88),
            crc: u32_at(bytes, 92),
        };
        let expected = header.seed().crc(0, &bytes[..92]);
        if expected != header.crc {
            return Err(Damage::HeaderCrc { expected, found: header.crc });
        }
        if u32_at(bytes, 8) != VERSION || u32_at(bytes, 12) != 0 {
            return Err(Damage::Version { expected: VERSION, found: u32_at(bytes, 8) });
        }
        Ok(header)
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// An entry of the log; codes 1 to 4, as of [`EntryKind`].
    Entry(EntryKind),
    /// The group's creation: first configuration and note; code 16, always the first frame of the first segment.
    Genesis,
    /// Term and vote; code 17.
    HardState,
    /// All entries after the frame's index are dropped; code 18.
    Truncate,
    /// Nothing but its `synced_through`; code 19.
    Mark,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            Self::Entry(kind) => kind.code(),
            Self::Genesis => 16,
            Self::HardState => 17,
            Self::Truncate => 18,
            Self::Mark => 19,
        }
    }

    /// The longest payload that recovery looks into, in bytes; `None` when it looks into none of that kind.
    pub(crate) fn read_max(self) -> Option<usize> {
        match self {
            Self::Entry(EntryKind::Membership) => Some(MEMBERSHIP_MAX),
            Self::Entry(_) => None,
            Self::Genesis | Self::HardState | Self::Truncate | Self::Mark => Some(META_MAX),
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            16 => Some(Self::Genesis),
            17 => Some(Self::HardState),
            18 => Some(Self::Truncate),
            19 => Some(Self::Mark),
            _ => EntryKind::from_code(code).map(Self::Entry),
        }
    }
}

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is.
    pub kind: FrameKind,
    /// How many bytes of payload follow.
    pub payload_len: u32,
    /// Their CRC-32 (IEEE), from no seed.
    pub payload_crc: u32,
    /// The term of an entry or of a hard state; zero otherwise.
    pub term: Term,
    /// The index of an entry, or the last one that a truncation keeps; zero otherwise.
    pub index: LogIndex,
    /// Its sequence number over the life of the group.
    pub sequence: u64,
    /// All records up to this sequence number, inclusive, were known durable when it was written.
    pub synced_through: u64,
    /// The CRC of the record before it.
    pub chain: u32,
    /// Its own CRC, to which the next record is chained. Filled in by decoding.
    pub crc: u32,
}

impl FrameHeader {
    /// The length of the frame, header and payload, in bytes.
    pub fn frame_len(&self) -> u64 {
        FRAME_HEADER_LEN as u64 + u64::from(self.payload_len)
    }

    /// Encodes it for the place `offset` of its segment, and says its CRC.
    pub(crate) fn encode(&self, seed: Seed, offset: u64) -> ([u8; FRAME_HEADER_LEN], u32) {
        let mut out = [0; FRAME_HEADER_LEN];
        out[0..4].copy_from_slice(&FRAME_MAGIC);
        out[4] = self.kind.code();
        // 5 is for flags, 6..8 is reserved.
        out[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.term.as_u64().to_le_bytes());
        out[24..32].copy_from_slice(&self.index.as_u64().to_le_bytes());
        out[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced_through.to_le_bytes());
        out[48..52].copy_from_slice(&self.chain.to_le_bytes());
        let crc = seed.crc(offset, &out[..52]);
        out[52..56].copy_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// Decodes the first [`FRAME_HEADER_LEN`] of `bytes`, which stand at `offset` of a segment. Whether it follows
    /// the record before it is for the caller to check.
    ///
    /// # Errors
    /// Says why the bytes are no header. [`Damage::Unknown`] alone means that its CRC is right.
    pub fn decode(bytes: &[u8], seed: Seed, offset: u64) -> Result<Self, Damage> {
        let found = bytes.len() as u64;
        let Some(bytes) = bytes.get(..FRAME_HEADER_LEN) else {
            return Err(Damage::Short { expected: FRAME_HEADER_LEN as u64, found });
        };
        if bytes[..4] != FRAME_MAGIC {
            return Err(Damage::Magic {
                expected: u64::from(u32::from_le_bytes(FRAME_MAGIC)),
                found: u64::from(u32_at(bytes, 0)),
            });
        }
        let expected = seed.crc(offset, &bytes[..52]);
        let found = u32_at(bytes, 52);
        if expected != found {
            return Err(Damage::HeaderCrc { expected, found });
        }
        let flags = u32::from(bytes[5]) | u32::from(u16_at(bytes, 6)) << 8;
        match FrameKind::from_code(bytes[4]) {
            Some(kind) if flags == 0 => Ok(Self::fields(bytes, kind)),
            _ => Err(Damage::Unknown { kind: bytes[4], flags }),
        }
    }

    /// The fields as they stand there, whether or not the CRC is right; `None` when it is clearly no header.
    pub(crate) fn guess(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_LEN)?;
        Some(Self::fields(bytes, FrameKind::from_code(bytes[4])?))
    }

    fn fields(bytes: &[u8], kind: FrameKind) -> Self {
        Self {
            kind,
            payload_len: u32_at(bytes, 8),
            payload_crc: u32_at(bytes, 12),
            term: Term::new(u64_at(bytes, 16)),
            index: LogIndex::new(u64_at(bytes, 24)),
            sequence: u64_at(bytes, 32),
            synced_through: u64_at(bytes, 40),
            chain: u32_at(bytes, 48),
            crc: u32_at(bytes, 52),
        }
    }

    /// Whether it is the record that follows `previous`.
    pub(crate) fn follows(&self, previous: Link) -> Result<(), Damage> {
        let expected = previous.sequence + 1;
        if self.sequence != expected {
            return Err(Damage::Sequence { expected, found: self.sequence });
        }
        if self.chain != previous.crc {
            return Err(Damage::Chain { expected: previous.crc, found: self.chain });
        }
        Ok(())
    }
}

/// The end of a chain of records: what the next one must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Link {
    /// The sequence number of the last record; 0 before the first.
    pub(crate) sequence: u64,
    /// Its CRC; 0 before the first.
    pub(crate) crc: u32,
}

pub(crate) fn put_genesis(out: &mut Vec<u8>, genesis: &Configuration, note: &[u8]) {
    let voters = genesis.voters();
    out.push(voters.len() as u8);
    // Who campaigns first goes first: that is how a configuration is made.
    let first = |v: &&ReplicaId| Some(v.node) == genesis.first();
    for voter in voters.iter().filter(first).chain(voters.iter().filter(|v| !first(v))) {
        put_replica(out, *voter);
    }
    out.extend_from_slice(&(note.len() as u16).to_le_bytes());
    out.extend_from_slice(note);
}

fn put_replica(out: &mut Vec<u8>, replica: ReplicaId) {
    out.extend_from_slice(&replica.node.as_u64().to_le_bytes());
    out.extend_from_slice(&replica.disk.as_u128().to_le_bytes());
}

fn replica(bytes: &[u8]) -> ReplicaId {
    ReplicaId::new(NodeId::new(u64_at(bytes, 0)), DiskId::new(u128_at(bytes, 8)))
}

fn genesis(payload: &[u8]) -> Option<(Configuration, &[u8])> {
    let (&count, rest) = payload.split_first()?;
    if usize::from(count) > MAX_VOTERS {
        return None;
    }
    let (voters, rest) = rest.split_at_checked(usize::from(count) * REPLICA_LEN)?;
    let (len, note) = rest.split_at_checked(2)?;
    if note.len() > NOTE_MAX || note.len() != usize::from(u16_at(len, 0)) {
        return None;
    }
    Some((Configuration::new(voters.chunks_exact(REPLICA_LEN).map(replica)).ok()?, note))
}

pub(crate) fn put_vote(out: &mut Vec<u8>, vote: Option<ReplicaId>) {
    if let Some(replica) = vote {
        put_replica(out, replica);
    }
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The group was created.
    Genesis {
        /// Its first configuration.
        genesis: Configuration,
        /// Its label.
        note: &'a [u8],
    },
    /// Term and vote are these from here on.
    HardState(HardState),
    /// All entries after this index are dropped.
    Truncate(LogIndex),
    /// An entry was appended.
    Entry {
        /// Its identity.
        id: raft_core::LogId,
        /// Its kind.
        kind: EntryKind,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Nothing but a note of what is durable.
    Mark,
}

impl<'a> Record<'a> {
    /// Interprets a frame's payload, whose CRC is right.
    pub(crate) fn decode(header: &FrameHeader, payload: &'a [u8]) -> Option<Self> {
        match header.kind {
            FrameKind::Entry(EntryKind::Membership) if membership::decode(payload).is_none() => None,
            FrameKind::Entry(kind) => {
                let id = raft_core::LogId::new(header.term, header.index);
                Some(Self::Entry { id, kind, payload })
            }
            FrameKind::Genesis => genesis(payload).map(|(genesis, note)| Self::Genesis { genesis, note }),
            FrameKind::HardState => {
                let vote = match payload.len() {
                    0 => None,
                    REPLICA_LEN => Some(replica(payload)),
                    _ => return None,
                };
                Some(Self::HardState(HardState { term: header.term, vote }))
            }
            FrameKind::Truncate => payload.is_empty().then_some(Self::Truncate(header.index)),
            FrameKind::Mark => payload.is_empty().then_some(Self::Mark),
        }
    }
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Where its frame begins, in bytes from the segment's start.
    pub offset: u64,
    /// The frame's header.
    pub header: FrameHeader,
    /// What it says.
    pub record: Record<'a>,
}

/// Walks over the frames of a segment held in memory: valid ones in order, then the end, or the first thing that is
/// no continuation and after that nothing more. It cannot tell a torn end from damage: that takes the records
/// behind it and the segments that follow.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    seed: Seed,
    at: usize,
    last: Link,
    failed: bool,
}

impl<'a> Frames<'a> {
    /// Walks over `segment`, a whole segment file from its first byte, cut at its successor's `previous_end` when
    /// there is a successor.
    ///
    /// # Errors
    /// When its header is none.
    pub fn new(segment: &'a [u8]) -> Result<(SegmentHeader, Self), Damage> {
        let header = SegmentHeader::decode(segment)?;
        let last = Link { sequence: header.sequence, crc: header.crc };
        let frames =
            Self { bytes: segment, seed: header.seed(), at: SEGMENT_HEADER_LEN, last, failed: false };
        Ok((header, frames))
    }

    /// Where the next frame begins or would begin: behind the last valid one.
    pub fn offset(&self) -> u64 {
        self.at as u64
    }

    fn step(&mut self) -> Result<Framed<'a>, Damage> {
        let rest = &self.bytes[self.at..];
        let header = FrameHeader::decode(rest, self.seed, self.at as u64)?;
        header.follows(self.last)?;
        let rest = &rest[FRAME_HEADER_LEN..];
        let Some(payload) = rest.get(..header.payload_len as usize) else {
            return Err(Damage::Short { expected: u64::from(header.payload_len), found: rest.len() as u64 });
        };
        let found = crc32fast::hash(payload);
        if found != header.payload_crc {
            return Err(Damage::PayloadCrc { expected: header.payload_crc, found });
        }
        let Some(record) = Record::decode(&header, payload) else {
            return Err(Damage::Impossible {
                expected: "a payload of that kind",
                index: header.index,
                term: header.term,
            });
        };
        let framed = Framed { offset: self.at as u64, header, record };
        self.at += FRAME_HEADER_LEN + payload.len();
        self.last = Link { sequence: header.sequence, crc: header.crc };
        Ok(framed)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Framed<'a>, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.at == self.bytes.len() {
            return None;
        }
        let result = self.step();
        self.failed = result.is_err();
        Some(result)
    }
}

/// The payload bytes of a frame that has some, for writing.
pub(crate) fn payload_crc(payload: &Bytes) -> u32 {
    if payload.is_empty() { 0 } else { crc32fast::hash(payload) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed() -> Seed {
        Seed::new(DiskId::new(1), GroupId::new(2, 3), 4)
    }

    fn kinds() -> impl Strategy<Value = FrameKind> {
        proptest::sample::select(vec![
            FrameKind::Entry(EntryKind::Noop),
            FrameKind::Entry(EntryKind::Command),
            FrameKind::Entry(EntryKind::Batch),
            FrameKind::Entry(EntryKind::Membership),
            FrameKind::Genesis,
            FrameKind::HardState,
            FrameKind::Truncate,
            FrameKind::Mark,
        ])
    }

    prop_compose! {
        fn headers()(
            kind in kinds(),
            (payload_len, payload_crc, chain) in any::<(u32, u32, u32)>(),
            (term, index, sequence, synced_through) in any::<(u64, u64, u64, u64)>(),
        ) -> FrameHeader {
            let (term, index) = (Term::new(term), LogIndex::new(index));
            FrameHeader { kind, payload_len, payload_crc, term, index, sequence, synced_through, chain, crc: 0 }
        }
    }

    prop_compose! {
        fn segment_headers()(
            (disk, group, number, next_index) in any::<(u128, u64, u64, u64)>(),
            (previous, previous_end, sequence, synced_through, chain) in any::<(u64, u64, u64, u64, u32)>(),
        ) -> SegmentHeader {
            let (disk, group) = (DiskId::new(disk), GroupId::from_u64(group));
            let next_index = LogIndex::new(next_index);
            SegmentHeader {
                disk, group, number, next_index, previous, previous_end, sequence, synced_through, chain, crc: 0,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_frame_header_decodes_to_itself_and_only_at_its_place(
            header in headers(),
            offset in any::<u32>(),
            bit in 0..FRAME_HEADER_LEN * 8,
        ) {
            let offset = u64::from(offset);
            let (mut bytes, crc) = header.encode(seed(), offset);
            let decoded = FrameHeader::decode(&bytes, seed(), offset);
            prop_assert_eq!(decoded, Ok(FrameHeader { crc, ..header }));
            prop_assert!(FrameHeader::decode(&bytes, seed(), offset + 1).is_err());
            let elsewhere = Seed::new(DiskId::new(1), GroupId::new(2, 3), 5);
            prop_assert!(FrameHeader::decode(&bytes, elsewhere, offset).is_err());
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(FrameHeader::decode(&bytes, seed(), offset).is_err());
        }

        #[test]
        fn a_segment_header_decodes_to_itself_and_not_with_any_bit_flipped(
            header in segment_headers(),
            bit in 0..SEGMENT_HEADER_LEN * 8,
        ) {
            let (mut bytes, crc) = header.encode();
            prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(SegmentHeader { crc, ..header }));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            header in segment_headers(),
            kind in kinds(),
        ) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = FrameHeader::decode(&bytes, seed(), 0);
            // Behind a good header, and as the payload of a good frame.
            let header = SegmentHeader { sequence: header.sequence % (1 << 60), ..header };
            let (head, chain) = header.encode();
            let mut segment = head.to_vec();
            let frame = FrameHeader {
                kind,
                payload_len: bytes.len() as u32,
                payload_crc: crc32fast::hash(&bytes),
                term: Term::new(1),
                index: LogIndex::new(1),
                sequence: header.sequence + 1,
                synced_through: 0,
                chain,
                crc: 0,
            };
            segment.extend_from_slice(&frame.encode(header.seed(), SEGMENT_HEADER_LEN as u64).0);
            segment.extend_from_slice(&bytes);
            segment.extend_from_slice(&bytes);
            let (_, frames) = Frames::new(&segment).unwrap();
            for framed in frames {
                let _ = framed;
            }
        }

        #[test]
        fn a_genesis_and_a_vote_come_back_as_they_were(
            nodes in proptest::collection::btree_map(any::<u64>(), any::<u128>(), 0..=MAX_VOTERS),
            first in any::<proptest::sample::Index>(),
            note in proptest::collection::vec(any::<u8>(), 0..=NOTE_MAX),
        ) {
            let mut voters: Vec<ReplicaId> =
                nodes.into_iter().map(|(node, disk)| ReplicaId::new(NodeId::new(node), DiskId::new(disk))).collect();
            if !voters.is_empty() {
                let first = first.index(voters.len());
                voters.swap(0, first);
            }
            let configuration = Configuration::new(voters.iter().copied()).unwrap();
            let mut bytes = Vec::new();
            put_genesis(&mut bytes, &configuration, &note);
            prop_assert!(bytes.len() <= META_MAX);
            prop_assert_eq!(genesis(&bytes), Some((configuration, &note[..])));
            prop_assert_eq!(genesis(&bytes[..bytes.len() - 1]), None);
            bytes.push(0);
            prop_assert_eq!(genesis(&bytes), None);
            for vote in [None, voters.first().copied()] {
                let mut bytes = Vec::new();
                put_vote(&mut bytes, vote);
                prop_assert_eq!((!bytes.is_empty()).then(|| replica(&bytes)), vote);
            }
        }
    }
}
