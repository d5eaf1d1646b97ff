//! A record's place in a partition, as clients count.
//!
//! Not a log index: one entry of the log may hold many records, and a no-op holds none. Invariant: never negative.

use std::fmt;

/// A record's place in its partition, from 0. Where a bound is meant, the documentation says whether it is inclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

impl Offset {
    /// The place of a partition's first record.
    pub const ZERO: Offset = Offset(0);

    /// Takes a number from the wire; `None` when it is negative, as Kafka's special values are.
    pub const fn new(offset: i64) -> Option<Self> {
        if offset < 0 { None } else { Some(Self(offset)) }
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
        if self.0 > earlier.0 { (self.0 - earlier.0) as u64 } else { 0 }
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
