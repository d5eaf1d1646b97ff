//! What a search comes to.
//!
//! Nothing here knows the core, so that the result is the same thing whichever build of it was searched.

use std::time::Duration;

use super::law::Broken;
use super::scope::Scope;

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All states within the bounds were seen, and no law broke.
    Complete,
    /// It stopped at the limit of states, and no law broke in those.
    Stopped,
    /// A law broke.
    Broke(Box<Counterexample>),
}

/// A shortest way to a broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What broke.
    pub broken: Broken,
    /// One paragraph for each step from the start, the last of which breaks it.
    pub steps: Vec<String>,
}

/// What a search has seen.
#[derive(Clone, Debug)]
pub struct Found {
    /// The scope.
    pub scope: Scope,
    /// How it ended.
    pub end: End,
    /// Distinct states of the whole group.
    pub states: u64,
    /// Steps that led to a state, seen before or not.
    pub steps: u64,
    /// The greatest number of steps from the start to a state that was seen.
    pub depth: u32,
    /// What the states consist of.
    pub parts: Parts,
    /// States of replicas that had the fingerprint of another and were compared with it; zero when nobody asked.
    pub twins: u64,
    /// How long it took.
    pub time: Duration,
    /// Bytes of the greatest tables: those of states, without the replicas behind them.
    pub bytes: usize,
}

/// How many different things the states of a search consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// States of single replicas, with their disks.
    pub replicas: usize,
    /// Messages.
    pub messages: usize,
    /// Inputs to the core, each at another state of a replica: so often it was run.
    pub inputs: usize,
    /// Logs, as spoken of or on a disk.
    pub logs: usize,
    /// Histories of leaders and commits.
    pub histories: usize,
}
