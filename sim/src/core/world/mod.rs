//! A world of a few replicas: the real core over simulated disks, network and clocks, driven by one queue of events.
//!
//! This tree is built once per build of the core (`raft_core` is whatever the parent calls so), and knows nothing of
//! command lines, scripts or shrinking. Invariant: a run is decided by its setup alone.

mod admin;
mod arena;
mod bank;
mod claims;
mod clients;
mod describe;
mod disk;
mod effects;
mod heal;
mod network;
mod node;
mod process;
mod truth;
mod writes;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use super::raft_core;
use raft_core::{Configuration, Membership, NodeId, Options, RoleKind, Term};

use self::arena::Arena;
use self::clients::Clients;
use self::network::{Later, Network};
use self::node::{Node, replica};
use self::truth::Truth;
use crate::core::action::Action;
use crate::core::dice::{Dice, Purpose};
use crate::core::knobs::{Knobs, Micros};
use crate::core::law::{Breach, Checked, Law};
use crate::core::marks::Marks;
use crate::core::plan;
use crate::core::queue::Due;
use crate::core::record::{Record, Recorder};
use crate::core::report::{Counts, Outcome, Setup};
use crate::rng::fold;

/// Kinds of events.
const DELIVER: u8 = 1;
const DISK: u8 = 2;
const TIMER: u8 = 3;
const PING: u8 = 4;
const LATER: u8 = 5;

/// Of so many seeds one has the history of its clients checked as a whole: that takes longer than the run.
const CLIENTS_EVERY: u64 = 8;

/// A group that sleeps most of the time gets no further than this.
const MAX_CHAPTERS: u64 = 20_000;

/// See the module's documentation.
pub(crate) struct World {
    seed: u64,
    knobs: Knobs,
    options: Arc<Options>,
    genesis: Membership,
    now: Micros,
    nodes: Vec<Node>,
    arena: Arena,
    truth: Truth,
    network: Network,
    clients: Clients,
    counts: Counts,
    marks: Marks,
    recorder: Recorder,
    hash: u64,
    /// Whether the checkers are on. They are off only to measure what they cost.
    checks: bool,
    /// Faults are over.
    is_healed: bool,
    /// Who was last told to campaign, and the term in which it then stands.
    successor: Option<(NodeId, Term)>,
}

/// Runs one world to its end.
pub(crate) fn run(setup: &Setup, recorder: Recorder) -> Outcome {
    let mut world = World::new(setup, recorder);
    let mut actions = Vec::new();
    let mut healed_at = None;
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        world.boot_all().and_then(|()| world.live(setup, &mut actions, &mut healed_at))
    }));
    let breach = match ran {
        Ok(Ok(())) => None,
        Ok(Err(breach)) => Some(*breach),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Some(Breach { law: Law::S1, node: None, seen: format!("panic: {}", text.unwrap_or_default()) })
        }
    };
    world.end(actions, healed_at, breach)
}

impl World {
    fn new(setup: &Setup, recorder: Recorder) -> Self {
        let (knobs, seed) = (setup.knobs.clone(), setup.seed);
        let voters = (0..knobs.voters as usize).map(|number| replica(number, 0));
        // More voters than the core allows are not drawn, and a script that asks for them gets none.
        let genesis: Membership = Configuration::new(voters).unwrap_or_default().into();
        let options = Options {
            election_timeout: Duration::from_micros(knobs.election_timeout),
            heartbeat_interval: Duration::from_micros(knobs.heartbeat_interval),
            suspicion_spread: Duration::from_micros(knobs.suspicion_spread),
            max_inflight_appends: knobs.max_inflight_appends as usize,
            max_inflight_bytes: knobs.max_inflight_bytes,
            max_append_bytes: knobs.max_append_bytes,
            max_uncommitted_entries: knobs.max_uncommitted_entries,
            max_pending_reads: knobs.max_pending_reads as usize,
            promotion_lag: knobs.promotion_lag,
        };
        let nodes = (0..knobs.nodes as usize)
            .map(|number| {
                let mut dice = Dice::new(seed, Purpose::Clock, number as u64, 0);
                let drift = dice.below(2 * knobs.drift + 1);
                let rate = 1_000_000 + drift * 1_000 - knobs.drift * 1_000;
                Node::new(number, dice.between(1_000_000, 100_000_000), rate)
            })
            .collect();
        Self {
            seed,
            options: Arc::new(options),
            now: 0,
            nodes,
            arena: Arena::new(genesis.clone()),
            genesis,
            truth: Truth::new(knobs.keys),
            network: Network::new(seed, &knobs),
            clients: Clients::default(),
            counts: Counts::default(),
            marks: Marks::default(),
            recorder,
            hash: 0,
            checks: setup.checks,
            is_healed: false,
            successor: None,
            knobs,
        }
    }

    /// Faults and requests until enough has happened, then peace.
    fn live(&mut self, setup: &Setup, done: &mut Vec<Action>, healed_at: &mut Option<Micros>) -> Checked {
        match &setup.script {
            Some(script) => {
                done.clone_from(&script.actions);
                for action in &script.actions {
                    self.run_until(action.at)?;
                    self.act(action.what)?;
                }
                self.run_until(script.heal_at)?;
            }
            None => {
                'book: for number in 0..MAX_CHAPTERS {
                    for action in plan::chapter(setup.seed, number, &self.knobs) {
                        self.run_until(action.at)?;
                        if self.counts.steps() >= setup.min_steps
                            && self.counts.are_eventful(self.nodes.len())
                        {
                            break 'book;
                        }
                        done.push(action);
                        self.act(action.what)?;
                    }
                }
            }
        }
        *healed_at = Some(self.now);
        self.heal()
    }

    /// Lets everything happen that is due before `end`, which becomes the present.
    fn run_until(&mut self, end: Micros) -> Checked {
        while let Some(at) = self.network.queue.next_at().filter(|at| *at <= end) {
            let Some((_, due)) = self.network.queue.pop() else { break };
            self.now = at;
            self.hash = fold(self.hash, at ^ u64::from(due.kind()) << 56 ^ u64::from(due.number()) << 32);
            self.happen(due)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    fn happen(&mut self, due: Due) -> Checked {
        let number = due.number();
        let (node, rest) = ((number & 7) as usize, number >> 3);
        match due.kind() {
            DELIVER => self.deliver(due),
            DISK => self.disk_done(node),
            TIMER => self.timer(node, rest),
            PING => self.ping(node, rest),
            _ => match self.network.later.take(number) {
                Some(later) => self.later(later),
                None => Ok(()),
            },
        }
    }

    fn end(mut self, actions: Vec<Action>, healed_at: Option<Micros>, mut breach: Option<Breach>) -> Outcome {
        if breach.is_none() && self.checks && self.seed.is_multiple_of(CLIENTS_EVERY) {
            breach = self.clients.check(&mut self.marks);
        }
        if let Some(breach) = &breach {
            let (now, node) = (self.now, breach.node);
            self.recorder.note(now, node.unwrap_or(usize::MAX), || Record::Breach(breach.to_string()));
        }
        self.counts.committed = self.truth.committed().into();
        self.counts.terms = self.truth.last_term.into();
        Outcome {
            counts: self.counts,
            marks: self.marks,
            hash: fold(self.hash, self.truth.committed().into()),
            actions,
            healed_at: healed_at.unwrap_or(self.now),
            ended_at: self.now,
            breach,
            records: self.recorder.take(),
        }
    }

    /// Whoever leads the latest term.
    fn leader(&self) -> Option<usize> {
        let leads = self.nodes.iter().filter(|node| node.is_leader());
        leads.max_by_key(|node| node.state.term).map(|node| node.number)
    }

    fn later_at(&mut self, at: Micros, later: Later) {
        let number = self.network.later.put(later);
        self.network.queue.push(at, Due::new(LATER, number));
    }

    fn node_due(kind: u8, node: usize, rest: u32) -> Due {
        Due::new(kind, node as u32 | (rest & 0x1f_ffff) << 3)
    }

    fn is_role(&self, node: usize, role: RoleKind) -> bool {
        self.nodes[node].raft.is_some() && self.nodes[node].state.role == role
    }
}
