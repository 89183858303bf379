//! Cuts a sealed batch of ours in two: one that a broker calls too large, or one of whose records
//! it calls poison.
//!
//! Owns the division of the identity: both halves keep instance and batch number, and share the
//! range of records between them, so that readers still find gaps and duplicates (I11). Keys,
//! values, times, order and all other headers stay as they are.

use thiserror::Error;

use crate::batch::RECORDS_BYTES_MAX_HARD;
use crate::batch::builder::Builder;
use crate::batch::builder::Record;
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

/// One half: a sealed batch that is not bound to a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitBatch {
    /// Header and checksums.
    pub sealed: Sealed,
    /// The body.
    pub body: Vec<u8>,
    /// The half's share of the records.
    pub identity: BatchIdentity,
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
    /// A half could not be sealed again.
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
    let header = Header::decode(header)?;
    let record_count = header.record_count.cast_unsigned();
    let mut records = Vec::new();
    decompress(header.codec, body, RECORDS_BYTES_MAX_HARD, &mut records)?;
    // Read to the end first: bytes behind the last record would otherwise go unnoticed.
    let records = RecordIter::new(&header, &records).collect::<Result<Vec<_>, _>>()?;
    let Some(whole) =
        records.first().and_then(identity).filter(|identity| identity.record_count == record_count)
    else {
        return Err(SplitError::Identity { record_count });
    };
    if record_count == 1 {
        return Ok(None);
    }
    let first_count = record_count.div_ceil(2);
    let (first, second) = records.split_at(first_count as usize);
    let first_identity = BatchIdentity { record_count: first_count, ..whole };
    let second_identity = BatchIdentity {
        first_record: whole.first_record.wrapping_add(u64::from(first_count)),
        record_count: record_count - first_count,
        ..whole
    };
    let first = seal_half(first, true, first_identity, compressor)?;
    let second = seal_half(second, false, second_identity, compressor)?;
    Ok(Some([first, second]))
}

fn seal_half(
    records: &[RecordView<'_>],
    begins_with_identity: bool,
    identity: BatchIdentity,
    compressor: &mut Compressor,
) -> Result<SplitBatch, SplitError> {
    let mut builder = Builder::default();
    for (index, record) in records.iter().enumerate() {
        // The builder writes the half's own identity in its place.
        let skipped = usize::from(begins_with_identity && index == 0);
        builder.push(&Record {
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: record.headers().skip(skipped),
        });
    }
    let mut body = Vec::new();
    let sealed = builder.seal(&identity, compressor, &mut body)?;
    Ok(SplitBatch { sealed, body, identity })
}
