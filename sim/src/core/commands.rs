//! What the command line does with the core tier, but for the words of the command line itself.
//!
//! Everything is printed through `say`; what comes back says how the command ended, or why it was not carried out.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Counts, Effort, MIN_STEPS, Mark, Marks, Outcome, Recorder, ScriptFile, Setup, Shrinker, Table};
use crate::ending::{Ending, Failure};
use crate::report::json_string;

/// Where lines go.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// In which form results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The ending of a run.
fn ending(outcome: &Outcome) -> Ending {
    Ending::of_breach(outcome.breach.is_some())
}

/// Runs one seed, perhaps with a known bug.
pub fn run(seed: u64, mutant: Option<u8>, is_traced: bool, form: Form, say: Say<'_>) -> Ending {
    let recorder = if is_traced { Recorder::on() } else { Recorder::off() };
    let outcome = ScriptFile { setup: Setup::draw(seed), mutant }.run(recorder);
    trace(&outcome, say);
    show(form, seed, &outcome, say);
    ending(&outcome)
}

fn trace(outcome: &Outcome, say: Say<'_>) {
    for noted in &outcome.records {
        say(&noted.to_string());
    }
}

/// Shrinks a seed that breaks a law, and writes the script.
///
/// # Errors
/// When the file cannot be written. That is tried before anything is run.
pub fn shrink(
    seed: u64,
    mutant: Option<u8>,
    out: &Path,
    max_runs: u64,
    say: Say<'_>,
) -> Result<Ending, Failure> {
    check_writable(out)?;
    be_quiet();
    let Some(shrinker) = Shrinker::new(&Setup::draw(seed), mutant, max_runs) else {
        let words = words_of(mutant);
        say(&format!("seed {seed}{words} breaks no law, so there is nothing to shrink. Find one that does:"));
        say(&format!("  sim swarm --tier core --seeds 0..2000{words}"));
        return Ok(Ending::NotReached);
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
    Ok(Ending::Clean)
}

/// The words that switch a mutant on, with a space before them.
fn words_of(mutant: Option<u8>) -> String {
    mutant.map_or(String::new(), |number| format!(" --mutant m{number:02}"))
}

/// Runs a script, and draws it if asked to.
///
/// # Errors
/// When the script cannot be read, or the page cannot be written.
pub fn replay(script: &Path, html: Option<&Path>, is_traced: bool, say: Say<'_>) -> Result<Ending, Failure> {
    let text = std::fs::read_to_string(script).map_err(|error| {
        Failure::cannot_read(script, &error, "name a script that `sim shrink --out` wrote")
    })?;
    let file =
        ScriptFile::read(&text).map_err(|error| Failure::usage(format!("{}: {error}", script.display())))?;
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
    Ok(ending(&outcome))
}

/// A panic of a core is a breach like others, and is told as one: not by each of a thousand runs on its own.
fn be_quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::cannot_write(path, &error))
}

/// Says before long work that its result could not be written. Leaves files as they are.
fn check_writable(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| Failure::cannot_write(path, &error))?;
    if is_new {
        // What is not removed is an empty file, which is harmless.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Measures the speed of the tier.
pub fn bench(seconds: u64, say: Say<'_>) -> Ending {
    let measured = super::measure(Duration::from_secs(seconds));
    let (with, without) = (measured.checked_rate(), measured.unchecked_rate());
    say(&format!(
        "{} seeds, {} events, each with and without checkers, one thread",
        measured.seeds, measured.steps
    ));
    say(&format!("checkers on:  {with:>10.0} events/s"));
    say(&format!("checkers off: {without:>10.0} events/s"));
    say(&format!("on / off:     {:>10.2}", with / without));
    Ending::Clean
}

fn show(form: Form, seed: u64, outcome: &Outcome, say: Say<'_>) {
    match form {
        Form::Text => summarize(seed, outcome, say),
        Form::Json => say(&json(seed, outcome)),
    }
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

/// A run as one JSON object, with the names that the full tier has for the same things.
fn json(seed: u64, outcome: &Outcome) -> String {
    let Counts { delivered, writes, timers, requests, crashes, partitions, committed, terms } =
        outcome.counts;
    let breach = outcome.breach.as_ref().map_or("null".to_string(), |breach| {
        format!(
            "{{\"law\":\"{}\",\"at_us\":{},\"seen\":{}}}",
            breach.law,
            outcome.ended_at,
            json_string(&breach.to_string())
        )
    });
    format!(
        "{{\"seed\":{seed},\"steps\":{},\"delivered\":{delivered},\"writes\":{writes},\"timers\":{timers},\
         \"requests\":{requests},\"crashes\":{crashes},\"partitions\":{partitions},\"committed\":{committed},\
         \"terms\":{terms},\"hash\":\"{:016x}\",\"breach\":{breach}}}",
        outcome.counts.steps(),
        outcome.hash,
    )
}

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// First and last, the last not included.
    pub seeds: Range<u64>,
    /// The known bug that is switched on.
    pub mutant: Option<u8>,
    /// Goes on after a breach, with a line for each.
    pub goes_on: bool,
    /// Fails when a mark was never reached.
    pub needs_marks: bool,
    /// How to print.
    pub form: Form,
}

/// What a swarm has seen so far.
#[derive(Default)]
struct Seen {
    seeds: u64,
    breaches: u64,
    counts: Counts,
    marks: Marks,
    /// The steps of the shortest run that broke no law.
    fewest: Option<u64>,
}

impl Seen {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.counts.add(&outcome.counts);
        self.marks.add(&outcome.marks);
        if outcome.breach.is_some() {
            self.breaches += 1;
        } else {
            let steps = outcome.counts.steps();
            self.fewest = Some(self.fewest.map_or(steps, |fewest| fewest.min(steps)));
        }
    }
}

/// Runs many seeds. Stops at the first breach, unless it is to go on.
pub fn swarm(swarm: &Swarm, say: Say<'_>) -> Ending {
    let began = Instant::now();
    if swarm.mutant.is_some() {
        be_quiet();
    }
    let mut seen = Seen::default();
    for seed in swarm.seeds.clone() {
        let outcome = ScriptFile { setup: Setup::draw(seed), mutant: swarm.mutant }.run(Recorder::off());
        seen.add(&outcome);
        let Some(breach) = &outcome.breach else { continue };
        if !swarm.goes_on {
            show(swarm.form, seed, &outcome, say);
            if swarm.form == Form::Text {
                say("Replay it:");
                say(&format!("  sim run --tier core --seed {seed}{} --trace", words_of(swarm.mutant)));
            }
            return Ending::LawBroke;
        }
        match swarm.form {
            Form::Text => say(&format!("seed {seed}: {breach}")),
            Form::Json => say(&json(seed, &outcome)),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    match swarm.form {
        Form::Text => sum_up(swarm, &seen, seconds, say),
        Form::Json => say(&sum_json(&seen, seconds)),
    }
    if let Some(fewest) = seen.fewest.filter(|fewest| *fewest < MIN_STEPS) {
        if swarm.form == Form::Text {
            say(&format!(
                "a seed has {fewest} steps, and the floor is {MIN_STEPS}: its world ran out of faults"
            ));
        }
        return if seen.breaches > 0 { Ending::LawBroke } else { Ending::NotReached };
    }
    if seen.breaches == 0 && swarm.needs_marks && !seen.marks.missing().is_empty() {
        if swarm.form == Form::Text {
            say(&format!(
                "{} marks were never reached; run more seeds, or find out why not",
                seen.marks.missing().len()
            ));
        }
        return Ending::NotReached;
    }
    Ending::of_breach(seen.breaches > 0)
}

fn sum_up(swarm: &Swarm, seen: &Seen, seconds: f64, say: Say<'_>) {
    let steps = seen.counts.steps();
    say(&format!(
        "seeds {}..{}{}: {}; {steps} steps in {seconds:.1} s ({:.0}/s){}",
        swarm.seeds.start,
        swarm.seeds.end,
        swarm.mutant.map_or(String::new(), |number| format!(" with m{number:02}")),
        match seen.breaches {
            0 => format!("no law was broken in {}", seen.seeds),
            breaches => format!("laws were broken in {breaches} of {}", seen.seeds),
        },
        steps as f64 / seconds.max(1e-9),
        seen.fewest.map_or(String::new(), |fewest| format!(", at least {fewest} a seed")),
    ));
    list_marks(&seen.marks, say);
}

fn sum_json(seen: &Seen, seconds: f64) -> String {
    let mut marks = String::new();
    for mark in Mark::ALL {
        let comma = if marks.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(marks, "{comma}{}:{}", json_string(mark.name()), seen.marks.count(*mark));
    }
    format!(
        "{{\"seeds\":{},\"steps\":{},\"fewest_steps\":{},\"seconds\":{seconds:.3},\"breaches\":{},\"marks\":{{{marks}}}}}",
        seen.seeds,
        seen.counts.steps(),
        seen.fewest.map_or("null".to_string(), |fewest| fewest.to_string()),
        seen.breaches,
    )
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

/// Looks for mutants and prints a row for each.
///
/// # Errors
/// When the table cannot be read or written, or no mutant fits.
pub fn mutants(hunt: &Hunt, say: Say<'_>) -> Result<Ending, Failure> {
    let path = hunt.table.display();
    let text = match std::fs::read_to_string(&hunt.table) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::cannot_read(
                &hunt.table,
                &error,
                "name a table that `sim mutants --write` wrote",
            ));
        }
    };
    let mut table = Table::parse(&text).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
    if hunt.writes {
        check_writable(&hunt.table)?;
    }
    let is_fast = |number: u8| table.median(number).is_some_and(|median| median < 100);
    let wanted: Vec<_> = raft_core_mutated::mutant::ALL
        .iter()
        .filter(|info| hunt.ids.is_empty() || hunt.ids.contains(&info.number))
        .filter(|info| !hunt.is_quick || is_fast(info.number))
        .collect();
    if wanted.is_empty() {
        return Err(Failure::usage(format!(
            "no mutant was tried: {path} knows none of them to be found within 99 seeds, and --quick tries no other. \
             Leave out --quick, or name another --table"
        )));
    }
    be_quiet();
    let mut survivors = Vec::new();
    say("mutant   median    worst  found by           what, and where it happened");
    for info in &wanted {
        let usual = if info.is_membership { 20_000 } else { 2_000 };
        let max_seeds = hunt.max_seeds.unwrap_or(usual).min(if hunt.is_quick { 500 } else { u64::MAX });
        let verdict = super::hunt(info.number, &Effort { restarts: hunt.restarts, max_seeds });
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
    let tried = wanted.len();
    if survivors.is_empty() {
        say(&format!("all {tried} were found"));
        return Ok(Ending::Clean);
    }
    say(&format!("{} of {tried} survived: {}", survivors.len(), survivors.join(" ")));
    Ok(Ending::NotReached)
}

/// Prints which mutants there are.
pub fn list_mutants(say: Say<'_>) -> Ending {
    for info in raft_core_mutated::mutant::ALL {
        say(&format!("m{:02}  {} ({})", info.number, info.name, info.origin));
    }
    Ending::Clean
}

/// Runs seeds only to see which marks are reached.
pub fn marks(seeds: Range<u64>, say: Say<'_>) -> Ending {
    let mut marks = Marks::default();
    for seed in seeds {
        marks.add(&super::run(&Setup::draw(seed), Recorder::off()).marks);
    }
    list_marks(&marks, say);
    let missing = marks.missing().len();
    say(&format!("{} of {} were reached", Mark::ALL.len() - missing, Mark::ALL.len()));
    if missing == 0 { Ending::Clean } else { Ending::NotReached }
}

/// Prints how often each mark was reached.
fn list_marks(marks: &Marks, say: Say<'_>) {
    for mark in Mark::ALL {
        say(&format!("{:>9}  {}", marks.count(*mark), mark.name()));
    }
}
