//! How often what should be rare happened.
//!
//! Invariant: numbers only rise. They are read without a lock and may be a moment apart from one another.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the node started, kept by its tasks.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) bad_bytes: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) misaddressed_frames: AtomicU64,
    pub(crate) dropped_frames: AtomicU64,
    pub(crate) refused_snapshots: AtomicU64,
}

/// A reading of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that passed the hand-shake, whoever called.
    pub connections: u64,
    /// Hand-shakes refused by this node, those beyond the limit of connections included.
    pub refusals: u64,
    /// Connections closed because what came was no hand-shake or no frame.
    pub bad_bytes: u64,
    /// Connections closed because a hand-shake or a frame was not finished in time, or because nothing came.
    pub timeouts: u64,
    /// Frames dropped because they named another sender or receiver than the connection's two ends.
    pub misaddressed_frames: u64,
    /// Frames not sent because the peer's queue was full.
    pub dropped_frames: u64,
    /// Offers of snapshots refused: nothing here takes them.
    pub refused_snapshots: u64,
}

impl Counters {
    /// Reads all.
    pub fn read(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: of(&self.connections),
            refusals: of(&self.refusals),
            bad_bytes: of(&self.bad_bytes),
            timeouts: of(&self.timeouts),
            misaddressed_frames: of(&self.misaddressed_frames),
            dropped_frames: of(&self.dropped_frames),
            refused_snapshots: of(&self.refused_snapshots),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
