//! What a log promises its owner and its readers, on a real disk.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use raft_core::{Configuration, GroupId, HardState, LogId, LogIndex, NodeId, ReplicaId, Term, TermRuns};
use raft_wal::{
    CrcState, DiskRequest, Entry, EntryKind, Fs, OpenError, Options, ReadError, RealFs, Round, SubmitError,
    Wal, dump,
};
use support::{command, complete, group, id, read_all, small};

fn create(wal: &mut Wal, fs: &dyn Fs, group: GroupId) {
    let mut batch = wal.batch();
    batch.create(group, &Configuration::none(), Bytes::from_static(b"orders-0"));
    let submitted = wal.submit(batch).unwrap();
    complete(wal, fs, submitted);
}

#[test]
fn a_log_written_through_system_calls_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("several/levels/deep");
    let fs = Arc::new(RealFs::with_descriptors(3));
    let (mut wal, states) = Wal::open(fs.clone(), &dir, small()).unwrap();
    assert!(states.is_empty());
    for number in 1..=6 {
        create(&mut wal, &*fs, group(number));
    }
    for index in 1..=60 {
        let mut batch = wal.batch();
        for number in 1..=6 {
            batch.append(group(number), command(1 + index / 20, index, vec![number as u8; 150]));
        }
        let submitted = wal.submit(batch).unwrap();
        complete(&mut wal, &*fs, submitted);
    }
    let mut batch = wal.batch();
    batch.remove(group(3));
    batch.truncate(group(4), LogIndex::new(5));
    let vote = ReplicaId::new(NodeId::new(4), wal.identity().disk);
    let hard_state = HardState { term: Term::new(8), vote: Some(vote) };
    batch.hard_state(group(5), hard_state);
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    let identity = wal.identity().clone();
    drop(wal);

    let (wal, states) = Wal::open(Arc::new(RealFs::new()), &dir, small()).unwrap();
    assert_eq!(wal.identity(), &identity);
    assert_eq!(states.iter().map(|state| state.group).collect::<Vec<_>>(), [1, 2, 4, 5, 6].map(group));
    for state in &states {
        let last = if state.group == group(4) { 5 } else { 60 };
        let entries = read_all(&wal, state.group);
        assert_eq!(entries.len(), last);
        for (at, entry) in entries.iter().enumerate() {
            let index = at as u64 + 1;
            assert_eq!(*entry, command(1 + index / 20, index, vec![state.group.number() as u8; 150]));
        }
        let expected = if state.group == group(5) { hard_state } else { HardState::default() };
        assert_eq!(state.hard_state, expected);
        assert_eq!(state.note, "orders-0");
    }
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(RealFs::new());
    let (wal, _) = Wal::open(fs.clone(), dir.path(), small()).unwrap();
    let refused = Wal::open(fs.clone(), dir.path(), small()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }));
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    drop(wal);
    Wal::open(fs, dir.path(), small()).unwrap();
}

#[test]
fn a_dump_beside_the_owner_shows_the_effective_entries() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(RealFs::new());
    let (mut wal, _) = Wal::open(fs.clone(), dir.path(), small()).unwrap();
    create(&mut wal, &*fs, group(1));
    let mut batch = wal.batch();
    batch.append(group(1), Entry { id: id(1, 1), kind: EntryKind::Noop, payload: Bytes::new() });
    batch.append(group(1), command(1, 2, "two"));
    batch.append(group(1), command(1, 3, "overwritten"));
    batch.truncate(group(1), LogIndex::new(2));
    batch.append(group(1), command(2, 3, "three"));
    batch.append(group(1), Entry::of_membership(id(2, 4), &Configuration::none().into()));
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);

    // A round that is being written: its last frame is there only in part.
    let mut batch = wal.batch();
    batch.append(group(1), command(2, 5, "five"));
    let submitted = wal.submit(batch).unwrap();
    for request in &submitted.requests {
        if let DiskRequest::Write { path, offset, data } = request {
            let data = vec![data.concat()[..58].to_vec().into()];
            fs.execute(&DiskRequest::Write { path: path.clone(), offset: *offset, data }).unwrap();
        }
    }
    let lines: Vec<String> = dump(&RealFs::new(), dir.path(), group(1))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(entry.crc, CrcState::Ok);
            let payload = match entry.membership() {
                Some(membership) => format!("{} voters", membership.voters().voters().len()),
                None => String::from_utf8(entry.payload.to_vec()).unwrap(),
            };
            format!("{} {} {} {payload} {}", entry.index, entry.term, entry.kind, entry.crc)
        })
        .collect();
    let wanted = ["1 1 noop  ok", "2 1 command two ok", "3 2 command three ok", "4 2 membership 0 voters ok"];
    assert_eq!(lines, wanted);
}

#[test]
fn one_round_over_many_groups_writes_and_syncs_each_touched_file_once() {
    let fs = support::MemFs::new();
    let (mut wal, _) = support::open(&fs, Options::default()).unwrap();
    for number in 0..10 {
        create(&mut wal, &*fs, group(number));
    }
    let payload = Bytes::from(vec![1; 1000]);
    let mut batch = wal.batch();
    for index in 1..=3 {
        for number in 0..10 {
            let entry = Entry { id: id(1, index), kind: EntryKind::Batch, payload: payload.clone() };
            batch.append(group(number), entry);
        }
    }
    let submitted = wal.submit(batch).unwrap();
    let names: Vec<&str> = submitted.requests.iter().map(DiskRequest::name).collect();
    assert_eq!(names, [["write"; 10], ["sync-data"; 10]].concat());
    let DiskRequest::Write { data, .. } = &submitted.requests[0] else { panic!() };
    assert_eq!(data.len(), 6, "a header and a payload for each entry");
    assert!(
        data.iter().filter(|piece| piece.as_ptr() == payload.as_ptr()).count() == 3,
        "payloads are not copied"
    );
}

#[test]
fn many_groups_created_together_are_made_durable_from_the_inside_out() {
    let fs = support::MemFs::new();
    let (mut wal, _) = support::open(&fs, small()).unwrap();
    let mut batch = wal.batch();
    batch.create(group(1), &Configuration::none(), Bytes::new());
    batch.create(group(2), &Configuration::none(), Bytes::new());
    // Made and removed in the same breath: the disk need not know.
    batch.create(group(3), &Configuration::none(), Bytes::new());
    batch.append(group(3), command(1, 1, "gone"));
    batch.remove(group(3));
    let submitted = wal.submit(batch).unwrap();
    let names: Vec<&str> = submitted.requests.iter().map(DiskRequest::name).collect();
    let create = ["create-dir", "create"];
    let wanted = [&create[..], &create, &["write"; 2], &["sync-data"; 2], &["sync-dir"; 3]].concat();
    assert_eq!(names, wanted);
    let DiskRequest::SyncDir { path } = &submitted.requests[names.len() - 1] else { panic!() };
    assert!(path.ends_with("groups"));
}

#[test]
fn rounds_are_durable_only_once_reported_and_in_order() {
    let fs = support::MemFs::new();
    let (mut wal, _) = support::open(&fs, small()).unwrap();
    assert_eq!(wal.durable(), Round::ZERO);
    create(&mut wal, &*fs, group(1));
    let mut rounds = Vec::new();
    for index in 1..=3 {
        let mut batch = wal.batch();
        batch.append(group(1), command(1, index, "x"));
        rounds.push(wal.submit(batch).unwrap().round);
        assert_eq!(wal.last(group(1)), Some(id(1, index)), "readable at once");
    }
    assert!(wal.durable() < rounds[0]);
    wal.completed(rounds[1]);
    assert_eq!(wal.durable(), rounds[1]);
    wal.completed(rounds[0]);
    assert_eq!(wal.durable(), rounds[1], "it never falls");
}

#[test]
fn a_refused_batch_leaves_everything_as_it_was() {
    let fs = support::MemFs::new();
    let options = Options { max_entry_bytes: 10, ..small() };
    let (mut wal, _) = support::open(&fs, options).unwrap();
    create(&mut wal, &*fs, group(1));
    let mut refuse = |fill: &dyn Fn(&mut raft_wal::Batch)| {
        let mut batch = wal.batch();
        batch.append(group(1), command(3, 1, "good"));
        fill(&mut batch);
        let error = wal.submit(batch).unwrap_err();
        assert_eq!(wal.last(group(1)), Some(LogId::ZERO));
        assert_eq!(wal.groups().count(), 1);
        error
    };
    let unknown = refuse(&|batch| batch.truncate(group(2), LogIndex::ZERO));
    assert_eq!(unknown, SubmitError::UnknownGroup { group: group(2) });
    let exists = refuse(&|batch| batch.create(group(1), &Configuration::none(), Bytes::new()));
    assert_eq!(exists, SubmitError::GroupExists { group: group(1) });
    let gap = refuse(&|batch| batch.append(group(1), command(3, 3, "gap")));
    assert_eq!(gap, SubmitError::NotNext { group: group(1), last: id(3, 1), attempted: id(3, 3) });
    let falls = refuse(&|batch| batch.append(group(1), command(2, 2, "falls")));
    assert!(matches!(falls, SubmitError::NotNext { .. }));
    let large = refuse(&|batch| batch.append(group(1), command(3, 2, "eleven byte")));
    assert!(matches!(large, SubmitError::PayloadTooLarge { bytes: 11, max: 10, .. }));
    let note = refuse(&|batch| batch.create(group(2), &Configuration::none(), Bytes::from(vec![0; 1025])));
    assert!(matches!(note, SubmitError::NoteTooLarge { bytes: 1025, .. }));
    let hard_state = |term| HardState { term: Term::new(term), vote: None };
    let reversal = refuse(&|batch| {
        batch.hard_state(group(1), hard_state(5));
        batch.hard_state(group(1), hard_state(4));
    });
    assert!(matches!(reversal, SubmitError::HardStateReversal { .. }));
    let none = Entry { kind: EntryKind::Membership, ..command(3, 2, "nobody") };
    let none = refuse(&|batch| batch.append(group(1), none.clone()));
    assert_eq!(none, SubmitError::NoMembership { group: group(1), id: id(3, 2) });
    let removed = refuse(&|batch| {
        batch.remove(group(1));
        batch.append(group(1), command(3, 1, "late"));
    });
    assert_eq!(removed, SubmitError::UnknownGroup { group: group(1) });
}

#[test]
fn a_read_of_other_entries_than_expected_is_refused() {
    let fs = support::MemFs::new();
    let (mut wal, _) = support::open(&fs, small()).unwrap();
    create(&mut wal, &*fs, group(1));
    let mut batch = wal.batch();
    for index in 1..=10 {
        batch.append(group(1), command(1, index, vec![0; 900]));
    }
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    let expected = wal.runs(group(1)).unwrap().slice(LogIndex::new(4), LogIndex::new(10)).unwrap();
    let reader = wal.reader(group(1)).unwrap();
    assert_eq!(reader.read(&expected, u64::MAX).unwrap().len(), 6);

    let mut batch = wal.batch();
    batch.truncate(group(1), LogIndex::new(7));
    batch.append(group(1), command(2, 8, "other"));
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    assert!(matches!(reader.read(&expected, u64::MAX), Err(ReadError::OutOfRange { .. })));
    let shorter = expected.slice(LogIndex::new(4), LogIndex::new(8)).unwrap();
    let mismatch = wal.read(group(1), &shorter, u64::MAX).unwrap_err();
    assert!(
        matches!(mismatch, ReadError::TermMismatch { index, expected, found, .. }
            if index == LogIndex::new(8) && expected == Term::new(1) && found == Term::new(2)),
        "{mismatch}"
    );
    let before = TermRuns::empty(id(2, 7));
    assert!(matches!(reader.read(&before, 1), Err(ReadError::TermMismatch { .. })));
    assert!(reader.read(&TermRuns::empty(id(1, 7)), 1).unwrap().is_empty());
    assert_eq!(reader.last(), Some(id(2, 8)));
    assert_eq!(reader.measure(LogIndex::new(8), LogIndex::new(8), 1), Some((LogIndex::new(8), 5)));
    assert_eq!(reader.measure(LogIndex::new(1), LogIndex::new(8), 1), None, "not in memory");
    assert!(reader.read_from(LogIndex::ZERO, LogIndex::new(1), 1).is_err());

    let mut batch = wal.batch();
    batch.remove(group(1));
    batch.create(group(1), &Configuration::none(), Bytes::new());
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    assert!(
        matches!(reader.read(&shorter, 1), Err(ReadError::UnknownGroup { .. })),
        "readers know their life"
    );
    assert_eq!(reader.last(), None);
    assert_eq!(wal.last(group(1)), Some(LogId::ZERO));
}

#[test]
fn readers_on_other_threads_see_whole_entries_while_the_log_grows_and_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(RealFs::with_descriptors(2));
    let options = Options { segment_bytes: 16 * 1024, ..small() };
    let (mut wal, _) = Wal::open(fs.clone(), dir.path(), options).unwrap();
    create(&mut wal, &*fs, group(1));
    let stop = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let reader = wal.reader(group(1)).unwrap();
            let (stop, reads) = (&stop, &reads);
            scope.spawn(move || {
                let mut rng = support::Rng::new(seed);
                while !stop.load(Ordering::Relaxed) {
                    let last = reader.last().unwrap().index;
                    let first = LogIndex::new(1 + rng.below(last.as_u64()));
                    match reader.read_from(first, last, 5000) {
                        Ok(entries) => {
                            for (at, entry) in entries.iter().enumerate() {
                                assert_eq!(entry.id.index, first.plus(at as u64));
                                let stamp = format!("{}", entry.id);
                                assert!(entry.payload.starts_with(stamp.as_bytes()));
                            }
                            reads.fetch_add(entries.len() as u64, Ordering::Relaxed);
                        }
                        Err(ReadError::OutOfRange { .. }) => {} // it shrank
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        let mut rng = support::Rng::new(9);
        let mut term = 1;
        // At least 400 rounds, and until the readers have had their share on a busy machine.
        let mut round = 0;
        while round < 400 || reads.load(Ordering::Relaxed) < 1000 {
            round += 1;
            let mut last = wal.last(group(1)).unwrap().index.as_u64();
            let mut batch = wal.batch();
            if rng.one_in(8) {
                last = last.saturating_sub(rng.below(60));
                term += 1;
                batch.truncate(group(1), LogIndex::new(last));
            }
            for index in last + 1..=last + 1 + rng.below(8) {
                let mut payload = format!("{}", id(term, index)).into_bytes();
                payload.resize(payload.len() + rng.below(1000) as usize, b'.');
                batch.append(group(1), command(term, index, payload));
            }
            let submitted = wal.submit(batch).unwrap();
            complete(&mut wal, &*fs, submitted);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn sizes_outside_their_bounds_are_refused_by_name() {
    let options = Options { segment_bytes: 2 << 30, ..Options::default() };
    let refused = options.validate().unwrap_err().to_string();
    assert!(refused.contains("segment_bytes is 2147483648"), "{refused}");
    assert!(Options::default().validate().is_ok());
}
