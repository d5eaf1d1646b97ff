//! The bank as the state machine of a Raft group, and the bytes in which it is asked and answers.
//!
//! Commands lie in the log for ever, so their outermost byte says in which form they are written. Invariant: no
//! bytes make it panic, and the same bytes get the same answer on every replica; those that mean nothing are
//! answered as such and change nothing.

use bytes::Bytes;
use raft_core::LogId;
use raft_net::{Body, StateMachine};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::amount::Cents;
use crate::bank::{AccountsPage, Applied, Bank, HistoryPage, Refusal};
use crate::operation::{Operation, OperationId};

/// The most operations or accounts in one answer.
pub const MAX_PAGE: u32 = 1000;

/// What is written into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Logged {
    /// The first form.
    V1 {
        /// The operation's name over all its retries.
        id: OperationId,
        /// What is to be done.
        operation: Operation,
    },
}

/// What the bank says about a logged command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// It was applied, now or before under the same id.
    Applied(Applied),
    /// Its bytes mean nothing to the bank. Nothing was done.
    Malformed,
}

/// What the bank can be asked without changing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// What an account holds.
    Balance(AccountName),
    /// The last operations, of one account or of all.
    History {
        /// Of which; `None` is all.
        account: Option<AccountName>,
        /// How many; more than [`MAX_PAGE`] counts as that.
        last: u32,
    },
    /// The first [`MAX_PAGE`] accounts by name.
    Accounts,
}

/// What the bank says to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Query::Balance`].
    Balance(Result<Cents, Refusal>),
    /// To [`Query::History`].
    History(HistoryPage),
    /// To [`Query::Accounts`].
    Accounts(AccountsPage),
    /// The question's bytes mean nothing to the bank.
    Malformed,
}

/// Runs a [`Bank`] for a Raft group.
#[derive(Clone, Debug, Default)]
pub struct BankMachine {
    bank: Bank,
}

impl StateMachine for BankMachine {
    fn apply(&mut self, _id: LogId, body: &Body) -> Bytes {
        let command = match body {
            Body::Noop => return Bytes::new(),
            Body::Command(command) => decode(command),
            Body::Batch(_) => None,
        };
        encode(&match command {
            Some(Logged::V1 { id, operation }) => Response::Applied(self.bank.apply(id, operation).clone()),
            None => Response::Malformed,
        })
    }

    fn query(&self, query: &[u8]) -> Bytes {
        encode(&match decode(query) {
            Some(Query::Balance(account)) => Answer::Balance(self.bank.balance(&account)),
            Some(Query::History { account, last }) => {
                Answer::History(self.bank.history(account.as_ref(), last.min(MAX_PAGE) as usize))
            }
            Some(Query::Accounts) => Answer::Accounts(self.bank.accounts(MAX_PAGE as usize)),
            None => Answer::Malformed,
        })
    }
}

/// Writes one of this module's messages.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    // None of these messages can fail to encode. Were one to, its reader would find nothing and say so.
    postcard::to_allocvec(message).unwrap_or_default().into()
}

/// Reads one of this module's messages. `None` when the bytes are anything else, or if any are left over.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft_core::{LogIndex, Term};

    use super::*;

    const AT: LogId = LogId::new(Term::new(1), LogIndex::new(1));

    fn deposit(id: u128) -> Bytes {
        let operation = Operation::Deposit { account: "alice".parse().unwrap(), amount: Cents::new(5000) };
        encode(&Logged::V1 { id: OperationId::new(id), operation })
    }

    fn balance(machine: &BankMachine) -> Option<Answer> {
        decode(&machine.query(&encode(&Query::Balance("alice".parse().unwrap()))))
    }

    #[test]
    fn a_logged_deposit_is_applied_and_can_be_read() {
        let mut machine = BankMachine::default();
        let response = decode(&machine.apply(AT, &Body::Command(deposit(1))));
        let Some(Response::Applied(applied)) = response else { panic!("{response:?}") };
        assert!(applied.result.is_ok());
        assert_eq!(balance(&machine), Some(Answer::Balance(Ok(Cents::new(5000)))));
    }

    #[test]
    fn an_operation_that_stands_in_the_log_twice_is_done_once() {
        let mut machine = BankMachine::default();
        let first = machine.apply(AT, &Body::Command(deposit(1)));
        assert_eq!(machine.apply(AT, &Body::Command(deposit(1))), first);
        assert_eq!(balance(&machine), Some(Answer::Balance(Ok(Cents::new(5000)))));
    }

    #[test]
    fn the_form_on_disk_does_not_change() {
        let id = OperationId::new(1);
        let (a, b, amount) = ("a".parse().unwrap(), "b".parse().unwrap(), Cents::new(300));
        let logged = Logged::V1 { id, operation: Operation::Transfer { from: a, to: b, amount } };
        assert_eq!(encode(&logged)[..], [0, 0, 1, 2, 1, b'a', 1, b'b', 0xac, 0x02]);
    }

    #[test]
    fn a_no_op_is_answered_with_nothing_and_a_batch_as_malformed() {
        let mut machine = BankMachine::default();
        assert!(machine.apply(AT, &Body::Noop).is_empty());
        assert_eq!(decode(&machine.apply(AT, &Body::Batch(deposit(1)))), Some(Response::Malformed));
        assert_eq!(machine.bank, Bank::default());
    }

    #[test]
    fn bytes_left_over_make_a_command_malformed() {
        let mut longer = deposit(1).to_vec();
        longer.push(0);
        let mut machine = BankMachine::default();
        assert_eq!(decode(&machine.apply(AT, &Body::Command(longer.into()))), Some(Response::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_all_replicas_answer_alike(commands: Vec<Vec<u8>>, query: Vec<u8>) {
            let (mut one, mut other) = (BankMachine::default(), BankMachine::default());
            for command in commands {
                let body = Body::Command(command.into());
                prop_assert_eq!(one.apply(AT, &body), other.apply(AT, &body));
            }
            prop_assert_eq!(one.query(&query), other.query(&query));
            prop_assert_eq!(one.bank, other.bank);
        }

        #[test]
        fn a_damaged_command_is_applied_as_what_it_says_or_not_at_all(at in 0..64usize, bit in 0..8u8) {
            let mut bytes = deposit(1).to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let mut machine = BankMachine::default();
            let response: Option<Response> = decode(&machine.apply(AT, &Body::Command(bytes.into())));
            prop_assert!(response.is_some());
        }
    }
}
