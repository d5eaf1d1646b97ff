//! Random histories of all models: the search and its slow twin must agree on each.
//!
//! A history is made from a true run of the model, so that it is linearizable, and then some answers are replaced. Both
//! kinds must be frequent, or the comparison would show little.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use super::bank::{Account, Bank, Cents};
use super::history::{Ending, History};
use super::queue::Queue;
use super::register::Register;
use super::{MAX_STATES, Model, Verdict, bank, brute, check, queue, register};

/// How an operation of a random history ends.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Returns,
    /// It returns with the answer of this number instead of the right one.
    Lies(usize),
    /// Open, with an effect.
    Silent,
    /// Open, without any.
    Lost,
    /// Open, with an effect, of which other evidence tells.
    Evident,
    /// Refused.
    Nothing,
}

/// An operation of a random history. It takes effect at `at`, if it does.
#[derive(Clone, Copy, Debug)]
struct Draft {
    process: u64,
    call: usize,
    at: u64,
    before: u64,
    after: u64,
    fate: Fate,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        10 => Just(Fate::Returns),
        2 => (0_usize..1_000).prop_map(Fate::Lies),
        2 => Just(Fate::Silent),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Evident),
        1 => Just(Fate::Nothing),
    ]
}

fn drafts(most: usize, until: u64) -> impl Strategy<Value = Vec<Draft>> {
    let draft = (0_u64..4, 0_usize..1_000, 4..until, 0_u64..4, 0_u64..4, fates());
    let made = |(process, call, at, before, after, fate)| Draft { process, call, at, before, after, fate };
    vec(draft.prop_map(made), 1..=most)
}

/// A model, what may be asked of it and what may be answered.
struct Subject<M: Model> {
    model: M,
    calls: Vec<M::Call>,
    answers: Vec<M::Answer>,
    /// Whether [`Model::simplify`] leaves histories as they are: then the prefix of a failure is a longest one.
    is_plain: bool,
}

impl<M: Model> Subject<M> {
    fn history(&self, drafts: &[Draft]) -> History<M> {
        let mut drafts = drafts.to_vec();
        drafts.sort_by_key(|draft| draft.at);
        let mut states: BTreeMap<M::Key, M::State> = BTreeMap::new();
        let mut history = History::new();
        for draft in drafts {
            let call = &self.calls[draft.call % self.calls.len()];
            let id = history.invoke(draft.process, draft.at - draft.before, call.clone());
            let key = self.model.partition(call);
            let state = states.entry(key.clone()).or_insert_with(|| self.model.initial(&key));
            let right = self.answers.iter().find_map(|a| Some((a, self.model.step(state, call, Some(a))?)));
            let (answer, after) = right.expect("one of the answers is right in each state");
            let back = draft.at + draft.after;
            match draft.fate {
                Fate::Lost => continue,
                Fate::Nothing => {
                    history.nothing_happened(id);
                    continue;
                }
                Fate::Returns => history.returned(id, back, answer.clone()),
                Fate::Lies(lie) => {
                    history.returned(id, back, self.answers[lie % self.answers.len()].clone());
                }
                Fate::Evident => history.took_effect(id, answer.clone()),
                Fate::Silent => {}
            }
            *state = after;
        }
        history
    }

    /// Replays the orders that a verdict rests on.
    fn witnesses_hold(&self, history: &History<M>, verdict: &Verdict<M>) {
        let Verdict::Linearizable(linearized) = verdict else { return };
        let mut placed = 0;
        for witness in &linearized.witnesses {
            let part: Vec<_> = history
                .operations()
                .filter(|(_, o)| self.model.partition(&o.call) == witness.key && o.ending != Ending::Nothing)
                .collect();
            let all: Vec<_> = part.iter().map(|(_, operation)| *operation).collect();
            let place =
                |id| part.iter().position(|(other, _)| *other == id).expect("it is of this partition");
            let order: Vec<usize> = witness.order.iter().map(|id| place(*id)).collect();
            assert!(brute::keeps_time::<M>(&all, &order));
            let mut state = self.model.initial(&witness.key);
            for at in &order {
                let step = self.model.step(&state, &all[*at].call, all[*at].answer());
                state = step.expect("the model gives these answers in this order");
                placed += usize::from(all[*at].returned_at().is_some());
            }
        }
        let returned = |operation: &super::Operation<_, _>| operation.returned_at().is_some();
        assert_eq!(placed, history.operations().filter(|(_, operation)| returned(operation)).count());
    }

    fn agrees(&self, history: &History<M>) -> bool {
        let (longest, all) = brute::longest(&self.model, history);
        let is_right = longest == all;
        let verdict = check(&self.model, history, MAX_STATES);
        assert_eq!((verdict.is_linearizable(), verdict.is_broken()), (is_right, !is_right), "{verdict}");
        self.witnesses_hold(history, &verdict);
        let parts: std::collections::BTreeSet<M::Key> =
            history.operations().map(|(_, operation)| self.model.partition(&operation.call)).collect();
        if let (Verdict::Broken(failure), 1) = (&verdict, parts.len()) {
            let placed = failure.prefix.iter().filter(|operation| operation.returned_at().is_some()).count();
            assert!(placed <= longest, "{placed} and {longest}: {failure}");
            assert!(placed == longest || !self.is_plain, "{placed} is not {longest}: {failure}");
        }
        for max_states in [0, 1, 2, 5] {
            let verdict = check(&self.model, history, max_states);
            assert!(!(if is_right { verdict.is_broken() } else { verdict.is_linearizable() }), "{verdict}");
        }
        is_right
    }

    /// Compares on so many random histories of at most seven operations.
    fn compare(&self, cases: u32) {
        let (right, wrong) = (Cell::new(0), Cell::new(0));
        let mut runner =
            TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });
        let run = runner.run(&drafts(7, 12), |drafts| {
            let count = if self.agrees(&self.history(&drafts)) { &right } else { &wrong };
            count.set(count.get() + 1);
            Ok(())
        });
        explain(self, run);
        let fewest = cases / 10;
        assert!(right.get() > fewest && wrong.get() > fewest, "{right:?} are right and {wrong:?} wrong");
    }

    /// Histories of true runs are linearizable, however long.
    fn accept(&self, cases: u32) {
        let mut runner =
            TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..Default::default() });
        let run = runner.run(&drafts(60, 100), |mut drafts| {
            for draft in &mut drafts {
                if let Fate::Lies(_) = draft.fate {
                    draft.fate = Fate::Returns;
                }
            }
            let history = self.history(&drafts);
            let verdict = check(&self.model, &history, MAX_STATES);
            assert!(verdict.is_linearizable(), "{verdict}");
            self.witnesses_hold(&history, &verdict);
            Ok(())
        });
        explain(self, run);
    }
}

/// Prints the smallest history on which the two differ.
fn explain<M: Model>(subject: &Subject<M>, run: Result<(), TestError<Vec<Draft>>>) {
    match run {
        Ok(()) => {}
        Err(TestError::Fail(reason, drafts)) => {
            let history = subject.history(&drafts);
            let lines: Vec<String> =
                history.operations().map(|(_, operation)| operation.to_string()).collect();
            panic!("{reason}\n{}", lines.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}

fn registers(keys: u64) -> Subject<Register> {
    let mut calls = Vec::new();
    for key in 0..keys {
        calls.extend([register::read(key), register::write(key, 1), register::write(key, 2)]);
        calls.extend([register::read(key), register::swap(key, Some(1), 2), register::swap(key, None, 1)]);
        calls.extend([register::read(key), register::swap(key, Some(2), 1), register::swap(key, Some(1), 1)]);
    }
    let held = [None, Some(1), Some(2)].map(register::Answer::Value);
    let swapped = [true, false].map(register::Answer::Swapped);
    let answers = [register::Answer::Done].into_iter().chain(held).chain(swapped).collect();
    Subject { model: Register, calls, answers, is_plain: true }
}

fn queues(partitions: u64) -> Subject<Queue> {
    let mut calls = Vec::new();
    for partition in 0..partitions {
        calls.extend((1..=5).map(|value| queue::append(partition, value)));
        calls.extend([0, 1, 2].map(|offset| queue::read(partition, offset)));
        calls.push(queue::end(partition));
    }
    let values = (0..=5).map(|value| queue::Answer::Value((value > 0).then_some(value)));
    let places = (0..100).flat_map(|at| [queue::Answer::Offset(at), queue::Answer::End(at)]);
    Subject { model: Queue, calls, answers: values.chain(places).collect(), is_plain: false }
}

fn banks() -> Subject<Bank> {
    let (a, b) = (Account(1), Account(2));
    let calls = vec![
        bank::Call::Deposit(a, Cents(1)),
        bank::Call::Deposit(b, Cents(2)),
        bank::Call::Withdraw(a, Cents(1)),
        bank::Call::Withdraw(b, Cents(2)),
        bank::Call::Transfer { from: a, to: b, cents: Cents(1) },
        bank::Call::Transfer { from: b, to: a, cents: Cents(2) },
        bank::Call::Balance(a),
        bank::Call::Balance(b),
    ];
    let balances = (0..130).map(|cents| bank::Answer::Balance(Cents(cents)));
    let answers = [bank::Answer::Done, bank::Answer::Declined].into_iter().chain(balances).collect();
    Subject { model: Bank::new([(a, Cents(2))]), calls, answers, is_plain: true }
}

/// A model whose histories are searched as they are.
#[derive(Clone, Debug)]
struct Plain<M>(M);

impl<M: Model> Model for Plain<M> {
    type Call = M::Call;
    type Answer = M::Answer;
    type State = M::State;
    type Key = M::Key;

    fn initial(&self, key: &M::Key) -> M::State {
        self.0.initial(key)
    }

    fn partition(&self, call: &M::Call) -> M::Key {
        self.0.partition(call)
    }

    fn step(&self, state: &M::State, call: &M::Call, answer: Option<&M::Answer>) -> Option<M::State> {
        self.0.step(state, call, answer)
    }
}

#[test]
fn search_and_brute_force_agree_on_registers() {
    registers(1).compare(1_500);
    registers(2).compare(1_500);
}

#[test]
fn search_and_brute_force_agree_on_queues() {
    queues(1).compare(1_500);
    queues(2).compare(1_500);
}

#[test]
fn they_agree_without_what_models_add_to_save_time() {
    let Subject { model, calls, answers, .. } = queues(1);
    Subject { model: Plain(model), calls, answers, is_plain: true }.compare(1_000);
    let Subject { model, calls, answers, .. } = registers(1);
    Subject { model: Plain(model), calls, answers, is_plain: true }.compare(1_000);
}

#[test]
fn search_and_brute_force_agree_on_banks() {
    banks().compare(3_000);
}

#[test]
fn true_runs_of_any_length_are_linearizable() {
    registers(2).accept(300);
    queues(2).accept(300);
    banks().accept(300);
}
