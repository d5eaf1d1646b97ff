//! The search: breadth first over all states of a scope, each once, with a way back from each.
//!
//! States of one depth are stored side by side and read in the order in which they were found, so a search is the same in
//! every run, and the first breach it finds is at the least depth. Of each state the hash stays, and how it was reached:
//! its parent and which of the parent's actions it was.

use std::time::Instant;

use super::found::{Counterexample, End, Found};
use super::hash::SeenSet;
use super::scope::Scope;
use super::state::{Action, State};
use super::trace::{Told, tell};
use super::world::World;

/// Searches a scope to its end, its limit, or the first broken law. `has_twins` compares replicas with one fingerprint.
pub(in crate::check) fn run(scope: &Scope, has_twins: bool) -> Found {
    let began = Instant::now();
    let mut world = World::new(scope.clone());
    world.has_twins = has_twins;
    let mut search = Search::default();
    let end = search.run(&mut world);
    Found {
        scope: scope.clone(),
        end,
        states: search.origins.len() as u64,
        steps: search.steps,
        depth: search.depth,
        parts: world.parts(),
        twins: world.twins,
        time: began.elapsed(),
        bytes: search.most_bytes,
    }
}

/// How a state was reached: its parent, and the place of the action among all that the parent offers.
#[derive(Clone, Copy, Default)]
struct Origin {
    parent: u32,
    ordinal: u16,
}

#[derive(Default)]
struct Search {
    /// By the order in which the states were found.
    origins: Vec<Origin>,
    steps: u64,
    depth: u32,
    most_bytes: usize,
}

impl Search {
    fn run(&mut self, world: &mut World) -> End {
        let limit = world.setting.scope.max_states;
        let start = match world.start() {
            Ok(start) => start,
            Err(broken) => return End::Broke(Box::new(Counterexample { broken, steps: Vec::new() })),
        };
        let mut seen = SeenSet::new();
        seen.insert(start.hash());
        self.origins.push(Origin::default());
        let (mut level, mut next) = (Vec::new(), Vec::new());
        start.store(&mut level);
        let (mut state, mut after) = (State::default(), State::default());
        let mut actions: Vec<Action> = Vec::new();
        let mut index = 0u32;
        loop {
            let mut at = 0;
            while at < level.len() {
                at = state.load(&level, at);
                actions.clear();
                world.each_action(&state, |action| actions.push(action));
                for (ordinal, action) in actions.iter().enumerate() {
                    after.clone_from(&state);
                    let has_changed = match world.take(&mut after, *action, false) {
                        Ok(has_changed) => has_changed,
                        Err(broken) => {
                            let steps = self.way_to(world, &start, index, Told::Breaks(*action));
                            return End::Broke(Box::new(Counterexample { broken, steps }));
                        }
                    };
                    self.steps += u64::from(has_changed);
                    if has_changed && seen.insert(after.hash()) {
                        self.origins.push(Origin { parent: index, ordinal: ordinal as u16 });
                        after.store(&mut next);
                    }
                }
                index += 1;
                if self.origins.len() as u64 >= limit {
                    self.depth += u32::from(!next.is_empty());
                    self.measure(&seen, &level, &next);
                    return End::Stopped;
                }
            }
            self.measure(&seen, &level, &next);
            if next.is_empty() {
                return End::Complete;
            }
            self.depth += 1;
            std::mem::swap(&mut level, &mut next);
            next.clear();
        }
    }

    fn measure(&mut self, seen: &SeenSet, level: &Vec<u32>, next: &Vec<u32>) {
        let arenas = (level.capacity() + next.capacity()) * size_of::<u32>();
        let origins = self.origins.capacity() * size_of::<Origin>();
        self.most_bytes = self.most_bytes.max(seen.bytes() + arenas + origins);
    }

    /// Walks again from the start to the state with this index, and tells each step.
    fn way_to(&self, world: &mut World, start: &State, index: u32, last: Told<'_>) -> Vec<String> {
        let mut ordinals = Vec::new();
        let mut at = index;
        while at > 0 {
            let origin = self.origins[at as usize];
            ordinals.push(origin.ordinal);
            at = origin.parent;
        }
        let mut state = start.clone();
        let mut told = Vec::new();
        for ordinal in ordinals.into_iter().rev() {
            let Some(action) = world.actions(&state).get(usize::from(ordinal)).copied() else { break };
            let before = state.clone();
            if world.take(&mut state, action, false).is_err() {
                break;
            }
            told.push(tell(world, &before, Told::Leads(action, &state)));
        }
        told.push(tell(world, &state, last));
        told
    }
}
