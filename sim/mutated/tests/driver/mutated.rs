//! The same driver over the copy.

pub(crate) use raft_core_mutated as subject;

#[path = "driver.rs"]
pub(crate) mod driver;
