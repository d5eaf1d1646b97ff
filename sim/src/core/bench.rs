//! How fast the tier is: simulated events a second on one thread, with the checkers on and off, in the same minute.
//!
//! What is counted are steps: packets delivered, fsyncs, timers with something to do, and requests. Each seed is run with
//! both in turn, and the time is that of the processor, so that a busy machine changes little. Invariant: the runs compared have the same events.

use std::time::{Duration, Instant};

use super::record::Recorder;
use super::report::Setup;

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// How many seeds were run, each twice.
    pub seeds: u64,
    /// How many steps there were with the checkers on, and as many without.
    pub steps: u64,
    /// How long those with the checkers on took.
    pub checked: Duration,
    /// How long the same without took.
    pub unchecked: Duration,
}

impl Measured {
    /// Steps a second with the checkers on.
    pub fn checked_rate(&self) -> f64 {
        self.steps as f64 / self.checked.as_secs_f64().max(1e-9)
    }

    /// Steps a second with the checkers off.
    pub fn unchecked_rate(&self) -> f64 {
        self.steps as f64 / self.unchecked.as_secs_f64().max(1e-9)
    }
}

/// A moment by the processor time of this thread, where the system tells it, so that other work on the machine does not
/// count; else by the clock on the wall.
#[derive(Clone, Copy)]
enum Clock {
    Processor(Duration),
    Wall(Instant),
}

impl Clock {
    fn now() -> Self {
        processor_time().map_or_else(|| Self::Wall(Instant::now()), Self::Processor)
    }

    fn elapsed(self) -> Duration {
        match self {
            Self::Processor(since) => processor_time().unwrap_or(since).saturating_sub(since),
            Self::Wall(since) => since.elapsed(),
        }
    }
}

/// How long this thread has run so far (Linux).
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

/// Runs seeds from 0 on until it has taken `at_least`.
pub fn measure(at_least: Duration) -> Measured {
    let mut measured = Measured::default();
    while measured.checked + measured.unchecked < at_least {
        let seed = measured.seeds;
        measured.seeds += 1;
        for checks in [seed.is_multiple_of(2), !seed.is_multiple_of(2)] {
            let setup = Setup { checks, ..Setup::draw(seed) };
            let began = Clock::now();
            let outcome = super::run(&setup, Recorder::off());
            let took = began.elapsed();
            if checks {
                measured.checked += took;
                measured.steps += outcome.counts.steps();
            } else {
                measured.unchecked += took;
            }
        }
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_checkers_has_the_same_events() {
        let with = Setup { min_steps: 4_000, ..Setup::draw(5) };
        let without = Setup { checks: false, ..with.clone() };
        let hash = |setup| super::super::run(setup, Recorder::off()).hash;
        assert_eq!(hash(&with), hash(&without));
        assert!(measure(Duration::from_millis(1)).checked_rate() > 0.0);
    }
}
