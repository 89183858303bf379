//! FindCoordinator (10), versions 0-2, the server's direction only.
//!
//! librdkafka compresses with LZ4 only if the peer advertises this API; nobody needs its answer.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

/// The request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The group or transactional id.
    pub key: &'a str,
    /// 0 for a group, 1 for a transaction (version 1).
    pub key_type: i8,
}

impl<'a> Request<'a> {
    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let request =
            Self { key: reader.string()?, key_type: if version >= 1 { reader.i8()? } else { 0 } };
        reader.finish()?;
        Ok(request)
    }
}

/// Writes the body of an answer that names no coordinator.
pub fn encode_refusal(version: i16, error: ErrorCode, writer: &mut Writer<'_>) {
    if version >= 1 {
        writer.i32(0);
    }
    writer.i16(error.number());
    if version >= 1 {
        writer.nullable_string(None);
    }
    writer.i32(-1);
    writer.string("");
    writer.i32(-1);
}
