//! The response to a Produce request, versions 0 to 9, written by hand because the generated encoders begin at 3.

use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::backend::Produced;
use super::header::Request;
use super::produce_request::ProduceTopic;
use super::reply::{Reply, ReplyWriter};

/// Why a batch is not known to be committed: a code, and words for versions that carry them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The code.
    pub(crate) code: ResponseError,
    /// The words.
    pub(crate) message: Arc<str>,
}

impl Refused {
    /// Pairs a code with the words of an error.
    pub(crate) fn new(code: ResponseError, error: &impl std::fmt::Display) -> Self {
        Self { code, message: error.to_string().into() }
    }
}

/// What became of each batch.
pub(crate) type ProduceResponse = Vec<ProduceTopic<Result<Produced, Refused>>>;

/// Writes the response in the version of the request.
pub(crate) fn write(request: &Request, response: &ProduceResponse) -> Reply {
    let version = request.version;
    let layout = request.served.layout(version);
    let mut out = ReplyWriter::new(request.correlation_id, layout, layout);
    out.count(Some(response.len()));
    for topic in response {
        out.text(Some(&topic.name));
        out.count(Some(topic.partitions.len()));
        for (index, outcome) in &topic.partitions {
            write_partition(&mut out, version, *index, outcome);
        }
        out.no_tags();
    }
    if version >= 1 {
        out.i32(0); // throttle time
    }
    out.no_tags();
    out.finish()
}

fn write_partition(out: &mut ReplyWriter, version: i16, index: i32, outcome: &Result<Produced, Refused>) {
    let refused = outcome.as_ref().err();
    let produced = outcome.as_ref().ok();
    out.i32(index);
    out.i16(refused.map_or(0, |refused| refused.code.code()));
    out.i64(produced.map_or(-1, |produced| produced.base_offset.as_i64()));
    if version >= 2 {
        out.i64(-1); // log append time: the producer's own timestamps are kept
    }
    if version >= 5 {
        out.i64(produced.map_or(-1, |produced| produced.log_start.as_i64()));
    }
    if version >= 8 {
        out.count(Some(0)); // errors of single records
        out.text(refused.map(|refused| &*refused.message));
    }
    out.no_tags();
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, BufMut, BytesMut};
    use kafka_protocol::messages::produce_response::ProduceResponse as WireResponse;
    use kafka_protocol::protocol::Decodable;

    use super::*;
    use crate::record::Offset;

    fn request(version: i16) -> Request {
        let mut frame = BytesMut::new();
        frame.put_i16(0);
        frame.put_i16(version);
        frame.put_i32(77);
        frame.put_i16(-1);
        frame.put_u8(0);
        Request::parse(frame.freeze()).expect("a header")
    }

    fn response() -> ProduceResponse {
        let produced = Produced { base_offset: Offset::new(41), log_start: Offset::new(3) };
        let refused = Refused::new(ResponseError::NotLeaderOrFollower, &"not here");
        vec![ProduceTopic { name: "t".into(), partitions: vec![(0, Ok(produced)), (5, Err(refused))] }]
    }

    #[test]
    fn an_independent_decoder_reads_every_version_served() {
        for version in 3..=9 {
            let mut reply = write(&request(version), &response());
            let mut bytes = reply.copy_to_bytes(reply.remaining());
            assert_eq!(bytes.get_u32() as usize, bytes.len());
            assert_eq!(bytes.get_i32(), 77);
            if version >= 9 {
                assert_eq!(bytes.get_u8(), 0);
            }
            let read = WireResponse::decode(&mut bytes, version).expect("the crate decodes it");
            assert!(bytes.is_empty(), "v{version}");
            assert_eq!(&*read.responses[0].name.0, "t");
            let [ok, err] = &read.responses[0].partition_responses[..] else { panic!("two partitions") };
            assert_eq!((ok.index, ok.error_code, ok.base_offset), (0, 0, 41));
            assert_eq!(ok.log_start_offset, if version >= 5 { 3 } else { -1 });
            assert_eq!((err.index, err.error_code, err.base_offset), (5, 6, -1));
            if version >= 8 {
                assert_eq!(ok.error_message, None);
                assert_eq!(err.error_message.as_deref(), Some("not here"));
            }
        }
    }

    #[test]
    fn golden_bytes_of_versions_0_to_2() {
        let partition = |time: &[u8]| {
            let ok = [&b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x29"[..], time].concat();
            let err = [&b"\x00\x00\x00\x05\x00\x06\xff\xff\xff\xff\xff\xff\xff\xff"[..], time].concat();
            [ok, err].concat()
        };
        let head = b"\x00\x00\x00\x4d\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x02";
        let cases: [(&[u8], &[u8]); 3] = [(b"", b""), (b"", b"\0\0\0\0"), (&[0xff; 8], b"\0\0\0\0")];
        for (version, (time, throttle)) in cases.into_iter().enumerate() {
            let mut reply = write(&request(version as i16), &response());
            reply.advance(4);
            let bytes = reply.copy_to_bytes(reply.remaining());
            assert_eq!(bytes, [&head[..], &partition(time), throttle].concat());
        }
    }
}
