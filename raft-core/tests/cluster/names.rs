//! Short names for what tests speak of all the time: nodes, terms, indexes, logs and changes.

use std::time::Duration;

use raft_core::{
    Configuration, DiskId, Learner, LogId, LogIndex, MembershipChange, NodeId, ReplicaId, Term, TermRuns,
};

pub(crate) fn replica(node: u64) -> ReplicaId {
    incarnation(node, 0)
}

/// The replica on `node` after its disk was replaced `times` times.
pub(crate) fn incarnation(node: u64, times: u64) -> ReplicaId {
    ReplicaId::new(NodeId::new(node), DiskId::new(u128::from(node) << 96 | u128::from(times)))
}

pub(crate) fn node(node: u64) -> NodeId {
    NodeId::new(node)
}

pub(crate) fn index(i: u64) -> LogIndex {
    LogIndex::new(i)
}

pub(crate) fn term(t: u64) -> Term {
    Term::new(t)
}

pub(crate) fn id(i: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), index(i))
}

pub(crate) fn voters(nodes: impl IntoIterator<Item = u64>) -> Configuration {
    Configuration::new(nodes.into_iter().map(replica)).unwrap()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A learner on `node` that adds a voter.
pub(crate) fn adds(node: u64) -> MembershipChange {
    MembershipChange::AddLearner(Learner { replica: replica(node), replaces: None })
}

/// A learner on `node` that takes the place of the voter on `other`.
pub(crate) fn replaces(node: u64, other: u64) -> MembershipChange {
    MembershipChange::AddLearner(Learner { replica: replica(node), replaces: Some(replica(other)) })
}

/// The log of these terms, one entry each, from index 1.
pub(crate) fn log_of(terms: &[u64]) -> TermRuns {
    let mut log = TermRuns::empty(LogId::ZERO);
    for term in terms {
        log.append(Term::new(*term), 1);
    }
    log
}
