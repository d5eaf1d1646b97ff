//! What an entry is, as one number: checkers compare hashes, never payloads.

use raft_net::Body;
use raft_net::request::{ENVELOPE_BYTES, RequestId, open};
use raft_wal::EntryKind;

use crate::rng::{fold, hash_bytes};

/// What a state machine is shown of an entry.
pub(crate) fn of_body(body: &Body) -> u64 {
    match body {
        Body::Noop => of_shown(EntryKind::Noop, &[]),
        Body::Command(command) => of_shown(EntryKind::Command, command),
        Body::Batch(batch) => of_shown(EntryKind::Batch, batch),
    }
}

/// The same, of an entry as it lies on a disk or travels: a command without its envelope.
pub(crate) fn of_payload(kind: EntryKind, payload: &[u8]) -> u64 {
    match kind {
        EntryKind::Command => of_shown(kind, payload.get(ENVELOPE_BYTES..).unwrap_or_default()),
        // A state machine learns of a change of membership that an entry was there, and no more.
        EntryKind::Membership => of_shown(EntryKind::Noop, &[]),
        _ => of_shown(kind, payload),
    }
}

/// The request that a command on a disk or in a frame came with.
pub(crate) fn request_of(kind: EntryKind, payload: &[u8]) -> Option<RequestId> {
    let envelope = payload.get(..ENVELOPE_BYTES).filter(|_| kind == EntryKind::Command)?;
    open(&bytes::Bytes::copy_from_slice(envelope)).map(|(request, _)| request)
}

/// All bytes of an entry, the envelope included.
pub(crate) fn raw(kind: EntryKind, payload: &[u8]) -> u64 {
    hash_bytes(!u64::from(kind.code()), payload)
}

fn of_shown(kind: EntryKind, bytes: &[u8]) -> u64 {
    hash_bytes(u64::from(kind.code()), bytes)
}

/// The hash of a log that ends in an entry, given that of the log before it.
pub(crate) fn chain(before: u64, term: u64, content: u64) -> u64 {
    fold(fold(before, term), content)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_core::NodeId;
    use raft_net::request::{Origin, seal};

    use super::*;

    #[test]
    fn a_sealed_command_is_what_its_state_machine_is_shown() {
        let request =
            RequestId { origin: Origin { node: NodeId::new(1), boot: 2 }, sequence: 3, answered_below: 4 };
        let command = Bytes::from_static(b"append 7");
        let sealed = seal(request, &command);
        assert_eq!(of_payload(EntryKind::Command, &sealed), of_body(&Body::Command(command.clone())));
        assert_ne!(of_payload(EntryKind::Batch, &command), of_body(&Body::Command(command)));
    }
}
