//! The `manager` binary: parses flags, runs [`manager::serve`], stops on a signal.
//!
//! Exit codes: 0 stopped as asked, 1 it did not work, 2 wrong usage.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::TypedValueParser;
use clap::{Args, Parser, Subcommand};
use manager::PeerList;
use manager::serve::{Manager, ManagerConfig};
use raft_core::NodeId;
use tokio::signal::unix::{Signal, SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  Three managers on one machine, each in its own terminal:
    M=101=127.0.0.1:7101,102=127.0.0.1:7102,103=127.0.0.1:7103
    manager serve --id 101 --listen 127.0.0.1:7101 --http 127.0.0.1:8101 --managers $M --data m101
    manager serve --id 102 --listen 127.0.0.1:7102 --http 127.0.0.1:8102 --managers $M --data m102
    manager serve --id 103 --listen 127.0.0.1:7103 --http 127.0.0.1:8103 --managers $M --data m103

  Is it healthy, and what is in the cluster?
    curl http://127.0.0.1:8101/healthz
    curl http://127.0.0.1:8101/cluster

RUST_LOG sets what is logged to standard error, as in RUST_LOG=debug.";

/// The control plane of a Flotilla cluster.
#[derive(Parser)]
#[command(name = "manager", version, before_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run one manager until it is stopped by SIGTERM or Ctrl-C.
    Serve(Serve),
}

#[derive(Args)]
#[command(before_help = EXAMPLES)]
struct Serve {
    /// This manager's node id: a number unique over managers and brokers, and listed in --managers.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).map(NodeId::new))]
    id: NodeId,
    /// Where to listen for other nodes.
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddr,
    /// Where to listen for HTTP: GET /healthz, GET /cluster.
    #[arg(long, value_name = "IP:PORT")]
    http: SocketAddr,
    /// All managers, this one included; the same list for each of them.
    #[arg(long, value_name = "ID=HOST:PORT,...")]
    managers: PeerList,
    /// The data directory; created if absent.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

fn main() -> ExitCode {
    let Cli { command: Command::Serve(flags) } = Cli::parse();
    log_to_stderr();
    match run(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let usage = error.downcast_ref::<manager::serve::ServeError>().is_some_and(|e| e.is_usage());
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

#[tokio::main]
async fn run(flags: Serve) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let Serve { id, listen, http, managers, data } = flags;
    let raft = raft_core::Options::default();
    let config = ManagerConfig { id, listen, http, managers, dir: data.clone(), raft };
    let manager = tokio::select! {
        started = manager::serve::run(config) => started?,
        () = either(&mut terminate, &mut interrupt) => return Ok(()),
    };
    let Manager { peer_addr, http_addr, .. } = &manager;
    eprintln!("manager {id} is ready: peers on {peer_addr}, http://{http_addr}, data in {}", data.display());
    tokio::select! {
        () = either(&mut terminate, &mut interrupt) => {}
        () = manager.ended() => anyhow::bail!("manager {id} stopped by itself; its log above says why"),
    }
    eprintln!("manager {id} is stopping");
    tokio::select! {
        () = manager.stop() => Ok(()),
        () = either(&mut terminate, &mut interrupt) => anyhow::bail!("manager {id} was stopped before it was done"),
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colours = std::io::stderr().is_terminal() && !set("NO_COLOR") && !dumb;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).with_env_filter(filter).init();
}
