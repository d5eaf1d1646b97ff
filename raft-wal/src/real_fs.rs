//! The disk of a real machine, by system calls.
//!
//! Descriptors of files are kept open and shared by path, up to a bound, the least recently used closed first.
//! Invariant: a cached descriptor is the file that its path names now; so files are opened, created, renamed and
//! removed under the lock of the cache, while reads, writes and syncs run outside it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};

use crate::fs::{DiskRequest, Fs};
use crate::layout;

const DESCRIPTORS: usize = 512;
/// The kernel takes at most 1024 pieces in one vectored write (IOV_MAX).
const PIECES: usize = 1024;

/// Executes requests with system calls. Cheap to share behind an `Arc`; several logs may use one.
#[derive(Debug)]
pub struct RealFs {
    open: Mutex<OpenFiles>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct OpenFiles {
    files: HashMap<PathBuf, (Arc<File>, u64)>,
    /// Counts uses; a file's stamp is its last use.
    uses: u64,
}

impl Default for RealFs {
    fn default() -> Self {
        Self::new()
    }
}

impl RealFs {
    /// Keeps at most 512 descriptors open.
    pub fn new() -> Self {
        Self::with_descriptors(DESCRIPTORS)
    }

    /// Keeps at most `capacity` descriptors open; at least one. A file in use by another thread may be open
    /// beyond that for the time of the call.
    pub fn with_descriptors(capacity: usize) -> Self {
        Self { open: Mutex::default(), capacity: capacity.max(1) }
    }

    fn open_files(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &Path) -> io::Result<Arc<File>> {
        let mut open = self.open_files();
        open.uses += 1;
        let now = open.uses;
        if let Some((file, used)) = open.files.get_mut(path) {
            *used = now;
            return Ok(file.clone());
        }
        // Read-only files can still be read: a dump may run as another user.
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path)?,
            other => other?,
        };
        Ok(open.insert(path, file, now, self.capacity))
    }

    fn write(&self, path: &Path, mut offset: u64, data: &[Bytes]) -> io::Result<()> {
        let file = self.file(path)?;
        let mut slices = [IoSlice::new(&[]); 64];
        let mut many: Vec<IoSlice<'_>>;
        let all: &mut [IoSlice<'_>] = if data.len() <= slices.len() {
            for (slot, piece) in slices.iter_mut().zip(data) {
                *slot = IoSlice::new(piece);
            }
            &mut slices[..data.len()]
        } else {
            many = data.iter().map(|piece| IoSlice::new(piece)).collect();
            &mut many
        };
        let mut rest = all;
        IoSlice::advance_slices(&mut rest, 0); // Drops empty pieces at the front, so that no write is of zero bytes.
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(PIECES)];
            match rustix::io::pwritev(&*file, batch, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl OpenFiles {
    fn insert(&mut self, path: &Path, file: File, now: u64, capacity: usize) -> Arc<File> {
        while self.files.len() >= capacity {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            let Some(oldest) = oldest else { break };
            self.files.remove(&oldest);
        }
        let file = Arc::new(file);
        self.files.insert(path.to_path_buf(), (file.clone(), now));
        file
    }

    /// Forgets the path and everything below it.
    fn forget(&mut self, path: &Path) {
        self.files.retain(|open, _| !open.starts_with(path));
    }
}

fn or_exists(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn or_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl Fs for RealFs {
    fn execute(&self, request: &DiskRequest) -> io::Result<()> {
        match request {
            DiskRequest::CreateDir { path } => or_exists(fs::create_dir(path)),
            DiskRequest::Create { path } => {
                let mut open = self.open_files();
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
                open.forget(path);
                open.uses += 1;
                let now = open.uses;
                open.insert(path, file, now, self.capacity);
                Ok(())
            }
            DiskRequest::Write { path, offset, data } => self.write(path, *offset, data),
            DiskRequest::SyncData { path } => {
                let file = self.file(path)?;
                retried(|| file.sync_data())
            }
            DiskRequest::SyncDir { path } => {
                let dir = File::open(path)?;
                retried(|| dir.sync_all())
            }
            DiskRequest::Rename { from, to } => {
                let mut open = self.open_files();
                open.forget(from);
                open.forget(to);
                fs::rename(from, to)
            }
            DiskRequest::RemoveFile { path } => {
                let mut open = self.open_files();
                open.forget(path);
                fs::remove_file(path)
            }
            DiskRequest::RemoveDir { path } => {
                let mut open = self.open_files();
                open.forget(path);
                or_absent(fs::remove_dir_all(path))
            }
        }
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = self.file(path)?;
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match retried(|| file.read_at(&mut bytes[read..], offset + read as u64))? {
                0 => break,
                count => read += count,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let path = dir.join(layout::LOCK);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(fs: &RealFs, path: &Arc<Path>, offset: u64, data: Vec<Bytes>) {
        fs.execute(&DiskRequest::Write { path: path.clone(), offset, data }).unwrap();
    }

    #[test]
    fn a_write_of_more_pieces_than_the_kernel_takes_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let fs = RealFs::new();
        let path: Arc<Path> = dir.path().join("file").into();
        fs.execute(&DiskRequest::Create { path: path.clone() }).unwrap();
        let pieces: Vec<Bytes> =
            (0..5000_usize).map(|n| Bytes::from(vec![n as u8; if n < 2000 { 0 } else { n % 7 }])).collect();
        write(&fs, &path, 3, pieces.clone());
        write(&fs, &path, 0, vec![Bytes::new(), Bytes::from_static(b"abc"), Bytes::new()]);
        fs.execute(&DiskRequest::SyncData { path: path.clone() }).unwrap();
        let expected = [&b"abc"[..], &pieces.concat()].concat();
        assert_eq!(fs.len(&path).unwrap(), expected.len() as u64);
        assert_eq!(fs.read_at(&path, 0, 1 << 20).unwrap(), expected);
        assert_eq!(fs.read_at(&path, expected.len() as u64, 10).unwrap(), []);
    }

    #[test]
    fn a_path_made_anew_is_another_file_also_for_cached_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let fs = RealFs::new();
        let group: Arc<Path> = dir.path().join("group").into();
        let gone: Arc<Path> = dir.path().join("gone").into();
        let path: Arc<Path> = group.join("file").into();
        for round in 0..3_u8 {
            fs.execute(&DiskRequest::CreateDir { path: group.clone() }).unwrap();
            fs.execute(&DiskRequest::CreateDir { path: group.clone() }).unwrap();
            fs.execute(&DiskRequest::Create { path: path.clone() }).unwrap();
            let again = fs.execute(&DiskRequest::Create { path: path.clone() }).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
            write(&fs, &path, 0, vec![Bytes::from(vec![round; 10])]);
            assert_eq!(fs.read_at(&path, 0, 100).unwrap(), [round; 10]);
            fs.execute(&DiskRequest::SyncDir { path: group.clone() }).unwrap();
            fs.execute(&DiskRequest::Rename { from: group.clone(), to: gone.clone() }).unwrap();
            assert_eq!(fs.read_at(&path, 0, 1).unwrap_err().kind(), io::ErrorKind::NotFound);
            fs.execute(&DiskRequest::RemoveDir { path: gone.clone() }).unwrap();
            fs.execute(&DiskRequest::RemoveDir { path: gone.clone() }).unwrap();
        }
        assert_eq!(fs.list(&group).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn no_more_descriptors_stay_open_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let fs = RealFs::with_descriptors(4);
        let paths: Vec<Arc<Path>> = (0..20).map(|n| dir.path().join(format!("{n:02}")).into()).collect();
        for path in &paths {
            fs.execute(&DiskRequest::Create { path: path.clone() }).unwrap();
            write(&fs, path, 0, vec![Bytes::from(path.to_string_lossy().into_owned())]);
            fs.read_at(&paths[0], 0, 1).unwrap();
            assert!(fs.open_files().files.len() <= 4);
        }
        assert!(fs.open_files().files.contains_key(&*paths[0]), "the one in use stays");
        assert_eq!(fs.list(dir.path()).unwrap().len(), 20);
        for path in &paths {
            assert_eq!(fs.read_at(path, 0, 1000).unwrap(), path.to_string_lossy().as_bytes());
        }
    }
}
