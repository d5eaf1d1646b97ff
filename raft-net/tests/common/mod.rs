//! Real nodes over loopback and real files, with a counter as their state machine.
#![allow(dead_code, unreachable_pub)] // Each test file uses a part of it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::{GroupId, LogId, NodeId};
use raft_net::{
    Body, Consistency, DiskFailure, DiskHooks, Membership, NodeConfig, NodeHandle, Outcome, StartError,
    StateMachine, start_on,
};

/// Nothing here takes longer unless it is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// What a caller waits.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Adds up the numbers it is given; answers with the sum.
#[derive(Default)]
pub struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _: LogId, body: &Body) -> Bytes {
        if let Body::Command(command) = body {
            self.0 += number(command);
        }
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn query(&self, _: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }
}

pub fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

pub fn command(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

pub fn id(node: u64) -> NodeId {
    NodeId::new(node)
}

/// Starts a node whose disk's failure does not end the process, with it all tests.
pub async fn run(config: NodeConfig) -> Result<(NodeHandle, SocketAddr), StartError> {
    let on_error = Arc::new(|failure: &DiskFailure| eprintln!("disk: {failure}"));
    start_on(config, Box::new(Counter::default()), DiskHooks { on_error, ..DiskHooks::default() }).await
}

/// An address that was free a moment ago, below the ports that systems give to outgoing connections, so that nothing
/// takes it while a node is restarted. Each call has another.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 10_000) as u16;
    let candidates =
        std::iter::repeat_with(|| 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000) % 10_000);
    let mut free = candidates.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    free.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
}

/// A cluster's founders, each with a port and a directory that outlives its runs.
pub struct Cluster {
    home: tempfile::TempDir,
    pub founders: BTreeMap<NodeId, String>,
}

impl Cluster {
    pub fn new(founders: u64) -> Self {
        let founders = (1..=founders).map(|n| (id(n), free_address().to_string())).collect();
        Self { home: tempfile::tempdir().expect("a directory"), founders }
    }

    pub fn dir(&self, node: u64) -> PathBuf {
        self.home.path().join(format!("node-{node}"))
    }

    pub fn address(&self, node: u64) -> SocketAddr {
        self.founders[&id(node)].parse().expect("an address")
    }

    pub fn config(&self, node: u64) -> NodeConfig {
        let listed = self.founders.get(&id(node));
        NodeConfig {
            id: id(node),
            listen: listed.map_or("127.0.0.1:0", |a| a).parse().expect("an address"),
            dir: self.dir(node),
            founders: self.founders.clone(),
            membership: if listed.is_some() { Membership::Founder } else { Membership::Learner },
            admit_learners: true,
            raft: raft_core::Options::default(),
            wal: raft_wal::Options::default(),
        }
    }

    pub async fn start(&self, node: u64) -> NodeHandle {
        self.try_start(node).await.expect("the node starts")
    }

    pub async fn try_start(&self, node: u64) -> Result<NodeHandle, StartError> {
        run(self.config(node)).await.map(|(handle, _)| handle)
    }

    pub async fn start_all(&self) -> Vec<NodeHandle> {
        let mut handles = Vec::new();
        for node in 1..=self.founders.len() as u64 {
            handles.push(self.start(node).await);
        }
        handles
    }

    pub fn wipe(&self, node: u64) {
        std::fs::remove_dir_all::<&Path>(&self.dir(node)).expect("its directory");
    }
}

/// Waits until the node's board fulfils `is_so`.
pub async fn until(what: &str, handle: &NodeHandle, is_so: impl Fn(&NodeHandle) -> bool) {
    let mut changes = handle.changes();
    let waited = tokio::time::timeout(DEADLINE, async {
        while !is_so(handle) {
            // Counters change without the board.
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    });
    assert!(waited.await.is_ok(), "node {}: {what} within {DEADLINE:?}", handle.id());
}

/// Waits until all nodes of the list belong to the cluster, and one of them leads and serves the root group; returns
/// its place in the list.
pub async fn leader(handles: &[NodeHandle]) -> usize {
    for handle in handles {
        until("belongs to the cluster", handle, |node| node.waiting_for().is_empty()).await;
    }
    let end = Instant::now() + DEADLINE;
    loop {
        let serving = |handle: &NodeHandle| handle.status(GroupId::ROOT).is_some_and(|status| status.serving);
        if let Some(at) = handles.iter().position(serving) {
            return at;
        }
        assert!(Instant::now() < end, "no leader within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Adds `n` through this node; returns the sum.
pub async fn add(handle: &NodeHandle, n: u64) -> u64 {
    match handle.submit(GroupId::ROOT, command(n), PATIENCE).await {
        Outcome::Done(sum) => number(&sum),
        other => panic!("node {}: add {n}: {other:?}", handle.id()),
    }
}

/// Reads the sum on this node.
pub async fn sum(handle: &NodeHandle, consistency: Consistency) -> u64 {
    match handle.query(GroupId::ROOT, Bytes::new(), consistency, PATIENCE).await {
        Outcome::Done(sum) => number(&sum),
        other => panic!("node {}: sum: {other:?}", handle.id()),
    }
}
