//! How a breach of a law is reported by the full tier: with the group and the node.

use std::fmt;

use raft_core::{GroupId, NodeId};

pub use crate::law::Law;

/// A broken law: what, where, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The law.
    pub law: Law,
    /// The group it concerns, if one.
    pub group: Option<GroupId>,
    /// The node that was caught, if one.
    pub node: Option<NodeId>,
    /// What was seen.
    pub seen: String,
}

impl Breach {
    /// A breach seen in a group, at a node.
    pub(crate) fn at(law: Law, group: GroupId, node: NodeId, seen: impl Into<String>) -> Self {
        Self { law, group: Some(group), node: Some(node), seen: seen.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.law, self.law.sentence())?;
        if let Some(group) = self.group {
            write!(f, ", group {group}")?;
        }
        if let Some(node) = self.node {
            write!(f, ", node {node}")?;
        }
        write!(f, ": {}", self.seen)
    }
}

/// What a check comes to.
pub(crate) type Checked = Result<(), Breach>;
