//! The machine against a slow, obvious twin, and the promises one by one.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{LogId, LogIndex, NodeId, RoleKind, SoftState, Term};
use raft_net::{Body, Prepared, StateMachine};

use super::answer::{Answer, BatchRefusal};
use super::machine::PartitionMachine;
use super::producers::sequence_plus;
use crate::kafka::Leadership;
use crate::record::sample::{self, Sample};
use crate::record::{BatchHeader, LeaderEpoch, Offset};

/// So few that forgetting happens all the time.
const CAPACITY: usize = 2;

/// A batch as its producer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    producer: i64,
    epoch: i16,
    base_sequence: i32,
    records: u32,
}

impl Sent {
    fn bytes(self) -> Bytes {
        let producer = (self.producer, self.epoch, self.base_sequence);
        let producer = if self.producer < 0 { (-1, -1, -1) } else { producer };
        let timestamps = vec![1_000; self.records as usize];
        sample::batch(&Sample { producer, timestamps, ..Sample::default() })
    }

    fn last_sequence(self) -> i32 {
        sequence_plus(self.base_sequence, self.records - 1)
    }
}

/// What the twin expects of `prepare`.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Append { base_offset: i64 },
    Answer(Answer),
    SameAs(LogIndex),
}

/// The whole log, and everything computed from it anew at each question.
#[derive(Clone, Debug, Default)]
struct Twin {
    /// Entry `i + 1` at position `i`: its term, and its batch unless it is a no-op.
    log: Vec<(Term, Option<Sent>)>,
    applied: usize,
}

impl Twin {
    fn base_offset(&self, position: usize) -> i64 {
        self.log[..position].iter().filter_map(|(_, sent)| *sent).map(|sent| i64::from(sent.records)).sum()
    }

    /// All that is remembered of each producer as of the last entry of the log, oldest first, with positions.
    fn remembered(&self) -> BTreeMap<i64, Vec<(usize, Sent)>> {
        let mut all: BTreeMap<i64, Vec<(usize, Sent)>> = BTreeMap::new();
        for (position, (_, sent)) in self.log.iter().enumerate() {
            let Some(sent) = sent.filter(|sent| sent.producer >= 0) else { continue };
            all.entry(sent.producer).or_default().push((position, sent));
            if position < self.applied && all.len() > CAPACITY {
                let oldest = all.iter().min_by_key(|(_, sent)| sent.last().map(|(position, _)| *position));
                let oldest = oldest.map(|(producer, _)| *producer);
                all.remove(&oldest.expect("one of too many"));
            }
        }
        all
    }

    fn expect(&self, batch: Sent) -> Expected {
        let append = Expected::Append { base_offset: self.base_offset(self.log.len()) };
        let refused = |why| Expected::Answer(Answer::Refused(why));
        let remembered = self.remembered();
        let Some(before) = remembered.get(&batch.producer).filter(|_| batch.producer >= 0) else {
            return append;
        };
        let (_, last) = *before.last().expect("no producer is remembered for nothing");
        let producer = batch.producer;
        if batch.epoch < last.epoch {
            return refused(BatchRefusal::StaleProducerEpoch {
                producer,
                current: last.epoch,
                found: batch.epoch,
            });
        }
        if batch.epoch == last.epoch {
            let window = before.iter().rev().take_while(|(_, sent)| sent.epoch == last.epoch).take(5);
            for (position, sent) in window {
                if sent.base_sequence == batch.base_sequence && sent.last_sequence() == batch.last_sequence()
                {
                    let base_offset = self.base_offset(*position);
                    return if *position < self.applied {
                        Expected::Answer(Answer::Appended { base_offset })
                    } else {
                        Expected::SameAs(LogIndex::new(*position as u64 + 1))
                    };
                }
            }
        }
        let expected = if batch.epoch > last.epoch { 0 } else { sequence_plus(last.last_sequence(), 1) };
        if batch.base_sequence == expected {
            append
        } else {
            refused(BatchRefusal::OutOfOrderSequence { producer, expected, found: batch.base_sequence })
        }
    }
}

/// A machine with the log that it was shown.
struct Replica {
    machine: PartitionMachine,
    log: Vec<(LogId, Body)>,
    twin: Twin,
    term: Term,
}

impl Replica {
    fn new() -> Self {
        let machine = PartitionMachine::new(CAPACITY);
        Self { machine, log: Vec::new(), twin: Twin::default(), term: Term::new(1) }
    }

    fn next_id(&self) -> LogId {
        LogId::new(self.term, LogIndex::new(self.log.len() as u64 + 1))
    }

    fn append(&mut self, body: Body, sent: Option<Sent>) {
        let id = self.next_id();
        self.machine.appended(id, &body);
        self.log.push((id, body));
        self.twin.log.push((id.term, sent));
        self.machine.check_invariants();
    }

    fn noop(&mut self) {
        self.term = self.term.next();
        self.append(Body::Noop, None);
    }

    /// What became of the batch; appends it if it is to be appended.
    fn produce(&mut self, sent: Sent) -> Prepared {
        let prepared = self.machine.prepare(self.next_id(), sent.bytes());
        if let Prepared::Append(bytes) = &prepared {
            self.append(Body::Batch(bytes.clone()), Some(sent));
        }
        prepared
    }

    fn apply_one(&mut self) -> Option<Bytes> {
        let (id, body) = self.log.get(self.twin.applied)?.clone();
        self.twin.applied += 1;
        let answer = self.machine.apply(id, &body);
        self.machine.check_invariants();
        Some(answer)
    }

    fn truncate(&mut self, keep: usize) {
        let keep = keep.max(self.twin.applied).min(self.log.len());
        self.machine.truncated(LogIndex::new(keep as u64));
        self.log.truncate(keep);
        self.twin.log.truncate(keep);
        self.machine.check_invariants();
    }

    /// A replica that is shown the same log from its beginning, as after a restart or on another node.
    fn replayed(&self) -> Self {
        let mut other = Self { twin: Twin::default(), term: self.term, ..Self::new() };
        for (id, body) in &self.log {
            other.machine.appended(*id, body);
        }
        other.log = self.log.clone();
        other.twin.log = self.twin.log.clone();
        for _ in 0..self.twin.applied {
            other.apply_one();
        }
        other
    }
}

fn as_expected(prepared: &Prepared, term: Term) -> Expected {
    match prepared {
        Prepared::Append(bytes) => {
            let header = BatchHeader::parse(bytes).expect("a batch stays a batch");
            assert_eq!(header.leader_epoch, LeaderEpoch::from_term(term).as_i32());
            Expected::Append { base_offset: header.base_offset }
        }
        Prepared::Answer(bytes) => Expected::Answer(Answer::from_bytes(bytes).expect("an answer")),
        Prepared::SameAs(index) => Expected::SameAs(*index),
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch of a producer (-1: not idempotent) in an epoch, with its sequence so far from the next one.
    Produce {
        producer: i64,
        epoch: i16,
        ahead: i32,
        records: u32,
    },
    /// The batch that the producer sent so many batches ago, once more.
    Repeat {
        producer: i64,
        ago: usize,
    },
    /// A leader's first entry, of a new term.
    Noop,
    /// Drops up to so many entries that are not applied.
    Truncate {
        entries: usize,
    },
    Apply {
        entries: usize,
    },
    /// From here on another replica leads.
    Replay,
}

fn step() -> impl Strategy<Value = Step> {
    let ahead = prop_oneof![8 => Just(0), 1 => -12i32..=2, 1 => Just(i32::MAX - 1)];
    let produce = (-1i64..4, 0i16..2, ahead, 1u32..4)
        .prop_map(|(producer, epoch, ahead, records)| Step::Produce { producer, epoch, ahead, records });
    prop_oneof![
        10 => produce,
        4 => (0i64..4, 0usize..8).prop_map(|(producer, ago)| Step::Repeat { producer, ago }),
        1 => Just(Step::Noop),
        2 => (1usize..6).prop_map(|entries| Step::Truncate { entries }),
        4 => (1usize..6).prop_map(|entries| Step::Apply { entries }),
        1 => Just(Step::Replay),
    ]
}

/// The batch that a step sends, and the lists of what each producer sent so far.
fn batch_of(step: &Step, sent: &mut BTreeMap<i64, Vec<Sent>>) -> Option<Sent> {
    match *step {
        Step::Produce { producer, epoch, ahead, records } => {
            let before = sent.entry(producer).or_default();
            let last = before.iter().rev().find(|sent| sent.epoch == epoch);
            let next = last.map_or(0, |sent| sequence_plus(sent.last_sequence(), 1));
            let base_sequence =
                (i64::from(next) + i64::from(ahead)).rem_euclid(i64::from(i32::MAX) + 1) as i32;
            let batch = Sent { producer, epoch, base_sequence, records };
            before.push(batch);
            Some(batch)
        }
        Step::Repeat { producer, ago } => sent.get(&producer)?.iter().rev().nth(ago).copied(),
        _ => None,
    }
}

proptest! {
    #[test]
    fn any_sequence_of_appends_truncations_and_applies_is_judged_as_by_a_twin_that_recomputes_everything(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut replica = Replica::new();
        let mut sent = BTreeMap::new();
        for step in &steps {
            match step {
                Step::Produce { .. } | Step::Repeat { .. } => {
                    let Some(batch) = batch_of(step, &mut sent) else { continue };
                    let expected = replica.twin.expect(batch);
                    let prepared = replica.produce(batch);
                    prop_assert_eq!(as_expected(&prepared, replica.term), expected);
                }
                Step::Noop => replica.noop(),
                Step::Truncate { entries } => {
                    replica.truncate(replica.log.len().saturating_sub(*entries));
                    replica.term = replica.term.next();
                }
                Step::Apply { entries } => {
                    for _ in 0..*entries {
                        let position = replica.twin.applied;
                        let Some(answer) = replica.apply_one() else { break };
                        let expected = replica.twin.log[position].1.map(|_| Answer::Appended {
                            base_offset: replica.twin.base_offset(position),
                        });
                        prop_assert_eq!(Answer::from_bytes(&answer), expected);
                    }
                }
                Step::Replay => replica = replica.replayed(),
            }
            let view = *replica.machine.watch().borrow();
            prop_assert_eq!(view.high_watermark.as_i64(), replica.twin.base_offset(replica.twin.applied));
            prop_assert_eq!(replica.machine.appended_end().as_i64(), replica.twin.base_offset(replica.log.len()));
        }
    }
}

fn sent(base_sequence: i32, records: u32) -> Sent {
    Sent { producer: 7, epoch: 0, base_sequence, records }
}

fn answered(prepared: Prepared) -> Option<Answer> {
    match prepared {
        Prepared::Answer(bytes) => Answer::from_bytes(&bytes),
        _ => None,
    }
}

#[test]
fn a_retry_of_a_batch_in_flight_waits_for_the_first_and_gets_its_offset() {
    let mut replica = Replica::new();
    replica.noop();
    assert!(matches!(replica.produce(sent(0, 3)), Prepared::Append(_)));
    assert_eq!(replica.produce(sent(0, 3)), Prepared::SameAs(LogIndex::new(2)));
    replica.apply_one();
    let answer = replica.apply_one().expect("the batch");
    assert_eq!(Answer::from_bytes(&answer), Some(Answer::Appended { base_offset: 0 }));
    assert_eq!(answered(replica.produce(sent(0, 3))), Some(Answer::Appended { base_offset: 0 }));
}

#[test]
fn each_of_the_last_five_batches_is_answered_with_its_first_offset_also_by_a_new_leader() {
    let mut old = Replica::new();
    for number in 0..6 {
        old.produce(sent(number * 2, 2));
    }
    // The new leader has the whole log, and learns only later that all of it is committed.
    let mut new = old.replayed();
    new.noop();
    while new.apply_one().is_some() {}
    for number in 1..6 {
        let base_offset = i64::from(number) * 2;
        assert_eq!(answered(new.produce(sent(number * 2, 2))), Some(Answer::Appended { base_offset }));
    }
    let too_old = BatchRefusal::OutOfOrderSequence { producer: 7, expected: 12, found: 0 };
    assert_eq!(answered(new.produce(sent(0, 2))), Some(Answer::Refused(too_old)));
}

#[test]
fn a_batch_that_was_overwritten_is_no_duplicate() {
    let mut replica = Replica::new();
    replica.produce(sent(0, 1));
    replica.produce(sent(1, 1));
    replica.truncate(1);
    replica.noop();
    let Prepared::Append(bytes) = replica.produce(sent(1, 1)) else { panic!("it must be appended again") };
    assert_eq!(BatchHeader::parse(&bytes).map(|header| header.base_offset), Ok(1));
}

#[test]
fn a_no_op_takes_no_offset() {
    let mut replica = Replica::new();
    replica.noop();
    replica.produce(sent(0, 2));
    replica.noop();
    let Prepared::Append(bytes) = replica.produce(sent(2, 1)) else { panic!("the next batch") };
    assert_eq!(BatchHeader::parse(&bytes).map(|header| header.base_offset), Ok(2));
}

#[test]
fn a_leader_serves_from_the_first_committed_entry_of_its_own_term_on() {
    let mut replica = Replica::new();
    let view = replica.machine.watch();
    replica.noop();
    replica.produce(sent(0, 4));
    replica.apply_one();
    let leads = SoftState { role: RoleKind::Leader, term: Term::new(3), leader: Some(NodeId::new(1)) };
    replica.machine.role_changed(leads);
    let epoch = LeaderEpoch::from_term(Term::new(3));
    assert_eq!(view.borrow().leadership, Leadership::Elected(epoch));
    replica.noop();
    replica.apply_one();
    assert_eq!(
        view.borrow().leadership,
        Leadership::Elected(epoch),
        "the entry of an earlier term is not enough"
    );
    assert_eq!(view.borrow().high_watermark, Offset::new(4));
    replica.apply_one();
    assert_eq!(view.borrow().leadership, Leadership::Serving(epoch));
    let follows = SoftState { role: RoleKind::Follower, term: Term::new(4), leader: Some(NodeId::new(2)) };
    replica.machine.role_changed(follows);
    let elsewhere = Leadership::Elsewhere { leader: crate::kafka::BrokerId::new(2) };
    assert_eq!(view.borrow().leadership, elsewhere);
}

#[test]
fn readers_learn_of_the_end_of_a_partition() {
    let replica = Replica::new();
    let view = replica.machine.watch();
    drop(replica);
    assert!(view.has_changed().is_err());
}

#[test]
fn what_is_no_batch_is_refused_and_takes_no_offset_when_it_is_in_the_log_all_the_same() {
    let mut replica = Replica::new();
    let garbage = Bytes::from_static(b"no batch at all");
    let refused = Some(Answer::Refused(BatchRefusal::NoBatch));
    assert_eq!(answered(replica.machine.prepare(replica.next_id(), garbage.clone())), refused);
    replica.append(Body::Batch(garbage), None);
    let misplaced = sample::batch(&Sample { base_offset: 55, ..Sample::default() });
    replica.append(Body::Batch(misplaced), None);
    for _ in 0..2 {
        assert_eq!(Answer::from_bytes(&replica.apply_one().expect("an entry")), refused);
    }
    replica.produce(sent(0, 1));
    let answer = replica.apply_one().expect("the batch");
    assert_eq!(Answer::from_bytes(&answer), Some(Answer::Appended { base_offset: 0 }));
}
