//! A group before it is written: checked, and laid out.
//!
//! Changes nothing. Owns what may be committed at all: numbers that follow on, sizes that fit.

use std::collections::BTreeMap;

use crate::ids::RingId;
use crate::ids::RingPosition;
use crate::spool::active::Plan;
use crate::spool::format;
use crate::spool::format::DATA_START;
use crate::spool::format::FrameHeader;
use crate::spool::format::GroupHeader;
use crate::spool::types::CommitError;
use crate::spool::types::GROUP_BYTES_MAX;
use crate::spool::types::Group;
use crate::spool::writer::Writer;

impl Writer {
    /// Checks the group and lays it out; changes nothing.
    pub(super) fn plan(&self, group: &Group<'_>) -> Result<Plan, CommitError> {
        let mut expected = self.next.record;
        let misnumbered = |expected, found| Err(CommitError::Misnumbered { expected, found });
        if group.first_record != expected || group.batches.is_empty() {
            return misnumbered(expected, group.first_record);
        }
        for batch in group.batches {
            if batch.first_record != expected || batch.record_count == 0 {
                return misnumbered(expected, batch.first_record);
            }
            expected += u64::from(batch.record_count);
        }
        let positions = merge(&self.unpublished, group.positions);
        let frames: usize = group
            .batches
            .iter()
            .map(|batch| format::frame_bytes(batch.topic.len(), batch.body.len()))
            .sum();
        let bytes = format::group_header_bytes(positions.len()) + frames;
        let bytes_max = GROUP_BYTES_MAX.max(self.options.segment_bytes - DATA_START as u64);
        let too_large = CommitError::TooLarge { bytes: bytes as u64, bytes_max };
        let headers: Option<Vec<FrameHeader>> = group.batches.iter().map(FrameHeader::of).collect();
        let counts = (
            u32::try_from(bytes),
            u16::try_from(group.batches.len()),
            u32::try_from(positions.len()),
            headers,
        );
        let (Ok(group_bytes), Ok(batch_count), Ok(ring_count), Some(frames)) = counts else {
            return Err(too_large);
        };
        if bytes as u64 > bytes_max {
            return Err(too_large);
        }
        let header = GroupHeader {
            group_bytes,
            batch_count,
            ring_count,
            number: self.next.group,
            first_record: group.first_record,
            record_count: expected - group.first_record,
            batches_before: self.next.batches,
        };
        Ok(Plan { header, positions, frames })
    }
}

/// The highest position per ring.
fn merge(earlier: &[RingPosition], later: &[RingPosition]) -> Vec<RingPosition> {
    if earlier.is_empty() {
        return later.to_vec();
    }
    let mut highest = BTreeMap::<RingId, u64>::new();
    for RingPosition { ring, position } in earlier.iter().chain(later) {
        let entry = highest.entry(*ring).or_default();
        *entry = (*entry).max(*position);
    }
    highest.into_iter().map(|(ring, position)| RingPosition { ring, position }).collect()
}
