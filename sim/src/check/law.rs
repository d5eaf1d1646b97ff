//! The laws that a search checks, and how a breach is told.

use std::fmt;

/// A law that holds in every state, or at every step, of every scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CheckedLaw {
    /// Raft §5.2, Election Safety.
    OneLeaderPerTerm,
    /// Raft §5.3, Leader Append-Only.
    LeadersOnlyAppend,
    /// Raft §5.3, Log Matching.
    LogsMatch,
    /// Raft §5.4, Leader Completeness.
    LeadersAreComplete,
    /// Raft §5.4.3, State Machine Safety.
    CommittedAlike,
    /// Raft figure 2: one vote per term and disk, and terms do not fall, over all restarts.
    VotesOnce,
    /// Raft figure 2: what is said is on disk.
    DurableBeforeSaid,
    /// Committed means held durably by a quorum of the membership in force.
    CommittedIsHeld,
    /// Raft §5.4.2: a leader counts only for entries of its own term; older ones are committed along with those.
    CommitsItsOwnTerm,
    /// What is held of the committed entries on a disk is never cut.
    CommittedIsForEver,
    /// Raft §6: every quorum of a membership meets every quorum of the next.
    QuorumsMeet,
    /// At most one membership of a log is uncommitted.
    OneChangeAtATime,
    /// The core and its host agree about the log: what is asked to be written makes the log that the core speaks of.
    RangesAndBytesAgree,
    /// What the core promises of itself between inputs.
    CoreInvariants,
    /// No group is fenced while its host keeps the contract.
    NeverFenced,
}

impl CheckedLaw {
    /// What it says.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OneLeaderPerTerm => "one leader per term",
            Self::LeadersOnlyAppend => "a leader never cuts or rewrites its own log",
            Self::LogsMatch => "logs that share an entry share all before it",
            Self::LeadersAreComplete => "a leader holds all that was committed before its term",
            Self::CommittedAlike => "all replicas commit the same entries",
            Self::VotesOnce => "one vote per term and disk, and terms never fall",
            Self::DurableBeforeSaid => "what is said is on disk",
            Self::CommittedIsHeld => "committed means held durably by a quorum",
            Self::CommitsItsOwnTerm => "a leader's commit rests on an entry of its own term",
            Self::CommittedIsForEver => "what a disk holds of the committed entries is never cut",
            Self::QuorumsMeet => "quorums of consecutive memberships meet",
            Self::OneChangeAtATime => "at most one membership is uncommitted",
            Self::RangesAndBytesAgree => "what the core asks to be written makes the log it speaks of",
            Self::CoreInvariants => "the core's invariants hold between inputs",
            Self::NeverFenced => "no group is fenced while its host keeps the contract",
        }
    }
}

/// A law does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub law: CheckedLaw,
    /// Who or what broke it.
    pub detail: String,
}

impl Broken {
    pub(super) fn new(law: CheckedLaw, detail: impl Into<String>) -> Self {
        Self { law, detail: detail.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law.sentence(), self.detail)
    }
}
