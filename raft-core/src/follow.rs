//! Following: verify, cut on a conflict of terms, append, and say what is durable (Raft §5.3).
//!
//! Nothing is cut but on a term mismatch, nothing committed is ever cut, and the commit index moves only over
//! what this leader's own appends have verified.

use crate::effect::{Effect, Law, Persist};
use crate::id::{LogId, LogIndex, ReplicaId, Time};
use crate::message::{AppendOutcome, AppendReply, AppendRequest, Message};
use crate::raft::Raft;
use crate::role::Role;
use crate::runs::TermRuns;

impl Raft {
    pub(crate) fn on_append(&mut self, now: Time, from: ReplicaId, m: AppendRequest) {
        let is_member = self.configuration.is_voter(self.me);
        if is_member && !self.configuration.is_voter(from) {
            return;
        }
        if m.term < self.hard_state.term {
            // Tell the deposed leader its time is over; there is no more to it.
            let outcome = AppendOutcome::Conflict { prev: m.prev, hint: LogId::ZERO };
            let reply = AppendReply { term: self.hard_state.term, round: 0, outcome };
            return self.send(from.node, Message::AppendReply(reply));
        }
        let Ok(entries) = m.entries() else { return };
        if entries.last_id().term > m.term {
            return;
        }
        if !self.follow_sender(now, from, &m) {
            return;
        }
        if !self.log.contains(m.prev) {
            if m.prev.index <= self.commit {
                return self.broken(Law::CommittedIsForEver);
            }
            let hint = self.log.floor_by_term(m.prev);
            return self.reply(AppendOutcome::Conflict { prev: m.prev, hint });
        }
        self.accept(&entries, m.commit);
    }

    /// Recognises the sender as leader of its term. `false` when that breaks a law.
    fn follow_sender(&mut self, now: Time, from: ReplicaId, m: &AppendRequest) -> bool {
        let known = match &self.role {
            Role::Leader(_) if m.term == self.hard_state.term => {
                self.broken(Law::OneLeaderPerTerm);
                return false;
            }
            Role::Follower(f) if m.term == self.hard_state.term => f.leader,
            _ => None,
        };
        match known {
            Some(leader) if leader != from => {
                self.broken(Law::OneLeaderPerTerm);
                return false;
            }
            Some(_) => {}
            None => self.become_follower(now, m.term, Some(from)),
        }
        let campaign_at = self.election_deadline(now);
        if let Role::Follower(follower) = &mut self.role {
            follower.heard = Some(now);
            follower.campaign_at = campaign_at;
            follower.round = follower.round.max(m.round);
        }
        true
    }

    /// Takes entries that begin right after one we hold.
    fn accept(&mut self, entries: &TermRuns, leader_commit: LogIndex) {
        let conflict = self.log.first_conflict(entries);
        if conflict.is_some_and(|index| index <= self.commit) {
            return self.broken(Law::CommittedIsForEver);
        }
        let cut = conflict.map(LogIndex::prev);
        if let Some(after) = cut {
            self.log.truncate(after);
            self.durability.cut(after);
            self.push(Effect::Truncated { after });
        }
        let fresh = entries.slice(self.log.last_index(), entries.last_index()).filter(|new| !new.is_empty());
        let verified = match &mut self.role {
            Role::Follower(follower) => {
                follower.verified = follower.verified.max(entries.last_index());
                follower.verified
            }
            _ => return,
        };
        let writes = fresh.is_some();
        if let Some(new) = fresh {
            self.log.extend(&new);
            self.persist(cut, new);
        }
        self.set_commit(leader_commit.min(verified));
        if !writes {
            self.reply_matched();
        }
    }

    /// Appends to the log on disk, after cutting it if asked to. A cut never comes without new entries: it was
    /// their term that did not match.
    pub(crate) fn persist(&mut self, truncate: Option<LogIndex>, append: TermRuns) {
        let token = self.durability.issue(self.hard_state.term, append.last_index(), false);
        self.push(Effect::Persist(Persist {
            token,
            hard_state: None,
            truncate,
            append: Some(append),
            noop: false,
        }));
    }

    /// Tells the leader how much of its log is on our disk.
    pub(crate) fn reply_matched(&mut self) {
        if let Role::Follower(follower) = &self.role {
            let matched = follower.verified.min(self.durability.durable());
            self.reply(AppendOutcome::Matched { matched });
        }
    }

    fn reply(&mut self, outcome: AppendOutcome) {
        if let Role::Follower(follower) = &self.role
            && let Some(leader) = follower.leader
        {
            let reply = AppendReply { term: self.hard_state.term, round: follower.round, outcome };
            self.send(leader.node, Message::AppendReply(reply));
        }
    }
}
