//! Three nodes of raft-core, on one thread.
//!
//! The host is the least that the contract asks for: payloads go from the leader's log to the follower's, which copies
//! them, whichever kind of log it is; each follower is sent one append a round, as if its connection had room for one. News of the commit index goes
//! with the next append.

use std::sync::Arc;

use raft_core::{
    AppendRequest, Configuration, DiskId, Effect, LogChange, LogIndex, Message, NodeId, Options, Raft,
    ReplicaId, Restored, TermRuns, Time,
};

use crate::Group;
use crate::store::Payloads;
use crate::work::{Client, Machine, assert_same};

struct Node<L> {
    raft: Raft,
    log: L,
    machine: Machine,
    applied: u64,
}

/// The group, with logs of this kind. Node 1 leads.
pub struct Cluster<L> {
    leader: Node<L>,
    followers: [Node<L>; 2],
    client: Client,
    outbox: Vec<(NodeId, Message)>,
}

pub(crate) fn replica(node: u64) -> ReplicaId {
    ReplicaId::new(NodeId::new(node), DiskId::new(u128::from(node)))
}

/// The voters of a group of three.
pub(crate) fn voters() -> Configuration {
    Configuration::new([1, 2, 3].map(replica)).expect("three voters")
}

/// A replica of such a group that has no history.
pub(crate) fn node(id: u64, voters: Configuration, options: &Arc<Options>) -> Raft {
    Raft::new(replica(id), voters, options.clone(), Restored::default(), id, Time::ZERO)
}

impl<L: Payloads> Node<L> {
    fn new(id: u64, options: &Arc<Options>) -> Self {
        Self { raft: node(id, voters(), options), log: L::default(), machine: Machine::default(), applied: 0 }
    }

    /// Does what the core decided. The payloads of entries that are new here are in `source`, by index.
    fn drain(
        &mut self,
        source: Option<&L>,
        mut send: impl FnMut(NodeId, Message),
        mut completed: impl FnMut(u64),
    ) {
        loop {
            match self.raft.poll_effect() {
                Some(Effect::Persist(write)) => {
                    if let LogChange::Append { cut, entries, .. } = write.log {
                        if let Some(after) = cut {
                            self.log.truncate_from(after.as_u64() + 1);
                        }
                        self.append(&entries, source);
                    }
                    self.raft.persisted(Time::ZERO, write.token);
                }
                Some(Effect::Send { to, message }) => send(to, message),
                Some(Effect::Commit { index }) => {
                    let index = index.as_u64();
                    for at in self.applied + 1..=index {
                        let (_, payload) = self.log.get(at);
                        // A leader opens its term with an empty entry.
                        if !payload.is_empty() {
                            completed(self.machine.apply(payload));
                        }
                    }
                    self.applied = index;
                }
                Some(Effect::Fault { law }) => panic!("{law}"),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Stores entries of this shape, but for those that are stored: a leader stored its client's when it proposed.
    fn append(&mut self, shape: &TermRuns, source: Option<&L>) {
        let (next, end) = (self.log.next(), shape.last_index().as_u64() + 1);
        match source {
            Some(source) => {
                for index in next..end {
                    let (term, payload) = source.get(index);
                    self.log.push(term, payload);
                }
            }
            None => {
                for _ in next..end {
                    self.log.push(shape.last_id().term.as_u64(), &[]);
                }
            }
        }
    }

    /// What may go of a range: as many entries as fit, once their terms are found to be those of the range.
    fn read(log: &L, shape: &TermRuns, room: u64) -> Option<(LogIndex, u64)> {
        let mut bytes = 0;
        let mut last = None;
        let first = shape.before().index.as_u64() + 1;
        let term = shape.last_id().term.as_u64();
        for index in first..=shape.last_index().as_u64() {
            let (found, payload) = log.get(index);
            let with = bytes + payload.len() as u64;
            if found != term || (with > room && last.is_some()) {
                break;
            }
            bytes = with;
            last = Some(index);
        }
        Some((LogIndex::new(last?), bytes))
    }
}

impl<L: Payloads> Default for Cluster<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Payloads> Cluster<L> {
    /// Three nodes, the first of which leads.
    pub fn new() -> Self {
        let options = Arc::new(Options::default());
        let mut cluster = Self {
            leader: Node::new(1, &options),
            followers: [2, 3].map(|id| Node::new(id, &options)),
            client: Client::default(),
            outbox: Vec::new(),
        };
        cluster.leader.raft.tick(Time::ZERO);
        while !cluster.leader.raft.is_serving() {
            cluster.round();
        }
        cluster
    }

    /// The leader sends what was proposed, the followers take and answer it, the leader hears both answers.
    fn round(&mut self) {
        self.drain_leader();
        while let Some((to, message)) = self.outbox.pop() {
            self.deliver(to, message);
            self.drain_leader();
        }
        for at in 0..2 {
            let peer = self.followers[at].raft.me().node;
            if let Some(append) = self.poll(peer) {
                self.deliver(peer, Message::Append(append));
            }
        }
        self.drain_leader();
    }

    fn poll(&mut self, peer: NodeId) -> Option<AppendRequest> {
        let Node { raft, log, .. } = &mut self.leader;
        raft.poll_append(peer, |shape, room| Node::read(log, shape, room))
    }

    fn deliver(&mut self, to: NodeId, message: Message) {
        let Self { leader, followers, .. } = self;
        let follower = &mut followers[to.as_u64() as usize - 2];
        let from = follower.raft.me();
        follower.raft.receive(Time::ZERO, leader.raft.me(), message);
        follower.drain(Some(&leader.log), |_, reply| leader.raft.receive(Time::ZERO, from, reply), |_| {});
    }

    fn drain_leader(&mut self) {
        let Self { leader, client, outbox, .. } = self;
        leader.drain(None, |to, message| outbox.push((to, message)), |answer| client.complete(answer));
    }
}

impl<L: Payloads> Group for Cluster<L> {
    fn run(&mut self, depth: usize, entries: u64) {
        let end = self.client.proposed() + entries;
        while self.client.proposed() < end || self.client.outstanding() > 0 {
            while self.client.proposed() < end && self.client.outstanding() < depth {
                let Node { raft, log, .. } = &mut self.leader;
                let proposed = raft.propose(1).expect("a leader takes proposals");
                log.push(proposed.term.as_u64(), self.client.propose());
            }
            self.round();
        }
        // The followers learn of the last commit with the next append, or now.
        self.round();
        let [a, b] = &self.followers;
        assert_same([&self.leader.machine, &a.machine, &b.machine], end);
    }
}
