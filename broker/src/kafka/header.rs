//! The header that every request begins with.

use bytes::Bytes;

use super::api::{Api, Served};
use super::wire::{Cursor, Layout, Malformed};

/// A request whose header has been read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What is asked, and how it is laid out.
    pub(crate) served: &'static Served,
    /// The version of the request and of its response. Within the served range, except for ApiVersions.
    pub(crate) version: i16,
    /// Comes back in the response.
    pub(crate) correlation_id: i32,
    /// The whole frame without its length.
    pub(crate) frame: Bytes,
    /// Where the body begins in the frame. Meaningless for an ApiVersions request of an unknown version.
    pub(crate) body_at: usize,
}

/// Why a frame is not a request that can be answered. The connection is closed, as Kafka does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// Nothing here has this number.
    #[error("request key {key} (version {version}) is not served here{client}")]
    UnknownKey {
        /// The number.
        key: i16,
        /// The version asked for.
        version: i16,
        /// Who asked, if it said so.
        client: Client,
    },
    /// Served, and not in this version.
    #[error("{api:?} version {version} is not served here (served: {min} to {max}){client}")]
    UnknownVersion {
        /// Which request.
        api: Api,
        /// The version asked for.
        version: i16,
        /// Lowest version served.
        min: i16,
        /// Highest version served, inclusive.
        max: i16,
        /// Who asked, if it said so.
        client: Client,
    },
    /// Not a header.
    #[error("not a Kafka request: {0}")]
    Malformed(#[from] Malformed),
}

/// What a client calls itself, at most [`Client::MAX`] characters of it, for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client(Option<String>);

impl Client {
    /// How much of a name is kept, in characters.
    const MAX: usize = 64;

    fn of(cursor: &mut Cursor<'_>) -> Self {
        let name = cursor.text(Layout::Classic, "client id").ok().flatten();
        Self(name.map(|name| name.chars().take(Self::MAX).collect()))
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, "; client {name:?}"))
    }
}

impl Request {
    /// Reads the header of a frame. The client's name is only used to word errors.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub(crate) fn parse(frame: Bytes) -> Result<Self, HeaderError> {
        let mut cursor = Cursor::new(&frame, 0);
        let key = cursor.i16("api key")?;
        let version = cursor.i16("api version")?;
        let correlation_id = cursor.i32("correlation id")?;
        let Some(served) = Served::by_key(key) else {
            return Err(HeaderError::UnknownKey { key, version, client: Client::of(&mut cursor) });
        };
        let mut body_at = frame.len();
        if served.has(version) {
            cursor.skip_text(Layout::Classic, "client id")?;
            cursor.skip_tags(served.layout(version))?;
            body_at = cursor.position();
        } else if served.api != Api::ApiVersions {
            let (api, min, max) = (served.api, served.min, served.max);
            let client = Client::of(&mut cursor);
            return Err(HeaderError::UnknownVersion { api, version, min, max, client });
        }
        Ok(Self { served, version, correlation_id, frame, body_at })
    }

    /// A cursor at the body.
    pub(crate) fn body(&self) -> Cursor<'_> {
        Cursor::new(&self.frame, self.body_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(key: i16, version: i16, rest: &[u8]) -> Bytes {
        let mut bytes = Vec::new();
        bytes.extend(key.to_be_bytes());
        bytes.extend(version.to_be_bytes());
        bytes.extend(7i32.to_be_bytes());
        bytes.extend(rest);
        bytes.into()
    }

    #[test]
    fn the_body_begins_after_client_id_and_tags() {
        let classic = Request::parse(frame(3, 8, b"\x00\x02meBODY")).expect("a request");
        assert_eq!(classic.body_at, 12);
        assert_eq!(classic.correlation_id, 7);
        let flexible = Request::parse(frame(3, 9, b"\xff\xff\x01\x05\x01xBODY")).expect("a request");
        assert_eq!(flexible.body_at, 14);
    }

    #[test]
    fn an_unknown_key_or_version_names_itself_and_the_client() {
        let refused = Request::parse(frame(11, 5, b"\x00\x02me")).expect_err("JoinGroup is not served");
        assert_eq!(refused.to_string(), "request key 11 (version 5) is not served here; client \"me\"");
        let refused = Request::parse(frame(1, 13, b"\xff\xff")).expect_err("Fetch 13 is not served");
        assert_eq!(refused.to_string(), "Fetch version 13 is not served here (served: 4 to 12)");
    }

    #[test]
    fn api_versions_is_taken_in_any_version() {
        for version in [-1, 5, 99, i16::MAX] {
            assert!(Request::parse(frame(18, version, b"")).is_ok());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Request::parse(bytes.into());
        }

        #[test]
        fn any_bytes_after_a_known_key_are_judged_without_a_panic(
            row in 0..super::super::api::SERVED.len(),
            version in 0..13i16,
            rest in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = Request::parse(frame(super::super::api::SERVED[row].key, version, &rest));
        }
    }
}
