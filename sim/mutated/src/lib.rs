//! `raft-core` with known bugs in it, of which one can be switched on at run time: what a simulator must find.
//!
//! The build copies the source of `raft-core` and weaves the edits of `mutants/` into the copy, each behind a switch
//! ([`mutant::set`]); the product's own source knows nothing of them, and nothing but the simulator depends on this
//! package. Invariant: while no bug is switched on, a replica does exactly what the original does.
#![forbid(unsafe_code)]
#![allow(
    clippy::all,
    unused,
    unused_parens,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    rustdoc::private_intra_doc_links,
    reason = "the code is generated: both branches of each switch stand where the original had one"
)]

pub mod mutant;

include!(concat!(env!("OUT_DIR"), "/root.rs"));
