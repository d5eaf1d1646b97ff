//! What is to become durable together, over any number of groups.
//!
//! A batch only collects; [`crate::Wal::submit`] checks. Invariant: the operations on one group keep their order;
//! those on different groups have none.

use bytes::Bytes;
use raft_core::{Configuration, GroupId, HardState, LogIndex};

use crate::entry::Entry;

/// Collects operations on groups. Made by [`crate::Wal::batch`], used up by [`crate::Wal::submit`]; its memory goes
/// back to the [`crate::Wal`] then.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) operations: Vec<(GroupId, Operation)>,
}

#[derive(Debug)]
pub(crate) enum Operation {
    Create { genesis: Configuration, note: Bytes },
    HardState(HardState),
    Truncate(LogIndex),
    Append(Entry),
    Mark,
    Remove,
}

impl Batch {
    /// Creates the group with an empty log. `genesis` is its first configuration. `note` is a label for people,
    /// such as topic and partition: opaque, at most 1 KiB, handed back by [`crate::Wal::open`].
    pub fn create(&mut self, group: GroupId, genesis: &Configuration, note: Bytes) {
        self.operations.push((group, Operation::Create { genesis: genesis.clone(), note }));
    }

    /// Records term and vote. A term never falls, and a vote given in it is final.
    pub fn hard_state(&mut self, group: GroupId, hard_state: HardState) {
        self.operations.push((group, Operation::HardState(hard_state)));
    }

    /// Drops all entries after `after`; at or beyond the last one that is none. `LogIndex::ZERO` drops all.
    pub fn truncate(&mut self, group: GroupId, after: LogIndex) {
        self.operations.push((group, Operation::Truncate(after)));
    }

    /// Appends an entry, which must follow the last one. Its payload is kept by reference until it is durable.
    pub fn append(&mut self, group: GroupId, entry: Entry) {
        self.operations.push((group, Operation::Append(entry)));
    }

    /// Removes the group with its whole log, for good.
    pub fn remove(&mut self, group: GroupId) {
        self.operations.push((group, Operation::Remove));
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}
