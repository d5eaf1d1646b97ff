//! The simulator: the real core, log and node over a simulated disk, network and clock. One thread, one seed.
//!
//! What it does not do: run an application of the product, or read a clock. Invariant: a run is decided by its options
//! alone, so the same seed has the same history and the same hash.
#![forbid(unsafe_code)]
pub mod check;
pub mod core;
pub mod disk;
mod ending;
mod host;
pub mod law;
pub mod linear;
mod machine;
mod mutant;
mod network;
mod oracle;
mod plan;
mod report;
pub mod rng;
mod trace;
mod world;

pub use ending::{Ending, Failure};
pub use mutant::{Mutant, UnknownMutant};
pub use oracle::{Breach, Law};
pub use report::Summary;
pub use trace::LEGEND;
pub use world::{MIN_STEPS, RunOptions};

/// Runs one seed.
pub fn run(options: &RunOptions, sink: Option<Box<dyn FnMut(String)>>) -> Summary {
    world::World::new(options, sink).run()
}
