//! Idempotent producers: what each has written last, and what may come next.
//!
//! The rules are Kafka's (KIP-98, `ProducerAppendInfo`): a producer numbers the records it sends to a partition,
//! and the last [`WINDOW`] batches of each are remembered, so that a retry is recognised as long as it can come.
//! The same [`Window`] describes the committed state and, with the uncommitted batches put on top, what the next
//! batch is checked against. Nothing here reads a clock. Invariants: a window holds between one and [`WINDOW`]
//! batches of one epoch; the table holds at most its capacity of producers and forgets the one whose last batch is
//! oldest in the log, so that all replicas forget the same.

use std::collections::{BTreeMap, HashMap, VecDeque};

use raft_core::LogIndex;

use crate::record::Offset;

/// How many batches of a producer are remembered: as many as a client has in flight at most.
pub const WINDOW: usize = 5;

/// How many producers a partition remembers unless told otherwise.
pub const PRODUCERS_MAX: usize = 100_000;

/// A producer's id, handed out by the managers. Never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ProducerId(i64);

impl ProducerId {
    /// Takes an id from the wire; `None` for a negative one, which marks a batch without idempotence.
    pub(super) const fn new(id: i64) -> Option<Self> {
        if id < 0 { None } else { Some(Self(id)) }
    }

    /// The number, for the wire.
    pub(super) const fn as_i64(self) -> i64 {
        self.0
    }
}

/// Which records of which producer a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    /// Who sends.
    pub(super) producer: ProducerId,
    /// Which life of that producer. A higher one shuts out the lower ones.
    pub(super) epoch: i16,
    /// The number of the first record.
    pub(super) base_sequence: i32,
    /// The number of the last record, inclusive; below the first one when the numbers wrapped.
    pub(super) last_sequence: i32,
}

/// The number `count` records after `sequence`; after [`i32::MAX`] comes 0.
pub(super) const fn sequence_plus(sequence: i32, count: u32) -> i32 {
    ((sequence as i64 + count as i64) % (i32::MAX as i64 + 1)) as i32
}

/// Where a batch of the window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    /// The number of its first record.
    pub(super) base_sequence: i32,
    /// The number of its last record, inclusive.
    pub(super) last_sequence: i32,
    /// The offset of its first record.
    pub(super) base_offset: Offset,
    /// Its entry in the log.
    pub(super) index: LogIndex,
}

impl Remembered {
    /// What is remembered of a batch.
    pub(super) const fn of(numbered: &Numbered, base_offset: Offset, index: LogIndex) -> Self {
        let Numbered { base_sequence, last_sequence, .. } = *numbered;
        Self { base_sequence, last_sequence, base_offset, index }
    }
}

/// A producer's current epoch and its last batches in it, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    epoch: i16,
    batches: VecDeque<Remembered>,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes next: append it.
    Next,
    /// It is in the log already, here.
    Duplicate(Remembered),
    /// A producer with a higher epoch has taken over.
    StaleEpoch {
        /// The current epoch.
        current: i16,
    },
    /// Some batch before it is missing, or it is older than the window.
    OutOfOrder {
        /// The number that must come next.
        expected: i32,
    },
}

impl Window {
    /// The window after the first batch known of a producer.
    pub(super) fn opened_by(epoch: i16, batch: Remembered) -> Self {
        let mut batches = VecDeque::with_capacity(WINDOW);
        batches.push_back(batch);
        Self { epoch, batches }
    }

    /// Takes in the next batch. Another epoch begins a new window.
    pub(super) fn push(&mut self, epoch: i16, batch: Remembered) {
        if epoch != self.epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
        if self.batches.len() == WINDOW {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
    }

    /// What is to be done with a batch of this producer.
    pub(super) fn judge(&self, batch: &Numbered) -> Verdict {
        if batch.epoch < self.epoch {
            return Verdict::StaleEpoch { current: self.epoch };
        }
        if batch.epoch > self.epoch {
            return next_is(0, batch);
        }
        let same = |seen: &&Remembered| {
            seen.base_sequence == batch.base_sequence && seen.last_sequence == batch.last_sequence
        };
        // From the newest on: numbers come round again after 2^31 records.
        match self.batches.iter().rev().find(same) {
            Some(seen) => Verdict::Duplicate(*seen),
            None => {
                next_is(self.batches.back().map_or(0, |last| sequence_plus(last.last_sequence, 1)), batch)
            }
        }
    }
}

fn next_is(expected: i32, batch: &Numbered) -> Verdict {
    if batch.base_sequence == expected { Verdict::Next } else { Verdict::OutOfOrder { expected } }
}

/// The committed windows of all producers of a partition.
#[derive(Clone, Debug)]
pub(super) struct ProducerTable {
    capacity: usize,
    windows: HashMap<ProducerId, Window>,
    /// Producers by the entry of their last batch. Each entry has one producer, so no two share an index.
    by_age: BTreeMap<LogIndex, ProducerId>,
}

impl Default for ProducerTable {
    fn default() -> Self {
        Self::new(PRODUCERS_MAX)
    }
}

impl ProducerTable {
    /// An empty table of at most `capacity` producers; at least one is kept.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), windows: HashMap::new(), by_age: BTreeMap::new() }
    }

    /// How many producers are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// What is remembered of a producer.
    pub(super) fn window(&self, producer: ProducerId) -> Option<&Window> {
        self.windows.get(&producer)
    }

    /// Takes in a committed batch, which must lie after all earlier ones. When there are too many producers, the one
    /// whose last batch is the oldest is forgotten.
    pub(super) fn note(&mut self, batch: &Numbered, base_offset: Offset, index: LogIndex) {
        let remembered = Remembered::of(batch, base_offset, index);
        match self.windows.get_mut(&batch.producer) {
            Some(window) => {
                if let Some(last) = window.batches.back() {
                    self.by_age.remove(&last.index);
                }
                window.push(batch.epoch, remembered);
            }
            None => {
                self.windows.insert(batch.producer, Window::opened_by(batch.epoch, remembered));
            }
        }
        self.by_age.insert(index, batch.producer);
        while self.windows.len() > self.capacity {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.windows.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer: i64, epoch: i16, base_sequence: i32, records: u32) -> Numbered {
        let last_sequence = sequence_plus(base_sequence, records - 1);
        Numbered { producer: ProducerId(producer), epoch, base_sequence, last_sequence }
    }

    fn noted(batches: &[Numbered]) -> ProducerTable {
        let mut table = ProducerTable::new(2);
        for (at, batch) in (1..).zip(batches) {
            let offset = Offset::new(i64::from(at) * 100);
            table.note(batch, offset, LogIndex::new(at as u64));
        }
        table
    }

    fn judged(table: &ProducerTable, batch: Numbered) -> Verdict {
        table.window(batch.producer).map_or(Verdict::Next, |window| window.judge(&batch))
    }

    #[test]
    fn each_of_the_last_five_batches_is_a_duplicate_and_the_sixth_last_is_out_of_order() {
        let sent: Vec<Numbered> = (0..6).map(|n| batch(1, 0, n * 10, 10)).collect();
        let table = noted(&sent);
        assert_eq!(judged(&table, sent[0]), Verdict::OutOfOrder { expected: 60 });
        for (at, again) in sent.iter().enumerate().skip(1) {
            let Verdict::Duplicate(seen) = judged(&table, *again) else {
                panic!("batch {at} is not recognised")
            };
            assert_eq!(seen.base_offset.as_i64(), (at as i64 + 1) * 100);
        }
        assert_eq!(judged(&table, batch(1, 0, 60, 1)), Verdict::Next);
        assert_eq!(judged(&table, batch(1, 0, 61, 1)), Verdict::OutOfOrder { expected: 60 });
        assert_eq!(judged(&table, batch(1, 0, 50, 9)), Verdict::OutOfOrder { expected: 60 });
    }

    #[test]
    fn zero_comes_after_the_largest_sequence_number() {
        assert_eq!(sequence_plus(i32::MAX, 1), 0);
        assert_eq!(sequence_plus(i32::MAX - 1, 3), 1);
        let table = noted(&[batch(1, 0, i32::MAX - 1, 3)]);
        assert_eq!(judged(&table, batch(1, 0, 1, 1)), Verdict::Next);
        assert!(matches!(judged(&table, batch(1, 0, i32::MAX - 1, 3)), Verdict::Duplicate(_)));
        let table = noted(&[batch(1, 0, i32::MAX, 1)]);
        assert_eq!(judged(&table, batch(1, 0, 0, 4)), Verdict::Next);
    }

    #[test]
    fn a_higher_epoch_begins_at_zero_and_shuts_out_the_lower_ones() {
        let table = noted(&[batch(1, 3, 0, 5)]);
        assert_eq!(judged(&table, batch(1, 4, 5, 1)), Verdict::OutOfOrder { expected: 0 });
        assert_eq!(judged(&table, batch(1, 4, 0, 1)), Verdict::Next);
        let table = noted(&[batch(1, 3, 0, 5), batch(1, 4, 0, 1)]);
        assert_eq!(judged(&table, batch(1, 3, 0, 5)), Verdict::StaleEpoch { current: 4 });
        assert_eq!(judged(&table, batch(1, 4, 1, 1)), Verdict::Next);
    }

    #[test]
    fn the_producer_whose_last_batch_is_oldest_is_forgotten_first() {
        let table = noted(&[batch(1, 0, 0, 1), batch(2, 0, 0, 1), batch(1, 0, 1, 1), batch(3, 0, 7, 1)]);
        assert_eq!(table.len(), 2);
        assert!(table.window(ProducerId(2)).is_none());
        assert!(table.window(ProducerId(1)).is_some() && table.window(ProducerId(3)).is_some());
    }
}
