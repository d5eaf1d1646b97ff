//! The log as the core knows it: terms, not entries.
//!
//! A log is described by its *term runs*: for each maximal stretch of entries of one term, the term and the
//! index at which it begins. Memory is O(terms), and the term of every index can be answered without a disk
//! read. Nothing here knows a payload. Invariant: terms and first indexes both strictly increase; `last` is not
//! before the first index of the last run.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::id::{LogId, LogIndex, Term};

/// A maximal stretch of entries of one term, by where it begins. It ends where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TermRun {
    /// The term that all its entries share.
    pub term: Term,
    /// The index of its first entry.
    pub first: LogIndex,
}

impl core::fmt::Debug for TermRun {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}..@{}", self.first, self.term)
    }
}

/// Why a list of runs describes no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunsError {
    /// Terms or first indexes do not strictly increase at this position of the list (from 0).
    Disorder(usize),
    /// The first run does not begin right after the position the log starts from.
    Gap,
    /// The last index lies before the first index of the last run.
    ShortLast,
}

impl core::fmt::Display for RunsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Disorder(at) => write!(f, "term run {at} does not follow the one before it"),
            Self::Gap => write!(f, "the first term run leaves a gap after the start of the log"),
            Self::ShortLast => write!(f, "the last index lies before the last term run"),
        }
    }
}

impl core::error::Error for RunsError {}

/// The shape of a log or of a part of it: entries `(before.index, last]` and the term of each.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Parts", into = "Parts"))]
pub struct TermRuns {
    before: LogId,
    runs: Runs,
    last: LogIndex,
}

/// What stands on the wire; it becomes [`TermRuns`] only if it describes a log.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Parts {
    before: LogId,
    runs: Vec<TermRun>,
    last: LogIndex,
}

#[cfg(feature = "serde")]
impl TryFrom<Parts> for TermRuns {
    type Error = RunsError;

    fn try_from(parts: Parts) -> Result<Self, RunsError> {
        Self::new(parts.before, parts.runs, parts.last)
    }
}

#[cfg(feature = "serde")]
impl From<TermRuns> for Parts {
    fn from(runs: TermRuns) -> Self {
        Self { before: runs.before, runs: runs.runs().to_vec(), last: runs.last }
    }
}

/// A list of runs. Nearly every part of a log lies in one term, and then needs no allocation; a longer list grows once
/// in a term.
#[derive(Clone, Default)]
enum Runs {
    #[default]
    None,
    One(TermRun),
    Many(Box<[TermRun]>),
}

impl Runs {
    fn as_slice(&self) -> &[TermRun] {
        match self {
            Self::None => &[],
            Self::One(run) => core::slice::from_ref(run),
            Self::Many(runs) => runs,
        }
    }

    fn push(&mut self, run: TermRun) {
        *self = match self.as_slice() {
            [] => Self::One(run),
            shorter => Self::Many([shorter, &[run]].concat().into()),
        };
    }

    fn truncate(&mut self, keep: usize) {
        if keep < self.as_slice().len() {
            *self = self.as_slice()[..keep].into();
        }
    }
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Runs {}

impl core::hash::Hash for Runs {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl From<&[TermRun]> for Runs {
    fn from(runs: &[TermRun]) -> Self {
        match runs {
            [] => Self::None,
            [run] => Self::One(*run),
            _ => Self::Many(runs.into()),
        }
    }
}

impl core::fmt::Debug for TermRuns {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "({} {:?} ..{}]", self.before, self.runs(), self.last)
    }
}

impl TermRuns {
    /// The log that holds nothing after `before`.
    pub fn empty(before: LogId) -> Self {
        Self { before, runs: Runs::default(), last: before.index }
    }

    /// The log of the entries `(before.index, last]`, whose terms are given by `runs`.
    ///
    /// # Errors
    /// When the parts do not describe a log; see [`RunsError`]. Whatever a peer or a disk says may be passed.
    pub fn new(before: LogId, runs: Vec<TermRun>, last: LogIndex) -> Result<Self, RunsError> {
        let mut previous: Option<TermRun> = None;
        for (at, run) in runs.iter().enumerate() {
            match previous {
                None if run.first != before.index.next() || run.first == before.index => {
                    return Err(RunsError::Gap);
                }
                None if run.term < before.term || run.term == Term::ZERO => {
                    return Err(RunsError::Disorder(at));
                }
                Some(p) if run.first <= p.first || run.term <= p.term => return Err(RunsError::Disorder(at)),
                _ => {}
            }
            previous = Some(*run);
        }
        match previous {
            Some(run) if last < run.first => Err(RunsError::ShortLast),
            None if last != before.index => Err(RunsError::ShortLast),
            _ => Ok(Self { before, runs: runs[..].into(), last }),
        }
    }

    /// The position before the first entry.
    pub fn before(&self) -> LogId {
        self.before
    }

    /// The index of the last entry, or that of `before` when empty.
    pub fn last_index(&self) -> LogIndex {
        self.last
    }

    /// The identity of the last entry, or `before` when empty.
    pub fn last_id(&self) -> LogId {
        LogId::new(self.runs().last().map_or(self.before.term, |r| r.term), self.last)
    }

    /// The runs, oldest first.
    pub fn runs(&self) -> &[TermRun] {
        self.runs.as_slice()
    }

    /// How many entries it describes.
    pub fn len(&self) -> u64 {
        self.last.since(self.before.index)
    }

    /// Whether it describes none.
    pub fn is_empty(&self) -> bool {
        self.runs().is_empty()
    }

    /// The term of the entry at `index`: also answered for `before`, `None` beyond the last or below that.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.before.index {
            return Some(self.before.term);
        }
        if index < self.before.index || index > self.last {
            return None;
        }
        // Most questions are about the end of the log.
        let runs = self.runs();
        let end = runs.last().filter(|run| run.first <= index);
        Some(end.unwrap_or_else(|| &runs[runs.partition_point(|r| r.first <= index) - 1]).term)
    }

    /// Whether exactly this entry, or `before` itself, is here.
    pub fn contains(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// Appends `count` entries of `term`, which must not be below the last one's.
    pub fn append(&mut self, term: Term, count: u64) {
        debug_assert!(term >= self.last_id().term && term > Term::ZERO);
        if count == 0 {
            return;
        }
        if self.runs().last().is_none_or(|r| r.term < term) {
            self.runs.push(TermRun { term, first: self.last.next() });
        }
        self.last = self.last.plus(count);
    }

    /// Appends all entries of `tail` that lie after our last one. `tail` must begin at or before our end and
    /// agree with us on what both describe.
    pub fn extend(&mut self, tail: &TermRuns) {
        debug_assert!(tail.before.index <= self.last);
        for (at, run) in tail.runs().iter().enumerate() {
            let end = tail.runs().get(at + 1).map_or(tail.last, |next| next.first.prev());
            self.append_through(run.term, end);
        }
    }

    fn append_through(&mut self, term: Term, end: LogIndex) {
        if end > self.last {
            self.append(term, end.since(self.last));
        }
    }

    /// Drops all entries after `index`. An index at or beyond the last one drops nothing; `before` stays.
    pub fn truncate(&mut self, index: LogIndex) {
        if index >= self.last {
            return;
        }
        self.last = index.max(self.before.index);
        let last = self.last;
        let keep = self.runs().partition_point(|r| r.first <= last);
        self.runs.truncate(keep);
    }

    /// Forgets all entries up to and including `index`, which becomes the place the log starts from. An index
    /// below the start, or beyond the last entry, changes nothing.
    pub fn compact(&mut self, index: LogIndex) {
        if index <= self.before.index {
            return;
        }
        if let Some(rest) = self.slice(index, self.last) {
            *self = rest;
        }
    }

    /// The part `(after, last]` as runs of its own, where `after` must be known here: `before` itself or an
    /// entry's index. `None` when it is not, or when `last` is beyond our end or before `after`.
    pub fn slice(&self, after: LogIndex, last: LogIndex) -> Option<TermRuns> {
        if let Some(run) = self.runs().last().filter(|run| run.first <= after)
            && after < last
            && last <= self.last
        {
            // Most parts lie within the last run.
            let part = TermRun { term: run.term, first: after.next() };
            return Some(Self { before: LogId::new(run.term, after), runs: Runs::One(part), last });
        }
        let term = self.term_at(after)?;
        if last > self.last || last < after {
            return None;
        }
        let mut part = TermRuns::empty(LogId::new(term, after));
        if last > after {
            let runs = self.runs();
            let from = runs.partition_point(|r| r.first <= after.next()) - 1;
            for run in &runs[from..] {
                if run.first > last {
                    break;
                }
                part.runs.push(TermRun { term: run.term, first: run.first.max(after.next()) });
            }
            part.last = last;
        }
        Some(part)
    }

    /// The first index at which `other` names another term than we do, among the entries both describe.
    pub fn first_conflict(&self, other: &TermRuns) -> Option<LogIndex> {
        let end = self.last.min(other.last);
        let mut index = self.before.index.max(other.before.index);
        // Within one run on both sides the terms are constant, so only the beginnings of runs need a look.
        while index < end {
            index = index.next();
            if self.term_at(index) != other.term_at(index) {
                return Some(index);
            }
            let next = |runs: &[TermRun]| {
                let at = runs.partition_point(|r| r.first <= index);
                runs.get(at).map_or(end, |r| r.first.prev()).min(end)
            };
            index = next(self.runs()).min(next(other.runs())).max(index);
        }
        None
    }

    /// The last entry at or below `at.index` whose term is not above `at.term`: where two logs that differ at
    /// `at` may still agree. One exchange of these skips a whole term (Raft §5.3, the optimisation for
    /// `nextIndex`; done from both sides). Answers `before` at the least.
    pub fn floor_by_term(&self, at: LogId) -> LogId {
        let mut index = at.index.min(self.last);
        while index > self.before.index {
            let run = self.runs()[self.runs().partition_point(|r| r.first <= index) - 1];
            if run.term <= at.term {
                return LogId::new(run.term, index);
            }
            index = run.first.prev();
        }
        self.before
    }
}
