//! Three managers and a standing learner in one process, over real sockets and real files.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use manager::client::{CreateTopicError, RequestError};
use manager::metadata::{
    Broker, CreateTopicRefused, DeleteTopicRefused, RegisterBrokerRefused, Registration, TopicRef,
};
use manager::serve::{Manager, ManagerConfig};
use manager::{HostPort, ManagerClient, Metadata, MetadataMachine, MetadataView, PeerList, TopicName};
use raft_core::{DiskId, GroupId, LogIndex, NodeId, ReplicaId};
use raft_net::{Membership, NodeConfig, NodeHandle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long anything may take. A test fails only here; none waits for time to pass.
const DEADLINE: Duration = Duration::from_secs(30);

struct Cluster {
    managers: PeerList,
    running: BTreeMap<NodeId, Manager>,
    dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let ports = free_ports(3);
        let pairs = (101..).map(NodeId::new).zip(ports.iter().map(|at| HostPort::try_from(*at).unwrap()));
        let managers = PeerList::new(pairs).unwrap();
        let mut cluster = Self { managers, running: BTreeMap::new(), dir: tempfile::tempdir().unwrap() };
        for id in 101..=103 {
            cluster.start_manager(NodeId::new(id)).await;
        }
        cluster
    }

    async fn start_manager(&mut self, id: NodeId) {
        let config = ManagerConfig {
            id,
            listen: self.managers.address(id).unwrap().to_string().parse().unwrap(),
            http: ([127, 0, 0, 1], 0).into(),
            managers: self.managers.clone(),
            dir: self.dir.path().join(format!("m{id}")),
            raft: raft_core::Options::default(),
        };
        self.running.insert(id, manager::serve::run(config).await.unwrap());
    }

    async fn stop_manager(&mut self, id: NodeId) {
        within(self.running.remove(&id).unwrap().stop()).await;
    }

    /// The leader, once all running managers agree on one that runs.
    async fn leader(&self) -> NodeId {
        let mut leaders = Vec::new();
        for manager in self.running.values() {
            let running = |id: &NodeId| self.running.contains_key(id);
            leaders.push(
                until(&manager.handle, |handle| handle.status(GroupId::ROOT)?.leader.filter(running)).await,
            );
        }
        leaders[0]
    }

    /// A manager that runs and does not lead.
    async fn follower(&self) -> &Manager {
        let leader = self.leader().await;
        self.running.iter().find(|(id, _)| **id != leader).unwrap().1
    }

    /// A broker's half of the metadata: a standing learner, with its client.
    async fn join(&self, id: u64) -> (NodeHandle, ManagerClient) {
        let (machine, view) = MetadataMachine::new();
        let config = NodeConfig {
            id: NodeId::new(id),
            listen: ([127, 0, 0, 1], 0).into(),
            dir: self.dir.path().join(format!("b{id}")),
            founders: self.managers.to_founders(),
            membership: Membership::Learner,
            admit_learners: false,
            raft: raft_core::Options::default(),
            wal: Default::default(),
        };
        let (handle, _) = raft_net::start(config, Box::new(machine)).await.unwrap();
        let client = ManagerClient::new(handle.clone(), view);
        (handle, client)
    }
}

/// Addresses that were free a moment ago: founders must know each other's before they start. They lie below the
/// ports that systems give out by themselves, so that nothing takes them while a manager is restarted.
fn free_ports(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + (std::process::id() % 10_000) as u16;
    let candidates =
        std::iter::repeat_with(|| 20_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    let free = candidates.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    free.filter(|address| TcpListener::bind(address).is_ok()).take(count).collect()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it is done within the deadline")
}

/// Waits until `look` finds something on the node's board.
async fn until<T>(handle: &NodeHandle, look: impl Fn(&NodeHandle) -> Option<T>) -> T {
    let mut changes = handle.changes();
    within(async {
        loop {
            if let Some(found) = look(handle) {
                return found;
            }
            changes.changed().await.expect("the node runs");
        }
    })
    .await
}

/// Waits until the view has seen the change at `index`.
async fn caught_up(view: &MetadataView, index: LogIndex) -> std::sync::Arc<Metadata> {
    within(view.clone().wait_for(|metadata| metadata.changed_at() >= index)).await.unwrap()
}

fn broker(id: u64) -> Broker {
    let address = |base: u16| HostPort::new("127.0.0.1", base + id as u16).unwrap();
    let replica = ReplicaId::new(NodeId::new(id), DiskId::new(0xd15c_0000 + u128::from(id)));
    Broker { replica, kafka: address(9091), peer: address(7000), registered_at: LogIndex::ZERO }
}

async fn register(
    client: &ManagerClient,
    broker: Broker,
) -> Result<Registration, RequestError<RegisterBrokerRefused>> {
    within(client.register_broker(broker.replica, broker.kafka, broker.peer)).await
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

async fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_manager_and_learner_comes_to_the_same_metadata() {
    let cluster = Cluster::start().await;
    let follower = cluster.follower().await.client();
    for id in 1..=3 {
        assert_eq!(register(&follower, broker(id)).await, Ok(Registration::New));
    }
    let wiped = Broker { replica: ReplicaId::new(NodeId::new(1), DiskId::new(7)), ..broker(1) };
    let refused = register(&follower, wiped).await.unwrap_err();
    assert!(matches!(refused, RequestError::Refused(RegisterBrokerRefused::OtherDisk { .. })), "{refused}");

    let (learner, client) = cluster.join(1).await;
    let live = [1, 2, 3].map(NodeId::new);
    let created = within(client.create_topic(name("lines"), 6, 3, &live)).await.unwrap();
    let topic = client.view().current().topic("lines").cloned().expect("the change is in the view");
    assert_eq!(
        created.groups().collect::<Vec<_>>(),
        topic.partitions.iter().map(|p| p.group).collect::<Vec<_>>()
    );
    for id in live {
        assert_eq!(topic.partitions.iter().filter(|p| p.preferred_leader() == Some(id)).count(), 2);
    }
    let again = within(client.create_topic(name("lines"), 6, 3, &live)).await.unwrap_err();
    let exists = CreateTopicRefused::Exists { name: name("lines"), id: created.id };
    assert_eq!(again, CreateTopicError::Request(RequestError::Refused(exists)));
    let few = within(client.create_topic(name("more"), 1, 3, &live[..2])).await.unwrap_err();
    assert!(matches!(few, CreateTopicError::Placement(_)), "{few}");

    let first = within(client.allocate_producer_ids(live[0])).await.unwrap();
    let second = within(follower.allocate_producer_ids(live[1])).await.unwrap();
    assert_eq!((first.ids(), second.ids()), (0..1000, 1000..2000));

    within(client.delete_topic(TopicRef::Id(created.id))).await.unwrap();
    let gone = within(client.delete_topic(TopicRef::Name(name("lines")))).await.unwrap_err();
    assert!(matches!(gone, RequestError::Refused(DeleteTopicRefused::Unknown { .. })), "{gone}");
    assert!(created.groups().all(|group| client.view().current().is_deleted(group)));

    let metadata = within(follower.read_current()).await.unwrap();
    for manager in cluster.running.values() {
        assert_eq!(caught_up(&manager.view, metadata.changed_at()).await.encode(), metadata.encode());
    }
    assert_eq!(caught_up(client.view(), metadata.changed_at()).await.encode(), metadata.encode());
    within(learner.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_on_without_the_leader_and_it_catches_up_when_it_returns() {
    let mut cluster = Cluster::start().await;
    assert_eq!(register(&cluster.follower().await.client(), broker(1)).await, Ok(Registration::New));
    let leader = cluster.leader().await;
    cluster.stop_manager(leader).await;
    assert_ne!(cluster.leader().await, leader);
    let survivor = cluster.running.values().next().unwrap().client();
    assert_eq!(register(&survivor, broker(2)).await, Ok(Registration::New));
    let metadata = within(survivor.read_current()).await.unwrap();
    assert_eq!(metadata.brokers().len(), 2);
    cluster.start_manager(leader).await;
    let returned = &cluster.running[&leader];
    assert_eq!(caught_up(&returned.view, metadata.changed_at()).await.encode(), metadata.encode());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_manager_alone_refuses_and_says_so_over_http() {
    let mut cluster = Cluster::start().await;
    let follower = cluster.follower().await.handle.id();
    let answer = http_get(cluster.running[&follower].http_addr, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let answer = http_get(cluster.running[&follower].http_addr, "/cluster").await;
    let leader = cluster.leader().await;
    assert!(answer.contains(&format!("\"leader\":{leader}")), "{answer}");

    let others: Vec<NodeId> = cluster.running.keys().copied().filter(|id| *id != follower).collect();
    for id in others {
        cluster.stop_manager(id).await;
    }
    let alone = &cluster.running[&follower];
    until(&alone.handle, |handle| handle.status(GroupId::ROOT)?.leader.is_none().then_some(())).await;
    let answer = http_get(alone.http_addr, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("no leader is known"), "{answer}");
    let client = alone.client().with_patience(Duration::from_millis(300));
    let error = register(&client, broker(1)).await.unwrap_err();
    assert!(!matches!(error, RequestError::Refused(_)), "{error}");
    assert!(within(client.read_current()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_managers_restarted_still_hold_what_they_acknowledged() {
    let mut cluster = Cluster::start().await;
    let client = cluster.follower().await.client();
    assert_eq!(register(&client, broker(1)).await, Ok(Registration::New));
    let created = within(client.create_topic(name("kept"), 2, 1, &[NodeId::new(1)])).await.unwrap();
    let ids: Vec<NodeId> = cluster.running.keys().copied().collect();
    for id in &ids {
        cluster.stop_manager(*id).await;
    }
    for id in &ids {
        cluster.start_manager(*id).await;
    }
    let client = cluster.follower().await.client();
    let metadata = within(client.read_current()).await.unwrap();
    assert_eq!(metadata.topic("kept").map(|topic| topic.id), Some(created.id));
}
