//! How a command that was not done says so: what happened and why, then what to do about it.

use std::io;
use std::process::ExitCode;

/// A command was not done.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    hint: Option<String>,
    quiet: bool,
}

impl Failure {
    /// Says what happened and why, in one sentence without a full stop.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, quiet: false }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What happened and why.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Says it on standard error and chooses the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        eprintln!("Error: {}", self.what);
        if let Some(hint) = self.hint {
            eprintln!("Hint: {hint}");
        }
        ExitCode::FAILURE
    }
}

impl From<io::Error> for Failure {
    /// For writing to standard output: whoever closed the pipe has read enough.
    fn from(error: io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self { what: format!("cannot write the result: {error}"), hint: None, quiet }
    }
}
