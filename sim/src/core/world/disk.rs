//! One simulated disk: what is on it for good, and the ordered stream of writes on their way to it.
//!
//! Writes reach the image in order, each at its time. What was not reported may be lost in a crash, kept, or kept up to any of
//! its records: a write is one record for term and vote, one for a cut, and one for each entry. A real disk may keep any
//! subset of them instead, in any order. That comes to the same: all records of a group stand in one chain (`raft-wal`,
//! `docs/formats/segment.md`), each with its number and the checksum of the one before it, so that reading ends at the first
//! hole, and what lies behind it is never read again. So whatever a disk does with what it owes, a core is opened with a
//! prefix of the stream that is not shorter than what was reported.
//!
//! Not here: several groups on one disk, bytes, and the damage of what was reported but for the end of a log. Invariant: the
//! image changes only by writes that are done, and by damage that is done on purpose.

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
    /// The write reported last.
    pub(crate) reported: Option<PersistToken>,
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

    /// Applies the first records of a write: term and vote, then the cut, then one entry after the other.
    fn apply_part(&mut self, write: &Write, records: u32, arena: &Arena) {
        let mut records = 0..records;
        if let Some(hard_state) = write.hard_state {
            if records.next().is_none() {
                return;
            }
            self.hard_state = hard_state;
        }
        match write.change {
            Change::Append { cut, last } => {
                if let Some(cut) = cut {
                    if records.next().is_none() {
                        return;
                    }
                    self.log.truncate(cut);
                }
                let last = arena.ancestor(last, self.log.last_index() + records.len() as u32);
                if arena.index(last) > self.log.last_index() {
                    self.log.extend_to(last, arena);
                }
            }
            Change::Restart { base } if records.next().is_some() => self.log.start(base, arena),
            Change::Restart { .. } | Change::None => {}
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

    /// The process dies: the first `kept` writes on their way reach the disk, and of the next one the first `records`.
    pub(crate) fn crash(&mut self, kept: usize, records: u32, arena: &Arena) {
        let mut writes = std::mem::take(&mut self.writes);
        for write in writes.drain(..kept.min(writes.len())) {
            self.image.apply(&write, arena);
        }
        if let Some(write) = writes.front() {
            self.image.apply_part(write, records, arena);
        }
        writes.clear();
        self.writes = writes;
        self.unreported = None;
        self.reported = None;
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
}

impl DiskRecord {
    pub(crate) fn new() -> Self {
        Self { votes: Vec::new(), ghost: None }
    }

    /// Whom it voted for, as far as anybody was told.
    pub(crate) fn vote_in(&self, term: u32) -> Option<ReplicaId> {
        self.votes.iter().rev().find(|(at, _)| *at == term).map(|(_, vote)| *vote)
    }
}

#[cfg(test)]
mod tests {
    use super::super::arena::Kind;
    use super::super::raft_core::{
        Configuration, DiskId, LogChange, Membership, NodeId, Options, Raft, Restored, Time,
    };
    use super::*;

    /// Writes of `counts` entries each, as a lone leader asks for them, and all entries.
    fn disk(counts: &[u64]) -> (Disk, Arena) {
        let me = ReplicaId::new(NodeId::new(1), DiskId::new(1));
        let voters = Configuration::new([me]).unwrap();
        let mut raft = Raft::new(me, voters, Options::default(), Restored::default(), 1, Time::ZERO);
        raft.tick(Time::ZERO);
        let (mut arena, mut disk, mut last) = (Arena::new(Membership::none()), Disk::default(), 0);
        let mut proposals = counts.iter();
        loop {
            let Some(effect) = raft.poll_effect() else {
                match proposals.next() {
                    Some(count) => drop(raft.propose(*count)),
                    None => return (disk, arena),
                }
                continue;
            };
            let super::super::raft_core::Effect::Persist(write) = effect else { continue };
            if let Some(hard_state) = write.hard_state {
                // The vote is on the disk at once, that there is a leader.
                disk.image.hard_state = hard_state;
                raft.persisted(Time::ZERO, write.token);
                continue;
            }
            if let LogChange::Append { entries, .. } = &write.log {
                last = (0..entries.len()).fold(last, |no, _| arena.add(no, 1, Kind::Noop, None));
            }
            let change = Change::Append { cut: None, last };
            disk.writes.push_back(Write { token: write.token, hard_state: None, change, done_at: 10 });
        }
    }

    #[test]
    fn a_crash_keeps_writes_in_order_and_perhaps_a_part_of_the_next() {
        // The first write is the entry that opens the term.
        for (kept, part, last) in [(0, 0, 0), (1, 0, 1), (2, 0, 4), (2, 1, 5), (9, 0, 6)] {
            let (mut disk, arena) = disk(&[3, 2]);
            disk.crash(kept, part, &arena);
            assert_eq!(disk.image.log.last_index(), last, "{kept} writes and {part} entries");
            assert!(disk.writes.is_empty());
        }
    }

    #[test]
    fn a_torn_write_leaves_its_term_then_its_cut_then_its_entries() {
        let term = |disk: &Disk| disk.image.hard_state.term.as_u64();
        for (records, in_term, last) in [(0, 1, 4), (1, 2, 4), (2, 2, 2), (3, 2, 3), (4, 2, 4), (9, 2, 4)] {
            let (mut disk, mut arena) = disk(&[3]);
            let write = disk.writes[1];
            disk.crash(2, 0, &arena);
            let base = arena.ancestor(disk.image.log.last(), 2);
            let last_new = (0..2).fold(base, |no, _| arena.add(no, 2, Kind::Noop, None));
            let hard_state = HardState { term: super::super::raft_core::Term::new(2), vote: None };
            let change = Change::Append { cut: Some(2), last: last_new };
            disk.writes.push_back(Write { hard_state: Some(hard_state), change, ..write });
            disk.crash(0, records, &arena);
            assert_eq!((term(&disk), disk.image.log.last_index()), (in_term, last), "{records} records");
            assert_eq!(
                disk.image.log.at(3) == Some(arena.ancestor(last_new, 3)),
                records > 2,
                "{records} records"
            );
        }
    }

    #[test]
    fn a_stalled_disk_finishes_nothing_and_a_full_one_no_entries() {
        let (mut disk, _) = disk(&[1]);
        assert_eq!(disk.next_done(), Some(10));
        disk.full_until = 30;
        assert_eq!(disk.next_done(), Some(30));
        disk.writes[0].change = Change::None;
        assert_eq!(disk.next_done(), Some(10), "a vote has room");
        disk.stalled_until = 20;
        assert_eq!(disk.next_done(), Some(20));
    }

    #[test]
    fn what_is_lost_is_vouched_for_and_not_held() {
        let (mut disk, arena) = disk(&[3]);
        disk.crash(9, 0, &arena);
        let last = disk.image.log.last();
        disk.image.log.truncate(2);
        assert!(!disk.image.vouches(last, &arena));
        disk.image.lost = Some(last);
        assert!(disk.image.vouches(last, &arena) && !disk.image.holds(last, &arena));
        disk.image.snapshot = last;
        assert!(disk.image.holds(last, &arena), "a snapshot holds all up to its last");
    }
}
