//! The laws, by name, and how a breach of one is reported.

use std::fmt;

use raft_core::{GroupId, NodeId};

/// A law that every step of every history keeps. The codes are short names for reports and command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// One leader per term (Raft §5.2, Election Safety).
    R1,
    /// A leader never cuts its own log (Raft §5.3, Leader Append-Only).
    R2,
    /// Two logs that share an entry share all before it (Raft §5.3, Log Matching).
    R3,
    /// Each leader's log holds all that was committed before its term (Raft §5.4, Leader Completeness).
    R4,
    /// All replicas apply the same entries in the same order and come to the same state (State Machine Safety).
    R5,
    /// One vote per term and disk, over all restarts.
    R6,
    /// The term of a disk never falls.
    R7,
    /// Committed means held durably by a quorum, and a leader's commit rests on an entry of its own term (§5.4.2).
    R8,
    /// A committed entry is never cut.
    L2,
    /// No claim without durability: what a node says that it holds or voted is on its platter.
    L4,
    /// Recovery brings back exactly what is on the platter.
    L8,
    /// A linearizable read is as new as everything that was answered before it was asked, and true.
    X1,
    /// What was done stays done, and what was refused never happens.
    X2,
    /// A command is applied at most once.
    X3,
    /// A request ends exactly once, within its time.
    X4,
    /// Client histories are linearizable: all that the clients of a group saw can be put in one order that keeps to the
    /// order of time and explains each answer (Herlihy and Wing 1990).
    X5,
    /// Once all is healed there are a leader and a new commit within ten election timeouts.
    V1,
    /// Once all is healed all replicas come to hold and to have applied the same.
    V5,
    /// Nothing panics, no group is fenced, and the core's invariants hold after each step.
    S1,
    /// Only what can be done is asked of the disk, and what is asked of it in order succeeds.
    S2,
}

impl Law {
    /// What it says, in a few words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::R1 => "one leader per term",
            Self::R2 => "a leader never cuts its own log",
            Self::R3 => "logs that share an entry share all before it",
            Self::R4 => "a leader holds all that is committed",
            Self::R5 => "all replicas apply the same",
            Self::R6 => "one vote per term and disk",
            Self::R7 => "the term of a disk never falls",
            Self::R8 => "committed is what a quorum holds durably, by an entry of the leader's term",
            Self::L2 => "nothing committed is cut",
            Self::L4 => "no claim without durability",
            Self::L8 => "recovery brings back exactly what is on the platter",
            Self::X1 => "a linearizable read is new enough and true",
            Self::X2 => "done stays done, refused never happens",
            Self::X3 => "a command is applied at most once",
            Self::X4 => "a request ends exactly once, in time",
            Self::X5 => "client histories are linearizable",
            Self::V1 => "a leader and a commit within ten election timeouts after healing",
            Self::V5 => "healed replicas come to agree",
            Self::S1 => "nothing panics and no group is fenced",
            Self::S2 => "the disk is asked only for what it can do",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A broken law: what, where, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The law.
    pub law: Law,
    /// The group it concerns, if one.
    pub group: Option<GroupId>,
    /// The node that was caught, if one.
    pub node: Option<NodeId>,
    /// What was seen.
    pub seen: String,
}

impl Breach {
    /// A breach seen in a group, at a node.
    pub(crate) fn at(law: Law, group: GroupId, node: NodeId, seen: impl Into<String>) -> Self {
        Self { law, group: Some(group), node: Some(node), seen: seen.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.law, self.law.sentence())?;
        if let Some(group) = self.group {
            write!(f, ", group {group}")?;
        }
        if let Some(node) = self.node {
            write!(f, ", node {node}")?;
        }
        write!(f, ": {}", self.seen)
    }
}

/// What a check comes to.
pub(crate) type Checked = Result<(), Breach>;
