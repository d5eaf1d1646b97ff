//! Typed requests to the managers, from any node that holds the metadata.
//!
//! A node that is still forming or joining the cluster waits for that first, within the client's patience.
//!
//! Every method ends in an answer that says whether something happened: done; refused, so that nothing happened;
//! or unknown, so that it may have. After an answer the local view ([`ManagerClient::view`]) holds the change.
//!
//! An unknown outcome must not be taken for a failure. Asking again is safe for registrations (the same twice
//! changes nothing) and for producer ids (a block is lost, none is given twice); creating or deleting a topic
//! again answers `Exists` or `Unknown` if the first attempt did happen.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, NodeId, ReplicaId};
use raft_net::{Consistency, Doubt, NodeHandle, Outcome, Refusal};
use tokio::time::{Instant, timeout_at};

use crate::address::HostPort;
use crate::machine::{MetadataView, Query};
use crate::metadata::{
    AllocateProducerIdsRefused, BrokerId, Command, CreateTopicRefused, DeleteTopicRefused,
    MAX_PARTITIONS_PER_TOPIC, MAX_REPLICAS, Metadata, ProducerIdBlock, RegisterBrokerRefused, Registration,
    Response, TopicCreated, TopicDeleted, TopicId, TopicName, TopicRef,
};
use crate::placement::{PlacementError, place};

/// How long a request is tried unless [`ManagerClient::with_patience`] says otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// The longest patience that is heeded, inclusive.
pub const MAX_PATIENCE: Duration = Duration::from_secs(3600);

/// Asks the managers for changes, and reads the metadata. Cheap to clone.
#[derive(Clone)]
pub struct ManagerClient {
    handle: NodeHandle,
    view: MetadataView,
    patience: Duration,
}

/// Why a change was not confirmed. `R` is why the managers would refuse it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError<R> {
    /// The managers decided against it. Nothing happened.
    #[error("{0}")]
    Refused(R),
    /// It did not come to a decision. Nothing happened, and it will not happen later.
    #[error("the managers were not asked: {0}")]
    NotDone(Refusal),
    /// It may have happened, or may still happen.
    #[error("{0}")]
    Unknown(Doubt),
    /// It was decided, but this version cannot read the answer: this node and the managers run different
    /// versions. What happened is unknown here.
    #[error(
        "unknown outcome: the managers' answer ({bytes} bytes) is of another version; run one version everywhere"
    )]
    Unreadable {
        /// The length of the answer.
        bytes: usize,
    },
}

impl CreateTopicError {
    /// Whether it is certain that nothing happened and nothing will.
    pub fn is_definite(&self) -> bool {
        match self {
            Self::Placement(_) | Self::Stale(_) => true,
            Self::Request(error) => error.is_definite(),
        }
    }
}

impl<R> RequestError<R> {
    /// Whether it is certain that nothing happened and nothing will.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NotDone(_))
    }
}

/// Why a topic's creation was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateTopicError {
    /// There is no place for it. Nothing happened.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Which brokers there are now could not be read, so nothing was placed and nothing happened.
    #[error("the topic was not created: {0}")]
    Stale(#[from] ReadError),
    /// See [`RequestError`].
    #[error(transparent)]
    Request(#[from] RequestError<CreateTopicRefused>),
}

/// Why the metadata could not be read as of now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nobody confirmed that the local copy is current.
    #[error("cannot tell whether this node's metadata is current: {0}")]
    Refused(Refusal),
    /// The confirmation did not come in time.
    #[error("cannot tell whether this node's metadata is current: {0}")]
    TimedOut(Doubt),
}

impl ManagerClient {
    /// A client over this node's handle and the view of the machine it runs as [`GroupId::ROOT`].
    pub fn new(handle: NodeHandle, view: MetadataView) -> Self {
        Self { handle, view, patience: DEFAULT_PATIENCE }
    }

    /// The same client with another patience: how long a request is tried before its outcome is given up on, at
    /// most [`MAX_PATIENCE`].
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self { patience: patience.min(MAX_PATIENCE), ..self.clone() }
    }

    /// The metadata as this node has applied it. For waiting, clone it.
    pub fn view(&self) -> &MetadataView {
        &self.view
    }

    /// The node's handle.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Makes a broker known, or its new addresses. Brokers do it on every start.
    ///
    /// # Errors
    /// [`RequestError`]; among the refusals: the broker is known with another disk.
    pub async fn register_broker(
        &self,
        replica: ReplicaId,
        kafka: HostPort,
        peer: HostPort,
    ) -> Result<Registration, RequestError<RegisterBrokerRefused>> {
        let outcome = self.submit(Command::RegisterBroker { replica, kafka, peer }).await;
        settle(outcome, |response| match response {
            Response::RegisterBroker(answer) => Some(answer),
            _ => None,
        })
    }

    /// Creates a topic whose replicas are placed over the registered brokers among `live` (by node id; nodes that
    /// are no brokers are skipped, and the asking broker must list itself). The metadata is made current first:
    /// a node that has just joined does not know the brokers yet.
    ///
    /// # Errors
    /// [`CreateTopicError`]. Counts out of bounds are refused here as the managers would refuse them.
    pub async fn create_topic(
        &self,
        name: TopicName,
        partitions: usize,
        replicas: usize,
        live: &[NodeId],
    ) -> Result<TopicCreated, CreateTopicError> {
        check_counts(partitions, replicas).map_err(RequestError::Refused)?;
        let metadata = self.read_current().await?;
        let id = TopicId::random();
        let (seed, _) = id.as_uuid().as_u64_pair();
        let assignments = place(partitions, replicas, &metadata.candidates(live), seed)?;
        Ok(self.create(name, id, assignments).await?)
    }

    /// Creates a topic with the replicas chosen by the caller: per partition its brokers, the preferred leader
    /// first.
    ///
    /// # Errors
    /// [`CreateTopicError`], but never about placement. A broker that is not registered is refused here.
    pub async fn create_topic_on(
        &self,
        name: TopicName,
        brokers: Vec<Vec<BrokerId>>,
    ) -> Result<TopicCreated, CreateTopicError> {
        if brokers.len() > MAX_PARTITIONS_PER_TOPIC {
            let refused = CreateTopicRefused::PartitionCount { partitions: brokers.len() };
            return Err(RequestError::Refused(refused).into());
        }
        let metadata = self.read_current().await?;
        let assignments = resolve(&metadata, &brokers).map_err(RequestError::Refused)?;
        Ok(self.create(name, TopicId::random(), assignments).await?)
    }

    /// Deletes a topic and, for ever, the data of its partitions.
    ///
    /// # Errors
    /// [`RequestError`]; among the refusals: there is no such topic.
    pub async fn delete_topic(
        &self,
        topic: TopicRef,
    ) -> Result<TopicDeleted, RequestError<DeleteTopicRefused>> {
        let outcome = self.submit(Command::DeleteTopic { topic }).await;
        settle(outcome, |response| match response {
            Response::DeleteTopic(answer) => Some(answer),
            _ => None,
        })
    }

    /// Takes the next block of producer ids for a registered broker.
    ///
    /// # Errors
    /// [`RequestError`]. After an unknown outcome take another block; the lost one is never used.
    pub async fn allocate_producer_ids(
        &self,
        broker: BrokerId,
    ) -> Result<ProducerIdBlock, RequestError<AllocateProducerIdsRefused>> {
        let outcome = self.submit(Command::AllocateProducerIds { broker }).await;
        settle(outcome, |response| match response {
            Response::AllocateProducerIds(answer) => Some(answer),
            _ => None,
        })
    }

    /// The metadata, at least as new as everything the managers had answered when this was called.
    ///
    /// # Errors
    /// When no leader confirmed that in time.
    pub async fn read_current(&self) -> Result<Arc<Metadata>, ReadError> {
        let ask = |patience| {
            self.handle.query(GroupId::ROOT, Query::Applied.encode(), Consistency::Linearizable, patience)
        };
        match self.once_formed(ask).await {
            // The query ran on this node's machine, which publishes before it answers.
            Outcome::Done(_) => Ok(self.view.current()),
            Outcome::Refused(refusal) => Err(ReadError::Refused(refusal)),
            Outcome::Unknown(doubt) => Err(ReadError::TimedOut(doubt)),
        }
    }

    async fn create(
        &self,
        name: TopicName,
        id: TopicId,
        assignments: Vec<Vec<ReplicaId>>,
    ) -> Result<TopicCreated, RequestError<CreateTopicRefused>> {
        let outcome = self.submit(Command::CreateTopic { name, id, assignments }).await;
        settle(outcome, |response| match response {
            Response::CreateTopic(answer) => Some(answer),
            _ => None,
        })
    }

    async fn submit(&self, command: Command) -> Outcome {
        let command = command.encode();
        self.once_formed(|patience| self.handle.submit(GroupId::ROOT, command.clone(), patience)).await
    }

    /// Asks, and asks again while the answer is that the cluster is not formed, or not joined, yet: a node that
    /// has just started is refused for that at once, and nothing was done.
    async fn once_formed<F: Future<Output = Outcome>>(&self, ask: impl Fn(Duration) -> F) -> Outcome {
        let deadline = Instant::now() + self.patience;
        let mut changes = self.handle.changes();
        loop {
            let outcome = ask(deadline.saturating_duration_since(Instant::now())).await;
            if !matches!(outcome, Outcome::Refused(Refusal::Forming { .. })) {
                return outcome;
            }
            match timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return outcome,
            }
        }
    }
}

/// Turns an outcome into the typed end of a request. `pick` takes the answer that belongs to the command.
fn settle<T, R>(
    outcome: Outcome,
    pick: impl FnOnce(Response) -> Option<Result<T, R>>,
) -> Result<T, RequestError<R>> {
    let bytes: Bytes = match outcome {
        Outcome::Done(bytes) => bytes,
        Outcome::Refused(refusal) => return Err(RequestError::NotDone(refusal)),
        Outcome::Unknown(doubt) => return Err(RequestError::Unknown(doubt)),
    };
    match Response::decode(&bytes).and_then(pick) {
        Some(answer) => answer.map_err(RequestError::Refused),
        None => Err(RequestError::Unreadable { bytes: bytes.len() }),
    }
}

/// Refuses counts that the managers would refuse, before anything is placed or allocated for them.
fn check_counts(partitions: usize, replicas: usize) -> Result<(), CreateTopicRefused> {
    if !(1..=MAX_PARTITIONS_PER_TOPIC).contains(&partitions) {
        return Err(CreateTopicRefused::PartitionCount { partitions });
    }
    if !(1..=MAX_REPLICAS).contains(&replicas) {
        return Err(CreateTopicRefused::ReplicaCount { partition: 0, replicas });
    }
    Ok(())
}

/// Adds to each broker the disk with which it is registered.
fn resolve(
    metadata: &Metadata,
    brokers: &[Vec<BrokerId>],
) -> Result<Vec<Vec<ReplicaId>>, CreateTopicRefused> {
    let of_partition = |(partition, brokers): (u32, &Vec<BrokerId>)| {
        if brokers.len() > MAX_REPLICAS {
            return Err(CreateTopicRefused::ReplicaCount { partition, replicas: brokers.len() });
        }
        let replica = |&broker| match metadata.broker(broker) {
            Some(known) => Ok(known.replica),
            None => Err(CreateTopicRefused::UnknownBroker { partition, broker }),
        };
        brokers.iter().map(replica).collect()
    };
    (0..).zip(brokers).map(of_partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::{apply_all, broker, register};

    fn pick(response: Response) -> Option<Result<ProducerIdBlock, AllocateProducerIdsRefused>> {
        match response {
            Response::AllocateProducerIds(answer) => Some(answer),
            _ => None,
        }
    }

    #[test]
    fn each_end_of_a_request_has_its_own_type() {
        let block = ProducerIdBlock { first: 1000 };
        let done = Outcome::Done(Response::AllocateProducerIds(Ok(block)).encode());
        assert_eq!(settle(done, pick), Ok(block));

        let refused = AllocateProducerIdsRefused::Exhausted;
        let outcome = Outcome::Done(Response::AllocateProducerIds(Err(refused.clone())).encode());
        assert_eq!(settle(outcome, pick), Err(RequestError::Refused(refused)));

        let outcome = Outcome::Refused(Refusal::NoMajority);
        assert_eq!(settle(outcome, pick), Err(RequestError::NotDone(Refusal::NoMajority)));

        let outcome = Outcome::Unknown(Doubt::LeaderChanged);
        assert_eq!(settle(outcome, pick), Err(RequestError::Unknown(Doubt::LeaderChanged)));
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_an_unknown_outcome_and_no_panic() {
        let other = Response::DeleteTopic(Ok(TopicDeleted {
            name: TopicName::new("t").unwrap(),
            id: TopicId::random(),
            partitions: 1,
        }));
        for bytes in
            [Bytes::new(), Bytes::from_static(b"\xff\xff"), Response::Malformed.encode(), other.encode()]
        {
            let error = settle(Outcome::Done(bytes.clone()), pick).unwrap_err();
            assert_eq!(error, RequestError::Unreadable { bytes: bytes.len() });
            assert!(!error.is_definite());
        }
    }

    #[test]
    fn absurd_counts_are_refused_before_anything_is_allocated_for_them() {
        assert!(matches!(check_counts(usize::MAX, 3), Err(CreateTopicRefused::PartitionCount { .. })));
        assert!(matches!(check_counts(0, 3), Err(CreateTopicRefused::PartitionCount { .. })));
        assert!(matches!(check_counts(1, 8), Err(CreateTopicRefused::ReplicaCount { .. })));
        assert_eq!(check_counts(MAX_PARTITIONS_PER_TOPIC, MAX_REPLICAS), Ok(()));
    }

    #[test]
    fn chosen_brokers_get_the_disks_they_are_registered_with() {
        let metadata = apply_all(&[register(1), register(2)]);
        let ids = |list: &[u64]| list.iter().map(|id| NodeId::new(*id)).collect::<Vec<_>>();
        let resolved = resolve(&metadata, &[ids(&[2, 1])]).unwrap();
        assert_eq!(resolved, [[broker(2).replica, broker(1).replica]]);
        let unknown = CreateTopicRefused::UnknownBroker { partition: 1, broker: NodeId::new(3) };
        assert_eq!(resolve(&metadata, &[ids(&[1]), ids(&[3])]), Err(unknown));
    }
}
