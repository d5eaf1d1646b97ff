//! The search for an order: Wing and Gong's algorithm, as Lowe improved it, on one partition.
//!
//! It builds the order from its beginning. Next may be any operation that was invoked before the first return of those
//! that are left; if the model takes it, it is taken out of the list, else another is tried; when none fits, the last
//! one is put back. From no configuration anything is tried twice (`been.rs`). All operations with a return must be
//! placed, open ones may be.
//!
//! Four things keep the search small and change no verdict. An operation that only looks is placed as soon as it fits
//! and never reconsidered: whatever could follow without it can follow with it. Open operations are tried last, in
//! rows, the shortest first, each followed by one that has a return. An open operation that would change nothing is not
//! tried. Of open operations that ask the same, the one invoked first is taken first: wherever a later one fits, it
//! does.
//!
//! Many open operations would still drown it, since any set of them may have taken effect behind every wrong guess. So
//! it begins with short, thrifty rounds, with short rows, and these only to make an operation fit that did not. An
//! order found so is an order; that there is none only the last round says, which tries everything.
//!
//! Invariant: the stack, the list, the set of what is placed and the state tell the same story.

use std::collections::{HashMap, VecDeque};

use super::Model;
use super::been::Been;
use super::entries::{Entries, Entry, Place};
use super::history::{Ending, Operation};
use super::placed::Placed;

/// What a search came to. Operations are named by their places in what it was given.
#[derive(Debug)]
pub(super) enum Found<S> {
    /// An order of all operations with a return, and of open ones as needed.
    Order(Vec<usize>),
    /// There is none.
    Stuck(Stuck<S>),
    /// The bound was reached before anything was certain.
    Bound,
}

/// How far a search came that found no order.
#[derive(Debug)]
pub(super) struct Stuck<S> {
    /// A longest beginning of an order, counted in operations with a return.
    pub(super) prefix: Vec<usize>,
    /// The state after it.
    pub(super) state: S,
    /// The operations with a return one of which had to be next, or an open one before them.
    pub(super) candidates: Vec<usize>,
}

/// Where to look for the next operation.
#[derive(Debug)]
enum Turn<S> {
    /// In a new configuration.
    Fresh,
    /// Among the operations with a return, from this place on.
    Closed(Place),
    /// Among rows of open operations.
    Rows(Rows<S>),
    /// Nowhere any more.
    Exhausted,
}

/// Rows of open operations that are still to be tried from a configuration, with the states after them, the shortest
/// first. Longer ones are made when it is their turn.
#[derive(Debug)]
struct Rows<S> {
    /// They must have been invoked by then.
    by: u64,
    waiting: VecDeque<(Vec<usize>, S)>,
}

/// Operations that were placed, as counted among their kind.
#[derive(Debug)]
enum Move {
    Closed(usize),
    Row(Vec<usize>),
}

/// A move and what to know to take it back.
#[derive(Debug)]
struct Frame<S> {
    done: Move,
    before: S,
    /// What [`Placed::insert`] returned.
    end: usize,
    /// Where to go on when it is taken back.
    then: Turn<S>,
}

/// How freely a round places open operations: at most so many in a row, for a need; `None` is at will.
type Thrift = Option<usize>;

/// Rounds, in their order. The last is the one that decides; without open operations it is the only one.
const ROUNDS: [Thrift; 4] = [Some(1), Some(2), Some(4), None];

/// A thrifty round may remember so many times fewer configurations than the last one.
const SHORTER: usize = 8;

type Told<M> = Operation<<M as Model>::Call, <M as Model>::Answer>;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [Told<M>],
    /// The operations with a return, in the order of invocation; places in `operations`.
    closed: Vec<usize>,
    /// Whether each of these only looks.
    looks: Vec<bool>,
    /// The open ones, first those of which other evidence tells, otherwise in the same order.
    open: Vec<usize>,
    /// For each of these the last one before it that asks the same.
    twins: Vec<Option<usize>>,
    entries: Entries,
    placed: Placed,
    state: M::State,
    stack: Vec<Frame<M::State>>,
    /// How many frames are of operations with a return.
    depth: usize,
    been: Been<M::State>,
    max_states: usize,
    thrift: Thrift,
    best: Option<(usize, Stuck<M::State>)>,
}

impl<'a, M: Model> Search<'a, M> {
    /// A search among operations of one partition, none of which has ended as [`Ending::Nothing`].
    pub(super) fn new(model: &'a M, operations: &'a [Told<M>], initial: M::State, max_states: usize) -> Self {
        let mut ordered: Vec<usize> = (0..operations.len()).collect();
        ordered.sort_by_key(|at| (operations[*at].invoked, *at));
        let (mut closed, mut looks, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        let (mut open, mut twins, mut last) = (Vec::new(), Vec::new(), HashMap::new());
        for at in ordered {
            let operation = &operations[at];
            match &operation.ending {
                Ending::Returned { at: returned, answer } => {
                    closed.push(at);
                    looks.push(model.only_looks(&operation.call, answer));
                    spans.push((operation.invoked, *returned));
                }
                Ending::Open { .. } => open.push(at),
                Ending::Nothing => {}
            }
        }
        open.sort_by_key(|at| operations[*at].answer().is_none());
        for (number, at) in open.iter().enumerate() {
            twins.push(last.insert((&operations[*at].call, operations[*at].answer()), number));
        }
        Self {
            model,
            operations,
            entries: Entries::new(&spans),
            placed: Placed::new(closed.len(), open.len()),
            closed,
            looks,
            open,
            twins,
            state: initial,
            stack: Vec::new(),
            depth: 0,
            been: Been::new(),
            max_states,
            thrift: None,
            best: None,
        }
    }

    /// Searches. Also returns how many configurations were remembered, over all rounds.
    pub(super) fn run(mut self) -> (Found<M::State>, usize) {
        let rounds = if self.open.is_empty() { &ROUNDS[ROUNDS.len() - 1..] } else { &ROUNDS[..] };
        let mut states = 0;
        let mut found = Found::Bound;
        for thrift in rounds {
            self.thrift = *thrift;
            self.been.clear();
            found = self.round();
            states += self.been.count();
            if matches!(found, Found::Order(_)) {
                break;
            }
            while self.take_back().is_some() {}
        }
        (found, states)
    }

    fn round(&mut self) -> Found<M::State> {
        let most = if self.thrift.is_some() { self.max_states / SHORTER } else { self.max_states };
        let mut turn = Turn::Fresh;
        loop {
            if self.entries.is_empty() {
                return Found::Order(self.order());
            }
            if self.been.count() > most {
                return Found::Bound;
            }
            turn = match turn {
                Turn::Fresh => self.look(),
                Turn::Closed(place) => self.try_closed(place),
                Turn::Rows(rows) => self.try_row(rows),
                Turn::Exhausted => {
                    self.note_how_far();
                    match self.take_back() {
                        Some(turn) => turn,
                        None => return Found::Stuck(self.stuck()),
                    }
                }
            };
        }
    }

    /// Places the first operation that only looks and fits; if none does, the others have their turn.
    fn look(&mut self) -> Turn<M::State> {
        let fitting = |at: &usize| self.looks[*at] && self.step(self.closed[*at]).is_some();
        let found = self.entries.candidates().find(fitting);
        match found {
            // Nothing else is tried from here, so it need not be remembered either.
            Some(at) => {
                self.push(at, self.state.clone(), Turn::Exhausted);
                Turn::Fresh
            }
            None => Turn::Closed(self.entries.first()),
        }
    }

    fn try_closed(&mut self, place: Place) -> Turn<M::State> {
        match self.entries.entry(place) {
            // A longer row is tried from where this one began.
            Entry::Return(_) if self.row().is_some() => Turn::Exhausted,
            Entry::Return(by) => {
                let mut rows = Rows { by, waiting: VecDeque::new() };
                self.lengthen(&mut rows, &[], &self.state.clone());
                Turn::Rows(rows)
            }
            Entry::Call(at) => {
                let then = Turn::Closed(self.entries.after(place));
                // What only looks has had its turn.
                if self.looks[at] {
                    return then;
                }
                match self.step(self.closed[at]) {
                    Some(_) if self.is_wasteful(self.closed[at]) => then,
                    Some(state) => self.place(at, state, then),
                    None => then,
                }
            }
        }
    }

    fn try_row(&mut self, mut rows: Rows<M::State>) -> Turn<M::State> {
        let Some((row, state)) = rows.waiting.pop_front() else { return Turn::Exhausted };
        if self.thrift.is_none_or(|most| row.len() < most) {
            self.lengthen(&mut rows, &row, &state);
        }
        row.iter().for_each(|at| self.placed.insert_open(*at));
        let before = std::mem::replace(&mut self.state, state);
        self.stack.push(Frame { done: Move::Row(row), before, end: 0, then: Turn::Rows(rows) });
        Turn::Fresh
    }

    /// Adds the rows that are by one longer than this one, which ends in this state, and lead to where the search has
    /// not been.
    fn lengthen(&mut self, rows: &mut Rows<M::State>, row: &[usize], state: &M::State) {
        let Some(missing) = self.entries.earliest() else { return };
        for at in 0..self.open.len() {
            let is_placed = |at: usize| self.placed.has_open(at) || row.contains(&at);
            let is_behind_its_twin = self.twins[at].is_some_and(|twin| !is_placed(twin));
            let is_late = self.operations[self.open[at]].invoked > rows.by;
            if is_late || is_placed(at) || is_behind_its_twin {
                continue;
            }
            let Some(after) = self.step_from(state, self.open[at]).filter(|after| after != state) else {
                continue;
            };
            let longer: Vec<usize> = row.iter().copied().chain([at]).collect();
            let names = (self.placed.closed_name(missing), self.placed.open_name_with(&longer));
            if self.been.add(names.0, after.clone(), names.1) {
                rows.waiting.push_back((longer, after));
            }
        }
    }

    fn step(&self, at: usize) -> Option<M::State> {
        self.step_from(&self.state, at)
    }

    fn step_from(&self, state: &M::State, at: usize) -> Option<M::State> {
        let operation = &self.operations[at];
        self.model.step(state, &operation.call, operation.answer())
    }

    /// The move that was made last, if it was a row of open operations.
    fn row(&self) -> Option<&Frame<M::State>> {
        self.stack.last().filter(|frame| matches!(frame.done, Move::Row(_)))
    }

    /// Whether this round is thrifty, and this operation, which fits, would also have fitted before the row.
    fn is_wasteful(&self, at: usize) -> bool {
        let row = self.thrift.and_then(|_| self.row());
        row.is_some_and(|row| self.step_from(&row.before, at).is_some())
    }

    /// Places an operation with a return, unless it leads to where the search has been.
    fn place(&mut self, at: usize, state: M::State, then: Turn<M::State>) -> Turn<M::State> {
        self.push(at, state, then);
        // When nothing is left there is nothing to be tried from here.
        let is_new = self.entries.earliest().is_none_or(|missing| {
            let placed = &self.placed;
            self.been.add(placed.closed_name(missing), self.state.clone(), placed.open_name_with(&[]))
        });
        if is_new { Turn::Fresh } else { self.take_back().unwrap_or(Turn::Exhausted) }
    }

    fn push(&mut self, at: usize, state: M::State, then: Turn<M::State>) {
        let before = std::mem::replace(&mut self.state, state);
        self.entries.take(at);
        self.depth += 1;
        let end = self.placed.insert(at);
        self.stack.push(Frame { done: Move::Closed(at), before, end, then });
    }

    fn take_back(&mut self) -> Option<Turn<M::State>> {
        let Frame { done, before, end, then } = self.stack.pop()?;
        match done {
            Move::Closed(at) => {
                self.entries.put_back(at);
                self.depth -= 1;
                self.placed.remove(at, end);
            }
            Move::Row(row) => row.iter().for_each(|at| self.placed.remove_open(*at)),
        }
        self.state = before;
        Some(then)
    }

    fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.stack.len());
        for frame in &self.stack {
            match &frame.done {
                Move::Closed(at) => order.push(self.closed[*at]),
                Move::Row(row) => order.extend(row.iter().map(|at| self.open[*at])),
            }
        }
        order
    }

    fn note_how_far(&mut self) {
        if self.thrift.is_none() && self.best.as_ref().is_none_or(|(depth, _)| *depth < self.depth) {
            self.best = Some((self.depth, self.here()));
        }
    }

    /// Where the search stands, but for a row that nothing came after.
    fn here(&self) -> Stuck<M::State> {
        let candidates = self.entries.candidates().map(|at| self.closed[at]).collect();
        let mut prefix = self.order();
        let (state, len) = match self.row() {
            Some(Frame { done: Move::Row(row), before, .. }) => (before, row.len()),
            _ => (&self.state, 0),
        };
        prefix.truncate(prefix.len() - len);
        Stuck { prefix, state: state.clone(), candidates }
    }

    fn stuck(&mut self) -> Stuck<M::State> {
        let best = self.best.take();
        best.map_or_else(|| self.here(), |(_, stuck)| stuck)
    }
}
