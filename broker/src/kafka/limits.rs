//! How much a client may ask of a broker before the broker says no.

use std::time::Duration;

/// Bounds on connections, requests and answers. Each bounds memory or time that a stranger could otherwise take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, inclusive. One more is closed as soon as it is accepted.
    pub connections: usize,
    /// The largest request, inclusive, in bytes. One that declares more closes its connection before anything is
    /// allocated for it.
    pub max_request_bytes: usize,
    /// Requests of one connection that are not answered yet, inclusive. The next one is not read until one is.
    pub in_flight_requests: usize,
    /// Bytes of such requests, inclusive. Raised to `max_request_bytes` if it is less.
    pub in_flight_bytes: usize,
    /// Bytes of unanswered requests of all connections together, inclusive, counted as they arrive. Raised to
    /// `max_request_bytes` if it is less. When they are used up, requests wait, and those that were not complete in
    /// time close their connections.
    pub all_in_flight_bytes: usize,
    /// From a request's first byte to its last; also from a connection's beginning to the end of its first request.
    pub unfinished: Duration,
    /// How long a connection may have nothing to do.
    pub idle: Duration,
    /// How long a client may take none of the bytes of an answer.
    pub write_stall: Duration,
    /// The most record bytes of one fetch response, unless its first batch alone is larger.
    pub max_fetch_bytes: usize,
    /// How long a Metadata request waits for a topic that it creates.
    pub auto_create_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            max_request_bytes: 16 << 20,
            in_flight_requests: 64,
            in_flight_bytes: 32 << 20,
            all_in_flight_bytes: 1 << 30,
            unfinished: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            write_stall: Duration::from_secs(60),
            max_fetch_bytes: 50 << 20,
            auto_create_patience: Duration::from_secs(5),
        }
    }
}
