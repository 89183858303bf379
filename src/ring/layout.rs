//! Every byte of an arena: offsets as a chain of constants. A change here changes [`VERSION`], the golden
//! test and docs/design.md together.
//!
//! ```text
//! header (4096) | streams (64 x 256) | rings (count x 256) | chunks (count x 16384), page-aligned
//! ```

use crate::ids::InstanceId;
use crate::ids::RingId;
use crate::sys::file_id::FileId;

/// First eight bytes of an arena.
pub const MAGIC: u64 = u64::from_le_bytes(*b"LDRING01");
/// Version of this layout.
pub const VERSION: u32 = 2;

/// Bytes of the arena header.
pub const HEADER_BYTES: usize = 4096;
/// Offset of the magic; written last when an arena is made.
pub const MAGIC_AT: usize = 0;
/// Offset of the description (version, instance, sizes), see [`Description`].
pub const DESCRIPTION_AT: usize = 64;
/// Bytes of the description, its checksum first.
pub const DESCRIPTION_BYTES: usize = 48;
/// Two calibration slots of [`CALIBRATION_WORDS`] words each; written by the consumer.
pub const CALIBRATION_AT: usize = 128;
/// Words of a calibration slot: generation (0 = being written), ticks, wall nanoseconds, nanoseconds per tick.
pub const CALIBRATION_WORDS: usize = 4;
/// Records refused where no ring could be had, by reason; written by any thread, by atomic addition.
pub const REFUSED_WITHOUT_RING_AT: usize = 256;
/// Number of streams in the directory; published by release after the name.
pub const STREAM_COUNT_AT: usize = 384;
/// Number of the record that the next group starts with; the consumer's. 0 where no group was committed.
pub const NUMBERED_AT: usize = 448;
/// Records below this have ended; the sender's, on a cache line of its own. 0 where none has.
pub const ENDED_AT: usize = 512;
/// First record, and the one behind the last, of what the disk did not give back to the sender; both 0 where it did.
pub const DOUBTFUL_AT: usize = 520;

/// Streams in the directory at most.
pub const STREAMS_MAX: usize = 64;
/// Bytes of a stream's entry: u64 length, name.
pub const STREAM_BYTES: usize = 256;
/// Longest topic name (Kafka's own limit).
pub const STREAM_NAME_BYTES_MAX: usize = 249;
const _: () =
    assert!(8 + STREAM_NAME_BYTES_MAX <= STREAM_BYTES + 1 && STREAM_NAME_BYTES_MAX < STREAM_BYTES);

/// Bytes of a ring's entry in the directory.
pub const RING_BYTES: usize = 256;
/// Producer's words: on cache lines of their own.
pub const RING_TAIL_AT: usize = 0;
/// Index + 1 of the first chunk after the entry was free; the producer's.
pub const RING_FIRST_CHUNK_AT: usize = 8;
/// Records refused, by reason; the producer's.
pub const RING_REFUSED_AT: usize = 16;
/// How many reasons there is room for.
pub const REFUSAL_REASONS_MAX: usize = 8;
const _: () = assert!(RING_REFUSED_AT + REFUSAL_REASONS_MAX * 8 <= RING_RELEASED_AT);
/// Consumer's words, two cache lines further (adjacent lines are prefetched in pairs).
pub const RING_RELEASED_AT: usize = 128;
/// Index + 1 of the chunk that holds `released`; the consumer's.
pub const RING_HEAD_CHUNK_AT: usize = 136;
/// [`state`] of the entry; moves Free -> Live by a thread, Live -> Closed by the same, Closed -> Free by the consumer.
pub const RING_STATE_AT: usize = 192;

/// States of a ring's entry.
pub mod state {
    /// Nobody's; all words quiescent, no chunk.
    pub const FREE: u64 = 0;
    /// Owned by a living thread.
    pub const LIVE: u64 = 1;
    /// Its thread is gone; the consumer drains it and frees it.
    pub const CLOSED: u64 = 2;
}

/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes of a chunk's header: u64 ring, u64 ordinal, u64 next (index + 1).
pub const CHUNK_HEADER_BYTES: usize = 64;
/// Offset of the owner in a chunk.
pub const CHUNK_RING_AT: usize = 0;
/// Offset of the ordinal within the ring.
pub const CHUNK_ORDINAL_AT: usize = 8;
/// Offset of the next chunk's index + 1.
pub const CHUNK_NEXT_AT: usize = 16;
/// Bytes of frames in a chunk.
pub const CHUNK_PAYLOAD_BYTES: usize = CHUNK_BYTES - CHUNK_HEADER_BYTES;

/// A frame: one u64 head (kind in the upper half, payload bytes in the lower), the payload, zero to 8 bytes.
pub const FRAME_HEAD_BYTES: usize = 8;
/// Frames start at multiples of this.
pub const FRAME_ALIGN: usize = 8;

/// Kinds of frames.
pub mod kind {
    /// One whole record.
    pub const WHOLE: u32 = 1;
    /// First part of a record that spans chunks.
    pub const FIRST: u32 = 2;
    /// Middle part.
    pub const MIDDLE: u32 = 3;
    /// Last part.
    pub const LAST: u32 = 4;
    /// Fills the rest of a chunk.
    pub const PAD: u32 = 5;
}

/// Rounds up to the frame alignment.
#[inline(always)]
pub const fn aligned(bytes: usize) -> usize {
    (bytes + FRAME_ALIGN - 1) & !(FRAME_ALIGN - 1)
}

/// A frame's head.
#[inline(always)]
pub const fn frame_head(kind: u32, payload_bytes: usize) -> u64 {
    (kind as u64) << 32 | payload_bytes as u64
}

/// The parts of a frame's head: kind and payload bytes.
#[inline(always)]
pub const fn frame_parts(head: u64) -> (u32, usize) {
    ((head >> 32) as u32, (head & 0xffff_ffff) as usize)
}

/// What an arena's header says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Whose arena.
    pub instance: InstanceId,
    /// Entries of the ring directory.
    pub ring_count: u32,
    /// Chunks behind the directory.
    pub chunk_count: u32,
    /// The file that it was made in: in any other one it is a copy.
    pub file: FileId,
}

impl Description {
    /// The description as it lies in the header: checksum, version, instance, counts, file.
    pub fn encode(&self) -> [u8; DESCRIPTION_BYTES] {
        let mut bytes = [0; DESCRIPTION_BYTES];
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.instance.0);
        bytes[24..28].copy_from_slice(&self.ring_count.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.chunk_count.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.file.0);
        let sum = fold(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a description back; `None` where its checksum or version is not ours.
    pub fn decode(bytes: &[u8; DESCRIPTION_BYTES]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if word(0) != fold(&bytes[4..]) || word(4) != VERSION {
            return None;
        }
        let (mut instance, mut file) = ([0; 16], [0; 16]);
        instance.copy_from_slice(&bytes[8..24]);
        file.copy_from_slice(&bytes[32..48]);
        let (instance, file) = (InstanceId(instance), FileId(file));
        Some(Self { instance, ring_count: word(24), chunk_count: word(28), file })
    }

    /// Offset of a ring's entry.
    #[inline(always)]
    pub const fn ring_at(&self, ring: RingId) -> usize {
        HEADER_BYTES + STREAMS_MAX * STREAM_BYTES + ring.0 as usize * RING_BYTES
    }

    /// Offset of a chunk.
    #[inline(always)]
    pub const fn chunk_at(&self, chunk: u32) -> usize {
        self.chunks_at() + chunk as usize * CHUNK_BYTES
    }

    /// Offset of the first chunk.
    pub const fn chunks_at(&self) -> usize {
        let rings_end =
            HEADER_BYTES + STREAMS_MAX * STREAM_BYTES + self.ring_count as usize * RING_BYTES;
        (rings_end + 4095) & !4095
    }

    /// Bytes of the whole arena.
    pub const fn arena_bytes(&self) -> usize {
        self.chunks_at() + self.chunk_count as usize * CHUNK_BYTES
    }
}

/// FNV-1a, 32 bits: enough to tell a half-written description from a whole one. The ring must not use
/// the checksum of the wire formats (design §5), and the bytes are ours alone.
fn fold(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_description() {
        let (instance, file) = (InstanceId([0x11; 16]), FileId([0x22; 16]));
        let description = Description { instance, ring_count: 2, chunk_count: 3, file };
        let bytes = description.encode();
        assert_eq!(Description::decode(&bytes), Some(description));
        let mut expected = [0u8; DESCRIPTION_BYTES];
        expected[..4].copy_from_slice(&bytes[..4]);
        expected[4] = 2;
        expected[8..24].fill(0x11);
        expected[24] = 2;
        expected[28] = 3;
        expected[32..].fill(0x22);
        assert_eq!(bytes, expected);
        assert_eq!(description.chunks_at(), 24_576);
        assert_eq!(description.arena_bytes(), 24_576 + 3 * 16_384);
        for at in 0..DESCRIPTION_BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_eq!(Description::decode(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn frame_heads_round_trip() {
        assert_eq!(frame_parts(frame_head(kind::LAST, 16_312)), (kind::LAST, 16_312));
        assert_eq!(aligned(0), 0);
        assert_eq!(aligned(1), 8);
        assert_eq!(aligned(8), 8);
    }
}
