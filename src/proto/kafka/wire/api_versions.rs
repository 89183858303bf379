//! ApiVersions (18), versions 0-3: which requests the peer speaks, in which versions.
//!
//! It is the first request on every connection. A peer that does not know the requested version
//! answers error 35 in the layout of version 0, whatever was asked for.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

const API: ApiKey = ApiKey::ApiVersions;

/// The request; empty below version 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// Name of the client library (version 3).
    pub software_name: &'a str,
    /// Its version (version 3).
    pub software_version: &'a str,
}

impl<'a> Request<'a> {
    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        if version >= 3 {
            writer.string(self.software_name);
            writer.string(self.software_version);
            writer.no_tags();
        }
    }

    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let mut request = Self::default();
        if version >= 3 {
            request.software_name = reader.string()?;
            request.software_version = reader.string()?;
            reader.skip_tags()?;
        }
        reader.finish()?;
        Ok(request)
    }
}

/// The versions of one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    /// Number of the API.
    pub api_key: i16,
    /// Lowest version. Kafka 4 lists versions it refuses (KAFKA-18659): read nothing into it.
    pub version_min: i16,
    /// Highest version.
    pub version_max: i16,
}

/// The response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The outcome; 35 means that the list holds at best this API's own range.
    pub error: ErrorCode,
    /// What the peer speaks.
    pub apis: Vec<ApiRange>,
    /// How long the client must send nothing, in ms (version 1).
    pub throttle_ms: i32,
}

impl Response {
    /// Writes the body; one that says "unsupported version" in the layout of version 0.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        let version = self.layout(version);
        writer.set_flexible(API.is_flexible(version));
        writer.i16(self.error.number());
        writer.array(&self.apis, |writer, api| {
            writer.i16(api.api_key);
            writer.i16(api.version_min);
            writer.i16(api.version_max);
            writer.no_tags();
        });
        if version >= 1 {
            writer.i32(self.throttle_ms);
        }
        writer.no_tags();
    }

    /// Reads the body of the answer to a request of `version`. What follows error 35 is dropped where it
    /// cannot be read: some brokers send nothing of use there, librdkafka's mock a list of its own making.
    pub fn decode(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut response = Self { error: reader.i16()?.into(), apis: Vec::new(), throttle_ms: 0 };
        match response.decode_rest(version, reader) {
            Err(_) if response.error == ErrorCode::UnsupportedVersion => {
                Ok(Self { apis: Vec::new(), throttle_ms: 0, ..response })
            }
            outcome => outcome.map(|()| response),
        }
    }

    fn decode_rest(&mut self, version: i16, reader: &mut Reader<'_>) -> Result<(), WireError> {
        let version = self.layout(version);
        reader.set_flexible(API.is_flexible(version));
        self.apis = reader.array(6, |reader| {
            let api = ApiRange {
                api_key: reader.i16()?,
                version_min: reader.i16()?,
                version_max: reader.i16()?,
            };
            reader.skip_tags()?;
            Ok(api)
        })?;
        if version >= 1 {
            self.throttle_ms = reader.i32()?;
        }
        reader.skip_tags()?;
        reader.finish()
    }

    fn layout(&self, version: i16) -> i16 {
        if self.error == ErrorCode::UnsupportedVersion { 0 } else { version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What librdkafka 2.16's mock cluster answers to version 3.
    #[test]
    fn an_unreadable_list_behind_error_35_is_dropped() {
        let bytes = [0, 35, 1, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0];
        let response = Response::decode(3, &mut Reader::new(&bytes)).unwrap();
        assert_eq!(response.error, ErrorCode::UnsupportedVersion);
        assert!(response.apis.is_empty());
        let mut other = bytes;
        other[1] = 0;
        Response::decode(3, &mut Reader::new(&other)).unwrap_err();
    }
}
