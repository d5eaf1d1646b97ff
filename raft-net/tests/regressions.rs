//! Found in review: each of these fails on the code as it stood. The harness is that of `node.rs`.
#![allow(dead_code, unused_imports)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{Configuration, GroupId, LogId, NodeId, ReplicaId, RoleKind, Time};
use raft_net::frame::{Content, Frame};
use raft_net::node::{Limits, Node, NodeOptions, Output, Ticket};
use raft_net::{Board, Body, Consistency, GroupSpec, Outcome, Prepared, Refusal, StateMachine};
use raft_wal::{DiskRequest, Fs, RealFs, Round, Wal};

/// Appends what it is told; answers with how much it holds.
#[derive(Default)]
struct Tape(Vec<u8>);

impl StateMachine for Tape {
    fn prepare(&mut self, _at: LogId, batch: Bytes) -> Prepared {
        Prepared::Append(batch)
    }

    fn apply(&mut self, _id: LogId, body: &Body) -> Bytes {
        match body {
            Body::Noop => {}
            Body::Command(bytes) | Body::Batch(bytes) => self.0.extend_from_slice(bytes),
        }
        Bytes::from(self.0.len().to_string())
    }

    fn query(&self, _query: &[u8]) -> Bytes {
        Bytes::from(self.0.clone())
    }
}

struct Station {
    node: Node,
    fs: Arc<RealFs>,
    disk: VecDeque<(Round, Vec<DiskRequest>)>,
    answers: BTreeMap<Ticket, Outcome>,
    holds_disk: bool,
}

struct Net {
    now: Time,
    dir: tempfile::TempDir,
    stations: BTreeMap<u64, Station>,
    wire: VecDeque<Frame>,
    genesis: Configuration,
    next_ticket: u64,
    /// Frames that the next delivery loses.
    loses: fn(&Frame) -> bool,
    delivered: Vec<(u64, GroupId, bool)>,
}

const GROUP: GroupId = GroupId::new(7, 1);
const PATIENCE: Duration = Duration::from_secs(2);

impl Net {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut net = Self {
            now: Time::ZERO,
            dir,
            stations: BTreeMap::new(),
            wire: VecDeque::new(),
            genesis: Configuration::none(),
            next_ticket: 0,
            loses: |_| false,
            delivered: Vec::new(),
        };
        for id in 1..=3 {
            net.boot(id);
        }
        let replicas: Vec<ReplicaId> = net.stations.values().map(|s| s.node.replica()).collect();
        net.genesis = Configuration::new(replicas).unwrap();
        for id in 1..=3 {
            net.open(id);
        }
        net.connect_all();
        net.run(Duration::from_millis(500));
        net
    }

    fn boot(&mut self, id: u64) {
        let fs = Arc::new(RealFs::new());
        let path = self.dir.path().join(id.to_string());
        let (wal, recovered) = Wal::open(fs.clone(), &path, raft_wal::Options::default()).unwrap();
        let options = NodeOptions {
            id: NodeId::new(id),
            boot: self.now.as_micros(),
            seed: id,
            raft: raft_core::Options::default(),
            limits: Limits::default(),
        };
        let node = Node::new(options, wal, recovered);
        let station =
            Station { node, fs, disk: VecDeque::new(), answers: BTreeMap::new(), holds_disk: false };
        self.stations.insert(id, station);
    }

    fn open(&mut self, id: u64) {
        let (now, genesis) = (self.now, Some(self.genesis.clone()));
        let spec =
            GroupSpec { group: GROUP, genesis, note: Bytes::new(), machine: Box::new(Tape::default()) };
        self.node(id).open_group(now, spec).unwrap();
    }

    fn connect_all(&mut self) {
        let replicas: Vec<ReplicaId> = self.stations.values().map(|s| s.node.replica()).collect();
        let now = self.now;
        for (id, station) in &mut self.stations {
            for peer in replicas.iter().filter(|r| r.node.as_u64() != *id) {
                station.node.connected(now, *peer);
            }
        }
        self.settle();
    }

    fn kill(&mut self, id: u64) {
        self.stations.remove(&id);
        let now = self.now;
        for station in self.stations.values_mut() {
            station.node.disconnected(now, NodeId::new(id));
        }
        self.settle();
    }

    fn node(&mut self, id: u64) -> &mut Node {
        &mut self.stations.get_mut(&id).unwrap().node
    }

    fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for station in self.stations.values_mut() {
                station.node.pump(self.now);
                while let Some(output) = station.node.poll_output() {
                    is_quiet = false;
                    match output {
                        Output::Send(frame) => self.wire.push_back(frame),
                        Output::Disk { round, requests } => station.disk.push_back((round, requests)),
                        Output::Answer { ticket, outcome } => {
                            assert_eq!(station.answers.insert(ticket, outcome), None, "answered twice");
                        }
                    }
                }
                while !station.holds_disk {
                    let Some((round, requests)) = station.disk.pop_front() else { break };
                    for request in &requests {
                        station.fs.execute(request).unwrap();
                    }
                    station.node.disk_done(self.now, round);
                    is_quiet = false;
                }
            }
            while let Some(frame) = self.wire.pop_front() {
                is_quiet = false;
                if (self.loses)(&frame) {
                    continue;
                }
                self.delivered.push((
                    frame.to.as_u64(),
                    frame.group,
                    matches!(frame.content, Content::Raft { .. }),
                ));
                if let Some(station) = self.stations.get_mut(&frame.to.as_u64()) {
                    station.node.receive(self.now, frame);
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(5));
            let now = self.now;
            for station in self.stations.values_mut() {
                if station.node.next_deadline().is_some_and(|at| at <= now) {
                    station.node.tick(now);
                }
            }
            self.settle();
        }
    }

    fn leader(&mut self) -> u64 {
        for _ in 0..100 {
            let leads = |s: &Station| {
                s.node.core(GROUP).is_some_and(|c| c.soft_state().role == RoleKind::Leader && c.is_serving())
            };
            if let Some(id) = self.stations.iter().find(|(_, s)| leads(s)).map(|(id, _)| *id) {
                return id;
            }
            self.run(Duration::from_millis(50));
        }
        panic!("no leader");
    }

    fn follower(&mut self) -> u64 {
        let leader = self.leader();
        *self.stations.keys().find(|id| **id != leader).unwrap()
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn submit(&mut self, id: u64, command: &'static str) -> Ticket {
        let (now, ticket) = (self.now, self.ticket());
        self.node(id).submit(now, ticket, GROUP, Bytes::from_static(command.as_bytes()), PATIENCE);
        ticket
    }

    fn query(&mut self, id: u64, consistency: Consistency) -> Ticket {
        let (now, ticket) = (self.now, self.ticket());
        self.node(id).query(now, ticket, GROUP, Bytes::new(), consistency, PATIENCE);
        ticket
    }

    fn answer(&self, id: u64, ticket: Ticket) -> Option<&Outcome> {
        self.stations[&id].answers.get(&ticket)
    }

    fn done(&self, id: u64, ticket: Ticket) -> String {
        match self.answer(id, ticket) {
            Some(Outcome::Done(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_group_speaks_only_to_nodes_that_have_it() {
    let mut net = Net::new();
    let leader = net.leader();
    net.boot(4);
    net.connect_all();
    net.run(Duration::from_millis(300));
    net.delivered.clear();
    for _ in 0..20 {
        net.submit(leader, "hello");
        net.run(Duration::from_millis(5));
    }
    let to_stranger = net.delivered.iter().filter(|f| **f == (4, GROUP, true)).count();
    assert_eq!(to_stranger, 0, "frames to a node without the group, for 20 commands");
}

#[test]
fn a_lost_submit_is_sent_again_while_its_leader_lives() {
    let mut net = Net::new();
    let follower = net.follower();
    net.loses = |frame| matches!(frame.content, Content::Submit { .. });
    let ticket = net.submit(follower, "hello");
    net.settle();
    net.loses = |_| false;
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(follower, ticket), Some(&Outcome::Done(Bytes::from_static(b"5"))));
}

#[test]
fn a_lost_read_index_is_sent_again_while_its_leader_lives() {
    let mut net = Net::new();
    let follower = net.follower();
    net.loses =
        |frame| matches!(&frame.content, Content::Raft { message: raft_core::Message::ReadIndex(_), .. });
    let ticket = net.query(follower, Consistency::Linearizable);
    net.settle();
    net.loses = |_| false;
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(follower, ticket), Some(&Outcome::Done(Bytes::new())));
}

#[test]
fn writes_of_a_removed_group_say_nothing_about_a_new_one_of_its_name() {
    let mut net = Net::new();
    let leader = net.leader();
    let now = net.now;
    let held: Vec<u64> = net.stations.keys().copied().filter(|id| *id != leader).collect();
    let follower = held[0];
    net.stations.get_mut(&follower).unwrap().holds_disk = true;
    net.submit(leader, "hello");
    net.settle();
    // The append is on its way to the follower's disk. Its group goes, and comes back under the same name.
    let ticket = net.ticket();
    net.node(follower).remove_group(now, GROUP, ticket);
    net.open(follower);
    net.run(Duration::from_millis(10));
    let station = net.stations.get_mut(&follower).unwrap();
    if let Some((round, requests)) = station.disk.pop_front() {
        for request in &requests {
            station.fs.execute(request).unwrap();
        }
        station.node.disk_done(now, round);
    }
    let core = net.node(follower).core(GROUP).unwrap();
    assert_eq!(core.fault(), None, "of the new group");
    assert_eq!(core.durable(), raft_core::LogIndex::ZERO, "nothing of the new group is on disk");
}

#[test]
fn a_vote_in_a_new_group_does_not_leave_because_a_write_of_its_removed_namesake_is_durable() {
    for votes in 1..=4 {
        let mut net = Net::new();
        let leader = net.leader();
        let now = net.now;
        let follower = net.follower();
        net.stations.get_mut(&follower).unwrap().holds_disk = true;
        net.submit(leader, "hello");
        net.settle();
        let ticket = net.ticket();
        net.node(follower).remove_group(now, GROUP, ticket);
        net.open(follower);
        for term in 1..=votes {
            let vote = raft_core::Vote {
                term: raft_core::Term::new(100 + term),
                last: LogId::new(raft_core::Term::new(100), raft_core::LogIndex::new(100)),
            };
            let content = Content::Raft { message: raft_core::Message::Vote(vote), entries: Vec::new() };
            let (from, to) = (NodeId::new(leader), NodeId::new(follower));
            net.node(follower).receive(now, Frame { group: GROUP, from, to, content });
        }
        let station = net.stations.get_mut(&follower).unwrap();
        station.node.pump(now);
        let (round, requests) = station.disk.pop_front().expect("the append of hello");
        for request in &requests {
            station.fs.execute(request).unwrap();
        }
        station.node.disk_done(now, round);
        // The votes are in the next round, which is not written yet.
        while let Some(output) = station.node.poll_output() {
            if let Output::Send(Frame { content: Content::Raft { message, .. }, .. }) = output {
                let is_vote = matches!(message, raft_core::Message::VoteReply(reply) if reply.granted);
                assert!(!is_vote, "a vote left before it was on disk: {message:?}");
            }
        }
    }
}
