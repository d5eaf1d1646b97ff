//! Small draws that depend on who, what and when, and not on what was drawn before.
//!
//! When a run is shrunk, most of it should stay as it was: a message that is sent at the same moment on the same link
//! has the same fate, however many others there were before it. Invariant: equal names, equal draws.

use super::knobs::Micros;
use crate::rng::mix;

/// What is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The fate of a message on a link.
    Link,
    /// How long a write takes, and whether its end is told at once.
    Write,
    /// What survives a crash.
    Crash,
    /// How a snapshot fares.
    Snapshot,
    /// What a host notes on its disk.
    Note,
    /// When a lost connection is noticed.
    Loss,
    /// A process's own seed.
    Process,
    /// A node's clock.
    Clock,
    /// The cut that outlives all other faults.
    LastCut,
}

/// Draws of one purpose, one name and one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose, name: u64, at: Micros) -> Self {
        let salt = (purpose as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name << 48;
        Self(mix(seed ^ salt).wrapping_add(at.wrapping_mul(0xd1b5_4a32_d192_ed03)))
    }

    pub(crate) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// In `[0, bound)`; zero when `bound` is zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// In `[low, high]`; `low` when `high` is not above it.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(crate) fn chance(&mut self, permille: u64) -> bool {
        permille > 0 && self.below(1_000) < permille
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_its_name_alone() {
        let draw = |seed, purpose, name, at| Dice::new(seed, purpose, name, at).any();
        let one = draw(1, Purpose::Link, 2, 3);
        assert_eq!(one, draw(1, Purpose::Link, 2, 3));
        let others = [
            draw(2, Purpose::Link, 2, 3),
            draw(1, Purpose::Write, 2, 3),
            draw(1, Purpose::Link, 3, 3),
            draw(1, Purpose::Link, 2, 4),
        ];
        assert!(others.iter().all(|other| *other != one));
    }

    #[test]
    fn bounds_are_kept_and_chances_are_about_right() {
        let mut dice = Dice::new(7, Purpose::Note, 0, 0);
        let hits = (0..10_000).filter(|_| dice.chance(250)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..100).all(|_| (3..=5).contains(&dice.between(3, 5)) && dice.below(0) == 0));
    }
}
