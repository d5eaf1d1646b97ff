//! Who votes: a configuration is a set of replicas, and a quorum is a majority of it.
//!
//! Replicas are (node, disk) pairs, so a node that comes back with an empty disk is not the voter it was. What
//! is not here yet: joint configurations. Invariant: voters are sorted and no node appears twice.

use alloc::vec::Vec;

use crate::id::{LogIndex, NodeId, ReplicaId};

/// The most voters a configuration may have. Sizes a hand-shake and bounds what a peer can make us allocate.
pub const MAX_VOTERS: usize = 7;

/// Why a list of replicas is no configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The same node stands in it twice, perhaps with two disks.
    Repeated(NodeId),
    /// It has more than [`MAX_VOTERS`] voters.
    TooLarge(usize),
}

impl core::fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Repeated(node) => write!(f, "node {node} is listed twice; list each voter once"),
            Self::TooLarge(n) => write!(f, "{n} voters are more than {MAX_VOTERS}; use 3 or 5"),
        }
    }
}

impl core::error::Error for ConfigurationError {}

/// The voters of a group. The empty one belongs to a replica that votes nowhere: a standing learner, or a node
/// that waits to be added.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Configuration {
    voters: Vec<ReplicaId>,
    /// Who campaigns first in a fresh group, so that leaders are spread without an election race.
    first: Option<NodeId>,
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
        Ok(Self { voters, first })
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
        self.first
    }

    /// Whether exactly this replica, disk included, is a voter.
    pub fn is_voter(&self, replica: ReplicaId) -> bool {
        self.voters.binary_search(&replica).is_ok()
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
        for (slot, voter) in indexes.iter_mut().zip(&self.voters) {
            *slot = held(*voter);
        }
        indexes.sort_unstable_by(|a, b| b.cmp(a));
        indexes[self.quorum() - 1]
    }
}
