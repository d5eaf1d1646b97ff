//! No claim without durability: every message is held against the disk of its sender at the moment it leaves.
//!
//! This is the cheapest and the strongest check there is: it needs no crash to find a claim that a crash would make a
//! lie. Invariant: nothing is sent unchecked.

use super::arena::Arena;
use super::node::{Node, number_of};
use super::raft_core::{AppendOutcome, Message, NodeId, ReplicaId, RoleKind};
use super::truth::Truth;
use crate::core::law::{Checked, ensure};

/// Checks what `node` is about to say to `to`.
pub(crate) fn check(node: &Node, to: NodeId, message: &Message, truth: &Truth, arena: &Arena) -> Checked {
    let image = &node.disk.image;
    let at = node.number;
    let term = message.term();
    let short = term.as_u64() as u32;
    // A snapshot that came in a later term than the disk knows of says as much as if that term were written.
    let is_term_durable = image.hard_state.term >= term || arena.id(image.snapshot).term >= term;
    match message {
        Message::Vote(m) => {
            ensure!(
                image.hard_state.term == term && image.hard_state.vote == Some(node.me),
                L4,
                at,
                "asks for votes in term {term} and its own is not on its disk ({:?})",
                image.hard_state
            );
            let is_true = node.log.at(m.last.index.as_u64() as u32).is_some_and(|no| arena.id(no) == m.last);
            // A request that was held back while its sender has begun to follow another is answered in vain.
            let is_meant = node.state.role == RoleKind::Candidate;
            ensure!(is_true || !is_meant, R3, at, "asks for votes with {}, which is not in its log", m.last);
        }
        Message::VoteReply(m) if m.granted => {
            let vote = image.hard_state.vote;
            ensure!(
                image.hard_state.term == term && vote.is_some_and(|vote| vote.node == to),
                L4,
                at,
                "votes for node {to} in term {term}, and on its disk is {:?}",
                image.hard_state
            );
        }
        Message::Append(_) | Message::Snapshot(_) | Message::TimeoutNow(_) | Message::Sleep(_) => {
            let leader = truth.term(short).leader;
            ensure!(
                leader == Some(node.me),
                R1,
                at,
                "speaks as leader of term {term}, which {leader:?} leads"
            );
            ensure!(is_term_durable, L4, at, "speaks in term {term}, which is not on its disk");
        }
        Message::AppendReply(m) => {
            if let AppendOutcome::Matched { matched } = m.outcome {
                let matched = matched.as_u64() as u32;
                ensure!(is_term_durable, L4, at, "speaks in term {term}, which is not on its disk");
                let tip = truth.term(short).tip;
                let no = arena.ancestor(tip, matched);
                ensure!(
                    arena.index(tip) >= matched && image.holds(no, arena),
                    L4,
                    at,
                    "claims {matched} of term {term}'s log; that log ends at {}, and its disk holds {:?} there, to {}",
                    arena.id(tip),
                    image.log.at(matched).map(|no| arena.id(no)),
                    image.log.last_index()
                );
            }
        }
        Message::SleepReply(m) if m.asleep => {
            let is_held = image.log.at(m.last.index.as_u64() as u32).map(|no| arena.id(no)) == Some(m.last)
                || arena.id(image.log.last()) == m.last;
            ensure!(
                is_held && is_term_durable,
                L4,
                at,
                "sleeps at {} and its disk holds {}",
                m.last,
                arena.id(image.log.last())
            );
        }
        Message::DoubtReply(m) if !m.holds => {
            let extent = image.log.at(m.extent.index.as_u64() as u32).map(|no| arena.id(no));
            ensure!(
                extent != Some(m.extent) && image.hard_state.term > m.extent.term,
                L4,
                at,
                "never held {} and its disk is in term {} with {extent:?} there",
                m.extent,
                image.hard_state.term
            );
        }
        _ => {}
    }
    Ok(())
}

/// Notes a vote that is being sent: one per term and disk.
pub(crate) fn note_vote(node: &mut Node, to: ReplicaId, term: u32) -> Checked {
    let at = node.number;
    let record = node.disk_record();
    match record.vote_in(term) {
        None => record.votes.push((term, to)),
        Some(before) => {
            ensure!(
                number_of(before.node) == number_of(to.node),
                R6,
                at,
                "votes for {to:?} in term {term}, having voted for {before:?}"
            );
        }
    }
    Ok(())
}
