//! Each bug does something.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core_mutated::mutant;

#[path = "driver/mutated.rs"]
mod mutated;

const STEPS: usize = 3_000;

/// A history as a number for each line, or so much of it as came before a panic.
fn history(seed: u64, bug: Option<u8>) -> (Vec<u64>, bool) {
    let mut lines = Vec::new();
    mutant::set(bug);
    let played = catch_unwind(AssertUnwindSafe(|| {
        mutated::driver::play(seed, STEPS, mutated::driver::Record::Said, &mut |line| {
            lines.push(number(&line))
        });
    }));
    mutant::set(None);
    (lines, played.is_ok())
}

fn number(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn every_bug_changes_a_history() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut left: BTreeSet<u8> = mutant::ALL.iter().map(|mutant| mutant.number).collect();
    for seed in 0..1_000 {
        let truth = history(seed, None);
        assert!(truth.1, "seed {seed} panics without a bug");
        left.retain(|number| history(seed, Some(*number)) == truth);
        if left.is_empty() {
            break;
        }
    }
    drop(std::panic::take_hook());
    assert!(left.is_empty(), "these change nothing that can be seen: {left:?}");
}
