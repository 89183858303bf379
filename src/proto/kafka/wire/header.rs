//! API keys, and the headers of requests and responses.
//!
//! A request header has the same four fields in every version; the flexible one adds tagged
//! fields, and its client id keeps the classic length. A response header is the correlation id,
//! plus tagged fields where the body is flexible; except for ApiVersions, whose response header is
//! classic in every version (KIP-511), because the client does not know the version yet.

use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

/// The requests that a producer or our receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum ApiKey {
    /// Append record batches.
    Produce = 0,
    /// Read record batches; our receiver advertises it and refuses it.
    Fetch = 1,
    /// Brokers, topics, partitions and their leaders.
    Metadata = 3,
    /// Which broker coordinates a group; our receiver advertises it and refuses it.
    FindCoordinator = 10,
    /// Choose a SASL mechanism.
    SaslHandshake = 17,
    /// Which requests the peer speaks, in which versions.
    ApiVersions = 18,
    /// A producer id for idempotence.
    InitProducerId = 22,
    /// One step of a SASL exchange.
    SaslAuthenticate = 36,
}

impl ApiKey {
    /// Every key, in the order of its number.
    pub const ALL: [ApiKey; 8] = [
        ApiKey::Produce,
        ApiKey::Fetch,
        ApiKey::Metadata,
        ApiKey::FindCoordinator,
        ApiKey::SaslHandshake,
        ApiKey::ApiVersions,
        ApiKey::InitProducerId,
        ApiKey::SaslAuthenticate,
    ];

    /// The number on the wire.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The key with this number, if it is one of ours.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.number() == number)
    }

    /// Whether `version` of this API has compact lengths and tagged fields.
    pub const fn is_flexible(self, version: i16) -> bool {
        match self {
            ApiKey::Produce | ApiKey::Metadata => version >= 9,
            ApiKey::Fetch => version >= 12,
            ApiKey::FindCoordinator | ApiKey::ApiVersions => version >= 3,
            ApiKey::InitProducerId | ApiKey::SaslAuthenticate => version >= 2,
            ApiKey::SaslHandshake => false,
        }
    }
}

/// What stands in front of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Number of the API; not an [`ApiKey`], since a stranger may ask for anything.
    pub api_key: i16,
    /// Version of the API.
    pub api_version: i16,
    /// Chosen by the client, echoed by the response.
    pub correlation_id: i32,
    /// Who asks; for the peer's logs and quotas.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// Reads a header and leaves the reader at the body. Of an API that is not ours the header's
    /// own tagged fields are not skipped: the body cannot be read anyway.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let header = Self {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
            client_id: reader.classic_nullable_string()?,
        };
        reader.set_flexible(header.is_flexible());
        reader.skip_tags()?;
        Ok(header)
    }

    /// Writes the header.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        writer.classic_nullable_string(self.client_id);
        writer.set_flexible(self.is_flexible());
        writer.no_tags();
    }

    fn is_flexible(&self) -> bool {
        ApiKey::from_number(self.api_key).is_some_and(|key| key.is_flexible(self.api_version))
    }
}

/// Reads a response's correlation id and leaves the reader at the body.
///
/// The client takes it first, looks up which request it answers, then calls
/// [`skip_response_tags`] with that request's API and version.
pub fn decode_correlation_id(reader: &mut Reader<'_>) -> Result<i32, WireError> {
    reader.i32()
}

/// Skips the rest of the header of a response to `version` of `api`.
pub fn skip_response_tags(
    reader: &mut Reader<'_>,
    api: ApiKey,
    version: i16,
) -> Result<(), WireError> {
    reader.set_flexible(response_header_is_flexible(api, version));
    reader.skip_tags()
}

/// Writes the header of a response to `version` of `api`.
pub fn encode_response_header(
    writer: &mut Writer<'_>,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
) {
    writer.i32(correlation_id);
    writer.set_flexible(response_header_is_flexible(api, version));
    writer.no_tags();
}

fn response_header_is_flexible(api: ApiKey, version: i16) -> bool {
    api != ApiKey::ApiVersions && api.is_flexible(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flexible_header_keeps_the_classic_client_id_and_adds_tags() {
        let header = RequestHeader {
            api_key: ApiKey::Produce.number(),
            api_version: 9,
            correlation_id: 7,
            client_id: Some("sdk"),
        };
        let mut out = Vec::new();
        let mut writer = Writer::frame(&mut out);
        header.encode(&mut writer);
        writer.finish(0).unwrap();
        assert_eq!(out[4..], *b"\x00\x00\x00\x09\x00\x00\x00\x07\x00\x03sdk\x00");
        let mut reader = Reader::new(&out[4..]);
        assert_eq!(RequestHeader::decode(&mut reader), Ok(header));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn the_response_header_of_api_versions_is_always_classic() {
        let mut out = Vec::new();
        let mut writer = Writer::frame(&mut out);
        encode_response_header(&mut writer, ApiKey::ApiVersions, 3, 1);
        encode_response_header(&mut writer, ApiKey::Produce, 9, 2);
        writer.finish(0).unwrap();
        assert_eq!(out[4..], [0, 0, 0, 1, 0, 0, 0, 2, 0]);
    }
}
