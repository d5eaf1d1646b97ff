//! The state machine behind one partition.
//!
//! The *committed* state is what all applied entries add up to. The *appended* state is the committed one with the
//! appended entries put on top that are not applied yet; new batches are checked against that one, so that a retry
//! of a batch still in flight is recognised, and a new leader recognises what an old one appended. Truncation drops
//! uncommitted entries from the list and undoes nothing, because nothing of theirs was ever mixed into the committed
//! state.
//!
//! It reads no clock, draws nothing and does no I/O. It judges batches only in [`StateMachine::prepare`], on the
//! leader; an entry that is in the log counts as it is. Invariant: uncommitted batches follow the committed end and
//! one another without a gap in their offsets. An entry that would break it takes no offset on any replica.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{LogId, LogIndex, NodeId, RoleKind, SoftState, Term};
use raft_net::{Body, Prepared, StateMachine};
use tokio::sync::watch;

use super::answer::{Answer, BatchRefusal};
use super::facts::{BatchFacts, Placed};
use super::producers::{Numbered, ProducerId, ProducerTable, Remembered, Verdict, WINDOW, Window};
use super::state::PartitionState;
use crate::kafka::{BrokerId, Leadership, PartitionView};
use crate::record::{LeaderEpoch, Offset, patch};

/// One partition's replicated state: the next offset, the producers' windows, the epochs, and where batches lie.
pub struct PartitionMachine {
    /// The offset after the last committed record.
    committed_end: Offset,
    producers: ProducerTable,
    /// Appended and not applied, in order of the log. Other entries than batches are not in it.
    uncommitted: VecDeque<Placed>,
    /// The idempotent ones of `uncommitted`, by producer.
    in_flight: HashMap<ProducerId, VecDeque<(i16, Remembered)>>,
    soft: SoftState,
    applied_term: Term,
    state: Arc<PartitionState>,
    view: watch::Sender<PartitionView>,
}

impl PartitionMachine {
    /// The machine of a new, empty partition, remembering at most `producers_max` producers, which must be the same
    /// on all replicas. The log of an old one is replayed into it.
    pub fn new(producers_max: usize) -> Self {
        let leadership = Leadership::Elsewhere { leader: None };
        let nothing = PartitionView { leadership, log_start: Offset::ZERO, high_watermark: Offset::ZERO };
        Self {
            committed_end: Offset::ZERO,
            producers: ProducerTable::new(producers_max),
            uncommitted: VecDeque::new(),
            in_flight: HashMap::new(),
            soft: SoftState { role: RoleKind::Follower, term: Term::ZERO, leader: None },
            applied_term: Term::ZERO,
            state: Arc::default(),
            view: watch::Sender::new(nothing),
        }
    }

    /// What its readers share with it.
    pub fn state(&self) -> Arc<PartitionState> {
        self.state.clone()
    }

    /// A picture that is renewed at each change. Its sender is dropped with the machine.
    pub fn watch(&self) -> watch::Receiver<PartitionView> {
        self.view.subscribe()
    }

    /// The offset that the next batch appended will get.
    pub fn appended_end(&self) -> Offset {
        self.uncommitted.back().map_or(self.committed_end, |last| last.facts.end())
    }

    /// The window of a producer as of the last appended entry.
    fn appended_window(&self, producer: ProducerId) -> Option<Window> {
        let committed = self.producers.window(producer);
        let Some(in_flight) = self.in_flight.get(&producer).filter(|queue| !queue.is_empty()) else {
            return committed.cloned();
        };
        let mut window = committed.cloned();
        for (epoch, batch) in in_flight.iter().skip(in_flight.len().saturating_sub(WINDOW)) {
            match &mut window {
                Some(window) => window.push(*epoch, *batch),
                None => window = Some(Window::opened_by(*epoch, *batch)),
            }
        }
        window
    }

    fn is_uncommitted(&self, index: LogIndex) -> bool {
        self.uncommitted.front().is_some_and(|first| first.index <= index)
    }

    fn judge(&self, numbered: &Numbered) -> Verdict {
        self.appended_window(numbered.producer).map_or(Verdict::Next, |window| window.judge(numbered))
    }

    /// What an entry's body is at the place where the next batch belongs.
    fn facts_at(end: Offset, id: LogId, body: &Body) -> Option<BatchFacts> {
        let Body::Batch(bytes) = body else { return None };
        let facts = BatchFacts::of(bytes);
        if facts.is_none_or(|facts| facts.base_offset != end) {
            let found = facts.map(|facts| facts.base_offset.as_i64());
            tracing::error!(%id, expected = %end, ?found, "skip: an entry of the log is no batch for its place");
            return None;
        }
        facts
    }

    fn drop_last_in_flight(&mut self, producer: ProducerId) {
        if let Some(queue) = self.in_flight.get_mut(&producer) {
            queue.pop_back();
            if queue.is_empty() {
                self.in_flight.remove(&producer);
            }
        }
    }

    fn drop_first_in_flight(&mut self, producer: ProducerId) {
        if let Some(queue) = self.in_flight.get_mut(&producer) {
            queue.pop_front();
            if queue.is_empty() {
                self.in_flight.remove(&producer);
            }
        }
    }

    fn commit(&mut self, batch: &Placed) {
        self.state.note_batch(batch);
        if let Some(numbered) = &batch.facts.numbered {
            self.producers.note(numbered, batch.facts.base_offset, batch.index);
        }
        self.committed_end = batch.facts.end();
    }

    fn leadership(&self) -> Leadership {
        let epoch = LeaderEpoch::from_term(self.soft.term);
        match self.soft.role {
            RoleKind::Leader if self.applied_term == self.soft.term => Leadership::Serving(epoch),
            RoleKind::Leader => Leadership::Elected(epoch),
            _ => Leadership::Elsewhere { leader: self.soft.leader.and_then(broker_id) },
        }
    }

    fn publish(&self) {
        let (leadership, high_watermark) = (self.leadership(), self.committed_end);
        self.view.send_if_modified(|view| {
            let renewed = PartitionView { leadership, high_watermark, ..*view };
            std::mem::replace(view, renewed) != renewed
        });
    }

    /// Checks the invariants of this module; for tests.
    ///
    /// # Panics
    /// When one is broken.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let mut end = self.committed_end;
        let mut numbered = 0;
        for batch in &self.uncommitted {
            assert_eq!(batch.facts.base_offset, end, "offsets of uncommitted batches leave no gap");
            end = batch.facts.end();
            numbered += usize::from(batch.facts.numbered.is_some());
        }
        let in_flight: usize = self.in_flight.values().map(VecDeque::len).sum();
        assert_eq!(in_flight, numbered, "both lists of uncommitted batches hold the same");
        assert!(self.in_flight.values().all(|queue| !queue.is_empty()), "no producer is kept for nothing");
    }
}

/// A node as Kafka's wire numbers it; `None` for a node that can be no broker.
fn broker_id(node: NodeId) -> Option<BrokerId> {
    i32::try_from(node.as_u64()).ok().and_then(BrokerId::new)
}

impl StateMachine for PartitionMachine {
    fn prepare(&mut self, at: LogId, batch: Bytes) -> Prepared {
        let refused = |why| Prepared::Answer(Answer::Refused(why).to_bytes());
        let Some(facts) = BatchFacts::of(&batch) else { return refused(BatchRefusal::NoBatch) };
        if let Some(numbered) = &facts.numbered {
            let producer = numbered.producer.as_i64();
            match self.judge(numbered) {
                Verdict::Next => {}
                Verdict::Duplicate(first) if self.is_uncommitted(first.index) => {
                    return Prepared::SameAs(first.index);
                }
                Verdict::Duplicate(first) => {
                    return Prepared::Answer(Answer::appended(first.base_offset).to_bytes());
                }
                Verdict::StaleEpoch { current } => {
                    let found = numbered.epoch;
                    return refused(BatchRefusal::StaleProducerEpoch { producer, current, found });
                }
                Verdict::OutOfOrder { expected } => {
                    let found = numbered.base_sequence;
                    return refused(BatchRefusal::OutOfOrderSequence { producer, expected, found });
                }
            }
        }
        match patch(batch, self.appended_end(), LeaderEpoch::from_term(at.term)) {
            Some(patched) => Prepared::Append(patched),
            None => refused(BatchRefusal::NoBatch),
        }
    }

    fn appended(&mut self, id: LogId, body: &Body) {
        let Some(facts) = Self::facts_at(self.appended_end(), id, body) else { return };
        if let Some(numbered) = &facts.numbered {
            let batch = Remembered::of(numbered, facts.base_offset, id.index);
            self.in_flight.entry(numbered.producer).or_default().push_back((numbered.epoch, batch));
        }
        self.uncommitted.push_back(Placed { index: id.index, facts });
    }

    fn truncated(&mut self, after: LogIndex) {
        let keep = self.uncommitted.partition_point(|batch| batch.index <= after);
        for lost in self.uncommitted.split_off(keep) {
            if let Some(numbered) = &lost.facts.numbered {
                self.drop_last_in_flight(numbered.producer);
            }
        }
    }

    fn apply(&mut self, id: LogId, body: &Body) -> Bytes {
        self.applied_term = id.term;
        self.state.note_epoch(LeaderEpoch::from_term(id.term));
        let batch = self.uncommitted.front().copied().filter(|first| first.index == id.index);
        let answer = match (&batch, body) {
            (Some(batch), _) => {
                self.uncommitted.pop_front();
                if let Some(numbered) = &batch.facts.numbered {
                    self.drop_first_in_flight(numbered.producer);
                }
                self.commit(batch);
                Answer::appended(batch.facts.base_offset).to_bytes()
            }
            (None, Body::Batch(_)) => Answer::Refused(BatchRefusal::NoBatch).to_bytes(),
            (None, Body::Noop | Body::Command(_)) => Bytes::new(),
        };
        self.publish();
        answer
    }

    /// The high watermark as a decimal number, whatever the question.
    fn query(&self, _query: &[u8]) -> Bytes {
        Bytes::from(self.committed_end.to_string())
    }

    fn role_changed(&mut self, state: SoftState) {
        self.soft = state;
        self.publish();
    }
}
