//! The state machine of simulated groups: a log of operations, and a digest of all of it.
//!
//! It shows the oracle everything that it is shown, in order. Invariant: its state depends on the entries alone.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::{GroupId, LogId, LogIndex, SoftState};
use raft_net::{Body, StateMachine};

use crate::oracle::content;
use crate::rng::fold;

/// Something that a state machine was shown or did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    /// An entry was appended.
    Appended { id: LogId, content: u64, operation: Option<u64> },
    /// Entries after this one were dropped.
    Truncated(LogIndex),
    /// An entry was applied, and this is the state after it.
    Applied { id: LogId, content: u64, operation: Option<u64>, digest: u64 },
    /// Role, term or leader changed.
    Role(SoftState),
}

/// What the state machines of one process have shown, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observations(Arc<Mutex<Vec<(GroupId, Shown)>>>);

impl Observations {
    fn push(&self, group: GroupId, shown: Shown) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((group, shown));
    }

    /// Moves all of it into an empty vector.
    pub(crate) fn drain_into(&self, out: &mut Vec<(GroupId, Shown)>) {
        std::mem::swap(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), out);
    }
}

/// What an operation or a read is answered with: the last index applied and the state after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) index: u64,
    pub(crate) digest: u64,
}

impl Reply {
    /// Its bytes.
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_u64_le(self.index);
        out.put_u64_le(self.digest);
        out.freeze()
    }

    /// The reply of these bytes; `None` when they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (index, digest) = bytes.split_at_checked(8)?;
        let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        Some(Self { index: number(index)?, digest: number(digest)? })
    }
}

/// Makes the bytes of an operation: its number, then `padding` bytes that depend on it.
pub(crate) fn operation(number: u64, padding: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + padding);
    out.put_u64_le(number);
    out.put_bytes(number as u8, padding);
    out.freeze()
}

fn number_of(body: &Body) -> Option<u64> {
    match body {
        Body::Noop => None,
        Body::Command(bytes) | Body::Batch(bytes) => {
            Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Machine {
    group: GroupId,
    observations: Observations,
    state: Reply,
}

impl Machine {
    pub(crate) fn new(group: GroupId, observations: Observations) -> Self {
        Self { group, observations, state: Reply { index: 0, digest: 0 } }
    }
}

impl StateMachine for Machine {
    fn appended(&mut self, id: LogId, body: &Body) {
        let shown = Shown::Appended { id, content: content::of_body(body), operation: number_of(body) };
        self.observations.push(self.group, shown);
    }

    fn truncated(&mut self, after: LogIndex) {
        self.observations.push(self.group, Shown::Truncated(after));
    }

    fn apply(&mut self, id: LogId, body: &Body) -> Bytes {
        let content = content::of_body(body);
        self.state = Reply { index: id.index.as_u64(), digest: fold(self.state.digest, content) };
        let (operation, digest) = (number_of(body), self.state.digest);
        self.observations.push(self.group, Shown::Applied { id, content, operation, digest });
        self.state.encode()
    }

    fn query(&self, _query: &[u8]) -> Bytes {
        self.state.encode()
    }

    fn role_changed(&mut self, state: SoftState) {
        self.observations.push(self.group, Shown::Role(state));
    }
}
