//! The first bytes on a connection: who is there, and whether they may come in.
//!
//! The dialing node says [`Hello`]; the other one answers with its own or with a [`Refusal`]. After that, frames
//! flow both ways ([`Purpose::Connect`]) or the connection is closed ([`Purpose::Form`]). Here are the bytes and
//! the rules; sockets and time limits are the runtime's. `docs/formats/frame.md` draws the layout byte by byte.
//!
//! Invariant: [`admit`] answers the same on both ends for what both know, and a hand-shake is at most
//! [`MAX_BYTES`] long, whatever it says of itself.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Configuration, DiskId, MAX_VOTERS, NodeId, ReplicaId};
use raft_wal::ClusterId;

/// The version of hand-shake and frames that this program speaks.
pub const VERSION: u16 = 1;
/// The longest hand-shake message, inclusive, in bytes.
pub const MAX_BYTES: usize = 256;
/// How many bytes tell the length of the rest. Their layout is the same in every version.
pub const PREAMBLE_BYTES: usize = 8;
/// The longest text of a refusal, inclusive, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 220;

const MAGIC: &[u8; 4] = b"FLOT";
const KIND_HELLO: u8 = 1;
const KIND_REFUSAL: u8 = 2;
const HELLO_BYTES: usize = 56;
const REPLICA_BYTES: usize = 24;
const CRC_BYTES: usize = 4;
const REFUSAL_BYTES: usize = 12;
const HAS_CLUSTER: u8 = 1;
const HAS_GENESIS: u8 = 2;

/// Why a node calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To exchange frames from now on.
    Connect,
    /// To learn who the other one is and whether the cluster is formed, and to hang up.
    Form,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The node and its disk.
    pub replica: ReplicaId,
    /// The cluster its disk belongs to, for ever; `None` when it belongs to none yet.
    pub cluster: Option<ClusterId>,
    /// The first voters of the root group, sorted, at most [`MAX_VOTERS`]; `None` when it is not formed here, and
    /// on learners.
    pub genesis: Option<Vec<ReplicaId>>,
    /// A digest of the founders it was told about, see [`founders_digest`]: two that were told differently must
    /// not form a cluster.
    pub founders: u32,
    /// Why it calls; in an answer, the purpose answered.
    pub purpose: Purpose,
}

/// A digest of a set of founders: the CRC-32 of their ids, ascending, 8 bytes little-endian each.
pub fn founders_digest(founders: &BTreeSet<NodeId>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for node in founders {
        crc.update(&node.as_u64().to_le_bytes());
    }
    crc.finalize()
}

/// The answer of a node that does not let the caller in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for programs.
    pub code: RefusalCode,
    /// Why, for people, cut after [`MAX_TEXT_BYTES`].
    pub text: String,
}

/// Why a caller is not let in, by a number that keeps its meaning over all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalCode {
    /// 1: it speaks another version.
    OtherVersion,
    /// 2: it belongs to another cluster.
    WrongCluster,
    /// 3: its node is known with another disk.
    OtherDisk,
    /// 4: it is not listed, and only listed nodes are let in.
    UnknownNode,
    /// 5: it has the id of the node it called.
    OwnId,
    /// 6: one of the two does not belong to a cluster yet. Normal while a cluster forms; calling again helps.
    NotFormed,
    /// 7: the two were told of different founders.
    OtherFounders,
    /// 8: there are too many connections.
    Busy,
    /// Any other number, from a later version.
    Other(u8),
}

impl RefusalCode {
    /// The number used on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::OtherVersion => 1,
            Self::WrongCluster => 2,
            Self::OtherDisk => 3,
            Self::UnknownNode => 4,
            Self::OwnId => 5,
            Self::NotFormed => 6,
            Self::OtherFounders => 7,
            Self::Busy => 8,
            Self::Other(code) => code,
        }
    }

    /// The meaning of a number.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::OtherVersion,
            2 => Self::WrongCluster,
            3 => Self::OtherDisk,
            4 => Self::UnknownNode,
            5 => Self::OwnId,
            6 => Self::NotFormed,
            7 => Self::OtherFounders,
            8 => Self::Busy,
            code => Self::Other(code),
        }
    }
}

/// A message of the hand-shake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Who I am.
    Hello(Hello),
    /// You may not come in.
    Refusal(Refusal),
}

/// Why bytes are no hand-shake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GreetingError {
    /// Whoever is there speaks something else.
    #[error("expected the magic bytes \"FLOT\", found {found:02x?}: this is no peer of ours")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A peer of another version.
    #[error(
        "it speaks version {found} of the protocol, this node speaks {VERSION}; run the same release on both"
    )]
    Version {
        /// What it speaks.
        found: u16,
    },
    /// A length that no message has.
    #[error(
        "the hand-shake declares {declared} bytes, which no such message has; {MAX_BYTES} are the most allowed"
    )]
    Length {
        /// The length field.
        declared: usize,
    },
    /// The bytes are not those that were sent.
    #[error("expected hand-shake CRC {expected:#010x}, found {found:#010x}")]
    Crc {
        /// What the message says.
        expected: u32,
        /// Computed from the bytes.
        found: u32,
    },
    /// A field has a value that means nothing.
    #[error("the hand-shake has an impossible {field}")]
    Field {
        /// The field's name in `docs/formats/frame.md`.
        field: &'static str,
    },
}

impl Greeting {
    /// The bytes, at most [`MAX_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        match self {
            Self::Hello(hello) => hello.encode(&mut out),
            Self::Refusal(refusal) => refusal.encode(&mut out),
        }
        let length = out.len() + CRC_BYTES;
        debug_assert!(length <= MAX_BYTES);
        out[6..8].copy_from_slice(&(length as u16).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// How long the whole message is, the preamble included.
    ///
    /// # Errors
    /// When it is none of ours, or of another version, or longer than [`MAX_BYTES`].
    pub fn length(preamble: &[u8; PREAMBLE_BYTES]) -> Result<usize, GreetingError> {
        let [m0, m1, m2, m3, v0, v1, l0, l1] = *preamble;
        let found = [m0, m1, m2, m3];
        if found != *MAGIC {
            return Err(GreetingError::Magic { found });
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(GreetingError::Version { found: version });
        }
        let declared = usize::from(u16::from_le_bytes([l0, l1]));
        if !(REFUSAL_BYTES + CRC_BYTES..=MAX_BYTES).contains(&declared) {
            return Err(GreetingError::Length { declared });
        }
        Ok(declared)
    }

    /// Decodes exactly one message.
    ///
    /// # Errors
    /// See [`GreetingError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, GreetingError> {
        let too_short = GreetingError::Length { declared: bytes.len() };
        let preamble = bytes.first_chunk().ok_or(too_short.clone())?;
        if Self::length(preamble)? != bytes.len() {
            return Err(too_short);
        }
        let (body, crc) = bytes.split_last_chunk().ok_or(too_short)?;
        let expected = u32::from_le_bytes(*crc);
        let found = crc32fast::hash(body);
        if expected != found {
            return Err(GreetingError::Crc { expected, found });
        }
        match body[PREAMBLE_BYTES] {
            KIND_HELLO => Hello::decode(body).map(Self::Hello),
            KIND_REFUSAL => Refusal::decode(body).map(Self::Refusal),
            _ => Err(GreetingError::Field { field: "kind" }),
        }
    }
}

/// Reads little-endian numbers off the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], GreetingError> {
        let (front, rest) = self.0.split_first_chunk().ok_or(GreetingError::Field { field: "length" })?;
        self.0 = rest;
        Ok(*front)
    }

    fn replica(&mut self) -> Result<ReplicaId, GreetingError> {
        let node = NodeId::new(u64::from_le_bytes(self.take()?));
        let disk = DiskId::new(u128::from_le_bytes(self.take()?));
        Ok(ReplicaId::new(node, disk))
    }
}

fn put_replica(out: &mut Vec<u8>, replica: ReplicaId) {
    out.extend_from_slice(&replica.node.as_u64().to_le_bytes());
    out.extend_from_slice(&replica.disk.as_u128().to_le_bytes());
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) {
        let genesis = self.genesis.as_deref().unwrap_or_default();
        let genesis = &genesis[..genesis.len().min(MAX_VOTERS)];
        let cluster = if self.cluster.is_some() { HAS_CLUSTER } else { 0 };
        let flags = cluster | if genesis.is_empty() { 0 } else { HAS_GENESIS };
        let purpose = match self.purpose {
            Purpose::Connect => 1,
            Purpose::Form => 2,
        };
        out.extend_from_slice(&[KIND_HELLO, purpose, flags, genesis.len() as u8]);
        out.extend_from_slice(&self.founders.to_le_bytes());
        put_replica(out, self.replica);
        out.extend_from_slice(&self.cluster.map_or(0, ClusterId::as_u128).to_le_bytes());
        for replica in genesis {
            put_replica(out, *replica);
        }
    }

    fn decode(body: &[u8]) -> Result<Self, GreetingError> {
        let bad = |field| Err(GreetingError::Field { field });
        let mut fields = Fields(&body[PREAMBLE_BYTES + 1..]);
        let [purpose, flags, count] = fields.take()?;
        if body.len() != HELLO_BYTES + usize::from(count) * REPLICA_BYTES {
            return bad("length");
        }
        let purpose = match purpose {
            1 => Purpose::Connect,
            2 => Purpose::Form,
            _ => return bad("purpose"),
        };
        let founders = u32::from_le_bytes(fields.take()?);
        let replica = fields.replica()?;
        let cluster = u128::from_le_bytes(fields.take()?);
        let cluster = match (flags & HAS_CLUSTER != 0, cluster) {
            (true, cluster) => Some(ClusterId::new(cluster)),
            (false, 0) => None,
            (false, _) => return bad("cluster"),
        };
        let genesis = match (flags & HAS_GENESIS != 0, count) {
            (true, 1..) => Some(Self::decode_genesis(&mut fields, count)?),
            (false, 0) => None,
            _ => return bad("genesis"),
        };
        if flags & !(HAS_CLUSTER | HAS_GENESIS) != 0 {
            return bad("flags");
        }
        Ok(Self { replica, cluster, genesis, founders, purpose })
    }

    fn decode_genesis(fields: &mut Fields<'_>, count: u8) -> Result<Vec<ReplicaId>, GreetingError> {
        let bad = GreetingError::Field { field: "genesis" };
        if usize::from(count) > MAX_VOTERS {
            return Err(bad);
        }
        let genesis = (0..count).map(|_| fields.replica()).collect::<Result<Vec<_>, _>>()?;
        match Configuration::new(genesis.iter().copied()) {
            Ok(configuration) if configuration.voters() == genesis => Ok(genesis),
            _ => Err(bad),
        }
    }
}

impl Refusal {
    /// Words a reason for the other side.
    pub fn new(reason: &RefusalReason) -> Self {
        Self { code: reason.code(), text: reason.to_string() }
    }

    /// The text as far as it fits, cut between two characters.
    fn fitting(&self) -> &str {
        let mut end = self.text.len().min(MAX_TEXT_BYTES);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        &self.text[..end]
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let text = self.fitting();
        out.extend_from_slice(&[KIND_REFUSAL, self.code.code(), text.len() as u8, 0]);
        out.extend_from_slice(text.as_bytes());
    }

    fn decode(body: &[u8]) -> Result<Self, GreetingError> {
        let mut fields = Fields(&body[PREAMBLE_BYTES + 1..]);
        let [code, length, reserved] = fields.take()?;
        if reserved != 0 {
            return Err(GreetingError::Field { field: "reserved" });
        }
        if fields.0.len() != usize::from(length) || fields.0.len() > MAX_TEXT_BYTES {
            return Err(GreetingError::Field { field: "length" });
        }
        let text = std::str::from_utf8(fields.0).map_err(|_| GreetingError::Field { field: "text" })?;
        // What a stranger sends goes to a log: keep it on one line.
        let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(Self { code: RefusalCode::from_code(code), text })
    }
}

/// Whom this node lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The founders this node was told about.
    pub founders: BTreeSet<NodeId>,
    /// Whether nodes that are no founders may connect.
    pub admit_learners: bool,
    /// Disks that nodes are known by: of the root group's first voters, and of nodes that are connected now.
    pub known: BTreeMap<NodeId, DiskId>,
}

/// A peer that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is.
    pub peer: ReplicaId,
    /// What for.
    pub purpose: Purpose,
}

/// Why a peer is not let in: who, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// It speaks another version.
    #[error("the caller speaks protocol version {theirs}, this node {VERSION}; run the same release on both")]
    OtherVersion {
        /// What it speaks.
        theirs: u16,
    },
    /// It belongs to another cluster.
    #[error("node {node} belongs to cluster {:08x}, this node to {:08x}; check addresses and data directories",
        .theirs.as_u128() >> 96, .mine.as_u128() >> 96)]
    WrongCluster {
        /// The peer.
        node: NodeId,
        /// This node's.
        mine: ClusterId,
        /// The peer's.
        theirs: ClusterId,
    },
    /// The node is known with another disk.
    #[error("node {node} is known with disk {:08x}, not {:08x}: a wiped or replaced disk is another voter; \
        restore the old disk, or use another node id", .known.as_u128() >> 96, .theirs.as_u128() >> 96)]
    OtherDisk {
        /// The peer.
        node: NodeId,
        /// The disk it is known by.
        known: DiskId,
        /// The disk it has.
        theirs: DiskId,
    },
    /// The node is not listed.
    #[error(
        "node {node} is not one of the listed nodes, and only those may connect here; check ids and addresses"
    )]
    UnknownNode {
        /// The peer.
        node: NodeId,
    },
    /// The node has the id of the one it called.
    #[error("both ends are node {node}; check that each id is used once and that addresses are right")]
    OwnId {
        /// The id.
        node: NodeId,
    },
    /// One of the two is not in a cluster yet.
    #[error("node {node} does not belong to a cluster yet; it calls again by itself")]
    NotFormed {
        /// Which of the two.
        node: NodeId,
    },
    /// The two were told of different founders.
    #[error("node {node} was started with another list of founders; start all with the same list")]
    OtherFounders {
        /// The peer.
        node: NodeId,
    },
    /// No room.
    #[error("{limit} connections are open, which is the limit; close some, or look for who opens them")]
    Busy {
        /// How many are allowed.
        limit: usize,
    },
}

impl RefusalReason {
    /// Its number on the wire.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::OtherVersion { .. } => RefusalCode::OtherVersion,
            Self::WrongCluster { .. } => RefusalCode::WrongCluster,
            Self::OtherDisk { .. } => RefusalCode::OtherDisk,
            Self::UnknownNode { .. } => RefusalCode::UnknownNode,
            Self::OwnId { .. } => RefusalCode::OwnId,
            Self::NotFormed { .. } => RefusalCode::NotFormed,
            Self::OtherFounders { .. } => RefusalCode::OtherFounders,
            Self::Busy { .. } => RefusalCode::Busy,
        }
    }
}

/// Decides whether a node that is `mine` talks to one that is `theirs`. Both ends ask it: the called one before it
/// answers, the caller when it has the answer.
///
/// A call to form is let in also from a founder whose disk is another one than the cluster was formed with: the
/// answer tells that founder so.
///
/// # Errors
/// The reason not to; see [`RefusalReason`].
pub fn admit(mine: &Hello, theirs: &Hello, policy: &Policy) -> Result<Admitted, RefusalReason> {
    let peer = theirs.replica;
    let node = peer.node;
    let listed = policy.founders.contains(&node);
    if node == mine.replica.node {
        return Err(RefusalReason::OwnId { node });
    }
    if let (Some(mine), Some(theirs)) = (mine.cluster, theirs.cluster)
        && mine != theirs
    {
        return Err(RefusalReason::WrongCluster { node, mine, theirs });
    }
    if !listed && !policy.admit_learners && !policy.known.contains_key(&node) {
        return Err(RefusalReason::UnknownNode { node });
    }
    match theirs.purpose {
        Purpose::Form => {
            let both_found = listed && policy.founders.contains(&mine.replica.node);
            let forming = mine.genesis.is_none() && theirs.genesis.is_none();
            if both_found && forming && mine.founders != theirs.founders {
                return Err(RefusalReason::OtherFounders { node });
            }
        }
        Purpose::Connect => {
            if let Some(known) = policy.known.get(&node).copied().filter(|known| *known != peer.disk) {
                return Err(RefusalReason::OtherDisk { node, known, theirs: peer.disk });
            }
            if let Some(hello) = [mine, theirs].into_iter().find(|hello| !is_formed(hello, policy)) {
                return Err(RefusalReason::NotFormed { node: hello.replica.node });
            }
        }
    }
    Ok(Admitted { peer, purpose: theirs.purpose })
}

/// A founder is formed once it has the genesis configuration; any other node, once it has a cluster.
fn is_formed(hello: &Hello, policy: &Policy) -> bool {
    hello.cluster.is_some() && (hello.genesis.is_some() || !policy.founders.contains(&hello.replica.node))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn replica(node: u64, disk: u128) -> ReplicaId {
        ReplicaId::new(NodeId::new(node), DiskId::new(disk))
    }

    fn hello() -> impl Strategy<Value = Hello> {
        let genesis = vec((any::<u64>(), any::<u128>()), 0..=MAX_VOTERS).prop_map(|list| {
            let unique: BTreeMap<u64, u128> = list.into_iter().collect();
            let genesis: Vec<_> = unique.into_iter().map(|(node, disk)| replica(node, disk)).collect();
            Some(genesis).filter(|g| !g.is_empty())
        });
        let purpose = prop_oneof![Just(Purpose::Connect), Just(Purpose::Form)];
        let cluster = proptest::option::of(any::<u128>().prop_map(ClusterId::new));
        (any::<u64>(), any::<u128>(), cluster, genesis, any::<u32>(), purpose).prop_map(
            |(node, disk, cluster, genesis, founders, purpose)| Hello {
                replica: replica(node, disk),
                cluster,
                genesis,
                founders,
                purpose,
            },
        )
    }

    fn greeting() -> impl Strategy<Value = Greeting> {
        let refusal = (any::<u8>(), "[a-zäß ]{0,100}")
            .prop_map(|(code, text)| Greeting::Refusal(Refusal { code: RefusalCode::from_code(code), text }));
        prop_oneof![hello().prop_map(Greeting::Hello), refusal]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_greeting_comes_back_as_it_was_sent_and_fits(greeting in greeting()) {
            let bytes = greeting.encode();
            prop_assert!(bytes.len() <= MAX_BYTES);
            prop_assert_eq!(Greeting::length(bytes.first_chunk().unwrap()), Ok(bytes.len()));
            prop_assert_eq!(Greeting::decode(&bytes), Ok(greeting));
        }

        #[test]
        fn no_greeting_with_a_flipped_bit_is_accepted(greeting in greeting()) {
            let bytes = greeting.encode();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(Greeting::decode(&flipped).is_err(), "bit {}", bit);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = Greeting::decode(&bytes);
        }

        #[test]
        fn arbitrary_bytes_with_a_right_crc_never_panic(kind in 0..4_u8, body in vec(any::<u8>(), 3..240)) {
            let mut bytes = Vec::from(*MAGIC);
            bytes.extend_from_slice(&VERSION.to_le_bytes());
            bytes.extend_from_slice(&(body.len() as u16 + 13).to_le_bytes());
            bytes.push(kind);
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            let refused_by_crc = matches!(Greeting::decode(&bytes), Err(GreetingError::Crc { .. }));
            prop_assert!(!refused_by_crc);
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_hello_drawn_in_the_description_of_the_format_is_what_is_sent() {
        let hello = Hello { cluster: None, genesis: None, purpose: Purpose::Form, ..formed(1) };
        assert_eq!(
            hex(&Greeting::Hello(hello).encode()),
            concat!(
                "464c4f5401003c00",
                "01020000878dcb2b",
                "0100000000000000",
                "65000000000000000000000000000000",
                "00000000000000000000000000000000",
                "dc41c485"
            )
        );
    }

    #[test]
    fn a_hello_with_seven_voters_fits() {
        let genesis = (0..7).map(|n| replica(n, n.into())).collect();
        let hello = Hello { genesis: Some(genesis), ..formed(1) };
        assert_eq!(Greeting::Hello(hello).encode().len(), 228);
    }

    #[test]
    fn a_refusal_is_cut_between_two_characters() {
        let refusal = Refusal { code: RefusalCode::Busy, text: "ä".repeat(200) };
        let Ok(Greeting::Refusal(cut)) = Greeting::decode(&Greeting::Refusal(refusal).encode()) else {
            panic!("a refusal");
        };
        assert_eq!(cut.text, "ä".repeat(MAX_TEXT_BYTES / 2));
    }

    #[test]
    fn every_reason_fits_into_a_refusal() {
        let (node, big) = (NodeId::new(u64::MAX), u128::MAX);
        let (mine, theirs) = (ClusterId::new(big), ClusterId::new(big - 1));
        for reason in [
            RefusalReason::OtherVersion { theirs: u16::MAX },
            RefusalReason::WrongCluster { node, mine, theirs },
            RefusalReason::OtherDisk { node, known: DiskId::new(big), theirs: DiskId::new(big) },
            RefusalReason::UnknownNode { node },
            RefusalReason::OwnId { node },
            RefusalReason::NotFormed { node },
            RefusalReason::OtherFounders { node },
            RefusalReason::Busy { limit: usize::MAX },
        ] {
            let refusal = Refusal::new(&reason);
            assert!(refusal.text.len() <= MAX_TEXT_BYTES, "{}", refusal.text);
            assert_eq!(RefusalCode::from_code(reason.code().code()), reason.code());
        }
    }

    #[test]
    fn a_peer_of_another_version_is_recognised_by_the_first_eight_bytes() {
        let mut bytes = Greeting::Hello(formed(1)).encode();
        bytes[4] = 9;
        assert_eq!(Greeting::length(bytes.first_chunk().unwrap()), Err(GreetingError::Version { found: 9 }));
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_by_the_first_eight_bytes() {
        let mut bytes = Greeting::Hello(formed(1)).encode();
        bytes[6..8].copy_from_slice(&257_u16.to_le_bytes());
        assert_eq!(
            Greeting::length(bytes.first_chunk().unwrap()),
            Err(GreetingError::Length { declared: 257 })
        );
    }

    const CLUSTER: ClusterId = ClusterId::new(42);

    fn genesis() -> Vec<ReplicaId> {
        (1..=3).map(|node| replica(node, 100 + u128::from(node))).collect()
    }

    fn policy() -> Policy {
        Policy {
            founders: (1..=3).map(NodeId::new).collect(),
            admit_learners: false,
            known: genesis().into_iter().map(|r| (r.node, r.disk)).collect(),
        }
    }

    /// A founder of the formed cluster.
    fn formed(node: u64) -> Hello {
        Hello {
            replica: replica(node, 100 + u128::from(node)),
            cluster: Some(CLUSTER),
            genesis: Some(genesis()),
            founders: founders_digest(&policy().founders),
            purpose: Purpose::Connect,
        }
    }

    fn empty(node: u64, purpose: Purpose) -> Hello {
        Hello { cluster: None, genesis: None, purpose, ..formed(node) }
    }

    fn learner(node: u64) -> Hello {
        Hello { genesis: None, ..formed(node) }
    }

    #[test]
    fn founders_of_one_cluster_connect() {
        let admitted = Admitted { peer: replica(2, 102), purpose: Purpose::Connect };
        assert_eq!(admit(&formed(1), &formed(2), &policy()), Ok(admitted));
    }

    #[test]
    fn another_cluster_is_refused_for_every_purpose() {
        let theirs = ClusterId::new(7);
        for purpose in [Purpose::Connect, Purpose::Form] {
            let other = Hello { cluster: Some(theirs), purpose, ..formed(2) };
            let reason = RefusalReason::WrongCluster { node: NodeId::new(2), mine: CLUSTER, theirs };
            assert_eq!(admit(&formed(1), &other, &policy()), Err(reason));
        }
    }

    #[test]
    fn a_wiped_founder_is_refused_as_another_voter_but_may_ask_how_the_cluster_was_formed() {
        let wiped = Hello { replica: replica(2, 999), ..formed(2) };
        let known = DiskId::new(102);
        let reason = RefusalReason::OtherDisk { node: NodeId::new(2), known, theirs: DiskId::new(999) };
        assert_eq!(admit(&formed(1), &wiped, &policy()), Err(reason));
        let asking = Hello { replica: replica(2, 999), ..empty(2, Purpose::Form) };
        assert!(admit(&formed(1), &asking, &policy()).is_ok());
    }

    #[test]
    fn unlisted_nodes_come_in_only_where_learners_are_admitted() {
        let unknown = RefusalReason::UnknownNode { node: NodeId::new(9) };
        assert_eq!(admit(&formed(1), &learner(9), &policy()), Err(unknown.clone()));
        let asking = empty(9, Purpose::Form);
        assert_eq!(admit(&formed(1), &asking, &policy()), Err(unknown));
        let open = Policy { admit_learners: true, ..policy() };
        assert!(admit(&formed(1), &learner(9), &open).is_ok());
        assert!(admit(&formed(1), &asking, &open).is_ok());
        assert!(admit(&learner(8), &learner(9), &open).is_ok());
    }

    #[test]
    fn a_learner_that_is_connected_with_another_disk_is_refused() {
        let mut open = Policy { admit_learners: true, ..policy() };
        open.known.insert(NodeId::new(9), DiskId::new(1));
        let refused = admit(&formed(1), &learner(9), &open);
        assert!(matches!(refused, Err(RefusalReason::OtherDisk { .. })));
    }

    #[test]
    fn a_node_does_not_talk_to_its_own_id() {
        let own = RefusalReason::OwnId { node: NodeId::new(1) };
        assert_eq!(admit(&formed(1), &formed(1), &policy()), Err(own));
    }

    #[test]
    fn frames_flow_only_between_nodes_that_belong_to_the_cluster() {
        let not_formed = |node| Err(RefusalReason::NotFormed { node: NodeId::new(node) });
        let fresh = Policy { known: BTreeMap::new(), ..policy() };
        assert_eq!(admit(&formed(1), &empty(2, Purpose::Connect), &fresh), not_formed(2));
        assert_eq!(admit(&empty(1, Purpose::Connect), &formed(2), &fresh), not_formed(1));
        // A founder that has the cluster's id but crashed before it wrote the genesis configuration.
        assert_eq!(admit(&formed(1), &Hello { genesis: None, ..formed(2) }, &fresh), not_formed(2));
        let open = Policy { admit_learners: true, ..fresh };
        assert_eq!(admit(&formed(1), &empty(9, Purpose::Connect), &open), not_formed(9));
    }

    #[test]
    fn founders_that_were_told_of_different_founders_do_not_form() {
        let mine = empty(1, Purpose::Form);
        let theirs = Hello { founders: mine.founders ^ 1, ..empty(2, Purpose::Form) };
        let reason = RefusalReason::OtherFounders { node: NodeId::new(2) };
        assert_eq!(admit(&mine, &theirs, &policy()), Err(reason));
        // Once formed, the genesis configuration counts and not what a flag says.
        assert!(admit(&formed(1), &theirs, &policy()).is_ok());
    }
}
