//! Which operations a search has placed: a set of those with a return, one of open ones, and their exact, short names.
//!
//! Placed operations with a return are nearly a prefix of the history, so they are named by the words from the first
//! that is not full to the last that is not empty. Invariant: two sets have the same name if and only if they are
//! equal, as long as the first operation that is not placed is told right.

/// A place in a set of bits: its word and its bit there.
fn bit(at: usize) -> (usize, u64) {
    (at / 64, 1 << (at % 64))
}

/// The operations that are placed, those with a return and open ones counted apart, each from 0.
#[derive(Debug)]
pub(super) struct Placed {
    closed: Vec<u64>,
    open: Vec<u64>,
    /// No word of `closed` from here on has a bit.
    end: usize,
}

impl Placed {
    /// None of so many.
    pub(super) fn new(closed: usize, open: usize) -> Self {
        Self { closed: vec![0; closed.div_ceil(64)], open: vec![0; open.div_ceil(64)], end: 0 }
    }

    /// An operation with a return is placed. To take it back, hand in what this returns.
    pub(super) fn insert(&mut self, closed: usize) -> usize {
        let (word, bit) = bit(closed);
        self.closed[word] |= bit;
        let end = self.end;
        self.end = end.max(word + 1);
        end
    }

    /// The operation that was inserted last is not placed any more.
    pub(super) fn remove(&mut self, closed: usize, end: usize) {
        let (word, bit) = bit(closed);
        self.closed[word] &= !bit;
        self.end = end;
    }

    /// An open operation is placed.
    pub(super) fn insert_open(&mut self, open: usize) {
        let (word, bit) = bit(open);
        self.open[word] |= bit;
    }

    /// An open operation is not placed any more.
    pub(super) fn remove_open(&mut self, open: usize) {
        let (word, bit) = bit(open);
        self.open[word] &= !bit;
    }

    /// Whether an open operation is placed.
    pub(super) fn has_open(&self, open: usize) -> bool {
        let (word, bit) = bit(open);
        self.open[word] & bit != 0
    }

    /// The name of the set of those with a return, of which `missing` is the first that is not placed.
    pub(super) fn closed_name(&self, missing: usize) -> Box<[u64]> {
        let base = missing / 64;
        let words = self.closed.get(base..self.end).unwrap_or(&[]);
        [base as u64].iter().chain(words).copied().collect()
    }

    /// The name of the set of open ones, these included.
    pub(super) fn open_name_with(&self, also: &[usize]) -> OpenSet {
        let mut words = self.open.clone();
        for open in also {
            let (word, bit) = bit(*open);
            words[word] |= bit;
        }
        let end = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        words.truncate(end);
        OpenSet(words.into())
    }
}

/// A set of open operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenSet(Box<[u64]>);

impl OpenSet {
    /// Whether all of this set is in the other, too.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.len() <= other.0.len() && self.0.iter().zip(&other.0).all(|(mine, other)| mine & !other == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn different_sets_have_different_names_and_equal_ones_the_same() {
        let mut names: BTreeMap<Box<[u64]>, BTreeSet<usize>> = BTreeMap::new();
        let chosen = [62, 63, 64, 65, 127, 128];
        for full in [0, 62, 64, 128] {
            for some in 0..1_u32 << chosen.len() {
                let also = chosen.iter().enumerate().filter(|(at, _)| some >> at & 1 != 0);
                let set: BTreeSet<usize> = (0..full).chain(also.map(|(_, closed)| *closed)).collect();
                let mut placed = Placed::new(130, 0);
                for closed in &set {
                    placed.insert(*closed);
                }
                let missing = (0..130).find(|at| !set.contains(at)).unwrap();
                let known = names.entry(placed.closed_name(missing)).or_insert_with(|| set.clone());
                assert_eq!(*known, set);
            }
        }
    }

    #[test]
    fn a_set_of_open_operations_is_within_those_that_have_all_of_it() {
        let set = |open: &[usize]| {
            let mut placed = Placed::new(0, 130);
            open.iter().for_each(|open| placed.insert_open(*open));
            assert!(open.iter().all(|open| placed.has_open(*open)));
            let name = placed.open_name_with(&[]);
            assert_eq!(Placed::new(0, 130).open_name_with(open), name);
            name
        };
        let sets: [&[usize]; 7] = [&[], &[0], &[64], &[0, 64], &[0, 1], &[129], &[0, 1, 64, 129]];
        for one in sets {
            for other in sets {
                let is_within = one.iter().all(|open| other.contains(open));
                assert_eq!(set(one).is_within(&set(other)), is_within, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_removed_operation_leaves_no_trace_in_the_names() {
        let mut placed = Placed::new(200, 2);
        placed.insert(0);
        let names = (placed.closed_name(1), placed.open_name_with(&[]));
        let end = placed.insert(190);
        placed.insert_open(1);
        assert!(placed.closed_name(1) != names.0 && placed.open_name_with(&[]) != names.1);
        placed.remove_open(1);
        placed.remove(190, end);
        assert_eq!((placed.closed_name(1), placed.open_name_with(&[])), names);
    }
}
