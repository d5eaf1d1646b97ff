//! Handing leadership over (thesis §3.10), by request or because the disk fails its leader.
//!
//! The leader takes no more proposals, waits until the chosen voter holds its whole log, tells it to campaign, and stops
//! leading in the same step. What it tells names its last entry, so that a voter without it does not try. If the voter
//! does not catch up within an election timeout, the leader goes on as before.

use crate::effect::{Effect, StorageHealth};
use crate::id::{NodeId, ReplicaId, Time};
use crate::message::{Message, TimeoutNow};
use crate::raft::{Raft, not_leading};
use crate::role::{Role, Transfer};

/// Why leadership is not handed over. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// This replica does not lead.
    NotLeader {
        /// Who does, when known.
        leader: Option<NodeId>,
    },
    /// Another transfer is under way.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// The node is no voter, or this replica itself.
    NoSuchVoter(NodeId),
    /// No other voter has been heard from recently.
    NobodyElse,
    /// A law was broken; see [`Effect::Fault`].
    Fenced,
}

impl core::fmt::Display for TransferError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotLeader { leader } => not_leading(*leader, f),
            Self::Transferring { to } => {
                write!(f, "leadership is being handed to node {to}; wait for the end of that")
            }
            Self::NoSuchVoter(node) => write!(f, "node {node} is no other voter of this group"),
            Self::NobodyElse => f.write_str("no other voter answers"),
            Self::Fenced => f.write_str("the group is fenced on this node"),
        }
    }
}

impl core::error::Error for TransferError {}

impl Raft {
    /// Hands leadership to the voter on `to`, or to the one that holds most of the log. Says to whom. It ends with
    /// [`Effect::RoleChanged`], when this replica has stopped leading, or with [`Effect::TransferAborted`].
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn transfer_leadership(&mut self, now: Time, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        if self.fault().is_some() {
            return Err(TransferError::Fenced);
        }
        let leader = self.soft_state().leader;
        if !matches!(self.role, Role::Leader(_)) {
            return Err(TransferError::NotLeader { leader });
        }
        if let Some(to) = self.transferring_to() {
            return Err(TransferError::Transferring { to });
        }
        let to = match to {
            Some(node) => {
                let voter = self.membership().voters().voter_on(node);
                voter.filter(|voter| *voter != self.me).ok_or(TransferError::NoSuchVoter(node))?
            }
            None => self.best_successor(now).ok_or(TransferError::NobodyElse)?,
        };
        self.begin_transfer(now, to);
        Ok(to.node)
    }

    /// Says how the disk is. A leader whose disk is not good hands leadership over, and steps down when nobody takes it;
    /// a replica whose disk is not good does not campaign, and one that already does gives up. A write that *failed* is no
    /// matter for this: it ends the process.
    pub fn storage_health(&mut self, now: Time, health: StorageHealth) {
        if self.fault().is_some() {
            return;
        }
        self.storage = health;
        if health == StorageHealth::Good {
            return;
        }
        match &self.role {
            Role::Follower(_) => {}
            Role::PreCandidate(_) | Role::Candidate(_) => {
                self.become_follower(now, self.hard_state.term, None)
            }
            Role::Leader(_) => {
                self.wake_leader();
                // Refused when a transfer is under way or nobody else answers: tried again with each heartbeat.
                let _ = self.transfer_leadership(now, None);
            }
        }
    }

    /// The voter to stay that has answered lately and holds the most.
    pub(crate) fn best_successor(&self, now: Time) -> Option<ReplicaId> {
        let Role::Leader(leader) = &self.role else { return None };
        let timeout = self.options.election_timeout;
        let held = |voter: &ReplicaId| {
            let progress = leader.peer(*voter)?;
            self.is_present(leader, progress, now, timeout).then_some((progress.matched, *voter))
        };
        let others = self.membership().voters().voters().iter().filter(|voter| **voter != self.me);
        others.filter_map(held).max().map(|(_, voter)| voter)
    }

    pub(crate) fn begin_transfer(&mut self, now: Time, to: ReplicaId) {
        let until = now.after(self.options.election_timeout);
        if let Role::Leader(leader) = &mut self.role {
            leader.transfer = Some(Transfer { to, until });
            if let Some(progress) = leader.peer_mut(to) {
                progress.heartbeat_due = true;
            }
        }
        self.wake_leader();
        self.try_hand_over(now);
    }

    /// Stops leading, if the chosen voter holds everything.
    pub(crate) fn try_hand_over(&mut self, now: Time) {
        let last = self.log.last_id();
        let Role::Leader(leader) = &self.role else { return };
        let Some(Transfer { to, .. }) = leader.transfer else { return };
        if leader.peer(to).is_none_or(|progress| progress.matched < last.index) {
            return;
        }
        let term = self.hard_state.term;
        self.send(to.node, Message::TimeoutNow(TimeoutNow { term, last }));
        self.become_follower(now, term, None);
    }

    /// With each heartbeat: gives up a transfer that takes too long, and tries one that a bad disk wants.
    pub(crate) fn manage_transfer(&mut self, now: Time) {
        let is_alone = self.membership().voters().voters() == [self.me];
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(transfer) = leader.transfer.take_if(|transfer| now >= transfer.until) {
            self.push(Effect::TransferAborted { to: transfer.to.node });
            if self.storage != StorageHealth::Good && !is_alone {
                return self.become_follower(now, self.hard_state.term, None);
            }
        }
        if self.storage != StorageHealth::Good {
            let _ = self.transfer_leadership(now, None);
        }
    }

    pub(crate) fn on_timeout_now(&mut self, now: Time, from: ReplicaId, m: TimeoutNow) {
        let is_mine = match &self.role {
            Role::Follower(follower) => follower.leader().is_none_or(|leader| leader == from),
            Role::PreCandidate(_) => true,
            _ => false,
        };
        let is_whole = self.log.last_id() >= m.last && self.may_campaign();
        if is_mine && is_whole && m.term == self.hard_state.term {
            self.become_candidate(now);
        }
    }
}
