//! Leading: propose, replicate, commit, and fall silent without a quorum (Raft §5.3, §5.4.2; thesis §6.2).
//!
//! The leader is a peer of itself: its own log counts only as far as it is durable. It replicates before its
//! own disk has answered, and may commit without it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::effect::{Content, Effect, Law, LogChange};
use crate::id::{LogIndex, NodeId, ReplicaId, Time};
use crate::message::{AppendOutcome, AppendReply, AppendRequest};
use crate::progress::{ProgressState, Standing};
use crate::raft::{ProposeError, Proposed, Raft};
use crate::role::{Leader, LeaderSleep, Role};
use crate::runs::TermRuns;

/// At most so many entries go into one append, however small they are.
const MAX_APPEND_ENTRIES: u64 = 4_096;

impl Raft {
    pub(crate) fn become_leader(&mut self, now: Time) {
        let (before, next) = (self.soft_state(), self.log.last_index().next());
        self.role = Role::Leader(Box::new(Leader {
            peers: BTreeMap::new(),
            opened: next,
            round: 1,
            early_reads: Vec::new(),
            reads: VecDeque::new(),
            heartbeat_at: now.after(self.options.heartbeat_interval),
            awake_since: now,
            sleep: LeaderSleep::Awake,
            has_asked: false,
            transfer: None,
        }));
        self.sync_peers(now);
        self.lost_elections = 0;
        self.announce(before);
        self.append_own(1, Content::Noop);
    }

    /// Appends `count` entries of the leader's term, whose payloads the host holds in order.
    ///
    /// They are committed once [`Effect::Commit`] reaches `last` and the term there is still the one returned; if
    /// another term stands there then, they are not and will never be. Of entries that a snapshot took the place of, only
    /// the state that came with it can tell.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was appended then.
    pub fn propose(&mut self, count: u64) -> Result<Proposed, ProposeError> {
        if self.fault().is_some() {
            return Err(ProposeError::Fenced);
        }
        let Role::Leader(leader) = &self.role else {
            return Err(ProposeError::NotLeader { leader: self.soft_state().leader });
        };
        if let Some(transfer) = leader.transfer {
            return Err(ProposeError::Transferring { to: transfer.to.node });
        }
        if count == 0 {
            return Err(ProposeError::Empty);
        }
        let uncommitted = self.log.last_index().since(self.commit);
        if uncommitted.saturating_add(count) > self.options.max_uncommitted_entries {
            return Err(ProposeError::Full);
        }
        let first = self.log.last_index().next();
        self.append_own(count, Content::Payloads);
        Ok(Proposed { term: self.hard_state.term, first, last: self.log.last_index() })
    }

    pub(crate) fn append_own(&mut self, count: u64, content: Content) {
        self.wake_leader();
        let before = self.log.last_index();
        self.log.append(self.hard_state.term, count);
        let Some(entries) = self.log.slice(before, self.log.last_index()) else { return };
        self.push_log_change(LogChange::Append { cut: None, entries, content });
    }

    /// Builds the next append for a peer, when there is something to say to it: call it when there is room to
    /// send, until it answers `None`. What is built then holds all that came while there was none. It may leave an effect
    /// ([`Effect::NeedSnapshot`]), so drain [`Raft::poll_effect`] again when it has answered `None`.
    ///
    /// `read` is given the shape of the entries that may go and the most bytes they may have; it reads their
    /// payloads, checks them against the shape, and answers with the last index it took and their bytes. It must
    /// take at least one entry; if it cannot, or there is no room for one, it answers `None`, and only what needs
    /// no entries is sent: a heartbeat, or news of the commit index.
    pub fn poll_append(
        &mut self,
        peer: NodeId,
        read: impl FnOnce(&TermRuns, u64) -> Option<(LogIndex, u64)>,
    ) -> Option<AppendRequest> {
        if self.fault().is_some() {
            return None;
        }
        let Role::Leader(leader) = &mut self.role else { return None };
        let progress = leader.peers.get_mut(&peer)?;
        let (before, last) = (self.log.before().index, self.log.last_index());
        if progress.next() <= before && !progress.wants_snapshot() {
            progress.state = ProgressState::Snapshot { offered: None };
            let need = Effect::NeedSnapshot { peer, at_least: before };
            self.push(need);
            return self.poll_append(peer, read);
        }
        let after = progress.next().prev().max(before);
        let last = if progress.standing == Standing::Voter { last } else { last.min(self.commit) };
        let has_entries = progress.next() <= last && progress.has_room(&self.options);
        let taken = if has_entries {
            let all = self.log.slice(after, last.min(after.plus(MAX_APPEND_ENTRIES)))?;
            match read(&all, self.options.max_append_bytes) {
                Some((to, bytes)) if to == all.last_index() => Some((all, bytes)),
                Some((to, bytes)) if to > after => Some((all.slice(after, to)?, bytes)),
                _ => None,
            }
        } else {
            None
        };
        let has_news = progress.commit_told < self.commit && progress.has_room(&self.options);
        if taken.is_none() && !has_news && !progress.heartbeat_due && !progress.wants_probe() {
            return None;
        }
        let (entries, bytes) = match taken {
            Some(taken) => taken,
            None => (self.log.slice(after, after)?, 0),
        };
        progress.heartbeat_due = false;
        progress.commit_told = self.commit;
        progress.sent(entries.before(), entries.last_index(), bytes);
        let memberships = self.memberships.between(entries.before().index, entries.last_index()).to_vec();
        let (term, commit, round) = (self.hard_state.term, self.commit, leader.round);
        Some(AppendRequest { term, entries, memberships, commit, round })
    }

    pub(crate) fn on_heartbeat_time(&mut self, now: Time) {
        let timeout = self.options.election_timeout;
        let Role::Leader(leader) = &mut self.role else { return };
        leader.heartbeat_at = now.after(self.options.heartbeat_interval);
        if matches!(leader.sleep, LeaderSleep::Waking) {
            leader.sleep = LeaderSleep::Awake;
            leader.awake_since = now;
        }
        let (me, since) = (self.me, leader.awake_since);
        let is_heard = |voter: ReplicaId| {
            voter == me || leader.peer(voter).is_some_and(|p| now.since(p.heard.max(since)) <= timeout)
        };
        if !self.memberships.latest().is_quorum(is_heard) {
            // Check-quorum: another may lead by now, so say nothing more as leader.
            return self.become_follower(now, self.hard_state.term, None);
        }
        self.dismiss_departed(now);
        self.manage_transfer(now);
        self.manage_membership(now);
        if self.ask_to_sleep() {
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let mut behind = Vec::new();
        for (node, progress) in &mut leader.peers {
            progress.heartbeat_due = true;
            if progress.wants_snapshot() {
                behind.push(*node);
            }
        }
        for node in behind {
            self.speak_of_snapshot(node);
        }
    }

    pub(crate) fn on_append_reply(&mut self, now: Time, from: ReplicaId, m: AppendReply) {
        if m.term > self.hard_state.term {
            if self.membership().is_member(from) || self.learners.get(&from.node) == Some(&from) {
                self.become_follower(now, m.term, None);
            }
            return;
        }
        if m.term < self.hard_state.term {
            return;
        }
        let last = self.log.last_index();
        let Role::Leader(leader) = &mut self.role else { return };
        let round = m.round.min(leader.round);
        let Some(progress) = leader.peer_mut(from) else { return };
        progress.answered(now, round);
        match m.outcome {
            AppendOutcome::Matched { matched } if matched > last => {
                return self.broken(Law::MatchWithinLeaderLog);
            }
            AppendOutcome::Matched { matched } => progress.on_matched(matched, self.log.before().index),
            AppendOutcome::Installing => {}
            AppendOutcome::Conflict { prev, hint } => {
                if progress.refusal_is_current(prev) && self.log.contains(prev) {
                    let below = prev.index.prev();
                    let agree = self.log.floor_by_term(hint).index.min(below).min(hint.index);
                    if progress.is_probing() {
                        // Below what it has acknowledged it has lost it, and is fed again from there: what was committed
                        // by its word stays so. One append may have overtaken another; a question stands alone.
                        progress.lost_after(agree);
                    }
                    progress.probe_from(agree.next());
                }
            }
        }
        if progress.matched > self.commit {
            self.advance_commit(now);
        }
        self.confirm_reads();
        self.try_hand_over(now);
        self.manage_membership(now);
    }

    /// Commits what a quorum holds durably, if it is of this term: older entries are committed only along with
    /// one of the own term (Raft §5.4.2).
    pub(crate) fn advance_commit(&mut self, now: Time) {
        let Role::Leader(leader) = &self.role else { return };
        let (me, own) = (self.me, self.durability.durable());
        let held = |voter: ReplicaId| {
            if voter == me {
                own
            } else {
                leader.peer(voter).map_or(LogIndex::ZERO, |progress| progress.matched)
            }
        };
        let index = self.memberships.latest().quorum_index(held);
        if index > self.commit && self.log.term_at(index) == Some(self.hard_state.term) {
            self.set_commit(index);
            self.start_early_reads(now);
            self.manage_membership(now);
        }
    }
}
