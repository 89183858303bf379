//! Whose records a batch holds: by the identities in it (I11), and which losses it reports.
//!
//! An identity stands on the first record of a batch of ours and counts on from there; a relay may
//! have joined several, so every record is asked. Records that no identity covers are foreign.

use crate::batch;
use crate::batch::Codec;
use crate::batch::DecompressError;
use crate::batch::Header;
use crate::batch::RecordError;
use crate::batch::RecordIter;
use crate::batch::RecordView;
use crate::ids::InstanceId;

/// The name of the record header that reports a loss.
pub const LOSS_NAME: &[u8] = b"logdrive.loss";

/// Most bytes a batch may hold when decompressed: four times what our own producers ever put in.
const RECORDS_BYTES_MAX: usize = 4 * batch::RECORDS_BYTES_MAX_HARD;

/// Why the records of a batch cannot be read, although its CRC is good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurveyError {
    /// The body cannot be decompressed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record is malformed, or their number is not what the header says.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Consecutive records of a batch that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Place of the first in the batch, from 0.
    pub index: u32,
    /// How many.
    pub count: u32,
    /// Whose they are.
    pub owner: Owner,
}

/// Whose a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Written by logdrive.
    Ours {
        /// The process's run that wrote it.
        instance: InstanceId,
        /// The number of the run's first record within that.
        first_record: u64,
    },
    /// Written by another producer.
    Foreign,
}

/// A loss that a record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose records were lost.
    pub instance: InstanceId,
    /// The first of them.
    pub first_record: u64,
    /// How many.
    pub count: u64,
    /// Why, as the sender numbers it.
    pub cause: u32,
}

/// What a batch holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The records' owners, covering all of them in order.
    pub runs: Vec<Run>,
    /// The losses reported by them.
    pub losses: Vec<Loss>,
}

/// The uncompressed records of a batch; `scratch` is used if they are compressed.
///
/// # Errors
/// When the body does not decompress within 64 MiB.
pub fn uncompressed<'a>(
    header: &Header,
    body: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], DecompressError> {
    if header.codec == Codec::None {
        return Ok(body);
    }
    batch::decompress(header.codec, body, RECORDS_BYTES_MAX, scratch)?;
    Ok(scratch)
}

/// Walks every record of a batch.
///
/// # Errors
/// When a record cannot be read; then nothing is known of the batch.
pub fn survey(header: &Header, body: &[u8], scratch: &mut Vec<u8>) -> Result<Survey, SurveyError> {
    let records = uncompressed(header, body, scratch)?;
    let mut found = Survey::default();
    let mut covered_until = 0;
    for (index, record) in (0u32..).zip(RecordIter::new(header, records)) {
        let record = record?;
        if let Some(identity) = batch::identity(&record) {
            covered_until = index.saturating_add(identity.record_count);
            let (instance, first_record) = (identity.instance, identity.first_record);
            found.runs.push(Run { index, count: 0, owner: Owner::Ours { instance, first_record } });
        } else if index >= covered_until && !found.ends_foreign() {
            found.runs.push(Run { index, count: 0, owner: Owner::Foreign });
        }
        if let Some(run) = found.runs.last_mut() {
            run.count += 1;
            if let Owner::Ours { instance, .. } = run.owner {
                found.losses.extend(loss(&record, instance));
            }
        }
    }
    Ok(found)
}

/// The loss that a record of `instance` reports, if it does.
///
/// The header's value is, big-endian: first record (8 bytes), count (8), cause (4), then the instance (16) whose
/// records were lost, where that is another one; what follows is for later versions.
pub fn loss(record: &RecordView<'_>, instance: InstanceId) -> Option<Loss> {
    let (_, value) = record.headers().find(|(name, _)| *name == LOSS_NAME)?;
    let (first_record, rest) = value?.split_first_chunk()?;
    let (count, rest) = rest.split_first_chunk()?;
    let (cause, rest) = rest.split_first_chunk()?;
    let instance = rest.first_chunk().map_or(instance, |other| InstanceId(*other));
    Some(Loss {
        instance,
        first_record: u64::from_be_bytes(*first_record),
        count: u64::from_be_bytes(*count),
        cause: u32::from_be_bytes(*cause),
    })
}

impl Survey {
    fn ends_foreign(&self) -> bool {
        self.runs.last().is_some_and(|run| run.owner == Owner::Foreign)
    }
}
