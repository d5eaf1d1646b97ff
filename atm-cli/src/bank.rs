//! The bank: accounts, and the history of every operation that was applied to them.
//!
//! Pure and deterministic: no clock, no randomness, no I/O, and no map whose order depends on a run. The same
//! operations in the same order give the same bank everywhere, which is what makes it replicable.
//!
//! It deliberately keeps its whole history in memory, and with it the id of every operation, so that a retry is
//! recognised however late it comes. A bank that must shorten its history will need sessions that expire.
//!
//! Invariants: no balance is negative; the sum of all balances is the sum of all deposits done less all
//! withdrawals done; an operation id is applied at most once; the `n`th operation has number `n`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::amount::Cents;
use crate::operation::{Operation, OperationId, OperationNumber};

/// All accounts and their history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bank {
    accounts: BTreeMap<AccountName, Cents>,
    history: Vec<Applied>,
    numbers: BTreeMap<OperationId, OperationNumber>,
}

/// An operation that was applied, and its result. A refusal is a result as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its place in the history.
    pub number: OperationNumber,
    /// The name under which it was asked for.
    pub id: OperationId,
    /// What was asked for.
    pub operation: Operation,
    /// What became of it.
    pub result: Result<Receipt, Refusal>,
}

/// What an operation that was done left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The accounts it touched and their balances after it: one account, or for a transfer first the one it took
    /// from and then the one it gave to.
    pub balances: Vec<(AccountName, Cents)>,
}

/// Why the bank did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The account holds less than is asked of it.
    #[error("{account} has {balance}, less than {amount}")]
    TooLittle {
        /// The account.
        account: AccountName,
        /// What it has.
        balance: Cents,
        /// What was asked.
        amount: Cents,
    },
    /// The account is not open.
    #[error("there is no account {account}; a first deposit opens it")]
    NoAccount {
        /// The account.
        account: AccountName,
    },
    /// The account would hold more than an amount can be.
    #[error("{account} has {balance}, and {amount} more would be beyond {max}", max = Cents::MAX)]
    TooMuch {
        /// The account.
        account: AccountName,
        /// What it has.
        balance: Cents,
        /// What was to be added.
        amount: Cents,
    },
    /// A transfer names one account twice.
    #[error("a transfer needs two accounts, and {account} is named twice")]
    SameAccount {
        /// The account.
        account: AccountName,
    },
    /// The amount is zero.
    #[error("an amount of 0.00 moves nothing; the smallest is 0.01")]
    Nothing,
}

/// A part of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// The last of them, oldest first.
    pub operations: Vec<Applied>,
    /// How many there are altogether of those asked for.
    pub total: u64,
}

/// A part of the accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsPage {
    /// The first of them, by name.
    pub accounts: Vec<(AccountName, Cents)>,
    /// How many there are altogether.
    pub total: u64,
}

impl Bank {
    /// Does the operation, or finds a reason not to, and writes it into the history. If an operation of this id
    /// was applied before, nothing changes and its first result is returned, whatever `operation` says.
    pub fn apply(&mut self, id: OperationId, operation: Operation) -> &Applied {
        let place = match self.numbers.get(&id) {
            Some(first) => usize::try_from(first.as_u64() - 1).unwrap_or(usize::MAX),
            None => {
                let result = self.execute(&operation);
                let number = OperationNumber::new(self.history.len() as u64 + 1);
                self.history.push(Applied { number, id, operation, result });
                self.numbers.insert(id, number);
                self.history.len() - 1
            }
        };
        // In range: `numbers` names only places of the history, and the history never shrinks.
        &self.history[place]
    }

    /// What the account holds.
    ///
    /// # Errors
    /// [`Refusal::NoAccount`] when it is not open.
    pub fn balance(&self, account: &AccountName) -> Result<Cents, Refusal> {
        let balance = self.accounts.get(account).copied();
        balance.ok_or_else(|| Refusal::NoAccount { account: account.clone() })
    }

    /// The last `last` operations, of this account or of all.
    pub fn history(&self, account: Option<&AccountName>, last: usize) -> HistoryPage {
        let asked = |applied: &&Applied| account.is_none_or(|name| applied.operation.names(name));
        let total = self.history.iter().filter(asked).count();
        let mut operations: Vec<Applied> =
            self.history.iter().rev().filter(asked).take(last).cloned().collect();
        operations.reverse();
        HistoryPage { operations, total: total as u64 }
    }

    /// The first `first` accounts by name.
    pub fn accounts(&self, first: usize) -> AccountsPage {
        let accounts = self.accounts.iter().take(first).map(|(name, cents)| (name.clone(), *cents)).collect();
        AccountsPage { accounts, total: self.accounts.len() as u64 }
    }

    fn execute(&mut self, operation: &Operation) -> Result<Receipt, Refusal> {
        let balances = match operation {
            Operation::Deposit { account, amount } => {
                let balance = self.accounts.get(account).copied().unwrap_or_default();
                vec![(account.clone(), more(account, balance, *amount)?)]
            }
            Operation::Withdraw { account, amount } => {
                vec![(account.clone(), less(account, self.balance(account)?, *amount)?)]
            }
            Operation::Transfer { from, to, .. } if from == to => {
                return Err(Refusal::SameAccount { account: from.clone() });
            }
            Operation::Transfer { from, to, amount } => {
                let (left, given) = (self.balance(from)?, self.balance(to)?);
                vec![(from.clone(), less(from, left, *amount)?), (to.clone(), more(to, given, *amount)?)]
            }
        };
        // Nothing was changed above, so a refusal left no trace.
        self.accounts.extend(balances.iter().cloned());
        Ok(Receipt { balances })
    }
}

fn more(account: &AccountName, balance: Cents, amount: Cents) -> Result<Cents, Refusal> {
    if amount == Cents::ZERO {
        return Err(Refusal::Nothing);
    }
    let sum = balance.checked_add(amount);
    sum.ok_or_else(|| Refusal::TooMuch { account: account.clone(), balance, amount })
}

fn less(account: &AccountName, balance: Cents, amount: Cents) -> Result<Cents, Refusal> {
    if amount == Cents::ZERO {
        return Err(Refusal::Nothing);
    }
    let rest = balance.checked_sub(amount);
    rest.ok_or_else(|| Refusal::TooLittle { account: account.clone(), balance, amount })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    fn deposit(account: &str, cents: u64) -> Operation {
        Operation::Deposit { account: name(account), amount: Cents::new(cents) }
    }

    fn withdraw(account: &str, cents: u64) -> Operation {
        Operation::Withdraw { account: name(account), amount: Cents::new(cents) }
    }

    fn transfer(from: &str, to: &str, cents: u64) -> Operation {
        Operation::Transfer { from: name(from), to: name(to), amount: Cents::new(cents) }
    }

    /// A bank to which these were applied under the ids 0, 1, 2 and so on.
    fn bank(operations: &[Operation]) -> Bank {
        let mut bank = Bank::default();
        for (id, operation) in operations.iter().enumerate() {
            bank.apply(OperationId::new(id as u128), operation.clone());
        }
        bank
    }

    /// What the last of the operations answers.
    fn last(operations: &[Operation]) -> Result<Receipt, Refusal> {
        bank(operations).history.last().unwrap().result.clone()
    }

    #[test]
    fn a_first_deposit_opens_the_account_and_a_second_adds_to_it() {
        let bank = bank(&[deposit("alice", 5000), deposit("alice", 1)]);
        assert_eq!(bank.balance(&name("alice")), Ok(Cents::new(5001)));
    }

    #[test]
    fn a_withdrawal_beyond_the_balance_is_refused_with_both_amounts() {
        let refusal = last(&[deposit("alice", 5000), withdraw("alice", 8000)]).unwrap_err();
        assert_eq!(refusal.to_string(), "alice has 50.00, less than 80.00");
    }

    #[test]
    fn an_account_can_be_emptied_and_stays_open() {
        let bank = bank(&[deposit("alice", 5000), withdraw("alice", 5000)]);
        assert_eq!(bank.balance(&name("alice")), Ok(Cents::ZERO));
    }

    #[test]
    fn a_transfer_moves_the_amount_and_reports_both_balances() {
        let receipt =
            last(&[deposit("alice", 5000), deposit("bob", 1), transfer("alice", "bob", 2000)]).unwrap();
        assert_eq!(receipt.balances, [(name("alice"), Cents::new(3000)), (name("bob"), Cents::new(2001))]);
    }

    #[test]
    fn only_a_deposit_opens_an_account() {
        let opened = [deposit("alice", 5000)];
        let bank = bank(&opened);
        let absent = Refusal::NoAccount { account: name("bob") };
        assert_eq!(bank.balance(&name("bob")), Err(absent.clone()));
        for operation in [withdraw("bob", 1), transfer("alice", "bob", 1), transfer("bob", "alice", 1)] {
            assert_eq!(last(&[opened[0].clone(), operation]), Err(absent.clone()));
        }
    }

    #[test]
    fn a_transfer_to_itself_or_of_nothing_is_refused() {
        let opened = deposit("alice", 5000);
        let twice = last(&[opened.clone(), transfer("alice", "alice", 1)]);
        assert_eq!(twice, Err(Refusal::SameAccount { account: name("alice") }));
        for operation in [deposit("alice", 0), deposit("new", 0), withdraw("alice", 0)] {
            assert_eq!(last(&[opened.clone(), operation]), Err(Refusal::Nothing));
        }
    }

    #[test]
    fn a_balance_beyond_the_largest_amount_is_refused_and_nothing_moves() {
        let full = [deposit("alice", u64::MAX), deposit("bob", 7), transfer("bob", "alice", 7)];
        let bank = bank(&full);
        assert!(matches!(bank.history[2].result, Err(Refusal::TooMuch { .. })));
        assert_eq!(bank.balance(&name("bob")), Ok(Cents::new(7)));
    }

    #[test]
    fn a_retry_under_the_same_id_changes_nothing_and_gets_the_first_answer() {
        let mut bank = Bank::default();
        let id = OperationId::new(9);
        let first = bank.apply(id, deposit("alice", 5000)).clone();
        bank.apply(OperationId::new(10), withdraw("alice", 5000));
        let before = bank.clone();
        assert_eq!(*bank.apply(id, deposit("alice", 5000)), first);
        assert_eq!(bank, before);
    }

    #[test]
    fn the_history_shows_the_last_operations_oldest_first_also_of_one_account() {
        let bank =
            bank(&[deposit("alice", 5), deposit("bob", 5), transfer("bob", "alice", 1), withdraw("bob", 99)]);
        let numbers =
            |page: HistoryPage| page.operations.iter().map(|a| a.number.as_u64()).collect::<Vec<_>>();
        assert_eq!(numbers(bank.history(None, 2)), [3, 4]);
        assert_eq!(numbers(bank.history(Some(&name("alice")), 10)), [1, 3]);
        assert_eq!(bank.history(Some(&name("bob")), 1).total, 3);
        assert_eq!(numbers(bank.history(None, 0)), [0; 0]);
    }

    /// The slow, obvious bank: a list of signed balances.
    #[derive(Default)]
    struct Twin {
        balances: Vec<(AccountName, i128)>,
    }

    impl Twin {
        fn find(&mut self, account: &AccountName) -> Option<&mut i128> {
            self.balances.iter_mut().find(|(name, _)| name == account).map(|(_, balance)| balance)
        }

        fn add(&mut self, account: &AccountName, amount: i128) -> bool {
            let fits = |sum: i128| (0..=i128::from(u64::MAX)).contains(&sum);
            match self.find(account) {
                Some(balance) if fits(*balance + amount) => *balance += amount,
                _ => return false,
            }
            true
        }

        fn apply(&mut self, operation: &Operation) -> bool {
            match operation {
                Operation::Deposit { amount, .. }
                | Operation::Withdraw { amount, .. }
                | Operation::Transfer { amount, .. }
                    if *amount == Cents::ZERO =>
                {
                    false
                }
                Operation::Deposit { account, amount } => {
                    if self.find(account).is_none() {
                        self.balances.push((account.clone(), 0));
                    }
                    self.add(account, i128::from(amount.as_u64()))
                }
                Operation::Withdraw { account, amount } => self.add(account, -i128::from(amount.as_u64())),
                Operation::Transfer { from, to, amount } => {
                    let amount = i128::from(amount.as_u64());
                    if from == to || !self.add(from, -amount) {
                        return false;
                    }
                    let given = self.add(to, amount);
                    if !given {
                        assert!(self.add(from, amount), "what was just taken fits back");
                    }
                    given
                }
            }
        }
    }

    fn operations() -> impl Strategy<Value = Vec<(u8, Operation)>> {
        let account = || prop::sample::select(vec!["a", "b", "c", "d"]);
        let amount = || prop_oneof![8 => 0..500u64, 1 => (u64::MAX - 500)..=u64::MAX];
        let operation = prop_oneof![
            (account(), amount()).prop_map(|(a, n)| deposit(a, n)),
            (account(), amount()).prop_map(|(a, n)| withdraw(a, n)),
            (account(), account(), amount()).prop_map(|(a, b, n)| transfer(a, b, n)),
        ];
        prop::collection::vec((any::<u8>(), operation), 0..200)
    }

    proptest! {
        #[test]
        fn money_is_neither_made_nor_lost_and_the_plain_twin_agrees(operations in operations()) {
            let (mut bank, mut twin) = (Bank::default(), Twin::default());
            let mut seen = std::collections::BTreeMap::new();
            let mut expected_sum: i128 = 0;
            for (id, operation) in operations {
                let applied = bank.apply(OperationId::new(id.into()), operation.clone()).clone();
                if let Some(first) = seen.get(&id) {
                    prop_assert_eq!(&applied, first);
                    continue;
                }
                seen.insert(id, applied.clone());
                prop_assert_eq!(applied.number.as_u64(), seen.len() as u64);
                prop_assert_eq!(applied.result.is_ok(), twin.apply(&operation), "{}", operation);
                expected_sum += match (&applied.result, &operation) {
                    (Ok(_), Operation::Deposit { amount, .. }) => i128::from(amount.as_u64()),
                    (Ok(_), Operation::Withdraw { amount, .. }) => -i128::from(amount.as_u64()),
                    _ => 0,
                };
                let sum: i128 = bank.accounts.values().map(|cents| i128::from(cents.as_u64())).sum();
                prop_assert_eq!(sum, expected_sum);
                for (account, balance) in &twin.balances {
                    prop_assert!(*balance >= 0);
                    let held = bank.accounts.get(account).map_or(0, |cents| i128::from(cents.as_u64()));
                    prop_assert_eq!(held, *balance);
                }
            }
            prop_assert_eq!(bank.history(None, usize::MAX).total, seen.len() as u64);
        }
    }
}
