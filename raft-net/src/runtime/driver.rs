//! The task that owns the node: takes what comes, tells the node, and does what the node says.
//!
//! It waits for anything to come, then takes all that is there before it lets the node act on it: the busier the
//! node, the larger the batches, and no timer collects them. Invariant: it never waits for a peer or a caller; only
//! for the next input, and at the end for the disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::{Configuration, GroupId, NodeId, ReplicaId, Time};
use raft_wal::{ClusterId, IdentityError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::formation::{Formation, Trouble, Verdict};
use crate::frame::Frame;
use crate::handle::{Ask, Board, GroupSpec, OpenGroupError};
use crate::handshake::Hello;
use crate::machine::StateMachine;
use crate::node::{Node, Output, Ticket};
use crate::outcome::{Outcome, Refusal};
use crate::runtime::StartError;
use crate::runtime::counters::count;
use crate::runtime::dial;
use crate::runtime::disk::{Batch, DiskFailure, DiskHooks, DiskThread, Failed};
use crate::runtime::link::{AbortOnDrop, Event, Outbox};
use crate::runtime::shared::Shared;

/// So many inputs are taken before the node acts on them.
const BURST: usize = 1024;
/// How often the board is looked over while the cluster forms.
const FORMING: Duration = Duration::from_millis(100);

struct Connection {
    serial: u64,
    outbox: Outbox,
}

struct Call {
    address: String,
    _task: AbortOnDrop<()>,
}

/// Who waits for a ticket's answer.
enum Waiting {
    Outcome(oneshot::Sender<Outcome>),
    Removal(oneshot::Sender<()>),
}

/// One thing that happened.
enum Input {
    Disk(Result<raft_wal::Round, Failed>),
    Event(Event),
    Ask(Option<Ask>),
    /// A queue has room, or a time has come: there is nothing to take, only to look.
    Look,
}

/// Why the node's task ends.
enum End {
    Stopped,
    DiskFailed,
}

pub(crate) struct Driver {
    node: Node,
    shared: Arc<Shared>,
    board: Arc<RwLock<Board>>,
    changed: watch::Sender<u64>,
    hooks: DiskHooks,
    disk: DiskThread,
    /// While this node belongs to no cluster, or its root group has no log yet.
    formation: Option<Formation>,
    trouble: Option<Trouble>,
    /// Until the root group is open.
    root: Option<Box<dyn StateMachine>>,
    is_formed: watch::Sender<bool>,
    connections: BTreeMap<NodeId, Connection>,
    /// Peers whose queue held something when the node was last told of its room.
    unsent: BTreeSet<NodeId>,
    calls: BTreeMap<NodeId, Call>,
    waiting: HashMap<Ticket, Waiting>,
    last_ticket: u64,
    stopping: Option<Vec<oneshot::Sender<()>>>,
    has_failed: bool,
    is_board_stale: bool,
    /// The node's moment zero.
    began: Instant,
}

impl Driver {
    pub(crate) fn new(
        node: Node,
        shared: Arc<Shared>,
        board: Arc<RwLock<Board>>,
        changed: watch::Sender<u64>,
        hooks: DiskHooks,
        formation: Option<Formation>,
        root: Box<dyn StateMachine>,
    ) -> Result<Self, StartError> {
        let disk = DiskThread::start(shared.id(), hooks.clone()).map_err(StartError::Thread)?;
        Ok(Self {
            node,
            shared,
            board,
            changed,
            hooks,
            disk,
            formation,
            trouble: None,
            root: Some(root),
            is_formed: watch::Sender::new(false),
            connections: BTreeMap::new(),
            unsent: BTreeSet::new(),
            calls: BTreeMap::new(),
            waiting: HashMap::new(),
            last_ticket: 0,
            stopping: None,
            has_failed: false,
            is_board_stale: true,
            began: Instant::now(),
        })
    }

    /// Opens the root group if the node belongs to its cluster already, and shows on the board how things stand.
    /// `is_on_disk`: whether the root group has a log here.
    pub(crate) fn begin(&mut self, is_on_disk: bool) -> Result<(), OpenGroupError> {
        if self.formation.is_none() {
            let genesis = if is_on_disk { None } else { Some(Configuration::none()) };
            self.open_root(genesis)?;
        }
        self.publish();
        Ok(())
    }

    /// Calls this node from now on, if it is for this one to call.
    pub(crate) fn add_peer(&mut self, node: NodeId, address: String) {
        let me = self.shared.id();
        let is_known = self.calls.get(&node).is_some_and(|call| call.address == address);
        if node == me || is_known {
            return;
        }
        let formed = self.is_formed.subscribe();
        let calling = dial::keep_calling(node, address.clone(), self.shared.clone(), formed);
        let task = tokio::spawn(calling.instrument(self.shared.span.clone()));
        self.calls.insert(node, Call { address, _task: AbortOnDrop(task) });
    }

    /// Runs the node until it is stopped, its disk fails, or nobody holds a handle any more.
    pub(crate) async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        mut events: mpsc::Receiver<Event>,
        listening: JoinHandle<()>,
    ) {
        let end = loop {
            self.act();
            if let Some(end) = self.end() {
                break end;
            }
            let input = self.next(&mut asks, &mut events).await;
            self.take(input);
            self.drain(&mut asks, &mut events);
        };
        listening.abort();
        let _ = listening.await;
        asks.close();
        while let Ok(ask) = asks.try_recv() {
            self.refuse(ask);
        }
        self.finish(end).await;
    }

    // Inputs.

    async fn next(&mut self, asks: &mut mpsc::Receiver<Ask>, events: &mut mpsc::Receiver<Event>) -> Input {
        let now = self.now();
        let forming = self.formation.as_ref().map(|_| now.after(FORMING));
        let deadline = [self.node.next_deadline(), forming].into_iter().flatten().min();
        let deadline = deadline.map(|at| self.began + Duration::from_micros(at.as_micros()));
        let sleep = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let is_listening = self.stopping.is_none() || !asks.is_closed();
        tokio::select! {
            biased;
            done = self.disk.done() => Input::Disk(done),
            Some(event) = events.recv() => Input::Event(event),
            ask = asks.recv(), if is_listening => Input::Ask(ask),
            () = self.shared.room.notified() => Input::Look,
            () = sleep => Input::Look,
        }
    }

    /// Takes all that is there, each kind in its turn, up to a bound.
    fn drain(&mut self, asks: &mut mpsc::Receiver<Ask>, events: &mut mpsc::Receiver<Event>) {
        for _ in 0..BURST {
            let event = events.try_recv().ok();
            let ask = asks.try_recv().ok();
            if event.is_none() && ask.is_none() {
                return;
            }
            if let Some(event) = event {
                self.take(Input::Event(event));
            }
            if let Some(ask) = ask {
                self.take(Input::Ask(Some(ask)));
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Disk(Ok(round)) => self.node.disk_done(self.now(), round),
            Input::Disk(Err(Failed)) => self.has_failed = true,
            Input::Event(Event::Heard(hello)) => self.heard(&hello),
            Input::Event(Event::Up { serial, peer, outbox }) => self.up(serial, peer, outbox),
            Input::Event(Event::Down { serial, node }) => self.down(serial, node),
            Input::Event(Event::Frame { serial, frame, share }) => {
                self.frame(serial, frame);
                drop(share);
            }
            Input::Ask(Some(ask)) => self.ask(ask),
            // Nobody is left who could ask for anything.
            Input::Ask(None) => self.stop(None),
            Input::Look => {}
        }
    }

    fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    // Connections.

    fn up(&mut self, serial: u64, peer: ReplicaId, outbox: Outbox) {
        let (frames, bytes) = outbox.room();
        let older = self.connections.insert(peer.node, Connection { serial, outbox });
        if older.is_some() {
            tracing::debug!(%peer, "a newer connection takes the place of the older one");
        }
        self.shared.came(peer);
        self.is_board_stale = true;
        self.node.connected(self.now(), peer);
        self.node.send_capacity(peer.node, frames, bytes);
    }

    fn down(&mut self, serial: u64, node: NodeId) {
        if self.connections.get(&node).is_none_or(|connection| connection.serial != serial) {
            return;
        }
        self.connections.remove(&node);
        self.unsent.remove(&node);
        self.shared.went(node);
        self.is_board_stale = true;
        self.node.disconnected(self.now(), node);
    }

    fn frame(&mut self, serial: u64, frame: Frame) {
        let is_current = self.connections.get(&frame.from).is_some_and(|c| c.serial == serial);
        if is_current {
            self.node.receive(self.now(), frame);
        }
    }

    fn send(&mut self, frame: Frame) {
        let to = frame.to;
        let Some(connection) = self.connections.get(&to) else { return };
        if !connection.outbox.offer(frame) {
            count(&self.shared.counters.dropped_frames);
        }
        self.unsent.insert(to);
    }

    fn tell_room(&mut self) {
        let (node, connections) = (&mut self.node, &self.connections);
        self.unsent.retain(|peer| {
            let Some(connection) = connections.get(peer) else { return false };
            let is_empty = connection.outbox.is_empty();
            let (frames, bytes) = connection.outbox.room();
            node.send_capacity(*peer, frames, bytes);
            !is_empty
        });
    }

    // Forming.

    fn heard(&mut self, hello: &Hello) {
        let now = self.now();
        if let Some(formation) = &mut self.formation {
            let verdict = formation.heard(now, hello);
            self.on_verdict(verdict);
        }
    }

    fn on_verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Waiting => {}
            Verdict::Trouble(trouble) => {
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::error!(%trouble, "this node cannot become a member");
                    self.trouble = Some(trouble);
                }
            }
            Verdict::Formed { cluster, genesis } => self.join(cluster, &genesis, genesis.clone()),
            Verdict::Joined { cluster, genesis } => self.join(cluster, &genesis, Configuration::none()),
        }
    }

    /// Writes down the cluster's id, opens the root group with `mine` as its first configuration, and lets peers
    /// in.
    fn join(&mut self, cluster: ClusterId, genesis: &Configuration, mine: Configuration) {
        match self.node.wal_mut().set_cluster(cluster) {
            Ok(()) => {}
            Err(IdentityError::Io(why)) => {
                let request = "write the cluster's id of";
                (self.hooks.on_error)(&DiskFailure { request, path: "the log directory".into(), why });
                self.has_failed = true;
                return;
            }
            Err(error) => {
                // Not reached: a verdict never contradicts the disk's identity. Nothing was written.
                tracing::error!(%error, "this node cannot become a member");
                return;
            }
        }
        tracing::info!(%cluster, voters = ?genesis.voters(), "the cluster is formed");
        self.formation = None;
        self.shared.formed(cluster, genesis);
        if let Err(error) = self.open_root(Some(mine)) {
            tracing::error!(%error, "cannot open the root group");
        }
    }

    fn open_root(&mut self, genesis: Option<Configuration>) -> Result<(), OpenGroupError> {
        let Some(machine) = self.root.take() else { return Ok(()) };
        let note = Bytes::from_static(b"root");
        let spec = GroupSpec { group: GroupId::ROOT, genesis, note, machine };
        self.node.open_group(self.now(), spec)?;
        self.is_formed.send_replace(true);
        self.is_board_stale = true;
        Ok(())
    }

    fn waiting_for(&self) -> Vec<NodeId> {
        self.formation.as_ref().map(|formation| formation.waiting_for(self.now())).unwrap_or_default()
    }

    // Asks.

    fn ask(&mut self, ask: Ask) {
        let now = self.now();
        match ask {
            Ask::Open { spec, answer } => {
                let result = if spec.group == GroupId::ROOT {
                    Err(OpenGroupError::AlreadyOpen(spec.group))
                } else {
                    self.node.open_group(now, spec)
                };
                let _ = answer.send(result);
            }
            Ask::Remove { group, answer } => {
                let ticket = self.ticket(Waiting::Removal(answer));
                self.node.remove_group(now, group, ticket);
            }
            Ask::Submit { group, command, patience, answer } => {
                if let Some(ticket) = self.admit(group, answer) {
                    self.node.submit(now, ticket, group, command, patience);
                }
            }
            Ask::Propose { group, batch, patience, answer } => {
                if let Some(ticket) = self.admit(group, answer) {
                    self.node.propose(now, ticket, group, batch, patience);
                }
            }
            Ask::Query { group, query, consistency, patience, answer } => {
                if let Some(ticket) = self.admit(group, answer) {
                    self.node.query(now, ticket, group, query, consistency, patience);
                }
            }
            Ask::Change { group, change, patience, answer } => {
                if let Some(ticket) = self.admit(group, answer) {
                    self.node.change_membership(now, ticket, group, change, patience);
                }
            }
            Ask::Transfer { group, to, patience, answer } => {
                if let Some(ticket) = self.admit(group, answer) {
                    self.node.transfer_leadership(now, ticket, group, to, patience);
                }
            }
            Ask::AddPeer { node, address } => self.add_peer(node, address),
            Ask::Stop { answer } => self.stop(Some(answer)),
        }
    }

    /// Ends an ask that came too late.
    fn refuse(&mut self, ask: Ask) {
        match ask {
            Ask::Open { answer, .. } => {
                let _ = answer.send(Err(OpenGroupError::Stopping));
            }
            Ask::Submit { answer, .. }
            | Ask::Propose { answer, .. }
            | Ask::Query { answer, .. }
            | Ask::Change { answer, .. }
            | Ask::Transfer { answer, .. } => {
                let _ = answer.send(Outcome::Refused(Refusal::Stopping));
            }
            Ask::Stop { answer } => self.stop(Some(answer)),
            Ask::Remove { .. } | Ask::AddPeer { .. } => {}
        }
    }

    /// A ticket for a request, or the refusal of one that comes before there is a root group.
    fn admit(&mut self, group: GroupId, answer: oneshot::Sender<Outcome>) -> Option<Ticket> {
        if group == GroupId::ROOT && self.formation.is_some() && self.stopping.is_none() {
            let waiting_for = self.waiting_for();
            let _ = answer.send(Outcome::Refused(Refusal::Forming { waiting_for }));
            return None;
        }
        Some(self.ticket(Waiting::Outcome(answer)))
    }

    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiting.insert(ticket, waiting);
        ticket
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        match self.waiting.remove(&ticket) {
            Some(Waiting::Outcome(answer)) => {
                let _ = answer.send(outcome);
            }
            Some(Waiting::Removal(answer)) => {
                let _ = answer.send(());
            }
            None => {}
        }
    }

    fn stop(&mut self, answer: Option<oneshot::Sender<()>>) {
        if self.stopping.is_none() {
            self.node.stop();
        }
        self.stopping.get_or_insert_default().extend(answer);
    }

    // Outputs.

    /// Lets the node act on what it was told, and does what it says.
    fn act(&mut self) {
        let now = self.now();
        if let Some(formation) = &self.formation {
            let verdict = formation.verdict(now);
            self.on_verdict(verdict);
        }
        self.tell_room();
        if self.node.next_deadline().is_some_and(|at| at <= now) {
            self.node.tick(now);
        }
        self.node.pump(now);
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Send(frame) => self.send(frame),
                Output::Disk { round, requests } => self.disk.write(Batch { round, requests }),
                Output::Answer { ticket, outcome } => self.answer(ticket, outcome),
            }
        }
        self.publish();
    }

    fn publish(&mut self) {
        let waiting_for = self.waiting_for();
        let mut board = self.board.write().unwrap_or_else(PoisonError::into_inner);
        let mut is_changed = self.node.publish(&mut board);
        board.counters.refused_snapshots.store(self.node.refused_snapshots(), Ordering::Relaxed);
        board.cluster = self.node.wal_mut().identity().cluster;
        if std::mem::take(&mut self.is_board_stale) || board.waiting_for != waiting_for {
            board.live = self.connections.keys().copied().collect();
            board.waiting_for = waiting_for;
            is_changed = true;
        }
        drop(board);
        if is_changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    // The end.

    fn end(&self) -> Option<End> {
        if self.has_failed {
            return Some(End::DiskFailed);
        }
        (self.stopping.is_some() && self.node.is_disk_idle()).then_some(End::Stopped)
    }

    /// Closes everything; when it returns from a clean stop, the data directory and the port are free.
    async fn finish(mut self, end: End) {
        self.calls.clear();
        self.connections.clear();
        self.is_board_stale = true;
        self.publish();
        if matches!(end, End::Stopped)
            && let Some(mark) = self.node.wal_mut().mark()
        {
            self.disk.write(Batch { round: mark.round, requests: mark.requests });
            let _ = self.disk.done().await;
        }
        self.disk.stop().await;
        drop(self.node);
        for answer in self.stopping.into_iter().flatten() {
            let _ = answer.send(());
        }
    }
}
