//! One group on this node: its core, its state machine, and what waits for its entries.
//!
//! It turns the core's effects into writes, frames and calls of the state machine. It reaches beyond itself only
//! through [`Host`]. Invariant: the state machine is applied in log order, each entry once, and never past the
//! commit index.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft_core::{
    Effect, GroupId, Law, LogChange, LogId, LogIndex, NodeId, Persist, Raft, ReadId, RoleKind, SoftState,
    Term, Time,
};
use raft_wal::{Batch, Entry, EntryKind, Wal};

use crate::frame::{Content, Frame, entries_cost};
use crate::handle::GroupStatus;
use crate::machine::{Body, StateMachine};
use crate::node::change::Changes;
use crate::node::dedup::Dedup;
use crate::node::disk::Owed;
use crate::node::requests::Requests;
use crate::node::{Output, Peer, Ticket};
use crate::outcome::{Doubt, Outcome, Refusal};
use crate::request;

/// The most groups, hosted here or not, whose leader a node remembers.
const MAX_LEADERS: usize = 1 << 20;

/// What a group reaches of its node.
pub(crate) struct Host {
    pub(crate) id: NodeId,
    /// What is to be written in the next round.
    pub(crate) batch: Batch,
    pub(crate) owed: Vec<Owed>,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) requests: Requests,
    /// Who leads which group, by the highest term heard.
    pub(crate) leaders: BTreeMap<GroupId, (Term, NodeId)>,
    pub(crate) changed_leaders: Vec<GroupId>,
}

impl Host {
    /// Sends a frame if there is a connection; Raft and requests are retried by those who need them.
    pub(crate) fn send(&mut self, group: GroupId, to: NodeId, content: Content) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let frame = Frame { group, from: self.id, to, content };
        peer.took(&frame);
        self.outputs.push_back(Output::Send(frame));
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        self.outputs.push_back(Output::Answer { ticket, outcome });
    }

    /// Ends a request that still waits.
    pub(crate) fn end(&mut self, ticket: Ticket, outcome: Outcome) {
        if self.requests.take(ticket).is_some() {
            self.answer(ticket, outcome);
        }
    }

    /// Tells everybody that this node leads the group, as soon as there is room.
    pub(crate) fn announce(&mut self, group: GroupId) {
        for peer in self.peers.values_mut() {
            peer.announcements.insert(group);
        }
    }

    /// Keeps the leader of the highest term. Beyond [`MAX_LEADERS`] groups, those not known yet are left out.
    pub(crate) fn heard_leader(&mut self, group: GroupId, term: Term, leader: NodeId) {
        if self.leaders.len() >= MAX_LEADERS && !self.leaders.contains_key(&group) {
            return;
        }
        if self.leaders.get(&group).is_none_or(|(known, _)| *known < term) {
            self.leaders.insert(group, (term, leader));
            self.changed_leaders.push(group);
        }
    }
}

pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// Which opening of a group on this node this is.
    pub(crate) instance: u64,
    pub(crate) core: Raft,
    pub(crate) machine: Box<dyn StateMachine>,
    dedup: Dedup,
    applied: LogIndex,
    /// Proposals of this node by the entry they became.
    waiters: BTreeMap<LogIndex, Vec<(Term, Ticket)>>,
    /// Confirmed reads that wait for their index to be applied.
    reads: Vec<(LogIndex, Ticket)>,
    pub(crate) changes: Changes,
    /// When the node's timer has this group.
    pub(crate) timer: Option<Time>,
    /// Something a status shows has changed.
    pub(crate) is_changed: bool,
    /// Another membership is in force.
    pub(crate) is_reconfigured: bool,
    /// The leader changed: requests that wait for one may be handed on.
    pub(crate) has_new_leader: bool,
    /// A read was not confirmed and is to be asked again.
    pub(crate) wants_retry: bool,
}

impl Group {
    pub(crate) fn new(id: GroupId, instance: u64, core: Raft, machine: Box<dyn StateMachine>) -> Self {
        Self {
            id,
            instance,
            core,
            machine,
            dedup: Dedup::default(),
            applied: LogIndex::ZERO,
            waiters: BTreeMap::new(),
            reads: Vec::new(),
            changes: Changes::default(),
            timer: None,
            is_changed: true,
            is_reconfigured: true,
            has_new_leader: false,
            wants_retry: false,
        }
    }

    pub(crate) fn status(&self) -> GroupStatus {
        let SoftState { role, term, leader } = self.core.soft_state();
        GroupStatus {
            role,
            term,
            leader,
            serving: self.core.is_serving(),
            commit: self.core.commit(),
            applied: self.applied,
            last: self.core.log().last_index(),
        }
    }

    pub(crate) fn has_work(&self) -> bool {
        self.applied < self.core.commit() && self.core.fault().is_none()
    }

    /// Whether the entry at `index` is still to be applied.
    pub(crate) fn is_open(&self, index: LogIndex) -> bool {
        index > self.applied
    }

    /// Answers `ticket` with the response of the entry at `index`, if it is the one of `term` that gets there.
    pub(crate) fn wait_for(&mut self, index: LogIndex, term: Term, ticket: Ticket) {
        self.waiters.entry(index).or_default().push((term, ticket));
    }

    /// Carries out what the core decided. `payloads` are the entries of the message or proposal just handed to it.
    pub(crate) fn drain(&mut self, host: &mut Host, mut payloads: Vec<Entry>) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Persist(persist) => self.persist(host, persist, &mut payloads),
                Effect::Send { to, message } => {
                    host.send(self.id, to, Content::Raft { message, entries: Vec::new() });
                }
                Effect::Commit { .. } => self.is_changed = true,
                Effect::ReadReady { read, index } => self.read_ready(host, read, index),
                Effect::ReadFailed { read, .. } => {
                    let ticket = host.requests.ticket_of_read(read);
                    if let Some(query) = ticket.and_then(|t| host.requests.query_mut(t)) {
                        query.asked_at = None;
                        self.wants_retry = true;
                    }
                }
                Effect::RoleChanged(state) => self.role_changed(host, state),
                Effect::Truncated { after } => self.proposals_lost(host, after),
                Effect::MembershipActive { .. } => self.is_reconfigured = true,
                Effect::MembershipCommitted { index } => self.membership_committed(host, index),
                Effect::TransferAborted { to } => {
                    self.transfer_ended(host, Outcome::Refused(Refusal::NotHandedOver { to }));
                }
                // Nobody sleeps in this leader's care: the core is told nothing of the liveness of nodes here, and
                // without that no group sleeps.
                Effect::Withdraw { .. } => {}
                // Logs are not compacted here, so nobody lacks what is gone; offers of snapshots are not let in.
                Effect::NeedSnapshot { peer, .. } => {
                    tracing::error!(group = %self.id, %peer, "a snapshot is needed, but there are none");
                }
                Effect::InstallSnapshot { from, snapshot } => {
                    tracing::error!(group = %self.id, %from, last = %snapshot.last, "cannot install a snapshot");
                    self.core.snapshot_failed(snapshot.last);
                }
                Effect::Fault { law } => {
                    tracing::error!(group = %self.id, %law, "a law of Raft is broken; the group is fenced");
                    self.is_changed = true;
                    self.end_all(host);
                }
            }
        }
    }

    fn persist(&mut self, host: &mut Host, persist: Persist, payloads: &mut Vec<Entry>) {
        if let Some(hard_state) = persist.hard_state {
            host.batch.hard_state(self.id, hard_state);
        }
        match persist.log {
            LogChange::Unchanged => {}
            LogChange::Append { cut, entries: range, content } => {
                if let Some(after) = cut {
                    host.batch.truncate(self.id, after);
                }
                match content {
                    raft_core::Content::Noop => {
                        let entry =
                            Entry { id: range.last_id(), kind: EntryKind::Noop, payload: Bytes::new() };
                        self.append(host, entry);
                    }
                    raft_core::Content::Membership(membership) => {
                        self.append(host, Entry::of_membership(range.last_id(), &membership));
                    }
                    raft_core::Content::Payloads => {
                        // The one place where bytes and their range meet: each entry must be the one that the core
                        // speaks of.
                        payloads.retain(|entry| entry.id.index > range.before().index);
                        let taken = payloads.iter().take_while(|entry| range.contains(entry.id)).count();
                        if taken as u64 != range.len() {
                            tracing::error!(group = %self.id, "payloads do not fit their range");
                            return self.core.fence(Law::HostContract);
                        }
                        for entry in payloads.drain(..taken) {
                            self.append(host, entry);
                        }
                    }
                }
            }
            LogChange::Restart { after } => {
                tracing::error!(group = %self.id, %after, "a log is to start after a snapshot, but there is none");
                return self.core.fence(Law::HostContract);
            }
        }
        host.owed.push(Owed::Token(self.id, self.instance, persist.token));
        self.is_changed = true;
    }

    fn append(&mut self, host: &mut Host, entry: Entry) {
        if let Some((body, _)) = body_of(&entry) {
            self.machine.appended(entry.id, &body);
        }
        host.batch.append(self.id, entry);
    }

    fn role_changed(&mut self, host: &mut Host, state: SoftState) {
        self.is_changed = true;
        self.machine.role_changed(state);
        tracing::info!(
            group = %self.id, role = %state.role, term = %state.term,
            leader = state.leader.map(tracing::field::display), "role changed"
        );
        host.requests.leader_changed(self.id, state.leader.map(|leader| (leader, state.term)));
        if let Some(leader) = state.leader {
            self.has_new_leader = true;
            host.heard_leader(self.id, state.term, leader);
        }
        if state.role != RoleKind::Leader {
            end_in_doubt(host, std::mem::take(&mut self.waiters));
            self.transfer_ended(host, Outcome::Done(Bytes::new()));
        } else {
            host.announce(self.id);
        }
    }

    fn proposals_lost(&mut self, host: &mut Host, after: LogIndex) {
        self.machine.truncated(after);
        let lost = self.waiters.split_off(&after.next());
        end_in_doubt(host, lost);
        self.changes_lost(host, after);
    }

    /// The group does nothing more on this node: what waits for it ends.
    pub(crate) fn end_all(&mut self, host: &mut Host) {
        for ticket in host.requests.of_group(self.id) {
            if let Some(pending) = host.requests.take(ticket) {
                let outcome = pending.abandoned(Refusal::Fenced(self.id), Doubt::LeaderChanged);
                host.answer(ticket, outcome);
            }
        }
        self.waiters.clear();
        self.reads.clear();
        self.changes = Changes::default();
    }

    fn read_ready(&mut self, host: &mut Host, read: ReadId, index: LogIndex) {
        if let Some(ticket) = host.requests.ticket_of_read(read) {
            if index <= self.applied {
                self.answer_query(host, ticket);
            } else {
                self.reads.push((index, ticket));
            }
        }
    }

    /// A proposal's caller has gone.
    pub(crate) fn forget_waiter(&mut self, index: LogIndex, ticket: Ticket) {
        if let Some(waiters) = self.waiters.get_mut(&index) {
            waiters.retain(|(_, waiting)| *waiting != ticket);
            if waiters.is_empty() {
                self.waiters.remove(&index);
            }
        }
    }

    pub(crate) fn answer_query(&mut self, host: &mut Host, ticket: Ticket) {
        let answer = host.requests.query_mut(ticket).map(|query| self.machine.query(&query.query));
        if let Some(answer) = answer {
            host.end(ticket, Outcome::Done(answer));
        }
    }

    /// Applies committed entries, up to about `max_bytes` of them. Returns their bytes. A log that cannot be read
    /// fences the group.
    pub(crate) fn apply(&mut self, host: &mut Host, wal: &Wal, max_bytes: u64) -> u64 {
        let commit = self.core.commit();
        if self.applied >= commit || self.core.fault().is_some() {
            return 0;
        }
        let Some(range) = self.core.log().slice(self.applied, commit) else { return 0 };
        let entries = match wal.read(self.id, &range, max_bytes) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(group = %self.id, %error, "cannot read the log to apply it");
                self.core.fence(Law::LogIsReadable);
                self.drain(host, Vec::new());
                return 0;
            }
        };
        let bytes = entries.iter().map(|entry| entry.payload.len() as u64).sum();
        for entry in &entries {
            self.apply_one(host, entry);
        }
        self.is_changed = true;
        let ready: Vec<Ticket> = {
            let applied = self.applied;
            let (ready, wait) =
                std::mem::take(&mut self.reads).into_iter().partition(|(at, _)| *at <= applied);
            self.reads = wait;
            let ready: Vec<(LogIndex, Ticket)> = ready;
            ready.into_iter().map(|(_, ticket)| ticket).collect()
        };
        for ticket in ready {
            self.answer_query(host, ticket);
        }
        bytes
    }

    fn apply_one(&mut self, host: &mut Host, entry: &Entry) {
        let LogId { term, index } = entry.id;
        debug_assert_eq!(index, self.applied.next());
        self.applied = index;
        let response = match body_of(entry) {
            Some((body, None)) => self.machine.apply(entry.id, &body),
            Some((body, Some(request))) => {
                let response = self.dedup.answer(request).unwrap_or_else(|| {
                    let response = self.machine.apply(entry.id, &body);
                    self.dedup.remember(index, request, response.clone());
                    response
                });
                if request.origin.node == host.id {
                    let ticket = host.requests.ticket_of(request.sequence);
                    let is_mine = |t: &Ticket| host.requests.submit_is(*t, request);
                    if let Some(ticket) = ticket.filter(is_mine) {
                        host.end(ticket, Outcome::Done(response.clone()));
                    }
                }
                response
            }
            None => Bytes::new(),
        };
        let leader = self.core.soft_state().leader;
        for (wanted, ticket) in self.waiters.remove(&index).into_iter().flatten() {
            let outcome = if wanted == term {
                Outcome::Done(response.clone())
            } else {
                Outcome::Refused(Refusal::NotLeader { leader })
            };
            host.end(ticket, outcome);
        }
    }

    /// Sends every peer what there is to say to it and room to send. Returns the bytes of entries sent.
    pub(crate) fn replicate(&mut self, host: &mut Host, wal: &Wal) -> u64 {
        if self.core.soft_state().role != RoleKind::Leader {
            return 0;
        }
        let mut sent = 0;
        let peers: Vec<NodeId> = self.core.peers().collect();
        for to in peers {
            while let Some((frames, room)) = host.peers.get(&to).map(Peer::room) {
                let mut is_blocked = frames == 0;
                let mut entries = Vec::new();
                let request = (frames > 0).then(|| {
                    self.core.poll_append(to, |range, max_bytes| {
                        let found = match wal.read(self.id, range, max_bytes.min(room as u64)) {
                            Ok(found) => found,
                            Err(error) => {
                                tracing::error!(group = %self.id, %error, "cannot read the log to replicate it");
                                return None;
                            }
                        };
                        if entries_cost(&found) > room {
                            is_blocked = true;
                            return None;
                        }
                        let last = found.last()?.id.index;
                        let bytes = found.iter().map(|entry| entry.payload.len() as u64).sum();
                        entries = found;
                        Some((last, bytes))
                    })
                });
                if is_blocked && let Some(peer) = host.peers.get_mut(&to) {
                    peer.blocked.insert(self.id);
                }
                let Some(request) = request.flatten() else { break };
                sent += entries.iter().map(|entry| entry.payload.len() as u64).sum::<u64>();
                let message = raft_core::Message::Append(request);
                host.send(self.id, to, Content::Raft { message, entries });
            }
        }
        sent
    }

    /// Shows the state machine a log that was there before.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn replay(&mut self, wal: &Wal) -> Result<(), raft_wal::ReadError> {
        const PIECE_BYTES: u64 = 4 << 20;
        let mut shown = self.core.log().before().index;
        let last = self.core.log().last_index();
        while shown < last {
            let Some(range) = self.core.log().slice(shown, last) else { break };
            for entry in wal.read(self.id, &range, PIECE_BYTES)? {
                if let Some((body, _)) = body_of(&entry) {
                    self.machine.appended(entry.id, &body);
                }
                shown = entry.id.index;
            }
        }
        Ok(())
    }
}

/// Ends proposals whose leader is deposed. They may yet be committed: even an entry that was overwritten here may
/// stand in another log whose owner leads next.
fn end_in_doubt(host: &mut Host, waiters: BTreeMap<LogIndex, Vec<(Term, Ticket)>>) {
    for (_, ticket) in waiters.into_values().flatten() {
        host.end(ticket, Outcome::Unknown(Doubt::LeaderChanged));
    }
}

/// What an entry means to a state machine, and the request it came with. `None` for a command without a whole
/// envelope, which no node of ours writes: it is applied as nothing, by every replica alike.
fn body_of(entry: &Entry) -> Option<(Body, Option<request::RequestId>)> {
    match entry.kind {
        EntryKind::Noop | EntryKind::Membership => Some((Body::Noop, None)),
        EntryKind::Batch => Some((Body::Batch(entry.payload.clone()), None)),
        EntryKind::Command => {
            let (request, command) = request::open(&entry.payload)?;
            Some((Body::Command(command), Some(request)))
        }
    }
}
