//! One simulated machine: a disk, and a process that comes and goes.
//!
//! It owes the log what any host owes it: requests in order, one round after another, and no report before all of a
//! round is done. Unless it is told to lie ([`Mutant`]).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use raft_core::{NodeId, ReplicaId, Time};
use raft_net::Board;
use raft_net::node::Node;
use raft_wal::{DiskRequest, Fs, GroupState, OpenError, Options, Round, Wal};

use crate::disk::SimDisk;
use crate::machine::Observations;
use crate::mutant::Mutant;
use crate::plan::{Death, DiskPlan, Micros};
use crate::rng::Rng;

/// Where each host keeps its log.
pub(crate) const WAL_DIR: &str = "/wal";

/// A batch of requests on its way to the disk.
#[derive(Debug)]
struct Work {
    round: Round,
    requests: Vec<DiskRequest>,
    /// It was reported before it was done.
    is_reported: bool,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) node: Node,
    pub(crate) observations: Observations,
    pub(crate) board: Board,
    /// Its clock's zero lies so far before the simulation's.
    clock_offset: Micros,
}

impl Process {
    /// The time by the process's own clock.
    pub(crate) fn clock(&self, now: Micros) -> Time {
        Time::from_micros(now + self.clock_offset)
    }

    /// When the node next wants to be told the time; at once when that is past.
    pub(crate) fn deadline(&self, now: Micros) -> Option<Micros> {
        let deadline = self.node.next_deadline()?.as_micros();
        Some(deadline.saturating_sub(self.clock_offset).max(now))
    }
}

/// See the module's documentation.
pub(crate) struct Host {
    pub(crate) replica: ReplicaId,
    pub(crate) disk: SimDisk,
    pub(crate) process: Option<Process>,
    /// Counts the lives of its process, from 1.
    pub(crate) life: u64,
    /// Until then its disk does nothing.
    pub(crate) stalled_until: Micros,
    /// Until then its process does nothing.
    pub(crate) paused_until: Micros,
    /// When the next tick is scheduled.
    pub(crate) tick_at: Option<Micros>,
    work: VecDeque<Work>,
    /// Numbers the moments at which the oldest batch was said to be done; only the last one counts.
    turn: u64,
    plan: DiskPlan,
    rng: Rng,
    mutant: Option<Mutant>,
}

impl Host {
    pub(crate) fn new(replica: ReplicaId, plan: DiskPlan, rng: Rng, mutant: Option<Mutant>) -> Self {
        Self {
            replica,
            disk: SimDisk::new(),
            process: None,
            life: 0,
            stalled_until: 0,
            paused_until: 0,
            tick_at: None,
            work: VecDeque::new(),
            turn: 0,
            plan,
            rng,
            mutant,
        }
    }

    /// The node that runs here.
    pub(crate) fn id(&self) -> NodeId {
        self.replica.node
    }

    /// Opens the log, as a starting process does. `fuse` lets it die after so many requests to the disk.
    ///
    /// # Errors
    /// What the log says; after a blown fuse that means nothing.
    pub(crate) fn open(
        &mut self,
        options: &Options,
        fuse: Option<u64>,
    ) -> Result<(Wal, Vec<GroupState>), OpenError> {
        self.life += 1;
        self.disk.set_fuse(fuse);
        let options = Options { format_as: Some(self.replica.disk), ..options.clone() };
        let opened = Wal::open(Arc::new(self.disk.clone()), Path::new(WAL_DIR), options);
        self.disk.set_fuse(None);
        opened
    }

    /// Starts a process around a node.
    pub(crate) fn start(&mut self, node: Node, observations: Observations, clock_offset: Micros) {
        self.process = Some(Process { node, observations, board: Board::default(), clock_offset });
    }

    /// Takes a batch of the node for the disk. Says when it will be done, if that is not known already.
    pub(crate) fn take(
        &mut self,
        now: Micros,
        round: Round,
        requests: Vec<DiskRequest>,
    ) -> (Option<Micros>, Option<Round>) {
        self.work.push_back(Work { round, requests, is_reported: false });
        if self.work.len() == 1 { self.begin(now) } else { (None, None) }
    }

    /// Begins the oldest batch: when it will be done, and which round a lying host reports at once.
    fn begin(&mut self, now: Micros) -> (Option<Micros>, Option<Round>) {
        let Some(work) = self.work.front_mut() else { return (None, None) };
        let mut lie = None;
        if self.mutant.is_some_and(|mutant| mutant.lies_about(self.replica.disk, &work.requests)) {
            // What is written can be read back at once; it is only not on the platter.
            let is_sync =
                |r: &DiskRequest| matches!(r, DiskRequest::SyncData { .. } | DiskRequest::SyncDir { .. });
            let (syncs, others): (Vec<_>, Vec<_>) = work.requests.drain(..).partition(is_sync);
            let done = others.iter().all(|request| self.disk.execute(request).is_ok());
            debug_assert!(done, "a lying host still does what it is asked");
            work.requests = syncs;
            work.is_reported = true;
            lie = Some(work.round);
        }
        (Some(now.max(self.stalled_until) + self.latency()), lie)
    }

    fn latency(&mut self) -> Micros {
        let DiskPlan { latency, spread, has_tail } = self.plan;
        if has_tail { self.rng.tailed(latency, spread) } else { self.rng.between(latency, latency + spread) }
    }

    /// Draws anew when the oldest batch will be done, if there is one.
    pub(crate) fn restart_batch(&mut self, now: Micros) -> Option<Micros> {
        (!self.work.is_empty()).then(|| now + self.latency())
    }

    /// Takes a new turn; events of earlier ones count no more.
    pub(crate) fn take_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// The present turn.
    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    /// Finishes the oldest batch: its round and how many requests it had, unless it was reported before.
    ///
    /// # Errors
    /// When the disk was asked for something that cannot be done.
    pub(crate) fn finish(&mut self) -> Result<(Option<Round>, usize), String> {
        let Some(work) = self.work.pop_front() else { return Ok((None, 0)) };
        for request in &work.requests {
            if let Err(error) = self.disk.execute(request) {
                return Err(format!("{} {}: {error}", request.name(), request.path().display()));
            }
        }
        Ok(((!work.is_reported).then_some(work.round), work.requests.len()))
    }

    /// Begins the next batch, if there is one.
    pub(crate) fn go_on(&mut self, now: Micros) -> (Option<Micros>, Option<Round>) {
        self.begin(now)
    }

    /// Ends the process, in the middle of whatever it was doing.
    pub(crate) fn die(&mut self, death: Death) {
        self.process = None;
        self.tick_at = None;
        self.paused_until = 0;
        if let Some(work) = self.work.pop_front() {
            let done = self.rng.between(0, work.requests.len() as u64) as usize;
            for request in &work.requests[..done] {
                // What could not be done is found by the round that comes to its end.
                let _ = self.disk.execute(request);
            }
            if let Some(next) = work.requests.get(done) {
                self.disk.execute_cut_short(next, &mut self.rng);
            }
        }
        self.work.clear();
        self.suffer(death);
    }

    /// Lets the disk suffer what a death does to it.
    pub(crate) fn suffer(&mut self, death: Death) {
        if let Death::PowerCut(survival) = death {
            self.disk.cut_power(survival, &mut self.rng);
        }
    }

    /// Ends long latencies and stalls.
    pub(crate) fn calm(&mut self) {
        self.plan.has_tail = false;
        self.stalled_until = 0;
        self.paused_until = 0;
    }
}
