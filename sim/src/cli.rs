//! The words of the command line: which commands there are, what each takes, and what a tier does not.
//!
//! It runs nothing. Invariant: what is typed and would have no effect is refused, so that nobody takes a run for another.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sim::core::mutant_named;
use sim::{Ending, Failure, Mutant};

/// Runs the real node over a simulated disk and network, and checks the laws of Raft at every step.
///
/// Examples:
///   sim run --seed 7 --trace
///   sim swarm --seeds 0..1000
///   sim swarm --seeds 0..1000 --mutant m06
///   sim swarm --tier core --seeds 0..2000 --mutant m13
///   sim check --scope conflict
#[derive(Parser)]
#[command(name = "sim", version, verbatim_doc_comment, after_help = Ending::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs one seed and ends with the hash of its history
    Run {
        /// What is simulated
        #[arg(long, value_enum, default_value_t)]
        tier: Tier,
        /// What decides everything
        #[arg(long)]
        seed: u64,
        /// Prints a line for each event
        #[arg(long, conflicts_with = "json")]
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
        #[arg(long, value_parser = mutant_named)]
        mutant: Option<u8>,
        /// Where the script goes
        #[arg(long)]
        out: PathBuf,
        /// How many runs to try at most
        #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(1..))]
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
        /// For how long to measure, at least
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        seconds: u64,
    },
    /// Looks for known bugs, each in a copy of the core: the simulator must find them all
    Mutants {
        /// Only lists them: name, and where each happened
        #[arg(long, exclusive = true)]
        list: bool,
        /// Only these: m01,m09
        #[arg(long, value_delimiter = ',', value_parser = mutant_named)]
        ids: Vec<u8>,
        /// How many times to look for each, from another seed on
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        restarts: u64,
        /// How many seeds to try [default: 2000; 20000 for bugs of membership changes]
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
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
pub(crate) enum Tier {
    /// The core alone, over simulated disks, network and clocks
    Core,
    /// The core, the log and the node, over simulated files, connections and clocks
    #[default]
    Full,
}

#[derive(Args)]
pub(crate) struct World {
    /// Full tier: how many hosts [default: 3]. In the core tier the seed decides
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=7))]
    nodes: Option<u8>,
    /// Puts a known bug in. Full tier: m03, a vote sent before its fsync; m06, an acknowledgement before its fsync.
    /// Core tier: any that `sim mutants --list` names
    #[arg(long, value_parser = mutant_named)]
    pub(crate) mutant: Option<u8>,
    /// Prints JSON instead of text, an object a line
    #[arg(long)]
    pub(crate) json: bool,
}

impl World {
    /// How many hosts the full tier has.
    pub(crate) fn hosts(&self) -> u8 {
        self.nodes.unwrap_or(3)
    }

    /// The bug that the full tier is to have.
    pub(crate) fn lie(&self) -> Result<Option<Mutant>, Failure> {
        let Some(number) = self.mutant else { return Ok(None) };
        let name = format!("m{number:02}");
        let lie: Result<Mutant, _> = name.parse();
        lie.map(Some).map_err(|_| {
            Failure::usage(format!(
                "--mutant {name}: the full tier has only m03 and m06, which are lies of its disk; name one of those, or add \
                 --tier core"
            ))
        })
    }

    /// Refuses what the core tier does not take.
    pub(crate) fn fits_core(&self) -> Result<(), Failure> {
        let Some(nodes) = self.nodes else { return Ok(()) };
        Err(Failure::usage(format!(
            "--nodes {nodes}: in the core tier the seed decides how many nodes there are; leave it out, or write \
             `set nodes {nodes}` in a script for `sim replay`"
        )))
    }
}

/// Refuses what the full tier's swarm does not take.
pub(crate) fn fits_full(all: bool, require_marks: bool) -> Result<(), Failure> {
    for (is_asked, word, why) in [
        (all, "--all", "its swarm stops at the first breach"),
        (require_marks, "--require-marks", "it counts no rare paths"),
    ] {
        if is_asked {
            return Err(Failure::usage(format!(
                "{word}: the full tier does not take it, as {why}; leave it out, or add --tier core"
            )));
        }
    }
    Ok(())
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let wanted = "write FIRST..LAST, as in 0..1000";
    let (first, last) =
        text.split_once("..").ok_or_else(|| format!("{text:?} is no range of seeds; {wanted}"))?;
    let seed = |digits: &str| {
        digits.parse::<u64>().map_err(|error| format!("{digits:?} is no seed ({error}); {wanted}"))
    };
    let (first, last) = (seed(first)?, seed(last)?);
    if first < last {
        return Ok(first..last);
    }
    Err(if first == last {
        format!("there is no seed in it, as the last is not included; {wanted}")
    } else {
        format!("it ends before it begins; write {last}..{first}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_range_that_is_none_is_refused_with_the_reason() {
        assert_eq!(parse_seeds("3..9"), Ok(3..9));
        for (text, why) in [
            ("7", "no range"),
            ("5..5", "no seed in it"),
            ("9..3", "write 3..9"),
            ("a..3", "\"a\" is no seed"),
            ("0..99999999999999999999", "too large"),
            ("0..=9", "\"=9\" is no seed"),
        ] {
            let error = parse_seeds(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
