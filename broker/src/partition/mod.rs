//! One partition: a replicated state machine over the log that is its data, and what readers see of it.
//!
//! [`PartitionMachine`] is what the partition's Raft group applies its entries to. It decides offsets and recognises
//! a producer's retries; it does no I/O and knows no client. [`Partition`] reads committed batches from the log for
//! any number of tasks at once. The two share a [`PartitionState`] and nothing else.
//!
//! *Invariant:* a reader sees only records below the high watermark, which is the commit index as an offset.

mod answer;
mod epochs;
mod facts;
mod index;
mod machine;
mod producers;
mod reader;
mod state;
#[cfg(test)]
mod tests;

pub use answer::{Answer, BatchRefusal};
pub use epochs::EpochTable;
pub use facts::offsets_of;
pub use machine::PartitionMachine;
pub use producers::{PRODUCERS_MAX, WINDOW};
pub use reader::Partition;
pub use state::PartitionState;
