//! Clients: registers that are written and read through the nodes, and what came of each request.
//!
//! Every value is written once, so that a read names the write that it saw. A request ends done, refused or unknown;
//! unknown ones stay open for ever. Invariant: a request ends at most once.

use super::World;
use super::arena::Kind;
use super::node::{Node, PendingRead, PendingWrite};
use super::raft_core::ReadId;
use crate::core::dice::{Dice, Purpose};
use crate::core::knobs::Micros;
use crate::core::law::{Breach, Checked, Law, ensure};
use crate::core::marks::{Mark, Marks};
use crate::core::record::Record;
use crate::linear::{History, Verdict, register};

/// A history that needs more configurations than this is let pass: the other laws have seen each step of it.
const MAX_STATES: usize = 10_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Done,
    Saw(Option<u32>),
    Refused,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) key: u8,
    pub(super) is_read: bool,
    pub(super) asked_at: Micros,
    pub(super) ended_at: Micros,
    pub(super) end: End,
    is_committed: bool,
    /// Where in the log it was answered: the index of a write, or up to where what was read was applied.
    pub(super) applied_at: u32,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    requests: Vec<Request>,
    /// The writes that are committed, in the order of the log.
    committed: Vec<u32>,
}

impl Clients {
    fn ask(&mut self, key: u8, is_read: bool, now: Micros) -> u32 {
        self.requests.push(Request {
            key,
            is_read,
            asked_at: now,
            ended_at: 0,
            end: End::Open,
            is_committed: false,
            applied_at: 0,
        });
        self.requests.len() as u32 - 1
    }

    fn end(&mut self, request: u32, now: Micros, end: End) {
        let request = &mut self.requests[request as usize];
        (request.ended_at, request.end) = (now, end);
    }

    fn key(&self, request: u32) -> u8 {
        self.requests[request as usize].key
    }

    /// A process died, and with it everything that was asked of it.
    pub(crate) fn forget(&mut self, node: &mut Node) {
        node.writes.clear();
        for read in node.reads.drain(..) {
            // A read that is not answered has seen nothing.
            self.requests[read.request as usize].end = End::Refused;
        }
    }

    /// Whether what all clients saw can be explained by one order. Called when all logs
    /// agree, so that a write of unknown outcome took effect if it is committed, and never will if it is not.
    pub(crate) fn check(&self, marks: &mut Marks) -> Option<Breach> {
        let mut history = History::new();
        for (number, request) in (0_u32..).zip(&self.requests) {
            let key = u64::from(request.key);
            let call =
                if request.is_read { register::read(key) } else { register::write(key, number.into()) };
            if request.end == End::Refused || request.is_read && request.end == End::Open {
                continue;
            }
            if request.end == End::Open && !request.is_committed {
                continue;
            }
            let id = history.invoke(number.into(), request.asked_at, call);
            let ended_at = request.ended_at.max(request.asked_at);
            match request.end {
                End::Done => history.returned(id, ended_at, register::Answer::Done),
                End::Saw(value) => {
                    history.returned(id, ended_at, register::Answer::Value(value.map(u64::from)));
                }
                _ => history.took_effect(id, register::Answer::Done),
            }
        }
        let breach = |seen: String| Some(Breach { law: Law::X5, node: None, seen });
        match crate::linear::check(&register::Register, &history, MAX_STATES) {
            broken @ Verdict::Broken(_) => return breach(broken.to_string()),
            Verdict::Linearizable(_) => marks.hit(Mark::RegistersDecided),
            _ => marks.hit(Mark::RegistersUndecided),
        }
        match super::bank::check(&self.requests, &self.committed, MAX_STATES) {
            broken @ Verdict::Broken(_) => return breach(format!("as a bank: {broken}")),
            Verdict::Linearizable(_) => marks.hit(Mark::BankDecided),
            _ => marks.hit(Mark::BankUndecided),
        }
        None
    }
}

impl World {
    /// A client writes new values through a node.
    pub(crate) fn write(&mut self, at: usize, key: u8, count: u8) -> Checked {
        let now = self.now;
        let count = count.max(1);
        if self.nodes[at].is_paused || self.nodes[at].raft.is_none() {
            return Ok(());
        }
        let Some(raft) = &mut self.nodes[at].raft else { return Ok(()) };
        let Ok(proposed) = raft.propose(count.into()) else { return Ok(()) };
        self.counts.requests += 1;
        let term = proposed.term.as_u64() as u32;
        for place in 0..count {
            let request = self.clients.ask(key, false, now);
            let no = self.append_own(at, term, Kind::Write(request), None)?;
            let index = self.arena.index(no);
            let is_first = place > 0 || u64::from(index) == proposed.first.as_u64();
            ensure!(
                is_first,
                R3,
                at,
                "puts a proposal at {}, and its log goes on at {index}",
                proposed.first
            );
            self.nodes[at].writes.push_back(PendingWrite { index, no, request });
        }
        self.recorder.note(now, at, || Record::Note(format!("is asked to write, at {}", proposed.first)));
        self.drain(at, None)
    }

    /// A client reads through a node.
    pub(crate) fn read(&mut self, at: usize, key: u8) -> Checked {
        let now = self.now;
        if self.nodes[at].is_paused || self.nodes[at].raft.is_none() {
            return Ok(());
        }
        let request = self.clients.ask(key, true, now);
        let floor = self.truth.committed();
        if self.ask_read(at, request) {
            self.counts.requests += 1;
            self.nodes[at].reads.push(PendingRead { request, floor, ready: None });
            self.recorder.note(now, at, || Record::Note(format!("is asked to read #{request}")));
        } else {
            self.clients.end(request, now, End::Refused);
        }
        self.drain(at, None)?;
        if Dice::new(self.seed, Purpose::Note, at as u64 | 8, now).chance(30) {
            self.cancel_read(at, request);
        }
        Ok(())
    }

    /// A client has gone: nothing may be heard of its read any more.
    fn cancel_read(&mut self, at: usize, request: u32) {
        let node = &mut self.nodes[at];
        let is_open = node.reads.iter().any(|read| read.request == request);
        if let Some(raft) = node.raft.as_mut().filter(|_| is_open) {
            raft.cancel_read(ReadId(request.into()));
            node.reads.retain(|read| read.request != request);
            self.clients.end(request, self.now, End::Refused);
        }
    }

    pub(crate) fn read_failed(&mut self, at: usize, request: u32) -> Checked {
        let now = self.now;
        let reads = &mut self.nodes[at].reads;
        let before = reads.len();
        reads.retain(|read| read.request != request || read.ready.is_some());
        ensure!(
            reads.len() < before,
            R11,
            at,
            "fails read #{request}, which it was not asked or has answered"
        );
        self.clients.end(request, now, End::Refused);
        Ok(())
    }

    pub(crate) fn read_ready(&mut self, at: usize, request: u32, index: u32) -> Checked {
        let node = &mut self.nodes[at];
        let place = node.reads.iter().position(|read| read.request == request && read.ready.is_none());
        let Some(place) = place else {
            ensure!(false, R11, at, "answers read #{request}, which it was not asked or has answered");
            return Ok(());
        };
        let floor = node.reads[place].floor;
        ensure!(
            index >= floor,
            R11,
            at,
            "says that read #{request} may be served at {index}, and {floor} was committed when it was asked"
        );
        node.reads[place].ready = Some(index);
        let is_learner = !self.arena.membership(node.log.last()).is_member(node.me);
        self.marks.hit_if(is_learner, Mark::ReadOnLearner);
        self.marks.hit_if(!node.is_leader() && !is_learner, Mark::ReadOnFollower);
        self.serve_reads(at);
        Ok(())
    }

    /// Serves what was confirmed and is applied.
    fn serve_reads(&mut self, at: usize) {
        let (now, applied) = (self.now, self.nodes[at].committed);
        let mut place = 0;
        while let Some(read) = self.nodes[at].reads.get(place).copied() {
            if read.ready.is_some_and(|index| index <= applied) {
                self.nodes[at].reads.swap_remove(place);
                let value = self.truth.value(self.clients.key(read.request), applied);
                self.clients.end(read.request, now, End::Saw(value));
                self.clients.requests[read.request as usize].applied_at = applied;
            } else {
                place += 1;
            }
        }
    }

    /// A leader has committed this entry for the first time.
    pub(crate) fn note_committed(&mut self, index: u32) {
        let Some(no) = self.truth.committed_at(index) else { return };
        if let Kind::Write(request) = self.arena.get(no).kind {
            let asked = &mut self.clients.requests[request as usize];
            (asked.is_committed, asked.applied_at) = (true, index);
            self.clients.committed.push(request);
            let key = self.clients.key(request);
            self.truth.note_value(key, index, request);
        }
    }

    /// A node has applied all up to `index`.
    pub(crate) fn commit_to(&mut self, at: usize, index: u32) -> Checked {
        let now = self.now;
        let node = &mut self.nodes[at];
        node.committed = index;
        self.recorder.note(now, at, || Record::Committed { index });
        while let Some(write) = node.writes.front().copied().filter(|write| write.index <= index) {
            node.writes.pop_front();
            let is_done = self.truth.committed_at(write.index) == Some(write.no);
            self.clients.end(write.request, now, if is_done { End::Done } else { End::Refused });
        }
        if Dice::new(self.seed, Purpose::Note, at as u64, now).chance(self.knobs.commit_note) {
            let image = &mut node.disk.image;
            if image.log.at(index).is_some() && image.log.at(index) == self.truth.committed_at(index) {
                image.committed = index;
            }
        }
        self.serve_reads(at);
        let node = &mut self.nodes[at];
        let fresh = u64::from(index - node.compacted_at.min(index));
        node.wants_compaction |= self.knobs.compact_every > 0 && fresh >= self.knobs.compact_every;
        Ok(())
    }
}
