//! The replica: its state, its inputs, and the one queue of its effects.
//!
//! Elections live in [`crate::election`], following in [`crate::follow`], leading in [`crate::lead`], membership in
//! [`crate::reconfigure`], and so on; this file holds what they share. Every input may come at any time and in any order.
//! Invariants are listed at [`Raft::check_invariants`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::doubt::Doubt;
use crate::durability::Durability;
use crate::effect::{
    Content, Effect, HardState, Law, Liveness, LogChange, Persist, PersistToken, ReadFailure, SoftState,
    StorageHealth,
};
use crate::id::{LogId, LogIndex, NodeId, ReplicaId, Term, Time};
use crate::membership::Membership;
use crate::message::{Message, Snapshot};
use crate::options::Options;
use crate::rng::Rng;
use crate::role::{Follower, LeaderSleep, Role};
use crate::runs::TermRuns;
use crate::stack::MembershipStack;

/// What a replica had on its disk when it was opened. The default is that of a new replica.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Restored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The log, all of it durable: what lies after the last entry that can be read is not part of it. A log that does
    /// not hold the last entry of a durable snapshot is over: drop it, and open with [`TermRuns::empty`] of that entry.
    pub log: TermRuns,
    /// The memberships that stand in that log, each with its index, in order. Others fence the group at once: whoever
    /// opens with the wrong voters could elect a second leader.
    pub memberships: Vec<(LogIndex, Membership)>,
    /// All entries up to here, inclusive, are known to be committed, such as those in a snapshot. Zero is always true. It
    /// may lie beyond the log: a leader commits what its followers hold, perhaps before it holds it itself.
    pub committed: LogIndex,
    /// The log may have gone on up to this entry, which was perhaps acknowledged and can no longer be read. `None`
    /// when the log is whole.
    pub doubt: Option<LogId>,
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
    /// The proposal has no entries.
    Empty,
    /// This replica is about to hand over leadership. Ask again once [`Effect::RoleChanged`] or
    /// [`Effect::TransferAborted`] has said how that ended.
    Transferring {
        /// Who is to lead.
        to: NodeId,
    },
    /// A law was broken; see [`Effect::Fault`].
    Fenced,
}

impl core::fmt::Display for ProposeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotLeader { leader } => not_leading(*leader, f),
            Self::Empty => f.write_str("a proposal of no entries changes nothing; propose at least one"),
            Self::Full => f.write_str("too many entries wait to be committed; propose again when some are"),
            Self::Transferring { to } => {
                write!(f, "leadership is being handed to node {to}; ask that node soon")
            }
            Self::Fenced => f.write_str("the group is fenced on this node; its log names the broken law"),
        }
    }
}

impl core::error::Error for ProposeError {}

/// What every request that only a leader takes is refused with elsewhere.
pub(crate) fn not_leading(leader: Option<NodeId>, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
    match leader {
        Some(node) => write!(f, "this replica does not lead; ask node {node}"),
        None => f.write_str("this replica does not lead, and knows nobody who does"),
    }
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

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoLeader => "no leader is known here; read again once one is",
            Self::Full => "too many reads wait to be confirmed; read again when some are",
            Self::Fenced => "the group is fenced on this node; its log names the broken law",
        })
    }
}

impl core::error::Error for ReadError {}

/// One replica of one group.
///
/// Feed it inputs; after each, drain [`Raft::poll_effect`], and on a leader ask [`Raft::poll_append`] for every
/// peer that has room. See the crate's documentation for the host's obligations.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) me: ReplicaId,
    pub(crate) options: Arc<Options>,
    pub(crate) rng: Rng,
    pub(crate) memberships: MembershipStack,
    /// Standing learners: fed by whoever leads, and in no membership.
    pub(crate) learners: BTreeMap<NodeId, ReplicaId>,
    pub(crate) hard_state: HardState,
    pub(crate) log: TermRuns,
    pub(crate) commit: LogIndex,
    pub(crate) role: Role,
    pub(crate) durability: Durability,
    pub(crate) doubt: Option<Box<Doubt>>,
    /// The snapshot that the host is installing.
    pub(crate) installing: Option<Box<Snapshot>>,
    /// What the host says of the nodes of this group.
    pub(crate) liveness: Vec<(NodeId, Liveness)>,
    pub(crate) storage: StorageHealth,
    /// The leaders of this term and all before it have withdrawn: nobody may sleep in their care.
    pub(crate) withdrawn: Term,
    /// Numbers pre-votes and reads, so that a late answer is not taken for that of a later question. It begins anywhere,
    /// so that those of an earlier life are not repeated.
    pub(crate) questions: u64,
    /// Elections in a row that ended without a leader.
    pub(crate) lost_elections: u32,
    effects: VecDeque<Effect>,
    fault: Option<Law>,
}

impl Raft {
    /// Opens a replica. `membership` is what is in force at the start of the log: the genesis configuration of the
    /// group for a log that starts at zero, else that of the snapshot before it. In a group without history the first
    /// replica of the genesis campaigns at once.
    ///
    /// The options are taken as they are; [`Options::validate`] is the host's to call, once, where it reads them.
    ///
    /// `seed` drives election jitter and numbers questions. It must differ between replicas, or elections tie, and
    /// between the lives of one, or a late answer to an earlier life may be taken for one to this.
    pub fn new(
        me: ReplicaId,
        membership: impl Into<Membership>,
        options: impl Into<Arc<Options>>,
        restored: Restored,
        seed: u64,
        now: Time,
    ) -> Self {
        let options = options.into();
        let mut rng = Rng::new(seed);
        let Restored { hard_state, log, memberships, committed, doubt } = restored;
        let (before, last) = (log.before().index, log.last_id());
        // A snapshot may have become durable before the term in which it came. In that term no vote was given.
        let hard_state = match hard_state {
            earlier if earlier.term < last.term => HardState { term: last.term, vote: None },
            current => current,
        };
        let is_fresh = hard_state == HardState::default() && log.is_empty() && before == LogIndex::ZERO;
        let questions = rng.next();
        let mut stack = MembershipStack::new(membership.into(), before);
        let mut stands = memberships.into_iter();
        let are_sound =
            stands.all(|(index, membership)| index <= last.index && stack.push(index, membership));
        let fault = (!are_sound).then_some(Law::HostContract);
        let voters = stack.latest().voters();
        let is_first = is_fresh && voters.first() == Some(me.node) || voters.voters() == [me];
        let campaign_at = if is_first {
            now
        } else {
            now.after(options.election_timeout).after(jitter(&mut rng, options.election_timeout))
        };
        Self {
            me,
            rng,
            memberships: stack,
            learners: BTreeMap::new(),
            hard_state,
            durability: Durability::recovered(last.index),
            commit: before.max(committed.min(last.index)),
            log,
            role: Role::Follower(Follower::new(None, campaign_at)),
            doubt: doubt.filter(|extent| *extent > last).map(|extent| Box::new(Doubt::new(last, extent))),
            installing: None,
            liveness: Vec::new(),
            storage: StorageHealth::Good,
            withdrawn: Term::ZERO,
            questions: questions >> 1,
            lost_elections: 0,
            effects: fault.map(|law| Effect::Fault { law }).into_iter().collect(),
            fault,
            options,
        }
    }

    /// Takes a message from `from`, whose node and disk the host has authenticated. The payloads that it speaks
    /// of must be at hand until the effects are drained. Whatever it says, it cannot panic.
    pub fn receive(&mut self, now: Time, from: ReplicaId, message: Message) {
        if self.fault.is_some() || from.node == self.me.node {
            return;
        }
        self.wake_for(now, from, &message);
        match message {
            Message::PreVote(m) => self.on_pre_vote(now, from, m),
            Message::PreVoteReply(m) => self.on_pre_vote_reply(now, from, m),
            Message::Vote(m) => self.on_vote(now, from, m),
            Message::VoteReply(m) => self.on_vote_reply(now, from, m),
            Message::Append(m) => self.on_append(now, from, m),
            Message::AppendReply(m) => self.on_append_reply(now, from, m),
            Message::ReadIndex(m) => self.on_read_index(now, from, m),
            Message::ReadIndexReply(m) => self.on_read_index_reply(from, m),
            Message::Snapshot(m) => self.on_snapshot(now, from, m),
            Message::TimeoutNow(m) => self.on_timeout_now(now, from, m),
            Message::Sleep(m) => self.on_sleep(now, from, m),
            Message::SleepReply(m) => self.on_sleep_reply(now, from, m),
            Message::Wake(_) => {}
            Message::Doubt(m) => self.on_doubt(now, from, m),
            Message::DoubtReply(m) => self.on_doubt_reply(now, from, m),
        }
    }

    /// Tells the time. Call it when [`Raft::next_deadline`] has come; earlier or later is harmless.
    pub fn tick(&mut self, now: Time) {
        if self.fault.is_some() || self.next_deadline().is_none_or(|at| now < at) {
            return;
        }
        if self.read_deadline().is_some_and(|at| now >= at) {
            self.ask_again(now);
        }
        if self.role_deadline().is_none_or(|at| now < at) {
            return;
        }
        match &self.role {
            Role::Leader(_) => self.on_heartbeat_time(now),
            _ if self.doubt.is_some() => self.ask_about_doubt(now),
            _ => self.start_pre_vote(now),
        }
    }

    /// When [`Raft::tick`] wants to be called; `None` when time means nothing to this replica, as while it sleeps.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.fault.is_some() {
            return None;
        }
        let role = self.role_deadline();
        role.into_iter().chain(self.read_deadline()).min()
    }

    fn role_deadline(&self) -> Option<Time> {
        match &self.role {
            Role::Leader(leader) if matches!(leader.sleep, LeaderSleep::Asleep) => None,
            Role::Leader(leader) => Some(leader.heartbeat_at),
            _ if !self.is_voter() => None,
            Role::Follower(follower) if follower.is_asleep => None,
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
        if self.doubt.is_some() {
            self.settle_doubt();
        }
        while let Some((to, message)) = self.durability.release() {
            self.effects.push_back(Effect::Send { to, message });
        }
        match &self.role {
            Role::Candidate(_) => self.count_votes(now),
            Role::Follower(_) if self.durability.durable() > before => self.reply_matched(),
            Role::Leader(_) if self.durability.durable() > self.commit => self.advance_commit(now),
            _ => {}
        }
    }

    /// Reports that the connection to a node was lost or that it is known to be dead. A follower of that node
    /// campaigns soon; a leader asks that node anew how far it is, once it is back.
    pub fn peer_unreachable(&mut self, now: Time, node: NodeId) {
        if self.fault.is_some() {
            return;
        }
        let before = self.soft_state();
        match &mut self.role {
            Role::Follower(follower) if follower.leader().is_some_and(|l| l.node == node) => {
                follower.heard = None;
                follower.is_asleep = false;
                follower.campaign_at = now.after(jitter(&mut self.rng, self.options.suspicion_spread));
                let reads = core::mem::take(&mut follower.reads);
                self.fail_reads(reads, ReadFailure::LeaderChanged);
                self.announce(before);
            }
            Role::Leader(leader) => {
                if let Some(progress) = leader.peers.get_mut(&node) {
                    progress.probe_again();
                    self.wake_leader();
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

    /// Feeds a replica that is in no membership, from now on and whenever this replica leads. A member is left as it
    /// is, and one that becomes a member is a standing learner no more: admit it again if it is to be fed after it has
    /// been removed, or its membership cut.
    pub fn admit_learner(&mut self, now: Time, learner: ReplicaId) {
        if learner.node == self.me.node || self.membership().has_node(learner.node) {
            return;
        }
        self.learners.insert(learner.node, learner);
        self.sync_peers(now);
        self.wake_leader();
    }

    /// Feeds that learner no longer.
    pub fn dismiss_learner(&mut self, node: NodeId) {
        if self.learners.remove(&node).is_some()
            && let Role::Leader(leader) = &mut self.role
        {
            leader.peers.remove(&node);
            self.liveness.retain(|(of, _)| *of != node);
        }
    }

    /// The next decision, in order; `None` when all are drained.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() && self.is_asleep() {
            self.effects.shrink_to_fit();
            self.durability.shrink();
        }
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
            Role::Follower(follower) => follower.leader().map(|l| l.node),
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

    /// Who takes part, as of the latest membership in the log, committed or not.
    pub fn membership(&self) -> &Membership {
        self.memberships.latest()
    }

    /// Where that membership stands: the index of its entry, or the start of the log for one before all entries.
    pub fn membership_index(&self) -> LogIndex {
        self.memberships.latest_index()
    }

    /// The membership that was in force at `index`; `None` before the start of the log.
    pub fn membership_at(&self, index: LogIndex) -> Option<&Membership> {
        self.memberships.at(index)
    }

    /// The memberships that stand in the entries `(after, last]`, in order.
    pub fn memberships_between(&self, after: LogIndex, last: LogIndex) -> &[(LogIndex, Membership)] {
        self.memberships.between(after, last)
    }

    /// Whether part of the log is in doubt ([`Restored::doubt`]) and no leader has rewritten it yet.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Whether it neither speaks nor waits for anybody to speak, by agreement with all other voters that live.
    pub fn is_asleep(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => matches!(leader.sleep, LeaderSleep::Asleep),
            Role::Follower(follower) => follower.is_asleep,
            _ => false,
        }
    }

    /// Whom it is about to hand leadership to.
    pub fn transferring_to(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(leader) => leader.transfer.map(|transfer| transfer.to.node),
            _ => None,
        }
    }

    /// Whether it leads and has committed an entry of its own term: only then does it know what is committed
    /// (Raft §8), and only then may it serve.
    pub fn is_serving(&self) -> bool {
        self.fault.is_none() && matches!(&self.role, Role::Leader(leader) if self.commit >= leader.opened)
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
    /// 1. the commit index lies within the log, or at its start; 2. what is durable never passes the last entry; 3. no
    ///    entry has a later term than the replica; 4. the latest membership stands within the log; 5. a leader voted for
    ///    itself, its log ends in its own term, it is a voter, and its log is not in doubt; 6. of each peer, matched < next
    ///    and matched never passes the leader's log; 7. a leader is silent only with all committed and durable.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let last = self.log.last_id();
        if self.commit > last.index || self.commit < self.log.before().index {
            return Err("commit lies outside the log");
        }
        if self.durability.durable() > last.index {
            return Err("durable passes the last entry");
        }
        if last.term > self.hard_state.term {
            return Err("an entry has a later term than its replica");
        }
        if self.membership_index() > last.index || self.membership_index() < self.log.before().index {
            return Err("the latest membership stands outside the log");
        }
        if let Role::Leader(leader) = &self.role {
            if self.hard_state.vote != Some(self.me) || last.term != self.hard_state.term {
                return Err("a leader did not vote for itself, or its log ends in an older term");
            }
            if !self.is_voter() {
                return Err("a leader is no voter");
            }
            if self.doubt.is_some() {
                return Err("a leader's log is in doubt");
            }
            for progress in leader.peers.values() {
                if progress.matched >= progress.next() || progress.matched > last.index {
                    return Err("a peer matches beyond what was sent");
                }
            }
            let is_idle = self.commit == last.index && self.durability.durable() == last.index;
            if matches!(leader.sleep, LeaderSleep::Asleep) && !is_idle {
                return Err("a leader sleeps with work to do");
            }
        }
        Ok(())
    }

    /// Feeds all that decides what this replica will do to a hasher, except the points in time themselves and the
    /// state of the random generator: of time only what matters at `now`, whether a leader has been heard recently.
    /// For a model checker that lets every time-out happen at any moment; not stable between versions.
    pub fn fingerprint<H: core::hash::Hasher>(&self, now: Time, hasher: &mut H) {
        crate::fingerprint::of(self, now, hasher);
    }

    // What the roles share.

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Whether this replica votes.
    pub(crate) fn is_voter(&self) -> bool {
        self.memberships.latest().is_voter(self.me)
    }

    /// Asks the host to change the log. A proposal right after another that nobody has seen yet becomes one write.
    pub(crate) fn push_log_change(&mut self, log: LogChange) {
        let (term, last) = (self.hard_state.term, self.log.last_index());
        if let Some(Effect::Persist(Persist { token, hard_state: None, log: earlier })) =
            self.effects.back_mut()
            && let LogChange::Append { entries: grown, content: Content::Payloads, .. } = earlier
            && let LogChange::Append { cut: None, entries, content: Content::Payloads } = &log
            && token.term == term
            && grown.last_id() == entries.before()
        {
            grown.extend(entries);
            *token = self.durability.grow_last(term, last);
            return;
        }
        let token = self.durability.issue(term, last, false);
        self.push(Effect::Persist(Persist { token, hard_state: None, log }));
    }

    /// Sends once term and vote are on disk, which they nearly always are.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        // A question and its answer about reads claim nothing that a disk must hold first.
        let is_free = matches!(message, Message::ReadIndex(_) | Message::ReadIndexReply(_));
        if is_free || self.durability.hard_state_is_durable() {
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
            log: LogChange::Unchanged,
        }));
    }

    /// Follows `leader`, or waits for one, in `term`, which is the current one or later.
    pub(crate) fn become_follower(&mut self, now: Time, term: Term, leader: Option<ReplicaId>) {
        let before = self.soft_state();
        if term > self.hard_state.term {
            self.set_hard_state(HardState { term, vote: None });
        }
        self.leave_role();
        if leader.is_some() {
            self.lost_elections = 0;
        }
        let campaign_at = self.election_deadline(now);
        let heard = leader.map(|leader| (leader, now));
        self.role = Role::Follower(Follower::new(heard, campaign_at));
        self.announce(before);
    }

    /// A time in `[election_timeout, 2 * election_timeout)` from now.
    pub(crate) fn election_deadline(&mut self, now: Time) -> Time {
        let timeout = self.options.election_timeout;
        now.after(timeout).after(jitter(&mut self.rng, timeout))
    }

    /// Tells the host, if anything it sees has changed.
    pub(crate) fn announce(&mut self, before: SoftState) {
        let state = self.soft_state();
        if state != before {
            self.push(Effect::RoleChanged(state));
        }
    }

    pub(crate) fn set_commit(&mut self, index: LogIndex) {
        if index > self.commit {
            let before = core::mem::replace(&mut self.commit, index);
            self.push(Effect::Commit { index });
            for at in 0..self.memberships.between(before, index).len() {
                let (index, _) = self.memberships.between(before, index)[at];
                self.push(Effect::MembershipCommitted { index });
            }
        }
    }

    /// The role ends: nobody will confirm its reads, and nobody may sleep in its care.
    pub(crate) fn leave_role(&mut self) {
        if matches!(self.role, Role::Candidate(_)) {
            self.durability.forget_votes();
        }
        self.fail_all_reads();
        self.withdraw();
    }

    /// Fences the group: what was decided before stands, nothing more is decided.
    pub(crate) fn broken(&mut self, law: Law) {
        let before = self.soft_state();
        self.leave_role();
        self.role = Role::Follower(Follower::new(None, Time::ZERO));
        self.fault = Some(law);
        self.announce(before);
        self.push(Effect::Fault { law });
    }
}

/// A duration in `[0, bound)`.
pub(crate) fn jitter(rng: &mut Rng, bound: core::time::Duration) -> core::time::Duration {
    core::time::Duration::from_micros(rng.below(bound.as_micros() as u64))
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::Raft;

    /// The rest of the 512 bytes of an idle follower is what its host says of two other nodes.
    #[test]
    fn a_replica_itself_takes_less_than_450_bytes() {
        assert!(size_of::<Raft>() < 450, "{} bytes", size_of::<Raft>());
    }
}
