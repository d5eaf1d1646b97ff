//! Record batches, format version 2, as bytes: parsed as far as a broker needs, checked, patched, walked.
//!
//! Payloads are never decompressed and never copied. What a batch *means* to a partition (sequence windows,
//! offsets, epochs) is decided elsewhere; here is only what the bytes say.
//!
//! *Invariant:* a [`CheckedBatch`] is one whole batch whose length, CRC-32C and counts agree.

mod position;

pub use position::{LeaderEpoch, Offset};

/// The largest batch accepted unless configured otherwise, inclusive: Kafka's `max.message.bytes`.
pub const DEFAULT_MAX_BATCH_BYTES: usize = 1_048_588;

/// stub
#[derive(Clone, Debug)]
pub struct CheckedBatch;
