//! Prints a log: its effective entries, and whether their bytes are intact.
//!
//! Read only, without the lock, also beside a running owner: a half-written last frame is simply the end. Nothing
//! of what is printed depends on the machine (no path, no position, no term or vote of the replica), so that equal
//! logs print equally. Invariant: a first pass finds where the effective entries are, a second one reads them, so
//! memory is 48 bytes per entry and one payload.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{GroupId, LogIndex, Term};

use crate::entry::EntryKind;
use crate::error::{DumpError, IdentityError};
use crate::frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, SEGMENT_HEADER_LEN};
use crate::fs::Fs;
use crate::identity::Identity;
use crate::layout;
use crate::scan::{self, Found};

/// How much is read at once to look for headers, in bytes.
const WINDOW: usize = 64 * 1024;

/// Whether the bytes of an entry are the ones that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrcState {
    /// They are.
    Ok,
    /// They are not: the header's or the payload's CRC is wrong.
    Bad,
}

impl fmt::Display for CrcState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Bad => "BAD",
        })
    }
}

/// An entry as it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedEntry {
    /// Its place in the log.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// Its kind.
    pub kind: EntryKind,
    /// Its payload, intact or not.
    pub payload: Bytes,
    /// Whether header and payload are intact.
    pub crc: CrcState,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    segment: usize,
    offset: u64,
    index: LogIndex,
    term: Term,
    kind: EntryKind,
    payload_len: u32,
    payload_crc: u32,
    intact: bool,
}

/// The effective entries of a log in order. Made by [`dump`].
pub struct Dump<'a> {
    fs: &'a dyn Fs,
    paths: Vec<Arc<Path>>,
    places: std::vec::IntoIter<Place>,
}

impl fmt::Debug for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump").field("entries_left", &self.places.len()).finish_non_exhaustive()
    }
}

impl Dump<'_> {
    fn read(&self, place: Place) -> Result<DumpedEntry, DumpError> {
        let path = &self.paths[place.segment];
        let len = place.payload_len as usize;
        let payload = self
            .fs
            .read_at(path, place.offset + FRAME_HEADER_LEN as u64, len)
            .map_err(|source| DumpError::Io { path: path.to_path_buf(), source })?;
        let good = place.intact && payload.len() == len && crc32fast::hash(&payload) == place.payload_crc;
        Ok(DumpedEntry {
            index: place.index,
            term: place.term,
            kind: place.kind,
            payload: payload.into(),
            crc: if good { CrcState::Ok } else { CrcState::Bad },
        })
    }
}

impl Iterator for Dump<'_> {
    type Item = Result<DumpedEntry, DumpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.places.next()?;
        Some(self.read(place))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

/// The effective entries of a group's log in the log directory `dir`: those that no later truncation dropped, in
/// order of index. Entries whose bytes are damaged are yielded as [`CrcState::Bad`]; where not even a damaged
/// header shows what was there, indexes are missing. Shows what was written, durable or not.
///
/// # Errors
/// See [`DumpError`]; each entry may bring one of its own.
pub fn dump<'a>(fs: &'a dyn Fs, dir: &Path, group: GroupId) -> Result<Dump<'a>, DumpError> {
    let refuse = |reason| DumpError::Identity { path: dir.join(layout::IDENTITY), reason };
    let identity = Identity::load(fs, dir).map_err(refuse)?.ok_or_else(|| refuse(IdentityError::Missing))?;
    let group_dir = layout::group_dir(&dir.join(layout::GROUPS), group);
    let found =
        scan::find(fs, &group_dir, identity.disk, group).map_err(|(path, source)| match source.kind() {
            io::ErrorKind::NotFound => DumpError::UnknownGroup { dir: dir.to_path_buf(), group },
            _ => DumpError::Io { path: path.to_path_buf(), source },
        })?;
    let lineage = scan::lineage(&found);
    let mut places: Vec<Place> = Vec::new();
    let mut ends_with_entry = false;
    for (nth, &at) in lineage.iter().enumerate() {
        let end = lineage.get(nth + 1).and_then(|&next| found[next].header.as_ref().ok());
        let end = end.map_or(u64::MAX, |next| next.previous_end);
        ends_with_entry = walk(fs, &found[at], at, end, &mut places)
            .map_err(|source| DumpError::Io { path: found[at].path.to_path_buf(), source })?;
    }
    let paths = found.into_iter().map(|found| found.path).collect();
    let mut dump = Dump { fs, paths, places: Vec::new().into_iter() };
    if let Some(&last) = places.last()
        && ends_with_entry
        && dump.read(last)?.crc == CrcState::Bad
    {
        places.pop(); // a payload half written, which recovery would cut off too
    }
    dump.places = places.into_iter();
    Ok(dump)
}

/// Finds the entries of one segment; answers whether its last record is one.
fn walk(
    fs: &dyn Fs,
    segment: &Found,
    position: usize,
    end: u64,
    places: &mut Vec<Place>,
) -> io::Result<bool> {
    let file_end = fs.len(&segment.path)?.min(end);
    let mut ends_with_entry = false;
    let mut last = segment.header.as_ref().map_or(0, |header| header.sequence);
    let mut at = SEGMENT_HEADER_LEN as u64;
    let mut window = (0, Vec::new());
    while at + FRAME_HEADER_LEN as u64 <= file_end {
        let (start, piece): &(u64, Vec<u8>) = &window;
        let bytes = match piece.get((at - start) as usize..).and_then(|rest| rest.get(..FRAME_HEADER_LEN)) {
            Some(bytes) => bytes,
            None => {
                window = (at, fs.read_at(&segment.path, at, WINDOW)?);
                &window.1[..FRAME_HEADER_LEN.min(window.1.len())]
            }
        };
        match FrameHeader::decode(bytes, segment.seed, at) {
            Ok(header) if header.sequence > last && at + header.frame_len() <= file_end => {
                last = header.sequence;
                ends_with_entry = place(position, at, &header, true, places);
                at += header.frame_len();
            }
            _ => {
                // Is this the end, or does anything intact follow?
                let mut next = None;
                scan::search(fs, &segment.path, segment.seed, at + 1, |offset, header| {
                    if next.is_none() && header.sequence > last && offset + header.frame_len() <= file_end {
                        next = Some((offset, header.sequence));
                    }
                })?;
                let Some((next, sequence)) = next else { break };
                if let Some(mut header) = FrameHeader::guess(bytes)
                    && sequence == last + 2
                    && next >= at + FRAME_HEADER_LEN as u64
                {
                    // Exactly one record is missing, so its length is known whatever its header says.
                    header.payload_len = (next - at - FRAME_HEADER_LEN as u64) as u32;
                    place(position, at, &header, false, places);
                }
                last = sequence - 1;
                at = next;
            }
        }
    }
    Ok(ends_with_entry)
}

/// Lets one record change what is effective; answers whether it is an entry.
fn place(segment: usize, offset: u64, header: &FrameHeader, intact: bool, places: &mut Vec<Place>) -> bool {
    match header.kind {
        // What a damaged truncation kept is anybody's guess.
        FrameKind::Truncate if intact => {
            let keep = places.partition_point(|place| place.index <= header.index);
            places.truncate(keep);
        }
        FrameKind::Entry(kind) => {
            // A damaged header may name any index; the one after the last is the likeliest.
            let index = match places.last() {
                Some(last) if !intact => last.index.next(),
                None if !intact => LogIndex::new(1),
                _ => header.index,
            };
            places.push(Place {
                segment,
                offset,
                index,
                term: header.term,
                kind,
                payload_len: header.payload_len,
                payload_crc: header.payload_crc,
                intact,
            });
        }
        FrameKind::Truncate | FrameKind::Genesis | FrameKind::HardState | FrameKind::Mark => {}
    }
    matches!(header.kind, FrameKind::Entry(_))
}
