//! The response to a Fetch request, versions 4 to 12, as segments: the record bytes go from the log to the socket
//! without a copy.
//!
//! *Invariant:* records are never null, also beside an error: librdkafka fails on null (KAFKA-18646).

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::header::Request;
use super::reply::{Reply, ReplyWriter};
use crate::record::Offset;

/// What is known of a partition, beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// First offset still held.
    pub(crate) log_start: Offset,
    /// First offset not yet visible; also the last stable offset, since there are no transactions.
    pub(crate) high_watermark: Offset,
}

/// One partition's part of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedPartition {
    /// Its number.
    pub(crate) index: i32,
    /// What went wrong, if anything.
    pub(crate) error: Option<ResponseError>,
    /// `None` if nothing is known of it here.
    pub(crate) bounds: Option<Bounds>,
    /// Whole batches. Empty beside an error.
    pub(crate) records: Vec<Bytes>,
}

/// One topic's part of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedTopic {
    /// Its name.
    pub(crate) name: String,
    /// Its partitions, in the order of the request.
    pub(crate) partitions: Vec<FetchedPartition>,
}

/// Isolation levels of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Everything below the high watermark.
    Uncommitted,
    /// Only what no open transaction could take back. The same here, since there are none; a list of aborted
    /// transactions is due all the same, and is empty.
    Committed,
}

/// Writes the response in the version of the request. `error` is the error of the whole request (version 7 and
/// later).
pub(crate) fn write(
    request: &Request,
    error: Option<ResponseError>,
    isolation: Isolation,
    topics: Vec<FetchedTopic>,
) -> Reply {
    let version = request.version;
    let layout = request.served.layout(version);
    let mut out = ReplyWriter::new(request.correlation_id, layout, layout);
    out.i32(0); // throttle time
    if version >= 7 {
        out.i16(code(error));
        out.i32(0); // session id: none is given (KIP-227 is declined)
    }
    out.count(Some(topics.len()));
    for topic in topics {
        out.text(Some(&topic.name));
        out.count(Some(topic.partitions.len()));
        for partition in topic.partitions {
            write_partition(&mut out, version, isolation, partition);
        }
        out.no_tags();
    }
    out.no_tags();
    out.finish()
}

fn write_partition(out: &mut ReplyWriter, version: i16, isolation: Isolation, partition: FetchedPartition) {
    let high_watermark = partition.bounds.map_or(-1, |bounds| bounds.high_watermark.as_i64());
    out.i32(partition.index);
    out.i16(code(partition.error));
    out.i64(high_watermark);
    out.i64(high_watermark); // last stable offset
    if version >= 5 {
        out.i64(partition.bounds.map_or(-1, |bounds| bounds.log_start.as_i64()));
    }
    out.count(match isolation {
        Isolation::Uncommitted => None,
        Isolation::Committed => Some(0),
    });
    if version >= 11 {
        out.i32(-1); // preferred read replica: the leader serves
    }
    out.shared(partition.records);
    out.no_tags();
}

fn code(error: Option<ResponseError>) -> i16 {
    error.map_or(0, |error| error.code())
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, BufMut, BytesMut};
    use kafka_protocol::messages::fetch_response::FetchResponse as WireResponse;
    use kafka_protocol::protocol::Decodable;

    use super::*;

    fn request(version: i16) -> Request {
        let mut frame = BytesMut::new();
        frame.put_i16(1);
        frame.put_i16(version);
        frame.put_i32(9);
        frame.put_i16(-1);
        frame.put_u8(0);
        Request::parse(frame.freeze()).expect("a header")
    }

    fn topics() -> Vec<FetchedTopic> {
        let bounds = Some(Bounds { log_start: Offset::new(2), high_watermark: Offset::new(8) });
        let records = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        let full = FetchedPartition { index: 0, error: None, bounds, records };
        let empty = FetchedPartition { index: 1, error: None, bounds, records: vec![] };
        let error = Some(ResponseError::NotLeaderOrFollower);
        let failed = FetchedPartition { index: 2, error, bounds: None, records: vec![] };
        let last =
            FetchedPartition { index: 3, error: None, bounds, records: vec![Bytes::from_static(b"x")] };
        vec![
            FetchedTopic { name: "t".to_owned(), partitions: vec![full, empty, failed] },
            FetchedTopic { name: "u".to_owned(), partitions: vec![last] },
        ]
    }

    fn decoded(version: i16, isolation: Isolation) -> WireResponse {
        let mut reply = write(&request(version), None, isolation, topics());
        let mut bytes = reply.copy_to_bytes(reply.remaining());
        assert_eq!(bytes.get_u32() as usize, bytes.len());
        assert_eq!(bytes.get_i32(), 9);
        if version >= 12 {
            assert_eq!(bytes.get_u8(), 0);
        }
        let response = WireResponse::decode(&mut bytes, version).expect("the crate decodes it");
        assert!(bytes.is_empty(), "v{version}");
        response
    }

    #[test]
    fn an_independent_decoder_reads_every_version_served() {
        for version in 4..=12 {
            let response = decoded(version, Isolation::Committed);
            assert_eq!((response.error_code, response.session_id), (0, 0));
            let [full, empty, failed] = &response.responses[0].partitions[..] else {
                panic!("three partitions")
            };
            assert_eq!(full.records.as_deref(), Some(&b"onetwo"[..]));
            assert_eq!((full.high_watermark, full.last_stable_offset), (8, 8));
            assert_eq!(full.log_start_offset, if version >= 5 { 2 } else { -1 });
            assert_eq!(full.aborted_transactions, Some(vec![]));
            assert_eq!(full.preferred_read_replica, -1);
            assert_eq!((empty.partition_index, empty.records.as_deref()), (1, Some(&b""[..])));
            assert_eq!((failed.error_code, failed.high_watermark), (6, -1));
            assert_eq!(failed.records.as_deref(), Some(&b""[..]), "never null");
            let last = &response.responses[1].partitions[0];
            assert_eq!((last.partition_index, last.records.as_deref()), (3, Some(&b"x"[..])));
        }
    }

    #[test]
    fn a_reader_of_uncommitted_gets_no_list_of_aborted_transactions() {
        for version in 4..=12 {
            let response = decoded(version, Isolation::Uncommitted);
            assert_eq!(response.responses[0].partitions[0].aborted_transactions, None);
        }
    }
}
