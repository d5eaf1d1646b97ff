//! The replica: its state, its inputs, and the one queue of its effects.
//!
//! Elections live in [`crate::election`], following in [`crate::follow`], leading in [`crate::lead`], reads in
//! [`crate::reads`]; this file holds what they share. Every input may come at any time and in any order.
//! Invariants are listed at [`Raft::check_invariants`].

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::durability::Durability;
use crate::effect::{Effect, HardState, Law, Persist, PersistToken, ReadFailure, RoleKind, SoftState};
use crate::id::{LogIndex, NodeId, ReplicaId, Term, Time};
use crate::membership::Configuration;
use crate::message::Message;
use crate::options::Options;
use crate::rng::Rng;
use crate::role::{Follower, Leader, Role};
use crate::runs::TermRuns;

/// What a replica had on its disk when it was opened. The default is that of a new replica.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Restored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The whole log, all of it durable.
    pub log: TermRuns,
}

/// What was appended for a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// The term of the entries.
    pub term: Term,
    /// The first entry.
    pub first: LogIndex,
    /// The last entry, inclusive.
    pub last: LogIndex,
}

/// Why a proposal was refused. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposeError {
    /// This replica does not lead.
    NotLeader {
        /// Who does, when known.
        leader: Option<NodeId>,
    },
    /// Too many entries are appended and not committed ([`Options::max_uncommitted_entries`]).
    Full,
    /// A law was broken; see [`Effect::Fault`].
    Fenced,
}

/// Why a read was refused at once. Nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader is known here.
    NoLeader,
    /// Too many reads wait ([`Options::max_pending_reads`]).
    Full,
    /// A law was broken; see [`Effect::Fault`].
    Fenced,
}

/// One replica of one group.
///
/// Feed it inputs; after each, drain [`Raft::poll_effect`], and on a leader ask [`Raft::poll_append`] for every
/// peer that has room. See the crate's documentation for the host's obligations.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) me: ReplicaId,
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) configuration: Configuration,
    pub(crate) learners: BTreeMap<NodeId, ReplicaId>,
    pub(crate) hard_state: HardState,
    pub(crate) log: TermRuns,
    pub(crate) commit: LogIndex,
    pub(crate) role: Role,
    pub(crate) durability: Durability,
    pub(crate) attempts: u64,
    /// Elections in a row that ended without a leader.
    pub(crate) lost_elections: u32,
    effects: VecDeque<Effect>,
    announced: SoftState,
    fault: Option<Law>,
}

impl Raft {
    /// Opens a replica. `seed` drives election jitter and should differ between replicas. In a group without
    /// history the first replica of the configuration campaigns at once, the others wait as usual.
    pub fn new(
        me: ReplicaId,
        configuration: Configuration,
        options: Options,
        restored: Restored,
        seed: u64,
        now: Time,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let fresh = restored.hard_state == HardState::default() && restored.log.is_empty();
        let campaign_at = if fresh && configuration.first() == Some(me.node) || configuration.voters() == [me]
        {
            now
        } else {
            now.after(options.election_timeout).after(jitter(&mut rng, options.election_timeout))
        };
        let term = restored.hard_state.term;
        Self {
            me,
            rng,
            configuration,
            learners: BTreeMap::new(),
            hard_state: restored.hard_state,
            durability: Durability::recovered(restored.log.last_index()),
            commit: restored.log.before().index,
            log: restored.log,
            role: Role::Follower(Follower {
                leader: None,
                heard: None,
                campaign_at,
                verified: LogIndex::ZERO,
                round: 0,
                reads: BTreeSet::new(),
            }),
            attempts: 0,
            lost_elections: 0,
            effects: VecDeque::new(),
            announced: SoftState { role: RoleKind::Follower, term, leader: None },
            fault: None,
            options,
        }
    }

    /// Takes a message from `from`, whose node and disk the host has authenticated. The payloads that it speaks
    /// of must be at hand until the effects are drained. Whatever it says, it cannot panic.
    pub fn receive(&mut self, now: Time, from: ReplicaId, message: Message) {
        if self.fault.is_some() || from.node == self.me.node {
            return;
        }
        match message {
            Message::PreVote(m) => self.on_pre_vote(now, from, m),
            Message::PreVoteReply(m) => self.on_pre_vote_reply(now, from, m),
            Message::Vote(m) => self.on_vote(now, from, m),
            Message::VoteReply(m) => self.on_vote_reply(now, from, m),
            Message::Append(m) => self.on_append(now, from, m),
            Message::AppendReply(m) => self.on_append_reply(now, from, m),
            Message::ReadIndex(m) => self.on_read_index(now, from, m),
            Message::ReadIndexReply(m) => self.on_read_index_reply(now, m),
        }
    }

    /// Tells the time. Call it when [`Raft::next_deadline`] has come; earlier or later is harmless.
    pub fn tick(&mut self, now: Time) {
        if self.fault.is_some() || self.next_deadline().is_none_or(|at| now < at) {
            return;
        }
        match &self.role {
            Role::Leader(_) => self.on_heartbeat_time(now),
            _ => self.start_pre_vote(now),
        }
    }

    /// When [`Raft::tick`] wants to be called; `None` when time means nothing to this replica.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.fault.is_some() {
            return None;
        }
        match &self.role {
            Role::Leader(leader) => Some(leader.heartbeat_at),
            _ if !self.configuration.is_voter(self.me) => None,
            Role::Follower(follower) => Some(follower.campaign_at),
            Role::PreCandidate(pre) => Some(pre.retry_at),
            Role::Candidate(candidate) => Some(candidate.retry_at),
        }
    }

    /// Reports that this write and all before it are durable: an fsync that covers them has returned. Repeated
    /// and late reports are harmless; one for a write never asked for fences the group.
    pub fn persisted(&mut self, now: Time, token: PersistToken) {
        if self.fault.is_some() {
            return;
        }
        let before = self.durability.durable();
        if !self.durability.report(token) {
            return self.broken(Law::HostContract);
        }
        while let Some((to, message)) = self.durability.release() {
            self.effects.push_back(Effect::Send { to, message });
        }
        match &self.role {
            Role::Candidate(_) => self.count_votes(now),
            Role::Follower(_) if self.durability.durable() > before => self.reply_matched(),
            Role::Leader(_) => self.advance_commit(now),
            _ => {}
        }
    }

    /// Reports that the connection to a node was lost or that it is known to be dead. A follower of that node
    /// campaigns soon; a leader asks that node anew how far it is, once it is back.
    pub fn peer_unreachable(&mut self, now: Time, node: NodeId) {
        if self.fault.is_some() {
            return;
        }
        match &mut self.role {
            Role::Follower(follower) if follower.leader.is_some_and(|l| l.node == node) => {
                follower.leader = None;
                follower.heard = None;
                follower.campaign_at = now.after(jitter(&mut self.rng, self.options.suspicion_spread));
                let reads = core::mem::take(&mut follower.reads);
                self.fail_reads(reads, ReadFailure::LeaderChanged);
                self.announce();
            }
            Role::Leader(leader) => {
                if let Some(progress) = leader.peers.get_mut(&node) {
                    let next = progress.matched.next();
                    progress.probe_from(next);
                }
            }
            _ => {}
        }
    }

    /// Fences the group for a reason of the host's: what the core was told and what is on disk may have parted, or
    /// the log cannot be read. What was decided before stands; nothing more is decided.
    pub fn fence(&mut self, law: Law) {
        if self.fault.is_none() {
            self.broken(law);
        }
    }

    /// Feeds a replica that is in no configuration, from now on and whoever leads. A voter is left as it is.
    pub fn admit_learner(&mut self, now: Time, learner: ReplicaId) {
        if learner.node == self.me.node || self.configuration.voter_on(learner.node).is_some() {
            return;
        }
        self.learners.insert(learner.node, learner);
        let next = self.log.last_index().next();
        if let Role::Leader(Leader { peers, .. }) = &mut self.role
            && peers.get(&learner.node).is_none_or(|p| p.replica != learner)
        {
            peers.insert(learner.node, crate::progress::Progress::new(learner, next, now));
        }
    }

    /// Feeds that learner no longer.
    pub fn dismiss_learner(&mut self, node: NodeId) {
        if self.learners.remove(&node).is_some()
            && let Role::Leader(leader) = &mut self.role
        {
            leader.peers.remove(&node);
        }
    }

    /// The next decision, in order; `None` when all are drained.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// This replica.
    pub fn me(&self) -> ReplicaId {
        self.me
    }

    /// Term and vote, as last decided; perhaps not yet durable.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Role, term and known leader.
    pub fn soft_state(&self) -> SoftState {
        let leader = match &self.role {
            Role::Leader(_) => Some(self.me.node),
            Role::Follower(follower) => follower.leader.map(|l| l.node),
            _ => None,
        };
        SoftState { role: self.role.kind(), term: self.hard_state.term, leader }
    }

    /// The last committed entry known here, inclusive.
    pub fn commit(&self) -> LogIndex {
        self.commit
    }

    /// The shape of the log, durable or not.
    pub fn log(&self) -> &TermRuns {
        &self.log
    }

    /// The entries up to here, inclusive, are durable on this replica.
    pub fn durable(&self) -> LogIndex {
        self.durability.durable()
    }

    /// The voters.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Whether it leads and has committed an entry of its own term: only then does it know what is committed
    /// (Raft §8), and only then may it serve.
    pub fn is_serving(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if self.commit >= leader.opened)
    }

    /// The nodes a leader feeds, sorted; empty for every other role.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        let peers = match &self.role {
            Role::Leader(leader) => Some(leader.peers.keys().copied()),
            _ => None,
        };
        peers.into_iter().flatten()
    }

    /// How far a peer is known to be, on a leader.
    pub fn matched(&self, node: NodeId) -> Option<LogIndex> {
        match &self.role {
            Role::Leader(leader) => leader.peers.get(&node).map(|p| p.matched),
            _ => None,
        }
    }

    /// The law whose breach fenced the group, if one was broken.
    pub fn fault(&self) -> Option<Law> {
        self.fault
    }

    /// Checks the laws that hold between inputs. For tests and simulations.
    ///
    /// # Errors
    /// Says which law does not hold:
    /// 1. commit never passes the last entry; 2. what is durable never passes the last entry; 3. no entry has a
    ///    later term than the replica; 4. a leader voted for itself and its log ends in its own term; 5. of each
    ///    peer, matched < next and matched never passes the leader's log.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let last = self.log.last_id();
        if self.commit > last.index {
            return Err("commit passes the last entry");
        }
        if self.durability.durable() > last.index {
            return Err("durable passes the last entry");
        }
        if last.term > self.hard_state.term {
            return Err("an entry has a later term than its replica");
        }
        if let Role::Leader(leader) = &self.role {
            if self.hard_state.vote != Some(self.me) || last.term != self.hard_state.term {
                return Err("a leader did not vote for itself, or its log ends in an older term");
            }
            for progress in leader.peers.values() {
                if progress.matched >= progress.next() || progress.matched > last.index {
                    return Err("a peer matches beyond what was sent");
                }
            }
        }
        Ok(())
    }

    // What the roles share.

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Sends once term and vote are on disk, which they nearly always are.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        if self.durability.hard_state_is_durable() {
            self.effects.push_back(Effect::Send { to, message });
        } else {
            self.durability.hold(to, message);
        }
    }

    pub(crate) fn set_hard_state(&mut self, hard_state: HardState) {
        debug_assert!(hard_state.term >= self.hard_state.term, "terms never fall");
        if hard_state == self.hard_state {
            return;
        }
        if hard_state.term > self.hard_state.term {
            self.durability.forget_held();
        }
        self.hard_state = hard_state;
        let token = self.durability.issue(hard_state.term, self.log.last_index(), true);
        self.push(Effect::Persist(Persist {
            token,
            hard_state: Some(hard_state),
            truncate: None,
            append: None,
            noop: false,
        }));
    }

    /// Follows `leader`, or waits for one, in `term`, which is the current one or later.
    pub(crate) fn become_follower(&mut self, now: Time, term: Term, leader: Option<ReplicaId>) {
        if term > self.hard_state.term {
            self.set_hard_state(HardState { term, vote: None });
        }
        self.fail_all_reads();
        if leader.is_some() {
            self.lost_elections = 0;
        }
        let campaign_at = self.election_deadline(now);
        self.role = Role::Follower(Follower {
            leader,
            heard: leader.map(|_| now),
            campaign_at,
            verified: LogIndex::ZERO,
            round: 0,
            reads: BTreeSet::new(),
        });
        self.announce();
    }

    /// A time in `[election_timeout, 2 * election_timeout)` from now.
    pub(crate) fn election_deadline(&mut self, now: Time) -> Time {
        let timeout = self.options.election_timeout;
        now.after(timeout).after(jitter(&mut self.rng, timeout))
    }

    pub(crate) fn announce(&mut self) {
        let state = self.soft_state();
        if state != self.announced {
            self.announced = state;
            self.push(Effect::RoleChanged(state));
        }
    }

    pub(crate) fn set_commit(&mut self, index: LogIndex) {
        if index > self.commit {
            self.commit = index;
            self.push(Effect::Commit { index });
        }
    }

    /// Fences the group: what was decided before stands, nothing more is decided.
    pub(crate) fn broken(&mut self, law: Law) {
        self.fail_all_reads();
        self.fault = Some(law);
        self.push(Effect::Fault { law });
    }
}

/// A duration in `[0, bound)`.
pub(crate) fn jitter(rng: &mut Rng, bound: core::time::Duration) -> core::time::Duration {
    core::time::Duration::from_micros(rng.below(bound.as_micros() as u64))
}
