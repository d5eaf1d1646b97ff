//! The requests this broker serves, and in which versions.
//!
//! One table: what is advertised is what is served, with one exception. Produce is advertised from version 0 and
//! served from 3, as Kafka 4 does, because librdkafka before 2.11 turns compression off when the lowest version is
//! above 0 (KAFKA-18659). Versions 0 to 2 are answered, with UNSUPPORTED_VERSION.
//!
//! Nothing is advertised that is a stub: clients switch whole features on by presence. That is also why
//! OffsetForLeaderEpoch and the group requests are absent.

use super::wire::Layout;

/// A kind of request, named as Kafka names it.
#[allow(clippy::enum_variant_names)] // "ApiVersions" is its name
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    /// Append record batches.
    Produce,
    /// Read record batches.
    Fetch,
    /// Find offsets by time, or the ends of a partition.
    ListOffsets,
    /// Brokers, topics, leaders.
    Metadata,
    /// Which broker coordinates a group.
    FindCoordinator,
    /// This table.
    ApiVersions,
    /// Create topics.
    CreateTopics,
    /// Delete topics.
    DeleteTopics,
    /// Hand out a producer id.
    InitProducerId,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// Which request.
    pub(crate) api: Api,
    /// Its number on the wire.
    pub(crate) key: i16,
    /// Lowest version advertised.
    pub(crate) min: i16,
    /// Highest version advertised and served, inclusive.
    pub(crate) max: i16,
    /// First version in the flexible layout.
    pub(crate) flexible_from: i16,
}

/// Everything served, by key.
pub(crate) const SERVED: [Served; 9] = [
    Served { api: Api::Produce, key: 0, min: 0, max: 9, flexible_from: 9 },
    Served { api: Api::Fetch, key: 1, min: 4, max: 12, flexible_from: 12 },
    Served { api: Api::ListOffsets, key: 2, min: 1, max: 7, flexible_from: 6 },
    Served { api: Api::Metadata, key: 3, min: 0, max: 12, flexible_from: 9 },
    Served { api: Api::FindCoordinator, key: 10, min: 0, max: 4, flexible_from: 3 },
    Served { api: Api::ApiVersions, key: 18, min: 0, max: 4, flexible_from: 3 },
    Served { api: Api::CreateTopics, key: 19, min: 2, max: 7, flexible_from: 5 },
    Served { api: Api::DeleteTopics, key: 20, min: 1, max: 6, flexible_from: 4 },
    Served { api: Api::InitProducerId, key: 22, min: 0, max: 4, flexible_from: 2 },
];

/// The lowest Produce version that is served and not only answered.
pub(crate) const PRODUCE_SERVED_FROM: i16 = 3;

impl Served {
    /// The row of a key; `None` if it is not served.
    pub(crate) fn by_key(key: i16) -> Option<&'static Served> {
        SERVED.iter().find(|served| served.key == key)
    }

    /// Whether `version` is answered.
    pub(crate) fn has(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// The layout of requests and responses of `version`.
    pub(crate) fn layout(&self, version: i16) -> Layout {
        if version >= self.flexible_from { Layout::Flexible } else { Layout::Classic }
    }

    /// The layout of the response's header: that of ApiVersions is classic in every version, because a client
    /// reads it before it knows what the broker speaks (KIP-511).
    pub(crate) fn response_header_layout(&self, version: i16) -> Layout {
        if self.api == Api::ApiVersions { Layout::Classic } else { self.layout(version) }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    #[test]
    fn keys_layouts_and_versions_are_those_of_kafkas_definitions() {
        for served in &SERVED {
            let key = ApiKey::try_from(served.key).expect("a key of Kafka's");
            assert_eq!(format!("{key:?}"), format!("{:?}", served.api));
            let known = key.valid_versions();
            for version in served.min.max(known.min)..=served.max {
                let request = if served.layout(version) == Layout::Flexible { 2 } else { 1 };
                assert_eq!(key.request_header_version(version), request, "{key:?} v{version}");
                let response = i16::from(served.response_header_layout(version) == Layout::Flexible);
                assert_eq!(key.response_header_version(version), response, "{key:?} v{version}");
            }
            assert!(served.max <= known.max, "{key:?}");
        }
    }
}
