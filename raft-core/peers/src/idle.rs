//! Groups of three with nothing to do: what they cost while time passes.
//!
//! Both libraries get the same clock: a heartbeat every 100 ms, elections after 500 ms, pre-vote and check-quorum on
//! (raft-core knows no other way). Each replica is in a box of its own, so that its bytes can be counted. Invariant:
//! once made, no group has an election or anything to commit.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::Message as RaftRsMessage;
use raft::{Config, RawNode, StateRole};
use raft_core::{BootId, Effect, Liveness, Message, NodeId, Options, Raft, Time};

use crate::raft_rs::Store;
use crate::{ours, raft_rs};

const HEARTBEAT: Duration = Duration::from_millis(100);
const ELECTION_TICKS: usize = 5;

/// Groups that only wait.
pub trait Idle {
    /// A replica of one group.
    type Replica;

    /// Lets so much time pass for all groups: everything that is due meanwhile is done.
    fn pass(&mut self, time: Duration);

    /// One follower of each group.
    fn into_followers(self) -> Vec<Box<Self::Replica>>;
}

/// Groups of raft-core. The host keeps one timer a replica and looks at it again when it is due.
pub struct Ours {
    groups: Vec<[Box<Raft>; 3]>,
    timers: BinaryHeap<Reverse<(Time, usize, usize)>>,
    now: Time,
    wire: VecDeque<(usize, usize, Message)>,
}

/// Whose voters a replica of raft-core refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voters {
    /// Those of all groups of its node that lie on the same three nodes: a configuration is shared by its clones.
    Shared,
    /// Its own.
    Own,
}

impl Ours {
    /// `count` groups that are led and have committed an entry.
    pub fn awake(count: usize, voters: Voters) -> Self {
        let options = Arc::new(Options {
            heartbeat_interval: HEARTBEAT,
            election_timeout: HEARTBEAT * ELECTION_TICKS as u32,
            ..Options::default()
        });
        let of_node = [(); 3].map(|()| ours::voters());
        let group = |_| {
            [0, 1, 2].map(|at: usize| {
                let voters = match voters {
                    Voters::Shared => of_node[at].clone(),
                    Voters::Own => ours::voters(),
                };
                Box::new(ours::node(at as u64 + 1, voters, &options))
            })
        };
        let groups: Vec<_> = (0..count).map(group).collect();
        let mut made = Self { groups, timers: BinaryHeap::new(), now: Time::ZERO, wire: VecDeque::new() };
        for group in 0..count {
            for replica in 0..3 {
                made.timers.push(Reverse((Time::ZERO, group, replica)));
            }
        }
        made.pass(Duration::ZERO);
        for group in 0..count {
            assert!(made.groups[group][0].is_serving(), "the first replica leads");
            made.groups[group][0].propose(1).expect("a leader takes proposals");
            made.touch(group, 0);
            made.pump(group);
        }
        made
    }

    /// The same, asleep.
    pub fn asleep(count: usize, voters: Voters) -> Self {
        let mut made = Self::awake(count, voters);
        for group in 0..count {
            for at in 0..3 {
                for other in (0..3).filter(|other| *other != at) {
                    let life = Liveness::Live(BootId::new(1));
                    made.groups[group][at].node_liveness(made.now, NodeId::new(other as u64 + 1), life);
                }
            }
        }
        made.pass(Duration::from_secs(5));
        let asleep = made.groups.iter().flatten().filter(|replica| replica.is_asleep()).count();
        assert_eq!(asleep, 3 * count, "all replicas sleep");
        assert!(made.timers.is_empty(), "nothing is due");
        made
    }

    /// Does what a replica decided, and lets a leader speak.
    fn touch(&mut self, group: usize, at: usize) {
        let replica = &mut self.groups[group][at];
        while let Some(effect) = replica.poll_effect() {
            match effect {
                Effect::Persist(write) => replica.persisted(self.now, write.token),
                Effect::Send { to, message } => {
                    self.wire.push_back((at, to.as_u64() as usize - 1, message));
                }
                Effect::Fault { law } => panic!("{law}"),
                _ => {}
            }
        }
        for to in 0..3 {
            let peer = NodeId::new(to as u64 + 1);
            while let Some(append) =
                replica.poll_append(peer, |range, _| Some((range.last_index(), range.len())))
            {
                self.wire.push_back((at, to, Message::Append(append)));
            }
        }
    }

    fn pump(&mut self, group: usize) {
        while let Some((from, to, message)) = self.wire.pop_front() {
            self.groups[group][to].receive(self.now, ours::replica(from as u64 + 1), message);
            self.touch(group, to);
        }
    }
}

impl Idle for Ours {
    type Replica = Raft;

    fn pass(&mut self, time: Duration) {
        let end = self.now.after(time);
        while let Some(Reverse((at, group, replica))) = self.timers.peek().copied()
            && at <= end
        {
            self.timers.pop();
            self.now = self.now.max(at);
            // Whoever sleeps needs no timer; it had one that ran out now.
            let Some(due) = self.groups[group][replica].next_deadline() else { continue };
            if due <= self.now {
                self.groups[group][replica].tick(self.now);
                self.touch(group, replica);
                self.pump(group);
            }
            if let Some(next) = self.groups[group][replica].next_deadline() {
                self.timers.push(Reverse((next, group, replica)));
            }
        }
        self.now = end;
    }

    fn into_followers(self) -> Vec<Box<Raft>> {
        self.groups.into_iter().map(|[_, follower, _]| follower).collect()
    }
}

/// Groups of raft-rs. The host ticks every replica once a heartbeat, which is the least it allows.
pub struct RaftRs {
    groups: Vec<[Box<RawNode<Store>>; 3]>,
    wire: VecDeque<RaftRsMessage>,
}

impl RaftRs {
    /// `count` groups that are led and have committed an entry.
    pub fn awake(count: usize) -> Self {
        let node = |id| {
            let config = Config {
                id,
                heartbeat_tick: 1,
                election_tick: ELECTION_TICKS,
                check_quorum: true,
                pre_vote: true,
                ..Config::default()
            };
            Box::new(raft_rs::node(&config))
        };
        let groups: Vec<_> = (0..count).map(|_| [1, 2, 3].map(node)).collect();
        let mut made = Self { groups, wire: VecDeque::new() };
        for group in 0..count {
            made.groups[group][0].campaign().expect("a voter may campaign");
            made.touch(group, 0);
            made.pump(group);
            assert_eq!(made.groups[group][0].raft.state, StateRole::Leader, "the first replica leads");
            made.groups[group][0].propose(Vec::new(), vec![1]).expect("a leader takes proposals");
            made.touch(group, 0);
            made.pump(group);
        }
        made
    }

    fn touch(&mut self, group: usize, at: usize) {
        let replica = &mut self.groups[group][at];
        while replica.has_ready() {
            let mut ready = replica.ready();
            self.wire.extend(ready.take_messages());
            replica.mut_store().store(&mut ready, true);
            let persisted = ready.take_persisted_messages();
            let number = ready.number();
            replica.advance_append_async(ready);
            replica.on_persist_ready(number);
            replica.advance_apply();
            self.wire.extend(persisted);
        }
    }

    fn pump(&mut self, group: usize) {
        while let Some(message) = self.wire.pop_front() {
            let to = message.to as usize - 1;
            self.groups[group][to].step(message).expect("a message of a member");
            self.touch(group, to);
        }
    }
}

impl Idle for RaftRs {
    type Replica = RawNode<Store>;

    fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / HEARTBEAT.as_millis() {
            for group in 0..self.groups.len() {
                for replica in 0..3 {
                    if self.groups[group][replica].tick() {
                        self.touch(group, replica);
                        self.pump(group);
                    }
                }
            }
        }
    }

    fn into_followers(self) -> Vec<Box<RawNode<Store>>> {
        let mut followers: Vec<_> = self.groups.into_iter().map(|[_, follower, _]| follower).collect();
        for follower in &mut followers {
            // What its host keeps is not the core's.
            *follower.mut_store() = Store::default();
        }
        followers
    }
}
