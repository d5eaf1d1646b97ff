//! One message between two nodes, about one group.
//!
//! A frame says which replica it is for, a (group, node) pair, as an address and a port behind NAT say which
//! private host a packet is for. Entries' payloads travel by reference on the way out. See [`crate::codec`]
//! for the bytes.

use bytes::Bytes;
use raft_core::{GroupId, Message, NodeId, Term};
use raft_wal::Entry;
use serde::{Deserialize, Serialize};

use crate::request::RequestId;

/// An addressed message.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The group it is about. [`GroupId::ROOT`] for node-to-node matters.
    pub group: GroupId,
    /// The sending node; a receiver drops frames whose sender is not the node at the other end.
    pub from: NodeId,
    /// The receiving node.
    pub to: NodeId,
    /// What it says.
    pub content: Content,
}

impl Frame {
    /// What the frame costs in a queue, in bytes: its payload, and something for each of its parts.
    pub fn cost(&self) -> usize {
        const FRAME_OVERHEAD: usize = 64;
        match &self.content {
            Content::Raft { entries, .. } => FRAME_OVERHEAD + entries_cost(entries),
            Content::Submit { command, .. } => FRAME_OVERHEAD + command.len(),
            Content::Ping | Content::SubmitReply { .. } | Content::Leads { .. } => FRAME_OVERHEAD,
        }
    }
}

/// What entries add to the cost of a frame, in bytes.
pub(crate) fn entries_cost(entries: &[Entry]) -> usize {
    const ENTRY_OVERHEAD: usize = 16;
    entries.iter().map(|entry| ENTRY_OVERHEAD + entry.payload.len()).sum()
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A message of the Raft core. `entries` are those of an append, and empty otherwise. The memberships that an
    /// append lists are those of its entries: what [`crate::codec`] decodes is so, and whoever makes a frame sees to it.
    Raft {
        /// The core's message.
        message: Message,
        /// The payloads it speaks of.
        entries: Vec<Entry>,
    },
    /// I am alive, on this connection. Sent between each pair of connected nodes every 100 ms.
    Ping,
    /// A command on its way to the leader.
    Submit {
        /// Names the request for ever, over retries.
        request: RequestId,
        /// The command.
        command: Bytes,
    },
    /// What became of a [`Content::Submit`] at the node it was sent to.
    SubmitReply {
        /// The request.
        request: RequestId,
        /// What became of it.
        taken: Taken,
    },
    /// The sender leads the group since this term. Soft state: the highest term wins.
    Leads {
        /// The term in which it was elected.
        term: Term,
    },
}

/// Whether a node took a forwarded command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    /// It is in the sender's log, not yet committed.
    Appended,
    /// The sender does not lead, or is handing that over, and did nothing.
    NotLeader,
    /// The sender's queue is full and it did nothing.
    Overloaded,
}
