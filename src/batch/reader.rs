//! Walks the uncompressed records of a batch.
//!
//! Owns the record format on its way in. Borrows, never allocates. Invariants: a [`RecordView`]
//! was parsed to its last header before it is handed out, so its accessors cannot fail; after an
//! error the iterator ends; exactly as many records come out as the header counts, and nothing may
//! follow them.

use thiserror::Error;

use crate::batch::builder::RecordHeader;
use crate::batch::format::Header;
use crate::batch::varint;
use crate::batch::varint::VarintError;

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("record {index}: {problem}")]
pub struct RecordError {
    /// Its place in the batch, from 0; the record count for bytes behind the last one.
    pub index: u32,
    /// The problem.
    pub problem: RecordProblem,
}

/// The ways in which a record can be malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordProblem {
    /// The bytes end before the last record that the header counts.
    #[error("the batch ends before it, its header counts more records")]
    Missing,
    /// Bytes are left when all records that the header counts are read.
    #[error("{bytes} bytes follow the last record")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// An integer is malformed.
    #[error(transparent)]
    Varint(#[from] VarintError),
    /// A length is negative where there is no null, or below -1.
    #[error("the length {length} is negative")]
    NegativeLength {
        /// The length.
        length: i32,
    },
    /// A length leads past the end of what contains it.
    #[error("a length of {length} bytes, of which only {left} are left")]
    LengthExceeded {
        /// The length.
        length: usize,
        /// The bytes that are left.
        left: usize,
    },
    /// The record ends before its attributes.
    #[error("the record has no attributes")]
    NoAttributes,
    /// The number of headers is negative.
    #[error("the header count {count} is negative")]
    NegativeHeaderCount {
        /// The count.
        count: i32,
    },
    /// The record's length says that there is more than its fields.
    #[error("{bytes} bytes follow the record's last header")]
    TrailingFieldBytes {
        /// How many.
        bytes: usize,
    },
}

/// One record, borrowed from the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Offset less the batch's base offset, as stated: see [`crate::batch::validate()`].
    pub offset_delta: i32,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> RecordView<'a> {
    /// Names and values of the headers, in order.
    pub fn headers(&self) -> Headers<'a> {
        self.headers.clone()
    }
}

/// The headers of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    rest: &'a [u8],
    count: u32,
}

/// The records of a batch, in order; made by [`RecordIter::new`].
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    base_timestamp: i64,
    index: u32,
    record_count: u32,
    ended: bool,
}

impl<'a> RecordIter<'a> {
    /// Over `records`, the decompressed body that belongs to `header`.
    pub fn new(header: &Header, records: &'a [u8]) -> Self {
        Self {
            rest: records,
            base_timestamp: header.base_timestamp,
            index: 0,
            record_count: u32::try_from(header.record_count).unwrap_or(0),
            ended: false,
        }
    }

    fn parse_next(&mut self) -> Option<Result<RecordView<'a>, RecordProblem>> {
        if self.index == self.record_count {
            let bytes = self.rest.len();
            return (bytes > 0).then_some(Err(RecordProblem::TrailingBytes { bytes }));
        }
        if self.rest.is_empty() {
            return Some(Err(RecordProblem::Missing));
        }
        Some(parse_record(&mut self.rest, self.base_timestamp))
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let index = self.index;
        let result = self.parse_next();
        match result {
            Some(Ok(_)) => self.index += 1,
            Some(Err(_)) | None => self.ended = true,
        }
        result.map(|result| result.map_err(|problem| RecordError { index, problem }))
    }
}

impl std::iter::FusedIterator for RecordIter<'_> {}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        self.count = self.count.checked_sub(1)?;
        // The record was walked to its end when it was parsed.
        take_header(&mut self.rest).ok()
    }
}

fn parse_record<'a>(
    input: &mut &'a [u8],
    base_timestamp: i64,
) -> Result<RecordView<'a>, RecordProblem> {
    let mut rest = take_bytes(input)?;
    // The attributes mean nothing yet; brokers ignore them.
    rest.split_off_first().ok_or(RecordProblem::NoAttributes)?;
    // Wraps as Java's readers do, the inverse of what the builder does.
    let timestamp_ms = base_timestamp.wrapping_add(varint::read_i64(&mut rest)?);
    let offset_delta = varint::read_i32(&mut rest)?;
    let key = take_nullable(&mut rest)?;
    let value = take_nullable(&mut rest)?;
    let count = varint::read_i32(&mut rest)?;
    let Ok(header_count) = u32::try_from(count) else {
        return Err(RecordProblem::NegativeHeaderCount { count });
    };
    let headers = Headers { rest, count: header_count };
    // A header takes at least two bytes, so a wrong count ends with the record, not with 2^31.
    for _ in 0..header_count {
        take_header(&mut rest)?;
    }
    if !rest.is_empty() {
        return Err(RecordProblem::TrailingFieldBytes { bytes: rest.len() });
    }
    Ok(RecordView { timestamp_ms, offset_delta, key, value, headers })
}

#[inline]
fn take_header<'a>(rest: &mut &'a [u8]) -> Result<RecordHeader<'a>, RecordProblem> {
    Ok((take_bytes(rest)?, take_nullable(rest)?))
}

/// A length and as many bytes.
#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], RecordProblem> {
    take_nullable(rest)?.ok_or(RecordProblem::NegativeLength { length: -1 })
}

/// A length and as many bytes; the length -1 is null.
#[inline]
fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordProblem> {
    let length = varint::read_i32(rest)?;
    if length == -1 {
        return Ok(None);
    }
    let Ok(length) = usize::try_from(length) else {
        return Err(RecordProblem::NegativeLength { length });
    };
    let left = rest.len();
    match rest.split_off(..length) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(RecordProblem::LengthExceeded { length, left }),
    }
}
