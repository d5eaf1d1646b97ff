//! What a history and a swarm of them came to, as text and as JSON.

use std::fmt::{self, Write as _};

use crate::oracle::Breach;
use crate::plan::Micros;

/// What one seed came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// How many hosts there were.
    pub nodes: usize,
    /// How many groups.
    pub groups: usize,
    /// Everything that was taken from the queue.
    pub events: u64,
    /// Frames that reached a node.
    pub delivered: u64,
    /// Batches that the disks finished.
    pub rounds: u64,
    /// Deadlines at which a node had something to do.
    pub timers: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Partitions that began.
    pub partitions: u64,
    /// Entries committed, over all groups.
    pub committed: u64,
    /// Terms that had a leader, over all groups.
    pub elections: u64,
    /// Requests that ended done, refused and unknown.
    pub ended: [u64; 3],
    /// How long it took, in simulated microseconds.
    pub simulated: Micros,
    /// The hash of the history: equal for equal runs.
    pub hash: u64,
    /// Whether the cluster got well after all faults had ended.
    pub is_healed: bool,
    /// The first law that broke, and when, in simulated microseconds.
    pub breach: Option<(Micros, Breach)>,
}

impl Summary {
    /// The length of the history: delivered frames, finished batches, and deadlines that had work.
    pub fn steps(&self) -> u64 {
        self.delivered + self.rounds + self.timers
    }

    /// One JSON object, on one line.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "{{\"seed\":{},\"nodes\":{},\"groups\":{},\"events\":{},\"steps\":{},\"delivered\":{},\"rounds\":{},\
             \"timers\":{},\"crashes\":{},\"partitions\":{},\"committed\":{},\"elections\":{},\"done\":{},\
             \"refused\":{},\"unknown\":{},\"simulated_us\":{},\"hash\":\"{:016x}\",\"breach\":{}}}",
            self.seed,
            self.nodes,
            self.groups,
            self.events,
            self.steps(),
            self.delivered,
            self.rounds,
            self.timers,
            self.crashes,
            self.partitions,
            self.committed,
            self.elections,
            self.ended[0],
            self.ended[1],
            self.ended[2],
            self.simulated,
            self.hash,
            breach_json(self.breach.as_ref()),
        );
        out
    }
}

fn breach_json(breach: Option<&(Micros, Breach)>) -> String {
    match breach {
        None => "null".to_string(),
        Some((at, breach)) => {
            format!(
                "{{\"law\":\"{}\",\"at_us\":{at},\"seen\":{}}}",
                breach.law,
                json_string(&breach.to_string())
            )
        }
    }
}

/// A JSON string literal.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Prints simulated microseconds as seconds.
pub(crate) struct Seconds(pub(crate) Micros);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} nodes, {} groups, {} simulated seconds, {} events",
            self.seed,
            self.nodes,
            self.groups,
            Seconds(self.simulated),
            self.events
        )?;
        writeln!(
            f,
            "steps {}: {} frames delivered, {} disk rounds, {} timers; {} crashes, {} partitions",
            self.steps(),
            self.delivered,
            self.rounds,
            self.timers,
            self.crashes,
            self.partitions
        )?;
        writeln!(
            f,
            "{} entries committed in {} reigns; requests: {} done, {} refused, {} unknown",
            self.committed, self.elections, self.ended[0], self.ended[1], self.ended[2]
        )?;
        match &self.breach {
            Some((at, breach)) => writeln!(f, "BREACH at {}: {breach}", Seconds(*at))?,
            None => writeln!(f, "no law was broken")?,
        }
        write!(f, "history {:016x}", self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_json_wants_it() {
        assert_eq!(json_string("a \"b\" \\ \n"), "\"a \\\"b\\\" \\\\ \\u000a\"");
    }

    #[test]
    fn a_summary_is_one_line_of_json() {
        let json = Summary::default().to_json();
        assert!(json.starts_with('{') && json.ends_with("\"breach\":null}") && !json.contains('\n'));
    }
}
