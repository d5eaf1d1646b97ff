//! What a core decides is taken to the disk, the network and the books, one effect at a time; each is checked first.
//!
//! A process may die between any two effects. Invariant: after each input all effects are drained, every peer that has
//! room was asked for its append, and the laws of a single replica hold.

use super::arena::{EntryNo, Kind, ROOT};
use super::claims;
use super::disk::{Change, Write};
use super::network::{Body, Later};
use super::node::number_of;
use super::raft_core::{
    Content, Effect, LogChange, LogIndex, Message, NodeId, Persist, ReadFailure, RoleKind, Snapshot,
    SoftState, Term,
};
use super::{World, describe};
use crate::core::dice::{Dice, Purpose};
use crate::core::law::{Checked, ensure};
use crate::core::marks::Mark;
use crate::core::record::Record;

impl World {
    /// Takes everything that the core of a node has decided. `woken` is the path that the input was on, if a follower
    /// was woken by it.
    pub(crate) fn drain(&mut self, at: usize, woken: Option<Mark>) -> Checked {
        loop {
            loop {
                let node = &mut self.nodes[at];
                let Some(raft) = &mut node.raft else { return Ok(()) };
                let Some(effect) = raft.poll_effect() else { break };
                if let Some(doom) = &mut node.doom {
                    if doom.after == 0 {
                        self.marks.hit(Mark::CrashMidEffects);
                        return self.die(at);
                    }
                    doom.after -= 1;
                }
                self.take(at, effect)?;
            }
            if self.feed(at)? {
                continue;
            }
            if !self.nodes[at].wants_compaction {
                break;
            }
            self.compact(at)?;
        }
        self.settle(at, woken)?;
        self.set_timer(at);
        Ok(())
    }

    /// Asks a leader for what its peers are to be sent. Says whether it had more to decide.
    fn feed(&mut self, at: usize) -> Result<bool, Box<crate::core::law::Breach>> {
        if self.nodes[at].state.role != RoleKind::Leader {
            return Ok(false);
        }
        for peer in 0..self.nodes.len() {
            if peer == at {
                continue;
            }
            let to = NodeId::new(peer as u64 + 1);
            loop {
                let node = &mut self.nodes[at];
                let Some(raft) = &mut node.raft else { return Ok(false) };
                let (log, entry_bytes) = (&node.log, self.knobs.entry_bytes);
                let mut tip = None;
                let append = raft.poll_append(to, |range, bytes| {
                    let count = (bytes / entry_bytes).clamp(1, range.len());
                    let last = range.before().index.plus(count);
                    tip = log.at(last.as_u64() as u32);
                    Some((last, count * entry_bytes))
                });
                let Some(append) = append else { break };
                let last = append.entries.last_index().as_u64() as u32;
                let tip = tip.or_else(|| log.at(last)).unwrap_or(ROOT);
                let message = Message::Append(append);
                if self.checks {
                    self.check_range(at, tip, &message)?;
                    claims::check(&self.nodes[at], to, &message, &self.truth, &self.arena)?;
                }
                self.send(at, to, Body::Raft { message, tip });
            }
        }
        // Polling may have found that a peer needs a snapshot, which is an effect.
        let node = &mut self.nodes[at];
        let Some(raft) = &mut node.raft else { return Ok(false) };
        match raft.poll_effect() {
            Some(effect) => {
                self.take(at, effect)?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// What must hold when nothing is left to do.
    fn settle(&mut self, at: usize, woken: Option<Mark>) -> Checked {
        let node = &mut self.nodes[at];
        let Some(raft) = &node.raft else { return Ok(()) };
        let is_asleep = raft.is_asleep();
        if is_asleep != node.was_asleep {
            node.was_asleep = is_asleep;
            node.leads_since = self.now;
            node.has_woken = !is_asleep;
            node.sleeps_by = node.state.leader.map_or(0, |leader| node.views[number_of(leader) & 7].boot);
            let is_leader = node.state.role == RoleKind::Leader;
            self.marks.hit_if(is_leader && is_asleep, Mark::GroupSlept);
            if let Some(mark) = woken.filter(|_| !is_asleep && !is_leader) {
                self.marks.hit(mark);
            }
            let now = self.now;
            self.recorder.note(now, at, || Record::Sleep { is_asleep });
        }
        if node.was_in_doubt && !raft.is_in_doubt() {
            node.was_in_doubt = false;
            let is_rewritten = node
                .disk
                .image
                .lost
                .is_some_and(|lost| self.arena.id(node.disk.image.log.last()) >= self.arena.id(lost));
            node.disk.image.lost = None;
            self.marks.hit(if is_rewritten { Mark::DoubtRewritten } else { Mark::DoubtNacked });
        }
        if !self.checks {
            return Ok(());
        }
        let node = &self.nodes[at];
        let Some(raft) = &node.raft else { return Ok(()) };
        if let Err(broken) = raft.check_invariants() {
            ensure!(false, S1, at, "{broken}");
        }
        let last = node.log.last();
        ensure!(
            raft.log().last_id() == self.arena.id(last),
            R3,
            at,
            "its core says the log ends at {}, and its host holds {}",
            raft.log().last_id(),
            self.arena.id(last)
        );
        let in_force = self.arena.membership_index(last).max(node.log.base_index());
        ensure!(
            raft.membership_index().as_u64() == u64::from(in_force),
            R9,
            at,
            "its core is in the membership at {}, and in its log the last is at {in_force}",
            raft.membership_index()
        );
        // Who does not vote waits for nobody, asleep or not.
        let waits = node.state.role == RoleKind::Follower && self.arena.membership(last).is_voter(node.me);
        if is_asleep && waits {
            let leader = node.state.leader.map(number_of);
            let view = leader.map(|leader| node.views[leader & 7]).unwrap_or_default();
            ensure!(
                view.told == Some(true) && view.boot == node.sleeps_by,
                V4,
                at,
                "sleeps in the care of {leader:?} in its life {}, and knows of it: {view:?}",
                node.sleeps_by
            );
        }
        if node.state.role == RoleKind::Leader {
            let tip = self.truth.term(node.term()).tip;
            ensure!(
                tip == last,
                R2,
                at,
                "leads term {} and its log ends at {}, where it had made {}",
                node.term(),
                self.arena.id(last),
                self.arena.id(tip)
            );
        }
        Ok(())
    }

    pub(crate) fn take(&mut self, at: usize, effect: Effect) -> Checked {
        match effect {
            Effect::Persist(persist) => self.take_persist(at, persist),
            Effect::Send { to, message } => self.take_send(at, to, message),
            Effect::Commit { index } => self.take_commit(at, index.as_u64() as u32),
            Effect::ReadReady { read, index } => self.read_ready(at, read.0 as u32, index.as_u64() as u32),
            Effect::ReadFailed { read, reason } => {
                self.marks.hit_if(reason == ReadFailure::LeaderChanged, Mark::ReadFailed);
                self.read_failed(at, read.0 as u32)
            }
            Effect::RoleChanged(state) => self.take_role(at, state),
            Effect::Truncated { after } => self.take_truncated(at, after.as_u64() as u32),
            Effect::MembershipActive { .. } => {
                self.tell_all_liveness(at);
                Ok(())
            }
            Effect::MembershipCommitted { index } => {
                self.note_membership(at, index.as_u64() as u32);
                Ok(())
            }
            Effect::NeedSnapshot { peer, at_least } => {
                let boot = self.nodes[at].boot;
                let due = self.now + self.knobs.snapshot_latency / 4;
                let at_least = at_least.as_u64() as u32;
                self.later_at(due, Later::Offer { node: at, boot, peer, at_least });
                Ok(())
            }
            Effect::InstallSnapshot { snapshot, .. } => self.take_install(at, &snapshot),
            Effect::TransferAborted { .. } => {
                self.marks.hit(Mark::TransferAborted);
                Ok(())
            }
            Effect::Withdraw { term } => {
                self.marks.hit(Mark::WithdrawalSent);
                let term = term.as_u64() as u32;
                for open in &mut self.nodes[at].withdrawals {
                    *open = (*open).max(term);
                }
                Ok(())
            }
            Effect::Fault { law } => {
                ensure!(false, S1, at, "is fenced: {law}");
                Ok(())
            }
        }
    }

    fn take_persist(&mut self, at: usize, persist: Persist) -> Checked {
        let Persist { token, hard_state, log } = persist;
        if let Some(next) = hard_state {
            let node = &mut self.nodes[at];
            let before = std::mem::replace(&mut node.asked, next);
            if self.checks {
                ensure!(next.term >= before.term, R7, at, "goes from term {} to {}", before.term, next.term);
                ensure!(
                    next.term > before.term || before.vote.is_none() || before.vote == next.vote,
                    R6,
                    at,
                    "changes its vote in term {} from {:?} to {:?}",
                    next.term,
                    before.vote,
                    next.vote
                );
            }
        }
        let change = match log {
            LogChange::Unchanged => Change::None,
            LogChange::Append { cut, entries, content } => {
                let cut = cut.map(|cut| cut.as_u64() as u32);
                if let Some(cut) = cut {
                    self.cut_log(at, cut)?;
                }
                let (from, to) =
                    (entries.before().index.as_u64() as u32, entries.last_index().as_u64() as u32);
                if self.nodes[at].log.last_index() < to {
                    let before = self.nodes[at].log.last();
                    ensure!(
                        self.arena.id(before) == entries.before(),
                        R3,
                        at,
                        "appends {entries:?} to a log that ends at {}",
                        self.arena.id(before)
                    );
                    self.append_content(at, content, entries.last_id().term)?;
                }
                let node = &self.nodes[at];
                if self.checks {
                    for run in entries.runs() {
                        let first = node.log.at(run.first.as_u64() as u32).unwrap_or(ROOT);
                        ensure!(
                            self.arena.id(first).term == run.term,
                            R3,
                            at,
                            "appends {entries:?}, and the bytes are those of {}",
                            self.arena.id(first)
                        );
                    }
                }
                let last = node.log.at(to).unwrap_or(ROOT);
                ensure!(
                    self.arena.id(last) == entries.last_id() && to > from,
                    R3,
                    at,
                    "appends {entries:?}, and the bytes are those of {}",
                    self.arena.id(last)
                );
                Change::Append { cut, last }
            }
            LogChange::Restart { after } => {
                let Some((_, base)) = self.nodes[at].installing.filter(|(last, _)| *last == after) else {
                    ensure!(false, L8, at, "starts its log anew after {after}, where there is no snapshot");
                    return Ok(());
                };
                let log = &self.nodes[at].log;
                let is_lost = |index: &u32| {
                    let held = log.at(*index);
                    held.is_some() && held == self.truth.committed_at(*index)
                };
                // What both hold is a prefix, so the first entry behind the snapshot speaks for all.
                let lost = Some(self.arena.index(base) + 1).filter(is_lost);
                ensure!(
                    lost.is_none(),
                    L2,
                    at,
                    "starts its log anew after {after}, and drops {lost:?}, which is committed"
                );
                let node = &mut self.nodes[at];
                self.marks.hit_if(node.log.last() != node.log.base, Mark::SnapshotOverLog);
                node.log.start(base, &self.arena);
                Change::Restart { base }
            }
        };
        let latency = self.disk_latency(at);
        let node = &mut self.nodes[at];
        let done_at = node.disk.writes.back().map_or(0, |write| write.done_at).max(self.now + latency);
        node.disk.writes.push_back(Write { token, hard_state, change, done_at });
        let now = self.now;
        self.recorder.note(now, at, || Record::Asked(format!("{hard_state:?} {change:?}")));
        self.schedule_disk(at);
        Ok(())
    }

    /// Puts the bytes where the core has put the range.
    fn append_content(&mut self, at: usize, content: Content, term: Term) -> Checked {
        let short = term.as_u64() as u32;
        match content {
            Content::Noop => {
                self.append_own(at, short, Kind::Noop, None)?;
            }
            Content::Membership(next) => {
                let parent = self.nodes[at].log.last();
                if self.checks {
                    self.truth.reconfigured(&self.nodes[at], short, parent, &next, &self.arena)?;
                }
                self.note_change(at, parent, &next);
                self.append_own(at, short, Kind::Membership, Some(next))?;
            }
            Content::Payloads => {
                let node = &mut self.nodes[at];
                let from = node.log.last_index();
                let raft_last = node.raft.as_ref().map_or(LogIndex::ZERO, |raft| raft.log().last_index());
                let last = self.arena.ancestor(node.incoming, raft_last.as_u64() as u32);
                ensure!(
                    self.arena.ancestor(last, from) == node.log.last() && self.arena.index(last) > from,
                    R3,
                    at,
                    "appends the entries up to {} after {}, which another entry comes before",
                    self.arena.id(last),
                    self.arena.id(node.log.last())
                );
                node.log.extend_to(last, &self.arena);
            }
        }
        Ok(())
    }

    /// A leader makes an entry.
    pub(crate) fn append_own(
        &mut self,
        at: usize,
        term: u32,
        kind: Kind,
        membership: Option<super::raft_core::Membership>,
    ) -> Result<EntryNo, Box<crate::core::law::Breach>> {
        let parent = self.nodes[at].log.last();
        let no = self.arena.add(parent, term, kind, membership);
        self.truth.appended(&self.nodes[at], term, no, &self.arena)?;
        self.nodes[at].log.push(no);
        Ok(no)
    }

    fn take_truncated(&mut self, at: usize, after: u32) -> Checked {
        let node = &self.nodes[at];
        ensure!(node.state.role != RoleKind::Leader, R2, at, "leads and cuts its log after {after}");
        ensure!(
            after >= node.committed,
            L2,
            at,
            "cuts its log after {after}, with {} committed",
            node.committed
        );
        Ok(())
    }

    fn cut_log(&mut self, at: usize, after: u32) -> Checked {
        let node = &mut self.nodes[at];
        ensure!(
            after >= node.committed && after >= node.disk.image.committed,
            L2,
            at,
            "cuts its log after {after}, with {} committed",
            node.committed.max(node.disk.image.committed)
        );
        let first = node.log.at(after + 1);
        let committed = self.truth.committed_at(after + 1);
        ensure!(
            first.is_none() || first != committed,
            L2,
            at,
            "cuts {}, which is committed",
            self.arena.id(first.unwrap_or(ROOT))
        );
        if let Some(first) = first {
            let index = self.arena.membership_index(node.log.last());
            self.marks.hit_if(index > after, Mark::TruncatedMembership);
            self.marks.hit_if(node.disk.image.log.holds(first, &self.arena), Mark::TruncatedDurable);
        }
        node.log.truncate(after);
        Ok(())
    }

    fn take_send(&mut self, at: usize, to: NodeId, message: Message) -> Checked {
        let node = &mut self.nodes[at];
        match &message {
            Message::VoteReply(m) if m.granted => {
                let vote = node.disk.image.hard_state.vote;
                let Some(vote) = vote.filter(|vote| vote.node == to) else {
                    return claims::check(node, to, &message, &self.truth, &self.arena);
                };
                claims::note_vote(node, vote, m.term.as_u64() as u32)?;
            }
            Message::VoteReply(m) => {
                let is_free = node.disk.image.hard_state.vote.is_none() && m.term == node.state.term;
                self.marks.hit_if(is_free, Mark::VoteRefusedFree);
            }
            Message::Vote(m) => {
                let me = node.me;
                claims::note_vote(node, me, m.term.as_u64() as u32)?;
            }
            Message::TimeoutNow(m) => {
                node.has_handed_over = true;
                let goes = !self.arena.membership(node.log.last()).voters().is_voter(node.me);
                self.marks.hit_if(goes, Mark::LeaderRemoved);
                self.successor = Some((to, m.term.next()));
            }
            Message::PreVoteReply(m) if !m.granted => {
                self.marks.hit_if(node.state.leader.is_some(), Mark::PreVoteRefusedLeader);
            }
            Message::AppendReply(m) => {
                if let super::raft_core::AppendOutcome::Conflict { prev, hint } = m.outcome {
                    let is_far = hint.index > LogIndex::ZERO && prev.index.since(hint.index) > 1;
                    self.marks.hit_if(is_far && hint.term < prev.term, Mark::ConflictSkipped);
                }
            }
            _ => {}
        }
        if self.checks {
            claims::check(&self.nodes[at], to, &message, &self.truth, &self.arena)?;
        }
        let tip = ROOT;
        self.send(at, to, Body::Raft { message, tip });
        Ok(())
    }

    fn take_commit(&mut self, at: usize, index: u32) -> Checked {
        let node = &self.nodes[at];
        ensure!(index > node.committed, L1, at, "commits {index} after {}", node.committed);
        if node.state.role == RoleKind::Leader {
            let is_ahead = node.log.at(index).is_some_and(|no| !node.disk.image.log.holds(no, &self.arena));
            self.marks.hit_if(is_ahead, Mark::CommitAhead);
            self.marks
                .hit_if(self.arena.membership(node.log.last()).voters().voters().len() == 1, Mark::LoneVoter);
            let news = self.truth.declare(&self.nodes, at, index, &self.arena)?;
            for index in news..=index {
                self.note_committed(index);
            }
        } else {
            ensure!(
                index <= self.truth.committed(),
                R8,
                at,
                "commits {index}, and no leader has committed beyond {}",
                self.truth.committed()
            );
            self.truth.agree(node, index, &self.arena)?;
        }
        self.commit_to(at, index)
    }

    fn take_role(&mut self, at: usize, state: SoftState) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[at];
        let before = std::mem::replace(&mut node.state, state);
        node.leads_since = now;
        self.recorder.note(now, at, || describe::role(state));
        ensure!(state.term >= before.term, R7, at, "goes from term {} to {}", before.term, state.term);
        let node = &self.nodes[at];
        let term = state.term.as_u64() as u32;
        let membership = self.arena.membership(node.log.last());
        match state.role {
            RoleKind::PreCandidate => {
                ensure!(!node.is_health_bad, V8, at, "campaigns in term {term} with a bad disk");
            }
            RoleKind::Candidate => {
                ensure!(!node.is_health_bad, V8, at, "stands in term {term} with a bad disk");
                ensure!(membership.is_voter(node.me), R10, at, "stands in term {term} and is no voter");
                ensure!(node.disk.image.lost.is_none(), L10, at, "stands in term {term} with a log in doubt");
            }
            RoleKind::Leader => {
                ensure!(membership.is_voter(node.me), R10, at, "leads term {term} and is no voter");
                let has = |voter| self.has_voted(voter, node.me, term);
                ensure!(
                    membership.is_quorum(has),
                    R10,
                    at,
                    "leads term {term} without the votes of a quorum of {membership:?}"
                );
                self.truth.elected(node, term, &self.arena)?;
                self.marks.hit_if(self.successor == Some((node.me.node, state.term)), Mark::TransferDone);
            }
            _ => {}
        }
        if before.role == RoleKind::Leader && state.role == RoleKind::Follower && before.term == state.term {
            self.marks.hit_if(node.is_health_bad, Mark::StalledLeaderLeft);
            self.marks.hit_if(!node.has_handed_over && !node.is_health_bad, Mark::CheckQuorum);
        }
        self.nodes[at].has_handed_over = false;
        Ok(())
    }

    /// Whether a voter has voted for this candidate, as far as its disk or others know.
    fn has_voted(
        &self,
        voter: super::raft_core::ReplicaId,
        candidate: super::raft_core::ReplicaId,
        term: u32,
    ) -> bool {
        let Some(node) = self.nodes.get(number_of(voter.node)) else { return false };
        if voter == candidate {
            let hard_state = node.disk.image.hard_state;
            return hard_state.term.as_u64() == u64::from(term) && hard_state.vote == Some(candidate);
        }
        node.disks.get(super::node::disk_of(voter)).and_then(|disk| disk.vote_in(term)) == Some(candidate)
    }

    fn take_install(&mut self, at: usize, snapshot: &Snapshot) -> Checked {
        let index = snapshot.last.index.as_u64() as u32;
        let canon = self.truth.committed_at(index);
        let Some(no) = canon.filter(|no| self.arena.id(*no) == snapshot.last) else {
            ensure!(false, R5, at, "is to install a snapshot of {}, which is not committed", snapshot.last);
            return Ok(());
        };
        ensure!(
            *self.arena.membership(no) == snapshot.membership,
            R9,
            at,
            "is to install a snapshot of {} with {:?}, where {:?} is in force",
            snapshot.last,
            snapshot.membership,
            self.arena.membership(no)
        );
        let node = &mut self.nodes[at];
        node.installing = Some((snapshot.last, no));
        let boot = node.boot;
        let mut dice = Dice::new(self.seed, Purpose::Snapshot, at as u64, self.now);
        let is_there = self.is_healed || !dice.chance(self.knobs.snapshot_failure);
        let due = self.now + dice.between(self.knobs.snapshot_latency / 4, self.knobs.snapshot_latency);
        self.later_at(due, Later::Installed { node: at, boot, last: snapshot.last, no, is_there });
        Ok(())
    }
}
