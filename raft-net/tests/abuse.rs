//! What strangers and broken peers send to the port: only their own connection ends by it.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Cluster, DEADLINE, add, id, leader, sum, until};
use raft_core::{DiskId, GroupId, ReplicaId};
use raft_net::codec::encode;
use raft_net::frame::{Content, Frame};
use raft_net::handshake::{Greeting, Hello, Purpose, Refusal, RefusalCode};
use raft_net::{Consistency, NodeHandle, Outcome};
use raft_wal::ClusterId;

/// Reads until the other end closes the connection; fails if it does not.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("the connection was not closed within {DEADLINE:?}: {error}"),
        }
    }
}

fn connect(cluster: &Cluster, node: u64) -> TcpStream {
    TcpStream::connect(cluster.address(node)).unwrap()
}

fn exchange(stream: &mut TcpStream, hello: Hello) -> Greeting {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&Greeting::Hello(hello).encode()).unwrap();
    let mut preamble = [0; 8];
    stream.read_exact(&mut preamble).unwrap();
    let mut bytes = preamble.to_vec();
    bytes.resize(Greeting::length(&preamble).unwrap(), 0);
    stream.read_exact(&mut bytes[8..]).unwrap();
    Greeting::decode(&bytes).unwrap()
}

fn stranger(cluster: Option<ClusterId>, purpose: Purpose) -> Hello {
    let replica = ReplicaId::new(id(77), DiskId::new(77));
    Hello { replica, cluster, genesis: None, founders: 0, purpose }
}

/// Asks a node for its cluster.
fn cluster_of(cluster: &Cluster, node: u64) -> ClusterId {
    let answer = exchange(&mut connect(cluster, node), stranger(None, Purpose::Form));
    let Greeting::Hello(hello) = answer else { panic!("not let in: {answer:?}") };
    hello.cluster.unwrap()
}

/// A connection of node 77, a learner, that has passed the hand-shake.
fn peer(cluster: &Cluster, node: u64) -> TcpStream {
    let mut stream = connect(cluster, node);
    let hello = stranger(Some(cluster_of(cluster, node)), Purpose::Connect);
    assert!(matches!(exchange(&mut stream, hello), Greeting::Hello(_)));
    stream
}

fn frame(to: u64, content: Content) -> Vec<u8> {
    let frame = Frame { group: GroupId::ROOT, from: id(77), to: id(to), content };
    encode(&frame).unwrap().concat()
}

async fn single() -> (Cluster, NodeHandle) {
    let cluster = Cluster::new(1);
    let node = cluster.start(1).await;
    assert_eq!(add(&node, 1).await, 1);
    (cluster, node)
}

/// The node serves as before.
async fn is_well(node: &NodeHandle) {
    assert_eq!(sum(node, Consistency::Linearizable).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_hand_shake_closes_that_connection() {
    let (cluster, node) = single().await;
    let mut stream = connect(&cluster, 1);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_to_end(&mut stream), b"");
    until("has counted it", &node, |node| node.counts().bad_bytes == 1).await;
    is_well(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_version_is_told_so() {
    let (cluster, node) = single().await;
    let mut stream = connect(&cluster, 1);
    let mut bytes = Greeting::Hello(stranger(None, Purpose::Connect)).encode();
    bytes[4] = 200;
    stream.write_all(&bytes).unwrap();
    let answer = Greeting::decode(&read_to_end(&mut stream));
    let code = RefusalCode::OtherVersion;
    assert!(matches!(answer, Ok(Greeting::Refusal(Refusal { code: found, .. })) if found == code));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_cluster_is_refused_and_counted() {
    let (cluster, node) = single().await;
    let mut stream = connect(&cluster, 1);
    let answer = exchange(&mut stream, stranger(Some(ClusterId::new(1)), Purpose::Connect));
    let code = RefusalCode::WrongCluster;
    assert!(matches!(answer, Greeting::Refusal(Refusal { code: found, .. }) if found == code));
    assert_eq!(read_to_end(&mut stream), b"");
    assert_eq!(node.counts().refusals, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_disk_under_the_id_of_a_connected_node_is_refused() {
    let (cluster, node) = single().await;
    let mine = cluster_of(&cluster, 1);
    let _first = peer(&cluster, 1);
    until("is connected", &node, |node| node.live() == [id(77)]).await;
    let hello = stranger(Some(mine), Purpose::Connect);
    let hello = Hello { replica: ReplicaId::new(id(77), DiskId::new(78)), ..hello };
    let answer = exchange(&mut connect(&cluster, 1), hello);
    let code = RefusalCode::OtherDisk;
    assert!(matches!(answer, Greeting::Refusal(Refusal { code: found, .. }) if found == code));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_after_the_hand_shake_closes_that_connection() {
    let (cluster, node) = single().await;
    let mut stream = peer(&cluster, 1);
    stream.write_all(&[0x5a; 4096]).unwrap();
    read_to_end(&mut stream);
    until("has counted it", &node, |node| node.counts().bad_bytes == 1).await;
    until("has let go of it", &node, |node| node.live().is_empty()).await;
    is_well(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_declares_two_gibibytes_closes_that_connection() {
    let (cluster, node) = single().await;
    let mut stream = peer(&cluster, 1);
    stream.write_all(&(2_u32 << 30).to_le_bytes()).unwrap();
    read_to_end(&mut stream);
    until("has counted it", &node, |node| node.counts().bad_bytes == 1).await;
    is_well(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_shake_or_a_frame_that_is_not_finished_is_closed_after_ten_seconds() {
    let (cluster, node) = single().await;
    let began = Instant::now();
    let mut half = connect(&cluster, 1);
    half.write_all(b"FLO").unwrap();
    let mut dripping = peer(&cluster, 1);
    // A byte every now and then is no silence, but it makes no frame either.
    let bytes = frame(1, Content::Ping);
    for byte in &bytes[..bytes.len() - 1] {
        if dripping.write_all(&[*byte]).is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    read_to_end(&mut dripping);
    assert_eq!(read_to_end(&mut half), b"");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(9) && took < DEADLINE, "{took:?}");
    until("has counted both", &node, |node| node.counts().timeouts == 2).await;
    is_well(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_says_nothing_for_a_second_is_let_go() {
    let (cluster, node) = single().await;
    let mut stream = peer(&cluster, 1);
    let began = Instant::now();
    read_to_end(&mut stream);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900) && took < DEADLINE, "{took:?}");
    until("has let go of it", &node, |node| node.live().is_empty()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_in_another_nodes_name_is_dropped_and_the_connection_stays() {
    let (cluster, node) = single().await;
    let mut stream = peer(&cluster, 1);
    let forged = Frame { group: GroupId::ROOT, from: id(1), to: id(1), content: Content::Ping };
    stream.write_all(&encode(&forged).unwrap().concat()).unwrap();
    stream.write_all(&frame(2, Content::Ping)).unwrap();
    stream.write_all(&frame(1, Content::Ping)).unwrap();
    until("has counted them", &node, |node| node.counts().misaddressed_frames == 2).await;
    assert_eq!(node.live(), [id(77)]);
    assert_eq!(node.counts().bad_bytes, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_connection_of_a_node_takes_the_place_of_the_older_one() {
    let (cluster, node) = single().await;
    let mut first = peer(&cluster, 1);
    until("is connected", &node, |node| node.live() == [id(77)]).await;
    let mut second = peer(&cluster, 1);
    read_to_end(&mut first);
    second.write_all(&frame(1, Content::Ping)).unwrap();
    assert_eq!(node.live(), [id(77)]);
    assert_eq!(node.counts().connections, 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_works_on_while_its_ports_are_abused() {
    let cluster = Cluster::new(3);
    let nodes = cluster.start_all().await;
    leader(&nodes).await;
    let mut held = Vec::new();
    for round in 1..=20_u64 {
        for node in 1..=3 {
            let mut garbage = connect(&cluster, node);
            let _ = garbage.write_all(&[round as u8; 300]);
            held.push(garbage);
            let mut huge = peer(&cluster, node);
            let _ = huge.write_all(&u32::MAX.to_le_bytes());
            held.push(huge);
        }
        assert_eq!(add(&nodes[round as usize % 3], 1).await, round);
    }
    for node in &nodes {
        // Nobody lost a friend over it.
        assert!(node.live().len() >= 2);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_of_connections_callers_are_told_so_and_peers_stay() {
    let (cluster, node) = single().await;
    let mut friend = peer(&cluster, 1);
    let pings = std::thread::spawn(move || {
        while friend.write_all(&frame(1, Content::Ping)).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = connect(&cluster, 1);
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 256];
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => break buffer[..count].to_vec(),
            _ => held.push(stream),
        }
        assert!(held.len() <= 1100, "no limit");
    };
    let refused = Greeting::decode(&refused);
    let code = RefusalCode::Busy;
    assert!(matches!(refused, Ok(Greeting::Refusal(Refusal { code: found, .. })) if found == code));
    assert!(node.live().contains(&id(77)));
    is_well(&node).await;
    drop(held);
    node.stop().await;
    pings.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_stops_the_node_and_leaves_what_was_asked_unknown() {
    use raft_net::{DiskHooks, start_on};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    /// The real disk until it is told to fail its flushes.
    struct Failing(raft_wal::RealFs, Arc<AtomicBool>);

    impl raft_wal::Fs for Failing {
        fn execute(&self, request: &raft_wal::DiskRequest) -> std::io::Result<()> {
            let is_flush = matches!(request, raft_wal::DiskRequest::SyncData { .. });
            if is_flush && self.1.load(Ordering::SeqCst) {
                return Err(std::io::Error::other("the disk is gone"));
            }
            self.0.execute(request)
        }

        fn read_at(&self, path: &std::path::Path, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
            self.0.read_at(path, offset, len)
        }

        fn list(&self, dir: &std::path::Path) -> std::io::Result<Vec<String>> {
            self.0.list(dir)
        }

        fn len(&self, path: &std::path::Path) -> std::io::Result<u64> {
            self.0.len(path)
        }

        fn lock(&self, dir: &std::path::Path) -> std::io::Result<Box<dyn Send + Sync>> {
            self.0.lock(dir)
        }
    }

    let cluster = Cluster::new(1);
    let is_failing = Arc::new(AtomicBool::new(false));
    let failures = Arc::new(AtomicU64::new(0));
    let counted = failures.clone();
    let hooks = DiskHooks {
        fs: Arc::new(Failing(raft_wal::RealFs::new(), is_failing.clone())),
        on_error: Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        }),
    };
    let machine = Box::new(common::Counter::default());
    let (node, _) = start_on(cluster.config(1), machine, hooks).await.unwrap();
    assert_eq!(add(&node, 1).await, 1);
    is_failing.store(true, Ordering::SeqCst);
    let outcome = node.submit(GroupId::ROOT, common::command(1), common::PATIENCE).await;
    assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    assert_eq!(failures.load(Ordering::SeqCst), 1);
    let after = node.query(GroupId::ROOT, Bytes::new(), Consistency::Local, common::PATIENCE).await;
    assert!(matches!(after, Outcome::Refused(_) | Outcome::Unknown(_)), "{after:?}");
}
