//! Torn writes are cut off; damage is refused; the two are told apart.

mod support;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use raft_core::{Configuration, DiskId, GroupId, HardState, LogIndex, NodeId, ReplicaId, Term};
use raft_wal::frame::{Frames, Record};
use raft_wal::{ClusterId, CrcState, Damage, DiskRequest, Entry, Fs, OpenError, Wal, dump};
use support::{DIR, MemFs, Rng, command, complete, group, id, open, read_all, small};

fn voters() -> Configuration {
    let replica = |n: u64| ReplicaId::new(NodeId::new(n), DiskId::new(u128::from(n)));
    Configuration::new([2, 1, 3].map(replica)).unwrap()
}

fn append(wal: &mut Wal, fs: &MemFs, entries: &[Entry]) {
    let mut batch = wal.batch();
    for entry in entries {
        batch.append(group(1), entry.clone());
    }
    let submitted = wal.submit(batch).unwrap();
    complete(wal, fs, submitted);
}

fn entries(range: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    range.map(|index| command(1 + index / 10, index, vec![index as u8; 200])).collect()
}

/// A group with some history in several segments, all of it durable.
fn written(last: u64) -> (Arc<MemFs>, Wal) {
    let fs = MemFs::new();
    let (mut wal, _) = open(&fs, small()).unwrap();
    let mut batch = wal.batch();
    batch.create(group(1), &voters(), Bytes::from_static(b"a note"));
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    for index in 1..=last {
        append(&mut wal, &fs, &entries(index..=index));
        if index == 7 {
            let mut batch = wal.batch();
            batch.hard_state(group(1), HardState { term: Term::new(3), vote: Some(voters().voters()[0]) });
            batch.truncate(group(1), LogIndex::new(5));
            batch.append(group(1), entries(6..=6)[0].clone());
            batch.append(group(1), entries(7..=7)[0].clone());
            let submitted = wal.submit(batch).unwrap();
            complete(&mut wal, &*fs, submitted);
        }
    }
    (fs, wal)
}

fn segments(fs: &MemFs) -> Vec<PathBuf> {
    fs.files(&Path::new(DIR).join("groups"))
}

#[test]
fn any_flipped_bit_below_a_durable_mark_is_reported_and_never_shortens_the_log() {
    let (fs, mut wal) = written(30);
    let marks = wal.mark().expect("the last round is not yet marked");
    complete(&mut wal, &*fs, marks);
    assert!(wal.mark().is_none(), "marks need no marks");
    drop(wal);
    let all = segments(&fs);
    assert!(all.len() >= 3, "{all:?}");
    let mut rng = Rng::new(1);
    let mut damaged = 0;
    for path in &all {
        for byte in 0..fs.len(path).unwrap() as usize {
            let fs = fs.fork();
            fs.tamper(path, |bytes| bytes[byte] ^= 1 << rng.below(8));
            match open(&fs, small()) {
                Err(OpenError::Damaged { group: found, file, offset, sequence, synced_through, .. }) => {
                    assert_eq!(found, group(1));
                    assert_eq!(&file, path);
                    assert!(offset as usize <= byte);
                    assert!(sequence <= synced_through, "byte {byte}: it was durable");
                    damaged += 1;
                }
                Ok((wal, _)) => {
                    // Only the mark itself is not marked.
                    assert!(path == all.last().unwrap() && byte as u64 >= fs.len(path).unwrap() - 56);
                    assert_eq!(read_all(&wal, group(1)), entries(1..=30));
                }
                Err(other) => panic!("byte {byte} of {path:?}: {other}"),
            }
        }
    }
    assert!(damaged > 6000);
}

#[test]
fn a_synced_segment_cut_short_or_missing_is_damage() {
    let (fs, wal) = written(40);
    drop(wal);
    let all = segments(&fs);
    for path in &all[..all.len() - 1] {
        let cut = fs.fork();
        cut.tamper(path, |bytes| bytes.truncate(bytes.len() - 1));
        assert!(matches!(open(&cut, small()), Err(OpenError::Damaged { .. })), "{path:?} cut");
        let missing = fs.fork();
        missing.execute(&DiskRequest::RemoveFile { path: path.as_path().into() }).unwrap();
        let refused = open(&missing, small());
        assert!(
            matches!(refused, Err(OpenError::Damaged { damage: Damage::Missing, .. })),
            "{path:?} missing: {refused:?}"
        );
        let empty = fs.fork();
        empty.tamper(path, Vec::clear);
        assert!(matches!(open(&empty, small()), Err(OpenError::Damaged { .. })), "{path:?} empty");
        let zeroed = fs.fork();
        zeroed.tamper(path, |bytes| bytes[300..].fill(0));
        assert!(matches!(open(&zeroed, small()), Err(OpenError::Damaged { .. })), "{path:?} zeroed");
    }
}

#[test]
fn a_segment_in_another_groups_directory_is_damage() {
    let (fs, mut wal) = written(3);
    let mut batch = wal.batch();
    batch.create(group(2), &voters(), Bytes::new());
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    drop(wal);
    let all = segments(&fs);
    let other = fs.read_at(&all[1], 0, 1 << 20).unwrap();
    fs.tamper(&all[0], |bytes| *bytes = other);
    let refused = open(&fs, small());
    assert!(matches!(refused, Err(OpenError::Damaged { damage: Damage::Misplaced(_), .. })), "{refused:?}");
}

#[test]
fn a_torn_end_is_cut_for_good_and_what_is_appended_after_it_survives() {
    // Whatever the tear leaves of the last round, it was not reported complete.
    for torn in 0..256 {
        let (fs, mut wal) = written(8);
        let path = segments(&fs).pop().unwrap();
        let before = fs.len(&path).unwrap() as usize;
        let mut batch = wal.batch();
        batch.append(group(1), entries(9..=9)[0].clone());
        for request in wal.submit(batch).unwrap().requests {
            fs.execute(&request).unwrap();
        }
        drop(wal);
        match torn % 3 {
            0 => fs.tamper(&path, |bytes| bytes.truncate(before + torn)),
            1 => fs.tamper(&path, |bytes| bytes[before + torn..].fill(0)),
            _ => fs.tamper(&path, |bytes| bytes[before..before + torn].fill(0)),
        }
        let (mut wal, states) = open(&fs, small()).unwrap();
        assert_eq!(states[0].runs.last_index(), LogIndex::new(8), "{torn}");
        assert_eq!(states[0].note, "a note");
        assert_eq!(states[0].genesis, voters());
        let other = command(9, 9, vec![b'x'; 3000]);
        append(&mut wal, &fs, std::slice::from_ref(&other));
        let wanted = [entries(1..=8), vec![other]].concat();
        assert_eq!(read_all(&wal, group(1)), wanted);
        drop(wal);
        for _ in 0..2 {
            let (wal, _) = open(&fs, small()).unwrap();
            assert_eq!(read_all(&wal, group(1)), wanted, "{torn}");
        }
    }
}

#[test]
fn valid_looking_bytes_behind_a_cut_never_come_back() {
    // Two frames of one round; the first is torn, the second intact on disk.
    let (fs, mut wal) = written(3);
    let path = segments(&fs).pop().unwrap();
    let before = fs.len(&path).unwrap() as usize;
    let mut batch = wal.batch();
    batch.append(group(1), command(1, 4, "old four"));
    batch.append(group(1), command(1, 5, "old five"));
    for request in wal.submit(batch).unwrap().requests {
        fs.execute(&request).unwrap();
    }
    drop(wal);
    let four = 56 + "old four".len();
    let mut kept = Vec::new();
    fs.tamper(&path, |bytes| {
        kept = bytes[before..before + four].to_vec();
        bytes[before..before + four].fill(0);
    });
    let (mut wal, states) = open(&fs, small()).unwrap();
    assert_eq!(states[0].runs.last_index(), LogIndex::new(3));
    append(&mut wal, &fs, &[command(2, 4, "new four")]);
    drop(wal);
    // Even if the lost sector turns up after all.
    fs.tamper(&path, |bytes| bytes[before..before + four].copy_from_slice(&kept));
    let (wal, _) = open(&fs, small()).unwrap();
    assert_eq!(read_all(&wal, group(1))[3..], [command(2, 4, "new four")]);
}

#[test]
fn a_group_whose_creation_was_torn_never_existed_and_can_be_created_again() {
    for len in [0, 1, 95, 96, 97, 151, 152, 200] {
        let fs = MemFs::new();
        let (mut wal, _) = open(&fs, small()).unwrap();
        let mut batch = wal.batch();
        batch.create(group(1), &voters(), Bytes::new());
        for request in wal.submit(batch).unwrap().requests {
            fs.execute(&request).unwrap();
        }
        drop(wal);
        fs.tamper(&segments(&fs)[0], |bytes| bytes.truncate(len));
        let (mut wal, states) = open(&fs, small()).unwrap();
        assert!(states.is_empty(), "{len}");
        let mut batch = wal.batch();
        batch.create(group(1), &voters(), Bytes::new());
        let submitted = wal.submit(batch).unwrap();
        complete(&mut wal, &*fs, submitted);
        drop(wal);
        assert_eq!(open(&fs, small()).unwrap().1.len(), 1);
    }
}

/// A disk whose reads of one file fail.
struct Failing(Arc<MemFs>, PathBuf);

impl Fs for Failing {
    fn execute(&self, request: &DiskRequest) -> io::Result<()> {
        self.0.execute(request)
    }
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if path == self.1 && offset > 0 {
            Err(io::Error::other("EIO"))
        } else {
            self.0.read_at(path, offset, len)
        }
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.0.len(path)
    }
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.0.lock(dir)
    }
}

#[test]
fn an_error_while_reading_is_damage_and_never_a_tear() {
    let (fs, wal) = written(3);
    drop(wal);
    let path = segments(&fs).pop().unwrap();
    let failing = Arc::new(Failing(fs.clone(), path.clone()));
    match Wal::open(failing, Path::new(DIR), small()) {
        Err(OpenError::Io { path: found, .. }) => assert_eq!(found, path),
        other => panic!("{other:?}"),
    }
    assert_eq!(read_all(&open(&fs, small()).unwrap().0, group(1)).len(), 3);
}

#[test]
fn a_lost_identity_is_not_taken_for_a_fresh_disk() {
    let (fs, mut wal) = written(1);
    let cluster = ClusterId::new(5);
    wal.set_cluster(cluster).unwrap();
    wal.set_cluster(cluster).unwrap();
    let identity = wal.identity().clone();
    assert_eq!((identity.disk, identity.cluster), (DiskId::new(77), Some(cluster)));
    let refused = wal.set_cluster(ClusterId::new(6)).unwrap_err().to_string();
    assert!(refused.contains(&cluster.to_string()), "{refused}");
    drop(wal);
    let (wal, _) = open(&fs, small()).unwrap();
    assert_eq!(wal.identity(), &identity);
    drop(wal);

    let file: Arc<Path> = Path::new(DIR).join("identity").into();
    let rotten = fs.fork();
    rotten.tamper(&file, |bytes| bytes[20] ^= 4);
    assert!(matches!(open(&rotten, small()), Err(OpenError::Identity { .. })));
    fs.execute(&DiskRequest::RemoveFile { path: file }).unwrap();
    assert!(matches!(open(&fs, small()), Err(OpenError::Identity { .. })));
}

#[test]
fn a_dump_shows_damaged_entries_as_bad_and_goes_on_behind_them() {
    let (fs, wal) = written(12);
    drop(wal);
    let path = &segments(&fs)[0];
    let bytes = fs.read_at(path, 0, 1 << 20).unwrap();
    let place_of = |wanted: u64| {
        let (_, frames) = Frames::new(&bytes).unwrap();
        frames
            .filter_map(Result::ok)
            .filter(|framed| matches!(framed.record, Record::Entry { id, .. } if id.index == LogIndex::new(wanted)))
            .last()
            .map(|framed| framed.offset as usize)
            .unwrap()
    };
    for in_frame in [3, 8, 30, 54, 56, 100] {
        let fs = fs.fork();
        fs.tamper(path, |bytes| bytes[place_of(9) + in_frame] ^= 0x10);
        let dumped: Vec<_> =
            dump(&*fs, Path::new(DIR), group(1)).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(dumped.len(), 12, "byte {in_frame}");
        for (entry, wanted) in dumped.iter().zip(entries(1..=12)) {
            assert_eq!(entry.index, wanted.id.index);
            assert_eq!(entry.crc == CrcState::Bad, entry.index == LogIndex::new(9), "byte {in_frame}");
            assert_eq!(entry.payload == wanted.payload, entry.index != LogIndex::new(9) || in_frame < 56);
        }
    }
    let none = dump(&*fs, Path::new(DIR), GroupId::new(9, 9)).unwrap_err();
    assert!(none.to_string().contains("holds no group 9.9"), "{none}");
}

/// Makes the last entry of the group's only segment one of a membership, with right CRCs and the payload it has.
fn disguise_last_entry_as_membership(fs: &MemFs) {
    let path = &segments(fs)[0];
    fs.tamper(path, |bytes| {
        let (_, frames) = Frames::new(bytes).unwrap();
        let at = frames.map(|framed| framed.unwrap().offset as usize).last().unwrap();
        bytes[at + 4] = 4;
        let mut seed = crc32fast::Hasher::new();
        seed.update(&77_u128.to_le_bytes());
        seed.update(&group(1).as_u64().to_le_bytes());
        seed.update(&1_u64.to_le_bytes());
        let mut crc = crc32fast::Hasher::new_with_initial(seed.finalize());
        crc.update(&(at as u64).to_le_bytes());
        crc.update(&bytes[at..at + 52]);
        bytes[at + 52..at + 56].copy_from_slice(&crc.finalize().to_le_bytes());
    });
}

#[test]
fn an_intact_entry_whose_payload_is_no_membership_is_damage_even_when_it_may_be_torn() {
    let written = |payload: Vec<u8>| {
        let (fs, mut wal) = written(1);
        append(&mut wal, &fs, &[command(2, 2, payload)]);
        drop(wal);
        disguise_last_entry_as_membership(&fs);
        open(&fs, small())
    };
    let refused = written(b"nobody".to_vec()).unwrap_err();
    let OpenError::Damaged { damage, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*damage, Damage::Membership { index: LogIndex::new(2), bytes: 6 });
    assert!(refused.to_string().contains("membership as the payload of entry 2, found 6 bytes"), "{refused}");
    let too_long = written(vec![0; 1025]).unwrap_err();
    assert!(matches!(too_long, OpenError::Damaged { damage: Damage::Impossible { .. }, .. }), "{too_long}");
    // Nobody votes, nobody left, nobody comes: that is one.
    let (_, states) = written(vec![0; 4]).unwrap();
    assert_eq!(states[0].memberships, [(LogIndex::new(2), Configuration::none().into())]);
}

#[test]
fn memberships_come_back_with_their_indexes_and_those_that_were_cut_do_not() {
    let fs = MemFs::new();
    let (mut wal, _) = open(&fs, small()).unwrap();
    let membership = |n: u64| {
        let voters = voters().voters().iter().copied().take(n as usize).collect::<Vec<_>>();
        Configuration::new(voters).unwrap().into()
    };
    let mut batch = wal.batch();
    batch.create(group(1), &voters(), Bytes::new());
    batch.append(group(1), command(1, 1, "x"));
    batch.append(group(1), Entry::of_membership(id(1, 2), &membership(1)));
    // Large commands between them, over several segments.
    batch.append(group(1), command(1, 3, vec![7; 5000]));
    batch.append(group(1), Entry::of_membership(id(1, 4), &membership(2)));
    batch.append(group(1), Entry::of_membership(id(1, 5), &membership(3)));
    batch.truncate(group(1), LogIndex::new(4));
    batch.append(group(1), command(2, 5, vec![7; 5000]));
    batch.append(group(1), Entry::of_membership(id(2, 6), &membership(1)));
    let submitted = wal.submit(batch).unwrap();
    complete(&mut wal, &*fs, submitted);
    let entries = read_all(&wal, group(1));
    drop(wal);
    let (wal, states) = open(&fs, small()).unwrap();
    let wanted = [(2, membership(1)), (4, membership(2)), (6, membership(1))];
    assert_eq!(states[0].memberships, wanted.map(|(index, m)| (LogIndex::new(index), m)));
    assert_eq!(read_all(&wal, group(1)), entries);
    assert!(segments(&fs).len() > 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_on_disk_make_opening_reading_or_dumping_panic(
        seed in any::<u64>(),
        garbage in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let (fs, wal) = written(25);
        drop(wal);
        let mut rng = Rng::new(seed);
        for path in segments(&fs) {
            fs.tamper(&path, |bytes| {
                match rng.below(4) {
                    0 => bytes.extend_from_slice(&garbage),
                    1 => bytes.truncate(rng.below(bytes.len() as u64) as usize),
                    2 => *bytes = garbage.clone(),
                    _ => {
                        let at = rng.below(bytes.len() as u64) as usize;
                        let len = garbage.len().min(bytes.len() - at);
                        bytes[at..at + len].copy_from_slice(&garbage[..len]);
                    }
                }
            });
        }
        if let Ok(entries) = dump(&*fs, Path::new(DIR), group(1)) {
            for entry in entries {
                let _ = entry;
            }
        }
        if let Ok((wal, states)) = open(&fs, small()) {
            for state in states {
                read_all(&wal, state.group);
            }
        }
    }
}
