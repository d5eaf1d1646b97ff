//! How a command changes the metadata.
//!
//! Each function decides first and changes last, so a refusal leaves no trace.

use std::sync::Arc;

use raft_core::{GroupId, LogIndex, ReplicaId};

use super::command::{
    AllocateProducerIdsRefused, Command, CreateTopicRefused, DeleteTopicRefused, RegisterBrokerRefused,
    Registration, Response, TopicCreated, TopicDeleted, TopicRef,
};
use super::model::{Broker, Partition, ProducerIdBlock, Topic};
use super::names::{BrokerId, TopicId, TopicName};
use super::state::Metadata;
use super::{MAX_BROKER_ID, MAX_PARTITIONS_PER_TOPIC, MAX_REPLICAS, PRODUCER_IDS_PER_BLOCK};
use crate::address::HostPort;

impl Metadata {
    /// Applies the committed command of the entry at `at`. [`Metadata::changed_at`] becomes `at` exactly when
    /// something changed; a refused command changes nothing.
    pub fn apply(&mut self, at: LogIndex, command: Command) -> Response {
        match command {
            Command::RegisterBroker { replica, kafka, peer } => {
                Response::RegisterBroker(self.register_broker(at, replica, kafka, peer))
            }
            Command::CreateTopic { name, id, assignments } => {
                Response::CreateTopic(self.create_topic(at, name, id, assignments))
            }
            Command::DeleteTopic { topic } => Response::DeleteTopic(self.delete_topic(at, topic)),
            Command::AllocateProducerIds { broker } => {
                Response::AllocateProducerIds(self.allocate_producer_ids(at, broker))
            }
        }
    }

    fn register_broker(
        &mut self,
        at: LogIndex,
        replica: ReplicaId,
        kafka: HostPort,
        peer: HostPort,
    ) -> Result<Registration, RegisterBrokerRefused> {
        let broker = replica.node;
        if broker.as_u64() > MAX_BROKER_ID {
            return Err(RegisterBrokerRefused::IdTooHigh { broker });
        }
        let (registration, registered_at) = match self.broker(broker) {
            Some(known) if known.replica != replica => {
                let (registered, offered) = (known.replica.disk, replica.disk);
                return Err(RegisterBrokerRefused::OtherDisk { broker, registered, offered });
            }
            Some(known) if known.kafka == kafka && known.peer == peer => return Ok(Registration::Unchanged),
            Some(known) => (Registration::Moved, known.registered_at),
            None => (Registration::New, at),
        };
        let entry = Arc::new(Broker { replica, kafka, peer, registered_at });
        Arc::make_mut(&mut self.brokers).insert(broker, entry);
        self.changed_at = at;
        Ok(registration)
    }

    fn create_topic(
        &mut self,
        at: LogIndex,
        name: TopicName,
        id: TopicId,
        assignments: Vec<Vec<ReplicaId>>,
    ) -> Result<TopicCreated, CreateTopicRefused> {
        if let Some(topic) = self.topic(name.as_str()) {
            return Err(CreateTopicRefused::Exists { name, id: topic.id });
        }
        if id.as_uuid().is_nil() || self.topic_by_id(id).is_some() {
            return Err(CreateTopicRefused::BadId { id });
        }
        if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&assignments.len()) {
            return Err(CreateTopicRefused::PartitionCount { partitions: assignments.len() });
        }
        let partitions = assignments.len() as u32;
        for (partition, replicas) in (0..partitions).zip(&assignments) {
            self.check_assignment(partition, replicas)?;
        }
        let exhausted = CreateTopicRefused::Exhausted { partitions: assignments.len() };
        let Some(next_group) = self.next_group.checked_add(partitions) else { return Err(exhausted) };
        let Some(next_incarnation) = self.next_incarnation.checked_add(1) else { return Err(exhausted) };

        let (first, incarnation) = (self.next_group, self.next_incarnation);
        let numbers = first..next_group;
        let groups = numbers.map(|number| GroupId::new(number, incarnation));
        let partition = |(group, replicas)| Partition { group, replicas };
        let partitions_made: Vec<Partition> = groups.zip(assignments).map(partition).collect();
        let topic = Arc::new(Topic { name: name.clone(), id, partitions: partitions_made, created_at: at });
        Arc::make_mut(&mut self.topics).insert(name, topic.clone());
        Arc::make_mut(&mut self.by_id).insert(id, topic.clone());
        Arc::make_mut(&mut self.by_group).insert(first, topic);
        self.next_group = next_group;
        self.next_incarnation = next_incarnation;
        self.changed_at = at;
        Ok(TopicCreated { id, first_group: GroupId::new(first, incarnation), partitions })
    }

    fn check_assignment(&self, partition: u32, replicas: &[ReplicaId]) -> Result<(), CreateTopicRefused> {
        if !(1..=MAX_REPLICAS).contains(&replicas.len()) {
            return Err(CreateTopicRefused::ReplicaCount { partition, replicas: replicas.len() });
        }
        for (place, replica) in replicas.iter().enumerate() {
            let broker = replica.node;
            if replicas[..place].iter().any(|earlier| earlier.node == broker) {
                return Err(CreateTopicRefused::RepeatedBroker { partition, broker });
            }
            let Some(known) = self.broker(broker) else {
                return Err(CreateTopicRefused::UnknownBroker { partition, broker });
            };
            if known.replica != *replica {
                let (asked, registered) = (replica.disk, known.replica.disk);
                return Err(CreateTopicRefused::OtherDisk { partition, broker, asked, registered });
            }
        }
        Ok(())
    }

    fn delete_topic(&mut self, at: LogIndex, topic: TopicRef) -> Result<TopicDeleted, DeleteTopicRefused> {
        let found = match &topic {
            TopicRef::Name(name) => self.topic(name.as_str()),
            TopicRef::Id(id) => self.topic_by_id(*id),
        };
        let Some(found) = found.cloned() else { return Err(DeleteTopicRefused::Unknown { topic }) };
        let groups = || found.partitions.iter().map(|partition| partition.group);
        Arc::make_mut(&mut self.topics).remove(&found.name);
        Arc::make_mut(&mut self.by_id).remove(&found.id);
        if let Some(first) = groups().next() {
            Arc::make_mut(&mut self.by_group).remove(&first.number());
        }
        Arc::make_mut(&mut self.deleted_groups).extend(groups());
        self.changed_at = at;
        Ok(TopicDeleted { name: found.name.clone(), id: found.id, partitions: found.partitions.len() as u32 })
    }

    fn allocate_producer_ids(
        &mut self,
        at: LogIndex,
        broker: BrokerId,
    ) -> Result<ProducerIdBlock, AllocateProducerIdsRefused> {
        if self.broker(broker).is_none() {
            return Err(AllocateProducerIdsRefused::UnknownBroker { broker });
        }
        let first = self.next_producer_id;
        let Some(next) = first.checked_add(PRODUCER_IDS_PER_BLOCK as i64) else {
            return Err(AllocateProducerIdsRefused::Exhausted);
        };
        self.next_producer_id = next;
        self.changed_at = at;
        Ok(ProducerIdBlock { first })
    }
}
