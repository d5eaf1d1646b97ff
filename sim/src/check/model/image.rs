//! What is on a replica's disk, and the writes that are on their way to it.
//!
//! A log is kept here as one term for each entry, and the memberships that some entries are: slow and obvious, so that it
//! can be held against the runs that the core keeps. Invariant: an image changes only by [`Image::apply`], in the order in
//! which the core asked for its writes.

use std::fmt;
use std::sync::Arc;

use super::raft_core::{
    AppendRequest, Content, HardState, LogChange, LogId, LogIndex, Membership, Persist, PersistToken, Raft,
    Restored, Term, TermRuns,
};

use super::law::{Broken, CheckedLaw};

/// One entry, without its payload. Two entries with the same place and term are the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) term: Term,
    pub(super) membership: Option<Arc<Membership>>,
}

/// A whole log: the entry with index 1 comes first.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Log(pub(super) Vec<Entry>);

impl Log {
    /// The log that a core speaks of.
    pub(super) fn of(raft: &Raft) -> Self {
        Self::read(raft.log(), raft.memberships_between(LogIndex::ZERO, raft.log().last_index()))
    }

    /// The entries of these runs, the first of which need not have index 1.
    pub(super) fn read(runs: &TermRuns, memberships: &[(LogIndex, Membership)]) -> Self {
        let indexes = runs.before().index.as_u64() + 1..=runs.last_index().as_u64();
        let entries = indexes.map(LogIndex::new).map(|index| {
            let found = memberships.iter().find(|(at, _)| *at == index);
            Entry {
                term: runs.term_at(index).unwrap_or(Term::ZERO),
                membership: found.map(|(_, membership)| Arc::new(membership.clone())),
            }
        });
        Self(entries.collect())
    }

    /// How many entries it shares with `other` from the first on.
    pub(super) fn common_prefix(&self, other: &Log) -> usize {
        self.0.iter().zip(&other.0).take_while(|(ours, theirs)| ours == theirs).count()
    }

    /// Whether both hold the first `count` entries, and the same ones.
    pub(super) fn shares(&self, other: &Log, count: usize) -> bool {
        self.common_prefix(other) >= count
    }

    pub(super) fn last_id(&self) -> LogId {
        LogId::new(self.0.last().map_or(Term::ZERO, |entry| entry.term), LogIndex::new(self.0.len() as u64))
    }

    /// The memberships that stand in it, in order.
    pub(super) fn memberships(&self) -> impl Iterator<Item = (LogIndex, &Membership)> {
        let numbered = self.0.iter().zip(1..);
        numbered.filter_map(|(entry, index)| Some((LogIndex::new(index), entry.membership.as_deref()?)))
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, entry) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let mark = if entry.membership.is_some() { "m" } else { "" };
            write!(f, "{space}{}{mark}", entry.term)?;
        }
        f.write_str("]")
    }
}

/// A write that the core asked for, with the content that the host found for it.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) token: PersistToken,
    hard_state: Option<HardState>,
    cut: Option<LogIndex>,
    /// The entry right before those.
    after: LogIndex,
    entries: Vec<Entry>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.term)
    }
}

impl std::hash::Hash for Write {
    /// Everything but the token, whose place in the order is known to the core.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.hard_state, self.cut, self.after, &self.entries).hash(state);
    }
}

impl Write {
    /// Finds the content for what the core asks, in the append that is being delivered, if one is.
    ///
    /// # Errors
    /// When the core asks for entries that it was not given.
    pub(super) fn resolve(asked: Persist, source: Option<&AppendRequest>) -> Result<Self, Broken> {
        let wrong = |detail: String| Broken::new(CheckedLaw::RangesAndBytesAgree, detail);
        let Persist { token, hard_state, log } = asked;
        let (cut, runs, content) = match log {
            LogChange::Unchanged => {
                return Ok(Self { token, hard_state, cut: None, after: LogIndex::ZERO, entries: Vec::new() });
            }
            LogChange::Append { cut, entries, content } => (cut, entries, content),
            LogChange::Restart { after } => {
                return Err(wrong(format!(
                    "the log is to start anew after {after}, and there is no snapshot"
                )));
            }
        };
        let after = runs.before().index;
        let memberships = match (content, source) {
            (Content::Membership(membership), _) => vec![(runs.last_index(), membership)],
            (Content::Payloads, Some(source)) => {
                if source.entries.slice(after, runs.last_index()).as_ref() != Some(&runs) {
                    return Err(wrong(format!("asks for {runs:?}, and was sent {:?}", source.entries)));
                }
                source.memberships.clone()
            }
            _ => Vec::new(),
        };
        Ok(Self { token, hard_state, cut, after, entries: Log::read(&runs, &memberships).0 })
    }

    /// In how many steps it can reach a disk: term and vote, then the cut, then each entry.
    pub(super) fn steps(&self) -> usize {
        usize::from(self.hard_state.is_some()) + usize::from(self.cut.is_some()) + self.entries.len()
    }
}

/// What is durable.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Image {
    pub(super) hard_state: HardState,
    pub(super) log: Log,
    /// The disk shows that the log went on up to here, and lost how.
    pub(super) doubt: Option<LogId>,
}

impl Image {
    /// Does the first `steps` steps of a write.
    ///
    /// # Errors
    /// When it breaks a law of what may be on disk.
    pub(super) fn apply(&mut self, write: &Write, steps: usize) -> Result<(), Broken> {
        let mut left = steps;
        if let Some(new) = write.hard_state.filter(|_| left > 0) {
            left -= 1;
            let old = self.hard_state;
            if new.term < old.term || new.term == old.term && old.vote.is_some() && new.vote != old.vote {
                let detail = format!("a disk that holds {} is given {}", brief(old), brief(new));
                return Err(Broken::new(CheckedLaw::VotesOnce, detail));
            }
            self.hard_state = new;
        }
        if let Some(cut) = write.cut.filter(|_| left > 0) {
            left -= 1;
            self.log.0.truncate(cut.as_u64() as usize);
        }
        if left > 0 && !write.entries.is_empty() {
            if self.log.0.len() as u64 != write.after.as_u64() {
                let detail = format!("entries after {} are to follow a log of {}", write.after, self.log);
                return Err(Broken::new(CheckedLaw::RangesAndBytesAgree, detail));
            }
            self.log.0.extend(write.entries.iter().take(left).cloned());
        }
        Ok(())
    }

    /// What a host reads from it when it starts.
    pub(super) fn restore(&self) -> Restored {
        let mut log = TermRuns::default();
        for entry in &self.log.0 {
            log.append(entry.term, 1);
        }
        let memberships =
            self.log.memberships().map(|(index, membership)| (index, membership.clone())).collect();
        Restored {
            hard_state: self.hard_state,
            log,
            memberships,
            committed: LogIndex::ZERO,
            doubt: self.doubt,
        }
    }
}

/// Term and vote, for people.
pub(super) fn brief(state: HardState) -> String {
    match state.vote {
        Some(vote) => format!("term {}, vote for {}", state.term, vote.node),
        None => format!("term {}, no vote", state.term),
    }
}
