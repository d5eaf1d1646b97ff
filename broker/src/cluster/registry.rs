//! The partitions this broker hosts, by group.
//!
//! Written by the reconciling task alone, read at every request. Invariant: what is in here has an open group on
//! this node.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use raft_core::GroupId;

use crate::partition::Partition;

/// The hosted partitions.
#[derive(Default)]
pub struct Registry {
    partitions: RwLock<HashMap<GroupId, Partition>>,
}

impl Registry {
    /// The partition of this group, if it is hosted here.
    pub fn get(&self, group: GroupId) -> Option<Partition> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(&group).cloned()
    }

    /// Whether the partition of this group is hosted here.
    pub fn contains(&self, group: GroupId) -> bool {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).contains_key(&group)
    }

    /// The groups of the hosted partitions, ascending.
    pub fn groups(&self) -> Vec<GroupId> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        let mut groups: Vec<GroupId> = partitions.keys().copied().collect();
        groups.sort_unstable();
        groups
    }

    pub(super) fn insert(&self, group: GroupId, partition: Partition) {
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).insert(group, partition);
    }

    pub(super) fn remove(&self, group: GroupId) {
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).remove(&group);
    }
}
