//! The model over the core that ships.

pub(crate) use ::raft_core;

#[path = "model/mod.rs"]
pub(super) mod model;
