//! The embedding API: what an application holds of a running node.
//!
//! A handle is cheap to clone and may be used from any task. Every call ends in exactly one outcome within the
//! time given. Queues behind it are bounded: when the node's inbox is full, callers wait their turn.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Configuration, GroupId, LogIndex, Membership, MembershipChange, NodeId, ReplicaId, RoleKind, Term,
};
use raft_wal::{ClusterId, LogReader};
use tokio::sync::{mpsc, oneshot, watch};

use crate::machine::StateMachine;
use crate::outcome::{Consistency, Doubt, Outcome, Refusal};
use crate::runtime::{Counters, Counts};

/// A group to open on this node.
pub struct GroupSpec {
    /// Its name.
    pub group: GroupId,
    /// Its first voters, should the node hold no log of it yet: `None` opens only what is on disk already, and the empty
    /// configuration makes a replica that votes nowhere. Such a one follows whoever leads and feeds it, and votes once
    /// [`NodeHandle::change_membership`] has added it.
    pub genesis: Option<Configuration>,
    /// An opaque label kept with the log, at most 1 KiB.
    pub note: Bytes,
    /// What its entries mean.
    pub machine: Box<dyn StateMachine>,
}

/// What a node knows of a group it hosts. A picture taken after the last change; never the basis of a decision
/// that needs to be linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// This replica's role.
    pub role: RoleKind,
    /// Its term.
    pub term: Term,
    /// The leader of that term, when known.
    pub leader: Option<NodeId>,
    /// Whether it leads and has committed an entry of its own term, so that it may serve.
    pub serving: bool,
    /// Last committed entry, inclusive.
    pub commit: LogIndex,
    /// Last applied entry, inclusive.
    pub applied: LogIndex,
    /// Last entry of the log, inclusive, durable or not.
    pub last: LogIndex,
}

/// What is shared between the node's task and its handles without asking the node.
#[derive(Default)]
pub struct Board {
    /// The hosted groups.
    pub groups: BTreeMap<GroupId, GroupStatus>,
    /// Who leads which group, hosted here or not, by the highest term announced.
    pub leaders: BTreeMap<GroupId, (Term, NodeId)>,
    /// Who takes part in each hosted group, by the latest membership in its log here, committed or not.
    pub memberships: BTreeMap<GroupId, Membership>,
    /// Nodes with a live connection to this one, itself not included.
    pub live: Vec<NodeId>,
    /// The listed founders that have not answered yet; empty once the cluster is formed or joined.
    pub waiting_for: Vec<NodeId>,
    /// The cluster that this disk belongs to, once it is formed or joined.
    pub cluster: Option<ClusterId>,
    /// How often what should be rare happened on this node's connections.
    pub counters: Arc<Counters>,
}

/// Something asked of the node's task.
pub enum Ask {
    /// Open a group.
    Open {
        /// Which, and with what.
        spec: GroupSpec,
        /// Ends with a reader of its log.
        answer: oneshot::Sender<Result<LogReader, OpenGroupError>>,
    },
    /// Remove a group and its log for ever.
    Remove {
        /// Which.
        group: GroupId,
        /// Ends when it is durable.
        answer: oneshot::Sender<()>,
    },
    /// Replicate a command, from any member.
    Submit {
        /// In which group.
        group: GroupId,
        /// The command.
        command: Bytes,
        /// Give up after.
        patience: Duration,
        /// The one end.
        answer: oneshot::Sender<Outcome>,
    },
    /// Replicate a record batch, on the leader only.
    Propose {
        /// In which group.
        group: GroupId,
        /// The batch.
        batch: Bytes,
        /// Give up after.
        patience: Duration,
        /// The one end.
        answer: oneshot::Sender<Outcome>,
    },
    /// Read the state machine.
    Query {
        /// Of which group.
        group: GroupId,
        /// The question.
        query: Bytes,
        /// How fresh.
        consistency: Consistency,
        /// Give up after.
        patience: Duration,
        /// The one end.
        answer: oneshot::Sender<Outcome>,
    },
    /// Change who takes part, on the leader only.
    Change {
        /// In which group.
        group: GroupId,
        /// The change.
        change: MembershipChange,
        /// Give up after.
        patience: Duration,
        /// The one end.
        answer: oneshot::Sender<Outcome>,
    },
    /// Let another voter lead, on the leader only.
    Transfer {
        /// In which group.
        group: GroupId,
        /// Who; `None` for the one that holds most of the log.
        to: Option<NodeId>,
        /// Give up after.
        patience: Duration,
        /// The one end.
        answer: oneshot::Sender<Outcome>,
    },
    /// Connect to a node whenever there is no connection.
    AddPeer {
        /// Which.
        node: NodeId,
        /// `HOST:PORT` of its peer port.
        address: String,
    },
    /// Stop after finishing what is on its way to the disk.
    Stop {
        /// Ends when it has stopped.
        answer: oneshot::Sender<()>,
    },
}

/// Why a group could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenGroupError {
    /// It is open already.
    #[error("group {0} is open already")]
    AlreadyOpen(GroupId),
    /// There is no log of it on this disk and no genesis configuration was given.
    #[error("group {0} is not on this disk, and no voters were given to create it")]
    Absent(GroupId),
    /// The log on disk was created with other voters.
    #[error(
        "group {group} was created with other voters than those given; the log on disk was left as it is"
    )]
    OtherGenesis {
        /// Which.
        group: GroupId,
    },
    /// The log could not be read.
    #[error("group {group}: {why}")]
    Log {
        /// Which.
        group: GroupId,
        /// What the log said.
        why: String,
    },
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
}

/// A batch on its way, see [`NodeHandle::start_propose`]. Dropping it takes nothing back.
#[derive(Debug)]
pub struct Proposal(Option<oneshot::Receiver<Outcome>>);

impl Proposal {
    /// Waits for the one end.
    pub async fn outcome(self) -> Outcome {
        match self.0 {
            Some(end) => end.await.unwrap_or(Outcome::Unknown(Doubt::Stopped)),
            None => Outcome::Refused(Refusal::Stopping),
        }
    }
}

/// A running node, as its application sees it.
#[derive(Clone)]
pub struct NodeHandle {
    pub(crate) replica: ReplicaId,
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) board: Arc<RwLock<Board>>,
    pub(crate) changes: watch::Receiver<u64>,
}

impl NodeHandle {
    /// This node.
    pub fn id(&self) -> NodeId {
        self.replica.node
    }

    /// This node and its disk: how it stands in the configurations of groups.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Opens a group with its state machine, creating its log from `spec.genesis` if it is not on disk.
    /// Returns a reader of its log. Nothing of the group that could be relied on is said before its log is durable.
    ///
    /// # Errors
    /// See [`OpenGroupError`]; nothing was changed then.
    pub async fn open_group(&self, spec: GroupSpec) -> Result<LogReader, OpenGroupError> {
        let (answer, end) = oneshot::channel();
        let asked = self.asks.send(Ask::Open { spec, answer }).await;
        if asked.is_err() {
            return Err(OpenGroupError::Stopping);
        }
        end.await.unwrap_or(Err(OpenGroupError::Stopping))
    }

    /// Removes a group and its log. Call it only on a committed delete that names this very group. Durable on return.
    pub async fn remove_group(&self, group: GroupId) {
        let (answer, end) = oneshot::channel();
        if self.asks.send(Ask::Remove { group, answer }).await.is_ok() {
            let _ = end.await;
        }
    }

    /// Replicates a command and returns the state machine's response, from any member or standing learner: it is
    /// forwarded to the leader, retried under one request id while `patience` lasts, applied at most once, and
    /// answered from the state applied *on this node*.
    pub async fn submit(&self, group: GroupId, command: Bytes, patience: Duration) -> Outcome {
        let (answer, end) = oneshot::channel();
        self.ask(Ask::Submit { group, command, patience, answer }, end).await
    }

    /// Replicates a record batch. Only the leader takes it; others refuse and name the leader. It is not
    /// retried: the batch's own producer id and sequence make the client's retry safe.
    pub async fn propose(&self, group: GroupId, batch: Bytes, patience: Duration) -> Outcome {
        self.start_propose(group, batch, patience).await.outcome().await
    }

    /// The first half of [`NodeHandle::propose`]: returns once the batch has its place in the node's inbox. Of two
    /// batches the one whose call returned first is appended first.
    pub async fn start_propose(&self, group: GroupId, batch: Bytes, patience: Duration) -> Proposal {
        let (answer, end) = oneshot::channel();
        let is_taken = self.asks.send(Ask::Propose { group, batch, patience, answer }).await.is_ok();
        Proposal(is_taken.then_some(end))
    }

    /// Reads the state machine on this node, after confirming with the leader that the state is new enough when
    /// `consistency` asks for it.
    pub async fn query(
        &self,
        group: GroupId,
        query: Bytes,
        consistency: Consistency,
        patience: Duration,
    ) -> Outcome {
        let (answer, end) = oneshot::channel();
        self.ask(Ask::Query { group, query, consistency, patience, answer }, end).await
    }

    /// Changes who takes part in a group: one change at a time, and only on the leader; others refuse and name it. The
    /// nodes must be let in by one another ([`crate::NodeConfig::admit_learners`]) and know one another's addresses
    /// ([`NodeHandle::add_peer`]), and a node that is added must have the group open, without voters of its own
    /// ([`GroupSpec::genesis`]).
    ///
    /// *Done* says that the change is committed. A learner that was added is then fed, and becomes a voter by itself once
    /// it has caught up, in place of the one it replaces: [`NodeHandle::membership`] tells. A leader that is to go hands
    /// over first, and its node still answers. *Refused* with [`Refusal::Change`] says what stood against it. *Unknown*
    /// says that it may yet come to be; asking again is safe.
    pub async fn change_membership(
        &self,
        group: GroupId,
        change: MembershipChange,
        patience: Duration,
    ) -> Outcome {
        let (answer, end) = oneshot::channel();
        self.ask(Ask::Change { group, change, patience, answer }, end).await
    }

    /// Lets the voter on `to` lead, or the one that holds most of the log: only on the leader; others refuse and name it.
    ///
    /// *Done* says that this node has stopped leading, as a rule because it has told the other to stand for election,
    /// which that one nearly always wins: [`NodeHandle::leader`] tells. *Refused* with [`Refusal::Transfer`] or
    /// [`Refusal::NotHandedOver`] says that this node goes on leading. *Unknown* says that it may have stopped.
    pub async fn transfer_leadership(
        &self,
        group: GroupId,
        to: Option<NodeId>,
        patience: Duration,
    ) -> Outcome {
        let (answer, end) = oneshot::channel();
        self.ask(Ask::Transfer { group, to, patience, answer }, end).await
    }

    async fn ask(&self, ask: Ask, end: oneshot::Receiver<Outcome>) -> Outcome {
        if self.asks.send(ask).await.is_err() {
            return Outcome::Refused(Refusal::Stopping);
        }
        end.await.unwrap_or(Outcome::Unknown(Doubt::Stopped))
    }

    /// Tells the node where another one listens, so that it connects and stays connected.
    pub async fn add_peer(&self, node: NodeId, address: String) {
        let _ = self.asks.send(Ask::AddPeer { node, address }).await;
    }

    /// What this node knows of a group it hosts.
    pub fn status(&self, group: GroupId) -> Option<GroupStatus> {
        self.read_board(|board| board.groups.get(&group).copied())
    }

    /// Who takes part in a group that this node hosts, by the latest membership in its log, committed or not.
    pub fn membership(&self, group: GroupId) -> Option<Membership> {
        self.read_board(|board| board.memberships.get(&group).cloned())
    }

    /// Who leads the group, hosted here or not, by the announcements heard.
    pub fn leader(&self, group: GroupId) -> Option<(Term, NodeId)> {
        self.read_board(|board| board.leaders.get(&group).copied())
    }

    /// Nodes with a live connection to this one, itself not included, sorted.
    pub fn live(&self) -> Vec<NodeId> {
        self.read_board(|board| board.live.clone())
    }

    /// The listed founders that have not answered yet; empty once the cluster is formed or joined.
    pub fn waiting_for(&self) -> Vec<NodeId> {
        self.read_board(|board| board.waiting_for.clone())
    }

    /// How often what should be rare happened on this node's connections since it started.
    pub fn counts(&self) -> Counts {
        self.read_board(|board| board.counters.read())
    }

    /// The cluster that this disk belongs to; `None` until it is formed or joined.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.read_board(|board| board.cluster)
    }

    /// Looks at the whole board at once. Keep it short: the node's task waits meanwhile.
    pub fn read_board<T>(&self, look: impl FnOnce(&Board) -> T) -> T {
        look(&self.board.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A number that changes whenever the board does: wait for it instead of polling.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Stops the node once what is on its way to the disk is there.
    pub async fn stop(&self) {
        let (answer, end) = oneshot::channel();
        if self.asks.send(Ask::Stop { answer }).await.is_ok() {
            let _ = end.await;
        }
    }
}
