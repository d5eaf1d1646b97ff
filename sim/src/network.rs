//! Connections between hosts: frames in order, or not at all.
//!
//! Between two hosts there is at most one connection, as over TCP: what is sent on it arrives in order; when it breaks,
//! what was on its way is lost, both ends hear of it, each in its own time, and somebody dials anew. A silent cut holds
//! frames back: if it heals within a second they arrive (TCP retransmits), else the connection breaks. Late frames of a
//! broken connection may come in after the new one's, as they do when two readers feed one inbox.
//!
//! It only says what happens when; the world's queue brings it back. Invariant: frames of one connection and direction
//! arrive in the order in which they were sent.

use raft_net::frame::{Content, Frame};

use crate::plan::{Micros, NetworkPlan};
use crate::rng::Rng;

/// How long a connection is silent before its end gives it up.
const SILENCE: Micros = 1_000_000;

/// Something that will happen to a pair of hosts. Ends and directions are 0 or 1: end 0 is the host of the lower
/// number, direction 0 leads from end 0 to end 1.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody dials.
    Dial { pair: usize },
    /// An end learns that there is a connection.
    Up { pair: usize, epoch: u64, end: usize },
    /// An end learns that its connection is gone.
    Down { pair: usize, epoch: u64, end: usize },
    /// An end has heard nothing for too long, if the cut is still there.
    Silence { pair: usize, epoch: u64, direction: usize, cut: u64 },
    /// A frame arrives.
    Deliver { pair: usize, epoch: u64, direction: usize, life: u64, frame: Box<Frame> },
    /// A frame of a broken connection arrives after all.
    Late { to: usize, life: u64, frame: Box<Frame> },
}

#[derive(Debug, Default)]
struct Lane {
    /// When the last frame arrives.
    last: Micros,
    frames: usize,
    bytes: usize,
    /// How many partitions cut this direction, and how often it was cut anew.
    cuts: u32,
    cut: u64,
    held: Vec<(u64, Box<Frame>)>,
}

#[derive(Debug)]
struct Pair {
    hosts: [usize; 2],
    /// Numbers the connections. Those before this one are gone.
    epoch: u64,
    is_up: bool,
    /// The connection each end knows of; 0 for none.
    told: [u64; 2],
    lanes: [Lane; 2],
    /// How many partitions refuse connections.
    refused: u32,
    is_dialing: bool,
}

/// Room in a sender's queue: for the host, to the host, so many frames and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) at: usize,
    pub(crate) to: usize,
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    /// There was none before.
    pub(crate) is_news: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Network {
    plan: NetworkPlan,
    rng: Rng,
    pairs: Vec<Pair>,
    /// Which life of each host's process is running.
    lives: Vec<Option<u64>>,
    /// What will happen, for the world to take.
    pub(crate) upcoming: Vec<(Micros, Event)>,
}

impl Network {
    pub(crate) fn new(hosts: usize, plan: NetworkPlan, rng: Rng) -> Self {
        let pair = |a, b| Pair {
            hosts: [a, b],
            epoch: 0,
            is_up: false,
            told: [0; 2],
            lanes: Default::default(),
            refused: 0,
            is_dialing: false,
        };
        let pairs = (0..hosts).flat_map(|a| (a + 1..hosts).map(move |b| pair(a, b))).collect();
        Self { plan, rng, pairs, lives: vec![None; hosts], upcoming: Vec::new() }
    }

    /// How many pairs of hosts there are.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// The two hosts of a pair.
    pub(crate) fn hosts(&self, pair: usize) -> [usize; 2] {
        self.pairs[pair].hosts
    }

    fn find(&self, a: usize, b: usize) -> Option<usize> {
        let hosts = [a.min(b), a.max(b)];
        self.pairs.iter().position(|pair| pair.hosts == hosts)
    }

    fn latency(&mut self) -> Micros {
        let NetworkPlan { latency, spread, has_tail, .. } = self.plan;
        if has_tail { self.rng.tailed(latency, spread) } else { self.rng.between(latency, latency + spread) }
    }

    fn dial(&mut self, pair: usize, at: Micros) {
        if !std::mem::replace(&mut self.pairs[pair].is_dialing, true) {
            self.upcoming.push((at, Event::Dial { pair }));
        }
    }

    /// A host's process runs.
    pub(crate) fn booted(&mut self, now: Micros, host: usize, life: u64) {
        self.lives[host] = Some(life);
        for pair in 0..self.pairs.len() {
            if self.pairs[pair].hosts.contains(&host) {
                let at = now + self.latency();
                self.dial(pair, at);
            }
        }
    }

    /// A host's process is gone. Its kernel says so to others, unless the power went.
    pub(crate) fn died(&mut self, now: Micros, host: usize, is_silent: bool) {
        self.lives[host] = None;
        for at in 0..self.pairs.len() {
            let Some(end) = self.pairs[at].hosts.iter().position(|h| *h == host) else { continue };
            let heard = now + if is_silent { SILENCE } else { self.latency() };
            let pair = &mut self.pairs[at];
            pair.told[end] = 0;
            if std::mem::replace(&mut pair.is_up, false) {
                pair.lanes.iter_mut().for_each(|lane| lane.held.clear());
                let epoch = pair.epoch;
                self.upcoming.push((heard, Event::Down { pair: at, epoch, end: 1 - end }));
            }
        }
    }

    /// Resets a connection.
    pub(crate) fn break_connection(&mut self, now: Micros, at: usize) {
        if !std::mem::replace(&mut self.pairs[at].is_up, false) {
            return;
        }
        let mut dial_at = now;
        for end in [0, 1] {
            let heard = now + self.latency();
            dial_at = dial_at.max(heard + 1);
            self.pairs[at].lanes[end].held.clear();
            let epoch = self.pairs[at].epoch;
            self.upcoming.push((heard, Event::Down { pair: at, epoch, end }));
        }
        self.dial(at, dial_at);
    }

    /// Lets frames from one host to another vanish.
    pub(crate) fn cut(&mut self, now: Micros, from: usize, to: usize) {
        let Some(at) = self.find(from, to) else { return };
        let pair = &mut self.pairs[at];
        let direction = usize::from(from > to);
        let lane = &mut pair.lanes[direction];
        lane.cuts += 1;
        if lane.cuts == 1 {
            lane.cut += 1;
            let (epoch, cut) = (pair.epoch, lane.cut);
            if pair.is_up {
                self.upcoming.push((now + SILENCE, Event::Silence { pair: at, epoch, direction, cut }));
            }
        }
    }

    /// Undoes one [`Network::cut`].
    pub(crate) fn mend(&mut self, now: Micros, from: usize, to: usize) {
        let Some(at) = self.find(from, to) else { return };
        let direction = usize::from(from > to);
        let lane = &mut self.pairs[at].lanes[direction];
        lane.cuts = lane.cuts.saturating_sub(1);
        if lane.cuts == 0 {
            let held = std::mem::take(&mut lane.held);
            // Until the next retransmission.
            lane.last = lane.last.max(now + self.rng.between(0, 200_000));
            for (life, frame) in held {
                self.fly(now, at, direction, life, frame);
            }
        }
    }

    /// Resets the connection of two hosts and lets them have no other.
    pub(crate) fn refuse(&mut self, now: Micros, a: usize, b: usize) {
        if let Some(at) = self.find(a, b) {
            self.pairs[at].refused += 1;
            self.break_connection(now, at);
        }
    }

    /// Undoes one [`Network::refuse`].
    pub(crate) fn admit(&mut self, a: usize, b: usize) {
        if let Some(at) = self.find(a, b) {
            self.pairs[at].refused = self.pairs[at].refused.saturating_sub(1);
        }
    }

    /// Ends all cuts and long latencies.
    pub(crate) fn heal(&mut self, now: Micros) {
        self.plan.has_tail = false;
        self.plan.stragglers = 0;
        for at in 0..self.pairs.len() {
            self.pairs[at].refused = 0;
            let [a, b] = self.pairs[at].hosts;
            for (direction, from, to) in [(0, a, b), (1, b, a)] {
                self.pairs[at].lanes[direction].cuts = self.pairs[at].lanes[direction].cuts.min(1);
                self.mend(now, from, to);
            }
        }
    }

    /// A host sends a frame to another.
    pub(crate) fn send(&mut self, now: Micros, from: usize, to: usize, frame: Frame) {
        let (Some(at), Some(life)) = (self.find(from, to), self.lives[to]) else { return };
        let pair = &mut self.pairs[at];
        let direction = usize::from(from > to);
        if !pair.is_up || pair.told[direction] != pair.epoch {
            return; // Into a connection that is gone.
        }
        let lane = &mut pair.lanes[direction];
        lane.frames += 1;
        lane.bytes += payload_bytes(&frame);
        if lane.cuts > 0 {
            lane.held.push((life, Box::new(frame)));
        } else {
            self.fly(now, at, direction, life, Box::new(frame));
        }
    }

    fn fly(&mut self, now: Micros, at: usize, direction: usize, life: u64, frame: Box<Frame>) {
        let latency = self.latency();
        let pair = &mut self.pairs[at];
        let epoch = pair.epoch;
        let lane = &mut pair.lanes[direction];
        lane.last = (now + latency).max(lane.last + 1);
        self.upcoming.push((lane.last, Event::Deliver { pair: at, epoch, direction, life, frame }));
    }

    /// Somebody dials. `can_answer` tells which hosts' processes answer.
    pub(crate) fn on_dial(&mut self, now: Micros, at: usize, can_answer: impl Fn(usize) -> bool) {
        self.pairs[at].is_dialing = false;
        let pair = &self.pairs[at];
        if pair.is_up {
            return;
        }
        let is_cut = pair.refused > 0 || pair.lanes.iter().any(|lane| lane.cuts > 0);
        if is_cut || !pair.hosts.iter().all(|host| can_answer(*host)) {
            let again = now + self.rng.between(10_000, 100_000);
            return self.dial(at, again);
        }
        let knows = [now, now + self.latency()];
        let pair = &mut self.pairs[at];
        pair.epoch += 1;
        pair.is_up = true;
        let epoch = pair.epoch;
        for end in [0, 1] {
            let lane = &mut pair.lanes[1 - end];
            (lane.last, lane.frames, lane.bytes) = (knows[end], 0, 0);
            self.upcoming.push((knows[end], Event::Up { pair: at, epoch, end }));
        }
    }

    /// An end learns of a connection: `Some` when it is still there, with the room it has.
    pub(crate) fn on_up(
        &mut self,
        at: usize,
        epoch: u64,
        end: usize,
    ) -> Option<(usize, usize, Option<Room>)> {
        let pair = &mut self.pairs[at];
        if !pair.is_up || pair.epoch != epoch || self.lives[pair.hosts[end]].is_none() {
            return None;
        }
        pair.told[end] = epoch;
        let (host, peer) = (pair.hosts[end], pair.hosts[1 - end]);
        Some((host, peer, self.room(at, end, true)))
    }

    fn room(&self, at: usize, direction: usize, is_news: bool) -> Option<Room> {
        let (frames, bytes) = self.plan.window?;
        let pair = &self.pairs[at];
        let lane = &pair.lanes[direction];
        Some(Room {
            at: pair.hosts[direction],
            to: pair.hosts[1 - direction],
            frames: frames.saturating_sub(lane.frames),
            bytes: bytes.saturating_sub(lane.bytes),
            is_news,
        })
    }

    /// An end learns that a connection is gone: `Some` when that is news to it.
    pub(crate) fn on_down(
        &mut self,
        now: Micros,
        at: usize,
        epoch: u64,
        end: usize,
    ) -> Option<(usize, usize)> {
        let pair = &mut self.pairs[at];
        if pair.told[end] != epoch {
            return None;
        }
        pair.told[end] = 0;
        let found = (pair.hosts[end], pair.hosts[1 - end]);
        self.dial(at, now + 1);
        Some(found)
    }

    /// An end gives up a silent connection.
    pub(crate) fn on_silence(&mut self, now: Micros, at: usize, epoch: u64, direction: usize, cut: u64) {
        let pair = &self.pairs[at];
        let lane = &pair.lanes[direction];
        if pair.epoch == epoch && lane.cuts > 0 && lane.cut == cut {
            self.break_connection(now, at);
        }
    }

    /// A frame arrives: who gets it, if anybody, and the room that this makes for its sender.
    pub(crate) fn on_deliver(
        &mut self,
        now: Micros,
        at: usize,
        epoch: u64,
        direction: usize,
        life: u64,
        frame: Box<Frame>,
    ) -> (Option<(usize, Box<Frame>)>, Option<Room>) {
        let pair = &mut self.pairs[at];
        let to = pair.hosts[1 - direction];
        if pair.epoch == epoch && pair.is_up {
            let full = self.plan.window.is_some_and(|(frames, bytes)| {
                let lane = &pair.lanes[direction];
                lane.frames >= frames || lane.bytes >= bytes
            });
            let lane = &mut pair.lanes[direction];
            lane.frames = lane.frames.saturating_sub(1);
            lane.bytes = lane.bytes.saturating_sub(payload_bytes(&frame));
            let arrives = pair.told[1 - direction] == epoch;
            let is_told = pair.told[direction] == epoch;
            let room = if is_told { self.room(at, direction, full) } else { None };
            return (arrives.then_some((to, frame)), room);
        }
        if self.lives[to] == Some(life) && self.rng.chance(self.plan.stragglers) {
            let arrives = now + self.rng.between(5_000, 500_000);
            self.upcoming.push((arrives, Event::Late { to, life, frame }));
        }
        (None, None)
    }

    /// A late frame arrives: whether the process it was meant for is still there.
    pub(crate) fn on_late(&self, to: usize, life: u64) -> bool {
        self.lives[to] == Some(life)
    }
}

fn payload_bytes(frame: &Frame) -> usize {
    match &frame.content {
        Content::Raft { entries, .. } => entries.iter().map(|entry| entry.payload.len()).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{GroupId, NodeId};

    use super::*;
    use crate::rng::Stream;

    fn frame() -> Frame {
        let (from, to) = (NodeId::new(1), NodeId::new(2));
        Frame { group: GroupId::ROOT, from, to, content: Content::Ping }
    }

    /// Two hosts with a connection that both know of.
    fn connected() -> Network {
        let plan =
            NetworkPlan { latency: 10, spread: 1_000, has_tail: true, window: Some((2, 100)), stragglers: 0 };
        let mut network = Network::new(2, plan, Rng::new(1, Stream::Network));
        network.booted(0, 0, 1);
        network.booted(0, 1, 1);
        network.on_dial(5, 0, |_| true);
        assert!(network.on_up(0, 1, 0).is_some() && network.on_up(0, 1, 1).is_some());
        network.upcoming.clear();
        network
    }

    fn arrivals(network: &mut Network) -> Vec<Micros> {
        network
            .upcoming
            .drain(..)
            .filter(|(_, event)| matches!(event, Event::Deliver { .. }))
            .map(|(at, _)| at)
            .collect()
    }

    #[test]
    fn frames_of_a_connection_arrive_in_order() {
        let mut network = connected();
        (0..100).for_each(|now| network.send(now, 0, 1, frame()));
        let at = arrivals(&mut network);
        assert_eq!(at.len(), 100);
        assert!(at.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_broken_connection_loses_what_is_on_its_way() {
        let mut network = connected();
        network.send(10, 0, 1, frame());
        network.break_connection(11, 0);
        let (arrived, room) = network.on_deliver(20, 0, 1, 0, 1, Box::new(frame()));
        assert!(arrived.is_none() && room.is_none());
        network.send(30, 0, 1, frame());
        assert_eq!(arrivals(&mut network).len(), 1, "nothing is sent into a connection that is gone");
    }

    #[test]
    fn a_short_cut_delays_and_a_long_one_breaks() {
        let mut network = connected();
        network.cut(10, 0, 1);
        network.send(11, 0, 1, frame());
        network.send(11, 1, 0, frame());
        assert_eq!(arrivals(&mut network).len(), 1, "the other direction is open");
        network.mend(500, 0, 1);
        assert_eq!(arrivals(&mut network).len(), 1);
        network.cut(600, 0, 1);
        let silence = network.upcoming.pop().unwrap();
        assert!(matches!(silence, (1_000_600, Event::Silence { cut: 2, .. })));
        network.send(700, 0, 1, frame());
        network.on_silence(1_000_600, 0, 1, 0, 2);
        network.mend(1_000_700, 0, 1);
        assert!(arrivals(&mut network).is_empty());
        assert!(
            network.on_down(1_000_800, 0, 1, 0).is_some() && network.on_down(1_000_800, 0, 1, 1).is_some()
        );
    }

    #[test]
    fn a_full_queue_is_said_to_have_room_once_a_frame_has_arrived() {
        let mut network = connected();
        network.send(10, 0, 1, frame());
        network.send(10, 0, 1, frame());
        let (_, room) = network.on_deliver(50, 0, 1, 0, 1, Box::new(frame()));
        assert_eq!(room, Some(Room { at: 0, to: 1, frames: 1, bytes: 100, is_news: true }));
    }
}
