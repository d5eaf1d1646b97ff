//! The four roles, each with exactly the data it needs: a follower has no window, a leader no election timer.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::effect::{ReadId, RoleKind};
use crate::id::{LogId, LogIndex, NodeId, ReplicaId, Time};
use crate::progress::Progress;

#[derive(Clone, Debug)]
pub(crate) enum Role {
    Follower(Follower),
    PreCandidate(PreCandidate),
    Candidate(Candidate),
    Leader(Box<Leader>),
}

impl Role {
    pub(crate) fn kind(&self) -> RoleKind {
        match self {
            Role::Follower(_) => RoleKind::Follower,
            Role::PreCandidate(_) => RoleKind::PreCandidate,
            Role::Candidate(_) => RoleKind::Candidate,
            Role::Leader(_) => RoleKind::Leader,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Who leads the current term, and when it was last heard.
    pub(crate) heard: Option<(ReplicaId, Time)>,
    /// When to campaign; a replica that votes nowhere never does.
    pub(crate) campaign_at: Time,
    /// The leader is silent by agreement: its node's liveness stands for its heartbeats.
    pub(crate) is_asleep: bool,
    /// Our log agrees with this leader's up to here, inclusive.
    pub(crate) verified: LogIndex,
    /// The highest round of this leader seen.
    pub(crate) round: u64,
    /// Reads that were passed on to the leader; hardly ever any.
    pub(crate) reads: Option<Box<AskedReads>>,
}

/// A follower's reads by the number under which it asked. An answer to a question settles all that were asked before.
#[derive(Clone, Debug, Default)]
pub(crate) struct AskedReads {
    pub(crate) waiting: BTreeMap<u64, ReadId>,
    /// When the last question was sent.
    pub(crate) asked_at: Time,
}

impl Follower {
    pub(crate) fn new(heard: Option<(ReplicaId, Time)>, campaign_at: Time) -> Self {
        Self { heard, campaign_at, is_asleep: false, verified: LogIndex::ZERO, round: 0, reads: None }
    }

    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        self.heard.map(|(leader, _)| leader)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PreCandidate {
    pub(crate) attempt: u64,
    /// How many attempts ended without a result before this one.
    pub(crate) retries: u32,
    pub(crate) granted: Vec<ReplicaId>,
    pub(crate) retry_at: Time,
}

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) granted: Vec<ReplicaId>,
    pub(crate) retry_at: Time,
}

#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// All other voters and all standing learners.
    pub(crate) peers: BTreeMap<NodeId, Progress>,
    /// The entry that opened the term.
    pub(crate) opened: LogIndex,
    /// Counts the rounds of confirmation (thesis §6.4).
    pub(crate) round: u64,
    /// Reads that came before the own-term commit.
    pub(crate) early_reads: Vec<ReadOrigin>,
    /// Reads that wait for a quorum to confirm their round, in order of rounds.
    pub(crate) reads: VecDeque<PendingRead>,
    pub(crate) heartbeat_at: Time,
    /// Nobody is held to have been silent before this.
    pub(crate) awake_since: Time,
    pub(crate) sleep: LeaderSleep,
    /// Followers were asked to sleep in this term, and perhaps some do.
    pub(crate) has_asked: bool,
    pub(crate) transfer: Option<Transfer>,
}

impl Leader {
    /// How far this replica is; `None` for another disk of its node.
    pub(crate) fn peer(&self, replica: ReplicaId) -> Option<&Progress> {
        self.peers.get(&replica.node).filter(|progress| progress.replica == replica)
    }

    /// The same, to note what it says.
    pub(crate) fn peer_mut(&mut self, replica: ReplicaId) -> Option<&mut Progress> {
        self.peers.get_mut(&replica.node).filter(|progress| progress.replica == replica)
    }

    /// Speaks again, in a new round: what it said before it asked for sleep is told from what it says now.
    pub(crate) fn wake_up(&mut self) {
        if !matches!(self.sleep, LeaderSleep::Awake) {
            self.sleep = LeaderSleep::Awake;
            self.round += 1;
        }
    }
}

/// Whether a leader is silent by agreement.
#[derive(Clone, Debug, Hash)]
pub(crate) enum LeaderSleep {
    /// It speaks.
    Awake,
    /// It asked, at the last heartbeat; these have agreed. Some may be asleep already.
    Asking { last: LogId, agreed: Vec<NodeId> },
    /// All have agreed.
    Asleep,
    /// It was asked for something and speaks again at the next tick.
    Waking,
}

/// A voter that is to lead once it holds the whole log.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Transfer {
    pub(crate) to: ReplicaId,
    pub(crate) until: Time,
}

#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct PendingRead {
    pub(crate) origin: ReadOrigin,
    pub(crate) index: LogIndex,
    pub(crate) round: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReadOrigin {
    Local(ReadId),
    Remote { node: NodeId, read: u64 },
}
