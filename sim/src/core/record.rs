//! What happened, kept for people: as lines of text, and as the matter of a diagram.
//!
//! Nothing is kept, and no text is made, unless somebody asked for it. Invariant: recording changes no run.

use std::fmt;

use super::action::What;
use super::knobs::Micros;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Record {
    /// A packet left, with this number.
    Sent {
        /// The number of the packet.
        number: u32,
        /// To which node, from 0.
        to: usize,
        /// The term it belongs to; 0 for none.
        term: u64,
        /// What it says.
        text: String,
    },
    /// A packet arrived.
    Received {
        /// The number of the packet.
        number: u32,
        /// From which node, from 0.
        from: usize,
    },
    /// A packet will not arrive, or did not.
    Lost {
        /// The number of the packet.
        number: u32,
        /// To which node, from 0.
        to: usize,
    },
    /// A write was asked for.
    Asked(String),
    /// An fsync has returned; the log on the disk ends here.
    Durable {
        /// The index of the last entry.
        last: u32,
    },
    /// A role, a term and a leader.
    Role {
        /// The role.
        role: &'static str,
        /// The term it belongs to; 0 for none.
        term: u64,
        /// Who leads, counted from 1, when known.
        leader: Option<u64>,
    },
    /// All up to here is committed at the node.
    Committed {
        /// The last committed index.
        index: u32,
    },
    /// A process began a life.
    Boot {
        /// The number of that life.
        boot: u32,
    },
    /// A process died.
    Died,
    /// A process stands still.
    Paused,
    /// A process goes on.
    Resumed,
    /// A node fell asleep or woke.
    Sleep {
        /// Whether it sleeps now.
        is_asleep: bool,
    },
    /// These links carry nothing: a bit for each (from, to).
    Cut {
        /// The links.
        links: u64,
    },
    /// These links carry again.
    Mend {
        /// The links.
        links: u64,
    },
    /// An action was carried out.
    Action(What),
    /// Something else.
    Note(String),
    /// All faults are over.
    Healed,
    /// A law is broken.
    Breach(String),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { number, to, text, .. } => write!(f, "send>{} #{number} {text}", to + 1),
            Self::Received { number, from } => write!(f, "recv<{} #{number}", from + 1),
            Self::Lost { number, to } => write!(f, "lost>{} #{number}", to + 1),
            Self::Asked(text) => write!(f, "write  {text}"),
            Self::Durable { last } => write!(f, "fsync  log to {last}"),
            Self::Role { role, term, leader } => {
                write!(
                    f,
                    "role   {role} t{term} leader {}",
                    leader.map_or("?".into(), |node| node.to_string())
                )
            }
            Self::Committed { index } => write!(f, "commit {index}"),
            Self::Boot { boot } => write!(f, "boot   life {boot}"),
            Self::Died => f.write_str("died"),
            Self::Paused => f.write_str("pause"),
            Self::Resumed => f.write_str("resume"),
            Self::Sleep { is_asleep } => f.write_str(if *is_asleep { "sleeps" } else { "wakes" }),
            Self::Cut { links } => write!(f, "cut    {}", Links(*links)),
            Self::Mend { links } => write!(f, "mend   {}", Links(*links)),
            Self::Action(what) => write!(f, "ACTION {what}"),
            Self::Note(text) => write!(f, "note   {text}"),
            Self::Healed => f.write_str("HEALED"),
            Self::Breach(text) => write!(f, "BREACH {text}"),
        }
    }
}

/// Links as pairs of nodes, counted from 1.
pub(crate) struct Links(pub(crate) u64);

impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bit in (0..64).filter(|bit| self.0 >> bit & 1 == 1) {
            write!(f, "{}>{} ", bit / 8 + 1, bit % 8 + 1)?;
        }
        Ok(())
    }
}

/// A record, when it happened and to whom; of all when `node` is none of the nodes.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Simulated microseconds.
    pub at: Micros,
    /// The node, counted from 0.
    pub node: usize,
    /// What happened.
    pub record: Record,
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.node < 8 { format!("n{}", self.node + 1) } else { "*".into() };
        write!(f, "{:>4}.{:06} {who:<3} {}", self.at / 1_000_000, self.at % 1_000_000, self.record)
    }
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Option<Vec<Noted>>);

impl Recorder {
    /// Keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Keeps everything.
    pub fn on() -> Self {
        Self(Some(Vec::new()))
    }

    pub(crate) fn note(&mut self, at: Micros, node: usize, record: impl FnOnce() -> Record) {
        if let Some(kept) = &mut self.0 {
            kept.push(Noted { at, node, record: record() });
        }
    }

    pub(crate) fn take(self) -> Vec<Noted> {
        self.0.unwrap_or_default()
    }
}
