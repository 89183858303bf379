//! Writing big-endian primitives and whole frames behind the bytes of a vector.
//!
//! Invariant: a frame that cannot be written correctly (a string too long for its length field)
//! is reported by [`Writer::finish`] and leaves no bytes behind, so it is never half sent.

use thiserror::Error;

/// Why a frame could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A string, byte field or array is longer than its length field can say.
    #[error("a field of {0} bytes or elements is longer than the protocol can express")]
    FieldTooLong(usize),
    /// The frame is longer than its 32-bit size can say.
    #[error("a frame of {0} bytes is longer than the protocol can express")]
    FrameTooLong(u64),
}

/// What follows a request's last byte field at the most: counts of tagged fields.
const BEHIND_BYTES: usize = 8;

/// Appends one frame to a vector.
///
/// Strings, byte fields and arrays follow the encoding chosen by [`Writer::set_flexible`]; a new
/// writer is in the classic one.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    frame_start: usize,
    flexible: bool,
    failed: Option<EncodeError>,
}

impl<'a> Writer<'a> {
    /// Starts a frame behind what `out` holds; its size is filled in by [`Writer::finish`].
    pub fn frame(out: &'a mut Vec<u8>) -> Self {
        let frame_start = out.len();
        out.extend_from_slice(&[0; SIZE_BYTES]);
        Self { out, frame_start, flexible: false, failed: None }
    }

    /// Ends the frame, of which `bytes_elsewhere` more follow that are sent from somewhere else
    /// (a record batch and what comes after it). On an error nothing of the frame is left in the
    /// vector.
    pub fn finish(self, bytes_elsewhere: u64) -> Result<(), EncodeError> {
        let bytes = (self.out.len() - self.frame_start - SIZE_BYTES) as u64 + bytes_elsewhere;
        let outcome = match self.failed {
            Some(error) => Err(error),
            None => i32::try_from(bytes).map_err(|_| EncodeError::FrameTooLong(bytes)),
        };
        match outcome {
            Ok(size) => {
                self.out[self.frame_start..self.frame_start + SIZE_BYTES]
                    .copy_from_slice(&size.to_be_bytes());
                Ok(())
            }
            Err(error) => {
                self.out.truncate(self.frame_start);
                Err(error)
            }
        }
    }

    /// Chooses compact lengths and tagged fields (`true`) or the classic encoding.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// An `int8`.
    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// An `int16`.
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// An `int32`.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// An `int64`.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// A boolean: one byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.i8(i8::from(value));
    }

    /// An unsigned LEB128 integer.
    pub fn uvarint(&mut self, value: u32) {
        let mut rest = value;
        while rest >= 0x80 {
            self.out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    /// A string that may be null.
    pub fn nullable_string(&mut self, text: Option<&str>) {
        if self.flexible {
            self.compact_length(text.map(str::len));
            self.raw(text.unwrap_or_default().as_bytes());
        } else {
            self.classic_nullable_string(text);
        }
    }

    /// A string with an `int16` length whatever the encoding: the header's client id.
    pub(super) fn classic_nullable_string(&mut self, text: Option<&str>) {
        let length = text.map_or(Ok(-1), |text| i16::try_from(text.len()));
        match length {
            Ok(length) => {
                self.i16(length);
                self.raw(text.unwrap_or_default().as_bytes());
            }
            Err(_) => self.field_too_long(text.map_or(0, str::len)),
        }
    }

    /// A string.
    pub fn string(&mut self, text: &str) {
        self.nullable_string(Some(text));
    }

    /// A byte field.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length(Some(bytes.len()));
        // With what follows it: a buffer that grew behind a secret would leave a copy of it in freed memory.
        self.out.reserve(bytes.len() + BEHIND_BYTES);
        self.raw(bytes);
    }

    /// The length of a byte field or the count of an array, whose contents the caller writes next.
    pub fn length(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        match length.map_or(Ok(-1), i32::try_from) {
            Ok(length) => self.i32(length),
            Err(_) => self.field_too_long(length.unwrap_or_default()),
        }
    }

    /// An array; `element` writes one of its elements.
    pub fn array<T>(&mut self, items: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.length(Some(items.len()));
        for item in items {
            element(self, item);
        }
    }

    /// Ends a structure that has no tagged fields: a zero in the flexible encoding, else nothing.
    pub fn no_tags(&mut self) {
        if self.flexible {
            self.uvarint(0);
        }
    }

    /// Ends a structure with the one tagged field `tag`; flexible encoding only.
    pub(super) fn one_tag(&mut self, tag: u32, value: impl FnOnce(&mut Writer<'_>)) {
        let mut bytes = Vec::new();
        let mut inner =
            Writer { out: &mut bytes, frame_start: 0, flexible: true, failed: self.failed };
        value(&mut inner);
        self.failed = inner.failed;
        self.uvarint(1);
        self.uvarint(tag);
        match u32::try_from(bytes.len()) {
            Ok(length) => self.uvarint(length),
            Err(_) => self.field_too_long(bytes.len()),
        }
        self.raw(&bytes);
    }

    fn compact_length(&mut self, length: Option<usize>) {
        match length.map_or(Ok(0), |length| i32::try_from(length).map(|length| length as u32 + 1)) {
            Ok(length_plus_one) => self.uvarint(length_plus_one),
            Err(_) => self.field_too_long(length.unwrap_or_default()),
        }
    }

    fn field_too_long(&mut self, length: usize) {
        self.failed.get_or_insert(EncodeError::FieldTooLong(length));
    }
}

/// The 32-bit size in front of every frame; it does not count itself.
const SIZE_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_counts_what_is_sent_from_elsewhere() {
        let mut out = vec![9];
        let mut writer = Writer::frame(&mut out);
        writer.i16(0x0102);
        writer.finish(10).unwrap();
        assert_eq!(out, [9, 0, 0, 0, 12, 1, 2]);
    }

    #[test]
    fn a_frame_that_cannot_be_expressed_leaves_nothing_behind() {
        let mut out = vec![9];
        let mut writer = Writer::frame(&mut out);
        writer.string(&"x".repeat(40_000));
        assert_eq!(writer.finish(0), Err(EncodeError::FieldTooLong(40_000)));
        assert_eq!(out, [9]);
        let writer = Writer::frame(&mut out);
        assert_eq!(writer.finish(1 << 31), Err(EncodeError::FrameTooLong(1 << 31)));
        assert_eq!(out, [9]);
    }

    #[test]
    fn a_buffer_does_not_grow_behind_a_byte_field() {
        let mut out = Vec::new();
        let mut writer = Writer::frame(&mut out);
        writer.set_flexible(true);
        writer.bytes(&[7; 5_000]);
        let capacity = writer.out.capacity();
        writer.no_tags();
        assert_eq!(writer.out.capacity(), capacity);
    }

    #[test]
    fn varints_take_seven_bits_per_byte() {
        let mut out = Vec::new();
        let mut writer = Writer::frame(&mut out);
        writer.uvarint(0x5d);
        writer.uvarint(300);
        writer.uvarint(u32::MAX);
        writer.finish(0).unwrap();
        assert_eq!(out[4..], [0x5d, 0xac, 0x02, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    }
}
