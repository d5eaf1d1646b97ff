//! `sim check`: which scopes to search, and the table of what was seen.

use std::io::{self, Write};

use clap::Args;

use super::found::{End, Found};
use super::scope::{Bounds, Budget, Scope};
use super::{search, search_mutant};

/// What may be asked of `sim check`. Without a scope, all of them are searched with their own bounds.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// Searches this scope only, or those whose names begin with it and a dash: election, rivals, reordering,
    /// replication, conflict, loss, reconnection, remnant, membership, transfer, doubt
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
    /// Whether leaders send entries one by one
    #[arg(long, value_name = "BOOL", requires = "scope")]
    singly: Option<bool>,
    /// Puts a known bug into the core: any that `sim mutants --list` names
    #[arg(long, value_name = "M01", value_parser = crate::core::mutant_named)]
    mutant: Option<u8>,
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
    if !Scope::named(name).is_empty() {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = Scope::all().iter().map(|scope| scope.name).collect();
    Err(format!("there is no scope {name:?}; there are {}", names.join(", ")))
}

impl CheckArgs {
    /// The scopes that are asked for.
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = match self.scope.as_deref() {
            Some(name) => Scope::named(name),
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
            scope.sends_singly = self.singly.unwrap_or(scope.sends_singly);
            scope.keeps_order = self.in_order.unwrap_or(scope.keeps_order);
            scope.max_states = self.max_states.unwrap_or(scope.max_states);
            scope.forgets_stale &= !self.keep_stale;
        }
        scopes
    }
}

/// What searches leave out, without loss.
const LEFT_OUT: &str = "\
Left out, as it leads to nothing else: a replica that is down (it starts again at once); among fresh replicas, another than
the first to time out first; in any order of messages, one that changes nothing now (it may come later); answers that can
change nothing any more (--keep-stale keeps them). What happens to the real core is run once for each state of a replica.";

/// Searches what is asked for, and prints a row for each scope as it ends. Says whether no law broke.
///
/// # Errors
/// When `out` cannot be written to.
pub fn check(args: &CheckArgs, out: &mut impl Write) -> io::Result<bool> {
    if !args.json {
        let [scope, states, depth, steps, inputs, rate] =
            ["scope", "states", "depth", "steps", "core inputs", "states/s"];
        writeln!(out, "{LEFT_OUT}\n")?;
        writeln!(out, "{scope:<19} {states:>10} {depth:>6} {steps:>11} {inputs:>11} {rate:>9}  end")?;
    }
    let (mut states, mut seconds, mut holds) = (0, 0.0, true);
    for scope in args.scopes() {
        let found = match args.mutant {
            None => search(&scope),
            mutant => search_mutant(mutant, &scope),
        };
        states += found.states;
        seconds += found.time.as_secs_f64();
        if args.json {
            write_json(&found, out)?;
        } else {
            write_row(&found, out)?;
        }
        out.flush()?;
        if let End::Broke(_) = found.end {
            holds = false;
            break;
        }
    }
    if !args.json {
        let verdict = if holds { "no law broke" } else { "a law broke" };
        let rate = per_second(states, seconds);
        writeln!(out, "\n{states} distinct states in {seconds:.1} s ({rate:.0}/s): {verdict}")?;
    }
    Ok(holds)
}

fn per_second(states: u64, seconds: f64) -> f64 {
    states as f64 / seconds.max(1e-9)
}

fn write_row(found: &Found, out: &mut impl Write) -> io::Result<()> {
    let rate = per_second(found.states, found.time.as_secs_f64());
    let end = match found.end {
        End::Complete => "complete",
        End::Stopped => "stopped at the limit",
        End::Broke(_) => "A LAW BROKE",
    };
    let Found { scope, states, depth, steps, parts, .. } = found;
    writeln!(
        out,
        "{:<19} {states:>10} {depth:>6} {steps:>11} {:>11} {rate:>9.0}  {end}",
        scope.name, parts.inputs
    )?;
    let order = if scope.keeps_order { "" } else { "; in any order" };
    let disk = if scope.has_eager_disk { "; writes durable at once" } else { "" };
    let single = if scope.sends_singly { "; entries one by one" } else { "" };
    writeln!(out, "    {}: {}{order}{disk}{single}", scope.about, scope.bounds)?;
    if let End::Broke(example) = &found.end {
        writeln!(out, "\n{}\n", example.broken)?;
        for (step, number) in example.steps.iter().zip(1..) {
            writeln!(out, "{number:>4}. {step}")?;
        }
    }
    Ok(())
}

fn write_json(found: &Found, out: &mut impl Write) -> io::Result<()> {
    let end = match &found.end {
        End::Complete => "complete".to_owned(),
        End::Stopped => "stopped".to_owned(),
        End::Broke(example) => example.broken.to_string(),
    };
    let Found { scope, states, depth, steps, parts, time, bytes, .. } = found;
    writeln!(
        out,
        "{{\"scope\":{:?},\"bounds\":{:?},\"states\":{states},\"depth\":{depth},\"steps\":{steps},\"core_inputs\":{},\
         \"table_bytes\":{bytes},\"seconds\":{:.3},\"end\":{end:?}}}",
        scope.name,
        scope.bounds.to_string(),
        parts.inputs,
        time.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: CheckArgs,
    }

    fn said(words: &[&str]) -> (bool, String) {
        let cli = Cli::try_parse_from([&["sim"], words].concat()).expect("the words are right");
        let mut out = Vec::new();
        let holds = check(&cli.args, &mut out).expect("a vector can be written to");
        (holds, String::from_utf8(out).expect("what is printed is text"))
    }

    #[test]
    fn a_row_says_what_was_searched_and_how_it_ended() {
        let (holds, text) = said(&["--scope", "election", "--timeouts", "0", "--crashes", "2"]);
        assert!(holds);
        let row = text.lines().find(|line| line.starts_with("election")).expect("there is a row");
        assert!(row.contains(" 10 ") && row.ends_with("complete"), "{row}");
        assert!(text.contains("votes, over crashes: 2 crashes"), "{text}");
        assert!(text.contains("10 distinct states"), "{text}");
    }

    #[test]
    fn json_has_a_line_for_each_scope_of_a_name() {
        let (holds, text) = said(&["--scope", "membership", "--changes", "0", "--timeouts", "0", "--json"]);
        assert!(holds);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), Scope::named("membership").len());
        assert!(
            lines[0].starts_with("{\"scope\":\"membership-add\",\"bounds\":\"\",\"states\":1,"),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn a_scope_that_does_not_exist_is_refused_with_those_that_do() {
        let error = Cli::try_parse_from(["sim", "--scope", "elections"]).err().expect("there is none");
        assert!(error.to_string().contains("membership-add"), "{error}");
    }
}
