//! The requests that our receiver understands, from one frame's bytes.
//!
//! Owns the list that it advertises: entirely without flexible versions, and with Fetch and
//! FindCoordinator only because librdkafka writes old or uncompressed batches without them. Knows
//! nothing of batches or answers.

use thiserror::Error;

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::RequestHeader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::api_versions;
use crate::proto::kafka::wire::api_versions::ApiRange;
use crate::proto::kafka::wire::fetch;
use crate::proto::kafka::wire::find_coordinator;
use crate::proto::kafka::wire::init_producer_id;
use crate::proto::kafka::wire::metadata;
use crate::proto::kafka::wire::produce;
use crate::proto::kafka::wire::sasl_authenticate;
use crate::proto::kafka::wire::sasl_handshake;

/// What the receiver advertises, by which it also judges requests.
pub const SUPPORTED: [ApiRange; 6] = [
    range(ApiKey::Produce, 3, 8),
    range(ApiKey::Fetch, 4, 11),
    range(ApiKey::Metadata, 0, 8),
    range(ApiKey::FindCoordinator, 0, 2),
    range(ApiKey::ApiVersions, 0, 2),
    range(ApiKey::InitProducerId, 0, 1),
];

/// What it advertises beside that where clients have to authenticate.
pub const SASL: [ApiRange; 2] =
    [range(ApiKey::SaslHandshake, 0, 1), range(ApiKey::SaslAuthenticate, 0, 1)];

/// A request that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Which requests are understood: answer [`api_versions_response`].
    ApiVersions,
    /// The same in a version that is too high, as current clients open with: answer
    /// [`api_versions_unsupported`]; then they ask again in a version that is understood.
    ApiVersionsUnsupported,
    /// Brokers, topics and partitions.
    Metadata(metadata::Request<'a>),
    /// A producer id.
    InitProducerId(init_producer_id::Request<'a>),
    /// Batches to append.
    Produce(produce::Request<'a>),
    /// Which mechanism the client will authenticate with.
    SaslHandshake(sasl_handshake::Request<'a>),
    /// One step of that.
    SaslAuthenticate(sasl_authenticate::Request<'a>),
    /// To be refused.
    FindCoordinator(find_coordinator::Request<'a>),
    /// To be refused.
    Fetch(fetch::Request<'a>),
}

/// Why a frame is not a request of ours; the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The bytes are not a request.
    #[error("malformed request: {0}")]
    Malformed(#[from] WireError),
    /// A request that is not advertised.
    #[error("api {api_key} version {api_version} is not supported")]
    Unsupported {
        /// Number of the API.
        api_key: i16,
        /// The version asked for.
        api_version: i16,
    },
}

impl<'a> Request<'a> {
    /// Reads one frame, without its size. What is returned points into `frame`. Requests of [`SASL`] are
    /// read in any case; whether they are welcome is not known here.
    pub fn decode(frame: &'a [u8]) -> Result<(RequestHeader<'a>, Self), RequestError> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader)?;
        let version = header.api_version;
        let unsupported =
            RequestError::Unsupported { api_key: header.api_key, api_version: header.api_version };
        let Some(range) =
            SUPPORTED.iter().chain(&SASL).find(|range| range.api_key == header.api_key)
        else {
            return Err(unsupported);
        };
        let key = ApiKey::from_number(range.api_key);
        if key == Some(ApiKey::ApiVersions) && version > range.version_max {
            return Ok((header, Request::ApiVersionsUnsupported));
        }
        if !(range.version_min..=range.version_max).contains(&version) {
            return Err(unsupported);
        }
        let reader = &mut reader;
        let request = match key {
            Some(ApiKey::ApiVersions) => {
                api_versions::Request::decode(version, reader).map(|_| Request::ApiVersions)
            }
            Some(ApiKey::Metadata) => {
                metadata::Request::decode(version, reader).map(Request::Metadata)
            }
            Some(ApiKey::InitProducerId) => {
                init_producer_id::Request::decode(version, reader).map(Request::InitProducerId)
            }
            Some(ApiKey::Produce) => {
                produce::Request::decode(version, reader).map(Request::Produce)
            }
            Some(ApiKey::FindCoordinator) => {
                find_coordinator::Request::decode(version, reader).map(Request::FindCoordinator)
            }
            Some(ApiKey::Fetch) => fetch::Request::decode(version, reader).map(Request::Fetch),
            Some(ApiKey::SaslHandshake) => {
                sasl_handshake::Request::decode(reader).map(Request::SaslHandshake)
            }
            Some(ApiKey::SaslAuthenticate) => {
                sasl_authenticate::Request::decode(version, reader).map(Request::SaslAuthenticate)
            }
            None => return Err(unsupported),
        }?;
        Ok((header, request))
    }
}

/// The answer to [`Request::ApiVersions`], with or without [`SASL`].
pub fn api_versions_response(has_sasl: bool) -> api_versions::Response {
    let sasl = if has_sasl { &SASL[..] } else { &[] };
    let apis = [&SUPPORTED[..], sasl].concat();
    api_versions::Response { error: ErrorCode::None, apis, throttle_ms: 0 }
}

/// The answer to [`Request::ApiVersionsUnsupported`]: error 35 with this API's own range, which
/// [`api_versions::Response::encode`] writes in the layout of version 0.
pub fn api_versions_unsupported() -> api_versions::Response {
    let own = ApiKey::ApiVersions.number();
    api_versions::Response {
        error: ErrorCode::UnsupportedVersion,
        apis: SUPPORTED.into_iter().filter(|range| range.api_key == own).collect(),
        throttle_ms: 0,
    }
}

const fn range(api: ApiKey, version_min: i16, version_max: i16) -> ApiRange {
    ApiRange { api_key: api.number(), version_min, version_max }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::kafka::wire::Writer;

    fn frame(api_key: i16, api_version: i16, body: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::frame(&mut out);
        let header =
            RequestHeader { api_key, api_version, correlation_id: 5, client_id: Some("peer") };
        header.encode(&mut writer);
        body(&mut writer);
        writer.finish(0).unwrap();
        out.split_off(4)
    }

    #[test]
    fn the_flexible_opening_of_current_clients_is_understood_as_too_new() {
        let request =
            api_versions::Request { software_name: "apache-kafka-java", software_version: "4.1" };
        for version in [3, 4] {
            let frame = frame(18, version, |writer| request.encode(version, writer));
            let (header, request) = Request::decode(&frame).unwrap();
            assert_eq!((header.correlation_id, request), (5, Request::ApiVersionsUnsupported));
        }
        let refusal = api_versions_unsupported();
        assert_eq!(refusal.error, ErrorCode::UnsupportedVersion);
        assert_eq!(refusal.apis, [range(ApiKey::ApiVersions, 0, 2)]);
    }

    #[test]
    fn several_topics_and_partitions_per_request_are_read() {
        let frame = frame(0, 8, |writer| {
            writer.nullable_string(None);
            writer.i16(1);
            writer.i32(1000);
            writer.array(&["a", "b"], |writer, topic| {
                writer.string(topic);
                writer.array(&[0, 1], |writer, index| {
                    writer.i32(*index);
                    writer.bytes(topic.as_bytes());
                });
            });
        });
        let Ok((_, Request::Produce(request))) = Request::decode(&frame) else { panic!() };
        let read: Vec<_> = request
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|data| (topic.name, data.index)))
            .collect();
        assert_eq!(read, [("a", 0), ("a", 1), ("b", 0), ("b", 1)]);
        assert_eq!(request.topics[1].partitions[1].records, Some(&b"b"[..]));
    }

    #[test]
    fn what_is_not_advertised_is_refused_with_its_numbers() {
        for (api_key, api_version) in [(0, 2), (0, 9), (3, 9), (71, 0), (36, 2), (22, -1)] {
            let frame = frame(api_key, api_version, |_| ());
            let refused = RequestError::Unsupported { api_key, api_version };
            assert_eq!(Request::decode(&frame), Err(refused));
        }
    }

    #[test]
    fn left_over_bytes_are_malformed() {
        let frame = frame(18, 0, |writer| writer.i8(0));
        let malformed = RequestError::Malformed(WireError::TrailingBytes(1));
        assert_eq!(Request::decode(&frame), Err(malformed));
    }
}
