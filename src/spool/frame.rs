//! One stored batch as the sender sees it.
//!
//! A cheap handle: it keeps its bytes at hand and its segment from being recycled, so it must be
//! dropped soon after the frame was resolved.

use std::sync::Arc;

use crate::checksum;
use crate::spool::format::FrameHeader;
use crate::spool::format::array_at;
use crate::spool::scan::Source;
use crate::spool::segment::Segment;
use crate::spool::segment::SegmentBytes;
use crate::spool::types::BATCH_HEADER_BYTES;
use crate::spool::types::Binding;
use crate::spool::types::Position;

/// A committed batch that waits for its resolution. Its bytes never change (I4).
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: SegmentBytes,
    offset: usize,
    header: FrameHeader,
}

impl Frame {
    /// The frame that was found at `offset`, checked as far as its segment must be.
    pub(super) fn new(bytes: SegmentBytes, offset: usize, header: FrameHeader) -> Self {
        Self { bytes, offset, header }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        let start = self.offset + self.header.batch_header_start();
        let topic = self.bytes.bytes(start - usize::from(self.header.topic_bytes)..start);
        std::str::from_utf8(topic).expect("the scan admits only topics in UTF-8")
    }

    /// The partition fixed at seal, or -1.
    pub fn partition(&self) -> i32 {
        self.header.partition
    }

    /// The highest severity in the batch.
    pub fn severity_max(&self) -> u8 {
        self.header.severity_max
    }

    /// Number of the batch within its instance.
    pub fn batch_number(&self) -> u64 {
        self.header.batch_number
    }

    /// Number of the first record within the instance.
    pub fn first_record(&self) -> u64 {
        self.header.first_record
    }

    /// How many records.
    pub fn record_count(&self) -> u32 {
        self.header.record_count
    }

    /// The latest timestamp in milliseconds since 1970.
    pub fn max_timestamp(&self) -> i64 {
        self.header.max_timestamp
    }

    /// The batch header as sealed: producer fields -1, CRC 0.
    pub fn header(&self) -> [u8; BATCH_HEADER_BYTES] {
        let start = self.offset + self.header.batch_header_start();
        array_at(self.bytes.bytes(start..start + BATCH_HEADER_BYTES), 0)
    }

    /// The compressed records.
    pub fn body(&self) -> &[u8] {
        let start = self.offset + self.header.body_start();
        self.bytes.bytes(start..start + self.header.body_bytes as usize)
    }

    /// CRC-32C of the body, taken when it was sealed.
    pub fn body_crc(&self) -> u32 {
        self.header.body_crc
    }

    /// Whether its body is still what was sealed. Reads all of it: for batches that could not be sent.
    pub fn is_intact(&self) -> bool {
        checksum::crc32c(self.body()) == self.header.body_crc
    }

    /// What it was bound to last.
    pub fn binding(&self) -> Option<Binding> {
        self.segment().binding(self.offset)
    }

    /// How many records it has, and how many of them were delivered and rejected in parts, by its binding.
    pub fn ended_in_parts(&self) -> (u64, u64, u64) {
        let part = self.binding().map(|binding| binding.part).unwrap_or_default();
        let records = self.header.record_count;
        let ended = part.first.min(records);
        let rejected = part.rejected.min(ended);
        (u64::from(records), u64::from(ended - rejected), u64::from(rejected))
    }

    /// Its place in the order of commit.
    pub fn position(&self) -> Position {
        Position { segment: self.segment().address.segment, offset: self.offset as u64 }
    }

    /// Bytes it takes in the spool.
    pub fn bytes(&self) -> u64 {
        u64::from(self.header.frame_bytes)
    }

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.bytes.segment
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }
}
