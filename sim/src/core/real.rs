//! The tier over the core that ships.

pub(crate) use ::raft_core;

#[path = "world/mod.rs"]
pub(crate) mod world;
