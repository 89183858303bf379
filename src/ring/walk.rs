//! Walks the frames that were copied out of a ring: keeps whole records, stops where a slice is full.
//!
//! Works on private memory only. The bytes are hostile until checked: a frame that does not fit is damage.

use crate::record;
use crate::ring::layout;
use crate::ring::layout::kind;
use crate::ring::slice::Slice;

/// What was read from a ring does not add up.
pub(super) struct Damaged;

/// When a slice is full.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of frames; exceeded by at most one record.
    pub bytes: usize,
    /// Records.
    pub records: u32,
}

pub(super) struct Walked {
    /// Bytes of the ring that were taken.
    pub consumed: usize,
    /// The next frame is the first part of a record that spans chunks.
    pub starts_fragments: bool,
}

/// Walks the frames copied to `slice.bytes[start..]`, keeps whole ones, cuts off the rest.
pub(super) fn walk(slice: &mut Slice, start: usize, limits: Limits) -> Result<Walked, Damaged> {
    let mut at = start;
    loop {
        if at == slice.bytes.len()
            || at >= limits.bytes.max(start + 1)
            || slice.records >= limits.records
        {
            slice.bytes.truncate(at);
            return Ok(Walked { consumed: at - start, starts_fragments: false });
        }
        let rest = &slice.bytes[at..];
        let Some(head) = rest.first_chunk::<{ layout::FRAME_HEAD_BYTES }>() else {
            slice.bytes.truncate(at);
            return Err(Damaged);
        };
        let (kind, bytes) = layout::frame_parts(u64::from_le_bytes(*head));
        let frame = layout::FRAME_HEAD_BYTES.saturating_add(layout::aligned(bytes));
        match kind {
            kind::WHOLE if frame <= rest.len() => {
                note_record(slice, at);
                at += frame;
            }
            kind::PAD if frame <= rest.len() => {
                slice.bytes.truncate(at);
                return Ok(Walked { consumed: at - start + frame, starts_fragments: false });
            }
            kind::FIRST => {
                slice.bytes.truncate(at);
                return Ok(Walked { consumed: at - start, starts_fragments: true });
            }
            _damaged => {
                slice.bytes.truncate(at);
                return Err(Damaged);
            }
        }
    }
}

/// Counts the record of the whole frame at `at` and remembers the time of the slice's first one.
pub(super) fn note_record(slice: &mut Slice, at: usize) {
    slice.records += 1;
    if slice.oldest_ticks.is_none() {
        let ticks_at = at + layout::FRAME_HEAD_BYTES + record::HEAD_BYTES - 8;
        slice.oldest_ticks = slice
            .bytes
            .get(ticks_at..ticks_at + 8)
            .and_then(|bytes| bytes.first_chunk::<8>())
            .map(|bytes| u64::from_le_bytes(*bytes));
    }
}
