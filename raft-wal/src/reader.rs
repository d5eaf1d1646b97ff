//! Reads entries, from any thread, while the log grows and shrinks.
//!
//! The newest entries come from memory without a copy; older ones from the files, outside the lock. Bytes of a log
//! are never overwritten, so a read that began before a truncation still sees what it began with. Every header
//! and payload read from disk is checked. Invariant: what is returned are the entries that the log held at one
//! moment during the call, the first asked for first, without a gap.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{GroupId, LogId, LogIndex, TermRuns};

use crate::entry::Entry;
use crate::error::{Damage, ReadError};
use crate::frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind};
use crate::fs::Fs;
use crate::index::{Index, SegmentFile, Shared, Stretch};

/// The smallest and the largest piece read ahead, in bytes.
const AHEAD_MIN: u64 = 16 * 1024;
const AHEAD_MAX: u64 = 1024 * 1024;
/// No entry is larger; see [`crate::Options::max_entry_bytes`].
const PAYLOAD_MAX: u64 = 1024 * 1024 * 1024;

/// Reads one group's log. Cheap to clone. Once the group is removed every call answers
/// [`ReadError::UnknownGroup`], also when another group of the same id was created since.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The group it reads.
    pub fn group(&self) -> GroupId {
        self.shared.group
    }

    /// The last entry, durable or not; [`LogId::ZERO`] when there is none. `None` once the group is removed.
    pub fn last(&self) -> Option<LogId> {
        let index = self.shared.read();
        (!index.is_removed()).then(|| index.runs().last_id())
    }

    /// The entries `(expected.before().index, expected.last_index()]`, from the first one on: as many as have
    /// together at most `max_bytes` of payload, but at least one. Empty only when `expected` is.
    ///
    /// Entries may be not durable yet; whoever acts on them must wait for that or for Raft's commit.
    ///
    /// # Errors
    /// [`ReadError::TermMismatch`] when the log holds other entries than `expected` says; the other ones of
    /// [`ReadError`] as documented there.
    pub fn read(&self, expected: &TermRuns, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        read(&self.shared, expected, max_bytes)
    }

    /// The entries `first` to `last`, both inclusive, from the first one on: as many as have together at most
    /// `max_bytes` of payload, but at least one. Empty only when `last` lies before `first`.
    ///
    /// Nothing keeps a new leader from overwriting entries that are not committed: pass committed indexes.
    ///
    /// # Errors
    /// See [`ReadError`]; never [`ReadError::TermMismatch`].
    pub fn read_from(
        &self,
        first: LogIndex,
        last: LogIndex,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        read_from(&self.shared, first, last, max_bytes)
    }

    /// How far a read of `first` to `last` (inclusive) with this `max_bytes` would get, and how many bytes of
    /// payload that is. `None` when the entries are not in the log, or some of them not in memory: this never
    /// touches the disk.
    pub fn measure(&self, first: LogIndex, last: LogIndex, max_bytes: u64) -> Option<(LogIndex, u64)> {
        measure(&self.shared, first, last, max_bytes)
    }
}

pub(crate) fn measure(
    shared: &Shared,
    first: LogIndex,
    last: LogIndex,
    max_bytes: u64,
) -> Option<(LogIndex, u64)> {
    let index = shared.read();
    if first > last || last > index.runs().last_index() {
        return None;
    }
    let mut reached = None;
    let mut bytes = 0;
    for entry in index.tail_from(first).take_while(|entry| entry.id.index <= last) {
        let len = entry.payload.len() as u64;
        if reached.is_some() && bytes + len > max_bytes {
            break;
        }
        bytes += len;
        reached = Some((entry.id.index, bytes));
    }
    reached
}

pub(crate) fn read(shared: &Shared, expected: &TermRuns, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
    let index = shared.read();
    let group = shared.group;
    let (before, last) = (expected.before(), expected.last_index());
    let runs = index.runs();
    if index.is_removed() {
        return Err(ReadError::UnknownGroup { group });
    }
    if last > runs.last_index() {
        let first = before.index.next();
        return Err(ReadError::OutOfRange { group, first, last, end: runs.last_index() });
    }
    let differs = match runs.term_at(before.index) {
        Some(term) if term == before.term => runs.first_conflict(expected),
        _ => Some(before.index),
    };
    if let Some(at) = differs {
        return Err(ReadError::TermMismatch {
            group,
            index: at,
            expected: expected.term_at(at).unwrap_or_default(),
            found: runs.term_at(at).unwrap_or_default(),
        });
    }
    collect(shared, index, before.index.next(), last, max_bytes)
}

pub(crate) fn read_from(
    shared: &Shared,
    first: LogIndex,
    last: LogIndex,
    max_bytes: u64,
) -> Result<Vec<Entry>, ReadError> {
    let index = shared.read();
    let group = shared.group;
    if index.is_removed() {
        return Err(ReadError::UnknownGroup { group });
    }
    let end = index.runs().last_index();
    if first == LogIndex::ZERO || last > end {
        return Err(ReadError::OutOfRange { group, first, last, end });
    }
    collect(shared, index, first, last, max_bytes)
}

/// Takes entries until the budget is used up.
struct Basket {
    entries: Vec<Entry>,
    bytes: u64,
    max_bytes: u64,
}

impl Basket {
    fn fits(&self, len: u64) -> bool {
        self.entries.is_empty() || self.bytes.saturating_add(len) <= self.max_bytes
    }

    fn put(&mut self, entry: Entry) {
        self.bytes += entry.payload.len() as u64;
        self.entries.push(entry);
    }
}

fn collect(
    shared: &Shared,
    index: std::sync::RwLockReadGuard<'_, Index>,
    first: LogIndex,
    last: LogIndex,
    max_bytes: u64,
) -> Result<Vec<Entry>, ReadError> {
    let mut basket = Basket { entries: Vec::new(), bytes: 0, max_bytes };
    if first > last {
        return Ok(basket.entries);
    }
    let in_memory = index.tail_first().map_or(last.next(), |oldest| oldest.max(first));
    if in_memory == first {
        for entry in index.tail_from(first).take_while(|entry| entry.id.index <= last) {
            if !basket.fits(entry.payload.len() as u64) {
                break;
            }
            basket.put(entry.clone());
        }
        return Ok(basket.entries);
    }

    // The entries in memory are taken now, though they come last: after the lock they may be gone.
    let mut newest: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    for entry in index.tail_from(in_memory).take_while(|entry| entry.id.index <= last) {
        bytes += entry.payload.len() as u64;
        if bytes > max_bytes {
            break;
        }
        newest.push(entry.clone());
    }
    let on_disk = in_memory.prev().min(last);
    let stretches = index.stretches(first, on_disk);
    let terms = index.runs().slice(first.prev(), on_disk).unwrap_or_default();
    drop(index);

    let reached = read_stretches(shared, &stretches, &terms, &mut basket)?;
    if reached == on_disk {
        for entry in newest {
            if !basket.fits(entry.payload.len() as u64) {
                break;
            }
            basket.put(entry);
        }
    }
    Ok(basket.entries)
}

/// Reads the entries that `terms` describes; answers the last one taken.
fn read_stretches(
    shared: &Shared,
    stretches: &[Stretch],
    terms: &TermRuns,
    basket: &mut Basket,
) -> Result<LogIndex, ReadError> {
    let first = terms.before().index.next();
    let mut window = Window::default();
    let mut reached = first.prev();
    for stretch in stretches {
        let mut at = stretch.offset;
        let mut index = stretch.first;
        while index <= stretch.last {
            let fail = |damage| failure(shared, &stretch.file, index, at, damage);
            let ahead = basket.max_bytes.saturating_sub(basket.bytes).clamp(AHEAD_MIN, AHEAD_MAX);
            let bytes = window
                .get(&*shared.fs, &stretch.file, at, FRAME_HEADER_LEN as u64, ahead)
                .map_err(|error| io_failure(shared, &stretch.file, error))?;
            let header =
                FrameHeader::decode(&bytes, stretch.file.seed, at).map_err(|damage| fail(Some(damage)))?;
            let FrameKind::Entry(kind) = header.kind else {
                // Term, vote or a mark, written between two entries.
                at += header.frame_len();
                continue;
            };
            if header.index != index {
                return Err(fail(Some(Damage::Impossible {
                    expected: "the entry asked for",
                    index: header.index,
                    term: header.term,
                })));
            }
            if index >= first {
                let len = u64::from(header.payload_len);
                if terms.term_at(index) != Some(header.term) {
                    return Err(fail(Some(Damage::Impossible {
                        expected: "an entry of the term noted in memory",
                        index: header.index,
                        term: header.term,
                    })));
                }
                if !basket.fits(len) {
                    return Ok(reached);
                }
                if len > PAYLOAD_MAX {
                    return Err(fail(Some(Damage::Short { expected: len, found: PAYLOAD_MAX })));
                }
                let payload = window
                    .get(&*shared.fs, &stretch.file, at + FRAME_HEADER_LEN as u64, len, ahead)
                    .map_err(|error| io_failure(shared, &stretch.file, error))?;
                if (payload.len() as u64) < len {
                    return Err(fail(Some(Damage::Short { expected: len, found: payload.len() as u64 })));
                }
                let found = crc32fast::hash(&payload);
                if found != header.payload_crc {
                    return Err(fail(Some(Damage::PayloadCrc { expected: header.payload_crc, found })));
                }
                basket.put(Entry { id: LogId::new(header.term, index), kind, payload });
                reached = index;
            }
            at += header.frame_len();
            index = index.next();
        }
    }
    Ok(reached)
}

fn failure(
    shared: &Shared,
    file: &SegmentFile,
    index: LogIndex,
    offset: u64,
    damage: Option<Damage>,
) -> ReadError {
    let group = shared.group;
    match damage {
        Some(damage) if !shared.read().is_removed() => {
            ReadError::Damaged { group, index, file: file.path.to_path_buf(), offset, damage }
        }
        _ => ReadError::UnknownGroup { group },
    }
}

fn io_failure(shared: &Shared, file: &SegmentFile, source: io::Error) -> ReadError {
    let group = shared.group;
    if shared.read().is_removed() {
        return ReadError::UnknownGroup { group };
    }
    ReadError::Io { group, file: file.path.to_path_buf(), source }
}

/// The piece of a file read last. Payloads are parts of it, so nothing is copied.
#[derive(Default)]
struct Window {
    file: Option<SegmentFile>,
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// The `len` bytes at `offset`; fewer at the end of the file. Reads `ahead` bytes when it must read.
    fn get(
        &mut self,
        fs: &dyn Fs,
        file: &SegmentFile,
        offset: u64,
        len: u64,
        ahead: u64,
    ) -> io::Result<Bytes> {
        let same = self.file.as_ref().is_some_and(|held| Arc::ptr_eq(&held.path, &file.path));
        let end = self.start + self.bytes.len() as u64;
        if !same || offset < self.start || offset + len > end {
            self.bytes = Bytes::from(fs.read_at(&file.path, offset, len.max(ahead) as usize)?);
            self.start = offset;
            self.file = Some(file.clone());
        }
        let from = (offset - self.start) as usize;
        let to = (from + len as usize).min(self.bytes.len());
        Ok(self.bytes.slice(from..to))
    }
}
