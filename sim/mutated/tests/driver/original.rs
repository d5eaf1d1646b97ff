//! The driver over the product's core.

pub(crate) use raft_core as subject;

#[path = "driver.rs"]
pub(crate) mod driver;
