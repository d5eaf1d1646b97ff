//! Three nodes of the crate `raft` (raft-rs), stepped by hand on one thread.

use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};
use raft::storage::{RaftState, Storage};
use raft::{Config, GetEntriesContext, RawNode, StateRole, StorageError, util};

use crate::Group;
use crate::store::Log;
use crate::work::{Client, Machine, assert_same};

/// What raft-rs reads its log from.
#[derive(Default)]
pub struct Store {
    log: Log<Entry>,
    hard_state: HardState,
    voters: ConfState,
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.voters.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.log.first() {
            return Err(StorageError::Compacted.into());
        }
        let mut entries: Vec<Entry> = self.log.range(low..high).cloned().collect();
        util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.log.get(index) {
            Some(entry) => Ok(entry.term),
            None if index == 0 => Ok(0),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.log.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.log.next() - 1)
    }

    fn snapshot(&self, _: u64, _: u64) -> raft::Result<Snapshot> {
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

impl Store {
    /// Stores entries. The bytes of those that come from another node are copied for this log.
    fn append(&mut self, entries: Vec<Entry>, are_own: bool) {
        for mut entry in entries {
            if entry.index < self.log.next() {
                self.log.truncate_from(entry.index);
            }
            if !are_own {
                entry.data = self.log.keep(&entry.data);
            }
            self.log.push(entry);
        }
    }
}

struct Node {
    raft: RawNode<Store>,
    machine: Machine,
    inbox: Vec<Message>,
}

/// The group. Node 1 leads.
pub struct Cluster {
    nodes: [Node; 3],
    client: Client,
    mode: u32,
}

/// A node of a group of three.
pub fn node(id: u64) -> RawNode<Store> {
    let env = std::env::var("RR").unwrap_or_default();
    let config = Config {
        id,
        max_size_per_msg: if env.contains('m') { 1<<20 } else {u64::MAX},
        max_inflight_msgs: 256,
        batch_append: !env.contains('b'),
        skip_bcast_commit: !env.contains('s'),
        pre_vote: true,
        ..Config::default()
    };
    let store =
        Store { voters: ConfState { voters: vec![1, 2, 3], ..ConfState::default() }, ..Store::default() };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(&config, store, &logger).expect("a valid configuration")
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// Three nodes, the first of which leads.
    pub fn new() -> Self {
        let nodes = [1, 2, 3].map(|id| Node { raft: node(id), machine: Machine::default(), inbox: Vec::new() });
        let env = std::env::var("RR").unwrap_or_default();
        let mut cluster = Self { nodes, client: Client::default(), mode: if env.contains('a') {1} else {0} };
        cluster.nodes[0].raft.campaign().expect("a voter may campaign");
        while cluster.nodes[0].raft.raft.state != StateRole::Leader || cluster.is_busy() {
            cluster.round();
        }
        cluster
    }

    /// What `RawNode::propose` does, but that the entry's bytes lie in a block of the log instead of a `Vec` of
    /// their own: raft-rs is faster so.
    fn propose(&mut self) {
        let payload = self.client.propose();
        let raft = &mut self.nodes[0].raft;
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = 1;
        let data = raft.mut_store().log.keep(payload);
        message.set_entries(vec![Entry { data, ..Entry::default() }].into());
        raft.step(message).expect("a leader takes proposals");
    }

    fn is_busy(&self) -> bool {
        self.nodes.iter().any(|node| node.raft.has_ready() || !node.inbox.is_empty())
    }

    /// The leader sends what was proposed, the followers take and answer it, the leader hears both answers.
    fn round(&mut self) {
        self.work(0);
        self.turn(1);
        self.turn(2);
        self.turn(0);
    }

    fn turn(&mut self, at: usize) {
        if self.nodes[at].inbox.is_empty() {
            return;
        }
        let mut inbox = std::mem::take(&mut self.nodes[at].inbox);
        for message in inbox.drain(..) {
            self.nodes[at].raft.step(message).expect("a message of a member");
        }
        self.nodes[at].inbox = inbox;
        self.work(at);
    }

    fn work(&mut self, at: usize) {
        if !self.nodes[at].raft.has_ready() {
            return;
        }
        let mut ready = self.nodes[at].raft.ready();
        self.send(ready.take_messages());
        self.apply(at, ready.take_committed_entries());
        let node = &mut self.nodes[at].raft;
        let store = node.mut_store();
        store.append(ready.take_entries(), at == 0);
        if let Some(hard_state) = ready.hs() {
            store.hard_state = hard_state.clone();
        }
        let persisted = ready.take_persisted_messages();
        if self.mode == 0 {
            let mut light = node.advance(ready);
            self.send(persisted);
            self.send(light.take_messages());
            self.apply(at, light.take_committed_entries());
            self.nodes[at].raft.advance_apply();
        } else {
            let number = ready.number();
            node.advance_append_async(ready);
            node.on_persist_ready(number);
            node.advance_apply();
            self.send(persisted);
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.nodes[message.to as usize - 1].inbox.push(message);
        }
    }

    fn apply(&mut self, at: usize, entries: Vec<Entry>) {
        let node = &mut self.nodes[at];
        for entry in entries {
            // A leader opens its term with an empty entry.
            if !entry.data.is_empty() {
                let answer = node.machine.apply(&entry.data);
                if at == 0 {
                    self.client.complete(answer);
                }
            }
        }
    }
}

impl Group for Cluster {
    fn run(&mut self, depth: usize, entries: u64) {
        let end = self.client.proposed() + entries;
        while self.client.proposed() < end || self.client.outstanding() > 0 {
            while self.client.proposed() < end && self.client.outstanding() < depth {
                self.propose();
            }
            self.round();
        }
        self.nodes[0].raft.ping();
        while self.is_busy() {
            self.round();
        }
        let [a, b, c] = &self.nodes;
        assert_same([&a.machine, &b.machine, &c.machine], end);
    }
}
