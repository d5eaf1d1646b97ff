//! Turns operations on one group into frames, and frames into disk requests.
//!
//! Does no I/O and copies no payload: headers of a round share one buffer, payloads are passed on by reference.
//! Invariant: writes to a segment follow one another without a gap, and never go where bytes have been.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use raft_core::{DiskId, GroupId, HardState, LogIndex, Term, TermRuns};

use crate::batch::Operation;
use crate::frame::{
    FRAME_HEADER_LEN, FrameHeader, FrameKind, Link, SEGMENT_HEADER_LEN, Seed, SegmentHeader, payload_crc,
    put_genesis, put_vote,
};
use crate::fs::DiskRequest;
use crate::index::{Index, Shared};
use crate::layout;

/// A group as its writer sees it.
#[derive(Debug)]
pub(crate) struct Group {
    /// Tells this life of the group from an earlier one of the same id.
    pub(crate) instance: u64,
    pub(crate) id: GroupId,
    pub(crate) disk: DiskId,
    pub(crate) dir: Arc<Path>,
    pub(crate) hard_state: HardState,
    pub(crate) runs: TermRuns,
    /// The segment being written: number, file, seed, and where the next frame goes.
    pub(crate) segment: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) seed: Seed,
    pub(crate) offset: u64,
    /// The last record written, and the last one known durable.
    pub(crate) last: Link,
    pub(crate) durable: u64,
    /// The highest record that some record on disk names as durable.
    pub(crate) claimed: u64,
    /// The last record that is no mark.
    pub(crate) last_real: u64,
    pub(crate) shared: Arc<Shared>,
}

impl Group {
    /// Whether something durable is not yet named as durable by any record.
    pub(crate) fn needs_mark(&self) -> bool {
        self.durable.min(self.last_real) > self.claimed
    }
}

/// Requests of a round, by phase. Within a phase groups have no order; within a group requests keep theirs.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    removes: Vec<DiskRequest>,
    creates: Vec<DiskRequest>,
    writes: Vec<DiskRequest>,
    syncs: Vec<DiskRequest>,
    dirs: Vec<DiskRequest>,
    /// The parent of the groups' directories, when one of them is new. It goes last.
    groups: Option<Arc<Path>>,
}

/// A length of each phase, to come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanMark([usize; 5]);

impl Plan {
    pub(crate) fn mark(&self) -> PlanMark {
        PlanMark([
            self.removes.len(),
            self.creates.len(),
            self.writes.len(),
            self.syncs.len(),
            self.dirs.len(),
        ])
    }

    /// Forgets what was planned since the mark.
    pub(crate) fn back_to(&mut self, PlanMark(lens): PlanMark) {
        let phases =
            [&mut self.removes, &mut self.creates, &mut self.writes, &mut self.syncs, &mut self.dirs];
        for (phase, len) in phases.into_iter().zip(lens) {
            phase.truncate(len);
        }
    }

    pub(crate) fn remove(&mut self, requests: impl IntoIterator<Item = DiskRequest>) {
        self.removes.extend(requests);
    }

    pub(crate) fn create_group(&mut self, groups: &Arc<Path>, dir: Arc<Path>) {
        self.creates.push(DiskRequest::CreateDir { path: dir });
        self.groups.get_or_insert_with(|| groups.clone());
    }

    fn create(&mut self, path: Arc<Path>) {
        self.creates.push(DiskRequest::Create { path });
    }

    /// Plans a write, as a part of the one before it when it goes on where that one ends.
    fn write(&mut self, path: Arc<Path>, offset: u64, mut data: Vec<Bytes>) {
        if data.is_empty() {
            return;
        }
        if let Some(DiskRequest::Write { path: before, data: already, .. }) = self.writes.last_mut()
            && Arc::ptr_eq(before, &path)
        {
            already.append(&mut data);
            return;
        }
        self.writes.push(DiskRequest::Write { path: path.clone(), offset, data });
        self.syncs.push(DiskRequest::SyncData { path });
    }

    /// Plans to make a new segment's name durable.
    fn sync_dir(&mut self, path: Arc<Path>) {
        if !matches!(self.dirs.last(), Some(DiskRequest::SyncDir { path: planned }) if *planned == path) {
            self.dirs.push(DiskRequest::SyncDir { path });
        }
    }

    pub(crate) fn into_requests(self) -> Vec<DiskRequest> {
        let Self { mut removes, mut creates, mut writes, mut syncs, mut dirs, groups } = self;
        dirs.extend(groups.map(|path| DiskRequest::SyncDir { path }));
        if removes.is_empty() && creates.is_empty() {
            writes.append(&mut syncs);
            writes.append(&mut dirs);
            return writes;
        }
        for phase in [&mut creates, &mut writes, &mut syncs, &mut dirs] {
            removes.append(phase);
        }
        removes
    }
}

/// Writes to one group during one round.
pub(crate) struct Pen<'a> {
    group: &'a mut Group,
    index: &'a mut Index,
    plan: &'a mut Plan,
    arena: &'a mut BytesMut,
    segment_bytes: u64,
    /// Pieces not yet planned, and where the first of them goes.
    data: Vec<Bytes>,
    start: u64,
    /// What entries put into memory, and taken out of it, cost.
    pub(crate) added: u64,
    pub(crate) dropped: u64,
}

impl<'a> Pen<'a> {
    pub(crate) fn new(
        group: &'a mut Group,
        index: &'a mut Index,
        plan: &'a mut Plan,
        arena: &'a mut BytesMut,
        segment_bytes: u64,
    ) -> Self {
        let start = group.offset;
        Self { group, index, plan, arena, segment_bytes, data: Vec::new(), start, added: 0, dropped: 0 }
    }

    /// Writes what one operation asks for. Creation and removal are not among them: see [`Pen::create`].
    pub(crate) fn write(&mut self, operation: Operation) {
        match operation {
            Operation::Append(entry) => {
                let kind = FrameKind::Entry(entry.kind);
                let (offset, len) = self.frame(kind, entry.id.term, entry.id.index, entry.payload.clone());
                self.index.append(entry.id, offset, len);
                self.group.runs.append(entry.id.term, 1);
                self.added += self.index.remember(entry, self.group.last.sequence);
            }
            Operation::HardState(hard_state) if hard_state != self.group.hard_state => {
                let mut payload = Vec::new();
                put_vote(&mut payload, hard_state.vote);
                self.frame(FrameKind::HardState, hard_state.term, LogIndex::ZERO, payload.into());
                self.group.hard_state = hard_state;
            }
            Operation::Truncate(after) if after < self.group.runs.last_index() => {
                self.frame(FrameKind::Truncate, Term::ZERO, after, Bytes::new());
                self.group.runs.truncate(after);
                self.dropped += self.index.truncate(after);
            }
            Operation::Mark => {
                let real = self.group.last_real;
                self.frame(FrameKind::Mark, Term::ZERO, LogIndex::ZERO, Bytes::new());
                self.group.last_real = real;
            }
            // These ask for what is so already, or are not for this method.
            Operation::HardState(_)
            | Operation::Truncate(_)
            | Operation::Create { .. }
            | Operation::Remove => {}
        }
    }

    /// Begins the first segment of a new group.
    pub(crate) fn create(&mut self, genesis: &raft_core::Configuration, note: &[u8]) {
        self.begin_segment(0, 0);
        let mut payload = Vec::new();
        put_genesis(&mut payload, genesis, note);
        self.frame(FrameKind::Genesis, Term::ZERO, LogIndex::ZERO, payload.into());
    }

    /// Plans the write of everything since the pen was made.
    pub(crate) fn finish(mut self) -> (u64, u64) {
        self.flush();
        (self.added, self.dropped)
    }

    fn frame(&mut self, kind: FrameKind, term: Term, index: LogIndex, payload: Bytes) -> (u64, u64) {
        let len = (FRAME_HEADER_LEN + payload.len()) as u64;
        if self.group.offset + len > self.segment_bytes && self.group.offset > SEGMENT_HEADER_LEN as u64 {
            self.flush();
            self.begin_segment(self.group.segment, self.group.offset);
        }
        let group = &mut *self.group;
        let header = FrameHeader {
            kind,
            payload_len: payload.len() as u32,
            payload_crc: payload_crc(&payload),
            term,
            index,
            sequence: group.last.sequence + 1,
            synced_through: group.durable,
            chain: group.last.crc,
            crc: 0,
        };
        let offset = group.offset;
        let (bytes, crc) = header.encode(group.seed, offset);
        group.last = Link { sequence: header.sequence, crc };
        group.claimed = group.durable;
        group.last_real = header.sequence;
        group.offset += len;
        self.arena.extend_from_slice(&bytes);
        if !payload.is_empty() {
            self.data.push(self.arena.split().freeze());
            self.data.push(payload);
        }
        (offset, len)
    }

    fn begin_segment(&mut self, previous: u64, previous_end: u64) {
        let group = &mut *self.group;
        let number = previous + 1;
        let header = SegmentHeader {
            disk: group.disk,
            group: group.id,
            number,
            next_index: group.runs.last_index().next(),
            previous,
            previous_end,
            sequence: group.last.sequence + 1,
            synced_through: group.durable,
            chain: group.last.crc,
            crc: 0,
        };
        let (bytes, crc) = header.encode();
        group.segment = number;
        group.path = layout::segment_path(&group.dir, number);
        group.seed = header.seed();
        group.offset = SEGMENT_HEADER_LEN as u64;
        group.last = Link { sequence: header.sequence, crc };
        group.claimed = group.durable;
        self.index.add_segment(group.path.clone(), group.seed);
        self.plan.create(group.path.clone());
        self.plan.sync_dir(group.dir.clone());
        self.start = 0;
        self.arena.extend_from_slice(&bytes);
    }

    fn flush(&mut self) {
        if !self.arena.is_empty() {
            self.data.push(self.arena.split().freeze());
        }
        self.plan.write(self.group.path.clone(), self.start, std::mem::take(&mut self.data));
        self.start = self.group.offset;
    }
}
