//! Registers: a value per key, written, read, and swapped if it is as expected. Each key is a partition.
//!
//! Invariant: a register that was never written holds nothing.

use std::fmt;

use super::history::History;
use super::verdict::Verdict;
use super::{MAX_STATES, Model};

/// All registers, by key, each holding nothing at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Register;

/// What is asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Which register.
    pub key: u64,
    /// What of it.
    pub request: Request,
}

/// See [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Let it hold this. Answered [`Answer::Done`].
    Write(u64),
    /// What does it hold? Answered [`Answer::Value`].
    Read,
    /// If it holds `expected`, let it hold `new`. Answered [`Answer::Swapped`].
    Swap {
        /// What it must hold; `None` is nothing.
        expected: Option<u64>,
        /// What it then holds.
        new: u64,
    },
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It was written.
    Done,
    /// This is what it holds; `None` is nothing.
    Value(Option<u64>),
    /// Whether it held what was expected, and holds the new value now.
    Swapped(bool),
}

/// The call that writes `value`.
pub fn write(key: u64, value: u64) -> Call {
    Call { key, request: Request::Write(value) }
}

/// The call that reads.
pub fn read(key: u64) -> Call {
    Call { key, request: Request::Read }
}

/// The call that writes `new` if the register holds `expected`, `None` being nothing.
pub fn swap(key: u64, expected: Option<u64>, new: u64) -> Call {
    Call { key, request: Request::Swap { expected, new } }
}

/// Decides whether a history of registers is linearizable, within [`MAX_STATES`] per key.
pub fn check(history: &History<Register>) -> Verdict<Register> {
    super::check(&Register, history, MAX_STATES)
}

/// The key of a register, as a partition is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// What a register holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Held(pub Option<u64>);

impl Model for Register {
    type Call = Call;
    type Answer = Answer;
    type State = Held;
    type Key = Key;

    fn initial(&self, _key: &Key) -> Held {
        Held(None)
    }

    fn partition(&self, call: &Call) -> Key {
        Key(call.key)
    }

    fn step(&self, held: &Held, call: &Call, answer: Option<&Answer>) -> Option<Held> {
        let (right, after) = match call.request {
            Request::Write(value) => (Answer::Done, Held(Some(value))),
            Request::Read => (Answer::Value(held.0), *held),
            Request::Swap { expected, new } if held.0 == expected => (Answer::Swapped(true), Held(Some(new))),
            Request::Swap { .. } => (Answer::Swapped(false), *held),
        };
        answer.is_none_or(|answer| *answer == right).then_some(after)
    }

    fn only_looks(&self, call: &Call, answer: &Answer) -> bool {
        call.request == Request::Read || *answer == Answer::Swapped(false)
    }
}

/// A value, or that there is none.
struct Shown(Option<u64>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            Request::Write(value) => write!(f, "write {value}"),
            Request::Read => f.write_str("read"),
            Request::Swap { expected, new } => write!(f, "swap {} for {new}", Shown(expected)),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Value(value) => Shown(*value).fmt(f),
            Self::Swapped(true) => f.write_str("swapped"),
            Self::Swapped(false) => f.write_str("not as expected"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "register {}", self.0)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it holds {}", Shown(self.0))
    }
}
