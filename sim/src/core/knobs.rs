//! The numbers of a world, drawn from its seed: sizes, times, windows, and how often small faults strike.
//!
//! Each is a plain number with a name, so that a script can state it and a shrunk script can be edited by hand. Swarm
//! testing (Groce et al. 2012): each class of faults is absent from half of the seeds. Invariant: the numbers depend on
//! the seed alone, and make valid options of the core.

use crate::rng::Rng;

/// Simulated microseconds.
pub type Micros = u64;

pub(crate) const MS: Micros = 1_000;

macro_rules! knobs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the module's documentation. Durations are in microseconds, chances in permille.
        #[derive(Clone, Debug, PartialEq, Eq, Default)]
        pub struct Knobs {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Knobs {
            /// All names and their numbers.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Sets the number of that name. `false` when there is none.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

knobs! {
    /// How many processes there are, at most 8.
    nodes,
    /// The first so many are the voters of the genesis.
    voters,
    /// Whether the last node is a standing learner: 0 or 1.
    standing,
    /// As in the core's options.
    election_timeout,
    /// As in the core's options.
    heartbeat_interval,
    /// As in the core's options.
    suspicion_spread,
    /// As in the core's options.
    max_inflight_appends,
    /// As in the core's options.
    max_inflight_bytes,
    /// As in the core's options.
    max_append_bytes,
    /// As in the core's options.
    max_uncommitted_entries,
    /// As in the core's options.
    max_pending_reads,
    /// As in the core's options.
    promotion_lag,
    /// How long each entry is taken to be.
    entry_bytes,
    /// The least time a message takes.
    latency,
    /// And how much longer it may take: messages overtake each other within it.
    spread,
    /// Whether the messages from one node to another keep their order, as on one connection: 0 or 1.
    ordered,
    /// How many in a thousand messages take up to a hundred times as long.
    tail,
    /// How many in a thousand messages are lost.
    drop,
    /// How many in a thousand messages come twice.
    duplicate,
    /// How many in a thousand messages come again much later.
    replay,
    /// How much later, at most.
    replay_after,
    /// The least time a write takes.
    disk_latency,
    /// And how much longer it may take.
    disk_spread,
    /// How many in a thousand writes take up to a hundred times as long.
    disk_tail,
    /// How many in a thousand finished writes are reported only with the next.
    disk_silence,
    /// A node compacts its log when so many entries are applied since it last did; 0 is never.
    compact_every,
    /// How long it takes to move a snapshot.
    snapshot_latency,
    /// How many in a thousand snapshots do not arrive.
    snapshot_failure,
    /// How many in a thousand commits are noted on the disk as committed.
    commit_note,
    /// How often nodes tell each other that they live; 0 is never, and then no group sleeps.
    ping_interval,
    /// A node that was not heard for so long is held to be silent.
    silent_after,
    /// Whether lost connections are reported to the core: 0 or 1.
    reports_loss,
    /// How much faster or slower a clock may run, in permille.
    drift,
    /// The mean time between two requests of clients.
    request_interval,
    /// How many in a thousand requests are reads.
    reads,
    /// How many registers there are.
    keys,
    /// Whether more logs may be in doubt than a minority: then only safety is demanded. 0 or 1.
    reckless,
    /// How many in a thousand compactions go as far as they can, whoever may need the log.
    greedy,
    /// The mean time between two faults.
    fault_interval,
    /// How many in a thousand chapters end in peace for a while, in which progress is demanded.
    peace,
    /// Whether members must agree in peace before anybody asks for anything: 0 or 1.
    quiet,
    /// Whether a cut outlives all other faults for a while: 0 or 1.
    lasting,
    /// Bits of the classes of faults that there are; see `Class`.
    classes,
}

/// The classes of faults that are explicit actions, and the bit of each in [`Knobs::classes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Processes die.
    Crash,
    /// Links are cut.
    Cut,
    /// Processes stand still.
    Pause,
    /// Disks stall.
    Stall,
    /// Disks are full.
    Full,
    /// Disks are replaced by empty ones.
    Wipe,
    /// The end of a log becomes unreadable.
    Damage,
    /// Voters and learners are added.
    Add,
    /// Voters are removed.
    Remove,
    /// Voters are replaced.
    Replace,
    /// Leadership is moved.
    Transfer,
    /// Connections are said to be lost that are not.
    Suspect,
    /// Nothing is asked for a while.
    Lull,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 13] = [
        Class::Crash,
        Class::Cut,
        Class::Pause,
        Class::Stall,
        Class::Full,
        Class::Wipe,
        Class::Damage,
        Class::Add,
        Class::Remove,
        Class::Replace,
        Class::Transfer,
        Class::Suspect,
        Class::Lull,
    ];

    /// Its bit in [`Knobs::classes`].
    pub fn bit(self) -> u64 {
        1 << self as u64
    }
}

impl Knobs {
    /// Whether a class of faults is there.
    pub fn has(&self, class: Class) -> bool {
        self.classes & class.bit() != 0
    }

    /// Why there can be no such world, if so. What is drawn is never refused.
    pub fn refuse(&self) -> Option<String> {
        let within = |name: &str, value: u64, low: u64, high: u64| {
            let is_within = (low..=high).contains(&value);
            (!is_within).then(|| format!("{name} is {value}, and must be from {low} to {high}"))
        };
        within("nodes", self.nodes, 1, 8)
            .or_else(|| within("standing", self.standing, 0, 1.min(self.nodes - 1)))
            .or_else(|| within("voters", self.voters, 1, 7.min(self.nodes - self.standing)))
            .or_else(|| within("election_timeout", self.election_timeout, 4, 1 << 30))
            .or_else(|| {
                within("heartbeat_interval", self.heartbeat_interval, 1, (self.election_timeout - 1) / 3)
            })
            .or_else(|| within("drift", self.drift, 0, 500))
            .or_else(|| within("keys", self.keys, 1, 255))
            .or_else(|| within("entry_bytes", self.entry_bytes, 1, 1 << 20))
            .or_else(|| within("max_inflight_appends", self.max_inflight_appends, 1, 1 << 16))
            .or_else(|| within("max_inflight_bytes", self.max_inflight_bytes, 1, 1 << 40))
            .or_else(|| within("max_append_bytes", self.max_append_bytes, 1, 1 << 40))
            .or_else(|| within("max_uncommitted_entries", self.max_uncommitted_entries, 1, 1 << 20))
            .or_else(|| within("max_pending_reads", self.max_pending_reads, 1, 1 << 20))
            .or_else(|| within("suspicion_spread", self.suspicion_spread, 1, 1 << 30))
            .or_else(|| within("request_interval", self.request_interval, 1, 1 << 40))
            .or_else(|| within("fault_interval", self.fault_interval, 1, 1 << 40))
            .or_else(|| within("latency", self.latency, 0, 1 << 32))
            .or_else(|| within("spread", self.spread, 0, 1 << 31))
            .or_else(|| within("disk_latency", self.disk_latency, 0, 1 << 32))
            .or_else(|| within("disk_spread", self.disk_spread, 0, 1 << 31))
    }

    /// Draws a world.
    pub fn draw(rng: &mut Rng) -> Self {
        let voters = match rng.below(16) {
            0 => 1,
            1 => 2,
            2..=9 => 3,
            10..=11 => 4,
            _ => 5,
        };
        let extra = if rng.chance(500) { rng.between(1, 3) } else { 0 };
        let standing = u64::from(rng.chance(200));
        let nodes = (voters + extra + standing).min(8);
        let election_timeout = rng.between(100, 400) * MS;
        let half = |rng: &mut Rng, low, high| if rng.chance(500) { rng.between(low, high) } else { 0 };
        let entry_bytes = rng.between(10, 200);
        let max_append_bytes = match rng.below(3) {
            0 => 1,
            1 => entry_bytes * rng.between(1, 6),
            _ => 1 << 20,
        };
        let is_slow = rng.chance(250);
        let disk_latency = if is_slow { rng.between(2_000, 8_000) } else { rng.between(50, 1_500) };
        let mut classes = 0;
        for class in Class::ALL {
            classes |= if rng.chance(500) { class.bit() } else { 0 };
        }
        // Every run has some of these.
        classes |= Class::Crash.bit() | Class::Cut.bit();
        let ordered = u64::from(rng.chance(500));
        let ping_interval = half(rng, election_timeout / 16, election_timeout / 4);
        Self {
            nodes,
            voters: voters.min(nodes - standing),
            standing,
            election_timeout,
            heartbeat_interval: election_timeout / rng.between(4, 10),
            suspicion_spread: rng.between(1, 100) * MS,
            // A wide window on a link without order sends everything many times.
            max_inflight_appends: match rng.below(2) {
                0 => rng.between(1, 4),
                _ => 4 + 60 * ordered,
            },
            max_inflight_bytes: if rng.chance(250) { entry_bytes * rng.between(1, 8) } else { 8 << 20 },
            max_append_bytes,
            max_uncommitted_entries: if rng.chance(250) { rng.between(1, 16) } else { rng.between(32, 512) },
            max_pending_reads: if rng.chance(250) { rng.between(1, 4) } else { 4_096 },
            promotion_lag: if rng.chance(500) { rng.between(0, 4) } else { 64 },
            entry_bytes,
            latency: rng.between(50, 2_000),
            spread: if rng.chance(250) { 0 } else { rng.between(50, 5_000) },
            ordered,
            tail: half(rng, 1, 50),
            drop: half(rng, 1, 150),
            duplicate: half(rng, 1, 100),
            replay: half(rng, 1, 50),
            replay_after: if rng.chance(500) { rng.between(1, 300) } else { rng.between(300, 5_000) } * MS,
            disk_latency,
            disk_spread: rng.between(50, 4_000),
            disk_tail: half(rng, 1, 40),
            disk_silence: half(rng, 1, 400),
            compact_every: half(rng, 1, 60),
            snapshot_latency: rng.between(1, 100) * MS,
            snapshot_failure: half(rng, 50, 500),
            commit_note: half(rng, 1, 500),
            ping_interval,
            silent_after: ping_interval * rng.between(3, 6),
            reports_loss: u64::from(rng.chance(500)),
            drift: half(rng, 1, 100),
            request_interval: rng.between(1, 12) * MS,
            reads: if rng.chance(250) { 0 } else { rng.between(50, 600) },
            keys: rng.between(1, 6),
            reckless: u64::from(rng.chance(200)),
            greedy: half(rng, 1, 500),
            fault_interval: rng.between(30, 800) * MS,
            peace: rng.between(0, 1_000),
            quiet: u64::from(rng.chance(500)),
            lasting: u64::from(rng.chance(500)),
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn names_and_numbers_go_both_ways() {
        let drawn = Knobs::draw(&mut Rng::new(4, Stream::Plan));
        let mut read = Knobs::default();
        for (name, value) in drawn.list() {
            assert!(read.set(name, value));
        }
        assert_eq!(read, drawn);
        assert!(!read.set("no_such_knob", 1));
    }

    #[test]
    fn worlds_are_within_bounds_and_each_class_is_absent_from_about_half() {
        let mut with = [0; Class::ALL.len()];
        for seed in 0..400 {
            let knobs = Knobs::draw(&mut Rng::new(seed, Stream::Plan));
            assert!((1..=8).contains(&knobs.nodes) && knobs.voters >= 1 && knobs.voters <= knobs.nodes);
            assert_eq!(knobs.refuse(), None);
            assert!(knobs.heartbeat_interval * 3 < knobs.election_timeout);
            for (at, class) in Class::ALL.into_iter().enumerate() {
                with[at] += u32::from(knobs.has(class));
            }
        }
        for (at, class) in Class::ALL.into_iter().enumerate() {
            let is_forced = matches!(class, Class::Crash | Class::Cut);
            assert!(is_forced || (130..270).contains(&with[at]), "{class:?} is in {} of 400", with[at]);
        }
    }
}
