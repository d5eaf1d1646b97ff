//! The thin tokio runtime around the sans-IO [`Node`]: sockets, a thread for the disk, and the time.
//!
//! One task owns the node ([`driver`]). Around it: a listener and a task for each peer that is called
//! ([`listener`], [`dial`]), a reader and a writer for each connection ([`link`]), and one thread that does what
//! the log asks of the disk ([`disk`]). It decides nothing about Raft; a simulator drives the same node with other
//! surroundings.
//!
//! Invariant: between any two of these stands a queue with a bound. Towards the node a full queue makes senders
//! wait; towards a peer it drops frames, which Raft sends again.

mod counters;
mod dial;
mod disk;
mod driver;
mod greet;
mod link;
mod listener;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use raft_core::{GroupId, NodeId, ReplicaId};
use raft_wal::Wal;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::Instrument;
use uuid::Uuid;

pub use counters::{Counters, Counts};
pub use disk::{DiskFailure, DiskHooks};

use crate::formation::{self, Formation};
use crate::handle::{Board, NodeHandle, OpenGroupError};
use crate::handshake::{Hello, Policy, Purpose, founders_digest};
use crate::machine::StateMachine;
use crate::node::{Limits, Node, NodeOptions};

use driver::Driver;
use shared::Shared;

/// Asks that wait for the node's task; callers beyond it wait their turn.
const ASKS: usize = 1024;
/// Frames and news of connections that wait for the node's task.
const EVENTS: usize = 4096;

/// How this node belongs to the root group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// One of the listed voters: forms the cluster with the others on first start.
    Founder,
    /// A standing learner: joins the cluster that the listed voters formed.
    Learner,
}

/// How to run a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node's id, unique in the cluster.
    pub id: NodeId,
    /// Where it listens for peers. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its data directory; created when absent.
    pub dir: PathBuf,
    /// The voters of the root group and their `HOST:PORT`, this node included when it is a founder.
    pub founders: BTreeMap<NodeId, String>,
    /// Founder or learner.
    pub membership: Membership,
    /// Whether nodes that are no voters of the root group may connect: managers say yes, ATMs no.
    pub admit_learners: bool,
    /// Times and windows of all groups.
    pub raft: raft_core::Options,
    /// Sizes of the log.
    pub wal: raft_wal::Options,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The listening address could not be bound.
    #[error("cannot listen on {address}: {why}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        why: std::io::Error,
    },
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] raft_wal::OpenError),
    /// Times and windows make no sense together.
    #[error("the Raft options make no sense: {0}")]
    Options(#[from] raft_core::OptionsError),
    /// A founder is missing from its own list, or a learner stands in it.
    #[error("node {id} is to be a {}, but the list of founders says otherwise; correct one of them", name(*.membership))]
    Membership {
        /// The node.
        id: NodeId,
        /// What it is to be.
        membership: Membership,
    },
    /// The log of the root group could not be opened.
    #[error(transparent)]
    Root(#[from] OpenGroupError),
    /// The system gave no thread for the disk.
    #[error("cannot start the thread that writes to the disk: {0}")]
    Thread(std::io::Error),
    /// The disk failed while the cluster's id was being written.
    #[error("cannot write down to which cluster this disk belongs: {0}")]
    Identity(raft_wal::IdentityError),
}

fn name(membership: Membership) -> &'static str {
    match membership {
        Membership::Founder => "founder",
        Membership::Learner => "learner",
    }
}

/// Starts a node with the state machine of its root group. Returns once its log is recovered and its port is
/// bound, with a handle and the address where it really listens; forming or joining the cluster goes on behind.
///
/// The node lives until [`NodeHandle::stop`], or until the last handle is dropped. When its disk fails, the
/// process ends with exit code 74.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    config: NodeConfig,
    root: Box<dyn StateMachine>,
) -> Result<(NodeHandle, SocketAddr), StartError> {
    start_on(config, root, DiskHooks::default()).await
}

/// Like [`start`], on another disk or with another answer to its failure, for tests.
///
/// # Errors
/// See [`StartError`].
pub async fn start_on(
    config: NodeConfig,
    root: Box<dyn StateMachine>,
    disk: DiskHooks,
) -> Result<(NodeHandle, SocketAddr), StartError> {
    config.raft.validate()?;
    let is_listed = config.founders.contains_key(&config.id);
    if is_listed != (config.membership == Membership::Founder) {
        return Err(StartError::Membership { id: config.id, membership: config.membership });
    }
    let (fs, dir, options) = (disk.fs.clone(), config.dir.clone(), config.wal.clone());
    let opened = tokio::task::spawn_blocking(move || Wal::open(fs, &dir, options));
    let (mut wal, recovered) = match opened.await {
        Ok(opened) => opened?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let listener = TcpListener::bind(config.listen).await.map_err(bind_error(config.listen))?;
    let address = listener.local_addr().map_err(bind_error(config.listen))?;

    let mine = ReplicaId::new(config.id, wal.identity().disk);
    let on_disk =
        recovered.iter().find(|state| state.group == GroupId::ROOT).map(|state| state.genesis.clone());
    let genesis = on_disk.clone().filter(|genesis| !genesis.voters().is_empty());
    if let (Some(genesis), None) = (&genesis, wal.identity().cluster) {
        // The id is written first, so this disk lost it since. It follows from the genesis configuration.
        wal.set_cluster(formation::cluster_id(genesis)).map_err(StartError::Identity)?;
    }
    let cluster = wal.identity().cluster;
    let founders: BTreeSet<NodeId> = config.founders.keys().copied().collect();
    let formation = match config.membership {
        Membership::Founder if cluster.is_some() && on_disk.is_some() => None,
        Membership::Founder => Some(Formation::founder(mine, cluster, founders.clone())),
        Membership::Learner if cluster.is_some() => None,
        Membership::Learner => Some(Formation::learner(mine, founders.clone())),
    };

    let (events, event_queue) = mpsc::channel(EVENTS);
    let board = Arc::new(RwLock::new(Board::default()));
    let counters = board.read().unwrap_or_else(std::sync::PoisonError::into_inner).counters.clone();
    let me = Hello {
        replica: mine,
        cluster,
        genesis: genesis.map(|genesis| genesis.voters().to_vec()),
        founders: founders_digest(&founders),
        purpose: Purpose::Connect,
    };
    let policy = Policy { founders, admit_learners: config.admit_learners, known: BTreeMap::new() };
    let shared = Arc::new(Shared::new(config.membership, me, policy, counters, events));

    let (high, low) = Uuid::new_v4().as_u64_pair();
    let options =
        NodeOptions { id: config.id, boot: high, seed: low, raft: config.raft, limits: Limits::default() };
    let node = Node::new(options, wal, recovered);
    let (asks, ask_queue) = mpsc::channel(ASKS);
    let (changed, changes) = watch::channel(0);
    let mut driver = Driver::new(node, shared.clone(), board.clone(), changed, disk, formation, root)?;
    driver.begin(on_disk.is_some())?;
    for (node, address) in config.founders {
        driver.add_peer(node, address);
    }
    let span = shared.span.clone();
    span.in_scope(|| tracing::info!(%address, disk = %mine.disk, "listening for peers"));
    let listening = tokio::spawn(listener::listen(listener, shared).instrument(span.clone()));
    tokio::spawn(driver.run(ask_queue, event_queue, listening).instrument(span));
    Ok((NodeHandle { replica: mine, asks, board, changes }, address))
}

fn bind_error(address: SocketAddr) -> impl Fn(std::io::Error) -> StartError {
    move |why| StartError::Bind { address, why }
}
