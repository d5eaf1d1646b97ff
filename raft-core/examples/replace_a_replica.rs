//! A replica is lost for good and another takes its place: by a snapshot, as the log it lacks is gone, then as a
//! learner that becomes a voter by itself. In the end the leader hands its office to the newcomer.
//!
//! `cargo run -p raft-core --example replace_a_replica`

use std::collections::{BTreeMap, VecDeque};

use raft_core::{
    Configuration, DiskId, Envelope, Event, Learner, LogIndex, Membership, MembershipChange, NodeId, Options,
    Replica, ReplicaId, Time,
};

/// What the state machine holds: the sum of all commands, and up to where.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: u64,
    upto: LogIndex,
}

struct Group {
    now: Time,
    replicas: BTreeMap<NodeId, (Replica<u64>, Sum)>,
    network: VecDeque<Envelope<u64>>,
}

fn id(node: u64) -> ReplicaId {
    ReplicaId::new(NodeId::new(node), DiskId::new(node.into()))
}

impl Group {
    fn add(&mut self, node: u64, membership: Membership) {
        let replica = Replica::new(id(node), membership, Options::default(), node, self.now);
        self.replicas.insert(NodeId::new(node), (replica, Sum::default()));
    }

    fn leader(&mut self) -> Option<&mut Replica<u64>> {
        self.replicas.values_mut().map(|(replica, _)| replica).find(|replica| replica.raft().is_serving())
    }

    /// Lets time pass until `is_done`.
    fn run(&mut self, is_done: impl Fn(&Group) -> bool) {
        while !is_done(self) {
            self.now = self.now.after(Options::default().heartbeat_interval);
            for (replica, _) in self.replicas.values_mut() {
                replica.tick(self.now);
            }
            loop {
                for node in self.replicas.keys().copied().collect::<Vec<_>>() {
                    self.drain(node);
                }
                let Some(envelope) = self.network.pop_front() else { break };
                if let Some((replica, _)) = self.replicas.get_mut(&envelope.to) {
                    replica.receive(self.now, envelope);
                }
            }
        }
    }

    fn drain(&mut self, node: NodeId) {
        while let Some(event) = self.replicas.get_mut(&node).and_then(|(replica, _)| replica.poll()) {
            match event {
                Event::Send(envelope) => self.network.push_back(envelope),
                Event::Apply { id, command } => {
                    let (_, sum) = self.replicas.get_mut(&node).expect("it was polled");
                    *sum = Sum { value: sum.value + command, upto: id.index };
                }
                Event::NeedSnapshot { peer, at_least } => {
                    println!("node {node}: node {peer} needs a snapshot that includes entry {at_least}");
                    let (replica, _) = self.replicas.get_mut(&node).expect("it was polled");
                    let snapshot = replica.snapshot().expect("what is applied lies in the log");
                    replica.offer_snapshot(self.now, peer, snapshot).expect("it leads");
                }
                Event::InstallSnapshot { from, snapshot } => {
                    println!("node {node}: installs the snapshot at {} from node {from}", snapshot.last);
                    let state = self.replicas[&from].1; // A network would carry it.
                    let (replica, sum) = self.replicas.get_mut(&node).expect("it was polled");
                    *sum = state;
                    replica.snapshot_installed(self.now, snapshot.last);
                }
                Event::MembershipCommitted(index) => {
                    let (replica, _) = &self.replicas[&node];
                    let voters: Vec<u64> = replica.raft().membership_at(index).map_or(vec![], |membership| {
                        membership.voters().voters().iter().map(|voter| voter.node.as_u64()).collect()
                    });
                    println!("node {node}: the membership at entry {index} is committed, voters {voters:?}");
                }
                Event::RoleChanged(state) => println!("node {node}: {} in term {}", state.role, state.term),
                _ => {}
            }
        }
    }
}

fn main() {
    let mut group = Group { now: Time::ZERO, replicas: BTreeMap::new(), network: VecDeque::new() };
    let genesis = Configuration::new([1, 2, 3].map(id)).expect("three different nodes");
    for node in 1..=3 {
        group.add(node, genesis.clone().into());
    }
    group.run(|group| group.replicas.values().any(|(replica, _)| replica.raft().is_serving()));
    let now = group.now;
    let leader = group.leader().expect("one leads");
    for number in 1..=100 {
        leader.propose(now, number).expect("it leads");
    }
    group.run(|group| group.replicas.values().all(|(_, sum)| sum.value == 5050));

    println!("-- node 3 is lost, and the log that it held is compacted away");
    group.replicas.remove(&NodeId::new(3));
    for (replica, sum) in group.replicas.values_mut() {
        replica.compact(sum.upto);
    }
    println!("-- node 4 comes in its place");
    group.add(4, Membership::none());
    let learner = Learner { replica: id(4), replaces: Some(id(3)) };
    let leader = group.leader().expect("one leads");
    leader.propose_membership(now, MembershipChange::AddLearner(learner)).expect("nothing else is changing");
    group.run(|group| {
        let (replica, _) = &group.replicas[&NodeId::new(4)];
        let membership = replica.raft().membership();
        membership.voters().is_voter(id(4)) && !membership.is_joint()
    });
    println!("-- node 4 shall lead");
    let now = group.now;
    let leader = group.leader().expect("one leads");
    leader.transfer_leadership(now, Some(NodeId::new(4))).expect("node 4 votes");
    group.run(|group| group.replicas[&NodeId::new(4)].0.raft().is_serving());
    for (node, (replica, sum)) in &group.replicas {
        println!("node {node}: applied {} entries, sum {}", replica.applied(), sum.value);
        assert_eq!(sum.value, 5050);
    }
}
