//! Producer ids, from blocks that the managers give out.
//!
//! Invariant: no id is given twice, in the whole cluster and for ever; ids may be lost.

use std::ops::Range;
use std::time::Duration;

use manager::ManagerClient;
use manager::client::RequestError;
use tokio::sync::Mutex;

use crate::kafka::{ProducerIdError, ProducerIdentity};

/// How long to ask for a block. Clients ask again by themselves.
const PATIENCE: Duration = Duration::from_secs(5);

/// This broker's block.
#[derive(Default)]
pub(super) struct ProducerIds {
    /// Held while a new block is asked for, so that many clients at once ask for one.
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// The next id.
    pub(super) async fn next(&self, client: &ManagerClient) -> Result<ProducerIdentity, ProducerIdError> {
        let mut block = self.block.lock().await;
        if let Some(id) = block.next() {
            return Ok(ProducerIdentity { id, epoch: 0 });
        }
        *block = new_block(client).await?;
        block.next().map(|id| ProducerIdentity { id, epoch: 0 }).ok_or(ProducerIdError::NoManagers)
    }
}

async fn new_block(client: &ManagerClient) -> Result<Range<i64>, ProducerIdError> {
    let client = client.with_patience(PATIENCE);
    let broker = client.handle().id();
    match client.allocate_producer_ids(broker).await {
        Ok(block) => Ok(block.ids()),
        // A block may be lost; the client asks again.
        Err(error @ (RequestError::NotDone(_) | RequestError::Unknown(_))) => {
            tracing::debug!(why = %error, "allocate producer ids: not now");
            Err(ProducerIdError::NoManagers)
        }
        Err(error) => {
            tracing::error!(why = %error, "allocate producer ids: refused");
            Err(ProducerIdError::NoManagers)
        }
    }
}
