//! InitProducerId (22), versions 0-4: a producer id for idempotence, without transactions.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

const API: ApiKey = ApiKey::InitProducerId;

/// The request for a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Null for a producer without transactions; only then any broker may answer.
    pub transactional_id: Option<&'a str>,
    /// Without transactions it has no meaning; Java sends the maximum.
    pub transaction_timeout_ms: i32,
}

impl<'a> Request<'a> {
    /// A request for a new id without transactions.
    pub const IDEMPOTENT: Request<'static> =
        Request { transactional_id: None, transaction_timeout_ms: i32::MAX };

    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        writer.nullable_string(self.transactional_id);
        writer.i32(self.transaction_timeout_ms);
        if version >= 3 {
            // No id and no epoch to continue from: epochs of ours are bumped locally.
            writer.i64(-1);
            writer.i16(-1);
        }
        writer.no_tags();
    }

    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let request = Self {
            transactional_id: reader.nullable_string()?,
            transaction_timeout_ms: reader.i32()?,
        };
        if version >= 3 {
            reader.i64()?;
            reader.i16()?;
        }
        reader.skip_tags()?;
        reader.finish()?;
        Ok(request)
    }
}

/// The response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// How long the client must send nothing, in ms.
    pub throttle_ms: i32,
    /// The outcome.
    pub error: ErrorCode,
    /// The id; -1 with an error.
    pub producer_id: i64,
    /// Its first epoch.
    pub producer_epoch: i16,
}

impl Response {
    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        writer.i32(self.throttle_ms);
        writer.i16(self.error.number());
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        writer.no_tags();
    }

    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let response = Self {
            throttle_ms: reader.i32()?,
            error: reader.i16()?.into(),
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
        };
        reader.skip_tags()?;
        reader.finish()?;
        Ok(response)
    }
}
