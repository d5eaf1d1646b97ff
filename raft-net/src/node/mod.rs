//! A node without its I/O: many groups, one log, one stream of frames to each peer.
//!
//! Frames, connections, completed writes, requests and the time come in; frames, writes and answers come out. The
//! runtime and the simulator drive the same code. It reads its own log (from memory for what is recent), but
//! never writes, never sleeps and never looks at a clock.
//!
//! Order within [`Node::pump`]: what the cores decided goes to the log as one round; then committed entries are
//! applied; then each leader builds its appends from the log, before its own disk has answered. So while one flush
//! is under way, everything that comes collects for the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use raft_core::{GroupId, Law, Message, NodeId, Raft, ReplicaId, Restored, Time};
use raft_wal::{DiskRequest, GroupState, LogReader, Round, Wal};

use crate::frame::{Content, Frame};
use crate::handle::{Board, GroupSpec, OpenGroupError};
use crate::outcome::{Doubt, Outcome};

mod ask;
mod change;
mod dedup;
mod disk;
mod group;
mod limits;
mod requests;

pub use limits::Limits;

use disk::{Disk, Owed};
use group::{Group, Host};
use requests::Requests;

/// The longest label of a group, inclusive; the log's own bound.
const MAX_NOTE_BYTES: usize = 1_024;

/// The caller's name for a request, handed back with its answer. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a node asks of its driver. Drained in order.
#[derive(Debug)]
pub enum Output {
    /// Send this frame over the connection to its receiver; dropping it is allowed.
    Send(Frame),
    /// Execute these in order, then report the round with [`Node::disk_done`]. The next batch comes only after.
    /// On an error the process must end.
    Disk {
        /// What to report.
        round: Round,
        /// What to execute.
        requests: Vec<DiskRequest>,
    },
    /// A request has ended.
    Answer {
        /// Which.
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
}

/// How to make a node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its id.
    pub id: NodeId,
    /// A random number, another one in each run of the process: request ids are unique because of it.
    pub boot: u64,
    /// Drives election jitter.
    pub seed: u64,
    /// Times and windows of all groups.
    pub raft: raft_core::Options,
    /// Bounds of the node.
    pub limits: Limits,
}

/// The other end of a live connection.
#[derive(Debug)]
pub(crate) struct Peer {
    replica: ReplicaId,
    /// Room in its outgoing queue, in frames and bytes, as last reported and spent since; unlimited until reported.
    room: Option<(usize, usize)>,
    /// The most bytes ever reported: so much room there is when the queue is empty.
    capacity: usize,
    /// Groups that had more to send than there was room.
    blocked: BTreeSet<GroupId>,
    /// Groups this node leads, which this peer is still to be told.
    announcements: BTreeSet<GroupId>,
}

impl Peer {
    /// Room for frames, and for the bytes of their entries; some is kept for what a frame costs beside those. An
    /// empty queue takes one frame of any size.
    fn room(&self) -> (usize, usize) {
        const SPARE: usize = 1_024;
        match self.room {
            Some((frames, bytes)) if bytes < self.capacity => (frames, bytes.saturating_sub(SPARE)),
            Some((frames, _)) => (frames, usize::MAX),
            None => (usize::MAX, usize::MAX),
        }
    }

    fn took(&mut self, frame: &Frame) {
        if let Some((frames, bytes)) = &mut self.room {
            *frames = frames.saturating_sub(1);
            *bytes = bytes.saturating_sub(frame.cost());
        }
    }
}

/// A node: see the module's documentation.
pub struct Node {
    options: NodeOptions,
    me: ReplicaId,
    wal: Wal,
    /// Logs found on disk whose group was not opened yet.
    recovered: BTreeMap<GroupId, GroupState>,
    groups: BTreeMap<GroupId, Group>,
    host: Host,
    disk: Disk,
    /// Groups whose core, log or peers changed since the last pump.
    touched: BTreeSet<GroupId>,
    /// Where the next pump begins, so that no group is always the last.
    next_served: GroupId,
    /// Groups opened so far.
    opened: u64,
    timers: BTreeSet<(Time, GroupId)>,
    /// Groups that are gone, for the board.
    removed: Vec<GroupId>,
    changed: BTreeSet<GroupId>,
    /// Groups with another membership, for the board.
    reconfigured: BTreeSet<GroupId>,
    refused_snapshots: u64,
    ping_at: Time,
    retry_at: Option<Time>,
    mark_at: Option<Time>,
    last_sequence: u64,
    last_read: u64,
    is_stopping: bool,
}

impl Node {
    /// Makes a node over an opened log. None of the recovered groups speaks before [`Node::open_group`].
    pub fn new(options: NodeOptions, wal: Wal, recovered: Vec<GroupState>) -> Self {
        let mut wal = wal;
        let me = ReplicaId::new(options.id, wal.identity().disk);
        let host = Host {
            id: options.id,
            batch: wal.batch(),
            owed: Vec::new(),
            peers: BTreeMap::new(),
            outputs: VecDeque::new(),
            requests: Requests::default(),
            leaders: BTreeMap::new(),
            changed_leaders: Vec::new(),
        };
        Self {
            me,
            wal,
            recovered: recovered.into_iter().map(|state| (state.group, state)).collect(),
            groups: BTreeMap::new(),
            host,
            disk: Disk::default(),
            touched: BTreeSet::new(),
            next_served: GroupId::ROOT,
            opened: 0,
            timers: BTreeSet::new(),
            removed: Vec::new(),
            changed: BTreeSet::new(),
            reconfigured: BTreeSet::new(),
            refused_snapshots: 0,
            ping_at: Time::ZERO,
            retry_at: None,
            mark_at: None,
            last_sequence: 0,
            // Another range in each run: an answer to a read of the last one must find nobody.
            last_read: options.boot,
            is_stopping: false,
            options,
        }
    }

    /// This node and its disk.
    pub fn replica(&self) -> ReplicaId {
        self.me
    }

    /// The log, for what is done to it before and beside the groups.
    pub fn wal_mut(&mut self) -> &mut Wal {
        &mut self.wal
    }

    /// The log of a group found on disk that was not opened yet.
    pub fn recovered(&self, group: GroupId) -> Option<&GroupState> {
        self.recovered.get(&group)
    }

    /// How many offers of snapshots were refused so far.
    pub fn refused_snapshots(&self) -> u64 {
        self.refused_snapshots
    }

    /// The core of an open group, for checkers and consoles.
    pub fn core(&self, group: GroupId) -> Option<&Raft> {
        self.groups.get(&group).map(|g| &g.core)
    }

    // Groups.

    /// Opens a group: from its log on disk, or anew from `spec.genesis`. No vote and no entry is claimed before the
    /// log's creation is durable, for it goes before them to the disk. Blocks on the disk while the state machine is shown an existing log.
    ///
    /// # Errors
    /// See [`OpenGroupError`]; nothing was changed then.
    pub fn open_group(&mut self, now: Time, spec: GroupSpec) -> Result<LogReader, OpenGroupError> {
        let id = spec.group;
        if self.is_stopping {
            return Err(OpenGroupError::Stopping);
        }
        if self.groups.contains_key(&id) {
            return Err(OpenGroupError::AlreadyOpen(id));
        }
        self.write_batch(); // A removal may still wait in it.
        let (configuration, restored) = match (self.recovered.get(&id), spec.genesis) {
            (Some(state), Some(genesis)) if state.genesis.voters() != genesis.voters() => {
                return Err(OpenGroupError::OtherGenesis { group: id });
            }
            (Some(state), _) => {
                let (log, memberships) = (state.runs.clone(), state.memberships.clone());
                let restored =
                    Restored { hard_state: state.hard_state, log, memberships, ..Restored::default() };
                (state.genesis.clone(), restored)
            }
            (None, Some(_)) if self.wal.contains(id) || spec.note.len() > MAX_NOTE_BYTES => {
                let why = "its log is there and not recovered, or its note is over 1 KiB";
                return Err(OpenGroupError::Log { group: id, why: why.into() });
            }
            (None, Some(genesis)) => {
                self.host.batch.create(id, &genesis, spec.note);
                (genesis, Restored::default())
            }
            (None, None) => return Err(OpenGroupError::Absent(id)),
        };
        self.write_batch();
        let log_error = |why: &dyn std::fmt::Display| OpenGroupError::Log { group: id, why: why.to_string() };
        let reader = self.wal.reader(id).ok_or_else(|| log_error(&"it was removed"))?;
        let mixed = id.as_u64().wrapping_mul(31).wrapping_add(self.me.node.as_u64());
        let seed = self.options.seed ^ mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let core = Raft::new(self.me, configuration, self.options.raft.clone(), restored, seed, now);
        self.opened += 1;
        let mut group = Group::new(id, self.opened, core, spec.machine);
        group.replay(&self.wal).map_err(|why| log_error(&why))?;
        self.recovered.remove(&id);
        self.groups.insert(id, group);
        self.touched.insert(id);
        Ok(reader)
    }

    /// Removes a group and its log for ever; the ticket is answered when that is durable. The caller must not open
    /// a group of that name again: a voter that has forgotten its votes would be taken for the one that gave them.
    pub fn remove_group(&mut self, _now: Time, group: GroupId, ticket: Ticket) {
        if let Some(mut open) = self.groups.remove(&group) {
            open.end_all(&mut self.host);
            if let Some(at) = open.timer {
                self.timers.remove(&(at, group));
            }
        }
        self.recovered.remove(&group);
        self.host.leaders.remove(&group);
        self.removed.push(group);
        if self.wal.contains(group) {
            self.host.batch.remove(group);
            self.host.owed.push(Owed::Removal(ticket));
        } else {
            self.host.answer(ticket, Outcome::Done(Bytes::new()));
        }
    }

    // Connections and frames.

    /// There is a connection to `peer` now; an older one counts no more.
    pub fn connected(&mut self, now: Time, peer: ReplicaId) {
        if peer.node == self.me.node {
            return;
        }
        if self.host.peers.contains_key(&peer.node) {
            self.disconnected(now, peer.node);
        }
        let mut announcements = BTreeSet::new();
        for (id, group) in &mut self.groups {
            if *id == GroupId::ROOT {
                group.core.admit_learner(now, peer);
            }
            if group.core.soft_state().role == raft_core::RoleKind::Leader {
                announcements.insert(*id);
                self.touched.insert(*id);
            }
        }
        self.host.peers.insert(
            peer.node,
            Peer { replica: peer, room: None, capacity: 0, blocked: BTreeSet::new(), announcements },
        );
        self.retry_at = Some(now);
    }

    /// The connection to `node` is gone: that node is suspected at once.
    pub fn disconnected(&mut self, now: Time, node: NodeId) {
        if self.host.peers.remove(&node).is_none() {
            return;
        }
        for (id, group) in &mut self.groups {
            group.core.peer_unreachable(now, node);
            group.core.dismiss_learner(node);
            group.drain(&mut self.host, Vec::new());
            self.touched.insert(*id);
        }
    }

    /// How much the outgoing queue of a peer can take now.
    pub fn send_capacity(&mut self, node: NodeId, frames: usize, bytes: usize) {
        if let Some(peer) = self.host.peers.get_mut(&node) {
            peer.room = Some((frames, bytes));
            peer.capacity = peer.capacity.max(bytes);
            if frames > 0 {
                self.touched.append(&mut peer.blocked);
            }
        }
    }

    /// Takes a frame from the connection to `frame.from`.
    pub fn receive(&mut self, now: Time, frame: Frame) {
        let Frame { group: id, from, to, content } = frame;
        let Some(replica) = self.host.peers.get(&from).map(|peer| peer.replica) else { return };
        if to != self.me.node {
            return;
        }
        match content {
            Content::Ping => {}
            Content::Leads { term } => self.host.heard_leader(id, term, from),
            Content::Submit { request, command } => self.on_submit(from, id, request, &command),
            Content::SubmitReply { request, taken } => self.on_submit_reply(now, from, request, taken),
            Content::Raft { message: Message::Snapshot(offer), .. } => {
                // Nothing here takes a snapshot, and nobody needs one: no log loses its beginning.
                self.refused_snapshots += 1;
                tracing::debug!(group = %id, %from, last = %offer.snapshot.last, "refuse a snapshot");
            }
            Content::Raft { message, entries } => {
                let is_flooded = self.disk.unwritten_bytes() > self.options.limits.unwritten_bytes;
                let Some(group) = self.groups.get_mut(&id) else { return };
                if is_flooded && !entries.is_empty() {
                    return;
                }
                // What a replica's word counts for is the core's to judge, by node and disk. Nobody is turned away
                // before: whoever leads now may be no member as far as this replica knows.
                group.core.receive(now, replica, message);
                group.drain(&mut self.host, entries);
                self.touched.insert(id);
            }
        }
    }

    // The disk and the time.

    /// All requests of that round and of all earlier ones were executed without an error.
    pub fn disk_done(&mut self, now: Time, round: Round) {
        self.wal.completed(round);
        // Tokens are cumulative: the last of each group speaks for all.
        let mut tokens = BTreeMap::new();
        for owed in self.disk.done(round) {
            match owed {
                Owed::Token(id, instance, token) => drop(tokens.insert(id, (instance, token))),
                Owed::Removal(ticket) => self.host.answer(ticket, Outcome::Done(Bytes::new())),
            }
        }
        for (id, (instance, token)) in tokens {
            if let Some(group) = self.groups.get_mut(&id).filter(|group| group.instance == instance) {
                group.core.persisted(now, token);
                group.drain(&mut self.host, Vec::new());
                self.touched.insert(id);
            }
        }
        self.mark_at = self.disk.is_idle().then(|| now.after(self.options.limits.idle_mark));
    }

    /// Tells the time; call it when [`Node::next_deadline`] has come.
    pub fn tick(&mut self, now: Time) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if let Some(group) = self.groups.get_mut(&id) {
                group.timer = None;
                group.core.tick(now);
                group.drain(&mut self.host, Vec::new());
                self.touched.insert(id);
            }
        }
        if now >= self.ping_at {
            self.ping_at = now.after(self.options.limits.ping_interval);
            if !self.disk.is_stalled(now, self.options.limits.disk_stall) {
                let peers: Vec<NodeId> = self.host.peers.keys().copied().collect();
                for to in peers {
                    self.host.send(GroupId::ROOT, to, Content::Ping);
                }
            }
        }
        for ticket in self.host.requests.overdue(now) {
            if let Some(pending) = self.host.requests.take(ticket) {
                self.give_up(ticket, pending);
            }
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.hand_on(now);
        }
        if self.mark_at.is_some_and(|at| at <= now) {
            self.mark_at = None;
            if let Some(submitted) = self.wal.mark() {
                self.disk.queue(submitted, Vec::new());
            }
        }
    }

    /// When [`Node::tick`] wants to be called. There is always a next ping.
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.touched.is_empty() {
            return Some(Time::ZERO);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let others = [timer, self.retry_at, self.mark_at, self.host.requests.next_deadline()];
        others.into_iter().flatten().chain([self.ping_at]).min()
    }

    /// Whether nothing is on its way to the disk.
    pub fn is_disk_idle(&self) -> bool {
        self.disk.is_idle()
    }

    // Outputs.

    /// Turns a burst of inputs into outputs. Call it after the burst, before [`Node::poll_output`].
    pub fn pump(&mut self, now: Time) {
        self.write_batch();
        let is_stalled = self.disk.is_stalled(now, self.options.limits.disk_stall);
        let mut wrapped = std::mem::take(&mut self.touched);
        let first = wrapped.split_off(&self.next_served);
        let mut budget = self.options.limits.pump_bytes;
        let mut is_cut = false;
        for id in first.into_iter().chain(wrapped) {
            if budget == 0 {
                // The rest comes first in the next pump, which follows at once.
                if !std::mem::replace(&mut is_cut, true) {
                    self.next_served = id;
                }
                self.touched.insert(id);
                continue;
            }
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if std::mem::take(&mut group.is_reconfigured) {
                self.reconfigured.insert(id);
                if id == GroupId::ROOT {
                    // All connected nodes follow the root group, also those that are members no more.
                    for peer in self.host.peers.values() {
                        group.core.admit_learner(now, peer.replica);
                    }
                    group.drain(&mut self.host, Vec::new());
                }
            }
            let mut moved = group.apply(&mut self.host, &self.wal, self.options.limits.apply_bytes);
            if !is_stalled {
                moved += group.replicate(&mut self.host, &self.wal);
            }
            budget = budget.saturating_sub(moved);
            if group.has_work() {
                self.touched.insert(id);
            }
            if std::mem::take(&mut group.has_new_leader) {
                self.retry_at = Some(now);
            }
            let wants_retry = std::mem::take(&mut group.wants_retry);
            if std::mem::take(&mut group.is_changed) {
                self.changed.insert(id);
            }
            let timer = group.core.next_deadline();
            if timer != group.timer {
                if let Some(at) = group.timer {
                    self.timers.remove(&(at, id));
                }
                if let Some(at) = timer {
                    self.timers.insert((at, id));
                }
                group.timer = timer;
            }
            if wants_retry {
                self.retry_later(now);
            }
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.hand_on(now);
        }
        self.send_announcements();
        self.write_batch();
        if let Some((round, requests)) = self.disk.next(now) {
            self.mark_at = None;
            self.host.outputs.push_back(Output::Disk { round, requests });
        }
    }

    /// The next output; `None` when all are drained.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.host.outputs.pop_front()
    }

    /// Copies what changed since the last call to the board. Says whether anything did.
    pub fn publish(&mut self, board: &mut Board) -> bool {
        let mut is_changed = !self.changed.is_empty();
        // First, for a group that was removed may have been made anew since.
        for id in std::mem::take(&mut self.removed) {
            is_changed |= board.groups.remove(&id).is_some() | board.leaders.remove(&id).is_some();
            board.memberships.remove(&id);
        }
        for id in std::mem::take(&mut self.changed) {
            if let Some(group) = self.groups.get(&id) {
                board.groups.insert(id, group.status());
            }
        }
        for id in std::mem::take(&mut self.host.changed_leaders) {
            if let Some(leader) = self.host.leaders.get(&id) {
                is_changed |= board.leaders.insert(id, *leader) != Some(*leader);
            }
        }
        for id in std::mem::take(&mut self.reconfigured) {
            if let Some(group) = self.groups.get(&id) {
                board.memberships.insert(id, group.core.membership().clone());
                is_changed = true;
            }
        }
        is_changed
    }

    // Behind the scenes.

    /// Tells peers which groups this node leads, as far as there is room.
    fn send_announcements(&mut self) {
        let owing = |(node, peer): (&NodeId, &Peer)| {
            (peer.room().0 > 0).then(|| peer.announcements.first().map(|group| (*node, *group))).flatten()
        };
        while let Some((to, group)) = self.host.peers.iter().find_map(owing) {
            if let Some(peer) = self.host.peers.get_mut(&to) {
                peer.announcements.remove(&group);
            }
            let core = self.groups.get(&group).map(|open| &open.core);
            if let Some(core) = core.filter(|core| core.soft_state().role == raft_core::RoleKind::Leader) {
                let term = core.hard_state().term;
                self.host.send(group, to, Content::Leads { term });
            }
        }
    }

    /// Gives what the groups want written to the log as one round.
    fn write_batch(&mut self) {
        if self.host.batch.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.host.batch, self.wal.batch());
        let owed = std::mem::take(&mut self.host.owed);
        match self.wal.submit(batch) {
            Ok(submitted) => self.disk.queue(submitted, owed),
            Err(error) => {
                // The log refuses what contradicts itself. Nothing of the round was written, so nothing that
                // depends on it may ever be said: all its groups are fenced.
                tracing::error!(%error, "the log refused a round; its groups are fenced");
                for owed in owed {
                    match owed {
                        Owed::Token(id, ..) => {
                            if let Some(group) = self.groups.get_mut(&id) {
                                group.core.fence(Law::HostContract);
                                group.drain(&mut self.host, Vec::new());
                                self.touched.insert(id);
                            }
                        }
                        Owed::Removal(ticket) => {
                            self.host.answer(ticket, Outcome::Unknown(Doubt::Stopped));
                        }
                    }
                }
            }
        }
    }
}
