//! Where a record stands: its offset, and the leader epoch under which it was appended.

use core::fmt;

/// The place of a record in a partition as clients count, from 0. Never negative; never a log index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// The first place of a new partition.
    pub const ZERO: Offset = Offset(0);

    /// Wraps a number read from the wire or from a batch. Negative numbers become zero.
    pub const fn new(offset: i64) -> Self {
        Self(if offset < 0 { 0 } else { offset })
    }

    /// The number, for the wire.
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// The place `count` records further on. Saturates at the largest number.
    pub const fn plus(self, count: u32) -> Self {
        Self(self.0.saturating_add(count as i64))
    }

    /// How many records lie in `[earlier, self)`; zero if `earlier` is not earlier.
    pub const fn since(self, earlier: Offset) -> u64 {
        if self.0 > earlier.0 { self.0.abs_diff(earlier.0) } else { 0 }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "o{}", self.0)
    }
}

/// Raft's term as Kafka's wire carries it. Never negative: "unknown" (-1 on the wire) is `None` here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LeaderEpoch(i32);

impl LeaderEpoch {
    /// Wraps a number from the wire or from a batch; `None` if it is negative.
    pub const fn from_wire(epoch: i32) -> Option<Self> {
        if epoch < 0 { None } else { Some(Self(epoch)) }
    }

    /// The epoch of a Raft term. The one place where a term becomes an epoch. Terms beyond `i32::MAX` (one
    /// election a second for 68 years) stay at `i32::MAX`.
    pub const fn from_term(term: raft_core::Term) -> Self {
        let raw = term.as_u64();
        Self(if raw > i32::MAX as u64 { i32::MAX } else { raw as i32 })
    }

    /// The number, for the wire.
    pub const fn as_i32(self) -> i32 {
        self.0
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}
