//! The knobs of one replica, validated once.

use core::time::Duration;

/// Times and windows of one replica. The defaults suit replicas within one data centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A follower that hears nothing from a leader for a time drawn from `[election_timeout, 2 * election_timeout)`
    /// campaigns. A leader that hears from no quorum for `election_timeout` steps down. Default 500 ms.
    pub election_timeout: Duration,
    /// A leader speaks to each peer at least this often. Must be less than a third of `election_timeout`. Default 100 ms.
    pub heartbeat_interval: Duration,
    /// After the host reports that the leader's node is gone, a follower campaigns after a time drawn from
    /// `[0, suspicion_spread)`. Default 100 ms.
    pub suspicion_spread: Duration,
    /// At most so many appends with entries are unanswered per follower. At least 1. Default 64.
    pub max_inflight_appends: usize,
    /// At most so many bytes of entries are unanswered per follower, except that one append is always allowed.
    /// Default 8 MiB.
    pub max_inflight_bytes: u64,
    /// At most so many bytes of entries go into one append, except that one entry is always allowed. Default 1 MiB.
    pub max_append_bytes: u64,
    /// A leader refuses proposals while so many entries are appended and not committed. Default 65,536.
    pub max_uncommitted_entries: u64,
    /// At most so many reads wait for confirmation; more are refused. Default 65,536.
    pub max_pending_reads: usize,
    /// A promotable learner becomes a voter once it lacks at most so many committed entries. Zero is legal, and asks for
    /// all of them, which a busy group may never see. Default 64.
    pub promotion_lag: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            election_timeout: Duration::from_millis(500),
            heartbeat_interval: Duration::from_millis(100),
            suspicion_spread: Duration::from_millis(100),
            max_inflight_appends: 64,
            max_inflight_bytes: 8 << 20,
            max_append_bytes: 1 << 20,
            max_uncommitted_entries: 65_536,
            max_pending_reads: 65_536,
            promotion_lag: 64,
        }
    }
}

/// Why options make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// The heartbeat interval is zero or not below a third of the election timeout.
    HeartbeatTooSlow,
    /// A window or limit is zero.
    ZeroLimit,
}

impl core::fmt::Display for OptionsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::HeartbeatTooSlow => {
                "the heartbeat interval must be above zero and below a third of the election timeout"
            }
            Self::ZeroLimit => "every window and limit must be at least 1",
        })
    }
}

impl core::error::Error for OptionsError {}

impl Options {
    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn validate(&self) -> Result<(), OptionsError> {
        if self.heartbeat_interval.is_zero()
            || self.heartbeat_interval.saturating_mul(3) >= self.election_timeout
        {
            return Err(OptionsError::HeartbeatTooSlow);
        }
        let limits = [
            self.max_inflight_appends as u64,
            self.max_inflight_bytes,
            self.max_append_bytes,
            self.max_uncommitted_entries,
            self.max_pending_reads as u64,
        ];
        if limits.contains(&0) { Err(OptionsError::ZeroLimit) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_without_end_is_an_error_like_any_other() {
        let options = Options { heartbeat_interval: Duration::MAX, ..Options::default() };
        assert_eq!(options.validate(), Err(OptionsError::HeartbeatTooSlow));
        assert_eq!(Options::default().validate(), Ok(()));
    }
}
