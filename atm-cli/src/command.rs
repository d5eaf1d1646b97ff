//! The words a person types at an ATM.
//!
//! Parsing asks nobody: what it refuses is wrong whatever the bank holds, and what it accepts the bank may still
//! refuse.

use std::fmt;
use std::str::FromStr;

use crate::account::{AccountName, AccountNameError};
use crate::amount::{AmountError, Cents};
use crate::operation::{Operation, Ticket};

/// The longest line that is taken for a command, inclusive, in bytes.
pub const MAX_LINE_BYTES: usize = 1024;

/// How many operations `history` shows when no number is given.
pub const DEFAULT_HISTORY: u32 = 20;

/// The words, for people.
pub const HELP: &str = "Commands:
  deposit ACCOUNT AMOUNT       put money in; the first deposit opens the account
  withdraw ACCOUNT AMOUNT      take money out
  transfer FROM TO AMOUNT      move money between two open accounts
  balance ACCOUNT              what the account holds
  history [ACCOUNT] [N]        the last N operations (20), of one account or of all
  accounts                     all accounts
  status                       this ATM, who leads, and whether a majority is in sight
  retry [N]                    ask again for an operation whose outcome is unknown; it is done at most once
  help                         this text
  quit                         stop this ATM
An amount is written 50.00, 50 or 0.05. A single number after history is N, not an account.";

/// One typed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Move money.
    Operate(Operation),
    /// Ask again for an operation whose outcome is unknown; without a ticket, for the newest.
    Retry(Option<Ticket>),
    /// What the account holds.
    Balance(AccountName),
    /// The last `last` operations, of one account or of all.
    History {
        /// Of which; `None` is all.
        account: Option<AccountName>,
        /// How many at most, at least 1.
        last: u32,
    },
    /// All accounts.
    Accounts,
    /// This ATM.
    Status,
    /// The words.
    Help,
    /// Stop this ATM.
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no word on it.
    #[error("there is no command; try: help")]
    Empty,
    /// It is longer than [`MAX_LINE_BYTES`].
    #[error("a command has at most {MAX_LINE_BYTES} bytes")]
    TooLong,
    /// The first word is no command.
    #[error("there is no command {word}; try: help")]
    UnknownWord {
        /// The word, with what a terminal could take amiss escaped.
        word: String,
    },
    /// There are too few or too many words after the first.
    #[error("this is written: {usage}")]
    Form {
        /// How the command is written.
        usage: &'static str,
    },
    /// See [`AccountNameError`].
    #[error(transparent)]
    Account(#[from] AccountNameError),
    /// See [`AmountError`].
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Where a number of operations or a ticket should stand is something else.
    #[error("{word} is not a number from 1 to {}", u32::MAX)]
    Number {
        /// The word, with what a terminal could take amiss escaped.
        word: String,
    },
}

impl Command {
    /// Whether it may move money, so that its outcome can be unknown.
    pub fn moves_money(&self) -> bool {
        matches!(self, Command::Operate(_) | Command::Retry(_))
    }
}

impl FromStr for Command {
    type Err = CommandError;

    fn from_str(line: &str) -> Result<Self, CommandError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(CommandError::TooLong);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((&first, rest)) = words.split_first() else {
            return Err(CommandError::Empty);
        };
        let form = |usage| Err(CommandError::Form { usage });
        Ok(match (first, rest) {
            ("deposit", [account, amount]) => {
                Command::Operate(Operation::Deposit { account: account.parse()?, amount: amount.parse()? })
            }
            ("deposit", _) => return form("deposit ACCOUNT AMOUNT"),
            ("withdraw", [account, amount]) => {
                Command::Operate(Operation::Withdraw { account: account.parse()?, amount: amount.parse()? })
            }
            ("withdraw", _) => return form("withdraw ACCOUNT AMOUNT"),
            ("transfer", [from, to, amount]) => {
                let (from, to, amount) = (from.parse()?, to.parse()?, amount.parse::<Cents>()?);
                Command::Operate(Operation::Transfer { from, to, amount })
            }
            ("transfer", _) => return form("transfer FROM TO AMOUNT"),
            ("balance", [account]) => Command::Balance(account.parse()?),
            ("balance", _) => return form("balance ACCOUNT"),
            ("history", []) => Command::History { account: None, last: DEFAULT_HISTORY },
            ("history", [word]) if is_number(word) => Command::History { account: None, last: number(word)? },
            ("history", [account]) => {
                Command::History { account: Some(account.parse()?), last: DEFAULT_HISTORY }
            }
            ("history", [account, last]) => {
                Command::History { account: Some(account.parse()?), last: number(last)? }
            }
            ("history", _) => return form("history [ACCOUNT] [N]"),
            ("retry", []) => Command::Retry(None),
            ("retry", [ticket]) => Command::Retry(Some(Ticket::new(number(ticket)?.into()))),
            ("retry", _) => return form("retry [N]"),
            ("accounts", []) => Command::Accounts,
            ("accounts", _) => return form("accounts"),
            ("status", []) => Command::Status,
            ("status", _) => return form("status"),
            ("help", _) => Command::Help,
            ("quit" | "exit", []) => Command::Quit,
            ("quit" | "exit", _) => return form("quit"),
            (word, _) => return Err(CommandError::UnknownWord { word: word.escape_default().to_string() }),
        })
    }
}

/// Prints a line that reads back as the same command.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Operate(operation) => write!(f, "{operation}"),
            Command::Retry(None) => f.write_str("retry"),
            Command::Retry(Some(ticket)) => write!(f, "retry {ticket}"),
            Command::Balance(account) => write!(f, "balance {account}"),
            Command::History { account: None, last } => write!(f, "history {last}"),
            Command::History { account: Some(account), last } => write!(f, "history {account} {last}"),
            Command::Accounts => f.write_str("accounts"),
            Command::Status => f.write_str("status"),
            Command::Help => f.write_str("help"),
            Command::Quit => f.write_str("quit"),
        }
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_digit())
}

fn number(word: &str) -> Result<u32, CommandError> {
    let read = word.parse().ok().filter(|&number| number > 0 && is_number(word));
    read.ok_or_else(|| CommandError::Number { word: word.escape_default().to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Result<Command, CommandError> {
        line.parse()
    }

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[test]
    fn the_words_of_the_contract_are_commands() {
        let amount = Cents::new(5000);
        let operate = |operation| Ok(Command::Operate(operation));
        assert_eq!(
            read("deposit alice 50.00"),
            operate(Operation::Deposit { account: name("alice"), amount })
        );
        assert_eq!(
            read(" withdraw\talice  50 "),
            operate(Operation::Withdraw { account: name("alice"), amount })
        );
        let transfer = Operation::Transfer { from: name("alice"), to: name("bob"), amount };
        assert_eq!(read("transfer alice bob 50.0"), operate(transfer));
        assert_eq!(read("balance alice"), Ok(Command::Balance(name("alice"))));
        assert_eq!(read("accounts"), Ok(Command::Accounts));
        assert_eq!(read("status"), Ok(Command::Status));
        assert_eq!(read("retry"), Ok(Command::Retry(None)));
        assert_eq!(read("retry 7"), Ok(Command::Retry(Some(Ticket::new(7)))));
        assert_eq!(read("help"), Ok(Command::Help));
        assert_eq!(read("quit"), Ok(Command::Quit));
    }

    #[test]
    fn a_single_number_after_history_counts_operations() {
        let history = |account: Option<&str>, last| Ok(Command::History { account: account.map(name), last });
        assert_eq!(read("history"), history(None, DEFAULT_HISTORY));
        assert_eq!(read("history 5"), history(None, 5));
        assert_eq!(read("history alice"), history(Some("alice"), DEFAULT_HISTORY));
        assert_eq!(read("history 7 5"), history(Some("7"), 5));
    }

    #[test]
    fn what_is_no_command_is_refused_with_how_it_is_written() {
        assert_eq!(read("  "), Err(CommandError::Empty));
        assert_eq!(read("deposit alice"), Err(CommandError::Form { usage: "deposit ACCOUNT AMOUNT" }));
        assert!(matches!(read("Deposit alice 5"), Err(CommandError::UnknownWord { .. })));
        assert!(matches!(read("deposit alice -5"), Err(CommandError::Amount(_))));
        assert!(matches!(read("deposit al/ice 5"), Err(CommandError::Account(_))));
        assert!(matches!(read("history alice 0"), Err(CommandError::Number { .. })));
        assert!(matches!(read("history 99999999999"), Err(CommandError::Number { .. })));
        assert!(matches!(read("retry +1"), Err(CommandError::Number { .. })));
        assert_eq!(read(&"x".repeat(MAX_LINE_BYTES + 1)), Err(CommandError::TooLong));
    }

    proptest! {
        #[test]
        fn no_line_panics(line: String) {
            let _ = read(&line);
        }

        #[test]
        fn what_is_printed_reads_back_as_the_same(
            a in "[A-Za-z0-9._-]{1,64}", b in "[A-Za-z0-9._-]{1,64}", cents: u64, last in 1..=u32::MAX
        ) {
            let amount = Cents::new(cents);
            let commands = [
                Command::Operate(Operation::Deposit { account: name(&a), amount }),
                Command::Operate(Operation::Withdraw { account: name(&a), amount }),
                Command::Operate(Operation::Transfer { from: name(&a), to: name(&b), amount }),
                Command::Balance(name(&a)),
                Command::History { account: Some(name(&a)), last },
                Command::History { account: None, last },
                Command::Retry(Some(Ticket::new(last.into()))),
            ];
            for command in commands {
                prop_assert_eq!(read(&command.to_string()), Ok(command));
            }
        }
    }
}
