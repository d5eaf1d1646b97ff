//! The boundary to the disk: requests as data, and who executes them.
//!
//! Nothing else in this crate touches a file. Executed by [`crate::RealFs`] with system calls, or by a simulator
//! that can lose and tear what was not synced. Invariant: a path in a request lies within the directory given to
//! [`crate::Wal::open`], or is one of its ancestors while that directory is being made.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// Something to do to the disk. Paths are shared, not copied, from request to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskRequest {
    /// Creates one directory. Its parent exists. Succeeds when it is there already.
    CreateDir {
        /// The directory.
        path: Arc<Path>,
    },
    /// Creates a new, empty file. Fails with `AlreadyExists` when there is one: nothing is ever emptied.
    Create {
        /// The file.
        path: Arc<Path>,
    },
    /// Writes to an existing file: the pieces one after another, from `offset` on.
    Write {
        /// The file.
        path: Arc<Path>,
        /// Where the first byte goes, in bytes from the file's start. Always its present end.
        offset: u64,
        /// What to write, to be passed to one vectored write. Payloads are in it by reference.
        data: Vec<Bytes>,
    },
    /// Makes a file's data, and its length, durable: fdatasync(2).
    SyncData {
        /// The file.
        path: Arc<Path>,
    },
    /// Makes a directory's entries durable: fsync(2) of the directory.
    SyncDir {
        /// The directory.
        path: Arc<Path>,
    },
    /// Renames a file or a directory. A file may replace another file; a directory replaces nothing.
    Rename {
        /// The present name.
        from: Arc<Path>,
        /// The new name, in the same directory.
        to: Arc<Path>,
    },
    /// Removes a file.
    RemoveFile {
        /// The file.
        path: Arc<Path>,
    },
    /// Removes a directory and all files in it. Succeeds when it is not there.
    RemoveDir {
        /// The directory.
        path: Arc<Path>,
    },
}

impl DiskRequest {
    /// The path it is about; for a rename, the present name.
    pub fn path(&self) -> &Path {
        match self {
            Self::CreateDir { path }
            | Self::Create { path }
            | Self::Write { path, .. }
            | Self::SyncData { path }
            | Self::SyncDir { path }
            | Self::RemoveFile { path }
            | Self::RemoveDir { path } => path,
            Self::Rename { from, .. } => from,
        }
    }

    /// What it does, in one word, for logs and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateDir { .. } => "create-dir",
            Self::Create { .. } => "create",
            Self::Write { .. } => "write",
            Self::SyncData { .. } => "sync-data",
            Self::SyncDir { .. } => "sync-dir",
            Self::Rename { .. } => "rename",
            Self::RemoveFile { .. } => "remove-file",
            Self::RemoveDir { .. } => "remove-dir",
        }
    }
}

/// Executes disk requests and reads. All methods block; all may be called from several threads at once.
pub trait Fs: Send + Sync + 'static {
    /// Does what the request says, wholly: a short write is continued, an interrupted call repeated.
    ///
    /// # Errors
    /// When it could not be done. How much of it was done is then unknown, and the caller must not try again.
    fn execute(&self, request: &DiskRequest) -> io::Result<()>;

    /// Reads `len` bytes from `offset` on; fewer only when the file ends before that.
    ///
    /// # Errors
    /// `NotFound` when there is no such file; anything else is damage.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// The names in a directory, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// The length of a file in bytes, writes not yet synced included.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock on the directory; dropping the result gives it back, as does the process's end.
    ///
    /// # Errors
    /// `WouldBlock` when someone else has it.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>>;
}
