//! How a command of the simulator ends, and the exit code that says so.
//!
//! What led to it is printed, not told here. Invariant: a code means the same for every command and both tiers.

use std::fmt;
use std::path::Path;

/// How a command ended. The numbers are its exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It did what was asked, and no law was broken.
    Clean = 0,
    /// A law was broken, one of safety or one of liveness: which one is printed.
    LawBroke = 1,
    /// The words on the command line, or those in a file that it names, make no sense.
    WrongUsage = 2,
    /// No law was broken where one should have been, or a rare path was never reached.
    NotReached = 3,
    /// A file or the output could not be read or written.
    NoAnswer = 4,
}

impl Ending {
    /// For `--help`.
    pub const HELP: &'static str = "\
Exit codes:
  0  done, and no law was broken
  1  a law was broken, of safety or of liveness
  2  wrong usage: of the command line, or in a script or table that it names
  3  no law was broken where one should have been (a mutant survived, a seed to shrink is clean), or a mark was missed
  4  a file or the output could not be read or written

Who stops reading ends `run`, `replay`, `shrink` and `bench` quietly with 0, and what gives a verdict with 4.";

    /// The ending of a run in which a law was broken, or none was.
    pub fn of_breach(is_broken: bool) -> Self {
        if is_broken { Self::LawBroke } else { Self::Clean }
    }

    /// The exit code.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why a command was not carried out, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The ending that it comes to.
    pub ending: Ending,
    why: String,
}

impl Failure {
    /// What was asked makes no sense.
    pub fn usage(why: impl Into<String>) -> Self {
        Self { ending: Ending::WrongUsage, why: why.into() }
    }

    pub(crate) fn cannot_read(path: &Path, error: &std::io::Error, advice: &str) -> Self {
        Self { ending: Ending::NoAnswer, why: format!("cannot read {}: {error}; {advice}", path.display()) }
    }

    pub(crate) fn cannot_write(path: &Path, error: &std::io::Error) -> Self {
        let why = format!(
            "cannot write {}: {error}; name a file in a folder that exists and may be written to",
            path.display()
        );
        Self { ending: Ending::NoAnswer, why }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Failure {}
