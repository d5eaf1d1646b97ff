//! All entries that ever were, each with the one before it: a log is named by its last entry.
//!
//! An entry's number stands for its content and for everything before it, as a hash chain would, but without the
//! hashes: two logs agree up to an index if and only if they have the same number there. Each entry also knows the
//! membership in force at it. Invariant: an entry never changes; its index is one above its parent's.

use super::raft_core::{LogId, LogIndex, Membership, Term, TermRuns};

/// The number of an entry. Zero is the beginning of all logs.
pub(crate) type EntryNo = u32;

pub(crate) const ROOT: EntryNo = 0;

/// What an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Noop,
    Membership,
    /// A client's write: the number of its request.
    Write(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) index: u32,
    pub(crate) term: u32,
    pub(crate) parent: EntryNo,
    /// An ancestor further back, so that any ancestor is found in a logarithmic number of steps (Myers 1983).
    jump: EntryNo,
    /// The membership in force.
    pub(crate) membership: u32,
    pub(crate) kind: Kind,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Arena {
    entries: Vec<Entry>,
    /// The memberships, each with the index of its entry.
    memberships: Vec<(u32, Membership)>,
}

impl Arena {
    pub(crate) fn new(genesis: Membership) -> Self {
        let root = Entry { index: 0, term: 0, parent: ROOT, jump: ROOT, membership: 0, kind: Kind::Noop };
        Self { entries: vec![root], memberships: vec![(0, genesis)] }
    }

    pub(crate) fn get(&self, no: EntryNo) -> &Entry {
        &self.entries[no as usize]
    }

    pub(crate) fn index(&self, no: EntryNo) -> u32 {
        self.entries[no as usize].index
    }

    pub(crate) fn term(&self, no: EntryNo) -> u32 {
        self.entries[no as usize].term
    }

    pub(crate) fn id(&self, no: EntryNo) -> LogId {
        let entry = self.get(no);
        LogId::new(Term::new(entry.term.into()), LogIndex::new(entry.index.into()))
    }

    /// The membership in force at an entry.
    pub(crate) fn membership(&self, no: EntryNo) -> &Membership {
        &self.memberships[self.get(no).membership as usize].1
    }

    /// And where it stands.
    pub(crate) fn membership_index(&self, no: EntryNo) -> u32 {
        self.memberships[self.get(no).membership as usize].0
    }

    pub(crate) fn add(
        &mut self,
        parent: EntryNo,
        term: u32,
        kind: Kind,
        membership: Option<Membership>,
    ) -> EntryNo {
        let (before, index) = (self.entries[parent as usize], self.index(parent) + 1);
        let jump = self.get(before.jump);
        let is_even = before.index - jump.index == jump.index - self.index(jump.jump);
        let jump = if is_even && parent != ROOT { jump.jump } else { parent };
        let membership = match membership {
            Some(membership) => {
                self.memberships.push((index, membership));
                self.memberships.len() as u32 - 1
            }
            None => before.membership,
        };
        self.entries.push(Entry { index, term, parent, jump, membership, kind });
        self.entries.len() as u32 - 1
    }

    /// The entry at `index` of the log that ends with `no`; the last one when `index` is beyond it.
    pub(crate) fn ancestor(&self, mut no: EntryNo, index: u32) -> EntryNo {
        loop {
            let entry = self.get(no);
            if entry.index <= index {
                return no;
            }
            no = if self.index(entry.jump) >= index { entry.jump } else { entry.parent };
        }
    }

    /// Whether the log that ends with `no` holds `part`.
    pub(crate) fn holds(&self, no: EntryNo, part: EntryNo) -> bool {
        self.index(no) >= self.index(part) && self.ancestor(no, self.index(part)) == part
    }
}

/// A log as a node has it: its entries after a start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// The entry before the first.
    pub(crate) base: EntryNo,
    base_index: u32,
    entries: Vec<EntryNo>,
}

impl Log {
    pub(crate) fn start(&mut self, base: EntryNo, arena: &Arena) {
        self.base = base;
        self.base_index = arena.index(base);
        self.entries.clear();
    }

    pub(crate) fn base_index(&self) -> u32 {
        self.base_index
    }

    pub(crate) fn last_index(&self) -> u32 {
        self.base_index + self.entries.len() as u32
    }

    pub(crate) fn last(&self) -> EntryNo {
        self.entries.last().copied().unwrap_or(self.base)
    }

    /// The entry at an index at or after the start.
    pub(crate) fn at(&self, index: u32) -> Option<EntryNo> {
        if index == self.base_index {
            return Some(self.base);
        }
        self.entries.get(index.checked_sub(self.base_index + 1)? as usize).copied()
    }

    pub(crate) fn push(&mut self, no: EntryNo) {
        self.entries.push(no);
    }

    pub(crate) fn truncate(&mut self, index: u32) {
        self.entries.truncate(index.saturating_sub(self.base_index) as usize);
    }

    /// Appends the entries after our last up to `no`. They must follow it.
    pub(crate) fn extend_to(&mut self, no: EntryNo, arena: &Arena) {
        let from = self.entries.len();
        let mut at = no;
        let wanted = (arena.index(no) - self.last_index()) as usize;
        self.entries.resize(from + wanted, ROOT);
        for slot in self.entries[from..].iter_mut().rev() {
            *slot = at;
            at = arena.get(at).parent;
        }
    }

    pub(crate) fn compact(&mut self, to: u32) {
        if let Some(base) = self.at(to).filter(|_| to > self.base_index) {
            self.entries.drain(..(to - self.base_index) as usize);
            self.base = base;
            self.base_index = to;
        }
    }

    /// Whether it holds this entry, or starts after it.
    pub(crate) fn holds(&self, no: EntryNo, arena: &Arena) -> bool {
        let index = arena.index(no);
        match self.at(index) {
            Some(held) => held == no,
            None => index < self.base_index && arena.ancestor(self.base, index) == no,
        }
    }

    /// Its shape, as the core knows logs.
    pub(crate) fn runs(&self, arena: &Arena) -> TermRuns {
        let mut runs = TermRuns::empty(arena.id(self.base));
        let mut at = 0;
        while at < self.entries.len() {
            let term = arena.term(self.entries[at]);
            let end = self.entries.partition_point(|no| arena.term(*no) <= term);
            runs.append(Term::new(term.into()), (end - at) as u64);
            at = end;
        }
        runs
    }

    /// The memberships that stand in it.
    pub(crate) fn memberships(&self, arena: &Arena) -> Vec<(LogIndex, Membership)> {
        let is_one = |no: &&EntryNo| arena.get(**no).kind == Kind::Membership;
        let ones = self.entries.iter().filter(is_one);
        ones.map(|no| (LogIndex::new(arena.index(*no).into()), arena.membership(*no).clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(arena: &mut Arena, from: EntryNo, term: u32, count: u32) -> EntryNo {
        (0..count).fold(from, |no, _| arena.add(no, term, Kind::Noop, None))
    }

    #[test]
    fn every_ancestor_is_found_and_forks_differ() {
        let mut arena = Arena::new(Membership::none());
        let trunk = chain(&mut arena, ROOT, 1, 100);
        let fork = chain(&mut arena, 60, 2, 50);
        for index in 0..=100 {
            assert_eq!(arena.ancestor(trunk, index), index, "the trunk was added in order");
        }
        assert_eq!(arena.ancestor(fork, 60), 60);
        assert_ne!(arena.ancestor(fork, 61), 61);
        assert!(arena.holds(fork, 60) && !arena.holds(fork, 61) && !arena.holds(60, trunk));
    }

    #[test]
    fn a_log_is_cut_extended_compacted_and_described() {
        let mut arena = Arena::new(Membership::none());
        let trunk = chain(&mut arena, ROOT, 1, 10);
        let sixth = arena.ancestor(trunk, 6);
        let fork = chain(&mut arena, sixth, 3, 3);
        let mut log = Log::default();
        log.extend_to(trunk, &arena);
        log.truncate(6);
        log.extend_to(fork, &arena);
        log.compact(2);
        assert_eq!((log.base_index(), log.last_index(), log.last()), (2, 9, fork));
        assert!(log.holds(1, &arena) && log.holds(fork, &arena) && !log.holds(trunk, &arena));
        let runs = log.runs(&arena);
        assert_eq!(runs.last_id(), arena.id(fork));
        assert_eq!(runs.runs().len(), 2);
    }
}
