//! Random changes of members and leaders, crashes, held disks and lost connections, from a seed.
//!
//! The laws: what was answered as done is in every voter's state, once; nothing is there twice; all states agree; no
//! law of Raft is broken; and once all nodes are back the group works.

mod by_hand;

use std::collections::BTreeMap;
use std::time::Duration;

use by_hand::{GROUP, Net, PATIENCE};
use bytes::Bytes;
use raft_core::{Configuration, Learner, MembershipChange, NodeId, ReplicaId, RoleKind};
use raft_net::Outcome;
use raft_net::node::Ticket;

const NODES: u64 = 5;

struct Chaos {
    net: Net,
    /// Splitmix64.
    state: u64,
    replicas: BTreeMap<u64, ReplicaId>,
    /// Commands by number: whom they were given to, and the ticket.
    commands: Vec<(u64, Ticket)>,
    /// Answers of nodes that have died since.
    done: Vec<usize>,
    changes_done: usize,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut net = Net::new();
        for id in 4..=NODES {
            net.boot(id);
            net.open_with(id, Some(Configuration::none()));
        }
        net.connect_all();
        let replicas = net.stations.iter().map(|(id, station)| (*id, station.node.replica())).collect();
        Self { net, state: seed, replicas, commands: Vec::new(), done: Vec::new(), changes_done: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn live(&mut self) -> Option<u64> {
        let live: Vec<u64> = self.net.stations.keys().copied().collect();
        let nth = self.below(live.len().max(1) as u64) as usize;
        live.get(nth).copied()
    }

    fn leader(&self) -> Option<u64> {
        let leads = |station: &by_hand::Station| {
            station.node.core(GROUP).is_some_and(|c| c.soft_state().role == RoleKind::Leader)
        };
        self.net.stations.iter().find(|(_, station)| leads(station)).map(|(id, _)| *id)
    }

    fn submit(&mut self, id: u64) {
        let (number, now, ticket) = (self.commands.len(), self.net.now, self.net.ticket());
        let command = Bytes::from(format!("<{number}>"));
        self.net.node(id).submit(now, ticket, GROUP, command, PATIENCE);
        self.commands.push((id, ticket));
    }

    fn note_answers(&mut self) {
        for (number, (id, ticket)) in self.commands.iter().enumerate() {
            let answer = self.net.stations.get(id).and_then(|station| station.answers.get(ticket));
            if matches!(answer, Some(Outcome::Done(_))) && !self.done.contains(&number) {
                self.done.push(number);
            }
        }
    }

    fn change(&mut self) {
        let Some(leader) = self.leader() else { return };
        let membership = self.net.node(leader).core(GROUP).unwrap().membership().clone();
        let voters = membership.voters().voters().to_vec();
        let node = 1 + self.below(NODES);
        let replica = self.replicas[&node];
        let nth = self.below(voters.len() as u64) as usize;
        let change = match self.below(4) {
            0 if voters.len() > 2 => {
                let left = voters.iter().copied().filter(|voter| *voter != voters[nth]);
                MembershipChange::Voters(Configuration::new(left).unwrap())
            }
            1 => match membership.learners().first() {
                Some(learner) => MembershipChange::RemoveLearner(learner.replica),
                None => return,
            },
            2 => MembershipChange::AddLearner(Learner { replica, replaces: None }),
            _ => MembershipChange::AddLearner(Learner { replica, replaces: Some(voters[nth]) }),
        };
        let ticket = self.net.change(leader, change);
        self.net.run(Duration::from_millis(20));
        let answer = self.net.stations[&leader].answers.get(&ticket);
        self.changes_done += usize::from(matches!(answer, Some(Outcome::Done(_))));
    }

    fn step(&mut self) {
        let Some(id) = self.live() else { return self.boot_one() };
        match self.below(20) {
            0..=8 => self.submit(id),
            9..=12 => self.change(),
            13 => {
                let (Some(leader), to) = (self.leader(), 1 + self.below(NODES)) else { return };
                self.net.transfer(leader, (to != leader).then_some(to));
            }
            14 => {
                self.note_answers();
                self.net.kill(id);
            }
            15..=16 => self.boot_one(),
            17 => {
                let station = self.net.stations.get_mut(&id).unwrap();
                station.holds_disk = !station.holds_disk;
            }
            18 => {
                let other = 1 + self.below(NODES);
                let now = self.net.now;
                self.net.node(id).disconnected(now, NodeId::new(other));
            }
            _ => self.net.connect_all(),
        }
        let time = Duration::from_millis([5, 5, 20, 50, 300][self.below(5) as usize]);
        self.net.run(time);
        for station in self.net.stations.values() {
            let core = station.node.core(GROUP).unwrap();
            assert_eq!(core.fault(), None);
            core.check_invariants().unwrap();
        }
    }

    fn boot_one(&mut self) {
        let dead = (1..=NODES).find(|id| !self.net.stations.contains_key(id));
        // Request ids differ between runs of a node by the time of its start.
        self.net.run(Duration::from_millis(5));
        if let Some(id) = dead {
            self.net.boot(id);
            self.net.open_with(id, None);
            assert_eq!(self.net.replica(id), self.replicas[&id]);
            self.net.connect_all();
        }
    }

    fn heal_and_judge(mut self) -> (usize, usize) {
        for _ in 0..NODES {
            self.boot_one();
        }
        for station in self.net.stations.values_mut() {
            station.holds_disk = false;
        }
        self.net.connect_all();
        self.net.run(Duration::from_secs(4));
        let leader = self.net.leader();
        self.submit(leader);
        self.net.run(PATIENCE);
        self.note_answers();
        assert!(self.done.contains(&(self.commands.len() - 1)), "a healed group works");
        let truth = self.net.read(leader);
        for number in 0..self.commands.len() {
            let times = truth.matches(&format!("<{number}>")).count();
            assert!(times <= 1, "command {number} is there {times} times");
            assert!(times == 1 || !self.done.contains(&number), "command {number} was done and is lost");
        }
        let membership = self.net.node(leader).core(GROUP).unwrap().membership().clone();
        assert!(!membership.is_joint());
        for voter in membership.voters().voters() {
            let id = voter.node.as_u64();
            assert_eq!(self.net.read(id), truth, "on node {id}");
            assert_eq!(*self.net.node(id).core(GROUP).unwrap().membership(), membership, "on node {id}");
        }
        (self.done.len(), self.changes_done)
    }
}

#[test]
fn whatever_happens_while_members_and_leaders_change_what_was_done_stays_done_once() {
    let (mut done, mut changes) = (0, 0);
    for seed in 0..4 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..80 {
            chaos.step();
        }
        let (more_done, more_changes) = chaos.heal_and_judge();
        (done, changes) = (done + more_done, changes + more_changes);
    }
    assert!(done > 40 && changes > 5, "too little happened: {done} commands, {changes} changes");
}
