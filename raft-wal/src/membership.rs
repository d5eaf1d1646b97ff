//! The payload of an entry that holds a membership.
//!
//! Of all entries the log looks into these alone: whoever opens a replica must know who takes part in it. It judges
//! nothing about them but that they are memberships. The bytes are those of postcard, the same on disk as on the wire.
//! Invariant: what is encoded here decodes to the same and is at most [`MEMBERSHIP_MAX`] bytes long; decoding allocates
//! no more than a small multiple of that bound, whatever the bytes.

use bytes::Bytes;
use raft_core::{LogId, Membership};

use crate::dump::DumpedEntry;
use crate::entry::{Entry, EntryKind};

/// The longest payload of an entry that holds a membership, inclusive, in bytes.
pub const MEMBERSHIP_MAX: usize = 1024;

/// Reads a membership from all of `payload`; `None` when that is too long, or is none.
pub(crate) fn decode(payload: &[u8]) -> Option<Membership> {
    if payload.len() > MEMBERSHIP_MAX {
        return None;
    }
    let (membership, rest) = postcard::take_from_bytes(payload).ok()?;
    rest.is_empty().then_some(membership)
}

impl Entry {
    /// The entry that puts `membership` in force.
    pub fn of_membership(id: LogId, membership: &Membership) -> Self {
        // A vector takes whatever is written to it. If it did not, `Wal::submit` would refuse the empty payload.
        let payload = postcard::to_allocvec(membership).unwrap_or_default();
        Self { id, kind: EntryKind::Membership, payload: Bytes::from(payload) }
    }

    /// The membership it holds. `None` for every other kind, and for a payload that is none.
    pub fn membership(&self) -> Option<Membership> {
        (self.kind == EntryKind::Membership).then(|| decode(&self.payload)).flatten()
    }
}

impl DumpedEntry {
    /// The membership it holds. `None` for every other kind, and for a payload that is none.
    pub fn membership(&self) -> Option<Membership> {
        (self.kind == EntryKind::Membership).then(|| decode(&self.payload)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft_core::{
        Configuration, DiskId, Learner, LogIndex, MAX_LEARNERS, MAX_VOTERS, NodeId, ReplicaId, Term,
    };

    use super::*;

    fn entry(membership: &Membership) -> Entry {
        Entry::of_membership(LogId::new(Term::new(1), LogIndex::new(1)), membership)
    }

    fn far(nth: usize) -> ReplicaId {
        ReplicaId::new(NodeId::new(u64::MAX - nth as u64), DiskId::new(u128::MAX - nth as u128))
    }

    #[test]
    fn the_largest_membership_is_within_the_bound() {
        let voters = |from: usize| Configuration::new((from..from + MAX_VOTERS).map(far)).unwrap();
        let learner = |nth| Learner { replica: far(100 + nth), replaces: Some(far(nth)) };
        let learners = (0..MAX_LEARNERS).map(learner).collect();
        let largest = Membership::new(voters(0), Some(voters(50)), learners).unwrap();
        let entry = entry(&largest);
        assert!(entry.payload.len() <= MEMBERSHIP_MAX, "{}", entry.payload.len());
        assert!(entry.payload.len() > MEMBERSHIP_MAX * 3 / 4, "{}", entry.payload.len());
        assert_eq!(entry.membership(), Some(largest));
    }

    #[test]
    fn the_membership_drawn_in_the_description_of_the_format_is_what_is_written() {
        let replica = |n: u64| ReplicaId::new(NodeId::new(n), DiskId::new(n.into()));
        let learner = Learner { replica: replica(3), replaces: Some(replica(2)) };
        let voters = Configuration::new([replica(1), replica(2)]).unwrap();
        let drawn = Membership::new(voters, None, vec![learner]).unwrap();
        let bytes = [2, 1, 1, 2, 2, 1, 1, 0, 1, 3, 3, 1, 2, 2];
        assert_eq!(entry(&drawn).payload[..], bytes);
    }

    #[test]
    fn bytes_too_many_or_too_few_are_no_membership() {
        let entry = entry(&Configuration::new([far(1), far(2), far(3)]).unwrap().into());
        for len in 0..entry.payload.len() {
            assert_eq!(decode(&entry.payload[..len]), None);
        }
        assert_eq!(decode(&[&entry.payload[..], &[0]].concat()), None);
        assert_eq!(decode(&vec![0; MEMBERSHIP_MAX + 1]), None);
    }

    #[test]
    fn a_node_listed_twice_makes_no_membership() {
        // Two voters of the same node, nobody named as first; no outgoing voters, no learners.
        assert!(decode(&[2, 1, 1, 2, 1, 0, 0, 0]).is_some());
        assert_eq!(decode(&[2, 1, 1, 1, 2, 0, 0, 0]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(membership) = decode(&bytes) {
                prop_assert_eq!(entry(&membership).membership(), Some(membership));
            }
        }
    }
}
