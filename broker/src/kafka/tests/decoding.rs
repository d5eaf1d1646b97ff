//! The guard and the decoders behind it: everything good passes, nothing bad panics or takes much memory.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::{TopicName, TransactionalId};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

use crate::kafka::api::{Api, SERVED, Served};
use crate::kafka::codec::decode;
use crate::kafka::guard::{self, ELEMENTS_MAX};
use crate::kafka::header::Request;
use crate::kafka::wire::{Layout, Malformed};

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn name(name: &'static str) -> TopicName {
    TopicName(text(name))
}

fn request(served: &Served, version: i16, body: &[u8]) -> Request {
    let mut frame = BytesMut::new();
    frame.put_i16(served.key);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    if served.layout(version) == Layout::Flexible {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    Request::parse(frame.freeze()).expect("a header")
}

fn encoded(message: &impl Encodable, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).expect("the crate encodes it");
    body
}

/// A request of the kind with something in every array that the version has.
fn full(api: Api, version: i16) -> BytesMut {
    match api {
        Api::Produce => BytesMut::new(),
        Api::ApiVersions => {
            let client = ApiVersionsRequest::default();
            encoded(
                &client.with_client_software_name(text("me")).with_client_software_version(text("1")),
                version,
            )
        }
        Api::Fetch => {
            let partitions = vec![FetchPartition::default(), FetchPartition::default().with_partition(3)];
            let topic = FetchTopic::default().with_topic(name("lines")).with_partitions(partitions);
            let mut message = FetchRequest::default().with_replica_id((-1).into()).with_topics(vec![
                topic.clone(),
                FetchTopic::default().with_topic(name("")),
                topic,
            ]);
            if version >= 7 {
                let forgotten =
                    ForgottenTopic::default().with_topic(name("old")).with_partitions(vec![1, 2, 3]);
                message.forgotten_topics_data = vec![forgotten];
            }
            if version >= 11 {
                message.rack_id = text("rack");
            }
            if version >= 12 {
                message.cluster_id = Some(text("cluster"));
            }
            encoded(&message, version)
        }
        Api::ListOffsets => {
            let partitions = vec![ListOffsetsPartition::default(); 3];
            let topic = ListOffsetsTopic::default().with_name(name("lines")).with_partitions(partitions);
            encoded(&ListOffsetsRequest::default().with_topics(vec![topic; 2]), version)
        }
        Api::Metadata => {
            let topic = MetadataRequestTopic::default().with_name(Some(name("lines")));
            encoded(&MetadataRequest::default().with_topics(Some(vec![topic; 3])), version)
        }
        Api::FindCoordinator if version >= 4 => {
            let keys = vec![text("a"), text("b")];
            encoded(&FindCoordinatorRequest::default().with_coordinator_keys(keys), version)
        }
        Api::FindCoordinator => encoded(&FindCoordinatorRequest::default().with_key(text("group")), version),
        Api::CreateTopics => {
            let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![1.into(), 2.into()]);
            let config = CreatableTopicConfig::default().with_name(text("key"));
            let configs = vec![config.clone().with_value(None), config.with_value(Some(text("value")))];
            let topic = CreatableTopic::default()
                .with_name(name("lines"))
                .with_assignments(vec![assignment; 2])
                .with_configs(configs);
            encoded(&CreateTopicsRequest::default().with_topics(vec![topic; 2]), version)
        }
        Api::DeleteTopics if version >= 6 => {
            let topics = vec![DeleteTopicState::default().with_name(Some(name("lines"))), Default::default()];
            encoded(&DeleteTopicsRequest::default().with_topics(topics), version)
        }
        Api::DeleteTopics => {
            encoded(&DeleteTopicsRequest::default().with_topic_names(vec![name("a"), name("b")]), version)
        }
        Api::InitProducerId => {
            let id = Some(TransactionalId(text("tx")));
            encoded(&InitProducerIdRequest::default().with_transactional_id(id), version)
        }
    }
}

/// Decodes as the handlers do, and says whether it worked.
fn decodes(request: &Request) -> Result<(), Malformed> {
    fn any<T: Decodable>(request: &Request) -> Result<(), Malformed> {
        decode::<T>(request).map(|_| ())
    }
    match request.served.api {
        Api::Produce => Ok(()),
        Api::Fetch => any::<FetchRequest>(request),
        Api::ListOffsets => any::<ListOffsetsRequest>(request),
        Api::Metadata => any::<MetadataRequest>(request),
        Api::FindCoordinator => any::<FindCoordinatorRequest>(request),
        Api::ApiVersions => any::<ApiVersionsRequest>(request),
        Api::CreateTopics => any::<CreateTopicsRequest>(request),
        Api::DeleteTopics => any::<DeleteTopicsRequest>(request),
        Api::InitProducerId => any::<InitProducerIdRequest>(request),
    }
}

fn guarded() -> impl Iterator<Item = (&'static Served, i16)> {
    let guarded = SERVED.iter().filter(|served| served.api != Api::Produce);
    guarded.flat_map(|served| (served.min..=served.max).map(move |version| (served, version)))
}

#[test]
fn the_guard_passes_what_an_independent_encoder_wrote_and_reads_it_to_its_last_byte() {
    for (served, version) in guarded() {
        let body = full(served.api, version);
        assert_eq!(decodes(&request(served, version, &body)), Ok(()), "{:?} v{version}", served.api);
        for cut in 0..body.len() {
            let cut_off = guard::check(&request(served, version, &body[..cut]));
            assert!(cut_off.is_err(), "{:?} v{version} cut at {cut} of {}", served.api, body.len());
        }
    }
}

#[test]
fn eight_bytes_that_ask_for_gigabytes_are_refused() {
    for (served, version) in guarded().filter(|(served, _)| served.api == Api::Metadata) {
        let body: &[u8] = match served.layout(version) {
            Layout::Classic => b"\x7f\xff\xff\xff\0\0\0\0",
            Layout::Flexible => b"\xff\xff\xff\xff\x0f\0\0\0",
        };
        let refused = decodes(&request(served, version, body));
        assert!(matches!(refused, Err(Malformed::CutOff { .. })), "v{version}: {refused:?}");
    }
}

#[test]
fn more_elements_than_a_request_may_have_are_refused() {
    let served = Served::by_key(3).expect("Metadata");
    let count = ELEMENTS_MAX + 1;
    let mut body = (count as i32).to_be_bytes().to_vec();
    body.resize(4 + 2 * count, 0);
    let refused = guard::check(&request(served, 0, &body));
    assert_eq!(refused, Err(Malformed::TooMany { limit: ELEMENTS_MAX }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_decoded_or_refused_without_a_panic(
        row in any::<proptest::sample::Index>(),
        body in proptest::collection::vec(any::<u8>(), 0..128),
    ) {
        let all: Vec<_> = guarded().collect();
        let (served, version) = all[row.index(all.len())];
        let _ = decodes(&request(served, version, &body));
    }

    #[test]
    fn any_change_of_a_good_request_is_decoded_or_refused_without_a_panic(
        row in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let all: Vec<_> = guarded().collect();
        let (served, version) = all[row.index(all.len())];
        let mut body = full(served.api, version);
        for (at, byte) in changes {
            let at = at.index(body.len().max(1));
            if let Some(changed) = body.get_mut(at) {
                *changed = byte;
            }
        }
        let _ = decodes(&request(served, version, &Bytes::from(body)));
    }
}
