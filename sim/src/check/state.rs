//! One state of the whole group, as a few numbers.
//!
//! The things behind the numbers are kept once, by the model (`model/world.rs`). Invariant: equal states have equal numbers, since
//! whatever has a number has only one.

use super::hash::Hasher128;
use super::input::Input;
use super::scope::{Bounds, Budget};

/// The most replicas a scope may have.
pub(super) const MAX_REPLICAS: usize = 4;

/// One state of the whole group.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct State {
    /// The number of each replica's state; those beyond the scope's are zero.
    pub(super) replicas: [u32; MAX_REPLICAS],
    pub(super) history: u32,
    pub(super) spent: Bounds,
    /// The numbers of the messages in flight, those sent twice twice: sorted, or by connection and then in the order in
    /// which they were sent, if it is kept.
    pub(super) network: Vec<u32>,
}

impl State {
    /// How many words [`State::store`] writes before the messages.
    const HEAD: usize = MAX_REPLICAS + 4;

    /// Appends it to an arena.
    pub(super) fn store(&self, arena: &mut Vec<u32>) {
        let spent = self.spent.bits();
        arena.push(self.network.len() as u32);
        arena.extend_from_slice(&self.replicas);
        arena.extend_from_slice(&[self.history, spent as u32, (spent >> 32) as u32]);
        arena.extend_from_slice(&self.network);
    }

    /// Reads the state that begins there. Says where the next one does.
    pub(super) fn load(&mut self, arena: &[u32], at: usize) -> usize {
        let head = &arena[at..at + Self::HEAD];
        self.replicas.copy_from_slice(&head[1..=MAX_REPLICAS]);
        let rest = &head[MAX_REPLICAS + 1..];
        self.history = rest[0];
        self.spent = Bounds::from_bits(u64::from(rest[2]) << 32 | u64::from(rest[1]));
        let end = at + Self::HEAD + head[0] as usize;
        self.network.clear();
        self.network.extend_from_slice(&arena[at + Self::HEAD..end]);
        end
    }

    pub(super) fn hash(&self) -> u128 {
        let mut hasher = Hasher128::default();
        for pair in self.replicas.chunks(2) {
            hasher.word(u64::from(pair[0]) << 32 | u64::from(pair[1]));
        }
        hasher.word(self.spent.bits());
        hasher.word(u64::from(self.history) << 32 | self.network.len() as u64);
        for pair in self.network.chunks(2) {
            hasher.word(u64::from(pair[0]) << 32 | u64::from(pair.get(1).copied().unwrap_or(u32::MAX)));
        }
        hasher.finish128()
    }
}

/// What becomes of the messages on connections that an input may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connections {
    /// They stay in flight: last words arrive, and what was said to a process that died reaches its next life.
    Kept,
    /// The connections are reset, and all messages on them are lost, both ways.
    Reset,
}

/// One thing that may happen in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// The place of the replica, from 0.
    pub(super) at: usize,
    pub(super) input: Input,
    pub(super) budget: Option<Budget>,
    /// Where the message that it is about stands among those in flight; zero when it is about none.
    pub(super) place: usize,
    /// What becomes of the connections that the input may end.
    pub(super) connections: Connections,
}

impl Action {
    /// One that is about no message and leaves connections as they are.
    pub(super) fn new(at: usize, input: Input, budget: Option<Budget>) -> Self {
        Self { at, input, budget, place: 0, connections: Connections::Kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_from_the_arena_as_it_was() {
        let spent = Bounds::default().with(Budget::Timeouts, 3).with(Budget::Overtakes, 15);
        let first = State { replicas: [1, 2, 3, 4], history: 5, spent, network: vec![7, 7, 9] };
        let second = State { replicas: [9, 8, 7, 0], ..State::default() };
        let mut arena = Vec::new();
        first.store(&mut arena);
        second.store(&mut arena);
        let mut state = State::default();
        let at = state.load(&arena, 0);
        assert_eq!(state, first);
        assert_eq!(state.load(&arena, at), arena.len());
        assert_eq!(state, second);
        assert_ne!(first.hash(), second.hash());
    }
}
