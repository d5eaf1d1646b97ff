//! The metadata as a state machine of raft-net, and the view of it that the rest of the process reads.
//!
//! The machine runs on the node's task and publishes a new version of the metadata after each entry that changed
//! something, before the response is given to whoever asked. So a task that has its answer finds its own change
//! in the view. Invariant: the view only moves forward in [`Metadata::changed_at`].

use std::sync::Arc;

use bytes::Bytes;
use raft_core::{LogId, LogIndex};
use raft_net::{Body, StateMachine};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::metadata::command::{from_bytes, to_bytes};
use crate::metadata::{Command, Metadata, Response};

/// The state machine of the managers' group. Managers give it to [`raft_net::start`] as founders, brokers as
/// standing learners.
pub struct MetadataMachine {
    state: Arc<Metadata>,
    applied: LogIndex,
    view: watch::Sender<Arc<Metadata>>,
}

/// The metadata as this node has applied it, and news of its changes. Cheap to clone; each clone remembers for
/// itself what it has seen. Needs no majority, and may be older than what the leader has.
#[derive(Clone, Debug)]
pub struct MetadataView {
    versions: watch::Receiver<Arc<Metadata>>,
}

/// The node that applied the metadata has stopped; there will be no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node has stopped applying metadata")]
pub struct ViewClosed;

/// What may be asked with [`raft_net::NodeHandle::query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// The whole metadata; answered with [`Metadata::encode`].
    Whole,
    /// The index of the last entry applied; answered with a [`LogIndex`] in postcard. With
    /// [`raft_net::Consistency::Linearizable`] it makes the local view current without copying it.
    Applied,
}

impl MetadataMachine {
    /// A machine that has applied nothing, and the view of it.
    pub fn new() -> (Self, MetadataView) {
        let state = Arc::new(Metadata::default());
        let (view, versions) = watch::channel(state.clone());
        (Self { state, applied: LogIndex::ZERO, view }, MetadataView { versions })
    }

    fn apply_command(&mut self, at: LogIndex, command: &[u8]) -> Response {
        let Some(command) = Command::decode(command) else {
            tracing::warn!(index = %at, bytes = command.len(), "apply: an entry holds no command of this version");
            return Response::Malformed;
        };
        let before = self.state.changed_at();
        let response = Arc::make_mut(&mut self.state).apply(at, command);
        if self.state.changed_at() != before {
            self.view.send_replace(self.state.clone());
        }
        response
    }
}

impl StateMachine for MetadataMachine {
    fn apply(&mut self, id: LogId, body: &Body) -> Bytes {
        self.applied = id.index;
        match body {
            Body::Noop => Bytes::new(),
            Body::Command(command) => self.apply_command(id.index, command).encode(),
            Body::Batch(_) => Response::Malformed.encode(),
        }
    }

    /// Answers a [`Query`]; anything else is answered with no bytes.
    fn query(&self, query: &[u8]) -> Bytes {
        match from_bytes(query) {
            Some(Query::Whole) => self.state.encode(),
            Some(Query::Applied) => to_bytes(&self.applied),
            None => Bytes::new(),
        }
    }
}

impl Query {
    /// The query as it travels.
    pub fn encode(self) -> Bytes {
        to_bytes(&self)
    }
}

impl MetadataView {
    /// The newest version this node has applied.
    pub fn current(&self) -> Arc<Metadata> {
        self.versions.borrow().clone()
    }

    /// Waits until there is a version that this clone has not seen, and returns the newest.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn changed(&mut self) -> Result<Arc<Metadata>, ViewClosed> {
        self.versions.changed().await.map_err(|_| ViewClosed)?;
        Ok(self.versions.borrow_and_update().clone())
    }

    /// Waits until a version satisfies `wanted`, beginning with the current one. Versions in between may be
    /// skipped.
    ///
    /// # Errors
    /// When the node has stopped first.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&Metadata) -> bool,
    ) -> Result<Arc<Metadata>, ViewClosed> {
        match self.versions.wait_for(|metadata| wanted(metadata)).await {
            Ok(metadata) => Ok(metadata.clone()),
            Err(_) => Err(ViewClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use raft_core::Term;

    use super::*;
    use crate::metadata::tests::{broker, register};

    fn at(index: u64) -> LogId {
        LogId::new(Term::new(1), LogIndex::new(index))
    }

    fn command(command: &Command) -> Body {
        Body::Command(command.encode())
    }

    #[test]
    fn a_change_is_in_the_view_when_its_response_is_given() {
        let (mut machine, mut view) = MetadataMachine::new();
        assert!(machine.apply(at(1), &Body::Noop).is_empty());
        assert!(!view.versions.has_changed().unwrap());
        let response = machine.apply(at(2), &command(&register(1)));
        assert!(matches!(Response::decode(&response), Some(Response::RegisterBroker(Ok(_)))));
        assert_eq!(view.current().changed_at(), LogIndex::new(2));
        assert!(view.versions.has_changed().unwrap());
        view.versions.mark_unchanged();
        machine.apply(at(3), &command(&register(1)));
        assert!(!view.versions.has_changed().unwrap(), "an entry that changes nothing wakes nobody");
    }

    #[test]
    fn what_is_no_command_changes_nothing_and_is_answered_malformed() {
        let (mut machine, view) = MetadataMachine::new();
        let garbage = [Body::Command(Bytes::new()), Body::Command(Bytes::from_static(b"\xff\xff\x01")), {
            let mut long = register(1).encode().to_vec();
            long.push(0);
            Body::Command(long.into())
        }];
        for (index, body) in (1..).zip(garbage) {
            assert_eq!(Response::decode(&machine.apply(at(index), &body)), Some(Response::Malformed));
        }
        let batch = Body::Batch(register(1).encode());
        assert_eq!(Response::decode(&machine.apply(at(9), &batch)), Some(Response::Malformed));
        assert_eq!(*view.current(), Metadata::default());
    }

    #[test]
    fn queries_read_what_is_applied() {
        let (mut machine, view) = MetadataMachine::new();
        machine.apply(at(1), &command(&register(1)));
        machine.apply(at(2), &Body::Noop);
        let whole = Metadata::decode(&machine.query(&Query::Whole.encode())).unwrap();
        assert_eq!(whole, *view.current());
        let applied: LogIndex = from_bytes(&machine.query(&Query::Applied.encode())).unwrap();
        assert_eq!(applied, LogIndex::new(2));
        assert!(machine.query(b"").is_empty());
        assert!(machine.query(b"\x07").is_empty());
    }

    #[tokio::test]
    async fn a_view_waits_for_what_it_wants_and_learns_of_the_end() {
        let (mut machine, mut view) = MetadataMachine::new();
        let wanted = broker(2).id();
        let waiting =
            tokio::spawn(async move { (view.wait_for(|m| m.broker(wanted).is_some()).await, view) });
        machine.apply(at(1), &command(&register(1)));
        machine.apply(at(2), &command(&register(2)));
        let (found, mut view) = waiting.await.unwrap();
        assert_eq!(found.unwrap().changed_at(), LogIndex::new(2));
        drop(machine);
        assert_eq!(view.changed().await, Err(ViewClosed));
        assert!(view.current().broker(wanted).is_some(), "what was applied stays readable");
    }
}
