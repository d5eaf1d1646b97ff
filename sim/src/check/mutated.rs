//! The model over the copy of the core that has known bugs in it, one of which can be switched on.

pub(crate) use ::raft_core_mutated as raft_core;

#[path = "model/mod.rs"]
pub(super) mod model;
