//! Scopes: how much may happen in a search, and from where it begins.
//!
//! A scope bounds what would otherwise never end: time-outs, crashes, proposals and so on. Within these bounds a search
//! leaves nothing out, with one exception where messages keep their order: a connection that ends keeps all that is on it,
//! or loses all of it at once. That a part of it still arrives takes a message lost by itself.
//!
//! Named scopes look at one part of the protocol each, with the bounds that make it interesting and still finite.

use std::fmt;

/// What a scope counts. Each has a bound of at most 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Election time-outs of replicas that do not lead.
    Timeouts = 0,
    /// Time-outs of leaders: a heartbeat each, or the end of their patience.
    Heartbeats = 1,
    /// Crashes, each followed by a restart.
    Crashes = 2,
    /// Messages delivered once more than they were sent.
    Duplicates = 3,
    /// Entries proposed at leaders.
    Proposals = 4,
    /// Membership changes asked for at leaders.
    Changes = 5,
    /// Leadership transfers asked for at leaders.
    Transfers = 6,
    /// Reports that a connection was lost, one end at a time.
    Cuts = 7,
    /// Disks that lose the end of their log, and know that they did.
    Damages = 8,
    /// Messages lost, in a scope that keeps their order. In one that does not, a message that never arrives is lost.
    Losses = 9,
    /// Messages that overtake others of the same connection, in a scope that keeps their order.
    Overtakes = 10,
}

impl Budget {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Budget; 11] = [
        Budget::Timeouts,
        Budget::Heartbeats,
        Budget::Crashes,
        Budget::Duplicates,
        Budget::Proposals,
        Budget::Changes,
        Budget::Transfers,
        Budget::Cuts,
        Budget::Damages,
        Budget::Losses,
        Budget::Overtakes,
    ];

    /// What one of it is called, and what several are.
    fn names(self) -> [&'static str; 2] {
        match self {
            Budget::Timeouts => ["time-out", "time-outs"],
            Budget::Heartbeats => ["heartbeat", "heartbeats"],
            Budget::Crashes => ["crash", "crashes"],
            Budget::Duplicates => ["duplicate", "duplicates"],
            Budget::Proposals => ["proposal", "proposals"],
            Budget::Changes => ["change", "changes"],
            Budget::Transfers => ["transfer", "transfers"],
            Budget::Cuts => ["cut", "cuts"],
            Budget::Damages => ["damage", "damages"],
            Budget::Losses => ["loss", "losses"],
            Budget::Overtakes => ["overtake", "overtakes"],
        }
    }
}

/// So much of each budget: four bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Bounds(u64);

impl Bounds {
    /// The largest bound there is.
    pub const MAX: u8 = 15;

    /// The same bounds but for one; more than [`Bounds::MAX`] is that.
    #[must_use]
    pub fn with(self, budget: Budget, count: u8) -> Self {
        let shift = 4 * budget as u32;
        Self(self.0 & !(0xf << shift) | u64::from(count.min(Self::MAX)) << shift)
    }

    /// How much of that budget.
    pub fn of(self, budget: Budget) -> u8 {
        (self.0 >> (4 * budget as u32) & 0xf) as u8
    }

    /// One more of it spent; `None` when that is more than `self` allows.
    pub(super) fn spend(self, spent: Bounds, budget: Budget) -> Option<Bounds> {
        (spent.of(budget) < self.of(budget)).then(|| spent.with(budget, spent.of(budget) + 1))
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for budget in Budget::ALL.into_iter().filter(|budget| self.of(*budget) > 0) {
            let comma = if std::mem::take(&mut is_first) { "" } else { ", " };
            let [one, several] = budget.names();
            let count = self.of(budget);
            write!(f, "{comma}{count} {}", if count == 1 { one } else { several })?;
        }
        Ok(())
    }
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Three replicas that have never run.
    Fresh,
    /// Replica 1 has been elected in term 1, and all have heard that its first entry is committed.
    Led,
}

/// A change of membership that a search may ask for. Replica 4 is the one that waits to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replica 4 becomes a learner, and a voter by itself once it has caught up.
    Add,
    /// So it does, and takes the place of this voter.
    Replace(u8),
    /// This voter goes.
    Remove(u8),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Add => f.write_str("add 4"),
            Change::Replace(voter) => write!(f, "replace {voter} by 4"),
            Change::Remove(voter) => write!(f, "remove {voter}"),
        }
    }
}

/// How the hosts keep their contract with the core. All but the first are for tests of the checker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Conduct {
    /// As they should.
    #[default]
    Honest,
    /// A write is reported before it is done, so a crash may lose what was reported.
    ReportsEarly,
    /// A restart finds no vote where there was one.
    ForgetsVote,
    /// A crash loses the last entry of the log, reported or not.
    LosesLastEntry,
}

/// What a search covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub about: &'static str,
    /// Where it begins.
    pub start: Start,
    /// What may happen.
    pub bounds: Bounds,
    /// The changes that may be asked for.
    pub changes: Vec<Change>,
    /// Writes are durable and reported at once. Spares the orders of reports, where the scope is about something else.
    pub has_eager_disk: bool,
    /// Leaders send entries one by one; else all that there are at once.
    pub sends_singly: bool,
    /// What one replica sends to another arrives in the order in which it was sent, as on one connection; else in any.
    pub keeps_order: bool,
    /// Messages that can change nothing any more, at no replica and at no later time, count as gone.
    pub forgets_stale: bool,
    /// The search ends after so many distinct states, unless it has seen all.
    pub max_states: u64,
    /// Whether the hosts behave.
    pub conduct: Conduct,
}

impl Scope {
    /// How many replicas there are: three voters, and the one that may be added.
    pub(super) fn replicas(&self) -> usize {
        let is_larger = self.changes.iter().any(|change| !matches!(change, Change::Remove(_)));
        if is_larger { 4 } else { 3 }
    }

    fn new(name: &'static str, about: &'static str, start: Start, bounds: &[(Budget, u8)]) -> Self {
        let bounds =
            bounds.iter().fold(Bounds::default(), |made, (budget, count)| made.with(*budget, *count));
        Self {
            name,
            about,
            start,
            bounds,
            changes: Vec::new(),
            has_eager_disk: false,
            sends_singly: false,
            keeps_order: true,
            forgets_stale: true,
            max_states: 8_000_000,
            conduct: Conduct::Honest,
        }
    }

    /// All scopes with a name, in the order in which `sim check` runs them.
    pub fn all() -> Vec<Scope> {
        use Budget::*;
        use Start::*;
        let changing = |name, about, changes: &[Change]| Scope {
            changes: changes.to_vec(),
            has_eager_disk: true,
            ..Self::new(name, about, Led, &[(Changes, 1), (Timeouts, 1)])
        };
        let any_kind =
            [Change::Add, Change::Replace(3), Change::Replace(1), Change::Remove(3), Change::Remove(1)];
        vec![
            Self::new("election", "votes, over crashes", Fresh, &[(Timeouts, 2), (Crashes, 1)]),
            Scope {
                has_eager_disk: true,
                ..Self::new("rivals", "votes of three elections", Fresh, &[(Timeouts, 3)])
            },
            Scope {
                keeps_order: false,
                ..Self::new(
                    "reordering",
                    "an election in any order of messages",
                    Fresh,
                    &[(Timeouts, 1), (Crashes, 2), (Duplicates, 1)],
                )
            },
            Self::new(
                "replication",
                "entries over crashes and a new leader",
                Led,
                &[(Proposals, 1), (Timeouts, 1), (Crashes, 1)],
            ),
            Scope {
                has_eager_disk: true,
                sends_singly: true,
                ..Self::new(
                    "conflict",
                    "entries of three leaders, one by one (Raft figure 8)",
                    Led,
                    &[(Proposals, 1), (Timeouts, 2)],
                )
            },
            Self::new(
                "loss",
                "entries over a message lost and one that overtakes",
                Led,
                &[(Proposals, 2), (Heartbeats, 1), (Losses, 1), (Overtakes, 1)],
            ),
            Self::new(
                "reconnection",
                "entries over a lost connection",
                Led,
                &[(Proposals, 2), (Heartbeats, 1), (Cuts, 1)],
            ),
            Scope {
                has_eager_disk: true,
                sends_singly: true,
                ..Self::new(
                    "remnant",
                    "an entry that a new leader has not verified, over a lost connection",
                    Led,
                    &[(Proposals, 1), (Timeouts, 1), (Heartbeats, 1), (Cuts, 1)],
                )
            },
            changing("membership-add", "a fourth voter, and another leader meanwhile", &[Change::Add]),
            Scope {
                max_states: 4_000_000,
                ..changing(
                    "membership-replace",
                    "a voter replaced, perhaps the leader, and another leader meanwhile",
                    &[Change::Replace(3), Change::Replace(1)],
                )
            },
            Scope {
                bounds: Bounds::default().with(Changes, 1).with(Timeouts, 2).with(Crashes, 1),
                ..changing(
                    "membership-remove",
                    "a voter removed, perhaps the leader, over crashes and two new leaders",
                    &[Change::Remove(3), Change::Remove(1)],
                )
            },
            Scope {
                bounds: Bounds::default().with(Changes, 1).with(Crashes, 2),
                ..changing("membership-crash", "one change of any kind, over crashes", &any_kind)
            },
            Scope {
                bounds: Bounds::default().with(Changes, 2),
                ..changing("membership-twice", "two changes of any kind, the second at any time", &any_kind)
            },
            Scope {
                bounds: Bounds::default().with(Changes, 2).with(Timeouts, 1).with(Crashes, 1),
                ..changing(
                    "membership-again",
                    "a second change while a first is under way, and another leader",
                    &[Change::Remove(3), Change::Remove(1)],
                )
            },
            Self::new(
                "transfer",
                "leadership handed over, over a crash and a time-out",
                Led,
                &[(Transfers, 1), (Timeouts, 1), (Crashes, 1)],
            ),
            Self::new(
                "doubt",
                "a disk that loses the end of its log, over a crash and a new leader",
                Led,
                &[(Damages, 1), (Proposals, 1), (Timeouts, 1), (Crashes, 1)],
            ),
        ]
    }

    /// The scopes with that name, or whose names begin with it and a dash.
    pub fn named(name: &str) -> Vec<Scope> {
        let is_meant = |scope: &Scope| {
            scope.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        Self::all().into_iter().filter(is_meant).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_up_to_its_bound_and_no_further() {
        let bounds = Bounds::default().with(Budget::Crashes, 2).with(Budget::Damages, 15);
        let mut spent = Bounds::default();
        for _ in 0..2 {
            spent = bounds.spend(spent, Budget::Crashes).expect("there is some left");
        }
        assert_eq!(bounds.spend(spent, Budget::Crashes), None);
        assert_eq!(bounds.spend(spent, Budget::Timeouts), None);
        assert_eq!((spent.of(Budget::Crashes), spent.of(Budget::Damages)), (2, 0));
        assert_eq!(bounds.with(Budget::Losses, 1).to_string(), "2 crashes, 15 damages, 1 loss");
    }
}
