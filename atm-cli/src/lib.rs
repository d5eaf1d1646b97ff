//! A network of ATMs: the bank is one Raft group, and each ATM is a process in its terminal.
//!
//! From the inside out: [`bank`] is the pure state machine and knows no network; [`machine`] lets a Raft group
//! run it; [`command`] holds the words a person types; [`session`] executes one typed command and says how it
//! ended, as a [`reply`]; [`console`] and [`prompt`] read what is typed here, [`control`] what `atm ... exec`
//! hands over; [`atm`] puts them together.
//!
//! What this crate does not do: limit who may connect to the bank, or shorten its history. Both grow into it
//! later.
//!
//! Invariant: an answer is *done*, *refused* (nothing happened) or *unknown* (it may have happened), never a
//! guess, and no balance is shown that a majority has not confirmed to be the newest.
#![forbid(unsafe_code)]

pub mod account;
pub mod amount;
pub mod atm;
pub mod bank;
pub mod command;
pub mod console;
pub mod control;
pub mod machine;
pub mod operation;
pub mod patience;
pub mod peers;
pub mod prompt;
pub mod reply;
pub mod session;
pub mod unsettled;
pub mod view;
