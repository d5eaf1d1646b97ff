//! Plays a random history to a group of replicas, and writes down all that they say and hold.
//!
//! It checks no law: two histories from one seed are compared. Every input of the core occurs, with lost, late and
//! doubled messages, slow disks, crashes, disks in doubt, wiped disks, snapshots, and nodes that fall silent.

use std::collections::VecDeque;

use super::subject::{
    BootId, Configuration, DiskId, Effect, HardState, Learner, Liveness, LogId, LogIndex, Membership,
    MembershipChange, Message, NodeId, Options, PersistToken, Raft, ReadId, ReplicaId, Restored, Snapshot,
    StorageHealth, Term, TermRuns, Time,
};

/// What is written down of a history.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test wants one of them")]
pub(crate) enum Record {
    /// What the replicas say to their hosts and to each other.
    Said,
    /// That, and all that a replica holds after each input.
    SaidAndHeld,
}

/// Plays `steps` steps of the history that `seed` decides. Gives `line` one line for each thing to record.
pub(crate) fn play(seed: u64, steps: usize, record: Record, line: &mut dyn FnMut(String)) {
    let mut group = Group::new(seed, record);
    for _ in 0..steps {
        group.step(line);
    }
}

const NODES: u64 = 5;
/// The nodes that found the group; the others may be added.
const FOUNDERS: u64 = 3;
const MAX_MESSAGES: usize = 200;

/// What a disk holds after a write.
#[derive(Clone)]
struct Image {
    hard_state: HardState,
    log: TermRuns,
    base: Membership,
    memberships: Vec<(LogIndex, Membership)>,
}

struct Host {
    me: ReplicaId,
    raft: Raft,
    disk: Image,
    writes: VecDeque<(PersistToken, Image)>,
    snapshot: Option<Snapshot>,
    installing: Option<Snapshot>,
    is_cut_off: bool,
}

struct Group {
    random: u64,
    now: Time,
    hosts: Vec<Host>,
    messages: Vec<(ReplicaId, NodeId, Message)>,
    options: Options,
    names: u64,
    steps: u64,
    record: Record,
}

fn genesis() -> Membership {
    let founders = (1..=FOUNDERS).map(|node| replica(node, 0));
    Configuration::new(founders).expect("three nodes").into()
}

fn replica(node: u64, disk: u64) -> ReplicaId {
    ReplicaId::new(NodeId::new(node), DiskId::new(u128::from(node) << 64 | u128::from(disk)))
}

impl Group {
    fn new(seed: u64, record: Record) -> Self {
        let options = Options {
            max_inflight_appends: 2,
            max_inflight_bytes: 100,
            max_pending_reads: 4,
            max_uncommitted_entries: 40,
            promotion_lag: 3,
            ..Options::default()
        };
        let hosts = (1..=NODES).map(|node| {
            let base = if node <= FOUNDERS { genesis() } else { Membership::none() };
            let log = TermRuns::default();
            let disk = Image { hard_state: HardState::default(), log, base, memberships: Vec::new() };
            Host::open(replica(node, 0), disk, None, &options, seed ^ node, Time::ZERO)
        });
        let hosts = hosts.collect();
        Self {
            random: seed,
            now: Time::ZERO,
            hosts,
            messages: Vec::new(),
            options,
            names: 0,
            steps: 0,
            record,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound.max(1)
    }

    fn step(&mut self, line: &mut dyn FnMut(String)) {
        let at = self.below(NODES) as usize;
        self.steps += 1;
        // From time to time nothing is asked and nothing breaks, so that groups fall asleep.
        let is_quiet = self.steps % 1_000 < 350;
        match self.below(1_000) {
            850..970 | 982..1_000 if is_quiet => self.pass_time(line),
            0..600 => {
                self.deliver(line);
                self.deliver(line);
            }
            600..850 => self.write(at, line),
            850..900 => self.pass_time(line),
            900..940 => self.ask(at, line),
            940..952 => self.change(line),
            952..970 => self.snapshots(at, line),
            970..982 => self.watch(at, line),
            982..985 => self.hosts[at].is_cut_off = true,
            985..990 => self.crash(at, line),
            _ => self.reconnect(line),
        }
    }

    /// Writes down what a replica says after an input, and does it.
    fn drain(&mut self, at: usize, line: &mut dyn FnMut(String)) {
        let is_cut_off = self.hosts[at].is_cut_off;
        let mut said = Vec::new();
        let host = &mut self.hosts[at];
        while let Some(effect) = host.raft.poll_effect() {
            line(format!("{:?} {effect:?}", host.me));
            match effect {
                Effect::Persist(persist) => host.writes.push_back((persist.token, host.image())),
                Effect::Send { to, message } => said.push((to, message)),
                Effect::NeedSnapshot { peer, .. } => {
                    if let Some(snapshot) = host.snapshot.clone() {
                        line(format!("{:?}", host.raft.offer_snapshot(peer, snapshot)));
                    }
                }
                Effect::InstallSnapshot { snapshot, .. } => host.installing = Some(snapshot),
                _ => {}
            }
        }
        let peers: Vec<NodeId> = self.hosts[at].raft.peers().collect();
        for peer in peers {
            for _ in 0..4 {
                let most = 1 + self.below(5);
                let append = self.hosts[at].raft.poll_append(peer, |all, _| {
                    let to = all.last_index().min(all.before().index.plus(most));
                    (to > all.before().index).then_some((to, 10 * to.since(all.before().index)))
                });
                let Some(append) = append else { break };
                line(format!("append to {peer:?}: {append:?}"));
                said.push((peer, Message::Append(append)));
            }
        }
        if !is_cut_off {
            let me = self.hosts[at].me;
            self.messages.extend(said.into_iter().map(|(to, message)| (me, to, message)));
        }
        while self.messages.len() > MAX_MESSAGES {
            let lost = self.below(MAX_MESSAGES as u64) as usize;
            self.messages.remove(lost);
        }
        if self.record == Record::SaidAndHeld {
            line(format!("{:?}", self.hosts[at].raft));
        }
    }

    fn deliver(&mut self, line: &mut dyn FnMut(String)) {
        if self.messages.is_empty() {
            return self.pass_time(line);
        }
        // Mostly in order, sometimes from anywhere; sometimes twice, sometimes never.
        let is_late = self.below(4) == 0;
        let at = if is_late { self.below(self.messages.len() as u64) as usize } else { 0 };
        let (from, to, message) = self.messages.remove(at);
        if self.below(10) == 0 {
            self.messages.push((from, to, message.clone()));
        }
        let to = (to.as_u64() - 1) as usize;
        if self.hosts[to].is_cut_off || self.below(30) == 0 {
            return;
        }
        self.hosts[to].raft.receive(self.now, from, message);
        self.drain(to, line);
    }

    fn write(&mut self, at: usize, line: &mut dyn FnMut(String)) {
        let done = 1 + self.below(4) as usize;
        let host = &mut self.hosts[at];
        let done = done.min(host.writes.len());
        let Some((token, image)) = host.writes.drain(..done).next_back() else { return };
        host.disk = image;
        host.raft.persisted(self.now, token);
        self.drain(at, line);
    }

    fn pass_time(&mut self, line: &mut dyn FnMut(String)) {
        let due = self.hosts.iter().filter_map(|host| host.raft.next_deadline()).min();
        self.now =
            self.now.max(due.unwrap_or(self.now).min(Time::from_micros(self.now.as_micros() + 50_000)));
        for at in 0..self.hosts.len() {
            if self.hosts[at].raft.next_deadline().is_some_and(|due| due <= self.now) {
                self.hosts[at].raft.tick(self.now);
                self.drain(at, line);
            }
        }
    }

    fn ask(&mut self, at: usize, line: &mut dyn FnMut(String)) {
        self.names += 1;
        // Whoever believes to lead is asked most of the time, and most of all one that nobody hears any more.
        let find = |is_cut_off| {
            self.hosts.iter().position(|host| host.is_cut_off == is_cut_off && host.raft.is_serving())
        };
        let leader = find(true).or(find(false));
        let (at, count) = (leader.filter(|_| self.below(4) > 0).unwrap_or(at), 1 + self.below(6));
        let raft = &mut self.hosts[at].raft;
        if self.names.is_multiple_of(3) {
            line(format!("{:?}", raft.read(self.now, ReadId(self.names))));
        } else {
            line(format!("{:?}", raft.propose(count)));
        }
        self.drain(at, line);
    }

    fn change(&mut self, line: &mut dyn FnMut(String)) {
        let Some(at) = self.hosts.iter().position(|host| host.raft.peers().next().is_some()) else { return };
        let other = self.below(NODES) as usize;
        let other = self.hosts[other].me;
        let latest = self.hosts[at].raft.membership().voters().voters().to_vec();
        let replaced = latest.get(self.below(latest.len() as u64) as usize).copied();
        let change = match self.below(4) {
            0 => {
                let stay = latest.into_iter().filter(|voter| *voter != other);
                Configuration::new(stay).map(MembershipChange::Voters).ok()
            }
            1 => Some(MembershipChange::RemoveLearner(other)),
            _ => {
                let on_node = latest.iter().find(|voter| voter.node == other.node).copied();
                let replaces = on_node.or(replaced.filter(|_| latest.len() > 2));
                Some(MembershipChange::AddLearner(Learner { replica: other, replaces }))
            }
        };
        let (now, pick) = (self.now, self.below(4));
        let raft = &mut self.hosts[at].raft;
        match (pick, change) {
            (0, _) => line(format!("{:?}", raft.transfer_leadership(now, None))),
            (_, Some(change)) => line(format!("{:?}", raft.propose_membership(now, change))),
            _ => {}
        }
        self.drain(at, line);
    }

    fn snapshots(&mut self, at: usize, line: &mut dyn FnMut(String)) {
        let is_bold = self.below(2) == 0;
        let now = self.now;
        let host = &mut self.hosts[at];
        if let Some(installing) = host.installing.take() {
            host.raft.snapshot_installed(installing.last);
            host.snapshot = Some(installing);
        } else {
            let to = if is_bold { host.raft.commit() } else { host.raft.compaction_limit(now) };
            if let (Some(term), Some(membership)) = (host.raft.log().term_at(to), host.raft.membership_at(to))
            {
                host.snapshot = Some(Snapshot { last: LogId::new(term, to), membership: membership.clone() });
                host.raft.compacted(to);
            }
        }
        line(format!("snapshot {:?}", host.snapshot));
        self.drain(at, line);
    }

    fn watch(&mut self, at: usize, line: &mut dyn FnMut(String)) {
        // Often all is well, so that groups fall asleep.
        let is_calm = self.below(2) == 0;
        if is_calm {
            for (at, node) in (0..self.hosts.len()).flat_map(|at| (1..=NODES).map(move |node| (at, node))) {
                self.hosts[at].raft.node_liveness(
                    self.now,
                    NodeId::new(node),
                    Liveness::Live(BootId::new(1)),
                );
                self.drain(at, line);
            }
            return;
        }
        let (node, boot) = (NodeId::new(1 + self.below(NODES)), BootId::new(1 + self.below(2)));
        let term = Term::new(self.below(20));
        match self.below(5) {
            0 => self.hosts[at].raft.node_liveness(self.now, node, Liveness::Silent),
            1 => self.hosts[at].raft.node_liveness(self.now, node, Liveness::Live(boot)),
            2 => self.hosts[at].raft.leader_withdrew(self.now, node, term),
            3 => self.hosts[at].raft.storage_health(self.now, StorageHealth::Full),
            _ => self.hosts[at].raft.storage_health(self.now, StorageHealth::Good),
        }
        self.drain(at, line);
        // A disk that is full is so for a moment, or until somebody has a look at the node again.
        if self.below(2) == 0 {
            self.hosts[at].raft.storage_health(self.now, StorageHealth::Good);
            self.drain(at, line);
        }
    }

    fn reconnect(&mut self, line: &mut dyn FnMut(String)) {
        for at in 0..self.hosts.len() {
            self.hosts[at].is_cut_off = false;
            let node = NodeId::new(1 + self.below(NODES));
            self.hosts[at].raft.peer_unreachable(self.now, node);
            self.drain(at, line);
        }
    }

    fn crash(&mut self, at: usize, line: &mut dyn FnMut(String)) {
        let (kind, lost, seed) = (self.below(16), self.below(3), self.below(1 << 30));
        let host = &mut self.hosts[at];
        let (mut me, mut disk, mut doubt) = (host.me, host.disk.clone(), None);
        match kind {
            0 | 1 if at == 0 => {
                me = replica(me.node.as_u64(), seed);
                let log = TermRuns::default();
                let (hard_state, base) = (HardState::default(), Membership::none());
                disk = Image { hard_state, log, base, memberships: Vec::new() };
                host.snapshot = None;
            }
            2..=4 => {
                let last = disk.log.last_id();
                let keep =
                    LogIndex::new(last.index.as_u64().saturating_sub(lost)).max(disk.log.before().index);
                disk.log.truncate(keep);
                disk.memberships.retain(|(index, _)| *index <= keep);
                doubt = Some(last);
            }
            _ => {}
        }
        let snapshot = host.snapshot.take();
        *host = Host::open(me, disk, doubt, &self.options, seed, self.now);
        host.snapshot = snapshot;
        line(format!("crash {kind} of {me:?}"));
        self.drain(at, line);
    }
}

impl Host {
    fn open(
        me: ReplicaId,
        disk: Image,
        doubt: Option<LogId>,
        options: &Options,
        seed: u64,
        now: Time,
    ) -> Self {
        let Image { hard_state, log, base, memberships } = disk.clone();
        let committed = log.before().index;
        let restored = Restored { hard_state, log, memberships, committed, doubt };
        let raft = Raft::new(me, base, options.clone(), restored, seed, now);
        let (snapshot, installing) = (None, None);
        Self { me, raft, disk, writes: VecDeque::new(), snapshot, installing, is_cut_off: false }
    }

    /// The disk as it is once all that the replica has asked for is written.
    fn image(&self) -> Image {
        let (before, last) = (self.raft.log().before().index, self.raft.log().last_index());
        Image {
            hard_state: self.raft.hard_state(),
            log: self.raft.log().clone(),
            base: self.raft.membership_at(before).cloned().unwrap_or_default(),
            memberships: self.raft.memberships_between(before, last).to_vec(),
        }
    }
}
