//! Following: verify, cut on a conflict of terms, append, and say what is durable (Raft §5.3).
//!
//! Nothing is cut but on a term mismatch, nothing committed is ever cut, and the commit index moves only over
//! what this leader's own appends have verified.

use crate::effect::{Content, Effect, Law, LogChange};
use crate::id::{LogId, LogIndex, NodeId, ReplicaId, Term, Time};
use crate::message::{AppendOutcome, AppendReply, AppendRequest, Message};
use crate::raft::Raft;
use crate::role::Role;
use crate::runs::TermRuns;

impl Raft {
    pub(crate) fn on_append(&mut self, now: Time, from: ReplicaId, m: AppendRequest) {
        if m.term < self.hard_state.term {
            return self.depose(from.node, m.entries.before());
        }
        if self.sleeps_through(from, &m) {
            return;
        }
        if m.entries.last_id().term > m.term || !self.follow_sender(now, from, m.term, m.round) {
            return;
        }
        if self.installing.is_some() {
            return self.reply(AppendOutcome::Installing);
        }
        let prev = m.entries.before();
        let start = self.log.before();
        if prev.index < start.index {
            // Ours starts later. What lies before our start is committed, so every leader's log agrees with it.
            return match m.entries.slice(start.index, m.entries.last_index()) {
                Some(rest) if rest.before() == start => self.accept(now, &rest, &m),
                Some(_) => self.broken(Law::CommittedIsForEver),
                None => self.verified_through(start.index),
            };
        }
        if !self.log.contains(prev) {
            if prev.index <= self.commit {
                return self.broken(Law::CommittedIsForEver);
            }
            let hint = self.log.floor_by_term(prev);
            return self.reply(AppendOutcome::Conflict { prev, hint });
        }
        self.accept(now, &m.entries, &m);
    }

    /// Tells a leader of an older term that its time is over, in answer to what it says of `prev`.
    pub(crate) fn depose(&mut self, to: NodeId, prev: LogId) {
        let outcome = AppendOutcome::Conflict { prev, hint: LogId::ZERO };
        let reply = AppendReply { term: self.hard_state.term, round: 0, outcome };
        self.send(to, Message::AppendReply(reply));
    }

    fn verified_through(&mut self, index: LogIndex) {
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = follower.verified.max(index);
        }
        self.reply_matched();
    }

    /// Recognises the sender as leader of its term. `false` when that breaks a law.
    pub(crate) fn follow_sender(&mut self, now: Time, from: ReplicaId, term: Term, round: u64) -> bool {
        let known = match &self.role {
            Role::Leader(_) if term == self.hard_state.term => {
                self.broken(Law::OneLeaderPerTerm);
                return false;
            }
            Role::Follower(f) if term == self.hard_state.term => f.leader(),
            _ => None,
        };
        match known {
            Some(leader) if leader != from => {
                self.broken(Law::OneLeaderPerTerm);
                return false;
            }
            Some(_) => {}
            None => self.become_follower(now, term, Some(from)),
        }
        let campaign_at = self.election_deadline(now);
        if let Role::Follower(follower) = &mut self.role {
            follower.heard = Some((from, now));
            follower.campaign_at = campaign_at;
            follower.is_asleep = false;
            follower.round = follower.round.max(round);
        }
        true
    }

    /// Takes entries of `m` that begin right after one we hold.
    fn accept(&mut self, now: Time, entries: &TermRuns, m: &AppendRequest) {
        let conflict = self.log.first_conflict(entries);
        if conflict.is_some_and(|index| index <= self.commit) {
            return self.broken(Law::CommittedIsForEver);
        }
        let cut = conflict.map(LogIndex::prev);
        let verified = match &self.role {
            Role::Follower(follower) => follower.verified,
            _ => return,
        };
        if cut.is_some_and(|after| after < verified) {
            return self.broken(Law::LeaderAppendOnly);
        }
        let mut is_reconfigured = false;
        if let Some(after) = cut {
            self.log.truncate(after);
            self.durability.cut(after);
            is_reconfigured = self.memberships.truncate(after);
            self.push(Effect::Truncated { after });
        }
        let end = self.log.last_index();
        let fresh = match entries.before().index == end {
            true => Some(entries.clone()),
            false => entries.slice(end, entries.last_index()),
        };
        let fresh = fresh.filter(|new| !new.is_empty());
        let verified = verified.max(entries.last_index());
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = verified;
        }
        let writes = fresh.is_some();
        if let Some(entries) = fresh {
            self.log.extend(&entries);
            for (index, membership) in &m.memberships {
                if entries.before().index < *index && *index <= entries.last_index() {
                    self.memberships.push(*index, membership.clone());
                    is_reconfigured = true;
                }
            }
            // A cut never comes without new entries: it was their term that did not match.
            self.push_log_change(LogChange::Append { cut, entries, content: Content::Payloads });
        }
        if is_reconfigured {
            self.membership_changed(now);
        }
        self.set_commit(m.commit.min(verified));
        if !writes {
            self.reply_matched();
        }
    }

    /// Tells the leader how much of its log is on our disk.
    pub(crate) fn reply_matched(&mut self) {
        if let Role::Follower(follower) = &self.role {
            let matched = follower.verified.min(self.durability.durable());
            self.reply(AppendOutcome::Matched { matched });
        }
    }

    pub(crate) fn reply(&mut self, outcome: AppendOutcome) {
        if let Role::Follower(follower) = &self.role
            && let Some(leader) = follower.leader()
        {
            let reply = AppendReply { term: self.hard_state.term, round: follower.round, outcome };
            self.send(leader.node, Message::AppendReply(reply));
        }
    }
}
