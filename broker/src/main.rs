//! The `broker` binary: parses flags and calls the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    broker::cli::main()
}
