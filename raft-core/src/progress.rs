//! A follower as its leader sees it: what it holds, and what is on its way.
//!
//! The state is an enum that owns its data: while probing there is one question outstanding and no window; while
//! replicating there is a window; a follower that lacks what no log has any more waits for a snapshot. Invariant:
//! `matched < next`, and `matched` falls only when a follower refuses what it has acknowledged.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::id::{LogId, LogIndex, ReplicaId, Time};
use crate::message::Snapshot;
use crate::options::Options;

/// One voter or learner, seen from the leader.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) replica: ReplicaId,
    /// It holds our log up to here, inclusive, durably.
    pub(crate) matched: LogIndex,
    pub(crate) state: ProgressState,
    /// When it last answered in this term.
    pub(crate) heard: Time,
    /// It followed us when this round began.
    pub(crate) confirmed_round: u64,
    /// Speak to it even if there is nothing to say.
    pub(crate) heartbeat_due: bool,
    /// The commit index it was last told.
    pub(crate) commit_told: LogIndex,
    pub(crate) standing: Standing,
}

/// What a peer is in the latest membership. Whoever does not vote is sent committed entries only: what it alone held
/// beside a leader that is lost would stand in the way of the next one, to whom an older membership may have said that it
/// votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    Voter,
    /// Promotable or standing.
    Learner,
    /// In no membership any more, and fed until it knows that.
    Departing,
}

#[derive(Clone, Debug, Hash)]
pub(crate) enum ProgressState {
    /// Where the logs part is not known: one question at a time.
    Probe {
        /// The next entry to send.
        next: LogIndex,
        /// The `prev` of the unanswered question.
        outstanding: Option<LogId>,
    },
    /// The logs agree up to `next`: entries are sent without waiting for answers, within the window.
    Replicate { next: LogIndex, inflight: Inflight },
    /// It needs entries before the start of our log. Ends with any answer by which it holds that start.
    Snapshot {
        /// What it was offered.
        offered: Option<Box<Snapshot>>,
    },
}

impl Progress {
    pub(crate) fn new(replica: ReplicaId, standing: Standing, next: LogIndex, now: Time) -> Self {
        Self {
            replica,
            matched: LogIndex::ZERO,
            state: ProgressState::Probe { next, outstanding: None },
            heard: now,
            confirmed_round: 0,
            heartbeat_due: true,
            commit_told: LogIndex::ZERO,
            standing,
        }
    }

    /// It followed us when this round began, and answers now.
    pub(crate) fn answered(&mut self, now: Time, round: u64) {
        self.heard = now;
        self.confirmed_round = self.confirmed_round.max(round);
    }

    pub(crate) fn is_departing(&self) -> bool {
        self.standing == Standing::Departing
    }

    pub(crate) fn next(&self) -> LogIndex {
        match &self.state {
            ProgressState::Probe { next, .. } | ProgressState::Replicate { next, .. } => *next,
            ProgressState::Snapshot { .. } => self.matched.next(),
        }
    }

    /// Whether entries may be sent now.
    pub(crate) fn has_room(&self, options: &Options) -> bool {
        match &self.state {
            ProgressState::Probe { outstanding, .. } => outstanding.is_none(),
            ProgressState::Replicate { inflight, .. } => inflight.has_room(options),
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// Whether it waits to be asked where the logs part.
    pub(crate) fn wants_probe(&self) -> bool {
        matches!(self.state, ProgressState::Probe { outstanding: None, .. })
    }

    pub(crate) fn is_probing(&self) -> bool {
        matches!(self.state, ProgressState::Probe { .. })
    }

    pub(crate) fn is_replicating(&self) -> bool {
        matches!(self.state, ProgressState::Replicate { .. })
    }

    pub(crate) fn wants_snapshot(&self) -> bool {
        matches!(self.state, ProgressState::Snapshot { .. })
    }

    /// Notes that `(prev.index, last]` was sent.
    pub(crate) fn sent(&mut self, prev: LogId, last: LogIndex, bytes: u64) {
        match &mut self.state {
            ProgressState::Probe { outstanding, .. } => *outstanding = Some(prev),
            ProgressState::Replicate { next, inflight } => {
                if last > prev.index {
                    *next = last.next();
                    inflight.add(last, bytes);
                }
            }
            ProgressState::Snapshot { .. } => {}
        }
    }

    /// The follower's log agrees with ours and is durable up to `matched`. Our log starts after `before`.
    pub(crate) fn on_matched(&mut self, matched: LogIndex, before: LogIndex) {
        self.matched = self.matched.max(matched);
        let after = self.matched.next();
        match &mut self.state {
            ProgressState::Probe { outstanding, .. } => {
                // A probe that was not refused was verified, though perhaps not yet durable.
                let verified = outstanding.map_or(after, |prev| prev.index.next());
                let next = after.max(verified);
                self.state = ProgressState::Replicate { next, inflight: Inflight::default() };
            }
            ProgressState::Replicate { next, inflight } => {
                inflight.free(self.matched);
                *next = after.max(*next);
            }
            ProgressState::Snapshot { .. } => {
                if self.matched >= before {
                    self.state = ProgressState::Replicate { next: after, inflight: Inflight::default() };
                }
            }
        }
    }

    /// Whether a refusal of `prev` answers something we still wait for. Others are stale and must not move us.
    pub(crate) fn refusal_is_current(&self, prev: LogId) -> bool {
        match &self.state {
            ProgressState::Probe { outstanding, .. } => *outstanding == Some(prev),
            ProgressState::Replicate { next, .. } => prev.index >= self.matched && prev.index < *next,
            ProgressState::Snapshot { .. } => false,
        }
    }

    /// It holds nothing after `index` that it has not acknowledged since.
    pub(crate) fn lost_after(&mut self, index: LogIndex) {
        self.matched = self.matched.min(index);
    }

    /// Asks again from `next` on, but never for what is known to match.
    pub(crate) fn probe_from(&mut self, next: LogIndex) {
        self.state = ProgressState::Probe { next: next.max(self.matched.next()), outstanding: None };
    }

    /// What was on its way is lost, perhaps: asks anew how far it is.
    pub(crate) fn probe_again(&mut self) {
        self.commit_told = LogIndex::ZERO;
        if !self.wants_snapshot() {
            let next = if self.matched == LogIndex::ZERO { self.next() } else { self.matched.next() };
            self.probe_from(next);
        }
    }
}

/// The appends that are sent and not answered. Answers are cumulative.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Inflight {
    appends: VecDeque<(LogIndex, u64)>,
    bytes: u64,
}

impl Inflight {
    fn has_room(&self, options: &Options) -> bool {
        self.appends.is_empty()
            || (self.appends.len() < options.max_inflight_appends && self.bytes < options.max_inflight_bytes)
    }

    fn add(&mut self, last: LogIndex, bytes: u64) {
        self.appends.push_back((last, bytes));
        self.bytes += bytes;
    }

    fn free(&mut self, matched: LogIndex) {
        while let Some(&(last, bytes)) = self.appends.front() {
            if last > matched {
                break;
            }
            self.bytes -= bytes;
            self.appends.pop_front();
        }
    }
}
