//! What callers ask of a node: commands, batches and reads, on their way to a leader and back.
//!
//! A command or a read is handed on until somebody has it, under one name; a batch is the leader's or nobody's. Invariant:
//! each ticket is answered once, whatever becomes of leaders, connections and this node.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, LogId, NodeId, ReadId, Time};
use raft_wal::{Entry, EntryKind};

use crate::frame::{Content, Taken};
use crate::machine::Prepared;
use crate::node::requests::{HandOver, Kind, Pending, Query, Submit};
use crate::node::{Node, NodeOptions, Ticket};
use crate::outcome::{Consistency, Doubt, Outcome, Refusal};
use crate::request::{self, Origin, RequestId};

impl Node {
    /// Replicates a command from any member; see [`crate::NodeHandle::submit`].
    pub fn submit(&mut self, now: Time, ticket: Ticket, group: GroupId, command: Bytes, patience: Duration) {
        if let Err(refusal) = self.admit(group, command.len()) {
            return self.host.answer(ticket, Outcome::Refused(refusal));
        }
        let sequence = self.last_sequence + 1;
        let origin = Origin { node: self.me.node, boot: self.options.boot };
        let answered_below = self.host.requests.answered_below(sequence);
        let limit = self.options.limits.pending_requests;
        if sequence - answered_below > limit as u64 {
            // Replicas remember every answer above the lowest unanswered number.
            return self.host.answer(ticket, Outcome::Refused(Refusal::Overloaded { limit }));
        }
        self.last_sequence = sequence;
        let request = RequestId { origin, sequence, answered_below };
        let kind = Kind::Submit(Submit { request, command, with: None, is_open: false });
        self.host.requests.add(ticket, Pending { group, deadline: now.after(patience), patience, kind });
        self.hand_to_leader(now, ticket, group);
    }

    /// Replicates a record batch if this node leads; see [`crate::NodeHandle::propose`].
    pub fn propose(&mut self, now: Time, ticket: Ticket, group: GroupId, batch: Bytes, patience: Duration) {
        if let Err(refusal) = self.admit(group, batch.len()) {
            return self.host.answer(ticket, Outcome::Refused(refusal));
        }
        let Some(open) = self.groups.get_mut(&group) else { return };
        let state = open.core.soft_state();
        if state.role != raft_core::RoleKind::Leader {
            let refusal = Refusal::NotLeader { leader: state.leader };
            return self.host.answer(ticket, Outcome::Refused(refusal));
        }
        let at = LogId::new(state.term, open.core.log().last_index().next());
        let index = match open.machine.prepare(at, batch) {
            Prepared::Answer(response) => return self.host.answer(ticket, Outcome::Done(response)),
            Prepared::SameAs(index) => index,
            Prepared::Append(payload) if payload.len() > self.options.limits.command_bytes => {
                let (size, limit) = (payload.len(), self.options.limits.command_bytes);
                return self.host.answer(ticket, Outcome::Refused(Refusal::TooLarge { size, limit }));
            }
            Prepared::Append(payload) => match open.core.propose(1) {
                Ok(proposed) => {
                    let entry = Entry { id: at, kind: EntryKind::Batch, payload };
                    open.drain(&mut self.host, vec![entry]);
                    self.touched.insert(group);
                    proposed.last
                }
                Err(error) => {
                    let refusal = refusal_of(group, error, &self.options);
                    return self.host.answer(ticket, Outcome::Refused(refusal));
                }
            },
        };
        let Some(term) = open.core.log().term_at(index).filter(|_| open.is_open(index)) else {
            // Nothing was appended, and the entry it repeats is not to be waited for.
            return self.host.answer(ticket, Outcome::Unknown(Doubt::LeaderChanged));
        };
        open.wait_for(index, term, ticket);
        let pending = Pending { group, deadline: now.after(patience), patience, kind: Kind::Proposal(index) };
        self.host.requests.add(ticket, pending);
    }

    /// Reads the state machine; see [`crate::NodeHandle::query`].
    pub fn query(
        &mut self,
        now: Time,
        ticket: Ticket,
        group: GroupId,
        query: Bytes,
        consistency: Consistency,
        patience: Duration,
    ) {
        if let Err(refusal) = self.admit(group, query.len()) {
            return self.host.answer(ticket, Outcome::Refused(refusal));
        }
        self.last_read = self.last_read.wrapping_add(1);
        let kind = Kind::Query(Query { read: ReadId(self.last_read), query, asked_at: None });
        self.host.requests.add(ticket, Pending { group, deadline: now.after(patience), patience, kind });
        match (consistency, self.groups.get_mut(&group)) {
            (Consistency::Local, Some(open)) => open.answer_query(&mut self.host, ticket),
            _ => self.hand_to_leader(now, ticket, group),
        }
    }

    /// Takes no more requests; those without an answer end. What is on its way to the disk goes on.
    pub fn stop(&mut self) {
        self.is_stopping = true;
        for ticket in self.host.requests.all() {
            if let Some(pending) = self.host.requests.take(ticket) {
                self.host.answer(ticket, pending.abandoned(Refusal::Stopping, Doubt::Stopped));
            }
        }
    }

    pub(super) fn admit(&self, group: GroupId, size: usize) -> Result<(), Refusal> {
        let limits = &self.options.limits;
        let open = self.groups.get(&group);
        if self.is_stopping {
            Err(Refusal::Stopping)
        } else if open.is_none() {
            Err(Refusal::NoSuchGroup(group))
        } else if open.is_some_and(|g| g.core.fault().is_some()) {
            Err(Refusal::Fenced(group))
        } else if size > limits.command_bytes {
            Err(Refusal::TooLarge { size, limit: limits.command_bytes })
        } else if self.host.requests.len() >= limits.pending_requests {
            Err(Refusal::Overloaded { limit: limits.pending_requests })
        } else if self.disk.unwritten_bytes() > limits.unwritten_bytes {
            Err(Refusal::Overloaded { limit: limits.unwritten_bytes })
        } else {
            Ok(())
        }
    }

    /// Hands on every request that nobody has, and looks again soon while any is without its answer.
    pub(super) fn hand_on(&mut self, now: Time) {
        let stale = Time::from_micros(
            now.as_micros().saturating_sub(self.options.limits.resend_after.as_micros() as u64),
        );
        for (ticket, group) in self.host.requests.take_unheld(stale, self.me.node) {
            self.hand_to_leader(now, ticket, group);
        }
        if self.host.requests.has_unsettled() {
            self.retry_later(now);
        }
    }

    fn hand_to_leader(&mut self, now: Time, ticket: Ticket, id: GroupId) {
        self.retry_later(now);
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Some(query) = self.host.requests.query_mut(ticket) {
            group.core.cancel_read(query.read);
            query.asked_at = group.core.read(now, query.read).is_ok().then_some(now);
            group.drain(&mut self.host, Vec::new());
            self.touched.insert(id);
            return;
        }
        let state = group.core.soft_state();
        let Some(leader) = state.leader else { return };
        let Some(submit) = self.host.requests.submit_mut(ticket) else { return };
        let (request, command) = (submit.request, submit.command.clone());
        let with = Some(HandOver { leader, term: state.term, at: now });
        if leader == self.me.node {
            if self.append_command(id, request, &command) != Taken::Appended {
                return;
            }
        } else if self.host.peers.contains_key(&leader) {
            self.host.send(id, leader, Content::Submit { request, command });
        } else {
            return;
        }
        if let Some(submit) = self.host.requests.submit_mut(ticket) {
            submit.with = with;
        }
    }

    pub(super) fn retry_later(&mut self, now: Time) {
        let at = now.after(self.options.limits.retry_interval);
        self.retry_at = Some(self.retry_at.map_or(at, |before| before.min(at)));
    }

    /// Appends a command to the log of a group this node leads.
    fn append_command(&mut self, id: GroupId, request: RequestId, command: &[u8]) -> Taken {
        let Some(group) = self.groups.get_mut(&id) else { return Taken::NotLeader };
        if self.disk.unwritten_bytes() > self.options.limits.unwritten_bytes {
            return Taken::Overloaded;
        }
        match group.core.propose(1) {
            Ok(proposed) => {
                let id_of = LogId::new(proposed.term, proposed.last);
                let payload = request::seal(request, command);
                group.drain(&mut self.host, vec![Entry { id: id_of, kind: EntryKind::Command, payload }]);
                self.touched.insert(id);
                Taken::Appended
            }
            Err(raft_core::ProposeError::Full) => Taken::Overloaded,
            Err(_) => Taken::NotLeader,
        }
    }

    pub(super) fn on_submit(&mut self, from: NodeId, id: GroupId, request: RequestId, command: &[u8]) {
        let taken = if request.origin.node != from || command.len() > self.options.limits.command_bytes {
            Taken::NotLeader
        } else {
            self.append_command(id, request, command)
        };
        self.host.send(id, from, Content::SubmitReply { request, taken });
    }

    pub(super) fn on_submit_reply(&mut self, now: Time, from: NodeId, request: RequestId, taken: Taken) {
        let Some(ticket) = self.host.requests.ticket_of(request.sequence) else { return };
        if !self.host.requests.submit_is(ticket, request) {
            return;
        }
        if let Some(submit) = self.host.requests.submit_mut(ticket)
            && taken != Taken::Appended
            && submit.with.is_some_and(|with| with.leader == from)
        {
            submit.with = None;
            self.retry_later(now);
        }
    }

    pub(super) fn give_up(&mut self, ticket: Ticket, pending: Pending) {
        if let Some(group) = self.groups.get_mut(&pending.group) {
            match &pending.kind {
                Kind::Query(query) => group.core.cancel_read(query.read),
                Kind::Proposal(index) => group.forget_waiter(*index, ticket),
                Kind::Change => group.changes.forget(ticket),
                Kind::Submit(_) => {}
            }
        }
        self.host.answer(ticket, pending.overdue());
    }
}

fn refusal_of(group: GroupId, error: raft_core::ProposeError, options: &NodeOptions) -> Refusal {
    match error {
        raft_core::ProposeError::NotLeader { leader } => Refusal::NotLeader { leader },
        raft_core::ProposeError::Full => {
            Refusal::Overloaded { limit: options.raft.max_uncommitted_entries as usize }
        }
        raft_core::ProposeError::Transferring { to } => Refusal::Transferring { to },
        _ => Refusal::Fenced(group),
    }
}
