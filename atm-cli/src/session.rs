//! Executes typed commands against the group: one command in, one reply out.
//!
//! Operations go by `submit` and are answered from the state applied on this node; readings go by linearizable
//! `query`. Only `status` and `help` are answered without the group.
//!
//! Invariants: a reading is never answered from state that was not confirmed to be the newest. An operation keeps
//! its [`OperationId`] until its outcome is known, and once it may have reached a leader, a refusal of a later
//! attempt does not make it refused: that attempt did nothing, the first may have.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{GroupId, NodeId};
use raft_net::{Consistency, Doubt, NodeHandle, Outcome, Refusal};
use tokio::time::{Instant, timeout, timeout_at};

use crate::command::Command;
use crate::machine::{Answer, Logged, Query, Response, decode, encode};
use crate::operation::{Operation, OperationId, Ticket};
use crate::patience::Patience;
use crate::reply::{Balance, RefusedBy, Reply, Report};
use crate::unsettled::Unsettled;
use crate::view::View;

/// The node promises an end within the time given. This much later it is taken at its word no longer.
const GRACE: Duration = Duration::from_secs(2);

/// An ATM's dealings with the bank. Shared by its terminal and all `exec`s.
pub struct Session {
    handle: NodeHandle,
    founders: BTreeSet<NodeId>,
    // No await while it is held.
    unsettled: Mutex<Unsettled>,
}

impl Session {
    /// A session on the running node, one of `founders`.
    pub fn new(handle: NodeHandle, founders: BTreeSet<NodeId>) -> Self {
        Self { handle, founders, unsettled: Mutex::default() }
    }

    /// What this ATM sees of the others.
    pub fn view(&self) -> View {
        self.handle.read_board(|board| View::of(self.handle.id(), &self.founders, board))
    }

    /// Executes a typed line, within `patience` and a little more.
    pub async fn execute_line(&self, line: &str, patience: Patience) -> Reply {
        match line.parse() {
            Ok(command) => self.execute(command, patience).await,
            Err(error) => Reply::usage(error),
        }
    }

    /// Executes a command, within `patience` and a little more.
    pub async fn execute(&self, command: Command, patience: Patience) -> Reply {
        let deadline = Instant::now() + patience.duration();
        match command {
            Command::Operate(operation) => {
                self.operate(OperationId::draw(), operation, Attempt::First, deadline).await
            }
            Command::Retry(ticket) => {
                let kept = self.unsettled().find(ticket);
                match kept {
                    Some((id, operation)) => self.operate(id, operation, Attempt::Again, deadline).await,
                    None => Reply::refused(
                        RefusedBy::Atm,
                        "refused: this ATM keeps no such operation whose outcome is unknown; history shows what was done",
                    ),
                }
            }
            Command::Balance(account) => {
                let answer = self.ask(Query::Balance(account.clone()), deadline).await;
                read(answer, |answer| match answer {
                    Answer::Balance(Ok(balance)) => {
                        Some(Reply::Done(Report::Balance(Balance { account, balance })))
                    }
                    Answer::Balance(Err(refusal)) => {
                        Some(Reply::refused(RefusedBy::Bank, format_args!("refused: {refusal}")))
                    }
                    _ => None,
                })
            }
            Command::History { account, last } => {
                let answer = self.ask(Query::History { account, last }, deadline).await;
                read(answer, |answer| match answer {
                    Answer::History(page) => Some(Reply::Done(page.into())),
                    _ => None,
                })
            }
            Command::Accounts => {
                let answer = self.ask(Query::Accounts, deadline).await;
                read(answer, |answer| match answer {
                    Answer::Accounts(page) => Some(Reply::Done(page.into())),
                    _ => None,
                })
            }
            Command::Status => Reply::Done(Report::Status(self.view())),
            Command::Help => Reply::Done(Report::Help),
            Command::Quit => Reply::usage(QUIT_ELSEWHERE),
        }
    }

    async fn operate(
        &self,
        id: OperationId,
        operation: Operation,
        attempt: Attempt,
        deadline: Instant,
    ) -> Reply {
        let command = encode(&Logged::V1 { id, operation: operation.clone() });
        let outcome = self
            .once_formed(deadline, |patience| self.handle.submit(GroupId::ROOT, command.clone(), patience))
            .await;
        match judge(outcome, attempt) {
            Verdict::Settled(reply) => {
                self.unsettled().settle(id);
                reply
            }
            Verdict::Open { sentence } => {
                let ticket = self.unsettled().keep(id, &operation);
                unknown_operation(sentence, ticket, &operation)
            }
        }
    }

    async fn ask(&self, query: Query, deadline: Instant) -> Outcome {
        let query = encode(&query);
        self.once_formed(deadline, |patience| {
            self.handle.query(GroupId::ROOT, query.clone(), Consistency::Linearizable, patience)
        })
        .await
    }

    /// Asks until the bank is formed or the time is over, so that commands given while the ATMs start wait for it.
    async fn once_formed<F: Future<Output = Outcome>>(
        &self,
        deadline: Instant,
        ask: impl Fn(Duration) -> F,
    ) -> Outcome {
        let mut changes = self.handle.changes();
        loop {
            changes.borrow_and_update();
            let patience = whole_millis(deadline.saturating_duration_since(Instant::now()));
            let outcome = timeout(patience + GRACE, ask(patience)).await;
            let outcome = outcome.unwrap_or(Outcome::Unknown(Doubt::TimedOut(patience)));
            if !matches!(outcome, Outcome::Refused(Refusal::Forming { .. })) {
                return outcome;
            }
            if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return outcome;
            }
        }
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounded up, so that a person who waited for 5s is not told of 4.999987s.
fn whole_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// What `quit` is answered with where it does not belong.
pub const QUIT_ELSEWHERE: &str = "quit belongs to the ATM's own terminal; stop an ATM elsewhere with SIGTERM";

/// Whether an operation may have reached a leader before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

/// What is known of an operation after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Its outcome, for ever.
    Settled(Reply),
    /// It may have happened or may still happen.
    Open { sentence: String },
}

fn judge(outcome: Outcome, attempt: Attempt) -> Verdict {
    match outcome {
        Outcome::Done(response) => match decode(&response) {
            Some(Response::Applied(applied)) => Verdict::Settled(applied.into()),
            Some(Response::Malformed) => Verdict::Settled(Reply::refused(
                RefusedBy::Bank,
                "refused: the bank did not understand the operation; do all ATMs run the same version?",
            )),
            None => {
                Verdict::Open { sentence: "unknown outcome: the bank's answer cannot be read".to_owned() }
            }
        },
        Outcome::Refused(refusal) => match attempt {
            Attempt::First => Verdict::Settled(refused_by_group(&refusal)),
            Attempt::Again => Verdict::Open {
                sentence: format!(
                    "unknown outcome: this attempt failed ({refusal}), an earlier one may not have"
                ),
            },
        },
        Outcome::Unknown(doubt) => Verdict::Open { sentence: doubt.to_string() },
    }
}

fn read(outcome: Outcome, understand: impl FnOnce(Answer) -> Option<Reply>) -> Reply {
    match outcome {
        Outcome::Done(answer) => understood(&answer, understand),
        Outcome::Refused(refusal) => refused_by_group(&refusal),
        Outcome::Unknown(doubt) => Reply::Unknown {
            sentence: doubt.to_string(),
            ticket: None,
            hint: "asking changes nothing; ask again".to_owned(),
        },
    }
}

fn understood(answer: &Bytes, understand: impl FnOnce(Answer) -> Option<Reply>) -> Reply {
    decode(answer).and_then(understand).unwrap_or_else(|| {
        Reply::refused(
            RefusedBy::Bank,
            "refused: the bank's answer cannot be read; do all ATMs run the same version?",
        )
    })
}

fn refused_by_group(refusal: &Refusal) -> Reply {
    let sentence = match refusal {
        Refusal::NoMajority => "no majority: nothing was done".to_owned(),
        Refusal::Forming { waiting_for } => {
            let names: Vec<String> = waiting_for.iter().map(|node| format!("ATM {node}")).collect();
            let missing = names.join(" and ");
            format!("no majority: nothing was done; the bank opens when {missing} can be reached")
        }
        other => format!("refused: {other}"),
    };
    Reply::refused(RefusedBy::Group, sentence)
}

fn unknown_operation(sentence: String, ticket: Ticket, operation: &Operation) -> Reply {
    let account = operation.account();
    let hint = format!(
        "\"retry {ticket}\" at this ATM asks again for this very operation, which is done at most once; \
         \"history {account}\" shows whether it was"
    );
    Reply::Unknown { sentence, ticket: Some(ticket), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Cents;
    use crate::bank::Bank;

    fn deposit() -> Operation {
        Operation::Deposit { account: "alice".parse().unwrap(), amount: Cents::new(5000) }
    }

    fn applied() -> Outcome {
        let applied = Bank::default().apply(OperationId::new(1), deposit()).clone();
        Outcome::Done(encode(&Response::Applied(applied)))
    }

    #[test]
    fn what_was_applied_is_done_with_its_balance() {
        let Verdict::Settled(reply) = judge(applied(), Attempt::First) else { panic!("it was applied") };
        assert_eq!((reply.to_string().as_str(), reply.exit_code()), ("done: alice has 50.00", 0));
    }

    #[test]
    fn without_a_majority_nothing_was_done() {
        for refusal in [Refusal::NoMajority, Refusal::Forming { waiting_for: vec![NodeId::new(2)] }] {
            let Verdict::Settled(reply) = judge(Outcome::Refused(refusal), Attempt::First) else {
                panic!("a first attempt that was refused is settled")
            };
            assert!(reply.to_string().starts_with("no majority: nothing was done"), "{reply}");
            assert_eq!(reply.exit_code(), 1);
        }
    }

    #[test]
    fn a_refused_retry_leaves_the_outcome_of_the_operation_unknown() {
        let verdict = judge(Outcome::Refused(Refusal::NoMajority), Attempt::Again);
        let Verdict::Open { sentence } = verdict else { panic!("the first attempt may have been applied") };
        assert!(sentence.starts_with("unknown outcome: "), "{sentence}");
    }

    #[test]
    fn a_doubt_is_an_unknown_outcome_that_says_what_to_do_next() {
        let doubt = Outcome::Unknown(Doubt::TimedOut(Duration::from_secs(5)));
        let Verdict::Open { sentence } = judge(doubt, Attempt::First) else { panic!("nothing is known") };
        let reply = unknown_operation(sentence, Ticket::new(3), &deposit());
        assert!(reply.to_string().starts_with("unknown outcome: "), "{reply}");
        let hint = reply.hint().unwrap_or_default();
        assert!(hint.contains("\"retry 3\"") && hint.contains("\"history alice\""), "{hint}");
        assert_eq!(reply.exit_code(), 3);
    }

    #[test]
    fn an_answer_that_cannot_be_read_settles_nothing() {
        let garbage = Outcome::Done(Bytes::from_static(b"\xff\xff"));
        assert!(matches!(judge(garbage, Attempt::First), Verdict::Open { .. }));
        let malformed = Outcome::Done(encode(&Response::Malformed));
        assert!(matches!(judge(malformed, Attempt::First), Verdict::Settled(Reply::Refused { .. })));
    }

    #[test]
    fn a_reading_without_confirmation_shows_no_balance() {
        let understand = |_| -> Option<Reply> { panic!("there is nothing to understand") };
        let refused = read(Outcome::Refused(Refusal::NoMajority), understand);
        assert_eq!(refused.to_string(), "no majority: nothing was done");
        let unknown = read(Outcome::Unknown(Doubt::LeaderChanged), understand);
        assert_eq!(unknown.exit_code(), 3);
    }
}
