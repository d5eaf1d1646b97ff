//! What has happened for good: who led in which term, and what was committed in which.
//!
//! A state of a search holds the number of its history, since whether a law is broken depends on it. Invariant: histories
//! only grow, and a number stands for one history for ever.

use super::raft_core::Term;

use super::hash::FastMap;
use super::image::{Entry, Log};
use super::law::{Broken, CheckedLaw};

/// One history.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct History {
    /// Who led, in order of terms; one for each term that had a leader.
    leaders: Vec<(Term, u8)>,
    /// The committed entries, each with the term of the leader that committed it.
    committed: Vec<(Entry, Term)>,
}

impl History {
    /// How many entries are committed.
    pub(super) fn len(&self) -> usize {
        self.committed.len()
    }

    /// The committed entries, as a log.
    pub(super) fn log(&self) -> Log {
        Log(self.committed.iter().map(|(entry, _)| entry.clone()).collect())
    }

    /// A replica begins to lead.
    ///
    /// # Errors
    /// When another leads in that term, or it lacks what was committed in an earlier one.
    pub(super) fn lead(&self, number: u8, term: Term, log: &Log) -> Result<Self, Broken> {
        let mut next = self.clone();
        match next.leaders.binary_search_by_key(&term, |(of, _)| *of) {
            Ok(at) => {
                let detail = format!("{} and then {number} lead in term {term}", next.leaders[at].1);
                return Err(Broken::new(CheckedLaw::OneLeaderPerTerm, detail));
            }
            Err(at) => next.leaders.insert(at, (term, number)),
        }
        self.is_complete(number, term, log)?;
        Ok(next)
    }

    /// Whether the log of the leader of `term` holds all that was committed up to that term.
    pub(super) fn is_complete(&self, number: u8, term: Term, log: &Log) -> Result<(), Broken> {
        let lacks =
            |(at, (entry, by)): &(usize, &(Entry, Term))| *by <= term && log.0.get(*at) != Some(entry);
        match self.committed.iter().enumerate().find(lacks) {
            Some((at, (entry, by))) => {
                let detail = format!(
                    "replica {number} leads in term {term} with the log {log}, and lacks entry {} of term {}, committed in \
                     term {by}",
                    at + 1,
                    entry.term
                );
                Err(Broken::new(CheckedLaw::LeadersAreComplete, detail))
            }
            None => Ok(()),
        }
    }

    /// A replica that holds `log` commits its first `count` entries. `leads` is the term it leads in, if it does.
    ///
    /// # Errors
    /// When others were committed in their places, or a follower knows of what no leader has committed.
    pub(super) fn commit(
        &self,
        number: u8,
        log: &Log,
        count: usize,
        leads: Option<Term>,
    ) -> Result<Self, Broken> {
        let wrong = |detail: String| Err(Broken::new(CheckedLaw::CommittedAlike, detail));
        let known = self.log();
        if !known.shares(log, count.min(known.0.len())) {
            return wrong(format!(
                "replica {number} commits {count} entries of {log}; committed are {known}"
            ));
        }
        let mut next = self.clone();
        if count > self.len() {
            let Some(by) = leads else {
                return wrong(format!(
                    "replica {number} follows, and commits before any leader: {count} entries of {log}"
                ));
            };
            next.committed.extend(log.0[self.len()..count].iter().map(|entry| (entry.clone(), by)));
        }
        Ok(next)
    }
}

/// Gives histories numbers, from zero in the order in which they come up. Zero is the empty one.
pub(super) struct Histories {
    all: Vec<History>,
    numbers: FastMap<History, u32>,
}

impl Histories {
    pub(super) fn new() -> Self {
        let mut histories = Self { all: Vec::new(), numbers: FastMap::default() };
        histories.number(History::default());
        histories
    }

    pub(super) fn get(&self, number: u32) -> &History {
        &self.all[number as usize]
    }

    pub(super) fn number(&mut self, history: History) -> u32 {
        if let Some(number) = self.numbers.get(&history) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(history.clone());
        self.numbers.insert(history, number);
        number
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
