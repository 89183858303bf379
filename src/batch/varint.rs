//! Zig-zag LEB128, the integers inside a record (`varint` up to 32 bits, `varlong` up to 64).
//!
//! Owns the coding only. Values near zero are short whatever their sign: 0, -1, 1, -2 become
//! 0, 1, 2, 3.
//! A `varint` and a `varlong` of the same value are the same bytes, so there is one writer; the
//! readers differ in what they accept.

use thiserror::Error;

/// The most bytes a coded integer takes.
pub const VARINT_BYTES_MAX: usize = 10;

/// Why an integer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VarintError {
    /// The bytes end inside the integer.
    #[error("the bytes end inside a variable-length integer")]
    Truncated,
    /// The integer has more bits than its type.
    #[error("a variable-length integer has more than {bits} bits")]
    Overflow {
        /// The bits of the type.
        bits: u32,
    },
}

/// Maps a signed integer to the unsigned one that is coded.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// [`zigzag`] of a length, which is never negative.
#[inline]
pub const fn zigzag_length(length: usize) -> u64 {
    (length as u64) << 1
}

/// How many bytes [`write()`] takes for a zig-zagged integer: 1..=10.
#[inline]
pub const fn encoded_bytes(zigzagged: u64) -> usize {
    // ceil(bits / 7) without a division, for 1..=64 bits.
    let bits = 64 - (zigzagged | 1).leading_zeros();
    ((bits * 9 + 64) >> 6) as usize
}

/// Writes a zig-zagged integer to `out` from `at` on; returns the position behind it.
///
/// `out` must have [`encoded_bytes`] of room at `at`.
#[inline]
pub fn write(out: &mut [u8], at: usize, zigzagged: u64) -> usize {
    // Nearly every integer of a record takes one or two bytes.
    if zigzagged < 1 << 7 {
        out[at] = zigzagged as u8;
        return at + 1;
    }
    if zigzagged < 1 << 14 {
        out[at..at + 2].copy_from_slice(&[zigzagged as u8 | 0x80, (zigzagged >> 7) as u8]);
        return at + 2;
    }
    write_long(out, at, zigzagged)
}

/// Appends a zig-zagged integer.
#[inline]
pub fn append(out: &mut Vec<u8>, zigzagged: u64) {
    if zigzagged < 1 << 7 {
        out.push(zigzagged as u8);
        return;
    }
    let mut bytes = [0; VARINT_BYTES_MAX];
    let end = write(&mut bytes, 0, zigzagged);
    out.extend_from_slice(&bytes[..end]);
}

/// Takes a `varint` off the front of `input`; on an error `input` is left as it was.
#[inline]
pub fn read_i32(input: &mut &[u8]) -> Result<i32, VarintError> {
    let zigzagged = read(input, i32::BITS)?;
    let half = (zigzagged >> 1) as u32;
    Ok((half ^ (zigzagged as u32 & 1).wrapping_neg()).cast_signed())
}

/// Takes a `varlong` off the front of `input`; on an error `input` is left as it was.
#[inline]
pub fn read_i64(input: &mut &[u8]) -> Result<i64, VarintError> {
    let zigzagged = read(input, i64::BITS)?;
    Ok(((zigzagged >> 1) ^ (zigzagged & 1).wrapping_neg()).cast_signed())
}

fn write_long(out: &mut [u8], mut at: usize, mut zigzagged: u64) -> usize {
    while zigzagged >= 1 << 7 {
        out[at] = zigzagged as u8 | 0x80;
        zigzagged >>= 7;
        at += 1;
    }
    out[at] = zigzagged as u8;
    at + 1
}

#[inline]
fn read(input: &mut &[u8], bits: u32) -> Result<u64, VarintError> {
    // Nearly every integer of a record takes one or two bytes, and no type has fewer than 14 bits.
    match **input {
        [first @ ..0x80, ref rest @ ..] => {
            *input = rest;
            Ok(first.into())
        }
        [first, second @ ..0x80, ref rest @ ..] => {
            *input = rest;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => read_long(input, bits),
    }
}

fn read_long(input: &mut &[u8], bits: u32) -> Result<u64, VarintError> {
    let mut value = 0u64;
    let mut shift = 0;
    for (index, &byte) in input.iter().enumerate() {
        let part = u64::from(byte & 0x7f);
        if shift >= bits || (bits - shift < 7 && part >> (bits - shift) != 0) {
            return Err(VarintError::Overflow { bits });
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            *input = &input[index + 1..];
            return Ok(value);
        }
        shift += 7;
    }
    if shift >= bits { Err(VarintError::Overflow { bits }) } else { Err(VarintError::Truncated) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, zigzag(value));
        bytes
    }

    #[test]
    fn known_encodings() {
        // From the zig-zag table of the Protocol Buffers encoding guide.
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (8192, &[0x80, 0x80, 0x01]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            assert_eq!(encode(value), bytes, "{value}");
            assert_eq!(encoded_bytes(zigzag(value)), bytes.len(), "{value}");
        }
    }

    #[test]
    fn overflow_and_truncation_are_told_apart() {
        let five = [0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(read_i32(&mut &five[..]), Err(VarintError::Overflow { bits: 32 }));
        assert_eq!(read_i64(&mut &five[..]), Ok(-0x1_0000_0000));
        let endless = [0x80; 11];
        assert_eq!(read_i32(&mut &endless[..]), Err(VarintError::Overflow { bits: 32 }));
        assert_eq!(read_i64(&mut &endless[..]), Err(VarintError::Overflow { bits: 64 }));
        let ten = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read_i64(&mut &ten[..]), Err(VarintError::Overflow { bits: 64 }));
        assert_eq!(read_i64(&mut &endless[..9]), Err(VarintError::Truncated));
        assert_eq!(read_i32(&mut &[][..]), Err(VarintError::Truncated));
    }

    proptest::proptest! {
        #[test]
        fn every_integer_round_trips_and_leaves_the_rest(value: i64, small: i32, rest: [u8; 3]) {
            let bytes = [encode(value).as_slice(), &encode(small.into()), &rest].concat();
            let mut input = bytes.as_slice();
            proptest::prop_assert_eq!(read_i64(&mut input), Ok(value));
            proptest::prop_assert_eq!(read_i32(&mut input), Ok(small));
            proptest::prop_assert_eq!(input, &rest[..]);
            proptest::prop_assert_eq!(encode(value).len(), encoded_bytes(zigzag(value)));
        }
    }
}
