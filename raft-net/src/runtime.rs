//! The thin tokio runtime around the sans-IO node (placeholder; the signatures are the contract).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use raft_core::NodeId;

use crate::handle::NodeHandle;
use crate::machine::StateMachine;

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
}

/// Starts a node with the state machine of its root group. Returns once its log is recovered and its port is
/// bound; forming or joining the cluster goes on behind. `local_address` is where it really listens.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    config: NodeConfig,
    root: Box<dyn StateMachine>,
) -> Result<(NodeHandle, SocketAddr), StartError> {
    let _ = (config, root);
    Err(StartError::Bind { address: ([0, 0, 0, 0], 0).into(), why: std::io::Error::other("not built yet") })
}
