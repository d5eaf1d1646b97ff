//! A Raft replica that decides and never does.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod durability;
mod effect;
mod election;
mod follow;
mod id;
mod lead;
mod membership;
mod message;
mod options;
mod progress;
mod raft;
mod reads;
mod rng;
mod role;
mod runs;

pub use effect::{Effect, HardState, Law, Persist, PersistToken, ReadFailure, ReadId, RoleKind, SoftState};
pub use id::{DiskId, GroupId, LogId, LogIndex, NodeId, ReplicaId, Term, Time};
pub use membership::{Configuration, ConfigurationError, MAX_VOTERS};
pub use message::{
    AppendOutcome, AppendReply, AppendRequest, Message, PreVote, PreVoteReply, ReadIndexReply,
    ReadIndexRequest, Vote, VoteReply,
};
pub use options::{Options, OptionsError};
pub use raft::{ProposeError, Proposed, Raft, ReadError, Restored};
pub use runs::{RunsError, TermRun, TermRuns};
