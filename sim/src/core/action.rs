//! What is done to a world from outside: every fault and every request of a client, each with its moment, as a line of
//! text that can be read, edited and replayed.
//!
//! Not here: small faults of single messages and writes, which the knobs give chances and the seed decides. Invariant:
//! writing an action and reading it back gives the same action.

use std::fmt;
use std::str::FromStr;

use super::knobs::Micros;

/// Whom something concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The node of this number, from 0, modulo how many there are.
    Node(u8),
    /// Whoever leads the latest term; node 0 when nobody does.
    Leader,
    /// The node so many places after that one.
    Other(u8),
    /// Whoever still leads a term that is over; who leads the latest when nobody does.
    Deposed,
}

/// What is left of writes that were not reported durable when a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    None,
    /// Some, in order, perhaps with a part of the last.
    Prefix,
    /// All.
    All,
}

/// Between whom nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The victim is cut from all.
    Isolate,
    /// The nodes with a bit in this set are cut from those without.
    Split(u8),
    /// All are cut from each other, but for the victim.
    Bridge,
    /// The victim hears nobody, but is heard.
    Deaf,
    /// The victim hears all, but is not heard.
    Mute,
    /// The victim and this node are cut from each other.
    Pair(u8),
    /// The victim is not heard by this node.
    OneWay(u8),
}

/// See the module's documentation. Spans of time are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A client writes new values to a register, `count` at once.
    Write {
        /// Through whom.
        to: Victim,
        /// Which register.
        key: u8,
        /// How many.
        count: u8,
    },
    /// A client reads a register.
    Read {
        /// Through whom.
        to: Victim,
        /// Which register.
        key: u8,
    },
    /// A process dies after its core has been taken so many more effects from, and comes back after a while.
    Crash {
        /// Whom it concerns.
        victim: Victim,
        /// How many effects later.
        after: u8,
        /// What is left of writes that were not reported.
        survival: Survival,
        /// How long the process stays away.
        down: u32,
    },
    /// A process dies and comes back with an empty disk. Refused when too many disks have failed.
    Wipe {
        /// Whom it concerns.
        victim: Victim,
        /// How long the process stays away.
        down: u32,
    },
    /// A process dies and comes back without the last so many entries, which it knows that it had. Refused when too
    /// many disks have failed.
    Damage {
        /// Whom it concerns.
        victim: Victim,
        /// How many entries.
        lose: u8,
        /// How long the process stays away.
        down: u32,
    },
    /// A process stands still.
    Pause {
        /// Whom it concerns.
        victim: Victim,
        /// For how long.
        lasts: u32,
    },
    /// Nothing passes between some.
    Cut {
        /// Whom it concerns.
        victim: Victim,
        /// Between whom.
        shape: Shape,
        /// For how long.
        lasts: u32,
    },
    /// A disk does nothing.
    Stall {
        /// Whom it concerns.
        victim: Victim,
        /// For how long.
        lasts: u32,
    },
    /// A disk takes no entries.
    Full {
        /// Whom it concerns.
        victim: Victim,
        /// For how long.
        lasts: u32,
    },
    /// A node is added as a promotable learner.
    Add {
        /// Which node, from 0.
        node: u8,
    },
    /// A node is added as a promotable learner in place of a voter.
    Replace {
        /// Which node, from 0.
        node: u8,
        /// Whom it concerns.
        victim: Victim,
    },
    /// A voter or a learner is removed.
    Remove {
        /// Whom it concerns.
        victim: Victim,
    },
    /// The administrator has a look, and replaces disks that were lost.
    Repair,
    /// The leader hands over, to this node or to whom it likes.
    Transfer {
        /// Through whom.
        to: Option<u8>,
    },
    /// All faults end for a while, and progress is demanded.
    Peace,
    /// A node compacts its log.
    Compact {
        /// Whom it concerns.
        victim: Victim,
    },
    /// A node is told that it has lost its connection to another.
    Suspect {
        /// Whom it concerns.
        victim: Victim,
        /// Which node, from 0.
        node: u8,
    },
}

/// Something that is done to the world, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Simulated microseconds since the beginning.
    pub at: Micros,
    /// What.
    pub what: What,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "n{}", node + 1),
            Self::Leader => f.write_str("leader"),
            Self::Other(places) => write!(f, "leader+{places}"),
            Self::Deposed => f.write_str("deposed"),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isolate => f.write_str("isolate"),
            Self::Split(set) => write!(f, "split:{set}"),
            Self::Bridge => f.write_str("bridge"),
            Self::Deaf => f.write_str("deaf"),
            Self::Mute => f.write_str("mute"),
            Self::Pair(node) => write!(f, "pair:{}", node + 1),
            Self::OneWay(node) => write!(f, "oneway:{}", node + 1),
        }
    }
}

impl fmt::Display for Survival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Prefix => "prefix",
            Self::All => "all",
        })
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { to, key, count } => write!(f, "write {to} key={key} count={count}"),
            Self::Read { to, key } => write!(f, "read {to} key={key}"),
            Self::Crash { victim, after, survival, down } => {
                write!(f, "crash {victim} after={after} keeps={survival} down={down}")
            }
            Self::Wipe { victim, down } => write!(f, "wipe {victim} down={down}"),
            Self::Damage { victim, lose, down } => write!(f, "damage {victim} lose={lose} down={down}"),
            Self::Pause { victim, lasts } => write!(f, "pause {victim} lasts={lasts}"),
            Self::Cut { victim, shape, lasts } => write!(f, "cut {victim} shape={shape} lasts={lasts}"),
            Self::Stall { victim, lasts } => write!(f, "stall {victim} lasts={lasts}"),
            Self::Full { victim, lasts } => write!(f, "full {victim} lasts={lasts}"),
            Self::Add { node } => write!(f, "add n{}", node + 1),
            Self::Replace { node, victim } => write!(f, "replace {victim} by={}", node + 1),
            Self::Remove { victim } => write!(f, "remove {victim}"),
            Self::Repair => f.write_str("repair"),
            Self::Peace => f.write_str("peace"),
            Self::Transfer { to: Some(to) } => write!(f, "transfer n{}", to + 1),
            Self::Transfer { to: None } => f.write_str("transfer"),
            Self::Compact { victim } => write!(f, "compact {victim}"),
            Self::Suspect { victim, node } => write!(f, "suspect {victim} of={}", node + 1),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {}", self.at, self.what)
    }
}

/// Why a line is no action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAction(String);

impl fmt::Display for NoAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAction {}

/// The words of a line, by position and by name.
struct Words<'a> {
    line: &'a str,
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let (mut plain, mut named) = (Vec::new(), Vec::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => named.push(pair),
                None => plain.push(word),
            }
        }
        Self { line, plain, named }
    }

    fn refuse<T>(&self, why: &str) -> Result<T, NoAction> {
        Err(NoAction(format!("{why} in {:?}", self.line)))
    }

    fn word(&self, at: usize) -> Result<&'a str, NoAction> {
        self.plain.get(at).copied().map_or_else(|| self.refuse("a word is missing"), Ok)
    }

    fn text(&self, name: &str) -> Result<&'a str, NoAction> {
        let found = self.named.iter().find(|(known, _)| *known == name);
        found.map_or_else(|| self.refuse(&format!("{name}=... is missing")), |(_, value)| Ok(*value))
    }

    fn number<T: FromStr>(&self, text: &str) -> Result<T, NoAction> {
        text.parse().or_else(|_| self.refuse(&format!("{text:?} is no number of the right size")))
    }

    fn named<T: FromStr>(&self, name: &str) -> Result<T, NoAction> {
        self.number(self.text(name)?)
    }

    /// A node as people count, from 1.
    fn node(&self, text: &str) -> Result<u8, NoAction> {
        let number: u8 = self.number(text.strip_prefix('n').unwrap_or(text))?;
        if number == 0 { self.refuse("nodes are counted from 1") } else { Ok(number - 1) }
    }

    fn victim(&self, at: usize) -> Result<Victim, NoAction> {
        let word = self.word(at)?;
        if word == "deposed" {
            return Ok(Victim::Deposed);
        }
        Ok(match word.strip_prefix("leader") {
            Some("") => Victim::Leader,
            Some(places) => Victim::Other(self.number(places.strip_prefix('+').unwrap_or(places))?),
            None => Victim::Node(self.node(word)?),
        })
    }

    fn survival(&self) -> Result<Survival, NoAction> {
        match self.text("keeps")? {
            "none" => Ok(Survival::None),
            "prefix" => Ok(Survival::Prefix),
            "all" => Ok(Survival::All),
            _ => self.refuse("keeps= wants none, prefix or all"),
        }
    }

    fn shape(&self) -> Result<Shape, NoAction> {
        let text = self.text("shape")?;
        Ok(match text.split_once(':') {
            None if text == "isolate" => Shape::Isolate,
            None if text == "bridge" => Shape::Bridge,
            None if text == "deaf" => Shape::Deaf,
            None if text == "mute" => Shape::Mute,
            Some(("split", set)) => Shape::Split(self.number(set)?),
            Some(("pair", node)) => Shape::Pair(self.node(node)?),
            Some(("oneway", node)) => Shape::OneWay(self.node(node)?),
            _ => return self.refuse("there is no such shape"),
        })
    }
}

impl FromStr for Action {
    type Err = NoAction;

    fn from_str(line: &str) -> Result<Self, NoAction> {
        let w = Words::of(line);
        if w.word(0)? != "at" {
            return w.refuse("an action begins with \"at\"");
        }
        let at = w.number(w.word(1)?)?;
        let what = match w.word(2)? {
            "write" => What::Write { to: w.victim(3)?, key: w.named("key")?, count: w.named("count")? },
            "read" => What::Read { to: w.victim(3)?, key: w.named("key")? },
            "crash" => What::Crash {
                victim: w.victim(3)?,
                after: w.named("after")?,
                survival: w.survival()?,
                down: w.named("down")?,
            },
            "wipe" => What::Wipe { victim: w.victim(3)?, down: w.named("down")? },
            "damage" => What::Damage { victim: w.victim(3)?, lose: w.named("lose")?, down: w.named("down")? },
            "pause" => What::Pause { victim: w.victim(3)?, lasts: w.named("lasts")? },
            "cut" => What::Cut { victim: w.victim(3)?, shape: w.shape()?, lasts: w.named("lasts")? },
            "stall" => What::Stall { victim: w.victim(3)?, lasts: w.named("lasts")? },
            "full" => What::Full { victim: w.victim(3)?, lasts: w.named("lasts")? },
            "add" => What::Add { node: w.node(w.word(3)?)? },
            "replace" => What::Replace { victim: w.victim(3)?, node: w.node(w.text("by")?)? },
            "remove" => What::Remove { victim: w.victim(3)? },
            "repair" => What::Repair,
            "peace" => What::Peace,
            "transfer" => What::Transfer { to: w.plain.get(3).map(|node| w.node(node)).transpose()? },
            "compact" => What::Compact { victim: w.victim(3)? },
            "suspect" => What::Suspect { victim: w.victim(3)?, node: w.node(w.text("of")?)? },
            _ => return w.refuse("there is no such action"),
        };
        Ok(Self { at, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_action_is_read_back_as_it_was_written() {
        let victim = Victim::Other(2);
        let all = [
            What::Write { to: Victim::Leader, key: 3, count: 2 },
            What::Read { to: Victim::Node(4), key: 0 },
            What::Read { to: Victim::Deposed, key: 0 },
            What::Crash { victim, after: 3, survival: Survival::Prefix, down: 77 },
            What::Wipe { victim, down: 5 },
            What::Damage { victim, lose: 2, down: 5 },
            What::Pause { victim, lasts: 9 },
            What::Cut { victim, shape: Shape::Split(5), lasts: 1 },
            What::Cut { victim, shape: Shape::OneWay(1), lasts: 1 },
            What::Stall { victim, lasts: 9 },
            What::Full { victim, lasts: 9 },
            What::Add { node: 3 },
            What::Replace { node: 3, victim },
            What::Remove { victim },
            What::Repair,
            What::Peace,
            What::Transfer { to: None },
            What::Transfer { to: Some(1) },
            What::Compact { victim },
            What::Suspect { victim, node: 1 },
        ];
        for what in all {
            let action = Action { at: 12, what };
            assert_eq!(action.to_string().parse(), Ok(action), "{action}");
        }
    }

    #[test]
    fn what_is_no_action_is_refused_with_the_line() {
        for line in ["", "at x repair", "at 1 fly", "at 1 crash n1 after=0 keeps=some down=1", "at 1 add n0"]
        {
            let error = line.parse::<Action>().unwrap_err().to_string();
            assert!(error.contains(&format!("{line:?}")), "{error}");
        }
    }
}
