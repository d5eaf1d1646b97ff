//! A bank: accounts that hold whole cents, and never less than none.
//!
//! It is one partition, since a transfer touches two accounts. A withdrawal or transfer is declined when, and only
//! when, the account holds less.
//!
//! What it does not do: guess well. Each set of transfers leads to other balances, so more than a few operations of
//! unknown outcome among thousands may leave a history undecided, unless other evidence tells which of them never
//! happened. Invariant: only deposits and withdrawals change how much there is altogether.

use std::collections::BTreeMap;
use std::fmt;

use super::history::History;
use super::verdict::Verdict;
use super::{MAX_STATES, Model};

/// The number of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(pub u32);

/// An amount of whole cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(pub u64);

/// A bank, in which every account holds nothing at first but what it was opened with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bank {
    opening: Ledger,
}

/// What is asked of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Add cents to an account. Answered [`Answer::Done`], or declined if it cannot hold so many: a balance is below
    /// two to the power of 64.
    Deposit(Account, Cents),
    /// Take cents from an account. Answered [`Answer::Done`] or [`Answer::Declined`].
    Withdraw(Account, Cents),
    /// Take cents from one account and add them to another. Answered as a withdrawal and a deposit are.
    Transfer {
        /// From where.
        from: Account,
        /// To where; it may be the same.
        to: Account,
        /// How many.
        cents: Cents,
    },
    /// How much is in an account? Answered [`Answer::Balance`].
    Balance(Account),
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was not done, for want of money or of room.
    Declined,
    /// So much is in the account.
    Balance(Cents),
}

/// Decides whether a history of a bank is linearizable, within [`MAX_STATES`].
pub fn check(bank: &Bank, history: &History<Bank>) -> Verdict<Bank> {
    super::check(bank, history, MAX_STATES)
}

impl Bank {
    /// A bank in which these accounts hold something already.
    pub fn new(opening: impl IntoIterator<Item = (Account, Cents)>) -> Self {
        let mut ledger = Ledger::default();
        for (account, cents) in opening {
            ledger.set(account, cents);
        }
        Self { opening: ledger }
    }
}

/// What accounts hold. Those that hold nothing are not listed, so that equal ledgers are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger(BTreeMap<Account, Cents>);

impl Ledger {
    /// What an account holds.
    pub fn balance(&self, account: Account) -> Cents {
        self.0.get(&account).copied().unwrap_or_default()
    }

    fn set(&mut self, account: Account, cents: Cents) {
        if cents == Cents(0) {
            self.0.remove(&account);
        } else {
            self.0.insert(account, cents);
        }
    }

    /// This ledger with so much less in an account; `None` when there is not enough.
    fn without(&self, account: Account, cents: Cents) -> Option<Self> {
        let left = self.balance(account).0.checked_sub(cents.0)?;
        let mut ledger = self.clone();
        ledger.set(account, Cents(left));
        Some(ledger)
    }

    /// This ledger with so much more in an account; `None` when it cannot hold so much.
    fn with(&self, account: Account, cents: Cents) -> Option<Self> {
        let sum = self.balance(account).0.checked_add(cents.0)?;
        let mut ledger = self.clone();
        ledger.set(account, Cents(sum));
        Some(ledger)
    }
}

/// The one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key;

impl Model for Bank {
    type Call = Call;
    type Answer = Answer;
    type State = Ledger;
    type Key = Key;

    fn initial(&self, _key: &Key) -> Ledger {
        self.opening.clone()
    }

    fn partition(&self, _call: &Call) -> Key {
        Key
    }

    fn step(&self, ledger: &Ledger, call: &Call, answer: Option<&Answer>) -> Option<Ledger> {
        let moved = match *call {
            Call::Balance(account) => {
                let right = Answer::Balance(ledger.balance(account));
                return answer.is_none_or(|answer| *answer == right).then(|| ledger.clone());
            }
            Call::Deposit(account, cents) => ledger.with(account, cents),
            Call::Withdraw(account, cents) => ledger.without(account, cents),
            Call::Transfer { from, to, cents } => {
                ledger.without(from, cents).and_then(|ledger| ledger.with(to, cents))
            }
        };
        let (right, after) = match moved {
            Some(after) => (Answer::Done, after),
            None => (Answer::Declined, ledger.clone()),
        };
        answer.is_none_or(|answer| *answer == right).then_some(after)
    }

    fn only_looks(&self, call: &Call, answer: &Answer) -> bool {
        matches!(call, Call::Balance(_)) || *answer == Answer::Declined
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}", self.0)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposit(account, cents) => write!(f, "deposit {cents} to {account}"),
            Self::Withdraw(account, cents) => write!(f, "withdraw {cents} from {account}"),
            Self::Transfer { from, to, cents } => write!(f, "transfer {cents} from {from} to {to}"),
            Self::Balance(account) => write!(f, "balance of {account}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Declined => f.write_str("declined"),
            Self::Balance(cents) => write!(f, "{cents}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bank")
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no account holds anything");
        }
        self.0.iter().enumerate().try_for_each(|(at, (account, cents))| {
            write!(f, "{}{account} holds {cents}", if at > 0 { ", " } else { "" })
        })
    }
}
