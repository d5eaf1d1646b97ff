//! Makes this broker known to the managers.
//!
//! Done on every start, because addresses may have changed; the same twice changes nothing. Tried until the
//! managers answer, however long they have no majority. A refusal is the end: only a person can resolve it.

use std::time::Duration;

use manager::client::RequestError;
use manager::metadata::{RegisterBrokerRefused, Registration};
use manager::{HostPort, ManagerClient};
use raft_core::ReplicaId;
use raft_net::Refusal;

/// The first and the longest pause between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// After so many attempts in vain it is said aloud, once in a while.
const SAY_EVERY: u32 = 10;

/// What this broker says of itself.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    /// Its node and disk.
    pub(super) replica: ReplicaId,
    /// Where Kafka clients reach it.
    pub(super) kafka: HostPort,
    /// Where other nodes reach it.
    pub(super) peer: HostPort,
}

/// Registers the broker. Ends when it is registered (and that is in the local metadata), refused, or the node stops.
pub(super) async fn register(
    client: &ManagerClient,
    introduction: &Introduction,
) -> Result<(), RegisterBrokerRefused> {
    let client = client.with_patience(ATTEMPT);
    let Introduction { replica, kafka, peer } = introduction;
    let mut pause = PAUSE_MIN;
    for attempt in 1.. {
        match client.register_broker(*replica, kafka.clone(), peer.clone()).await {
            Ok(registration) => {
                let how = match registration {
                    Registration::New => "new",
                    Registration::Moved => "under new addresses",
                    Registration::Unchanged => "as before",
                };
                tracing::info!(broker = %replica, %kafka, %peer, how, "join: registered");
                return Ok(());
            }
            Err(RequestError::Refused(refused)) => return Err(refused),
            Err(RequestError::NotDone(Refusal::Stopping)) => return Ok(()),
            Err(other) if attempt % SAY_EVERY == 0 => {
                tracing::warn!(why = %other, attempt, "join: the managers have not answered yet");
            }
            Err(other) => tracing::debug!(why = %other, attempt, "join: not yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    Ok(())
}
