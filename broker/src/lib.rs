//! A Kafka-protocol broker whose every partition is a Raft group.
//!
//! `kafka` is the edge that clients see, `partition` the replicated state behind one partition, and `cluster` the
//! glue between them and the nodes of the cluster. `serve`, `dev`, `topic` and `log` are what the command line
//! does. The binary only parses flags.
//!
//! *Invariant:* the log is the data. What a consumer fetches are the bytes that a producer sent, as they lie in
//! the partition's Raft log, with offset and leader epoch patched in.
#![forbid(unsafe_code)]

pub mod kafka;
pub mod partition;
pub mod record;
