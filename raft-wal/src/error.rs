//! What can go wrong, one enum per operation, with the facts as fields.
//!
//! An error from executing a [`crate::DiskRequest`] is not here: that one ends the process.

use std::fmt;
use std::io;
use std::path::PathBuf;

use raft_core::{DiskId, GroupId, HardState, LogId, LogIndex, Term};

use crate::identity::ClusterId;

/// A size outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option {field} is {value}, which is not within {min} to {max}; choose a value in that range")]
pub struct OptionsError {
    /// The field of [`crate::Options`].
    pub field: &'static str,
    /// What it was.
    pub value: u64,
    /// The smallest legal value.
    pub min: u64,
    /// The largest legal value.
    pub max: u64,
}

/// Which segment a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentName {
    /// The disk it was written on.
    pub disk: DiskId,
    /// The group it belongs to.
    pub group: GroupId,
    /// Its number within the group.
    pub number: u64,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} of group {} on disk {}", self.number, self.group, self.disk)
    }
}

/// A segment where another one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// By the directory that was opened and the names of group directory and file.
    pub expected: SegmentName,
    /// By the segment's header.
    pub found: SegmentName,
}

/// Why bytes on disk are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends, or is said to end, within a record.
    #[error("expected {expected} more bytes, found {found}")]
    Short {
        /// How many bytes the record needs.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// No record begins here.
    #[error("expected the magic number {expected:#018x}, found {found:#018x}")]
    Magic {
        /// The number every record of this kind begins with.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// The header is not the one that was written at this place.
    #[error("expected header CRC {expected:#010x}, found {found:#010x}")]
    HeaderCrc {
        /// Computed from the bytes.
        expected: u32,
        /// What stands there.
        found: u32,
    },
    /// The payload is not the one that was written.
    #[error("expected payload CRC {expected:#010x}, found {found:#010x}")]
    PayloadCrc {
        /// What the header says.
        expected: u32,
        /// Computed from the bytes.
        found: u32,
    },
    /// A record of another place or time.
    #[error("expected record number {expected}, found {found}")]
    Sequence {
        /// The number after the previous record's.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// A record that followed another one than the one before it here.
    #[error("expected the chain value {expected:#010x}, found {found:#010x}")]
    Chain {
        /// The header CRC of the record before.
        expected: u32,
        /// What stands there.
        found: u32,
    },
    /// Written by a version of this program that knows more, or damaged in spite of a correct CRC.
    #[error("expected a known kind of record without flags, found kind {kind} with flags {flags:#x}")]
    Unknown {
        /// The kind's code.
        kind: u8,
        /// Flags and reserved bits.
        flags: u32,
    },
    /// The segment was written by a version of this program that writes another format.
    #[error("expected segment format version {expected}, found {found}")]
    Version {
        /// What this program writes.
        expected: u32,
        /// What stands there.
        found: u32,
    },
    /// An intact segment of another disk, group or place.
    #[error("expected {}, found {}", .0.expected, .0.found)]
    Misplaced(Box<Misplaced>),
    /// An intact record that cannot follow the ones before it.
    #[error("expected {expected}, found a record at index {index} of term {term}")]
    Impossible {
        /// What could have followed.
        expected: &'static str,
        /// The record's index.
        index: LogIndex,
        /// The record's term.
        term: Term,
    },
    /// An intact entry of the kind that holds a membership, whose payload is none.
    #[error("expected a membership as the payload of entry {index}, found {bytes} bytes that are none")]
    Membership {
        /// The entry's index.
        index: LogIndex,
        /// The length of its payload.
        bytes: u32,
    },
    /// A segment that others continue is not there.
    #[error("expected a segment file, found none")]
    Missing,
}

/// Why an identity file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There are groups but no identity: the file was lost, so this is not a fresh directory.
    #[error("it is missing although there are groups")]
    Missing,
    /// The file is not what was written.
    #[error("it is damaged")]
    Damaged,
    /// It belongs to another cluster, for ever.
    #[error("this disk belongs to cluster {present}, not to {attempted}")]
    Belongs {
        /// The cluster it belongs to.
        present: ClusterId,
        /// The one it was to join.
        attempted: ClusterId,
    },
    /// It could not be read or written. After a failed write the process must end.
    #[error("it could not be read or written: {0}")]
    Io(#[from] io::Error),
}

/// Why a log directory was not opened. Nothing of it was served, and nothing acknowledged was shortened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// See [`OptionsError`].
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Another process, or another [`crate::Wal`] of this one, uses the directory.
    #[error("{} is in use by another process; stop it, or choose another directory", .dir.display())]
    Locked {
        /// The log directory.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error(
        "could not {doing} {}: {source}; if the disk is failing, replace it and let the node join anew",
        .path.display()
    )]
    Io {
        /// A verb.
        doing: &'static str,
        /// Of what.
        path: PathBuf,
        /// The cause. An error while reading is damage and never taken for a torn write.
        source: io::Error,
    },
    /// See [`IdentityError`].
    #[error(
        "identity file {}: {reason}; restore the file, or remove the whole directory and let the node join \
         anew as another voter",
        .path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: IdentityError,
    },
    /// A record that was durable, and perhaps acknowledged, is damaged. The log is not cut there.
    #[error(
        "group {group} is damaged: {} at byte {offset}, record {sequence}: {damage}; records up to {synced_through} \
         are known to have been durable, so this is no torn write and nothing is dropped; repair this replica \
         from its peers: remove its directory and let the node join anew as another voter",
        .file.display()
    )]
    Damaged {
        /// The group.
        group: GroupId,
        /// The file.
        file: PathBuf,
        /// Where in the file, in bytes from its start.
        offset: u64,
        /// The number of the damaged record, counted over the life of the group from 1.
        sequence: u64,
        /// All records up to this one, inclusive, are known to have been durable.
        synced_through: u64,
        /// What was expected and what was found.
        damage: Damage,
    },
}

/// Why a batch was refused. Nothing of it was done, and the [`crate::Wal`] is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The group does not exist at that point of the batch.
    #[error("group {group} does not exist here; create it first")]
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// The group exists already.
    #[error("group {group} exists already; remove it first, or use another incarnation")]
    GroupExists {
        /// The group.
        group: GroupId,
    },
    /// The entry does not follow the last one.
    #[error("group {group}: entry {attempted} cannot follow {last}; indexes rise by one, terms never fall")]
    NotNext {
        /// The group.
        group: GroupId,
        /// The last entry at that point of the batch.
        last: LogId,
        /// The entry to be appended.
        attempted: LogId,
    },
    /// Term or vote would go back.
    #[error(
        "group {group}: {attempted:?} cannot follow {present:?}; a term never falls, a vote in it is final"
    )]
    HardStateReversal {
        /// The group.
        group: GroupId,
        /// Term and vote at that point of the batch.
        present: Box<HardState>,
        /// Term and vote to be written.
        attempted: Box<HardState>,
    },
    /// A payload is larger than allowed, or a no-op has one.
    #[error("group {group}: entry {id} has {bytes} bytes of payload, but {max} are allowed; make it smaller")]
    PayloadTooLarge {
        /// The group.
        group: GroupId,
        /// The entry.
        id: LogId,
        /// Its payload's length.
        bytes: u64,
        /// The longest allowed: [`crate::Options::max_entry_bytes`], or 0 for a no-op.
        max: u64,
    },
    /// An entry that is to hold a membership holds none.
    #[error("group {group}: the payload of entry {id} is no membership; make it with Entry::of_membership")]
    NoMembership {
        /// The group.
        group: GroupId,
        /// The entry.
        id: LogId,
    },
    /// The note is larger than 1 KiB.
    #[error("group {group}: the note has {bytes} bytes, but 1024 are allowed; make it shorter")]
    NoteTooLarge {
        /// The group.
        group: GroupId,
        /// Its length.
        bytes: usize,
    },
}

/// Why entries could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The group does not exist here, or was removed.
    #[error("group {group} does not exist here")]
    UnknownGroup {
        /// The group.
        group: GroupId,
    },
    /// The log holds other entries than the caller thinks. It was truncated since; ask Raft again.
    #[error(
        "group {group}: the entry at {index} is of term {found}, not {expected}; the log has changed since"
    )]
    TermMismatch {
        /// The group.
        group: GroupId,
        /// The first index at which they differ.
        index: LogIndex,
        /// What the caller expects.
        expected: Term,
        /// What the log holds.
        found: Term,
    },
    /// The range is not within the log.
    #[error("group {group}: entries {first} to {last} are not all in the log, which ends at {end}")]
    OutOfRange {
        /// The group.
        group: GroupId,
        /// The first index asked for.
        first: LogIndex,
        /// The last index asked for, inclusive.
        last: LogIndex,
        /// The last index of the log.
        end: LogIndex,
    },
    /// The bytes on disk are not what was written. Never served; repair the replica from its peers.
    #[error("group {group}: {} at byte {offset}, entry {index}: {damage}", .file.display())]
    Damaged {
        /// The group.
        group: GroupId,
        /// The entry being looked for.
        index: LogIndex,
        /// The file.
        file: PathBuf,
        /// Where in the file, in bytes from its start.
        offset: u64,
        /// What was expected and what was found.
        damage: Damage,
    },
    /// The disk refused, which is damage too.
    #[error("group {group}: could not read {}: {source}", .file.display())]
    Io {
        /// The group.
        group: GroupId,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Why a log could not be printed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// There is no such group in the directory.
    #[error("{} holds no group {group}; list its groups directory", .dir.display())]
    UnknownGroup {
        /// The log directory.
        dir: PathBuf,
        /// The group.
        group: GroupId,
    },
    /// See [`IdentityError`].
    #[error("identity file {}: {reason}", .path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: IdentityError,
    },
    /// The file system refused.
    #[error("could not read {}: {source}", .path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
