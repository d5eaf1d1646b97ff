//! From a run that breaks a law to the shortest that still breaks it: delta debugging (Zeller and Hildebrandt 2002).
//!
//! Actions are dropped in ever smaller pieces and begin earlier; knobs are set to their mildest values, nodes are taken away, and
//! faults are shortened. A change is kept if the same law breaks. Invariant: what comes out breaks the law.

use super::action::{Action, What};
use super::law::Law;
use super::record::Recorder;
use super::report::{Outcome, Script, Setup};
use super::script::ScriptFile;

/// See the module's documentation.
pub struct Shrinker {
    file: ScriptFile,
    law: Law,
    runs_left: u64,
    outcome: Outcome,
}

impl Shrinker {
    /// A run of this setup over the real core, or over one with a known bug; `None` when it breaks no law.
    pub fn new(setup: &Setup, mutant: Option<u8>, max_runs: u64) -> Option<Self> {
        let first = ScriptFile { setup: setup.clone(), mutant };
        let outcome = first.run(Recorder::off());
        let law = outcome.breach.as_ref()?.law;
        let script = Script { actions: outcome.actions.clone(), heal_at: outcome.healed_at };
        let file = ScriptFile { setup: Setup { script: Some(script), ..setup.clone() }, mutant };
        let mut shrinker = Self { file: file.clone(), law, runs_left: max_runs.max(1), outcome };
        // The script of the run is the run, so this breaks the same law.
        shrinker.tries(file);
        Some(shrinker)
    }

    /// The law that breaks.
    pub fn law(&self) -> Law {
        self.law
    }

    /// Shrinks as far as the runs last. Gives the script and what it comes to.
    pub fn shrink(mut self) -> (ScriptFile, Outcome) {
        self.cut_tail();
        loop {
            let before = self.actions().len();
            self.drop_actions();
            self.drop_nodes();
            self.calm_knobs();
            self.move_up();
            self.shorten();
            if self.actions().len() == before || self.runs_left == 0 {
                return (self.file, self.outcome);
            }
        }
    }

    fn actions(&self) -> &[Action] {
        self.file.setup.script.as_ref().map_or(&[], |script| &script.actions)
    }

    /// Runs a candidate, and keeps it if it breaks the same law.
    fn tries(&mut self, candidate: ScriptFile) -> bool {
        if self.runs_left == 0 || candidate.setup.knobs.refuse().is_some() {
            return false;
        }
        self.runs_left -= 1;
        let outcome = candidate.run(Recorder::off());
        let is_same = outcome.breach.as_ref().is_some_and(|breach| breach.law == self.law);
        if is_same {
            self.file = candidate;
            self.outcome = outcome;
        }
        is_same
    }

    fn tries_actions(&mut self, actions: Vec<Action>) -> bool {
        let mut candidate = self.file.clone();
        if let Some(script) = &mut candidate.setup.script {
            script.actions = actions;
        }
        self.tries(candidate)
    }

    /// What comes after the breach has nothing to do with it; and peace may begin earlier.
    fn cut_tail(&mut self) {
        let end = self.outcome.ended_at;
        let actions = self.actions().iter().copied().filter(|action| action.at <= end).collect();
        self.tries_actions(actions);
        let last = self.actions().last().map_or(0, |action| action.at);
        for heal_at in [last + 1, last + (end - last.min(end)) / 2] {
            let mut candidate = self.file.clone();
            if let Some(script) = &mut candidate.setup.script {
                script.heal_at = script.heal_at.min(heal_at);
            }
            if self.tries(candidate) {
                return;
            }
        }
    }

    /// Lets everything begin earlier.
    fn move_up(&mut self) {
        for share in [1, 2, 4] {
            let Some(first) = self.actions().first().map(|action| action.at) else { return };
            let mut candidate = self.file.clone();
            let Some(script) = &mut candidate.setup.script else { return };
            let by = (first / share).saturating_sub(super::knobs::MS);
            script.actions.iter_mut().for_each(|action| action.at -= by);
            script.heal_at -= by;
            if by == 0 || self.tries(candidate) {
                return;
            }
        }
    }

    fn drop_actions(&mut self) {
        let mut piece = self.actions().len().div_ceil(2);
        while piece > 0 && self.runs_left > 0 {
            let mut from = 0;
            while from < self.actions().len() {
                let to = (from + piece).min(self.actions().len());
                let mut rest = self.actions()[..from].to_vec();
                rest.extend_from_slice(&self.actions()[to..]);
                if !self.tries_actions(rest) {
                    from = to;
                }
            }
            piece /= 2;
        }
    }

    /// Fewer nodes, and then fewer voters.
    fn drop_nodes(&mut self) {
        for name in ["standing", "nodes", "voters"] {
            loop {
                let mut candidate = self.file.clone();
                let knobs = &mut candidate.setup.knobs;
                match name {
                    "standing" if knobs.standing > 0 => knobs.standing = 0,
                    "nodes" if knobs.nodes > 1 => knobs.nodes -= 1,
                    "voters" if knobs.voters > 1 => knobs.voters -= 1,
                    _ => break,
                }
                if !self.tries(candidate) {
                    break;
                }
            }
        }
    }

    /// Sets each small fault to never.
    fn calm_knobs(&mut self) {
        let calm = [
            "drop",
            "duplicate",
            "replay",
            "tail",
            "disk_tail",
            "disk_silence",
            "snapshot_failure",
            "commit_note",
            "compact_every",
            "drift",
            "ping_interval",
            "reports_loss",
            "spread",
            "disk_spread",
        ];
        for name in calm {
            let mut candidate = self.file.clone();
            let is_other = candidate.setup.knobs.list().contains(&(name, 0));
            candidate.setup.knobs.set(name, 0);
            if !is_other {
                self.tries(candidate);
            }
        }
    }

    /// Halves what lasts, as long as that is borne.
    fn shorten(&mut self) {
        for at in 0..self.actions().len() {
            while self.runs_left > 0 {
                let mut actions = self.actions().to_vec();
                let Some(action) = actions.get_mut(at) else { break };
                let is_shorter = match &mut action.what {
                    What::Crash { down: span, .. }
                    | What::Wipe { down: span, .. }
                    | What::Damage { down: span, .. }
                    | What::Pause { lasts: span, .. }
                    | What::Cut { lasts: span, .. }
                    | What::Stall { lasts: span, .. }
                    | What::Full { lasts: span, .. }
                        if *span > 2_000 =>
                    {
                        *span /= 2;
                        true
                    }
                    What::Write { count, .. } if *count > 1 => {
                        *count = 1;
                        true
                    }
                    _ => false,
                };
                if !is_shorter || !self.tries_actions(actions) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_shrinks_to_few_actions_and_its_script_still_breaks_the_same_law() {
        let setup = (0..50).map(Setup::draw).find(|setup| {
            let outcome = crate::core::run_mutant(Some(1), setup, Recorder::off());
            outcome.breach.is_some() && outcome.actions.len() > 50
        });
        let shrinker = Shrinker::new(&setup.expect("mutant m01 is found soon"), Some(1), 400).unwrap();
        let (law, before) = (shrinker.law(), shrinker.actions().len());
        let (file, outcome) = shrinker.shrink();
        assert_eq!(outcome.breach.as_ref().map(|breach| breach.law), Some(law));
        let after = file.setup.script.as_ref().unwrap().actions.len();
        assert!(after * 2 < before, "{before} actions became {after}");
        let again = ScriptFile::read(&file.write(Some(&outcome))).unwrap().run(Recorder::off());
        assert_eq!(again.breach, outcome.breach);
    }

    #[test]
    fn what_breaks_no_law_is_not_shrunk() {
        assert!(Shrinker::new(&Setup { min_steps: 500, ..Setup::draw(2) }, None, 10).is_none());
    }
}
