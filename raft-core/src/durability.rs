//! What is on disk and what may be said because of it.
//!
//! Writes form one ordered stream; the host reports them cumulatively. A message that depends on term or vote
//! waits here until the write that holds them is reported. Invariant: `durable` never exceeds the log's last
//! index, and falls at once when the log is cut, so that a late report about overwritten entries counts for
//! nothing (the ABA of a stale write acknowledgement).

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::effect::PersistToken;
use crate::id::{LogIndex, NodeId, Term};
use crate::message::Message;

#[derive(Clone, Debug, Default)]
pub(crate) struct Durability {
    /// The number of the last write handed out.
    issued: u64,
    /// All writes up to this number are on disk.
    reported: u64,
    /// The write that holds the current term and vote.
    hard_state: u64,
    /// The log's entries up to here, inclusive, are on disk.
    durable: LogIndex,
    /// What an idle replica has none of.
    busy: Option<Box<Busy>>,
}

#[derive(Clone, Debug, Default)]
struct Busy {
    /// Writes on their way, with what each leaves of the log that later ones did not cut.
    pending: VecDeque<(u64, LogIndex)>,
    /// Messages that wait for the write that holds term and vote.
    held: VecDeque<(NodeId, Message)>,
}

impl Durability {
    /// All of a recovered log is on disk.
    pub(crate) fn recovered(last: LogIndex) -> Self {
        Self { durable: last, ..Self::default() }
    }

    /// The log's entries up to here, inclusive, are on disk.
    pub(crate) fn durable(&self) -> LogIndex {
        self.durable
    }

    /// Whether the current term and vote are on disk.
    pub(crate) fn hard_state_is_durable(&self) -> bool {
        self.hard_state <= self.reported
    }

    /// Whether a message that waits for term and vote waits for all writes there are, so that it may speak of the log.
    pub(crate) fn holds_back_for_all(&self) -> bool {
        self.reported == self.issued || self.hard_state == self.issued
    }

    /// Numbers a write. `last` is the log's last index after it.
    pub(crate) fn issue(&mut self, term: Term, last: LogIndex, with_hard_state: bool) -> PersistToken {
        self.issued += 1;
        if with_hard_state {
            self.hard_state = self.issued;
        }
        self.busy.get_or_insert_default().pending.push_back((self.issued, last));
        PersistToken { sequence: self.issued, term, last }
    }

    /// The log was cut after `after`: whatever is on disk beyond it is no longer ours.
    pub(crate) fn cut(&mut self, after: LogIndex) {
        self.durable = self.durable.min(after);
        for (_, last) in self.busy.iter_mut().flat_map(|busy| &mut busy.pending) {
            *last = (*last).min(after);
        }
    }

    /// The log is gone, in favour of one that starts after a snapshot: no write that was asked for before says
    /// anything about it.
    pub(crate) fn restart(&mut self) {
        self.cut(LogIndex::ZERO);
    }

    /// The write handed out last has grown to `last`, before anybody saw it.
    pub(crate) fn grow_last(&mut self, term: Term, last: LogIndex) -> PersistToken {
        if let Some(write) = self.busy.as_mut().and_then(|busy| busy.pending.back_mut()) {
            write.1 = last;
        }
        PersistToken { sequence: self.issued, term, last }
    }

    /// What of it decides the future, with the writes numbered from the last that is done.
    pub(crate) fn fingerprint<H: core::hash::Hasher>(&self, hasher: &mut H) {
        use core::hash::Hash;
        self.durable.hash(hasher);
        self.hard_state.saturating_sub(self.reported).hash(hasher);
        let Some(busy) = &self.busy else { return };
        for (number, last) in &busy.pending {
            (number - self.reported, last).hash(hasher);
        }
        busy.held.hash(hasher);
    }

    /// Gives back memory that an idle group does not need.
    pub(crate) fn shrink(&mut self) {
        self.busy.take_if(|busy| busy.pending.is_empty() && busy.held.is_empty());
    }

    /// All writes up to the token are on disk. `false` when no such write was handed out.
    pub(crate) fn report(&mut self, token: PersistToken) -> bool {
        if token.sequence > self.issued {
            return false;
        }
        self.reported = self.reported.max(token.sequence);
        let Some(busy) = &mut self.busy else { return true };
        while let Some(&(sequence, last)) = busy.pending.front() {
            if sequence > self.reported {
                break;
            }
            self.durable = self.durable.max(last);
            busy.pending.pop_front();
        }
        true
    }

    /// Keeps a message until term and vote are on disk. A later one of the same kind to the same node takes its
    /// place, so that a slow disk cannot make them pile up.
    pub(crate) fn hold(&mut self, to: NodeId, message: Message) {
        let kind = core::mem::discriminant(&message);
        let held = &mut self.busy.get_or_insert_default().held;
        held.retain(|(node, other)| *node != to || core::mem::discriminant(other) != kind);
        held.push_back((to, message));
    }

    /// The next message that needs to wait no longer.
    pub(crate) fn release(&mut self) -> Option<(NodeId, Message)> {
        if !self.hard_state_is_durable() {
            return None;
        }
        let held = &mut self.busy.as_mut()?.held;
        let message = held.pop_front();
        if message.is_none() {
            // Nothing is held but around an election.
            held.shrink_to_fit();
        }
        message
    }

    /// No candidate any more: it asks for no votes, least of all with a log that it may not have by then.
    pub(crate) fn forget_votes(&mut self) {
        if let Some(busy) = &mut self.busy {
            busy.held.retain(|(_, message)| !matches!(message, Message::Vote(_)));
        }
    }

    /// The term moved on: what was said in the old one is not said any more.
    pub(crate) fn forget_held(&mut self) {
        if let Some(busy) = &mut self.busy {
            busy.held.clear();
        }
    }
}
