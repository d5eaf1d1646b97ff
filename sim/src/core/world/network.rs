//! The network: what is on its way, which links are cut, and what waits for its time.
//!
//! Messages are objects with a sender that the network vouches for: node, disk and life. They are lost, doubled, delayed,
//! overtaken, and come again much later, also over restarts of both ends. Invariant: nothing is altered.

use super::arena::EntryNo;
use super::node::{Node, number_of};
use super::raft_core::{LogId, Message, NodeId, ReplicaId, Term};
use super::{DELIVER, PING, TIMER, World, describe};
use crate::core::dice::{Dice, Purpose};
use crate::core::knobs::{Knobs, MS, Micros};
use crate::core::law::{Checked, ensure};
use crate::core::marks::Mark;
use crate::core::queue::{Due, Queue, Slab};
use crate::core::record::Record;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A message of the group, and the last entry of those that it carries.
    Raft { message: Message, tip: EntryNo },
    /// The sender's node lives, and leads no more in a term.
    Ping { withdrawn: u32 },
    /// That was heard.
    Confirm { withdrawn: u32 },
}

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: ReplicaId,
    pub(crate) boot: u32,
    pub(crate) to: u8,
    pub(crate) number: u32,
    /// It comes for a second time, much later.
    pub(crate) is_replay: bool,
    pub(crate) body: Body,
}

/// What waits for its time.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    /// A process starts again.
    Restart { node: usize, boot: u32 },
    /// A process goes on.
    Resume { node: usize, boot: u32 },
    /// These links carry again: a bit for each (from, to). Unless all cuts have ended since.
    Mend { links: u64, age: u32 },
    /// The host notices how its disk is.
    Health { node: usize, boot: u32, is_full: bool },
    /// A snapshot is there, or is not.
    Installed { node: usize, boot: u32, last: LogId, no: EntryNo, is_there: bool },
    /// A snapshot is ready to be offered.
    Offer { node: usize, boot: u32, peer: NodeId, at_least: u32 },
    /// A node hears that it has lost its connection to another.
    Lost { node: usize, boot: u32, of: usize },
}

/// More packets than this are never on their way at once, however wide the windows are and however often a packet
/// comes twice.
const MAX_PACKETS: usize = 50_000;

/// See the module's documentation.
pub(crate) struct Network {
    pub(crate) queue: Queue,
    pub(crate) packets: Slab<Packet>,
    pub(crate) later: Slab<Later>,
    seed: u64,
    /// The last moment at which something was sent on a link, and how much by then.
    moments: [[(Micros, u8); 8]; 8],
    /// How often all cuts have ended at once: those of an earlier age are mended already.
    pub(crate) age: u32,
    /// How many cuts lie on the link from one node to another.
    pub(crate) cuts: [[u8; 8]; 8],
    sent: u32,
    /// When the last message from one node to another arrives, if they keep their order.
    last: Option<[[Micros; 8]; 8]>,
    /// Chances in 1024.
    drop: u64,
    duplicate: u64,
    replay: u64,
    tail: u64,
}

impl Network {
    pub(crate) fn new(seed: u64, knobs: &Knobs) -> Self {
        let scale = |permille: u64| (permille * 1024).div_ceil(1000);
        Self {
            queue: Queue::default(),
            packets: Slab::default(),
            later: Slab::default(),
            seed,
            moments: [[(0, 0); 8]; 8],
            age: 0,
            cuts: [[0; 8]; 8],
            sent: 0,
            last: (knobs.ordered > 0).then_some([[0; 8]; 8]),
            drop: scale(knobs.drop),
            duplicate: scale(knobs.duplicate),
            replay: scale(knobs.replay),
            tail: scale(knobs.tail),
        }
    }

    /// No more small faults.
    pub(crate) fn calm(&mut self) {
        (self.drop, self.duplicate, self.replay, self.tail) = (0, 0, 0, 0);
        self.cuts = [[0; 8]; 8];
        self.age += 1;
    }

    /// Small faults again.
    pub(crate) fn stir(&mut self, knobs: &Knobs, seed: u64) {
        let Self { drop, duplicate, replay, tail, .. } = Self::new(seed, knobs);
        (self.drop, self.duplicate, self.replay, self.tail) = (drop, duplicate, replay, tail);
    }

    /// The dice for a message: what is sent on a link at the same moment draws one after the other.
    fn dice(&mut self, from: usize, to: usize, now: Micros) -> Dice {
        let (moment, count) = &mut self.moments[from][to];
        *count = if *moment == now { count.wrapping_add(1) } else { 0 };
        *moment = now;
        let name = (from | to << 3 | usize::from(*count) << 6) as u64;
        Dice::new(self.seed, Purpose::Link, name, now)
    }

    fn delay(&self, knobs: &Knobs, dice: &mut Dice) -> Micros {
        let draw = dice.any();
        let mut delay = knobs.latency + (((draw >> 32) * (knobs.spread + 1)) >> 32);
        if draw & 1023 < self.tail {
            delay *= 1 + (draw >> 10 & 127);
        }
        delay
    }
}

impl World {
    /// Puts a packet on its way, or loses it.
    pub(crate) fn send(&mut self, node: usize, to: NodeId, body: Body) {
        let to = number_of(to);
        if to >= self.nodes.len() || to == node {
            return;
        }
        self.network.sent += 1;
        let number = self.network.sent;
        let Node { me, boot, .. } = self.nodes[node];
        let packet = Packet { from: me, boot, to: to as u8, number, is_replay: false, body };
        let now = self.now;
        self.recorder.note(now, node, || describe::sent(&packet));
        let mut dice = self.network.dice(node, to, now);
        let draw = dice.any();
        if self.network.cuts[node][to] > 0 || draw & 1023 < self.network.drop {
            self.recorder.note(now, node, || Record::Lost { number, to });
            return;
        }
        if draw >> 10 & 1023 < self.network.duplicate {
            let delay = self.network.delay(&self.knobs, &mut dice);
            self.enqueue(packet.clone(), now + delay);
        }
        if draw >> 20 & 1023 < self.network.replay && matches!(packet.body, Body::Raft { .. }) {
            let delay = dice.below(self.knobs.replay_after);
            self.enqueue(Packet { is_replay: true, ..packet.clone() }, now + delay);
        }
        let mut at = now + self.network.delay(&self.knobs, &mut dice);
        if let Some(last) = &mut self.network.last {
            at = at.max(last[node][to]);
            last[node][to] = at;
        }
        self.enqueue(packet, at);
    }

    fn enqueue(&mut self, packet: Packet, at: Micros) {
        let number = self.network.packets.put(packet);
        self.network.queue.push(at, Due::new(DELIVER, number));
    }

    pub(crate) fn deliver(&mut self, due: Due) -> Checked {
        let Some(packet) = self.network.packets.take(due.number()) else { return Ok(()) };
        let (from, to) = (number_of(packet.from.node), usize::from(packet.to));
        let node = &mut self.nodes[to];
        if node.is_paused && node.raft.is_some() {
            let again = self.network.packets.put(packet);
            node.held.push(Due::new(DELIVER, again));
            return Ok(());
        }
        if node.raft.is_none() || self.network.cuts[from][to] > 0 || packet.is_replay && self.is_healed {
            let (now, number) = (self.now, packet.number);
            self.recorder.note(now, from, || Record::Lost { number, to });
            return Ok(());
        }
        let (now, number) = (self.now, packet.number);
        self.recorder.note(now, to, || Record::Received { number, from });
        let on_their_way = self.network.packets.len();
        ensure!(
            on_their_way < MAX_PACKETS,
            O1,
            from,
            "sends on and on: {on_their_way} packets are on their way"
        );
        if let Body::Raft { .. } = packet.body {
            self.counts.delivered += 1;
            self.nodes[to].heard[from] = now;
        }
        self.marks.hit_if(packet.boot < self.nodes[from].boot, Mark::OldPacket);
        match packet.body {
            Body::Raft { message, tip } => self.take_message(to, packet.from, message, tip),
            Body::Ping { withdrawn } => self.take_ping(to, from, packet.boot, withdrawn),
            Body::Confirm { withdrawn } => {
                let open = &mut self.nodes[to].withdrawals[from];
                if *open <= withdrawn {
                    *open = 0;
                }
                Ok(())
            }
        }
    }

    fn take_message(&mut self, to: usize, from: ReplicaId, message: Message, tip: EntryNo) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[to];
        node.incoming = tip;
        if let Message::AppendReply(reply) = &message
            && reply.term == node.state.term
        {
            node.answered[number_of(from.node) & 7] = now;
        }
        let local = node.local(now);
        let Some(raft) = &mut node.raft else { return Ok(()) };
        raft.receive(local, from, message);
        self.drain(to, Some(Mark::WokenByMessage))
    }

    // Liveness of nodes: pings between hosts, as the transport of a real host has them.

    /// A node tells all others that it lives, and looks who was silent.
    pub(crate) fn ping(&mut self, node: usize, boot: u32) -> Checked {
        if self.nodes[node].raft.is_none() || self.nodes[node].boot & 0x1f_ffff != boot {
            return Ok(());
        }
        let at = self.now + self.knobs.ping_interval;
        self.network.queue.push(at, Self::node_due(PING, node, boot));
        if self.nodes[node].is_paused {
            return Ok(());
        }
        for other in 0..self.nodes.len() {
            if other == node {
                continue;
            }
            let withdrawn = self.nodes[node].withdrawals[other];
            self.send(node, NodeId::new(other as u64 + 1), Body::Ping { withdrawn });
            let view = &mut self.nodes[node].views[other];
            if view.told != Some(false) && view.heard_at + self.knobs.silent_after < self.now {
                view.told = Some(false);
                self.tell_liveness(node, other);
                self.drain(node, Some(Mark::WokenBySilence))?;
            }
        }
        Ok(())
    }

    fn take_ping(&mut self, to: usize, from: usize, boot: u32, withdrawn: u32) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[to];
        let view = &mut node.views[from];
        if boot < view.boot {
            return Ok(());
        }
        view.heard_at = now;
        if view.told != Some(true) || view.boot != boot {
            let is_new_life = view.told == Some(true);
            view.boot = boot;
            view.told = Some(true);
            self.tell_liveness(to, from);
            self.drain(to, is_new_life.then_some(Mark::WokenByBoot))?;
        }
        if withdrawn > 0 && self.nodes[to].raft.is_some() {
            let node = &mut self.nodes[to];
            let local = node.local(now);
            if let Some(raft) = &mut node.raft {
                raft.leader_withdrew(local, NodeId::new(from as u64 + 1), Term::new(withdrawn.into()));
            }
            self.drain(to, Some(Mark::WokenByWithdrawal))?;
            if self.nodes[to].raft.is_some() {
                self.send(to, NodeId::new(from as u64 + 1), Body::Confirm { withdrawn });
            }
        }
        Ok(())
    }

    /// Cuts links, and mends them after a while.
    pub(crate) fn cut(&mut self, links: u64, lasts: u32) -> Checked {
        self.counts.partitions += u64::from(links != 0);
        let now = self.now;
        self.recorder.note(now, usize::MAX, || Record::Cut { links });
        for (from, to) in pairs(links) {
            self.network.cuts[from][to] += 1;
            if self.knobs.reports_loss > 0 {
                for (node, of) in [(from, to), (to, from)] {
                    if let (Some(node), true) = (self.nodes.get(node), of < self.nodes.len()) {
                        let (node, boot) = (node.number, node.boot);
                        let name = (node * 8 + of) as u64;
                        let mut dice = Dice::new(self.seed, Purpose::Loss, name, now);
                        let at = now + dice.between(MS, 300 * MS);
                        self.later_at(at, Later::Lost { node, boot, of });
                    }
                }
            }
        }
        let age = self.network.age;
        self.later_at(now + Micros::from(lasts), Later::Mend { links, age });
        Ok(())
    }

    pub(crate) fn mend(&mut self, links: u64) {
        let now = self.now;
        self.recorder.note(now, usize::MAX, || Record::Mend { links });
        for (from, to) in pairs(links) {
            self.network.cuts[from][to] = self.network.cuts[from][to].saturating_sub(1);
        }
    }

    /// A timer of a core is due, unless it was set anew.
    pub(crate) fn timer(&mut self, node: usize, timer: u32) -> Checked {
        let now = self.now;
        let at = &mut self.nodes[node];
        if at.timer & 0x1f_ffff != timer || at.raft.is_none() || at.is_paused {
            return Ok(());
        }
        at.timer_at = Micros::MAX;
        let local = at.local(now);
        let Some(raft) = &mut at.raft else { return Ok(()) };
        if raft.next_deadline().is_some_and(|deadline| deadline <= local) {
            self.counts.timers += 1;
            raft.tick(local);
            self.drain(node, None)?;
            if self.checks {
                self.check_quorum(node)?;
                self.check_health(node)?;
            }
            return Ok(());
        }
        self.set_timer(node);
        Ok(())
    }

    /// A leader that has just had its say has heard a quorum lately, or it leads no more.
    fn check_quorum(&mut self, at: usize) -> Checked {
        let node = &mut self.nodes[at];
        if std::mem::take(&mut node.has_woken) {
            // It speaks for the first time since it woke, however long ago that was, and nobody could answer before.
            node.leads_since = self.now;
        }
        if !node.is_leader() || node.was_asleep {
            return Ok(());
        }
        let since = self.now.saturating_sub(3 * self.knobs.election_timeout);
        if node.leads_since >= since {
            return Ok(());
        }
        let is_heard = |voter: ReplicaId| voter == node.me || node.heard[number_of(voter.node) & 7] >= since;
        let membership = self.arena.membership(node.log.last());
        ensure!(
            membership.is_quorum(is_heard),
            V3,
            at,
            "leads term {} and has heard no quorum of {membership:?} since three election timeouts",
            node.term()
        );
        Ok(())
    }

    /// A leader whose disk has long been bad is one to whom no other voter answers.
    fn check_health(&mut self, at: usize) -> Checked {
        let node = &self.nodes[at];
        let timeout = self.knobs.election_timeout;
        if !node.is_leader() || !node.is_health_bad {
            return Ok(());
        }
        let answers = |voter: &ReplicaId| node.answered[number_of(voter.node) & 7] + timeout > self.now;
        let mut others = self
            .arena
            .membership(node.log.last())
            .voters()
            .voters()
            .iter()
            .filter(|voter| **voter != node.me);
        let successor = others.find(|voter| answers(voter));
        if successor.is_none() {
            self.nodes[at].bad_since = self.now;
            return Ok(());
        }
        ensure!(
            node.bad_since.max(node.leads_since) + 3 * timeout >= self.now,
            V8,
            at,
            "leads term {} with a disk that is bad since three election timeouts, and {successor:?} answers",
            node.term()
        );
        Ok(())
    }

    /// Sees to it that the core is woken when it wants to be.
    pub(crate) fn set_timer(&mut self, node: usize) {
        let at = &mut self.nodes[node];
        let Some(deadline) = at.raft.as_ref().and_then(|raft| raft.next_deadline()) else { return };
        let due = at.global(deadline).max(self.now);
        if due < at.timer_at {
            at.timer_at = due;
            at.timer = at.timer.wrapping_add(1);
            self.network.queue.push(due, Self::node_due(TIMER, node, at.timer));
        }
    }

    /// A leader's append is checked before it leaves: the host owes that ranges and bytes belong together.
    pub(crate) fn check_range(&self, node: usize, tip: EntryNo, message: &Message) -> Checked {
        let Message::Append(append) = message else { return Ok(()) };
        let entries = &append.entries;
        let before = self.arena.ancestor(tip, entries.before().index.as_u64() as u32);
        ensure!(
            self.arena.id(tip) == entries.last_id() && self.arena.id(before) == entries.before(),
            R3,
            node,
            "sends {entries:?} with the bytes of {}..{}",
            self.arena.id(before),
            self.arena.id(tip)
        );
        Ok(())
    }
}

/// The links of a set, as (from, to).
fn pairs(links: u64) -> impl Iterator<Item = (usize, usize)> {
    (0..64).filter(move |bit| links >> bit & 1 == 1).map(|bit| (bit / 8, bit % 8))
}
