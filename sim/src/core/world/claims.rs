//! No claim without durability: every message is held against the disk of its sender at the moment it leaves.
//!
//! This is the cheapest and the strongest check there is: it needs no crash to find a claim that a crash would make a
//! lie. Invariant: nothing is sent unchecked.

use super::arena::Arena;
use super::disk::Image;
use super::node::{Node, number_of};
use super::raft_core::{AppendOutcome, DoubtReply, Message, NodeId, ReplicaId, RoleKind};
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
    // Who asks for a read or answers it promises nothing that a crash could break.
    let is_for_read = matches!(message, Message::ReadIndex(_) | Message::ReadIndexReply(_));
    ensure!(
        is_term_durable || is_for_read,
        L4,
        at,
        "speaks in term {term}, which is not on its disk: {message:?}"
    );
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
        }
        Message::AppendReply(m) => {
            if let AppendOutcome::Matched { matched } = m.outcome {
                let matched = matched.as_u64() as u32;
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
                is_held,
                L4,
                at,
                "sleeps at {} and its disk holds {}",
                m.last,
                arena.id(image.log.last())
            );
        }
        Message::DoubtReply(m) if !m.holds => {
            ensure!(
                image.hard_state.term > m.extent.term,
                L4,
                at,
                "will never hold {}, and its disk is in term {}",
                m.extent,
                image.hard_state.term
            );
            let may_hold = may_hold_lost(image, m, arena);
            ensure!(!may_hold, L4, at, "never held what comes after {} up to {}", m.after, m.extent);
        }
        _ => {}
    }
    Ok(())
}

/// Whether a disk may hold one of the entries that a nack says were never held. The first of them has a term from that of the
/// entry before it to that of the last, and none that follows can be held without it. What is compacted may have been it, and
/// so may what can no longer be read.
fn may_hold_lost(image: &Image, nack: &DoubtReply, arena: &Arena) -> bool {
    let after = nack.after.index.as_u64() as u32;
    let is_gone = after < image.log.base_index();
    let is_unreadable = image.lost.is_some_and(|lost| after < arena.index(lost));
    let first = image.log.at(after + 1).map(|no| arena.id(no).term);
    is_gone || is_unreadable || first.is_some_and(|term| nack.after.term <= term && term <= nack.extent.term)
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

#[cfg(test)]
mod tests {
    use super::super::arena::{EntryNo, Kind, ROOT};
    use super::super::node::replica;
    use super::super::raft_core::{
        AppendReply, HardState, LogId, LogIndex, Membership, PreVote, ReadIndexRequest, SleepReply, Term,
        TimeoutNow, Vote, VoteReply,
    };
    use super::*;
    use crate::core::law::Law;

    struct Scene {
        arena: Arena,
        truth: Truth,
        node: Node,
        tip: EntryNo,
    }

    /// Node 1 leads term 2 with three entries; it is node 2 that speaks, and its disk is empty.
    fn scene() -> Scene {
        let mut arena = Arena::new(Membership::none());
        let mut truth = Truth::new(1);
        let mut leader = Node::new(0, 0, 1_000_000);
        truth.elected(&leader, 2, &arena).unwrap();
        for _ in 0..3 {
            let no = arena.add(leader.log.last(), 2, Kind::Noop, None);
            truth.appended(&leader, 2, no, &arena).unwrap();
            leader.log.push(no);
        }
        Scene { arena, truth, node: Node::new(1, 0, 1_000_000), tip: leader.log.last() }
    }

    impl Scene {
        fn says(&self, message: Message) -> Option<Law> {
            let said = check(&self.node, NodeId::new(1), &message, &self.truth, &self.arena);
            said.err().map(|breach| breach.law)
        }

        fn writes(&mut self, term: u64, vote: Option<ReplicaId>) {
            self.node.disk.image.hard_state = HardState { term: Term::new(term), vote };
        }
    }

    fn matched(index: u64) -> Message {
        let outcome = AppendOutcome::Matched { matched: LogIndex::new(index) };
        Message::AppendReply(AppendReply { term: Term::new(2), round: 1, outcome })
    }

    #[test]
    fn an_acknowledgement_needs_the_term_and_the_leaders_entries_on_the_disk() {
        let mut scene = scene();
        scene.node.disk.image.log.extend_to(scene.tip, &scene.arena);
        assert_eq!(scene.says(matched(3)), Some(Law::L4), "the term is not on the disk");
        scene.writes(2, None);
        assert_eq!(scene.says(matched(3)), None);
        assert_eq!(scene.says(matched(4)), Some(Law::L4), "the leader has made three");
        scene.node.disk.image.log.truncate(1);
        assert_eq!(scene.says(matched(2)), Some(Law::L4));
        let other = scene.arena.add(scene.arena.ancestor(scene.tip, 1), 1, Kind::Noop, None);
        scene.node.disk.image.log.push(other);
        assert_eq!(scene.says(matched(2)), Some(Law::L4), "another entry is not the leader's");
        assert_eq!(scene.says(matched(1)), None);
    }

    #[test]
    fn a_vote_is_on_the_disk_before_it_is_given_and_the_own_one_before_others_are_asked_for() {
        let mut scene = scene();
        let vote = || Message::VoteReply(VoteReply { term: Term::new(3), granted: true });
        scene.writes(3, None);
        assert_eq!(scene.says(vote()), Some(Law::L4));
        scene.writes(3, Some(replica(2, 0)));
        assert_eq!(scene.says(vote()), Some(Law::L4), "it is somebody else's");
        scene.writes(3, Some(replica(0, 0)));
        assert_eq!(scene.says(vote()), None);
        let asks = || Message::Vote(Vote { term: Term::new(3), last: LogId::ZERO });
        assert_eq!(scene.says(asks()), Some(Law::L4));
        scene.writes(3, Some(scene.node.me));
        assert_eq!(scene.says(asks()), None);
    }

    #[test]
    fn who_does_not_lead_does_not_speak_as_leader_and_who_sleeps_holds_everything() {
        let mut scene = scene();
        scene.writes(2, None);
        let last = scene.arena.id(scene.tip);
        let campaign = Message::TimeoutNow(TimeoutNow { term: Term::new(2), last });
        assert_eq!(scene.says(campaign), Some(Law::R1));
        let sleeps = || Message::SleepReply(SleepReply { term: Term::new(2), last, round: 1, asleep: true });
        assert_eq!(scene.says(sleeps()), Some(Law::L4));
        scene.node.disk.image.log.extend_to(scene.tip, &scene.arena);
        assert_eq!(scene.says(sleeps()), None);
    }

    #[test]
    fn a_term_is_on_the_disk_before_anything_is_said_in_it_but_for_reads() {
        let mut scene = scene();
        let (term, last) = (Term::new(2), LogId::ZERO);
        let all = || {
            let prev = LogId::new(term, LogIndex::new(2));
            [
                Message::AppendReply(AppendReply {
                    term,
                    round: 1,
                    outcome: AppendOutcome::Conflict { prev, hint: last },
                }),
                Message::PreVote(PreVote { term, last, attempt: 1 }),
                Message::VoteReply(VoteReply { term, granted: false }),
            ]
        };
        for message in all() {
            assert_eq!(scene.says(message), Some(Law::L4));
        }
        assert_eq!(scene.says(Message::ReadIndex(ReadIndexRequest { term, read: 1 })), None);
        scene.writes(2, None);
        for message in all() {
            assert_eq!(scene.says(message), None);
        }
    }

    #[test]
    fn a_nack_is_true_of_all_between_its_ends_and_stays_so() {
        let mut scene = scene();
        scene.writes(3, None);
        let nack = |after: u64| {
            let id = |index| LogId::new(Term::new(if index == 0 { 0 } else { 2 }), LogIndex::new(index));
            Message::DoubtReply(DoubtReply {
                term: Term::new(3),
                after: id(after),
                extent: id(3),
                holds: false,
            })
        };
        assert_eq!(scene.says(nack(1)), None);
        scene.node.disk.image.log.extend_to(scene.arena.ancestor(scene.tip, 2), &scene.arena);
        assert_eq!(scene.says(nack(1)), Some(Law::L4), "it holds the first of those that are lost");
        assert_eq!(scene.says(nack(2)), None);
        scene.node.disk.image.log.truncate(1);
        let other = scene.arena.add(scene.arena.ancestor(scene.tip, 1), 3, Kind::Noop, None);
        scene.node.disk.image.log.push(other);
        assert_eq!(scene.says(nack(1)), None, "an entry of a later term is another");
        scene.node.disk.image.log.compact(2);
        assert_eq!(scene.says(nack(1)), Some(Law::L4), "what is gone may have been one of them");
        scene.node.disk.image.log.start(ROOT, &scene.arena);
        scene.node.disk.image.lost = Some(scene.tip);
        assert_eq!(scene.says(nack(2)), Some(Law::L4), "it cannot read its own end");
        scene.node.disk.image.lost = Some(scene.arena.ancestor(scene.tip, 2));
        assert_eq!(scene.says(nack(2)), None, "its own doubt ends before");
        scene.writes(2, None);
        assert_eq!(scene.says(nack(2)), Some(Law::L4), "the leader of the extent may still send it");
    }

    #[test]
    fn a_second_vote_in_a_term_breaks_r6_and_a_repeated_one_does_not() {
        let mut node = Node::new(1, 0, 1_000_000);
        note_vote(&mut node, replica(0, 0), 5).unwrap();
        note_vote(&mut node, replica(0, 0), 5).unwrap();
        note_vote(&mut node, replica(2, 0), 6).unwrap();
        assert_eq!(note_vote(&mut node, replica(2, 0), 5).unwrap_err().law, Law::R6);
        assert_eq!(node.log.last(), ROOT);
    }
}
