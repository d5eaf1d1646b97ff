//! raft-core beside the published crates `raft` (raft-rs) and `openraft`: the same work, in one process.
//!
//! A [`Group`] is three nodes with everything in memory. A client proposes entries of [`PAYLOAD`] bytes one by one
//! and keeps at most `depth` of them outstanding. Each entry is stored by three logs, each with its own copy of the
//! bytes, applied by three state machines one by one in the order of the log, and completed to the client one by
//! one with what the leader's state machine answered. Entries are batched only where a library's own interface does
//! it. "Durable" is reported as soon as the bytes are stored. At the end of a run all three machines must have
//! applied the same entries in the same order, or the run panics.
//!
//! What the drivers share is here and in [`work`] and [`store`], so that it costs each of them the same; what each
//! library was given to be at its best is said in [`ours`], [`raft_rs`] and [`open`].

pub mod idle;
pub mod open;
pub mod ours;
pub mod raft_rs;
pub mod store;
pub mod work;

pub use work::PAYLOAD;

/// The outstanding proposals that are measured.
pub const DEPTHS: [usize; 3] = [1, 64, 1024];

/// Three nodes of one library with an elected leader.
pub trait Group {
    /// Proposes `entries` entries with at most `depth` outstanding; returns when all are completed to the client and
    /// applied on three nodes.
    fn run(&mut self, depth: usize, entries: u64);
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// This repository's, over a host that keeps payloads as plain bytes in a ring.
    RaftCore,
    /// The same, over a host that keeps them in the same type of log as the hosts of the others.
    RaftCoreSameLog,
    /// The crate `raft`.
    RaftRs,
    /// The crate `openraft`.
    OpenRaft,
}

impl Library {
    /// All of them, ours first.
    pub const ALL: [Library; 4] =
        [Library::RaftCore, Library::RaftCoreSameLog, Library::RaftRs, Library::OpenRaft];

    /// Whether it is this repository's.
    pub fn is_ours(self) -> bool {
        matches!(self, Library::RaftCore | Library::RaftCoreSameLog)
    }

    /// Its name and version.
    pub fn name(self) -> &'static str {
        match self {
            Library::RaftCore => "raft-core",
            Library::RaftCoreSameLog => "raft-core, logs as the others'",
            Library::RaftRs => "raft-rs 0.7.0",
            Library::OpenRaft => "openraft 0.9.25",
        }
    }

    /// A group with a leader, ready for proposals.
    pub fn open(self) -> Box<dyn Group> {
        match self {
            Library::RaftCore => Box::new(ours::Cluster::<store::Ring>::new()),
            Library::RaftCoreSameLog => Box::new(ours::Cluster::<store::Log<store::Held>>::new()),
            Library::RaftRs => Box::new(raft_rs::Cluster::new()),
            Library::OpenRaft => Box::new(open::Cluster::new()),
        }
    }
}
