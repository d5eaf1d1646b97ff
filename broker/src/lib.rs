//! A Kafka-protocol broker whose every partition is a Raft group.
//!
//! [`kafka`] is the edge that clients see, [`partition`] the replicated state behind one partition, and [`cluster`] the
//! glue between them and the nodes of the cluster. [`serve`] runs one broker and [`dev`] a whole cluster in one
//! process; [`cli`] is the command line. The binary only calls it.
//!
//! *Invariant:* the log is the data. What a consumer fetches are the bytes that a producer sent, as they lie in
//! the partition's Raft log, with offset and leader epoch patched in.
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod cluster;
pub mod dev;
pub mod kafka;
pub mod partition;
pub mod record;
pub mod serve;
