//! One simulated disk: what is on it for good, and the ordered stream of writes on their way to it.
//!
//! Writes reach the image in order, each at its time; whatever was not reported may be lost in a crash, or kept, or
//! kept in part, but never out of order, as the real log guarantees per group. Invariant: the image changes only by
//! writes that are done, and by damage that is done on purpose.

use std::collections::VecDeque;

use super::arena::{Arena, EntryNo, Log};
use super::raft_core::{HardState, PersistToken, ReplicaId};
use crate::core::knobs::Micros;

/// What an fsync has reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) hard_state: HardState,
    pub(crate) log: Log,
    /// The last entry of the snapshot. Its state is that of applying all up to it.
    pub(crate) snapshot: EntryNo,
    /// All up to here was once known to be committed. A note, not always kept.
    pub(crate) committed: u32,
    /// What the log held last before its end became unreadable, while that is not settled.
    pub(crate) lost: Option<EntryNo>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    None,
    Append { cut: Option<u32>, last: EntryNo },
    Restart { base: EntryNo },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) token: PersistToken,
    pub(crate) hard_state: Option<HardState>,
    pub(crate) change: Change,
    /// When it is done, unless the disk stalls.
    pub(crate) done_at: Micros,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) image: Image,
    pub(crate) writes: VecDeque<Write>,
    /// The last write done that was not reported.
    pub(crate) unreported: Option<PersistToken>,
    /// Nothing is done before this.
    pub(crate) stalled_until: Micros,
    /// No entries are taken before this.
    pub(crate) full_until: Micros,
    /// A completion is in the queue of events for this moment.
    pub(crate) due: Option<Micros>,
}

impl Image {
    pub(crate) fn apply(&mut self, write: &Write, arena: &Arena) {
        if let Some(hard_state) = write.hard_state {
            self.hard_state = hard_state;
        }
        match write.change {
            Change::None => {}
            Change::Append { cut, last } => {
                if let Some(cut) = cut {
                    self.log.truncate(cut);
                }
                if arena.index(last) > self.log.last_index() {
                    self.log.extend_to(last, arena);
                }
            }
            Change::Restart { base } => self.log.start(base, arena),
        }
    }

    /// Whether this entry is on the disk, in the log or in the snapshot.
    pub(crate) fn holds(&self, no: EntryNo, arena: &Arena) -> bool {
        self.log.holds(no, arena) || arena.holds(self.snapshot, no)
    }

    /// Whether it is, or was before the end of the log became unreadable.
    pub(crate) fn vouches(&self, no: EntryNo, arena: &Arena) -> bool {
        self.holds(no, arena) || self.lost.is_some_and(|lost| arena.holds(lost, no))
    }
}

impl Disk {
    /// When the next write is done.
    pub(crate) fn next_done(&self) -> Option<Micros> {
        let write = self.writes.front()?;
        let mut at = write.done_at.max(self.stalled_until);
        if !matches!(write.change, Change::None) {
            at = at.max(self.full_until);
        }
        Some(at)
    }

    /// The process dies: the first `kept` writes on their way reach the disk, and of the next one `part` entries.
    pub(crate) fn crash(&mut self, kept: usize, part: u32, arena: &Arena) {
        let mut writes = std::mem::take(&mut self.writes);
        for write in writes.drain(..kept.min(writes.len())) {
            self.image.apply(&write, arena);
        }
        if let Some(mut write) = writes.front().copied()
            && part > 0
            && let Change::Append { cut, last } = write.change
        {
            let from = cut.unwrap_or_else(|| self.image.log.last_index());
            let last = arena.ancestor(last, from + part);
            write.change = Change::Append { cut, last };
            self.image.apply(&write, arena);
        }
        writes.clear();
        self.writes = writes;
        self.unreported = None;
        self.stalled_until = 0;
        self.full_until = 0;
        self.due = None;
    }
}

/// A disk that is or was in the world.
#[derive(Clone, Debug)]
pub(crate) struct DiskRecord {
    /// The votes that were sent from it: the term and whom.
    pub(crate) votes: Vec<(u32, ReplicaId)>,
    /// If it is gone: the last entry that was on it.
    pub(crate) ghost: Option<EntryNo>,
    /// The highest term and committed index that were on it.
    pub(crate) committed: u32,
}

impl DiskRecord {
    pub(crate) fn new() -> Self {
        Self { votes: Vec::new(), ghost: None, committed: 0 }
    }

    /// Whom it voted for, as far as anybody was told.
    pub(crate) fn vote_in(&self, term: u32) -> Option<ReplicaId> {
        self.votes.iter().rev().find(|(at, _)| *at == term).map(|(_, vote)| *vote)
    }
}
