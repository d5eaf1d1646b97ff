//! One replica: the real core, and the smallest host that keeps the contract with it.
//!
//! A step clones the core, gives it one input, and drains it: messages leave at once, writes queue up. The laws that one
//! replica can break by itself are checked here, with each step: what is said is on disk, writes make the log that the core
//! speaks of, votes are given once, the core's own invariants hold. Time is the replica's own and moves only with inputs
//! that need it to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::raft_core::{
    AppendOutcome, AppendRequest, Configuration, DiskId, Effect, Learner, LogIndex, Membership,
    MembershipChange, Message, NodeId, Options, Raft, ReplicaId, RoleKind, Term, TermRuns, Time,
};

use super::hash::Hasher128;
use super::image::{Image, Log, Write, brief};
use super::input::{Ends, Input};
use super::law::{Broken, CheckedLaw};
use super::scope::{Change, Conduct, Scope};

/// A message on its way. Replicas are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Packet {
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) message: Message,
}

impl Packet {
    /// Whether it is on one of those connections of the replica with this number.
    pub(super) fn is_on(&self, number: u8, ends: Ends) -> bool {
        let other = match (self.from == number, self.to == number) {
            (true, _) => self.to,
            (_, true) => self.from,
            _ => return false,
        };
        match ends {
            Ends::None => false,
            Ends::With(peer) => other == peer,
            Ends::All => true,
        }
    }
}

/// What is the same for all replicas of a search.
pub(super) struct Setting {
    pub(super) scope: Scope,
    pub(super) genesis: Membership,
    options: Arc<Options>,
}

/// What a step did besides changing its replica.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) sent: Vec<Packet>,
    /// It began to lead in this term.
    pub(super) led: Option<Term>,
}

/// See the module's documentation.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) number: u8,
    pub(super) raft: Raft,
    pub(super) image: Image,
    pub(super) pending: VecDeque<Write>,
    /// The highest number of a pre-vote that left in this life.
    pub(super) attempt: u64,
    /// Counts the lives of its process, from zero. Each has a seed of its own.
    life: u8,
    now: Time,
    /// A transfer is under way, and its time is up.
    is_overdue: bool,
}

/// The replica with this number.
pub(super) fn id(number: u8) -> ReplicaId {
    ReplicaId::new(NodeId::new(u64::from(number)), DiskId::new(u128::from(number) << 96))
}

impl Setting {
    pub(super) fn new(scope: Scope) -> Self {
        // A heartbeat takes no time to speak of, so only a delay that is chosen brings a leader or a follower to the end of
        // its patience, and times need not be told apart.
        let options = Options {
            election_timeout: Duration::from_secs(1_000),
            heartbeat_interval: Duration::from_millis(1),
            ..Options::default()
        };
        let genesis =
            Configuration::new([1, 2, 3].map(id)).expect("three different voters are a configuration").into();
        Self { scope, genesis, options: Arc::new(options) }
    }

    /// Replicas that have never run. Those beyond the third wait to be added.
    pub(super) fn fresh(&self) -> Vec<Replica> {
        (1..=self.scope.replicas() as u8).map(|number| self.open(number, 0, Image::default())).collect()
    }

    /// Starts a process on a disk.
    fn open(&self, number: u8, life: u8, image: Image) -> Replica {
        let membership = if number <= 3 { self.genesis.clone() } else { Configuration::none().into() };
        let mut restored = image.restore();
        if self.scope.conduct == Conduct::ForgetsVote {
            restored.hard_state.vote = None;
        }
        let seed = u64::from(life) << 8 | u64::from(number);
        // Far enough from zero for a deadline in the past.
        let now = Time::from_micros(3_600_000_000);
        let raft = Raft::new(id(number), membership, self.options.clone(), restored, seed, now);
        Replica { number, raft, image, pending: VecDeque::new(), attempt: 0, life, now, is_overdue: false }
    }

    fn patience(&self) -> Duration {
        self.options.election_timeout + Duration::from_micros(1)
    }

    fn change(&self, change: Change) -> MembershipChange {
        match change {
            Change::Add => MembershipChange::AddLearner(Learner { replica: id(4), replaces: None }),
            Change::Replace(voter) => {
                MembershipChange::AddLearner(Learner { replica: id(4), replaces: Some(id(voter)) })
            }
            Change::Remove(voter) => {
                let stay = [1, 2, 3].into_iter().filter(|number| *number != voter).map(id);
                MembershipChange::Voters(
                    Configuration::new(stay).expect("two different voters are a configuration"),
                )
            }
        }
    }

    /// What `before` becomes by `input`. `packet` is the message that is delivered, if one is.
    ///
    /// # Errors
    /// The law that the step breaks.
    pub(super) fn step(
        &self,
        before: &Replica,
        input: Input,
        packet: Option<&Packet>,
    ) -> Result<(Replica, Outcome), Broken> {
        let mut replica = match input {
            Input::Crash { writes, steps } => self.crash(before, writes, steps)?,
            Input::Damage { left } => self.damage(before, left),
            _ => before.clone(),
        };
        let mut outcome = Outcome::default();
        let mut source = None;
        let is_late = matches!(input, Input::Deliver { is_late: true, .. } | Input::Tick { is_late: true });
        if is_late {
            replica.now = replica.now.after(self.patience());
            replica.is_overdue = replica.raft.transferring_to().is_some();
        }
        let now = replica.now;
        match input {
            Input::Deliver { .. } => {
                if let Some(packet) = packet {
                    if let Message::Append(append) = &packet.message {
                        source = Some(append);
                    }
                    replica.raft.receive(now, id(packet.from), packet.message.clone());
                }
            }
            Input::Tick { .. } => {
                replica.now = now.max(replica.raft.next_deadline().unwrap_or(now));
                replica.raft.tick(replica.now);
            }
            Input::Complete { writes } => self.complete(&mut replica, usize::from(writes))?,
            Input::Crash { .. } | Input::Damage { .. } | Input::Lose { .. } => {}
            // Refusals change nothing.
            Input::Propose => {
                let _ = replica.raft.propose(1);
            }
            Input::Change { number } => {
                if let Some(change) = self.scope.changes.get(usize::from(number)) {
                    let _ = replica.raft.propose_membership(now, self.change(*change));
                }
            }
            Input::Transfer { to } => {
                let _ = replica.raft.transfer_leadership(now, Some(id(to).node));
            }
            Input::Unreachable { peer } => replica.raft.peer_unreachable(now, id(peer).node),
        }
        self.drain(&mut replica, source, &mut outcome)?;
        replica.is_overdue &= replica.raft.transferring_to().is_some();
        if !replica.raft.is_in_doubt() {
            replica.image.doubt = None;
        }
        replica.check()?;
        Ok((replica, outcome))
    }

    /// The oldest writes are done, and one report says so.
    fn complete(&self, replica: &mut Replica, writes: usize) -> Result<(), Broken> {
        let mut last = None;
        for write in replica.pending.drain(..writes.min(replica.pending.len())) {
            replica.image.apply(&write, write.steps())?;
            last = Some(write.token);
        }
        if let Some(token) = last.filter(|_| self.scope.conduct != Conduct::ReportsEarly) {
            replica.raft.persisted(replica.now, token);
        }
        Ok(())
    }

    fn crash(&self, before: &Replica, writes: u8, steps: u8) -> Result<Replica, Broken> {
        let mut image = before.image.clone();
        let kept = usize::from(writes);
        for write in before.pending.iter().take(kept) {
            image.apply(write, write.steps())?;
        }
        if let Some(write) = before.pending.get(kept) {
            image.apply(write, usize::from(steps))?;
        }
        if self.scope.conduct == Conduct::LosesLastEntry {
            image.log.0.pop();
        }
        Ok(self.open(before.number, before.life + 1, image))
    }

    fn damage(&self, before: &Replica, left: u8) -> Replica {
        let mut image = before.image.clone();
        image.doubt = image.doubt.max(Some(image.log.last_id()));
        image.log.0.truncate(usize::from(left));
        self.open(before.number, before.life + 1, image)
    }

    /// Takes everything from the core: effects, and on a leader the appends for all peers.
    fn drain(
        &self,
        replica: &mut Replica,
        source: Option<&AppendRequest>,
        outcome: &mut Outcome,
    ) -> Result<(), Broken> {
        loop {
            let mut is_quiet = true;
            while let Some(effect) = replica.raft.poll_effect() {
                is_quiet = false;
                match effect {
                    Effect::Persist(asked) => {
                        let write = Write::resolve(asked, source)?;
                        let token = write.token;
                        replica.pending.push_back(write);
                        if self.scope.conduct == Conduct::ReportsEarly {
                            replica.raft.persisted(replica.now, token);
                        }
                    }
                    Effect::Send { to, message } => replica.say(to, message, outcome)?,
                    Effect::RoleChanged(state) if state.role == RoleKind::Leader => {
                        outcome.led = Some(state.term)
                    }
                    Effect::Fault { law } => {
                        return Err(Broken::new(CheckedLaw::NeverFenced, law.to_string()));
                    }
                    _ => {}
                }
            }
            let peers: Vec<NodeId> = replica.raft.peers().collect();
            let is_single = self.scope.sends_singly;
            let read = |runs: &TermRuns, _| {
                let last = if is_single { runs.before().index.next() } else { runs.last_index() };
                Some((last, 1))
            };
            for to in peers {
                while let Some(append) = replica.raft.poll_append(to, read) {
                    is_quiet = false;
                    replica.say(to, Message::Append(append), outcome)?;
                }
            }
            if self.scope.has_eager_disk && !replica.pending.is_empty() {
                is_quiet = false;
                self.complete(replica, 1)?;
            }
            if is_quiet {
                return Ok(());
            }
        }
    }

    /// What can happen to a replica besides messages, each with what it costs.
    pub(super) fn offers(&self, replica: &Replica) -> Vec<(Input, Option<super::scope::Budget>)> {
        use super::scope::Budget::*;
        let mut offers = Vec::new();
        let leads = replica.raft.soft_state().role == RoleKind::Leader;
        let pending = replica.pending.len() as u8;
        offers.extend((1..=pending).map(|writes| (Input::Complete { writes }, None)));
        if replica.raft.next_deadline().is_some() {
            let budget = if leads { Heartbeats } else { Timeouts };
            offers.push((Input::Tick { is_late: false }, Some(budget)));
            if leads {
                offers.push((Input::Tick { is_late: true }, Some(budget)));
            }
        }
        for writes in 0..=pending {
            let next = replica.pending.get(usize::from(writes)).map_or(1, Write::steps) as u8;
            let kept = (0..next.max(1)).map(|steps| (Input::Crash { writes, steps }, Some(Crashes)));
            offers.extend(kept);
        }
        let entries = replica.image.log.0.len() as u8;
        offers.extend((0..entries).map(|left| (Input::Damage { left }, Some(Damages))));
        let others = (1..=self.scope.replicas() as u8).filter(|other| *other != replica.number);
        offers.extend(others.clone().map(|peer| (Input::Unreachable { peer }, Some(Cuts))));
        if leads {
            offers.push((Input::Propose, Some(Proposals)));
            let changes = 0..self.scope.changes.len() as u8;
            offers.extend(changes.map(|number| (Input::Change { number }, Some(Changes))));
            offers.extend(others.map(|to| (Input::Transfer { to }, Some(Transfers))));
        }
        offers.retain(|(_, budget)| budget.is_none_or(|budget| self.scope.bounds.of(budget) > 0));
        offers
    }
}

impl Replica {
    /// All that decides its future.
    pub(super) fn fingerprint(&self) -> u128 {
        use std::hash::Hash;
        let mut hasher = Hasher128::default();
        self.raft.fingerprint(self.now, &mut hasher);
        (self.number, self.life, self.attempt, self.is_overdue, &self.image).hash(&mut hasher);
        for write in &self.pending {
            write.hash(&mut hasher);
        }
        hasher.finish128()
    }

    /// Whether it matters for this message that it comes after a long time without anything.
    pub(super) fn minds_delay(&self, message: &Message) -> bool {
        match message {
            Message::PreVote(_) | Message::Doubt(_) => true,
            Message::AppendReply(_) => self.raft.transferring_to().is_some(),
            _ => false,
        }
    }

    /// A message leaves, if it claims nothing that is not durable.
    fn say(&mut self, to: NodeId, message: Message, outcome: &mut Outcome) -> Result<(), Broken> {
        if let Err(detail) = self.may_say(to, &message) {
            let detail = format!("replica {} says {message:?} to {to}: {detail}", self.number);
            return Err(Broken::new(CheckedLaw::DurableBeforeSaid, detail));
        }
        if let Message::PreVote(m) = &message {
            self.attempt = self.attempt.max(m.attempt);
        }
        outcome.sent.push(Packet { from: self.number, to: to.as_u64() as u8, message });
        Ok(())
    }

    fn may_say(&self, to: NodeId, message: &Message) -> Result<(), String> {
        let disk = &self.image;
        let state = disk.hard_state;
        if matches!(message, Message::ReadIndex(_) | Message::ReadIndexReply(_)) {
            return Ok(());
        }
        if state.term < message.term() {
            return Err(format!("its disk holds {}", brief(state)));
        }
        let votes_for =
            |term: Term, node: NodeId| state.term == term && state.vote.map(|vote| vote.node) == Some(node);
        match message {
            Message::Vote(m) if !votes_for(m.term, self.raft.me().node) => {
                Err(format!("its disk holds {}", brief(state)))
            }
            Message::VoteReply(m) if m.granted && !votes_for(m.term, to) => {
                Err(format!("its disk holds {}", brief(state)))
            }
            // It holds nothing of what the other may have lost, and never will.
            Message::DoubtReply(m) if !m.holds => {
                let first = disk.log.0.get(m.after.index.as_u64() as usize);
                let is_free = disk.doubt.is_none() && first.is_none_or(|entry| entry.term > m.extent.term);
                if is_free { Ok(()) } else { Err(format!("its disk holds {}", disk.log)) }
            }
            Message::AppendReply(m) => match m.outcome {
                AppendOutcome::Matched { matched } if !self.holds(matched) => {
                    Err(format!("its disk holds {}", disk.log))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Whether the core's log up to there is on the disk.
    fn holds(&self, index: LogIndex) -> bool {
        self.image.log.shares(&Log::of(&self.raft), index.as_u64() as usize)
    }

    /// The laws of one replica between inputs.
    fn check(&self) -> Result<(), Broken> {
        if let Err(detail) = self.raft.check_invariants() {
            return Err(Broken::new(
                CheckedLaw::CoreInvariants,
                format!("replica {}: {detail}", self.number),
            ));
        }
        if !self.holds(self.raft.durable()) {
            let detail = format!(
                "replica {} counts {} entries as durable, and its disk holds {}",
                self.number,
                self.raft.durable(),
                self.image.log
            );
            return Err(Broken::new(CheckedLaw::DurableBeforeSaid, detail));
        }
        let mut promised = self.image.clone();
        for write in &self.pending {
            promised.apply(write, write.steps())?;
        }
        let log = Log::of(&self.raft);
        if promised.log != log {
            let detail =
                format!("replica {}: {} is to be written, {log} is spoken of", self.number, promised.log);
            return Err(Broken::new(CheckedLaw::RangesAndBytesAgree, detail));
        }
        Ok(())
    }
}
