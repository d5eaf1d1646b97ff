//! What a log holds: entries.
//!
//! An entry's payload is opaque here, but for a membership's. Invariant: its kind has one code, the same on disk as on
//! the wire.

use bytes::Bytes;
use raft_core::LogId;

/// One entry of a group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its term and its index. Indexes of a log follow one another without a gap, from 1.
    pub id: LogId,
    /// What the payload is.
    pub kind: EntryKind,
    /// The bytes, opaque to the log unless they are a membership. At most [`crate::Options::max_entry_bytes`] of them.
    pub payload: Bytes,
}

/// What an entry's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// The entry with which a leader opens its term (Raft §8). Its payload is empty.
    Noop = 1,
    /// A command of the application's state machine.
    Command = 2,
    /// A client's record batch.
    Batch = 3,
    /// Who takes part in the group from here on: see [`Entry::of_membership`].
    Membership = 4,
}

impl EntryKind {
    /// The kind that has this code, `None` for any other number: on disk that is damage.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Noop),
            2 => Some(Self::Command),
            3 => Some(Self::Batch),
            4 => Some(Self::Membership),
            _ => None,
        }
    }

    /// The code used on disk and wire: 1 to 4.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Noop => "noop",
            Self::Command => "command",
            Self::Batch => "batch",
            Self::Membership => "membership",
        })
    }
}
