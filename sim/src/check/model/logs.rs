//! All logs that came up in a search, by number, and the laws between them.
//!
//! There are few of them, so each law is checked once for each log or pair of logs and its result is kept.

use super::raft_core::Membership;

use super::hash::FastMap;
use super::image::Log;
use super::law::{Broken, CheckedLaw};

/// Gives logs numbers and remembers which pairs match.
pub(super) struct Logs {
    all: Vec<Log>,
    numbers: FastMap<Log, u32>,
    matching: FastMap<u64, ()>,
}

impl Logs {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), numbers: FastMap::default(), matching: FastMap::default() }
    }

    pub(super) fn get(&self, number: u32) -> &Log {
        &self.all[number as usize]
    }

    /// The number of a log, which is checked if it is new.
    ///
    /// # Errors
    /// When two memberships that follow each other in it have quorums that do not meet.
    pub(super) fn number(&mut self, log: Log, genesis: &Membership) -> Result<u32, Broken> {
        if let Some(number) = self.numbers.get(&log) {
            return Ok(*number);
        }
        let mut before = genesis;
        for (index, membership) in log.memberships() {
            if !quorums_meet(before, membership) {
                let detail =
                    format!("those at index {index} of {log} and before do not: {before:?}, {membership:?}");
                return Err(Broken::new(CheckedLaw::QuorumsMeet, detail));
            }
            before = membership;
        }
        let number = self.all.len() as u32;
        self.all.push(log.clone());
        self.numbers.insert(log, number);
        Ok(number)
    }

    /// Checks that two logs that share an entry share all before it (Raft §5.3, Log Matching).
    ///
    /// # Errors
    /// When they do not.
    pub(super) fn check_match(&mut self, one: u32, other: u32) -> Result<(), Broken> {
        let pair = u64::from(one.min(other)) << 32 | u64::from(one.max(other));
        if one == other || self.matching.contains_key(&pair) {
            return Ok(());
        }
        let (a, b) = (self.get(one), self.get(other));
        let last_shared = a.0.iter().zip(&b.0).rposition(|(ours, theirs)| ours.term == theirs.term);
        if last_shared.is_some_and(|at| a.common_prefix(b) <= at) {
            return Err(Broken::new(CheckedLaw::LogsMatch, format!("{a} and {b}")));
        }
        self.matching.insert(pair, ());
        Ok(())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Whether no quorum of one lives without a member of every quorum of the other: tries every set of replicas.
fn quorums_meet(one: &Membership, other: &Membership) -> bool {
    let mut replicas: Vec<_> = one.replicas().chain(other.replicas()).collect();
    replicas.sort_unstable();
    replicas.dedup();
    let is_in =
        |set: u32, replica| replicas.iter().position(|r| *r == replica).is_some_and(|at| set >> at & 1 == 1);
    (0..1u32 << replicas.len())
        .all(|set| !(one.is_quorum(|r| is_in(set, r)) && other.is_quorum(|r| is_in(!set, r))))
}

#[cfg(test)]
mod tests {
    use super::super::raft_core::Configuration;
    use super::super::replica::id;
    use super::*;

    #[test]
    fn quorums_of_disjoint_or_even_sets_need_not_meet_and_joint_ones_do() {
        let of = |voters: &[u8]| Configuration::new(voters.iter().copied().map(id)).expect("they differ");
        let plain = |voters: &[u8]| Membership::from(of(voters));
        assert!(quorums_meet(&plain(&[1, 2, 3]), &plain(&[1, 2, 3])));
        assert!(quorums_meet(&plain(&[1, 2, 3]), &plain(&[1, 2, 3, 4])), "one more at a time is safe");
        assert!(!quorums_meet(&plain(&[1, 2, 3]), &plain(&[1, 4, 5])));
        let joint = plain(&[1, 2, 3]).towards(of(&[1, 4, 5])).expect("three voters are enough");
        assert!(quorums_meet(&plain(&[1, 2, 3]), &joint));
        assert!(quorums_meet(&joint, &joint.settled()));
    }
}
