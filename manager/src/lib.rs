//! The control plane: the cluster's metadata as one Raft group.
//!
//! Three or five managers vote in [`raft_core::GroupId::ROOT`]; every broker is a standing learner of it. So each
//! process holds the whole [`metadata::Metadata`] in memory, reads it without asking anyone, and changes it by
//! proposing a [`metadata::Command`], which [`client::ManagerClient`] does in typed form.
//!
//! - [`metadata`]: what is replicated, and how a command changes it. Pure.
//! - [`machine`]: the state machine that raft-net drives, and the view it publishes.
//! - [`placement`]: which brokers get which replicas. Pure.
//! - [`client`]: typed requests, for brokers and managers alike.
//! - [`report`], [`http`]: what people and tools may ask over HTTP.
//! - [`serve`]: one manager, running.
//! - [`address`], [`peers`]: `HOST:PORT` and `ID=HOST:PORT,...`, parsed with errors that help.
//!
//! What is not here: who leads a group. That is soft state of raft-net ([`raft_net::NodeHandle::leader`]);
//! nothing periodic and no leader change enters this log.
#![forbid(unsafe_code)]

pub mod address;
pub mod client;
pub mod http;
pub mod machine;
pub mod metadata;
pub mod peers;
pub mod placement;
pub mod report;
pub mod serve;

pub use address::HostPort;
pub use client::ManagerClient;
pub use machine::{MetadataMachine, MetadataView};
pub use metadata::{BrokerId, Metadata, PartitionId, TopicId, TopicName};
pub use peers::PeerList;
