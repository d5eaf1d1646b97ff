//! How a cluster comes to be, and how a node finds the one that is there.
//!
//! Founders with empty disks call one another. When a founder has heard from all of them at about the same time,
//! it knows every (node, disk) pair; sorted, they are the genesis configuration, and the cluster's id is computed
//! from them. So every founder comes to the same result without a vote, in whatever order they meet. Whoever
//! comes later adopts what the others formed, if it was formed with its disk; a learner adopts the id of the
//! cluster that its founders formed.
//!
//! Sans-IO: hand-shakes and time go in, a verdict comes out. Writing it down, and calling again every now and then, is
//! the runtime's. Invariant: a verdict never says another cluster than the disk already belongs to, and a founder
//! never gets a configuration in which its own disk does not stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use raft_core::{Configuration, ConfigurationError, DiskId, NodeId, ReplicaId, Time};
use raft_wal::ClusterId;
use uuid::Uuid;

use crate::handshake::Hello;

/// An answer older than this no longer counts: the node may have been wiped since.
pub const FRESH: Duration = Duration::from_secs(2);

/// The name space of cluster ids (a random UUID, fixed for ever).
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_9a3e_7c1d_4b52_9e86_2d41_b7a0_63f8);

/// The id of the cluster that these founders form: the UUID version 5 (RFC 9562) of their (node, disk) pairs, sorted
/// by node, 8 and 16 bytes little-endian each.
pub fn cluster_id(genesis: &Configuration) -> ClusterId {
    let mut name = Vec::new();
    for voter in genesis.voters() {
        name.extend_from_slice(&voter.node.as_u64().to_le_bytes());
        name.extend_from_slice(&voter.disk.as_u128().to_le_bytes());
    }
    ClusterId::new(Uuid::new_v5(&NAMESPACE, &name).as_u128())
}

/// What is known so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough yet; go on calling.
    Waiting,
    /// For a founder: this is the root group's genesis configuration, and the cluster's id. Write down both.
    Formed {
        /// The cluster's id.
        cluster: ClusterId,
        /// All founders; the lowest node campaigns first.
        genesis: Configuration,
    },
    /// For a learner: this is the cluster's id. Write it down.
    Joined {
        /// The cluster's id.
        cluster: ClusterId,
        /// The root group's first voters.
        genesis: Configuration,
    },
    /// Nothing will come of it until someone acts. Say so once; going on calling does no harm.
    Trouble(Trouble),
}

/// Why a node cannot become a member by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The cluster was formed with an older disk of this node.
    #[error(
        "founder {by} formed the cluster with another disk of this node (disk {formed_with}, this is {mine}): an \
         empty disk is another voter. This node votes nowhere; restore the old data directory, or have the node \
         added to the cluster anew"
    )]
    OtherDisk {
        /// Who said so.
        by: NodeId,
        /// The disk that the cluster knows.
        formed_with: DiskId,
        /// This disk.
        mine: DiskId,
    },
    /// The cluster was formed without this node.
    #[error(
        "founder {by} formed the cluster without this node. It votes nowhere; start it as a learner, or have it \
         added to the cluster"
    )]
    WithoutMe {
        /// Who said so.
        by: NodeId,
    },
    /// The disk belongs to another cluster than the founders.
    #[error(
        "this disk belongs to cluster {mine}, but the founders form cluster {theirs}; check the addresses of the \
         founders and the data directory"
    )]
    OtherCluster {
        /// What the disk says.
        mine: ClusterId,
        /// What the founders say.
        theirs: ClusterId,
    },
    /// A founder's answer contradicts itself.
    #[error(
        "founder {by} says it is of cluster {said}, which its own founders do not form; its disk may be damaged"
    )]
    Contradiction {
        /// Who said so.
        by: NodeId,
        /// The cluster it says it is of.
        said: ClusterId,
    },
    /// The founders cannot be a configuration.
    #[error("the listed founders cannot form a cluster: {0}")]
    Founders(ConfigurationError),
}

/// What this node is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Founder,
    Learner,
}

/// A node on its way into a cluster.
#[derive(Debug)]
pub struct Formation {
    mine: ReplicaId,
    cluster: Option<ClusterId>,
    part: Part,
    /// The others.
    founders: BTreeSet<NodeId>,
    heard: BTreeMap<NodeId, (DiskId, Time)>,
    /// The first formed founder's answer settles it.
    settled: Option<Verdict>,
}

impl Formation {
    /// A founder of a cluster with the `founders`, itself included or not. `cluster` is what its disk belongs to
    /// already, if it crashed between writing that down and the configuration.
    pub fn founder(mine: ReplicaId, cluster: Option<ClusterId>, founders: BTreeSet<NodeId>) -> Self {
        Self::new(mine, cluster, Part::Founder, founders)
    }

    /// A learner of the cluster that the `founders` form.
    pub fn learner(mine: ReplicaId, founders: BTreeSet<NodeId>) -> Self {
        Self::new(mine, None, Part::Learner, founders)
    }

    fn new(mine: ReplicaId, cluster: Option<ClusterId>, part: Part, mut founders: BTreeSet<NodeId>) -> Self {
        founders.remove(&mine.node);
        Self { mine, cluster, part, founders, heard: BTreeMap::new(), settled: None }
    }

    /// Takes what a founder answered when it was called at its listed address. Nodes that are no founders are not
    /// listened to.
    pub fn heard(&mut self, now: Time, hello: &Hello) -> Verdict {
        let node = hello.replica.node;
        if self.founders.contains(&node) {
            self.heard.insert(node, (hello.replica.disk, now));
            if let Some(verdict) = self.formed_by(hello) {
                // The first trouble stands until someone says better; a cluster stands for ever.
                let is_better = matches!(verdict, Verdict::Formed { .. } | Verdict::Joined { .. });
                if self.settled.is_none() || (is_better && !self.is_settled_well()) {
                    self.settled = Some(verdict);
                }
            }
        }
        self.verdict(now)
    }

    /// What is known at this time.
    pub fn verdict(&self, now: Time) -> Verdict {
        if let Some(settled) = &self.settled {
            return settled.clone();
        }
        if self.part == Part::Learner || !self.waiting_for(now).is_empty() {
            return Verdict::Waiting;
        }
        let others = self.heard.iter().map(|(node, (disk, _))| ReplicaId::new(*node, *disk));
        let mut voters: Vec<ReplicaId> = others.chain([self.mine]).collect();
        voters.sort_unstable();
        match Configuration::new(voters) {
            Ok(genesis) => self.formed(cluster_id(&genesis), genesis),
            Err(error) => Verdict::Trouble(Trouble::Founders(error)),
        }
    }

    /// Whose answer is missing or too old, sorted. A learner waits for any one founder that is formed, and lists
    /// all of them until then.
    pub fn waiting_for(&self, now: Time) -> Vec<NodeId> {
        let has_answered = |node: &NodeId| match self.part {
            _ if self.is_settled_well() => true,
            _ if self.settled.is_some() => false,
            Part::Learner => false,
            Part::Founder => self.heard.get(node).is_some_and(|(_, at)| now.since(*at) <= FRESH),
        };
        self.founders.iter().copied().filter(|node| !has_answered(node)).collect()
    }

    fn is_settled_well(&self) -> bool {
        matches!(self.settled, Some(Verdict::Formed { .. } | Verdict::Joined { .. }))
    }

    /// What follows from the answer of a founder that is formed; `None` when it is not.
    fn formed_by(&self, hello: &Hello) -> Option<Verdict> {
        let by = hello.replica.node;
        let cluster = hello.cluster?;
        let genesis = Configuration::new(hello.genesis.iter().flatten().copied()).ok()?;
        if genesis.voters().is_empty() {
            return None;
        }
        if cluster != cluster_id(&genesis) {
            return Some(Verdict::Trouble(Trouble::Contradiction { by, said: cluster }));
        }
        if self.part == Part::Learner {
            return Some(Verdict::Joined { cluster, genesis });
        }
        Some(match genesis.voter_on(self.mine.node) {
            Some(voter) if voter == self.mine => self.formed(cluster, genesis),
            Some(voter) => {
                Verdict::Trouble(Trouble::OtherDisk { by, formed_with: voter.disk, mine: self.mine.disk })
            }
            None => Verdict::Trouble(Trouble::WithoutMe { by }),
        })
    }

    fn formed(&self, cluster: ClusterId, genesis: Configuration) -> Verdict {
        match self.cluster {
            Some(mine) if mine != cluster => {
                Verdict::Trouble(Trouble::OtherCluster { mine, theirs: cluster })
            }
            _ => Verdict::Formed { cluster, genesis },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::handshake::{Purpose, founders_digest};

    fn replica(node: u64, disk: u128) -> ReplicaId {
        ReplicaId::new(NodeId::new(node), DiskId::new(disk))
    }

    fn founders() -> BTreeSet<NodeId> {
        (1..=3).map(NodeId::new).collect()
    }

    fn fresh(node: u64) -> ReplicaId {
        replica(node, 100 + u128::from(node))
    }

    fn genesis() -> Configuration {
        Configuration::new((1..=3).map(fresh)).unwrap()
    }

    fn hello(replica: ReplicaId) -> Hello {
        let founders = founders_digest(&founders());
        Hello { replica, cluster: None, genesis: None, founders, purpose: Purpose::Form }
    }

    fn formed(replica: ReplicaId) -> Hello {
        let genesis = genesis();
        let cluster = Some(cluster_id(&genesis));
        Hello { cluster, genesis: Some(genesis.voters().to_vec()), ..hello(replica) }
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    fn done() -> Verdict {
        Verdict::Formed { cluster: cluster_id(&genesis()), genesis: genesis() }
    }

    #[test]
    fn a_founder_forms_when_all_others_have_answered() {
        let mut formation = Formation::founder(fresh(1), None, founders());
        assert_eq!(formation.waiting_for(at(0)), vec![NodeId::new(2), NodeId::new(3)]);
        assert_eq!(formation.heard(at(0), &hello(fresh(3))), Verdict::Waiting);
        assert_eq!(formation.waiting_for(at(0)), vec![NodeId::new(2)]);
        assert_eq!(formation.heard(at(1), &hello(fresh(2))), done());
        assert_eq!(formation.waiting_for(at(1)), vec![]);
    }

    #[test]
    fn the_lowest_founder_campaigns_first() {
        assert_eq!(genesis().first(), Some(NodeId::new(1)));
        let mut last = Formation::founder(fresh(3), None, founders());
        last.heard(at(0), &hello(fresh(2)));
        let Verdict::Formed { genesis, .. } = last.heard(at(0), &hello(fresh(1))) else { panic!("formed") };
        assert_eq!(genesis.first(), Some(NodeId::new(1)));
    }

    #[test]
    fn a_single_founder_forms_at_once() {
        let alone = Formation::founder(fresh(1), None, BTreeSet::from([NodeId::new(1)]));
        assert!(matches!(alone.verdict(at(0)), Verdict::Formed { .. }));
    }

    #[test]
    fn an_old_answer_does_not_count() {
        let mut formation = Formation::founder(fresh(1), None, founders());
        formation.heard(at(0), &hello(fresh(2)));
        assert_eq!(formation.heard(at(2001), &hello(fresh(3))), Verdict::Waiting);
        assert_eq!(formation.waiting_for(at(2001)), vec![NodeId::new(2)]);
        assert_eq!(formation.heard(at(2002), &hello(fresh(2))), done());
    }

    #[test]
    fn the_latest_disk_of_a_node_counts() {
        let mut formation = Formation::founder(fresh(1), None, founders());
        formation.heard(at(0), &hello(replica(2, 7)));
        formation.heard(at(1), &hello(fresh(2)));
        assert_eq!(formation.heard(at(1), &hello(fresh(3))), done());
    }

    #[test]
    fn a_founder_that_comes_late_adopts_what_the_others_formed_with_its_disk() {
        let mut formation = Formation::founder(fresh(1), None, founders());
        assert_eq!(formation.heard(at(0), &formed(fresh(2))), done());
    }

    #[test]
    fn a_founder_with_an_empty_disk_gets_no_configuration() {
        let wiped = replica(1, 999);
        let mut formation = Formation::founder(wiped, None, founders());
        let trouble = Verdict::Trouble(Trouble::OtherDisk {
            by: NodeId::new(2),
            formed_with: fresh(1).disk,
            mine: wiped.disk,
        });
        assert_eq!(formation.heard(at(0), &formed(fresh(2))), trouble);
        assert_eq!(formation.waiting_for(at(0)), vec![NodeId::new(2), NodeId::new(3)]);
        // The same trouble is not told twice in other words.
        assert_eq!(formation.heard(at(0), &formed(fresh(3))), trouble);
        // Also when all others answer afterwards as if nothing were formed.
        formation.heard(at(1), &hello(fresh(2)));
        assert_eq!(formation.heard(at(1), &hello(fresh(3))), trouble);
    }

    #[test]
    fn a_founder_that_was_left_out_gets_no_configuration() {
        let all = (1..=4).map(NodeId::new).collect();
        let mut formation = Formation::founder(fresh(4), None, all);
        let trouble = Verdict::Trouble(Trouble::WithoutMe { by: NodeId::new(2) });
        assert_eq!(formation.heard(at(0), &formed(fresh(2))), trouble);
    }

    #[test]
    fn a_disk_of_another_cluster_is_not_made_to_join() {
        let mine = ClusterId::new(5);
        let theirs = cluster_id(&genesis());
        let trouble = Verdict::Trouble(Trouble::OtherCluster { mine, theirs });
        let mut formation = Formation::founder(fresh(1), Some(mine), founders());
        formation.heard(at(0), &hello(fresh(2)));
        assert_eq!(formation.heard(at(0), &hello(fresh(3))), trouble);
    }

    #[test]
    fn a_founder_that_crashed_between_its_two_writes_forms_the_same_cluster_again() {
        let mut formation = Formation::founder(fresh(1), Some(cluster_id(&genesis())), founders());
        formation.heard(at(0), &hello(fresh(2)));
        assert_eq!(formation.heard(at(0), &hello(fresh(3))), done());
    }

    #[test]
    fn a_learner_joins_with_the_first_formed_founder_and_no_other_node() {
        let mut formation = Formation::learner(fresh(9), founders());
        assert_eq!(formation.waiting_for(at(0)).len(), 3);
        for node in 1..=3 {
            assert_eq!(formation.heard(at(0), &hello(fresh(node))), Verdict::Waiting);
        }
        assert_eq!(formation.heard(at(0), &formed(fresh(8))), Verdict::Waiting);
        let joined = Verdict::Joined { cluster: cluster_id(&genesis()), genesis: genesis() };
        assert_eq!(formation.heard(at(0), &formed(fresh(2))), joined);
        assert_eq!(formation.waiting_for(at(0)), vec![]);
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_not_followed() {
        let said = ClusterId::new(1);
        let lie = Hello { cluster: Some(said), ..formed(fresh(2)) };
        let mut formation = Formation::learner(fresh(9), founders());
        let trouble = Verdict::Trouble(Trouble::Contradiction { by: NodeId::new(2), said });
        assert_eq!(formation.heard(at(0), &lie), trouble);
        assert!(matches!(formation.heard(at(0), &formed(fresh(1))), Verdict::Joined { .. }));
    }

    #[test]
    fn the_id_of_a_cluster_never_changes_its_derivation() {
        assert_eq!(cluster_id(&genesis()).to_string(), "f6131d2b307853e2958617ffd833a83e");
    }

    proptest! {
        #[test]
        fn all_founders_form_the_same_cluster_in_whatever_order_they_meet(
            order in Just((0..5_u64).collect::<Vec<_>>()).prop_shuffle(),
            disks in proptest::collection::vec(any::<u128>(), 5),
        ) {
            let all: BTreeSet<NodeId> = (0..5).map(NodeId::new).collect();
            let who = |n: u64| replica(n, disks[n as usize]);
            let verdicts: Vec<Verdict> = (0..5).map(|me| {
                let mut formation = Formation::founder(who(me), None, all.clone());
                let others = order.iter().filter(|n| **n != me);
                others.fold(Verdict::Waiting, |_, n| formation.heard(at(0), &hello(who(*n))))
            }).collect();
            let formed = matches!(verdicts[0], Verdict::Formed { .. });
            prop_assert!(formed);
            prop_assert!(verdicts.iter().all(|v| *v == verdicts[0]));
        }
    }
}
