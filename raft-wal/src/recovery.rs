//! Reads a group back from its segments, and decides whether a bad end was torn or is damage.
//!
//! A record that cannot be read was never acknowledged if nothing anywhere says that it was durable: then the log
//! ends before it. If any later record, in this segment or in another one, was written when a record at or after
//! the bad one was known durable, then what is missing may have been acknowledged: the group is damaged, and
//! nothing is cut. An error from the disk is damage as well, never a tear.
//!
//! Bytes behind a torn end are never written over. A new segment is begun whose header says where its predecessor
//! ends, so that they cannot come back. Invariant: when [`recover`] returns, all that it returns is durable.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{Configuration, DiskId, GroupId, HardState, LogId, LogIndex, Membership, Term, TermRuns};

use crate::entry::EntryKind;
use crate::error::{Damage, OpenError};
use crate::frame::{FrameHeader, FrameKind, Link, Record, SegmentHeader};
use crate::fs::{DiskRequest, Fs};
use crate::index::Index;
use crate::layout;
use crate::membership;
use crate::scan::{self, Found, Scanner, Step};

/// What a group was when the log directory was opened. All of it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The group.
    pub group: GroupId,
    /// Its first configuration.
    pub genesis: Configuration,
    /// The label it was created with.
    pub note: Bytes,
    /// Its latest term and vote.
    pub hard_state: HardState,
    /// The terms of its whole log, from [`LogId::ZERO`].
    pub runs: TermRuns,
    /// The memberships that stand in that log, each with its index, in order.
    pub memberships: Vec<(LogIndex, Membership)>,
}

/// A group read back, and where its writer goes on.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) state: GroupState,
    pub(crate) index: Index,
    pub(crate) segment: Found,
    /// Where the next frame goes.
    pub(crate) offset: u64,
    pub(crate) last: Link,
    /// The highest durable record that is named as such by a record on disk.
    pub(crate) claimed: u64,
    /// The last record that is no mark.
    pub(crate) last_real: u64,
}

fn io_error<P: AsRef<Path>>(doing: &'static str, path: P) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { doing, path: path.as_ref().to_path_buf(), source }
}

pub(crate) fn execute(fs: &dyn Fs, request: DiskRequest) -> Result<(), OpenError> {
    fs.execute(&request).map_err(io_error(request.name(), request.path()))
}

/// Removes a group's directory so that a crash in between leaves it whole or gone.
pub(crate) fn removal(groups: &Arc<Path>, group: GroupId) -> [DiskRequest; 3] {
    let removed = layout::removed_dir(groups, group);
    [
        DiskRequest::Rename { from: layout::group_dir(groups, group), to: removed.clone() },
        DiskRequest::SyncDir { path: groups.clone() },
        DiskRequest::RemoveDir { path: removed },
    ]
}

/// What the records of a group add up to.
#[derive(Default)]
struct Fold {
    genesis: Option<(Configuration, Bytes)>,
    hard_state: HardState,
    index: Index,
    memberships: Vec<(LogIndex, Membership)>,
    last_real: u64,
    claimed: u64,
}

impl Fold {
    fn apply(&mut self, offset: u64, header: &FrameHeader, payload: &[u8]) -> Result<(), Damage> {
        let impossible = |expected| Damage::Impossible { expected, index: header.index, term: header.term };
        if self.genesis.is_none() && header.kind != FrameKind::Genesis {
            return Err(impossible("the group's creation"));
        }
        let last = self.index.runs().last_id();
        if let FrameKind::Entry(kind) = header.kind {
            if header.index != last.index.next() || header.term < last.term || header.term == Term::ZERO {
                return Err(impossible("the entry after the last one, of no lower term"));
            }
            if kind == EntryKind::Membership {
                let (index, bytes) = (header.index, header.payload_len);
                let membership = membership::decode(payload).ok_or(Damage::Membership { index, bytes })?;
                self.memberships.push((index, membership));
            }
            self.index.append(LogId::new(header.term, header.index), offset, header.frame_len());
        } else {
            match Record::decode(header, payload) {
                Some(Record::Genesis { genesis, note }) if self.genesis.is_none() => {
                    self.genesis = Some((genesis, Bytes::copy_from_slice(note)));
                }
                Some(Record::HardState(hard_state)) if hard_state.term >= self.hard_state.term => {
                    self.hard_state = hard_state;
                }
                Some(Record::Truncate(after)) if after < last.index => {
                    self.index.truncate(after);
                    let keep = self.memberships.partition_point(|(index, _)| *index <= after);
                    self.memberships.truncate(keep);
                }
                Some(Record::Mark) => {}
                _ => return Err(impossible("a record that can follow the ones before it")),
            }
        }
        if header.kind != FrameKind::Mark {
            self.last_real = header.sequence;
        }
        self.claimed = self.claimed.max(header.synced_through);
        Ok(())
    }
}

/// The first place that is no continuation.
struct Bad {
    path: Arc<Path>,
    offset: u64,
    damage: Damage,
}

/// How far the log can be read.
struct Extent {
    /// How many segments of the lineage were read, the last one perhaps in part.
    segments: usize,
    /// Behind the last good record, in the last of them.
    offset: u64,
    last: Link,
    /// The last record in each of them.
    ends: Vec<u64>,
    bad: Option<Bad>,
}

fn read_lineage(
    fs: &dyn Fs,
    found: &[Found],
    lineage: &[usize],
    fold: &mut Fold,
) -> Result<Extent, OpenError> {
    let mut extent = Extent { segments: 0, offset: 0, last: Link::default(), ends: Vec::new(), bad: None };
    for (nth, &at) in lineage.iter().enumerate() {
        let segment = &found[at];
        let Ok(header) = &segment.header else { break };
        let follows = header_follows(header, extent.last, fold.index.runs().last_index());
        if let Err(damage) = follows {
            extent.bad = Some(Bad { path: segment.path.clone(), offset: 0, damage });
            return Ok(extent);
        }
        fold.claimed = fold.claimed.max(header.synced_through);
        fold.index.add_segment(segment.path.clone(), segment.seed);
        extent.segments = nth + 1;
        let next = lineage.get(nth + 1).and_then(|&next| found[next].header.as_ref().ok());
        let first = Link { sequence: header.sequence, crc: header.crc };
        let mut scanner = Scanner::new(fs, segment, first, next.map(|next| next.previous_end))
            .map_err(io_error("measure", &segment.path))?;
        let damage = loop {
            let before = scanner.last();
            let step = scanner.step().map_err(io_error("read", &segment.path))?;
            (extent.offset, extent.last) = (scanner.offset(), scanner.last());
            match step {
                Step::End => break None,
                Step::Bad(damage) => break Some((scanner.offset(), damage)),
                Step::Frame { offset, .. } if offset > u64::from(u32::MAX) => {
                    let damage = Damage::Short { expected: offset, found: u64::from(u32::MAX) };
                    (extent.offset, extent.last) = (offset, before);
                    break Some((offset, damage));
                }
                Step::Frame { offset, header, payload } => {
                    if let Err(damage) = fold.apply(offset, &header, &payload) {
                        (extent.offset, extent.last) = (offset, before);
                        break Some((offset, damage));
                    }
                }
            }
        };
        extent.ends.push(extent.last.sequence);
        if let Some((offset, damage)) = damage {
            extent.bad = Some(Bad { path: segment.path.clone(), offset, damage });
            return Ok(extent);
        }
    }
    Ok(extent)
}

fn header_follows(header: &SegmentHeader, last: Link, last_index: LogIndex) -> Result<(), Damage> {
    let expected = last.sequence + 1;
    if header.sequence != expected {
        return Err(Damage::Sequence { expected, found: header.sequence });
    }
    if header.chain != last.crc {
        return Err(Damage::Chain { expected: last.crc, found: header.chain });
    }
    if header.next_index != last_index.next() {
        let expected = "a segment that goes on after the last entry";
        return Err(Damage::Impossible { expected, index: header.next_index, term: Term::ZERO });
    }
    Ok(())
}

/// The highest record that anything behind the good part of the log says was durable.
fn evidence(
    fs: &dyn Fs,
    found: &[Found],
    lineage: &[usize],
    extent: &Extent,
    bad: Option<&Bad>,
) -> Result<u64, OpenError> {
    let good = &lineage[..extent.segments];
    let mut claim = 0;
    for (at, segment) in found.iter().enumerate() {
        let from = match bad {
            // Behind the bad place of a segment that was read up to it.
            Some(bad) if Arc::ptr_eq(&bad.path, &segment.path) => bad.offset,
            _ if good.contains(&at) => continue,
            _ => 0,
        };
        if let (0, Ok(header)) = (from, &segment.header) {
            claim = claim.max(header.synced_through);
        }
        scan::search(fs, &segment.path, segment.seed, from, |_, header| {
            claim = claim.max(header.synced_through);
        })
        .map_err(io_error("read", &segment.path))?;
    }
    Ok(claim)
}

/// What is wrong with the segments that no lineage reaches, if there are any newer than it.
fn unreached(group_dir: &Path, found: &[Found], lineage: &[usize]) -> Option<Bad> {
    let from = lineage.last().map_or(0, |&at| at + 1);
    let segment = found.get(from)?;
    Some(match &segment.header {
        Err(damage) => Bad { path: segment.path.clone(), offset: 0, damage: damage.clone() },
        Ok(header) => {
            let path = layout::segment_path(group_dir, header.previous);
            Bad { path, offset: 0, damage: Damage::Missing }
        }
    })
}

/// Whether a record is there as it was written, but makes no sense: no crash does that.
fn is_beyond_doubt(damage: &Damage) -> bool {
    matches!(
        damage,
        Damage::Unknown { .. }
            | Damage::Version { .. }
            | Damage::Misplaced(_)
            | Damage::Impossible { .. }
            | Damage::Membership { .. }
    )
}

/// Reads a group back, cuts a torn end, and makes all of it durable. `None` when the group's creation was torn:
/// then its directory is gone.
pub(crate) fn recover(
    fs: &dyn Fs,
    groups: &Arc<Path>,
    disk: DiskId,
    group: GroupId,
) -> Result<Option<Recovered>, OpenError> {
    let dir = layout::group_dir(groups, group);
    let mut found =
        scan::find(fs, &dir, disk, group).map_err(|(path, error)| io_error("read", path)(error))?;
    let damaged = |bad: &Bad, last: Link, synced_through| OpenError::Damaged {
        group,
        file: bad.path.to_path_buf(),
        offset: bad.offset,
        sequence: last.sequence + 1,
        synced_through,
        damage: bad.damage.clone(),
    };
    for segment in &found {
        if let Err(damage) = &segment.header
            && is_beyond_doubt(damage)
        {
            let bad = Bad { path: segment.path.clone(), offset: 0, damage: damage.clone() };
            return Err(damaged(&bad, Link::default(), 0));
        }
    }

    let lineage = scan::lineage(&found);
    let mut fold = Fold::default();
    let mut extent = read_lineage(fs, &found, &lineage, &mut fold)?;
    let bad = extent.bad.take().or_else(|| unreached(&dir, &found, &lineage));
    if let Some(bad) = &bad {
        let claim = fold.claimed.max(evidence(fs, &found, &lineage, &extent, Some(bad))?);
        if claim > extent.last.sequence || is_beyond_doubt(&bad.damage) {
            return Err(damaged(bad, extent.last, claim));
        }
    }
    let Some((genesis, note)) = fold.genesis.take() else {
        for request in removal(groups, group) {
            execute(fs, request)?;
        }
        return Ok(None);
    };

    // What was read may be in the page cache only. Nothing depends on it before it is on the disk.
    let good = &lineage[..extent.segments];
    for (nth, &at) in good.iter().enumerate() {
        if extent.ends[nth] > fold.claimed || nth + 1 == good.len() {
            execute(fs, DiskRequest::SyncData { path: found[at].path.clone() })?;
        }
    }
    execute(fs, DiskRequest::SyncDir { path: dir.clone() })?;

    let top = good[good.len() - 1];
    let dead: Vec<Arc<Path>> =
        (0..found.len()).filter(|at| !good.contains(at)).map(|at| found[at].path.clone()).collect();
    let segment = if bad.is_some() {
        let number = found[found.len() - 1].number + 1;
        let header = SegmentHeader {
            disk,
            group,
            number,
            next_index: fold.index.runs().last_index().next(),
            previous: found[top].number,
            previous_end: extent.offset,
            sequence: extent.last.sequence + 1,
            synced_through: extent.last.sequence,
            chain: extent.last.crc,
            crc: 0,
        };
        let (bytes, crc) = header.encode();
        let path = layout::segment_path(&dir, number);
        execute(fs, DiskRequest::Create { path: path.clone() })?;
        let data = vec![Bytes::copy_from_slice(&bytes)];
        execute(fs, DiskRequest::Write { path: path.clone(), offset: 0, data })?;
        execute(fs, DiskRequest::SyncData { path: path.clone() })?;
        execute(fs, DiskRequest::SyncDir { path: dir.clone() })?;
        fold.claimed = extent.last.sequence;
        fold.last_real = header.sequence;
        extent.offset = bytes.len() as u64;
        extent.last = Link { sequence: header.sequence, crc };
        let seed = header.seed();
        fold.index.add_segment(path.clone(), seed);
        Found { number, path, seed, header: Ok(SegmentHeader { crc, ..header }) }
    } else {
        found.swap_remove(top)
    };
    for path in dead {
        execute(fs, DiskRequest::RemoveFile { path })?;
    }

    let (runs, memberships) = (fold.index.runs().clone(), fold.memberships);
    Ok(Some(Recovered {
        state: GroupState { group, genesis, note, hard_state: fold.hard_state, runs, memberships },
        index: fold.index,
        segment,
        offset: extent.offset,
        last: extent.last,
        claimed: fold.claimed,
        last_real: fold.last_real,
    }))
}
