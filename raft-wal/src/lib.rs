//! A write-ahead log for many Raft groups: it remembers.
//!
//! One append-only, CRC-checked log per group, and batches that span groups and become durable together. Writing
//! does no I/O of its own: [`Wal::submit`] hands out [`DiskRequest`]s, the host executes them in order through an
//! [`Fs`] and reports [`Wal::completed`]. Reading goes to memory for the newest entries and to the files for the
//! rest, from any thread, through a [`LogReader`].
//!
//! What it does not do: decide anything about Raft, start threads, read a clock, or promise a disk format. Today
//! every group has its own segment files and a round costs one fdatasync per file it touches; a journal shared by
//! all groups is to come behind the same API.
//!
//! # What the host owes
//!
//! 1. Execute the requests of a round in order, and rounds in order.
//! 2. Call [`Wal::completed`] only after every request of that round and of all earlier ones returned `Ok`.
//! 3. On the first `Err`, stop sending anything and end the process. Never retry: after a failed fdatasync the
//!    kernel may report the next one as a success although the data is gone.
//! 4. Let nothing depend on a round before it is completed: no vote, no acknowledgement.
//! 5. Every tenth of a second of idleness, and before a clean exit, carry out [`Wal::mark`], so that damage to the
//!    last records written can be told from a torn write.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use raft_core::{Configuration, GroupId, LogId, LogIndex, Term};
//! use raft_wal::{Entry, EntryKind, Fs, Options, RealFs, Wal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let fs = Arc::new(RealFs::new());
//! let (mut wal, _recovered) = Wal::open(fs.clone(), dir.path(), Options::default())?;
//!
//! let group = GroupId::new(1, 1);
//! let id = LogId::new(Term::new(1), LogIndex::new(1));
//! let mut batch = wal.batch();
//! batch.create(group, &Configuration::none(), Bytes::from_static(b"orders-0"));
//! batch.append(group, Entry { id, kind: EntryKind::Command, payload: Bytes::from_static(b"hello") });
//!
//! let submitted = wal.submit(batch)?;
//! for request in &submitted.requests {
//!     fs.execute(request)?; // on an error: end the process
//! }
//! wal.completed(submitted.round);
//! assert_eq!(wal.last(group), Some(id));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod batch;
mod dump;
mod entry;
mod error;
pub mod frame;
mod fs;
mod identity;
mod index;
mod layout;
mod membership;
mod options;
mod reader;
mod real_fs;
mod recovery;
mod round;
mod scan;
mod tail;
mod wal;
mod writer;

pub use batch::Batch;
pub use dump::{CrcState, Dump, DumpedEntry, dump};
pub use entry::{Entry, EntryKind};
pub use error::{
    Damage, DumpError, IdentityError, Misplaced, OpenError, OptionsError, ReadError, SegmentName, SubmitError,
};
pub use fs::{DiskRequest, Fs};
pub use identity::{ClusterId, Identity};
pub use membership::MEMBERSHIP_MAX;
pub use options::Options;
pub use reader::LogReader;
pub use real_fs::RealFs;
pub use recovery::GroupState;
pub use round::{Round, Submitted};
pub use wal::Wal;
