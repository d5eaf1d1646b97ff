//! Reads segments front to back, in pieces, and looks for evidence behind a bad place.
//!
//! Memory does not depend on what the bytes say: a piece of 1 MiB, and payloads only of records that are small by
//! definition. Invariant: a scanner stops at the first byte that is no continuation of what it has read.

use std::io;
use std::path::Path;
use std::sync::Arc;

use raft_core::{DiskId, GroupId};

use crate::error::{Damage, Misplaced, SegmentName};
use crate::frame::{
    FRAME_HEADER_LEN, FRAME_MAGIC, FrameHeader, Link, SEGMENT_HEADER_LEN, Seed, SegmentHeader,
};
use crate::fs::Fs;
use crate::layout;

/// How much is read at once, in bytes.
const PIECE: usize = 1024 * 1024;

/// A segment file as found in a group's directory.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) seed: Seed,
    pub(crate) header: Result<SegmentHeader, Damage>,
}

/// The segment files of a group, by number. Files of other names are not looked at.
pub(crate) fn find(
    fs: &dyn Fs,
    group_dir: &Path,
    disk: DiskId,
    group: GroupId,
) -> Result<Vec<Found>, (Arc<Path>, io::Error)> {
    let names = fs.list(group_dir).map_err(|error| (group_dir.into(), error))?;
    let mut found = Vec::new();
    for number in names.iter().filter_map(|name| layout::parse_segment(name)) {
        let path = layout::segment_path(group_dir, number);
        let bytes = fs.read_at(&path, 0, SEGMENT_HEADER_LEN).map_err(|error| (path.clone(), error))?;
        let header = SegmentHeader::decode(&bytes).and_then(|header| {
            let expected = SegmentName { disk, group, number };
            let named = SegmentName { disk: header.disk, group: header.group, number: header.number };
            if named == expected {
                Ok(header)
            } else {
                Err(Damage::Misplaced(Box::new(Misplaced { expected, found: named })))
            }
        });
        found.push(Found { number, path, seed: Seed::new(disk, group, number), header });
    }
    found.sort_unstable_by_key(|found| found.number);
    Ok(found)
}

/// The positions of the segments that make up the log, oldest first: those from which the newest readable header
/// leads back to the first segment. When its way back is broken, the newest one below the break counts.
pub(crate) fn lineage(found: &[Found]) -> Vec<usize> {
    let mut below = u64::MAX;
    'tops: loop {
        let readable = |found: &Found| found.number < below && found.header.is_ok();
        let Some(top) = found.iter().rposition(readable) else { return Vec::new() };
        let mut chain = vec![top];
        let mut at = top;
        while let Ok(header) = &found[at].header {
            if header.previous == 0 {
                chain.reverse();
                return chain;
            }
            let previous = header.previous.min(header.number.saturating_sub(1));
            match found.iter().position(|found| found.number == previous && found.header.is_ok()) {
                Some(position) => at = position,
                None => {
                    below = previous;
                    continue 'tops;
                }
            }
            chain.push(at);
        }
        return Vec::new();
    }
}

/// What comes next in a segment.
#[derive(Debug)]
pub(crate) enum Step {
    /// The segment ends here, between two frames.
    End,
    /// A frame that continues what was before it, and whose CRCs are right.
    Frame {
        offset: u64,
        header: FrameHeader,
        /// The payload; empty for entries but those that hold a membership.
        payload: Vec<u8>,
    },
    /// Whatever stands here is no continuation.
    Bad(Damage),
}

/// Reads the frames of one segment.
pub(crate) struct Scanner<'a> {
    fs: &'a dyn Fs,
    path: &'a Path,
    seed: Seed,
    at: u64,
    last: Link,
    /// Where the segment should end, and where the file does.
    end: u64,
    file_end: u64,
    piece: Vec<u8>,
    piece_start: u64,
}

impl<'a> Scanner<'a> {
    /// Begins behind the header of a segment that ends at `end`, or at the end of its file.
    pub(crate) fn new(fs: &'a dyn Fs, found: &'a Found, last: Link, end: Option<u64>) -> io::Result<Self> {
        let file_end = fs.len(&found.path)?;
        Ok(Self {
            fs,
            path: &found.path,
            seed: found.seed,
            at: SEGMENT_HEADER_LEN as u64,
            last,
            end: end.unwrap_or(file_end),
            file_end,
            piece: Vec::new(),
            piece_start: 0,
        })
    }

    /// Behind the last frame.
    pub(crate) fn offset(&self) -> u64 {
        self.at
    }

    /// The last record.
    pub(crate) fn last(&self) -> Link {
        self.last
    }

    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.at == self.end {
            return Ok(Step::End);
        }
        let room = self.end.min(self.file_end).saturating_sub(self.at);
        let (seed, offset) = (self.seed, self.at);
        let header = match self.bytes(offset, (FRAME_HEADER_LEN as u64).min(room) as usize)? {
            bytes if bytes.len() == FRAME_HEADER_LEN => FrameHeader::decode(bytes, seed, offset),
            bytes => Err(Damage::Short { expected: FRAME_HEADER_LEN as u64, found: bytes.len() as u64 }),
        };
        let header = match header.and_then(|header| header.follows(self.last).map(|()| header)) {
            Ok(header) => header,
            Err(damage) => return Ok(Step::Bad(damage)),
        };
        if header.frame_len() > room {
            return Ok(Step::Bad(Damage::Short { expected: header.frame_len(), found: room }));
        }
        let read_max = header.kind.read_max();
        if read_max.is_some_and(|max| header.payload_len as usize > max) {
            let expected = "a payload no longer than its kind allows";
            return Ok(Step::Bad(Damage::Impossible { expected, index: header.index, term: header.term }));
        }
        let mut payload = Vec::new();
        let mut hasher = crc32fast::Hasher::new();
        let mut at = self.at + FRAME_HEADER_LEN as u64;
        let end = self.at + header.frame_len();
        while at < end {
            let bytes = self.bytes(at, (end - at).min(PIECE as u64) as usize)?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(bytes);
            if read_max.is_some() {
                payload.extend_from_slice(bytes);
            }
            at += bytes.len() as u64;
        }
        let found = hasher.finalize();
        if found != header.payload_crc {
            return Ok(Step::Bad(Damage::PayloadCrc { expected: header.payload_crc, found }));
        }
        self.at = end;
        self.last = Link { sequence: header.sequence, crc: header.crc };
        Ok(Step::Frame { offset, header, payload })
    }

    /// The `len` bytes at `offset`, at most a piece; fewer at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let held = self.piece_start..self.piece_start + self.piece.len() as u64;
        if offset < held.start || offset + len as u64 > held.end {
            self.piece = self.fs.read_at(self.path, offset, PIECE)?;
            self.piece_start = offset;
        }
        let from = (offset - self.piece_start) as usize;
        let to = (from + len).min(self.piece.len());
        Ok(&self.piece[from..to])
    }
}

/// Every intact frame header from `from` to the end of the file, wherever it begins, is passed to `each`. For
/// looking behind a bad place.
pub(crate) fn search(
    fs: &dyn Fs,
    path: &Path,
    seed: Seed,
    from: u64,
    mut each: impl FnMut(u64, FrameHeader),
) -> io::Result<()> {
    let mut start = from;
    loop {
        let piece = fs.read_at(path, start, PIECE)?;
        let mut at = 0;
        while let Some(step) = piece[at..].iter().position(|byte| *byte == FRAME_MAGIC[0]) {
            at += step;
            if let Ok(header) = FrameHeader::decode(&piece[at..], seed, start + at as u64) {
                each(start + at as u64, header);
            }
            at += 1;
        }
        if piece.len() < PIECE {
            return Ok(());
        }
        start += (PIECE - FRAME_HEADER_LEN + 1) as u64;
    }
}
