//! Reading big-endian primitives from a borrowed slice that a stranger sent.
//!
//! Invariants: nothing is read beyond the slice, no length or count is trusted before it is
//! compared with what is left, and nothing panics.

use thiserror::Error;

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A length or a fixed field reaches beyond the end.
    #[error("the message ends early: {needed} bytes needed, {remaining} left")]
    Truncated {
        /// Bytes that the field takes.
        needed: u64,
        /// Bytes that are left.
        remaining: u64,
    },
    /// An array announces more elements than the rest of the message can hold.
    #[error("an array of {count} elements cannot fit into the {remaining} bytes left")]
    CountTooLarge {
        /// The announced count.
        count: u64,
        /// Bytes that are left.
        remaining: u64,
    },
    /// A length below -1.
    #[error("a length of {0} is negative")]
    NegativeLength(i64),
    /// A null where the layout does not allow one.
    #[error("a field that must have a value is null")]
    UnexpectedNull,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A varint of more than 32 bits.
    #[error("a variable-length integer has more than 32 bits")]
    VarintTooLong,
    /// Bytes are left over after the last field.
    #[error("{0} bytes are left over after the message")]
    TrailingBytes(u64),
}

/// A cursor over one message.
///
/// Strings, byte fields and arrays follow the encoding chosen by [`Reader::set_flexible`]; a new
/// reader is in the classic one.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`, in the classic encoding.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, flexible: false }
    }

    /// Chooses compact lengths and tagged fields (`true`) or the classic encoding.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Checks that everything was read.
    pub fn finish(&self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(WireError::TrailingBytes(left as u64)),
        }
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(WireError::Truncated {
                needed: length as u64,
                remaining: self.rest.len() as u64,
            }),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => {
                Err(WireError::Truncated { needed: N as u64, remaining: self.rest.len() as u64 })
            }
        }
    }

    /// An `int8`.
    pub fn i8(&mut self) -> Result<i8, WireError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// An `int16`.
    pub fn i16(&mut self) -> Result<i16, WireError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// An `int32`.
    pub fn i32(&mut self) -> Result<i32, WireError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// An `int64`.
    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// A boolean: one byte, 0 is false, as Kafka reads it.
    pub fn bool(&mut self) -> Result<bool, WireError> {
        self.i8().map(|byte| byte != 0)
    }

    /// An unsigned LEB128 integer of at most 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(WireError::VarintTooLong);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::VarintTooLong)
    }

    /// A string that may be null.
    pub fn nullable_string(&mut self) -> Result<Option<&'a str>, WireError> {
        if self.flexible {
            return match self.compact_length()? {
                Some(length) => self.text(length).map(Some),
                None => Ok(None),
            };
        }
        self.classic_nullable_string()
    }

    /// A string with an `int16` length whatever the encoding: the header's client id.
    pub(super) fn classic_nullable_string(&mut self) -> Result<Option<&'a str>, WireError> {
        match length_or_null(i64::from(self.i16()?))? {
            Some(length) => self.text(length).map(Some),
            None => Ok(None),
        }
    }

    /// A string.
    pub fn string(&mut self) -> Result<&'a str, WireError> {
        self.nullable_string()?.ok_or(WireError::UnexpectedNull)
    }

    /// A byte field that may be null; borrowed, not copied.
    pub fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.long_length()? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// A byte field; borrowed, not copied.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        self.nullable_bytes()?.ok_or(WireError::UnexpectedNull)
    }

    /// The count of an array that may be null, whose elements take at least `element_bytes_min`
    /// bytes each; so a count cannot make the caller allocate more than the message justifies.
    pub fn nullable_array_count(
        &mut self,
        element_bytes_min: usize,
    ) -> Result<Option<usize>, WireError> {
        let Some(count) = self.long_length()? else { return Ok(None) };
        if count > self.rest.len() / element_bytes_min.max(1) {
            return Err(WireError::CountTooLarge {
                count: count as u64,
                remaining: self.rest.len() as u64,
            });
        }
        Ok(Some(count))
    }

    /// An array; `element` reads one of its elements, which take at least `element_bytes_min`.
    pub fn array<T>(
        &mut self,
        element_bytes_min: usize,
        element: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        self.nullable_array(element_bytes_min, element)?.ok_or(WireError::UnexpectedNull)
    }

    /// An array that may be null; see [`Reader::array`].
    pub fn nullable_array<T>(
        &mut self,
        element_bytes_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<Vec<T>>, WireError> {
        let Some(count) = self.nullable_array_count(element_bytes_min)? else { return Ok(None) };
        (0..count).map(|_| element(self)).collect::<Result<Vec<T>, WireError>>().map(Some)
    }

    /// Skips the tagged fields that end a structure in the flexible encoding; none in the classic.
    pub fn skip_tags(&mut self) -> Result<(), WireError> {
        self.tags(|_, _| Ok(()))
    }

    /// Shows each tagged field to `field`, with a reader over exactly its bytes.
    pub fn tags(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader<'a>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let length = self.uvarint()?;
            let mut value = Reader { rest: self.take(length as usize)?, flexible: true };
            field(tag, &mut value)?;
        }
        Ok(())
    }

    /// The length of a byte field or array: `int32`, or a varint of length + 1.
    fn long_length(&mut self) -> Result<Option<usize>, WireError> {
        if self.flexible { self.compact_length() } else { length_or_null(i64::from(self.i32()?)) }
    }

    fn compact_length(&mut self) -> Result<Option<usize>, WireError> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.take(length)?).map_err(|_| WireError::NotUtf8)
    }
}

/// A signed length as a size, -1 as null.
fn length_or_null(length: i64) -> Result<Option<usize>, WireError> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length).map(Some).map_err(|_| WireError::NegativeLength(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked_before_use() {
        assert_eq!(
            Reader::new(&[0x7f, 0xff, 0xff, 0xff]).bytes(),
            Err(WireError::Truncated { needed: 0x7fff_ffff, remaining: 0 })
        );
        assert_eq!(Reader::new(&[0xff, 0xfe]).string(), Err(WireError::NegativeLength(-2)));
        assert_eq!(Reader::new(&[0xff, 0xff]).string(), Err(WireError::UnexpectedNull));
        assert_eq!(Reader::new(&[0, 1, 0xff]).string(), Err(WireError::NotUtf8));
    }

    #[test]
    fn a_count_is_bounded_by_what_is_left() {
        let bytes = [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            Reader::new(&bytes).nullable_array_count(4),
            Err(WireError::CountTooLarge { count: 3, remaining: 7 })
        );
        assert_eq!(Reader::new(&bytes).nullable_array_count(2), Ok(Some(3)));
    }

    #[test]
    fn varints_of_more_than_32_bits_are_refused() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(), Ok(u32::MAX));
        let too_large = [0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(Reader::new(&too_large).uvarint(), Err(WireError::VarintTooLong));
        let too_long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        assert_eq!(Reader::new(&too_long).uvarint(), Err(WireError::VarintTooLong));
    }

    #[test]
    fn tagged_fields_are_shown_one_by_one_and_skipped() {
        let bytes = [2, 0, 1, 0xaa, 5, 2, 0xbb, 0xcc, 0x77];
        let mut reader = Reader::new(&bytes);
        reader.set_flexible(true);
        let mut seen = Vec::new();
        reader
            .tags(|tag, value| {
                seen.push((tag, value.remaining()));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(0, 1), (5, 2)]);
        assert_eq!(reader.finish(), Err(WireError::TrailingBytes(1)));
    }
}
