//! A walk over a Produce request that takes the record batches out without copying them.
//!
//! Understands versions 0 to 9: 0 to 2 only so that they can be refused properly. *Invariant:* memory is bounded by
//! the request's size, and no topic name or header keeps the frame alive: only the batches do.

use std::sync::Arc;

use bytes::Bytes;

use super::guard::ELEMENTS_MAX;
use super::header::Request;
use super::wire::{Cursor, Layout, Malformed};

/// How many replicas a producer waits for, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acks(pub(crate) i16);

impl Acks {
    /// The producer wants no answer.
    pub(crate) const NONE: Acks = Acks(0);

    /// Whether Kafka knows this number. Both 1 and -1 are served as "a majority, on disk": never weaker than asked.
    pub(crate) fn is_known(self) -> bool {
        matches!(self.0, -1..=1)
    }
}

/// A Produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceRequest {
    /// Whether it names a transaction.
    pub(crate) transactional: bool,
    /// How many replicas to wait for.
    pub(crate) acks: Acks,
    /// How long to wait, in ms; not checked.
    pub(crate) timeout_ms: i32,
    /// What to append, in the order of the request.
    pub(crate) topics: Vec<ProduceTopic<Option<Bytes>>>,
}

/// One topic of a request or response, with something for each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceTopic<T> {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Partition numbers and what belongs to each, in the order of the request.
    pub(crate) partitions: Vec<(i32, T)>,
}

/// Bytes that a topic takes at least: its name's length and its partition count.
const TOPIC_MIN: usize = 2;
/// Bytes that a partition takes at least: its number and the length of its records.
const PARTITION_MIN: usize = 5;

impl ProduceRequest {
    /// Walks the body of a Produce request.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub(crate) fn parse(request: &Request) -> Result<Self, Malformed> {
        let layout = request.served.layout(request.version);
        let mut walk = Walk { cursor: request.body(), layout, elements: 0 };
        let mut transactional = false;
        if request.version >= 3 {
            transactional = walk.cursor.text(layout, "transactional id")?.is_some();
        }
        let acks = Acks(walk.cursor.i16("acks")?);
        let timeout_ms = walk.cursor.i32("timeout")?;
        let topics = walk.array(TOPIC_MIN, "topics", Walk::topic)?;
        walk.cursor.skip_tags(layout)?;
        Ok(Self { transactional, acks, timeout_ms, topics })
    }
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    layout: Layout,
    elements: usize,
}

impl Walk<'_> {
    fn array<T>(
        &mut self,
        element_min: usize,
        field: &'static str,
        element: impl Fn(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.cursor.count(self.layout, element_min, field)?.unwrap_or(0);
        self.elements = self.elements.saturating_add(count);
        if self.elements > ELEMENTS_MAX {
            return Err(Malformed::TooMany { limit: ELEMENTS_MAX });
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    fn topic(&mut self) -> Result<ProduceTopic<Option<Bytes>>, Malformed> {
        let name = self.cursor.text(self.layout, "topic name")?.unwrap_or_default().into();
        let partitions = self.array(PARTITION_MIN, "partitions", Self::partition)?;
        self.cursor.skip_tags(self.layout)?;
        Ok(ProduceTopic { name, partitions })
    }

    fn partition(&mut self) -> Result<(i32, Option<Bytes>), Malformed> {
        let index = self.cursor.i32("partition")?;
        let records = self.cursor.bytes(self.layout, "records")?;
        self.cursor.skip_tags(self.layout)?;
        Ok((index, records))
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::produce_request::{
        PartitionProduceData, ProduceRequest as WireRequest, TopicProduceData,
    };
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use proptest::prelude::*;

    use super::*;

    fn request(version: i16, body: &[u8]) -> Request {
        let mut frame = BytesMut::new();
        frame.put_i16(0);
        frame.put_i16(version);
        frame.put_i32(1);
        frame.put_i16(-1);
        if version >= 9 {
            frame.put_u8(0);
        }
        frame.put_slice(body);
        Request::parse(frame.freeze()).expect("a header")
    }

    fn encoded(version: i16, transactional: bool) -> BytesMut {
        let partition = |index: i32, records: Option<&'static [u8]>| {
            PartitionProduceData::default().with_index(index).with_records(records.map(Bytes::from_static))
        };
        let topic = |name: &'static str, partitions| {
            TopicProduceData::default()
                .with_name(TopicName(StrBytes::from_static_str(name)))
                .with_partition_data(partitions)
        };
        let id = transactional.then(|| StrBytes::from_static_str("tx").into());
        let wire = WireRequest::default()
            .with_transactional_id(id)
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![
                topic("a", vec![partition(0, Some(b"first")), partition(7, None)]),
                topic("b", vec![partition(1, Some(b""))]),
                topic("c", vec![]),
            ]);
        let mut body = BytesMut::new();
        wire.encode(&mut body, version).expect("the crate encodes it");
        body
    }

    #[test]
    fn the_walk_finds_what_an_independent_encoder_wrote_in_every_version_served() {
        for version in 3..=9 {
            let request = request(version, &encoded(version, false));
            let found = ProduceRequest::parse(&request).expect("well formed");
            assert_eq!((found.transactional, found.acks, found.timeout_ms), (false, Acks(-1), 30_000));
            let topics: Vec<_> =
                found.topics.iter().map(|topic| (&*topic.name, &*topic.partitions)).collect();
            let first = (0, Some(Bytes::from_static(b"first")));
            assert_eq!(topics[0], ("a", &[first, (7, None)][..]));
            assert_eq!(topics[1], ("b", &[(1, Some(Bytes::new()))][..]));
            assert_eq!(topics[2], ("c", &[][..]));
            assert_eq!(topics.len(), 3);
        }
    }

    #[test]
    fn a_transactional_request_is_recognised() {
        for version in 3..=9 {
            let request = request(version, &encoded(version, true));
            assert!(ProduceRequest::parse(&request).expect("well formed").transactional);
        }
    }

    #[test]
    fn records_are_slices_of_the_frame() {
        let request = request(9, &encoded(9, false));
        let found = ProduceRequest::parse(&request).expect("well formed");
        let records = found.topics[0].partitions[0].1.as_ref().expect("records");
        assert!(request.frame.as_ptr_range().contains(&records.as_ptr()));
    }

    #[test]
    fn golden_bytes_of_version_0_are_read() {
        let body = b"\x00\x01\x00\x00\x00\x05\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x01x";
        let found = ProduceRequest::parse(&request(0, body)).expect("well formed");
        assert_eq!((found.acks, found.timeout_ms), (Acks(1), 5));
        assert_eq!(found.topics[0].partitions, [(2, Some(Bytes::from_static(b"x")))]);
    }

    #[test]
    fn any_cut_is_refused() {
        for version in 3..=9 {
            let whole = encoded(version, false);
            for cut in 0..whole.len() {
                assert!(
                    ProduceRequest::parse(&request(version, &whole[..cut])).is_err(),
                    "v{version}, cut at {cut}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(
            version in 0..=9i16,
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = ProduceRequest::parse(&request(version, &body));
        }

        #[test]
        fn any_change_of_a_good_request_is_judged_without_a_panic(
            version in 3..=9i16,
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut body = encoded(version, true);
            let at = at.index(body.len());
            body[at] = byte;
            let _ = ProduceRequest::parse(&request(version, &body));
        }
    }
}
