//! The words of a segment that change after they were first written: each checks itself.
//!
//! `committed` is the writer's, state and bindings of a frame are the reader's. Each is stored by one
//! aligned 64-bit store that decides, so a kill leaves the old value or the new one.

use crate::checksum;
use crate::spool::format::ALIGNMENT;
use crate::spool::format::Address;
use crate::spool::format::FRAME_HEADER_BYTES;
use crate::spool::types::Binding;
use crate::spool::types::Part;

/// Where a segment's word `committed` lies, see [`committed_word`].
pub const COMMITTED: usize = 64;

/// Where a frame's state word lies, from the frame's start.
pub const FRAME_STATE: usize = FRAME_HEADER_BYTES;

/// Where a frame's two binding slots lie, from the frame's start.
pub const FRAME_BINDINGS: [usize; 2] = [FRAME_STATE + 16, FRAME_STATE + 16 + BINDING_BYTES];

/// How many words a binding slot has.
pub const BINDING_WORDS: usize = 7;

/// Length of a binding slot.
pub const BINDING_BYTES: usize = 8 * BINDING_WORDS;

/// The value of a segment's word `committed` for `bytes` of whole groups, counted from
/// `DATA_START`: their number of [`ALIGNMENT`] units in the low half, its complement in the high
/// half. So it is stored at once, and a flipped bit shows.
pub fn committed_word(bytes: usize) -> u64 {
    let units = u32::try_from(bytes / ALIGNMENT).expect("a segment is at most 1 GiB");
    u64::from(units) | u64::from(!units) << 32
}

/// The bytes of whole groups in a word `committed`; `None` for a value that we never write.
#[allow(clippy::cast_possible_truncation)]
pub fn committed_bytes(word: u64) -> Option<usize> {
    let units = word as u32;
    ((word >> 32) as u32 == !units).then_some(units as usize * ALIGNMENT)
}

/// The words of a binding slot; the first one, with generation and checksum, is stored last.
pub fn encode_binding(
    address: &Address,
    offset: usize,
    generation: u32,
    binding: &Binding,
) -> [u64; BINDING_WORDS] {
    let epoch = u64::from(binding.epoch.cast_unsigned());
    let rewrite = u64::from(binding.part.rewrite) << 16;
    let mut words = [
        0,
        binding.producer_id.cast_unsigned(),
        epoch | rewrite | u64::from(binding.base_sequence.cast_unsigned()) << 32,
        u64::from(binding.partition.cast_unsigned()) | u64::from(binding.batch_crc) << 32,
        u64::from(binding.part.first) | u64::from(binding.part.count) << 32,
        u64::from(binding.sequence_space) | u64::from(binding.part.rejected) << 32,
        binding.part.time_ms.cast_unsigned(),
    ];
    let crc = binding_crc(address, offset, generation, &words);
    words[0] = u64::from(generation) | u64::from(crc) << 32;
    words
}

/// The generation and the binding of a slot, unless it is empty or was torn.
#[allow(clippy::cast_possible_truncation)]
pub fn decode_binding(
    address: &Address,
    offset: usize,
    words: &[u64; BINDING_WORDS],
) -> Option<(u32, Binding)> {
    let generation = words[0] as u32;
    if (words[0] >> 32) as u32 != binding_crc(address, offset, generation, words) {
        return None;
    }
    let binding = Binding {
        producer_id: words[1].cast_signed(),
        epoch: (words[2] as u16).cast_signed(),
        base_sequence: ((words[2] >> 32) as u32).cast_signed(),
        partition: (words[3] as u32).cast_signed(),
        batch_crc: (words[3] >> 32) as u32,
        sequence_space: words[5] as u32,
        part: Part {
            first: words[4] as u32,
            count: (words[4] >> 32) as u32,
            rejected: (words[5] >> 32) as u32,
            rewrite: (words[2] >> 16) as u16,
            time_ms: words[6].cast_signed(),
        },
    };
    Some((generation, binding))
}

fn binding_crc(address: &Address, offset: usize, generation: u32, words: &[u64]) -> u32 {
    let crc = checksum::extend(address.crc(offset), &generation.to_le_bytes());
    words[1..].iter().fold(crc, |crc, word| checksum::extend(crc, &word.to_le_bytes()))
}

/// The value of a frame's state word: the state's number in each of its eight bytes, so that a
/// flipped bit reads as *stored*: sent twice rather than lost.
pub fn state_word(number: u8) -> u64 {
    u64::from(number) * 0x0101_0101_0101_0101
}

/// The state's number in a state word; 0, *stored*, for anything that we would not have written.
pub fn state_number(word: u64) -> u8 {
    let number = word.to_le_bytes()[0];
    let known = matches!(number, STATE_DELIVERED | STATE_UNCONFIRMED | STATE_DROPPED..=STATE_MAX);
    if known && word == state_word(number) { number } else { STATE_STORED }
}

/// The frame waits for a resolution.
pub const STATE_STORED: u8 = 0;
/// Acknowledged.
pub const STATE_DELIVERED: u8 = 1;
/// Sent, fate unknown for ever.
pub const STATE_UNCONFIRMED: u8 = 2;
/// Dropped; the reason's number is added.
pub const STATE_DROPPED: u8 = 16;
const STATE_MAX: u8 = STATE_DROPPED + 15;
