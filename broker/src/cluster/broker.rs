//! One broker, running: started and stopped as a whole.
//!
//! Ports are bound before anything else, so that a taken one is said at once. Kafka clients are served from the
//! moment the broker stands in its own copy of the metadata; until then their connections wait.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use manager::metadata::RegisterBrokerRefused;
use manager::{HostPort, ManagerClient, MetadataMachine, MetadataView, PeerList};
use raft_core::{NodeId, ReplicaId};
use raft_net::{Membership, NodeConfig, NodeHandle, StartError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::backend::{ClusterBackend, TopicDefaults};
use super::join::{self, Introduction};
use super::reconcile::Reconciler;
use super::registry::Registry;

/// How long a stopping broker waits for its last answers to leave.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How to run a broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Its node id, at most [`manager::metadata::MAX_BROKER_ID`].
    pub id: NodeId,
    /// Where it listens for other nodes. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it listens for Kafka clients. Port 0 takes a free one.
    pub kafka: SocketAddr,
    /// What Kafka clients are told to connect to; `None` for where it listens.
    pub advertise: Option<HostPort>,
    /// The managers and their peer addresses.
    pub managers: PeerList,
    /// Its data directory; created when absent.
    pub data: PathBuf,
    /// What a topic gets when its creator does not say.
    pub defaults: TopicDefaults,
    /// Times and windows of all its groups.
    pub raft: raft_core::Options,
    /// Sizes of its log.
    pub wal: raft_wal::Options,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartBrokerError {
    /// The Kafka address could not be bound.
    #[error("cannot listen for Kafka clients on {address}: {why}")]
    Kafka {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        why: std::io::Error,
    },
    /// It listens on all addresses, so there is none to tell to others.
    #[error("{address} is no address that others can connect to")]
    Unreachable {
        /// The address.
        address: SocketAddr,
    },
    /// The node did not start.
    #[error(transparent)]
    Node(#[from] StartError),
}

/// A running broker. Dropping it without [`Broker::stop`] leaves it running until the runtime stops.
pub struct Broker {
    client: ManagerClient,
    replica: ReplicaId,
    peer: SocketAddr,
    kafka: SocketAddr,
    registry: Arc<Registry>,
    backend: Arc<ClusterBackend>,
    refused: watch::Receiver<Option<RegisterBrokerRefused>>,
    is_serving: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
    /// The task that serves Kafka clients; ends by itself after `stopping`.
    serving: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker. Returns once its log is recovered and its ports are bound; joining the cluster goes on behind.
    ///
    /// # Errors
    /// See [`StartBrokerError`]; nothing runs then.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartBrokerError> {
        let listener = bind(config.kafka).await?;
        let kafka =
            listener.local_addr().map_err(|why| StartBrokerError::Kafka { address: config.kafka, why })?;
        let advertised = match config.advertise {
            Some(advertised) => advertised,
            None => reachable(kafka)?,
        };
        reachable(config.listen)?;
        let (machine, view) = MetadataMachine::new();
        let node = NodeConfig {
            id: config.id,
            listen: config.listen,
            dir: config.data,
            founders: config.managers.to_founders(),
            membership: Membership::Learner,
            admit_learners: true,
            raft: config.raft,
            wal: config.wal,
        };
        let (handle, peer) = raft_net::start(node, Box::new(machine)).await?;
        let replica = handle.replica();
        let introduction = Introduction { replica, kafka: advertised, peer: reachable(peer)? };
        let client = ManagerClient::new(handle.clone(), view.clone());
        let registry = Arc::new(Registry::default());
        let backend = Arc::new(ClusterBackend::new(client.clone(), registry.clone(), config.defaults));

        let (refused_sender, refused) = watch::channel(None);
        let (serving_sender, is_serving) = watch::channel(false);
        let (stopping, stop) = watch::channel(false);
        let reconciler = Reconciler::new(replica, handle, view.clone(), registry.clone());
        let serving =
            serve_once_known(view, introduction.clone(), listener, backend.clone(), serving_sender, stop);
        let tasks = vec![
            tokio::spawn(reconciler.run()),
            tokio::spawn(join(client.clone(), introduction, refused_sender)),
        ];
        let serving = tokio::spawn(serving);
        Ok(Self {
            client,
            replica,
            peer,
            kafka,
            registry,
            backend,
            refused,
            is_serving,
            stopping,
            serving,
            tasks,
        })
    }

    /// Where it really listens for Kafka clients.
    pub fn kafka(&self) -> SocketAddr {
        self.kafka
    }

    /// Where it really listens for other nodes.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Its node and disk.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Its node.
    pub fn handle(&self) -> &NodeHandle {
        self.client.handle()
    }

    /// Its copy of the metadata.
    pub fn metadata(&self) -> &MetadataView {
        self.client.view()
    }

    /// What its Kafka edge asks.
    pub fn backend(&self) -> &Arc<ClusterBackend> {
        &self.backend
    }

    /// The partitions it hosts.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Waits until Kafka clients are served.
    ///
    /// # Errors
    /// When the managers refuse this broker; it then runs on without ever serving.
    pub async fn serving(&self) -> Result<(), RegisterBrokerRefused> {
        let mut is_serving = self.is_serving.clone();
        tokio::select! {
            refused = self.refused() => Err(refused),
            _ = is_serving.wait_for(|serving| *serving) => Ok(()),
        }
    }

    /// Waits until the managers refuse this broker: usually for ever.
    pub async fn refused(&self) -> RegisterBrokerRefused {
        let mut refused = self.refused.clone();
        if let Ok(reason) = refused.wait_for(Option::is_some).await
            && let Some(reason) = reason.clone()
        {
            return reason;
        }
        std::future::pending().await
    }

    /// Waits until the node has ended by itself, which it does only when it cannot go on; its log says why.
    pub async fn ended(&self) {
        let mut changes = self.handle().changes();
        while changes.changed().await.is_ok() {}
    }

    /// Stops it: no more requests are taken, those taken are answered if that does not take long, and what is on
    /// its way to the disk gets there.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        let mut serving = self.serving;
        if tokio::time::timeout(LAST_ANSWERS, &mut serving).await.is_err() {
            serving.abort();
        }
        self.client.handle().stop().await;
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartBrokerError> {
    TcpListener::bind(address).await.map_err(|why| StartBrokerError::Kafka { address, why })
}

/// An address as others may be told it.
fn reachable(address: SocketAddr) -> Result<HostPort, StartBrokerError> {
    if address.ip().is_unspecified() {
        return Err(StartBrokerError::Unreachable { address });
    }
    // Port 0 is replaced by a real one when it is bound; only the host matters here then.
    let port = address.port().max(1);
    HostPort::new(address.ip().to_string(), port).map_err(|_| StartBrokerError::Unreachable { address })
}

async fn join(
    client: ManagerClient,
    introduction: Introduction,
    refused: watch::Sender<Option<RegisterBrokerRefused>>,
) {
    if let Err(reason) = join::register(&client, &introduction).await {
        tracing::error!(%reason, "join: the managers refuse this broker");
        refused.send_replace(Some(reason));
    }
    // Whoever waits for a refusal goes on waiting.
    refused.closed().await;
}

async fn serve_once_known(
    mut view: MetadataView,
    introduction: Introduction,
    listener: TcpListener,
    backend: Arc<ClusterBackend>,
    is_serving: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
) {
    let Introduction { replica, kafka, .. } = introduction;
    let known = view.wait_for(|metadata| {
        metadata.broker(replica.node).is_some_and(|broker| broker.replica == replica && broker.kafka == kafka)
    });
    let mut stopped = stop.clone();
    tokio::select! {
        known = known => if known.is_err() { return },
        _ = stopped.wait_for(|stop| *stop) => return,
    }
    is_serving.send_replace(true);
    crate::kafka::serve(listener, backend, stop).await;
}
