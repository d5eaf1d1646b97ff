//! `sim check`: which scopes to search, and the table of what was seen.

use std::io::{self, Write};

use clap::Args;

use super::scope::{Bounds, Budget, Scope};
use super::search::{End, Found, search};

/// What may be asked of `sim check`. Without a scope, all of them are searched with their own bounds.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// Searches this scope only: election, replication, membership, transfer or doubt
    #[arg(long, value_parser = parse_scope)]
    scope: Option<String>,
    /// Ends a search after so many distinct states
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    max_states: Option<u64>,
    /// Election time-outs
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    timeouts: Option<u8>,
    /// Time-outs of leaders
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    heartbeats: Option<u8>,
    /// Crashes, each with a restart
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    crashes: Option<u8>,
    /// Messages delivered once more
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    duplicates: Option<u8>,
    /// Entries proposed
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    proposals: Option<u8>,
    /// Membership changes, in the scope that has any
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    changes: Option<u8>,
    /// Leadership transfers
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    transfers: Option<u8>,
    /// Reports of lost connections
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    cuts: Option<u8>,
    /// Disks that lose the end of their log
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    damages: Option<u8>,
    /// Messages lost, in a scope that keeps their order
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    losses: Option<u8>,
    /// Messages that overtake others, in a scope that keeps their order
    #[arg(long, value_name = "N", requires = "scope", value_parser = bound())]
    overtakes: Option<u8>,
    /// Whether what one replica sends to another arrives in order
    #[arg(long, value_name = "BOOL", requires = "scope")]
    in_order: Option<bool>,
    /// Whether writes are durable and reported at once
    #[arg(long, value_name = "BOOL", requires = "scope")]
    eager_disk: Option<bool>,
    /// Keeps answers in flight that can change nothing any more
    #[arg(long)]
    keep_stale: bool,
    /// Prints JSON, a line for each scope
    #[arg(long)]
    json: bool,
}

fn bound() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(0..=i64::from(Bounds::MAX))
}

fn parse_scope(name: &str) -> Result<String, String> {
    if Scope::named(name).is_some() {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = Scope::all().iter().map(|scope| scope.name).collect();
    Err(format!("there is no scope {name:?}; there are {}", names.join(", ")))
}

impl CheckArgs {
    /// The scopes that are asked for.
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = match self.scope.as_deref() {
            Some(name) => Scope::named(name).into_iter().collect(),
            None => Scope::all(),
        };
        let wanted = [
            (Budget::Timeouts, self.timeouts),
            (Budget::Heartbeats, self.heartbeats),
            (Budget::Crashes, self.crashes),
            (Budget::Duplicates, self.duplicates),
            (Budget::Proposals, self.proposals),
            (Budget::Changes, self.changes),
            (Budget::Transfers, self.transfers),
            (Budget::Cuts, self.cuts),
            (Budget::Damages, self.damages),
            (Budget::Losses, self.losses),
            (Budget::Overtakes, self.overtakes),
        ];
        for scope in &mut scopes {
            for (budget, count) in wanted {
                if let Some(count) = count {
                    scope.bounds = scope.bounds.with(budget, count);
                }
            }
            scope.has_eager_disk = self.eager_disk.unwrap_or(scope.has_eager_disk);
            scope.keeps_order = self.in_order.unwrap_or(scope.keeps_order);
            scope.max_states = self.max_states.unwrap_or(scope.max_states);
            scope.forgets_stale &= !self.keep_stale;
        }
        scopes
    }
}

/// Searches what is asked for, and prints a row for each scope as it ends. Whether no law broke.
///
/// # Errors
/// When `out` cannot be written to.
pub fn check(args: &CheckArgs, out: &mut impl Write) -> io::Result<bool> {
    if !args.json {
        writeln!(out, "{:<12} {:>11} {:>6} {:>12} {:>9} {:>10}  end", "scope", "states", "depth", "steps", "inputs", "states/s")?;
    }
    let (mut states, mut seconds, mut holds) = (0, 0.0, true);
    for scope in args.scopes() {
        let found = search(&scope);
        states += found.states;
        seconds += found.time.as_secs_f64();
        if args.json { write_json(&found, out)? } else { write_row(&found, out)? }
        if let End::Broke(_) = found.end {
            holds = false;
            break;
        }
    }
    if !args.json {
        let verdict = if holds { "no law broke" } else { "a law broke" };
        writeln!(out, "{states} distinct states in {seconds:.1} s ({:.0}/s): {verdict}", per_second(states, seconds))?;
    }
    Ok(holds)
}

fn per_second(states: u64, seconds: f64) -> f64 {
    states as f64 / seconds.max(1e-9)
}

fn end_of(found: &Found) -> &'static str {
    match found.end {
        End::Complete => "complete",
        End::Stopped => "stopped at the limit",
        End::Broke(_) => "A LAW BROKE",
    }
}

fn write_row(found: &Found, out: &mut impl Write) -> io::Result<()> {
    let rate = per_second(found.states, found.time.as_secs_f64());
    let Found { scope, states, depth, steps, parts, .. } = found;
    writeln!(out, "{:<12} {states:>11} {depth:>6} {steps:>12} {:>9} {rate:>10.0}  {}", scope.name, parts.inputs, end_of(found))?;
    let disk = if scope.has_eager_disk { "; writes are durable at once" } else { "" };
    let stale = if scope.forgets_stale { "; stale answers count as gone" } else { "" };
    let order = if scope.keeps_order { "; in order on each connection" } else { "" };
    writeln!(out, "             {}: {}{order}{disk}{stale}", scope.about, scope.bounds)?;
    writeln!(out, "             parts {parts:?}, {} MiB", found.bytes >> 20)?;
    if let End::Broke(example) = &found.end {
        writeln!(out, "\n{}\n", example.broken)?;
        for (step, text) in example.steps.iter().zip(1..) {
            writeln!(out, "{:>4}. {step}", text)?;
        }
    }
    Ok(())
}

fn write_json(found: &Found, out: &mut impl Write) -> io::Result<()> {
    let end = match &found.end {
        End::Complete => "\"complete\"".to_owned(),
        End::Stopped => "\"stopped\"".to_owned(),
        End::Broke(example) => format!("{:?}", example.broken.to_string()),
    };
    writeln!(
        out,
        "{{\"scope\":\"{}\",\"states\":{},\"depth\":{},\"steps\":{},\"inputs\":{},\"seconds\":{:.3},\"end\":{end}}}",
        found.scope.name,
        found.states,
        found.depth,
        found.steps,
        found.parts.inputs,
        found.time.as_secs_f64()
    )
}
