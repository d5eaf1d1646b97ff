//! The state itself and how it is read.
//!
//! Maps and topics are shared between successive versions, so publishing one after each change copies pointers
//! of the map that changed and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use raft_core::{GroupId, LogIndex, NodeId, ReplicaId};

use super::model::{Broker, Partition, Topic};
use super::names::{BrokerId, PartitionId, TopicId, TopicName};
use super::{MAX_BROKER_ID, MAX_PARTITIONS_PER_TOPIC, MAX_REPLICAS, PRODUCER_IDS_PER_BLOCK};
use crate::placement::{Candidate, Load};

/// The metadata of a cluster as of one log index. Cloning copies a few pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(super) brokers: Arc<BTreeMap<BrokerId, Arc<Broker>>>,
    pub(super) topics: Arc<BTreeMap<TopicName, Arc<Topic>>>,
    /// Index of `topics` by id.
    pub(super) by_id: Arc<BTreeMap<TopicId, Arc<Topic>>>,
    /// Index of `topics` by the number of the group of partition 0.
    pub(super) by_group: Arc<BTreeMap<u32, Arc<Topic>>>,
    pub(super) deleted_groups: Arc<BTreeSet<GroupId>>,
    /// The number that the next partition's group gets, from 1. `u32::MAX` is never given out.
    pub(super) next_group: u32,
    /// The incarnation that the next topic's groups get, from 1. `u32::MAX` is never given out.
    pub(super) next_incarnation: u32,
    /// The first producer id of the next block.
    pub(super) next_producer_id: i64,
    pub(super) changed_at: LogIndex,
}

impl Default for Metadata {
    /// The metadata of a cluster in which nothing has happened.
    fn default() -> Self {
        Self {
            brokers: Arc::default(),
            topics: Arc::default(),
            by_id: Arc::default(),
            by_group: Arc::default(),
            deleted_groups: Arc::default(),
            next_group: 1,
            next_incarnation: 1,
            next_producer_id: 0,
            changed_at: LogIndex::ZERO,
        }
    }
}

impl Metadata {
    /// Index of the last entry that changed anything; zero if none has.
    pub fn changed_at(&self) -> LogIndex {
        self.changed_at
    }

    /// The brokers that ever registered, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// The broker with this id, alive or not.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The topic and partition whose group this is; `None` for a group that was deleted or never was.
    pub fn partition_of(&self, group: GroupId) -> Option<(&Arc<Topic>, PartitionId)> {
        let (first, topic) = self.by_group.range(..=group.number()).next_back()?;
        let id = PartitionId::new(group.number() - first);
        (topic.partition(id)?.group == group).then_some((topic, id))
    }

    /// The partitions that this replica, disk included, must hold: by topic name, then by number.
    pub fn partitions_on(
        &self,
        replica: ReplicaId,
    ) -> impl Iterator<Item = (&Arc<Topic>, PartitionId, &Partition)> {
        self.topics
            .values()
            .flat_map(|topic| topic.numbered().map(move |(id, partition)| (topic, id, partition)))
            .filter(move |(_, _, partition)| partition.is_on(replica))
    }

    /// Whether a committed delete names this very group: the only reason to remove its data.
    pub fn is_deleted(&self, group: GroupId) -> bool {
        self.deleted_groups.contains(&group)
    }

    /// All groups that were ever deleted, ascending. Kept for ever, so that a broker that was away learns of them.
    pub fn deleted_groups(&self) -> impl ExactSizeIterator<Item = GroupId> {
        self.deleted_groups.iter().copied()
    }

    /// Those of `live` that are registered brokers, each with what it holds already: what placement chooses from.
    pub fn candidates(&self, live: &[NodeId]) -> Vec<Candidate> {
        let mut loads: BTreeMap<BrokerId, Load> = live.iter().map(|id| (*id, Load::default())).collect();
        for partition in self.topics.values().flat_map(|topic| &topic.partitions) {
            for (place, replica) in partition.replicas.iter().enumerate() {
                if let Some(load) = loads.get_mut(&replica.node) {
                    load.replicas += 1;
                    load.leaders += u64::from(place == 0);
                }
            }
        }
        let candidate = |(id, load)| Some(Candidate { replica: self.broker(id)?.replica, load });
        loads.into_iter().filter_map(candidate).collect()
    }

    /// Checks the laws in the documentation of this module's parent. For tests, simulation, and what comes from
    /// elsewhere ([`Metadata::decode`]).
    ///
    /// # Errors
    /// Names the first law that is broken.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let law = |holds: bool, name: &'static str| if holds { Ok(()) } else { Err(name) };
        for (id, broker) in self.brokers.iter() {
            law(*id == broker.id(), "a broker stands under its own id")?;
            law(id.as_u64() <= MAX_BROKER_ID, "a broker's id fits Kafka's protocol")?;
        }
        law(self.next_group >= 1 && self.next_incarnation >= 1, "group numbers and incarnations start at 1")?;
        let mut groups = BTreeSet::new();
        for (name, topic) in self.topics.iter() {
            law(*name == topic.name, "a topic stands under its own name")?;
            law(!topic.id.as_uuid().is_nil(), "no topic has the nil id")?;
            law(self.by_id.get(&topic.id) == Some(topic), "a topic is found by its id")?;
            let count = topic.partitions.len();
            law((1..=MAX_PARTITIONS_PER_TOPIC).contains(&count), "a topic has 1 to 10,000 partitions")?;
            let first = topic.partitions[0].group;
            law(self.by_group.get(&first.number()) == Some(topic), "a topic is found by its first group")?;
            law(topic.created_at <= self.changed_at, "a topic is not newer than the state")?;
            for (id, partition) in topic.numbered() {
                let expected = first.number().checked_add(id.as_u32());
                law(expected == Some(partition.group.number()), "a topic's groups have consecutive numbers")?;
                law(
                    partition.group.incarnation() == first.incarnation(),
                    "a topic's groups share an incarnation",
                )?;
                law(groups.insert(partition.group.number()), "a group number is used once")?;
                law(self.is_allocated(partition.group), "a group was allocated")?;
                law(!self.is_deleted(partition.group), "a partition's group is not deleted")?;
                self.check_replicas(partition)?;
            }
        }
        law(self.by_id.len() == self.topics.len(), "the index by id holds the topics and no more")?;
        law(self.by_group.len() == self.topics.len(), "the index by group holds the topics and no more")?;
        for group in self.deleted_groups.iter() {
            law(groups.insert(group.number()), "a deleted group's number is not used again")?;
            law(self.is_allocated(*group), "a deleted group was allocated")?;
        }
        let block = PRODUCER_IDS_PER_BLOCK as i64;
        law(
            self.next_producer_id >= 0 && self.next_producer_id % block == 0,
            "producer ids go in whole blocks",
        )
    }

    fn check_replicas(&self, partition: &Partition) -> Result<(), &'static str> {
        if !(1..=MAX_REPLICAS).contains(&partition.replicas.len()) {
            return Err("a partition has 1 to 7 replicas");
        }
        if partition.configuration().voters().len() != partition.replicas.len() {
            return Err("a partition's replicas are a configuration");
        }
        let registered = |r: &ReplicaId| self.broker(r.node).is_some_and(|broker| broker.replica == *r);
        if partition.replicas.iter().all(registered) {
            Ok(())
        } else {
            Err("a replica stands on a registered broker's disk")
        }
    }

    fn is_allocated(&self, group: GroupId) -> bool {
        (1..self.next_group).contains(&group.number())
            && (1..self.next_incarnation).contains(&group.incarnation())
    }
}
