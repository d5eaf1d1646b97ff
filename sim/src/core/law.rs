//! The laws that the core tier checks, by name, and how a breach of one is reported.
//!
//! Nothing here knows the core, so that a law has the same name whichever build of the core broke it.

use std::fmt;

/// A law that every step of every history keeps. Ordered by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// Durable commit never regresses, nor does that of a life of a process.
    L1,
    /// Nothing committed is cut.
    L2,
    /// No claim without durability.
    L4,
    /// Recovery brings back exactly what is on the disk.
    L8,
    /// A disk that lost its state counts in no quorum until it is promoted anew.
    L10,
    /// What is on its way stays bounded: no message makes more than its share of others.
    O1,
    /// One leader per term (Raft §5.2).
    R1,
    /// A leader only appends (Raft §5.3).
    R2,
    /// Two logs that share an entry share all before it, and bytes never part from their range (Raft §5.3).
    R3,
    /// Each leader holds all that was committed before its term (Raft §5.4).
    R4,
    /// All replicas apply the same entries in the same order (Raft §5.4.3).
    R5,
    /// One vote per term and disk, over all restarts (Raft §5.2).
    R6,
    /// The term of a disk never falls (Raft §5.1).
    R7,
    /// Committed is what a quorum holds durably, by an entry of the leader's own term (Raft §5.4.2).
    R8,
    /// Memberships change one at a time, by overlapping quorums, after a commit of the own term (thesis chapter 4).
    R9,
    /// Only voters stand for election, and only they elect (thesis §4.2.1).
    R10,
    /// A read is as new as all that was committed when it was asked (thesis §6.4).
    R11,
    /// Nothing panics, no group is fenced, and the core's own invariants hold.
    S1,
    /// Once all is healed there are a leader and a new commit within ten election timeouts.
    V1,
    /// A leader that hears no quorum leaves office (thesis §6.2).
    V3,
    /// No sleeper is left without a leader.
    V4,
    /// Once all is healed all members come to agree, and terms rise no more.
    V5,
    /// Once all is healed and nothing is asked, a group falls asleep.
    V6,
    /// A log is not compacted from under a snapshot on its way.
    V7,
    /// What was refused never happens.
    X2,
    /// Client histories are linearizable.
    X5,
}

impl Law {
    /// All laws.
    pub const ALL: [Law; 26] = [
        Law::L1,
        Law::L2,
        Law::L4,
        Law::L8,
        Law::L10,
        Law::O1,
        Law::R1,
        Law::R2,
        Law::R3,
        Law::R4,
        Law::R5,
        Law::R6,
        Law::R7,
        Law::R8,
        Law::R9,
        Law::R10,
        Law::R11,
        Law::S1,
        Law::V1,
        Law::V3,
        Law::V4,
        Law::V5,
        Law::V6,
        Law::V7,
        Law::X2,
        Law::X5,
    ];

    /// What it says, in a few words.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::L1 => "commit never regresses",
            Self::L2 => "nothing committed is cut",
            Self::L4 => "no claim without durability",
            Self::L8 => "recovery brings back exactly what is on the disk",
            Self::L10 => "a disk that lost its state counts in no quorum",
            Self::O1 => "what is on its way stays bounded",
            Self::R1 => "one leader per term",
            Self::R2 => "a leader only appends",
            Self::R3 => "logs that share an entry share all before it",
            Self::R4 => "a leader holds all that is committed",
            Self::R5 => "all replicas apply the same",
            Self::R6 => "one vote per term and disk",
            Self::R7 => "the term of a disk never falls",
            Self::R8 => "committed is what a quorum holds durably, by an entry of the leader's term",
            Self::R9 => "memberships change one at a time and by overlapping quorums",
            Self::R10 => "only voters stand and elect",
            Self::R11 => "a read is as new as all that was committed when it was asked",
            Self::S1 => "nothing panics and no group is fenced",
            Self::V1 => "a leader and a commit within ten election timeouts after healing",
            Self::V3 => "a leader that hears no quorum leaves office",
            Self::V4 => "no sleeper is left without a leader",
            Self::V5 => "healed members come to agree and terms rise no more",
            Self::V6 => "a healed group with nothing to do falls asleep",
            Self::V7 => "a log is not compacted from under a snapshot on its way",
            Self::X2 => "refused never happens",
            Self::X5 => "client histories are linearizable",
        }
    }

    /// Whether it says that something happens in the end, not that something never does.
    pub fn is_liveness(self) -> bool {
        matches!(self, Self::O1 | Self::V1 | Self::V3 | Self::V4 | Self::V5 | Self::V6 | Self::V7)
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
    /// The node that was caught, counted from 0, if one was.
    pub node: Option<usize>,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.law, self.law.sentence())?;
        if let Some(node) = self.node {
            write!(f, ", node {}", node + 1)?;
        }
        write!(f, ": {}", self.seen)
    }
}

/// What a check comes to. Boxed, for it is rare and every step returns one.
pub(crate) type Checked = Result<(), Box<Breach>>;

/// A breach by a node. Makes its text only now, for checks run a million times a second.
#[cold]
pub(crate) fn breach(law: Law, node: usize, seen: fmt::Arguments<'_>) -> Box<Breach> {
    Box::new(Breach { law, node: Some(node), seen: seen.to_string() })
}

/// Returns a breach from a function unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $law:ident, $node:expr, $($text:tt)*) => {
        if !$holds {
            return Err($crate::core::law::breach($crate::core::law::Law::$law, $node, format_args!($($text)*)));
        }
    };
}
pub(crate) use ensure;
