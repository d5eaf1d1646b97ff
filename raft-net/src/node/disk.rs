//! The node's one stream of writes: many rounds of the log, one flush at a time.
//!
//! While the disk works, what comes next collects; when it is done, all that has collected goes out as one batch
//! with one fdatasync per file it touches. Invariant: one batch is on its way at most, and requests keep their
//! order but for syncs of a file that a later sync of the same batch covers.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{GroupId, PersistToken, Time};
use raft_wal::{DiskRequest, Round, Submitted};

use crate::node::Ticket;

/// What is to be told when a round is durable.
#[derive(Debug)]
pub(crate) enum Owed {
    /// A group's core waits for this write. The number says which opening of the group asked: a group that was
    /// removed and made anew under its name must not take it for its own.
    Token(GroupId, u64, PersistToken),
    /// A caller waits for the removal of a group.
    Removal(Ticket),
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    queued: Vec<DiskRequest>,
    queued_round: Option<Round>,
    unwritten_bytes: usize,
    in_flight: Option<InFlight>,
    owed: VecDeque<(Round, Vec<Owed>)>,
}

#[derive(Debug)]
struct InFlight {
    round: Round,
    since: Time,
    bytes: usize,
}

impl Disk {
    /// Takes a round of the log, and what its durability is owed to.
    pub(crate) fn queue(&mut self, submitted: Submitted, owed: Vec<Owed>) {
        self.unwritten_bytes += bytes_of(&submitted.requests);
        self.queued.extend(submitted.requests);
        self.queued_round = Some(submitted.round);
        self.owed.push_back((submitted.round, owed));
    }

    /// The next batch for the disk, if it is idle and there is one.
    pub(crate) fn next(&mut self, now: Time) -> Option<(Round, Vec<DiskRequest>)> {
        if self.in_flight.is_some() {
            return None;
        }
        let round = self.queued_round.take()?;
        let requests = without_covered_syncs(std::mem::take(&mut self.queued));
        self.in_flight = Some(InFlight { round, since: now, bytes: self.unwritten_bytes });
        Some((round, requests))
    }

    /// All rounds up to `round` are durable: hands back what was owed for them, in order.
    pub(crate) fn done(&mut self, round: Round) -> Vec<Owed> {
        if self.in_flight.as_ref().is_some_and(|f| f.round <= round)
            && let Some(flight) = self.in_flight.take()
        {
            self.unwritten_bytes = self.unwritten_bytes.saturating_sub(flight.bytes);
        }
        let mut due = Vec::new();
        while self.owed.front().is_some_and(|(of, _)| *of <= round) {
            due.extend(self.owed.pop_front().into_iter().flat_map(|(_, owed)| owed));
        }
        due
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.queued_round.is_none()
    }

    pub(crate) fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// Whether a write has been on its way for longer than `limit`.
    pub(crate) fn is_stalled(&self, now: Time, limit: Duration) -> bool {
        self.in_flight.as_ref().is_some_and(|f| now.since(f.since) > limit)
    }
}

fn bytes_of(requests: &[DiskRequest]) -> usize {
    let bytes = |request: &DiskRequest| match request {
        DiskRequest::Write { data, .. } => data.iter().map(bytes::Bytes::len).sum(),
        _ => 0,
    };
    requests.iter().map(bytes).sum()
}

/// Drops each sync of a file that a later one in the list repeats. Nothing of the list is reported durable before
/// its end, so the later one does for both.
fn without_covered_syncs(requests: Vec<DiskRequest>) -> Vec<DiskRequest> {
    let mut seen: BTreeSet<Arc<Path>> = BTreeSet::new();
    let mut kept: Vec<DiskRequest> = requests
        .into_iter()
        .rev()
        .filter(|request| match request {
            DiskRequest::SyncData { path } => seen.insert(path.clone()),
            _ => true,
        })
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_is_dropped_only_when_a_later_one_covers_it() {
        let sync = |name: &str| DiskRequest::SyncData { path: Path::new(name).into() };
        let write =
            |name: &str| DiskRequest::Write { path: Path::new(name).into(), offset: 0, data: Vec::new() };
        let merged =
            without_covered_syncs(vec![write("a"), sync("a"), write("b"), sync("b"), write("a"), sync("a")]);
        let shape: Vec<String> = merged.iter().map(|r| format!("{r:?}").chars().take(5).collect()).collect();
        assert_eq!(shape, ["Write", "Write", "SyncD", "Write", "SyncD"]);
    }
}
