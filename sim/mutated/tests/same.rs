//! The copy does what the original does, until a bug is switched on.

#![allow(clippy::duplicate_mod, reason = "one driver plays to both")]

#[path = "driver/mutated.rs"]
mod mutated;
#[path = "driver/original.rs"]
mod original;

const STEPS: usize = 3_000;

#[test]
fn with_no_bug_switched_on_the_copy_says_and_holds_what_the_original_does() {
    let mut lines = 0;
    for seed in 0..40 {
        let (mut said, mut at) = (Vec::new(), 0);
        mutated::driver::play(seed, STEPS, mutated::driver::Record::SaidAndHeld, &mut |line| said.push(line));
        original::driver::play(seed, STEPS, original::driver::Record::SaidAndHeld, &mut |line| {
            assert_eq!(said.get(at), Some(&line), "seed {seed}, line {at}");
            at += 1;
        });
        assert_eq!(at, said.len(), "seed {seed}");
        lines += at;
    }
    assert!(lines > 40 * STEPS, "{lines} lines are few");
}
