//! Many Raft groups behind one port.
#![forbid(unsafe_code)]

pub mod codec;
pub mod formation;
pub mod frame;
mod handle;
pub mod handshake;
mod machine;
pub mod node;
mod outcome;
pub mod request;
mod runtime;

pub use handle::{Ask, Board, GroupSpec, GroupStatus, NodeHandle, OpenGroupError, Proposal};
pub use machine::{Body, Prepared, StateMachine};
pub use outcome::{Consistency, Doubt, Outcome, Refusal};
pub use runtime::{
    Counters, Counts, DiskFailure, DiskHooks, Membership, NodeConfig, StartError, start, start_on,
};
