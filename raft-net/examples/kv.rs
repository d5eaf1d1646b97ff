//! A replicated key-value store: three nodes in this process, over real TCP on localhost and real logs on disk.
//!
//! `cargo run -p raft-net --example kv`. It writes, takes the leader away, writes on, starts it again, and shows that it
//! has caught up. It ends by itself, with exit code 0 when all went well; ports are free ones, directories are temporary.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::{GroupId, LogId, NodeId};
use raft_net::{
    Body, Consistency, Membership, NodeConfig, NodeHandle, Outcome, StartError, StateMachine, start,
};
use raft_wal::OpenError;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long a caller waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// The one group of this example.
const GROUP: GroupId = GroupId::ROOT;

/// The state that all nodes come to by applying the same commands in the same order.
#[derive(Default)]
struct Store(BTreeMap<Bytes, Bytes>);

impl StateMachine for Store {
    /// A command is `key=value`; the response is the value before it.
    fn apply(&mut self, _: LogId, body: &Body) -> Bytes {
        let Body::Command(command) = body else { return Bytes::new() };
        let Some(at) = command.iter().position(|byte| *byte == b'=') else { return Bytes::new() };
        self.0.insert(command.slice(..at), command.slice(at + 1..)).unwrap_or_default()
    }

    /// A query is a key, or nothing for the number of keys.
    fn query(&self, key: &[u8]) -> Bytes {
        match key {
            b"" => Bytes::from(self.0.len().to_string()),
            key => self.0.get(key).cloned().unwrap_or_default(),
        }
    }
}

/// Starts a node. One that ended a moment ago may still hold its directory and its port.
async fn run(id: NodeId, home: &Path, founders: &BTreeMap<NodeId, String>) -> Result<NodeHandle> {
    let config = NodeConfig {
        id,
        listen: founders[&id].parse()?,
        dir: home.join(format!("node-{id}")),
        founders: founders.clone(),
        membership: Membership::Founder,
        admit_learners: false,
        raft: raft_core::Options::default(),
        wal: raft_wal::Options::default(),
    };
    let began = Instant::now();
    loop {
        match start(config.clone(), Box::new(Store::default())).await {
            Ok((node, _)) => return Ok(node),
            Err(StartError::Log(OpenError::Locked { .. }) | StartError::Bind { .. })
                if began.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes through any node: whoever leads gets it, and it happens once.
async fn put(node: &NodeHandle, key: &str, value: &str) -> Result<()> {
    match node.submit(GROUP, Bytes::from(format!("{key}={value}")), PATIENCE).await {
        Outcome::Done(_) => Ok(()),
        other => Err(format!("put {key}: {other:?}").into()),
    }
}

/// Reads on any node, everything that was answered before included. A node may still wait to hear from the last founder
/// when the others serve already: it refuses, nothing has happened, and it is asked again.
async fn get(node: &NodeHandle, key: &'static str) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match node.query(GROUP, Bytes::from(key), Consistency::Linearizable, PATIENCE).await {
            Outcome::Done(value) => return Ok(String::from_utf8(value.to_vec())?),
            Outcome::Refused(_) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            other => return Err(format!("get {key}: {other:?}").into()),
        }
    }
}

/// Waits until a node leads and serves.
async fn leader(nodes: &BTreeMap<NodeId, NodeHandle>) -> NodeId {
    loop {
        let serves = |node: &&NodeHandle| node.status(GROUP).is_some_and(|status| status.serving);
        if let Some(node) = nodes.values().find(serves) {
            return node.id();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn show(title: &str, nodes: &BTreeMap<NodeId, NodeHandle>) -> Result<()> {
    println!("\n{title}\n  node  role      term  applied  keys  colour");
    for (id, node) in nodes {
        let (keys, colour) = (get(node, "").await?, get(node, "colour").await?);
        let Some(now) = node.status(GROUP) else { continue };
        let (id, role, term) = (id.as_u64(), now.role.to_string(), now.term.as_u64());
        println!("  {id:>4}  {role:<8}  {term:>4}  {:>7}  {keys:>4}  {colour}", now.applied.as_u64());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let home = tempfile::tempdir()?;
    // Taken together, so that all three differ, and let go of before the nodes listen there.
    let ports = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    let mut founders = BTreeMap::new();
    for (id, port) in (1..).map(NodeId::new).zip(&ports) {
        founders.insert(id, port.local_addr()?.to_string());
    }
    drop(ports);

    let mut nodes = BTreeMap::new();
    for id in founders.keys() {
        nodes.insert(*id, run(*id, home.path(), &founders).await?);
    }
    let first = leader(&nodes).await;
    for (key, value) in [("colour", "red"), ("shape", "round"), ("size", "small")] {
        put(&nodes[&first], key, value).await?;
    }
    show("three nodes, three keys", &nodes).await?;

    // A node whose last handle is gone ends. The others notice, and one of them leads.
    nodes.remove(&first);
    let second = leader(&nodes).await;
    for (key, value) in [("colour", "green"), ("weight", "light")] {
        put(&nodes[&second], key, value).await?;
    }
    show(&format!("node {first} is gone, one value has changed, one key is new"), &nodes).await?;

    nodes.insert(first, run(first, home.path(), &founders).await?);
    let caught_up = (get(&nodes[&first], "").await?, get(&nodes[&first], "colour").await?);
    show(&format!("node {first} is back and has caught up"), &nodes).await?;
    for node in nodes.values() {
        node.stop().await;
    }
    match caught_up == ("4".to_owned(), "green".to_owned()) {
        true => Ok(()),
        false => Err(format!("node {first} has not caught up: {caught_up:?}").into()),
    }
}

#[cfg(test)]
#[test]
fn the_killed_node_catches_up_and_the_example_ends_by_itself() {
    main().unwrap();
}
