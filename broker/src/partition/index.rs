//! Finds the entry of the log for an offset or a timestamp, without reading the log.
//!
//! Sparse: one mark for each 64 KiB of batches, and exact places for the newest batches, which is where consumers
//! are. Covers committed batches only, so it is never truncated. Invariant: offsets and log indexes of marks
//! strictly increase, and the running maximum of timestamps never falls.

use std::collections::VecDeque;

use raft_core::LogIndex;

use crate::record::Offset;

/// Bytes of batches between two marks. A lookup reads at most about as much for nothing.
const MARK_EVERY_BYTES: u64 = 64 * 1024;
/// How many of the newest batches have exact places.
const RECENT: usize = 1024;

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The offset of its first record.
    pub(super) base_offset: Offset,
    /// Its entry in the log.
    pub(super) index: LogIndex,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    place: Place,
    /// The largest timestamp of all batches before this one.
    max_timestamp_before: i64,
}

/// The committed batches of a partition, by offset and by timestamp.
#[derive(Clone, Debug)]
pub(super) struct BatchIndex {
    marks: Vec<Mark>,
    recent: VecDeque<Place>,
    bytes_since_mark: u64,
    max_timestamp: i64,
    newest: Option<Place>,
}

impl Default for BatchIndex {
    fn default() -> Self {
        Self {
            marks: Vec::new(),
            recent: VecDeque::new(),
            bytes_since_mark: 0,
            max_timestamp: i64::MIN,
            newest: None,
        }
    }
}

impl BatchIndex {
    /// Takes in a committed batch of `bytes` bytes, which must lie after all earlier ones.
    pub(super) fn note(&mut self, place: Place, bytes: u64, max_timestamp: i64) {
        if self.marks.is_empty() || self.bytes_since_mark >= MARK_EVERY_BYTES {
            self.marks.push(Mark { place, max_timestamp_before: self.max_timestamp });
            self.bytes_since_mark = 0;
        }
        self.bytes_since_mark = self.bytes_since_mark.saturating_add(bytes);
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(place);
        self.newest = Some(place);
    }

    /// The newest committed batch.
    pub(super) fn newest(&self) -> Option<Place> {
        self.newest
    }

    /// A batch from which on the one holding `offset` will be met: the batch itself or one a little before it.
    /// `None` when no batch is committed.
    pub(super) fn before_offset(&self, offset: Offset) -> Option<Place> {
        if self.recent.front().is_some_and(|oldest| oldest.base_offset <= offset) {
            let after = self.recent.partition_point(|place| place.base_offset <= offset);
            return self.recent.get(after - 1).copied();
        }
        let after = self.marks.partition_point(|mark| mark.place.base_offset <= offset);
        self.marks.get(after.saturating_sub(1)).map(|mark| mark.place)
    }

    /// A batch from which on the first one with a timestamp of at least `timestamp` (milliseconds) will be met.
    /// `None` when there is no such batch.
    pub(super) fn before_timestamp(&self, timestamp: i64) -> Option<Place> {
        if self.newest.is_none() || self.max_timestamp < timestamp {
            return None;
        }
        let after = self.marks.partition_point(|mark| mark.max_timestamp_before < timestamp);
        self.marks.get(after.saturating_sub(1)).map(|mark| mark.place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lookup_never_begins_behind_the_batch_that_a_scan_of_all_batches_finds(
            batches in proptest::collection::vec((1u32..5, 1u64..100_000, -1i64..50), 1..3000),
            offsets in proptest::collection::vec(0i64..6000, 10),
            times in proptest::collection::vec(-2i64..60, 10),
        ) {
            let mut index = BatchIndex::default();
            let mut all = Vec::new();
            let mut next = Offset::ZERO;
            for (at, (records, bytes, time)) in (1..).zip(&batches) {
                let place = Place { base_offset: next, index: LogIndex::new(at * 2) };
                index.note(place, *bytes, *time);
                all.push((place, next.plus(*records), *time));
                next = next.plus(*records);
            }
            prop_assert_eq!(index.newest(), all.last().map(|(place, ..)| *place));
            for offset in offsets.into_iter().map(Offset::new).filter(|o| *o < next) {
                let holder = all.iter().find(|(_, end, _)| offset < *end).map(|(place, ..)| place.index);
                let found = index.before_offset(offset).map(|place| place.index);
                prop_assert!(found.is_some() && found <= holder);
            }
            for time in times {
                let first = all.iter().find(|(_, _, max)| *max >= time).map(|(place, ..)| place.index);
                let found = index.before_timestamp(time).map(|place| place.index);
                prop_assert_eq!(found.is_some(), first.is_some());
                prop_assert!(found <= first);
            }
        }
    }
}
