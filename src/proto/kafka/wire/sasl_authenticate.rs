//! SaslAuthenticate (36), versions 0-2, in both directions: one step of the exchange.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

const API: ApiKey = ApiKey::SaslAuthenticate;

/// The request. Its `Debug` shows nothing: what it holds is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The mechanism's message.
    pub message: &'a [u8],
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let request = Self { message: reader.bytes()? };
        reader.skip_tags()?;
        reader.finish()?;
        Ok(request)
    }

    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        writer.bytes(self.message);
        writer.no_tags();
    }
}

/// The response. It has no `Debug`: what it holds may help to guess a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The outcome; 58 for a failed authentication.
    pub error: ErrorCode,
    /// Why it failed.
    pub error_message: Option<&'a str>,
    /// The mechanism's answer.
    pub message: &'a [u8],
    /// After how long the client must authenticate again, in ms (version 1); 0 for never.
    pub session_lifetime_ms: i64,
}

impl<'a> Response<'a> {
    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        writer.i16(self.error.number());
        writer.nullable_string(self.error_message);
        writer.bytes(self.message);
        if version >= 1 {
            writer.i64(self.session_lifetime_ms);
        }
        writer.no_tags();
    }

    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let response = Self {
            error: reader.i16()?.into(),
            error_message: reader.nullable_string()?,
            message: reader.bytes()?,
            session_lifetime_ms: if version >= 1 { reader.i64()? } else { 0 },
        };
        reader.skip_tags()?;
        reader.finish()?;
        Ok(response)
    }
}
