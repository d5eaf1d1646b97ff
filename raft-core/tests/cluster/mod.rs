//! A few replicas in one place, with time, disk and network in the hands of the test.
//!
//! Messages and writes wait until the test lets them through. After every step the invariants of each replica
//! are checked, and that no two lead in one term.

#![allow(dead_code)] // Each test file uses its own part of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use raft_core::{
    Configuration, Content, DiskId, Effect, LogChange, LogId, LogIndex, Membership, Message, NodeId, Options,
    Persist, PersistToken, Raft, ReadId, ReplicaId, Restored, RoleKind, Term, TermRuns, Time,
};

pub(crate) struct Replica {
    pub(crate) raft: Raft,
    /// What an fsync has reached: term, vote and log, in the order the core asked for them.
    pub(crate) disk: Restored,
    /// Writes asked for and not yet done, and the memberships among the entries of each.
    pub(crate) writes: VecDeque<(Persist, Vec<(LogIndex, Membership)>)>,
    /// In force at the start of the log on disk.
    pub(crate) base: Membership,
    pub(crate) committed: LogIndex,
    pub(crate) ready: Vec<(ReadId, LogIndex)>,
    pub(crate) failed: Vec<ReadId>,
    pub(crate) faults: Vec<raft_core::Law>,
    /// Where the membership in force stands, and the last one that is committed.
    pub(crate) active: LogIndex,
    pub(crate) settled: LogIndex,
    /// Snapshots asked for, and the one to be installed.
    pub(crate) needed: Vec<(NodeId, LogIndex)>,
    pub(crate) installing: Option<raft_core::Snapshot>,
    pub(crate) aborted: Vec<NodeId>,
    pub(crate) withdrawn: Vec<Term>,
    pub(crate) is_up: bool,
}

pub(crate) struct Cluster {
    pub(crate) now: Time,
    pub(crate) replicas: BTreeMap<u64, Replica>,
    pub(crate) wire: VecDeque<(u64, u64, Message)>,
    /// Links that lose everything, as (from, to).
    pub(crate) cut: Vec<(u64, u64)>,
    /// Nodes whose writes stay on their way until told otherwise.
    pub(crate) slow_disks: Vec<u64>,
    leaders: BTreeMap<Term, NodeId>,
    voters: Vec<ReplicaId>,
    pub(crate) options: Options,
    seed: u64,
}

pub(crate) fn replica(node: u64) -> ReplicaId {
    ReplicaId::new(NodeId::new(node), DiskId::new(u128::from(node) << 96))
}

pub(crate) fn index(i: u64) -> LogIndex {
    LogIndex::new(i)
}

pub(crate) fn id(i: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), index(i))
}

impl Cluster {
    /// `voters` replicas numbered from 1, in a fresh group.
    pub(crate) fn new(voters: u64) -> Self {
        Self::with_seed(voters, 1)
    }

    pub(crate) fn with_seed(voters: u64, seed: u64) -> Self {
        let mut cluster = Self {
            now: Time::ZERO,
            replicas: BTreeMap::new(),
            wire: VecDeque::new(),
            cut: Vec::new(),
            slow_disks: Vec::new(),
            leaders: BTreeMap::new(),
            voters: (1..=voters).map(replica).collect(),
            options: Options::default(),
            seed,
        };
        for node in 1..=voters {
            let genesis = Configuration::new(cluster.voters.iter().copied()).unwrap();
            cluster.open(node, genesis.into(), Restored::default());
        }
        cluster
    }

    /// A standing learner beside the voters, admitted by all of them.
    pub(crate) fn add_learner(&mut self, node: u64) {
        self.add_blank(node);
        let now = self.now;
        for voter in self.voters.clone() {
            self.replicas.get_mut(&voter.node.as_u64()).unwrap().raft.admit_learner(now, replica(node));
        }
    }

    /// A replica that holds nothing and waits to be added.
    pub(crate) fn add_blank(&mut self, node: u64) {
        self.open(node, Membership::none(), Restored::default());
    }

    fn core(&self, node: u64, membership: Membership, restored: Restored) -> Raft {
        Raft::new(
            replica(node),
            membership,
            self.options.clone(),
            restored,
            self.seed ^ (node << 32),
            self.now,
        )
    }

    pub(crate) fn open(&mut self, node: u64, base: Membership, disk: Restored) {
        let raft = self.core(node, base.clone(), disk.clone());
        self.replicas.insert(node, Replica::new(raft, base, disk));
    }

    /// The process dies: what was not written is gone.
    pub(crate) fn crash(&mut self, node: u64) {
        self.at(node).is_up = false;
        self.wire.retain(|(from, to, _)| *from != node && *to != node);
        for other in self.nodes() {
            if other != node {
                let now = self.now;
                self.at(other).raft.peer_unreachable(now, NodeId::new(node));
                self.drain(other);
            }
        }
    }

    pub(crate) fn restart(&mut self, node: u64) {
        let (base, disk) = (self.at(node).base.clone(), self.at(node).disk.clone());
        self.open(node, base, disk);
    }

    pub(crate) fn at(&mut self, node: u64) -> &mut Replica {
        self.replicas.get_mut(&node).unwrap()
    }

    pub(crate) fn raft(&mut self, node: u64) -> &mut Raft {
        &mut self.at(node).raft
    }

    pub(crate) fn nodes(&self) -> Vec<u64> {
        self.replicas.iter().filter(|(_, r)| r.is_up).map(|(n, _)| *n).collect()
    }

    /// Cuts a node from all others, both ways.
    pub(crate) fn isolate(&mut self, node: u64) {
        for other in self.replicas.keys().copied().filter(|o| *o != node) {
            self.cut.extend([(node, other), (other, node)]);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn leader(&self) -> Option<u64> {
        let leads = |r: &Replica| r.is_up && r.raft.soft_state().role == RoleKind::Leader;
        let of = |n: &u64| self.replicas[n].raft.hard_state().term;
        self.replicas.iter().filter(|(_, r)| leads(r)).map(|(n, _)| *n).max_by_key(of)
    }

    /// Takes what a core decided to the disk queue, the wire and the books.
    pub(crate) fn drain(&mut self, node: u64) {
        let slow = self.slow_disks.contains(&node);
        loop {
            let now = self.now;
            let replica = self.replicas.get_mut(&node).unwrap();
            let mut leads = None;
            while let Some(effect) = replica.raft.poll_effect() {
                match effect {
                    Effect::Persist(persist) => {
                        let memberships = match &persist.log {
                            LogChange::Append { entries, .. } => {
                                let (after, last) = (entries.before().index, entries.last_index());
                                replica.raft.memberships_between(after, last).to_vec()
                            }
                            _ => Vec::new(),
                        };
                        replica.writes.push_back((persist, memberships));
                    }
                    Effect::Send { to, message } => self.wire.push_back((node, to.as_u64(), message)),
                    Effect::Commit { index } => {
                        assert!(index > replica.committed, "commit never falls");
                        replica.committed = index;
                    }
                    Effect::ReadReady { read, index } => replica.ready.push((read, index)),
                    Effect::ReadFailed { read, .. } => replica.failed.push(read),
                    Effect::RoleChanged(state) if state.role == RoleKind::Leader => leads = Some(state.term),
                    Effect::RoleChanged(_) | Effect::Truncated { .. } => {}
                    Effect::MembershipActive { index } => replica.active = index,
                    Effect::MembershipCommitted { index } => replica.settled = index,
                    Effect::NeedSnapshot { peer, at_least } => replica.needed.push((peer, at_least)),
                    Effect::InstallSnapshot { snapshot, .. } => replica.installing = Some(snapshot),
                    Effect::TransferAborted { to } => replica.aborted.push(to),
                    Effect::Withdraw { term } => replica.withdrawn.push(term),
                    Effect::Fault { law } => replica.faults.push(law),
                }
            }
            replica.raft.check_invariants().unwrap();
            let peers: Vec<NodeId> = replica.raft.peers().collect();
            for peer in peers {
                while let Some(append) =
                    replica.raft.poll_append(peer, |range, _| Some((range.last_index(), range.len())))
                {
                    self.wire.push_back((node, peer.as_u64(), Message::Append(append)));
                }
            }
            if let Some(term) = leads {
                let other = self.leaders.insert(term, NodeId::new(node));
                assert!(other.is_none_or(|n| n.as_u64() == node), "two leaders in term {term}");
            }
            if slow || replica.writes.is_empty() {
                return;
            }
            let token = replica.write_all();
            replica.raft.persisted(now, token);
        }
    }

    /// Lets the disk of a node finish what it has.
    pub(crate) fn finish_writes(&mut self, node: u64) {
        let now = self.now;
        let replica = self.at(node);
        if !replica.writes.is_empty() {
            let token = replica.write_all();
            replica.raft.persisted(now, token);
        }
        self.drain(node);
    }

    /// Delivers all messages, and those they cause, until none is left.
    pub(crate) fn settle(&mut self) {
        for node in self.nodes() {
            self.drain(node);
        }
        let mut steps = 0;
        while let Some((from, to, message)) = self.wire.pop_front() {
            steps += 1;
            assert!(steps < 100_000, "the replicas never stop talking");
            self.deliver(from, to, message);
        }
    }

    pub(crate) fn deliver(&mut self, from: u64, to: u64, message: Message) {
        let now = self.now;
        if self.cut.contains(&(from, to)) || !self.replicas.get(&to).is_some_and(|r| r.is_up) {
            return;
        }
        self.raft(to).receive(now, replica(from), message);
        self.drain(to);
    }

    /// Lets time pass in steps of ten milliseconds, delivering everything at once.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(10));
            let now = self.now;
            for node in self.nodes() {
                self.raft(node).tick(now);
            }
            self.settle();
        }
    }

    /// Runs until one leads that has committed in its own term.
    pub(crate) fn elect(&mut self) -> u64 {
        for _ in 0..1_000 {
            self.run(Duration::from_millis(10));
            if let Some(leader) = self.leader().filter(|l| self.replicas[l].raft.is_serving()) {
                return leader;
            }
        }
        panic!("no leader within ten seconds");
    }

    pub(crate) fn propose(&mut self, node: u64, count: u64) -> raft_core::Proposed {
        let proposed = self.raft(node).propose(count).unwrap();
        self.drain(node);
        proposed
    }

    /// Every replica that is up holds the same log, all of it committed.
    pub(crate) fn assert_converged(&mut self) {
        self.run(Duration::from_secs(2));
        let nodes = self.nodes();
        let log = self.replicas[&nodes[0]].raft.log().clone();
        for node in nodes {
            let replica = &self.replicas[&node];
            assert_eq!(replica.raft.log(), &log, "node {node}");
            assert_eq!(replica.committed, log.last_index(), "node {node}");
            assert_eq!(replica.faults, [], "node {node}");
        }
    }
}

impl Replica {
    fn new(raft: Raft, base: Membership, disk: Restored) -> Self {
        let committed = disk.log.before().index;
        let writes = VecDeque::new();
        Self {
            raft,
            disk,
            writes,
            base,
            committed,
            ready: vec![],
            failed: vec![],
            faults: vec![],
            active: LogIndex::ZERO,
            settled: LogIndex::ZERO,
            needed: vec![],
            installing: None,
            aborted: vec![],
            withdrawn: vec![],
            is_up: true,
        }
    }

    /// Puts all queued writes on the disk. Returns the last token.
    fn write_all(&mut self) -> PersistToken {
        let mut last = None;
        while let Some((write, memberships)) = self.writes.pop_front() {
            if let Some(hard_state) = write.hard_state {
                assert!(hard_state.term >= self.disk.hard_state.term, "terms on disk never fall");
                self.disk.hard_state = hard_state;
            }
            match write.log {
                LogChange::Unchanged => {}
                LogChange::Append { cut, entries, content } => {
                    if let Some(after) = cut {
                        self.disk.log.truncate(after);
                        self.disk.memberships.retain(|(index, _)| *index <= after);
                    }
                    assert_eq!(entries.before(), self.disk.log.last_id(), "appends follow the log on disk");
                    self.disk.log.extend(&entries);
                    if let Content::Membership(membership) = content {
                        self.disk.memberships.push((entries.last_index(), membership));
                    } else {
                        self.disk.memberships.extend(memberships);
                    }
                }
                LogChange::Restart { after } => {
                    self.disk.log = TermRuns::empty(after);
                    self.disk.memberships.clear();
                    self.base = self.raft.membership_at(after.index).unwrap().clone();
                }
            }
            last = Some(write.token);
        }
        last.expect("called with writes queued")
    }
}

/// The log of these terms, one entry each, from index 1.
pub(crate) fn log_of(terms: &[u64]) -> TermRuns {
    let mut log = TermRuns::empty(LogId::ZERO);
    for term in terms {
        log.append(Term::new(*term), 1);
    }
    log
}
