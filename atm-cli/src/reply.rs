//! How a typed command ended, for people and for machines.
//!
//! `Display` is the sentence for people; the JSON of `--json` is the same value through serde, one object on one
//! line, and its field names are stable. Amounts are text there (`"50.00"`), since JSON has no exact numbers.
//!
//! Invariant: every command gets exactly one reply, and the exit code of `exec` is decided here alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::amount::Cents;
use crate::bank::{AccountsPage, Applied, HistoryPage, Receipt};
use crate::command::HELP;
use crate::operation::{OperationId, OperationNumber, Ticket};
use crate::view::View;

/// The one end of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Reply {
    /// It was done, or read.
    Done(Report),
    /// It did not happen and will not.
    Refused {
        /// Who refused.
        by: RefusedBy,
        /// What is said about it.
        sentence: String,
    },
    /// It may have happened or may still happen.
    Unknown {
        /// What is said about it.
        sentence: String,
        /// With what `retry` asks for the very same operation again, at the same ATM while it runs.
        ticket: Option<Ticket>,
        /// What to do next.
        hint: String,
    },
    /// It is no command. Nothing happened.
    Usage {
        /// What is said about it.
        sentence: String,
    },
}

/// Who refused a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedBy {
    /// The bank: it would break a rule of the bank.
    Bank,
    /// The group: there is no majority, or it is not able to take it.
    Group,
    /// This ATM, or the lack of one.
    Atm,
}

/// What was done or read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// Money was moved.
    Operation {
        /// Its place in the history.
        number: OperationNumber,
        /// The accounts it touched, after it.
        balances: Vec<Balance>,
    },
    /// What an account holds.
    Balance(Balance),
    /// A part of the history, oldest first.
    History {
        /// How many operations there are altogether of those asked for.
        total: u64,
        /// The last of them.
        operations: Vec<HistoryLine>,
    },
    /// The accounts, by name.
    Accounts {
        /// How many there are altogether.
        total: u64,
        /// The first of them.
        accounts: Vec<Balance>,
    },
    /// This ATM.
    Status(View),
    /// The words of the prompt.
    Help,
}

/// An account and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Its name.
    pub account: AccountName,
    /// What it holds.
    pub balance: Cents,
}

/// One operation of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Its place in the history.
    pub number: OperationNumber,
    /// The name under which it was asked for, 32 hexadecimal digits.
    pub id: String,
    /// The words that asked for it.
    pub operation: String,
    /// Whether it was done or refused.
    pub result: HistoryResult,
    /// The balances after it, or why it was refused.
    pub sentence: String,
}

/// What became of an operation of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryResult {
    /// It was done.
    Done,
    /// The bank refused it.
    Refused,
}

impl Reply {
    /// The exit code of `exec`: 0 done, 1 refused, 2 wrong usage, 3 unknown.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Reply::Done(_) => 0,
            Reply::Refused { .. } => 1,
            Reply::Usage { .. } => 2,
            Reply::Unknown { .. } => 3,
        }
    }

    /// A refusal.
    pub fn refused(by: RefusedBy, sentence: impl fmt::Display) -> Self {
        Reply::Refused { by, sentence: sentence.to_string() }
    }

    /// Wrong usage.
    pub fn usage(sentence: impl fmt::Display) -> Self {
        Reply::Usage { sentence: sentence.to_string() }
    }

    /// What to do next, where that is not plain.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Reply::Unknown { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// The reply as one line of JSON, without the line's end.
    pub fn to_json(&self) -> String {
        // These types have text keys only, so they can be written as JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Done(report) => write!(f, "{report}"),
            Reply::Refused { sentence, .. } | Reply::Unknown { sentence, .. } | Reply::Usage { sentence } => {
                f.write_str(sentence)
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Operation { balances, .. } => write!(f, "done: {}", sentence(balances)),
            Report::Balance(balance) => write!(f, "{balance}"),
            Report::History { operations, .. } if operations.is_empty() => f.write_str("no operations yet"),
            Report::History { total, operations } => {
                lines(f, operations)?;
                shown(f, "the last", operations.len(), *total)
            }
            Report::Accounts { accounts, .. } if accounts.is_empty() => f.write_str("no accounts yet"),
            Report::Accounts { total, accounts } => {
                lines(f, accounts)?;
                shown(f, "the first", accounts.len(), *total)
            }
            Report::Status(view) => write!(f, "{view}"),
            Report::Help => f.write_str(HELP),
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {}", self.account, self.balance)
    }
}

impl fmt::Display for HistoryLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = match self.result {
            HistoryResult::Done => "",
            HistoryResult::Refused => "refused: ",
        };
        write!(f, "{} {}: {refused}{}", self.number, self.operation, self.sentence)
    }
}

impl From<(AccountName, Cents)> for Balance {
    fn from((account, balance): (AccountName, Cents)) -> Self {
        Self { account, balance }
    }
}

impl From<Applied> for HistoryLine {
    fn from(applied: Applied) -> Self {
        let Applied { number, id, operation, result } = applied;
        let (result, sentence) = match result {
            Ok(receipt) => (HistoryResult::Done, sentence(&balances(receipt))),
            Err(refusal) => (HistoryResult::Refused, refusal.to_string()),
        };
        Self { number, id: OperationId::to_string(&id), operation: operation.to_string(), result, sentence }
    }
}

impl From<Applied> for Reply {
    fn from(applied: Applied) -> Self {
        match applied.result {
            Ok(receipt) => {
                Reply::Done(Report::Operation { number: applied.number, balances: balances(receipt) })
            }
            Err(refusal) => Reply::refused(RefusedBy::Bank, format_args!("refused: {refusal}")),
        }
    }
}

impl From<HistoryPage> for Report {
    fn from(page: HistoryPage) -> Self {
        let operations = page.operations.into_iter().map(HistoryLine::from).collect();
        Report::History { total: page.total, operations }
    }
}

impl From<AccountsPage> for Report {
    fn from(page: AccountsPage) -> Self {
        let accounts = page.accounts.into_iter().map(Balance::from).collect();
        Report::Accounts { total: page.total, accounts }
    }
}

fn balances(receipt: Receipt) -> Vec<Balance> {
    receipt.balances.into_iter().map(Balance::from).collect()
}

fn sentence(balances: &[Balance]) -> String {
    let parts: Vec<String> = balances.iter().map(Balance::to_string).collect();
    parts.join(", ")
}

fn lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        let end_of_previous = if place == 0 { "" } else { "\n" };
        write!(f, "{end_of_previous}{item}")?;
    }
    Ok(())
}

fn shown(f: &mut fmt::Formatter<'_>, which: &str, shown: usize, total: u64) -> fmt::Result {
    if shown as u64 == total { Ok(()) } else { write!(f, "\n({which} {shown} of {total})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::{Bank, Refusal};
    use crate::operation::Operation;

    fn bank() -> Bank {
        let mut bank = Bank::default();
        let (alice, bob): (AccountName, AccountName) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        for (id, operation) in [
            Operation::Deposit { account: alice.clone(), amount: Cents::new(5000) },
            Operation::Deposit { account: bob.clone(), amount: Cents::new(5) },
            Operation::Withdraw { account: alice.clone(), amount: Cents::new(8000) },
            Operation::Transfer { from: alice, to: bob, amount: Cents::new(1000) },
        ]
        .into_iter()
        .enumerate()
        {
            bank.apply(OperationId::new(id as u128), operation);
        }
        bank
    }

    #[test]
    fn a_refusal_is_a_sentence_with_both_amounts_and_exit_code_1() {
        let applied = bank().history(None, 2).operations.remove(0);
        let reply = Reply::from(applied);
        assert_eq!(reply.to_string(), "refused: alice has 50.00, less than 80.00");
        assert_eq!(reply.exit_code(), 1);
    }

    #[test]
    fn the_history_has_a_line_for_each_operation_and_says_when_it_is_not_all() {
        let text = Report::from(bank().history(None, 2)).to_string();
        let expected = "#3 withdraw alice 80.00: refused: alice has 50.00, less than 80.00\n\
                        #4 transfer alice bob 10.00: alice has 40.00, bob has 10.05\n\
                        (the last 2 of 4)";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_json_of_a_reply_is_stable_and_reads_back() {
        let balance = Balance { account: "alice".parse().unwrap(), balance: Cents::new(5000) };
        let refusal = Refusal::NoAccount { account: "bob".parse().unwrap() };
        let cases = [
            (
                Reply::Done(Report::Balance(balance.clone())),
                r#"{"outcome":"done","report":"balance","account":"alice","balance":"50.00"}"#,
            ),
            (
                Reply::Done(Report::Operation { number: OperationNumber::new(3), balances: vec![balance] }),
                r#"{"outcome":"done","report":"operation","number":3,"balances":[{"account":"alice","balance":"50.00"}]}"#,
            ),
            (
                Reply::refused(RefusedBy::Bank, refusal),
                r#"{"outcome":"refused","by":"bank","sentence":"there is no account bob; a first deposit opens it"}"#,
            ),
            (
                Reply::Unknown { sentence: "s".into(), ticket: Some(Ticket::new(2)), hint: "h".into() },
                r#"{"outcome":"unknown","sentence":"s","ticket":2,"hint":"h"}"#,
            ),
        ];
        for (reply, json) in cases {
            assert_eq!(reply.to_json(), json);
            assert_eq!(serde_json::from_str::<Reply>(json).unwrap(), reply);
        }
        let history = Reply::Done(bank().history(None, 9).into());
        assert_eq!(serde_json::from_str::<Reply>(&history.to_json()).unwrap(), history);
    }
}
