//! Which brokers get the replicas of a new topic, and which of them should lead.
//!
//! A pure function of the brokers' loads and a seed. It spreads replicas first: each partition goes to the brokers
//! that hold the fewest. It then spreads preferred leaders among the replicas as evenly as these allow: an
//! assignment from which no chain of hand-overs leads to a more even one is the most even there is (Harvey et al.,
//! "Semi-matchings for bipartite graphs and load balancing", 2006). Among equals the seed decides, so that the
//! partitions of one broker have their other replicas on many, not always on the same two.
//!
//! What is not here yet: racks, sizes of brokers, and moving what is placed already.

use std::collections::VecDeque;

use raft_core::ReplicaId;

/// What a broker holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Load {
    /// Replicas of partitions, preferred leaders included.
    pub replicas: u64,
    /// Partitions of which it is the preferred leader.
    pub leaders: u64,
}

/// A broker that may get replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The broker and its disk.
    pub replica: ReplicaId,
    /// What it holds already.
    pub load: Load,
}

/// Why nothing could be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// There are fewer brokers than replicas of a partition.
    #[error(
        "{wanted} replicas need {wanted} live brokers, but {live} are live; start more or ask for fewer replicas"
    )]
    NotEnoughBrokers {
        /// Replicas of each partition.
        wanted: usize,
        /// Brokers to choose from.
        live: usize,
    },
    /// No replicas were asked for.
    #[error("a partition needs at least 1 replica")]
    NoReplicas,
}

/// Places `partitions` partitions with `replicas` replicas each. Result: per partition its replicas, the preferred
/// leader first. Candidates that name a node twice count once.
///
/// With equal loads, no broker gets more than one replica, or one preferred leader, more than another. The same
/// arguments give the same result.
///
/// # Errors
/// See [`PlacementError`].
pub fn place(
    partitions: usize,
    replicas: usize,
    candidates: &[Candidate],
    seed: u64,
) -> Result<Vec<Vec<ReplicaId>>, PlacementError> {
    let mut brokers = candidates.to_vec();
    brokers.sort_unstable_by_key(|candidate| candidate.replica);
    brokers.dedup_by_key(|candidate| candidate.replica.node);
    if replicas == 0 {
        return Err(PlacementError::NoReplicas);
    }
    if replicas > brokers.len() {
        return Err(PlacementError::NotEnoughBrokers { wanted: replicas, live: brokers.len() });
    }
    let mut sets = place_replicas(partitions, replicas, &brokers, seed);
    let loads = brokers.iter().map(|broker| broker.load.leaders).collect();
    Leaders::new(&mut sets, loads).level();
    let name = |set: Vec<usize>| set.into_iter().map(|broker| brokers[broker].replica).collect();
    Ok(sets.into_iter().map(name).collect())
}

/// Gives each partition the brokers that hold the fewest replicas so far. Brokers are places in `brokers`.
fn place_replicas(partitions: usize, replicas: usize, brokers: &[Candidate], seed: u64) -> Vec<Vec<usize>> {
    let mut held: Vec<u64> = brokers.iter().map(|broker| broker.load.replicas).collect();
    let mut order: Vec<usize> = (0..brokers.len()).collect();
    let mut sets = Vec::with_capacity(partitions);
    for partition in 0..partitions as u64 {
        order.sort_unstable_by_key(|&broker| (held[broker], mix(seed, partition, broker as u64), broker));
        let set = order[..replicas].to_vec();
        for &broker in &set {
            held[broker] += 1;
        }
        sets.push(set);
    }
    sets
}

/// The preferred leaders while they are being levelled: the first of each set leads.
struct Leaders<'a> {
    sets: &'a mut [Vec<usize>],
    /// Per broker: how many partitions it leads, earlier ones included.
    load: Vec<u64>,
    /// Per broker: the partitions of `sets` that it leads.
    led: Vec<Vec<usize>>,
}

impl<'a> Leaders<'a> {
    /// Lets the least loaded broker of each set lead it: nearly even already.
    fn new(sets: &'a mut [Vec<usize>], mut load: Vec<u64>) -> Self {
        let mut led = vec![Vec::new(); load.len()];
        for (partition, set) in sets.iter_mut().enumerate() {
            if let Some(place) = (0..set.len()).min_by_key(|&place| load[set[place]]) {
                set.swap(0, place);
                load[set[0]] += 1;
                led[set[0]].push(partition);
            }
        }
        Self { sets, load, led }
    }

    /// Hands over along chains until no chain leads from a broker to one that leads two fewer.
    fn level(&mut self) {
        // Each hand-over makes the sum of squared loads smaller, so this ends.
        while (0..self.load.len()).any(|from| self.hand_over_from(from)) {}
    }

    /// Finds a chain "`from` leads p, which b holds too; b leads q, ..." to a broker with at least two fewer, and
    /// moves each partition of it one step on.
    fn hand_over_from(&mut self, from: usize) -> bool {
        // How each broker was reached: over which partition. Its leader is the broker before.
        let mut reached_over: Vec<Option<usize>> = vec![None; self.load.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(broker) = queue.pop_front() {
            if self.load[broker] + 2 <= self.load[from] {
                self.hand_over_along(from, broker, &reached_over);
                return true;
            }
            for &partition in &self.led[broker] {
                for &next in &self.sets[partition] {
                    if next != from && reached_over[next].is_none() && next != broker {
                        reached_over[next] = Some(partition);
                        queue.push_back(next);
                    }
                }
            }
        }
        false
    }

    fn hand_over_along(&mut self, from: usize, to: usize, reached_over: &[Option<usize>]) {
        let mut broker = to;
        while let Some(partition) = reached_over[broker].filter(|_| broker != from) {
            let leader = self.sets[partition][0];
            if let Some(place) = self.sets[partition].iter().position(|&holder| holder == broker) {
                self.sets[partition].swap(0, place);
            }
            self.led[leader].retain(|&led| led != partition);
            self.led[broker].push(partition);
            broker = leader;
        }
        self.load[from] -= 1;
        self.load[to] += 1;
    }
}

/// A number that looks random and depends on all three (the finalizer of SplitMix64, twice).
fn mix(seed: u64, partition: u64, broker: u64) -> u64 {
    let scramble = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    scramble(scramble(seed.wrapping_add(partition.wrapping_mul(0x9e37_79b9_7f4a_7c15))).wrapping_add(broker))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use raft_core::{DiskId, NodeId};

    use super::*;

    fn candidate(id: u64, load: Load) -> Candidate {
        Candidate { replica: ReplicaId::new(NodeId::new(id), DiskId::new(id.into())), load }
    }

    fn equal(brokers: u64) -> Vec<Candidate> {
        (1..=brokers).map(|id| candidate(id, Load::default())).collect()
    }

    fn load_after(broker: &Candidate, assignments: &[Vec<ReplicaId>]) -> Load {
        let holds = |set: &&Vec<ReplicaId>| set.contains(&broker.replica);
        let leads = |set: &&Vec<ReplicaId>| set.first() == Some(&broker.replica);
        Load {
            replicas: broker.load.replicas + assignments.iter().filter(holds).count() as u64,
            leaders: broker.load.leaders + assignments.iter().filter(leads).count() as u64,
        }
    }

    fn spread(values: impl Iterator<Item = u64> + Clone) -> u64 {
        values.clone().max().unwrap_or(0) - values.min().unwrap_or(0)
    }

    #[test]
    fn more_replicas_than_brokers_are_refused_with_both_numbers() {
        assert_eq!(place(1, 3, &equal(2), 0), Err(PlacementError::NotEnoughBrokers { wanted: 3, live: 2 }));
        assert_eq!(place(1, 1, &[], 0), Err(PlacementError::NotEnoughBrokers { wanted: 1, live: 0 }));
        assert_eq!(place(1, 0, &equal(2), 0), Err(PlacementError::NoReplicas));
        let twice = [candidate(1, Load::default()), candidate(1, Load::default())];
        assert_eq!(place(1, 2, &twice, 0), Err(PlacementError::NotEnoughBrokers { wanted: 2, live: 1 }));
    }

    #[test]
    fn a_new_broker_gets_the_new_partitions_until_it_holds_as_many_as_the_others() {
        let mut brokers: Vec<_> = (1..=3).map(|id| candidate(id, Load { replicas: 6, leaders: 6 })).collect();
        brokers.push(candidate(4, Load::default()));
        let placed = place(6, 1, &brokers, 9).unwrap();
        assert!(placed.iter().all(|set| set[0] == brokers[3].replica));
    }

    #[test]
    fn successive_topics_of_one_partition_do_not_pile_up_on_one_broker() {
        let mut brokers = equal(5);
        for topic in 0..50 {
            let placed = place(1, 3, &brokers, topic).unwrap();
            for broker in &mut brokers {
                broker.load = load_after(broker, &placed);
            }
        }
        assert!(spread(brokers.iter().map(|b| b.load.replicas)) <= 1);
        assert!(spread(brokers.iter().map(|b| b.load.leaders)) <= 1, "{brokers:?}");
    }

    #[test]
    fn the_largest_topic_is_placed_evenly() {
        let brokers = equal(100);
        let placed = place(10_000, 3, &brokers, 1).unwrap();
        let loads: Vec<Load> = brokers.iter().map(|b| load_after(b, &placed)).collect();
        assert_eq!(spread(loads.iter().map(|l| l.replicas)), 0);
        assert_eq!(spread(loads.iter().map(|l| l.leaders)), 0);
    }

    proptest! {
        #[test]
        fn equal_brokers_differ_by_at_most_one_replica_and_one_leader(
            brokers in 1u64..12, replicas in 1usize..8, partitions in 0usize..60, seed: u64,
        ) {
            prop_assume!(replicas as u64 <= brokers);
            let brokers = equal(brokers);
            let placed = place(partitions, replicas, &brokers, seed).unwrap();
            prop_assert_eq!(placed.len(), partitions);
            let loads: Vec<Load> = brokers.iter().map(|b| load_after(b, &placed)).collect();
            prop_assert!(spread(loads.iter().map(|l| l.replicas)) <= 1);
            prop_assert!(spread(loads.iter().map(|l| l.leaders)) <= 1, "{:?}", loads);
        }

        #[test]
        fn a_partition_never_has_two_replicas_on_one_broker_and_the_result_is_deterministic(
            loads in proptest::collection::vec((0u64..20, 0u64..20), 1..12),
            replicas in 1usize..8, partitions in 0usize..40, seed: u64,
        ) {
            prop_assume!(replicas <= loads.len());
            let load = |&(replicas, leaders): &(u64, u64)| Load { replicas, leaders };
            let mut brokers: Vec<_> = (1..).zip(&loads).map(|(id, l)| candidate(id, load(l))).collect();
            let placed = place(partitions, replicas, &brokers, seed).unwrap();
            for set in &placed {
                let mut nodes: Vec<_> = set.iter().map(|replica| replica.node).collect();
                nodes.sort_unstable();
                nodes.dedup();
                prop_assert_eq!(nodes.len(), replicas);
            }
            brokers.reverse();
            prop_assert_eq!(place(partitions, replicas, &brokers, seed).unwrap(), placed);
        }
    }
}
