//! Queues: a log per partition, to which values are appended and from which they are read by offset.
//!
//! Offsets are counted from 0 without gaps. Nothing is ever taken out. Invariant: a value stays where it was appended.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::history::{Ending, History, Operation};
use super::log::Log;
use super::verdict::Verdict;
use super::{MAX_STATES, Model};

/// All queues, by partition, each empty at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue;

/// What is asked of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Which queue.
    pub partition: u64,
    /// What of it.
    pub request: Request,
}

/// See [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Append this value. Answered [`Answer::Offset`].
    Append(u64),
    /// Which value is at this offset? Answered [`Answer::Value`].
    Read(u64),
    /// Where does it end? Answered [`Answer::End`].
    End,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The value was appended at this offset.
    Offset(u64),
    /// The value at the offset; `None` when the queue ends at or before it.
    Value(Option<u64>),
    /// The offset that the next value will have.
    End(u64),
}

/// The call that appends a value.
pub fn append(partition: u64, value: u64) -> Call {
    Call { partition, request: Request::Append(value) }
}

/// The call that reads the value at an offset.
pub fn read(partition: u64, offset: u64) -> Call {
    Call { partition, request: Request::Read(offset) }
}

/// The call that asks for the end.
pub fn end(partition: u64) -> Call {
    Call { partition, request: Request::End }
}

/// Decides whether a history of queues is linearizable, within [`MAX_STATES`] per partition.
pub fn check(history: &History<Queue>) -> Verdict<Queue> {
    super::check(&Queue, history, MAX_STATES)
}

/// The number of a queue, as a partition of the history is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

impl Model for Queue {
    type Call = Call;
    type Answer = Answer;
    type State = Log;
    type Key = Key;

    fn initial(&self, _key: &Key) -> Log {
        Log::new()
    }

    fn partition(&self, call: &Call) -> Key {
        Key(call.partition)
    }

    fn step(&self, log: &Log, call: &Call, answer: Option<&Answer>) -> Option<Log> {
        let right = match call.request {
            Request::Append(_) => Answer::Offset(log.len()),
            Request::Read(offset) => Answer::Value(log.get(offset)),
            Request::End => Answer::End(log.len()),
        };
        if answer.is_some_and(|answer| *answer != right) {
            return None;
        }
        let mut log = log.clone();
        if let Request::Append(value) = call.request {
            log.push(value);
        }
        Some(log)
    }

    /// Finds out where open appends are, if they took effect: by what was read of them, then by the gaps that are left.
    fn simplify(&self, operations: &mut [Operation<Call, Answer>]) {
        let is_told =
            |operation: &Operation<_, _>| operation.returned_at().is_none() && operation.answer().is_some();
        let has_other_evidence = operations.iter().any(is_told);
        if placed_by_reads(operations) && !has_other_evidence {
            fill_gaps(operations);
        }
    }

    fn only_looks(&self, call: &Call, _answer: &Answer) -> bool {
        !matches!(call.request, Request::Append(_))
    }
}

/// The value that an open append without evidence would append.
fn unplaced(operation: &Operation<Call, Answer>) -> Option<u64> {
    match (operation.call.request, &operation.ending) {
        (Request::Append(value), Ending::Open { effect: None }) => Some(value),
        _ => None,
    }
}

/// A value that only one operation appends can be read only where that operation put it. Returns whether every open
/// append whose value was read is placed so.
fn placed_by_reads(operations: &mut [Operation<Call, Answer>]) -> bool {
    let mut read = HashMap::new();
    let mut appended: HashMap<u64, usize> = HashMap::new();
    for operation in &*operations {
        match (operation.call.request, operation.answer()) {
            (Request::Append(value), _) => *appended.entry(value).or_default() += 1,
            (Request::Read(offset), Some(Answer::Value(Some(value))))
                if operation.returned_at().is_some() =>
            {
                read.insert(*value, offset);
            }
            _ => {}
        }
    }
    let mut are_placed = true;
    for operation in operations {
        let Some(value) = unplaced(operation) else { continue };
        match (read.get(&value), appended.get(&value)) {
            (Some(offset), Some(1)) => {
                operation.ending = Ending::Open { effect: Some(Answer::Offset(*offset)) };
            }
            (Some(_), _) => are_placed = false,
            (None, _) => {}
        }
    }
    are_placed
}

/// Open appends whose values nobody reads differ in nothing but when they were asked. So those asked first may be taken
/// to fill the offsets that nobody else can, in their order, and the others to come behind all that was seen.
fn fill_gaps(operations: &mut [Operation<Call, Answer>]) {
    let mut taken = HashSet::new();
    for operation in &*operations {
        match (&operation.call.request, operation.answer()) {
            (Request::Append(_), Some(Answer::Offset(offset)))
            | (Request::Read(offset), Some(Answer::Value(Some(_)))) => {
                taken.insert(*offset);
            }
            _ => {}
        }
    }
    let mut unread: Vec<_> =
        operations.iter_mut().filter(|operation| unplaced(operation).is_some()).collect();
    unread.sort_by_key(|operation| operation.invoked);
    let mut gaps = (0..=u64::MAX).filter(|offset| !taken.contains(offset));
    for operation in unread {
        operation.ending = Ending::Open { effect: gaps.next().map(Answer::Offset) };
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            Request::Append(value) => write!(f, "append {value}"),
            Request::Read(offset) => write!(f, "read at {offset}"),
            Request::End => f.write_str("end"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(offset) => write!(f, "at {offset}"),
            Self::Value(Some(value)) => write!(f, "{value}"),
            Self::Value(None) => f.write_str("nothing"),
            Self::End(end) => write!(f, "{end}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}", self.0)
    }
}
