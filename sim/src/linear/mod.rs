//! Linearizability: whether what clients saw can be put in one order that a simple object explains.
//!
//! A [`History`] holds the operations of many clients, each with the moments of its invocation and of its return, what
//! was asked and what was answered. It is linearizable when every operation can be given one moment between the two, so
//! that a [`Model`] going through them in that order gives just these answers (Herlihy and Wing 1990). [`check`]
//! decides it with the algorithm of Wing and Gong (1993) as improved by Lowe (2017), partition by partition (Horn and
//! Kroening 2015), and remembers the configurations that it has been to.
//!
//! ```
//! use sim::linear::{History, register};
//!
//! let mut history = History::new();
//! let write = history.invoke(1, 10, register::write(7, 42));
//! let read = history.invoke(2, 20, register::read(7));
//! history.returned(read, 30, register::Answer::Value(Some(42)));
//! history.returned(write, 40, register::Answer::Done);
//! assert!(register::check(&history).is_linearizable());
//! ```
//!
//! What a maker of histories owes: operations of which it is certain that nothing happened are left out
//! ([`History::nothing_happened`]); operations of unknown outcome stay open, for they may take effect at any time after
//! their invocation, or never. Many of these make a search long, as any set of them may have taken effect. So each
//! write should have a value of its own, and what other evidence tells should be said ([`History::took_effect`]).
//!
//! What it does not do: weaker laws than linearizability, and blocking operations. Invariant: no verdict is a guess.
//! What was remembered is compared as a whole and not by its hash, and a search that reaches its bound says
//! [`Verdict::Undecided`].
//!
//! Where to read: `search.rs` (the algorithm), then a model, `register.rs` being the smallest.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::hash::Hash;

pub mod bank;
mod been;
mod entries;
mod history;
mod log;
mod placed;
pub mod queue;
pub mod register;
mod search;
mod verdict;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod long;
#[cfg(test)]
mod random;
#[cfg(test)]
mod textbook;

pub use history::{Ending, History, Operation, OperationId};
pub use log::Log;
pub use verdict::{Failure, Linearized, Undecided, Verdict, Witness};

use search::{Found, Search};

/// After how many configurations the search of one partition gives up, unless told otherwise: within some hundred
/// megabytes.
pub const MAX_STATES: usize = 1_000_000;

/// The sequential object that a history is compared with.
///
/// It must be deterministic: a state, a call and, if known, its answer lead to one state or to none.
pub trait Model: Clone + Debug {
    /// What a client asks.
    type Call: Clone + Debug + Display + Eq + Hash;
    /// What it is answered.
    type Answer: Clone + Debug + Display + Eq + Hash;
    /// What the object remembers between operations. Equal states must behave alike for ever.
    type State: Clone + Debug + Display + Eq + Hash;
    /// Names a part of the object that shares nothing with any other.
    type Key: Clone + Debug + Display + Ord;

    /// The state of a part before its first operation.
    fn initial(&self, key: &Self::Key) -> Self::State;

    /// The part that a call concerns, and the only one. A history is linearizable if and only if the histories of all
    /// parts are (locality; Herlihy and Wing 1990, theorem 1).
    fn partition(&self, call: &Self::Call) -> Self::Key;

    /// The state after `call` was answered so; `None` when this answer is wrong in this state. Without an answer any
    /// that is right will do, so the result is then always `Some` if every call has a right answer in every state.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;

    /// May rewrite the operations of one partition, each in its place, if that is linearizable exactly when it was
    /// before, and then in the same orders. It only saves time: what a model knows of open operations spares the search
    /// from guessing.
    fn simplify(&self, operations: &mut [Operation<Self::Call, Self::Answer>]) {
        let _ = operations;
    }

    /// Whether `call`, answered so, changes no state in which this answer is right. It only saves time: such an
    /// operation is placed as soon as it fits. Answering `false` is always correct.
    fn only_looks(&self, call: &Self::Call, answer: &Self::Answer) -> bool {
        let _ = (call, answer);
        false
    }
}

/// Decides whether a history is linearizable, giving up on a partition when it has been to more than `max_states`
/// configurations. Shorter rounds before may have been to as many as a half of that.
///
/// Partitions are searched in the order of their keys. The first that is not linearizable decides the whole; only when
/// there is none does one that could not be decided make the whole undecided.
pub fn check<M: Model>(model: &M, history: &History<M>, max_states: usize) -> Verdict<M> {
    let mut parts: BTreeMap<M::Key, Vec<OperationId>> = BTreeMap::new();
    for (id, operation) in history.operations() {
        if operation.ending != Ending::Nothing {
            parts.entry(model.partition(&operation.call)).or_default().push(id);
        }
    }
    let mut linearized = Linearized { states: 0, witnesses: Vec::new() };
    let mut undecided = None;
    for (key, ids) in parts {
        let mut operations: Vec<_> = ids.iter().map(|id| history.operation(*id).clone()).collect();
        model.simplify(&mut operations);
        let (found, states) = Search::new(model, &operations, model.initial(&key), max_states).run();
        linearized.states += states;
        match found {
            Found::Order(order) => {
                let order = order.into_iter().map(|at| ids[at]).collect();
                linearized.witnesses.push(Witness { key, order });
            }
            Found::Stuck(stuck) => {
                let owned = |at: &usize| history.operation(ids[*at]).clone();
                return Verdict::Broken(Box::new(Failure {
                    key,
                    operations: operations.len(),
                    prefix: stuck.prefix.iter().map(owned).collect(),
                    state: stuck.state,
                    unplaced: stuck.candidates.iter().map(owned).collect(),
                    states,
                }));
            }
            Found::Bound => {
                let operations = operations.len();
                undecided = undecided.or(Some(Undecided { key, operations, states }));
            }
        }
    }
    undecided.map_or(Verdict::Linearizable(linearized), Verdict::Undecided)
}
