//! A broker in memory for tests: one node, no Raft, commits when the test says so.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::backend::*;
use crate::record::{BatchHeader, Batches, CheckedBatch, LeaderEpoch, Offset, patch};

/// When batches are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    /// As soon as they are handed over.
    AtOnce,
    /// When the test calls [`FakeBroker::commit_one`].
    Held,
}

type Waiting =
    (Result<Produced, PartitionError>, FakePartition, oneshot::Sender<Result<Produced, PartitionError>>);

type Topics = BTreeMap<Arc<str>, (Arc<TopicInfo>, Vec<FakePartition>)>;

/// The broker.
pub(crate) struct FakeBroker {
    topics: Mutex<Topics>,
    /// Appended and not committed, in the order in which they were handed over.
    waiting: Mutex<Vec<Waiting>>,
    /// How many batches have been handed over.
    pub(crate) started: watch::Sender<usize>,
    commits: Commits,
    pub(crate) creates_topics: bool,
    next_producer: Mutex<i64>,
}

/// One partition.
#[derive(Clone)]
pub(crate) struct FakePartition {
    state: Arc<Mutex<Log>>,
    /// Gone when the topic is deleted.
    view: Arc<Mutex<Option<watch::Sender<PartitionView>>>>,
    /// Never waited on: others are copies of it.
    watch: watch::Receiver<PartitionView>,
}

#[derive(Default)]
struct Log {
    batches: Vec<Bytes>,
    end: Offset,
}

pub(crate) fn epoch(number: i32) -> LeaderEpoch {
    LeaderEpoch::from_wire(number).expect("not negative")
}

pub(crate) fn broker(id: i32) -> BrokerId {
    BrokerId::new(id).expect("not negative")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeBroker {
    pub(crate) fn new(commits: Commits) -> Self {
        Self {
            topics: Mutex::default(),
            waiting: Mutex::default(),
            started: watch::Sender::new(0),
            commits,
            creates_topics: false,
            next_producer: Mutex::new(1000),
        }
    }

    /// With topic `lines` of two partitions, led here in epoch 3.
    pub(crate) fn with_lines(commits: Commits) -> Arc<Self> {
        let broker = Self::new(commits);
        broker.add_topic("lines", 2);
        Arc::new(broker)
    }

    pub(crate) fn add_topic(&self, name: &str, partitions: u32) -> Arc<TopicInfo> {
        let leader = Some((broker(1), epoch(3)));
        let info = PartitionInfo { leader, replicas: vec![broker(1), broker(2)], in_sync: vec![broker(1)] };
        let partitions: Vec<_> = (0..partitions).map(|_| FakePartition::new()).collect();
        let info =
            TopicInfo { name: name.into(), id: Uuid::new_v4(), partitions: vec![info; partitions.len()] };
        let info = Arc::new(info);
        lock(&self.topics).insert(name.into(), (info.clone(), partitions));
        info
    }

    pub(crate) fn lines(&self, partition: i32) -> FakePartition {
        self.partition("lines", partition).expect("topic lines is there")
    }

    /// Commits the oldest batch not committed yet.
    pub(crate) fn commit_one(&self) {
        let (end, partition, answer) = lock(&self.waiting).remove(0);
        if end.is_ok() {
            partition.commit();
        }
        let _ = answer.send(end);
    }

    pub(crate) async fn until_started(&self, count: usize) {
        self.started.subscribe().wait_for(|started| *started >= count).await.expect("the broker lives");
    }
}

impl FakePartition {
    fn new() -> Self {
        let view = PartitionView {
            leadership: Leadership::Serving(epoch(3)),
            log_start: Offset::ZERO,
            high_watermark: Offset::ZERO,
        };
        let (view, watch) = watch::channel(view);
        Self { state: Arc::default(), view: Arc::new(Mutex::new(Some(view))), watch }
    }

    /// Appends a batch in epoch `leader_epoch`; returns its base offset.
    pub(crate) fn append(&self, batch: Bytes, leader_epoch: i32) -> Offset {
        let mut log = lock(&self.state);
        let base = log.end;
        let batch = patch(batch, base, epoch(leader_epoch)).expect("a whole header");
        let header = BatchHeader::parse(&batch).expect("a header");
        log.end = base.plus(header.record_count.unsigned_abs());
        log.batches.push(batch);
        base
    }

    /// Makes all that is appended visible.
    pub(crate) fn commit(&self) {
        let end = lock(&self.state).end;
        self.change(|view| view.high_watermark = end);
    }

    pub(crate) fn lead(&self, leadership: Leadership) {
        self.change(|view| view.leadership = leadership);
    }

    fn change(&self, change: impl FnOnce(&mut PartitionView)) {
        if let Some(view) = &*lock(&self.view) {
            view.send_modify(change);
        }
    }

    /// As when its topic is deleted.
    pub(crate) fn delete(&self) {
        lock(&self.view).take();
    }

    pub(crate) fn batches(&self) -> Vec<Bytes> {
        lock(&self.state).batches.clone()
    }

    /// Ends when one more request than now waits for a change of this partition.
    pub(crate) fn one_more_waits(&self) -> impl Future<Output = ()> {
        let view = self.view.clone();
        let receivers = move || lock(&view).as_ref().map_or(0, watch::Sender::receiver_count);
        // A request that waits holds its handle's copy, its own, and the one it waits on.
        let enough = receivers() + 3;
        async move {
            while receivers() < enough {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl PartitionRead for FakePartition {
    fn watch(&self) -> watch::Receiver<PartitionView> {
        self.watch.clone()
    }

    async fn read(&self, from: Offset, limit: ReadLimit) -> Result<Vec<Bytes>, PartitionError> {
        let high_watermark = self.watch.borrow().high_watermark;
        let mut found = Vec::new();
        let mut bytes = 0;
        for run in self.batches() {
            let batch = Batches::new(run).next().expect("one").expect("whole");
            if batch.end_offset() <= from || batch.base_offset() >= high_watermark {
                continue;
            }
            bytes += batch.bytes().len();
            let fits = match limit {
                ReadLimit::AtMost(most) => bytes <= most,
                ReadLimit::AtLeastOneBatch(most) => found.is_empty() || bytes <= most,
            };
            if !fits {
                break;
            }
            found.push(batch.bytes().clone());
        }
        Ok(found)
    }
}

impl Backend for FakeBroker {
    type Partition = FakePartition;

    fn cluster(&self) -> ClusterInfo {
        let address =
            |id: i32| BrokerAddress { id: broker(id), host: format!("b{id}"), port: 9091 + id as u16 };
        let brokers = vec![address(1), address(2)];
        ClusterInfo { cluster_id: "fake".to_owned(), controller: Some(broker(2)), brokers }
    }

    fn topics(&self) -> BTreeMap<Arc<str>, Arc<TopicInfo>> {
        lock(&self.topics).iter().map(|(name, (info, _))| (name.clone(), info.clone())).collect()
    }

    fn topic(&self, name: &str) -> Option<Arc<TopicInfo>> {
        lock(&self.topics).get(name).map(|(info, _)| info.clone())
    }

    fn topic_by_id(&self, id: Uuid) -> Option<Arc<TopicInfo>> {
        lock(&self.topics).values().find(|(info, _)| info.id == id).map(|(info, _)| info.clone())
    }

    async fn ensure_topic(&self, name: &str, _patience: Duration) -> Result<Arc<TopicInfo>, TopicError> {
        if self.creates_topics {
            Ok(self.topic(name).unwrap_or_else(|| self.add_topic(name, 1)))
        } else {
            Err(TopicError::Absent { name: name.to_owned() })
        }
    }

    async fn create_topic(
        &self,
        topic: NewTopic,
        intent: Intent,
        _patience: Duration,
    ) -> Result<CreatedTopic, TopicError> {
        if self.topic(&topic.name).is_some() {
            return Err(TopicError::Exists { name: topic.name });
        }
        let (partitions, replicas) = (topic.partitions.unwrap_or(1), topic.replicas.unwrap_or(2));
        if replicas > 2 {
            return Err(TopicError::IllegalReplicas { asked: replicas.into(), live: 2 });
        }
        let id = match intent {
            Intent::Do => self.add_topic(&topic.name, partitions).id,
            Intent::Validate => Uuid::nil(),
        };
        Ok(CreatedTopic { id, partitions, replicas })
    }

    async fn delete_topic(&self, topic: TopicRef, _patience: Duration) -> Result<Arc<TopicInfo>, TopicError> {
        let found = match &topic {
            TopicRef::Name(name) => self.topic(name).ok_or(TopicError::Absent { name: name.clone() })?,
            TopicRef::Id(id) => self.topic_by_id(*id).ok_or(TopicError::AbsentId { id: *id })?,
        };
        lock(&self.topics).remove(&found.name);
        Ok(found)
    }

    async fn start_produce(
        &self,
        topic: &str,
        partition: i32,
        batch: CheckedBatch,
        _patience: Duration,
    ) -> Result<Pending, PartitionError> {
        let partition = self.partition(topic, partition)?;
        let view = *partition.watch().borrow();
        let leader_epoch = view.serving()?;
        let base_offset = partition.append(batch.into_bytes(), leader_epoch.as_i32());
        let (answer, end) = oneshot::channel();
        lock(&self.waiting).push((
            Ok(Produced { base_offset, log_start: view.log_start }),
            partition,
            answer,
        ));
        self.started.send_modify(|started| *started += 1);
        if self.commits == Commits::AtOnce {
            self.commit_one();
        }
        Ok(Box::pin(async move { end.await.unwrap_or(Err(PartitionError::Unknown)) }))
    }

    fn partition(&self, topic: &str, partition: i32) -> Result<FakePartition, PartitionError> {
        let topics = lock(&self.topics);
        let (_, partitions) = topics.get(topic).ok_or(PartitionError::Absent)?;
        let index = usize::try_from(partition).map_err(|_| PartitionError::Absent)?;
        partitions.get(index).cloned().ok_or(PartitionError::Absent)
    }

    async fn allocate_producer_id(&self) -> Result<ProducerIdentity, ProducerIdError> {
        let mut next = lock(&self.next_producer);
        *next += 1;
        Ok(ProducerIdentity { id: *next, epoch: 0 })
    }
}
