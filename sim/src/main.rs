//! The command line of the simulator: one seed, or a swarm of them.
//!
//! Exit codes: 0 all laws held, 1 a law broke, 2 wrong usage.

use std::io::Write as _;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use sim::{LEGEND, MIN_STEPS, Mutant, RunOptions, Summary};

/// Runs the real node over a simulated disk and network, and checks the laws of Raft at every step.
///
/// Examples:
///   sim run --seed 7 --trace
///   sim swarm --seeds 0..1000
///   sim swarm --seeds 0..1000 --mutant m06
#[derive(Parser)]
#[command(name = "sim", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one seed and ends with the hash of its history
    Run {
        /// What decides everything
        #[arg(long)]
        seed: u64,
        /// Prints a line for each event
        #[arg(long)]
        trace: bool,
        #[command(flatten)]
        world: World,
    },
    /// Runs many seeds, and stops at the first that breaks a law
    Swarm {
        /// First and last, the last not included: 0..1000
        #[arg(long, value_parser = parse_seeds)]
        seeds: Range<u64>,
        #[command(flatten)]
        world: World,
    },
}

#[derive(Args)]
struct World {
    /// How many hosts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: u8,
    /// Puts a known bug in: m03, a vote sent before its fsync; m06, an acknowledgement before its fsync
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

impl World {
    fn options(&self, seed: u64) -> RunOptions {
        RunOptions { nodes: usize::from(self.nodes), mutant: self.mutant, ..RunOptions::new(seed) }
    }
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { seed, trace, world } => run(seed, trace, &world),
        Command::Swarm { seeds, world } => swarm(seeds, &world),
    }
}

fn run(seed: u64, trace: bool, world: &World) -> ExitCode {
    if trace {
        say(LEGEND);
    }
    let sink: Option<Box<dyn FnMut(String)>> =
        if trace { Some(Box::new(|line: String| say(&line))) } else { None };
    let summary = sim::run(&world.options(seed), sink);
    if world.json {
        say(&summary.to_json());
    } else {
        say(summary.to_string().trim_end());
    }
    if summary.breach.is_some() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn swarm(seeds: Range<u64>, world: &World) -> ExitCode {
    let began = Instant::now();
    let (mut events, mut steps, mut ran, mut fewest) = (0, 0, 0, u64::MAX);
    for seed in seeds.clone() {
        let summary = sim::run(&world.options(seed), None);
        ran += 1;
        events += summary.events;
        steps += summary.steps();
        fewest = fewest.min(summary.steps());
        if summary.breach.is_some() {
            report_breach(&summary, world);
            return ExitCode::from(1);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if world.json {
        say(&format!(
            "{{\"seeds\":{ran},\"events\":{events},\"steps\":{steps},\"fewest_steps\":{fewest},\
             \"seconds\":{seconds:.3},\"breach\":null}}"
        ));
    } else {
        say(&format!(
            "seeds {}..{}: no law was broken; {events} events in {seconds:.1} s ({:.0}/s), at least {fewest} steps a \
             seed (the floor is {MIN_STEPS})",
            seeds.start,
            seeds.end,
            events as f64 / seconds.max(1e-9),
        ));
    }
    ExitCode::SUCCESS
}

fn report_breach(summary: &Summary, world: &World) {
    if world.json {
        return say(&summary.to_json());
    }
    say(summary.to_string().trim_end());
    let mutant = world.mutant.map(|m| format!(" --mutant {m}")).unwrap_or_default();
    say(&format!("seed {} breaks a law. Replay it:", summary.seed));
    say(&format!("  sim run --seed {} --nodes {}{mutant} --trace", summary.seed, world.nodes));
}

/// Prints a line. Nobody reading is a quiet success.
fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let wanted = || format!("{text:?} is no range of seeds; write FIRST..LAST, as in 0..1000");
    let (first, last) = text.split_once("..").ok_or_else(wanted)?;
    let (first, last): (u64, u64) =
        (first.parse().map_err(|_| wanted())?, last.parse().map_err(|_| wanted())?);
    if first < last { Ok(first..last) } else { Err(wanted()) }
}
