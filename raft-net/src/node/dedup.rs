//! At most once: a command whose request id was applied before is not applied again, but answered as it was.
//!
//! The table is replicated state: it is built from the log alone, and evicts by log order, so that all replicas
//! agree (thesis §6.3). What it does not do: expire by time; sessions come later. Invariant: at most
//! [`MAX_ORIGINS`] origins, and per origin no request below the lowest unanswered one it has named.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::LogIndex;

use crate::request::{Origin, RequestId};

/// The origins remembered. Beyond that the one applied longest ago is forgotten: no node restarts so often that
/// a retry could still be on its way then.
pub(crate) const MAX_ORIGINS: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Dedup {
    origins: BTreeMap<Origin, Answers>,
}

#[derive(Debug)]
struct Answers {
    last_applied: LogIndex,
    below: u64,
    by_sequence: BTreeMap<u64, Bytes>,
}

impl Dedup {
    /// The answer of the first application; empty when it is so old that nobody can be waiting. `None` when the
    /// request is new.
    pub(crate) fn answer(&self, request: RequestId) -> Option<Bytes> {
        let answers = self.origins.get(&request.origin)?;
        if request.sequence < answers.below {
            return Some(Bytes::new());
        }
        answers.by_sequence.get(&request.sequence).cloned()
    }

    /// Remembers the answer to a request applied at `index`.
    pub(crate) fn remember(&mut self, index: LogIndex, request: RequestId, response: Bytes) {
        if !self.origins.contains_key(&request.origin) && self.origins.len() == MAX_ORIGINS {
            let oldest = self.origins.iter().min_by_key(|(_, a)| a.last_applied).map(|(origin, _)| *origin);
            oldest.and_then(|origin| self.origins.remove(&origin));
        }
        let answers = self.origins.entry(request.origin).or_insert_with(|| Answers {
            last_applied: index,
            below: 0,
            by_sequence: BTreeMap::new(),
        });
        answers.last_applied = index;
        answers.by_sequence.insert(request.sequence, response);
        if request.answered_below > answers.below {
            answers.below = request.answered_below;
            answers.by_sequence = answers.by_sequence.split_off(&request.answered_below);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::NodeId;

    fn request(node: u64, sequence: u64, answered_below: u64) -> RequestId {
        RequestId { origin: Origin { node: NodeId::new(node), boot: 1 }, sequence, answered_below }
    }

    #[test]
    fn a_retry_gets_the_first_answer_until_the_origin_has_it() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.answer(request(1, 1, 1)), None);
        dedup.remember(LogIndex::new(1), request(1, 1, 1), Bytes::from_static(b"one"));
        assert_eq!(dedup.answer(request(1, 1, 1)), Some(Bytes::from_static(b"one")));
        dedup.remember(LogIndex::new(2), request(1, 2, 2), Bytes::from_static(b"two"));
        assert_eq!(dedup.answer(request(1, 1, 1)), Some(Bytes::new()), "nobody waits for it any more");
        assert_eq!(dedup.answer(request(1, 2, 2)), Some(Bytes::from_static(b"two")));
    }

    #[test]
    fn the_origin_applied_longest_ago_is_forgotten_first() {
        let mut dedup = Dedup::default();
        for node in 0..=MAX_ORIGINS as u64 {
            dedup.remember(LogIndex::new(node + 1), request(node, 1, 1), Bytes::from_static(b"done"));
        }
        assert_eq!(dedup.answer(request(0, 1, 1)), None);
        assert!(dedup.answer(request(1, 1, 1)).is_some());
        assert_eq!(dedup.origins.len(), MAX_ORIGINS);
    }
}
