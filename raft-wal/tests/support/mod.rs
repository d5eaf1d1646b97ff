//! What the tests share: a disk in memory that loses what was not synced, and shorthand for entries.
#![allow(dead_code, unreachable_pub)] // each test file uses its part of it

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use raft_core::{DiskId, GroupId, LogId, LogIndex, Term};
use raft_wal::{DiskRequest, Entry, EntryKind, Fs, GroupState, OpenError, Options, Submitted, Wal};

/// A small generator, so that a failing test is named by one number.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Inode(usize);

#[derive(Clone, Debug)]
enum Change {
    Add(String, Inode),
    Remove(String),
    Rename(String, String, Inode),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Inode>) {
        match self {
            Change::Add(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Change::Remove(name) => {
                names.remove(name);
            }
            Change::Rename(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Node {
    File { durable: Vec<u8>, live: Vec<u8>, unsynced: Vec<(u64, Vec<u8>)> },
    Dir { durable: BTreeMap<String, Inode>, live: BTreeMap<String, Inode>, unsynced: Vec<Change> },
}

#[derive(Clone, Debug)]
struct Disk {
    nodes: Vec<Node>,
}

/// A disk in memory: what was not synced may be lost, in part and in any order, at [`MemFs::crash`].
#[derive(Debug)]
pub struct MemFs {
    disk: Mutex<Disk>,
    locked: Arc<AtomicBool>,
}

struct Lock(Arc<AtomicBool>);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

const SECTOR: u64 = 512;

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut at = Inode(0);
        for part in path.components() {
            if let Component::Normal(name) = part {
                let Node::Dir { live, .. } = &self.nodes[at.0] else { return Err(not_found()) };
                at = *live.get(name.to_str().unwrap()).ok_or_else(not_found)?;
            }
        }
        Ok(at)
    }

    fn names(&mut self, dir: &Path) -> io::Result<(&mut BTreeMap<String, Inode>, &mut Vec<Change>)> {
        let inode = self.find(dir)?;
        match &mut self.nodes[inode.0] {
            Node::Dir { live, unsynced, .. } => Ok((live, unsynced)),
            Node::File { .. } => Err(not_found()),
        }
    }

    fn change(&mut self, dir: &Path, change: Change) -> io::Result<()> {
        let (live, unsynced) = self.names(dir)?;
        change.apply(live);
        unsynced.push(change);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<()> {
        self.nodes.push(node);
        let inode = Inode(self.nodes.len() - 1);
        self.change(parent(path), Change::Add(name(path), inode))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn empty_dir() -> Node {
    Node::Dir { durable: BTreeMap::new(), live: BTreeMap::new(), unsynced: Vec::new() }
}

fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset as usize..end].copy_from_slice(bytes);
}

impl MemFs {
    pub fn new() -> Arc<Self> {
        let disk = Disk { nodes: vec![empty_dir()] };
        Arc::new(Self { disk: Mutex::new(disk), locked: Arc::default() })
    }

    /// A copy as it is now, unlocked.
    pub fn fork(&self) -> Arc<Self> {
        let disk = self.disk.lock().unwrap().clone();
        Arc::new(Self { disk: Mutex::new(disk), locked: Arc::default() })
    }

    /// A power cut: of everything not synced, an arbitrary part survives. Writes tear at 512 bytes.
    pub fn crash(&self, rng: &mut Rng) {
        let mut disk = self.disk.lock().unwrap();
        let mood = rng.below(4);
        for node in &mut disk.nodes {
            match node {
                Node::File { durable, live, unsynced } => {
                    let keep_files = rng.below(3);
                    let mut sectors: Vec<(u64, Vec<u8>)> = Vec::new();
                    for (offset, bytes) in unsynced.drain(..) {
                        let mut at = 0;
                        while at < bytes.len() {
                            let start = offset + at as u64;
                            let len = ((SECTOR - start % SECTOR) as usize).min(bytes.len() - at);
                            sectors.push((start, bytes[at..at + len].to_vec()));
                            at += len;
                        }
                    }
                    let prefix = rng.below(sectors.len() as u64 + 1) as usize;
                    for (nth, (start, bytes)) in sectors.into_iter().enumerate() {
                        let keep = match mood {
                            0 => false,
                            1 => true,
                            2 => nth < prefix,
                            _ => keep_files == 0 || (keep_files == 1 && !rng.one_in(4)),
                        };
                        if keep {
                            write(durable, start, &bytes);
                        }
                    }
                    // The new length may have become durable without the data.
                    if live.len() > durable.len() && rng.one_in(3) {
                        let more = rng.below((live.len() - durable.len()) as u64 + 1) as usize;
                        durable.resize(durable.len() + more, 0);
                    }
                    live.clone_from(durable);
                }
                Node::Dir { durable, live, unsynced } => {
                    for change in unsynced.drain(..) {
                        if mood != 0 && (mood == 1 || rng.one_in(2)) {
                            change.apply(durable);
                        }
                    }
                    live.clone_from(durable);
                }
            }
        }
        self.locked.store(false, Ordering::SeqCst);
    }

    /// The files below a directory, by path.
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for name in self.list(dir).unwrap_or_default() {
            let path = dir.join(name);
            match self.len(&path) {
                Ok(_) => files.push(path),
                Err(_) => files.extend(self.files(&path)),
            }
        }
        files
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk.lock().unwrap();
        let inode = disk.find(path).unwrap();
        let Node::File { durable, live, .. } = &mut disk.nodes[inode.0] else {
            panic!("{path:?} is no file")
        };
        change(live);
        durable.clone_from(live);
    }
}

impl Fs for MemFs {
    fn execute(&self, request: &DiskRequest) -> io::Result<()> {
        let mut disk = self.disk.lock().unwrap();
        match request {
            DiskRequest::CreateDir { path } => match disk.find(path) {
                Ok(_) => Ok(()),
                Err(_) => disk.add(path, empty_dir()),
            },
            DiskRequest::Create { path } => match disk.find(path) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => {
                    disk.add(path, Node::File { durable: Vec::new(), live: Vec::new(), unsynced: Vec::new() })
                }
            },
            DiskRequest::Write { path, offset, data } => {
                let inode = disk.find(path)?;
                let Node::File { live, unsynced, .. } = &mut disk.nodes[inode.0] else {
                    return Err(not_found());
                };
                assert_eq!(*offset, live.len() as u64, "a write to {path:?} does not append");
                let bytes = data.concat();
                write(live, *offset, &bytes);
                unsynced.push((*offset, bytes));
                Ok(())
            }
            DiskRequest::SyncData { path } | DiskRequest::SyncDir { path } => {
                let inode = disk.find(path)?;
                match &mut disk.nodes[inode.0] {
                    Node::File { durable, live, unsynced } => {
                        durable.clone_from(live);
                        unsynced.clear();
                    }
                    Node::Dir { durable, live, unsynced } => {
                        durable.clone_from(live);
                        unsynced.clear();
                    }
                }
                Ok(())
            }
            DiskRequest::Rename { from, to } => {
                let inode = disk.find(from)?;
                if let Ok(target) = disk.find(to) {
                    assert!(matches!(disk.nodes[target.0], Node::File { .. }), "{to:?} is in the way");
                }
                disk.change(parent(from), Change::Rename(name(from), name(to), inode))
            }
            DiskRequest::RemoveFile { path } | DiskRequest::RemoveDir { path } => match disk.find(path) {
                Err(_) if matches!(request, DiskRequest::RemoveDir { .. }) => Ok(()),
                Err(error) => Err(error),
                Ok(inode) => {
                    if let Node::Dir { live, unsynced, .. } = &mut disk.nodes[inode.0] {
                        unsynced.extend(live.keys().cloned().map(Change::Remove));
                        live.clear();
                    }
                    disk.change(parent(path), Change::Remove(name(path)))
                }
            },
        }
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let disk = self.disk.lock().unwrap();
        let inode = disk.find(path)?;
        let Node::File { live, .. } = &disk.nodes[inode.0] else { return Err(not_found()) };
        let from = (offset as usize).min(live.len());
        Ok(live[from..(from + len).min(live.len())].to_vec())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.disk.lock().unwrap();
        Ok(disk.names(dir)?.0.keys().cloned().collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let disk = self.disk.lock().unwrap();
        let inode = disk.find(path)?;
        match &disk.nodes[inode.0] {
            Node::File { live, .. } => Ok(live.len() as u64),
            Node::Dir { .. } => Err(not_found()),
        }
    }

    fn lock(&self, _dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(self.locked.clone())))
    }
}

pub const DIR: &str = "/data/wal";

pub fn small() -> Options {
    Options {
        segment_bytes: 4096,
        tail_cache_bytes: 2048,
        format_as: Some(DiskId::new(77)),
        ..Options::default()
    }
}

pub fn open(fs: &Arc<MemFs>, options: Options) -> Result<(Wal, Vec<GroupState>), OpenError> {
    Wal::open(fs.clone(), Path::new(DIR), options)
}

/// Executes a round and reports it.
pub fn complete(wal: &mut Wal, fs: &dyn Fs, submitted: Submitted) {
    for request in &submitted.requests {
        fs.execute(request).unwrap();
    }
    wal.completed(submitted.round);
}

pub fn group(number: u32) -> GroupId {
    GroupId::new(number, 1)
}

pub fn id(term: u64, index: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

pub fn command(term: u64, index: u64, payload: impl Into<Vec<u8>>) -> Entry {
    Entry { id: id(term, index), kind: EntryKind::Command, payload: Bytes::from(payload.into()) }
}

/// All entries of a group, by as many reads as it takes.
pub fn read_all(wal: &Wal, group: GroupId) -> Vec<Entry> {
    let reader = wal.reader(group).unwrap();
    let last = wal.last(group).unwrap().index;
    let mut entries: Vec<Entry> = Vec::new();
    while (entries.len() as u64) < last.as_u64() {
        let first = LogIndex::new(entries.len() as u64 + 1);
        let more = reader.read_from(first, last, 1500).unwrap();
        assert!(!more.is_empty());
        entries.extend(more);
    }
    entries
}
