//! One manager, running: a founder of the managers' group with its HTTP port.
//!
//! Used by the `manager` binary, and by `broker dev`, which runs several in one process. It decides nothing; it
//! joins raft-net, the metadata machine and the HTTP server, and takes them apart again.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use raft_core::NodeId;
use raft_net::{Membership, NodeConfig, NodeHandle};

use crate::client::ManagerClient;
use crate::http::{HttpServer, Look};
use crate::machine::{MetadataMachine, MetadataView};
use crate::peers::PeerList;
use crate::report::Facts;

/// How to run a manager.
#[derive(Clone, Debug)]
pub struct ManagerConfig {
    /// This manager's node id, unique over managers and brokers; it stands in `managers`.
    pub id: NodeId,
    /// Where it listens for peers. Port 0 takes a free one, which others will not know unless they are told.
    pub listen: SocketAddr,
    /// Where it listens for HTTP. Port 0 takes a free one.
    pub http: SocketAddr,
    /// All managers, this one included, the same list at each of them.
    pub managers: PeerList,
    /// Its data directory; created when absent.
    pub dir: PathBuf,
    /// Times and windows of its groups.
    pub raft: raft_core::Options,
}

/// A running manager.
pub struct Manager {
    /// The node, for requests and soft state.
    pub handle: NodeHandle,
    /// The metadata as this manager has applied it.
    pub view: MetadataView,
    /// Where it really listens for peers.
    pub peer_addr: SocketAddr,
    /// Where it really listens for HTTP.
    pub http_addr: SocketAddr,
    http: HttpServer,
}

/// Why a manager did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The manager is not in its own list.
    #[error(
        "manager {id} is not in the list of managers, {managers}; add {id}=HOST:PORT to it, on every manager"
    )]
    NotListed {
        /// Its id.
        id: NodeId,
        /// The list.
        managers: PeerList,
    },
    /// The node did not start.
    #[error(transparent)]
    Node(#[from] raft_net::StartError),
    /// The HTTP port could not be bound.
    #[error("cannot listen for HTTP on {address}: {why}; choose another address or stop what uses it")]
    Http {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        why: io::Error,
    },
}

impl ServeError {
    /// Whether what was asked for makes no sense, as opposed to not working now.
    pub fn is_usage(&self) -> bool {
        use raft_net::StartError::{Membership, Options};
        matches!(self, Self::NotListed { .. } | Self::Node(Options(_) | Membership { .. }))
    }
}

/// Starts a manager. Returns once its log is recovered and both ports are bound; forming the cluster or catching
/// up goes on behind, and `GET /healthz` tells when it is done.
///
/// # Errors
/// See [`ServeError`]; nothing runs then.
pub async fn run(config: ManagerConfig) -> Result<Manager, ServeError> {
    let ManagerConfig { id, listen, http, managers, dir, raft } = config;
    if !managers.contains(id) {
        return Err(ServeError::NotListed { id, managers });
    }
    let node = NodeConfig {
        id,
        listen,
        dir,
        founders: managers.to_founders(),
        membership: Membership::Founder,
        admit_learners: true,
        raft,
        wal: Default::default(),
    };
    let (machine, view) = MetadataMachine::new();
    let (handle, peer_addr) = raft_net::start(node, Box::new(machine)).await?;
    let look = look(id, managers, handle.clone(), view.clone());
    let http = match HttpServer::start(http, look).await {
        Ok(server) => server,
        Err(why) => {
            handle.stop().await;
            return Err(ServeError::Http { address: http, why });
        }
    };
    Ok(Manager { handle, view, peer_addr, http_addr: http.address(), http })
}

impl Manager {
    /// A client over this manager.
    pub fn client(&self) -> ManagerClient {
        ManagerClient::new(self.handle.clone(), self.view.clone())
    }

    /// Waits until the node ends by itself, which it does only when it cannot go on; its log says why.
    pub async fn ended(&self) {
        let mut changes = self.handle.changes();
        while changes.changed().await.is_ok() {}
    }

    /// Stops it: first HTTP, then the node, once what is on its way to the disk is there.
    pub async fn stop(self) {
        self.http.stop().await;
        self.handle.stop().await;
    }
}

fn look(id: NodeId, managers: PeerList, handle: NodeHandle, view: MetadataView) -> Look {
    Arc::new(move || {
        let metadata = view.current();
        handle.read_board(|board| Facts::gather(id, &managers, board, metadata))
    })
}
