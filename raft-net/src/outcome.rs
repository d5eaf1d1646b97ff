//! How a request ends: done, refused or unknown, and never a guess.

use std::time::Duration;

use bytes::Bytes;
use raft_core::{ChangeError, GroupId, NodeId, TransferError};

/// The one end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It was committed and applied (or, for a query, read). Holds the state machine's response; nothing for a change
    /// of membership or leadership.
    Done(Bytes),
    /// It did not happen and will not.
    Refused(Refusal),
    /// It may have happened or may still happen. Retrying under the same request id is safe; under another it
    /// may do the thing twice.
    Unknown(Doubt),
}

/// Why nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// This node has no such group.
    #[error("group {0} is not on this node")]
    NoSuchGroup(GroupId),
    /// The group has not been formed yet.
    #[error("the cluster is not formed yet: waiting for {}", list(.waiting_for))]
    Forming {
        /// The listed nodes that have not answered.
        waiting_for: Vec<NodeId>,
    },
    /// Another node leads.
    #[error("not the leader{}", .leader.map(|l| format!("; node {l} is")).unwrap_or_default())]
    NotLeader {
        /// Who leads, if known.
        leader: Option<NodeId>,
    },
    /// This node leads and is about to hand that over. Ask again soon, there.
    #[error("leadership is being handed to node {to}; ask that node")]
    Transferring {
        /// Who is to lead.
        to: NodeId,
    },
    /// The membership of the group stays as it is.
    #[error("the membership stays as it is: {0}")]
    Change(ChangeError),
    /// Leadership stays where it is.
    #[error("leadership stays where it is: {0}")]
    Transfer(TransferError),
    /// The voter that was to lead did not catch up in time: this node goes on leading.
    #[error("node {to} did not catch up in time; leadership stays where it is")]
    NotHandedOver {
        /// Who was to lead.
        to: NodeId,
    },
    /// No leader answered within the time given, and the request was handed to none: there is no majority here.
    #[error("no majority: nothing was done")]
    NoMajority,
    /// A bounded queue is full.
    #[error("too many requests are waiting ({limit}); try again")]
    Overloaded {
        /// The queue's bound.
        limit: usize,
    },
    /// The request is larger than an entry may be.
    #[error("{size} bytes are more than the {limit} an entry may have")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest allowed, inclusive, in bytes.
        limit: usize,
    },
    /// The group broke a law of Raft and is fenced.
    #[error("group {0} is fenced after a broken law; see this node's log")]
    Fenced(GroupId),
    /// The node is shutting down.
    #[error("this node is stopping")]
    Stopping,
}

/// Why the outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Doubt {
    /// The time given ran out after the request had been handed to a leader.
    #[error("unknown outcome: no answer within {0:?}")]
    TimedOut(Duration),
    /// The entry that held the request was overwritten, or the leader that had it is gone.
    #[error("unknown outcome: the leader changed")]
    LeaderChanged,
    /// The node stopped first.
    #[error("unknown outcome: this node stopped")]
    Stopped,
}

/// How fresh a query's answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// At least as new as everything that was answered before the query was asked (ReadIndex, thesis §6.4).
    Linearizable,
    /// Whatever this node has applied. Needs no majority; may be old.
    Local,
}

fn list(nodes: &[NodeId]) -> String {
    let names: Vec<String> = nodes.iter().map(|n| format!("node {n}")).collect();
    names.join(", ")
}
