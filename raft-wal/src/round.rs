//! Rounds: what becomes durable together.
//!
//! Invariant: rounds are numbered in the order of submission, without gaps.

use std::fmt;

use crate::fs::DiskRequest;

/// Names a submitted batch. Later ones are greater; a completed round implies all earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Round(u64);

impl Round {
    /// Before the first submission: everything that [`crate::Wal::open`] recovered.
    pub const ZERO: Round = Round(0);

    /// How many batches were submitted up to and including this one.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What [`crate::Wal::submit`] asks of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the requests must be executed, or nothing of the batch ever becomes durable"]
pub struct Submitted {
    /// Report this with [`crate::Wal::completed`] when all requests succeeded.
    pub round: Round,
    /// To be executed in order. Empty when the batch asked for nothing that is not so already.
    pub requests: Vec<DiskRequest>,
}
