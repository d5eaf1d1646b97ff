//! Known bugs, put back on purpose: a simulator that does not find them is worth nothing.
//!
//! They live in the simulated host, which lies to an unchanged node about its disk. No code of the product knows them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use raft_core::{DiskId, GroupId};
use raft_wal::DiskRequest;
use raft_wal::frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, SEGMENT_HEADER_LEN, Seed};

/// A bug to look for. The numbers are those of the project's list of historical bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A vote is sent before its fsync: rounds that carry term and vote are reported durable at once.
    M03,
    /// Entries are acknowledged before their fsync: rounds that carry entries are reported durable at once.
    M06,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 2] = [Mutant::M03, Mutant::M06];

    /// Whether the host lies about a round of these requests.
    pub(crate) fn lies_about(self, disk: DiskId, requests: &[DiskRequest]) -> bool {
        requests.iter().any(|request| match request {
            DiskRequest::Write { path, offset, data } => {
                let bytes: Vec<u8> = data.iter().flat_map(|piece| piece.iter().copied()).collect();
                seed_of(disk, path).is_some_and(|seed| self.is_in(seed, *offset as usize, &bytes))
            }
            _ => false,
        })
    }

    fn is_in(self, seed: Seed, start: usize, bytes: &[u8]) -> bool {
        let mut at = if start == 0 { SEGMENT_HEADER_LEN } else { 0 };
        while let Some(Ok(header)) =
            bytes.get(at..).map(|b| FrameHeader::decode(b, seed, (start + at) as u64))
        {
            let is_meant = match (self, header.kind) {
                (Self::M03, FrameKind::HardState) => header.payload_len > 0,
                (Self::M06, FrameKind::Entry(_)) => true,
                _ => false,
            };
            if is_meant {
                return true;
            }
            at += FRAME_HEADER_LEN + header.payload_len as usize;
        }
        false
    }
}

/// The seed of the segment at `.../groups/<group>/<number>.seg`; `None` for other files.
fn seed_of(disk: DiskId, path: &Path) -> Option<Seed> {
    let number = path.file_name()?.to_str()?.strip_suffix(".seg")?.parse().ok()?;
    let group = u64::from_str_radix(path.parent()?.file_name()?.to_str()?, 16).ok()?;
    Some(Seed::new(disk, GroupId::from_u64(group), number))
}

/// Says which names there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMutant(pub String);

impl fmt::Display for UnknownMutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no mutant {}; there are m03 and m06", self.0)
    }
}

impl std::error::Error for UnknownMutant {}

impl FromStr for Mutant {
    type Err = UnknownMutant;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|m| m.to_string() == name).ok_or_else(|| UnknownMutant(name.to_string()))
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::M03 => "m03",
            Self::M06 => "m06",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use raft_core::{Configuration, HardState, LogId, LogIndex, NodeId, ReplicaId, Term};
    use raft_wal::{Entry, EntryKind, Fs, Options, Wal};

    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn a_round_is_lied_about_by_what_it_carries() {
        let (disk, id, group) = (SimDisk::new(), DiskId::new(4), GroupId::new(1, 1));
        let options = Options { format_as: Some(id), ..Options::default() };
        let (mut wal, _) = Wal::open(Arc::new(disk.clone()), Path::new("/wal"), options).unwrap();
        let mut lies = |fill: &mut dyn FnMut(&mut raft_wal::Batch)| {
            let mut batch = wal.batch();
            fill(&mut batch);
            let submitted = wal.submit(batch).unwrap();
            submitted.requests.iter().for_each(|request| disk.execute(request).unwrap());
            Mutant::ALL.map(|mutant| mutant.lies_about(id, &submitted.requests))
        };
        let vote = Some(ReplicaId::new(NodeId::new(1), id));
        let entry_id = LogId::new(Term::new(1), LogIndex::new(1));
        let entry = Entry { id: entry_id, kind: EntryKind::Noop, payload: Bytes::new() };
        assert_eq!(lies(&mut |b| b.create(group, &Configuration::none(), Bytes::new())), [false, false]);
        assert_eq!(
            lies(&mut |b| b.hard_state(group, HardState { term: Term::new(1), vote: None })),
            [false, false]
        );
        assert_eq!(lies(&mut |b| b.hard_state(group, HardState { term: Term::new(1), vote })), [true, false]);
        assert_eq!(lies(&mut |b| b.append(group, entry.clone())), [false, true]);
    }

    #[test]
    fn names_are_read_back() {
        for mutant in Mutant::ALL {
            assert_eq!(mutant.to_string().parse(), Ok(mutant));
        }
        assert!("m99".parse::<Mutant>().is_err());
    }
}
