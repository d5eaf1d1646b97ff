//! The command line of the simulator: one seed, or a swarm of them.
//!
//! Exit codes: 0 all laws held, 1 a safety law broke, 2 a liveness law broke, or wrong usage.

use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sim::core::commands;
use sim::{LEGEND, MIN_STEPS, RunOptions, Summary, UnknownMutant};

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
        /// What is simulated
        #[arg(long, value_enum, default_value_t)]
        tier: Tier,
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
        /// What is simulated
        #[arg(long, value_enum, default_value_t)]
        tier: Tier,
        /// First and last, the last not included: 0..1000
        #[arg(long, value_parser = parse_seeds)]
        seeds: Range<u64>,
        /// Core tier: goes on after a breach, with a line for each
        #[arg(long)]
        all: bool,
        /// Core tier: fails when a rare path was never reached
        #[arg(long)]
        require_marks: bool,
        #[command(flatten)]
        world: World,
    },
    /// Core tier: shrinks a seed that breaks a law to a short script
    Shrink {
        /// The seed
        #[arg(long)]
        seed: u64,
        /// The known bug that it finds, if it is not one of our own: m01
        #[arg(long, value_parser = parse_mutant)]
        mutant: Option<u8>,
        /// Where the script goes
        #[arg(long)]
        out: PathBuf,
        /// How many runs to try at most
        #[arg(long, default_value_t = 3_000)]
        max_runs: u64,
    },
    /// Core tier: runs a script, and draws it
    Replay {
        /// The script
        script: PathBuf,
        /// Draws a space-time diagram into this file
        #[arg(long)]
        html: Option<PathBuf>,
        /// Prints a line for each event
        #[arg(long)]
        trace: bool,
    },
    /// Core tier: which rare paths seeds reach, and how often
    Marks {
        /// First and last, the last not included
        #[arg(long, value_parser = parse_seeds, default_value = "0..500")]
        seeds: Range<u64>,
    },
    /// Core tier: simulated events a second, with and without checkers
    Bench {
        /// For how long to measure
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Looks for known bugs, each in a copy of the core: the simulator must find them all
    Mutants {
        /// Only these: m01,m09
        #[arg(long, value_delimiter = ',', value_parser = parse_mutant)]
        ids: Vec<u8>,
        /// How many times to look for each, from another seed on
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        restarts: u64,
        /// How many seeds to try [default: 2000; 20000 for bugs of membership changes]
        #[arg(long)]
        max_seeds: Option<u64>,
        /// Only those that were found within 99 seeds, trying at most 500
        #[arg(long)]
        quick: bool,
        /// The table of medians
        #[arg(long, default_value = "sim/mutants.tsv")]
        table: PathBuf,
        /// Writes the table anew
        #[arg(long)]
        write: bool,
    },
    /// Searches every state of small scopes of the real core, breadth first
    Check(sim::check::CheckArgs),
}

/// How much of the product is real.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// The core alone, over simulated disks, network and clocks
    Core,
    /// The core, the log and the node, over simulated files, connections and clocks
    #[default]
    Full,
}

#[derive(Args)]
struct World {
    /// How many hosts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: u8,
    /// Puts a known bug in. Full tier: m03, a vote sent before its fsync; m06, an acknowledgement before its fsync.
    /// Core tier: any that `sim mutants` lists
    #[arg(long, value_parser = parse_mutant)]
    mutant: Option<u8>,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

impl World {
    fn options(&self, seed: u64) -> Result<RunOptions, UnknownMutant> {
        let mutant = self.mutant.map(|number| format!("m{number:02}").parse()).transpose()?;
        Ok(RunOptions { nodes: usize::from(self.nodes), mutant, ..RunOptions::new(seed) })
    }
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check(&args),
        Command::Run { tier: Tier::Core, seed, trace, world } => {
            commands::run(seed, world.mutant, trace, &mut say).into()
        }
        Command::Run { seed, trace, world, .. } => match world.options(seed) {
            Ok(options) => run(&options, trace, &world),
            Err(unknown) => answer(Err(unknown.to_string())),
        },
        Command::Swarm { tier: Tier::Core, seeds, all, require_marks, .. } => {
            commands::swarm(seeds, all, require_marks, &mut say).into()
        }
        Command::Swarm { seeds, world, .. } => match world.options(0) {
            Ok(options) => swarm(seeds, &options, &world),
            Err(unknown) => answer(Err(unknown.to_string())),
        },
        Command::Shrink { seed, mutant, out, max_runs } => {
            answer(commands::shrink(seed, mutant, &out, max_runs, &mut say))
        }
        Command::Replay { script, html, trace } => {
            answer(commands::replay(&script, html.as_deref(), trace, &mut say))
        }
        Command::Marks { seeds } => commands::marks(seeds, &mut say).into(),
        Command::Bench { seconds } => commands::bench(seconds, &mut say).into(),
        Command::Mutants { ids, restarts, max_seeds, quick, table, write } => {
            let hunt = commands::Hunt { ids, restarts, max_seeds, is_quick: quick, table, writes: write };
            answer(commands::mutants(&hunt, &mut say))
        }
    }
}

fn check(args: &sim::check::CheckArgs) -> ExitCode {
    // Who no longer reads the answer cannot take it for a good one.
    let is_clean = sim::check::check(args, &mut std::io::stdout().lock());
    answer(is_clean.map(|is_clean| u8::from(!is_clean)).map_err(|error| format!("cannot print: {error}")))
}

fn run(options: &RunOptions, trace: bool, world: &World) -> ExitCode {
    if trace {
        say(LEGEND);
    }
    let sink: Option<Box<dyn FnMut(String)>> =
        if trace { Some(Box::new(|line: String| say(&line))) } else { None };
    let summary = sim::run(options, sink);
    if world.json {
        say(&summary.to_json());
    } else {
        say(summary.to_string().trim_end());
    }
    summary.breach.map_or(0, |(_, breach)| breach.law.exit_code()).into()
}

fn swarm(seeds: Range<u64>, options: &RunOptions, world: &World) -> ExitCode {
    let began = Instant::now();
    let (mut events, mut steps, mut ran, mut fewest) = (0, 0, 0, u64::MAX);
    for seed in seeds.clone() {
        let summary = sim::run(&RunOptions { seed, ..options.clone() }, None);
        ran += 1;
        events += summary.events;
        steps += summary.steps();
        fewest = fewest.min(summary.steps());
        if let Some((_, breach)) = &summary.breach {
            report_breach(&summary, world);
            return breach.law.exit_code().into();
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
    let mutant = world.mutant.map(|m| format!(" --mutant m{m:02}")).unwrap_or_default();
    say(&format!("seed {} breaks a law. Replay it:", summary.seed));
    say(&format!("  sim run --seed {} --nodes {}{mutant} --trace", summary.seed, world.nodes));
}

/// An exit code; of a command that could not be carried out, that of wrong usage.
fn answer(done: Result<u8, String>) -> ExitCode {
    match done {
        Ok(code) => code.into(),
        Err(why) => {
            eprintln!("sim: {why}");
            ExitCode::from(2)
        }
    }
}

fn parse_mutant(text: &str) -> Result<u8, String> {
    let number = text.strip_prefix('m').and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("{text:?} is no mutant; write m01"))
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
