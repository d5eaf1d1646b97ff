//! A log in doubt: its disk shows that it went on, perhaps acknowledged, and can no longer say how.
//!
//! Such a replica does not campaign, and gives its vote to no log that ends before the doubtful extent: what it may have
//! acknowledged may be committed by its word. It is whole again when a leader has rewritten the extent, durably; or when
//! so many voters have never held the first lost entry that no quorum can have (a *nack quorum*): then nothing after it is
//! committed either, under whatever membership, as another membership would have to follow it. A nack is given in a term
//! after that of the extent and is durable with it, so that no leader of those terms can make it untrue afterwards.

use alloc::vec::Vec;

use crate::id::{LogId, ReplicaId, Time};
use crate::message::{DoubtQuery, DoubtReply, Message};
use crate::raft::Raft;
use crate::role::Role;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Doubt {
    /// The last entry that may have been acknowledged.
    pub(crate) extent: LogId,
    /// Where the certain log ended when the voters were asked.
    after: LogId,
    /// Who never held any entry between the two, and never will.
    nacks: Vec<ReplicaId>,
}

impl Doubt {
    pub(crate) fn new(after: LogId, extent: LogId) -> Self {
        Self { extent, after, nacks: Vec::new() }
    }
}

impl Raft {
    /// No leader is heard: asks the voters whether the extent can matter at all.
    pub(crate) fn ask_about_doubt(&mut self, now: Time) {
        let after = self.durable_end();
        let is_rewritten = self.doubt.as_ref().is_some_and(|doubt| self.log.last_id() >= doubt.extent);
        let at = self.election_deadline(now);
        if let Role::Follower(follower) = &mut self.role {
            follower.campaign_at = at;
        }
        let Some(doubt) = self.doubt.as_mut().filter(|_| !is_rewritten) else {
            return; // Its own disk is all that it waits for.
        };
        if doubt.after != after {
            **doubt = Doubt::new(after, doubt.extent);
        }
        let extent = doubt.extent;
        if self.hard_state.term <= extent.term {
            self.become_follower(now, extent.term.next(), None);
        }
        let query = DoubtQuery { term: self.hard_state.term, after, extent };
        self.ask_voters(Message::Doubt(query));
    }

    pub(crate) fn on_doubt(&mut self, now: Time, from: ReplicaId, m: DoubtQuery) {
        if !self.membership().is_voter(from)
            || m.term <= m.extent.term
            || m.after >= m.extent
            || self.has_leader(now)
        {
            return;
        }
        if m.term > self.hard_state.term {
            self.become_follower(now, m.term, None);
        }
        if !self.durability.holds_back_for_all() {
            return; // A cut may be on its way, and what is cut still on the disk. It will ask again.
        }
        // Nothing after the first lost entry can be held without it, and one of another term is another entry.
        let first = self.log.term_at(m.after.index.next());
        let is_gone = m.after.index < self.log.before().index;
        let is_lost_one = |term| m.after.term <= term && term <= m.extent.term;
        let may_hold = self.doubt.as_ref().is_some_and(|doubt| m.after.index < doubt.extent.index);
        let holds = may_hold || is_gone || first.is_some_and(is_lost_one);
        let (term, after, extent) = (self.hard_state.term, m.after, m.extent);
        let reply = DoubtReply { term, after, extent, holds };
        self.send(from.node, Message::DoubtReply(reply));
    }

    pub(crate) fn on_doubt_reply(&mut self, now: Time, from: ReplicaId, m: DoubtReply) {
        if !self.membership().is_voter(from) {
            return;
        }
        if m.term > self.hard_state.term {
            self.become_follower(now, m.term, None);
        }
        let after = self.durable_end();
        let Some(doubt) = &mut self.doubt else { return };
        let is_current = m.extent == doubt.extent && m.after == doubt.after && m.after == after;
        if m.holds || !is_current || m.term <= m.extent.term || doubt.nacks.contains(&from) {
            return;
        }
        doubt.nacks.push(from);
        let nacks = &doubt.nacks;
        // While joint, the first lost entry may have been the one that ends that: the incoming voters commit it alone.
        if !self.memberships.latest().voters().is_quorum(|voter| !nacks.contains(&voter)) {
            self.doubt = None;
        }
    }

    /// What is durable reaches the extent: the log is whole. Whatever it holds after the certain part came from leaders.
    pub(crate) fn settle_doubt(&mut self) {
        let end = self.durable_end();
        self.doubt.take_if(|doubt| end >= doubt.extent);
    }

    /// The last entry that a crash would leave.
    fn durable_end(&self) -> LogId {
        let index = self.durability.durable().max(self.log.before().index);
        LogId::new(self.log.term_at(index).unwrap_or_default(), index)
    }

    /// The last entry that a log must reach to get this replica's vote.
    pub(crate) fn vote_bound(&self) -> LogId {
        let last = self.log.last_id();
        self.doubt.as_ref().map_or(last, |doubt| last.max(doubt.extent))
    }
}
