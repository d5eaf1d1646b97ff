//! The command line of the simulator: runs what [`cli`] understood, and ends with the code that [`Ending`] gives it.

use std::io::{self, Write as _};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use sim::core::commands::{self, Form};
use sim::{Ending, Failure, LEGEND, MIN_STEPS, RunOptions, Summary};

use crate::cli::{Cli, Command, Tier, World};

mod cli;

fn main() -> ExitCode {
    let ending = obey(Cli::parse().command).unwrap_or_else(|failure| {
        complain(&failure.to_string());
        failure.ending
    });
    ending.code().into()
}

fn obey(command: Command) -> Result<Ending, Failure> {
    Ok(match command {
        Command::Check(args) => check(&args),
        Command::Run { tier: Tier::Core, seed, trace, world } => {
            world.fits_core()?;
            commands::run(seed, world.mutant, trace, form(&world), &mut show)
        }
        Command::Run { tier: Tier::Full, seed, trace, world } => run(&options(seed, &world)?, trace, &world),
        Command::Swarm { tier: Tier::Core, seeds, all, require_marks, world } => {
            world.fits_core()?;
            let form = form(&world);
            let swarm = commands::Swarm {
                seeds,
                mutant: world.mutant,
                goes_on: all,
                needs_marks: require_marks,
                form,
            };
            commands::swarm(&swarm, &mut judge)
        }
        Command::Swarm { tier: Tier::Full, seeds, all, require_marks, world } => {
            cli::fits_full(all, require_marks)?;
            swarm(seeds, &options(0, &world)?, &world)
        }
        Command::Shrink { seed, mutant, out, max_runs } => {
            commands::shrink(seed, mutant, &out, max_runs, &mut show)?
        }
        Command::Replay { script, html, trace } => {
            commands::replay(&script, html.as_deref(), trace, &mut show)?
        }
        Command::Marks { seeds } => commands::marks(seeds, &mut judge),
        Command::Bench { seconds } => commands::bench(seconds, &mut show),
        Command::Mutants { list: true, .. } => commands::list_mutants(&mut show),
        Command::Mutants { ids, restarts, max_seeds, quick, table, write, .. } => {
            let hunt = commands::Hunt { ids, restarts, max_seeds, is_quick: quick, table, writes: write };
            commands::mutants(&hunt, &mut judge)?
        }
    })
}

fn options(seed: u64, world: &World) -> Result<RunOptions, Failure> {
    Ok(RunOptions { nodes: usize::from(world.hosts()), mutant: world.lie()?, ..RunOptions::new(seed) })
}

fn form(world: &World) -> Form {
    if world.json { Form::Json } else { Form::Text }
}

fn check(args: &sim::check::CheckArgs) -> Ending {
    match sim::check::check(args, &mut io::stdout().lock()) {
        Ok(is_clean) => Ending::of_breach(!is_clean),
        Err(error) => unheard(&error, Ending::NoAnswer),
    }
}

fn run(options: &RunOptions, trace: bool, world: &World) -> Ending {
    if trace {
        show(LEGEND);
    }
    let sink: Option<Box<dyn FnMut(String)>> =
        if trace { Some(Box::new(|line: String| show(&line))) } else { None };
    let summary = sim::run(options, sink);
    if world.json {
        show(&summary.to_json());
    } else {
        show(summary.to_string().trim_end());
    }
    Ending::of_breach(summary.breach.is_some())
}

fn swarm(seeds: Range<u64>, options: &RunOptions, world: &World) -> Ending {
    let began = Instant::now();
    let (mut events, mut steps, mut ran, mut fewest) = (0, 0, 0, u64::MAX);
    for seed in seeds.clone() {
        let summary = sim::run(&RunOptions { seed, ..options.clone() }, None);
        ran += 1;
        events += summary.events;
        steps += summary.steps();
        fewest = fewest.min(summary.steps());
        if summary.breach.is_some() {
            report_breach(&summary, world);
            return Ending::LawBroke;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if world.json {
        judge(&format!(
            "{{\"seeds\":{ran},\"events\":{events},\"steps\":{steps},\"fewest_steps\":{fewest},\
             \"seconds\":{seconds:.3},\"breach\":null}}"
        ));
    } else {
        judge(&format!(
            "seeds {}..{}: no law was broken; {events} events in {seconds:.1} s ({:.0}/s), at least {fewest} steps a \
             seed (the floor is {MIN_STEPS})",
            seeds.start,
            seeds.end,
            events as f64 / seconds.max(1e-9),
        ));
    }
    Ending::Clean
}

fn report_breach(summary: &Summary, world: &World) {
    if world.json {
        return judge(&summary.to_json());
    }
    judge(summary.to_string().trim_end());
    let mutant = world.mutant.map(|m| format!(" --mutant m{m:02}")).unwrap_or_default();
    judge(&format!("seed {} breaks a law. Replay it:", summary.seed));
    judge(&format!("  sim run --seed {} --nodes {}{mutant} --trace", summary.seed, world.hosts()));
}

/// Prints a line that is there to be looked at. Nobody reading is a quiet success.
fn show(line: &str) {
    print(line, Ending::Clean);
}

/// Prints a line that leads to a verdict. Who no longer reads it cannot take it for a good one.
fn judge(line: &str) {
    print(line, Ending::NoAnswer);
}

fn print(line: &str, when_unread: Ending) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        std::process::exit(unheard(&error, when_unread).code().into());
    }
}

/// The ending of a command whose output goes nowhere. A reader who left knows; else it is said.
fn unheard(error: &io::Error, when_unread: Ending) -> Ending {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return when_unread;
    }
    complain(&format!("cannot print: {error}; send the output where there is room for it"));
    Ending::NoAnswer
}

fn complain(why: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "sim: {why}");
}
