//! Sleep by agreement: a group with nothing to do says nothing and waits for nothing.
//!
//! A leader whose log is committed and durable asks all it feeds, with the heartbeat that they would have had anyway, to
//! sleep at exactly that log. Who agrees stops its election timer and relies on what its host says of the leader's *node*
//! from then on; when all voters on live nodes have agreed, the leader stops too. A dead node keeps nothing awake.
//! Liveness only suppresses campaigns and step-downs; nothing is committed or read by it. What wakes a group: a message, a
//! proposal, a read, a node that falls silent, comes back or starts a new life, and the word of a leader that it leads no
//! more. Invariant: whoever sleeps has a leader that is asleep too, or is awake and speaks with each heartbeat, or is
//! about to be reported by the host: silent, restarted or withdrawn.

use alloc::vec::Vec;
use core::time::Duration;

use crate::effect::{Effect, Liveness, StorageHealth};
use crate::id::{LogIndex, NodeId, ReplicaId, Term, Time};
use crate::message::{AppendOutcome, AppendRequest, Message, SleepReply, SleepRequest, Wake};
use crate::progress::Progress;
use crate::raft::Raft;
use crate::role::{Leader, LeaderSleep, Role};

impl Raft {
    /// Says how another node of this group fares, by the heartbeats of its node: call it when that changes, for each
    /// group that has the node among its members or learners, and again for a node that becomes one. A group of whose
    /// nodes nothing was said never sleeps. [`Liveness::Silent`] includes what [`Raft::peer_unreachable`] says.
    pub fn node_liveness(&mut self, now: Time, node: NodeId, liveness: Liveness) {
        if self.fault().is_some() || node == self.me.node {
            return;
        }
        let known = self.liveness.iter().position(|(of, _)| *of == node);
        let before = known.map(|at| self.liveness[at].1);
        match known {
            Some(at) => self.liveness[at].1 = liveness,
            None if self.concerns(node) => {
                self.liveness.reserve_exact(1);
                self.liveness.push((node, liveness));
            }
            None => {}
        }
        if before == Some(liveness) {
            return;
        }
        match (before, liveness) {
            (_, Liveness::Silent) | (Some(Liveness::Live(_)), Liveness::Live(_)) => {
                self.peer_unreachable(now, node)
            }
            _ => {}
        }
        if self.concerns(node) {
            self.wake_leader();
        }
    }

    /// Hands on the word of a node that it leads the group no more in `term` ([`Effect::Withdraw`]).
    pub fn leader_withdrew(&mut self, now: Time, node: NodeId, term: Term) {
        if self.fault().is_some() || term < self.hard_state.term {
            return;
        }
        self.withdrawn = self.withdrawn.max(term);
        if term > self.hard_state.term {
            return self.become_follower(now, term, None);
        }
        if let Role::Follower(follower) = &self.role
            && follower.leader().is_some_and(|leader| leader.node == node)
        {
            self.peer_unreachable(now, node);
        }
    }

    pub(crate) fn concerns(&self, node: NodeId) -> bool {
        self.learners.contains_key(&node) || self.membership().has_node(node)
    }

    fn liveness_of(&self, node: NodeId) -> Option<Liveness> {
        self.liveness.iter().find(|(of, _)| *of == node).map(|(_, liveness)| *liveness)
    }

    pub(crate) fn is_live(&self, node: NodeId) -> bool {
        matches!(self.liveness_of(node), Some(Liveness::Live(_)))
    }

    // The leader's side.

    /// Whether a peer was heard within `patience`. Nobody is held to have been silent while the leader slept: for that
    /// time the word of its host counts.
    pub(crate) fn is_present(&self, leader: &Leader, peer: &Progress, now: Time, patience: Duration) -> bool {
        let is_rested = matches!(leader.sleep, LeaderSleep::Asleep | LeaderSleep::Waking);
        let is_cared_for = is_rested && self.is_live(peer.replica.node);
        is_cared_for || now.since(peer.heard.max(leader.awake_since)) <= patience
    }

    /// Asks all to sleep, if there is nothing to do. `false` when heartbeats must go on.
    pub(crate) fn ask_to_sleep(&mut self) -> bool {
        let is_first =
            matches!(&self.role, Role::Leader(leader) if matches!(leader.sleep, LeaderSleep::Awake));
        if !is_first || !self.may_sleep() {
            if let Role::Leader(leader) = &mut self.role {
                leader.wake_up();
            }
            return false;
        }
        let last = self.log.last_id();
        let to = self.sleepers();
        let Role::Leader(leader) = &mut self.role else { return false };
        leader.sleep = LeaderSleep::Asking { last, agreed: Vec::new() };
        leader.has_asked = true;
        let request = SleepRequest { term: self.hard_state.term, last, round: leader.round };
        for node in to {
            self.send(node, Message::Sleep(request));
        }
        self.fall_asleep();
        true
    }

    /// The nodes whose agreement counts: all that live and are fed.
    fn sleepers(&self) -> Vec<NodeId> {
        self.peers().filter(|node| self.is_live(*node)).collect()
    }

    /// Whether nothing is to be done, for anybody who lives.
    fn may_sleep(&self) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let last = self.log.last_index();
        let is_settled =
            self.commit == last && self.durability.durable() == last && !self.membership().is_joint();
        let is_asked =
            !leader.reads.is_empty() || !leader.early_reads.is_empty() || leader.transfer.is_some();
        if !self.is_serving() || !is_settled || is_asked || self.storage != StorageHealth::Good {
            return false;
        }
        let is_fed = |p: &Progress| {
            p.is_replicating() && p.matched == last && p.commit_told == last && !p.is_departing()
        };
        let is_content = |p: &Progress| match self.liveness_of(p.replica.node) {
            Some(Liveness::Live(_)) => is_fed(p),
            Some(Liveness::Silent) => true,
            None => false,
        };
        let (me, is_live) = (self.me, |voter: ReplicaId| self.is_live(voter.node));
        leader.peers.values().all(is_content) && self.membership().is_quorum(|v| v == me || is_live(v))
    }

    pub(crate) fn on_sleep_reply(&mut self, now: Time, from: ReplicaId, m: SleepReply) {
        if m.term > self.hard_state.term {
            if self.membership().is_voter(from) {
                self.become_follower(now, m.term, None);
            }
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let round = m.round.min(leader.round);
        // An answer to an earlier question may be that of a replica that has forgotten since what is committed.
        let is_asked = round == leader.round
            && matches!(&leader.sleep, LeaderSleep::Asking { last, .. } if *last == m.last);
        let Some(progress) = leader.peer_mut(from).filter(|_| m.term == self.hard_state.term) else { return };
        progress.answered(now, round);
        if is_asked && !m.asleep {
            // It may not know all that is committed: it is told before it is asked again.
            progress.commit_told = LogIndex::ZERO;
            leader.wake_up();
        } else if let LeaderSleep::Asking { agreed, .. } = &mut leader.sleep
            && is_asked
            && !agreed.contains(&from.node)
        {
            agreed.push(from.node);
        }
        self.fall_asleep();
        self.confirm_reads();
    }

    /// Falls silent, if all have agreed and there still is nothing to do.
    fn fall_asleep(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let LeaderSleep::Asking { agreed, .. } = &leader.sleep else { return };
        let is_agreed = self.sleepers().iter().all(|node| agreed.contains(node)) && self.may_sleep();
        if let Role::Leader(leader) = &mut self.role
            && is_agreed
        {
            leader.sleep = LeaderSleep::Asleep;
        }
    }

    /// There is something to do: speaks again at the next tick, which is due.
    pub(crate) fn wake_leader(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            if matches!(leader.sleep, LeaderSleep::Awake | LeaderSleep::Waking) {
                return;
            }
            let is_rested = matches!(leader.sleep, LeaderSleep::Asleep);
            leader.wake_up();
            if is_rested {
                leader.sleep = LeaderSleep::Waking;
            }
            leader.heartbeat_at = Time::ZERO;
        }
    }

    /// A role of a leader ends: whoever sleeps in its care must hear of it.
    pub(crate) fn withdraw(&mut self) {
        if let Role::Leader(leader) = &mut self.role
            && core::mem::take(&mut leader.has_asked)
        {
            // Our log ends in the term in which we led.
            let term = self.log.last_id().term;
            self.push(Effect::Withdraw { term });
        }
    }

    // The follower's side.

    pub(crate) fn on_sleep(&mut self, now: Time, from: ReplicaId, m: SleepRequest) {
        if m.term < self.hard_state.term {
            return self.depose(from.node, m.last);
        }
        if self.is_from_earlier_round(from, m.term, m.round)
            || !self.follow_sender(now, from, m.term, m.round)
        {
            return;
        }
        let last = self.log.last_id();
        let is_equal = last == m.last && self.commit == last.index && self.durability.durable() == last.index;
        let is_free =
            self.doubt.is_none() && self.installing.is_none() && self.storage == StorageHealth::Good;
        let is_cared_for = self.is_live(from.node) && self.withdrawn < m.term;
        // Who does not vote waits for nobody anyway; it agrees to have been told everything.
        let is_cared_for = is_cared_for || !self.is_voter();
        let Role::Follower(follower) = &mut self.role else { return };
        let asleep = is_equal
            && is_free
            && is_cared_for
            && follower.reads.as_ref().is_none_or(|asked| asked.waiting.is_empty());
        follower.is_asleep = asleep;
        let reply = SleepReply { term: m.term, last: m.last, round: follower.round, asleep };
        self.send(from.node, Message::SleepReply(reply));
    }

    /// Whether this leader has spoken again since: then it is awake, and whoever fell asleep now would not hear it.
    fn is_from_earlier_round(&self, from: ReplicaId, term: Term, round: u64) -> bool {
        let Role::Follower(follower) = &self.role else { return false };
        term == self.hard_state.term && follower.leader() == Some(from) && round < follower.round
    }

    /// Wakes whoever is asleep, if the message means work. A replica that was removed, and does not know, wakes nobody.
    pub(crate) fn wake_for(&mut self, now: Time, from: ReplicaId, message: &Message) {
        let is_awake = match &self.role {
            Role::Leader(leader) => matches!(leader.sleep, LeaderSleep::Awake | LeaderSleep::Waking),
            Role::Follower(follower) => !follower.is_asleep,
            _ => true,
        };
        if is_awake {
            return;
        }
        let is_stranger = match message {
            Message::PreVote(m) => !self.has_say(from, m.last),
            Message::Vote(m) => !self.has_say(from, m.last),
            _ => !self.concerns(from.node),
        };
        if is_stranger {
            return;
        }
        match &self.role {
            Role::Leader(_) => {
                let is_answer = match message {
                    Message::SleepReply(_) => true,
                    Message::AppendReply(m) => matches!(m.outcome, AppendOutcome::Matched { .. }),
                    _ => false,
                };
                if !is_answer {
                    self.wake_leader();
                }
            }
            Role::Follower(follower) if !matches!(message, Message::Sleep(_) | Message::Append(_)) => {
                let leader = follower.leader();
                self.wake_follower(now);
                if let Some(leader) = leader.filter(|leader| *leader != from) {
                    let term = self.hard_state.term;
                    self.send(leader.node, Message::Wake(Wake { term }));
                }
            }
            _ => {}
        }
    }

    /// Whether an append was sent before this follower fell asleep: it brings nothing, and its leader sleeps too.
    pub(crate) fn sleeps_through(&self, from: ReplicaId, m: &AppendRequest) -> bool {
        let Role::Follower(follower) = &self.role else { return false };
        let is_known = m.entries.last_index() <= self.log.last_index() && m.commit <= self.commit;
        let is_ours = follower.leader() == Some(from) && m.term == self.hard_state.term;
        follower.is_asleep && is_ours && is_known && m.round <= follower.round
    }

    /// Waits for its leader again, which counts as heard: its node lives.
    pub(crate) fn wake_follower(&mut self, now: Time) {
        let campaign_at = self.election_deadline(now);
        if let Role::Follower(follower) = &mut self.role {
            follower.is_asleep = false;
            follower.heard = follower.leader().map(|leader| (leader, now));
            follower.campaign_at = campaign_at;
        }
    }
}
