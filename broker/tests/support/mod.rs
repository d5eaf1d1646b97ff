//! A cluster in this process and a small Kafka client for it.
//!
//! Everything waits on conditions with a deadline; nothing sleeps for a while and hopes.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use broker::client::Client;
use broker::cluster::Broker;
use broker::dev::{DevCluster, DevConfig, DevPorts};
use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, InitProducerIdRequest, MetadataRequest,
    MetadataResponse, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// No condition is waited for longer.
pub const DEADLINE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(35);

/// Kafka's numbers of the errors that these tests meet.
pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub const TOPIC_ALREADY_EXISTS: i16 = 36;
pub const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Waits until no cluster of this test binary runs. Whoever starts a process without having a cluster needs it too: a
/// child has its parent's sockets for a moment, until it becomes another program, and a port that a cluster has just
/// found free would be taken.
pub fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running cluster, driven from a test that is not async itself.
pub struct Cluster {
    runtime: tokio::runtime::Runtime,
    running: Option<DevCluster>,
    config: DevConfig,
    dir: tempfile::TempDir,
    /// Clusters of one test binary take turns: six nodes each are enough for a small machine.
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Starts three managers and three brokers on free ports.
    pub fn start() -> Self {
        let turn = turn();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let ports = runtime.block_on(DevPorts::free()).expect("free ports");
        let config = DevConfig { ports, data: dir.path().to_path_buf(), default_partitions: 2 };
        let running = runtime.block_on(DevCluster::start(config.clone())).expect("a cluster");
        Self { runtime, running: Some(running), config, dir, _turn: turn }
    }

    fn running(&mut self) -> &mut DevCluster {
        self.running.as_mut().expect("the cluster runs")
    }

    /// Kafka address of the broker with this id, 1 to 3.
    pub fn kafka(&self, id: i32) -> String {
        format!("127.0.0.1:{}", self.config.ports.kafka[id as usize - 1])
    }

    /// Data directory of the broker with this id.
    pub fn data(&self, id: i32) -> std::path::PathBuf {
        self.dir.path().join(format!("broker-{id}"))
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn stop_broker(&mut self, id: i32) {
        let running = self.running.as_mut().expect("the cluster runs");
        self.runtime.block_on(running.stop_broker(id as usize - 1));
    }

    pub fn restart_broker(&mut self, id: i32) {
        let running = self.running.as_mut().expect("the cluster runs");
        self.runtime.block_on(running.restart_broker(id as usize - 1)).expect("the broker comes back");
    }

    /// Stops all six nodes and starts them again with their data.
    pub fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
        self.running =
            Some(self.runtime.block_on(DevCluster::start(self.config.clone())).expect("a cluster"));
    }

    /// Does something with a running broker from within.
    pub fn on_broker(&self, id: i32, work: impl AsyncFnOnce(&Broker)) {
        let broker = self.running.as_ref().and_then(|running| running.broker(id as usize - 1));
        self.runtime.block_on(work(broker.expect("the broker runs")));
    }

    /// The ids of the brokers that run.
    pub fn brokers(&mut self) -> Vec<i32> {
        (1..=3).filter(|id| self.running().broker(*id as usize - 1).is_some()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

/// Tries until there is an answer.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn client(address: &str) -> Client {
    Client::connect(address, PATIENCE).expect("a broker answers")
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

pub fn metadata(address: &str, topics: Option<&[&str]>, may_create: bool) -> MetadataResponse {
    let wanted = |topic: &&str| MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default()
        .with_topics(topics.map(|topics| topics.iter().map(wanted).collect()))
        .with_allow_auto_topic_creation(may_create);
    client(address).call(&request, 9).expect("metadata")
}

/// The topic as this broker shows it, once each of its partitions has a leader among the live brokers.
pub fn led_topic(address: &str, topic: &str) -> MetadataResponseTopic {
    until(&format!("a leader for each partition of {topic}"), || {
        let shown = metadata(address, Some(&[topic]), false).topics.into_iter().next()?;
        let led = shown.error_code == 0 && shown.partitions.iter().all(|partition| partition.leader_id.0 > 0);
        led.then_some(shown)
    })
}

/// The id of the broker that leads a partition.
pub fn leader(address: &str, topic: &str, partition: i32) -> i32 {
    let shown = led_topic(address, topic);
    let partition = shown.partitions.iter().find(|shown| shown.partition_index == partition);
    partition.expect("the partition is shown").leader_id.0
}

/// Creates a topic and answers the error number, 0 for none.
pub fn create_topic(address: &str, topic: &str, partitions: i32, replicas: i16) -> i16 {
    let new = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas);
    let request = CreateTopicsRequest::default().with_topics(vec![new]).with_timeout_ms(30_000);
    let response = client(address).call(&request, 5).expect("an answer");
    response.topics[0].error_code
}

/// Deletes a topic and answers the error number, 0 for none.
pub fn delete_topic(address: &str, topic: &str) -> i16 {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name(topic)]).with_timeout_ms(30_000);
    client(address).call(&request, 4).expect("an answer").responses[0].error_code
}

/// An idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

impl Producer {
    /// Gets an id from this broker.
    pub fn new(address: &str) -> Self {
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(0);
        let response = until("a producer id", || {
            let response = client(address).call(&request, 4).expect("an answer");
            (response.error_code == 0).then_some(response)
        });
        Self { id: response.producer_id.0, epoch: response.producer_epoch }
    }

    /// The batch that holds these lines, the first one with this sequence number.
    pub fn batch(self, sequence: i32, lines: &[&str]) -> Bytes {
        let records: Vec<Record> =
            (0..).zip(lines).map(|(at, line)| self.record(sequence, at, line)).collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, records.iter(), &options).expect("records are encoded");
        bytes.freeze()
    }

    fn record(self, sequence: i32, at: i32, line: &str) -> Record {
        Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: self.id,
            producer_epoch: self.epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(at),
            sequence: sequence.wrapping_add(at),
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(Bytes::copy_from_slice(line.as_bytes())),
            headers: IndexMap::new(),
        }
    }
}

/// Sends a batch to this broker with acks=all: the base offset, or the error number.
pub fn produce(address: &str, topic: &str, partition: i32, batch: Bytes) -> Result<i64, i16> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let data = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data]);
    let Ok(response) = client(address).call(&request, 9) else { return Err(-1) };
    let answer = &response.responses[0].partition_responses[0];
    if answer.error_code == 0 { Ok(answer.base_offset) } else { Err(answer.error_code) }
}

/// Sends a batch to whoever leads, again and again until it is acknowledged or refused for good, as clients do.
pub fn produce_to_leader(bootstrap: &str, topic: &str, partition: i32, batch: &Bytes) -> Result<i64, i16> {
    until("an acknowledged batch", || {
        let leader = leader(bootstrap, topic, partition);
        let shown = metadata(bootstrap, Some(&[topic]), false);
        let leader = shown.brokers.iter().find(|broker| broker.node_id.0 == leader)?;
        let address = format!("{}:{}", leader.host, leader.port);
        if Client::connect(&address, PATIENCE).is_err() {
            return None;
        }
        match produce(&address, topic, partition, batch.clone()) {
            Err(error) if error != OUT_OF_ORDER_SEQUENCE_NUMBER => None,
            ended => Some(ended),
        }
    })
}

/// The lines of a partition from an offset on, with their offsets, as the leader answers once; or the error number.
pub fn fetch(address: &str, topic: &str, partition: i32, from: i64) -> Result<Vec<(i64, String)>, i16> {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    let wanted = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(100)
        .with_min_bytes(1)
        .with_max_bytes(1 << 24)
        .with_session_epoch(-1)
        .with_topics(vec![wanted]);
    let response = client(address).call(&request, 11).expect("an answer");
    let answer = &response.responses[0].partitions[0];
    if answer.error_code != 0 {
        return Err(answer.error_code);
    }
    let mut bytes = answer.records.clone().unwrap_or_default();
    let sets = RecordBatchDecoder::decode_all(&mut bytes).expect("whole batches");
    let line = |record: Record| {
        let value = record.value.unwrap_or_default();
        (record.offset, String::from_utf8_lossy(&value).into_owned())
    };
    let lines = sets.into_iter().flat_map(|set| set.records).map(line);
    Ok(lines.filter(|(offset, _)| *offset >= from).collect())
}

/// All lines of a partition, with their offsets, up to `end` (exclusive).
pub fn read_all(bootstrap: &str, topic: &str, partition: i32, end: i64) -> Vec<(i64, String)> {
    let mut all: Vec<(i64, String)> = Vec::new();
    until("all lines", || {
        let leader = leader(bootstrap, topic, partition);
        let shown = metadata(bootstrap, None, false);
        let leader = shown.brokers.iter().find(|broker| broker.node_id.0 == leader)?;
        let next = all.last().map_or(0, |(offset, _)| offset + 1);
        let address = format!("{}:{}", leader.host, leader.port);
        all.extend(fetch(&address, topic, partition, next).unwrap_or_default());
        all.last().is_some_and(|(offset, _)| offset + 1 >= end).then_some(())
    });
    all
}
