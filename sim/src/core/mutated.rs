//! The tier over the copy of the core that has known bugs in it, one of which can be switched on.

pub(crate) use ::raft_core_mutated as raft_core;

#[path = "world/mod.rs"]
pub(crate) mod world;
