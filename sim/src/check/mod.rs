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

mod command;
mod hash;
mod history;
mod image;
mod input;
mod judge;
mod law;
mod logs;
mod replica;
mod scope;
mod search;
mod state;
mod trace;
mod twins;
mod world;

pub use command::{CheckArgs, check};
pub use law::{Broken, CheckedLaw};
pub use scope::{Bounds, Budget, Change, Conduct, Scope, Start};
pub use search::{Counterexample, End, Found, search, search_with_twins};
pub use world::Parts;

#[cfg(test)]
mod tests;
