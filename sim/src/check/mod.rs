//! Model checking of the real core: every order of events within a small scope.
//!
//! A search begins with three replicas and goes through all that may happen to them, breadth first, each state once: any
//! message in flight arrives, in any order or never; time-outs; writes that end, one by one or together; crashes that keep
//! any part of what was not reported; proposals, membership changes, transfers, lost connections. What runs is
//! [`raft_core::Raft`] itself, with the smallest host that keeps its contract. All laws of [`CheckedLaw`] are
//! checked at each step. A breach comes with a shortest way to it.
//!
//! What it does not do: search beyond the bounds of a scope ([`Scope`]), speak of payloads, snapshots, reads or sleep, or
//! show that anything good ever happens; simulation is for those. Nothing is random here, so a search is the same in every
//! run.
//!
//! What is left out without loss: a message that is lost is one that never arrives; a replica that is down is one to which
//! nothing happens, so crash and restart are one step; a delivery that changes nothing may as well come later.

#![allow(clippy::duplicate_mod, reason = "the tree below `model` is built once for each build of the core")]

mod command;
mod found;
mod hash;
mod input;
mod law;
mod mutated;
mod real;
mod scope;
mod state;

pub use command::{CheckArgs, check};
pub use found::{Counterexample, End, Found, Parts};
pub use law::{Broken, CheckedLaw};
pub use scope::{Bounds, Budget, Change, Conduct, Scope, Start};

/// Searches a scope of the real core to its end, its limit, or the first broken law.
pub fn search(scope: &Scope) -> Found {
    real::model::run(scope, false)
}

/// As [`search`], and runs every pair of replica states that share a fingerprint through all inputs, to see that they do
/// the same. Slow: for scopes of some ten thousand states.
pub fn search_with_twins(scope: &Scope) -> Found {
    real::model::run(scope, true)
}

/// As [`search`], over a core with this known bug in it; `None` is the same code with no bug switched on.
pub fn search_mutant(mutant: Option<u8>, scope: &Scope) -> Found {
    raft_core_mutated::mutant::set(mutant);
    let found = mutated::model::run(scope, false);
    raft_core_mutated::mutant::set(None);
    found
}

#[cfg(test)]
mod tests;
