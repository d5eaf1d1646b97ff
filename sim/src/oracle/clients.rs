//! What clients were promised: one end per request, done is done, refused never happens, reads are fresh, and all that
//! they saw of a group can be put in one order.
//!
//! The last of these looks at all requests together, when the history is over. It needs no clock: a moment is how many
//! questions and answers there were.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{GroupId, NodeId};
use raft_net::Outcome;
use raft_net::node::Ticket;

use super::law::{Breach, Checked, Law};
use super::truth::Truth;
use crate::linear::{self, History, Verdict, queue};
use crate::machine::Reply;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An operation, to be replicated.
    Operation(u64),
    /// A read, at least as new as this index.
    Read { floor: u64 },
    /// A read of whatever is there.
    LocalRead,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    group: GroupId,
    node: NodeId,
    /// Which life of that node's process was asked.
    life: u64,
    asked: Asked,
    /// In simulated microseconds: when it must have ended.
    due: u64,
    /// Where it stands among what is told of the group; a local read promises nothing and is told nowhere.
    told: Option<usize>,
}

/// A request, for the history of its group's clients.
#[derive(Clone, Copy, Debug)]
struct Told {
    node: NodeId,
    /// The moment at which it was asked.
    at: u64,
    asked: Asked,
    heard: Heard,
}

/// What a client heard of its request.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Nothing yet, or that nobody knows.
    Nothing,
    /// Nothing happened.
    Refused,
    /// It was done, at this moment, and the last entry applied was this one.
    Done { at: u64, index: u64 },
}

/// All requests of all clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pending: BTreeMap<Ticket, Request>,
    done: Vec<(GroupId, u64)>,
    refused: BTreeSet<(GroupId, u64)>,
    /// The highest index that any answer rested on.
    floors: BTreeMap<GroupId, u64>,
    told: BTreeMap<GroupId, Vec<Told>>,
    /// How many questions and answers there were.
    moment: u64,
    /// How many requests ended done, refused and unknown.
    pub(crate) ended: [u64; 3],
}

impl Clients {
    /// A read asked now must be at least as new as this.
    pub(crate) fn floor(&self, group: GroupId) -> u64 {
        self.floors.get(&group).copied().unwrap_or(0)
    }

    /// A client asks.
    pub(crate) fn asks(
        &mut self,
        ticket: Ticket,
        group: GroupId,
        (node, life): (NodeId, u64),
        asked: Asked,
        due: u64,
    ) {
        self.moment += 1;
        let told = (asked != Asked::LocalRead).then(|| {
            let told = self.told.entry(group).or_default();
            told.push(Told { node, at: self.moment, asked, heard: Heard::Nothing });
            told.len() - 1
        });
        self.pending.insert(ticket, Request { group, node, life, asked, due, told });
    }

    fn hears(&mut self, request: &Request, heard: Heard) {
        let told = self.told.get_mut(&request.group);
        if let Some(told) = request.told.and_then(|at| told?.get_mut(at)) {
            told.heard = heard;
        }
    }

    /// Whether an operation was answered as done.
    pub(crate) fn is_done(&self, group: GroupId, operation: u64) -> bool {
        self.done.contains(&(group, operation))
    }

    /// A request ended (X1 to X4).
    pub(crate) fn answered(
        &mut self,
        node: NodeId,
        ticket: Ticket,
        outcome: &Outcome,
        truths: &BTreeMap<GroupId, Truth>,
    ) -> Checked {
        let Some(request) = self.pending.remove(&ticket) else {
            let seen = format!("request {} ended twice, or was never asked: {outcome:?}", ticket.0);
            return Err(Breach { law: Law::X4, group: None, node: Some(node), seen });
        };
        self.moment += 1;
        let group = request.group;
        let Some(truth) = truths.get(&group) else { return Ok(()) };
        let breach = |law, seen: String| Err(Breach::at(law, group, node, seen));
        match (request.asked, outcome) {
            (asked, Outcome::Done(response)) => {
                self.ended[0] += 1;
                let Some(reply) = Reply::decode(response) else {
                    return breach(Law::X2, format!("{asked:?} was answered with {response:?}"));
                };
                self.hears(&request, Heard::Done { at: self.moment, index: reply.index });
                self.done(node, group, asked, reply, truth)
            }
            (Asked::Operation(operation), Outcome::Refused(refusal)) => {
                self.ended[1] += 1;
                self.refused.insert((group, operation));
                self.hears(&request, Heard::Refused);
                match truth.index_of(operation) {
                    Some(index) => {
                        let seen =
                            format!("operation {operation} is entry {index}, and was refused: {refusal}");
                        breach(Law::X2, seen)
                    }
                    None => Ok(()),
                }
            }
            (_, Outcome::Refused(_)) => {
                self.ended[1] += 1;
                Ok(())
            }
            (_, Outcome::Unknown(_)) => {
                self.ended[2] += 1;
                Ok(())
            }
        }
    }

    fn done(&mut self, node: NodeId, group: GroupId, asked: Asked, reply: Reply, truth: &Truth) -> Checked {
        let breach = |law, seen: String| Err(Breach::at(law, group, node, seen));
        let is_true = reply.index == 0 || truth.digest(reply.index) == Some(reply.digest);
        if reply.index > truth.committed() || !is_true {
            return breach(Law::X1, format!("{asked:?} was answered from a state that never was: {reply:?}"));
        }
        match asked {
            Asked::Operation(operation) => {
                if truth.index_of(operation) != Some(reply.index) {
                    let seen = format!(
                        "operation {operation} was answered as entry {}, and is {:?}",
                        reply.index,
                        truth.index_of(operation)
                    );
                    return breach(Law::X2, seen);
                }
                self.done.push((group, operation));
            }
            Asked::Read { floor } if reply.index < floor => {
                let seen = format!("read entry {} after {floor} was answered", reply.index);
                return breach(Law::X1, seen);
            }
            Asked::Read { .. } => {}
            Asked::LocalRead => return Ok(()),
        }
        let floor = self.floors.entry(group).or_default();
        *floor = reply.index.max(*floor);
        Ok(())
    }

    /// An operation was applied (X2).
    pub(crate) fn applied(&self, group: GroupId, node: NodeId, operation: u64) -> Checked {
        if self.refused.contains(&(group, operation)) {
            let seen = format!("operation {operation} was refused, and is applied");
            return Err(Breach::at(Law::X2, group, node, seen));
        }
        Ok(())
    }

    /// The history is over (X2, X4, X5). `life` tells which life of a node's process is the present one, if any.
    pub(crate) fn at_the_end(
        &self,
        now: u64,
        life: impl Fn(NodeId) -> Option<u64>,
        truths: &BTreeMap<GroupId, Truth>,
    ) -> Checked {
        for (group, operation) in &self.done {
            if truths.get(group).is_some_and(|truth| truth.index_of(*operation).is_none()) {
                let seen = format!("operation {operation} was done, and is nowhere");
                return Err(Breach { law: Law::X2, group: Some(*group), node: None, seen });
            }
        }
        let late = |(_, r): &(&Ticket, &Request)| r.due < now && life(r.node) == Some(r.life);
        match self.pending.iter().find(late) {
            Some((ticket, request)) => {
                let seen = format!("request {} ({:?}) has no end", ticket.0, request.asked);
                Err(Breach::at(Law::X4, request.group, request.node, seen))
            }
            None => self.told.iter().try_for_each(|(group, told)| {
                truths.get(group).map_or(Ok(()), |truth| is_linearizable(*group, told, truth))
            }),
        }
    }

    /// Forgets the requests of a process that is gone: nobody is there to end them.
    pub(crate) fn died(&mut self, node: NodeId, life: u64) {
        self.pending.retain(|_, request| (request.node, request.life) != (node, life));
    }
}

/// As many configurations may be remembered for the history of a group. Each offset is known, which leaves no choice:
/// there are never more of them than requests.
const MAX_STATES: usize = 100_000;

/// Whether what the clients of a group saw can be put in one order (X5).
fn is_linearizable(group: GroupId, told: &[Told], truth: &Truth) -> Checked {
    match linear::check(&queue::Queue, &history(group, told, truth), MAX_STATES) {
        Verdict::Linearizable(_) => Ok(()),
        // What cannot be decided is no success either.
        verdict @ (Verdict::Broken(_) | Verdict::Undecided(_)) => {
            Err(Breach { law: Law::X5, group: Some(group), node: None, seen: verdict.to_string() })
        }
    }
}

/// The history of the clients of a group. To them it is a queue to which operations are appended and of which reads
/// tell the end; entries that hold no operation have no offset.
///
/// An operation of unknown outcome stays open for ever. The log at the end tells its offset; if it is not there nobody
/// can have seen it, and it is left out, as a refused one is.
fn history(group: GroupId, told: &[Told], truth: &Truth) -> History<queue::Queue> {
    let index_of = |told: &Told| match told.asked {
        Asked::Operation(operation) => truth.index_of(operation),
        Asked::Read { .. } | Asked::LocalRead => None,
    };
    let mut indexes: Vec<u64> = told.iter().filter_map(index_of).collect();
    indexes.sort_unstable();
    let before = |index: u64| indexes.partition_point(|other| *other < index) as u64;
    let mut history = History::new();
    for told in told {
        let call = match told.asked {
            Asked::Operation(operation) => queue::append(group.as_u64(), operation),
            Asked::Read { .. } | Asked::LocalRead => queue::end(group.as_u64()),
        };
        let id = history.invoke(told.node.as_u64(), told.at, call);
        match (told.asked, told.heard, index_of(told)) {
            (Asked::Operation(_), Heard::Done { at, index }, _) => {
                history.returned(id, at, queue::Answer::Offset(before(index)));
            }
            (_, Heard::Done { at, index }, _) => {
                history.returned(id, at, queue::Answer::End(before(index.saturating_add(1))));
            }
            (Asked::Operation(_), Heard::Nothing, Some(index)) => {
                history.took_effect(id, queue::Answer::Offset(before(index)));
            }
            (_, Heard::Nothing | Heard::Refused, _) => history.nothing_happened(id),
        }
    }
    history
}

#[cfg(test)]
mod tests {
    use raft_core::{LogId, LogIndex, Term};
    use raft_net::{Doubt, Refusal};

    use super::*;
    use crate::oracle::image::Image;

    const GROUP: GroupId = GroupId::new(1, 1);
    const NODE: NodeId = NodeId::new(1);

    fn reply(index: u64, digest: u64) -> bytes::Bytes {
        Reply { index, digest }.encode()
    }

    /// Operation 5 is entry 1, committed and applied, after which the state is 50.
    fn truths() -> BTreeMap<GroupId, Truth> {
        let mut truth = Truth::new(GROUP, vec![NODE]);
        let id = LogId::new(Term::new(1), LogIndex::new(1));
        let images = BTreeMap::from([((NODE, GROUP), Image::holding(&[1]))]);
        truth.appended(NODE, id, 7, Some(5)).unwrap();
        truth.commits(NODE, id.index, &images).unwrap();
        truth.applied(NODE, id, 7, Some(5), 50).unwrap();
        BTreeMap::from([(GROUP, truth)])
    }

    fn ask(clients: &mut Clients, asked: Asked) {
        clients.asks(Ticket(1), GROUP, (NODE, 1), asked, 10);
    }

    fn refused() -> Outcome {
        Outcome::Refused(Refusal::NoMajority)
    }

    fn law(checked: Checked) -> Law {
        checked.unwrap_err().law
    }

    #[test]
    fn a_stale_or_invented_read_breaks_x1() {
        let answer = |floor, index, digest| {
            let mut clients = Clients::default();
            ask(&mut clients, Asked::Read { floor });
            clients.answered(NODE, Ticket(1), &Outcome::Done(reply(index, digest)), &truths())
        };
        answer(1, 1, 50).unwrap();
        answer(0, 0, 0).unwrap();
        assert_eq!(law(answer(1, 0, 0)), Law::X1);
        assert_eq!(law(answer(0, 1, 51)), Law::X1);
        assert_eq!(law(answer(0, 2, 50)), Law::X1);
    }

    #[test]
    fn an_answer_raises_the_floor_of_later_reads() {
        let mut clients = Clients::default();
        ask(&mut clients, Asked::Operation(5));
        clients.answered(NODE, Ticket(1), &Outcome::Done(reply(1, 50)), &truths()).unwrap();
        assert_eq!(clients.floor(GROUP), 1);
        assert!(clients.is_done(GROUP, 5));
    }

    #[test]
    fn done_of_what_was_not_applied_there_breaks_x2() {
        let mut clients = Clients::default();
        ask(&mut clients, Asked::Operation(6));
        let outcome = Outcome::Done(reply(1, 50));
        assert_eq!(law(clients.answered(NODE, Ticket(1), &outcome, &truths())), Law::X2);
    }

    #[test]
    fn refusing_what_happens_breaks_x2_in_either_order() {
        let mut clients = Clients::default();
        ask(&mut clients, Asked::Operation(5));
        assert_eq!(law(clients.answered(NODE, Ticket(1), &refused(), &truths())), Law::X2);
        let mut clients = Clients::default();
        ask(&mut clients, Asked::Operation(6));
        clients.answered(NODE, Ticket(1), &refused(), &truths()).unwrap();
        assert_eq!(law(clients.applied(GROUP, NODE, 6)), Law::X2);
        clients.applied(GROUP, NODE, 7).unwrap();
    }

    #[test]
    fn ending_twice_or_never_breaks_x4() {
        let mut clients = Clients::default();
        ask(&mut clients, Asked::LocalRead);
        assert_eq!(law(clients.at_the_end(11, |_| Some(1), &truths())), Law::X4);
        clients.at_the_end(11, |_| Some(2), &truths()).unwrap();
        clients.answered(NODE, Ticket(1), &refused(), &truths()).unwrap();
        clients.at_the_end(11, |_| Some(1), &truths()).unwrap();
        assert_eq!(law(clients.answered(NODE, Ticket(1), &refused(), &truths())), Law::X4);
    }

    /// Operations 5 and 6 are entries 1 and 2.
    fn two() -> BTreeMap<GroupId, Truth> {
        let mut truths = truths();
        let id = LogId::new(Term::new(1), LogIndex::new(2));
        let images = BTreeMap::from([((NODE, GROUP), Image::holding(&[1, 1]))]);
        let truth = truths.get_mut(&GROUP).unwrap();
        truth.appended(NODE, id, 8, Some(6)).unwrap();
        truth.commits(NODE, id.index, &images).unwrap();
        truth.applied(NODE, id, 8, Some(6), 60).unwrap();
        truths
    }

    /// Asks for each in turn and, if it is to be answered, answers it at once.
    fn in_turn(requests: &[(Asked, Option<Outcome>)]) -> Checked {
        let truths = two();
        let mut clients = Clients::default();
        for (number, (asked, outcome)) in requests.iter().enumerate() {
            let ticket = Ticket(number as u64);
            clients.asks(ticket, GROUP, (NODE, 1), *asked, 10);
            if let Some(outcome) = outcome {
                clients.answered(NODE, ticket, outcome, &truths)?;
            }
        }
        clients.at_the_end(0, |_| Some(1), &truths)
    }

    fn done(index: u64) -> Option<Outcome> {
        Some(Outcome::Done(reply(index, [0, 50, 60][index as usize])))
    }

    #[test]
    fn an_order_of_the_log_against_the_order_of_time_breaks_x5() {
        let (five, six) = (Asked::Operation(5), Asked::Operation(6));
        in_turn(&[(five, done(1)), (six, done(2))]).unwrap();
        assert_eq!(law(in_turn(&[(six, done(2)), (five, done(1))])), Law::X5);
        let read = Asked::Read { floor: 0 };
        in_turn(&[(read, done(0)), (five, done(1)), (read, done(1)), (six, done(2)), (read, done(2))])
            .unwrap();
        assert_eq!(law(in_turn(&[(five, done(1)), (read, done(2)), (six, done(2))])), Law::X5);
        in_turn(&[(five, done(1)), (six, done(2)), (Asked::LocalRead, done(1))]).unwrap();
    }

    #[test]
    fn an_operation_of_unknown_outcome_may_happen_late_but_not_before_it_is_asked() {
        let (five, six) = (Asked::Operation(5), Asked::Operation(6));
        let read = Asked::Read { floor: 0 };
        for unheard in [None, Some(Outcome::Unknown(Doubt::LeaderChanged))] {
            in_turn(&[(five, unheard.clone()), (read, done(0)), (six, done(2))]).unwrap();
            in_turn(&[(five, done(1)), (six, unheard.clone()), (read, done(1))]).unwrap();
            in_turn(&[(five, done(1)), (read, unheard.clone()), (six, done(2))]).unwrap();
            in_turn(&[(Asked::Operation(9), unheard.clone()), (five, done(1)), (six, done(2))]).unwrap();
            assert_eq!(law(in_turn(&[(six, done(2)), (five, unheard.clone())])), Law::X5);
            let fresh = in_turn(&[(five, done(1)), (read, done(2)), (six, unheard)]);
            assert_eq!(law(fresh), Law::X5, "it was seen before it was asked");
        }
    }
}
