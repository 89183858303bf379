//! SaslHandshake (17), versions 0-1, in both directions: choose a mechanism.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

/// The request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The mechanism, such as `PLAIN` or `SCRAM-SHA-512`.
    pub mechanism: &'a str,
}

impl<'a> Request<'a> {
    /// Reads the body; the same in both versions.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let request = Self { mechanism: reader.string()? };
        reader.finish()?;
        Ok(request)
    }

    /// Writes the body; the same in both versions.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.string(self.mechanism);
    }
}

/// The response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The outcome; 33 for a mechanism that the broker does not have.
    pub error: ErrorCode,
    /// The mechanisms that it has.
    pub mechanisms: Vec<&'a str>,
}

impl<'a> Response<'a> {
    /// Writes the body; the same in both versions.
    pub fn encode(&self, writer: &mut Writer<'_>) {
        writer.i16(self.error.number());
        writer.array(&self.mechanisms, |writer, mechanism| writer.string(mechanism));
    }

    /// Reads the body; the same in both versions.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let response =
            Self { error: reader.i16()?.into(), mechanisms: reader.array(2, Reader::string)? };
        reader.finish()?;
        Ok(response)
    }
}
