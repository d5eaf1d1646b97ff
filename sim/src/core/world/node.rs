//! One process of the world: the core, its volatile log, its disk, and what its host remembers.

use std::collections::VecDeque;

use super::arena::{EntryNo, Log};
use super::disk::{Disk, DiskRecord};
use super::raft_core::{DiskId, HardState, LogId, NodeId, Raft, ReplicaId, RoleKind, SoftState, Term, Time};
use crate::core::action::Survival;
use crate::core::knobs::Micros;
use crate::core::queue::Due;

/// What a host knows of another node by its pings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    pub(crate) boot: u32,
    pub(crate) heard_at: Micros,
    /// What the core was told: nothing yet, that it is silent, or that it lives.
    pub(crate) told: Option<bool>,
}

/// A write of a client that waits for its commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingWrite {
    pub(crate) index: u32,
    pub(crate) no: EntryNo,
    pub(crate) request: u32,
}

/// A read of a client that waits for its confirmation, or for the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRead {
    pub(crate) request: u32,
    /// All that was committed when it was asked.
    pub(crate) floor: u32,
    pub(crate) ready: Option<u32>,
}

/// The next death of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doom {
    pub(crate) after: u8,
    pub(crate) survival: Survival,
    pub(crate) down: u32,
}

pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) me: ReplicaId,
    pub(crate) boot: u32,
    /// `None` while the process is down.
    pub(crate) raft: Option<Raft>,
    pub(crate) log: Log,
    pub(crate) disk: Disk,
    /// All disks that this node ever had; the last one is there now.
    pub(crate) disks: Vec<DiskRecord>,
    /// What the core asked to be written last.
    pub(crate) asked: HardState,
    /// What the core announced last.
    pub(crate) state: SoftState,
    pub(crate) committed: u32,
    pub(crate) compacted_at: u32,
    /// A compaction is due, once all effects are drained.
    pub(crate) wants_compaction: bool,
    /// The last entry of the message that is being taken.
    pub(crate) incoming: EntryNo,
    pub(crate) installing: Option<(LogId, EntryNo)>,
    pub(crate) writes: VecDeque<PendingWrite>,
    pub(crate) reads: Vec<PendingRead>,
    pub(crate) doom: Option<Doom>,
    pub(crate) is_paused: bool,
    /// What came while it stood still.
    pub(crate) held: Vec<Due>,
    /// Local time is `offset` and `rate` microseconds for each second.
    pub(crate) offset: u64,
    pub(crate) rate: u64,
    pub(crate) timer_at: Micros,
    pub(crate) timer: u32,
    pub(crate) views: [View; 8],
    /// When it last got a message of the group from each other node.
    pub(crate) heard: [Micros; 8],
    /// When each other node last answered it in its term.
    pub(crate) answered: [Micros; 8],
    /// It woke and has not had its say since.
    pub(crate) has_woken: bool,
    /// Since when it leads and is awake.
    pub(crate) leads_since: Micros,
    /// The life of its leader's node in whose care it sleeps.
    pub(crate) sleeps_by: u32,
    /// What each other node has yet to confirm: the term in which this one leads no more.
    pub(crate) withdrawals: [u32; 8],
    /// The snapshot last offered to each other node.
    pub(crate) offered: [EntryNo; 8],
    pub(crate) was_asleep: bool,
    pub(crate) was_in_doubt: bool,
    pub(crate) is_health_bad: bool,
    /// Since when, if so, and since when it could have done something about it.
    pub(crate) bad_since: Micros,
    /// It has told another to campaign.
    pub(crate) has_handed_over: bool,
}

pub(crate) fn replica(number: usize, disk: usize) -> ReplicaId {
    let node = number as u64 + 1;
    ReplicaId::new(NodeId::new(node), DiskId::new((u128::from(node) << 8 | disk as u128) << 96))
}

/// The number of a node, from 0.
pub(crate) fn number_of(node: NodeId) -> usize {
    (node.as_u64() as usize).wrapping_sub(1)
}

/// The number of a disk on its node, from 0.
pub(crate) fn disk_of(replica: ReplicaId) -> usize {
    (replica.disk.as_u128() >> 96) as usize & 0xff
}

impl Node {
    pub(crate) fn new(number: usize, offset: u64, rate: u64) -> Self {
        Self {
            number,
            me: replica(number, 0),
            boot: 0,
            raft: None,
            log: Log::default(),
            disk: Disk::default(),
            disks: vec![DiskRecord::new()],
            asked: HardState::default(),
            state: SoftState { role: RoleKind::Follower, term: Term::ZERO, leader: None },
            committed: 0,
            compacted_at: 0,
            wants_compaction: false,
            incoming: 0,
            installing: None,
            writes: VecDeque::new(),
            reads: Vec::new(),
            doom: None,
            is_paused: false,
            held: Vec::new(),
            offset,
            rate,
            timer_at: Micros::MAX,
            timer: 0,
            views: [View::default(); 8],
            heard: [0; 8],
            answered: [0; 8],
            has_woken: false,
            leads_since: 0,
            sleeps_by: 0,
            withdrawals: [0; 8],
            offered: [0; 8],
            was_asleep: false,
            was_in_doubt: false,
            is_health_bad: false,
            bad_since: 0,
            has_handed_over: false,
        }
    }

    pub(crate) fn local(&self, now: Micros) -> Time {
        Time::from_micros(self.offset + now * self.rate / 1_000_000)
    }

    /// The first moment at which the local clock shows `time` or later.
    pub(crate) fn global(&self, time: Time) -> Micros {
        (time.as_micros().saturating_sub(self.offset).min(1 << 42) * 1_000_000).div_ceil(self.rate)
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.raft.is_some() && self.state.role == RoleKind::Leader
    }

    pub(crate) fn term(&self) -> u32 {
        self.state.term.as_u64() as u32
    }

    pub(crate) fn disk_record(&mut self) -> &mut DiskRecord {
        let at = self.disks.len() - 1;
        &mut self.disks[at]
    }
}
