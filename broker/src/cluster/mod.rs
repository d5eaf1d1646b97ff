//! The glue: one broker as a node of the cluster, and the backend behind its Kafka edge.
//!
//! A broker is a standing learner of the managers' group, so it holds the metadata itself. A reconciling task makes
//! what this node hosts follow it: a group for each partition whose replicas name this node *and* its disk, a
//! connection to each other broker. Nothing here decides anything about Raft, and nothing here parses Kafka's wire.
//!
//! *Invariant:* the only reason to remove a partition's data is a committed delete that names its very group.

mod backend;
mod broker;
mod join;
mod leaders;
mod produce;
mod producer_ids;
mod reconcile;
mod registry;

pub use backend::{ClusterBackend, TopicDefaults};
pub use broker::{Broker, BrokerConfig, StartBrokerError};
pub use registry::Registry;
