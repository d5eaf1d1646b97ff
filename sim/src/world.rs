//! The world: one thread, one seed, virtual time, and everything that happens in it.
//!
//! Events lie in one queue by time, then by lot, then by age. Each is handed to a host's process; what the process
//! asks for in return becomes new events; the oracle looks at every step. First everything fails, then all is healed
//! and the cluster must get well. Invariant: nothing but the seed and the options decides what happens.

use std::collections::{BinaryHeap, VecDeque};
use std::path::Path;
use std::time::Duration;

use raft_core::{Configuration, DiskId, GroupId, NodeId, ReplicaId, RoleKind};
use raft_net::node::{Limits, Node, NodeOptions, Output, Ticket};
use raft_net::{Consistency, GroupSpec, Outcome};
use raft_wal::Round;

use crate::host::{Host, WAL_DIR};
use crate::machine::{self, Machine, Observations, Shown};
use crate::mutant::Mutant;
use crate::network::{self, Network, Room};
use crate::oracle::{Asked, Breach, Checked, Law, Oracle};
use crate::plan::{Death, Fault, Manner, Micros, Plan, Shape, Victim};
use crate::report::Summary;
use crate::rng::{Rng, Stream, hash_bytes, mix};
use crate::trace::{self, Trace};

/// Every history is at least so long: delivered frames, durable rounds, and deadlines that had work.
pub const MIN_STEPS: u64 = 2_000;
/// How many times its longest election timeout a healed cluster may take to get well. An election timeout is drawn
/// from `[election_timeout, 2 * election_timeout)`; this counts the lower end.
const HEALING_TIMEOUTS: u64 = 10;
/// The same, for replicas to catch up: with a window of a few entries and a slow disk that takes as long as the log
/// that they lack. Without a majority that has caught up nothing is served, so a world with such a window has this
/// time for everything.
const AGREEING_TIMEOUTS: u64 = 100;
/// How often a healed cluster is looked at.
const LOOK: Micros = 20_000;
/// A world in which nothing gets on ends here.
const LATEST: Micros = 120_000_000;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Decides everything.
    pub seed: u64,
    /// How many hosts, at least 1 and at most [`raft_core::MAX_VOTERS`].
    pub nodes: usize,
    /// A bug to put in.
    pub mutant: Option<Mutant>,
    /// Laws that are not enforced: what is left shows what other laws find.
    pub blind: Vec<Law>,
}

impl RunOptions {
    /// Three hosts, no bug, all laws.
    pub fn new(seed: u64) -> Self {
        Self { seed, nodes: 3, mutant: None, blind: Vec::new() }
    }
}

#[derive(Debug)]
enum Event {
    Network(network::Event),
    /// The oldest batch of a host is done.
    Disk {
        host: usize,
        life: u64,
        turn: u64,
    },
    Tick {
        host: usize,
        life: u64,
        at: Micros,
    },
    Resume {
        host: usize,
        life: u64,
    },
    Boot {
        host: usize,
        fuse: Option<u64>,
        death: Death,
    },
    Fault(Fault),
    Mend(Vec<(usize, usize)>, Manner),
    Client,
    Look,
}

struct Scheduled {
    at: Micros,
    tie: u64,
    age: u64,
    event: Event,
}

impl Scheduled {
    fn key(&self) -> (Micros, u64, u64) {
        (self.at, self.tie, self.age)
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The earliest is the greatest: the heap gives out the greatest first.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key().cmp(&self.key())
    }
}

/// Once all is healed.
struct Healing {
    /// By then each group is led and its operation done.
    until: Micros,
    /// By then all replicas hold the same.
    agree_until: Micros,
    /// In each group an operation that must get done.
    wanted: Vec<(GroupId, u64)>,
}

/// See the module's documentation.
pub(crate) struct World {
    plan: Plan,
    now: Micros,
    age: u64,
    queue: BinaryHeap<Scheduled>,
    hosts: Vec<Host>,
    /// What came for a host while it was paused.
    deferred: Vec<VecDeque<Event>>,
    network: Network,
    oracle: Oracle,
    trace: Trace,
    ties: Rng,
    process: Rng,
    workload: Rng,
    next_ticket: u64,
    next_operation: u64,
    healing: Option<Healing>,
    shown: Vec<(GroupId, Shown)>,
    summary: Summary,
}

impl World {
    pub(crate) fn new(options: &RunOptions, sink: Option<Box<dyn FnMut(String)>>) -> Self {
        let seed = options.seed;
        let plan = Plan::draw(seed, options.nodes.clamp(1, raft_core::MAX_VOTERS));
        let host = |at: usize| {
            let id = u128::from(mix(seed ^ ((at as u64 + 1) << 32)));
            let replica = ReplicaId::new(NodeId::new(at as u64 + 1), DiskId::new((id << 64) | at as u128));
            Host::new(replica, plan.disk.clone(), Rng::new(seed, Stream::Disk(at as u64)), options.mutant)
        };
        let hosts: Vec<Host> = (0..plan.nodes).map(host).collect();
        let mut oracle = Oracle::new(options.blind.clone());
        for group in &plan.groups {
            let voters: Vec<ReplicaId> = group.members.iter().map(|at| hosts[*at].replica).collect();
            oracle.add_group(group.group, &voters, Path::new(WAL_DIR));
        }
        let summary = Summary { seed, nodes: plan.nodes, groups: plan.groups.len(), ..Summary::default() };
        Self {
            network: Network::new(plan.nodes, plan.network.clone(), Rng::new(seed, Stream::Network)),
            now: 0,
            age: 0,
            queue: BinaryHeap::new(),
            deferred: (0..plan.nodes).map(|_| VecDeque::new()).collect(),
            hosts,
            oracle,
            trace: Trace::new(sink),
            ties: Rng::new(seed, Stream::Ties),
            process: Rng::new(seed, Stream::Process),
            workload: Rng::new(seed, Stream::Workload),
            next_ticket: 0,
            next_operation: 0,
            healing: None,
            shown: Vec::new(),
            plan,
            summary,
        }
    }

    /// Runs the whole history.
    pub(crate) fn run(mut self) -> Summary {
        for host in 0..self.hosts.len() {
            let at = self.process.below(50_000);
            self.schedule(at, Event::Boot { host, fuse: None, death: Death::Kill });
        }
        for action in std::mem::take(&mut self.plan.actions) {
            self.schedule(action.at, Event::Fault(action.fault));
        }
        self.schedule(100_000, Event::Client);
        let mut checked = Ok(());
        while checked.is_ok() && !self.is_over() {
            let Some(Scheduled { at, event, .. }) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.summary.events += 1;
            checked = self.handle(event);
            if self.healing.is_none() && self.is_time_to_heal() && checked.is_ok() {
                checked = self.heal();
            }
        }
        if checked.is_ok() {
            let life = |node: NodeId| {
                let host = self.hosts.iter().find(|host| host.id() == node)?;
                host.process.as_ref().map(|_| host.life)
            };
            checked = self.oracle.at_the_end(self.now, life);
        }
        if let Err(breach) = checked {
            let node = breach.node.map_or(0, NodeId::as_u64);
            self.trace.event(self.now, node, "BREACH", breach.group, 0, || breach.to_string());
            self.summary.breach = Some((self.now, breach));
        }
        self.summary.simulated = self.now;
        self.summary.hash = self.trace.hash();
        (self.summary.committed, self.summary.elections) = self.oracle.progress();
        self.summary.ended = self.oracle.clients.ended;
        self.summary
    }

    fn schedule(&mut self, at: Micros, event: Event) {
        self.age += 1;
        let tie = self.ties.any();
        self.queue.push(Scheduled { at, tie, age: self.age, event });
    }

    fn take_upcoming(&mut self) {
        let mut upcoming = std::mem::take(&mut self.network.upcoming);
        for (at, event) in upcoming.drain(..) {
            self.schedule(at, Event::Network(event));
        }
        self.network.upcoming = upcoming;
    }

    fn is_over(&self) -> bool {
        self.summary.is_healed
    }

    fn is_time_to_heal(&self) -> bool {
        let summary = &self.summary;
        let is_enough = summary.steps() >= MIN_STEPS && summary.crashes >= 2 && summary.partitions >= 1;
        self.now >= self.plan.faults_until && (is_enough || self.now >= LATEST)
    }

    // Events.

    /// The host whose process an event is for.
    fn addressee(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Disk { host, .. } | Event::Tick { host, .. } => Some(*host),
            Event::Network(network::Event::Up { pair, end, .. } | network::Event::Down { pair, end, .. }) => {
                Some(self.network.hosts(*pair)[*end])
            }
            Event::Network(network::Event::Deliver { pair, direction, .. }) => {
                Some(self.network.hosts(*pair)[1 - *direction])
            }
            Event::Network(network::Event::Late { to, .. }) => Some(*to),
            _ => None,
        }
    }

    fn handle(&mut self, event: Event) -> Checked {
        if let Some(host) = self.addressee(&event)
            && self.hosts[host].paused_until > self.now
        {
            self.deferred[host].push_back(event);
            return Ok(());
        }
        let checked = self.dispatch(event);
        self.take_upcoming();
        checked
    }

    fn dispatch(&mut self, event: Event) -> Checked {
        match event {
            Event::Network(event) => self.on_network(event),
            Event::Disk { host, life, turn } => self.on_disk(host, life, turn),
            Event::Tick { host, life, at } => self.on_tick(host, life, at),
            Event::Resume { host, life } => self.on_resume(host, life),
            Event::Boot { host, fuse, death } => self.boot(host, fuse, death),
            Event::Fault(fault) if self.healing.is_none() => self.strike(fault),
            Event::Fault(_) => Ok(()),
            Event::Mend(cuts, manner) => {
                self.mend(&cuts, manner);
                Ok(())
            }
            Event::Client => self.on_client(),
            Event::Look => self.look(),
        }
    }

    fn on_network(&mut self, event: network::Event) -> Checked {
        use network::Event as E;
        let now = self.now;
        match event {
            E::Dial { pair } => {
                let hosts = &self.hosts;
                let answers = |at: usize| hosts[at].process.is_some() && hosts[at].paused_until <= now;
                self.network.on_dial(now, pair, answers);
                Ok(())
            }
            E::Up { pair, epoch, end } => {
                let Some((host, peer, room)) = self.network.on_up(pair, epoch, end) else { return Ok(()) };
                let replica = self.hosts[peer].replica;
                self.note(host, "conn+", None, 0, || format!("to n{}", replica.node));
                let Some(process) = &mut self.hosts[host].process else { return Ok(()) };
                process.node.connected(process.clock(now), replica);
                self.make_room(room);
                self.settle(host).map(|_| ())
            }
            E::Down { pair, epoch, end } => {
                let Some((host, peer)) = self.network.on_down(now, pair, epoch, end) else { return Ok(()) };
                let node = self.hosts[peer].id();
                self.note(host, "conn-", None, 0, || format!("to n{node}"));
                let Some(process) = &mut self.hosts[host].process else { return Ok(()) };
                process.node.disconnected(process.clock(now), node);
                self.settle(host).map(|_| ())
            }
            E::Silence { pair, epoch, direction, cut } => {
                self.network.on_silence(now, pair, epoch, direction, cut);
                Ok(())
            }
            E::Deliver { pair, epoch, direction, life, frame } => {
                let (arrived, room) = self.network.on_deliver(now, pair, epoch, direction, life, frame);
                let has_room = room.filter(|room| room.is_news).map(|room| room.at);
                self.make_room(room);
                if let Some((host, frame)) = arrived {
                    self.deliver(host, *frame, "recv<")?;
                }
                has_room.map_or(Ok(()), |host| self.settle(host).map(|_| ()))
            }
            E::Late { to, life, frame } if self.network.on_late(to, life) => {
                self.deliver(to, *frame, "late<")
            }
            E::Late { .. } => Ok(()),
        }
    }

    fn make_room(&mut self, room: Option<Room>) {
        let Some(room) = room else { return };
        let peer = self.hosts[room.to].id();
        if let Some(process) = &mut self.hosts[room.at].process {
            process.node.send_capacity(peer, room.frames, room.bytes);
        }
    }

    fn deliver(&mut self, host: usize, frame: raft_net::frame::Frame, name: &'static str) -> Checked {
        let now = self.now;
        let from = frame.from;
        let group = Some(frame.group);
        self.summary.delivered += 1;
        let fingerprint = trace::fingerprint(&frame);
        let node = self.hosts[host].id().as_u64();
        self.trace
            .event(now, node, name, group, fingerprint, || format!("n{from}  {}", trace::describe(&frame)));
        let Some(process) = &mut self.hosts[host].process else { return Ok(()) };
        process.node.receive(process.clock(now), frame);
        self.settle(host).map(|_| ())
    }

    /// The disk will have finished its oldest batch then.
    fn plan_disk(&mut self, host: usize, at: Micros) {
        let (life, turn) = (self.hosts[host].life, self.hosts[host].take_turn());
        self.schedule(at, Event::Disk { host, life, turn });
    }

    fn on_disk(&mut self, host: usize, life: u64, turn: u64) -> Checked {
        let now = self.now;
        let is_stale = (self.hosts[host].life, self.hosts[host].turn()) != (life, turn);
        if is_stale || self.hosts[host].process.is_none() {
            return Ok(());
        }
        if self.hosts[host].stalled_until > now {
            self.plan_disk(host, self.hosts[host].stalled_until);
            return Ok(());
        }
        let node = self.hosts[host].id();
        let (round, requests) = match self.hosts[host].finish() {
            Ok(done) => done,
            Err(seen) => return Err(Breach { law: Law::S2, group: None, node: Some(node), seen }),
        };
        self.summary.rounds += 1;
        self.oracle.disk_changed(node, &self.hosts[host].disk)?;
        let (done_at, lie) = self.hosts[host].go_on(now);
        if let Some(at) = done_at {
            self.plan_disk(host, at);
        }
        for round in round.into_iter().chain(lie) {
            self.note(host, "disk", None, round.as_u64(), || format!("round {round}, {requests} requests"));
            if let Some(process) = &mut self.hosts[host].process {
                process.node.disk_done(process.clock(now), round);
            }
        }
        self.settle(host).map(|_| ())
    }

    fn on_tick(&mut self, host: usize, life: u64, at: Micros) -> Checked {
        let now = self.now;
        if self.hosts[host].life != life || self.hosts[host].tick_at != Some(at) {
            return Ok(());
        }
        self.hosts[host].tick_at = None;
        let Some(process) = &mut self.hosts[host].process else { return Ok(()) };
        if process.deadline(now).is_none_or(|deadline| deadline > now) {
            self.plan_tick(host);
            return Ok(());
        }
        process.node.tick(process.clock(now));
        let outputs = self.settle(host)?;
        if outputs > 0 {
            self.summary.timers += 1;
            self.note(host, "tick", None, outputs, || format!("{outputs} outputs"));
        }
        Ok(())
    }

    fn plan_tick(&mut self, host: usize) {
        let now = self.now;
        let Some(deadline) = self.hosts[host].process.as_ref().and_then(|process| process.deadline(now))
        else {
            return;
        };
        // A process that is always due must not stop time.
        let at = deadline.max(now + 1);
        if self.hosts[host].tick_at.is_none_or(|planned| planned > at) {
            self.hosts[host].tick_at = Some(at);
            let life = self.hosts[host].life;
            self.schedule(at, Event::Tick { host, life, at });
        }
    }

    fn on_resume(&mut self, host: usize, life: u64) -> Checked {
        if self.hosts[host].life != life || self.hosts[host].paused_until > self.now {
            return Ok(());
        }
        self.note(host, "resume", None, 0, String::new);
        while let Some(event) = self.deferred[host].pop_front() {
            self.dispatch(event)?;
        }
        Ok(())
    }

    /// Lets a process turn its inputs into outputs, and the oracle look at them. How many outputs there were.
    fn settle(&mut self, at: usize) -> Result<u64, Breach> {
        let now = self.now;
        let mut count = 0;
        loop {
            let host = &mut self.hosts[at];
            let (id, replica) = (host.id(), host.replica);
            let Some(process) = &mut host.process else { return Ok(count) };
            process.node.pump(process.clock(now));
            process.observations.drain_into(&mut self.shown);
            for (group, shown) in self.shown.drain(..) {
                if let Shown::Role(state) = shown
                    && state.role == RoleKind::Leader
                {
                    let term = state.term;
                    self.trace
                        .event(now, id.as_u64(), "lead", Some(group), term.as_u64(), || format!("t{term}"));
                }
                let commit = process.node.core(group).map(raft_core::Raft::commit);
                self.oracle.shown(id, group, shown, commit)?;
            }
            self.oracle.stepped(id, &process.node)?;
            if process.node.publish(&mut process.board) {
                for (group, (term, leader)) in &process.board.leaders {
                    self.oracle.heard(id, *group, *term, *leader)?;
                }
            }
            let mut lies: Vec<Round> = Vec::new();
            let mut done_at = None;
            while let Some(output) = self.hosts[at].process.as_mut().and_then(|p| p.node.poll_output()) {
                count += 1;
                match output {
                    Output::Send(frame) => self.send(at, replica, frame)?,
                    Output::Disk { round, requests } => {
                        let (done, lie) = self.hosts[at].take(now, round, requests);
                        done_at = done_at.or(done);
                        lies.extend(lie);
                    }
                    Output::Answer { ticket, outcome } => self.answer(id, ticket, &outcome)?,
                }
            }
            if let Some(done) = done_at {
                self.plan_disk(at, done);
            }
            if lies.is_empty() {
                break;
            }
            let Some(process) = &mut self.hosts[at].process else { break };
            for round in lies {
                process.node.disk_done(process.clock(now), round);
            }
        }
        self.plan_tick(at);
        Ok(count)
    }

    fn send(&mut self, at: usize, replica: ReplicaId, frame: raft_net::frame::Frame) -> Checked {
        let now = self.now;
        let to = frame.to;
        let fingerprint = trace::fingerprint(&frame);
        let node = replica.node.as_u64();
        self.trace.event(now, node, "send>", Some(frame.group), fingerprint, || {
            format!("n{to}  {}", trace::describe(&frame))
        });
        self.oracle.sent(replica, &frame)?;
        if let Some(to) = self.hosts.iter().position(|host| host.id() == to) {
            self.network.send(now, at, to, frame);
        }
        Ok(())
    }

    fn answer(&mut self, node: NodeId, ticket: Ticket, outcome: &Outcome) -> Checked {
        let fingerprint = match outcome {
            Outcome::Done(response) => hash_bytes(ticket.0, response),
            Outcome::Refused(_) => mix(ticket.0),
            Outcome::Unknown(_) => !ticket.0,
        };
        self.trace.event(self.now, node.as_u64(), "answer", None, fingerprint, || match outcome {
            Outcome::Done(_) => format!("#{} done", ticket.0),
            Outcome::Refused(refusal) => format!("#{} refused: {refusal}", ticket.0),
            Outcome::Unknown(doubt) => format!("#{} {doubt}", ticket.0),
        });
        self.oracle.answered(node, ticket, outcome)
    }

    /// Notes an event of a host.
    fn note(
        &mut self,
        host: usize,
        name: &'static str,
        group: Option<GroupId>,
        fingerprint: u64,
        detail: impl FnOnce() -> String,
    ) {
        let node = self.hosts[host].id().as_u64();
        self.trace.event(self.now, node, name, group, fingerprint, detail);
    }

    // Life and death.

    fn boot(&mut self, at: usize, fuse: Option<u64>, death: Death) -> Checked {
        if self.hosts[at].process.is_some() {
            return Ok(());
        }
        let now = self.now;
        let (id, replica) = (self.hosts[at].id(), self.hosts[at].replica);
        let opened = self.hosts[at].open(&self.plan.wal, fuse);
        let life = self.hosts[at].life;
        let (wal, states) = match opened {
            Ok(opened) => opened,
            Err(_) if fuse.is_some() => {
                self.note(at, "boot", None, 0, || "died while it recovered".to_string());
                self.hosts[at].suffer(death);
                self.oracle.disk_changed(id, &self.hosts[at].disk)?;
                let again = now + self.process.between(1_000, 200_000);
                self.schedule(again, Event::Boot { host: at, fuse: None, death });
                return Ok(());
            }
            Err(error) => {
                let seen = format!("its log does not open: {error}");
                return Err(Breach { law: Law::L8, group: None, node: Some(id), seen });
            }
        };
        self.note(at, "boot", None, life, || format!("life {life}"));
        self.oracle.disk_changed(id, &self.hosts[at].disk)?;
        self.oracle.recovered(replica, &states)?;
        let options = NodeOptions {
            id,
            boot: self.process.any(),
            seed: self.process.any(),
            raft: self.plan.raft.clone(),
            limits: Limits::default(),
        };
        let observations = Observations::default();
        let node = Node::new(options, wal, states);
        let offset = self.process.below(1 << 40);
        self.hosts[at].start(node, observations.clone(), offset);
        for plan in self.plan.groups.iter().filter(|plan| plan.members.contains(&at)) {
            let voters: Vec<ReplicaId> =
                plan.members.iter().map(|member| self.hosts[*member].replica).collect();
            let genesis = Configuration::new(voters).map_err(|error| wrong(id, plan.group, &error))?;
            let machine = Box::new(Machine::new(plan.group, observations.clone()));
            let spec =
                GroupSpec { group: plan.group, genesis: Some(genesis), note: bytes::Bytes::new(), machine };
            self.oracle.opened(id, plan.group);
            if let Some(process) = &mut self.hosts[at].process {
                let clock = process.clock(now);
                process.node.open_group(clock, spec).map_err(|error| wrong(id, plan.group, &error))?;
            }
        }
        self.network.booted(now, at, life);
        self.settle(at).map(|_| ())
    }

    fn kill(&mut self, at: usize, death: Death) -> Checked {
        let life = self.hosts[at].life;
        let id = self.hosts[at].id();
        let name = if death == Death::Kill { "kill" } else { "power" };
        self.note(at, name, None, life, || format!("{death:?}"));
        self.hosts[at].die(death);
        self.deferred[at].clear();
        self.network.died(self.now, at, death != Death::Kill);
        self.oracle.died(id, life);
        self.oracle.disk_changed(id, &self.hosts[at].disk)?;
        self.summary.crashes += 1;
        Ok(())
    }

    // Faults.

    fn victim(&self, victim: Victim) -> Option<usize> {
        let is_alive = |at: &usize| self.hosts[*at].process.is_some();
        let leads = |at: &usize, group: GroupId| {
            let core = self.hosts[*at].process.as_ref().and_then(|process| process.node.core(group));
            core.is_some_and(|core| core.soft_state().role == RoleKind::Leader)
        };
        let hosts = self.hosts.len();
        let first = match victim {
            Victim::Host(number) => (number % hosts as u64) as usize,
            Victim::Leader(number) => {
                let plan = &self.plan.groups[(number % self.plan.groups.len() as u64) as usize];
                let leader = plan.members.iter().find(|at| leads(at, plan.group));
                leader.copied().unwrap_or(plan.members[0])
            }
        };
        (first..first + hosts).map(|at| at % hosts).find(is_alive)
    }

    fn strike(&mut self, fault: Fault) -> Checked {
        let now = self.now;
        match fault {
            Fault::Crash { victim, death, down, dies_again } => {
                let Some(at) = self.victim(victim) else {
                    self.schedule(now + 50_000, Event::Fault(fault));
                    return Ok(());
                };
                self.kill(at, death)?;
                self.schedule(now + down, Event::Boot { host: at, fuse: dies_again, death });
            }
            Fault::Blackout { survival, down } => {
                for at in 0..self.hosts.len() {
                    if self.hosts[at].process.is_some() {
                        self.kill(at, Death::PowerCut(survival))?;
                        let back = now + down + self.process.below(20_000);
                        let death = Death::PowerCut(survival);
                        self.schedule(back, Event::Boot { host: at, fuse: None, death });
                    }
                }
            }
            Fault::Partition { victim, shape, manner, lasts } => {
                let at = self.victim(victim).unwrap_or(0);
                let cuts = self.cuts(at, shape);
                self.summary.partitions += u64::from(!cuts.is_empty());
                let node = self.hosts[at].id().as_u64();
                self.trace.event(now, 0, "cut", None, node, || format!("{shape:?} of n{node}, {manner:?}"));
                for (from, to) in &cuts {
                    match manner {
                        Manner::Silent => self.network.cut(now, *from, *to),
                        Manner::Reset => self.network.refuse(now, *from, *to),
                    }
                }
                self.schedule(now + lasts, Event::Mend(cuts, manner));
            }
            Fault::Break(number) => {
                if self.network.pairs() > 0 {
                    let pair = (number % self.network.pairs() as u64) as usize;
                    self.network.break_connection(now, pair);
                }
            }
            Fault::Stall { victim, lasts } => {
                if let Some(at) = self.victim(victim) {
                    self.note(at, "stall", None, lasts, || format!("{lasts} us"));
                    self.hosts[at].stalled_until = self.hosts[at].stalled_until.max(now + lasts);
                }
            }
            Fault::Pause { victim, lasts } => {
                if let Some(at) = self.victim(victim) {
                    self.note(at, "pause", None, lasts, || format!("{lasts} us"));
                    let until = self.hosts[at].paused_until.max(now + lasts);
                    self.hosts[at].paused_until = until;
                    let life = self.hosts[at].life;
                    self.schedule(until, Event::Resume { host: at, life });
                }
            }
        }
        Ok(())
    }

    /// The directions, from one host to another, in which nothing passes.
    fn cuts(&self, victim: usize, shape: Shape) -> Vec<(usize, usize)> {
        let hosts = self.hosts.len();
        let pairs = || (0..hosts).flat_map(move |a| (0..hosts).map(move |b| (a, b))).filter(|(a, b)| a != b);
        let chosen = |number: u64| {
            let pairs = self.network.pairs();
            (pairs > 0).then(|| self.network.hosts((number % pairs as u64) as usize))
        };
        let side = |set: u64, at: usize| set >> at & 1;
        match shape {
            Shape::Isolate => pairs().filter(|(a, b)| *a == victim || *b == victim).collect(),
            Shape::Split(set) => {
                let all = (1 << hosts) - 1;
                // A side without anybody is no partition.
                let set = if set & all == 0 || set & all == all { 1 << victim } else { set };
                pairs().filter(|(a, b)| side(set, *a) != side(set, *b)).collect()
            }
            Shape::Bridge => pairs().filter(|(a, b)| *a != victim && *b != victim).collect(),
            Shape::Deaf => pairs().filter(|(_, b)| *b == victim).collect(),
            Shape::Mute => pairs().filter(|(a, _)| *a == victim).collect(),
            Shape::Pair(number) => chosen(number).map_or(Vec::new(), |[a, b]| vec![(a, b), (b, a)]),
            Shape::OneWay(number) => {
                let turn = |[a, b]: [usize; 2]| if number >> 32 & 1 == 0 { (a, b) } else { (b, a) };
                chosen(number).map(turn).into_iter().collect()
            }
        }
    }

    fn mend(&mut self, cuts: &[(usize, usize)], manner: Manner) {
        if self.healing.is_some() {
            return;
        }
        self.trace.event(self.now, 0, "mend", None, cuts.len() as u64, || format!("{manner:?} {cuts:?}"));
        for (from, to) in cuts {
            match manner {
                Manner::Silent => self.network.mend(self.now, *from, *to),
                Manner::Reset => self.network.admit(*from, *to),
            }
        }
    }

    // Clients.

    fn on_client(&mut self) -> Checked {
        if self.healing.is_some() {
            return Ok(());
        }
        let next = self.now + self.workload.between(0, 2 * self.plan.load.interval);
        self.schedule(next, Event::Client);
        let group = self.workload.below(self.plan.groups.len() as u64) as usize;
        let member = self.workload.below(self.plan.groups[group].members.len() as u64) as usize;
        let kind = self.workload.below(100);
        let plan = &self.plan.groups[group];
        let mut at = plan.members[member];
        let id = plan.group;
        if (50..75).contains(&kind) {
            // Batches are for the leader; now and then another one gets them.
            let leads = |at: &&usize| {
                let core = self.hosts[**at].process.as_ref().and_then(|process| process.node.core(id));
                core.is_some_and(|core| core.soft_state().role == RoleKind::Leader)
            };
            if let (true, Some(leader)) = (kind > 50, plan.members.iter().find(leads)) {
                at = *leader;
            }
        }
        let is_there = self.hosts[at].process.is_some() && self.hosts[at].paused_until <= self.now;
        if !is_there {
            return Ok(());
        }
        let patience = self.workload.between(self.plan.load.patience / 4, self.plan.load.patience);
        let padding = if self.workload.chance(self.plan.load.large) {
            self.workload.between(3_000, 9_000)
        } else {
            self.workload.between(0, 200)
        };
        match kind {
            0..50 => self.ask(at, id, What::Submit, padding as usize, patience),
            50..75 => self.ask(at, id, What::Propose, padding as usize, patience),
            75..95 => self.ask(at, id, What::Read, 0, patience),
            _ => self.ask(at, id, What::LocalRead, 0, patience),
        }
        .map(|_| ())
    }

    /// Asks a process for something. Returns the operation's number, if it is one.
    fn ask(
        &mut self,
        at: usize,
        group: GroupId,
        what: What,
        padding: usize,
        patience: Micros,
    ) -> Result<u64, Breach> {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let operation = self.next_operation + 1;
        let asked = match what {
            What::Submit | What::Propose => {
                self.next_operation = operation;
                Asked::Operation(operation)
            }
            What::Read => Asked::Read { floor: self.oracle.clients.floor(group) },
            What::LocalRead => Asked::LocalRead,
        };
        self.note(at, "ask", Some(group), ticket.0, || format!("#{} {what:?} {asked:?}", ticket.0));
        let host = &mut self.hosts[at];
        // A process may be paused for a while before it can say that time is up.
        let due = self.now + patience + 100_000;
        self.oracle.clients.asks(ticket, group, (host.id(), host.life), asked, due);
        let Some(process) = &mut host.process else { return Ok(operation) };
        let now = process.clock(self.now);
        let patience = Duration::from_micros(patience);
        let query = |consistency| (bytes::Bytes::new(), consistency);
        match what {
            What::Submit => {
                process.node.submit(now, ticket, group, machine::operation(operation, padding), patience);
            }
            What::Propose => {
                process.node.propose(now, ticket, group, machine::operation(operation, padding), patience);
            }
            What::Read | What::LocalRead => {
                let (bytes, consistency) = query(match what {
                    What::Read => Consistency::Linearizable,
                    _ => Consistency::Local,
                });
                process.node.query(now, ticket, group, bytes, consistency, patience);
            }
        }
        self.settle(at)?;
        Ok(operation)
    }

    // Healing.

    fn heal(&mut self) -> Checked {
        let now = self.now;
        self.trace.event(now, 0, "heal", None, 0, String::new);
        let timeout = self.plan.raft.election_timeout.as_micros() as u64;
        let is_window_small = self.plan.raft.max_append_bytes < 1 << 20;
        let patience = timeout * if is_window_small { AGREEING_TIMEOUTS } else { HEALING_TIMEOUTS };
        let agree_until = now + AGREEING_TIMEOUTS * timeout;
        self.healing = Some(Healing { until: now + patience, agree_until, wanted: Vec::new() });
        self.network.heal(now);
        for at in 0..self.hosts.len() {
            self.hosts[at].calm();
            if let Some(done) = self.hosts[at].restart_batch(now) {
                self.plan_disk(at, done);
            }
            if self.hosts[at].process.is_some() {
                let life = self.hosts[at].life;
                self.on_resume(at, life)?;
            } else {
                self.boot(at, None, Death::Kill)?;
            }
        }
        for at in 0..self.plan.groups.len() {
            let plan = &self.plan.groups[at];
            let group = plan.group;
            let member = plan.members[self.workload.below(plan.members.len() as u64) as usize];
            let operation = self.ask(member, group, What::Submit, 20, patience)?;
            if let Some(healing) = &mut self.healing {
                healing.wanted.push((group, operation));
            }
        }
        self.take_upcoming();
        self.schedule(now + LOOK, Event::Look);
        Ok(())
    }

    /// Looks whether the healed cluster has got well.
    fn look(&mut self) -> Checked {
        let Some(healing) = &self.healing else { return Ok(()) };
        let missing = healing.wanted.iter().find(|(group, op)| !self.oracle.clients.is_done(*group, *op));
        let unled = self.plan.groups.iter().find(|plan| !self.is_led(plan.group, &plan.members));
        let is_led = missing.is_none() && unled.is_none();
        let until = if is_led { healing.agree_until } else { healing.until };
        let breach = match (missing, unled) {
            (Some((group, operation)), _) => {
                let seen = format!("operation {operation}, asked for when all was healed, is not done");
                Some(Breach { law: Law::V1, group: Some(*group), node: None, seen })
            }
            (None, Some(plan)) => {
                let seen = "nobody leads and serves".to_string();
                Some(Breach { law: Law::V1, group: Some(plan.group), node: None, seen })
            }
            (None, None) => self.oracle.disagreement(),
        };
        match breach {
            None => {
                self.summary.is_healed = true;
                Ok(())
            }
            Some(breach) if self.now >= until => Err(breach),
            Some(_) => {
                self.schedule(self.now + LOOK, Event::Look);
                Ok(())
            }
        }
    }

    fn is_led(&self, group: GroupId, members: &[usize]) -> bool {
        members.iter().any(|at| {
            let core = self.hosts[*at].process.as_ref().and_then(|process| process.node.core(group));
            core.is_some_and(raft_core::Raft::is_serving)
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    Submit,
    Propose,
    Read,
    LocalRead,
}

fn wrong(node: NodeId, group: GroupId, error: &dyn std::fmt::Display) -> Breach {
    Breach { law: Law::S1, group: Some(group), node: Some(node), seen: error.to_string() }
}
