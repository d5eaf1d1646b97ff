//! Which leader epoch began at which offset (KIP-101).
//!
//! What tells a client that came back after a leader change how far its copy of the log is still right. Covers
//! committed entries only. Invariant: epochs and start offsets both strictly increase.

use crate::record::{LeaderEpoch, Offset};

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
        LeaderEpoch::from_term(raft_core::Term::new(number))
    }

    fn offset(number: i64) -> Offset {
        Offset::new(number)
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
}
