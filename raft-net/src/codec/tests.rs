//! Laws of the codec: what it sends comes back, and nothing that a peer may send breaks it.

use proptest::collection::vec;
use proptest::prelude::*;
use raft_core::{
    AppendOutcome, AppendReply, Configuration, DiskId, DoubtQuery, DoubtReply, Learner, Membership, PreVote,
    PreVoteReply, ReadIndexReply, ReadIndexRequest, ReplicaId, SleepReply, SleepRequest, Snapshot,
    SnapshotOffer, TermRun, TimeoutNow, Vote, VoteReply, Wake,
};

use super::*;
use crate::request::Origin;

fn term() -> impl Strategy<Value = Term> {
    any::<u64>().prop_map(Term::new)
}

fn index() -> impl Strategy<Value = LogIndex> {
    any::<u64>().prop_map(LogIndex::new)
}

fn log_id() -> impl Strategy<Value = LogId> {
    (term(), index()).prop_map(|(term, index)| LogId::new(term, index))
}

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

fn request() -> impl Strategy<Value = RequestId> {
    (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
        |(node, boot, sequence, answered_below)| RequestId {
            origin: Origin { node: NodeId::new(node), boot },
            sequence,
            answered_below,
        },
    )
}

fn replica() -> impl Strategy<Value = ReplicaId> {
    (any::<u64>(), any::<u128>())
        .prop_map(|(node, disk)| ReplicaId::new(NodeId::new(node), DiskId::new(disk)))
}

fn membership() -> impl Strategy<Value = Membership> {
    let lists = (vec(replica(), 1..4), proptest::option::of(vec(replica(), 1..4)), vec(replica(), 0..3));
    lists.prop_map(|(voters, outgoing, learners)| {
        // Of a node that is drawn twice, which is rare, only nobody stays.
        let configuration = |list: Vec<ReplicaId>| Configuration::new(list).unwrap_or_default();
        let outgoing = outgoing.map(configuration).filter(|outgoing| !outgoing.voters().is_empty());
        let learners = learners.into_iter().map(|replica| Learner { replica, replaces: None }).collect();
        Membership::new(configuration(voters), outgoing, learners).unwrap_or_default()
    })
}

fn append() -> impl Strategy<Value = Content> {
    let entry = (0..3_u64, 1..=4_u8, bytes(40), membership());
    let prev = (1..1000_u64, 0..u64::MAX / 2).prop_map(|(t, i)| LogId::new(Term::new(t), LogIndex::new(i)));
    (prev, vec(entry, 0..12), index(), any::<u64>()).prop_map(|(prev, list, commit, round)| {
        let mut shape = TermRuns::empty(prev);
        let mut entries = Vec::new();
        let mut term = prev.term.as_u64();
        let mut memberships = Vec::new();
        for (step, code, payload, membership) in list {
            term += step;
            shape.append(Term::new(term), 1);
            let kind = EntryKind::from_code(code).unwrap();
            let id = shape.last_id();
            entries.push(match kind {
                EntryKind::Noop => Entry { id, kind, payload: Bytes::new() },
                EntryKind::Membership => {
                    memberships.push((id.index, membership.clone()));
                    Entry::of_membership(id, &membership)
                }
                EntryKind::Command | EntryKind::Batch => Entry { id, kind, payload },
            });
        }
        let message = Message::Append(AppendRequest {
            term: Term::new(term),
            entries: shape,
            memberships,
            commit,
            round,
        });
        Content::Raft { message, entries }
    })
}

fn other_message() -> impl Strategy<Value = Message> {
    let outcome = prop_oneof![
        index().prop_map(|matched| AppendOutcome::Matched { matched }),
        (log_id(), log_id()).prop_map(|(prev, hint)| AppendOutcome::Conflict { prev, hint }),
        Just(AppendOutcome::Installing),
    ];
    prop_oneof![
        (term(), log_id(), any::<u64>()).prop_map(|(term, last, attempt)| Message::PreVote(PreVote {
            term,
            last,
            attempt
        })),
        (term(), any::<u64>(), any::<bool>()).prop_map(|(term, attempt, granted)| {
            Message::PreVoteReply(PreVoteReply { term, attempt, granted })
        }),
        (term(), log_id()).prop_map(|(term, last)| Message::Vote(Vote { term, last })),
        (term(), any::<bool>()).prop_map(|(term, granted)| Message::VoteReply(VoteReply { term, granted })),
        (term(), any::<u64>(), outcome)
            .prop_map(|(term, round, outcome)| Message::AppendReply(AppendReply { term, round, outcome })),
        (term(), any::<u64>()).prop_map(|(term, read)| Message::ReadIndex(ReadIndexRequest { term, read })),
        (term(), any::<u64>(), proptest::option::of(index())).prop_map(|(term, read, index)| {
            Message::ReadIndexReply(ReadIndexReply { term, read, index })
        }),
        (term(), log_id(), membership(), any::<u64>()).prop_map(|(term, last, membership, round)| {
            Message::Snapshot(SnapshotOffer { term, snapshot: Snapshot { last, membership }, round })
        }),
        (term(), log_id()).prop_map(|(term, last)| Message::TimeoutNow(TimeoutNow { term, last })),
        (term(), log_id(), any::<u64>()).prop_map(|(term, last, round)| Message::Sleep(SleepRequest {
            term,
            last,
            round
        })),
        (term(), log_id(), any::<u64>(), any::<bool>()).prop_map(|(term, last, round, asleep)| {
            Message::SleepReply(SleepReply { term, last, round, asleep })
        }),
        term().prop_map(|term| Message::Wake(Wake { term })),
        (term(), log_id(), log_id()).prop_map(|(term, after, extent)| Message::Doubt(DoubtQuery {
            term,
            after,
            extent
        })),
        (term(), log_id(), log_id(), any::<bool>()).prop_map(|(term, after, extent, holds)| {
            Message::DoubtReply(DoubtReply { term, after, extent, holds })
        }),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let taken = prop_oneof![Just(Taken::Appended), Just(Taken::NotLeader), Just(Taken::Overloaded)];
    let content = prop_oneof![
        3 => append(),
        2 => other_message().prop_map(|message| Content::Raft { message, entries: Vec::new() }),
        1 => Just(Content::Ping),
        1 => (request(), bytes(60)).prop_map(|(request, command)| Content::Submit { request, command }),
        1 => (request(), taken).prop_map(|(request, taken)| Content::SubmitReply { request, taken }),
        1 => term().prop_map(|term| Content::Leads { term }),
    ];
    (any::<u64>(), any::<u64>(), any::<u64>(), content).prop_map(|(group, from, to, content)| Frame {
        group: GroupId::from_u64(group),
        from: NodeId::new(from),
        to: NodeId::new(to),
        content,
    })
}

fn ping() -> Frame {
    Frame { group: GroupId::ROOT, from: NodeId::new(1), to: NodeId::new(2), content: Content::Ping }
}

fn wire(frame: &Frame) -> Vec<u8> {
    encode(frame).unwrap().concat()
}

fn decode_all(pieces: &[&[u8]]) -> Result<Vec<Frame>, DecodeError> {
    let mut decoder = Decoder::new();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Changes a frame's bytes and makes its CRC right again.
fn forge(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut bytes);
    let total = bytes.len() as u32;
    bytes[0..4].copy_from_slice(&total.to_le_bytes());
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn raft_wire(message: &Message, rows: Vec<Row>, payload: &[u8]) -> Vec<u8> {
    raft_frame(&postcard::to_allocvec(&RaftHeaderRef { message, rows }).unwrap(), payload)
}

fn raft_frame(header: &[u8], payload: &[u8]) -> Vec<u8> {
    forge(wire(&ping()), |bytes| {
        bytes[8] = kind::RAFT;
        bytes[36..40].copy_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
    })
}

fn row(kind: u8, payload: &[u8]) -> Row {
    Row { kind, len: payload.len() as u32, crc: crc32fast::hash(payload) }
}

fn one_entry() -> Message {
    let prev = LogId::new(Term::new(1), LogIndex::new(4));
    let mut shape = TermRuns::empty(prev);
    shape.append(Term::new(2), 1);
    Message::Append(AppendRequest {
        term: Term::new(2),
        entries: shape,
        memberships: Vec::new(),
        commit: LogIndex::ZERO,
        round: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_frame_comes_back_as_it_was_sent(frames in vec(frame(), 1..5)) {
        let bytes: Vec<u8> = frames.iter().flat_map(wire).collect();
        prop_assert_eq!(decode_all(&[&bytes]).unwrap(), frames);
    }

    #[test]
    fn bytes_split_anywhere_decode_the_same(first in frame(), second in frame()) {
        let bytes = [wire(&first), wire(&second)].concat();
        let frames = vec![first, second];
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            prop_assert_eq!(&decode_all(&[front, back]).unwrap(), &frames);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode_all(&single).unwrap(), &frames);
    }

    #[test]
    fn no_frame_with_a_flipped_bit_is_accepted(frame in frame(), next in frame()) {
        let bytes = wire(&frame);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A longer length waits for more bytes, so give it some.
            let accepted = decode_all(&[&flipped, &wire(&next)]);
            prop_assert!(accepted.as_ref().is_ok_and(Vec::is_empty) || accepted.is_err(), "bit {}", bit);
            if bit >= 32 {
                let crc = matches!(accepted, Err(DecodeError::Crc { .. }));
                prop_assert!(crc, "bit {}", bit);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode_all(&[&bytes]);
    }

    #[test]
    fn arbitrary_bytes_with_a_right_crc_never_panic(
        kind in 0..8_u8,
        header_len in 0..80_u32,
        tail in vec(any::<u8>(), 0..120),
    ) {
        let bytes = forge(wire(&ping()), |bytes| {
            bytes[8] = kind;
            bytes[36..40].copy_from_slice(&header_len.to_le_bytes());
            bytes.extend_from_slice(&tail);
        });
        let _ = decode_all(&[&bytes]);
    }

    #[test]
    fn a_changed_header_with_a_right_crc_never_panics(frame in frame(), at in any::<usize>(), value in any::<u8>()) {
        let bytes = forge(wire(&frame), |bytes| {
            let at = 8 + at % (bytes.len() - 8);
            bytes[at] = value;
        });
        let _ = decode_all(&[&bytes]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_frame_drawn_in_the_description_of_the_format_is_what_is_sent() {
    let Message::Append(request) = one_entry() else { panic!("an append") };
    let id = LogId::new(Term::new(2), LogIndex::new(5));
    let entries = vec![Entry { id, kind: EntryKind::Command, payload: Bytes::from_static(b"hi") }];
    let content = Content::Raft { message: Message::Append(request), entries };
    let pieces = encode(&Frame { content, ..ping() }).unwrap();
    let (fixed, header) = pieces[0].split_at(FIXED_BYTES);
    let drawn = "3d000000525b91390100000000000000000000000100000000000000020000000000000013000000";
    assert_eq!(hex(fixed), drawn);
    assert_eq!(hex(header), "0402010401020505000000010202acd5ccc40d");
    assert_eq!(&pieces[1][..], b"hi");
}

#[test]
fn payloads_are_passed_on_without_a_copy() {
    let command = Bytes::from(vec![7; 1000]);
    let origin = Origin { node: NodeId::new(1), boot: 2 };
    let request = RequestId { origin, sequence: 3, answered_below: 0 };
    let content = Content::Submit { request, command: command.clone() };
    let pieces = encode(&Frame { content, ..ping() }).unwrap();
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[1].as_ptr(), command.as_ptr());

    let mut decoder = Decoder::new();
    decoder.buffer().extend_from_slice(&pieces.concat());
    let arrived = decoder.buffer.as_ptr();
    let Ok(Some(Frame { content: Content::Submit { command, .. }, .. })) = decoder.next_frame() else {
        panic!("a submit frame");
    };
    assert_eq!(command.as_ptr(), arrived.wrapping_add(pieces[0].len()));
}

#[test]
fn a_frame_that_declares_two_gibibytes_is_refused_at_its_fourth_byte_and_nothing_is_allocated_for_it() {
    let mut decoder = Decoder::new();
    decoder.buffer().extend_from_slice(&(2_u32 << 30).to_le_bytes());
    assert_eq!(decoder.next_frame(), Err(DecodeError::Oversized { declared: 2 << 30 }));
    assert_eq!(decoder.next_frame(), Err(DecodeError::Oversized { declared: 2 << 30 }));
    assert!(decoder.buffer().capacity() <= 2 * READ_ROOM);
}

#[test]
fn the_buffer_grows_only_as_bytes_arrive() {
    let mut decoder = Decoder::new();
    decoder.buffer().extend_from_slice(&(MAX_FRAME_BYTES as u32).to_le_bytes());
    let piece = [0; 1000];
    for _ in 0..3000 {
        decoder.buffer().extend_from_slice(&piece);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(decoder.buffer.capacity() <= 4 * decoder.buffer.len() + 2 * READ_ROOM);
    }
}

#[test]
fn a_frame_shorter_than_its_fixed_part_is_refused() {
    let bytes = (FIXED_BYTES as u32 - 1).to_le_bytes();
    assert_eq!(decode_all(&[&bytes]), Err(DecodeError::Undersized { declared: 39 }));
}

#[test]
fn unknown_kinds_and_used_reserved_bytes_are_refused() {
    let unknown = forge(wire(&ping()), |bytes| bytes[8] = 99);
    assert_eq!(decode_all(&[&unknown]), Err(DecodeError::Kind { kind: 99 }));
    let reserved = forge(wire(&ping()), |bytes| bytes[10] = 1);
    assert_eq!(decode_all(&[&reserved]), Err(DecodeError::Reserved { found: [0, 1, 0] }));
}

#[test]
fn a_header_longer_than_its_frame_is_refused() {
    let bytes = forge(wire(&ping()), |bytes| bytes[36] = 1);
    assert_eq!(decode_all(&[&bytes]), Err(DecodeError::HeaderLength { declared: 1, allowed: 0 }));
}

#[test]
fn an_entry_table_that_does_not_match_the_message_is_refused() {
    let id = LogIndex::new(5);
    let refused = |bytes: Vec<u8>| decode_all(&[&bytes]).unwrap_err();

    let missing = raft_wire(&one_entry(), Vec::new(), b"");
    assert_eq!(refused(missing), DecodeError::EntryCount { declared: 1, found: 0 });
    let twice = raft_wire(&one_entry(), vec![row(2, b"a"), row(2, b"b")], b"ab");
    assert_eq!(refused(twice), DecodeError::EntryCount { declared: 1, found: 2 });
    let short = raft_wire(&one_entry(), vec![row(2, b"abc")], b"ab");
    assert_eq!(refused(short), DecodeError::PayloadLength { declared: 3, found: 2 });
    let kind = raft_wire(&one_entry(), vec![row(9, b"")], b"");
    assert_eq!(refused(kind), DecodeError::EntryKind { index: id, kind: 9 });
    let noop = raft_wire(&one_entry(), vec![row(1, b"a")], b"a");
    assert_eq!(refused(noop), DecodeError::NoopPayload { index: id, bytes: 1 });
    let crc = raft_wire(&one_entry(), vec![row(2, b"a")], b"b");
    assert!(matches!(refused(crc), DecodeError::PayloadCrc { index, .. } if index == id));
    let vote = Message::VoteReply(VoteReply { term: Term::new(1), granted: true });
    let stray = raft_wire(&vote, vec![row(2, b"a")], b"a");
    assert_eq!(refused(stray), DecodeError::EntryCount { declared: 0, found: 1 });
}

/// An append as a liar would write it: its log need not be one.
#[derive(serde::Serialize)]
struct Lie {
    term: u64,
    before: (u64, u64),
    runs: Vec<TermRun>,
    last: u64,
    memberships: Vec<(u64, Membership)>,
    commit: u64,
    round: u64,
}

fn lie(last: u64, memberships: Vec<(u64, Membership)>, rows: Vec<Row>, payload: &[u8]) -> Vec<u8> {
    /// The place of [`Message::Append`] among the messages.
    const APPEND: u8 = 4;
    let runs = vec![TermRun { term: Term::new(2), first: LogIndex::new(5) }];
    let append = Lie { term: 2, before: (1, 4), runs, last, memberships, commit: 0, round: 0 };
    let header = postcard::to_allocvec(&(APPEND, append, rows)).unwrap();
    raft_frame(&header, payload)
}

#[test]
fn term_runs_that_describe_no_log_are_refused() {
    let refused = decode_all(&[&lie(3, Vec::new(), Vec::new(), b"")]).unwrap_err();
    assert!(matches!(refused, DecodeError::Header { kind: kind::RAFT, .. }), "{refused}");
    assert_eq!(decode_all(&[&lie(5, Vec::new(), vec![row(1, b"")], b"")]).unwrap().len(), 1);
}

#[test]
fn an_append_to_the_end_of_the_index_space_does_not_panic() {
    let refused = decode_all(&[&lie(u64::MAX, Vec::new(), Vec::new(), b"")]);
    assert!(matches!(refused, Err(DecodeError::EntryCount { .. })));
}

#[test]
fn the_memberships_of_an_append_are_those_of_its_entries_whatever_is_said() {
    let index = LogIndex::new(5);
    let some: Membership =
        Configuration::new([ReplicaId::new(NodeId::new(1), DiskId::new(2))]).unwrap().into();
    let payload = Entry::of_membership(LogId::ZERO, &some).payload;
    let bytes = raft_wire(&one_entry(), vec![row(4, &payload)], &payload);
    let frames = decode_all(&[&bytes]).unwrap();
    let Content::Raft { message: Message::Append(append), entries } = &frames[0].content else { panic!() };
    assert_eq!(append.memberships, [(index, some.clone())]);
    assert_eq!(entries[0].membership(), Some(some.clone()));

    let listed = lie(5, vec![(5, some.clone())], vec![row(4, &payload)], &payload);
    assert_eq!(decode_all(&[&listed]), Err(DecodeError::ListedMemberships { found: 1 }));
    let none = raft_wire(&one_entry(), vec![row(4, b"nobody")], b"nobody");
    assert_eq!(decode_all(&[&none]), Err(DecodeError::Membership { index, bytes: 6 }));
    // It declares more voters than there are bytes in the world.
    let endless = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 1];
    let endless = raft_wire(&one_entry(), vec![row(4, &endless)], &endless);
    assert_eq!(decode_all(&[&endless]), Err(DecodeError::Membership { index, bytes: 11 }));
    let long = vec![0; raft_wal::MEMBERSHIP_MAX + 1];
    let long = raft_wire(&one_entry(), vec![row(4, &long)], &long);
    assert!(matches!(decode_all(&[&long]), Err(DecodeError::Membership { .. })));
}

#[test]
fn an_append_whose_memberships_are_not_those_of_its_entries_is_not_sent() {
    let some: Membership =
        Configuration::new([ReplicaId::new(NodeId::new(1), DiskId::new(2))]).unwrap().into();
    let id = LogId::new(Term::new(2), LogIndex::new(5));
    let sent = |memberships: Vec<(LogIndex, Membership)>, entry: Entry| {
        let Message::Append(append) = one_entry() else { panic!("an append") };
        let message = Message::Append(AppendRequest { memberships, ..append });
        encode(&Frame { content: Content::Raft { message, entries: vec![entry] }, ..ping() }).map(|_| ())
    };
    let entry = Entry::of_membership(id, &some);
    let command = Entry { kind: EntryKind::Command, ..entry.clone() };
    let parted = |listed| Err(EncodeError::Memberships { listed });
    assert_eq!(sent(vec![(id.index, some.clone())], entry.clone()), Ok(()));
    assert_eq!(sent(Vec::new(), entry.clone()), parted(0));
    assert_eq!(sent(vec![(id.index, Membership::none())], entry.clone()), parted(1));
    assert_eq!(sent(vec![(id.index.next(), some.clone())], entry.clone()), parted(1));
    assert_eq!(sent(vec![(id.index, some.clone()), (id.index.next(), some.clone())], entry), parted(2));
    assert_eq!(sent(vec![(id.index, some)], command), parted(1));
}

#[test]
fn what_no_receiver_would_take_is_not_sent() {
    let origin = Origin { node: NodeId::new(1), boot: 2 };
    let request = RequestId { origin, sequence: 3, answered_below: 0 };
    let command = Bytes::from(vec![0; MAX_PAYLOAD_BYTES + 1]);
    let bytes = command.len();
    let frame = Frame { content: Content::Submit { request, command }, ..ping() };
    assert_eq!(encode(&frame), Err(EncodeError::Payload { bytes }));

    let half = Bytes::from(vec![0; 12 << 20]);
    let entry = |index| Entry {
        id: LogId::new(Term::new(1), LogIndex::new(index)),
        kind: EntryKind::Batch,
        payload: half.clone(),
    };
    let content = Content::Raft { message: one_entry(), entries: vec![entry(1), entry(2)] };
    assert!(matches!(encode(&Frame { content, ..ping() }), Err(EncodeError::Frame { .. })));
}
