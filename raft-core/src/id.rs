//! The names of things: nodes, disks, groups, terms, indexes, and points in time.
//!
//! Each is a newtype with a private field and only the arithmetic that means something, so that a term cannot
//! be passed where an index is expected. `Display` prints what a log line should show.

use core::fmt;
use core::time::Duration;

/// Names a node (a process with one disk and one port), unique over managers and brokers of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeId(u64);

impl NodeId {
    /// Names the node `id`. Any value is legal; operators choose them.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number the operator chose.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Names one formatting of a disk. A wiped or replaced disk has another one, and so is another voter
/// (thesis §3.8: a server that lost its state must come back under a new identity).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "u128", into = "u128"))]
pub struct DiskId {
    // Two halves, as a `u128` would align every replica to 16 bytes.
    upper: u64,
    lower: u64,
}

impl DiskId {
    /// Wraps a random 128-bit number made when the disk was formatted.
    pub const fn new(id: u128) -> Self {
        Self { upper: (id >> 64) as u64, lower: id as u64 }
    }

    /// The random number.
    pub const fn as_u128(self) -> u128 {
        (self.upper as u128) << 64 | self.lower as u128
    }
}

impl From<u128> for DiskId {
    fn from(id: u128) -> Self {
        Self::new(id)
    }
}

impl From<DiskId> for u128 {
    fn from(id: DiskId) -> Self {
        id.as_u128()
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.as_u128())
    }
}

impl fmt::Debug for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{:08x}", self.upper >> 32)
    }
}

/// Who a replica is: a node together with the incarnation of its disk. Votes are given to, and quorums are
/// counted over, these pairs and never over node numbers alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReplicaId {
    /// The node.
    pub node: NodeId,
    /// The incarnation of that node's disk.
    pub disk: DiskId,
}

impl ReplicaId {
    /// Pairs a node with its disk.
    pub const fn new(node: NodeId, disk: DiskId) -> Self {
        Self { node, disk }
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (disk {:08x})", self.node, self.disk.upper >> 32)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.node, self.disk)
    }
}

/// Names a Raft group for ever: a number and the incarnation under which it was created. A topic deleted and
/// made anew has another pair, so a stale replica of the old one can neither vote nor be read in the new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GroupId(u64);

impl GroupId {
    /// The group of the managers, or of the ATMs: the one that exists without anyone having created it.
    pub const ROOT: GroupId = GroupId(0);

    /// Names the group `number` in its `incarnation` (from 1; only [`GroupId::ROOT`] has 0).
    pub const fn new(number: u32, incarnation: u32) -> Self {
        Self(((number as u64) << 32) | incarnation as u64)
    }

    /// Takes the form used on the wire and on disk: number in the upper half, incarnation in the lower.
    pub const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    /// The form used on the wire and on disk.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number, which a later incarnation may share.
    pub const fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Which life of that number this is.
    pub const fn incarnation(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number(), self.incarnation())
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{self}")
    }
}

/// Raft's logical clock. Zero is the term before any election; no entry carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term(u64);

impl Term {
    /// Before any election.
    pub const ZERO: Term = Term(0);

    /// Wraps a number read from disk or wire.
    pub const fn new(term: u64) -> Self {
        Self(term)
    }

    /// The number, for disk and wire.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The term in which a candidate of this term stands. Saturates at the largest number.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// The place of an entry in a group's log. The first entry has 1; zero is the place before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogIndex(u64);

impl LogIndex {
    /// The place before the first entry.
    pub const ZERO: LogIndex = LogIndex(0);

    /// Wraps a number read from disk or wire.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The number, for disk and wire.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The place after this one. Saturates at the largest number.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before this one; zero stays zero.
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The place `count` entries further on. Saturates at the largest number.
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many entries lie in `(earlier, self]`; zero if `earlier` is not earlier.
    pub const fn since(self, earlier: LogIndex) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

/// An entry's identity: no two different entries of a group share both term and index (Raft §5.3, Log Matching).
/// Ordered as logs are compared in elections: by term, then by index (Raft §5.4.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogId {
    /// The term in which a leader made the entry.
    pub term: Term,
    /// Its place in the log.
    pub index: LogIndex,
}

impl LogId {
    /// The position before the first entry of any log.
    pub const ZERO: LogId = LogId { term: Term::ZERO, index: LogIndex::ZERO };

    /// Pairs a term with an index.
    pub const fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Names one life of a node's process. A node that was restarted has another one, so whoever relied on the old life
/// learns that it is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BootId(u64);

impl BootId {
    /// Wraps a number that no other life of the same node has, such as a random one.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// The number, for the wire.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{:x}", self.0)
    }
}

/// A point of the host's monotonic clock, in microseconds since a moment of the host's choosing. The core never
/// reads a clock: every input that depends on time carries one of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The host's moment zero.
    pub const ZERO: Time = Time(0);

    /// The point `micros` microseconds after the host's moment zero.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the host's moment zero.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The point `delay` later. Saturates at the largest number.
    pub const fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay.as_micros() as u64))
    }

    /// How long ago `earlier` was; zero if it is not earlier.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}s")
    }
}
