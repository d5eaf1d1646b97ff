//! Who votes and who is being added: configurations, and the memberships that entries of the log carry.
//!
//! A *configuration* is a set of voters, and a quorum is a majority of it. A *membership* is what is in force from
//! one index of the log on: one configuration, or two while voters change (joint consensus, Raft §6), and the
//! learners that are to become voters. Replicas are (node, disk) pairs, so a node that comes back with an empty disk
//! is not the voter it was. Nothing here decides when to change. Invariants: voters are sorted, no node appears twice
//! in a configuration or among the learners, no learner is a voter, and there is room for all learners to become one.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{LogIndex, NodeId, ReplicaId};

/// The most voters a configuration may have. Sizes a hand-shake and bounds what a peer can make us allocate.
pub const MAX_VOTERS: usize = 7;

/// The most promotable learners a membership may have.
pub const MAX_LEARNERS: usize = 7;

/// Why a list of replicas is no configuration, or a change makes no membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The same node stands in it twice, perhaps with two disks.
    Repeated(NodeId),
    /// It has more than [`MAX_VOTERS`] voters, or would have once all its learners are promoted.
    TooLarge(usize),
    /// It has more than [`MAX_LEARNERS`] learners.
    TooManyLearners(usize),
    /// A learner is a voter already, or its node is one under another disk and it does not replace that one.
    LearnerVotes(NodeId),
    /// There would be no voter left.
    Empty,
    /// No such learner.
    NoSuchLearner(NodeId),
    /// A learner is to replace a replica that does not vote.
    NoSuchVoter(NodeId),
    /// Two learners are to replace the same voter.
    ReplacedTwice(NodeId),
}

impl core::fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Repeated(node) => write!(f, "node {node} is listed twice; list each replica once"),
            Self::TooLarge(n) => write!(f, "{n} voters are more than {MAX_VOTERS}; use 3 or 5"),
            Self::TooManyLearners(n) => {
                write!(f, "{n} learners are more than {MAX_LEARNERS}; wait until some are promoted")
            }
            Self::LearnerVotes(node) => {
                write!(
                    f,
                    "node {node} votes already; a learner with its new disk must name that voter as replaced"
                )
            }
            Self::Empty => f.write_str("no voter would be left; keep at least one"),
            Self::NoSuchVoter(node) => {
                write!(
                    f,
                    "node {node} does not vote with that disk, so nobody can replace it; list the voters"
                )
            }
            Self::ReplacedTwice(node) => {
                write!(f, "another learner replaces node {node} already; remove that one first")
            }
            Self::NoSuchLearner(node) => write!(f, "node {node} is no learner of this group"),
        }
    }
}

impl core::error::Error for ConfigurationError {}

/// The voters of a group. The empty one belongs to a replica that votes nowhere: a standing learner, or a node
/// that waits to be added.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "ConfigurationParts", into = "ConfigurationParts"))]
pub struct Configuration {
    /// Shared by all clones: the groups of a node lie on few different sets of replicas.
    voters: Arc<[ReplicaId]>,
    /// Who campaigns first in a fresh group, so that leaders are spread without an election race: its place in the list.
    first: u8,
}

impl Configuration {
    /// Makes a configuration. The first replica of the list campaigns first while the group has no history.
    ///
    /// # Errors
    /// When a node is repeated or there are more than [`MAX_VOTERS`].
    pub fn new(voters: impl IntoIterator<Item = ReplicaId>) -> Result<Self, ConfigurationError> {
        let mut voters: Vec<ReplicaId> = voters.into_iter().take(MAX_VOTERS + 1).collect();
        if voters.len() > MAX_VOTERS {
            return Err(ConfigurationError::TooLarge(voters.len()));
        }
        let first = voters.first().map(|r| r.node);
        voters.sort_unstable();
        if let Some(pair) = voters.windows(2).find(|pair| pair[0].node == pair[1].node) {
            return Err(ConfigurationError::Repeated(pair[0].node));
        }
        let first = voters.iter().position(|voter| Some(voter.node) == first).unwrap_or(0);
        Ok(Self { voters: voters.into(), first: first as u8 })
    }

    /// The configuration of a replica that votes nowhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// The voters, sorted by node.
    pub fn voters(&self) -> &[ReplicaId] {
        &self.voters
    }

    /// Who campaigns first in a fresh group; `None` only for the empty configuration.
    pub fn first(&self) -> Option<NodeId> {
        self.voters.get(usize::from(self.first)).map(|voter| voter.node)
    }

    /// Whether exactly this replica, disk included, is a voter.
    pub fn is_voter(&self, replica: ReplicaId) -> bool {
        self.voters.contains(&replica)
    }

    /// The voter on that node, if any.
    pub fn voter_on(&self, node: NodeId) -> Option<ReplicaId> {
        self.voters.iter().copied().find(|v| v.node == node)
    }

    /// How many voters make a quorum: more than half. Zero for the empty configuration, which has none.
    pub fn quorum(&self) -> usize {
        if self.voters.is_empty() { 0 } else { self.voters.len() / 2 + 1 }
    }

    /// Whether the voters for which `has` answers true are a quorum. Never for the empty configuration.
    pub fn is_quorum(&self, has: impl Fn(ReplicaId) -> bool) -> bool {
        !self.voters.is_empty() && self.voters.iter().filter(|v| has(**v)).count() >= self.quorum()
    }

    /// The highest index that a quorum holds, given what each voter holds. Zero for the empty configuration.
    pub fn quorum_index(&self, held: impl Fn(ReplicaId) -> LogIndex) -> LogIndex {
        if self.voters.is_empty() {
            return LogIndex::ZERO;
        }
        let mut indexes = [LogIndex::ZERO; MAX_VOTERS];
        let indexes = &mut indexes[..self.voters.len()];
        for (slot, voter) in indexes.iter_mut().zip(self.voters.iter()) {
            *slot = held(*voter);
        }
        indexes.sort_unstable_by(|a, b| b.cmp(a));
        indexes[self.quorum() - 1]
    }
}

/// A replica that is fed until it has caught up and then becomes a voter by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Learner {
    /// Who is to become a voter.
    pub replica: ReplicaId,
    /// The voter that leaves when it does. `None` adds one.
    pub replaces: Option<ReplicaId>,
}

/// What a group's log says about who takes part, in force from the index at which it was *appended* (thesis §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "MembershipParts", into = "MembershipParts"))]
pub struct Membership {
    voters: Configuration,
    /// Only while something changes; most groups spend their lives without.
    transition: Option<Box<Transition>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
struct Transition {
    outgoing: Option<Configuration>,
    learners: Vec<Learner>,
}

impl From<Configuration> for Membership {
    fn from(voters: Configuration) -> Self {
        Self { voters, transition: None }
    }
}

impl Membership {
    /// Puts one together from its parts, such as those read from a disk: the voters (the incoming ones while it is
    /// joint), the outgoing ones of a joint one, and the promotable learners.
    ///
    /// # Errors
    /// When the parts make no membership.
    pub fn new(
        voters: Configuration,
        outgoing: Option<Configuration>,
        learners: Vec<Learner>,
    ) -> Result<Self, ConfigurationError> {
        if learners.len() > MAX_LEARNERS {
            return Err(ConfigurationError::TooManyLearners(learners.len()));
        }
        if let Some(outgoing) = &outgoing
            && (outgoing.voters.is_empty() || voters.voters.is_empty())
        {
            return Err(ConfigurationError::Empty);
        }
        for (at, learner) in learners.iter().enumerate() {
            let node = learner.replica.node;
            if learners[..at].iter().any(|other| other.replica.node == node) {
                return Err(ConfigurationError::Repeated(node));
            }
            let on_node = voters.voter_on(node);
            let is_new_disk =
                on_node.is_some() && learner.replaces == on_node && on_node != Some(learner.replica);
            if on_node.is_some() && !is_new_disk {
                return Err(ConfigurationError::LearnerVotes(node));
            }
        }
        // Every learner must have a place when it has caught up, whichever of them is first.
        let successors = |voter| learners.iter().filter(|learner| learner.replaces == Some(voter)).count();
        if let Some(voter) = voters.voters.iter().find(|voter| successors(**voter) > 1) {
            return Err(ConfigurationError::ReplacedTwice(voter.node));
        }
        let leaving = voters.voters.iter().filter(|voter| successors(**voter) == 1).count();
        let in_the_end = voters.voters.len() + learners.len() - leaving;
        if in_the_end > MAX_VOTERS {
            return Err(ConfigurationError::TooLarge(in_the_end));
        }
        let transition = Transition { outgoing, learners };
        let is_empty = transition == Transition::default();
        Ok(Self { voters, transition: (!is_empty).then(|| Box::new(transition)) })
    }

    /// The membership of a replica that waits to be added, or of a standing learner.
    pub fn none() -> Self {
        Self::default()
    }

    /// The voters; the incoming ones while it is joint.
    pub fn voters(&self) -> &Configuration {
        &self.voters
    }

    /// The outgoing voters of a joint membership. Decisions then need a quorum of both (Raft §6).
    pub fn outgoing(&self) -> Option<&Configuration> {
        self.transition.as_ref()?.outgoing.as_ref()
    }

    /// Whether voters are changing.
    pub fn is_joint(&self) -> bool {
        self.outgoing().is_some()
    }

    /// The promotable learners, in the order in which they were added.
    pub fn learners(&self) -> &[Learner] {
        self.transition.as_ref().map_or(&[], |transition| &transition.learners)
    }

    /// Whether exactly this replica votes, also as one that is going.
    pub fn is_voter(&self, replica: ReplicaId) -> bool {
        self.voters.is_voter(replica) || self.outgoing().is_some_and(|outgoing| outgoing.is_voter(replica))
    }

    /// Whether exactly this replica votes or is to vote.
    pub fn is_member(&self, replica: ReplicaId) -> bool {
        self.is_voter(replica) || self.learners().iter().any(|learner| learner.replica == replica)
    }

    /// Whether a replica on this node votes or is to vote, whichever its disk.
    pub fn has_node(&self, node: NodeId) -> bool {
        self.replicas().any(|replica| replica.node == node)
    }

    /// All replicas, each node once. Of a node with two disks it is the newer: the one that is a learner, or incoming.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        let learners = self.learners().iter().map(|learner| learner.replica);
        let is_learner = |node| self.learners().iter().any(|learner| learner.replica.node == node);
        let incoming = self.voters.voters.iter().copied().filter(move |voter| !is_learner(voter.node));
        let going = self.outgoing().map_or(&[][..], Configuration::voters).iter().copied();
        let going = going.filter(move |v| !is_learner(v.node) && self.voters.voter_on(v.node).is_none());
        learners.chain(incoming).chain(going)
    }

    /// Whether the voters for which `has` answers true are a quorum: while joint, of both configurations.
    pub fn is_quorum(&self, has: impl Fn(ReplicaId) -> bool) -> bool {
        self.voters.is_quorum(&has) && self.outgoing().is_none_or(|outgoing| outgoing.is_quorum(&has))
    }

    /// The highest index that a quorum holds: while joint, the lower of the two.
    pub fn quorum_index(&self, held: impl Fn(ReplicaId) -> LogIndex) -> LogIndex {
        let incoming = self.voters.quorum_index(&held);
        self.outgoing().map_or(incoming, |outgoing| incoming.min(outgoing.quorum_index(&held)))
    }

    /// The joint membership on the way to `voters`. Learners that are among them are learners no more.
    ///
    /// # Errors
    /// When `voters` is empty.
    pub fn towards(&self, voters: Configuration) -> Result<Self, ConfigurationError> {
        if voters.voters.is_empty() {
            return Err(ConfigurationError::Empty);
        }
        let stays = |learner: &&Learner| !voters.is_voter(learner.replica);
        let learners = self.learners().iter().filter(stays).copied().collect();
        Self::new(voters, Some(self.voters.clone()), learners)
    }

    /// What a joint membership leads to: the outgoing voters are gone. Another stays as it is.
    #[must_use]
    pub fn settled(&self) -> Self {
        let learners = self.learners().to_vec();
        let transition = (!learners.is_empty()).then(|| Box::new(Transition { outgoing: None, learners }));
        Self { voters: self.voters.clone(), transition }
    }

    /// With one more learner. One for the same node takes the place of the one before.
    ///
    /// # Errors
    /// When it votes already, there are too many, or there is no voter yet.
    pub fn with_learner(&self, learner: Learner) -> Result<Self, ConfigurationError> {
        let mut learners = self.learners().to_vec();
        learners.retain(|other| other.replica.node != learner.replica.node);
        learners.push(learner);
        Self::new(self.voters.clone(), self.outgoing().cloned(), learners)
    }

    /// Without that learner.
    ///
    /// # Errors
    /// When there is none.
    pub fn without_learner(&self, replica: ReplicaId) -> Result<Self, ConfigurationError> {
        let mut learners = self.learners().to_vec();
        learners.retain(|other| other.replica != replica);
        if learners.len() == self.learners().len() {
            return Err(ConfigurationError::NoSuchLearner(replica.node));
        }
        Self::new(self.voters.clone(), self.outgoing().cloned(), learners)
    }

    /// The voters once `learner` is promoted: with it, and without the one it replaces.
    ///
    /// # Errors
    /// When they would be too many.
    pub fn promoting(&self, learner: &Learner) -> Result<Configuration, ConfigurationError> {
        let stay = self.voters.voters.iter().copied().filter(|voter| Some(*voter) != learner.replaces);
        Configuration::new(stay.chain([learner.replica]))
    }
}

/// A change that a leader is asked to make, one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MembershipChange {
    /// Let exactly these vote, by way of a joint membership. A new voter must have caught up as a learner, or it is
    /// refused ([`crate::ChangeError::NotCaughtUp`]); as a learner it is promoted by itself anyway.
    Voters(Configuration),
    /// Feed this one, and let it vote once it lacks at most [`crate::Options::promotion_lag`] committed entries. A node has one
    /// disk: a learner on the node of a voter takes that voter's place in all messages at once, so add it only when the
    /// old disk is gone.
    AddLearner(Learner),
    /// Feed this one no longer.
    RemoveLearner(ReplicaId),
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct ConfigurationParts {
    voters: Vec<ReplicaId>,
    first: Option<NodeId>,
}

#[cfg(feature = "serde")]
impl TryFrom<ConfigurationParts> for Configuration {
    type Error = ConfigurationError;

    fn try_from(parts: ConfigurationParts) -> Result<Self, ConfigurationError> {
        let made = Self::new(parts.voters)?;
        let first = made.voters.iter().position(|voter| Some(voter.node) == parts.first);
        Ok(Self { first: first.map_or(made.first, |at| at as u8), ..made })
    }
}

#[cfg(feature = "serde")]
impl From<Configuration> for ConfigurationParts {
    fn from(made: Configuration) -> Self {
        Self { voters: made.voters.to_vec(), first: made.first() }
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct MembershipParts {
    voters: Configuration,
    outgoing: Option<Configuration>,
    learners: Vec<Learner>,
}

#[cfg(feature = "serde")]
impl TryFrom<MembershipParts> for Membership {
    type Error = ConfigurationError;

    fn try_from(parts: MembershipParts) -> Result<Self, ConfigurationError> {
        Self::new(parts.voters, parts.outgoing, parts.learners)
    }
}

#[cfg(feature = "serde")]
impl From<Membership> for MembershipParts {
    fn from(made: Membership) -> Self {
        let outgoing = made.outgoing().cloned();
        let learners = made.learners().to_vec();
        Self { voters: made.voters, outgoing, learners }
    }
}
