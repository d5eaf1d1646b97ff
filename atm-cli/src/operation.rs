//! What can be asked of the bank, and the two names of each such operation.
//!
//! An [`OperationId`] is given before it happens, by the ATM that asks, and stays the same over retries. An
//! [`OperationNumber`] is given when it happens, by the bank: its place in the history.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::amount::Cents;

/// Something that moves money.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// Put money into an account. The first deposit opens it.
    Deposit {
        /// Into which.
        account: AccountName,
        /// How much.
        amount: Cents,
    },
    /// Take money out of an account.
    Withdraw {
        /// Out of which.
        account: AccountName,
        /// How much.
        amount: Cents,
    },
    /// Move money between two accounts, both open.
    Transfer {
        /// Out of which.
        from: AccountName,
        /// Into which.
        to: AccountName,
        /// How much.
        amount: Cents,
    },
}

impl Operation {
    /// Whether the account is one of those it names.
    pub fn names(&self, wanted: &AccountName) -> bool {
        match self {
            Operation::Deposit { account, .. } | Operation::Withdraw { account, .. } => account == wanted,
            Operation::Transfer { from, to, .. } => from == wanted || to == wanted,
        }
    }

    /// The account it puts money into or takes money out of; of two, the one it takes from.
    pub fn account(&self) -> &AccountName {
        match self {
            Operation::Deposit { account, .. } | Operation::Withdraw { account, .. } => account,
            Operation::Transfer { from, .. } => from,
        }
    }
}

/// Prints the words that ask for it.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Deposit { account, amount } => write!(f, "deposit {account} {amount}"),
            Operation::Withdraw { account, amount } => write!(f, "withdraw {account} {amount}"),
            Operation::Transfer { from, to, amount } => write!(f, "transfer {from} {to} {amount}"),
        }
    }
}

/// Names one operation over all its retries, unique over all ATMs and all their runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Halves", from = "Halves")]
pub struct OperationId(u128);

/// How an id travels: JSON has no numbers of 128 bits.
#[derive(Serialize, Deserialize)]
struct Halves(u64, u64);

impl From<OperationId> for Halves {
    fn from(id: OperationId) -> Self {
        Halves((id.0 >> 64) as u64, id.0 as u64)
    }
}

impl From<Halves> for OperationId {
    fn from(Halves(high, low): Halves) -> Self {
        OperationId((u128::from(high) << 64) | u128::from(low))
    }
}

impl OperationId {
    /// Wraps a number of the caller's choosing.
    pub const fn new(id: u128) -> Self {
        Self(id)
    }

    /// Draws 128 bits of the operating system's randomness. Only ever called outside the bank: what the bank
    /// sees is already drawn.
    pub fn draw() -> Self {
        let half = |salt: u8| RandomState::new().hash_one(salt);
        Halves(half(0), half(1)).into()
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The place of an operation in the bank's history, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationNumber(u64);

impl OperationNumber {
    /// Wraps a number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, from 1.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for OperationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for OperationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// An ATM's own short name for an operation whose outcome it does not know, from 1 in each run of that ATM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(u64);

impl Ticket {
    /// Wraps a number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The ticket given out after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FromStr for Ticket {
    type Err = std::num::ParseIntError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        word.parse().map(Ticket)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ticket {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_are_two_ids() {
        assert_ne!(OperationId::draw(), OperationId::draw());
    }

    #[test]
    fn an_id_travels_whole() {
        let id = OperationId::new(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        let bytes = postcard::to_allocvec(&id).unwrap();
        assert_eq!(postcard::from_bytes::<OperationId>(&bytes).unwrap(), id);
        assert_eq!(id.to_string(), "0123456789abcdeffedcba9876543210");
    }
}
