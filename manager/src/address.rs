//! A host and a port, as people write them: `HOST:PORT`.
//!
//! Nothing is resolved here; a name stays a name until somebody connects. Invariant: the host is 1 to 255 bytes
//! of letters, digits, `.`, `-`, `_` and (in IPv6 addresses) `:` and `%`; the port is not 0.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest host, inclusive, in bytes.
pub const MAX_HOST_BYTES: usize = 255;

/// Where something can be reached. `Display` and [`FromStr`] use `HOST:PORT`, with brackets around IPv6.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(String, u16)", into = "(String, u16)")]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a text is no `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no colon between host and port.
    #[error("'{text}' names no port; write HOST:PORT")]
    NoPort {
        /// What was given.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("'{text}' is no port; use a number from 1 to 65535")]
    BadPort {
        /// What stands where the port should.
        text: String,
    },
    /// The host is empty, too long or has a character that no host has.
    #[error(
        "'{host}' is no host; use a name or an IP address of at most {MAX_HOST_BYTES} bytes (IPv6 in brackets)"
    )]
    BadHost {
        /// What stands where the host should, cut after [`MAX_HOST_BYTES`] characters.
        host: String,
    },
}

impl HostPort {
    /// Pairs a host (IPv6 without brackets) with a port.
    ///
    /// # Errors
    /// When the host is malformed or the port is 0.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, AddressError> {
        let host = host.into();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.chars().all(legal) {
            return Err(AddressError::BadHost { host: host.chars().take(MAX_HOST_BYTES).collect() });
        }
        if port == 0 {
            return Err(AddressError::BadPort { text: "0".to_owned() });
        }
        Ok(Self { host, port })
    }

    /// The host, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(AddressError::NoPort { text: text.chars().take(MAX_HOST_BYTES).collect() });
        };
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            // Without brackets nobody can tell where an IPv6 address ends and the port begins.
            return Err(AddressError::BadHost { host: host.chars().take(MAX_HOST_BYTES).collect() });
        }
        let bad_port = || AddressError::BadPort { text: port.chars().take(MAX_HOST_BYTES).collect() };
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad_port());
        }
        Self::new(bracketed.unwrap_or(host), port.parse().map_err(|_| bad_port())?)
    }
}

impl TryFrom<SocketAddr> for HostPort {
    type Error = AddressError;

    fn try_from(address: SocketAddr) -> Result<Self, AddressError> {
        Self::new(address.ip().to_string(), address.port())
    }
}

impl TryFrom<(String, u16)> for HostPort {
    type Error = AddressError;

    fn try_from((host, port): (String, u16)) -> Result<Self, AddressError> {
        Self::new(host, port)
    }
}

impl From<HostPort> for (String, u16) {
    fn from(address: HostPort) -> Self {
        (address.host, address.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_comes_back_as_they_wrote_it() {
        for text in
            ["127.0.0.1:9092", "broker-1.example.org:1", "my_host:65535", "[::1]:7101", "[fe80::1%eth0]:7"]
        {
            assert_eq!(text.parse::<HostPort>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("[::1]:7101".parse::<HostPort>().unwrap().host(), "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_part_that_is_wrong() {
        assert!(matches!("localhost".parse::<HostPort>(), Err(AddressError::NoPort { .. })));
        for port in ["", "0", "65536", "-1", "+1", "http"] {
            let text = format!("localhost:{port}");
            assert!(matches!(text.parse::<HostPort>(), Err(AddressError::BadPort { .. })), "{text}");
        }
        for host in ["", "a b", "h/x", "::1", "ü", &"x".repeat(256)] {
            let text = format!("{host}:1");
            assert!(matches!(text.parse::<HostPort>(), Err(AddressError::BadHost { .. })), "{text}");
        }
    }
}
