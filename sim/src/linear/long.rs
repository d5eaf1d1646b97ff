//! Long histories of many clients are decided with little work, counted in remembered configurations.

use std::cell::Cell;
use std::collections::{BTreeMap, BinaryHeap};

use super::bank::{Account, Bank, Cents};
use super::history::History;
use super::queue::Queue;
use super::register::Register;
use super::{Model, Verdict, bank, queue, register};
use crate::rng::{Rng, Stream};

const OPERATIONS: usize = 10_000;
const CLIENTS: u64 = 8;

/// How a history is made.
#[derive(Clone, Copy)]
struct Shape {
    /// Of a thousand operations, how many have an unknown outcome; half of them take effect.
    unknown: u64,
    /// Which operation is answered wrong, if it has a return.
    wrong: Option<usize>,
}

/// A history of clients that each ask for one thing after another; one whose outcome is unknown is followed by a new
/// client.
fn history<M: Model>(
    model: &M,
    shape: Shape,
    draw: impl Fn(&mut Rng) -> M::Call,
    answer: impl Fn(&M::State, &M::Call) -> M::Answer,
    wrong: impl Fn(&M::Answer) -> M::Answer,
) -> History<M> {
    let mut rng = Rng::new(7, Stream::Workload);
    let mut history = History::new();
    let mut states: BTreeMap<M::Key, M::State> = BTreeMap::new();
    // When something takes effect, the earliest first; who asked, and when.
    let mut coming: BinaryHeap<(std::cmp::Reverse<u64>, u64, u64)> =
        (0..CLIENTS).map(|client| (std::cmp::Reverse(client), client, 0)).collect();
    for number in 0..OPERATIONS {
        let Some((std::cmp::Reverse(at), client, invoked)) = coming.pop() else { break };
        let call = draw(&mut rng);
        let id = history.invoke(client, invoked, call.clone());
        let back = at + rng.between(1, 100);
        let key = model.partition(&call);
        let state = states.entry(key.clone()).or_insert_with(|| model.initial(&key));
        let is_unknown = rng.chance(shape.unknown);
        if !is_unknown || rng.chance(500) {
            let right = answer(state, &call);
            *state = model.step(state, &call, Some(&right)).expect("the answer is right");
            let told = if shape.wrong == Some(number) { wrong(&right) } else { right };
            if !is_unknown {
                history.returned(id, back, told);
            }
        }
        let next = back + rng.between(1, 20);
        let who = if is_unknown { client + CLIENTS } else { client };
        coming.push((std::cmp::Reverse(next + rng.between(0, 100)), who, next));
    }
    history
}

fn registers(shape: Shape) -> History<Register> {
    use register::{Answer, Request};
    // Each value is written once; a swap expects a recent one.
    let last = Cell::new(0);
    let new = || {
        last.set(last.get() + 1);
        last.get()
    };
    let draw = |rng: &mut Rng| {
        let key = rng.below(4);
        match rng.below(10) {
            0..4 => register::write(key, new()),
            4..8 => register::read(key),
            _ => register::swap(key, last.get().checked_sub(rng.below(8)), new()),
        }
    };
    let answer = |held: &register::Held, call: &register::Call| match call.request {
        Request::Write(_) => Answer::Done,
        Request::Read => Answer::Value(held.0),
        Request::Swap { expected, .. } => Answer::Swapped(held.0 == expected),
    };
    history(&Register, shape, draw, answer, |_| Answer::Value(Some(u64::MAX)))
}

fn queues(shape: Shape) -> History<Queue> {
    use queue::{Answer, Request};
    let draw = |rng: &mut Rng| match rng.below(10) {
        0..5 => queue::append(rng.below(2), rng.any()),
        5..8 => queue::read(rng.below(2), rng.below(2_000)),
        _ => queue::end(rng.below(2)),
    };
    let answer = |log: &super::Log, call: &queue::Call| match call.request {
        Request::Append(_) => Answer::Offset(log.len()),
        Request::Read(offset) => Answer::Value(log.get(offset)),
        Request::End => Answer::End(log.len()),
    };
    history(&Queue, shape, draw, answer, |_| Answer::Offset(1_000_000))
}

fn banks(shape: Shape) -> (Bank, History<Bank>) {
    use bank::{Answer, Call};
    let bank = Bank::new((0..5).map(|account| (Account(account), Cents(1_000))));
    let draw = |rng: &mut Rng| {
        let (one, other) = (Account(rng.below(5) as u32), Account(rng.below(5) as u32));
        let cents = Cents(rng.between(1, 300));
        match rng.below(10) {
            0..2 => Call::Deposit(one, cents),
            2..4 => Call::Withdraw(one, cents),
            4..6 => Call::Transfer { from: one, to: other, cents },
            _ => Call::Balance(one),
        }
    };
    let answer = |ledger: &bank::Ledger, call: &Call| match *call {
        Call::Deposit(..) => Answer::Done,
        Call::Withdraw(from, cents) | Call::Transfer { from, cents, .. } if ledger.balance(from) < cents => {
            Answer::Declined
        }
        Call::Withdraw(..) | Call::Transfer { .. } => Answer::Done,
        Call::Balance(account) => Answer::Balance(ledger.balance(account)),
    };
    let history = history(&bank, shape, draw, answer, |_| Answer::Balance(Cents(9_999_999)));
    (bank, history)
}

/// How many configurations it took to find an order.
fn states<M: Model>(verdict: &Verdict<M>) -> usize {
    let Verdict::Linearizable(linearized) = verdict else { panic!("{verdict}") };
    linearized.states
}

#[test]
fn ten_thousand_operations_of_eight_clients_take_few_states() {
    let shape = Shape { unknown: 0, wrong: None };
    let (bank, of_bank) = banks(shape);
    let counts = [
        states(&register::check(&registers(shape))),
        states(&queue::check(&queues(shape))),
        states(&bank::check(&bank, &of_bank)),
    ];
    assert!(counts.iter().all(|states| *states <= 2 * OPERATIONS), "{counts:?}");
}

#[test]
fn a_hundred_unknown_outcomes_among_them_are_no_burden() {
    let shape = Shape { unknown: 10, wrong: None };
    let (bank, of_bank) = banks(shape);
    let counts = [
        states(&register::check(&registers(shape))),
        states(&queue::check(&queues(shape))),
        states(&bank::check(&bank, &of_bank)),
    ];
    assert!(counts.iter().all(|states| *states <= 10 * OPERATIONS), "{counts:?}");
}

/// How many configurations it took to find that there is none, and how far the search came.
fn caught<M: Model>(verdict: &Verdict<M>) -> (usize, usize) {
    let Verdict::Broken(failure) = verdict else { panic!("{verdict}") };
    (failure.states, failure.prefix.len())
}

#[test]
fn one_wrong_answer_among_them_is_found_and_pointed_at() {
    let shape = Shape { unknown: 0, wrong: Some(OPERATIONS / 2) };
    let (bank, of_bank) = banks(shape);
    let counts = [
        caught(&register::check(&registers(shape))),
        caught(&queue::check(&queues(shape))),
        caught(&bank::check(&bank, &of_bank)),
    ];
    assert!(counts.iter().all(|(states, prefix)| *states <= 10 * OPERATIONS && *prefix > 0), "{counts:?}");
}

#[test]
fn it_is_also_found_among_five_hundred_unknown_outcomes() {
    let shape = Shape { unknown: 50, wrong: Some(OPERATIONS / 2) };
    let counts = [caught(&register::check(&registers(shape))), caught(&queue::check(&queues(shape)))];
    assert!(
        counts.iter().all(|(states, prefix)| *states <= 20 * OPERATIONS && *prefix > 1_000),
        "{counts:?}"
    );
}
