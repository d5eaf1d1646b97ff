//! Writes on their way: how long they take, when they are done, and when their host hears of it.
//!
//! A host hears of a write only after it is on the image, and of one that is done perhaps only with the next. Invariant:
//! writes are done and told in the order in which they were asked for.

use super::node::Node;
use super::{DISK, World};
use crate::core::dice::{Dice, Purpose};
use crate::core::knobs::Micros;
use crate::core::law::Checked;
use crate::core::record::Record;

impl World {
    pub(super) fn disk_latency(&self, at: usize) -> Micros {
        let draw = Dice::new(self.seed, Purpose::Write, at as u64, self.now).any();
        let mut latency = self.knobs.disk_latency + (((draw >> 32) * (self.knobs.disk_spread + 1)) >> 32);
        if draw & 1023 < self.knobs.disk_tail {
            latency *= 1 + (draw >> 10 & 127);
        }
        latency
    }

    pub(crate) fn schedule_disk(&mut self, at: usize) {
        let disk = &mut self.nodes[at].disk;
        let Some(done) = disk.next_done() else { return };
        let done = done.max(self.now);
        if disk.due.is_none_or(|due| done < due) {
            disk.due = Some(done);
            self.network.queue.push(done, Self::node_due(DISK, at, 0));
        }
    }

    /// Writes are done, and their host hears of it.
    pub(crate) fn disk_done(&mut self, at: usize) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[at];
        if node.disk.due != Some(now) {
            return Ok(());
        }
        node.disk.due = None;
        let mut is_done = false;
        while node.disk.next_done().is_some_and(|done| done <= now)
            && let Some(write) = node.disk.writes.pop_front()
        {
            node.disk.image.apply(&write, &self.arena);
            node.disk.unreported = Some(write.token);
            is_done = true;
        }
        if is_done {
            self.counts.writes += 1;
            let last = node.disk.image.log.last_index();
            self.recorder.note(now, at, || Record::Durable { last });
        }
        let mut dice = Dice::new(self.seed, Purpose::Write, at as u64 | 8, now);
        let is_silent = !node.disk.writes.is_empty() && dice.chance(self.knobs.disk_silence);
        self.schedule_disk(at);
        if is_silent { Ok(()) } else { self.report_durable(at) }
    }

    pub(crate) fn report_durable(&mut self, at: usize) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[at];
        if node.is_paused {
            return Ok(());
        }
        let local = node.local(now);
        let Node { raft: Some(raft), disk, .. } = node else { return Ok(()) };
        let Some(token) = disk.unreported.take() else { return Ok(()) };
        // What was reported once is reported again now and then, which must change nothing.
        let mut dice = Dice::new(self.seed, Purpose::Write, at as u64 | 16, now);
        if let Some(before) = disk.reported.filter(|_| dice.chance(50)) {
            raft.persisted(local, before);
        }
        disk.reported = Some(token);
        raft.persisted(local, token);
        self.drain(at, None)
    }
}
