//! The steps between states, and the things behind the numbers of which states consist.
//!
//! A step depends only on one replica's state and one input, so each pair of these is run on the real core once, and its
//! outcome is looked up from then on. That rests on what any search with a visited set rests on: replicas with the same
//! fingerprint do the same. A search that doubts it ([`World::has_twins`]) runs both.

use super::raft_core::{Message, RoleKind, Term};

use super::found::Parts;
use super::hash::FastMap;
use super::history::Histories;
use super::image::Log;
use super::input::{Ends, Input};
use super::law::Broken;
use super::logs::Logs;
use super::replica::{Packet, Replica, Setting};
use super::scope::{Budget, Scope, Start};
use super::state::{Action, Connections, State};

/// What is asked of a replica's state again and again.
#[derive(Clone, Copy)]
pub(super) struct Summary {
    /// The number of the core's log.
    pub(super) log: u32,
    /// The number of the log on the disk.
    pub(super) durable: u32,
    pub(super) commit: u32,
    pub(super) role: RoleKind,
    pub(super) term: Term,
    durable_term: Term,
    attempt: u64,
    /// Its offers, in the common list.
    pub(super) offers: (u32, u32),
}

/// The outcome of an input at a replica.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) next: u32,
    /// What it sent, in the common list.
    sent: (u32, u32),
    /// The term it began to lead in; zero when it did not.
    pub(super) led: Term,
}

/// The things behind the numbers, and what is known of the steps between them.
pub(super) struct World {
    pub(super) setting: Setting,
    pub(super) replicas: Vec<Replica>,
    pub(super) summaries: Vec<Summary>,
    known: FastMap<u128, u32>,
    pub(super) offers: Vec<(Input, Option<Budget>)>,
    pub(super) packets: Vec<Packet>,
    packet_numbers: FastMap<Packet, u32>,
    steps: Vec<Step>,
    step_numbers: FastMap<u64, u32>,
    sent: Vec<u32>,
    broken: FastMap<u32, Broken>,
    pub(super) logs: Logs,
    pub(super) histories: Histories,
    /// Compares, at each step into a known state, the replica that came there with the one that came there first.
    pub(super) has_twins: bool,
    /// How many were compared.
    pub(super) twins: u64,
}

impl World {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            setting: Setting::new(scope),
            replicas: Vec::new(),
            summaries: Vec::new(),
            known: FastMap::default(),
            offers: Vec::new(),
            packets: Vec::new(),
            packet_numbers: FastMap::default(),
            steps: Vec::new(),
            step_numbers: FastMap::default(),
            sent: Vec::new(),
            broken: FastMap::default(),
            logs: Logs::new(),
            histories: Histories::new(),
            has_twins: false,
            twins: 0,
        }
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.setting.scope
    }

    /// The state from which the search begins.
    ///
    /// # Errors
    /// When a law breaks on the way there.
    pub(super) fn start(&mut self) -> Result<State, Broken> {
        let mut state = State::default();
        for (at, replica) in self.setting.fresh().into_iter().enumerate() {
            state.replicas[at] = self.number_replica(replica)?;
        }
        if self.scope().start == Start::Led {
            // Replica 1 campaigns; then whatever can happen without cost does, until all is quiet. Its heartbeat tells
            // all that its first entry is committed.
            let campaign = Action::new(0, Input::Tick { is_late: false }, None);
            self.take(&mut state, campaign, true)?;
            loop {
                let next = self.actions(&state).into_iter().find(|action| action.budget.is_none());
                let Some(action) = next else { break };
                if !self.take(&mut state, action, true)? && matches!(action.input, Input::Deliver { .. }) {
                    state.network.remove(action.place);
                }
            }
        }
        Ok(state)
    }

    /// All that may happen in a state, in a fixed order, some of it perhaps without effect.
    pub(super) fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        self.each_action(state, |action| actions.push(action));
        actions
    }

    /// See [`World::actions`].
    pub(super) fn each_action(&self, state: &State, mut act: impl FnMut(Action)) {
        let (bounds, keeps_order) = (self.scope().bounds, self.scope().keeps_order);
        let is_free = |budget: Option<Budget>| budget.is_none_or(|b| state.spent.of(b) < bounds.of(b));
        for at in 0..self.scope().replicas() {
            let (from, to) = self.summaries[state.replicas[at] as usize].offers;
            for &(input, budget) in &self.offers[from as usize..to as usize] {
                // All replicas are alike at a fresh start, so the first to time out may be called replica 1.
                let is_twin = budget == Some(Budget::Timeouts)
                    && at > 0
                    && self.scope().start == Start::Fresh
                    && state.spent.of(Budget::Timeouts) == 0;
                if !is_free(budget) || is_twin {
                    continue;
                }
                let action = Action::new(at, input, budget);
                act(action);
                // In any order of messages, those that never arrive are as good as lost.
                if keeps_order && self.has_ends(state, at, input) {
                    act(Action { connections: Connections::Reset, ..action });
                }
            }
        }
        let may_double = is_free(Some(Budget::Duplicates));
        let may_lose = keeps_order && is_free(Some(Budget::Losses));
        let may_overtake = keeps_order && is_free(Some(Budget::Overtakes));
        let (mut previous, mut connection) = (None, None);
        for (place, &message) in state.network.iter().enumerate() {
            let packet = &self.packets[message as usize];
            let ends = (packet.from, packet.to);
            let is_first = connection.replace(ends) != Some(ends);
            let is_repeated = previous.replace(message) == Some(message);
            let budget = if keeps_order && !is_first { Some(Budget::Overtakes) } else { None };
            if is_repeated && (!keeps_order || !is_first) || budget.is_some() && !may_overtake {
                continue;
            }
            let at = usize::from(packet.to) - 1;
            if may_lose && budget.is_none() {
                act(Action { place, ..Action::new(at, Input::Lose { message }, Some(Budget::Losses)) });
            }
            let minds = self.replicas[state.replicas[at] as usize].minds_delay(&packet.message);
            for is_late in [false, true] {
                if is_late && !minds {
                    continue;
                }
                let input = Input::Deliver { message, is_late };
                act(Action { place, ..Action::new(at, input, budget) });
                if may_double && budget.is_none() {
                    act(Action { place, ..Action::new(at, input, Some(Budget::Duplicates)) });
                }
            }
        }
    }

    /// Whether a message is on a connection that the input may end.
    fn has_ends(&self, state: &State, at: usize, input: Input) -> bool {
        let ends = input.ends();
        ends != Ends::None
            && state.network.iter().any(|message| self.packets[*message as usize].is_on(at as u8 + 1, ends))
    }

    /// Turns `state` into the one that follows by `action`. `false` when nothing would change but what is spent or in
    /// flight: then it is left as it is. `is_free` spends nothing.
    ///
    /// # Errors
    /// The law that the action breaks.
    pub(super) fn take(&mut self, state: &mut State, action: Action, is_free: bool) -> Result<bool, Broken> {
        let Action { at, input, budget, place, connections } = action;
        let before = state.replicas[at];
        if let Input::Lose { .. } = input {
            state.network.remove(place);
            state.spent = self.scope().bounds.spend(state.spent, Budget::Losses).unwrap_or(state.spent);
            return Ok(true);
        }
        let number = self.step(before, input)?;
        let step = self.steps[number as usize];
        state.replicas[at] = step.next;
        let bounds = self.scope().bounds;
        let spent = match budget.filter(|_| !is_free) {
            Some(budget) => bounds.spend(state.spent, budget).unwrap_or(state.spent),
            None => state.spent,
        };
        if connections == Connections::Reset {
            let ends = input.ends();
            state.network.retain(|message| !self.packets[*message as usize].is_on(at as u8 + 1, ends));
        }
        // What is sent waits at the end until the message that was delivered is taken out of its place.
        let flight = state.network.len();
        for index in step.sent.0..step.sent.1 {
            let message = self.sent[index as usize];
            if !self.is_stale(state, message) {
                state.network.push(message);
            }
        }
        let is_taken = matches!(input, Input::Deliver { .. }) && budget != Some(Budget::Duplicates);
        // In order, a message that changes nothing makes room for the next one. In any order it may as well come later.
        let makes_room = is_taken && self.scope().keeps_order && budget.is_none();
        if step.next == before && state.network.len() == flight && !makes_room {
            return Ok(false);
        }
        state.spent = spent;
        let sent = state.network.split_off(flight);
        if is_taken {
            state.network.remove(place);
        }
        for message in sent {
            let place = self.place(&state.network, message);
            state.network.insert(place, message);
        }
        if step.next != before {
            if self.scope().forgets_stale {
                let mut network = std::mem::take(&mut state.network);
                network.retain(|message| !self.is_stale(state, *message));
                state.network = network;
            }
            self.judge(state, at, before, step, input)?;
        }
        Ok(true)
    }

    /// Where a message that is sent now stands among those in flight.
    fn place(&self, network: &[u32], message: u32) -> usize {
        if !self.scope().keeps_order {
            return network.partition_point(|other| *other < message);
        }
        let connection = |message: u32| {
            let packet = &self.packets[message as usize];
            (packet.from, packet.to)
        };
        network.partition_point(|other| connection(*other) <= connection(message))
    }

    /// Whether a message can change nothing any more, wherever and whenever it is delivered: an answer whose question is
    /// over for good. And it changes nothing now.
    fn is_stale(&mut self, state: &State, message: u32) -> bool {
        if !self.scope().forgets_stale {
            return false;
        }
        let packet = &self.packets[message as usize];
        let number = state.replicas[usize::from(packet.to) - 1];
        let to = &self.summaries[number as usize];
        let stands = |roles: &[RoleKind], term: Term| to.term == term && roles.contains(&to.role);
        let is_over = match &packet.message {
            // A candidate asks once in a term, and a disk that has the term keeps it.
            Message::VoteReply(m) => {
                to.durable_term >= m.term && (!m.granted || !stands(&[RoleKind::Candidate], m.term))
            }
            Message::AppendReply(m) => {
                to.durable_term >= m.term && !stands(&[RoleKind::Candidate, RoleKind::Leader], m.term)
            }
            // No attempt has the number of another, in this life of the process or a later one.
            Message::PreVoteReply(m) => {
                let is_asked = to.role == RoleKind::PreCandidate && m.attempt == to.attempt;
                to.durable_term >= m.term && (!m.granted || !is_asked)
            }
            _ => false,
        };
        if !is_over {
            return false;
        }
        let now = self.step(number, Input::Deliver { message, is_late: false });
        now.is_ok_and(|step| {
            let step = self.steps[step as usize];
            step.next == number && step.sent.0 == step.sent.1
        })
    }

    /// What an input does at a replica in this state: run on the core, once.
    fn step(&mut self, number: u32, input: Input) -> Result<u32, Broken> {
        let key = u64::from(number) << 32 | u64::from(input.code());
        if let Some(step) = self.step_numbers.get(&key) {
            // Nearly always none is broken, and then there is nothing to look up.
            let broken = if self.broken.is_empty() { None } else { self.broken.get(step) };
            return broken.map_or(Ok(*step), |broken| Err(broken.clone()));
        }
        let packet = match input {
            Input::Deliver { message, .. } => Some(self.packets[message as usize].clone()),
            _ => None,
        };
        let done = self.setting.step(&self.replicas[number as usize], input, packet.as_ref());
        let step = self.steps.len() as u32;
        let made = done.and_then(|(next, outcome)| {
            let from = self.sent.len() as u32;
            for packet in outcome.sent {
                let message = self.number_packet(packet);
                self.sent.push(message);
            }
            let sent = (from, self.sent.len() as u32);
            let next = self.number_replica(next)?;
            Ok(Step { next, sent, led: outcome.led.unwrap_or(Term::ZERO) })
        });
        self.step_numbers.insert(key, step);
        match made {
            Ok(made) => {
                self.steps.push(made);
                Ok(step)
            }
            Err(broken) => {
                self.steps.push(Step { next: number, sent: (0, 0), led: Term::ZERO });
                self.broken.insert(step, broken.clone());
                Err(broken)
            }
        }
    }

    fn number_packet(&mut self, packet: Packet) -> u32 {
        if let Some(number) = self.packet_numbers.get(&packet) {
            return *number;
        }
        let number = self.packets.len() as u32;
        self.packets.push(packet.clone());
        self.packet_numbers.insert(packet, number);
        number
    }

    fn number_replica(&mut self, replica: Replica) -> Result<u32, Broken> {
        let fingerprint = replica.fingerprint();
        if let Some(&number) = self.known.get(&fingerprint) {
            if self.has_twins {
                self.compare(number, &replica)?;
            }
            return Ok(number);
        }
        let genesis = &self.setting.genesis;
        let log = self.logs.number(Log::of(&replica.raft), genesis)?;
        let durable = self.logs.number(replica.image.log.clone(), genesis)?;
        let from = self.offers.len() as u32;
        self.offers.extend(self.setting.offers(&replica));
        let soft = replica.raft.soft_state();
        self.summaries.push(Summary {
            log,
            durable,
            commit: replica.raft.commit().as_u64() as u32,
            role: soft.role,
            term: soft.term,
            durable_term: replica.image.hard_state.term,
            attempt: replica.attempt,
            offers: (from, self.offers.len() as u32),
        });
        let number = self.replicas.len() as u32;
        self.replicas.push(replica);
        self.known.insert(fingerprint, number);
        Ok(number)
    }

    pub(super) fn replica(&self, number: u32) -> &Replica {
        &self.replicas[number as usize]
    }

    pub(super) fn packet(&self, number: u32) -> &Packet {
        &self.packets[number as usize]
    }

    /// How many of each thing are kept.
    pub(super) fn parts(&self) -> Parts {
        Parts {
            replicas: self.replicas.len(),
            messages: self.packets.len(),
            inputs: self.steps.len(),
            logs: self.logs.len(),
            histories: self.histories.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::Bounds;
    use super::*;

    fn world(name: &str, bounds: &[Budget]) -> (World, State) {
        let mut scope = Scope::named(name).into_iter().next().expect("a scope has that name");
        scope.bounds = bounds.iter().fold(Bounds::default(), |made, budget| made.with(*budget, 1));
        let mut world = World::new(scope);
        let start = world.start().expect("no law breaks on the way to the start");
        (world, start)
    }

    /// The ends of what is in flight after the action of this kind.
    fn in_flight(
        world: &mut World,
        before: &State,
        input: Input,
        at: usize,
        kind: Connections,
    ) -> Vec<[u8; 2]> {
        let actions = world.actions(before);
        let is_meant =
            |action: &&Action| action.input == input && action.at == at && action.connections == kind;
        let action = actions.iter().find(is_meant).copied().expect("it may happen");
        let mut state = before.clone();
        world.take(&mut state, action, false).expect("no law breaks");
        let ends = |message: &u32| {
            let packet = world.packet(*message);
            [packet.from, packet.to]
        };
        state.network.iter().map(ends).collect()
    }

    #[test]
    fn a_process_that_dies_may_take_what_is_on_its_connections_with_it() {
        let (mut world, mut state) = world("election", &[Budget::Timeouts, Budget::Crashes]);
        let campaign = Action::new(0, Input::Tick { is_late: false }, Some(Budget::Timeouts));
        world.take(&mut state, campaign, false).expect("no law breaks");
        let crash = Input::Crash { writes: 0, steps: 0 };
        let both = [[1, 2], [1, 3]];
        assert_eq!(in_flight(&mut world, &state, crash, 0, Connections::Kept), both);
        assert_eq!(in_flight(&mut world, &state, crash, 0, Connections::Reset), [[0; 2]; 0]);
        assert_eq!(in_flight(&mut world, &state, crash, 1, Connections::Reset), [[1, 3]]);
    }

    #[test]
    fn a_connection_that_is_lost_may_take_what_is_on_it_and_nothing_else() {
        let (mut world, mut state) = world("reconnection", &[Budget::Proposals, Budget::Cuts]);
        let propose = Action::new(0, Input::Propose, Some(Budget::Proposals));
        world.take(&mut state, propose, false).expect("no law breaks");
        let lost = Input::Unreachable { peer: 1 };
        assert_eq!(in_flight(&mut world, &state, lost, 1, Connections::Kept), [[1, 2], [1, 3]]);
        assert_eq!(in_flight(&mut world, &state, lost, 1, Connections::Reset), [[1, 3]]);
    }
}
