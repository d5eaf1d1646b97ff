//! Elections: pre-vote, then vote (Raft §5.2 and §5.4.1; thesis §9.6).
//!
//! A pre-vote changes nothing on either side but the asker's role, so a replica that cannot win cannot disturb.
//! A vote is on disk before it leaves, and so is a candidate's own before it asks for others: a candidate that
//! forgot its vote in a crash could otherwise collect votes given to a log it no longer has.

use alloc::vec::Vec;

use crate::effect::{HardState, StorageHealth};
use crate::id::{LogId, NodeId, ReplicaId, Time};
use crate::message::{Message, PreVote, PreVoteReply, Vote, VoteReply};
use crate::raft::{Raft, jitter};
use crate::role::{Candidate, PreCandidate, Role};

impl Raft {
    /// Asks the other voters whether an election could be won.
    pub(crate) fn start_pre_vote(&mut self, now: Time) {
        let retry_at = self.candidate_deadline(now);
        if !self.may_campaign() {
            return match &mut self.role {
                Role::Follower(follower) => follower.campaign_at = retry_at,
                _ => self.become_follower(now, self.hard_state.term, None),
            };
        }
        if let Role::Candidate(candidate) = &mut self.role
            && !self.durability.hard_state_is_durable()
        {
            // The election has not begun: our own vote is still on its way to a slow disk. Another term now would
            // only put another write behind it, and so for ever.
            candidate.retry_at = retry_at;
            return;
        }
        let before = self.soft_state();
        let retries = match &self.role {
            Role::PreCandidate(earlier) => earlier.retries.saturating_add(1),
            _ => 0,
        };
        self.leave_role();
        self.questions += 1;
        let retry_at = self.pre_vote_deadline(now, retries);
        let (attempt, granted) = (self.questions, Vec::new());
        self.role = Role::PreCandidate(PreCandidate { attempt, retries, granted, retry_at });
        self.announce(before);
        let question = PreVote { term: self.hard_state.term, last: self.log.last_id(), attempt };
        self.ask_voters(Message::PreVote(question));
        self.count_pre_votes(now);
    }

    /// Whether it could be elected and could do the work. Whoever cannot waits for another.
    pub(crate) fn may_campaign(&self) -> bool {
        let is_whole = self.doubt.is_none() && self.installing.is_none();
        self.is_voter() && is_whole && self.storage == StorageHealth::Good
    }

    /// Whether a leader lives, as far as this replica can tell.
    pub(crate) fn has_leader(&self, now: Time) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(f) => f.heard.is_some_and(|(_, at)| now.since(at) < self.options.election_timeout),
            _ => false,
        }
    }

    /// Whether to answer a campaign at all. A replica without a membership has no say: it may have lost what it once
    /// knew. Who is no voter here is heard only if its log goes further than ours, and so may know of a membership
    /// that makes it one; a replica that was removed, and does not know, is left alone.
    pub(crate) fn has_say(&self, from: ReplicaId, last: LogId) -> bool {
        let membership = self.membership();
        !membership.voters().voters().is_empty() && (membership.is_voter(from) || last > self.log.last_id())
    }

    pub(crate) fn on_pre_vote(&mut self, now: Time, from: ReplicaId, m: PreVote) {
        if !self.has_say(from, m.last) {
            return;
        }
        let is_free = m.term >= self.hard_state.term && !self.has_leader(now);
        let granted = is_free && self.is_up_to_date(m.last);
        let reply = PreVoteReply { term: self.hard_state.term, attempt: m.attempt, granted };
        self.send(from.node, Message::PreVoteReply(reply));
    }

    pub(crate) fn on_pre_vote_reply(&mut self, now: Time, from: ReplicaId, m: PreVoteReply) {
        if !self.membership().is_voter(from) {
            return;
        }
        if m.term > self.hard_state.term {
            // Learned here or nowhere: nobody else tells a replica that only ever asks (openraft#1796).
            return self.become_follower(now, m.term, None);
        }
        if let Role::PreCandidate(pre) = &mut self.role
            && m.granted
            && m.attempt == pre.attempt
            && !pre.granted.contains(&from)
        {
            pre.granted.push(from);
            self.count_pre_votes(now);
        }
    }

    fn count_pre_votes(&mut self, now: Time) {
        if let Role::PreCandidate(pre) = &self.role {
            let me = self.me;
            if self.membership().is_quorum(|voter| voter == me || pre.granted.contains(&voter)) {
                self.become_candidate(now);
            }
        }
    }

    pub(crate) fn become_candidate(&mut self, now: Time) {
        let term = self.hard_state.term.next();
        if term == self.hard_state.term {
            return; // The last term there is. Reached only by a peer that lies about its term.
        }
        let before = self.soft_state();
        self.leave_role();
        self.set_hard_state(HardState { term, vote: Some(self.me) });
        self.lost_elections = self.lost_elections.saturating_add(1);
        let retry_at = self.candidate_deadline(now);
        self.role = Role::Candidate(Candidate { granted: Vec::new(), retry_at });
        self.announce(before);
        self.ask_voters(Message::Vote(Vote { term, last: self.log.last_id() }));
        self.count_votes(now);
    }

    fn candidate_deadline(&mut self, now: Time) -> Time {
        // Grows with each election that ended without a leader, so that disks slower than it finish one at last.
        let half = self.options.election_timeout / 2 * (1 << self.lost_elections.saturating_sub(1).min(2));
        now.after(half).after(jitter(&mut self.rng, half))
    }

    /// Soon, as voters may come to miss the leader a moment later; but answers count only for the latest attempt, so each
    /// waits twice as long as the one before, until it outlasts a slow network.
    fn pre_vote_deadline(&mut self, now: Time, retries: u32) -> Time {
        let longest = (self.options.election_timeout / 2).max(self.options.heartbeat_interval);
        let wait = self.options.heartbeat_interval.saturating_mul(1 << retries.min(16)).min(longest);
        now.after(wait).after(jitter(&mut self.rng, wait * 2))
    }

    pub(crate) fn on_vote(&mut self, now: Time, from: ReplicaId, m: Vote) {
        if !self.has_say(from, m.last) {
            return;
        }
        if m.term > self.hard_state.term {
            self.become_follower(now, m.term, None);
        }
        let is_free = self.hard_state.vote.is_none_or(|vote| vote == from);
        let granted = m.term == self.hard_state.term && is_free && self.is_up_to_date(m.last);
        if granted {
            self.set_hard_state(HardState { term: m.term, vote: Some(from) });
            if matches!(self.role, Role::PreCandidate(_)) {
                // Whoever has its vote is not stood against at once.
                self.become_follower(now, m.term, None);
            }
            let campaign_at = self.election_deadline(now);
            if let Role::Follower(follower) = &mut self.role {
                follower.campaign_at = campaign_at;
            }
        }
        let reply = VoteReply { term: self.hard_state.term, granted };
        self.send(from.node, Message::VoteReply(reply));
    }

    pub(crate) fn on_vote_reply(&mut self, now: Time, from: ReplicaId, m: VoteReply) {
        if !self.membership().is_voter(from) {
            return;
        }
        if m.term > self.hard_state.term {
            return self.become_follower(now, m.term, None);
        }
        if let Role::Candidate(candidate) = &mut self.role
            && m.granted
            && m.term == self.hard_state.term
            && !candidate.granted.contains(&from)
        {
            candidate.granted.push(from);
            self.count_votes(now);
        }
    }

    /// Leads if a quorum has given its vote; the own vote counts once it is on disk.
    pub(crate) fn count_votes(&mut self, now: Time) {
        if let Role::Candidate(candidate) = &self.role {
            let own = self.durability.hard_state_is_durable();
            let me = self.me;
            let has = |voter| if voter == me { own } else { candidate.granted.contains(&voter) };
            if self.membership().is_quorum(has) {
                self.become_leader(now);
            }
        }
    }

    /// Whether a log that ends in `last` holds everything ours may have committed (Raft §5.4.1).
    fn is_up_to_date(&self, last: LogId) -> bool {
        last >= self.vote_bound()
    }

    pub(crate) fn ask_voters(&mut self, message: Message) {
        let me = self.me.node;
        let membership = self.membership();
        let voters = membership.replicas().filter(|replica| membership.is_voter(*replica));
        let others: Vec<NodeId> = voters.map(|voter| voter.node).filter(|node| *node != me).collect();
        for to in others {
            self.send(to, message.clone());
        }
    }
}
