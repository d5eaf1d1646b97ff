//! One group's log as it lies on a platter: what would be left if the power went now and luck kept nothing.
//!
//! Decoded here from the durable bytes, frame by frame as they become durable, by rules of its own: the log that is
//! being tested is never asked. Invariant: what an image holds survives any crash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use raft_core::{DiskId, GroupId, HardState, LogId, LogIndex, NodeId, ReplicaId, Term};
use raft_wal::EntryKind;
use raft_wal::frame::{FRAME_HEADER_LEN, FrameHeader, FrameKind, SEGMENT_HEADER_LEN, Seed, SegmentHeader};

use raft_net::request::RequestId;

use super::content;
use crate::disk::SimDisk;

/// An entry that is on the platter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) term: Term,
    /// The hash of all its bytes.
    pub(crate) raw: u64,
    /// The hash of what its state machine is shown.
    pub(crate) content: u64,
    /// The request that a command came with.
    pub(crate) request: Option<RequestId>,
}

/// Something that became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// An entry. It is the last one now.
    Entry(LogId, Held),
    /// The log was cut after this index; the first entry dropped had this term.
    Cut(LogIndex, Term),
    /// Term and vote changed, from the first to the second.
    HardState(HardState, HardState),
    /// A record that no sane log holds.
    Nonsense(&'static str),
}

/// Where decoding goes on.
#[derive(Clone, Debug)]
struct Place {
    number: u64,
    name: String,
    seed: Seed,
    offset: usize,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    disk: DiskId,
    group: GroupId,
    dir: PathBuf,
    place: Option<Place>,
    /// The last record's sequence number and CRC: what the next one must name.
    sequence: u64,
    crc: u32,
    is_created: bool,
    hard_state: HardState,
    votes: BTreeMap<Term, ReplicaId>,
    log: Vec<Held>,
}

impl Image {
    /// The image of a group on a disk whose log directory is `wal_dir`; nothing is durable yet.
    pub(crate) fn new(wal_dir: &Path, disk: DiskId, group: GroupId) -> Self {
        Self {
            disk,
            group,
            dir: wal_dir.join("groups").join(format!("{:016x}", group.as_u64())),
            place: None,
            sequence: 0,
            crc: 0,
            is_created: false,
            hard_state: HardState::default(),
            votes: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    /// An image that holds entries of these terms, whatever is on any disk.
    #[cfg(test)]
    pub(crate) fn holding(terms: &[u64]) -> Self {
        let held = |term: &u64| Held { term: Term::new(*term), raw: 0, content: 0, request: None };
        let mut image = Self::new(Path::new("/wal"), DiskId::new(0), GroupId::ROOT);
        image.is_created = true;
        image.log = terms.iter().map(held).collect();
        image
    }

    /// Puts term and vote there, whatever is on any disk.
    #[cfg(test)]
    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
        self.votes.extend(hard_state.vote.map(|vote| (hard_state.term, vote)));
    }

    /// Whether the group's creation is durable.
    pub(crate) fn is_created(&self) -> bool {
        self.is_created
    }

    /// The latest durable term and vote.
    pub(crate) fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Who got this disk's vote in a term, if that is durable.
    pub(crate) fn vote(&self, term: Term) -> Option<ReplicaId> {
        self.votes.get(&term).copied()
    }

    /// The last durable index.
    pub(crate) fn last_index(&self) -> LogIndex {
        LogIndex::new(self.log.len() as u64)
    }

    /// The term of a durable entry; zero before the first one, `None` beyond the last.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        match index.as_u64().checked_sub(1) {
            None => Some(Term::ZERO),
            Some(at) => self.log.get(usize::try_from(at).ok()?).map(|held| held.term),
        }
    }

    /// Takes in what has become durable, and says what it was.
    pub(crate) fn refresh(&mut self, disk: &SimDisk, news: &mut Vec<News>) {
        if !self.is_created {
            // A torn creation is thrown away, and what comes later begins anew.
            (self.place, self.sequence, self.crc) = (None, 0, 0);
        }
        loop {
            if let Some(place) = &self.place {
                let (dir, name) = (self.dir.clone(), place.name.clone());
                disk.durable(&dir, &name, |bytes| self.decode(bytes, news));
            }
            if !self.go_on(disk) {
                return;
            }
        }
    }

    /// Goes on to the segment that says it begins where we are. A torn end is passed over that way.
    fn go_on(&mut self, disk: &SimDisk) -> bool {
        let here = self.place.as_ref().map(|place| (place.number, place.offset as u64));
        let (previous, previous_end) = here.unwrap_or_default();
        let after = self.place.as_ref().map_or("", |place| &place.name);
        for name in disk.durable_names_after(&self.dir, after) {
            let header = disk.durable(&self.dir, &name, SegmentHeader::decode);
            let Some(Ok(header)) = header else { continue };
            let follows = (header.previous, header.previous_end) == (previous, previous_end)
                && (header.disk, header.group) == (self.disk, self.group)
                && (header.sequence, header.chain) == (self.sequence + 1, self.crc);
            if follows {
                (self.sequence, self.crc) = (header.sequence, header.crc);
                let (number, seed) = (header.number, header.seed());
                self.place = Some(Place { number, name, seed, offset: SEGMENT_HEADER_LEN });
                return true;
            }
        }
        false
    }

    /// Decodes frames up to the first that is not wholly there.
    fn decode(&mut self, bytes: &[u8], news: &mut Vec<News>) {
        while let Some(place) = &mut self.place {
            let offset = place.offset;
            let Some(rest) = bytes.get(offset..) else { return };
            let Ok(header) = FrameHeader::decode(rest, place.seed, offset as u64) else { return };
            let end = FRAME_HEADER_LEN + header.payload_len as usize;
            let Some(payload) = rest.get(FRAME_HEADER_LEN..end) else { return };
            let follows = (header.sequence, header.chain) == (self.sequence + 1, self.crc);
            if !follows || crc32fast::hash(payload) != header.payload_crc {
                return;
            }
            place.offset += end;
            (self.sequence, self.crc) = (header.sequence, header.crc);
            self.take(&header, payload, news);
        }
    }

    fn take(&mut self, header: &FrameHeader, payload: &[u8], news: &mut Vec<News>) {
        match header.kind {
            FrameKind::Genesis => self.is_created = true,
            FrameKind::Mark => {}
            FrameKind::HardState => {
                let vote = vote(payload);
                let hard_state = HardState { term: header.term, vote };
                if let Some(vote) = vote {
                    self.votes.entry(header.term).or_insert(vote);
                }
                news.push(News::HardState(self.hard_state, hard_state));
                self.hard_state = hard_state;
            }
            FrameKind::Truncate => {
                let after = header.index.as_u64() as usize;
                match self.log.get(after) {
                    Some(first) => {
                        news.push(News::Cut(header.index, first.term));
                        self.log.truncate(after);
                    }
                    None => news.push(News::Nonsense("a cut beyond the end of the log")),
                }
            }
            FrameKind::Entry(kind) => self.take_entry(header, kind, payload, news),
        }
    }

    fn take_entry(&mut self, header: &FrameHeader, kind: EntryKind, payload: &[u8], news: &mut Vec<News>) {
        if header.index != self.last_index().next() {
            news.push(News::Nonsense("an entry that leaves a gap"));
        }
        let raw = content::raw(kind, payload);
        let (content, request) = (content::of_payload(kind, payload), content::request_of(kind, payload));
        let held = Held { term: header.term, raw, content, request };
        self.log.push(held);
        news.push(News::Entry(LogId::new(header.term, header.index), held));
    }
}

fn vote(payload: &[u8]) -> Option<ReplicaId> {
    let node = u64::from_le_bytes(payload.get(..8)?.try_into().ok()?);
    let disk = u128::from_le_bytes(payload.get(8..24)?.try_into().ok()?);
    Some(ReplicaId::new(NodeId::new(node), DiskId::new(disk)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use raft_core::Configuration;
    use raft_wal::{Entry, Fs, Options, Wal};

    use super::*;
    use crate::disk::Survival;
    use crate::rng::{Rng, Stream};

    const GROUP: GroupId = GroupId::new(1, 1);

    fn open(disk: &SimDisk) -> (Wal, Vec<raft_wal::GroupState>) {
        let options = Options { segment_bytes: 4096, format_as: Some(DiskId::new(9)), ..Options::default() };
        Wal::open(Arc::new(disk.clone()), Path::new("/wal"), options).unwrap()
    }

    fn entry(index: u64, term: u64) -> Entry {
        let id = LogId::new(Term::new(term), LogIndex::new(index));
        Entry { id, kind: EntryKind::Batch, payload: Bytes::from(vec![index as u8; 700]) }
    }

    fn refreshed(image: &mut Image, disk: &SimDisk) -> Vec<News> {
        let mut news = Vec::new();
        image.refresh(disk, &mut news);
        news
    }

    #[test]
    fn an_image_knows_what_is_synced_and_nothing_else() {
        let disk = SimDisk::new();
        let (mut wal, _) = open(&disk);
        let mut image = Image::new(Path::new("/wal"), DiskId::new(9), GROUP);
        let vote = ReplicaId::new(NodeId::new(2), DiskId::new(5));
        let hard_state = HardState { term: Term::new(3), vote: Some(vote) };
        let mut batch = wal.batch();
        batch.create(GROUP, &Configuration::none(), Bytes::new());
        batch.hard_state(GROUP, hard_state);
        for index in 1..=20 {
            batch.append(GROUP, entry(index, 3)); // several segments
        }
        let submitted = wal.submit(batch).unwrap();
        let last = submitted.requests.len() - 1;
        for request in &submitted.requests[..last] {
            disk.execute(request).unwrap();
            refreshed(&mut image, &disk);
        }
        assert!(!image.is_created(), "its directory could still be lost");
        disk.execute(&submitted.requests[last]).unwrap();
        let news = refreshed(&mut image, &disk);
        assert_eq!(news.len(), 21);
        assert_eq!(image.last_index(), LogIndex::new(20));
        assert_eq!(image.term_at(LogIndex::new(20)), Some(Term::new(3)));
        assert_eq!(image.term_at(LogIndex::new(21)), None);
        assert_eq!((image.hard_state(), image.vote(Term::new(3))), (hard_state, Some(vote)));
    }

    #[test]
    fn an_image_agrees_with_recovery_after_every_power_cut() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed, Stream::Disk(0));
            let disk = SimDisk::new();
            let mut image = Image::new(Path::new("/wal"), DiskId::new(9), GROUP);
            let mut last = 0;
            for life in 1..=4 {
                let (mut wal, states) = open(&disk);
                refreshed(&mut image, &disk);
                assert_eq!(image.is_created(), !states.is_empty(), "seed {seed}");
                if let Some(state) = states.first() {
                    assert_eq!(state.runs.last_index(), image.last_index(), "seed {seed}");
                    assert_eq!(state.hard_state, image.hard_state(), "seed {seed}");
                    last = state.runs.last_index().as_u64();
                } else {
                    last = 0;
                    let mut batch = wal.batch();
                    batch.create(GROUP, &Configuration::none(), Bytes::new());
                    for request in wal.submit(batch).unwrap().requests {
                        if rng.chance(900) {
                            disk.execute(&request).unwrap();
                        } else {
                            break;
                        }
                    }
                }
                if wal.durable() == raft_wal::Round::ZERO && states.is_empty() {
                    drop(wal);
                    disk.cut_power(Survival::Subset, &mut rng);
                    continue;
                }
                let mut batch = wal.batch();
                let cut = rng.between(0, last);
                batch.hard_state(GROUP, HardState { term: Term::new(life), vote: None });
                batch.truncate(GROUP, LogIndex::new(cut));
                for index in cut + 1..=cut + 9 {
                    batch.append(GROUP, entry(index, life));
                }
                let submitted = wal.submit(batch).unwrap();
                let done = rng.between(0, submitted.requests.len() as u64) as usize;
                for request in &submitted.requests[..done] {
                    disk.execute(request).unwrap();
                }
                drop(wal);
                let survival = [Survival::None, Survival::Prefix, Survival::Subset][seed as usize % 3];
                disk.cut_power(survival, &mut rng);
            }
            let _ = last;
        }
    }
}
