//! The whole metadata as bytes: for linearizable reads, and for comparing replicas.
//!
//! One version byte, then postcard of the flat form. Equal states give equal bytes. Decoding rebuilds the indexes
//! and checks every invariant, so what decodes can be trusted as if it had been applied here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{GroupId, LogIndex};
use serde::{Deserialize, Serialize};

use super::command::from_bytes;
use super::model::{Broker, Topic};
use super::state::Metadata;

/// The version of the encoding that this code writes, and the only one it reads.
const VERSION: u8 = 1;

/// Why bytes are no metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Written by another version.
    #[error("metadata of encoding version {found}; this version reads {VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// Not exactly one encoded state.
    #[error("{bytes} bytes that are not an encoded state")]
    Malformed {
        /// How many bytes there were.
        bytes: usize,
    },
    /// Well-formed, but no state that commands lead to.
    #[error("a state that breaks the law: {law}")]
    Unlawful {
        /// The law.
        law: &'static str,
    },
}

#[derive(Serialize)]
struct FlatRef<'a> {
    brokers: Vec<&'a Broker>,
    topics: Vec<&'a Topic>,
    deleted_groups: Vec<GroupId>,
    next_group: u32,
    next_incarnation: u32,
    next_producer_id: i64,
    changed_at: LogIndex,
}

#[derive(Deserialize)]
struct Flat {
    brokers: Vec<Broker>,
    topics: Vec<Topic>,
    deleted_groups: Vec<GroupId>,
    next_group: u32,
    next_incarnation: u32,
    next_producer_id: i64,
    changed_at: LogIndex,
}

impl Metadata {
    /// The whole state as bytes. Equal states give equal bytes; never empty.
    pub fn encode(&self) -> Bytes {
        let flat = FlatRef {
            brokers: self.brokers.values().map(Arc::as_ref).collect(),
            topics: self.topics.values().map(Arc::as_ref).collect(),
            deleted_groups: self.deleted_groups().collect(),
            next_group: self.next_group,
            next_incarnation: self.next_incarnation,
            next_producer_id: self.next_producer_id,
            changed_at: self.changed_at,
        };
        let encoded = postcard::to_extend(&flat, vec![VERSION]);
        Bytes::from(encoded.expect("values of known length always encode into memory"))
    }

    /// Reads what [`Metadata::encode`] wrote.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let malformed = DecodeError::Malformed { bytes: bytes.len() };
        let flat: Flat = match bytes.split_first() {
            None => return Err(malformed),
            Some((&VERSION, rest)) => from_bytes(rest).ok_or(malformed)?,
            Some((&found, _)) => return Err(DecodeError::Version { found }),
        };
        let counts = (flat.brokers.len(), flat.topics.len(), flat.deleted_groups.len());
        let metadata = index(flat);
        let unique = (metadata.brokers.len(), metadata.topics.len(), metadata.deleted_groups.len()) == counts;
        let lawful = if unique { metadata.check_invariants() } else { Err("nothing is listed twice") };
        lawful.map_err(|law| DecodeError::Unlawful { law })?;
        Ok(metadata)
    }
}

fn index(flat: Flat) -> Metadata {
    let topics: Vec<Arc<Topic>> = flat.topics.into_iter().map(Arc::new).collect();
    let first = |topic: &Arc<Topic>| topic.partitions.first().map(|p| p.group.number());
    let by_group: BTreeMap<_, _> = topics.iter().filter_map(|t| Some((first(t)?, t.clone()))).collect();
    Metadata {
        brokers: Arc::new(flat.brokers.into_iter().map(|b| (b.id(), Arc::new(b))).collect()),
        by_id: Arc::new(topics.iter().map(|t| (t.id, t.clone())).collect()),
        by_group: Arc::new(by_group),
        topics: Arc::new(topics.into_iter().map(|t| (t.name.clone(), t)).collect()),
        deleted_groups: Arc::new(flat.deleted_groups.into_iter().collect()),
        next_group: flat.next_group,
        next_incarnation: flat.next_incarnation,
        next_producer_id: flat.next_producer_id,
        changed_at: flat.changed_at,
    }
}
