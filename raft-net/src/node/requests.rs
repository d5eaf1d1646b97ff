//! The requests that have no answer yet, each with one deadline and one end.
//!
//! Invariant: a ticket is answered exactly once, by whoever takes it out of here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, NodeId, ReadId, Time};

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
    /// Its entry is in the log of this node, which led when it took it.
    Proposal,
    Query(Query),
}

#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) request: RequestId,
    pub(crate) command: Bytes,
    /// Who has it now and has not refused it; `None` when it waits for a leader.
    pub(crate) with: Option<NodeId>,
    /// An earlier leader had it and never said what became of it.
    pub(crate) is_open: bool,
}

impl Submit {
    /// Whether it may be in some log: then only its application tells.
    fn may_happen(&self) -> bool {
        self.is_open || self.with.is_some()
    }
}

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) read: ReadId,
    pub(crate) query: Bytes,
    /// The core was asked and has not answered.
    pub(crate) is_asked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<Ticket, Pending>,
    deadlines: BTreeSet<(Time, Ticket)>,
    by_sequence: BTreeMap<u64, Ticket>,
    by_read: BTreeMap<ReadId, Ticket>,
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn add(&mut self, ticket: Ticket, pending: Pending) {
        self.deadlines.insert((pending.deadline, ticket));
        match &pending.kind {
            Kind::Submit(submit) => drop(self.by_sequence.insert(submit.request.sequence, ticket)),
            Kind::Query(query) => drop(self.by_read.insert(query.read, ticket)),
            Kind::Proposal => {}
        }
        self.pending.insert(ticket, pending);
    }

    /// Takes a request out, to be answered. `None` when it was answered before.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        self.deadlines.remove(&(pending.deadline, ticket));
        match &pending.kind {
            Kind::Submit(submit) => drop(self.by_sequence.remove(&submit.request.sequence)),
            Kind::Query(query) => drop(self.by_read.remove(&query.read)),
            Kind::Proposal => {}
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

    /// Those that wait for a leader: commands with nobody, queries not asked.
    pub(crate) fn waiting(&self) -> Vec<(Ticket, GroupId)> {
        let waits = |pending: &Pending| match &pending.kind {
            Kind::Submit(submit) => submit.with.is_none(),
            Kind::Query(query) => !query.is_asked,
            Kind::Proposal => false,
        };
        self.pending.iter().filter(|(_, p)| waits(p)).map(|(t, p)| (*t, p.group)).collect()
    }

    /// Takes their leader from the commands of a group that are with another node than `leader`, so that they are
    /// handed to the new one. The request id makes that safe.
    pub(crate) fn leader_changed(&mut self, group: GroupId, leader: Option<NodeId>) {
        for pending in self.pending.values_mut().filter(|p| p.group == group) {
            if let Kind::Submit(submit) = &mut pending.kind {
                if submit.with.is_some() && submit.with != leader {
                    submit.is_open = true;
                    submit.with = None;
                }
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
        self.pending.iter().filter(|(_, p)| p.group == group).map(|(t, _)| *t).collect()
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
            Kind::Submit(_) | Kind::Proposal => Outcome::Unknown(Doubt::TimedOut(self.patience)),
        }
    }

    /// How a request ends when this node will hear no more of it.
    pub(crate) fn abandoned(self, refusal: Refusal, doubt: Doubt) -> Outcome {
        match self.kind {
            Kind::Submit(submit) if submit.may_happen() => Outcome::Unknown(doubt),
            Kind::Proposal => Outcome::Unknown(doubt),
            Kind::Submit(_) | Kind::Query(_) => Outcome::Refused(refusal),
        }
    }
}
