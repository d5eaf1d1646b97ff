//! Three nodes without I/O of their own, driven by hand: a real log in a temporary directory, frames carried by
//! the test, and time that moves only when told to.

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
        if batch.is_empty() {
            Prepared::Answer(Bytes::from_static(b"empty"))
        } else {
            Prepared::Append(batch)
        }
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
fn a_command_may_be_given_to_any_member_and_is_answered_from_its_own_state() {
    let mut net = Net::new();
    let follower = net.follower();
    let ticket = net.submit(follower, "hello");
    net.run(Duration::from_millis(200));
    assert_eq!(net.done(follower, ticket), "5");
    for id in 1..=3 {
        let read = net.query(id, Consistency::Linearizable);
        net.run(Duration::from_millis(200));
        assert_eq!(net.done(id, read), "hello");
    }
}

#[test]
fn a_batch_is_taken_by_the_leader_only_and_others_name_it() {
    let mut net = Net::new();
    let (leader, follower) = (net.leader(), net.follower());
    let now = net.now;
    let (refused, taken, answered) = (net.ticket(), net.ticket(), net.ticket());
    net.node(follower).propose(now, refused, GROUP, Bytes::from_static(b"abc"), PATIENCE);
    net.node(leader).propose(now, taken, GROUP, Bytes::from_static(b"abc"), PATIENCE);
    net.node(leader).propose(now, answered, GROUP, Bytes::new(), PATIENCE);
    net.run(Duration::from_millis(100));
    let named = Refusal::NotLeader { leader: Some(NodeId::new(leader)) };
    assert_eq!(net.answer(follower, refused), Some(&Outcome::Refused(named)));
    assert_eq!(net.done(leader, taken), "3");
    assert_eq!(net.done(leader, answered), "empty");
}

#[test]
fn nothing_is_answered_before_a_majority_has_it_on_disk() {
    let mut net = Net::new();
    let leader = net.leader();
    for (id, station) in &mut net.stations {
        station.holds_disk = *id != leader;
    }
    let ticket = net.submit(leader, "x");
    net.run(Duration::from_millis(300));
    assert_eq!(net.answer(leader, ticket), None);
    let follower = net.follower();
    net.stations.get_mut(&follower).unwrap().holds_disk = false;
    net.run(Duration::from_millis(300));
    assert_eq!(net.done(leader, ticket), "1");
}

#[test]
fn a_command_with_a_dying_leader_is_retried_and_applied_once() {
    let mut net = Net::new();
    let (leader, follower) = (net.leader(), net.follower());
    let ticket = net.submit(follower, "once");
    // The leader takes it, appends it and tells the others; its own answer and its commit are lost with it.
    let now = net.now;
    net.node(follower).pump(now);
    while let Some(output) = net.node(follower).poll_output() {
        let Output::Send(frame) = output else { continue };
        let station = net.stations.get_mut(&leader).unwrap();
        station.node.receive(now, frame);
        station.node.pump(now);
        while let Some(output) = station.node.poll_output() {
            match output {
                Output::Send(frame) if matches!(frame.content, Content::Raft { .. }) => {
                    net.wire.push_back(frame)
                }
                _ => {}
            }
        }
    }
    net.kill(leader);
    net.run(Duration::from_secs(1));
    assert_eq!(net.done(follower, ticket), "4");
    let read = net.query(follower, Consistency::Linearizable);
    net.run(Duration::from_millis(100));
    assert_eq!(net.done(follower, read), "once");
}

#[test]
fn without_a_majority_a_command_and_a_read_are_refused() {
    let mut net = Net::new();
    let survivor = net.follower();
    for id in (1..=3).filter(|id| *id != survivor) {
        net.kill(id);
    }
    net.run(Duration::from_secs(1));
    let (write, read) = (net.submit(survivor, "x"), net.query(survivor, Consistency::Linearizable));
    let local = net.query(survivor, Consistency::Local);
    net.run(PATIENCE + Duration::from_millis(100));
    assert_eq!(net.answer(survivor, write), Some(&Outcome::Refused(Refusal::NoMajority)));
    assert_eq!(net.answer(survivor, read), Some(&Outcome::Refused(Refusal::NoMajority)));
    assert_eq!(net.done(survivor, local), "");
}

#[test]
fn a_leader_cut_off_after_appending_does_not_know_the_outcome() {
    let mut net = Net::new();
    let leader = net.leader();
    for id in (1..=3).filter(|id| *id != leader) {
        net.kill(id);
    }
    let ticket = net.submit(leader, "x");
    net.run(PATIENCE + Duration::from_millis(100));
    assert!(matches!(net.answer(leader, ticket), Some(Outcome::Unknown(_))));
}

#[test]
fn a_restarted_node_recovers_its_log_and_catches_up() {
    let mut net = Net::new();
    let victim = net.follower();
    net.kill(victim);
    let leader = net.leader();
    for _ in 0..20 {
        net.submit(leader, "word ");
    }
    net.run(Duration::from_millis(300));
    net.boot(victim);
    net.open(victim);
    net.connect_all();
    net.run(Duration::from_secs(1));
    let read = net.query(victim, Consistency::Linearizable);
    net.run(Duration::from_millis(200));
    assert_eq!(net.done(victim, read), "word ".repeat(20));
}

#[test]
fn the_winner_of_an_election_is_on_every_nodes_board() {
    let mut net = Net::new();
    let leader = net.leader();
    for station in net.stations.values_mut() {
        let mut board = Board::default();
        station.node.publish(&mut board);
        assert_eq!(board.leaders[&GROUP].1, NodeId::new(leader));
    }
}

#[test]
fn a_removed_group_leaves_nothing_on_disk() {
    let mut net = Net::new();
    let (now, ticket) = (net.now, net.ticket());
    net.node(1).remove_group(now, GROUP, ticket);
    net.run(Duration::from_millis(50));
    assert_eq!(net.done(1, ticket), "");
    net.kill(1);
    net.boot(1);
    assert!(net.node(1).recovered(GROUP).is_none());
}
