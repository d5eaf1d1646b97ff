//! The Kafka edge: one TCP port, the wire protocol, and nothing of the cluster behind it.
//!
//! What a broker must do for clients stands in [`Backend`]; [`serve`] does the rest. A request's way:
//! `server` accepts, `connection` orders and bounds, `frame` cuts, `header` recognises, `guard` and `codec` decode,
//! `handle` answers, `reply` writes. Produce requests and Fetch responses have codecs of their own
//! (`produce_request`, `fetch_response`), so that record bytes pass without a copy.
//!
//! It does not do TLS, authentication, quotas, transactions or consumer groups.
//!
//! *Invariant:* whatever bytes a client sends, the worst that happens is that its own connection is closed, with one
//! line in the log that names the client and the reason.

mod api;
mod backend;
mod codec;
mod connection;
mod error_code;
#[cfg(test)]
mod fake;
mod fetch_response;
mod frame;
mod gather;
mod guard;
mod handle;
mod header;
mod limits;
mod produce_request;
mod produce_response;
mod reply;
mod server;
#[cfg(test)]
mod tests;
mod topic_name;
mod wire;

pub use backend::{
    Backend, BrokerAddress, BrokerId, ClusterInfo, CreatedTopic, Intent, Leadership, NewTopic,
    PartitionError, PartitionInfo, PartitionRead, PartitionView, Pending, Produced, ProducerIdError,
    ProducerIdentity, ReadLimit, TopicError, TopicInfo, TopicRef,
};
pub use limits::Limits;
pub use server::{serve, serve_within};
pub use topic_name::topic_name_fault;
