//! What one drain took out of the rings: whole records in private memory, and how far each ring was read.
//!
//! Owns a reusable buffer of frames in the ring's own form (head, payload, zero to 8 bytes), all whole.

use crate::ids::RingPosition;
use crate::record::Record;
use crate::ring::layout;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Slice {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u32,
    pub(super) oldest_ticks: Option<u64>,
    pub(super) positions: Vec<RingPosition>,
    pub(super) damaged_bytes: u64,
}

impl Slice {
    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.positions.clear();
        self.records = 0;
        self.oldest_ticks = None;
        self.damaged_bytes = 0;
    }

    /// What there is, for [`Slice::truncate`].
    pub(super) fn len_and_records(&self) -> (usize, u32) {
        (self.bytes.len(), self.records)
    }

    /// Forgets what was appended since; the positions stay.
    pub(super) fn truncate(&mut self, (bytes, records): (usize, u32)) {
        self.bytes.truncate(bytes);
        self.records = records;
        if records == 0 {
            self.oldest_ticks = None;
        }
    }

    /// Appends a record of our own, that came through no ring.
    pub fn push(&mut self, record: &Record<'_>) {
        let bytes = record.encoded_bytes();
        self.bytes.extend_from_slice(&layout::frame_head(layout::kind::WHOLE, bytes).to_le_bytes());
        record.encode(|piece| self.bytes.extend_from_slice(piece));
        self.bytes.resize(self.bytes.len() + layout::aligned(bytes) - bytes, 0);
        self.records += 1;
        self.oldest_ticks.get_or_insert(record.ticks);
    }

    /// Bytes of the frames.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many records there are.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Whether no record was taken.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The time of the first record, about the oldest one, in ticks.
    pub fn oldest_ticks(&self) -> Option<u64> {
        self.oldest_ticks
    }

    /// How far each ring was read, once sealed; to be released when the slice's group is committed.
    pub fn positions(&self) -> &[RingPosition] {
        &self.positions
    }

    /// Bytes that could not be read as frames; always 0 but in the arena of a process that was damaged.
    pub fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// The encoded records, ring by ring, each ring's in its order.
    pub fn encoded_records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<{ layout::FRAME_HEAD_BYTES }>()?;
            let (_, bytes) = layout::frame_parts(u64::from_le_bytes(*head));
            let record = tail.get(..bytes)?;
            rest = tail.get(layout::aligned(bytes)..).unwrap_or_default();
            Some(record)
        })
    }
}
