//! Where a group's entries are: its term runs, a sparse index into its segments, and its newest entries.
//!
//! Shared between the writer, which alone changes it, and readers on other threads. Invariant: the entries between
//! one point of the index and the next lie in one segment, one after another, with no truncation between them.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use raft_core::{GroupId, LogId, LogIndex, TermRuns};

use crate::entry::Entry;
use crate::frame::Seed;
use crate::fs::Fs;
use crate::tail::TailEntry;

/// A point of the index is made after this many bytes of log.
const POINT_BYTES: u64 = 8 * 1024;

/// What readers need of a group.
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) group: GroupId,
    index: RwLock<Index>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("group", &self.group).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(fs: Arc<dyn Fs>, group: GroupId, index: Index) -> Arc<Self> {
        Arc::new(Self { fs, group, index: RwLock::new(index) })
    }

    // No code that holds the lock can panic half-way through a change, so a poisoned lock guards intact data.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: Arc<Path>,
    pub(crate) seed: Seed,
}

/// The frame of entry `index` begins at `offset` of the segment at this position of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    index: LogIndex,
    segment: u32,
    offset: u32,
}

/// Entries that lie one after another in one file.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) file: SegmentFile,
    pub(crate) offset: u64,
    /// The entry whose frame begins there.
    pub(crate) first: LogIndex,
    /// The last entry of the stretch, inclusive.
    pub(crate) last: LogIndex,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    runs: TermRuns,
    segments: Vec<SegmentFile>,
    points: Vec<Point>,
    /// Bytes of frames since the last point; none after a truncation or in a new segment.
    since_point: Option<u64>,
    tail: VecDeque<TailEntry>,
    removed: bool,
}

impl Index {
    pub(crate) fn runs(&self) -> &TermRuns {
        &self.runs
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Later entries go to this file.
    pub(crate) fn add_segment(&mut self, path: Arc<Path>, seed: Seed) {
        self.segments.push(SegmentFile { path, seed });
        self.since_point = None;
    }

    /// Notes that the entry's frame lies at `offset` of the newest segment.
    pub(crate) fn append(&mut self, id: LogId, offset: u64, frame_len: u64) {
        self.runs.append(id.term, 1);
        match self.since_point {
            Some(bytes) if bytes < POINT_BYTES => self.since_point = Some(bytes + frame_len),
            _ => {
                let segment = self.segments.len() as u32 - 1;
                self.points.push(Point { index: id.index, segment, offset: offset as u32 });
                self.since_point = Some(frame_len);
            }
        }
    }

    /// Keeps an entry just appended in memory; answers what it costs.
    pub(crate) fn remember(&mut self, entry: Entry, sequence: u64) -> u64 {
        let entry = TailEntry { entry, sequence };
        let cost = entry.cost();
        self.tail.push_back(entry);
        cost
    }

    /// Drops the entries after `after`; answers what those in memory had cost.
    pub(crate) fn truncate(&mut self, after: LogIndex) -> u64 {
        self.runs.truncate(after);
        let keep = self.points.partition_point(|point| point.index <= after);
        self.points.truncate(keep);
        self.since_point = None;
        let mut cost = 0;
        while let Some(last) = self.tail.back().filter(|last| last.entry.id.index > after) {
            cost += last.cost();
            self.tail.pop_back();
        }
        cost
    }

    /// The group is gone; answers what its entries in memory had cost.
    pub(crate) fn remove(&mut self) -> u64 {
        self.removed = true;
        self.truncate(LogIndex::ZERO)
    }

    /// Lets go of the entries in memory whose frames are numbered up to `through`; answers what they had cost.
    pub(crate) fn evict(&mut self, through: u64) -> u64 {
        let mut cost = 0;
        while let Some(first) = self.tail.front().filter(|first| first.sequence <= through) {
            cost += first.cost();
            self.tail.pop_front();
        }
        if self.tail.is_empty() {
            self.tail = VecDeque::new(); // an idle group keeps no buffer
        }
        cost
    }

    /// The entries in memory from `first` on, oldest first. Empty when `first` itself is not in memory.
    pub(crate) fn tail_from(&self, first: LogIndex) -> impl Iterator<Item = &Entry> {
        let skip = match self.tail.front() {
            Some(oldest) if oldest.entry.id.index <= first => first.since(oldest.entry.id.index) as usize,
            _ => self.tail.len(),
        };
        self.tail.range(skip.min(self.tail.len())..).map(|tail| &tail.entry)
    }

    /// The index of the oldest entry in memory.
    pub(crate) fn tail_first(&self) -> Option<LogIndex> {
        self.tail.front().map(|tail| tail.entry.id.index)
    }

    /// Where the entries `first` to `last`, both inclusive and in the log, lie on disk.
    pub(crate) fn stretches(&self, first: LogIndex, last: LogIndex) -> Vec<Stretch> {
        let from = self.points.partition_point(|point| point.index <= first).saturating_sub(1);
        let mut stretches = Vec::new();
        for (at, point) in self.points.iter().enumerate().skip(from) {
            if point.index > last {
                break;
            }
            let end = self.points.get(at + 1).map_or(last, |next| next.index.prev().min(last));
            stretches.push(Stretch {
                file: self.segments[point.segment as usize].clone(),
                offset: u64::from(point.offset),
                first: point.index,
                last: end,
            });
        }
        stretches
    }
}
