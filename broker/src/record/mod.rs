//! Record batches, format version 2, as bytes: parsed as far as a broker needs, checked, patched, walked.
//!
//! Payloads are never decompressed and never copied. What a batch *means* to a partition (sequence windows,
//! offsets, epochs) is decided elsewhere; here is only what the bytes say.
//!
//! - `header`: the 61 bytes before the records
//! - `checked`: what a client's batch must satisfy before it may enter a log
//! - `patch`: offset and leader epoch written into a batch, outside its CRC
//! - `run`: the batches that lie one after another in a stretch of bytes
//! - `walk`: the records of one uncompressed batch
//! - `lookup`: the first record at or after a point in time
//!
//! *Invariant:* a [`CheckedBatch`] is one whole batch whose length, CRC-32C and counts agree.

mod checked;
mod error;
mod header;
mod lookup;
mod patch;
mod position;
mod run;
#[cfg(test)]
pub(crate) mod sample;
mod walk;

pub use checked::CheckedBatch;
pub use error::BatchError;
pub use header::{BatchHeader, Compression, HEADER_BYTES, MAGIC};
pub use lookup::{Located, first_at_or_after, newest};
pub use patch::patch;
pub use position::{LeaderEpoch, Offset};
pub use run::{Batch, Batches};

/// The largest batch accepted unless configured otherwise, inclusive: Kafka's `max.message.bytes`.
pub const DEFAULT_MAX_BATCH_BYTES: usize = 1_048_588;
