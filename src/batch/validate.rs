//! What a receiver checks before it writes and acknowledges a batch that a stranger sent.
//!
//! Owns the order of the checks, the cheap ones first. It refuses what a Kafka broker refuses
//! (`ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`), and
//! in addition offset deltas other than 0..n-1 without compression, which no client sends.

use thiserror::Error;

use crate::batch::codec::Codec;
use crate::batch::codec::DecompressError;
use crate::batch::codec::decompress;
use crate::batch::format::CrcMismatch;
use crate::batch::format::HEADER_BYTES;
use crate::batch::format::Header;
use crate::batch::format::HeaderError;
use crate::batch::format::verify_crc;
use crate::batch::reader::RecordError;
use crate::batch::reader::RecordIter;

/// How deep a batch is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Header, length and CRC.
    Header,
    /// All of it: decompressed under the limit, every record walked.
    Records,
}

/// Why a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The header is not valid in itself.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The length field does not fit the bytes that came.
    #[error("the batch length states a body of {stated} bytes, {actual} came")]
    Length {
        /// What the header says.
        stated: usize,
        /// What is there.
        actual: usize,
    },
    /// Offsets are for the receiver to give.
    #[error("the base offset is {base_offset}: a producer must send 0")]
    BaseOffset {
        /// The base offset field.
        base_offset: i64,
    },
    /// The bytes were damaged on their way.
    #[error(transparent)]
    Crc(#[from] CrcMismatch),
    /// The body cannot be decompressed within the limit.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record is malformed, or their number is wrong.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Offset deltas must be 0..n-1.
    #[error("record {index} has the offset delta {offset_delta}")]
    OffsetDelta {
        /// The record's place in the batch.
        index: u32,
        /// Its offset delta.
        offset_delta: i32,
    },
}

/// Checks a whole batch as a producer must send it.
///
/// With [`Validation::Records`] a compressed body is decompressed into `scratch`, which is worth
/// reusing, up to `decompressed_limit` bytes; a body that is not compressed is walked in place.
/// Neither the maximum timestamp nor the attributes' unused bits are judged, as brokers do not.
pub fn validate(
    header: &[u8; HEADER_BYTES],
    body: &[u8],
    validation: Validation,
    decompressed_limit: usize,
    scratch: &mut Vec<u8>,
) -> Result<Header, BatchError> {
    let decoded = Header::decode(header)?;
    let (stated, actual) = (decoded.body_bytes(), body.len());
    if stated != actual {
        return Err(BatchError::Length { stated, actual });
    }
    let base_offset = decoded.base_offset;
    if base_offset != 0 {
        return Err(BatchError::BaseOffset { base_offset });
    }
    verify_crc(header, body)?;
    match validation {
        Validation::Header => {}
        Validation::Records if decoded.codec == Codec::None => {
            if actual > decompressed_limit {
                return Err(DecompressError::LimitExceeded { limit: decompressed_limit }.into());
            }
            check_records(&decoded, body)?;
        }
        Validation::Records => {
            decompress(decoded.codec, body, decompressed_limit, scratch)?;
            check_records(&decoded, scratch)?;
        }
    }
    Ok(decoded)
}

fn check_records(header: &Header, records: &[u8]) -> Result<(), BatchError> {
    for (index, record) in (0..).zip(RecordIter::new(header, records)) {
        let offset_delta = record?.offset_delta;
        if offset_delta.cast_unsigned() != index {
            return Err(BatchError::OffsetDelta { index, offset_delta });
        }
    }
    Ok(())
}
