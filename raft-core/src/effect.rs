//! What the core decides: effects, drained in order by the host.
//!
//! A host may send every [`Effect::Send`] the moment it sees it: the core holds back whatever depends on a
//! write that was not yet reported with [`crate::Raft::persisted`]. [`Effect::Persist`] effects form one totally
//! ordered stream and must reach the disk in that order.

use crate::id::{LogIndex, NodeId, ReplicaId, Term};
use crate::message::Message;
use crate::runs::TermRuns;

/// One decision of the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write this, in the order of the effects, and report its token when an fsync covers it.
    Persist(Persist),
    /// Send this now. It depends on nothing that is not yet durable. Losing it is allowed.
    Send {
        /// The receiving node.
        to: NodeId,
        /// What to say.
        message: Message,
    },
    /// All entries up to this one, inclusive, are committed: apply them in order. Never falls.
    Commit {
        /// Inclusive.
        index: LogIndex,
    },
    /// The read may be served from local state once `index` is applied.
    ReadReady {
        /// The name given to [`crate::Raft::read`].
        read: ReadId,
        /// Inclusive.
        index: LogIndex,
    },
    /// The read was not confirmed and may be asked again. Nothing was read.
    ReadFailed {
        /// The name given to [`crate::Raft::read`].
        read: ReadId,
        /// Why.
        reason: ReadFailure,
    },
    /// The role, the term or the known leader changed.
    RoleChanged(SoftState),
    /// Entries after `after` that this replica had appended are dropped from its log for a new leader's. That does
    /// not say that they are lost for ever: another replica may hold them, lead next and commit them after all.
    /// Only an index that is *committed* with another term settles the matter.
    Truncated {
        /// The last entry kept.
        after: LogIndex,
    },
    /// An input broke a law of Raft. The group is fenced: it emits nothing more and refuses every request.
    Fault {
        /// The broken law.
        law: Law,
    },
}

/// A write the host owes the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// Report this with [`crate::Raft::persisted`] once all of the write is durable.
    pub token: PersistToken,
    /// Term and vote, when they changed.
    pub hard_state: Option<HardState>,
    /// Drop the entries after this index first.
    pub truncate: Option<LogIndex>,
    /// Then append these entries. The host has their payloads: from the message being received, or from the
    /// proposal being made; the single entry of [`Persist::noop`] has none.
    pub append: Option<TermRuns>,
    /// Whether `append` is the empty entry with which a leader opens its term (Raft §8).
    pub noop: bool,
}

/// Names a point of the persist stream. Later writes have greater tokens; reporting one reports all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersistToken {
    pub(crate) sequence: u64,
    /// The term of the accepted leader when the write was decided.
    pub term: Term,
    /// The last index of the log after the write.
    pub last: LogIndex,
}

/// What must be on disk before any message that depends on it leaves (Raft figure 2, "persistent state").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HardState {
    /// The latest term seen.
    pub term: Term,
    /// Who got this replica's vote in that term.
    pub vote: Option<ReplicaId>,
}

/// What is known but need not survive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftState {
    /// The role.
    pub role: RoleKind,
    /// The term it is held in.
    pub term: Term,
    /// The leader of that term, when known.
    pub leader: Option<NodeId>,
}

/// A role's name, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleKind {
    /// Follows a leader or waits for one. Learners are followers that never campaign.
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

impl core::fmt::Display for RoleKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            RoleKind::Follower => "follower",
            RoleKind::PreCandidate => "pre-candidate",
            RoleKind::Candidate => "candidate",
            RoleKind::Leader => "leader",
        })
    }
}

/// The host's name for a read it asked for. The core only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Why a read was not confirmed. In each case nothing was read and asking again is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFailure {
    /// No leader is known here.
    NoLeader,
    /// The leader that was asked no longer leads, or could not confirm that it does.
    LeaderChanged,
}

/// The laws whose breach by an input fences a group (Raft figure 3, and what follows from it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Law {
    /// Two leaders in one term (Election Safety).
    OneLeaderPerTerm,
    /// A leader asks to overwrite a committed entry (Leader Completeness).
    CommittedIsForEver,
    /// A voter claims entries that this leader never made (Leader Append-Only).
    MatchWithinLeaderLog,
    /// The host reported something impossible, such as a token never handed out, or said itself that bytes and
    /// ranges have parted ([`crate::Raft::fence`]).
    HostContract,
    /// The host cannot read the log ([`crate::Raft::fence`]).
    LogIsReadable,
}

impl core::fmt::Display for Law {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Law::OneLeaderPerTerm => "two leaders in one term",
            Law::CommittedIsForEver => "a leader would overwrite a committed entry",
            Law::MatchWithinLeaderLog => "a voter claims entries its leader never made",
            Law::HostContract => "the host reported what cannot be",
            Law::LogIsReadable => "the log cannot be read",
        })
    }
}
