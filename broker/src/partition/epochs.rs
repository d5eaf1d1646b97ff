//! Which leader epoch began at which offset (KIP-101).
//!
//! A leader epoch on Kafka's wire is the Raft term; [`LeaderEpoch`] is the one place where one becomes the other.
//! Invariant: epochs and start offsets both strictly increase.

use std::fmt;

use raft_core::Term;

use super::offset::Offset;

/// A Raft term as Kafka's wire carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaderEpoch(i32);

impl LeaderEpoch {
    /// The epoch of a term. Terms beyond two thousand million are all shown as the largest epoch.
    pub fn of(term: Term) -> Self {
        Self(i32::try_from(term.as_u64()).unwrap_or(i32::MAX))
    }

    /// The number, for the wire.
    pub const fn as_i32(self) -> i32 {
        self.0
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The committed epochs of a partition, each with the offset at which its leader went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochTable {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl EpochTable {
    /// Notes that an entry of `epoch` was committed when `next` was the next offset. Epochs that wrote no record
    /// leave no trace once the next one begins.
    pub fn note(&mut self, epoch: LeaderEpoch, next: Offset) {
        if self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        if self.starts.last().is_some_and(|(_, start)| *start == next) {
            self.starts.pop();
        }
        self.starts.push((epoch, next));
    }

    /// The newest epoch, if any entry was committed.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|(epoch, _)| *epoch)
    }

    /// The epoch of the record at `offset`, which must lie below the high watermark.
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.starts.partition_point(|(_, start)| *start <= offset);
        after.checked_sub(1).map(|at| self.starts[at].0)
    }

    /// The largest epoch at or below `epoch`, and where it ends: the start of the one after it, or `log_end`,
    /// exclusive. `None` when `epoch` lies before the first or after the latest.
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if self.latest()? < epoch {
            return None;
        }
        let after = self.starts.partition_point(|(known, _)| *known <= epoch);
        let (found, _) = self.starts.get(after.checked_sub(1)?)?;
        Some((*found, self.starts.get(after).map_or(log_end, |(_, start)| *start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64) -> LeaderEpoch {
        LeaderEpoch::of(Term::new(number))
    }

    fn offset(number: i64) -> Offset {
        Offset::new(number).unwrap_or_default()
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_with_records_begins() {
        let mut table = EpochTable::default();
        table.note(epoch(1), offset(0));
        table.note(epoch(2), offset(10));
        table.note(epoch(3), offset(10));
        table.note(epoch(5), offset(20));
        table.note(epoch(5), offset(25));
        assert_eq!(table.at(offset(9)), Some(epoch(1)));
        assert_eq!(table.at(offset(10)), Some(epoch(3)));
        assert_eq!(table.at(offset(21)), Some(epoch(5)));
        assert_eq!(table.end_of(epoch(1), offset(30)), Some((epoch(1), offset(10))));
        assert_eq!(table.end_of(epoch(2), offset(30)), Some((epoch(1), offset(10))));
        assert_eq!(table.end_of(epoch(4), offset(30)), Some((epoch(3), offset(20))));
        assert_eq!(table.end_of(epoch(5), offset(30)), Some((epoch(5), offset(30))));
        assert_eq!(table.end_of(epoch(6), offset(30)), None);
        assert_eq!(table.end_of(epoch(0), offset(30)), None);
    }

    #[test]
    fn a_term_too_large_for_the_wire_is_shown_as_the_largest_epoch() {
        assert_eq!(epoch(u64::MAX).as_i32(), i32::MAX);
    }
}
