//! A few replicas in one place, with time, disk and network in the hands of the test.
//!
//! Messages and writes wait until the test lets them through. After every step the invariants of each replica are
//! checked, and over all of them the laws of Raft's figure 3: one leader in a term, a leader holds all that was
//! committed, and nobody commits another entry at an index.

#![allow(dead_code)] // Each test file uses its own part of it.

mod names;
mod replica;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use raft_core::{
    BootId, ChangeError, Configuration, Effect, Liveness, LogChange, LogIndex, Membership, MembershipChange,
    Message, NodeId, Options, Proposed, Raft, ReadId, ReplicaId, Restored, RoleKind, Term, TermRuns, Time,
};

pub(crate) use names::*;
pub(crate) use replica::Replica;

pub(crate) struct Cluster {
    pub(crate) now: Time,
    pub(crate) replicas: BTreeMap<u64, Replica>,
    pub(crate) wire: VecDeque<(u64, u64, Message)>,
    /// Links that lose everything, as (from, to).
    pub(crate) cut: Vec<(u64, u64)>,
    /// Nodes whose writes stay on their way until told otherwise.
    pub(crate) slow_disks: Vec<u64>,
    /// Whether hosts offer snapshots by themselves, at once.
    pub(crate) hosts_serve_snapshots: bool,
    /// Whether they install them at once, too.
    pub(crate) installation_takes_no_time: bool,
    /// Whether hosts tell their cores how the other nodes fare, and hand on withdrawals.
    pub(crate) hosts_watch_nodes: bool,
    pub(crate) options: Options,
    /// Is shown every effect, and every append that a leader built.
    pub(crate) observer: Option<fn(u64, &Raft, &Effect) -> String>,
    /// What it made of them.
    pub(crate) seen: Vec<String>,
    /// How many appends with entries leaders have built.
    pub(crate) appends_built: usize,
    boots: BTreeMap<u64, u64>,
    disks: BTreeMap<u64, u64>,
    withdrawals: Vec<(u64, u64, Term)>,
    leaders: BTreeMap<Term, NodeId>,
    /// The term of every entry that any replica has called committed.
    truth: BTreeMap<LogIndex, Term>,
    voters: Vec<ReplicaId>,
    seed: u64,
}

impl Cluster {
    /// `voters` replicas numbered from 1, in a fresh group.
    pub(crate) fn new(voters: u64) -> Self {
        Self::with_seed(voters, 1)
    }

    /// One whose hosts tell how other nodes fare, so that it may sleep.
    pub(crate) fn watched(voters: u64) -> Self {
        let mut made = Self::new(voters);
        made.hosts_watch_nodes = true;
        made.tell_liveness();
        made
    }

    pub(crate) fn with_seed(voters: u64, seed: u64) -> Self {
        Self::with_options(voters, seed, Options::default())
    }

    pub(crate) fn with_options(voters: u64, seed: u64, options: Options) -> Self {
        let mut cluster = Self {
            now: Time::ZERO,
            replicas: BTreeMap::new(),
            wire: VecDeque::new(),
            cut: Vec::new(),
            slow_disks: Vec::new(),
            hosts_serve_snapshots: true,
            installation_takes_no_time: true,
            hosts_watch_nodes: false,
            options,
            observer: None,
            seen: Vec::new(),
            appends_built: 0,
            boots: BTreeMap::new(),
            disks: BTreeMap::new(),
            withdrawals: Vec::new(),
            leaders: BTreeMap::new(),
            truth: BTreeMap::new(),
            voters: (1..=voters).map(replica).collect(),
            seed,
        };
        for node in 1..=voters {
            let genesis = Configuration::new(cluster.voters.iter().copied()).unwrap();
            cluster.open(node, genesis.into(), Restored::default());
        }
        cluster
    }

    /// A group whose logs are these, of these terms, with `hard` as the term of all.
    pub(crate) fn of_logs(hard: u64, logs: &[&[u64]]) -> Self {
        let mut cluster = Self::new(logs.len() as u64);
        for (at, log) in logs.iter().enumerate() {
            let node = at as u64 + 1;
            let base = cluster.at(node).base.clone();
            let hard_state = raft_core::HardState { term: term(hard), vote: None };
            cluster.open(node, base, Restored { hard_state, log: log_of(log), ..Restored::default() });
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

    /// Who runs on a node now.
    pub(crate) fn id_of(&self, node: u64) -> ReplicaId {
        incarnation(node, self.disks.get(&node).copied().unwrap_or(0))
    }

    pub(crate) fn open(&mut self, node: u64, base: Membership, disk: Restored) {
        *self.boots.entry(node).or_default() += 1;
        let seed = self.seed ^ (node << 32) ^ (self.boots[&node] << 48);
        let me = self.id_of(node);
        let raft = Raft::new(me, base.clone(), self.options.clone(), disk.clone(), seed, self.now);
        self.replicas.insert(node, Replica::new(raft, base, disk));
        self.tell_liveness();
    }

    /// The process dies: what was not written is gone.
    pub(crate) fn crash(&mut self, node: u64) {
        self.at(node).is_up = false;
        self.wire.retain(|(from, to, _)| *from != node && *to != node);
        self.withdrawals.retain(|(from, to, _)| *from != node && *to != node);
        let now = self.now;
        for other in self.nodes() {
            self.at(other).raft.peer_unreachable(now, NodeId::new(node));
            self.drain(other);
        }
        self.tell_liveness();
    }

    /// So many of the writes on their way get to the disk, and nobody will report them: the process is about to die.
    pub(crate) fn write_unseen(&mut self, node: u64, count: u64) {
        for _ in 0..count {
            self.at(node).write_one();
        }
    }

    pub(crate) fn restart(&mut self, node: u64) {
        let (base, disk) = (self.at(node).base.clone(), self.at(node).disk.clone());
        self.open(node, base, disk);
    }

    /// A node that is down gets an empty disk. Comes back as another replica, which holds nothing.
    pub(crate) fn restart_with_empty_disk(&mut self, node: u64) -> ReplicaId {
        *self.disks.entry(node).or_default() += 1;
        self.wire.retain(|(from, to, _)| *from != node && *to != node); // They are for and from another replica.
        self.add_blank(node);
        self.id_of(node)
    }

    /// What a node that is down holds after `keep` can no longer be read.
    pub(crate) fn damage(&mut self, node: u64, keep: u64) {
        let disk = &mut self.at(node).disk;
        let extent = disk.log.last_id();
        disk.log.truncate(index(keep));
        disk.memberships.retain(|(at, _)| *at <= index(keep));
        disk.doubt = disk.doubt.max(Some(extent));
    }

    pub(crate) fn at(&mut self, node: u64) -> &mut Replica {
        self.replicas.get_mut(&node).unwrap()
    }

    pub(crate) fn raft(&mut self, node: u64) -> &mut Raft {
        &mut self.at(node).raft
    }

    pub(crate) fn committed(&self, node: u64) -> LogIndex {
        self.replicas[&node].committed
    }

    /// The last entry that any replica ever called committed.
    pub(crate) fn last_committed(&self) -> LogIndex {
        self.truth.last_key_value().map_or(LogIndex::ZERO, |(index, _)| *index)
    }

    /// The reads of a node that may be served, and from which index on.
    pub(crate) fn ready(&self, node: u64) -> &[(ReadId, LogIndex)] {
        &self.replicas[&node].ready
    }

    pub(crate) fn role(&self, node: u64) -> RoleKind {
        self.replicas[&node].raft.soft_state().role
    }

    pub(crate) fn nodes(&self) -> Vec<u64> {
        self.replicas.iter().filter(|(_, r)| r.is_up).map(|(n, _)| *n).collect()
    }

    /// A node that is up and is not `node`.
    pub(crate) fn other(&self, node: u64) -> u64 {
        self.nodes().into_iter().find(|n| *n != node).unwrap()
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

    /// Every host says of every other node whether it lives, and in which life.
    pub(crate) fn tell_liveness(&mut self) {
        if !self.hosts_watch_nodes {
            return;
        }
        for node in self.nodes() {
            self.tell_liveness_to(node);
            self.drain(node);
        }
    }

    fn tell_liveness_to(&mut self, to: u64) {
        let now = self.now;
        let others: Vec<u64> = self.replicas.keys().copied().filter(|other| *other != to).collect();
        for other in others {
            let is_heard = self.replicas[&other].is_up && !self.cut.contains(&(other, to));
            let liveness = match is_heard {
                true => Liveness::Live(BootId::new(self.boots[&other])),
                false => Liveness::Silent,
            };
            self.raft(to).node_liveness(now, NodeId::new(other), liveness);
        }
    }

    /// Takes what a core decided to the disk queue, the wire and the books.
    pub(crate) fn drain(&mut self, node: u64) {
        let slow = self.slow_disks.contains(&node);
        loop {
            let now = self.now;
            let mut is_reconfigured = false;
            while let Some(effect) = self.at(node).raft.poll_effect() {
                is_reconfigured |= matches!(effect, Effect::MembershipActive { .. });
                self.take(node, effect);
            }
            let serves = self.hosts_serve_snapshots;
            let replica = self.replicas.get_mut(&node).unwrap();
            replica.raft.check_invariants().unwrap();
            let peers: Vec<NodeId> = replica.raft.peers().collect();
            for peer in peers {
                while let Some(append) = self.at(node).raft.poll_append(peer, read_entries) {
                    self.appends_built += usize::from(!append.entries.is_empty());
                    self.take(node, Effect::Send { to: peer, message: Message::Append(append) });
                }
            }
            if serves {
                self.at(node).serve_snapshots();
            }
            if is_reconfigured && self.hosts_watch_nodes {
                self.tell_liveness_to(node);
                continue;
            }
            if serves && self.installation_takes_no_time && self.install(node) {
                continue;
            }
            let replica = self.replicas.get_mut(&node).unwrap();
            if !slow && !replica.writes.is_empty() {
                let token = replica.write_all();
                replica.raft.persisted(now, token);
                continue;
            }
            // A look for appends may have decided something too.
            match replica.raft.poll_effect() {
                Some(effect) => self.take(node, effect),
                None => return,
            }
        }
    }

    fn take(&mut self, node: u64, effect: Effect) {
        let replica = self.replicas.get_mut(&node).unwrap();
        if let Some(observer) = self.observer {
            self.seen.push(observer(node, &replica.raft, &effect));
        }
        match effect {
            Effect::Persist(persist) => {
                let memberships = match &persist.log {
                    LogChange::Append { entries, .. } => {
                        let (after, last) = (entries.before().index, entries.last_index());
                        replica.raft.memberships_between(after, last).to_vec()
                    }
                    LogChange::Restart { after } => {
                        vec![(after.index, replica.raft.membership_at(after.index).unwrap().clone())]
                    }
                    LogChange::Unchanged => Vec::new(),
                };
                replica.writes.push_back((persist, memberships));
            }
            Effect::Send { to, message } => self.wire.push_back((node, to.as_u64(), message)),
            Effect::Commit { index } => {
                assert!(index > replica.committed, "commit never falls");
                let first = replica.committed.next();
                replica.committed = index;
                self.check_committed(node, first, index);
            }
            Effect::ReadReady { read, index } => replica.ready.push((read, index)),
            Effect::ReadFailed { read, .. } => replica.failed.push(read),
            Effect::RoleChanged(state) if state.role == RoleKind::Leader => {
                self.check_leader(node, state.term)
            }
            Effect::RoleChanged(_) | Effect::Truncated { .. } => {}
            Effect::MembershipActive { index } => replica.active = index,
            Effect::MembershipCommitted { index } => replica.settled = index,
            Effect::NeedSnapshot { peer, at_least } => replica.needed.push((peer, at_least)),
            Effect::InstallSnapshot { snapshot, .. } => replica.installing = Some(snapshot),
            Effect::TransferAborted { to } => replica.aborted.push(to),
            Effect::Withdraw { term } => {
                replica.withdrawn.push(term);
                let others = self.replicas.keys().filter(|other| **other != node);
                self.withdrawals.extend(others.map(|other| (node, *other, term)));
            }
            Effect::Fault { law } => replica.faults.push(law),
        }
    }

    /// State Machine Safety: what one replica calls committed is what every other does, and every later leader has it.
    fn check_committed(&mut self, node: u64, first: LogIndex, last: LogIndex) {
        let raft = &self.replicas[&node].raft;
        for at in first.as_u64()..=last.as_u64() {
            let Some(term) = raft.log().term_at(index(at)) else { continue };
            let known = *self.truth.entry(index(at)).or_insert(term);
            assert_eq!(known, term, "node {node} commits another entry at {at}");
        }
        let term = raft.hard_state().term;
        for (other, replica) in &self.replicas {
            let state = replica.raft.soft_state();
            let is_later = replica.is_up && state.role == RoleKind::Leader && state.term > term;
            if is_later && replica.raft.log().before().index < last {
                let held = replica.raft.log().term_at(last);
                assert_eq!(
                    held,
                    self.truth.get(&last).copied(),
                    "leader {other} lacks committed entry {last}"
                );
            }
        }
    }

    /// Election Safety and Leader Completeness.
    fn check_leader(&mut self, node: u64, term: Term) {
        let other = self.leaders.insert(term, NodeId::new(node));
        assert!(other.is_none_or(|n| n.as_u64() == node), "two leaders in term {term}");
        let log = self.replicas[&node].raft.log();
        if let Some((last, held)) = self.truth.last_key_value()
            && log.before().index < *last
        {
            assert_eq!(log.term_at(*last), Some(*held), "leader {node} of term {term} lacks entry {last}");
        }
    }

    /// Lets the host install the snapshot it was asked for.
    pub(crate) fn install(&mut self, node: u64) -> bool {
        let Some(snapshot) = self.at(node).installing.take() else { return false };
        let last = snapshot.last;
        let known = *self.truth.get(&last.index).unwrap_or(&last.term);
        assert_eq!(known, last.term, "node {node} installs what is not committed");
        self.raft(node).snapshot_installed(last);
        let replica = self.at(node);
        replica.committed = replica.committed.max(replica.raft.commit());
        true
    }

    /// The log of a node starts after `to` from now on, also on its disk.
    pub(crate) fn compact(&mut self, node: u64, to: u64) {
        let to = index(to);
        self.finish_writes(node);
        let replica = self.at(node);
        replica.raft.compacted(to);
        if let Some(base) = replica.raft.membership_at(to) {
            replica.base = base.clone();
            replica.disk.log.compact(to);
            replica.disk.memberships.retain(|(at, _)| *at > to);
        }
        self.drain(node);
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

    /// Lets the disk of a node finish its oldest write.
    pub(crate) fn finish_write(&mut self, node: u64) {
        let now = self.now;
        let replica = self.at(node);
        if let Some(token) = replica.write_one() {
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
        if self.hosts_watch_nodes {
            self.deliver_withdrawals();
        }
    }

    fn deliver_withdrawals(&mut self) {
        let now = self.now;
        for (from, to, term) in std::mem::take(&mut self.withdrawals) {
            if self.cut.contains(&(from, to)) || !self.replicas[&to].is_up {
                self.withdrawals.push((from, to, term));
            } else {
                self.raft(to).leader_withdrew(now, NodeId::new(from), term);
                self.drain(to);
            }
        }
    }

    pub(crate) fn deliver(&mut self, from: u64, to: u64, message: Message) {
        let now = self.now;
        if self.cut.contains(&(from, to)) || !self.replicas.get(&to).is_some_and(|r| r.is_up) {
            return;
        }
        let from = self.id_of(from);
        self.raft(to).receive(now, from, message);
        self.drain(to);
    }

    /// Three voters, of which the first leads and has committed nothing: the disks of the others are slow.
    pub(crate) fn just_led() -> Self {
        let mut cluster = Self::new(3);
        cluster.slow_disks = vec![2, 3];
        cluster.run(Duration::from_millis(10));
        cluster.finish_writes(2);
        cluster.finish_writes(3);
        cluster.settle();
        assert!(cluster.leader() == Some(1) && !cluster.raft(1).is_serving());
        cluster
    }

    /// Lets time pass at once, and delivers nothing.
    pub(crate) fn tick_all(&mut self, time: Duration) {
        self.now = self.now.after(time);
        let now = self.now;
        for node in self.nodes() {
            self.raft(node).tick(now);
            self.drain(node);
        }
    }

    /// Lets time pass in steps of ten milliseconds, delivering everything at once.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(10));
            let now = self.now;
            for node in self.nodes() {
                self.raft(node).tick(now);
                let next = self.raft(node).next_deadline();
                assert!(next.is_none_or(|at| at > now), "node {node} wants to be ticked without end");
            }
            self.settle();
        }
    }

    /// Runs until `is_so`, at most ten seconds.
    pub(crate) fn run_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..1_000 {
            if is_so(self) {
                return;
            }
            self.run(Duration::from_millis(10));
        }
        panic!("not within ten seconds: {what}");
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

    pub(crate) fn propose(&mut self, node: u64, count: u64) -> Proposed {
        let proposed = self.raft(node).propose(count).unwrap();
        self.drain(node);
        proposed
    }

    pub(crate) fn change(&mut self, node: u64, change: MembershipChange) -> Result<Proposed, ChangeError> {
        let now = self.now;
        let proposed = self.raft(node).propose_membership(now, change);
        self.drain(node);
        proposed
    }

    pub(crate) fn read(&mut self, node: u64, read: u64) {
        let now = self.now;
        self.raft(node).read(now, ReadId(read)).unwrap();
        self.drain(node);
    }

    /// Who votes, as the log of a node says.
    pub(crate) fn voters_at(&self, node: u64) -> Vec<u64> {
        let membership = self.replicas[&node].raft.membership();
        membership.voters().voters().iter().map(|voter| voter.node.as_u64()).collect()
    }

    /// Every replica that is up and takes part holds the same log, all of it committed.
    pub(crate) fn assert_converged(&mut self) {
        self.run(Duration::from_secs(2));
        let nodes = self.nodes();
        let leader = self.leader().expect("a healed group has a leader");
        let members = self.replicas[&leader].raft.membership().clone();
        let log = self.replicas[&leader].raft.log().clone();
        let is_fed: Vec<u64> = self.raft(leader).peers().map(NodeId::as_u64).chain([leader]).collect();
        for node in nodes.into_iter().filter(|node| is_fed.contains(node)) {
            let replica = &self.replicas[&node];
            if !members.is_member(replica.raft.me()) && self.disks.contains_key(&node) {
                continue; // What is fed is the replica that was there before its disk was lost.
            }
            assert_eq!(replica.raft.log().last_id(), log.last_id(), "node {node}");
            assert_eq!(replica.committed, log.last_index(), "node {node}");
            assert_eq!(replica.faults, [], "node {node}");
            if members.is_member(replica.raft.me()) {
                assert_eq!(replica.raft.membership(), &members, "node {node}");
            }
        }
    }
}

/// Each entry has one byte, and a host reads as many as it may.
fn read_entries(range: &TermRuns, max_bytes: u64) -> Option<(LogIndex, u64)> {
    let count = range.len().min(max_bytes);
    Some((range.before().index.plus(count), count))
}
