//! What the core decides: effects, drained in order by the host.
//!
//! A host may send every [`Effect::Send`] the moment it sees it: the core holds back whatever depends on a
//! write that was not yet reported with [`crate::Raft::persisted`]. [`Effect::Persist`] effects form one totally
//! ordered stream and must reach the disk in that order.

use crate::id::{LogId, LogIndex, NodeId, ReplicaId, Term};
use crate::membership::Membership;
use crate::message::{Message, Snapshot};
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
    /// The membership in force changed, as the one at `index` was appended or all later ones were cut. See
    /// [`crate::Raft::membership`].
    MembershipActive {
        /// Where it stands; the start of the log for the one before all entries.
        index: LogIndex,
    },
    /// The membership at `index` is committed.
    MembershipCommitted {
        /// Where it stands.
        index: LogIndex,
    },
    /// A peer lacks entries that this leader's log holds no more. Offer it a snapshot that includes at least
    /// `at_least` with [`crate::Raft::offer_snapshot`]. Repeated until that is done.
    NeedSnapshot {
        /// Who lacks them.
        peer: NodeId,
        /// The snapshot's last entry must be at or after this index.
        at_least: LogIndex,
    },
    /// Get this snapshot from `from`, make it and its state durable in place of the state there is, and report
    /// [`crate::Raft::snapshot_installed`], or [`crate::Raft::snapshot_failed`]. Until then no entry is accepted.
    InstallSnapshot {
        /// Who has it.
        from: NodeId,
        /// What it stands for.
        snapshot: Snapshot,
    },
    /// Leadership was not handed over: the chosen voter did not catch up in time, or is gone. This replica goes
    /// on leading, unless its disk is what it wanted to be rid of: then [`Effect::RoleChanged`] follows.
    TransferAborted {
        /// Who was to lead.
        to: NodeId,
    },
    /// This replica no longer leads in `term`, and followers may be asleep that rely on it. Tell all their nodes until
    /// they confirm it ([`crate::Raft::leader_withdrew`]), or end the process.
    Withdraw {
        /// The term that is over.
        term: Term,
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
    /// What happens to the log.
    pub log: LogChange,
}

/// What a write does to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogChange {
    /// Nothing.
    Unchanged,
    /// Drop all entries after `cut`, if one is given, then append `entries`.
    Append {
        /// The last entry that stays.
        cut: Option<LogIndex>,
        /// The shape of what is appended.
        entries: TermRuns,
        /// Where its content comes from.
        content: Content,
    },
    /// Drop the whole log and start anew after this entry, the last of a snapshot that was installed.
    Restart {
        /// The place from which the log starts.
        after: LogId,
    },
}

/// Where the content of appended entries comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The host has it: from the messages it handed in, or from the proposals it made.
    Payloads,
    /// One empty entry, with which a leader opens its term (Raft §8).
    Noop,
    /// One entry that holds a membership. Whoever receives or recovers it hands it to its core with its index.
    Membership(Membership),
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

/// What a host knows about a node by its own heartbeats, one pair of nodes at a time (see
/// [`crate::Raft::node_liveness`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It answers, in this life of its process.
    Live(crate::id::BootId),
    /// It does not.
    Silent,
}

/// What a host knows about the disk on which this replica's log lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum StorageHealth {
    /// Writes end in time.
    #[default]
    Good,
    /// A write has been under way for too long.
    Stalled,
    /// There is no room for more than votes and truncations.
    Full,
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
    /// The leader that was asked no longer leads, could not confirm that it does, or has too many reads waiting.
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
    /// A leader takes back what it has sent (Leader Append-Only).
    LeaderAppendOnly,
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
            Law::LeaderAppendOnly => "a leader takes back what it has sent",
            Law::MatchWithinLeaderLog => "a voter claims entries its leader never made",
            Law::HostContract => "the host reported what cannot be",
            Law::LogIsReadable => "the log cannot be read",
        })
    }
}
