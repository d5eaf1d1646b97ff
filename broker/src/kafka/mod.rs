//! The Kafka edge: one TCP port, the wire protocol, and nothing of the cluster behind it.

mod backend;

pub use backend::*;
