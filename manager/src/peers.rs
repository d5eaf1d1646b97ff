//! The list of managers as it stands on a command line: `ID=HOST:PORT,ID=HOST:PORT,...`.
//!
//! Managers and brokers take the same list, so it is parsed in one place. Invariant: 1 to [`MAX_VOTERS`]
//! nodes, no id and no address twice.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use raft_core::{MAX_VOTERS, NodeId};

use crate::address::{AddressError, HostPort};

/// The voters of the managers' group and where each listens for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerList {
    peers: BTreeMap<NodeId, HostPort>,
}

/// Why a text is no list of peers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerListError {
    /// Nothing is listed.
    #[error("the list is empty; write ID=HOST:PORT,ID=HOST:PORT,...")]
    Empty,
    /// One item has no `=`.
    #[error("'{item}' has no '='; write ID=HOST:PORT")]
    NoEquals {
        /// The item.
        item: String,
    },
    /// One item's id is no number.
    #[error("'{id}' in '{item}' is no node id; use a whole number, as in 101=127.0.0.1:7101")]
    BadId {
        /// What stands where the id should.
        id: String,
        /// The item.
        item: String,
    },
    /// One item's address is malformed.
    #[error("in '{item}': {why}")]
    BadAddress {
        /// The item.
        item: String,
        /// What is wrong with it.
        why: AddressError,
    },
    /// Two items name the same node.
    #[error("node {0} is listed twice; list each node once")]
    RepeatedId(NodeId),
    /// Two items name the same address.
    #[error("nodes {first} and {second} are both at {address}; each node needs its own")]
    RepeatedAddress {
        /// Listed first, by id.
        first: NodeId,
        /// Listed second, by id.
        second: NodeId,
        /// Their address.
        address: HostPort,
    },
    /// More nodes than a group may have voters.
    #[error("{0} nodes are more than the {MAX_VOTERS} that may vote; use 3 or 5")]
    TooMany(usize),
}

impl PeerList {
    /// Makes a list of pairs.
    ///
    /// # Errors
    /// When there are none or too many, or an id or an address stands there twice.
    pub fn new(pairs: impl IntoIterator<Item = (NodeId, HostPort)>) -> Result<Self, PeerListError> {
        let mut peers: BTreeMap<NodeId, HostPort> = BTreeMap::new();
        for (seen, (id, address)) in pairs.into_iter().enumerate() {
            if peers.contains_key(&id) {
                return Err(PeerListError::RepeatedId(id));
            }
            if seen >= MAX_VOTERS {
                return Err(PeerListError::TooMany(seen + 1));
            }
            if let Some((&other, _)) = peers.iter().find(|(_, known)| **known == address) {
                return Err(PeerListError::RepeatedAddress { first: other, second: id, address });
            }
            peers.insert(id, address);
        }
        if peers.is_empty() { Err(PeerListError::Empty) } else { Ok(Self { peers }) }
    }

    /// The nodes, by ascending id, with their addresses.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &HostPort)> {
        self.peers.iter().map(|(id, address)| (*id, address))
    }

    /// Where this node listens, if it is listed.
    pub fn address(&self, id: NodeId) -> Option<&HostPort> {
        self.peers.get(&id)
    }

    /// Whether this node is listed.
    pub fn contains(&self, id: NodeId) -> bool {
        self.peers.contains_key(&id)
    }

    /// How many are listed, at least 1.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// The list in the form that [`raft_net::NodeConfig::founders`] takes.
    pub fn to_founders(&self) -> BTreeMap<NodeId, String> {
        self.iter().map(|(id, address)| (id, address.to_string())).collect()
    }
}

impl FromStr for PeerList {
    type Err = PeerListError;

    fn from_str(text: &str) -> Result<Self, PeerListError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PeerListError::Empty);
        }
        let count = text.split(',').count();
        if count > MAX_VOTERS {
            return Err(PeerListError::TooMany(count));
        }
        let pairs: Result<Vec<_>, _> = text.split(',').map(|item| parse_item(item.trim())).collect();
        Self::new(pairs?)
    }
}

impl fmt::Display for PeerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (id, address)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{id}={address}")?;
        }
        Ok(())
    }
}

fn parse_item(item: &str) -> Result<(NodeId, HostPort), PeerListError> {
    let Some((id, address)) = item.split_once('=') else {
        return Err(PeerListError::NoEquals { item: item.to_owned() });
    };
    let (id, address) = (id.trim(), address.trim());
    let digits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    let id = match id.parse() {
        Ok(number) if digits => NodeId::new(number),
        _ => return Err(PeerListError::BadId { id: id.to_owned(), item: item.to_owned() }),
    };
    match address.parse() {
        Ok(address) => Ok((id, address)),
        Err(why) => Err(PeerListError::BadAddress { item: item.to_owned(), why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "101=127.0.0.1:7101,102=127.0.0.1:7102,103=[::1]:7103";

    fn parse(text: &str) -> Result<PeerList, PeerListError> {
        text.parse()
    }

    #[test]
    fn a_list_comes_back_as_it_was_written_sorted_by_id() {
        assert_eq!(parse(THREE).unwrap().to_string(), THREE);
        assert_eq!(parse(" 2=b:2 , 1=a:1 ").unwrap().to_string(), "1=a:1,2=b:2");
        let founders = parse(THREE).unwrap().to_founders();
        assert_eq!(founders[&NodeId::new(103)], "[::1]:7103");
    }

    #[test]
    fn each_mistake_is_named_with_the_item_that_holds_it() {
        assert_eq!(parse("  "), Err(PeerListError::Empty));
        assert!(matches!(parse("1=a:1,"), Err(PeerListError::NoEquals { item }) if item.is_empty()));
        assert!(matches!(parse("a:1"), Err(PeerListError::NoEquals { item }) if item == "a:1"));
        assert!(matches!(parse("x=a:1"), Err(PeerListError::BadId { id, .. }) if id == "x"));
        assert!(matches!(parse("+1=a:1"), Err(PeerListError::BadId { .. })));
        assert!(matches!(parse("1=a"), Err(PeerListError::BadAddress { item, .. }) if item == "1=a"));
        assert_eq!(parse("1=a:1,1=b:1"), Err(PeerListError::RepeatedId(NodeId::new(1))));
        assert!(matches!(parse("1=a:1,2=a:1"), Err(PeerListError::RepeatedAddress { .. })));
        let eight: Vec<String> = (1..=8).map(|n| format!("{n}=h:{n}")).collect();
        assert_eq!(parse(&eight.join(",")), Err(PeerListError::TooMany(8)));
    }
}
