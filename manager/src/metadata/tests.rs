//! What commands do, refused ones included, and the laws over any sequence of them.

use proptest::prelude::*;
use raft_core::{DiskId, GroupId, LogIndex, NodeId, ReplicaId};
use uuid::Uuid;

use super::*;
use crate::address::HostPort;

/// The broker that [`register`] registers.
pub(crate) fn broker(id: u64) -> Broker {
    let address = |base: u16| HostPort::new("127.0.0.1", base + id as u16).unwrap();
    Broker {
        replica: ReplicaId::new(NodeId::new(id), DiskId::new(0xd15c_0000 + u128::from(id))),
        kafka: address(9091),
        peer: address(7000),
        registered_at: LogIndex::ZERO,
    }
}

/// Registers broker `id`, at most 1000.
pub(crate) fn register(id: u64) -> Command {
    let Broker { replica, kafka, peer, .. } = broker(id);
    Command::RegisterBroker { replica, kafka, peer }
}

/// Creates a topic with the given brokers per partition.
pub(crate) fn create(name: &str, id: u128, brokers: &[&[u64]]) -> Command {
    let replicas = |ids: &&[u64]| ids.iter().map(|id| broker(*id).replica).collect();
    Command::CreateTopic {
        name: TopicName::new(name).unwrap(),
        id: TopicId::new(Uuid::from_u128(id)),
        assignments: brokers.iter().map(replicas).collect(),
    }
}

/// Deletes a topic by name.
pub(crate) fn delete(name: &str) -> Command {
    Command::DeleteTopic { topic: TopicRef::Name(TopicName::new(name).unwrap()) }
}

/// The state after these commands, the first at index 1.
pub(crate) fn apply_all(commands: &[Command]) -> Metadata {
    let mut metadata = Metadata::default();
    for (index, command) in (1..).zip(commands) {
        metadata.apply(LogIndex::new(index), command.clone());
        assert_eq!(metadata.check_invariants(), Ok(()), "after {command:?}");
    }
    metadata
}

fn apply(metadata: &mut Metadata, command: Command) -> Response {
    let at = metadata.changed_at().next();
    metadata.apply(at, command)
}

/// Applies a command that must be refused and must leave no trace.
fn refuse(metadata: &Metadata, command: Command) -> Response {
    let mut after = metadata.clone();
    let response = apply(&mut after, command);
    assert_eq!(after.encode(), metadata.encode(), "a refused command changed something");
    response
}

#[test]
fn a_broker_is_registered_once_and_moves_when_its_address_changes() {
    let mut metadata = Metadata::default();
    assert_eq!(apply(&mut metadata, register(1)), Response::RegisterBroker(Ok(Registration::New)));
    assert_eq!(refuse(&metadata, register(1)), Response::RegisterBroker(Ok(Registration::Unchanged)));
    let Broker { replica, peer, .. } = broker(1);
    let kafka = HostPort::new("elsewhere", 9092).unwrap();
    let moved = Command::RegisterBroker { replica, kafka: kafka.clone(), peer };
    assert_eq!(apply(&mut metadata, moved), Response::RegisterBroker(Ok(Registration::Moved)));
    let known = metadata.broker(NodeId::new(1)).unwrap();
    assert_eq!((&known.kafka, known.registered_at), (&kafka, LogIndex::new(1)));
}

#[test]
fn a_broker_with_another_disk_is_refused_with_a_sentence() {
    let metadata = apply_all(&[register(1)]);
    let Broker { replica, kafka, peer, .. } = broker(1);
    let other = ReplicaId::new(replica.node, DiskId::new(7));
    let response = refuse(&metadata, Command::RegisterBroker { replica: other, kafka, peer });
    let Response::RegisterBroker(Err(refused)) = response else { panic!("{response:?}") };
    assert_eq!(
        refused,
        RegisterBrokerRefused::OtherDisk {
            broker: replica.node,
            registered: replica.disk,
            offered: other.disk
        }
    );
    assert!(refused.to_string().contains("its data directory was wiped or replaced"), "{refused}");
}

#[test]
fn a_broker_id_that_kafka_cannot_carry_is_refused() {
    let Broker { kafka, peer, .. } = broker(1);
    let replica = ReplicaId::new(NodeId::new(1 << 31), DiskId::new(1));
    let response = refuse(&Metadata::default(), Command::RegisterBroker { replica, kafka, peer });
    assert!(matches!(response, Response::RegisterBroker(Err(RegisterBrokerRefused::IdTooHigh { .. }))));
}

#[test]
fn a_topic_gets_consecutive_groups_of_one_incarnation() {
    let mut metadata = apply_all(&[register(1), register(2), register(3)]);
    let response = apply(&mut metadata, create("a", 1, &[&[1, 2, 3], &[2, 3, 1]]));
    let Response::CreateTopic(Ok(created)) = response else { panic!("{response:?}") };
    let groups: Vec<GroupId> = created.groups().collect();
    assert_eq!(groups, [GroupId::new(1, 1), GroupId::new(2, 1)]);
    let topic = metadata.topic("a").unwrap().clone();
    assert_eq!(topic.partitions.iter().map(|p| p.group).collect::<Vec<_>>(), groups);
    assert_eq!(topic.created_at, LogIndex::new(4));
    assert_eq!(topic.partitions[1].preferred_leader(), Some(NodeId::new(2)));
    assert_eq!(topic.partitions[1].configuration().first(), Some(NodeId::new(2)));
    assert_eq!(metadata.topic_by_id(created.id), Some(&topic));
    assert_eq!(metadata.partition_of(groups[1]), Some((&topic, PartitionId::new(1))));
    assert_eq!(metadata.partition_of(GroupId::new(3, 1)), None);
    assert_eq!(metadata.partition_of(GroupId::new(2, 2)), None);
    assert_eq!(metadata.partition_of(GroupId::ROOT), None);
}

#[test]
fn a_topic_made_anew_shares_no_group_with_the_deleted_one() {
    let mut metadata = apply_all(&[register(1), create("a", 1, &[&[1], &[1]]), create("b", 2, &[&[1]])]);
    let response = apply(&mut metadata, delete("a"));
    assert!(matches!(response, Response::DeleteTopic(Ok(TopicDeleted { partitions: 2, .. }))));
    assert!(metadata.topic("a").is_none());
    assert_eq!(metadata.partition_of(GroupId::new(1, 1)), None);
    let response = apply(&mut metadata, create("a", 3, &[&[1]]));
    let Response::CreateTopic(Ok(created)) = response else { panic!("{response:?}") };
    assert_eq!(created.first_group, GroupId::new(4, 3));
    let deleted: Vec<GroupId> = metadata.deleted_groups().collect();
    assert_eq!(deleted, [GroupId::new(1, 1), GroupId::new(2, 1)]);
    assert!(metadata.is_deleted(deleted[0]) && !metadata.is_deleted(created.first_group));
    assert_eq!(metadata.check_invariants(), Ok(()));
}

#[test]
fn each_way_in_which_a_topic_cannot_be_created_has_its_own_refusal() {
    let metadata = apply_all(&[register(1), register(2), create("a", 1, &[&[1]])]);
    let refused = |command| match refuse(&metadata, command) {
        Response::CreateTopic(Err(refused)) => refused,
        response => panic!("{response:?}"),
    };
    let broker_id = NodeId::new;
    let id = |n| TopicId::new(Uuid::from_u128(n));
    let name = TopicName::new("a").unwrap();
    assert_eq!(refused(create("a", 9, &[&[1]])), CreateTopicRefused::Exists { name, id: id(1) });
    assert_eq!(refused(create("b", 1, &[&[1]])), CreateTopicRefused::BadId { id: id(1) });
    assert_eq!(refused(create("b", 0, &[&[1]])), CreateTopicRefused::BadId { id: id(0) });
    assert_eq!(refused(create("b", 2, &[])), CreateTopicRefused::PartitionCount { partitions: 0 });
    let many = vec![&[1u64][..]; MAX_PARTITIONS_PER_TOPIC + 1];
    assert_eq!(refused(create("b", 2, &many)), CreateTopicRefused::PartitionCount { partitions: many.len() });
    assert_eq!(
        refused(create("b", 2, &[&[1], &[]])),
        CreateTopicRefused::ReplicaCount { partition: 1, replicas: 0 }
    );
    assert_eq!(
        refused(create("b", 2, &[&[1, 2, 3, 4, 5, 6, 7, 8]])),
        CreateTopicRefused::ReplicaCount { partition: 0, replicas: 8 }
    );
    assert_eq!(
        refused(create("b", 2, &[&[1, 2, 1]])),
        CreateTopicRefused::RepeatedBroker { partition: 0, broker: broker_id(1) }
    );
    assert_eq!(
        refused(create("b", 2, &[&[1], &[3]])),
        CreateTopicRefused::UnknownBroker { partition: 1, broker: broker_id(3) }
    );
    let foreign = ReplicaId::new(broker_id(1), DiskId::new(7));
    let command = Command::CreateTopic {
        name: TopicName::new("b").unwrap(),
        id: id(2),
        assignments: vec![vec![foreign]],
    };
    assert!(matches!(refused(command), CreateTopicRefused::OtherDisk { .. }));
}

#[test]
fn group_numbers_incarnations_and_producer_ids_end_with_a_refusal_and_never_wrap() {
    let mut metadata = apply_all(&[register(1)]);
    metadata.next_group = u32::MAX - 1;
    let exhausted = |n| Response::CreateTopic(Err(CreateTopicRefused::Exhausted { partitions: n }));
    assert_eq!(refuse(&metadata, create("a", 1, &[&[1], &[1]])), exhausted(2));
    assert!(matches!(apply(&mut metadata, create("a", 1, &[&[1]])), Response::CreateTopic(Ok(_))));
    assert_eq!(refuse(&metadata, create("b", 2, &[&[1]])), exhausted(1));
    let mut metadata = apply_all(&[register(1)]);
    metadata.next_incarnation = u32::MAX;
    assert_eq!(refuse(&metadata, create("a", 1, &[&[1]])), exhausted(1));
    metadata.next_producer_id = i64::MAX - 7;
    let response = refuse(&metadata, Command::AllocateProducerIds { broker: NodeId::new(1) });
    assert_eq!(response, Response::AllocateProducerIds(Err(AllocateProducerIdsRefused::Exhausted)));
}

#[test]
fn a_topic_is_deleted_by_name_or_by_id_and_only_once() {
    for by_id in [false, true] {
        let mut metadata = apply_all(&[register(1), create("a", 1, &[&[1]])]);
        let id = metadata.topic("a").unwrap().id;
        let name = TopicName::new("a").unwrap();
        let topic = if by_id { TopicRef::Id(id) } else { TopicRef::Name(name.clone()) };
        let command = Command::DeleteTopic { topic: topic.clone() };
        let deleted = TopicDeleted { name, id, partitions: 1 };
        assert_eq!(apply(&mut metadata, command.clone()), Response::DeleteTopic(Ok(deleted)));
        let unknown = DeleteTopicRefused::Unknown { topic };
        assert_eq!(refuse(&metadata, command), Response::DeleteTopic(Err(unknown)));
    }
}

#[test]
fn producer_ids_are_given_out_in_blocks_that_never_overlap() {
    let mut metadata = apply_all(&[register(1), register(2)]);
    let mut next = 0;
    for id in [1, 2, 1] {
        let response = apply(&mut metadata, Command::AllocateProducerIds { broker: NodeId::new(id) });
        let Response::AllocateProducerIds(Ok(block)) = response else { panic!("{response:?}") };
        assert_eq!(block.ids(), next..next + 1000);
        next += 1000;
    }
    let broker = NodeId::new(3);
    let response = refuse(&metadata, Command::AllocateProducerIds { broker });
    assert_eq!(
        response,
        Response::AllocateProducerIds(Err(AllocateProducerIdsRefused::UnknownBroker { broker }))
    );
}

#[test]
fn a_broker_finds_the_partitions_it_must_hold_and_candidates_carry_their_loads() {
    let metadata = apply_all(&[register(1), register(2), register(3), create("a", 1, &[&[1, 2], &[2, 3]])]);
    let on = |id| metadata.partitions_on(broker(id).replica).map(|(_, p, _)| p.as_u32()).collect::<Vec<_>>();
    assert_eq!((on(1), on(2), on(3)), (vec![0], vec![0, 1], vec![1]));
    let other_disk = ReplicaId::new(NodeId::new(1), DiskId::new(7));
    assert_eq!(metadata.partitions_on(other_disk).count(), 0);
    let live: Vec<NodeId> = [101, 2, 3, 2].map(NodeId::new).to_vec();
    let loads: Vec<_> =
        metadata.candidates(&live).iter().map(|c| (c.load.replicas, c.load.leaders)).collect();
    assert_eq!(loads, [(2, 1), (1, 0)], "managers are no candidates, and nobody is one twice");
}

#[test]
fn a_state_that_no_commands_lead_to_does_not_decode() {
    let mut metadata = apply_all(&[register(1), create("a", 1, &[&[1]])]);
    metadata.next_group = 1;
    assert!(matches!(Metadata::decode(&metadata.encode()), Err(DecodeError::Unlawful { .. })));
    assert_eq!(Metadata::decode(&[9]), Err(DecodeError::Version { found: 9 }));
    assert_eq!(Metadata::decode(&[]), Err(DecodeError::Malformed { bytes: 0 }));
}

fn any_command() -> impl Strategy<Value = Command> {
    let replica = |broken: bool, id: u64| {
        if broken { ReplicaId::new(NodeId::new(id), DiskId::new(1)) } else { broker(id).replica }
    };
    let any_replica = (proptest::bool::weighted(0.02), 1u64..5).prop_map(move |(b, id)| replica(b, id));
    let replicas = proptest::collection::vec(any_replica.clone(), 0..4);
    let assignments = proptest::collection::vec(replicas, 0..4);
    let name = "[abc]".prop_map(|name| TopicName::new(name).unwrap());
    let id = (0u128..12).prop_map(|id| TopicId::new(Uuid::from_u128(id)));
    prop_oneof![
        (any_replica, 1u16..4).prop_map(|(replica, port)| Command::RegisterBroker {
            replica,
            kafka: HostPort::new("k", port).unwrap(),
            peer: HostPort::new("p", port).unwrap(),
        }),
        (name.clone(), id.clone(), assignments).prop_map(|(name, id, assignments)| Command::CreateTopic {
            name,
            id,
            assignments
        }),
        name.prop_map(|name| Command::DeleteTopic { topic: TopicRef::Name(name) }),
        id.prop_map(|id| Command::DeleteTopic { topic: TopicRef::Id(id) }),
        (1u64..6).prop_map(|id| Command::AllocateProducerIds { broker: NodeId::new(id) }),
    ]
}

fn is_refusal(response: &Response) -> bool {
    match response {
        Response::Malformed => true,
        Response::RegisterBroker(answer) => answer.is_err(),
        Response::CreateTopic(answer) => answer.is_err(),
        Response::DeleteTopic(answer) => answer.is_err(),
        Response::AllocateProducerIds(answer) => answer.is_err(),
    }
}

proptest! {
    #[test]
    fn the_same_commands_give_the_same_lawful_state_on_every_replica(
        commands in proptest::collection::vec(any_command(), 0..60),
    ) {
        let (mut one, mut two) = (Metadata::default(), Metadata::default());
        for (index, command) in (1..).map(LogIndex::new).zip(&commands) {
            let before = one.clone();
            // The second replica sees the command as it lies in the log.
            let decoded = Command::decode(&command.encode());
            prop_assert_eq!(decoded.as_ref(), Some(command));
            let response = one.apply(index, command.clone());
            prop_assert_eq!(&two.apply(index, decoded.unwrap()), &response);
            prop_assert_eq!(Response::decode(&response.encode()), Some(response.clone()));
            prop_assert_eq!(one.check_invariants(), Ok(()));
            if is_refusal(&response) {
                prop_assert_eq!(&one, &before);
            }
            let changed = one.encode() != before.encode();
            prop_assert_eq!(one.changed_at(), if changed { index } else { before.changed_at() });
        }
        prop_assert_eq!(one.encode(), two.encode());
        prop_assert_eq!(Metadata::decode(&one.encode()), Ok(one));
    }

    #[test]
    fn arbitrary_bytes_are_no_command_or_one_that_applies_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(command) = Command::decode(&bytes) {
            let mut metadata = apply_all(&[register(1)]);
            metadata.apply(LogIndex::new(2), command);
            prop_assert_eq!(metadata.check_invariants(), Ok(()));
        }
        let _ = Response::decode(&bytes);
        let _ = Metadata::decode(&bytes);
    }

    #[test]
    fn a_damaged_state_decodes_to_a_lawful_one_or_not_at_all(
        commands in proptest::collection::vec(any_command(), 1..20),
        at: proptest::sample::Index, bit in 0u8..8, cut: proptest::sample::Index,
    ) {
        let mut bytes = apply_all(&commands).encode().to_vec();
        let cut = cut.index(bytes.len());
        prop_assert!(Metadata::decode(&bytes[..cut]).is_err());
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(metadata) = Metadata::decode(&bytes) {
            prop_assert_eq!(metadata.check_invariants(), Ok(()));
        }
    }
}
