//! A replica with its payloads, in memory: the core for whoever wants to begin without a disk and a network.
//!
//! [`Replica`] pairs a [`Raft`] with a log of commands in memory and keeps the host's obligations for it: bytes and ranges
//! stay together, entries are applied in order and once. What is left to the caller is to carry [`Envelope`]s and to pass
//! the time; it is told nothing of nodes, so its group never sleeps. It is volatile: what it holds counts as durable, so a
//! replica whose process ended must come back under another [`crate::DiskId`], as a learner. Invariant: the log in memory
//! has exactly the entries that the core speaks of.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::effect::{Content, Effect, Law, LogChange, Persist, ReadFailure, ReadId, SoftState};
use crate::id::{LogId, LogIndex, NodeId, ReplicaId, Time};
use crate::membership::{Membership, MembershipChange};
use crate::message::{Message, Snapshot};
use crate::options::Options;
use crate::raft::{ProposeError, Proposed, Raft, ReadError, Restored};
use crate::reconfigure::ChangeError;
use crate::snapshot::OfferError;
use crate::transfer::TransferError;

/// What an entry of a [`Replica`]'s log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<C> {
    /// The entry with which a leader opens its term.
    Noop,
    /// A command of the application.
    Command(C),
    /// Who takes part from here on.
    Membership(Membership),
}

/// One entry of a [`Replica`]'s log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<C> {
    /// Its term and index.
    pub id: LogId,
    /// What it holds.
    pub payload: Payload<C>,
}

/// A message together with the entries that it speaks of, on its way to another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<C> {
    /// Who sent it. A network must see to it that this is true.
    pub from: ReplicaId,
    /// The node it goes to.
    pub to: NodeId,
    /// What the core says.
    pub message: Message,
    /// The entries of an append, in order; none with any other message.
    pub entries: Vec<Entry<C>>,
}

/// What a [`Replica`] asks of its caller, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<C> {
    /// Carry this to the node it names. Losing it is allowed.
    Send(Envelope<C>),
    /// Apply this command to the state machine. Each comes once, in the order of the log.
    Apply {
        /// The term and index of its entry.
        id: LogId,
        /// The command.
        command: C,
    },
    /// The read may be answered now: all that it must see is applied.
    ReadReady(ReadId),
    /// The read was not confirmed and may be asked again.
    ReadFailed(ReadId, ReadFailure),
    /// The role, the term or the known leader changed.
    RoleChanged(SoftState),
    /// The membership of the entry at this index is committed.
    MembershipCommitted(LogIndex),
    /// Answer with [`Replica::offer_snapshot`].
    NeedSnapshot {
        /// Who lacks entries.
        peer: NodeId,
        /// The snapshot must include this index.
        at_least: LogIndex,
    },
    /// Put the state of this snapshot, which `from` has, in place of the state there is; then call
    /// [`Replica::snapshot_installed`].
    InstallSnapshot {
        /// Who has it.
        from: NodeId,
        /// What it stands for.
        snapshot: Snapshot,
    },
    /// Leadership was not handed over to this node.
    TransferAborted(NodeId),
    /// A law was broken; the replica does nothing more.
    Fault(Law),
}

/// One replica of one group with its log in memory. `C` is the application's command; cloning it should be cheap.
#[derive(Clone, Debug)]
pub struct Replica<C> {
    raft: Raft,
    /// All entries after the start of the log, in order.
    entries: VecDeque<Entry<C>>,
    applied: LogIndex,
    /// Confirmed reads that wait for their index to be applied.
    reads: Vec<(LogIndex, ReadId)>,
    events: VecDeque<Event<C>>,
}

impl<C: Clone> Replica<C> {
    /// A replica without history: one of `membership`, or one that waits to be added ([`Membership::none`]).
    pub fn new(
        me: ReplicaId,
        membership: impl Into<Membership>,
        options: impl Into<Arc<Options>>,
        seed: u64,
        now: Time,
    ) -> Self {
        let raft = Raft::new(me, membership, options, Restored::default(), seed, now);
        let (entries, events) = (VecDeque::new(), VecDeque::new());
        Self { raft, entries, applied: LogIndex::ZERO, reads: Vec::new(), events }
    }

    /// The core, to look at.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The last entry applied, inclusive.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Takes a message. One whose entries are not those it speaks of is dropped.
    pub fn receive(&mut self, now: Time, envelope: Envelope<C>) {
        let Envelope { from, mut message, entries, .. } = envelope;
        if let Message::Append(append) = &mut message {
            let is_told_of = |entry: &Entry<C>| append.entries.contains(entry.id);
            if append.entries.len() != entries.len() as u64 || !entries.iter().all(is_told_of) {
                return;
            }
            append.memberships = memberships_of(&entries);
        }
        self.raft.receive(now, from, message);
        self.absorb(now, entries);
    }

    /// Tells the time. Call it when [`Raft::next_deadline`] has come; earlier or later is harmless.
    pub fn tick(&mut self, now: Time) {
        self.raft.tick(now);
        self.absorb(now, Vec::new());
    }

    /// Appends a command, if this replica leads. See [`Raft::propose`] for when it is committed.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was appended then.
    pub fn propose(&mut self, now: Time, command: C) -> Result<Proposed, ProposeError> {
        let proposed = self.raft.propose(1)?;
        let id = LogId::new(proposed.term, proposed.last);
        self.absorb(now, alloc::vec![Entry { id, payload: Payload::Command(command) }]);
        Ok(proposed)
    }

    /// Begins a change of the membership. See [`Raft::propose_membership`].
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn propose_membership(
        &mut self,
        now: Time,
        change: MembershipChange,
    ) -> Result<Proposed, ChangeError> {
        let proposed = self.raft.propose_membership(now, change)?;
        self.absorb(now, Vec::new());
        Ok(proposed)
    }

    /// Asks when a linearizable read may be answered here. See [`Raft::read`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self, now: Time, read: ReadId) -> Result<(), ReadError> {
        self.raft.read(now, read)?;
        self.absorb(now, Vec::new());
        Ok(())
    }

    /// Hands leadership over. See [`Raft::transfer_leadership`].
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn transfer_leadership(&mut self, now: Time, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        self.with(now, |raft| raft.transfer_leadership(now, to))
    }

    /// Reports that a node cannot be reached. See [`Raft::peer_unreachable`].
    pub fn peer_unreachable(&mut self, now: Time, node: NodeId) {
        self.with(now, |raft| raft.peer_unreachable(now, node));
    }

    /// Feeds a replica that never votes. See [`Raft::admit_learner`].
    pub fn admit_learner(&mut self, now: Time, learner: ReplicaId) {
        self.with(now, |raft| raft.admit_learner(now, learner));
    }

    /// Feeds that learner no longer. See [`Raft::dismiss_learner`].
    pub fn dismiss_learner(&mut self, now: Time, node: NodeId) {
        self.with(now, |raft| raft.dismiss_learner(node));
    }

    /// Offers a snapshot to a peer that needs one. See [`Raft::offer_snapshot`].
    ///
    /// # Errors
    /// See [`OfferError`].
    pub fn offer_snapshot(&mut self, now: Time, peer: NodeId, snapshot: Snapshot) -> Result<(), OfferError> {
        self.with(now, |raft| raft.offer_snapshot(peer, snapshot))
    }

    /// What the core is given besides. It appends no payloads and compacts nothing, so bytes and ranges stay together.
    fn with<T>(&mut self, now: Time, input: impl FnOnce(&mut Raft) -> T) -> T {
        let answer = input(&mut self.raft);
        self.absorb(now, Vec::new());
        answer
    }

    /// The snapshot of the state as it is now: all that was applied, and nothing else.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let log = self.raft.log();
        let last = LogId::new(log.term_at(self.applied)?, self.applied);
        Some(Snapshot { last, membership: self.raft.membership_at(self.applied)?.clone() })
    }

    /// Drops the log up to `to`, inclusive. The application has a snapshot that includes all of it. What is not applied
    /// stays.
    pub fn compact(&mut self, to: LogIndex) {
        self.raft.compacted(to.min(self.applied));
        let before = self.raft.log().before().index;
        while self.entries.front().is_some_and(|entry| entry.id.index <= before) {
            self.entries.pop_front();
        }
    }

    /// The state of the snapshot asked for is in place. Any other changes nothing.
    pub fn snapshot_installed(&mut self, now: Time, last: LogId) {
        let before = self.raft.commit();
        self.with(now, |raft| raft.snapshot_installed(last));
        if self.raft.commit() > before {
            self.applied = last.index;
        }
    }

    /// The snapshot asked for did not arrive. It is asked for again.
    pub fn snapshot_failed(&mut self, now: Time, last: LogId) {
        self.with(now, |raft| raft.snapshot_failed(last));
    }

    /// The next thing to do; `None` until the next input. Drain it after each.
    pub fn poll(&mut self) -> Option<Event<C>> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while self.applied < self.raft.commit() {
            let before = self.raft.log().before().index;
            let at = self.applied.since(before) as usize;
            let Entry { id, payload } = self.entries.get(at)?.clone();
            self.applied = id.index;
            if let Payload::Command(command) = payload {
                return Some(Event::Apply { id, command });
            }
        }
        if let Some(at) = self.reads.iter().position(|(index, _)| *index <= self.applied) {
            return Some(Event::ReadReady(self.reads.swap_remove(at).1));
        }
        let peers: Vec<NodeId> = self.raft.peers().collect();
        peers.into_iter().find_map(|to| self.poll_append(to)).map(Event::Send)
    }

    fn poll_append(&mut self, to: NodeId) -> Option<Envelope<C>> {
        let append = self.raft.poll_append(to, |range, _| Some((range.last_index(), range.len())))?;
        let after = append.entries.before().index.since(self.raft.log().before().index) as usize;
        let entries = self.entries.iter().skip(after).take(append.entries.len() as usize).cloned().collect();
        Some(Envelope { from: self.raft.me(), to, message: Message::Append(append), entries })
    }

    /// Takes what the core decided. `given` are the entries of the message or proposal just handed to it.
    fn absorb(&mut self, now: Time, given: Vec<Entry<C>>) {
        let mut given = given.into_iter();
        while let Some(effect) = self.raft.poll_effect() {
            let event = match effect {
                Effect::Persist(Persist { token, log, .. }) => {
                    self.store(log, &mut given);
                    self.raft.persisted(now, token);
                    continue;
                }
                Effect::Send { to, message } => {
                    Event::Send(Envelope { from: self.raft.me(), to, message, entries: Vec::new() })
                }
                Effect::ReadReady { read, index } => {
                    self.reads.push((index, read));
                    continue;
                }
                Effect::ReadFailed { read, reason } => Event::ReadFailed(read, reason),
                Effect::RoleChanged(state) => Event::RoleChanged(state),
                Effect::MembershipCommitted { index } => Event::MembershipCommitted(index),
                Effect::NeedSnapshot { peer, at_least } => Event::NeedSnapshot { peer, at_least },
                Effect::InstallSnapshot { from, snapshot } => Event::InstallSnapshot { from, snapshot },
                Effect::TransferAborted { to } => Event::TransferAborted(to),
                Effect::Fault { law } => Event::Fault(law),
                Effect::Commit { .. }
                | Effect::Truncated { .. }
                | Effect::MembershipActive { .. }
                | Effect::Withdraw { .. } => continue,
            };
            self.events.push_back(event);
        }
    }

    fn store(&mut self, log: LogChange, given: &mut impl Iterator<Item = Entry<C>>) {
        match log {
            LogChange::Unchanged => {}
            LogChange::Append { cut, entries, content } => {
                if let Some(after) = cut {
                    while self.entries.back().is_some_and(|entry| entry.id.index > after) {
                        self.entries.pop_back();
                    }
                }
                let id = entries.last_id();
                match content {
                    Content::Noop => self.entries.push_back(Entry { id, payload: Payload::Noop }),
                    Content::Membership(membership) => {
                        self.entries.push_back(Entry { id, payload: Payload::Membership(membership) });
                    }
                    Content::Payloads => {
                        let is_new = |entry: &Entry<C>| entry.id.index > entries.before().index;
                        self.entries.extend(given.filter(is_new).take(entries.len() as usize));
                    }
                }
            }
            LogChange::Restart { .. } => self.entries.clear(),
        }
        debug_assert_eq!(self.entries.len() as u64, self.raft.log().len());
    }
}

fn memberships_of<C>(entries: &[Entry<C>]) -> Vec<(LogIndex, Membership)> {
    let of = |entry: &Entry<C>| match &entry.payload {
        Payload::Membership(membership) => Some((entry.id.index, membership.clone())),
        _ => None,
    };
    entries.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Configuration, DiskId, Term};

    #[test]
    fn an_installation_that_nobody_asked_for_skips_no_command() {
        let me = ReplicaId::new(NodeId::new(1), DiskId::new(1));
        let voters = Configuration::new([me]).unwrap();
        let mut replica: Replica<u32> = Replica::new(me, voters, Options::default(), 1, Time::ZERO);
        replica.tick(Time::ZERO);
        while replica.poll().is_some() {}
        for command in 0..5 {
            replica.propose(Time::ZERO, command).unwrap();
        }
        replica.snapshot_installed(Time::ZERO, LogId::new(Term::new(1), LogIndex::new(4)));
        let applied = |event| match event {
            Event::Apply { command, .. } => Some(command),
            _ => None,
        };
        let all: Vec<u32> = core::iter::from_fn(|| replica.poll()).filter_map(applied).collect();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}
