//! The bounds of a node: what it keeps waiting, and for how long.

use std::time::Duration;

/// Bounds and intervals of one node. Beyond a bound, requests are refused and say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that have no answer yet, over all groups. More are refused as overloaded. Default 65,536.
    pub pending_requests: usize,
    /// Bytes handed to the log and not yet written. While there are more, proposals are refused as overloaded and
    /// appends of peers are left for them to send again. Default 64 MiB.
    pub unwritten_bytes: usize,
    /// The most bytes of a command or batch, inclusive. Default 8 MiB.
    pub command_bytes: usize,
    /// How often connected nodes tell each other that they live. Default 100 ms.
    pub ping_interval: Duration,
    /// When a write has been on its way for longer, the node stops speaking as leader, so that a stalled disk loses
    /// leadership. Default 500 ms.
    pub disk_stall: Duration,
    /// How often requests that found no leader are tried again. Default 50 ms.
    pub retry_interval: Duration,
    /// A command or a read handed to a leader is sent again after so long without a word: its frame may be lost.
    /// Default 500 ms.
    pub resend_after: Duration,
    /// After so long without a write, the log writes down what is durable. Default 100 ms.
    pub idle_mark: Duration,
    /// Bytes of committed entries that a group applies before others get their turn. Default 4 MiB.
    pub apply_bytes: u64,
    /// Bytes of entries applied and sent, over all groups, before inputs are looked at again. Default 16 MiB.
    pub pump_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_requests: 65_536,
            unwritten_bytes: 64 << 20,
            command_bytes: 8 << 20,
            ping_interval: Duration::from_millis(100),
            disk_stall: Duration::from_millis(500),
            retry_interval: Duration::from_millis(50),
            resend_after: Duration::from_millis(500),
            idle_mark: Duration::from_millis(100),
            apply_bytes: 4 << 20,
            pump_bytes: 16 << 20,
        }
    }
}
