//! Three nodes of the crate `raft` (raft-rs), stepped by hand on one thread.
//!
//! Chosen because each was found to be as fast or faster here than its alternative: the asynchronous ready
//! (`advance_append_async`, `on_persist_ready`), appends batched (`batch_append`) and without a limit of bytes, the
//! commit index sent with the next append only (`skip_bcast_commit`), the protobuf codec (its entries hold [`Bytes`],
//! which are shared where those of the other codec are copied), proposals stepped in as messages so that their bytes
//! need no allocation of their own, and no log level compiled in. Pre-vote and check-quorum are off: they cost nothing
//! without elections.
//!
//! [`Bytes`]: bytes::Bytes

use raft::eraftpb::{ConfState, Entry, HardState, Message, MessageType, Snapshot};
use raft::storage::{RaftState, Storage};
use raft::{Config, GetEntriesContext, RawNode, Ready, StateRole, StorageError, util};

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
    /// Stores what a ready holds. The bytes of entries that come from another node are copied for this log.
    pub(crate) fn store(&mut self, ready: &mut Ready, are_own: bool) {
        for mut entry in ready.take_entries() {
            if entry.index < self.log.next() {
                self.log.truncate_from(entry.index);
            }
            if !are_own {
                entry.data = self.log.keep(&entry.data);
            }
            self.log.push(entry);
        }
        if let Some(hard_state) = ready.hs() {
            self.hard_state = hard_state.clone();
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
}

/// A node of a group of three that has no history.
pub(crate) fn node(config: &Config) -> RawNode<Store> {
    let store =
        Store { voters: ConfState { voters: vec![1, 2, 3], ..ConfState::default() }, ..Store::default() };
    let logger = slog::Logger::root(slog::Discard, slog::o!());
    RawNode::new(config, store, &logger).expect("a valid configuration")
}

fn fastest(id: u64) -> Config {
    Config {
        id,
        max_size_per_msg: raft::NO_LIMIT,
        max_inflight_msgs: 256,
        batch_append: true,
        skip_bcast_commit: true,
        ..Config::default()
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// Three nodes, the first of which leads.
    pub fn new() -> Self {
        let nodes = [1, 2, 3].map(|id| Node {
            raft: node(&fastest(id)),
            machine: Machine::default(),
            inbox: Vec::new(),
        });
        let mut cluster = Self { nodes, client: Client::default() };
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
        node.mut_store().store(&mut ready, at == 0);
        let persisted = ready.take_persisted_messages();
        let number = ready.number();
        node.advance_append_async(ready);
        node.on_persist_ready(number);
        node.advance_apply();
        self.send(persisted);
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
