//! The requests that have no answer yet, each with one deadline and one end.
//!
//! Invariant: a ticket is answered exactly once, by whoever takes it out of here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, LogIndex, NodeId, ReadId, Term, Time};

use crate::node::Ticket;
use crate::outcome::{Doubt, Outcome, Refusal};
use crate::request::RequestId;

#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) group: GroupId,
    pub(crate) deadline: Time,
    pub(crate) patience: Duration,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Submit(Submit),
    /// Its entry is in the log of this node, at this index; the node led when it took it.
    Proposal(LogIndex),
    Query(Query),
    /// A change of who takes part or who leads, begun by this node.
    Change,
}

#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) request: RequestId,
    pub(crate) command: Bytes,
    /// Who has it now and has not refused it; `None` when it waits for a leader.
    pub(crate) with: Option<HandOver>,
    /// An earlier leader had it and never said what became of it.
    pub(crate) is_open: bool,
}

/// A command given to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandOver {
    pub(crate) leader: NodeId,
    /// The term it led in. In a later one, even of the same node, the command may be gone from its log.
    pub(crate) term: Term,
    pub(crate) at: Time,
}

impl Submit {
    /// Takes it back, to be handed on: whether this leader appended it stays open.
    fn take_back(&mut self) {
        self.is_open |= self.with.take().is_some();
    }

    /// Whether it may be in some log: then only its application tells.
    fn may_happen(&self) -> bool {
        self.is_open || self.with.is_some()
    }
}

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) read: ReadId,
    pub(crate) query: Bytes,
    /// When the core was asked; `None` when it is to be asked.
    pub(crate) asked_at: Option<Time>,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<Ticket, Pending>,
    deadlines: BTreeSet<(Time, Ticket)>,
    by_group: BTreeMap<GroupId, BTreeSet<Ticket>>,
    /// The commands and queries: what may have to be handed on.
    unsettled: BTreeSet<Ticket>,
    by_sequence: BTreeMap<u64, Ticket>,
    by_read: BTreeMap<ReadId, Ticket>,
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn add(&mut self, ticket: Ticket, pending: Pending) {
        self.deadlines.insert((pending.deadline, ticket));
        self.by_group.entry(pending.group).or_default().insert(ticket);
        match &pending.kind {
            Kind::Submit(submit) => drop(self.by_sequence.insert(submit.request.sequence, ticket)),
            Kind::Query(query) => drop(self.by_read.insert(query.read, ticket)),
            Kind::Proposal(_) | Kind::Change => {}
        }
        if matches!(pending.kind, Kind::Submit(_) | Kind::Query(_)) {
            self.unsettled.insert(ticket);
        }
        self.pending.insert(ticket, pending);
    }

    /// Takes a request out, to be answered. `None` when it was answered before.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        self.deadlines.remove(&(pending.deadline, ticket));
        self.unsettled.remove(&ticket);
        if let Some(of_group) = self.by_group.get_mut(&pending.group) {
            of_group.remove(&ticket);
            if of_group.is_empty() {
                self.by_group.remove(&pending.group);
            }
        }
        match &pending.kind {
            Kind::Submit(submit) => drop(self.by_sequence.remove(&submit.request.sequence)),
            Kind::Query(query) => drop(self.by_read.remove(&query.read)),
            Kind::Proposal(_) | Kind::Change => {}
        }
        Some(pending)
    }

    pub(crate) fn ticket_of(&self, sequence: u64) -> Option<Ticket> {
        self.by_sequence.get(&sequence).copied()
    }

    pub(crate) fn ticket_of_read(&self, read: ReadId) -> Option<Ticket> {
        self.by_read.get(&read).copied()
    }

    /// The lowest number of a request without an answer; `next` when all have theirs.
    pub(crate) fn answered_below(&self, next: u64) -> u64 {
        self.by_sequence.keys().next().copied().unwrap_or(next)
    }

    pub(crate) fn submit_mut(&mut self, ticket: Ticket) -> Option<&mut Submit> {
        match &mut self.pending.get_mut(&ticket)?.kind {
            Kind::Submit(submit) => Some(submit),
            _ => None,
        }
    }

    pub(crate) fn query_mut(&mut self, ticket: Ticket) -> Option<&mut Query> {
        match &mut self.pending.get_mut(&ticket)?.kind {
            Kind::Query(query) => Some(query),
            _ => None,
        }
    }

    /// Whether the ticket stands for exactly this request, of this run of this node.
    pub(crate) fn submit_is(&self, ticket: Ticket, request: RequestId) -> bool {
        let kind = self.pending.get(&ticket).map(|p| &p.kind);
        matches!(kind, Some(Kind::Submit(s)) if s.request.origin == request.origin)
    }

    /// Whether any command or query has no answer yet.
    pub(crate) fn has_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// The commands and queries that nobody has: those never handed to a leader, and those handed over before
    /// `stale` without a word since, whose frames may be lost. Handing them on again is safe: a command has its
    /// request id, a query changes nothing.
    pub(crate) fn take_unheld(&mut self, stale: Time, me: NodeId) -> Vec<(Ticket, GroupId)> {
        let mut found = Vec::new();
        for ticket in &self.unsettled {
            let Some(pending) = self.pending.get_mut(ticket) else { continue };
            let is_waiting = match &mut pending.kind {
                Kind::Submit(submit) => {
                    if submit.with.is_some_and(|with| with.leader != me && with.at < stale) {
                        submit.take_back();
                    }
                    submit.with.is_none()
                }
                Kind::Query(query) => query.asked_at.is_none_or(|at| at < stale),
                Kind::Proposal(_) | Kind::Change => false,
            };
            if is_waiting {
                found.push((*ticket, pending.group));
            }
        }
        found
    }

    /// Takes back the commands of a group that are with another leader than this one of this term, so that they
    /// are handed to the new one.
    pub(crate) fn leader_changed(&mut self, group: GroupId, leader: Option<(NodeId, Term)>) {
        for ticket in self.by_group.get(&group).into_iter().flatten() {
            if let Some(Pending { kind: Kind::Submit(submit), .. }) = self.pending.get_mut(ticket)
                && submit.with.map(|with| (with.leader, with.term)) != leader
            {
                submit.take_back();
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    pub(crate) fn overdue(&self, now: Time) -> Vec<Ticket> {
        self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, ticket)| *ticket).collect()
    }

    pub(crate) fn of_group(&self, group: GroupId) -> Vec<Ticket> {
        self.by_group.get(&group).into_iter().flatten().copied().collect()
    }

    pub(crate) fn all(&self) -> Vec<Ticket> {
        self.pending.keys().copied().collect()
    }
}

impl Pending {
    /// How a request ends whose time ran out.
    pub(crate) fn overdue(self) -> Outcome {
        match self.kind {
            Kind::Submit(submit) if !submit.may_happen() => Outcome::Refused(Refusal::NoMajority),
            Kind::Query(_) => Outcome::Refused(Refusal::NoMajority),
            Kind::Submit(_) | Kind::Proposal(_) | Kind::Change => {
                Outcome::Unknown(Doubt::TimedOut(self.patience))
            }
        }
    }

    /// How a request ends when this node will hear no more of it.
    pub(crate) fn abandoned(self, refusal: Refusal, doubt: Doubt) -> Outcome {
        match self.kind {
            Kind::Submit(submit) if submit.may_happen() => Outcome::Unknown(doubt),
            Kind::Proposal(_) | Kind::Change => Outcome::Unknown(doubt),
            Kind::Submit(_) | Kind::Query(_) => Outcome::Refused(refusal),
        }
    }
}
