//! The order of events: by time, and at the same time by the order in which they were asked for.
//!
//! Invariant: time never goes back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::knobs::Micros;

/// What is due: a kind in the upper eight bits and a number in the lower 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due(u32);

impl Due {
    pub(crate) fn new(kind: u8, number: u32) -> Self {
        debug_assert!(number < 1 << 24);
        Self(u32::from(kind) << 24 | number & 0xff_ffff)
    }

    pub(crate) fn kind(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub(crate) fn number(self) -> u32 {
        self.0 & 0xff_ffff
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Micros, u64)>>,
    sequence: u32,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Micros, due: Due) {
        self.sequence += 1;
        self.heap.push(Reverse((at, u64::from(self.sequence) << 32 | u64::from(due.0))));
    }

    /// When the next is due.
    pub(crate) fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Micros, Due)> {
        self.heap.pop().map(|Reverse((at, event))| (at, Due(event as u32)))
    }
}

/// Things by number, whose numbers are used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn put(&mut self, item: T) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.items[number as usize] = Some(item);
                number
            }
            None => {
                self.items.push(Some(item));
                self.items.len() as u32 - 1
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    pub(crate) fn take(&mut self, number: u32) -> Option<T> {
        let item = self.items.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order() {
        let mut queue = Queue::default();
        queue.push(5, Due::new(1, 1));
        queue.push(3, Due::new(2, 2));
        queue.push(5, Due::new(0, 3));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, due)| due.number()).collect();
        assert_eq!(order, [2, 1, 3]);
    }

    #[test]
    fn numbers_are_used_again_and_each_thing_is_taken_once() {
        let mut slab = Slab::default();
        let first = slab.put("a");
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.take(first), Some("a"));
        assert_eq!(slab.len(), 0);
        assert_eq!(slab.take(first), None);
        assert_eq!(slab.put("b"), first);
    }
}
