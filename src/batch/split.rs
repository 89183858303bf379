//! Cuts parts out of a sealed batch of ours: one that a broker calls too large, or one of whose
//! records it calls poison.
//!
//! Owns the division of the identity: all parts keep instance and batch number, and share the
//! range of records between them, so that readers still find gaps and duplicates (I11). Keys,
//! values, order and all other headers stay as they are, and so do times unless a [`Rewrite`] says
//! otherwise. The same batch, records and rewrite give the same part.

use std::ops::Range;

use thiserror::Error;

use crate::batch::RECORDS_BYTES_MAX_HARD;
use crate::batch::builder::Builder;
use crate::batch::builder::Record;
use crate::batch::builder::RecordHeader;
use crate::batch::builder::SealError;
use crate::batch::builder::Sealed;
use crate::batch::codec::Compressor;
use crate::batch::codec::DecompressError;
use crate::batch::codec::decompress;
use crate::batch::format::HEADER_BYTES;
use crate::batch::format::Header;
use crate::batch::format::HeaderError;
use crate::batch::identity::identity;
use crate::batch::reader::RecordError;
use crate::batch::reader::RecordIter;
use crate::batch::reader::RecordView;
use crate::ids::BatchIdentity;

/// Header of a record whose time was changed: the one that it was logged with, milliseconds since
/// 1970, decimal.
pub const TIME_BEFORE_NAME: &[u8] = b"logdrive.time_ms";

/// A part of a batch: sealed, not bound to a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitBatch {
    /// Header and checksums.
    pub sealed: Sealed,
    /// The body.
    pub body: Vec<u8>,
    /// The part's share of the records.
    pub identity: BatchIdentity,
}

/// What becomes of the records' times; one that changes is kept in [`TIME_BEFORE_NAME`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// They stay.
    #[default]
    Kept,
    /// Those after this one, in milliseconds since 1970, are set to it.
    AtMost(i64),
    /// All are set to this one.
    All(i64),
}

impl Times {
    fn of(self, timestamp_ms: i64) -> i64 {
        match self {
            Times::Kept => timestamp_ms,
            Times::AtMost(latest) => timestamp_ms.min(latest),
            Times::All(time) => time,
        }
    }
}

/// How a part differs from the records that it is cut from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite<'a> {
    /// Times.
    pub times: Times,
    /// A header that every record gets in addition.
    pub note: Option<RecordHeader<'a>>,
}

/// Why a batch was not split.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SplitError {
    /// The header is damaged.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The body is damaged.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The first record carries no identity, or one of another number of records.
    #[error("the batch does not begin with the identity of its {record_count} records")]
    Identity {
        /// Records in the batch.
        record_count: u32,
    },
    /// There are not so many records.
    #[error("records {start} to {end} are no part of a batch of {record_count}")]
    Range {
        /// The first one wanted.
        start: u32,
        /// Behind the last one wanted.
        end: u32,
        /// Records in the batch.
        record_count: u32,
    },
    /// A part could not be sealed again.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Splits a batch that [`Builder::seal`] made into two of half its records each; the first gets the
/// odd one. `None` if it has only one record.
///
/// The halves are compressed with `compressor`, whatever the codec of the batch. For rare cases:
/// decompresses, encodes anew and allocates.
pub fn split(
    header: &[u8; HEADER_BYTES],
    body: &[u8],
    compressor: &mut Compressor,
) -> Result<Option<[SplitBatch; 2]>, SplitError> {
    let mut scratch = Vec::new();
    let whole = Whole::read(header, body, &mut scratch)?;
    let record_count = whole.identity.record_count;
    if record_count == 1 {
        return Ok(None);
    }
    let middle = record_count.div_ceil(2);
    let first = whole.cut(0..middle, &Rewrite::default(), compressor)?;
    let second = whole.cut(middle..record_count, &Rewrite::default(), compressor)?;
    Ok(Some([first, second]))
}

/// The part of a batch that [`Builder::seal`] made which holds these records, at least one; they are counted
/// from 0.
///
/// Compressed with `compressor`, whatever the codec of the batch. For rare cases, as [`split`].
pub fn cut(
    header: &[u8; HEADER_BYTES],
    body: &[u8],
    records: Range<u32>,
    rewrite: &Rewrite<'_>,
    compressor: &mut Compressor,
) -> Result<SplitBatch, SplitError> {
    let mut scratch = Vec::new();
    Whole::read(header, body, &mut scratch)?.cut(records, rewrite, compressor)
}

/// A batch whose records were all read.
struct Whole<'a> {
    records: Vec<RecordView<'a>>,
    identity: BatchIdentity,
}

impl<'a> Whole<'a> {
    fn read(
        header: &[u8; HEADER_BYTES],
        body: &[u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Self, SplitError> {
        let header = Header::decode(header)?;
        let record_count = header.record_count.cast_unsigned();
        decompress(header.codec, body, RECORDS_BYTES_MAX_HARD, scratch)?;
        // Read to the end first: bytes behind the last record would otherwise go unnoticed.
        let records = RecordIter::new(&header, scratch).collect::<Result<Vec<_>, _>>()?;
        let identity = records.first().and_then(identity);
        match identity.filter(|identity| identity.record_count == record_count) {
            Some(identity) => Ok(Self { records, identity }),
            None => Err(SplitError::Identity { record_count }),
        }
    }

    fn cut(
        &self,
        part: Range<u32>,
        rewrite: &Rewrite<'_>,
        compressor: &mut Compressor,
    ) -> Result<SplitBatch, SplitError> {
        let Range { start, end } = part;
        let record_count = self.identity.record_count;
        if start >= end || end > record_count {
            return Err(SplitError::Range { start, end, record_count });
        }
        let identity = BatchIdentity {
            first_record: self.identity.first_record.wrapping_add(u64::from(start)),
            record_count: end - start,
            ..self.identity
        };
        let mut builder = Builder::default();
        for (index, record) in (start..end).zip(&self.records[start as usize..]) {
            let timestamp_ms = rewrite.times.of(record.timestamp_ms);
            let before = record.timestamp_ms.to_string();
            let before = (timestamp_ms != record.timestamp_ms)
                .then_some((TIME_BEFORE_NAME, Some(before.as_bytes())));
            // The builder writes the part's own identity in the place of the batch's.
            let skipped = usize::from(index == 0);
            builder.push(&Record {
                timestamp_ms,
                key: record.key,
                value: record.value,
                headers: record.headers().skip(skipped).chain(before).chain(rewrite.note),
            });
        }
        let mut body = Vec::new();
        let sealed = builder.seal(&identity, compressor, &mut body)?;
        Ok(SplitBatch { sealed, body, identity })
    }
}
