//! A record batch on its way through the partition's group.
//!
//! The order of batches is the order in which they were handed to the node; the answer is waited for apart from
//! that, by a task of its own, so that a connection that goes away takes nothing back. Invariants: at most
//! [`UNDER_WAY_MAX`] batches and [`UNDER_WAY_BYTES_MAX`] of bytes are under way on this broker, and whoever comes then
//! waits; and a batch lies in the node's queue when [`Producing::start`] returns.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::GroupId;
use raft_net::{NodeHandle, Outcome, Refusal};
use tokio::sync::Semaphore;

use super::leaders::broker_id;
use crate::kafka::{PartitionError, Pending, Produced};
use crate::partition::{Answer, BatchRefusal};
use crate::record::Offset;

/// How many batches may be under way on one broker.
const UNDER_WAY_MAX: usize = 768;
/// How many bytes of batches may be under way on one broker.
const UNDER_WAY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What one permit stands for.
const PERMIT_BYTES: usize = 1024;

/// The way of batches from the edge into the log.
pub(super) struct Producing {
    handle: NodeHandle,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Producing {
    pub(super) fn new(handle: NodeHandle) -> Self {
        let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        let room = Arc::new(Semaphore::new(UNDER_WAY_BYTES_MAX / PERMIT_BYTES));
        Self { handle, places, room }
    }

    /// Hands a batch to the group's node. Returns once its place in the order is fixed.
    pub(super) async fn start(
        &self,
        group: GroupId,
        batch: Bytes,
        patience: Duration,
    ) -> Result<Pending, PartitionError> {
        let permits = (batch.len() / PERMIT_BYTES + 1).min(UNDER_WAY_BYTES_MAX / PERMIT_BYTES);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let room =
            self.room.clone().acquire_many_owned(permits).await.map_err(|_| PartitionError::Stopping)?;
        let place = self.places.clone().acquire_owned().await.map_err(|_| PartitionError::Stopping)?;
        let proposal = self.handle.start_propose(group, batch, patience).await;
        let answer = tokio::spawn(async move {
            let outcome = proposal.outcome().await;
            drop((room, place));
            outcome
        });
        Ok(Box::pin(async move {
            match answer.await {
                Ok(outcome) => settle(outcome),
                // Only when the runtime stops.
                Err(_) => Err(PartitionError::Unknown),
            }
        }))
    }
}

/// Turns the one end of a proposal into the words of the edge.
fn settle(outcome: Outcome) -> Result<Produced, PartitionError> {
    let refusal = match outcome {
        Outcome::Done(answer) => return answered(&answer),
        Outcome::Unknown(_) => return Err(PartitionError::Unknown),
        Outcome::Refused(refusal) => refusal,
    };
    Err(match refusal {
        Refusal::NotLeader { leader } => PartitionError::NotLeader { leader: leader.and_then(broker_id) },
        Refusal::Transferring { to } => PartitionError::NotLeader { leader: broker_id(to) },
        // Not opened here yet, or removed a moment ago: fresh metadata tells the client which.
        Refusal::NoSuchGroup(_) | Refusal::Forming { .. } => PartitionError::NotLeader { leader: None },
        Refusal::NoMajority => PartitionError::NoMajority,
        Refusal::Overloaded { .. } => PartitionError::Overloaded,
        Refusal::TooLarge { size, limit } => PartitionError::TooLarge { size, limit },
        Refusal::Fenced(_) => PartitionError::Storage,
        Refusal::Stopping => PartitionError::Stopping,
        other => {
            tracing::warn!(why = %other, "produce: refused for a reason unknown here");
            PartitionError::Overloaded
        }
    })
}

fn answered(answer: &[u8]) -> Result<Produced, PartitionError> {
    match Answer::from_bytes(answer) {
        Some(Answer::Appended { base_offset }) => {
            Ok(Produced { base_offset: Offset::new(base_offset), log_start: Offset::ZERO })
        }
        Some(Answer::Refused(BatchRefusal::OutOfOrderSequence { expected, found, .. })) => {
            Err(PartitionError::OutOfOrderSequence { expected, found })
        }
        Some(Answer::Refused(BatchRefusal::StaleProducerEpoch { current, found, .. })) => {
            Err(PartitionError::FencedProducer { current, found })
        }
        Some(Answer::Refused(BatchRefusal::NoBatch)) | None => Err(PartitionError::Storage),
    }
}

#[cfg(test)]
mod tests {
    use raft_core::NodeId;
    use raft_net::Doubt;

    use super::*;

    #[test]
    fn each_end_of_a_proposal_is_told_apart() {
        let appended = Answer::appended(Offset::new(7)).to_bytes();
        assert_eq!(settle(Outcome::Done(appended)).map(|done| done.base_offset), Ok(Offset::new(7)));
        let refused = BatchRefusal::OutOfOrderSequence { producer: 1, expected: 5, found: 9 };
        let refused = Answer::Refused(refused).to_bytes();
        let out_of_order = PartitionError::OutOfOrderSequence { expected: 5, found: 9 };
        assert_eq!(settle(Outcome::Done(refused)), Err(out_of_order));
        assert_eq!(settle(Outcome::Unknown(Doubt::LeaderChanged)), Err(PartitionError::Unknown));
        let leader = Some(NodeId::new(2));
        let not_leader = PartitionError::NotLeader { leader: crate::kafka::BrokerId::new(2) };
        assert_eq!(settle(Outcome::Refused(Refusal::NotLeader { leader })), Err(not_leader));
        assert_eq!(settle(Outcome::Done(Bytes::from_static(b"\xff"))), Err(PartitionError::Storage));
    }
}
