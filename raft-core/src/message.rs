//! What replicas of one group say to each other.
//!
//! Messages hold ids and the shape of log ranges, never payloads: the host attaches the bytes of
//! [`AppendRequest::entries`] when it sends one, and has checked them against the runs before it hands one in.
//! Addressing, encoding and authentication belong to the host.

use alloc::vec::Vec;

use crate::id::{LogId, LogIndex, Term};
use crate::membership::Membership;
use crate::runs::TermRuns;

/// One message of one group. Every kind carries the sender's term (Raft §5.1), except that of a pre-vote, which
/// carries the term it would stand in (thesis §9.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// A leader has a snapshot for a follower that lacks entries which no log has any more (Raft §7). The bytes are
    /// the hosts' affair. It is answered by an [`AppendReply`] once the snapshot, or what it covers, is durable.
    Snapshot(SnapshotOffer),
    /// Campaign now: I have stopped leading for you (thesis §3.10).
    TimeoutNow(TimeoutNow),
    /// A leader with nothing to do asks to be silent from now on.
    Sleep(SleepRequest),
    /// The answer: whether the follower relies on the leader's node instead of its heartbeats from now on.
    SleepReply(SleepReply),
    /// Somebody needs the group: a leader that is asleep wakes everyone.
    Wake(Wake),
    /// Whose log is in doubt asks: do you hold what I may have lost?
    Doubt(DoubtQuery),
    /// The answer.
    DoubtReply(DoubtReply),
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
            Message::Snapshot(m) => m.term,
            Message::TimeoutNow(m) => m.term,
            Message::Sleep(m) => m.term,
            Message::SleepReply(m) => m.term,
            Message::Wake(m) => m.term,
            Message::Doubt(m) => m.term,
            Message::DoubtReply(m) => m.term,
        }
    }
}

/// Asks whether an election in the next term could be won.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Vote {
    /// The term the sender stands in.
    pub term: Term,
    /// The sender's last entry.
    pub last: LogId,
}

/// Answers a [`Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct VoteReply {
    /// The term of the vote, or the higher one the refusing replica is in.
    pub term: Term,
    /// Whether the vote is given. If so it is on the disk of the sender.
    pub granted: bool,
}

/// A leader's claim about its log, with or without new entries (Raft §5.3, AppendEntries).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AppendRequest {
    /// The leader's term.
    pub term: Term,
    /// The shape of the entries sent, and the entry right before them; no entries in a heartbeat.
    pub entries: TermRuns,
    /// The memberships among the entries, in order. The host takes them from the payloads, on both sides.
    pub memberships: Vec<(LogIndex, Membership)>,
    /// The leader's commit index, inclusive. May be beyond the last entry sent.
    pub commit: LogIndex,
    /// The leader's counter of rounds; the reply echoes the highest seen, which confirms leadership at the time
    /// that round began (thesis §6.4).
    pub round: u64,
}

/// Answers an [`AppendRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// I am putting a snapshot in place and take nothing until that is done. Ask again with the next heartbeat.
    Installing,
}

/// A follower asks at which index a linearizable read may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReadIndexRequest {
    /// The asking replica's term.
    pub term: Term,
    /// The asking replica's name for the read, echoed.
    pub read: u64,
}

/// The leader's answer to a [`ReadIndexRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ReadIndexReply {
    /// The leader's term.
    pub term: Term,
    /// The read that was asked for.
    pub read: u64,
    /// The read may be served once this index is applied; `None` when the asked one could not confirm that it leads.
    pub index: Option<LogIndex>,
}

/// What a snapshot stands for: the state after applying all entries up to `last`, inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// The last entry it includes, which is committed.
    pub last: LogId,
    /// The membership in force at `last`: that of the latest membership entry at or before it.
    pub membership: Membership,
}

/// A leader offers a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SnapshotOffer {
    /// The leader's term.
    pub term: Term,
    /// What is offered.
    pub snapshot: Snapshot,
    /// As in [`AppendRequest::round`].
    pub round: u64,
}

/// A leader gives its office to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TimeoutNow {
    /// The term in which the sender led.
    pub term: Term,
    /// The last entry of the sender. A receiver that does not hold it leaves the campaign be: it could not win.
    pub last: LogId,
}

/// A leader with nothing to do asks to be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SleepRequest {
    /// The leader's term.
    pub term: Term,
    /// Its last entry, which is committed.
    pub last: LogId,
    /// As in [`AppendRequest::round`].
    pub round: u64,
}

/// Answers a [`SleepRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SleepReply {
    /// The term of the request.
    pub term: Term,
    /// The last entry of the request.
    pub last: LogId,
    /// As in [`AppendReply::round`].
    pub round: u64,
    /// Whether exactly that is on the sender's disk and known to it as committed, so that it sleeps from now on.
    pub asleep: bool,
}

/// Wakes a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Wake {
    /// The sender's term.
    pub term: Term,
}

/// Asks whether anybody holds what the sender may have held before its disk was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DoubtQuery {
    /// The sender's term, later than that of `extent`. Who answers is in it, so that no leader of `extent`'s term can
    /// give it the entry afterwards.
    pub term: Term,
    /// The last entry that the sender still holds for certain.
    pub after: LogId,
    /// The last entry that the sender may have acknowledged.
    pub extent: LogId,
}

/// Answers a [`DoubtQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DoubtReply {
    /// The term of the query.
    pub term: Term,
    /// As in the query.
    pub after: LogId,
    /// As in the query.
    pub extent: LogId,
    /// Whether the sender may hold anything of what lies between the two. `false` is a promise: it holds nothing of it,
    /// and never will from a leader of those terms.
    pub holds: bool,
}
