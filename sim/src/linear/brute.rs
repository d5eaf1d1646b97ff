//! The slow and obvious twin of the search: it tries every sequence of operations.
//!
//! No partitions, no memory, no cleverness. Invariant: it looks at every sequence without repetition of the operations
//! of a history whose beginnings all are right.

use std::collections::BTreeMap;

use super::Model;
use super::history::{Ending, History, Operation};

type Told<M> = Operation<<M as Model>::Call, <M as Model>::Answer>;

/// How many operations with a return a beginning of an order can have at most, and how many there are. The history is
/// linearizable if the two are equal.
pub(super) fn longest<M: Model>(model: &M, history: &History<M>) -> (usize, usize) {
    let operations: Vec<&Told<M>> = history.operations().map(|(_, operation)| operation).collect();
    let all: Vec<&Told<M>> =
        operations.into_iter().filter(|operation| operation.ending != Ending::Nothing).collect();
    let mut best = 0;
    extend(model, &all, &mut Vec::new(), &BTreeMap::new(), &mut best);
    (best, all.iter().filter(|operation| operation.returned_at().is_some()).count())
}

fn extend<M: Model>(
    model: &M,
    all: &[&Told<M>],
    sequence: &mut Vec<usize>,
    states: &BTreeMap<M::Key, M::State>,
    best: &mut usize,
) {
    if !keeps_time::<M>(all, sequence) {
        return;
    }
    let returned = sequence.iter().filter(|at| all[**at].returned_at().is_some()).count();
    *best = returned.max(*best);
    for at in 0..all.len() {
        if sequence.contains(&at) {
            continue;
        }
        let key = model.partition(&all[at].call);
        let state = states.get(&key).cloned().unwrap_or_else(|| model.initial(&key));
        if let Some(state) = model.step(&state, &all[at].call, all[at].answer()) {
            let mut states = states.clone();
            states.insert(key, state);
            sequence.push(at);
            extend(model, all, sequence, &states, best);
            sequence.pop();
        }
    }
}

/// Whether each operation comes after all that returned before it was asked.
pub(super) fn keeps_time<M: Model>(all: &[&Told<M>], sequence: &[usize]) -> bool {
    sequence.iter().enumerate().all(|(place, at)| {
        let before = |other: &usize| all[*other].returned_at().is_some_and(|back| back < all[*at].invoked);
        (0..all.len()).filter(before).all(|other| sequence[..place].contains(&other))
    })
}
