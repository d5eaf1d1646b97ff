//! Names of requests, and the envelope in which a command lies in the log.
//!
//! Every command carries its request id, so that a retry after a lost answer is recognised and answered from
//! the first application. Sessions that expire come later.

use bytes::{BufMut, Bytes, BytesMut};
use raft_core::NodeId;
use serde::{Deserialize, Serialize};

/// Names one request over all its retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks.
    pub origin: Origin,
    /// Its number there, from 1, given out in order.
    pub sequence: u64,
    /// All requests of this origin below this number have their answers, so nobody will retry them.
    pub answered_below: u64,
}

/// One run of one node: request numbers start anew with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node.
    pub node: NodeId,
    /// A random number drawn when the process started.
    pub boot: u64,
}

/// Bytes that an envelope adds in front of a command.
pub const ENVELOPE_BYTES: usize = 32;

/// Puts a command into its envelope: node, boot, sequence, answered_below (u64, little-endian each), command.
pub fn seal(request: RequestId, command: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(ENVELOPE_BYTES + command.len());
    sealed.put_u64_le(request.origin.node.as_u64());
    sealed.put_u64_le(request.origin.boot);
    sealed.put_u64_le(request.sequence);
    sealed.put_u64_le(request.answered_below);
    sealed.put_slice(command);
    sealed.freeze()
}

/// Takes a command out of its envelope, without a copy. `None` when the bytes are too few to hold one.
pub fn open(sealed: &Bytes) -> Option<(RequestId, Bytes)> {
    let field = |at: usize| Some(u64::from_le_bytes(sealed.get(at..at + 8)?.try_into().ok()?));
    let origin = Origin { node: NodeId::new(field(0)?), boot: field(8)? };
    let request = RequestId { origin, sequence: field(16)?, answered_below: field(24)? };
    Some((request, sealed.slice(ENVELOPE_BYTES..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_gives_back_what_was_sealed() {
        let origin = Origin { node: NodeId::new(7), boot: 9 };
        let request = RequestId { origin, sequence: 3, answered_below: 2 };
        assert_eq!(open(&seal(request, b"deposit")), Some((request, Bytes::from_static(b"deposit"))));
        assert_eq!(open(&Bytes::from_static(b"short")), None);
    }
}
