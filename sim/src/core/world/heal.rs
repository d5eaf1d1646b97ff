//! Peace: all faults end, everybody comes back, and progress is demanded.
//!
//! A leader and a new commit within ten election timeouts; then, with the administrator's help, all members agree; then
//! nothing is asked any more, terms stay as they are, and a group whose nodes know each other to live falls asleep.

use super::World;
use super::node::{number_of, replica};
use super::raft_core::{NodeId, RoleKind};
use crate::core::knobs::{MS, Micros};
use crate::core::law::{Breach, Checked, Law};
use crate::core::record::Record;

fn missed(law: Law, seen: String) -> Checked {
    Err(Box::new(Breach { law, node: None, seen }))
}

impl World {
    /// Peace for ever: everything that it promises is demanded.
    pub(crate) fn heal(&mut self) -> Checked {
        match self.make_peace()? {
            Some(timeout) => self.expect_rest(5 * timeout),
            None => Ok(()),
        }
    }

    /// Peace for a while: then everything goes on as it was.
    pub(crate) fn rest_a_while(&mut self) -> Checked {
        let (knobs, seed) = (self.knobs.clone(), self.seed);
        self.make_peace()?;
        self.is_healed = false;
        self.network.stir(&knobs, seed);
        self.knobs = knobs;
        let now = self.now;
        self.recorder.note(now, usize::MAX, || Record::Note("faults begin again".into()));
        Ok(())
    }

    /// All faults end. Says how long an election timeout is by the slowest clock; nothing when too many logs are in
    /// doubt for progress to be demanded.
    fn make_peace(&mut self) -> Result<Option<Micros>, Box<Breach>> {
        self.is_healed = true;
        let now = self.now;
        self.recorder.note(now, usize::MAX, || Record::Healed);
        self.network.calm();
        self.knobs.disk_tail = 0;
        self.knobs.disk_silence = 0;
        self.knobs.snapshot_failure = 0;
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            node.doom = None;
            node.disk.stalled_until = 0;
            node.disk.full_until = 0;
            node.disk.due = None;
            // A write that was to take long takes no longer.
            let soon = now + self.knobs.disk_latency + self.knobs.disk_spread;
            for write in &mut node.disk.writes {
                write.done_at = write.done_at.min(soon);
            }
            self.schedule_disk(at);
            if self.nodes[at].raft.is_none() {
                self.boot(at)?;
            }
            self.resume(at)?;
        }
        let drift = 1_000 + self.knobs.drift * 2;
        let timeout = self.knobs.election_timeout * drift / 1_000;
        let is_hopeful = self.memberships_in_play().iter().all(|membership| self.tolerates(membership, None));
        if !is_hopeful {
            self.run_until(self.now + 20 * timeout)?;
            return Ok(None);
        }
        let backlog = self.backlog();
        if self.knobs.quiet > 0 {
            self.expect_agreement(60 * timeout + backlog)?;
        }
        self.expect_commit(10 * timeout + backlog)?;
        self.expect_agreement(60 * timeout + backlog)?;
        Ok(Some(timeout))
    }

    /// How long it takes at most to bring every log to the length of the longest, one message at a time.
    fn backlog(&self) -> Micros {
        let longest = self.nodes.iter().map(|node| node.log.last_index()).max().unwrap_or(0);
        let shortest =
            self.nodes.iter().map(|node| node.disk.image.log.last_index().min(node.committed)).min();
        let knobs = &self.knobs;
        let per_message = (knobs.max_append_bytes.min(knobs.max_inflight_bytes) / knobs.entry_bytes).max(1);
        let trip = 2 * (knobs.latency + knobs.spread) + knobs.disk_latency + knobs.disk_spread;
        u64::from(longest - shortest.unwrap_or(0).min(longest)) * trip / per_message
    }

    /// Clients write until one of their entries is committed that nobody had asked for before.
    fn expect_commit(&mut self, within: Micros) -> Checked {
        let (begin, before) = (self.now, self.truth.committed());
        let last_term = self.truth.last_term;
        while self.now < begin + within {
            self.run_until(self.now + 10 * MS)?;
            if let Some(leader) = self.leader() {
                self.write(leader, 0, 1)?;
            }
            if self.truth.committed() > before + 1 {
                return Ok(());
            }
        }
        missed(
            Law::V1,
            format!(
                "{} was committed, now {}; term {last_term} was led, now {}; {}",
                before,
                self.truth.committed(),
                self.truth.last_term,
                self.describe()
            ),
        )
    }

    /// Everybody comes to hold and to have committed the same, and every member's disk is there.
    fn expect_agreement(&mut self, within: Micros) -> Checked {
        let begin = self.now;
        let mut next_repair = begin;
        while self.now < begin + within {
            if self.now >= next_repair {
                self.repair()?;
                next_repair = self.now + self.knobs.election_timeout;
            }
            self.run_until(self.now + self.knobs.heartbeat_interval)?;
            if self.is_agreed() {
                return Ok(());
            }
        }
        missed(Law::V5, format!("members do not agree: {}", self.describe()))
    }

    fn is_agreed(&self) -> bool {
        let last = self.truth.last_committed();
        let membership = self.arena.membership(last);
        let is_done = membership.replicas().all(|member| {
            let node = &self.nodes[number_of(member.node)];
            node.me == member
                && node.committed == self.truth.committed()
                && node.log.last() == last
                && node.disk.image.log.last() == last
        });
        let standing = self.nodes.len() - 1;
        let is_fed = self.knobs.standing == 0 || self.nodes[standing].committed == self.truth.committed();
        is_done && is_fed && !membership.is_joint() && membership.learners().is_empty()
    }

    /// Nothing happens that nobody asks for.
    fn expect_rest(&mut self, within: Micros) -> Checked {
        let terms = |world: &Self| world.nodes.iter().map(|node| node.state.term).max();
        self.run_until(self.now + within / 2)?;
        let before = terms(self);
        self.run_until(self.now + within)?;
        if terms(self) != before {
            return missed(Law::V5, format!("terms rise in peace, from {before:?}: {}", self.describe()));
        }
        let Some(leader) = self.leader() else {
            return missed(Law::V5, format!("the leader is gone in peace: {}", self.describe()));
        };
        let is_asleep = self.nodes[leader].raft.as_ref().is_some_and(|raft| raft.is_asleep());
        if self.knobs.ping_interval > 0 && !is_asleep && self.may_sleep() {
            return missed(Law::V6, format!("nobody sleeps: {}", self.describe()));
        }
        Ok(())
    }

    /// Whether all nodes that the leader feeds are such that it may fall asleep.
    fn may_sleep(&self) -> bool {
        let membership = self.arena.membership(self.truth.last_committed());
        let is_sound = membership.replicas().all(|member| {
            let number = number_of(member.node);
            member == replica(number, self.nodes[number].disks.len() - 1)
        });
        // Who has gone is fed until it knows that, which may take long.
        let leader = self.leader().and_then(|leader| self.nodes[leader].raft.as_ref());
        let is_member = |peer: NodeId| {
            let is_standing = self.knobs.standing > 0 && number_of(peer) + 1 == self.nodes.len();
            is_standing || membership.replicas().any(|member| member.node == peer)
        };
        let has_let_go = leader.is_some_and(|leader| leader.peers().all(is_member));
        is_sound && has_let_go && self.is_agreed()
    }

    fn describe(&self) -> String {
        let mut out = String::new();
        for node in &self.nodes {
            let doubt = if node.disk.image.lost.is_some() { " in doubt" } else { "" };
            let role = if node.raft.is_none() { "down".into() } else { node.state.role.to_string() };
            out += &format!(
                "n{} {role} t{} log {} committed {}{doubt}; ",
                node.number + 1,
                node.state.term,
                self.arena.id(node.log.last()),
                node.committed
            );
        }
        let leads = (0..self.nodes.len()).filter(|node| self.is_role(*node, RoleKind::Leader)).count();
        let membership = self.arena.membership(self.truth.last_committed());
        out + &format!("{leads} lead; {membership:?}")
    }
}
