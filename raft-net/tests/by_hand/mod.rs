//! Some nodes, mostly three, without I/O of their own, driven by hand: a real log in a temporary directory, frames carried by
//! the test, and time that moves only when told to.
#![allow(dead_code)] // Each test file uses its own part of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{Configuration, GroupId, LogId, MembershipChange, NodeId, ReplicaId, RoleKind, Time};
use raft_net::frame::{Content, Frame};
use raft_net::node::{Limits, Node, NodeOptions, Output, Ticket};
use raft_net::{Body, Consistency, GroupSpec, Outcome, Prepared, StateMachine};
use raft_wal::{DiskRequest, Fs, RealFs, Round, Wal};

/// Appends what it is told; answers with how much it holds.
#[derive(Default)]
pub(crate) struct Tape(Vec<u8>);

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

pub(crate) struct Station {
    pub(crate) node: Node,
    pub(crate) fs: Arc<RealFs>,
    pub(crate) disk: VecDeque<(Round, Vec<DiskRequest>)>,
    pub(crate) answers: BTreeMap<Ticket, Outcome>,
    pub(crate) holds_disk: bool,
}

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stations: BTreeMap<u64, Station>,
    pub(crate) wire: VecDeque<Frame>,
    pub(crate) genesis: Configuration,
    pub(crate) next_ticket: u64,
    /// Frames that the next delivery loses.
    pub(crate) loses: fn(&Frame) -> bool,
    pub(crate) delivered: Vec<(u64, GroupId, bool)>,
}

pub(crate) const GROUP: GroupId = GroupId::new(7, 1);
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

impl Net {
    pub(crate) fn new() -> Self {
        Self::of(3)
    }

    /// So many nodes, voters of one group.
    pub(crate) fn of(nodes: u64) -> Self {
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
        for id in 1..=nodes {
            net.boot(id);
        }
        let replicas: Vec<ReplicaId> = net.stations.values().map(|s| s.node.replica()).collect();
        net.genesis = Configuration::new(replicas).unwrap();
        for id in 1..=nodes {
            net.open(id);
        }
        net.connect_all();
        net.run(Duration::from_millis(500));
        net
    }

    pub(crate) fn boot(&mut self, id: u64) {
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

    pub(crate) fn open(&mut self, id: u64) {
        self.open_with(id, Some(self.genesis.clone()));
    }

    pub(crate) fn open_with(&mut self, id: u64, genesis: Option<Configuration>) {
        let now = self.now;
        let spec =
            GroupSpec { group: GROUP, genesis, note: Bytes::new(), machine: Box::new(Tape::default()) };
        self.node(id).open_group(now, spec).unwrap();
    }

    pub(crate) fn connect_all(&mut self) {
        let replicas: Vec<ReplicaId> = self.stations.values().map(|s| s.node.replica()).collect();
        let now = self.now;
        for (id, station) in &mut self.stations {
            for peer in replicas.iter().filter(|r| r.node.as_u64() != *id) {
                station.node.connected(now, *peer);
            }
        }
        self.settle();
    }

    pub(crate) fn kill(&mut self, id: u64) {
        self.stations.remove(&id);
        let now = self.now;
        for station in self.stations.values_mut() {
            station.node.disconnected(now, NodeId::new(id));
        }
        self.settle();
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.stations.get_mut(&id).unwrap().node
    }

    pub(crate) fn settle(&mut self) {
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

    pub(crate) fn run(&mut self, time: Duration) {
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

    pub(crate) fn leader(&mut self) -> u64 {
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

    pub(crate) fn follower(&mut self) -> u64 {
        let leader = self.leader();
        *self.stations.keys().find(|id| **id != leader).unwrap()
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(crate) fn submit(&mut self, id: u64, command: &'static str) -> Ticket {
        let (now, ticket) = (self.now, self.ticket());
        self.node(id).submit(now, ticket, GROUP, Bytes::from_static(command.as_bytes()), PATIENCE);
        ticket
    }

    pub(crate) fn query(&mut self, id: u64, consistency: Consistency) -> Ticket {
        let (now, ticket) = (self.now, self.ticket());
        self.node(id).query(now, ticket, GROUP, Bytes::new(), consistency, PATIENCE);
        ticket
    }

    /// What the whole group holds, as this node reads it.
    pub(crate) fn read(&mut self, id: u64) -> String {
        let ticket = self.query(id, Consistency::Linearizable);
        self.run(Duration::from_millis(200));
        self.done(id, ticket)
    }

    pub(crate) fn replica(&self, id: u64) -> ReplicaId {
        self.stations[&id].node.replica()
    }

    pub(crate) fn change(&mut self, id: u64, change: MembershipChange) -> Ticket {
        let (now, ticket) = (self.now, self.ticket());
        self.node(id).change_membership(now, ticket, GROUP, change, PATIENCE);
        ticket
    }

    pub(crate) fn transfer(&mut self, id: u64, to: Option<u64>) -> Ticket {
        let (now, ticket) = (self.now, self.ticket());
        self.node(id).transfer_leadership(now, ticket, GROUP, to.map(NodeId::new), PATIENCE);
        ticket
    }

    /// The nodes that vote as far as this one knows; `None` while voters are changing or are to change.
    pub(crate) fn voters(&mut self, id: u64) -> Option<Vec<u64>> {
        let membership = self.node(id).core(GROUP)?.membership();
        let is_settled = !membership.is_joint() && membership.learners().is_empty();
        is_settled.then(|| membership.voters().voters().iter().map(|v| v.node.as_u64()).collect())
    }

    pub(crate) fn answer(&self, id: u64, ticket: Ticket) -> Option<&Outcome> {
        self.stations[&id].answers.get(&ticket)
    }

    pub(crate) fn done(&self, id: u64, ticket: Ticket) -> String {
        match self.answer(id, ticket) {
            Some(Outcome::Done(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}
