//! The newest entries of all groups, in memory, within one budget.
//!
//! Entries lie in their group's index; here is only the order in which they go. Invariant: an entry leaves memory
//! only after its round is completed, so that what is not in memory is in the file.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::Entry;
use crate::index::Shared;
use crate::round::Round;

/// What an entry costs beyond its payload, roughly: its slot, and its share of a `Bytes`.
const ENTRY_OVERHEAD: u64 = 96;

/// What a place in the eviction order costs, roughly. Counted, so that rounds whose entries were all truncated go too.
const ORDER_OVERHEAD: u64 = 32;

/// An entry in memory, with the sequence number of its frame.
#[derive(Debug)]
pub(crate) struct TailEntry {
    pub(crate) entry: Entry,
    pub(crate) sequence: u64,
}

impl TailEntry {
    pub(crate) fn cost(&self) -> u64 {
        self.entry.payload.len() as u64 + ENTRY_OVERHEAD
    }
}

/// What one round appended to one group.
#[derive(Debug)]
struct Appended {
    shared: Arc<Shared>,
    round: Round,
    through_sequence: u64,
}

/// The eviction order.
#[derive(Debug)]
pub(crate) struct TailCache {
    budget: u64,
    held: u64,
    order: VecDeque<Appended>,
}

impl TailCache {
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, held: 0, order: VecDeque::new() }
    }

    /// Bytes were put into a group's tail.
    pub(crate) fn added(&mut self, shared: &Arc<Shared>, round: Round, through_sequence: u64, cost: u64) {
        self.held += cost + ORDER_OVERHEAD;
        self.order.push_back(Appended { shared: shared.clone(), round, through_sequence });
    }

    /// Bytes were taken out of a group's tail, by a truncation or a removal.
    pub(crate) fn dropped(&mut self, cost: u64) {
        self.held = self.held.saturating_sub(cost);
    }

    /// Lets go of the oldest entries of completed rounds until the budget holds.
    pub(crate) fn evict(&mut self, durable: Round) {
        while self.held > self.budget {
            match self.order.front() {
                Some(oldest) if oldest.round <= durable => {}
                _ => return,
            }
            let Some(oldest) = self.order.pop_front() else { return };
            let freed = oldest.shared.write().evict(oldest.through_sequence);
            self.held = self.held.saturating_sub(freed + ORDER_OVERHEAD);
        }
    }
}
