//! Where a search has been, so that it goes nowhere twice.
//!
//! A configuration is which operations are placed and the state after them. Open operations need not be placed at all,
//! so to have placed fewer of them is never worse: a configuration is known, too, if the search has been to one with
//! the same operations with a return, the same state, and no other open operations. Invariant: what is remembered of
//! the same two is a set of which no member is within another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::placed::OpenSet;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Been<S> {
    places: HashMap<(Box<[u64]>, S), Vec<OpenSet>>,
    count: usize,
}

impl<S: Eq + Hash> Been<S> {
    /// Nowhere yet.
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), count: 0 }
    }

    /// How many configurations have been added, those included that a better one has replaced.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.count = 0;
    }

    /// The search is here. Returns whether that is new.
    pub(super) fn add(&mut self, closed: Box<[u64]>, state: S, open: OpenSet) -> bool {
        match self.places.entry((closed, state)) {
            Entry::Vacant(place) => {
                place.insert(vec![open]);
            }
            Entry::Occupied(mut place) => {
                if place.get().iter().any(|known| known.is_within(&open)) {
                    return false;
                }
                place.get_mut().retain(|known| !open.is_within(known));
                place.get_mut().push(open);
            }
        }
        self.count += 1;
        true
    }
}
