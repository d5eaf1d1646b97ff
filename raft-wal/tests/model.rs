//! Random operations on a log and on its plain twin in memory, with reopening and with power cuts.
//!
//! The law: what was reported complete survives, and what comes back is the state after some operation, never a
//! half of one.

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{
    Configuration, DiskId, GroupId, HardState, LogId, LogIndex, Membership, NodeId, ReplicaId, Term,
};
use raft_wal::{DiskRequest, DumpedEntry, Entry, EntryKind, Fs, GroupState, Options, Round, Wal, dump};
use support::{DIR, MemFs, Rng, group, open, read_all, small};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Twin {
    genesis: Configuration,
    note: Bytes,
    hard_state: HardState,
    entries: Vec<Entry>,
}

impl Twin {
    fn last(&self) -> LogId {
        self.entries.last().map_or(LogId::ZERO, |entry| entry.id)
    }
}

/// The states a group went through since the last opening, oldest first, and which of them is acknowledged.
#[derive(Clone, Debug, Default)]
struct History {
    states: Vec<Option<Twin>>,
    acknowledged: usize,
    /// The state at the end of each outstanding round.
    rounds: VecDeque<(Round, usize)>,
}

const GROUPS: u32 = 4;

struct World {
    rng: Rng,
    fs: Arc<MemFs>,
    options: Options,
    histories: BTreeMap<GroupId, History>,
    /// Requests in order; after those of a round, `None`: it is to be reported.
    unexecuted: VecDeque<(Round, Option<DiskRequest>)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let options = Options { tail_cache_bytes: rng.below(3) * 3000, ..small() };
        let histories = (0..GROUPS).map(|number| (group(number), History::default())).collect();
        Self { rng, fs: MemFs::new(), options, histories, unexecuted: VecDeque::new() }
    }

    /// Opens the log and checks it against what must and may have survived.
    fn open(&mut self) -> Wal {
        let (wal, states) = open(&self.fs, self.options.clone()).unwrap();
        let states: BTreeMap<GroupId, GroupState> =
            states.into_iter().map(|state| (state.group, state)).collect();
        assert_eq!(wal.groups().collect::<Vec<_>>(), states.keys().copied().collect::<Vec<_>>());
        for (&group, history) in &mut self.histories {
            let found = states.get(&group).map(|state| Twin {
                genesis: state.genesis.clone(),
                note: state.note.clone(),
                hard_state: state.hard_state,
                entries: read_all(&wal, group),
            });
            if let (Some(twin), Some(state)) = (&found, states.get(&group)) {
                assert_eq!(state.runs.last_id(), twin.last());
                assert!(twin.entries.iter().all(|entry| state.runs.contains(entry.id)));
                let held = |entry: &Entry| Some((entry.id.index, entry.membership()?));
                let memberships: Vec<(LogIndex, Membership)> = twin.entries.iter().filter_map(held).collect();
                assert_eq!(state.memberships, memberships);
            }
            let allowed = match history.states.is_empty() {
                true => &[None][..],
                false => &history.states[history.acknowledged..],
            };
            assert!(
                allowed.contains(&found),
                "group {group}: recovered {found:#?}\nwhich is none of {allowed:#?}"
            );
            *history = History { states: vec![found], ..History::default() };
        }
        self.unexecuted.clear();
        wal
    }

    fn submit(&mut self, wal: &mut Wal) {
        let mut batch = wal.batch();
        for _ in 0..=self.rng.below(12) {
            let group = group(self.rng.below(u64::from(GROUPS)) as u32);
            let history = self.histories.get_mut(&group).unwrap();
            let mut state = history.states.last().cloned().flatten();
            self.rng = step(std::mem::replace(&mut self.rng, Rng::new(0)), group, &mut state, &mut batch);
            history.states.push(state);
        }
        let submitted = wal.submit(batch).unwrap();
        self.enqueue(submitted);
        self.check_live(wal);
    }

    fn enqueue(&mut self, submitted: raft_wal::Submitted) {
        for history in self.histories.values_mut() {
            history.rounds.push_back((submitted.round, history.states.len() - 1));
        }
        let round = submitted.round;
        self.unexecuted.extend(submitted.requests.into_iter().map(|request| (round, Some(request))));
        self.unexecuted.push_back((round, None));
    }

    fn execute(&mut self, wal: &mut Wal, count: usize) {
        for _ in 0..count {
            let Some((round, request)) = self.unexecuted.pop_front() else { return };
            if let Some(request) = request {
                self.fs.execute(&request).unwrap();
            } else {
                wal.completed(round);
                assert_eq!(wal.durable(), round);
                for history in self.histories.values_mut() {
                    while history.rounds.front().is_some_and(|front| front.0 <= round) {
                        history.acknowledged = history.rounds.pop_front().unwrap().1;
                    }
                }
            }
        }
    }

    /// What was submitted is readable at once, executed or not.
    fn check_live(&mut self, wal: &Wal) {
        for (&group, history) in &self.histories {
            let twin = history.states.last().cloned().flatten();
            assert_eq!(wal.contains(group), twin.is_some());
            let Some(twin) = twin else { continue };
            assert_eq!(wal.hard_state(group), Some(twin.hard_state));
            assert_eq!(wal.last(group), Some(twin.last()));
            let runs = wal.runs(group).unwrap();
            let last = twin.last().index.as_u64();
            let after = LogIndex::new(self.rng.below(last + 1));
            let through = LogIndex::new(after.as_u64() + self.rng.below(last - after.as_u64() + 1));
            let max_bytes = self.rng.below(2500);
            let read = wal.read(group, &runs.slice(after, through).unwrap(), max_bytes).unwrap();
            let wanted = &twin.entries[after.as_u64() as usize..through.as_u64() as usize];
            assert_eq!(read, wanted[..read.len()]);
            assert_eq!(read.is_empty(), wanted.is_empty());
            let len = |entries: &[Entry]| entries.iter().map(|e| e.payload.len() as u64).sum::<u64>();
            assert!(read.len() <= 1 || len(&read) <= max_bytes);
            assert!(read.len() == wanted.len() || len(&wanted[..=read.len()]) > max_bytes);
        }
    }

    /// What is printed beside the running owner, when all is executed, is the log.
    fn check_dump(&self) {
        for (&group, history) in &self.histories {
            let Some(twin) = history.states.last().cloned().flatten() else { continue };
            let dumped: Vec<DumpedEntry> =
                dump(&*self.fs, std::path::Path::new(DIR), group).unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(dumped.len(), twin.entries.len());
            for (dumped, entry) in dumped.iter().zip(&twin.entries) {
                assert_eq!(dumped.crc, raft_wal::CrcState::Ok);
                assert_eq!((dumped.term, dumped.index), (entry.id.term, entry.id.index));
                assert_eq!((dumped.kind, &dumped.payload), (entry.kind, &entry.payload));
            }
        }
    }
}

fn step(mut rng: Rng, group: GroupId, state: &mut Option<Twin>, batch: &mut raft_wal::Batch) -> Rng {
    let replica = |n: u64| ReplicaId::new(NodeId::new(n), DiskId::new(u128::from(n) << 70));
    let Some(twin) = state else {
        let voters = [3, 1, 2].into_iter().take(rng.below(4) as usize).map(replica);
        let genesis = Configuration::new(voters).unwrap();
        let note = Bytes::from(vec![b'n'; rng.below(1025) as usize]);
        batch.create(group, &genesis, note.clone());
        *state = Some(Twin { genesis, note, hard_state: HardState::default(), entries: Vec::new() });
        return rng;
    };
    match rng.below(20) {
        0 => {
            batch.remove(group);
            *state = None;
        }
        1..=2 => {
            let present = twin.hard_state;
            let term = Term::new(present.term.as_u64() + rng.below(2));
            let vote = match present.vote {
                Some(vote) if term == present.term => Some(vote),
                _ => (!rng.one_in(3)).then(|| replica(rng.below(3))),
            };
            twin.hard_state = HardState { term, vote };
            batch.hard_state(group, twin.hard_state);
        }
        3..=4 => {
            let after = rng.below(twin.entries.len() as u64 + 2);
            batch.truncate(group, LogIndex::new(after));
            twin.entries.truncate(after as usize);
        }
        _ => {
            let last = twin.last();
            let id = LogId::new(
                Term::new((last.term.as_u64() + u64::from(rng.one_in(5))).max(1)),
                last.index.next(),
            );
            if rng.one_in(6) {
                let voters = (0..=rng.below(3)).map(replica);
                let entry = Entry::of_membership(id, &Configuration::new(voters).unwrap().into());
                batch.append(group, entry.clone());
                twin.entries.push(entry);
                return rng;
            }
            let (kind, len) = match rng.below(10) {
                0 => (EntryKind::Noop, 0),
                1 => (EntryKind::Batch, rng.below(6000)),
                _ => (EntryKind::Command, rng.below(300)),
            };
            let payload = Bytes::from((0..len).map(|_| rng.next() as u8).collect::<Vec<_>>());
            let entry = Entry { id, kind, payload };
            batch.append(group, entry.clone());
            twin.entries.push(entry);
        }
    }
    rng
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_equals_its_plain_twin_also_after_reopening(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..4 {
            let mut wal = world.open();
            for _ in 0..world.rng.below(15) {
                world.submit(&mut wal);
                if world.rng.one_in(3) {
                    let count = world.rng.below(30) as usize;
                    world.execute(&mut wal, count);
                }
            }
            world.execute(&mut wal, usize::MAX);
            world.check_dump();
            for history in world.histories.values() {
                assert!(history.states.is_empty() || history.acknowledged == history.states.len() - 1);
            }
        }
    }

    #[test]
    fn what_was_reported_complete_survives_a_power_cut_and_nothing_is_half_visible(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..6 {
            let mut wal = world.open();
            for _ in 0..world.rng.below(10) {
                world.submit(&mut wal);
                if world.rng.one_in(2) {
                    let count = world.rng.below(20) as usize;
                    world.execute(&mut wal, count);
                }
                if world.rng.one_in(4) && let Some(marks) = wal.mark() {
                    world.enqueue(marks);
                }
            }
            let count = world.rng.below(20) as usize;
            world.execute(&mut wal, count);
            drop(wal);
            // Sometimes only the process dies, and the page cache lives on.
            if !world.rng.one_in(4) {
                world.fs.crash(&mut world.rng);
            }
            // Sometimes the next opening is cut short as well.
            if world.rng.one_in(3) {
                let _ = open(&world.fs, world.options.clone());
                world.fs.crash(&mut world.rng);
            }
        }
        world.open();
    }
}
