//! Every byte of a segment file: offsets, encoding, decoding.
//!
//! Owns the layout that `docs/design.md` describes; a change here changes [`VERSION`], the golden
//! test and that document together. Little-endian. Knows nothing of files or threads.
//!
//! What is decoded is hostile until its checksum was compared: every length is bounded before use.
//! A checksum covers the *address* (instance, segment, offset) too, so that bytes left over from the
//! segment's earlier life, or moved by a broken disk, never pass.

use crate::checksum;
use crate::ids::InstanceId;
use crate::ids::RingId;
use crate::ids::RingPosition;
use crate::spool::types::BATCH_HEADER_BYTES;
use crate::spool::types::Batch;

mod words;

pub use crate::spool::format::words::*;

/// The version of all layouts in this file.
pub const VERSION: u32 = 2;

/// Everything starts at a multiple of this.
pub const ALIGNMENT: usize = 64;

/// Where the groups of a segment start.
pub const DATA_START: usize = 4096;

/// Length of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 64;

/// Length of a group's header, before its ring positions.
pub const GROUP_HEADER_BYTES: usize = 64;

/// Length of one ring position.
pub const RING_POSITION_BYTES: usize = 16;

/// Length of a frame's unchanging header.
pub const FRAME_HEADER_BYTES: usize = 64;

/// Where a frame's topic starts: behind the words that change.
pub const FRAME_TOPIC: usize = FRAME_HEADER_BYTES + FRAME_WORDS_BYTES;

/// Length of the words that change after a commit.
pub const FRAME_WORDS_BYTES: usize = 128;

const SEGMENT_MAGIC: [u8; 8] = *b"LDSEG001";
const GROUP_MAGIC: [u8; 4] = *b"LDG1";
const FRAME_MAGIC: [u8; 4] = *b"LDF1";

/// Where bytes belong: part of every checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whose segment it is.
    pub instance: InstanceId,
    /// The segment's number.
    pub segment: u64,
}

impl Address {
    /// The checksum of the address itself, to be extended with the bytes.
    fn crc(&self, offset: usize) -> u32 {
        let crc = checksum::crc32c(&self.instance.0);
        let crc = checksum::extend(crc, &self.segment.to_le_bytes());
        checksum::extend(crc, &(offset as u64).to_le_bytes())
    }
}

/// The first 64 bytes of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is, and its number.
    pub address: Address,
    /// Length of the file.
    pub segment_bytes: u64,
}

/// Why the first 64 bytes of a file are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeaderFault {
    /// Not the magic bytes, or the checksum does not fit.
    Damaged,
    /// A good header of a version that we do not know.
    Version(u32),
}

impl SegmentHeader {
    /// The bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.address.instance.0);
        bytes[32..40].copy_from_slice(&self.address.segment.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let crc = checksum::crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Checks and reads the bytes.
    ///
    /// # Errors
    ///
    /// See [`SegmentHeaderFault`].
    pub fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<Self, SegmentHeaderFault> {
        if bytes[0..8] != SEGMENT_MAGIC || u32_at(bytes, 8) != checksum::crc32c(&bytes[12..]) {
            return Err(SegmentHeaderFault::Damaged);
        }
        let version = u32_at(bytes, 12);
        if version != VERSION {
            return Err(SegmentHeaderFault::Version(version));
        }
        let instance = InstanceId(array_at(bytes, 16));
        let address = Address { instance, segment: u64_at(bytes, 32) };
        Ok(Self { address, segment_bytes: u64_at(bytes, 40) })
    }
}

/// What stands before the frames of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Length of the group with all its frames.
    pub group_bytes: u32,
    /// How many frames follow.
    pub batch_count: u16,
    /// How many ring positions follow.
    pub ring_count: u32,
    /// Number of the group within the instance.
    pub number: u64,
    /// Number of the first record.
    pub first_record: u64,
    /// Records of all its frames.
    pub record_count: u64,
    /// Batches of the instance in all earlier groups.
    pub batches_before: u64,
}

impl GroupHeader {
    /// Length of header and ring positions.
    pub fn header_bytes(&self) -> usize {
        group_header_bytes(self.ring_count as usize)
    }

    /// The header and the ring positions, as they stand before the first frame.
    pub fn encode(&self, address: &Address, offset: usize, positions: &[RingPosition]) -> Vec<u8> {
        let mut bytes = vec![0; self.header_bytes()];
        bytes[0..4].copy_from_slice(&GROUP_MAGIC);
        bytes[8..12].copy_from_slice(&self.group_bytes.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.batch_count.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.ring_count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_record.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.batches_before.to_le_bytes());
        let slots = bytes[GROUP_HEADER_BYTES..].chunks_exact_mut(RING_POSITION_BYTES);
        for (slot, position) in slots.zip(positions) {
            slot[0..4].copy_from_slice(&position.ring.0.to_le_bytes());
            slot[8..16].copy_from_slice(&position.position.to_le_bytes());
        }
        let crc = checksum::extend(address.crc(offset), &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the first 64 bytes; `room` is what is left for header and ring positions (the frames
    /// may have been cut off). Not yet trusted: see [`GroupHeader::is_intact`].
    pub fn decode(bytes: &[u8; GROUP_HEADER_BYTES], room: usize) -> Option<Self> {
        let header = Self {
            group_bytes: u32_at(bytes, 8),
            batch_count: u16::from_le_bytes(array_at(bytes, 12)),
            ring_count: u32_at(bytes, 16),
            number: u64_at(bytes, 24),
            first_record: u64_at(bytes, 32),
            record_count: u64_at(bytes, 40),
            batches_before: u64_at(bytes, 48),
        };
        let group_bytes = header.group_bytes as usize;
        let fits = bytes[0..4] == GROUP_MAGIC
            && group_bytes.is_multiple_of(ALIGNMENT)
            && header.ring_count as usize <= room / RING_POSITION_BYTES
            && header.header_bytes() <= room.min(group_bytes)
            && header.number < COUNT_MAX
            && is_countable(header.first_record, header.record_count)
            && is_countable(header.batches_before, u64::from(header.batch_count));
        fits.then_some(header)
    }

    /// Whether header and ring positions are what was written at this address.
    pub fn is_intact(address: &Address, offset: usize, bytes: &[u8]) -> bool {
        u32_at(bytes, 4) == checksum::extend(address.crc(offset), &bytes[8..])
    }

    /// The ring positions in the bytes of a whole header.
    pub fn positions<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = RingPosition> + 'a {
        bytes[GROUP_HEADER_BYTES..]
            .chunks_exact(RING_POSITION_BYTES)
            .take(self.ring_count as usize)
            .map(|slot| RingPosition { ring: RingId(u32_at(slot, 0)), position: u64_at(slot, 8) })
    }
}

/// Length of a group's header with `ring_count` positions.
pub fn group_header_bytes(ring_count: usize) -> usize {
    (GROUP_HEADER_BYTES + ring_count * RING_POSITION_BYTES).next_multiple_of(ALIGNMENT)
}

/// The unchanging 64 bytes at the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Length of the frame.
    pub frame_bytes: u32,
    /// Length of the body.
    pub body_bytes: u32,
    /// CRC-32C of the body.
    pub body_crc: u32,
    /// Length of the topic.
    pub topic_bytes: u16,
    /// Highest severity.
    pub severity_max: u8,
    /// Number of the batch.
    pub batch_number: u64,
    /// Number of the first record.
    pub first_record: u64,
    /// How many records.
    pub record_count: u32,
    /// The partition, or -1.
    pub partition: i32,
    /// Latest timestamp in milliseconds.
    pub max_timestamp: i64,
}

impl FrameHeader {
    /// The header for a batch, where its lengths fit.
    pub fn of(batch: &Batch<'_>) -> Option<Self> {
        Some(Self {
            frame_bytes: u32::try_from(frame_bytes(batch.topic.len(), batch.body.len())).ok()?,
            body_bytes: u32::try_from(batch.body.len()).ok()?,
            body_crc: batch.body_crc,
            topic_bytes: u16::try_from(batch.topic.len()).ok()?,
            severity_max: batch.severity_max,
            batch_number: batch.batch_number,
            first_record: batch.first_record,
            record_count: batch.record_count,
            partition: batch.partition,
            max_timestamp: batch.max_timestamp,
        })
    }

    /// The bytes. The body is not read: its checksum of the seal is combined into the frame's, so
    /// damage between seal and commit cannot be signed as good.
    pub fn encode(
        &self,
        address: &Address,
        offset: usize,
        batch: &Batch<'_>,
    ) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&FRAME_MAGIC);
        bytes[8..12].copy_from_slice(&self.frame_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[20..22].copy_from_slice(&self.topic_bytes.to_le_bytes());
        bytes[22] = self.severity_max;
        bytes[24..32].copy_from_slice(&self.batch_number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_record.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.record_count.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.partition.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.max_timestamp.to_le_bytes());
        let crc = checksum::extend(address.crc(offset), &bytes[8..]);
        let crc = checksum::extend(crc, batch.topic.as_bytes());
        let crc = checksum::extend(crc, batch.header);
        let crc = checksum::combine(crc, self.body_crc, self.body_bytes);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the bytes; `room` is what is left for the frame. Not yet trusted: see
    /// [`FrameHeader::is_intact`].
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES], room: usize) -> Option<Self> {
        let header = Self {
            frame_bytes: u32_at(bytes, 8),
            body_bytes: u32_at(bytes, 12),
            body_crc: u32_at(bytes, 16),
            topic_bytes: u16::from_le_bytes(array_at(bytes, 20)),
            severity_max: bytes[22],
            batch_number: u64_at(bytes, 24),
            first_record: u64_at(bytes, 32),
            record_count: u32_at(bytes, 40),
            partition: i32::from_le_bytes(array_at(bytes, 44)),
            max_timestamp: i64::from_le_bytes(array_at(bytes, 48)),
        };
        let bytes_expected =
            frame_bytes(usize::from(header.topic_bytes), header.body_bytes as usize);
        let fits = bytes[0..4] == FRAME_MAGIC
            && header.frame_bytes as usize == bytes_expected
            && bytes_expected <= room
            && is_countable(header.first_record, u64::from(header.record_count));
        fits.then_some(header)
    }

    /// Whether the frame is what was written at this address; `rest` is topic, batch header and
    /// body.
    pub fn is_intact(
        address: &Address,
        offset: usize,
        header: &[u8; FRAME_HEADER_BYTES],
        rest: &[u8],
    ) -> bool {
        let crc = checksum::extend(address.crc(offset), &header[8..]);
        u32_at(header, 4) == checksum::extend(crc, rest)
    }

    /// Where the batch header starts, from the frame's start.
    pub fn batch_header_start(&self) -> usize {
        FRAME_TOPIC + usize::from(self.topic_bytes)
    }

    /// Where the body starts, from the frame's start.
    pub fn body_start(&self) -> usize {
        self.batch_header_start() + BATCH_HEADER_BYTES
    }

    /// Where the body ends, from the frame's start.
    pub fn body_end(&self) -> usize {
        self.body_start() + self.body_bytes as usize
    }
}

/// Length of a frame, with its padding.
pub fn frame_bytes(topic_bytes: usize, body_bytes: usize) -> usize {
    (FRAME_TOPIC + topic_bytes + BATCH_HEADER_BYTES + body_bytes).next_multiple_of(ALIGNMENT)
}

/// No instance counts further, so sums of what was read never overflow: 10 million records a second
/// for 14,000 years.
pub const COUNT_MAX: u64 = 1 << 62;

fn is_countable(first: u64, count: u64) -> bool {
    first.checked_add(count).is_some_and(|end| end <= COUNT_MAX)
}

/// The little-endian number at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// The little-endian number at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// The `N` bytes at `at`.
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a range of N bytes has N bytes")
}

#[cfg(test)]
mod tests;
