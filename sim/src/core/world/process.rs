//! Processes: how they start from their disk, die, stand still, and what their hosts do in time.
//!
//! Recovery here is what the real host does: read the log and the snapshot, note what can no longer be read, open the
//! core with that, and never with anything else. Invariant: nothing of a life survives it but the disk.

use super::arena::EntryNo;
use super::disk::DiskRecord;
use super::network::Later;
use super::node::{Doom, Node, View, number_of, replica};
use super::raft_core::{
    Liveness, LogIndex, Membership, NodeId, Raft, ReadId, Restored, RoleKind, Snapshot, SoftState,
    StorageHealth,
};
use super::{PING, World};
use crate::core::action::Survival;
use crate::core::dice::{Dice, Purpose};
use crate::core::knobs::Micros;
use crate::core::law::{Checked, ensure};
use crate::core::marks::Mark;
use crate::core::record::Record;

impl World {
    pub(crate) fn boot_all(&mut self) -> Checked {
        (0..self.nodes.len()).try_for_each(|at| self.boot(at))
    }

    /// Starts a process from its disk.
    pub(crate) fn boot(&mut self, at: usize) -> Checked {
        let now = self.now;
        let (arena, node) = (&self.arena, &mut self.nodes[at]);
        // Another for each life, as the core asks for.
        let name = at as u64 | u64::from(node.boot) << 3;
        let seed = Dice::new(self.seed, Purpose::Process, name, now).any();
        let image = &mut node.disk.image;
        // A snapshot that the log does not reach takes its place, with all that lies before it.
        if !image.log.holds(image.snapshot, arena) {
            self.marks.hit(Mark::RestartLost);
            image.log.start(image.snapshot, arena);
        }
        let base = image.log.base;
        let is_known = base != 0 || node.disks.len() == 1 && (at as u64) < self.knobs.voters;
        let membership = if base != 0 {
            arena.membership(base).clone()
        } else if is_known {
            self.genesis.clone()
        } else {
            Membership::none()
        };
        let committed = image.committed.max(arena.index(image.snapshot));
        let doubt = image.lost.filter(|lost| !image.log.holds(*lost, arena));
        let log = image.log.runs(arena);
        let restored = Restored {
            hard_state: image.hard_state,
            memberships: image.log.memberships(arena),
            log: log.clone(),
            committed: LogIndex::new(committed.into()),
            doubt: doubt.map(|lost| arena.id(lost)),
        };
        let raft = Raft::new(node.me, membership, self.options.clone(), restored, seed, node.local(now));
        let opened = raft.commit().as_u64() as u32;
        // A snapshot may be on the disk before the term in which it came is; nobody was told of that term then.
        let (opened_in, kept) = (raft.hard_state(), node.disk.image.hard_state);
        let is_raised = opened_in.term == log.last_id().term && opened_in.term > kept.term;
        ensure!(
            *raft.log() == log && (opened_in == kept || is_raised && opened_in.vote.is_none()),
            L8,
            at,
            "opens with {:?} and has {log:?} on its disk",
            raft.log()
        );
        ensure!(
            opened >= committed.min(node.disk.image.log.last_index()),
            L1,
            at,
            "opens with {opened} committed, and noted {committed}"
        );
        let state = raft.soft_state();
        node.asked = raft.hard_state();
        node.was_in_doubt = raft.is_in_doubt();
        self.marks.hit_if(node.was_in_doubt, Mark::DoubtOpened);
        if !node.was_in_doubt {
            node.disk.image.lost = None;
        }
        node.raft = Some(raft);
        node.boot += 1;
        node.log = node.disk.image.log.clone();
        node.state = SoftState { role: RoleKind::Follower, ..state };
        node.committed = opened;
        node.compacted_at = node.log.base_index();
        node.installing = None;
        node.doom = None;
        node.is_paused = false;
        node.timer_at = Micros::MAX;
        node.views = [View { heard_at: now, ..View::default() }; 8];
        node.withdrawals = [0; 8];
        node.offered = [0; 8];
        node.was_asleep = false;
        node.is_health_bad = false;
        let boot = node.boot;
        self.recorder.note(now, at, || Record::Boot { boot });
        if self.knobs.standing > 0 {
            // Whoever is up learns of a standing learner's new disk when it is there.
            let is_learner = at as u64 + 1 == self.knobs.nodes;
            let hosts = if is_learner { 0..at } else { at..at + 1 };
            hosts.for_each(|host| self.admit_standing(host));
        }
        if self.knobs.ping_interval > 0 {
            self.network.queue.push(now, Self::node_due(PING, at, boot));
        }
        self.drain(at, None)
    }

    fn admit_standing(&mut self, at: usize) {
        let last = self.nodes.len() - 1;
        let learner = replica(last, self.nodes[last].disks.len() - 1);
        let local = self.nodes[at].local(self.now);
        if let Some(raft) = &mut self.nodes[at].raft {
            raft.admit_learner(local, learner);
        }
    }

    /// A process is to die, at once or after some more effects.
    pub(crate) fn doom(&mut self, at: usize, doom: Doom) -> Checked {
        if self.nodes[at].raft.is_none() {
            return Ok(());
        }
        self.nodes[at].doom = Some(doom);
        if doom.after == 0 { self.die(at) } else { Ok(()) }
    }

    /// A process dies, as its doom says.
    pub(crate) fn die(&mut self, at: usize) -> Checked {
        let node = &mut self.nodes[at];
        let Some(doom) = node.doom.take() else { return Ok(()) };
        self.counts.crashes += 1;
        let waiting = node.disk.writes.len();
        let (kept, records) = match doom.survival {
            Survival::None => (0, 0),
            Survival::All => (waiting, 0),
            Survival::Prefix => {
                let mut dice = Dice::new(self.seed, Purpose::Crash, at as u64, self.now);
                (dice.below(waiting as u64 + 1) as usize, dice.below(5) as u32)
            }
        };
        self.marks.hit_if(kept > 0, Mark::WriteSurvived);
        self.marks.hit_if(kept < waiting && records > 0, Mark::WriteTorn);
        node.disk.crash(kept, records, &self.arena);
        self.stop(at);
        let (now, boot) = (self.now, self.nodes[at].boot);
        self.later_at(now + Micros::from(doom.down), Later::Restart { node: at, boot });
        if self.knobs.reports_loss > 0 {
            for node in 0..self.nodes.len() {
                let boot = self.nodes[node].boot;
                let name = (node * 8 + at) as u64;
                let after = Dice::new(self.seed, Purpose::Loss, name, now).below(20_000);
                if node != at {
                    self.later_at(now + after, Later::Lost { node, boot, of: at });
                }
            }
        }
        Ok(())
    }

    /// The memory of a process is gone.
    fn stop(&mut self, at: usize) {
        let now = self.now;
        self.recorder.note(now, at, || Record::Died);
        self.clients.forget(&mut self.nodes[at]);
        let node = &mut self.nodes[at];
        node.raft = None;
        for due in node.held.drain(..) {
            self.network.packets.take(due.number());
        }
    }

    /// The disk of a node is replaced by an empty one.
    pub(crate) fn wipe(&mut self, at: usize, down: u32) -> Checked {
        if self.nodes[at].raft.is_none() || !self.may_lose(at) {
            return Ok(());
        }
        self.doom(at, Doom { after: 0, survival: Survival::None, down })?;
        let (now, arena, node) = (self.now, &self.arena, &mut self.nodes[at]);
        let image = std::mem::take(&mut node.disk.image);
        let last = image.log.last();
        let ghost = if arena.holds(last, image.snapshot) { last } else { image.snapshot };
        node.disk_record().ghost = Some(image.lost.unwrap_or(ghost));
        node.disks.push(DiskRecord::new());
        node.me = replica(at, node.disks.len() - 1);
        node.disk.image.log.start(0, arena);
        self.recorder.note(now, at, || Record::Note("its disk is replaced by an empty one".into()));
        Ok(())
    }

    /// The end of a log becomes unreadable while its process is down; the disk still knows how far it went.
    pub(crate) fn damage(&mut self, at: usize, lose: u8, down: u32) -> Checked {
        // A log in doubt knows that it is, so any number of them is safe, though nobody may be able to lead.
        let is_whole = self.nodes[at].disk.image.lost.is_none();
        let may = self.may_lose(at) || self.knobs.reckless > 0 && is_whole && !self.is_healed;
        if self.nodes[at].raft.is_none() || !may {
            return Ok(());
        }
        self.doom(at, Doom { after: 0, survival: Survival::None, down })?;
        let (now, node) = (self.now, &mut self.nodes[at]);
        let image = &mut node.disk.image;
        let last = image.log.last();
        // What is noted as committed was written long after, and so is not the end of the log.
        let floor = image.committed.max(image.log.base_index());
        let keep = image.log.last_index().saturating_sub(lose.into()).max(floor);
        if keep < image.log.last_index() {
            image.lost =
                Some(image.lost.filter(|lost| self.arena.id(*lost) > self.arena.id(last)).unwrap_or(last));
            image.log.truncate(keep);
            self.recorder.note(now, at, || Record::Note(format!("its log can be read only up to {keep}")));
        }
        Ok(())
    }

    /// Whether a disk may fail without more being lost than the laws allow: a minority of every set of voters that any
    /// log knows.
    fn may_lose(&self, at: usize) -> bool {
        if self.nodes[at].disk.image.lost.is_some() || self.is_healed {
            return false;
        }
        let memberships = self.memberships_in_play();
        memberships.iter().all(|membership| self.tolerates(membership, Some(at)))
    }

    /// The memberships at the ends of all logs, and the committed one.
    pub(crate) fn memberships_in_play(&self) -> Vec<Membership> {
        let ends = self.nodes.iter().map(|node| node.log.last());
        let images = self.nodes.iter().map(|node| node.disk.image.log.last());
        let mut all: Vec<Membership> = Vec::new();
        for end in ends.chain(images).chain([self.truth.last_committed()]) {
            let membership = self.arena.membership(end);
            if !all.contains(membership) {
                all.push(membership.clone());
            }
        }
        all
    }

    /// Whether the voters of a membership whose disks are lost or damaged, and that of `more`, are a minority of both
    /// its halves. Learners count, for they may vote soon.
    pub(crate) fn tolerates(&self, membership: &Membership, more: Option<usize>) -> bool {
        let is_failed = |voter: super::raft_core::ReplicaId| {
            let number = number_of(voter.node);
            let Some(node) = self.nodes.get(number) else { return true };
            node.me != voter || node.disk.image.lost.is_some() || more == Some(number)
        };
        let learners = membership.learners().iter().filter(|learner| is_failed(learner.replica)).count();
        [Some(membership.voters()), membership.outgoing()].into_iter().flatten().all(|half| {
            let voters = half.voters();
            let failed = voters.iter().filter(|voter| is_failed(**voter)).count() + learners;
            voters.is_empty() || failed <= (voters.len() - 1) / 2
        })
    }

    pub(crate) fn pause(&mut self, at: usize, lasts: u32) -> Checked {
        let (now, node) = (self.now, &mut self.nodes[at]);
        if node.raft.is_some() && !node.is_paused {
            node.is_paused = true;
            let boot = node.boot;
            self.recorder.note(now, at, || Record::Paused);
            self.later_at(now + Micros::from(lasts), Later::Resume { node: at, boot });
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self, at: usize) -> Checked {
        let (now, node) = (self.now, &mut self.nodes[at]);
        if !node.is_paused || node.raft.is_none() {
            return Ok(());
        }
        node.is_paused = false;
        // It could do nothing about its disk meanwhile.
        node.bad_since = now;
        self.recorder.note(now, at, || Record::Resumed);
        for due in std::mem::take(&mut self.nodes[at].held) {
            self.network.queue.push(now, due);
        }
        // Whoever stood still has no reason to think that others fell silent.
        for view in &mut self.nodes[at].views {
            view.heard_at = view.heard_at.max(now);
        }
        self.nodes[at].timer_at = Micros::MAX;
        self.report_durable(at)?;
        self.set_timer(at);
        Ok(())
    }

    pub(crate) fn stall(&mut self, at: usize, lasts: u32, is_full: bool) -> Checked {
        let (now, node) = (self.now, &mut self.nodes[at]);
        if node.raft.is_none() {
            return Ok(());
        }
        let until = now + Micros::from(lasts);
        let slot = if is_full { &mut node.disk.full_until } else { &mut node.disk.stalled_until };
        *slot = (*slot).max(until);
        node.disk.due = None;
        let boot = node.boot;
        self.recorder.note(now, at, || {
            Record::Note(if is_full { "its disk is full" } else { "its disk stalls" }.into())
        });
        self.schedule_disk(at);
        // The host notices a stall after a while, a full disk at once, and the end of both soon.
        let notice = if is_full { 0 } else { self.knobs.election_timeout / 2 };
        if notice < Micros::from(lasts) {
            self.later_at(now + notice, Later::Health { node: at, boot, is_full });
        }
        self.later_at(until + 1, Later::Health { node: at, boot, is_full });
        Ok(())
    }

    pub(crate) fn notice_health(&mut self, at: usize, is_full: bool) -> Checked {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let is_bad = node.disk.stalled_until > now || node.disk.full_until > now;
        if is_bad && !node.is_health_bad {
            node.bad_since = now;
        }
        node.is_health_bad = is_bad;
        let health = match (is_bad, is_full) {
            (false, _) => StorageHealth::Good,
            (true, false) => StorageHealth::Stalled,
            (true, true) => StorageHealth::Full,
        };
        let local = node.local(now);
        if let Some(raft) = &mut node.raft {
            raft.storage_health(local, health);
        }
        self.drain(at, None)
    }

    /// The time of something has come.
    pub(crate) fn later(&mut self, later: Later) -> Checked {
        let (at, boot) = match &later {
            Later::Mend { links, age } => {
                if *age == self.network.age {
                    self.mend(*links);
                }
                return Ok(());
            }
            Later::Restart { node, boot }
            | Later::Resume { node, boot }
            | Later::Health { node, boot, .. }
            | Later::Installed { node, boot, .. }
            | Later::Offer { node, boot, .. }
            | Later::Lost { node, boot, .. } => (*node, *boot),
        };
        if self.nodes[at].boot != boot {
            return Ok(());
        }
        if let Later::Restart { .. } = later {
            return if self.nodes[at].raft.is_none() { self.boot(at) } else { Ok(()) };
        }
        if let Later::Resume { .. } = later {
            return self.resume(at);
        }
        let Node { raft: Some(_), is_paused, .. } = self.nodes[at] else { return Ok(()) };
        if is_paused {
            // What the process would have done it does a little later.
            let due = self.now + 5_000;
            self.later_at(due, later);
            return Ok(());
        }
        match later {
            Later::Health { is_full, .. } => self.notice_health(at, is_full),
            Later::Installed { last, no, is_there, .. } => self.installed(at, last, no, is_there),
            Later::Offer { peer, at_least, .. } => self.offer(at, peer, at_least),
            Later::Lost { of, .. } => self.lose_connection(at, of),
            _ => Ok(()),
        }
    }

    pub(crate) fn lose_connection(&mut self, at: usize, of: usize) -> Checked {
        let local = self.nodes[at].local(self.now);
        if let Some(raft) = &mut self.nodes[at].raft {
            raft.peer_unreachable(local, NodeId::new(of as u64 + 1));
        }
        self.drain(at, Some(Mark::WokenBySilence))
    }

    // Snapshots.

    fn installed(
        &mut self,
        at: usize,
        last: super::raft_core::LogId,
        no: EntryNo,
        is_there: bool,
    ) -> Checked {
        let node = &mut self.nodes[at];
        if !is_there {
            self.marks.hit(Mark::SnapshotFailed);
            node.installing.take_if(|(installed, _)| *installed == last);
            if let Some(raft) = &mut node.raft {
                raft.snapshot_failed(last);
            }
            return self.drain(at, None);
        }
        self.marks.hit(Mark::SnapshotInstalled);
        self.marks.hit_if(self.arena.membership(no).is_joint(), Mark::SnapshotDuringChange);
        if self.arena.index(no) > self.arena.index(node.disk.image.snapshot) {
            node.disk.image.snapshot = no;
        }
        let Some(raft) = &mut node.raft else { return Ok(()) };
        raft.snapshot_installed(last);
        let commit = raft.commit().as_u64() as u32;
        // No effect tells of what a snapshot includes.
        self.drain(at, None)?;
        self.nodes[at].installing.take_if(|(installed, _)| *installed == last);
        if self.nodes[at].raft.is_some() && commit > self.nodes[at].committed {
            self.truth.agree(&self.nodes[at], commit, &self.arena)?;
            self.commit_to(at, commit)?;
        }
        Ok(())
    }

    fn offer(&mut self, at: usize, peer: NodeId, at_least: u32) -> Checked {
        let (arena, node) = (&self.arena, &mut self.nodes[at]);
        let kept = node.disk.image.snapshot;
        let mut dice = Dice::new(self.seed, Purpose::Snapshot, at as u64 | 8, self.now);
        if (arena.index(kept) < at_least || dice.chance(300))
            && let Some(no) = self.truth.committed_at(node.committed)
        {
            node.disk.image.snapshot = no;
        }
        let mut no = node.disk.image.snapshot;
        // An offer stands until the log has moved on.
        let before = node.offered[number_of(peer) & 7];
        if before != 0 && arena.index(before) >= at_least && arena.holds(no, before) {
            no = before;
        }
        let snapshot = Snapshot { last: arena.id(no), membership: arena.membership(no).clone() };
        if let Some(raft) = &mut node.raft {
            // Refused when it is wanted no more, which is as well.
            let is_taken = raft.offer_snapshot(peer, snapshot).is_ok();
            node.offered[number_of(peer) & 7] = if is_taken { no } else { 0 };
        }
        self.drain(at, None)
    }

    /// Takes a snapshot of what is applied, and drops the log before it, as far as the core allows.
    pub(crate) fn compact(&mut self, at: usize) -> Checked {
        let node = &mut self.nodes[at];
        node.wants_compaction = false;
        node.compacted_at = node.committed;
        let local = node.local(self.now);
        let Some(raft) = &mut node.raft else { return Ok(()) };
        let limit = raft.compaction_limit(local).as_u64() as u32;
        self.check_compaction(at, limit)?;
        let node = &mut self.nodes[at];
        let Some(raft) = &mut node.raft else { return Ok(()) };
        let image = &mut node.disk.image;
        let is_greedy =
            Dice::new(self.seed, Purpose::Snapshot, at as u64 | 16, self.now).chance(self.knobs.greedy);
        let limit = if is_greedy { u32::MAX } else { limit };
        let to = limit.min(node.committed).min(image.log.last_index());
        let Some(no) = self.truth.committed_at(node.committed) else { return Ok(()) };
        if self.arena.index(image.snapshot) < self.arena.index(no) {
            image.snapshot = no;
        }
        // A log on the disk that is not the one in memory yet is left alone.
        if to <= node.log.base_index() || image.log.at(to) != node.log.at(to) {
            return Ok(());
        }
        self.marks.hit_if(node.state.role == RoleKind::Follower, Mark::FollowerCompacted);
        image.log.compact(to);
        node.log.compact(to);
        raft.compacted(LogIndex::new(to.into()));
        Ok(())
    }

    /// What a leader lets go is not what a follower needs next that is putting its snapshot in place.
    fn check_compaction(&self, at: usize, limit: u32) -> Checked {
        let leader = &self.nodes[at];
        let membership = self.arena.membership(leader.log.last());
        for node in &self.nodes {
            let is_fed = leader.is_leader()
                && membership.is_member(node.me)
                && node.state.leader == Some(leader.me.node)
                && node.state.term == leader.state.term
                && leader.answered[node.number] + self.knobs.election_timeout > self.now;
            let Some((_, no)) = node.installing.filter(|_| node.raft.is_some() && is_fed) else { continue };
            let index = self.arena.index(no);
            ensure!(
                limit <= index || index < leader.log.base_index() || leader.offered[node.number] != no,
                V7,
                at,
                "may compact up to {limit}, and node {} installs its snapshot of {index}",
                node.number + 1
            );
        }
        Ok(())
    }

    // What a host tells its core of other nodes.

    pub(crate) fn tell_liveness(&mut self, at: usize, of: usize) {
        let local = self.nodes[at].local(self.now);
        let view = self.nodes[at].views[of];
        let liveness = match view.told {
            None => return,
            Some(true) => Liveness::Live(super::raft_core::BootId::new(view.boot.into())),
            Some(false) => Liveness::Silent,
        };
        if let Some(raft) = &mut self.nodes[at].raft {
            raft.node_liveness(local, NodeId::new(of as u64 + 1), liveness);
        }
    }

    /// Members may have come: says again what is known of all.
    pub(crate) fn tell_all_liveness(&mut self, at: usize) {
        if self.knobs.ping_interval == 0 {
            return;
        }
        for of in 0..self.nodes.len() {
            if of != at {
                self.tell_liveness(at, of);
            }
        }
    }

    pub(crate) fn ask_read(&mut self, at: usize, request: u32) -> bool {
        let local = self.nodes[at].local(self.now);
        let Some(raft) = &mut self.nodes[at].raft else { return false };
        raft.read(local, ReadId(request.into())).is_ok()
    }
}
