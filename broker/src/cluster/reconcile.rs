//! Makes what this node hosts follow the metadata.
//!
//! Level-triggered: each round compares all that is wanted with all that is there, so a round that failed or was
//! skipped is made good by the next one. Invariant: a group is removed only when a committed delete names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager::metadata::{Metadata, Partition as PartitionSpec};
use manager::{HostPort, MetadataView};
use raft_core::{GroupId, NodeId, ReplicaId};
use raft_net::{GroupSpec, NodeHandle, OpenGroupError};
use tokio::task::JoinSet;

use super::registry::Registry;
use crate::partition::{PRODUCERS_MAX, Partition, PartitionMachine};

/// How long to wait before a group that could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How many groups are opened or removed at once.
const AT_ONCE: usize = 64;

/// What the reconciling task works on.
pub(super) struct Reconciler {
    me: ReplicaId,
    handle: NodeHandle,
    view: MetadataView,
    registry: Arc<Registry>,
    peers: BTreeMap<NodeId, HostPort>,
    removed: BTreeSet<GroupId>,
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    /// All that is wanted is there.
    Done,
    /// Something is missing and worth another try.
    Incomplete,
    /// The node is stopping.
    Stopping,
}

impl Reconciler {
    pub(super) fn new(
        me: ReplicaId,
        handle: NodeHandle,
        view: MetadataView,
        registry: Arc<Registry>,
    ) -> Self {
        Self { me, handle, view, registry, peers: BTreeMap::new(), removed: BTreeSet::new() }
    }

    /// Runs until the node stops.
    pub(super) async fn run(mut self) {
        loop {
            let metadata = self.view.current();
            let retry = match self.round(&metadata).await {
                Round::Stopping => return,
                Round::Done => None,
                Round::Incomplete => Some(RETRY),
            };
            let changed = self.view.changed();
            let closed = match retry {
                None => changed.await.is_err(),
                Some(delay) => tokio::time::timeout(delay, changed).await.is_ok_and(|news| news.is_err()),
            };
            if closed {
                return;
            }
        }
    }

    async fn round(&mut self, metadata: &Metadata) -> Round {
        self.connect(metadata).await;
        self.remove_deleted(metadata).await;
        self.open_wanted(metadata).await
    }

    async fn connect(&mut self, metadata: &Metadata) {
        for broker in metadata.brokers().filter(|broker| broker.id() != self.me.node) {
            if self.peers.get(&broker.id()) != Some(&broker.peer) {
                self.handle.add_peer(broker.id(), broker.peer.to_string()).await;
                self.peers.insert(broker.id(), broker.peer.clone());
            }
        }
    }

    /// Also removes what was deleted while this broker was away: that lies on the disk and is not open.
    async fn remove_deleted(&mut self, metadata: &Metadata) {
        let deleted: Vec<GroupId> =
            metadata.deleted_groups().filter(|group| !self.removed.contains(group)).collect();
        let mut removals = JoinSet::new();
        for group in deleted {
            if self.registry.contains(group) {
                tracing::info!(%group, "remove: the topic of this partition was deleted");
            }
            self.registry.remove(group);
            self.removed.insert(group);
            make_room(&mut removals).await;
            let handle = self.handle.clone();
            removals.spawn(async move { handle.remove_group(group).await });
        }
        while removals.join_next().await.is_some() {}
    }

    async fn open_wanted(&mut self, metadata: &Metadata) -> Round {
        let mut openings = JoinSet::new();
        let mut round = Round::Done;
        let wanted = metadata.partitions_on(self.me);
        for (topic, number, partition) in wanted.filter(|(.., spec)| !self.registry.contains(spec.group)) {
            if let Some(ended) = make_room(&mut openings).await {
                round = round.and(ended);
            }
            let label = format!("{} {number}", topic.name);
            openings.spawn(open(self.handle.clone(), self.registry.clone(), label, partition.clone()));
        }
        while let Some(ended) = openings.join_next().await {
            round = round.and(ended.unwrap_or(Round::Incomplete));
        }
        round
    }
}

impl Round {
    /// How a round ended of which this is one part and `other` another.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Round::Stopping, _) | (_, Round::Stopping) => Round::Stopping,
            (Round::Incomplete, _) | (_, Round::Incomplete) => Round::Incomplete,
            (Round::Done, Round::Done) => Round::Done,
        }
    }
}

/// Waits until one more task may begin. Several at once share a flush of the log.
async fn make_room<T: 'static>(tasks: &mut JoinSet<T>) -> Option<T> {
    if tasks.len() < AT_ONCE {
        return None;
    }
    tasks.join_next().await?.ok()
}

/// Opens the group of one partition, labelled for people.
async fn open(handle: NodeHandle, registry: Arc<Registry>, label: String, partition: PartitionSpec) -> Round {
    let group = partition.group;
    let machine = PartitionMachine::new(PRODUCERS_MAX);
    let (view, state) = (machine.watch(), machine.state());
    let spec = GroupSpec {
        group,
        genesis: Some(partition.configuration()),
        note: Bytes::from(label.clone()),
        machine: Box::new(machine),
    };
    match handle.open_group(spec).await {
        Ok(log) => {
            registry.insert(group, Partition::new(view, state, log));
            tracing::info!(%group, partition = label, "open");
            Round::Done
        }
        Err(OpenGroupError::Stopping) => Round::Stopping,
        Err(error) => {
            tracing::error!(%group, partition = label, %error, "open");
            Round::Incomplete
        }
    }
}
