//! What clients asked and what they were told, with the moments of both.
//!
//! Times are numbers that only need to be ordered as the one observer of all clients saw the events: simulated
//! microseconds, or a counter. Events of the same time count as concurrent, which only makes more orders right.
//! Invariant: an operation ends at most once, and not before it began.

use std::fmt;

use super::Model;

/// An operation of a history, by its place from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(usize);

/// How an operation ended for its client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ending<A> {
    /// It was answered.
    Returned {
        /// When, not before its invocation.
        at: u64,
        /// With what.
        answer: A,
    },
    /// The client does not know: it may take effect at any time from its invocation on, or never.
    Open {
        /// What it would have been answered, if something other than its client tells. It may take effect so, or not
        /// at all.
        effect: Option<A>,
    },
    /// It is certain that nothing happened and never will: it is no part of what is checked.
    Nothing,
}

/// Something that a client asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation<C, A> {
    /// Who asked. It is for people; no law rests on it.
    pub process: u64,
    /// When it was asked.
    pub invoked: u64,
    /// What was asked.
    pub call: C,
    /// How it ended.
    pub ending: Ending<A>,
}

impl<C, A> Operation<C, A> {
    /// When the client was answered; `None` if it was not.
    pub fn returned_at(&self) -> Option<u64> {
        match &self.ending {
            Ending::Returned { at, .. } => Some(*at),
            Ending::Open { .. } | Ending::Nothing => None,
        }
    }

    /// What it was answered or, as other evidence has it, would have been.
    pub fn answer(&self) -> Option<&A> {
        match &self.ending {
            Ending::Returned { answer, .. } | Ending::Open { effect: Some(answer) } => Some(answer),
            Ending::Open { effect: None } | Ending::Nothing => None,
        }
    }
}

/// As in `p3 [15, 30] write 5 -> done`; with `..)` while it is open, and `?` where no answer is known.
impl<C: fmt::Display, A: fmt::Display> fmt::Display for Operation<C, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{} [{}, ", self.process, self.invoked)?;
        match &self.ending {
            Ending::Returned { at, answer } => write!(f, "{at}] {} -> {answer}", self.call),
            Ending::Open { effect: Some(answer) } => {
                write!(f, "..) {} -> {answer}, by other evidence", self.call)
            }
            Ending::Open { effect: None } => write!(f, "..) {} -> ?", self.call),
            Ending::Nothing => write!(f, "..) {} -> nothing happened", self.call),
        }
    }
}

/// The operations of all clients of one object. See the module's documentation.
#[derive(Clone, Debug)]
pub struct History<M: Model> {
    operations: Vec<Operation<M::Call, M::Answer>>,
}

impl<M: Model> Default for History<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Model> History<M> {
    /// A history without operations.
    pub fn new() -> Self {
        Self { operations: Vec::new() }
    }

    /// A client asks. Until more is said the operation is open.
    pub fn invoke(&mut self, process: u64, at: u64, call: M::Call) -> OperationId {
        self.operations.push(Operation { process, invoked: at, call, ending: Ending::Open { effect: None } });
        OperationId(self.operations.len() - 1)
    }

    /// A client is answered.
    ///
    /// # Panics
    ///
    /// When the operation has ended already, or was asked after `at`: the maker of the history is wrong.
    pub fn returned(&mut self, id: OperationId, at: u64, answer: M::Answer) {
        let operation = self.open(id);
        assert!(operation.invoked <= at, "{operation} returned before it was asked, at {at}");
        operation.ending = Ending::Returned { at, answer };
    }

    /// An operation of which the client never heard would have been answered so, if it took effect: something other
    /// than the client tells, as a log found at the end of a run. It stays open.
    ///
    /// # Panics
    ///
    /// When the operation has ended already: the maker of the history is wrong.
    pub fn took_effect(&mut self, id: OperationId, answer: M::Answer) {
        self.open(id).ending = Ending::Open { effect: Some(answer) };
    }

    /// It is certain that the operation never had and never will have an effect.
    ///
    /// # Panics
    ///
    /// When the operation has ended already: the maker of the history is wrong.
    pub fn nothing_happened(&mut self, id: OperationId) {
        self.open(id).ending = Ending::Nothing;
    }

    /// All operations, in the order in which they were added.
    pub fn operations(&self) -> impl Iterator<Item = (OperationId, &Operation<M::Call, M::Answer>)> {
        self.operations.iter().enumerate().map(|(at, operation)| (OperationId(at), operation))
    }

    /// An operation of this history.
    ///
    /// # Panics
    ///
    /// When `id` is of a longer history.
    pub fn operation(&self, id: OperationId) -> &Operation<M::Call, M::Answer> {
        &self.operations[id.0]
    }

    /// How many operations there are, those without effect included.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn open(&mut self, id: OperationId) -> &mut Operation<M::Call, M::Answer> {
        let operation = &mut self.operations[id.0];
        assert!(matches!(operation.ending, Ending::Open { .. }), "{operation} has ended already");
        operation
    }
}
