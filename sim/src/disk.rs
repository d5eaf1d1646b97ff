//! A disk in memory that forgets what was not synced.
//!
//! It has what POSIX promises and no more: a page cache and an fdatasync per file, cached entries and an fsync per
//! directory, atomic renames, and nothing about the order in which unsynced things reach the platter. A killed
//! process leaves the cache; a power cut leaves what was synced and, by the luck of the draw, some of the rest, in
//! sectors of 512 bytes. Files only grow: a write anywhere but at the end is refused, since the log never does it.
//!
//! Invariant: bytes and entries that a sync has covered are there after any crash.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_wal::{DiskRequest, Fs};

use crate::rng::Rng;

/// What is written or lost as a whole, in bytes.
pub const SECTOR: usize = 512;

/// What a power cut leaves of the writes that no sync has covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    None,
    /// Of each file and directory a random number of the oldest ones.
    Prefix,
    /// Of each file a random set of sectors, of each directory a random set of changes.
    Subset,
}

type InodeNumber = usize;
const ROOT: InodeNumber = 0;

#[derive(Debug)]
enum Inode {
    File(File),
    Dir(Dir),
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many of them are on the platter.
    synced: usize,
}

#[derive(Debug, Default)]
struct Dir {
    entries: BTreeMap<Box<str>, InodeNumber>,
    durable: BTreeMap<Box<str>, InodeNumber>,
    /// What makes `entries` of `durable`, in order.
    pending: Vec<Change>,
    locked: bool,
}

/// A change of a directory. Each is atomic.
#[derive(Clone, Debug)]
enum Change {
    Link(Box<str>, InodeNumber),
    Unlink(Box<str>),
    Rename { from: Box<str>, to: Box<str>, inode: InodeNumber },
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<Box<str>, InodeNumber>) {
        match self {
            Self::Link(name, inode) => {
                entries.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                entries.remove(name);
            }
            // Without its creation there is nothing to rename.
            Self::Rename { from, to, inode } => {
                if entries.get(from) == Some(inode) {
                    entries.remove(from);
                    entries.insert(to.clone(), *inode);
                }
            }
        }
    }
}

impl Dir {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.entries);
        self.pending.push(change);
    }
}

#[derive(Debug)]
struct State {
    inodes: Vec<Inode>,
    /// Requests until the process dies; `None` when it lives on.
    fuse: Option<u64>,
}

/// One host's disk. Cheap to clone: clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// A disk with an empty root directory, which is durable.
    pub fn new() -> Self {
        let state = State { inodes: vec![Inode::Dir(Dir::default())], fuse: None };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the process die after so many further requests: from then on each fails. `None` lets it live.
    pub fn set_fuse(&self, requests: Option<u64>) {
        self.state().fuse = requests;
    }

    /// Does the part of a request that was done when its process died: of a write the first bytes, by lot.
    pub fn execute_cut_short(&self, request: &DiskRequest, rng: &mut Rng) {
        if let DiskRequest::Write { path, offset, data } = request {
            let bytes: Vec<u8> = data.iter().flat_map(|piece| piece.iter().copied()).collect();
            let keep = rng.between(0, bytes.len() as u64) as usize;
            // A write that could not have begun leaves nothing, which is what is wanted.
            let _ = self.state().write(path, *offset, &[&bytes[..keep]]);
        }
    }

    /// Cuts the power: what was synced stays, and of the rest what `survival` and the lot leave.
    pub fn cut_power(&self, survival: Survival, rng: &mut Rng) {
        self.state().cut_power(survival, rng);
    }

    /// The bytes of a file that are on the platter under this very path; `None` when a power cut could lose the
    /// path. `read` gets all of them.
    pub fn durable<T>(&self, dir: &Path, name: &str, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let state = self.state();
        match &state.inodes[*state.durable_dir(dir)?.durable.get(name)?] {
            Inode::File(file) => Some(read(&file.bytes[..file.synced])),
            Inode::Dir(_) => None,
        }
    }

    /// The names of a directory that are on the platter and sort after `name`, sorted. Empty when the directory
    /// itself could be lost.
    pub fn durable_names_after(&self, dir: &Path, name: &str) -> Vec<String> {
        let state = self.state();
        let after = (Bound::Excluded(name), Bound::Unbounded);
        let names = state.durable_dir(dir).map(|dir| dir.durable.range::<str, _>(after));
        names.into_iter().flatten().map(|(name, _)| name.to_string()).collect()
    }
}

fn names(path: &Path) -> impl Iterator<Item = &str> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    })
}

fn not_found() -> io::Error {
    ErrorKind::NotFound.into()
}

impl State {
    fn find(&self, path: &Path) -> io::Result<InodeNumber> {
        names(path).try_fold(ROOT, |at, name| match &self.inodes[at] {
            Inode::Dir(dir) => dir.entries.get(name).copied().ok_or_else(not_found),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        })
    }

    fn dir(&self, path: &Path) -> io::Result<&Dir> {
        match &self.inodes[self.find(path)?] {
            Inode::Dir(dir) => Ok(dir),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, path: &Path) -> io::Result<&mut Dir> {
        let at = self.find(path)?;
        match &mut self.inodes[at] {
            Inode::Dir(dir) => Ok(dir),
            Inode::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<&File> {
        match &self.inodes[self.find(path)?] {
            Inode::File(file) => Ok(file),
            Inode::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, path: &Path) -> io::Result<&mut File> {
        let at = self.find(path)?;
        match &mut self.inodes[at] {
            Inode::File(file) => Ok(file),
            Inode::Dir(_) => Err(ErrorKind::IsADirectory.into()),
        }
    }

    /// The directory, if its path can be lost by no crash.
    fn durable_dir(&self, path: &Path) -> Option<&Dir> {
        let mut at = ROOT;
        for name in names(path) {
            let Inode::Dir(dir) = &self.inodes[at] else { return None };
            at = *dir.durable.get(name)?;
        }
        match &self.inodes[at] {
            Inode::Dir(dir) => Some(dir),
            Inode::File(_) => None,
        }
    }

    /// Splits a path into its directory and its name there.
    fn place<'a>(&mut self, path: &'a Path) -> io::Result<(&mut Dir, &'a str)> {
        let invalid = || io::Error::from(ErrorKind::InvalidInput);
        let name = names(path).last().ok_or_else(invalid)?;
        let parent = path.parent().ok_or_else(invalid)?;
        Ok((self.dir_mut(parent)?, name))
    }

    fn link(&mut self, path: &Path, inode: Inode) -> io::Result<()> {
        let number = self.inodes.len();
        let (dir, name) = self.place(path)?;
        if dir.entries.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        dir.change(Change::Link(name.into(), number));
        self.inodes.push(inode);
        Ok(())
    }

    fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        if !dir.entries.contains_key(name) {
            return Err(not_found());
        }
        dir.change(Change::Unlink(name.into()));
        Ok(())
    }

    fn write(&mut self, path: &Path, offset: u64, pieces: &[&[u8]]) -> io::Result<()> {
        let file = self.file_mut(path)?;
        if offset != file.bytes.len() as u64 {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "a write that is not at the end of its file",
            ));
        }
        for piece in pieces {
            file.bytes.extend_from_slice(piece);
        }
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if from.parent() != to.parent() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a rename into another directory"));
        }
        let inode = self.find(from)?;
        if let (Inode::Dir(_), Ok(_)) = (&self.inodes[inode], self.find(to)) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let new = names(to).last().ok_or(ErrorKind::InvalidInput)?;
        let (dir, name) = self.place(from)?;
        dir.change(Change::Rename { from: name.into(), to: new.into(), inode });
        Ok(())
    }

    fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let children: Vec<Box<str>> = match self.dir(path) {
            Ok(dir) => dir.entries.keys().cloned().collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for name in children {
            self.dir_mut(path)?.change(Change::Unlink(name));
        }
        self.unlink(path)
    }

    fn execute(&mut self, request: &DiskRequest) -> io::Result<()> {
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                return Err(io::Error::other("the process died here"));
            }
            *left -= 1;
        }
        match request {
            DiskRequest::CreateDir { path } => match self.link(path, Inode::Dir(Dir::default())) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => self.dir(path).map(|_| ()),
                done => done,
            },
            DiskRequest::Create { path } => self.link(path, Inode::File(File::default())),
            DiskRequest::Write { path, offset, data } => {
                let pieces: Vec<&[u8]> = data.iter().map(|piece| &piece[..]).collect();
                self.write(path, *offset, &pieces)
            }
            DiskRequest::SyncData { path } => {
                let file = self.file_mut(path)?;
                file.synced = file.bytes.len();
                Ok(())
            }
            DiskRequest::SyncDir { path } => {
                let dir = self.dir_mut(path)?;
                if !dir.pending.is_empty() {
                    dir.durable = dir.entries.clone();
                    dir.pending.clear();
                }
                Ok(())
            }
            DiskRequest::Rename { from, to } => self.rename(from, to),
            DiskRequest::RemoveFile { path } => {
                self.file(path)?;
                self.unlink(path)
            }
            DiskRequest::RemoveDir { path } => self.remove_dir(path),
        }
    }

    fn cut_power(&mut self, survival: Survival, rng: &mut Rng) {
        self.fuse = None;
        for inode in &mut self.inodes {
            match inode {
                Inode::File(file) => file.cut_power(survival, rng),
                Inode::Dir(dir) => dir.cut_power(survival, rng),
            }
        }
    }
}

impl File {
    fn cut_power(&mut self, survival: Survival, rng: &mut Rng) {
        let unsynced = self.bytes.len() - self.synced;
        if unsynced == 0 {
            return;
        }
        match survival {
            Survival::None => self.bytes.truncate(self.synced),
            Survival::Prefix => {
                self.bytes.truncate(self.synced + rng.between(0, unsynced as u64) as usize);
            }
            Survival::Subset => self.tear(rng),
        }
        // What the platter has now, it has for good.
        self.synced = self.bytes.len();
    }

    /// Keeps each sector with the odds of one in two. A lost one in front of a kept one reads as zeros; sometimes
    /// the length had reached the disk before any byte did.
    fn tear(&mut self, rng: &mut Rng) {
        let mut end = if rng.chance(250) { self.bytes.len() } else { self.synced };
        let mut at = self.synced;
        while at < self.bytes.len() {
            let next = ((at / SECTOR + 1) * SECTOR).min(self.bytes.len());
            if rng.chance(500) {
                end = end.max(next);
            } else {
                self.bytes[at..next].fill(0);
            }
            at = next;
        }
        self.bytes.truncate(end);
    }
}

impl Dir {
    fn cut_power(&mut self, survival: Survival, rng: &mut Rng) {
        self.locked = false;
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let oldest = rng.between(0, pending.len() as u64) as usize;
        for (nth, change) in pending.iter().enumerate() {
            let survives = match survival {
                Survival::None => false,
                Survival::Prefix => nth < oldest,
                Survival::Subset => rng.chance(500),
            };
            if survives {
                change.apply(&mut self.durable);
            }
        }
        self.entries = self.durable.clone();
    }
}

/// Gives a directory's lock back when its holder dies.
struct Lock {
    disk: SimDisk,
    inode: InodeNumber,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(Inode::Dir(dir)) = self.disk.state().inodes.get_mut(self.inode) {
            dir.locked = false;
        }
    }
}

impl Fs for SimDisk {
    fn execute(&self, request: &DiskRequest) -> io::Result<()> {
        self.state().execute(request)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let state = self.state();
        let bytes = &state.file(path)?.bytes;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(len).min(bytes.len());
        Ok(bytes[from..to].to_vec())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        Ok(state.dir(dir)?.entries.keys().map(|name| name.to_string()).collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.state().file(path)?.bytes.len() as u64)
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state();
        let inode = state.find(dir)?;
        let dir = state.dir_mut(dir)?;
        if dir.locked {
            return Err(ErrorKind::WouldBlock.into());
        }
        dir.locked = true;
        Ok(Box::new(Lock { disk: self.clone(), inode }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::rng::Stream;

    fn path(path: &str) -> Arc<Path> {
        Path::new(path).into()
    }

    fn write(disk: &SimDisk, at: &str, offset: u64, bytes: &[u8]) {
        let data = vec![Bytes::copy_from_slice(bytes)];
        disk.execute(&DiskRequest::Write { path: path(at), offset, data }).unwrap();
    }

    fn run(disk: &SimDisk, requests: &[DiskRequest]) {
        for request in requests {
            disk.execute(request).unwrap();
        }
    }

    /// A file of four durable sectors under a durable path.
    fn disk_with_a_durable_file() -> SimDisk {
        let disk = SimDisk::new();
        run(
            &disk,
            &[
                DiskRequest::CreateDir { path: path("/d") },
                DiskRequest::SyncDir { path: path("/") },
                DiskRequest::Create { path: path("/d/f") },
            ],
        );
        write(&disk, "/d/f", 0, &[7; 4 * SECTOR]);
        run(
            &disk,
            &[DiskRequest::SyncData { path: path("/d/f") }, DiskRequest::SyncDir { path: path("/d") }],
        );
        disk
    }

    const SURVIVALS: [Survival; 3] = [Survival::None, Survival::Prefix, Survival::Subset];

    #[test]
    fn a_synced_byte_survives_every_power_cut() {
        for survival in SURVIVALS {
            for seed in 0..50 {
                let disk = disk_with_a_durable_file();
                write(&disk, "/d/f", 4 * SECTOR as u64, &[8; 3000]);
                disk.cut_power(survival, &mut Rng::new(seed, Stream::Disk(0)));
                let bytes = disk.read_at(Path::new("/d/f"), 0, 4 * SECTOR).unwrap();
                assert_eq!(bytes, [7; 4 * SECTOR], "{survival:?} {seed}");
            }
        }
    }

    #[test]
    fn an_unsynced_byte_may_survive_be_lost_or_be_torn() {
        let lens = |survival| -> Vec<(u64, bool)> {
            let after = |seed| {
                let disk = disk_with_a_durable_file();
                write(&disk, "/d/f", 4 * SECTOR as u64, &[8; 3000]);
                disk.cut_power(survival, &mut Rng::new(seed, Stream::Disk(0)));
                let tail = disk.read_at(Path::new("/d/f"), 4 * SECTOR as u64, 3000).unwrap();
                (tail.len() as u64, tail.contains(&0))
            };
            (0..50).map(after).collect()
        };
        assert!(lens(Survival::None).iter().all(|(len, _)| *len == 0));
        let prefix = lens(Survival::Prefix);
        assert!(prefix.iter().all(|(_, torn)| !torn));
        assert!(prefix.iter().any(|(len, _)| *len > 0 && *len < 3000));
        let subset = lens(Survival::Subset);
        assert!(subset.iter().any(|(_, torn)| *torn), "a lost sector in front of a kept one");
        assert!(subset.iter().any(|(len, _)| *len < 3000));
    }

    #[test]
    fn a_killed_process_leaves_the_page_cache_and_the_next_power_cut_takes_it() {
        let disk = disk_with_a_durable_file();
        write(&disk, "/d/f", 4 * SECTOR as u64, &[8; 10]);
        // The process dies; nothing happens to the disk.
        assert_eq!(disk.len(Path::new("/d/f")).unwrap(), 4 * SECTOR as u64 + 10);
        disk.cut_power(Survival::None, &mut Rng::new(0, Stream::Disk(0)));
        assert_eq!(disk.len(Path::new("/d/f")).unwrap(), 4 * SECTOR as u64);
    }

    #[test]
    fn synced_data_under_an_unsynced_name_is_lost() {
        let disk = disk_with_a_durable_file();
        run(&disk, &[DiskRequest::Create { path: path("/d/g") }]);
        write(&disk, "/d/g", 0, b"data");
        run(&disk, &[DiskRequest::SyncData { path: path("/d/g") }]);
        assert_eq!(disk.durable(Path::new("/d"), "g", <[u8]>::len), None);
        disk.cut_power(Survival::None, &mut Rng::new(0, Stream::Disk(0)));
        assert_eq!(disk.list(Path::new("/d")).unwrap(), ["f"]);
    }

    #[test]
    fn a_rename_is_wholly_done_or_not_at_all() {
        for seed in 0..50 {
            let disk = disk_with_a_durable_file();
            run(&disk, &[DiskRequest::Rename { from: path("/d/f"), to: path("/d/h") }]);
            disk.cut_power(Survival::Subset, &mut Rng::new(seed, Stream::Disk(0)));
            let names = disk.list(Path::new("/d")).unwrap();
            assert!(names == ["f"] || names == ["h"], "{names:?}");
        }
    }

    #[test]
    fn what_is_called_durable_is_there_after_a_power_cut() {
        let disk = disk_with_a_durable_file();
        assert_eq!(disk.durable(Path::new("/d"), "f", <[u8]>::len), Some(4 * SECTOR));
        write(&disk, "/d/f", 4 * SECTOR as u64, b"more");
        assert_eq!(disk.durable(Path::new("/d"), "f", <[u8]>::len), Some(4 * SECTOR));
        assert_eq!(disk.durable_names_after(Path::new("/d"), ""), ["f"]);
        assert!(disk.durable_names_after(Path::new("/d"), "f").is_empty());
        assert!(disk.durable_names_after(Path::new("/nowhere"), "").is_empty());
    }

    #[test]
    fn bytes_are_never_written_over_and_files_never_emptied() {
        let disk = disk_with_a_durable_file();
        let data = vec![Bytes::from_static(b"x")];
        assert!(disk.execute(&DiskRequest::Write { path: path("/d/f"), offset: 3, data }).is_err());
        assert!(disk.execute(&DiskRequest::Create { path: path("/d/f") }).is_err());
    }

    #[test]
    fn a_lock_has_one_holder_until_that_is_gone() {
        let disk = disk_with_a_durable_file();
        let held = disk.lock(Path::new("/d")).unwrap();
        assert!(disk.lock(Path::new("/d")).is_err());
        drop(held);
        assert!(disk.lock(Path::new("/d")).is_ok());
    }

    #[test]
    fn a_blown_fuse_fails_every_request() {
        let disk = disk_with_a_durable_file();
        disk.set_fuse(Some(1));
        assert!(disk.execute(&DiskRequest::SyncDir { path: path("/d") }).is_ok());
        assert!(disk.execute(&DiskRequest::SyncDir { path: path("/d") }).is_err());
        disk.set_fuse(None);
        assert!(disk.execute(&DiskRequest::SyncDir { path: path("/d") }).is_ok());
    }
}
