//! A group of replicas as a search sees it: the core, the smallest host, the steps between states, and the walk over them.
//!
//! This tree is built once per build of the core (`raft_core` is whatever the parent calls so), and knows nothing of
//! command lines. Invariant: what a search comes to is decided by its scope and that build alone.

mod history;
mod image;
mod judge;
mod logs;
mod replica;
mod search;
mod trace;
mod twins;
mod world;

pub(in crate::check) use search::run;

use super::super::{found, hash, input, law, scope, state};
use super::raft_core;
