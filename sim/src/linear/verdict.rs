//! What a check comes to, for callers and for people.
//!
//! Invariant: only a verdict that was reached by search is a success or a failure; running out of room is neither.

use std::fmt;

use super::Model;
use super::history::{Operation, OperationId};

/// What a check came to.
#[derive(Clone, Debug)]
#[must_use = "a history that is broken or undecided is no success"]
pub enum Verdict<M: Model> {
    /// There is an order.
    Linearizable(Linearized<M>),
    /// There is none.
    Broken(Box<Failure<M>>),
    /// Nothing is certain: more configurations would have had to be remembered than was allowed. Count it, or check
    /// again with a higher bound; it is no success.
    Undecided(Undecided<M>),
}

impl<M: Model> Verdict<M> {
    /// Whether it is certain that the history is linearizable.
    #[must_use]
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable(_))
    }

    /// Whether it is certain that the history is not linearizable.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

impl<M: Model> fmt::Display for Verdict<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable(linearized) => {
                let Linearized { states, witnesses } = linearized;
                write!(f, "linearizable: {} partitions, {states} configurations", witnesses.len())
            }
            Self::Broken(failure) => fmt::Display::fmt(failure, f),
            Self::Undecided(undecided) => fmt::Display::fmt(undecided, f),
        }
    }
}

/// The proof that a history is linearizable.
#[derive(Clone, Debug)]
pub struct Linearized<M: Model> {
    /// How many configurations were remembered, over all partitions: the work that it took.
    pub states: usize,
    /// For each partition its order, ordered by key.
    pub witnesses: Vec<Witness<M>>,
}

/// The order of one partition.
#[derive(Clone, Debug)]
pub struct Witness<M: Model> {
    /// Which partition.
    pub key: M::Key,
    /// All operations with a return, and the open ones that took effect, in an order that explains all answers.
    pub order: Vec<OperationId>,
}

/// A partition that has no order.
///
/// `{}` prints it on one line, with the last operations of the prefix; `{:#}` prints the whole prefix, a line per
/// operation.
#[derive(Clone, Debug)]
pub struct Failure<M: Model> {
    /// Which partition.
    pub key: M::Key,
    /// How many operations it has, open ones included.
    pub operations: usize,
    /// A longest beginning of an order, counted in operations with a return, given what [`Model::simplify`] found out
    /// about open ones. It may be empty.
    pub prefix: Vec<Operation<M::Call, M::Answer>>,
    /// The state after the prefix.
    pub state: M::State,
    /// The answered operations of which one had to be next: none fits, nor does it after any open operations. In the
    /// order of their invocation, at least one.
    pub unplaced: Vec<Operation<M::Call, M::Answer>>,
    /// How many configurations of this partition were remembered.
    pub states: usize,
}

/// How many operations of the prefix a failure on one line shows.
const SHOWN: usize = 3;

impl<M: Model> fmt::Display for Failure<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operations, prefix, state, unplaced, .. } = self;
        let placed = prefix.len();
        write!(f, "{key}: no order explains all answers; {placed} of {operations} operations can be placed")?;
        if f.alternate() {
            for operation in prefix {
                write!(f, "\n  {operation}")?;
            }
            write!(f, "\nafter them: {state}\nnone of these can be next:")?;
            return unplaced.iter().try_for_each(|operation| write!(f, "\n  {operation}"));
        }
        if placed > 0 {
            let skipped = placed.saturating_sub(SHOWN);
            f.write_str(if skipped > 0 { ", the last of them " } else { ": " })?;
            list(f, &prefix[skipped..])?;
        }
        write!(f, "; after them: {state}; none of these can be next: ")?;
        list(f, unplaced)
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    items.iter().enumerate().try_for_each(|(at, item)| {
        if at > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")
    })
}

/// A partition of which nothing is certain.
#[derive(Clone, Debug)]
pub struct Undecided<M: Model> {
    /// Which partition.
    pub key: M::Key,
    /// How many operations it has, open ones included.
    pub operations: usize,
    /// How many configurations were remembered when the bound was passed.
    pub states: usize,
}

impl<M: Model> fmt::Display for Undecided<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operations, states } = self;
        write!(f, "{key}: undecided after {states} configurations of {operations} operations")
    }
}
