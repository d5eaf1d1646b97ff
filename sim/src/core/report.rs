//! What a run is given and what it comes to.

use super::action::Action;
use super::knobs::{Knobs, Micros};
use super::law::Breach;
use super::marks::Marks;
use super::record::Noted;
use crate::rng::{Rng, Stream};

/// The least number of steps that a run has before its faults end.
pub const MIN_STEPS: u64 = 20_000;

/// The actions of a run that is not drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// In the order of time.
    pub actions: Vec<Action>,
    /// When all faults end.
    pub heal_at: Micros,
}

/// What decides a run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides what nothing else does.
    pub seed: u64,
    /// The numbers of the world.
    pub knobs: Knobs,
    /// What befalls it; drawn from the seed when `None`.
    pub script: Option<Script>,
    /// A drawn run goes on until so much has happened.
    pub min_steps: u64,
    /// Whether the checkers are on.
    pub checks: bool,
}

impl Setup {
    /// The world and the fate of a seed.
    pub fn draw(seed: u64) -> Self {
        let knobs = Knobs::draw(&mut Rng::new(seed, Stream::Plan));
        Self { seed, knobs, script: None, min_steps: MIN_STEPS, checks: true }
    }
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages of the group that reached a process; pings of hosts are none.
    pub delivered: u64,
    /// Times that a disk finished something.
    pub writes: u64,
    /// Deadlines at which a core had something to do.
    pub timers: u64,
    /// Requests of clients that were taken.
    pub requests: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Cuts of the network that some link was touched by.
    pub partitions: u64,
    /// Entries committed.
    pub committed: u64,
    /// The last term that had a leader.
    pub terms: u64,
}

impl Counts {
    /// The length of a run.
    pub fn steps(&self) -> u64 {
        self.delivered + self.writes + self.timers + self.requests
    }

    /// Whether what every run must have has been there: two crashes, and a cut where there is anything to cut.
    pub(crate) fn are_eventful(&self, nodes: usize) -> bool {
        self.crashes >= 2 && (self.partitions >= 1 || nodes == 1)
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Counts) {
        self.delivered += other.delivered;
        self.writes += other.writes;
        self.timers += other.timers;
        self.requests += other.requests;
        self.crashes += other.crashes;
        self.partitions += other.partitions;
        self.committed += other.committed;
        self.terms += other.terms;
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How much happened.
    pub counts: Counts,
    /// Which rare paths it was on.
    pub marks: Marks,
    /// Equal for equal runs.
    pub hash: u64,
    /// Everything that was done to it.
    pub actions: Vec<Action>,
    /// When faults ended.
    pub healed_at: Micros,
    /// When it ended.
    pub ended_at: Micros,
    /// The first law that broke.
    pub breach: Option<Breach>,
    /// What happened, if that was asked for.
    pub records: Vec<Noted>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Recorder;

    #[test]
    fn a_drawn_run_is_long_and_has_two_crashes_and_a_cut() {
        for seed in 0..24 {
            let setup = Setup::draw(seed);
            let outcome = crate::core::run(&setup, Recorder::off());
            assert_eq!(outcome.breach, None, "seed {seed}");
            assert!(outcome.counts.steps() >= MIN_STEPS, "seed {seed}: {:?}", outcome.counts);
            let nodes = setup.knobs.nodes as usize;
            assert!(outcome.counts.are_eventful(nodes), "seed {seed}: {:?}", outcome.counts);
        }
    }

    #[test]
    fn only_a_world_of_one_needs_no_cut() {
        let counts = Counts { crashes: 2, ..Counts::default() };
        assert!(counts.are_eventful(1) && !counts.are_eventful(2));
        assert!(Counts { partitions: 1, ..counts }.are_eventful(2));
        assert!(!Counts { crashes: 1, partitions: 1, ..counts }.are_eventful(2));
    }
}
