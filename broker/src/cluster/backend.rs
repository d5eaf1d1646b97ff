//! What the Kafka edge asks, answered from the local metadata, the managers and the hosted partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use manager::client::{CreateTopicError, RequestError};
use manager::metadata::{
    CreateTopicRefused, DeleteTopicRefused, MAX_PARTITIONS_PER_TOPIC, Metadata, Partition as PartitionSpec,
    TopicRef as ManagerTopicRef,
};
use manager::placement::PlacementError;
use manager::{ManagerClient, PartitionId, TopicId, TopicName};
use raft_core::{GroupId, NodeId};
use raft_net::{NodeHandle, Refusal};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use uuid::Uuid;

use super::leaders;
use super::produce::Producing;
use super::producer_ids::ProducerIds;
use super::registry::Registry;
use crate::kafka::{
    Backend, ClusterInfo, CreatedTopic, Intent, Leadership, NewTopic, PartitionError, PartitionRead, Pending,
    ProducerIdError, ProducerIdentity, TopicError, TopicInfo, TopicRef,
};
use crate::partition::Partition;
use crate::record::CheckedBatch;

/// How many replicas a partition gets when nobody says, given enough brokers.
const REPLICAS: usize = 3;

/// How many topics are created or deleted at once through this broker; more wait. See [`super::produce`] for why there
/// is a bound.
const CHANGES_AT_ONCE: usize = 64;

/// What a topic gets when its creator does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    /// How many partitions, at least 1.
    pub partitions: u32,
    /// Whether a topic is created when a client first asks for it.
    pub create_on_first_use: bool,
}

/// The broker behind the Kafka edge.
pub struct ClusterBackend {
    client: ManagerClient,
    registry: Arc<Registry>,
    producing: Producing,
    producer_ids: ProducerIds,
    changes: Semaphore,
    defaults: TopicDefaults,
}

impl ClusterBackend {
    /// A backend over this node.
    pub fn new(client: ManagerClient, registry: Arc<Registry>, defaults: TopicDefaults) -> Self {
        let producing = Producing::new(client.handle().clone());
        let changes = Semaphore::new(CHANGES_AT_ONCE);
        Self { client, registry, producing, producer_ids: ProducerIds::default(), changes, defaults }
    }

    fn handle(&self) -> &NodeHandle {
        self.client.handle()
    }

    fn metadata(&self) -> Arc<Metadata> {
        self.client.view().current()
    }

    fn live(&self) -> Vec<NodeId> {
        leaders::live(self.handle())
    }

    /// The brokers that could hold a replica now.
    fn live_brokers(&self) -> Vec<NodeId> {
        let metadata = self.metadata();
        self.live().into_iter().filter(|node| metadata.broker(*node).is_some()).collect()
    }

    fn not_leader(&self, group: GroupId) -> PartitionError {
        let leader = leaders::leader(self.handle(), group, &self.live());
        PartitionError::NotLeader { leader: leader.and_then(|(node, _)| leaders::broker_id(node)) }
    }

    /// The group of a partition and the partition itself, if it is hosted here.
    fn hosted(&self, topic: &str, partition: i32) -> Result<(GroupId, Partition), PartitionError> {
        let metadata = self.metadata();
        let number = PartitionId::from_kafka(partition).ok_or(PartitionError::Absent)?;
        let spec: &PartitionSpec =
            metadata.topic(topic).and_then(|topic| topic.partition(number)).ok_or(PartitionError::Absent)?;
        let hosted = self.registry.get(spec.group).ok_or_else(|| self.not_leader(spec.group))?;
        Ok((spec.group, hosted))
    }

    /// The groups of a topic's partitions; `None` when there is no such topic.
    fn groups(&self, topic: &str) -> Option<Vec<GroupId>> {
        let metadata = self.metadata();
        Some(metadata.topic(topic)?.partitions.iter().map(|partition| partition.group).collect())
    }

    /// How many replicas a partition gets when nobody says: never fewer because a broker happens to be away.
    fn usual_replicas(&self) -> usize {
        self.metadata().brokers().len().clamp(1, REPLICAS)
    }

    /// Waits until there are enough live brokers for a topic of the usual kind, or until the deadline.
    async fn wait_for_brokers(&self, deadline: Instant) {
        let mut changes = self.handle().changes();
        while self.live_brokers().len() < self.usual_replicas() {
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    fn counts(&self, topic: &NewTopic) -> Result<(u32, u16), TopicError> {
        let partitions = topic.partitions.unwrap_or(self.defaults.partitions);
        let limit = MAX_PARTITIONS_PER_TOPIC as u32;
        if partitions == 0 || partitions > limit {
            return Err(TopicError::IllegalPartitions { asked: partitions.into(), limit });
        }
        let live = self.live_brokers().len();
        let usual = u16::try_from(self.usual_replicas()).unwrap_or(1);
        let replicas = topic.replicas.unwrap_or(usual);
        if replicas == 0 || usize::from(replicas) > live {
            return Err(TopicError::IllegalReplicas { asked: replicas.into(), live });
        }
        Ok((partitions, replicas))
    }
}

impl Backend for ClusterBackend {
    type Partition = Partition;

    fn cluster(&self) -> ClusterInfo {
        leaders::cluster(&self.metadata(), self.handle())
    }

    fn topics(&self) -> BTreeMap<Arc<str>, Arc<TopicInfo>> {
        let (metadata, live) = (self.metadata(), self.live());
        let info = |topic: &Arc<manager::metadata::Topic>| {
            let info = leaders::topic(self.handle(), topic, &live);
            (info.name.clone(), info)
        };
        metadata.topics().map(info).collect()
    }

    fn topic(&self, name: &str) -> Option<Arc<TopicInfo>> {
        let metadata = self.metadata();
        metadata.topic(name).map(|topic| leaders::topic(self.handle(), topic, &self.live()))
    }

    fn topic_by_id(&self, id: Uuid) -> Option<Arc<TopicInfo>> {
        let metadata = self.metadata();
        metadata.topic_by_id(TopicId::new(id)).map(|topic| leaders::topic(self.handle(), topic, &self.live()))
    }

    async fn ensure_topic(&self, name: &str, patience: Duration) -> Result<Arc<TopicInfo>, TopicError> {
        let deadline = Instant::now() + patience;
        if self.groups(name).is_none() {
            if !self.defaults.create_on_first_use {
                return Err(TopicError::Absent { name: name.to_owned() });
            }
            self.wait_for_brokers(deadline).await;
            let topic = NewTopic { name: name.to_owned(), partitions: None, replicas: None };
            let patience = deadline.saturating_duration_since(Instant::now());
            match self.create_topic(topic, Intent::Do, patience).await {
                // Another client was first, or some partition has no leader yet: the topic is there.
                Ok(_) | Err(TopicError::Exists { .. } | TopicError::Unknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(groups) = self.groups(name) else { return Err(TopicError::Unknown { waited: patience }) };
        // Also without all leaders the topic is shown: the partitions that lack one say so.
        leaders::wait_for_leaders(self.handle(), &groups, deadline).await;
        self.topic(name).ok_or_else(|| TopicError::Absent { name: name.to_owned() })
    }

    async fn create_topic(
        &self,
        topic: NewTopic,
        intent: Intent,
        patience: Duration,
    ) -> Result<CreatedTopic, TopicError> {
        let deadline = Instant::now() + patience;
        let name = TopicName::new(topic.name.as_str()).map_err(|_| TopicError::IllegalName {
            name: topic.name.clone(),
            fault: "use 1 to 249 of: letters, digits, '.', '_' and '-'",
        })?;
        if self.metadata().topic(name.as_str()).is_some() {
            return Err(TopicError::Exists { name: topic.name });
        }
        let (partitions, replicas) = self.counts(&topic)?;
        if intent == Intent::Validate {
            return Ok(CreatedTopic { id: Uuid::nil(), partitions, replicas });
        }
        let turn = self.changes.acquire().await;
        let client = self.client.with_patience(deadline.saturating_duration_since(Instant::now()));
        let created = client
            .create_topic(name, partitions as usize, usize::from(replicas), &self.live_brokers())
            .await
            .map_err(|error| creation_error(&topic.name, replicas, patience, error))?;
        drop(turn);
        let groups: Vec<GroupId> = created.groups().collect();
        if !leaders::wait_for_leaders(self.handle(), &groups, deadline).await {
            return Err(TopicError::Unknown { waited: patience });
        }
        tracing::info!(topic = %topic.name, partitions, replicas, "create topic");
        Ok(CreatedTopic { id: created.id.as_uuid(), partitions, replicas })
    }

    async fn delete_topic(&self, topic: TopicRef, patience: Duration) -> Result<Arc<TopicInfo>, TopicError> {
        let info = match &topic {
            TopicRef::Name(name) => self.topic(name),
            TopicRef::Id(id) => self.topic_by_id(*id),
        };
        let absent = || match &topic {
            TopicRef::Name(name) => TopicError::Absent { name: name.clone() },
            TopicRef::Id(id) => TopicError::AbsentId { id: *id },
        };
        // What this node does not know may still be there: the managers decide, by the very id if there is one.
        let asked = match (&info, &topic) {
            (Some(info), _) => ManagerTopicRef::Id(TopicId::new(info.id)),
            (None, TopicRef::Id(id)) => ManagerTopicRef::Id(TopicId::new(*id)),
            (None, TopicRef::Name(name)) => {
                ManagerTopicRef::Name(TopicName::new(name.as_str()).map_err(|_| absent())?)
            }
        };
        let _turn = self.changes.acquire().await;
        let deleted = match self.client.with_patience(patience).delete_topic(asked).await {
            Ok(deleted) => deleted,
            Err(RequestError::Refused(DeleteTopicRefused::Unknown { .. })) => return Err(absent()),
            Err(error) => return Err(request_error(error, patience)),
        };
        tracing::info!(topic = %deleted.name, partitions = deleted.partitions, "delete topic");
        let gone = || TopicInfo {
            name: Arc::from(deleted.name.as_str()),
            id: deleted.id.as_uuid(),
            partitions: Vec::new(),
        };
        Ok(info.unwrap_or_else(|| Arc::new(gone())))
    }

    async fn start_produce(
        &self,
        topic: &str,
        partition: i32,
        batch: CheckedBatch,
        patience: Duration,
    ) -> Result<Pending, PartitionError> {
        let (group, hosted) = self.hosted(topic, partition)?;
        if let Leadership::Elsewhere { .. } = hosted.watch().borrow().leadership {
            return Err(self.not_leader(group));
        }
        self.producing.start(group, batch.into_bytes(), patience).await
    }

    fn partition(&self, topic: &str, partition: i32) -> Result<Partition, PartitionError> {
        self.hosted(topic, partition).map(|(_, hosted)| hosted)
    }

    async fn allocate_producer_id(&self) -> Result<ProducerIdentity, ProducerIdError> {
        self.producer_ids.next(&self.client).await
    }
}

fn creation_error(name: &str, replicas: u16, patience: Duration, error: CreateTopicError) -> TopicError {
    let asked = i64::from(replicas);
    match error {
        CreateTopicError::Placement(PlacementError::NotEnoughBrokers { live, .. }) => {
            TopicError::IllegalReplicas { asked, live }
        }
        CreateTopicError::Placement(_) => TopicError::IllegalReplicas { asked, live: 0 },
        CreateTopicError::Request(RequestError::Refused(refused)) => match refused {
            CreateTopicRefused::Exists { .. } => TopicError::Exists { name: name.to_owned() },
            CreateTopicRefused::PartitionCount { partitions } => TopicError::IllegalPartitions {
                asked: i64::try_from(partitions).unwrap_or(i64::MAX),
                limit: MAX_PARTITIONS_PER_TOPIC as u32,
            },
            CreateTopicRefused::ReplicaCount { .. } => TopicError::IllegalReplicas { asked, live: 0 },
            other => {
                tracing::warn!(topic = name, why = %other, "create topic: refused");
                TopicError::NoManagers
            }
        },
        CreateTopicError::Request(other) => request_error(other, patience),
        _ => TopicError::Unknown { waited: patience },
    }
}

fn request_error<R: std::fmt::Debug>(error: RequestError<R>, patience: Duration) -> TopicError {
    match error {
        RequestError::NotDone(Refusal::Stopping) => TopicError::Stopping,
        RequestError::NotDone(_) => TopicError::NoManagers,
        RequestError::Refused(refused) => {
            tracing::warn!(?refused, "the managers refused for a reason unknown here");
            TopicError::NoManagers
        }
        RequestError::Unknown(_) | RequestError::Unreadable { .. } => {
            TopicError::Unknown { waited: patience }
        }
    }
}
