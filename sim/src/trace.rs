//! What happened, as text for people and as one hash for machines.
//!
//! Every event goes into the hash, whether or not anybody reads the text. Invariant: two runs with equal hashes have
//! done the same.

use std::fmt::Write as _;

use raft_core::{AppendOutcome, GroupId, Message};
use raft_net::frame::{Content, Frame};

use crate::plan::Micros;
use crate::rng::{fold, hash_bytes};

/// What the columns mean.
pub const LEGEND: &str = "\
time        simulated seconds                              node   whose event it is; * for all
event       send>N / recv<N  a frame to or from node N     disk   a round is durable: its number and requests
            tick   a deadline that had work                ask / answer   a client's request and its end
            boot, kill, power, pause, resume, stall        conn+N / conn-N   a connection to N is there or gone
            cut / mend   a partition begins or ends        heal   all faults end; from here on it must get well
            lead   the node leads a term                   BREACH a law is broken
group       number.incarnation; 0.0 is the root group      detail terms as t3, entries as index@term
";

/// See the module's documentation.
pub(crate) struct Trace {
    hash: u64,
    sink: Option<Box<dyn FnMut(String)>>,
}

impl Trace {
    /// A trace whose lines go to `sink`, if there is one.
    pub(crate) fn new(sink: Option<Box<dyn FnMut(String)>>) -> Self {
        Self { hash: 0, sink }
    }

    /// The hash of all events so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Something happened. `fingerprint` is what of it the hash depends on, beside time, node and name.
    pub(crate) fn event(
        &mut self,
        now: Micros,
        node: u64,
        name: &str,
        group: Option<GroupId>,
        fingerprint: u64,
        detail: impl FnOnce() -> String,
    ) {
        let head = hash_bytes(fold(now, node), name.as_bytes());
        self.hash = fold(fold(self.hash, head), fingerprint);
        if let Some(sink) = &mut self.sink {
            let who = if node == 0 { "*".to_string() } else { format!("n{node}") };
            let group = group.map(|group| group.to_string()).unwrap_or_default();
            let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
            sink(format!("{seconds:>4}.{micros:06} {who:<3} {name:<8} {group:<5} {}", detail()));
        }
    }
}

/// A number that depends on all that a frame says.
pub(crate) fn fingerprint(frame: &Frame) -> u64 {
    let of = |numbers: &[u64]| numbers.iter().fold(frame.group.as_u64(), |hash, number| fold(hash, *number));
    match &frame.content {
        Content::Ping => of(&[1]),
        Content::Submit { request, command } => hash_bytes(of(&[2, request.sequence]), command),
        Content::SubmitReply { request, taken } => of(&[3, request.sequence, *taken as u64]),
        Content::Leads { term } => of(&[4, term.as_u64()]),
        Content::Raft { message, entries } => {
            let term = message.term().as_u64();
            let message = match message {
                Message::PreVote(m) => of(&[5, term, m.last.term.as_u64(), m.last.index.as_u64(), m.attempt]),
                Message::PreVoteReply(m) => of(&[6, term, m.attempt, u64::from(m.granted)]),
                Message::Vote(m) => of(&[7, term, m.last.term.as_u64(), m.last.index.as_u64()]),
                Message::VoteReply(m) => of(&[8, term, u64::from(m.granted)]),
                Message::Append(m) => of(&[
                    9,
                    term,
                    m.entries.before().term.as_u64(),
                    m.entries.before().index.as_u64(),
                    m.entries.last_index().as_u64(),
                    m.commit.as_u64(),
                    m.round,
                ]),
                Message::AppendReply(m) => match m.outcome {
                    AppendOutcome::Matched { matched } => of(&[10, term, m.round, matched.as_u64()]),
                    AppendOutcome::Installing => of(&[15, term, m.round]),
                    AppendOutcome::Conflict { prev, hint } => {
                        of(&[11, term, m.round, prev.index.as_u64(), hint.index.as_u64()])
                    }
                },
                Message::ReadIndex(m) => of(&[12, term, m.read]),
                Message::ReadIndexReply(m) => of(&[13, term, m.read, m.index.map_or(0, |i| i.as_u64() + 1)]),
                rare => fold(14, hash_bytes(term, format!("{rare:?}").as_bytes())),
            };
            entries.iter().fold(message, |hash, entry| {
                let id = fold(entry.id.term.as_u64(), entry.id.index.as_u64());
                hash_bytes(fold(hash, id), &entry.payload)
            })
        }
    }
}

/// A frame in a few words.
pub(crate) fn describe(frame: &Frame) -> String {
    let mut out = String::new();
    let written = match &frame.content {
        Content::Ping => write!(out, "ping"),
        Content::Submit { request, command } => {
            write!(out, "submit #{} {} bytes", request.sequence, command.len())
        }
        Content::SubmitReply { request, taken } => {
            write!(out, "submit-reply #{} {taken:?}", request.sequence)
        }
        Content::Leads { term } => write!(out, "leads t{term}"),
        Content::Raft { message, entries } => {
            let term = message.term();
            match message {
                Message::PreVote(m) => write!(out, "pre-vote? t{term} last {} #{}", m.last, m.attempt),
                Message::PreVoteReply(m) => {
                    write!(out, "pre-vote {} t{term} #{}", if m.granted { "yes" } else { "no" }, m.attempt)
                }
                Message::Vote(m) => write!(out, "vote? t{term} last {}", m.last),
                Message::VoteReply(m) => write!(out, "vote {} t{term}", if m.granted { "yes" } else { "no" }),
                Message::Append(m) => {
                    let n = entries.len();
                    write!(
                        out,
                        "append t{term} {}..{} ({n}) commit {} r{}",
                        m.entries.before(),
                        m.entries.last_index(),
                        m.commit,
                        m.round
                    )
                }
                Message::AppendReply(m) => match m.outcome {
                    AppendOutcome::Matched { matched } => {
                        write!(out, "matched t{term} {matched} r{}", m.round)
                    }
                    AppendOutcome::Installing => write!(out, "installing t{term} r{}", m.round),
                    AppendOutcome::Conflict { prev, hint } => {
                        write!(out, "conflict t{term} at {prev} hint {hint} r{}", m.round)
                    }
                },
                Message::ReadIndex(m) => write!(out, "read? t{term} #{}", m.read),
                Message::ReadIndexReply(m) => write!(out, "read t{term} #{} {:?}", m.read, m.index),
                rare => write!(out, "{rare:?}"),
            }
        }
    };
    // Writing to a string does not fail.
    let _ = written;
    out
}
