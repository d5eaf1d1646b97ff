//! All figures but those of memory, measured in one process in turns, as tables or as JSON.

use std::time::{Duration, Instant};

use clap::Parser;
use cpu_time::ProcessTime;
use raft_core_peers::idle::{Idle, Ours, RaftRs, Voters};
use raft_core_peers::{DEPTHS, Group, Library};
use serde_json::json;

/// Measures raft-core, raft-rs and openraft.
#[derive(Parser)]
struct Arguments {
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value_t = 9)]
    repetitions: usize,
    /// Milliseconds of one measurement of entries per second, about.
    #[arg(long, default_value_t = 250)]
    milliseconds: u64,
    /// How many idle groups to measure.
    #[arg(long, default_value_t = 10_000)]
    groups: usize,
}

/// Measurements of one thing, sorted.
struct Samples(Vec<f64>);

impl Samples {
    fn new(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    fn min(&self) -> f64 {
        self.0[0]
    }

    fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    fn show(&self, digits: usize) -> String {
        let (median, min, max) = (self.median(), self.min(), self.max());
        if digits == 0 {
            return format!("{} [{}, {}]", grouped(median), grouped(min), grouped(max));
        }
        format!("{median:.digits$} [{min:.digits$}, {max:.digits$}]")
    }

    fn json(&self) -> serde_json::Value {
        json!({ "median": self.median(), "min": self.min(), "max": self.max() })
    }
}

/// With commas between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

struct Throughput {
    library: Library,
    depth: usize,
    group: Box<dyn Group>,
    /// Entries of one measurement.
    entries: u64,
    per_second: Vec<f64>,
    cpu_nanoseconds: Vec<f64>,
}

impl Throughput {
    fn new(library: Library, depth: usize, time: Duration) -> Self {
        let mut group = library.open();
        group.run(depth, 20_000);
        let (start, warm) = (Instant::now(), 50_000);
        group.run(depth, warm);
        let rate = warm as f64 / start.elapsed().as_secs_f64();
        let entries = (rate * time.as_secs_f64()) as u64;
        Self { library, depth, group, entries, per_second: Vec::new(), cpu_nanoseconds: Vec::new() }
    }

    fn measure(&mut self) {
        let (start, cpu) = (Instant::now(), ProcessTime::now());
        self.group.run(self.depth, self.entries);
        let (elapsed, cpu) = (start.elapsed(), cpu.elapsed());
        self.per_second.push(self.entries as f64 / elapsed.as_secs_f64());
        self.cpu_nanoseconds.push(cpu.as_nanos() as f64 / self.entries as f64);
    }
}

fn throughput(arguments: &Arguments) -> Vec<(Library, usize, Samples, Samples)> {
    let time = Duration::from_millis(arguments.milliseconds);
    let mut runs = Vec::new();
    for depth in DEPTHS {
        runs.extend(Library::ALL.map(|library| Throughput::new(library, depth, time)));
    }
    for _ in 0..arguments.repetitions {
        runs.iter_mut().for_each(Throughput::measure);
    }
    let samples = |run: Throughput| {
        (run.library, run.depth, Samples::new(run.per_second), Samples::new(run.cpu_nanoseconds))
    };
    runs.into_iter().map(samples).collect()
}

/// Milliseconds of CPU that all groups take in one second.
fn cost(groups: &mut impl Idle, repetitions: usize) -> Samples {
    groups.pass(Duration::from_secs(1));
    let second = |_| {
        let cpu = ProcessTime::now();
        groups.pass(Duration::from_secs(1));
        cpu.elapsed().as_secs_f64() * 1e3
    };
    Samples::new((0..repetitions).map(second).collect())
}

fn main() {
    let arguments = Arguments::parse();
    let throughput = throughput(&arguments);
    let (groups, repetitions) = (arguments.groups, arguments.repetitions);
    let idle = [
        ("raft-core, asleep", cost(&mut Ours::asleep(groups, Voters::Shared), repetitions)),
        ("raft-core, awake", cost(&mut Ours::awake(groups, Voters::Shared), repetitions)),
        ("raft-rs 0.7.0", cost(&mut RaftRs::awake(groups), repetitions)),
    ];
    let ratio = |library: Library, depth: usize| {
        let fastest = |is_meant: &dyn Fn(Library) -> bool| {
            let meant = throughput.iter().filter(|run| run.1 == depth && is_meant(run.0));
            meant.map(|run| run.2.median()).fold(0.0, f64::max)
        };
        fastest(&|other| other == library) / fastest(&|other| !other.is_ours())
    };
    if arguments.json {
        let throughput: Vec<_> = throughput
            .iter()
            .map(|(library, depth, per_second, cpu)| {
                json!({
                    "library": library.name(),
                    "depth": depth,
                    "entries_per_second": per_second.json(),
                    "cpu_nanoseconds_per_entry": cpu.json(),
                })
            })
            .collect();
        let ours = || Library::ALL.into_iter().filter(|library| library.is_ours());
        let pairs = DEPTHS.iter().flat_map(|depth| ours().map(move |library| (library, *depth)));
        let ratios: Vec<_> = pairs
            .map(|(library, depth)| json!({ "library": library.name(), "depth": depth, "ratio": ratio(library, depth) }))
            .collect();
        let idle: Vec<_> = idle
            .iter()
            .map(|(name, cost)| json!({ "library": name, "groups": groups, "cpu_milliseconds_per_second": cost.json() }))
            .collect();
        println!("{:#}", json!({ "throughput": throughput, "ratios": ratios, "idle": idle }));
        return;
    }
    println!("| library | depth | entries/s | CPU ns an entry | ours to the better of the others |");
    println!("| --- | --- | --- | --- | --- |");
    for (library, depth, per_second, cpu) in &throughput {
        let ratio = if library.is_ours() { format!("{:.2}", ratio(*library, *depth)) } else { String::new() };
        println!("| {} | {depth} | {} | {} | {ratio} |", library.name(), per_second.show(0), cpu.show(0));
    }
    println!();
    println!("| {} idle groups | CPU ms a second |", grouped(groups as f64));
    println!("| --- | --- |");
    for (name, cost) in &idle {
        println!("| {name} | {} |", cost.show(3));
    }
}
