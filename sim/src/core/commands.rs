//! What the command line does with the core tier, but for the words of the command line itself.
//!
//! Everything is printed through `say`; what comes back is the exit code: 0 clean, 1 a safety law broke, 2 a liveness
//! law broke, or a mark was never reached.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Counts, Effort, Mark, Marks, Outcome, Recorder, ScriptFile, Setup, Shrinker, Table};

/// Where lines go.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// The code for a run: see the module's documentation.
pub fn code(outcome: &Outcome) -> u8 {
    outcome.breach.as_ref().map_or(0, |breach| breach.law.exit_code())
}

/// Runs one seed, perhaps with a known bug.
pub fn run(seed: u64, mutant: Option<u8>, is_traced: bool, say: Say<'_>) -> u8 {
    let recorder = if is_traced { Recorder::on() } else { Recorder::off() };
    let outcome = ScriptFile { setup: Setup::draw(seed), mutant }.run(recorder);
    trace(&outcome, say);
    summarize(seed, &outcome, say);
    code(&outcome)
}

fn trace(outcome: &Outcome, say: Say<'_>) {
    for noted in &outcome.records {
        say(&noted.to_string());
    }
}

/// Shrinks a seed that breaks a law, and writes the script. An exit code of 2 says that it breaks none.
///
/// # Errors
/// When the file cannot be written.
pub fn shrink(seed: u64, mutant: Option<u8>, out: &Path, max_runs: u64, say: Say<'_>) -> Result<u8, String> {
    be_quiet();
    let Some(shrinker) = Shrinker::new(&Setup::draw(seed), mutant, max_runs) else {
        say(&format!("seed {seed} breaks no law"));
        return Ok(2);
    };
    let (file, outcome) = shrinker.shrink();
    write(out, &file.write(Some(&outcome)))?;
    summarize(seed, &outcome, say);
    let actions = file.setup.script.as_ref().map_or(0, |script| script.actions.len());
    say(&format!(
        "{actions} actions on {} nodes are left in {}. Look at it:",
        file.setup.knobs.nodes,
        out.display()
    ));
    say(&format!("  sim replay {} --html out.html", out.display()));
    Ok(0)
}

/// Runs a script, and draws it if asked to.
///
/// # Errors
/// When the script cannot be read, or the page cannot be written.
pub fn replay(script: &Path, html: Option<&Path>, is_traced: bool, say: Say<'_>) -> Result<u8, String> {
    let text = std::fs::read_to_string(script)
        .map_err(|error| format!("cannot read {}: {error}", script.display()))?;
    let file = ScriptFile::read(&text).map_err(|error| format!("{}: {error}", script.display()))?;
    let is_kept = html.is_some() || is_traced;
    let outcome = file.run(if is_kept { Recorder::on() } else { Recorder::off() });
    if is_traced {
        trace(&outcome, say);
    }
    summarize(file.setup.seed, &outcome, say);
    if let Some(html) = html {
        let name = script.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy());
        write(html, &super::page(&name, file.setup.knobs.nodes as usize, &outcome))?;
        say(&format!("drawn in {}", html.display()));
    }
    Ok(code(&outcome))
}

/// A panic of a core is a breach like others, and is told as one: not by each of a thousand runs on its own.
fn be_quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Measures the speed of the tier.
pub fn bench(seconds: u64, say: Say<'_>) -> u8 {
    let measured = super::measure(Duration::from_secs(seconds));
    let (with, without) = (measured.checked_rate(), measured.unchecked_rate());
    say(&format!(
        "{} seeds, {} events, each with and without checkers, one thread",
        measured.seeds, measured.steps
    ));
    say(&format!("checkers on:  {with:>10.0} events/s"));
    say(&format!("checkers off: {without:>10.0} events/s"));
    say(&format!("on / off:     {:>10.2}", with / without));
    0
}

fn summarize(seed: u64, outcome: &Outcome, say: Say<'_>) {
    let Counts { delivered, writes, timers, requests, crashes, partitions, committed, terms } =
        outcome.counts;
    say(&format!(
        "seed {seed}: {} steps ({delivered} packets, {writes} fsyncs, {timers} timers, {requests} requests), {crashes} \
         crashes, {partitions} cuts; {committed} entries committed in {terms} terms",
        outcome.counts.steps()
    ));
    match &outcome.breach {
        Some(breach) => {
            let at = outcome.ended_at;
            say(&format!("BREACH at {}.{:06}: {breach}", at / 1_000_000, at % 1_000_000));
        }
        None => say("no law was broken"),
    }
    say(&format!("history {:016x}", outcome.hash));
}

/// Runs many seeds. Stops at the first breach, unless it is to go on, and then prints a line for each.
pub fn swarm(seeds: Range<u64>, goes_on: bool, needs_marks: bool, say: Say<'_>) -> u8 {
    let began = Instant::now();
    let (mut counts, mut marks, mut worst, mut ran) = (Counts::default(), Marks::default(), 0, 0_u64);
    let mut fewest = u64::MAX;
    for seed in seeds.clone() {
        let outcome = super::run(&Setup::draw(seed), Recorder::off());
        ran += 1;
        counts.add(&outcome.counts);
        marks.add(&outcome.marks);
        if let Some(breach) = &outcome.breach {
            worst = worst.max(code(&outcome));
            if !goes_on {
                summarize(seed, &outcome, say);
                say("Replay it:");
                say(&format!("  sim run --tier core --seed {seed} --trace"));
                return code(&outcome);
            }
            say(&format!("seed {seed}: {breach}"));
        } else {
            fewest = fewest.min(outcome.counts.steps());
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    say(&format!(
        "seeds {}..{}: {} in {ran}; {} steps in {seconds:.1} s ({:.0}/s), at least {fewest} a seed",
        seeds.start,
        seeds.end,
        if worst == 0 { "no law was broken" } else { "laws were broken" },
        counts.steps(),
        counts.steps() as f64 / seconds.max(1e-9),
    ));
    list_marks(&marks, say);
    if worst == 0 && needs_marks && !marks.missing().is_empty() {
        say("marks were never reached");
        return 2;
    }
    worst
}

/// What to look for, and how.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The numbers of the mutants to look for; all when empty.
    pub ids: Vec<u8>,
    /// How many times to look for each.
    pub restarts: u64,
    /// How many seeds to try each time; when `None`, 2,000, and 20,000 for those of memberships.
    pub max_seeds: Option<u64>,
    /// Looks only for those that were found within 99 seeds, and tries at most 500.
    pub is_quick: bool,
    /// The table of medians.
    pub table: std::path::PathBuf,
    /// Writes the table anew.
    pub writes: bool,
}

/// Looks for mutants and prints a row for each. An exit code of 1 says that one survived.
///
/// # Errors
/// When the table cannot be read or written.
pub fn mutants(hunt: &Hunt, say: Say<'_>) -> Result<u8, String> {
    let path = hunt.table.display();
    let text = match std::fs::read_to_string(&hunt.table) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("cannot read {path}: {error}")),
    };
    let mut table = Table::parse(&text).map_err(|error| format!("{path}: {error}"))?;
    be_quiet();
    let (mut survivors, mut tried) = (Vec::new(), 0);
    say("mutant   median    worst  found by           what, and where it happened");
    for info in raft_core_mutated::mutant::ALL {
        let is_fast = table.median(info.number).is_some_and(|median| median < 100);
        if !hunt.ids.is_empty() && !hunt.ids.contains(&info.number) || hunt.is_quick && !is_fast {
            continue;
        }
        let usual = if info.is_membership { 20_000 } else { 2_000 };
        let max_seeds = hunt.max_seeds.unwrap_or(usual).min(if hunt.is_quick { 500 } else { u64::MAX });
        let verdict = super::hunt(info.number, &Effort { restarts: hunt.restarts, max_seeds });
        tried += 1;
        let count = |seeds: Option<u64>| seeds.map_or("-".to_string(), |seeds| seeds.to_string());
        let laws: Vec<String> = verdict.laws.iter().map(|(law, times)| format!("{law}:{times}")).collect();
        say(&format!(
            "m{:02} {:>11} {:>8}  {:<17}  {} ({})",
            info.number,
            count(verdict.median()),
            count(verdict.worst()),
            laws.join(" "),
            info.name,
            info.origin
        ));
        if !verdict.is_found() {
            survivors.push(format!("m{:02}", info.number));
        }
        table.update(&verdict);
    }
    if hunt.writes {
        write(&hunt.table, &table.to_string())?;
    }
    if tried == 0 {
        return Err(format!(
            "no mutant was tried: none of them is in {path}. Write it with `sim mutants --write`"
        ));
    }
    if survivors.is_empty() {
        say(&format!("all {tried} were found"));
        return Ok(0);
    }
    say(&format!("{} of {tried} survived: {}", survivors.len(), survivors.join(" ")));
    Ok(1)
}

/// Runs seeds only to see which marks are reached.
pub fn marks(seeds: Range<u64>, say: Say<'_>) -> u8 {
    let mut marks = Marks::default();
    for seed in seeds {
        marks.add(&super::run(&Setup::draw(seed), Recorder::off()).marks);
    }
    list_marks(&marks, say);
    let missing = marks.missing().len();
    say(&format!("{} of {} were reached", Mark::ALL.len() - missing, Mark::ALL.len()));
    if missing == 0 { 0 } else { 2 }
}

/// Prints how often each mark was reached.
pub fn list_marks(marks: &Marks, say: Say<'_>) {
    for mark in Mark::ALL {
        say(&format!("{:>9}  {}", marks.count(*mark), mark.name()));
    }
}
