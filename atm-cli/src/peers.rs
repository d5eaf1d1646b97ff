//! The list of all ATMs, as it is typed: `1=127.0.0.1:6001,2=127.0.0.1:6002,3=127.0.0.1:6003`.
//!
//! Host names are not resolved here; that is done anew at each connection.

use std::collections::BTreeMap;
use std::str::FromStr;

use raft_core::{MAX_VOTERS, NodeId};

/// The ATMs of one bank: at least one, at most [`MAX_VOTERS`], each with the `HOST:PORT` of its peer port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers(BTreeMap<NodeId, String>);

/// Why a text is no list of ATMs. Each holds the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeersError {
    /// A part has another form.
    #[error("{part:?} is not ID=HOST:PORT; write all ATMs as 1=127.0.0.1:6001,2=127.0.0.1:6002,3=...")]
    Form {
        /// The part between two commas.
        part: String,
    },
    /// The id is not a number.
    #[error("{id:?} is no ATM number; use whole numbers such as 1, 2, 3")]
    Id {
        /// What stands before the `=`.
        id: String,
    },
    /// The address has no host, or its port is not 1 to 65535.
    #[error("{address:?} is not HOST:PORT with a port of 1 to 65535")]
    Address {
        /// What stands after the `=`.
        address: String,
    },
    /// An id stands there twice.
    #[error("ATM {0} is listed twice; list each once")]
    Repeated(NodeId),
    /// An address stands there twice.
    #[error("{address} is the address of two ATMs; each needs its own")]
    SharedAddress {
        /// The address.
        address: String,
    },
    /// There are too many.
    #[error("{count} ATMs are more than {MAX_VOTERS}; use 3 or 5")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

impl Peers {
    /// All ATMs and their addresses.
    pub fn addresses(&self) -> &BTreeMap<NodeId, String> {
        &self.0
    }

    /// Whether the ATM is one of them.
    pub fn contains(&self, id: NodeId) -> bool {
        self.0.contains_key(&id)
    }
}

impl FromStr for Peers {
    type Err = PeersError;

    fn from_str(text: &str) -> Result<Self, PeersError> {
        let count = text.split(',').count();
        if count > MAX_VOTERS {
            return Err(PeersError::TooMany { count });
        }
        let mut peers = BTreeMap::new();
        for part in text.split(',').map(str::trim) {
            let (id, address) =
                part.split_once('=').ok_or_else(|| PeersError::Form { part: part.to_owned() })?;
            let number = id.parse().map_err(|_| PeersError::Id { id: id.to_owned() })?;
            let (id, address) = (NodeId::new(number), address.to_owned());
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0)) {
                return Err(PeersError::Address { address });
            }
            if peers.values().any(|other| *other == address) {
                return Err(PeersError::SharedAddress { address });
            }
            if peers.insert(id, address).is_some() {
                return Err(PeersError::Repeated(id));
            }
        }
        Ok(Self(peers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_three_gives_three_addresses() {
        let peers: Peers = "1=127.0.0.1:6001, 2=localhost:6002,3=[::1]:6003".parse().unwrap();
        let listed: Vec<_> = peers.addresses().iter().map(|(id, at)| (id.as_u64(), at.as_str())).collect();
        assert_eq!(listed, [(1, "127.0.0.1:6001"), (2, "localhost:6002"), (3, "[::1]:6003")]);
        assert!(peers.contains(NodeId::new(2)) && !peers.contains(NodeId::new(4)));
    }

    #[test]
    fn other_texts_are_refused_and_name_the_wrong_part() {
        let read = |text: &str| text.parse::<Peers>().unwrap_err();
        assert!(matches!(read(""), PeersError::Form { .. }));
        assert!(matches!(read("127.0.0.1:6001"), PeersError::Form { .. }));
        assert!(matches!(read("1=a:1,"), PeersError::Form { .. }));
        assert!(matches!(read("one=a:1"), PeersError::Id { .. }));
        for address in ["a", ":1", "a:", "a:0", "a:65536", ""] {
            assert!(matches!(read(&format!("1={address}")), PeersError::Address { .. }), "{address:?}");
        }
        assert_eq!(read("1=a:1,1=a:2"), PeersError::Repeated(NodeId::new(1)));
        assert!(matches!(read("1=a:1,2=a:1"), PeersError::SharedAddress { .. }));
        let eight = (1..=8).map(|n| format!("{n}=a:{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&eight), PeersError::TooMany { count: 8 });
    }
}
