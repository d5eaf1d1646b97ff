//! Who takes part and who leads: changes that a caller asked for, and what waits for their ends.
//!
//! A change of membership waits for the index of the entry that began it and outlives the role in which it was begun,
//! for a leader that is to go hands over in its course. Invariant: each change and each transfer ends once: by what the
//! core says, by its deadline, or with its group.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{ChangeError, GroupId, LogIndex, MembershipChange, NodeId, Time, TransferError};

use crate::node::group::{Group, Host};
use crate::node::requests::{Kind, Pending};
use crate::node::{Node, Ticket};
use crate::outcome::{Doubt, Outcome, Refusal};

/// The changes of one group that have no end yet.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By the entry that began each of them on this node, in no order.
    memberships: Vec<(LogIndex, Ticket)>,
    /// This node leads, and somebody else is to.
    transfer: Option<Ticket>,
}

impl Changes {
    /// The caller has gone.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.memberships.retain(|(_, waiting)| *waiting != ticket);
        self.transfer.take_if(|waiting| *waiting == ticket);
    }
}

impl Group {
    /// The membership at `index` is committed. A joint one is half of a change: the end of it is the next.
    pub(crate) fn membership_committed(&mut self, host: &mut Host, index: LogIndex) {
        if self.core.membership_at(index).is_none_or(|membership| membership.is_joint()) {
            return;
        }
        let ended = self.changes.memberships.extract_if(.., |(begun, _)| *begun <= index);
        for (_, ticket) in ended {
            host.end(ticket, Outcome::Done(Bytes::new()));
        }
    }

    /// Entries after `after` are gone from this log, and with them the changes that they began. Another replica may
    /// hold them and commit them after all.
    pub(crate) fn changes_lost(&mut self, host: &mut Host, after: LogIndex) {
        for (_, ticket) in self.changes.memberships.extract_if(.., |(begun, _)| *begun > after) {
            host.end(ticket, Outcome::Unknown(Doubt::LeaderChanged));
        }
    }

    /// This node has stopped leading, or goes on.
    pub(crate) fn transfer_ended(&mut self, host: &mut Host, outcome: Outcome) {
        if let Some(ticket) = self.changes.transfer.take() {
            host.end(ticket, outcome);
        }
    }
}

impl Node {
    /// Changes who takes part in a group that this node leads; see [`crate::NodeHandle::change_membership`].
    pub fn change_membership(
        &mut self,
        now: Time,
        ticket: Ticket,
        group: GroupId,
        change: MembershipChange,
        patience: Duration,
    ) {
        let begin = |open: &mut Group| {
            let proposed = open.core.propose_membership(now, change).map_err(|e| change_refused(group, e))?;
            open.changes.memberships.push((proposed.last, ticket));
            Ok(())
        };
        self.begin_change(now, ticket, group, patience, begin);
    }

    /// Lets another voter lead a group that this node leads; see [`crate::NodeHandle::transfer_leadership`].
    pub fn transfer_leadership(
        &mut self,
        now: Time,
        ticket: Ticket,
        group: GroupId,
        to: Option<NodeId>,
        patience: Duration,
    ) {
        let begin = |open: &mut Group| {
            open.core.transfer_leadership(now, to).map_err(|e| transfer_refused(group, e))?;
            open.changes.transfer = Some(ticket);
            Ok(())
        };
        self.begin_change(now, ticket, group, patience, begin);
    }

    fn begin_change(
        &mut self,
        now: Time,
        ticket: Ticket,
        group: GroupId,
        patience: Duration,
        begin: impl FnOnce(&mut Group) -> Result<(), Refusal>,
    ) {
        let begun = self.admit(group, 0).and_then(|()| {
            let open = self.groups.get_mut(&group).ok_or(Refusal::NoSuchGroup(group))?;
            begin(open).map(|()| open)
        });
        match begun {
            Ok(open) => {
                // It waits before the effects are carried out: they may end it already.
                let deadline = now.after(patience);
                self.host.requests.add(ticket, Pending { group, deadline, patience, kind: Kind::Change });
                open.drain(&mut self.host, Vec::new());
                self.touched.insert(group);
            }
            Err(refusal) => self.host.answer(ticket, Outcome::Refused(refusal)),
        }
    }
}

/// What all requests may be refused for is said in the same words everywhere.
fn change_refused(group: GroupId, error: ChangeError) -> Refusal {
    match error {
        ChangeError::NotLeader { leader } => Refusal::NotLeader { leader },
        ChangeError::Transferring { to } => Refusal::Transferring { to },
        ChangeError::Fenced => Refusal::Fenced(group),
        other => Refusal::Change(other),
    }
}

fn transfer_refused(group: GroupId, error: TransferError) -> Refusal {
    match error {
        TransferError::NotLeader { leader } => Refusal::NotLeader { leader },
        TransferError::Transferring { to } => Refusal::Transferring { to },
        TransferError::Fenced => Refusal::Fenced(group),
        other => Refusal::Transfer(other),
    }
}
