//! The core tier: the real `raft-core` alone, with everything around it simulated, a million events a second.
//!
//! Messages are objects, disks are ordered lists of writes, and an entry is a number; what a host owes the core is done
//! here in the plainest way, and every law that can be checked from outside is checked at every step. From one seed come
//! the world, its faults and its clients ([`Setup::draw`]); a run of it ([`run`]) ends in an [`Outcome`].
//!
//! What it does not do: bytes, files, sockets; the full tier does. Invariant: a run is decided by its setup alone.
//!
//! Where to read: `plan.rs` (what a seed draws), `world/mod.rs` (events), `world/effects.rs` (what becomes of each
//! decision), `world/claims.rs` and `world/truth.rs` (the laws).

#![allow(clippy::duplicate_mod, reason = "the tree below `world` is built once for each build of the core")]

mod action;
mod bench;
pub mod commands;
mod dice;
mod html;
mod knobs;
mod law;
mod marks;
mod mutants;
mod mutated;
mod plan;
mod queue;
mod real;
mod record;
mod report;
mod script;
mod shrink;

pub use action::{Action, NoAction, Shape, Survival, Victim, What};
pub use bench::{Measured, measure};
pub use html::page;
pub use knobs::{Class, Knobs, Micros};
pub use law::{Breach, Law};
pub use marks::{Mark, Marks};
pub use mutants::{Effort, NoMutant, NoTable, Table, Verdict, hunt, mutant_named};
pub use record::{Noted, Record, Recorder};
pub use report::{Counts, MIN_STEPS, Outcome, Script, Setup};
pub use script::{NoScript, ScriptFile};
pub use shrink::Shrinker;

/// Runs one world over the real core.
pub fn run(setup: &Setup, recorder: Recorder) -> Outcome {
    real::world::run(setup, recorder)
}

/// Runs one world over a core with this known bug in it; `None` is the same code with no bug switched on.
pub fn run_mutant(mutant: Option<u8>, setup: &Setup, recorder: Recorder) -> Outcome {
    raft_core_mutated::mutant::set(mutant);
    let outcome = mutated::world::run(setup, recorder);
    raft_core_mutated::mutant::set(None);
    outcome
}
