//! What replicas of one group say to each other.
//!
//! Messages hold ids and the shape of log ranges, never payloads: the host attaches the bytes of
//! [`AppendRequest::entries`] when it sends one, and has checked them against the runs before it hands one in.
//! Addressing, encoding and authentication belong to the host.

use alloc::vec::Vec;

use crate::id::{LogId, LogIndex, Term};
use crate::runs::{RunsError, TermRun, TermRuns};

/// One message of one group. Every kind carries the sender's term (Raft §5.1), except that of a pre-vote, which
/// carries the term it would stand in (thesis §9.6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// Would you vote for me? Changes nothing on the receiver.
    PreVote(PreVote),
    /// The answer to a pre-vote.
    PreVoteReply(PreVoteReply),
    /// Vote for me.
    Vote(Vote),
    /// The answer to a vote request. A granted one is durable on the sender's disk.
    VoteReply(VoteReply),
    /// A leader's entries, and its heartbeat.
    Append(AppendRequest),
    /// The answer to entries or a heartbeat. What it claims to hold is durable on the sender's disk.
    AppendReply(AppendReply),
    /// A follower or learner asks its leader for a read index (thesis §6.4).
    ReadIndex(ReadIndexRequest),
    /// The leader's answer.
    ReadIndexReply(ReadIndexReply),
}

impl Message {
    /// The term the message carries; of a pre-vote the term its sender is in, not the one it would stand in.
    pub fn term(&self) -> Term {
        match self {
            Message::PreVote(m) => m.term,
            Message::PreVoteReply(m) => m.term,
            Message::Vote(m) => m.term,
            Message::VoteReply(m) => m.term,
            Message::Append(m) => m.term,
            Message::AppendReply(m) => m.term,
            Message::ReadIndex(m) => m.term,
            Message::ReadIndexReply(m) => m.term,
        }
    }
}

/// Asks whether an election in the next term could be won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PreVote {
    /// The term the sender is in. It would stand in the one after.
    pub term: Term,
    /// The sender's last entry.
    pub last: LogId,
    /// Which of the sender's attempts this is; echoed, so that late answers to an earlier one do not count.
    pub attempt: u64,
}

/// Answers a [`PreVote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PreVoteReply {
    /// The answering replica's own term: a refused sender learns a higher one from it.
    pub term: Term,
    /// The attempt answered.
    pub attempt: u64,
    /// Whether the vote would be given.
    pub granted: bool,
}

/// Asks for a vote (Raft §5.2, RequestVote).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vote {
    /// The term the sender stands in.
    pub term: Term,
    /// The sender's last entry.
    pub last: LogId,
}

/// Answers a [`Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VoteReply {
    /// The term of the vote, or the higher one the refusing replica is in.
    pub term: Term,
    /// Whether the vote is given. If so it is on the disk of the sender.
    pub granted: bool,
}

/// A leader's claim about its log, with or without new entries (Raft §5.3, AppendEntries).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AppendRequest {
    /// The leader's term.
    pub term: Term,
    /// The entry right before those sent.
    pub prev: LogId,
    /// The terms of the entries sent, as runs; empty for a heartbeat.
    pub runs: Vec<TermRun>,
    /// The last entry sent, inclusive; `prev.index` for a heartbeat.
    pub last: LogIndex,
    /// The leader's commit index, inclusive. May be beyond `last`.
    pub commit: LogIndex,
    /// The leader's counter of rounds; the reply echoes the highest seen, which confirms leadership at the time
    /// that round began (thesis §6.4).
    pub round: u64,
}

impl AppendRequest {
    /// The shape of what is sent: the entries `(prev.index, last]`.
    ///
    /// # Errors
    /// When a peer's fields describe no log.
    pub fn entries(&self) -> Result<TermRuns, RunsError> {
        TermRuns::new(self.prev, self.runs.clone(), self.last)
    }
}

/// Answers an [`AppendRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AppendReply {
    /// The term of the request, or the higher one the refusing replica is in.
    pub term: Term,
    /// The highest round of this leader seen.
    pub round: u64,
    /// What the follower says about its log.
    pub outcome: AppendOutcome,
}

/// A follower's answer about its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AppendOutcome {
    /// My log agrees with yours up to and including `matched`, and so much of it is on my disk.
    Matched {
        /// Inclusive.
        matched: LogIndex,
    },
    /// I do not hold the entry right before those you sent.
    Conflict {
        /// The `prev` that was refused: an answer to another probe than the outstanding one is stale.
        prev: LogId,
        /// My last entry at or before `prev.index` whose term is not above `prev.term`.
        hint: LogId,
    },
}

/// A follower asks at which index a linearizable read may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReadIndexRequest {
    /// The asking replica's term.
    pub term: Term,
    /// The asking replica's name for the read, echoed.
    pub read: u64,
}

/// The leader's answer to a [`ReadIndexRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReadIndexReply {
    /// The leader's term.
    pub term: Term,
    /// The read that was asked for.
    pub read: u64,
    /// The read may be served once this index is applied; `None` when the asked one could not confirm that it leads.
    pub index: Option<LogIndex>,
}
