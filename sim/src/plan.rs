//! What a seed is made of: sizes, times, and every fault with its moment, drawn before anything runs.
//!
//! Swarm testing (Groce et al. 2012): each class of faults is absent from half of the seeds, so that the classes that
//! are there meet no others that would hide what they do. Rates and sizes are drawn anew for each seed. Every seed has
//! at least two crashes and a partition. Invariant: a plan depends on seed and number of nodes alone.

use std::time::Duration;

use raft_core::GroupId;

use crate::disk::Survival;
use crate::rng::{Rng, Stream};

/// Simulated microseconds.
pub(crate) type Micros = u64;

const MS: Micros = 1_000;
const SECOND: Micros = 1_000_000;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// SIGKILL: the page cache stays, and the kernel closes its connections.
    Kill,
    /// The power goes: nobody hears of it, and what was not synced is up to the lot.
    PowerCut(Survival),
}

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The host of this number, from 0, modulo how many there are.
    Host(u64),
    /// The leader of the group of this number, from 0; some host when it has none.
    Leader(u64),
}

/// Between whom nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One host is cut from all others.
    Isolate,
    /// The hosts with a bit in this set are cut from those without.
    Split(u64),
    /// All hosts but one are cut from each other.
    Bridge,
    /// The victim hears nobody, but is heard.
    Deaf,
    /// The victim hears all, but is not heard.
    Mute,
    /// One pair is cut, chosen by this number.
    Pair(u64),
    /// One direction of one pair is cut, chosen by this number.
    OneWay(u64),
}

/// How a cut shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Frames vanish, until somebody has heard nothing for a second.
    Silent,
    /// Connections are reset at once, and new ones are refused.
    Reset,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process dies and comes back. Its first recovery dies, too, after so many requests to the disk.
    Crash { victim: Victim, death: Death, down: Micros, dies_again: Option<u64> },
    /// All power goes at once.
    Blackout { survival: Survival, down: Micros },
    /// A partition, which heals.
    Partition { victim: Victim, shape: Shape, manner: Manner, lasts: Micros },
    /// One connection, chosen by this number, is reset.
    Break(u64),
    /// A disk does nothing for a while.
    Stall { victim: Victim, lasts: Micros },
    /// A process does nothing for a while (SIGSTOP).
    Pause { victim: Victim, lasts: Micros },
}

/// A fault and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) at: Micros,
    pub(crate) fault: Fault,
}

/// A group and the hosts, by number from 0, that are its voters; the first campaigns first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupPlan {
    pub(crate) group: GroupId,
    pub(crate) members: Vec<usize>,
}

/// How the network behaves between faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkPlan {
    pub(crate) latency: Micros,
    pub(crate) spread: Micros,
    /// Whether latencies are rarely many times longer.
    pub(crate) has_tail: bool,
    /// Room in the queue to a peer, in frames and bytes; `None` is no bound.
    pub(crate) window: Option<(usize, usize)>,
    /// How many in a thousand frames of a broken connection arrive late.
    pub(crate) stragglers: u64,
}

/// How disks behave between faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DiskPlan {
    pub(crate) latency: Micros,
    pub(crate) spread: Micros,
    pub(crate) has_tail: bool,
}

/// What clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadPlan {
    /// The mean time between two requests.
    pub(crate) interval: Micros,
    /// How many in a thousand operations are too large for a segment.
    pub(crate) large: u64,
    /// How long a client waits at most.
    pub(crate) patience: Micros,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) raft: raft_core::Options,
    pub(crate) wal: raft_wal::Options,
    pub(crate) network: NetworkPlan,
    pub(crate) disk: DiskPlan,
    pub(crate) load: LoadPlan,
    /// When faults end, unless too little has happened by then.
    pub(crate) faults_until: Micros,
    /// In order of time.
    pub(crate) actions: Vec<Action>,
}

impl Plan {
    /// Draws the plan of a seed. `nodes` is at least 1.
    pub(crate) fn draw(seed: u64, nodes: usize) -> Self {
        let rng = &mut Rng::new(seed, Stream::Plan);
        let election_timeout = rng.between(100, 400) * MS;
        let raft = raft_core::Options {
            election_timeout: Duration::from_micros(election_timeout),
            heartbeat_interval: Duration::from_micros(election_timeout / rng.between(4, 8)),
            suspicion_spread: Duration::from_micros(rng.between(1, 100) * MS),
            max_inflight_appends: if rng.chance(500) { rng.between(1, 4) as usize } else { 64 },
            max_append_bytes: if rng.chance(500) { rng.between(1, 2_000) } else { 1 << 20 },
            ..raft_core::Options::default()
        };
        let wal = raft_wal::Options {
            segment_bytes: 4096 << rng.between(0, 3),
            tail_cache_bytes: if rng.chance(500) { 0 } else { 1 << 20 },
            ..raft_wal::Options::default()
        };
        let network = NetworkPlan {
            latency: rng.between(50, 2_000),
            spread: rng.between(50, 3_000),
            has_tail: rng.chance(500),
            window: rng.chance(500).then(|| (rng.between(1, 8) as usize, rng.between(1, 20_000) as usize)),
            stragglers: if rng.chance(500) { rng.between(50, 1_000) } else { 0 },
        };
        let disk = DiskPlan {
            latency: if rng.chance(500) { rng.between(50, 500) } else { rng.between(1_000, 15_000) },
            spread: rng.between(50, 5_000),
            has_tail: rng.chance(500),
        };
        let load = LoadPlan {
            interval: rng.between(4, 20) * MS,
            large: if rng.chance(500) { rng.between(1, 50) } else { 0 },
            patience: rng.between(200, 2_000) * MS,
        };
        let faults_until = rng.between(4_000, 7_000) * MS;
        let groups = draw_groups(rng, nodes);
        let actions = draw_actions(rng, &mut Rng::new(seed, Stream::Nemesis), faults_until);
        Self { nodes, groups, raft, wal, network, disk, load, faults_until, actions }
    }
}

/// The root group on all hosts, and up to two more on up to three of them.
fn draw_groups(rng: &mut Rng, nodes: usize) -> Vec<GroupPlan> {
    let ring = |first: usize, count: usize| (0..count).map(|at| (first + at) % nodes).collect();
    let mut groups =
        vec![GroupPlan { group: GroupId::ROOT, members: ring(rng.below(nodes as u64) as usize, nodes) }];
    for number in 1..=rng.between(0, 2) as u32 {
        let first = rng.below(nodes as u64) as usize;
        groups.push(GroupPlan { group: GroupId::new(number, 1), members: ring(first, nodes.min(3)) });
    }
    groups
}

fn draw_actions(rng: &mut Rng, nemesis: &mut Rng, until: Micros) -> Vec<Action> {
    let mut faults = Vec::new();
    let (kills, cuts) = (rng.chance(500), rng.chance(500));
    let deaths: &[bool] = match (kills, cuts) {
        (true, true) => &[false, true],
        (true, false) => &[false],
        (false, true) => &[true],
        (false, false) => [&[false][..], &[true]][rng.below(2) as usize],
    };
    let dies_again = rng.chance(500);
    for _ in 0..rng.between(2, 6) {
        let death = match nemesis.pick(deaths) {
            Some(true) => Death::PowerCut(survival(nemesis)),
            _ => Death::Kill,
        };
        let again = (dies_again && nemesis.chance(300)).then(|| nemesis.between(0, 12));
        let down = nemesis.tailed(MS, 300 * MS);
        faults.push(Fault::Crash { victim: victim(nemesis), death, down, dies_again: again });
    }
    if cuts && rng.chance(500) {
        faults.push(Fault::Blackout { survival: survival(nemesis), down: nemesis.tailed(MS, 300 * MS) });
    }
    let shapes = draw_shapes(rng);
    let manners: &[Manner] =
        [&[Manner::Silent][..], &[Manner::Reset], &[Manner::Silent, Manner::Reset]][rng.below(3) as usize];
    for _ in 0..rng.between(1, 5) {
        let shape = match nemesis.pick(&shapes) {
            Some(Shape::Split(_)) => Shape::Split(nemesis.any()),
            Some(Shape::Pair(_)) => Shape::Pair(nemesis.any()),
            Some(Shape::OneWay(_)) => Shape::OneWay(nemesis.any()),
            Some(shape) => *shape,
            None => Shape::Isolate,
        };
        let manner = nemesis.pick(manners).copied().unwrap_or(Manner::Silent);
        let lasts = nemesis.between(100, 2_500) * MS;
        faults.push(Fault::Partition { victim: victim(nemesis), shape, manner, lasts });
    }
    if rng.chance(500) {
        for _ in 0..rng.between(1, 12) {
            faults.push(Fault::Break(nemesis.any()));
        }
    }
    if rng.chance(500) {
        for _ in 0..rng.between(1, 4) {
            let lasts = nemesis.between(50, 2_000) * MS;
            faults.push(Fault::Stall { victim: victim(nemesis), lasts });
        }
    }
    if rng.chance(500) {
        for _ in 0..rng.between(1, 4) {
            let lasts = nemesis.between(50, 1_500) * MS;
            faults.push(Fault::Pause { victim: victim(nemesis), lasts });
        }
    }
    // Some seeds let a group settle first, others never let it.
    let from = if rng.chance(500) { 0 } else { SECOND };
    let mut actions: Vec<Action> =
        faults.into_iter().map(|fault| Action { at: nemesis.between(from, until), fault }).collect();
    actions.sort_by_key(|action| action.at);
    actions
}

fn draw_shapes(rng: &mut Rng) -> Vec<Shape> {
    let all = [
        Shape::Isolate,
        Shape::Split(0),
        Shape::Bridge,
        Shape::Deaf,
        Shape::Mute,
        Shape::Pair(0),
        Shape::OneWay(0),
    ];
    let mut shapes: Vec<Shape> = all.into_iter().filter(|_| rng.chance(500)).collect();
    if shapes.is_empty() {
        shapes.extend(rng.pick(&all));
    }
    shapes
}

fn victim(rng: &mut Rng) -> Victim {
    if rng.chance(500) { Victim::Leader(rng.below(3)) } else { Victim::Host(rng.any()) }
}

fn survival(rng: &mut Rng) -> Survival {
    [Survival::None, Survival::Prefix, Survival::Subset][rng.below(3) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_has_two_crashes_and_a_partition() {
        for seed in 0..500 {
            let plan = Plan::draw(seed, 3);
            let count = |is: fn(&Fault) -> bool| plan.actions.iter().filter(|a| is(&a.fault)).count();
            assert!(count(|fault| matches!(fault, Fault::Crash { .. })) >= 2);
            assert!(count(|fault| matches!(fault, Fault::Partition { .. })) >= 1);
            assert!(plan.raft.validate().is_ok() && plan.wal.validate().is_ok(), "seed {seed}");
        }
    }

    #[test]
    fn each_class_of_faults_is_absent_from_many_plans_and_present_in_many() {
        let has: [fn(&Fault) -> bool; 6] = [
            |fault| matches!(fault, Fault::Crash { death: Death::Kill, .. }),
            |fault| matches!(fault, Fault::Crash { death: Death::PowerCut(_), .. }),
            |fault| matches!(fault, Fault::Break(_)),
            |fault| matches!(fault, Fault::Stall { .. }),
            |fault| matches!(fault, Fault::Pause { .. }),
            |fault| matches!(fault, Fault::Partition { manner: Manner::Reset, .. }),
        ];
        for (class, has) in has.iter().enumerate() {
            let with = |seed: &u64| Plan::draw(*seed, 3).actions.iter().any(|action| has(&action.fault));
            let seeds = (0..300).filter(with).count();
            assert!((75..=250).contains(&seeds), "class {class}: {seeds} of 300");
        }
    }

    #[test]
    fn a_plan_depends_on_the_seed_alone() {
        assert_eq!(Plan::draw(7, 5), Plan::draw(7, 5));
        assert_ne!(Plan::draw(7, 5).actions, Plan::draw(8, 5).actions);
    }
}
