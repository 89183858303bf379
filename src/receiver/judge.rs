//! Whether a batch from the wire may be stored: its size, then what `batch` says of it.
//!
//! Owns the translation of its errors into reasons that are counted. Writes nothing.

use crate::batch;
use crate::batch::BatchError;
use crate::batch::HEADER_BYTES;
use crate::batch::HeaderError;
use crate::batch::Validation;
use crate::receiver::dedupe::ProducerBatch;
use crate::receiver::options::Options;
use crate::receiver::stats::Refusal;
use crate::receiver::store::Incoming;

/// How batches are judged; keeps the memory into which they are decompressed.
pub(crate) struct Judge {
    validate: Validation,
    batch_bytes_max: usize,
    decompressed_bytes_max: usize,
    scratch: Vec<u8>,
}

impl Judge {
    pub fn new(options: &Options) -> Self {
        Self {
            validate: options.validate,
            batch_bytes_max: options.batch_bytes_max,
            decompressed_bytes_max: options.batch_bytes_decompressed_max,
            scratch: Vec::new(),
        }
    }

    /// The batch, if it may be stored.
    pub fn judge<'a>(&mut self, bytes: &'a [u8]) -> Result<Incoming<'a>, Refusal> {
        if bytes.len() > self.batch_bytes_max {
            return Err(Refusal::TooLarge);
        }
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            let error = batch::Header::decode(bytes).err();
            return Err(error.map_or(Refusal::Corrupt, |error| reason(&error.into())));
        };
        let Self { validate, decompressed_bytes_max, .. } = *self;
        let header =
            batch::validate(header, body, validate, decompressed_bytes_max, &mut self.scratch)
                .map_err(|error| reason(&error))?;
        Ok(Incoming {
            bytes,
            header,
            record_count: header.record_count.cast_unsigned(),
            producer: ProducerBatch::of(&header),
        })
    }
}

fn reason(error: &BatchError) -> Refusal {
    match error {
        BatchError::Header(HeaderError::Magic { .. }) => Refusal::OldFormat,
        BatchError::Header(HeaderError::Truncated { .. } | HeaderError::Length { .. })
        | BatchError::Length { .. }
        | BatchError::Crc(_) => Refusal::Corrupt,
        BatchError::Header(
            HeaderError::Codec { .. }
            | HeaderError::LogAppendTime
            | HeaderError::Transactional
            | HeaderError::Control
            | HeaderError::RecordCount { .. }
            | HeaderError::LastOffsetDelta { .. }
            | HeaderError::ProducerEpoch { .. }
            | HeaderError::BaseSequence { .. },
        )
        | BatchError::BaseOffset { .. }
        | BatchError::Decompress(_)
        | BatchError::Record(_)
        | BatchError::OffsetDelta { .. } => Refusal::InvalidRecord,
    }
}
