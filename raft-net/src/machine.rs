//! What an application gives a group: a deterministic state machine.
//!
//! The node calls it from one thread at a time. It never blocks, reads no clock and draws no randomness: every
//! replica must come to the same state from the same entries.

use bytes::Bytes;
use raft_core::{LogId, LogIndex, SoftState};

/// What an entry of the log holds, as its state machine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An entry of the group's own: the one with which a leader opened its term, or a change of membership. Holds
    /// nothing for a state machine.
    Noop,
    /// A command that came by [`crate::NodeHandle::submit`].
    Command(Bytes),
    /// A record batch that came by [`crate::NodeHandle::propose`], exactly as it lies in the log.
    Batch(Bytes),
}

/// What a leader's state machine makes of a record batch that is about to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// Append these bytes (perhaps with offset and leader epoch patched in).
    Append(Bytes),
    /// Append nothing and answer this at once: the batch is refused, or its answer is already certain.
    Answer(Bytes),
    /// Append nothing; the batch is already in the log at this index. Answer with the response of that entry
    /// once it is applied, or as unknown if it is overwritten.
    SameAs(LogIndex),
}

/// A replicated state machine.
///
/// Order of calls: `appended` for every entry of the recovered log, then `appended`, `truncated` and `apply` as
/// the log grows; an entry is appended before it is applied, and a truncation never reaches an applied entry.
pub trait StateMachine: Send + 'static {
    /// On the leader, before a record batch of [`crate::NodeHandle::propose`] is appended at `at`. What it
    /// decides must rest on the entries appended so far, committed or not. Commands do not pass here.
    fn prepare(&mut self, at: LogId, batch: Bytes) -> Prepared {
        let _ = at;
        Prepared::Append(batch)
    }

    /// An entry was appended to this replica's log. It may never be committed.
    fn appended(&mut self, id: LogId, body: &Body) {
        let _ = (id, body);
    }

    /// All entries after `after` were dropped from this replica's log. None of them was committed.
    fn truncated(&mut self, after: LogIndex) {
        let _ = after;
    }

    /// The entry is committed. Returns the response for whoever asked for it (empty for a no-op).
    fn apply(&mut self, id: LogId, body: &Body) -> Bytes;

    /// Reads the applied state.
    fn query(&self, query: &[u8]) -> Bytes;

    /// Role, term or known leader of this replica changed.
    fn role_changed(&mut self, state: SoftState) {
        let _ = state;
    }
}
