//! Packets and roles in a few words, for records.

use super::network::{Body, Packet};
use super::raft_core::{AppendOutcome, Message, RoleKind, SoftState};
use crate::core::record::Record;

/// A packet left.
pub(super) fn sent(packet: &Packet) -> Record {
    let (term, text) = match &packet.body {
        Body::Raft { message, .. } => (message.term().as_u64(), describe(message)),
        Body::Ping { withdrawn: 0 } => (0, "ping".into()),
        Body::Ping { withdrawn } => (0, format!("ping, withdraws from t{withdrawn}")),
        Body::Confirm { withdrawn } => (0, format!("heard of withdrawal from t{withdrawn}")),
    };
    Record::Sent { number: packet.number, to: packet.to.into(), term, text }
}

/// A role, a term or a leader changed.
pub(super) fn role(state: SoftState) -> Record {
    let role = match state.role {
        RoleKind::Follower => "follower",
        RoleKind::PreCandidate => "pre-candidate",
        RoleKind::Candidate => "candidate",
        RoleKind::Leader => "leader",
    };
    Record::Role { role, term: state.term.as_u64(), leader: state.leader.map(|node| node.as_u64()) }
}

fn describe(message: &Message) -> String {
    let term = message.term();
    match message {
        Message::PreVote(m) => format!("pre-vote? t{term} last {} attempt {}", m.last, m.attempt),
        Message::PreVoteReply(m) => format!("pre-vote {} t{term} attempt {}", yes(m.granted), m.attempt),
        Message::Vote(m) => format!("vote? t{term} last {}", m.last),
        Message::VoteReply(m) => format!("vote {} t{term}", yes(m.granted)),
        Message::Append(m) => {
            let (before, last) = (m.entries.before(), m.entries.last_id());
            format!("append t{term} {before}..{last} commit {} round {}", m.commit, m.round)
        }
        Message::AppendReply(m) => match m.outcome {
            AppendOutcome::Matched { matched } => format!("matched t{term} {matched} round {}", m.round),
            AppendOutcome::Conflict { prev, hint } => format!("conflict t{term} at {prev} hint {hint}"),
            AppendOutcome::Installing => format!("installing t{term} round {}", m.round),
        },
        Message::ReadIndex(m) => format!("read? t{term} #{}", m.read),
        Message::ReadIndexReply(m) => format!("read t{term} #{} {:?}", m.read, m.index),
        Message::Snapshot(m) => format!("snapshot t{term} {}", m.snapshot.last),
        Message::TimeoutNow(m) => format!("campaign now t{term} last {}", m.last),
        Message::Sleep(m) => format!("sleep? t{term} at {}", m.last),
        Message::SleepReply(m) => format!("sleep {} t{term} at {}", yes(m.asleep), m.last),
        Message::Wake(_) => format!("wake t{term}"),
        Message::Doubt(m) => format!("hold? t{term} {}", m.extent),
        Message::DoubtReply(m) => format!("hold {} t{term} {}", yes(m.holds), m.extent),
    }
}

fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
