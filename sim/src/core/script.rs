//! A run as a file that people read, edit and replay: the seed, the knobs, and every action with its moment.
//!
//! One thing a line; `#` begins a comment. What the file does not say is decided by the seed, so an edited file is
//! another run but always the same one. Invariant: a script that is written and read back is the same script.

use std::fmt;
use std::fmt::Write as _;

use super::action::Action;
use super::knobs::{Knobs, Micros};
use super::mutants::mutant_named;
use super::report::{Outcome, Script, Setup};

const HEAD: &str = "sim core script 1";

/// The last moment of which a script may speak: twelve days. Runs last seconds; the rest of the clock is left to them.
const TIME_MAX: Micros = 1 << 40;

fn no_head() -> String {
    format!("the first line must be {HEAD:?}; `sim shrink` writes such files")
}

fn too_late(at: Micros) -> String {
    format!("{at} is too late; a script ends within {TIME_MAX} microseconds")
}

/// A setup with its actions, and which known bug was switched on.
#[derive(Clone, Debug)]
pub struct ScriptFile {
    /// What decides the run.
    pub setup: Setup,
    /// The known bug that is switched on.
    pub mutant: Option<u8>,
}

/// Why a text is no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoScript {
    /// The line, from 1.
    pub line: usize,
    /// Why.
    pub why: String,
}

impl fmt::Display for NoScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for NoScript {}

impl ScriptFile {
    /// Writes the file. `outcome`, if given, adds what the run comes to as a comment.
    pub fn write(&self, outcome: Option<&Outcome>) -> String {
        let mut out = format!("{HEAD}\n");
        if let Some(breach) = outcome.and_then(|outcome| outcome.breach.as_ref()) {
            for line in breach.to_string().lines() {
                // Writing to a string does not fail, here and below.
                let _ = writeln!(out, "# {line}");
            }
        }
        let _ = writeln!(out, "seed {}", self.setup.seed);
        if let Some(mutant) = self.mutant {
            let _ = writeln!(out, "mutant m{mutant:02}");
        }
        for (name, value) in self.setup.knobs.list() {
            let _ = writeln!(out, "set {name} {value}");
        }
        if let Some(script) = &self.setup.script {
            for action in &script.actions {
                let _ = writeln!(out, "{action}");
            }
            let _ = writeln!(out, "heal {}", script.heal_at);
        }
        out
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Names the first line that says nothing known, or that something is missing.
    pub fn read(text: &str) -> Result<Self, NoScript> {
        let mut file = Self { setup: Setup { knobs: Knobs::default(), ..Setup::draw(0) }, mutant: None };
        let mut script = Script { actions: Vec::new(), heal_at: 0 };
        let mut is_healed = false;
        for (at, line) in text.lines().enumerate() {
            let refuse = |why: String| NoScript { line: at + 1, why };
            let line = line.split('#').next().unwrap_or("").trim();
            let words: Vec<&str> = line.split_whitespace().collect();
            let number =
                |text: &str| text.parse::<u64>().map_err(|_| refuse(format!("{text:?} is no number")));
            match words.as_slice() {
                _ if at == 0 => {
                    if line != HEAD {
                        return Err(refuse(no_head()));
                    }
                }
                [] => {}
                ["seed", seed] => file.setup.seed = number(seed)?,
                ["mutant", mutant] => {
                    file.mutant = Some(mutant_named(mutant).map_err(|error| refuse(error.to_string()))?);
                }
                ["set", name, value] => {
                    let value = number(value)?;
                    if !file.setup.knobs.set(name, value) {
                        return Err(refuse(format!("there is no knob {name:?}")));
                    }
                }
                ["heal", at] => {
                    script.heal_at = number(at)?;
                    if script.heal_at > TIME_MAX {
                        return Err(refuse(too_late(script.heal_at)));
                    }
                    is_healed = true;
                }
                ["at", ..] => {
                    let action: Action =
                        line.parse().map_err(|why: super::NoAction| refuse(why.to_string()))?;
                    if action.at > TIME_MAX {
                        return Err(refuse(too_late(action.at)));
                    }
                    if script.actions.last().is_some_and(|last| last.at > action.at) {
                        return Err(refuse("actions must be in the order of time".into()));
                    }
                    script.actions.push(action);
                }
                _ => return Err(refuse(format!("nothing known is said by {line:?}"))),
            }
        }
        let last = text.lines().count();
        if last == 0 {
            return Err(NoScript { line: 1, why: no_head() });
        }
        if !is_healed {
            return Err(NoScript { line: last, why: "a script ends with \"heal TIME\"".into() });
        }
        if let Some(why) = file.setup.knobs.refuse() {
            return Err(NoScript { line: last, why });
        }
        file.setup.script = Some(script);
        Ok(file)
    }

    /// Runs it.
    pub fn run(&self, recorder: super::Recorder) -> Outcome {
        match self.mutant {
            None => super::run(&self.setup, recorder),
            mutant => super::run_mutant(mutant, &self.setup, recorder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Recorder, What};

    #[test]
    fn the_script_of_a_run_replays_it_exactly() {
        let drawn = Setup { min_steps: 3_000, ..Setup::draw(11) };
        let outcome = crate::core::run(&drawn, Recorder::off());
        let script = Script { actions: outcome.actions.clone(), heal_at: outcome.healed_at };
        let file = ScriptFile { setup: Setup { script: Some(script), ..drawn }, mutant: None };
        let text = file.write(None);
        let read = ScriptFile::read(&text).unwrap();
        assert_eq!(read.write(None), text);
        assert_eq!(read.run(Recorder::off()).hash, outcome.hash);
    }

    #[test]
    fn comments_are_passed_over_and_errors_name_their_line() {
        let knobs = Setup::draw(1).knobs;
        let sets: String = knobs.list().iter().map(|(name, value)| format!("set {name} {value}\n")).collect();
        let text = format!("{HEAD} # ours\nseed 4\n{sets}at 5 repair # now\nheal 9\n");
        let file = ScriptFile::read(&text).unwrap();
        assert_eq!(file.setup.script.unwrap().actions[0].what, What::Repair);
        for text in ["other", "", "\nseed 1\nheal 9", "# ours"] {
            let error = ScriptFile::read(text).unwrap_err();
            assert!(error.line == 1 && error.why.contains(HEAD), "{text:?}: {error}");
        }
        let error = ScriptFile::read(&format!("{HEAD}\nmutant m99")).unwrap_err().to_string();
        assert_eq!(error, "line 2: there is no mutant m99; `sim mutants --list` lists them");
        for line in ["heal 18446744073709551615", "at 18446744073709551615 repair"] {
            let error = ScriptFile::read(&format!("{HEAD}\n{line}")).unwrap_err();
            assert!(error.why.contains("too late"), "{error}");
        }
        assert_eq!(ScriptFile::read(&format!("{HEAD}\nset sky 1")).unwrap_err().line, 2);
        assert!(ScriptFile::read(&format!("{HEAD}\nseed 1")).unwrap_err().why.contains("heal"));
        let none = text.replace("set nodes", "# set nodes");
        assert!(ScriptFile::read(&none).unwrap_err().why.contains("nodes"));
    }
}
