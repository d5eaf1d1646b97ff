//! The same requests as a bank sees them: what is written are deposits, withdrawals and transfers, what is read balances.
//!
//! The log decides the order, so the answers follow from it: a request is answered as the ledger stood where it was
//! applied. Whether clients could have seen that in one order, with all accounts at once, is for the checker to say.
//! Invariant: what a request asks follows from its number, so nothing of this is in the log.

use super::clients::{End, Request};
use crate::linear::bank::{Account, Answer, Bank, Call, Cents, Ledger};
use crate::linear::{History, Model, Verdict, bank};

/// Whether what clients saw can be explained by one order. `committed` are the numbers of requests in the order of the log.
pub(super) fn check(requests: &[Request], committed: &[u32], max_states: usize) -> Verdict<Bank> {
    let bank = Bank::default();
    let answers = answers(&bank, requests, committed);
    let mut history = History::new();
    for (number, (request, answer)) in (0_u32..).zip(requests.iter().zip(answers)) {
        // A read without an answer saw nothing; a write that is not in the log never will be.
        let Some(answer) = answer else { continue };
        let id = history.invoke(number.into(), request.asked_at, call(number, request));
        if request.end == End::Open {
            history.took_effect(id, answer);
        } else {
            history.returned(id, request.ended_at.max(request.asked_at), answer);
        }
    }
    crate::linear::check(&bank, &history, max_states)
}

/// What each request is answered; `None` for those that did not happen.
fn answers(bank: &Bank, requests: &[Request], committed: &[u32]) -> Vec<Option<Answer>> {
    let mut reads: Vec<u32> = (0_u32..)
        .zip(requests)
        .filter(|(_, request)| request.is_read && matches!(request.end, End::Saw(_)))
        .map(|(number, _)| number)
        .collect();
    reads.sort_by_key(|number| requests[*number as usize].applied_at);
    let mut reads = reads.into_iter().peekable();
    let mut answers = vec![None; requests.len()];
    let mut ledger: Ledger = bank.initial(&bank::Key);
    let writes = committed.iter().map(|number| (requests[*number as usize].applied_at, Some(*number)));
    for (index, write) in writes.chain([(u32::MAX, None)]) {
        while let Some(number) = reads.next_if(|number| requests[*number as usize].applied_at < index) {
            let account = Account(requests[number as usize].key.into());
            answers[number as usize] = Some(Answer::Balance(ledger.balance(account)));
        }
        let Some(number) = write else { continue };
        let call = call(number, &requests[number as usize]);
        let answer = match bank.step(&ledger, &call, Some(&Answer::Done)) {
            Some(next) => {
                ledger = next;
                Answer::Done
            }
            None => Answer::Declined,
        };
        answers[number as usize] = Some(answer);
    }
    answers
}

fn call(number: u32, request: &Request) -> Call {
    let account = Account(request.key.into());
    if request.is_read {
        return Call::Balance(account);
    }
    match number % 4 {
        0 | 1 => Call::Deposit(account, Cents(u64::from(number % 41) + 1)),
        2 => Call::Withdraw(account, Cents(u64::from(number % 59) + 1)),
        _ => Call::Transfer { from: account, to: Account(0), cents: Cents(u64::from(number % 31) + 1) },
    }
}
