//! Histories that every reader of the literature knows, and how they are told to people.

use super::bank::{Account, Bank, Cents};
use super::history::History;
use super::queue::Queue;
use super::register::{Answer, Register};
use super::{Model, Verdict, bank, check, queue, register};

/// Adds an operation that was answered.
fn done<M: Model>(
    history: &mut History<M>,
    process: u64,
    span: (u64, u64),
    call: M::Call,
    answer: M::Answer,
) {
    let id = history.invoke(process, span.0, call);
    history.returned(id, span.1, answer);
}

fn wrote(history: &mut History<Register>, process: u64, span: (u64, u64), value: u64) {
    done(history, process, span, register::write(0, value), Answer::Done);
}

fn saw(history: &mut History<Register>, process: u64, span: (u64, u64), value: Option<u64>) {
    done(history, process, span, register::read(0), Answer::Value(value));
}

fn holds(history: &History<Register>) -> bool {
    let verdict = register::check(history);
    assert_ne!(verdict.is_linearizable(), verdict.is_broken());
    verdict.is_linearizable()
}

#[test]
fn a_history_without_operations_is_linearizable() {
    assert!(holds(&History::new()));
}

#[test]
fn a_read_may_see_a_concurrent_write_or_what_was_before() {
    for value in [None, Some(1)] {
        let mut history = History::new();
        wrote(&mut history, 1, (0, 10), 1);
        saw(&mut history, 2, (5, 6), value);
        assert!(holds(&history));
    }
}

#[test]
fn operations_that_touch_at_one_moment_are_concurrent() {
    let mut history = History::new();
    wrote(&mut history, 1, (0, 10), 1);
    saw(&mut history, 2, (10, 20), None);
    assert!(holds(&history));
}

#[test]
fn a_stale_read_is_found() {
    let mut history = History::new();
    wrote(&mut history, 1, (0, 10), 1);
    wrote(&mut history, 1, (20, 30), 2);
    saw(&mut history, 2, (31, 40), Some(1));
    assert!(!holds(&history));
}

#[test]
fn two_reads_that_see_new_then_old_are_found() {
    let mut history = History::new();
    wrote(&mut history, 1, (0, 100), 1);
    saw(&mut history, 2, (10, 20), Some(1));
    saw(&mut history, 3, (30, 40), None);
    assert!(!holds(&history));
}

#[test]
fn a_lost_update_is_found() {
    let mut history = History::new();
    wrote(&mut history, 1, (0, 1), 5);
    for (process, new) in [(2, 6), (3, 7)] {
        let swap = register::swap(0, Some(5), new);
        done(&mut history, process, (10, 20), swap, Answer::Swapped(true));
    }
    assert!(!holds(&history), "both swapped the same value");
}

#[test]
fn a_read_of_a_value_that_was_never_written_is_found() {
    let mut history = History::new();
    wrote(&mut history, 1, (0, 10), 1);
    saw(&mut history, 2, (0, 10), Some(9));
    assert!(!holds(&history));
}

#[test]
fn a_write_applied_twice_is_found() {
    let mut history = History::new();
    wrote(&mut history, 1, (0, 1), 1);
    wrote(&mut history, 2, (10, 11), 2);
    saw(&mut history, 3, (20, 21), Some(2));
    saw(&mut history, 3, (30, 31), Some(1));
    assert!(!holds(&history));

    let mut history = History::<Queue>::new();
    done(&mut history, 1, (0, 1), queue::append(0, 7), queue::Answer::Offset(0));
    done(&mut history, 2, (2, 3), queue::end(0), queue::Answer::End(2));
    assert!(queue::check(&history).is_broken());
}

#[test]
fn an_unknown_write_may_take_effect_late_once_or_never() {
    let unknown = |reads: &[Option<u64>]| {
        let mut history = History::new();
        history.invoke(1, 0, register::write(0, 1));
        wrote(&mut history, 2, (10, 11), 2);
        for (at, value) in reads.iter().enumerate() {
            let at = 100 + 10 * at as u64;
            saw(&mut history, 3, (at, at + 5), *value);
        }
        holds(&history)
    };
    assert!(unknown(&[Some(2), Some(2)]));
    assert!(unknown(&[Some(2), Some(1)]));
    assert!(unknown(&[Some(1), Some(1)]));
    assert!(!unknown(&[Some(1), Some(2)]));
    assert!(!unknown(&[Some(2), Some(1), Some(2)]));
}

#[test]
fn an_unknown_operation_takes_no_effect_before_it_is_asked() {
    let mut history = History::new();
    saw(&mut history, 2, (0, 5), Some(1));
    history.invoke(1, 6, register::write(0, 1));
    assert!(!holds(&history));
}

#[test]
fn a_refused_operation_is_no_part_of_the_history() {
    let mut history = History::new();
    let refused = history.invoke(1, 0, register::write(0, 1));
    history.nothing_happened(refused);
    saw(&mut history, 2, (10, 20), None);
    assert!(holds(&history));
    saw(&mut history, 2, (30, 40), Some(1));
    assert!(!holds(&history), "and yet it happened");
}

#[test]
fn what_other_evidence_tells_of_an_unknown_operation_must_hold_if_it_is_seen() {
    let append = |offset| {
        let mut history = History::<Queue>::new();
        let unknown = history.invoke(1, 0, queue::append(0, 7));
        history.took_effect(unknown, queue::Answer::Offset(offset));
        done(&mut history, 2, (0, 5), queue::append(0, 8), queue::Answer::Offset(1));
        queue::check(&history)
    };
    assert!(append(0).is_linearizable());
    assert!(append(1).is_broken(), "nothing is at 0");
}

#[test]
fn a_read_of_unknown_outcome_proves_nothing_about_an_append() {
    let mut history = History::<Queue>::new();
    history.invoke(1, 0, queue::append(0, 7));
    let unknown = history.invoke(2, 0, queue::read(0, 3));
    history.took_effect(unknown, queue::Answer::Value(Some(7)));
    done(&mut history, 3, (0, 5), queue::append(0, 8), queue::Answer::Offset(1));
    assert!(queue::check(&history).is_linearizable(), "7 is at 0, and that read never happened");
}

#[test]
fn each_register_and_queue_stands_for_itself() {
    let mut history = History::new();
    done(&mut history, 1, (0, 1), register::write(1, 5), Answer::Done);
    done(&mut history, 1, (2, 3), register::read(2), Answer::Value(None));
    assert!(holds(&history));
    done(&mut history, 1, (4, 5), register::read(2), Answer::Value(Some(5)));
    let verdict = register::check(&history);
    let Verdict::Broken(failure) = verdict else { panic!("{verdict}") };
    assert_eq!((failure.key, failure.operations), (register::Key(2), 2));
}

#[test]
fn a_queue_keeps_values_where_they_were_appended() {
    let queue_of = |first: u64, second: u64, read: Option<u64>| {
        let mut history = History::<Queue>::new();
        done(&mut history, 1, (0, 10), queue::append(0, 7), queue::Answer::Offset(first));
        done(&mut history, 2, (0, 10), queue::append(0, 8), queue::Answer::Offset(second));
        done(&mut history, 3, (20, 30), queue::read(0, 1), queue::Answer::Value(read));
        queue::check(&history)
    };
    assert!(queue_of(0, 1, Some(8)).is_linearizable());
    assert!(queue_of(1, 0, Some(7)).is_linearizable());
    for (first, second, read) in [(0, 0, Some(8)), (1, 0, Some(8)), (0, 1, None), (0, 2, Some(8))] {
        assert!(queue_of(first, second, read).is_broken());
    }
}

#[test]
fn a_bank_makes_and_loses_no_money() {
    let (a, b) = (Account(1), Account(2));
    let bank = Bank::new([(a, Cents(100))]);
    let both = |in_a: u64, in_b: u64| {
        let mut history = History::<Bank>::new();
        let transfer = bank::Call::Transfer { from: a, to: b, cents: Cents(30) };
        done(&mut history, 1, (0, 100), transfer, bank::Answer::Done);
        done(&mut history, 2, (10, 20), bank::Call::Balance(a), bank::Answer::Balance(Cents(in_a)));
        done(&mut history, 2, (30, 40), bank::Call::Balance(b), bank::Answer::Balance(Cents(in_b)));
        bank::check(&bank, &history).is_linearizable()
    };
    assert!(both(100, 0) && both(70, 30) && both(100, 30));
    assert!(!both(70, 0), "the transfer was seen half");
}

#[test]
fn a_bank_declines_for_want_of_money_only() {
    let account = Account(1);
    let withdrawals = |answers: [bank::Answer; 2]| {
        let mut history = History::<Bank>::new();
        for answer in answers {
            done(&mut history, 1, (0, 1), bank::Call::Withdraw(account, Cents(80)), answer);
        }
        bank::check(&Bank::new([(account, Cents(100))]), &history).is_linearizable()
    };
    use bank::Answer::{Declined, Done};
    assert!(withdrawals([Done, Declined]) && withdrawals([Declined, Done]));
    assert!(!withdrawals([Done, Done]), "the same money was paid out twice");
    assert!(!withdrawals([Declined, Declined]), "there was money");
}

#[test]
fn a_search_that_reaches_its_bound_is_neither_success_nor_failure() {
    let mut history = History::new();
    for process in 0..12 {
        wrote(&mut history, process, (0, 100), process);
    }
    saw(&mut history, 99, (200, 210), Some(99));
    let verdict = check(&Register, &history, 100);
    assert!(!verdict.is_linearizable() && !verdict.is_broken());
    assert_eq!(verdict.to_string(), "register 0: undecided after 101 configurations of 13 operations");
    assert!(check(&Register, &history, 1 << 20).is_broken());
}

#[test]
fn a_failure_tells_how_far_one_comes_and_what_does_not_fit() {
    let mut history = History::new();
    history.invoke(4, 0, register::write(0, 4));
    wrote(&mut history, 1, (0, 10), 1);
    wrote(&mut history, 1, (20, 30), 2);
    saw(&mut history, 2, (40, 50), Some(1));
    let verdict = register::check(&history);
    let Verdict::Broken(failure) = &verdict else { panic!("{verdict}") };
    assert_eq!(
        verdict.to_string(),
        "register 0: no order explains all answers; 2 of 4 operations can be placed: p1 [0, 10] write 1 -> done, \
         p1 [20, 30] write 2 -> done; after them: it holds 2; none of these can be next: p2 [40, 50] read -> 1"
    );
    assert_eq!(
        format!("{failure:#}"),
        "register 0: no order explains all answers; 2 of 4 operations can be placed\n  p1 [0, 10] write 1 -> done\n  \
         p1 [20, 30] write 2 -> done\nafter them: it holds 2\nnone of these can be next:\n  p2 [40, 50] read -> 1"
    );
}

#[test]
#[should_panic(expected = "p1 [5, ..) read -> ? returned before it was asked, at 4")]
fn a_return_before_the_call_is_a_mistake_of_the_maker() {
    let mut history = History::<Register>::new();
    let id = history.invoke(1, 5, register::read(0));
    history.returned(id, 4, Answer::Value(None));
}

#[test]
#[should_panic(expected = "p1 [5, ..) read -> nothing happened has ended already")]
fn ending_twice_is_a_mistake_of_the_maker() {
    let mut history = History::<Register>::new();
    let id = history.invoke(1, 5, register::read(0));
    history.nothing_happened(id);
    history.took_effect(id, Answer::Value(None));
}
