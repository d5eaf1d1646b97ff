//! The `atm` binary: reads the flags and leaves the rest to the library.

use std::io::IsTerminal;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use atm_cli::atm::{self, Config, Format};
use atm_cli::patience::Patience;
use atm_cli::peers::Peers;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use raft_core::NodeId;
use tracing_subscriber::EnvFilter;

const ABOUT: &str = "\
An ATM: a terminal, and a member of the group that is the bank.

Examples:
  PEERS=1=127.0.0.1:6001,2=127.0.0.1:6002,3=127.0.0.1:6003
  atm --id 1 --listen 127.0.0.1:6001 --peers $PEERS --data atm-1
  atm --id 1 --listen 127.0.0.1:6001 --peers $PEERS --data atm-1 exec \"deposit alice 50.00\"

Start one in each of three terminals, then type help. Where standard input is no terminal, each line is a
command, and at its end the ATM stays a member until SIGINT or SIGTERM.

Exit codes of exec: 0 done, 1 refused (nothing happened), 2 wrong usage, 3 unknown outcome.
RUST_LOG chooses what is logged to standard error; NO_COLOR turns colours off.";

#[derive(Parser)]
#[command(name = "atm", version, about = "An ATM: a terminal, and a member of the group that is the bank", long_about = ABOUT)]
struct Flags {
    /// This ATM's number
    #[arg(long, value_name = "N")]
    id: u64,
    /// Where it listens for the other ATMs
    #[arg(long, value_name = "HOST:PORT", value_parser = resolve)]
    listen: SocketAddr,
    /// All ATMs of the bank, this one included
    #[arg(long, value_name = "ID=HOST:PORT,...")]
    peers: Peers,
    /// Its data directory, created when absent
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How long a command waits for the bank: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", default_value = "5s", global = true)]
    timeout: Patience,
    /// Writes each reply as one JSON object on one line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Hands one command to the ATM that runs under the same flags
    Exec {
        /// The command, such as "deposit alice 50.00"; help shows them all
        #[arg(required = true, value_name = "COMMAND")]
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let config = Config {
        id: NodeId::new(flags.id),
        listen: flags.listen,
        peers: flags.peers,
        data: flags.data,
        patience: flags.timeout,
        format: if flags.json { Format::Json } else { Format::Text },
    };
    if let Err(error) = config.validate() {
        Flags::command().error(ErrorKind::ValueValidation, error).exit();
    }
    let result = match flags.action {
        Some(Action::Exec { words }) => exec(&config, &words.join(" ")),
        None => run(config),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn exec(config: &Config, line: &str) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
    let reply = runtime.block_on(atm::exec(config, line));
    atm::say(&reply, config.format);
    Ok(ExitCode::from(reply.exit_code()))
}

fn run(config: Config) -> anyhow::Result<ExitCode> {
    // A person's screen is for their commands: there, only what needs attention.
    let level = if std::io::stdin().is_terminal() { "warn" } else { "info" };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start")?;
    let ending = runtime.block_on(atm::run(config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    ending?;
    Ok(ExitCode::SUCCESS)
}

fn resolve(address: &str) -> Result<SocketAddr, String> {
    let mut addresses = address.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| format!("{address} has no address"))
}
