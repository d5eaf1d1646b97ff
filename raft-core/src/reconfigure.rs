//! Changing who votes: joint consensus for every change of voters (Raft §6, thesis §4.3).
//!
//! A membership is in force from the moment it is appended, on every replica, and goes again if it is cut. One is
//! uncommitted at a time, and none is begun before an entry of the leader's own term is committed. A joint membership is
//! left, as soon as it is committed, by whoever leads, also if another began it; a leader that is to go hands over
//! instead, so that a leader is always a voter. New voters begin as promotable learners, and become voters by themselves
//! when they have caught up.

use crate::effect::{Content, Effect};
use crate::id::{LogIndex, NodeId, ReplicaId, Time};
use crate::membership::{ConfigurationError, Membership, MembershipChange};
use crate::progress::{Progress, Standing};
use crate::raft::{Proposed, Raft, not_leading};
use crate::role::Role;

/// Why a change was refused. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// This replica does not lead.
    NotLeader {
        /// Who does, when known.
        leader: Option<NodeId>,
    },
    /// No entry of this leader's term is committed yet. Try again when [`Raft::is_serving`] says so.
    NotServing,
    /// Another change is not finished.
    InProgress {
        /// Where the latest membership stands.
        index: LogIndex,
    },
    /// Leadership is being handed over.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// A new voter must be a promotable learner that lacks at most [`crate::Options::promotion_lag`] committed entries.
    NotCaughtUp {
        /// Its node.
        node: NodeId,
    },
    /// It is so already.
    NoChange,
    /// It would make no membership.
    Invalid(ConfigurationError),
    /// A law was broken; see [`Effect::Fault`].
    Fenced,
}

impl core::fmt::Display for ChangeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotLeader { leader } => not_leading(*leader, f),
            Self::NotServing => {
                f.write_str("the leader is too new to change the membership; try again at once")
            }
            Self::InProgress { index } => {
                write!(f, "the change at index {index} is not finished; wait for its end")
            }
            Self::Transferring { to } => write!(f, "leadership is being handed to node {to}; ask that node"),
            Self::NotCaughtUp { node } => {
                write!(f, "node {node} has not caught up; add it as a learner, which promotes it by itself")
            }
            Self::NoChange => f.write_str("the membership is so already"),
            Self::Invalid(why) => why.fmt(f),
            Self::Fenced => f.write_str("the group is fenced on this node"),
        }
    }
}

impl core::error::Error for ChangeError {}

impl From<ConfigurationError> for ChangeError {
    fn from(why: ConfigurationError) -> Self {
        Self::Invalid(why)
    }
}

impl Raft {
    /// Begins a change of the membership. The entry is appended and in force when this returns; the change is over when
    /// [`Effect::MembershipCommitted`] names a membership that is not joint. If this leader is to go, it hands over first.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn propose_membership(
        &mut self,
        now: Time,
        change: MembershipChange,
    ) -> Result<Proposed, ChangeError> {
        if self.fault().is_some() {
            return Err(ChangeError::Fenced);
        }
        if !matches!(self.role, Role::Leader(_)) {
            return Err(ChangeError::NotLeader { leader: self.soft_state().leader });
        }
        if !self.is_serving() {
            return Err(ChangeError::NotServing);
        }
        if let Some(to) = self.transferring_to() {
            return Err(ChangeError::Transferring { to });
        }
        let (latest, index) = (self.membership(), self.membership_index());
        if index > self.commit || latest.is_joint() {
            return Err(ChangeError::InProgress { index });
        }
        let next = match change {
            MembershipChange::Voters(voters) if voters.voters() == latest.voters().voters() => {
                return Err(ChangeError::NoChange);
            }
            MembershipChange::Voters(voters) => {
                let mut new = voters.voters().iter().filter(|voter| !latest.is_voter(**voter));
                if let Some(voter) = new.find(|voter| !self.is_ready(**voter)) {
                    return Err(ChangeError::NotCaughtUp { node: voter.node });
                }
                latest.towards(voters)?
            }
            MembershipChange::AddLearner(learner) if latest.learners().contains(&learner) => {
                return Err(ChangeError::NoChange);
            }
            MembershipChange::AddLearner(learner) => {
                if let Some(voter) = learner.replaces.filter(|voter| !latest.voters().is_voter(*voter)) {
                    return Err(ConfigurationError::NoSuchVoter(voter.node).into());
                }
                latest.with_learner(learner)?
            }
            MembershipChange::RemoveLearner(replica) => latest.without_learner(replica)?,
        };
        Ok(self.append_membership(now, next))
    }

    fn append_membership(&mut self, now: Time, membership: Membership) -> Proposed {
        self.append_own(1, Content::Membership(membership.clone()));
        let index = self.log.last_index();
        self.memberships.push(index, membership);
        self.membership_changed(now);
        Proposed { term: self.hard_state.term, first: index, last: index }
    }

    /// Another membership is in force.
    pub(crate) fn membership_changed(&mut self, now: Time) {
        self.push(Effect::MembershipActive { index: self.membership_index() });
        self.sync_peers(now);
        let mut known = core::mem::take(&mut self.liveness);
        known.retain(|(node, _)| self.concerns(*node));
        self.liveness = known;
        // It may take fewer to confirm them now.
        self.confirm_reads();
    }

    /// A leader feeds its members and standing learners, and for a while those that are members no more.
    pub(crate) fn sync_peers(&mut self, now: Time) {
        let memberships = &self.memberships;
        self.learners.retain(|node, _| !memberships.latest().has_node(*node));
        let next = self.log.last_index().next();
        let Role::Leader(leader) = &mut self.role else { return };
        for progress in leader.peers.values_mut() {
            progress.standing = Standing::Departing;
        }
        let membership = self.memberships.latest();
        let fed = membership.replicas().chain(self.learners.values().copied());
        for replica in fed.filter(|replica| *replica != self.me) {
            let standing = if membership.is_voter(replica) { Standing::Voter } else { Standing::Learner };
            match leader.peers.get_mut(&replica.node) {
                Some(progress) if progress.replica == replica => progress.standing = standing,
                _ => drop(leader.peers.insert(replica.node, Progress::new(replica, standing, next, now))),
            }
        }
        leader.peers.remove(&self.me.node);
    }

    /// Takes the next step of a change that is under way, if it is time.
    pub(crate) fn manage_membership(&mut self, now: Time) {
        let membership = self.membership();
        let is_quiet = !membership.is_joint() && membership.learners().is_empty();
        if is_quiet || !self.is_serving() || self.membership_index() > self.commit {
            return;
        }
        if self.transferring_to().is_some() {
            return;
        }
        if membership.is_joint() {
            if membership.voters().is_voter(self.me) {
                let settled = membership.settled();
                self.append_membership(now, settled);
            } else if let Some(to) = self.best_successor(now) {
                self.begin_transfer(now, to);
            }
            return;
        }
        let mut ready = membership.learners().iter().filter(|learner| self.is_ready(learner.replica));
        let next = ready.find_map(|learner| membership.towards(membership.promoting(learner).ok()?).ok());
        if let Some(next) = next {
            self.append_membership(now, next);
        }
    }

    /// Whether a learner may vote: it holds the membership that made it one, and lags by little behind what is committed.
    fn is_ready(&self, replica: ReplicaId) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let is_learner = self.membership().learners().iter().any(|learner| learner.replica == replica);
        leader.peer(replica).filter(|_| is_learner).is_some_and(|p| {
            let lag = self.commit.since(p.matched);
            p.matched >= self.membership_index() && lag <= self.options.promotion_lag
        })
    }

    /// Lets go of peers that are members no more, once they know it or cannot be reached.
    pub(crate) fn dismiss_departed(&mut self, now: Time) {
        let (index, commit) = (self.membership_index(), self.commit);
        let timeout = self.options.election_timeout;
        if let Role::Leader(leader) = &mut self.role {
            let since = leader.awake_since;
            leader.peers.retain(|_, p| {
                let knows = index <= commit && p.matched >= index && p.commit_told >= index;
                let is_lost = now.since(p.heard.max(since)) > timeout || p.wants_snapshot();
                !p.is_departing() || !(knows || is_lost)
            });
        }
    }
}
