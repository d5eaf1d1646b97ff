//! What nodes say about their disks, held against their platters: no claim without durability.
//!
//! A message that says "I voted", "I hold index m" or "I am in term t" is checked in the moment in which it leaves. The
//! shadow of votes lives here and survives what the nodes do not.

use std::collections::BTreeMap;

use raft_core::{AppendOutcome, GroupId, LogIndex, Message, NodeId, ReplicaId, Term};
use raft_net::frame::{Content, Frame};

use super::image::Image;
use super::law::{Breach, Checked, Law};
use super::truth::Truth;

/// Who said it, and what is on its platter.
pub(crate) struct Speaker<'a> {
    pub(crate) replica: ReplicaId,
    pub(crate) image: &'a Image,
    pub(crate) truth: &'a Truth,
}

/// What was claimed so far.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// For whom a replica said that it voted.
    votes: BTreeMap<(GroupId, ReplicaId, Term), NodeId>,
    /// The highest term that a replica said it is in.
    terms: BTreeMap<(GroupId, ReplicaId), Term>,
}

impl Claims {
    /// The highest term that a replica ever said it is in.
    pub(crate) fn term(&self, group: GroupId, replica: ReplicaId) -> Term {
        self.terms.get(&(group, replica)).copied().unwrap_or_default()
    }

    /// Checks a frame in the moment in which it leaves (L4, R6).
    pub(crate) fn check(&mut self, speaker: &Speaker<'_>, frame: &Frame) -> Checked {
        let group = frame.group;
        let lacks = |what: String| {
            let durable = speaker.image.hard_state();
            let seen = format!(
                "said {what}; on its platter are term {}, vote {:?}, {} entries",
                durable.term,
                durable.vote,
                speaker.image.last_index()
            );
            Err(Breach::at(Law::L4, group, speaker.replica.node, seen))
        };
        let message = match &frame.content {
            Content::Raft { message, .. } => message,
            Content::Leads { term } => {
                if speaker.image.vote(*term) != Some(speaker.replica) {
                    return lacks(format!("that it leads term {term}"));
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        if matches!(message, Message::ReadIndex(_) | Message::ReadIndexReply(_)) {
            // A question about a read and its answer promise nothing that a crash could take back, and nobody who hears
            // them takes over their term: they need not wait for it to be on the platter.
            return Ok(());
        }
        if message.term() > speaker.image.hard_state().term {
            return lacks(format!("that it is in term {}", message.term()));
        }
        let highest = self.terms.entry((group, speaker.replica)).or_default();
        *highest = message.term().max(*highest);
        match message {
            Message::VoteReply(reply) if reply.granted => {
                let on_platter = speaker.image.vote(reply.term).map(|vote| vote.node);
                if on_platter != Some(frame.to) {
                    return lacks(format!("that it voted for {} in term {}", frame.to, reply.term));
                }
                self.voted(speaker, group, reply.term, frame.to)
            }
            Message::Vote(vote) => {
                if speaker.image.vote(vote.term) != Some(speaker.replica) {
                    return lacks(format!("that it stands in term {}", vote.term));
                }
                self.voted(speaker, group, vote.term, speaker.replica.node)
            }
            Message::Append(append) if speaker.image.vote(append.term) != Some(speaker.replica) => {
                lacks(format!("that it leads term {}", append.term))
            }
            Message::AppendReply(reply) => match reply.outcome {
                AppendOutcome::Matched { matched } if !holds(speaker, reply.term, matched) => {
                    lacks(format!("that it holds {matched} of the leader of term {}", reply.term))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn voted(&mut self, speaker: &Speaker<'_>, group: GroupId, term: Term, vote: NodeId) -> Checked {
        let first = *self.votes.entry((group, speaker.replica, term)).or_insert(vote);
        if first != vote {
            let seen = format!("voted for {first} and for {vote} in term {term}");
            return Err(Breach::at(Law::R6, group, speaker.replica.node, seen));
        }
        Ok(())
    }
}

/// Whether what the leader of a term has at an index is on the speaker's platter. With R3 that goes for all before.
fn holds(speaker: &Speaker<'_>, term: Term, index: LogIndex) -> bool {
    let leader = speaker.truth.leader_term_at(term, index);
    leader.is_some() && speaker.image.term_at(index) == leader
}

#[cfg(test)]
mod tests {
    use raft_core::{AppendReply, DiskId, HardState, Vote, VoteReply};

    use super::*;

    const GROUP: GroupId = GroupId::new(1, 1);

    fn replica(node: u64) -> ReplicaId {
        ReplicaId::new(NodeId::new(node), DiskId::new(node.into()))
    }

    /// Says something to node 1 as node 2, whose platter holds entries of term 1 and the given term and vote.
    struct Stage {
        claims: Claims,
        truth: Truth,
        image: Image,
    }

    impl Stage {
        fn new(term: u64, vote: Option<u64>) -> Self {
            let mut truth = Truth::new(GROUP, (1..=3).map(NodeId::new).collect());
            truth.leads(NodeId::new(1), Term::new(1)).unwrap();
            let mut image = Image::holding(&[1, 1]);
            image.set_hard_state(HardState { term: Term::new(term), vote: vote.map(replica) });
            Self { claims: Claims::default(), truth, image }
        }

        fn says(&mut self, content: Content) -> Checked {
            let speaker = Speaker { replica: replica(2), image: &self.image, truth: &self.truth };
            let (from, to) = (NodeId::new(2), NodeId::new(1));
            self.claims.check(&speaker, &Frame { group: GROUP, from, to, content })
        }
    }

    fn raft(message: Message) -> Content {
        Content::Raft { message, entries: Vec::new() }
    }

    fn matched(term: u64, index: u64) -> Content {
        let outcome = AppendOutcome::Matched { matched: LogIndex::new(index) };
        raft(Message::AppendReply(AppendReply { term: Term::new(term), round: 1, outcome }))
    }

    fn granted(term: u64) -> Content {
        raft(Message::VoteReply(VoteReply { term: Term::new(term), granted: true }))
    }

    fn law(checked: Checked) -> Law {
        checked.unwrap_err().law
    }

    #[test]
    fn claiming_an_entry_that_is_not_durable_breaks_l4() {
        Stage::new(1, None).says(matched(1, 2)).unwrap();
        assert_eq!(law(Stage::new(1, None).says(matched(1, 3))), Law::L4);
    }

    #[test]
    fn claiming_another_leaders_entry_breaks_l4() {
        let mut stage = Stage::new(2, None);
        stage.truth.leads(NodeId::new(1), Term::new(2)).unwrap();
        assert_eq!(
            law(stage.says(matched(2, 2))),
            Law::L4,
            "that leader's log begins with entries of its own"
        );
    }

    #[test]
    fn claiming_a_vote_or_a_term_that_is_not_durable_breaks_l4() {
        Stage::new(3, Some(1)).says(granted(3)).unwrap();
        assert_eq!(law(Stage::new(3, None).says(granted(3))), Law::L4);
        assert_eq!(law(Stage::new(3, Some(3)).says(granted(3))), Law::L4);
        assert_eq!(law(Stage::new(2, None).says(granted(3))), Law::L4);
        let stands = || {
            let last = raft_core::LogId::ZERO;
            raft(Message::Vote(Vote { term: Term::new(3), last }))
        };
        Stage::new(3, Some(2)).says(stands()).unwrap();
        assert_eq!(law(Stage::new(3, Some(1)).says(stands())), Law::L4);
        assert_eq!(law(Stage::new(3, Some(1)).says(Content::Leads { term: Term::new(3) })), Law::L4);
    }

    #[test]
    fn two_votes_in_one_term_break_r6() {
        let mut stage = Stage::new(3, Some(1));
        stage.says(granted(3)).unwrap();
        // The disk lost the vote, and gives it again: the shadow remembers.
        stage.image = Image::holding(&[]);
        stage.image.set_hard_state(HardState { term: Term::new(3), vote: Some(replica(2)) });
        let last = raft_core::LogId::ZERO;
        assert_eq!(law(stage.says(raft(Message::Vote(Vote { term: Term::new(3), last })))), Law::R6);
    }
}
