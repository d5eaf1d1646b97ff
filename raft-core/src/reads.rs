//! Linearizable reads without a log entry: ReadIndex by monotonic rounds (thesis §6.4).
//!
//! A read takes the commit index and the next round; once a quorum has answered that round, the leader led when
//! the read came, and the read may be served when that index is applied. Reads that come before the own-term
//! commit wait for it. No leases.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::effect::{Effect, ReadFailure, ReadId};
use crate::id::{LogIndex, ReplicaId, Time};
use crate::message::{Message, ReadIndexReply, ReadIndexRequest};
use crate::raft::{Raft, ReadError};
use crate::role::{AskedReads, PendingRead, ReadOrigin, Role};

impl Raft {
    /// Asks when a linearizable read may be served here, on any member or learner. Ends in exactly one of
    /// [`Effect::ReadReady`] and [`Effect::ReadFailed`], unless cancelled or refused now.
    ///
    /// # Errors
    /// See [`ReadError`]; no effect follows then.
    pub fn read(&mut self, now: Time, read: ReadId) -> Result<(), ReadError> {
        if self.fault().is_some() {
            return Err(ReadError::Fenced);
        }
        let term = self.hard_state.term;
        match &mut self.role {
            Role::Leader(leader) => {
                if leader.reads.len() + leader.early_reads.len() >= self.options.max_pending_reads {
                    return Err(ReadError::Full);
                }
                self.lead_read(now, ReadOrigin::Local(read));
                Ok(())
            }
            Role::Follower(follower) => {
                let Some(leader) = follower.leader() else { return Err(ReadError::NoLeader) };
                let asked = follower.reads.get_or_insert_default();
                if asked.waiting.len() >= self.options.max_pending_reads {
                    return Err(ReadError::Full);
                }
                self.questions = self.questions.wrapping_add(1);
                asked.waiting.insert(self.questions, read);
                asked.asked_at = now;
                if follower.is_asleep {
                    self.wake_follower(now);
                }
                let question = ReadIndexRequest { term, read: self.questions };
                self.send(leader.node, Message::ReadIndex(question));
                Ok(())
            }
            _ => Err(ReadError::NoLeader),
        }
    }

    /// Forgets a read: no effect will name it any more. For hosts whose caller has gone.
    pub fn cancel_read(&mut self, read: ReadId) {
        let gone = ReadOrigin::Local(read);
        match &mut self.role {
            Role::Leader(leader) => {
                leader.early_reads.retain(|origin| *origin != gone);
                leader.reads.retain(|pending| pending.origin != gone);
            }
            Role::Follower(follower) => {
                if let Some(asked) = &mut follower.reads {
                    asked.waiting.retain(|_, waiting| *waiting != read);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn on_read_index(&mut self, now: Time, from: ReplicaId, m: ReadIndexRequest) {
        let origin = ReadOrigin::Remote { node: from.node, read: m.read };
        match &self.role {
            Role::Leader(leader)
                if m.term == self.hard_state.term
                    && leader.peer(from).is_some()
                    && leader.reads.len() + leader.early_reads.len() < self.options.max_pending_reads =>
            {
                self.lead_read(now, origin);
            }
            _ => self.end_read(origin, None),
        }
    }

    pub(crate) fn on_read_index_reply(&mut self, from: ReplicaId, m: ReadIndexReply) {
        let Role::Follower(follower) = &mut self.role else { return };
        if m.term != self.hard_state.term || follower.leader() != Some(from) {
            return;
        }
        let Some(asked) = follower.reads.as_mut().filter(|asked| asked.waiting.contains_key(&m.read)) else {
            return;
        };
        // All that was asked before is as old, and settled with it; a refusal speaks for one question only.
        let settled: Vec<ReadId> = match m.index {
            Some(_) => {
                let later = asked.waiting.split_off(&m.read.wrapping_add(1));
                core::mem::replace(&mut asked.waiting, later).into_values().collect()
            }
            None => asked.waiting.remove(&m.read).into_iter().collect(),
        };
        for read in settled {
            self.push(match m.index {
                Some(index) => Effect::ReadReady { read, index },
                None => Effect::ReadFailed { read, reason: ReadFailure::LeaderChanged },
            });
        }
    }

    /// When a follower does not wait for an answer any longer, if it waits for one.
    pub(crate) fn read_deadline(&self) -> Option<Time> {
        let Role::Follower(follower) = &self.role else { return None };
        let asked = follower.reads.as_ref().filter(|asked| !asked.waiting.is_empty())?;
        Some(asked.asked_at.after(self.options.heartbeat_interval * 2))
    }

    /// The question or the answer was lost. If the leader lives it is asked again, and the latest question stands for
    /// all; else the reads fail, also at a replica that has no time-out of its own.
    pub(crate) fn ask_again(&mut self, now: Time) {
        let timeout = self.options.election_timeout;
        let Role::Follower(follower) = &mut self.role else { return };
        let alive = follower.heard.filter(|(_, at)| now.since(*at) < timeout).map(|(leader, _)| leader);
        let newest = follower.reads.as_mut().and_then(|asked| {
            asked.asked_at = now;
            asked.waiting.last_key_value().map(|(read, _)| *read)
        });
        match (alive, newest) {
            (Some(leader), Some(read)) => {
                let term = self.hard_state.term;
                self.send(leader.node, Message::ReadIndex(ReadIndexRequest { term, read }));
            }
            _ => {
                let reads = follower.reads.take();
                self.fail_reads(reads, ReadFailure::LeaderChanged);
            }
        }
    }

    fn lead_read(&mut self, _now: Time, origin: ReadOrigin) {
        self.wake_leader();
        let commit = self.commit;
        let Role::Leader(leader) = &mut self.role else { return };
        if commit < leader.opened {
            leader.early_reads.push(origin);
            return;
        }
        leader.round += 1;
        leader.reads.push_back(PendingRead { origin, index: commit, round: leader.round });
        let membership = self.memberships.latest();
        for progress in leader.peers.values_mut().filter(|p| membership.is_voter(p.replica)) {
            progress.heartbeat_due = true;
        }
        self.confirm_reads();
    }

    /// The own-term commit is here: reads that waited for it may start.
    pub(crate) fn start_early_reads(&mut self, now: Time) {
        let Role::Leader(leader) = &mut self.role else { return };
        for origin in core::mem::take(&mut leader.early_reads) {
            self.lead_read(now, origin);
        }
    }

    /// Ends the reads whose round a quorum has confirmed.
    pub(crate) fn confirm_reads(&mut self) {
        loop {
            let Role::Leader(leader) = &mut self.role else { return };
            let Some(first) = leader.reads.front().copied() else { return };
            let me = self.me;
            let confirmed = |voter: ReplicaId| {
                voter == me || leader.peer(voter).is_some_and(|p| p.confirmed_round >= first.round)
            };
            if !self.memberships.latest().is_quorum(confirmed) {
                return;
            }
            leader.reads.pop_front();
            self.end_read(first.origin, Some(first.index));
        }
    }

    fn end_read(&mut self, origin: ReadOrigin, index: Option<LogIndex>) {
        match (origin, index) {
            (ReadOrigin::Local(read), Some(index)) => self.push(Effect::ReadReady { read, index }),
            (ReadOrigin::Local(read), None) => {
                self.push(Effect::ReadFailed { read, reason: ReadFailure::LeaderChanged });
            }
            (ReadOrigin::Remote { node, read }, index) => {
                let reply = ReadIndexReply { term: self.hard_state.term, read, index };
                self.send(node, Message::ReadIndexReply(reply));
            }
        }
    }

    pub(crate) fn fail_reads(&mut self, reads: Option<Box<AskedReads>>, reason: ReadFailure) {
        for read in reads.into_iter().flat_map(|asked| asked.waiting.into_values()) {
            self.push(Effect::ReadFailed { read, reason });
        }
    }

    /// The role ends: nobody will confirm what waits in it.
    pub(crate) fn fail_all_reads(&mut self) {
        match &mut self.role {
            Role::Leader(leader) => {
                let early = core::mem::take(&mut leader.early_reads);
                let pending = core::mem::take(&mut leader.reads);
                for origin in early.into_iter().chain(pending.into_iter().map(|p| p.origin)) {
                    self.end_read(origin, None);
                }
            }
            Role::Follower(follower) => {
                let reads = core::mem::take(&mut follower.reads);
                self.fail_reads(reads, ReadFailure::LeaderChanged);
            }
            _ => {}
        }
    }
}
