//! wip
#![forbid(unsafe_code)]
#![allow(dead_code)]
mod disk;
mod machine;
mod oracle;
mod rng;
