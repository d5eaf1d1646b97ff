//! Which disk a data directory is.

use std::path::Path;
use std::sync::Arc;

use raft_core::DiskId;
use raft_wal::{OpenError, RealFs, Wal};

/// The disk's identity, drawn now if the directory is new. Holds the directory's lock for a moment, so it must be
/// called before the node starts. Blocks on the disk.
pub(super) fn disk_of(dir: &Path, options: raft_wal::Options) -> Result<DiskId, OpenError> {
    let (wal, _) = Wal::open(Arc::new(RealFs::new()), dir, options)?;
    Ok(wal.identity().disk)
}
