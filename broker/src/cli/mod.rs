//! The command line: what can be typed, and how each command ends.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 refused or not found,
//! 2 wrong usage. A reader that goes away early (a pipe to `head`) is a quiet success. Names and flags are a
//! contract: add, don't rename.

mod args;
mod dump;
mod failure;
mod table;
mod topic;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

pub use args::{BrokerCli, Command, DevArgs, LogCommand, ServeArgs, TopicCommand};
pub use failure::Failure;
pub use table::Table;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = BrokerCli::parse();
    let verbosity = match &cli.command {
        Command::Serve(_) => "info",
        _ => "warn",
    };
    start_logging(verbosity);
    let ended = match cli.command {
        Command::Serve(args) => on_runtime(crate::serve::run(args)),
        Command::Dev(args) => on_runtime(crate::dev::run(args)),
        Command::Topic(command) => topic::run(command, &mut std::io::stdout().lock()),
        Command::Log(LogCommand::Dump { data_dir, topic, partition }) => {
            dump::run(&data_dir, &topic, partition, &mut std::io::stdout().lock())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn start_logging(verbosity: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(verbosity));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        || !std::io::IsTerminal::is_terminal(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(!plain)
        .try_init();
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::new(format!("cannot start threads: {why}")))?;
    let ended = runtime.block_on(work);
    // Reads from the disk that are still on their way need not be waited for.
    runtime.shutdown_background();
    ended
}
