//! Peace: all faults end, everybody comes back, and progress is demanded.
//!
//! Before that, in some worlds, all faults end but a single cut, with which a leader must come and stay all the same. A group
//! with too many logs in doubt gets them back after a while, for it would do nothing for ever, and test nothing.
//!
//! A leader and a new commit within twelve election timeouts, and the time it takes to feed the voters; then, with the
//! administrator's help, all members agree; then nothing is asked any more, every read has ended, terms stay as they are,
//! and a group whose nodes know each other to live falls asleep.

use super::World;
use super::node::{Doom, Node, number_of, replica};
use super::raft_core::{NodeId, RoleKind};
use crate::core::action::{Shape, Survival};
use crate::core::dice::{Dice, Purpose};
use crate::core::knobs::{MS, Micros};
use crate::core::law::{Breach, Checked, Law};
use crate::core::marks::Mark;
use crate::core::record::Record;

fn missed(law: Law, seen: String) -> Checked {
    Err(Box::new(Breach { law, node: None, seen }))
}

impl World {
    /// Peace for ever: everything that it promises is demanded.
    pub(crate) fn heal(&mut self) -> Checked {
        if self.knobs.lasting > 0 {
            self.live_with_a_cut()?;
        }
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

    /// All faults end, and progress is made. Says how long an election timeout is; nothing when too few disks are sound for
    /// progress to be demanded.
    fn make_peace(&mut self) -> Result<Option<Micros>, Box<Breach>> {
        self.end_faults()?;
        let timeout = self.slowest_timeout();
        if !self.is_hopeful() {
            // Nothing can be asked of it but that it does nothing wrong.
            self.run_until(self.now + 20 * timeout)?;
            self.marks.hit(Mark::LogsMended);
            self.mend_logs()?;
        }
        if !self.is_hopeful() {
            self.marks.hit(Mark::NothingDemanded);
            return Ok(None);
        }
        self.marks.hit(Mark::ProgressDemanded);
        let backlog = self.backlog(|_| true);
        if self.knobs.quiet > 0 {
            self.expect_agreement(60 * timeout + backlog)?;
        }
        self.expect_commit()?;
        self.expect_agreement(60 * timeout + backlog)?;
        Ok(Some(timeout))
    }

    /// An election timeout by the slowest clock.
    fn slowest_timeout(&self) -> Micros {
        self.knobs.election_timeout * (1_000 + self.knobs.drift * 2) / 1_000
    }

    fn end_faults(&mut self) -> Checked {
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
            if self.nodes[at].is_health_bad {
                self.notice_health(at, false)?;
            }
        }
        Ok(())
    }

    /// What could not be read of logs can be read again, unless something else stands there by now.
    fn mend_logs(&mut self) -> Checked {
        for at in 0..self.nodes.len() {
            let image = &self.nodes[at].disk.image;
            let Some(lost) = image.lost.filter(|lost| self.arena.holds(*lost, image.log.last())) else {
                continue;
            };
            self.doom(at, Doom { after: 0, survival: Survival::None, down: 0 })?;
            let image = &mut self.nodes[at].disk.image;
            image.log.extend_to(lost, &self.arena);
            image.lost = None;
            let now = self.now;
            self.recorder.note(now, at, || Record::Note("all of its log can be read again".into()));
        }
        self.run_until(self.now + MS)
    }

    /// All faults end but one cut, which leaves a quorum whole: a leader comes, commits, and stays. Then the cut lies between
    /// that leader and one of the voters, and is no reason for another leader.
    fn live_with_a_cut(&mut self) -> Checked {
        self.end_faults()?;
        let Some(links) = self.bearable_cut() else { return Ok(()) };
        let timeout = self.slowest_timeout();
        self.cut(links, u32::MAX)?;
        self.expect_commit()?;
        self.run_until(self.now + 5 * timeout)?;
        self.expect_leaders(1)?;
        self.expect_commit()?;
        self.marks.hit(Mark::LivedWithCut);
        self.mend(links);
        self.expect_commit()?;
        // All come to hold the same, so that it is not for its log that a voter is refused.
        self.run_until(self.now + 5 * timeout)?;
        let Some(links) = self.cut_beside_leader() else { return Ok(()) };
        self.cut(links, u32::MAX)?;
        self.expect_leaders(0)?;
        self.marks.hit(Mark::LedWithCut);
        Ok(())
    }

    /// In a good while, at most so many come to lead; but a change of voters that is still under way may take leaders with it.
    fn expect_leaders(&mut self, at_most: usize) -> Checked {
        let (before, end) = (self.truth.last_term, self.now + 20 * self.slowest_timeout());
        let voters = |world: &Self| world.arena.membership(world.truth.last_committed()).voters().clone();
        let voted = voters(self);
        while self.now < end {
            self.run_until(self.now + self.knobs.heartbeat_interval)?;
            // In some worlds nobody asks for anything, and the group may try to sleep.
            if let Some(leader) = self.leader().filter(|_| self.knobs.quiet == 0) {
                self.write(leader, 0, 1)?;
            }
        }
        let led = (before + 1..=self.truth.last_term).filter(|term| self.truth.term(*term).leader.is_some());
        if led.count() <= at_most || voters(self) != voted {
            return Ok(());
        }
        missed(Law::V9, format!("term {before} was led, now {}: {}", self.truth.last_term, self.describe()))
    }

    /// The links of a cut between a leader and another voter without which it can do.
    fn cut_beside_leader(&self) -> Option<u64> {
        let mut dice = Dice::new(self.seed, Purpose::LastCut, 1, 0);
        let leader = &self.nodes[self.leader()?];
        let membership = self.arena.membership(leader.log.last());
        let others: Vec<_> =
            membership.voters().voters().iter().filter(|voter| **voter != leader.me).collect();
        if membership.is_joint() || !membership.is_voter(leader.me) || others.is_empty() {
            return None;
        }
        let other = number_of(others[dice.below(others.len() as u64) as usize].node);
        let shape = if dice.chance(500) { Shape::Pair(other as u8) } else { Shape::OneWay(other as u8) };
        self.tolerates(membership, Some(other)).then(|| self.links(leader.number, shape))
    }

    /// The links of a cut that takes away one voter at most, whichever side of it one looks from.
    fn bearable_cut(&self) -> Option<u64> {
        let mut dice = Dice::new(self.seed, Purpose::LastCut, 0, 0);
        let voters = self.arena.membership(self.truth.last_committed()).voters().voters();
        if voters.len() < 2 {
            return None;
        }
        let first = dice.below(voters.len() as u64) as usize;
        let second = first + dice.between(1, voters.len() as u64 - 1) as usize;
        let number = |place: usize| number_of(voters[place % voters.len()].node);
        let (victim, other) = (number(first), number(second));
        let shapes = [Shape::Deaf, Shape::Pair(other as u8), Shape::OneWay(other as u8)];
        let shape = shapes[dice.below(3) as usize];
        // Whoever comes to lead may go by any of these, and nobody mends them while the cut stays.
        let memberships = self.memberships_in_play();
        let spares = |number| memberships.iter().all(|membership| self.tolerates(membership, Some(number)));
        let is_bearable = spares(victim) && (shape == Shape::Deaf || spares(other));
        Some(self.links(victim, shape)).filter(|links| is_bearable && *links != 0)
    }

    /// Whether enough disks are sound for progress: of the membership that is committed, and of those by which one of its voters
    /// or whoever leads would go. What stands at the ends of other logs may be long over.
    fn is_hopeful(&self) -> bool {
        let committed = self.truth.last_committed();
        let membership = self.arena.membership(committed);
        let may_lead = |node: &&Node| membership.is_voter(node.me) || node.is_leader();
        let ends = self.nodes.iter().filter(may_lead).map(|node| node.log.last()).chain([committed]);
        ends.into_iter().all(|end| self.tolerates(self.arena.membership(end), None))
    }

    /// How long it takes at most to bring some logs to the length of the longest of them, one message at a time.
    fn backlog(&self, is_meant: impl Fn(&Node) -> bool) -> Micros {
        let nodes = || self.nodes.iter().filter(|node| is_meant(node));
        let longest = nodes().map(|node| node.log.last_index()).max().unwrap_or(0);
        let shortest = nodes().map(|node| node.disk.image.log.last_index().min(node.committed)).min();
        let knobs = &self.knobs;
        let per_message = (knobs.max_append_bytes.min(knobs.max_inflight_bytes) / knobs.entry_bytes).max(1);
        let trip = 2 * (knobs.latency + knobs.spread) + knobs.disk_latency + knobs.disk_spread;
        u64::from(longest - shortest.unwrap_or(0).min(longest)) * trip / per_message
    }

    /// Clients write until one of their entries is committed that nobody had asked for before.
    fn expect_commit(&mut self) -> Checked {
        let membership = self.arena.membership(self.truth.last_committed());
        let within = 12 * self.slowest_timeout() + self.backlog(|node| membership.is_voter(node.me));
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
        self.expect_answers()?;
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

    /// Whoever asked for a read before has heard what became of it.
    fn expect_answers(&self) -> Checked {
        let mut up = self.nodes.iter().filter(|node| node.raft.is_some());
        let waits = up.find_map(|node| Some((node, node.reads.iter().find(|read| read.ready.is_none())?)));
        let Some((node, read)) = waits else { return Ok(()) };
        missed(
            Law::V2,
            format!("node {} never answers read #{}: {}", node.number + 1, read.request, self.describe()),
        )
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
