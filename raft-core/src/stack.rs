//! The memberships of a log: the one before its first entry, and those that stand in it.
//!
//! The latest one is in force as soon as it is appended (thesis §4.1), so when entries are cut the one before comes
//! back, as many levels as are cut. Nothing here decides when to change. Invariant: indexes strictly increase, and lie
//! within the log.

use alloc::vec::Vec;

use crate::id::LogIndex;
use crate::membership::Membership;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MembershipStack {
    /// In force before the first entry of `entries`, from `base_index` on.
    base: Membership,
    base_index: LogIndex,
    entries: Vec<(LogIndex, Membership)>,
}

impl MembershipStack {
    /// `base` is in force at the start of the log, `before`, and no other stands in it.
    pub(crate) fn new(base: Membership, before: LogIndex) -> Self {
        Self { base, base_index: before, entries: Vec::new() }
    }

    pub(crate) fn latest(&self) -> &Membership {
        self.entries.last().map_or(&self.base, |(_, membership)| membership)
    }

    /// Where the latest stands.
    pub(crate) fn latest_index(&self) -> LogIndex {
        self.entries.last().map_or(self.base_index, |(index, _)| *index)
    }

    /// The one in force at `index`, if that is not before the start of the log.
    pub(crate) fn at(&self, index: LogIndex) -> Option<&Membership> {
        if index < self.base_index {
            return None;
        }
        let after = self.entries.partition_point(|(at, _)| *at <= index);
        Some(after.checked_sub(1).map_or(&self.base, |at| &self.entries[at].1))
    }

    /// Those that stand in `(after, last]`.
    pub(crate) fn between(&self, after: LogIndex, last: LogIndex) -> &[(LogIndex, Membership)] {
        if self.entries.is_empty() {
            return &[];
        }
        let from = self.entries.partition_point(|(at, _)| *at <= after);
        let to = self.entries.partition_point(|(at, _)| *at <= last);
        &self.entries[from..to.max(from)]
    }

    /// Adds one. `false`, and nothing changes, if it does not stand after the latest.
    pub(crate) fn push(&mut self, index: LogIndex, membership: Membership) -> bool {
        let is_next = index > self.latest_index();
        if is_next {
            self.entries.push((index, membership));
        }
        is_next
    }

    /// Drops those after `index`. Says whether there were any.
    pub(crate) fn truncate(&mut self, index: LogIndex) -> bool {
        let keep = self.entries.partition_point(|(at, _)| *at <= index);
        let is_cut = keep < self.entries.len();
        self.entries.truncate(keep);
        is_cut
    }

    /// The log starts after `index` from now on.
    pub(crate) fn compact(&mut self, index: LogIndex) {
        if index <= self.base_index {
            return;
        }
        let gone = self.entries.partition_point(|(at, _)| *at <= index);
        if let Some((_, membership)) = self.entries.drain(..gone).next_back() {
            self.base = membership;
        }
        self.base_index = index;
    }
}
