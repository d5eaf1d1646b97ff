//! Calls one peer again and again: to form, as long as this node belongs to no cluster, and then to stay connected.
//!
//! Invariant: of two nodes that know each other's address, exactly one calls, so that they do not hang up on each
//! other for ever; see [`calls`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::NodeId;
use tokio::sync::watch;
use uuid::Uuid;

use crate::handshake::Purpose;
use crate::runtime::Membership;
use crate::runtime::greet::{CallError, call};
use crate::runtime::link::{self, Event};
use crate::runtime::shared::Shared;

/// The pause between two calls to form, and after the first seconds.
const FORMING: Duration = Duration::from_millis(50);
const FORMING_SLOWLY: Duration = Duration::from_millis(500);
const FORMING_FAST_FOR: Duration = Duration::from_secs(10);
/// The pause after a call that led to nothing grows from here to there.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// A connection that lived so long was a good one: the pause is short again.
const GOOD: Duration = Duration::from_secs(1);

/// Whether this node calls `peer`, or waits to be called: learners call founders, who may not know their address;
/// among equals the lower id calls.
pub(crate) fn calls(me: NodeId, membership: Membership, peer: NodeId, peer_is_founder: bool) -> bool {
    match (membership, peer_is_founder) {
        (Membership::Learner, true) => true,
        (Membership::Founder, false) => false,
        _ => me < peer,
    }
}

/// Calls `peer` for as long as the node runs. Returns when it is not for this node to call.
pub(crate) async fn keep_calling(
    peer: NodeId,
    address: String,
    shared: Arc<Shared>,
    mut is_formed: watch::Receiver<bool>,
) {
    let mut caller = Caller { peer, address, shared, last_error: String::new() };
    let began = Instant::now();
    while !*is_formed.borrow_and_update() {
        if caller.shared.is_founder(peer) {
            caller.ask().await;
        }
        let pause = if began.elapsed() < FORMING_FAST_FOR { FORMING } else { FORMING_SLOWLY };
        tokio::select! {
            () = tokio::time::sleep(jittered(pause)) => {}
            changed = is_formed.changed() => if changed.is_err() { return },
        }
    }
    let shared = &caller.shared;
    if calls(shared.id(), shared.membership, peer, shared.is_founder(peer)) {
        caller.stay_connected().await;
    }
}

struct Caller {
    peer: NodeId,
    address: String,
    shared: Arc<Shared>,
    last_error: String,
}

impl Caller {
    /// Asks who it is and whether there is a cluster.
    async fn ask(&mut self) {
        match call(&self.shared, &self.address, self.peer, Purpose::Form).await {
            Ok((_, hello)) => {
                self.last_error.clear();
                let _ = self.shared.events.send(Event::Heard(hello)).await;
            }
            Err(error) => self.note(&error),
        }
    }

    async fn stay_connected(&mut self) {
        let mut pause = BACKOFF_MIN;
        loop {
            if !self.shared.is_live(self.peer) {
                let began = Instant::now();
                match call(&self.shared, &self.address, self.peer, Purpose::Connect).await {
                    Ok((stream, hello)) => {
                        self.last_error.clear();
                        if let Ok(address) = stream.peer_addr() {
                            link::run(stream, hello.replica, address, &self.shared).await;
                        }
                    }
                    Err(error) => self.note(&error),
                }
                pause = if began.elapsed() > GOOD { BACKOFF_MIN } else { (pause * 2).min(BACKOFF_MAX) };
            }
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    /// Logs an error that is not the last one again.
    fn note(&mut self, error: &CallError) {
        let text = error.to_string();
        if text == self.last_error {
            return;
        }
        let (peer, address) = (self.peer, &self.address);
        if error.is_usual() {
            tracing::info!(%peer, address, %error, "cannot connect; trying again");
        } else {
            tracing::warn!(%peer, address, %error, "cannot connect; trying again");
        }
        self.last_error = text;
    }
}

/// A time in `[pause / 2, pause)`, so that nodes that failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let share = f64::from((random >> 32) as u32) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_nodes_exactly_one_calls() {
        let nodes = [(1, true), (2, true), (3, false), (4, false), (0, false)];
        let membership = |is_founder| if is_founder { Membership::Founder } else { Membership::Learner };
        for (a, a_founds) in nodes {
            for (b, b_founds) in nodes.into_iter().filter(|(b, _)| *b != a) {
                let a_calls = calls(NodeId::new(a), membership(a_founds), NodeId::new(b), b_founds);
                let b_calls = calls(NodeId::new(b), membership(b_founds), NodeId::new(a), a_founds);
                assert!(a_calls != b_calls, "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_learner_calls_founders_whatever_their_ids() {
        assert!(calls(NodeId::new(9), Membership::Learner, NodeId::new(1), true));
        assert!(calls(NodeId::new(1), Membership::Learner, NodeId::new(9), true));
    }

    #[test]
    fn a_pause_is_at_least_half_and_less_than_the_whole_or_equal() {
        for _ in 0..100 {
            let pause = jittered(BACKOFF_MAX);
            assert!(pause >= BACKOFF_MAX / 2 && pause <= BACKOFF_MAX);
        }
    }
}
