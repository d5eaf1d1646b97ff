//! ApiVersions: what is served here, in which versions.
//!
//! Any version is answered. An unknown one gets UNSUPPORTED_VERSION in the layout of version 0, with the range of
//! ApiVersions alone (KIP-511): a client then asks again in a version of that range. The whole list is not put there,
//! because franz-go takes a longer list for an answer that it must not trust.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

use super::{HandlerError, decode};
use crate::kafka::api::{SERVED, Served};
use crate::kafka::codec::{encode, encode_as};
use crate::kafka::header::Request;
use crate::kafka::reply::Reply;
use crate::kafka::wire::Layout;

pub(super) fn api_versions(request: &Request) -> Result<Reply, HandlerError> {
    if !request.served.has(request.version) {
        let response = ApiVersionsResponse::default()
            .with_error_code(ResponseError::UnsupportedVersion.code())
            .with_api_keys(vec![range(request.served)]);
        return Ok(encode_as(request.correlation_id, Layout::Classic, 0, &response)?);
    }
    let asked: ApiVersionsRequest = decode(request)?;
    tracing::debug!(
        name = asked.client_software_name.as_str(),
        version = asked.client_software_version.as_str(),
        "client speaks"
    );
    let response = ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(range).collect());
    Ok(encode(request, &response)?)
}

fn range(served: &Served) -> ApiVersion {
    ApiVersion::default().with_api_key(served.key).with_min_version(served.min).with_max_version(served.max)
}

#[cfg(test)]
mod tests {
    use bytes::{Buf, Bytes};

    use super::*;

    fn answer(frame: &'static [u8]) -> Bytes {
        let request = Request::parse(Bytes::from_static(frame)).expect("a header");
        let mut reply = api_versions(&request).expect("an answer");
        reply.copy_to_bytes(reply.remaining())
    }

    /// Rows of the table as both golden answers have them.
    const ROWS: [[u8; 6]; 9] = [
        [0, 0, 0, 0, 0, 9],
        [0, 1, 0, 4, 0, 12],
        [0, 2, 0, 1, 0, 7],
        [0, 3, 0, 0, 0, 12],
        [0, 10, 0, 0, 0, 4],
        [0, 18, 0, 0, 0, 4],
        [0, 19, 0, 2, 0, 7],
        [0, 20, 0, 1, 0, 6],
        [0, 22, 0, 0, 0, 4],
    ];

    #[test]
    fn golden_bytes_of_version_0() {
        let found = answer(b"\x00\x12\x00\x00\x00\x00\x00\x2a\xff\xff");
        let head = b"\x00\x00\x00\x40\x00\x00\x00\x2a\x00\x00\x00\x00\x00\x09";
        assert_eq!(found, [&head[..], &ROWS.concat()].concat());
    }

    #[test]
    fn golden_bytes_of_version_3_have_tags_in_the_body_and_none_in_the_header() {
        let found = answer(b"\x00\x12\x00\x03\x00\x00\x00\x2a\x00\x02me\x00\x05kcat\x041.7\x00");
        let rows: Vec<u8> = ROWS.iter().flat_map(|row| [&row[..], &[0]].concat()).collect();
        let head = b"\x00\x00\x00\x4b\x00\x00\x00\x2a\x00\x00\x0a";
        assert_eq!(found, [&head[..], &rows, b"\x00\x00\x00\x00\x00"].concat());
    }

    #[test]
    fn an_unknown_version_is_answered_in_version_0_with_the_range_to_use() {
        let found = answer(b"\x00\x12\x00\x63\x00\x00\x00\x2a\xde\xad\xbe\xef");
        let expected = b"\x00\x00\x00\x10\x00\x00\x00\x2a\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00\x00\x04";
        assert_eq!(found, &expected[..]);
    }
}
