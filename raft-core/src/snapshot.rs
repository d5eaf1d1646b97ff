//! Snapshots: needed, offered, installed; and what of the log may go (Raft §7, thesis chapter 5).
//!
//! The core knows a snapshot as the entry it ends with and the membership in force there; its bytes are the hosts'
//! affair. A follower that lacks what no log has any more is offered one and leaves that state with any answer by which
//! it holds the start of its leader's log, however it came to it. The start of the log and the latest snapshot are
//! independent: a snapshot must reach the start of the log, and may lie anywhere beyond it.

use alloc::boxed::Box;

use crate::effect::{Effect, Law, LogChange};
use crate::id::{LogId, LogIndex, NodeId, ReplicaId, Time};
use crate::message::{AppendOutcome, Message, Snapshot, SnapshotOffer};
use crate::progress::{Progress, ProgressState};
use crate::raft::Raft;
use crate::role::Role;
use crate::runs::TermRuns;
use crate::stack::MembershipStack;

/// How many election timeouts a follower may be silent before the log it lacks may go.
const PATIENCE: u32 = 10;

/// Why a snapshot was not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// This replica does not lead, or the group is fenced.
    NotLeader,
    /// The peer is not fed by this leader, or needs no snapshot any more. Drop it.
    NotWanted,
    /// It ends before the start of the log: appends could not follow it.
    TooOld {
        /// It must include this index.
        at_least: LogIndex,
    },
    /// It ends with an entry that is not committed here.
    NotCommitted,
    /// Its membership is not the one in force at its last entry ([`Raft::membership_at`]).
    WrongMembership,
}

impl core::fmt::Display for OfferError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotLeader => f.write_str("this replica does not lead"),
            Self::NotWanted => f.write_str("the peer needs no snapshot"),
            Self::TooOld { at_least } => {
                write!(f, "the snapshot must include index {at_least}, where the log starts")
            }
            Self::NotCommitted => f.write_str("the snapshot ends with an entry that is not committed here"),
            Self::WrongMembership => {
                f.write_str("the snapshot's membership is not the one in force at its last entry")
            }
        }
    }
}

impl core::error::Error for OfferError {}

impl Raft {
    /// Offers `peer` a snapshot, in answer to [`Effect::NeedSnapshot`]. The offer is repeated with each heartbeat until
    /// the peer holds what it stands for, so the host must keep the bytes for that long.
    ///
    /// # Errors
    /// See [`OfferError`]; nothing was offered then.
    pub fn offer_snapshot(&mut self, peer: NodeId, snapshot: Snapshot) -> Result<(), OfferError> {
        if self.fault().is_some() {
            return Err(OfferError::NotLeader);
        }
        let (before, commit) = (self.log.before(), self.commit);
        let Role::Leader(leader) = &mut self.role else { return Err(OfferError::NotLeader) };
        let Some(progress) = leader.peers.get_mut(&peer) else { return Err(OfferError::NotWanted) };
        let ProgressState::Snapshot { offered } = &mut progress.state else {
            return Err(OfferError::NotWanted);
        };
        if snapshot.last.index < before.index {
            return Err(OfferError::TooOld { at_least: before.index });
        }
        if snapshot.last.index > commit || !self.log.contains(snapshot.last) {
            return Err(OfferError::NotCommitted);
        }
        if self.memberships.at(snapshot.last.index) != Some(&snapshot.membership) {
            return Err(OfferError::WrongMembership);
        }
        *offered = Some(Box::new(snapshot));
        self.speak_of_snapshot(peer);
        Ok(())
    }

    /// Repeats an offer, or asks the host for one.
    pub(crate) fn speak_of_snapshot(&mut self, peer: NodeId) {
        let (term, at_least) = (self.hard_state.term, self.log.before().index);
        let Role::Leader(leader) = &mut self.role else { return };
        let round = leader.round;
        let Some(Progress { state: ProgressState::Snapshot { offered }, .. }) = leader.peers.get_mut(&peer)
        else {
            return;
        };
        if offered.as_ref().is_some_and(|snapshot| snapshot.last.index < at_least) {
            *offered = None; // The log moved on beneath it.
        }
        match offered {
            Some(snapshot) => {
                let offer = SnapshotOffer { term, snapshot: (**snapshot).clone(), round };
                self.send(peer, Message::Snapshot(offer));
            }
            None => self.push(Effect::NeedSnapshot { peer, at_least }),
        }
    }

    pub(crate) fn on_snapshot(&mut self, now: Time, from: ReplicaId, m: SnapshotOffer) {
        let last = m.snapshot.last;
        if m.term < self.hard_state.term {
            return self.depose(from.node, last);
        }
        if last.term > m.term || !self.follow_sender(now, from, m.term, m.round) {
            return;
        }
        if self.installing.is_some() {
            // The host is busy putting one in place, and nothing may be committed meanwhile.
            return self.reply(AppendOutcome::Installing);
        }
        if last.index <= self.commit || self.log.contains(last) {
            // What a snapshot ends with is committed, so this leader's log agrees with ours up to there.
            if let Role::Follower(follower) = &mut self.role {
                follower.verified = follower.verified.max(last.index);
            }
            self.set_commit(last.index);
            self.reply_matched();
        } else {
            self.installing = Some(Box::new(m.snapshot.clone()));
            self.push(Effect::InstallSnapshot { from: from.node, snapshot: m.snapshot });
        }
    }

    /// Reports that the snapshot asked for is durable together with its state, which all replicas reach by applying
    /// the log up to `last`. The log starts anew after it. One that was not asked for, or that is older than what is
    /// committed by now, changes nothing. No [`Effect::Commit`] tells of what it includes.
    pub fn snapshot_installed(&mut self, last: LogId) {
        let Some(snapshot) = self.installing.take_if(|installing| installing.last == last) else { return };
        if self.fault().is_some() || last.index <= self.commit {
            return;
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.verified = follower.verified.max(last.index);
        }
        self.commit = last.index;
        if !self.log.contains(last) {
            self.log = TermRuns::empty(last);
            self.durability.restart();
            self.memberships = MembershipStack::new(snapshot.membership, last.index);
            self.push_log_change(LogChange::Restart { after: last });
            self.push(Effect::MembershipActive { index: last.index });
        }
    }

    /// Reports that the snapshot asked for did not arrive or was damaged. It is asked for again when it is offered.
    pub fn snapshot_failed(&mut self, last: LogId) {
        self.installing.take_if(|installing| installing.last == last);
    }

    /// Reports that the log starts after `to` from now on: entries up to it, inclusive, are gone from it, and a
    /// snapshot includes them. An index before the start of the log changes nothing; one that is not committed fences
    /// the group.
    pub fn compacted(&mut self, to: LogIndex) {
        if self.fault().is_some() {
            return;
        }
        if to > self.commit {
            return self.broken(Law::HostContract);
        }
        self.log.compact(to);
        self.memberships.compact(to);
    }

    /// How far the log may be compacted without making a peer that is being fed start over, inclusive: bounded by the
    /// commit index, by what each peer holds that was heard within ten election timeouts, and by a snapshot on
    /// its way. The host adds its own bounds: what it has applied, and what it keeps for readers.
    pub fn compaction_limit(&self, now: Time) -> LogIndex {
        let Role::Leader(leader) = &self.role else { return self.commit };
        let patience = self.options.election_timeout * PATIENCE;
        let needs = |p: &Progress| match &p.state {
            ProgressState::Snapshot { offered } => {
                offered.as_ref().map_or(self.log.before().index, |snapshot| snapshot.last.index)
            }
            _ => p.matched,
        };
        let fed =
            leader.peers.values().filter(|p| !p.is_departing() && self.is_present(leader, p, now, patience));
        fed.map(needs).fold(self.commit, LogIndex::min).max(self.log.before().index)
    }
}
