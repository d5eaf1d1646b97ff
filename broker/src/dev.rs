//! `broker dev`: a whole cluster in one process, to try things out and to test against.
//!
//! Three managers and three brokers as they would run apart, each with its own ports, node id and data directory;
//! only the process is shared. Everything a real cluster does, elections included, happens here too. What it does not
//! show is a machine that dies: stop one broker with [`DevCluster::stop_broker`] for something near it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use manager::serve::{Manager, ManagerConfig, ServeError};
use manager::{HostPort, PeerList};
use raft_core::NodeId;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::{DevArgs, Failure, Table};
use crate::cluster::{Broker, BrokerConfig, StartBrokerError, TopicDefaults};
use crate::serve::Signals;

/// How many managers and how many brokers there are.
const NODES: usize = 3;
/// After so long without being ready it says what it waits for.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Brokers are 1 to 3, managers 101 to 103.
const FIRST_BROKER: u64 = 1;
const FIRST_MANAGER: u64 = 101;

/// Where a cluster in one process listens: one port for each node, on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevPorts {
    /// Kafka ports of the brokers.
    pub kafka: [u16; NODES],
    /// Peer ports of the brokers.
    pub peers: [u16; NODES],
    /// Peer ports of the managers.
    pub managers: [u16; NODES],
    /// HTTP ports of the managers.
    pub http: [u16; NODES],
}

/// How to run a cluster in one process.
#[derive(Clone, Debug)]
pub struct DevConfig {
    /// Where it listens.
    pub ports: DevPorts,
    /// Where the data is kept; created when absent.
    pub data: PathBuf,
    /// Partitions of a topic whose creator does not say how many, at least 1.
    pub default_partitions: u32,
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevError {
    /// A port is taken.
    #[error("cannot listen on 127.0.0.1:{port} ({what}): {why}")]
    Port {
        /// Which.
        port: u16,
        /// What it is for.
        what: String,
        /// The flag that changes it.
        flag: &'static str,
        /// The system's reason.
        why: std::io::Error,
    },
    /// The list of managers makes no sense.
    #[error(transparent)]
    Managers(#[from] manager::peers::PeerListError),
    /// A manager did not start.
    #[error("manager {id}: {why}")]
    Manager {
        /// Which.
        id: u64,
        /// Why.
        why: ServeError,
    },
    /// A broker did not start.
    #[error("broker {id}: {why}")]
    Broker {
        /// Which.
        id: u64,
        /// Why.
        why: StartBrokerError,
    },
    /// The managers refuse a broker: the data directory was mixed up.
    #[error(transparent)]
    Refused(#[from] manager::metadata::RegisterBrokerRefused),
    /// It did not come up in time.
    #[error("the cluster was not ready within {0:?}")]
    NotReady(Duration),
}

/// A cluster in this process.
pub struct DevCluster {
    config: DevConfig,
    managers: Vec<Manager>,
    brokers: Vec<Option<Broker>>,
}

impl DevCluster {
    /// Starts a cluster and waits until all its brokers serve Kafka clients.
    ///
    /// # Errors
    /// See [`DevError`]; whatever had started is stopped again.
    pub async fn start(config: DevConfig) -> Result<Self, DevError> {
        config.ports.check().await?;
        let mut cluster = Self { config, managers: Vec::new(), brokers: Vec::new() };
        match cluster.start_all().await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.stop().await;
                Err(error)
            }
        }
    }

    async fn start_all(&mut self) -> Result<(), DevError> {
        for position in 0..NODES {
            let config = self.manager_config(position)?;
            let id = config.id.as_u64();
            let manager = manager::serve::run(config).await.map_err(|why| DevError::Manager { id, why })?;
            self.managers.push(manager);
        }
        for position in 0..NODES {
            let broker = self.start_broker_at(position).await?;
            self.brokers.push(Some(broker));
        }
        match tokio::time::timeout(READY_WITHIN, self.ready()).await {
            Ok(ready) => ready,
            Err(_) => Err(DevError::NotReady(READY_WITHIN)),
        }
    }

    /// Waits until each running broker serves, and sees all running ones.
    async fn ready(&self) -> Result<(), DevError> {
        let running: Vec<&Broker> = self.brokers.iter().flatten().collect();
        for broker in &running {
            broker.serving().await?;
        }
        let others: Vec<NodeId> = running.iter().map(|broker| broker.handle().id()).collect();
        for broker in running {
            let me = broker.handle().id();
            let mut changes = broker.handle().changes();
            let sees = |node: &NodeId| *node == me || broker.handle().live().contains(node);
            while !others.iter().all(sees) && changes.changed().await.is_ok() {}
        }
        Ok(())
    }

    fn manager_list(&self) -> Result<PeerList, DevError> {
        let pairs = (FIRST_MANAGER..)
            .zip(self.config.ports.managers)
            .filter_map(|(id, port)| Some((NodeId::new(id), HostPort::try_from(local(port)).ok()?)));
        Ok(PeerList::new(pairs)?)
    }

    fn manager_config(&self, position: usize) -> Result<ManagerConfig, DevError> {
        let id = FIRST_MANAGER + position as u64;
        Ok(ManagerConfig {
            id: NodeId::new(id),
            listen: local(self.config.ports.managers[position]),
            http: local(self.config.ports.http[position]),
            managers: self.manager_list()?,
            dir: self.config.data.join(format!("manager-{id}")),
            raft: raft_core::Options::default(),
        })
    }

    async fn start_broker_at(&self, position: usize) -> Result<Broker, DevError> {
        let id = FIRST_BROKER + position as u64;
        let config = BrokerConfig {
            id: NodeId::new(id),
            listen: local(self.config.ports.peers[position]),
            kafka: local(self.config.ports.kafka[position]),
            advertise: None,
            managers: self.manager_list()?,
            data: self.broker_data(position),
            defaults: TopicDefaults { partitions: self.config.default_partitions, create_on_first_use: true },
            raft: raft_core::Options::default(),
            wal: raft_wal::Options::default(),
        };
        Broker::start(config).await.map_err(|why| DevError::Broker { id, why })
    }

    /// The broker at this position, 0 to 2, unless it is stopped.
    pub fn broker(&self, position: usize) -> Option<&Broker> {
        self.brokers.get(position)?.as_ref()
    }

    /// The manager at this position, 0 to 2.
    pub fn manager(&self, position: usize) -> Option<&Manager> {
        self.managers.get(position)
    }

    /// The data directory of the broker at this position.
    pub fn broker_data(&self, position: usize) -> PathBuf {
        self.config.data.join(format!("broker-{}", FIRST_BROKER + position as u64))
    }

    /// Stops one broker; the others go on. Does nothing when it is stopped already.
    pub async fn stop_broker(&mut self, position: usize) {
        if let Some(broker) = self.brokers.get_mut(position).and_then(Option::take) {
            broker.stop().await;
        }
    }

    /// Starts a stopped broker again, with its data, and waits until it serves. Does nothing when it runs.
    ///
    /// # Errors
    /// See [`DevError`].
    pub async fn restart_broker(&mut self, position: usize) -> Result<(), DevError> {
        if position < self.brokers.len() && self.brokers[position].is_none() {
            let broker = self.start_broker_at(position).await?;
            self.brokers[position] = Some(broker);
            return match tokio::time::timeout(READY_WITHIN, self.ready()).await {
                Ok(ready) => ready,
                Err(_) => Err(DevError::NotReady(READY_WITHIN)),
            };
        }
        Ok(())
    }

    /// Waits until any of its nodes has ended by itself, which it does only when it cannot go on.
    pub async fn ended(&self) {
        let managers = self.managers.iter().map(|manager| manager.handle.clone());
        let brokers = self.brokers.iter().flatten().map(|broker| broker.handle().clone());
        let mut nodes = JoinSet::new();
        for handle in managers.chain(brokers) {
            let mut changes = handle.changes();
            nodes.spawn(async move { while changes.changed().await.is_ok() {} });
        }
        nodes.join_next().await;
    }

    /// Stops everything: brokers first, so that no client is told of a cluster that is going away.
    pub async fn stop(self) {
        for broker in self.brokers.into_iter().flatten() {
            broker.stop().await;
        }
        for manager in self.managers {
            manager.stop().await;
        }
    }

    /// Addresses of all nodes, and three lines to try.
    fn welcome(&self, data: &Path, is_kept: bool) -> String {
        let ports = &self.config.ports;
        let mut table = Table::new(["NODE", "KAFKA", "PEERS", "HTTP"]);
        for position in 0..NODES {
            let id = FIRST_BROKER + position as u64;
            let (kafka, peer) = (local(ports.kafka[position]), local(ports.peers[position]));
            table.row([format!("broker {id}"), kafka.to_string(), peer.to_string(), String::new()]);
        }
        for position in 0..NODES {
            let id = FIRST_MANAGER + position as u64;
            let (peer, http) =
                (local(ports.managers[position]), format!("http://{}", local(ports.http[position])));
            table.row([format!("manager {id}"), String::new(), peer.to_string(), http]);
        }
        let kafka = local(ports.kafka[0]);
        let fate = if is_kept { "kept" } else { "removed at the end; keep it with --data DIR" };
        let mut text = String::new();
        let _ = write!(
            text,
            "{table}\n\
             Data: {} ({fate})\n\n\
             Try, in another terminal:\n  \
             seq 1000 | kcat -P -b {kafka} -t lines -X enable.idempotence=true && kcat -C -b {kafka} -t lines -e\n  \
             python3 -c \"from kafka import KafkaProducer as P; p = P(bootstrap_servers='{kafka}'); \
             print(p.send('lines', b'hello').get(10))\"\n  \
             broker topic describe lines --bootstrap {kafka}\n\n\
             Topics are created on first use, with {} partitions. Ctrl-C stops everything.\n",
            data.display(),
            self.config.default_partitions,
        );
        text
    }
}

impl DevPorts {
    /// Twelve ports in a row, in the order of the fields.
    pub fn from_base(base: u16) -> Self {
        let three = |nth: u16| [0, 1, 2].map(|n| base.saturating_add(nth * 3 + n));
        Self { kafka: three(0), peers: three(1), managers: three(2), http: three(3) }
    }

    /// Twelve ports that were free a moment ago. They lie below those that systems give to outgoing connections, so
    /// that nothing takes them before the nodes do.
    ///
    /// # Errors
    /// When there are not so many.
    pub async fn free() -> std::io::Result<Self> {
        const RANGE: u16 = 10_000;
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let own = (std::process::id() % u32::from(RANGE)) as u16;
        let mut ports = [0; 4 * NODES];
        for port in &mut ports {
            let mut tried = 0;
            *port = loop {
                let candidate = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed) % RANGE) % RANGE;
                match TcpListener::bind(local(candidate)).await {
                    Ok(_) => break candidate,
                    Err(error) if tried == RANGE => return Err(error),
                    Err(_) => tried += 1,
                }
            };
        }
        let three = |nth: usize| [ports[nth * 3], ports[nth * 3 + 1], ports[nth * 3 + 2]];
        Ok(Self { kafka: three(0), peers: three(1), managers: three(2), http: three(3) })
    }

    /// Sees whether each port can be had, before anything starts.
    async fn check(&self) -> Result<(), DevError> {
        let kinds = [
            (self.kafka, "Kafka, broker", FIRST_BROKER, "--kafka-port"),
            (self.peers, "peers, broker", FIRST_BROKER, "--peer-port"),
            (self.managers, "peers, manager", FIRST_MANAGER, "--manager-port"),
            (self.http, "HTTP, manager", FIRST_MANAGER, "--http-port"),
        ];
        for (ports, what, first, flag) in kinds {
            for (id, port) in (first..).zip(ports) {
                if let Err(why) = TcpListener::bind(local(port)).await {
                    return Err(DevError::Port { port, what: format!("{what} {id}"), flag, why });
                }
            }
        }
        Ok(())
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Runs a cluster until SIGINT or SIGTERM; then it stops cleanly.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: DevArgs) -> Result<(), Failure> {
    let mut stop = Signals::listen()?;
    let (data, temporary) = data_dir(args.data.clone())?;
    let ports = ports(&args);
    let config = DevConfig { ports, data: data.clone(), default_partitions: args.default_partitions };
    let started = tokio::select! {
        started = DevCluster::start(config) => started?,
        () = stop.next() => return Ok(()),
    };
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, started.welcome(&data, temporary.is_none()).as_bytes())?;
    std::io::Write::flush(&mut out)?;
    drop(out);
    let ended = tokio::select! {
        () = stop.next() => Ok(()),
        () = started.ended() => Err(Failure::new("a node of the cluster stopped by itself").hint("its log says why")),
    };
    eprintln!("Stopping.");
    started.stop().await;
    if let Some(temporary) = temporary {
        temporary.close().map_err(|why| Failure::new(format!("cannot remove the temporary data: {why}")))?;
    }
    ended
}

fn ports(args: &DevArgs) -> DevPorts {
    if let Some(base) = args.base_port {
        return DevPorts::from_base(base);
    }
    let three = |first: u16| [0, 1, 2].map(|n| first.saturating_add(n));
    DevPorts {
        kafka: three(args.kafka_port),
        peers: three(args.peer_port),
        managers: three(args.manager_port),
        http: three(args.http_port),
    }
}

/// Where the data goes, and what removes it at the end unless it is to be kept.
fn data_dir(asked: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), Failure> {
    if let Some(data) = asked {
        return Ok((data, None));
    }
    let temporary = tempfile::Builder::new().prefix("broker-dev-").tempdir().map_err(|why| {
        Failure::new(format!("cannot make a temporary directory: {why}")).hint("name one with --data DIR")
    })?;
    Ok((temporary.path().to_path_buf(), Some(temporary)))
}

impl From<DevError> for Failure {
    fn from(error: DevError) -> Self {
        let failure = Failure::new(error.to_string());
        match error {
            DevError::Port { flag, .. } => failure.hint(format!(
                "stop what uses it, choose others with {flag} PORT, or move all twelve with --base-port PORT"
            )),
            DevError::Refused(_) => failure.hint("--data must be a directory that only `broker dev` wrote"),
            DevError::NotReady(_) => failure.hint("RUST_LOG=info broker dev tells more"),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_ports_in_a_row_are_told_apart() {
        let ports = DevPorts::from_base(20_000);
        let all: Vec<u16> = [ports.kafka, ports.peers, ports.managers, ports.http].concat();
        assert_eq!(all, (20_000..20_012).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_flag_that_changes_it() {
        let ports = DevPorts::free().await.expect("free ports");
        let _taken =
            TcpListener::bind(local(ports.http[1])).await.expect("a port that was free a moment ago");
        let Err(DevError::Port { port, what, flag, .. }) = ports.check().await else {
            panic!("a taken port went unnoticed");
        };
        assert_eq!((port, what.as_str(), flag), (ports.http[1], "HTTP, manager 102", "--http-port"));
    }
}
