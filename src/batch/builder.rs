//! Encodes records into one buffer and seals it as a batch.
//!
//! Owns the record format on its way out. [`Builder::push`] is on the path of every record and does
//! no checks: who calls it has bounded the record (`record.bytes_max`) and seals in time.
//!
//! Invariants: records lie back to back with offset deltas 0..n-1; the first one carries the
//! identity header, whose bytes are reserved by `push` and filled in by `seal`.

use thiserror::Error;

use crate::batch::RECORDS_BYTES_MAX_HARD;
use crate::batch::codec::Codec;
use crate::batch::codec::CompressError;
use crate::batch::codec::Compressor;
use crate::batch::format::HEADER_BYTES;
use crate::batch::format::Header;
use crate::batch::format::LENGTH_OVERHEAD_BYTES;
use crate::batch::identity;
use crate::batch::identity::IDENTITY_BYTES;
use crate::batch::identity::IDENTITY_NAME;
use crate::batch::varint;
use crate::checksum;
use crate::ids::BatchIdentity;

/// Name (UTF-8 by convention) and value of a record header; a value may be absent.
pub type RecordHeader<'a> = (&'a [u8], Option<&'a [u8]>);

/// One record to be encoded.
///
/// `headers` is walked twice, first for its size: pass a cheap iterator, such as
/// `slice.iter().copied()` or one that parses as it goes.
#[derive(Clone, Debug)]
pub struct Record<'a, H> {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key; `None` is Kafka's null, which differs from empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is Kafka's null, which differs from empty.
    pub value: Option<&'a [u8]>,
    /// An iterator over [`RecordHeader`]s, in the order in which they are sent.
    pub headers: H,
}

/// What [`Builder::seal`] knows about the batch whose body it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The header with producer id, epoch and sequence -1 and CRC 0, until [`crate::batch::bind`].
    pub header: [u8; HEADER_BYTES],
    /// CRC-32C of the body.
    pub body_crc: u32,
    /// Bytes of the body, as appended to `out`.
    pub body_bytes: u32,
    /// Records in the batch, at least 1.
    pub record_count: u32,
    /// The latest timestamp of all records, milliseconds since the Unix epoch.
    pub max_timestamp: i64,
}

/// Why a batch was not sealed. The builder still holds its records, `out` is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// There is no empty batch.
    #[error("no record was pushed: a batch holds at least one")]
    Empty,
    /// The caller sealed too late.
    #[error("{raw_bytes} bytes of records are above the limit of 16 MiB: seal earlier")]
    TooLarge {
        /// [`Builder::raw_bytes`].
        raw_bytes: usize,
    },
    /// The codec failed, for lack of memory for example. [`Compressor::none`] cannot fail.
    #[error(transparent)]
    Compress(#[from] CompressError),
}

/// An open batch, reusable: after a seal it is empty and keeps its memory.
#[derive(Debug, Default)]
pub struct Builder {
    records: Vec<u8>,
    record_count: u32,
    base_timestamp: i64,
    max_timestamp: i64,
    /// Where in `records` the identity's value is to be filled in.
    identity_at: usize,
}

/// Null, as the length of a key or value: zig-zag of -1.
const NULL_LENGTH: u64 = 1;
/// Two lengths, a varlong timestamp, an offset, two more lengths and the attributes; rounded up so
/// that it is copied in a few wide stores.
const PREFIX_BYTES: usize = 64;
const IDENTITY_HEADER_BYTES: usize = 1 + IDENTITY_NAME.len() + 1 + IDENTITY_BYTES;

const _: () = assert!(5 * varint::VARINT_BYTES_MAX < PREFIX_BYTES);

impl Builder {
    /// An empty builder with room for `raw_bytes` bytes of records; it grows beyond them.
    pub fn with_capacity(raw_bytes: usize) -> Self {
        Self { records: Vec::with_capacity(raw_bytes), ..Self::default() }
    }

    /// Bytes of all records so far, uncompressed.
    pub fn raw_bytes(&self) -> usize {
        self.records.len()
    }

    /// Records so far.
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Whether there is nothing to seal.
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Forgets all records, keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.record_count = 0;
    }

    /// Appends a record. Never blocks; allocates only while the builder has not reached the size of
    /// its largest batch.
    ///
    /// It does no checks: the caller bounds records and seals before [`Builder::raw_bytes`] passes
    /// [`RECORDS_BYTES_MAX_HARD`].
    #[inline]
    pub fn push<'a, H>(&mut self, record: &Record<'a, H>)
    where
        H: Iterator<Item = RecordHeader<'a>> + Clone,
    {
        if self.record_count == 0 {
            self.base_timestamp = record.timestamp_ms;
            self.max_timestamp = record.timestamp_ms;
            self.append(record, true);
        } else {
            self.max_timestamp = self.max_timestamp.max(record.timestamp_ms);
            self.append(record, false);
        }
    }

    /// Appends the body to `out` and resets the builder. An empty `out` may be exchanged for the
    /// builder's own buffer instead of copying.
    ///
    /// `identity.record_count` must be [`Builder::record_count`]. The result may exceed
    /// [`crate::batch::BATCH_BYTES_MAX_HARD`]; such a batch must be split before it is sent.
    pub fn seal(
        &mut self,
        identity: &BatchIdentity,
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> Result<Sealed, SealError> {
        if self.is_empty() {
            return Err(SealError::Empty);
        }
        debug_assert_eq!(identity.record_count, self.record_count);
        let value = &mut self.records[self.identity_at..][..IDENTITY_BYTES];
        value.copy_from_slice(&identity::encode(identity));
        self.seal_as_is(compressor, out)
    }

    fn seal_as_is(
        &mut self,
        compressor: &mut Compressor,
        out: &mut Vec<u8>,
    ) -> Result<Sealed, SealError> {
        let raw_bytes = self.raw_bytes();
        if raw_bytes > RECORDS_BYTES_MAX_HARD {
            return Err(SealError::TooLarge { raw_bytes });
        }
        let start = out.len();
        if compressor.codec() == Codec::None && out.is_empty() {
            std::mem::swap(&mut self.records, out);
        } else {
            compressor.compress(&self.records, out)?;
        }
        let sealed = self.describe(compressor.codec(), &out[start..]);
        self.clear();
        Ok(sealed)
    }

    fn describe(&self, codec: Codec, body: &[u8]) -> Sealed {
        let record_count = self.record_count.cast_signed();
        let length = i32::try_from(HEADER_BYTES - LENGTH_OVERHEAD_BYTES + body.len());
        let header = Header {
            base_offset: 0,
            batch_length: length.expect("no codec makes 16 MiB of records larger than 2 GiB"),
            partition_leader_epoch: -1,
            crc: 0,
            codec,
            attributes: 0,
            last_offset_delta: record_count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count,
        };
        Sealed {
            header: header.encode(),
            body_crc: checksum::crc32c(body),
            body_bytes: u32::try_from(body.len()).expect("batch_length above has checked it"),
            record_count: self.record_count,
            max_timestamp: self.max_timestamp,
        }
    }

    /// `varint length | attributes 0 | timestamp delta | offset delta | key | value | headers`.
    #[inline]
    fn append<'a, H>(&mut self, record: &Record<'a, H>, with_identity: bool)
    where
        H: Iterator<Item = RecordHeader<'a>> + Clone,
    {
        let timestamp_delta = varint::zigzag(record.timestamp_ms.wrapping_sub(self.base_timestamp));
        let offset_delta = varint::zigzag(i64::from(self.record_count));
        let (mut header_count, mut headers_bytes) =
            if with_identity { (1, IDENTITY_HEADER_BYTES) } else { (0, 0) };
        for (name, value) in record.headers.clone() {
            header_count += 1;
            headers_bytes += nullable_bytes(Some(name)) + nullable_bytes(value);
        }
        let header_count = varint::zigzag_length(header_count);
        let length = 1
            + varint::encoded_bytes(timestamp_delta)
            + varint::encoded_bytes(offset_delta)
            + nullable_bytes(record.key)
            + nullable_bytes(record.value)
            + varint::encoded_bytes(header_count)
            + headers_bytes;
        self.records.reserve(length + 2 * PREFIX_BYTES);

        let mut prefix = [0; PREFIX_BYTES];
        let mut at = varint::write(&mut prefix, 0, varint::zigzag_length(length));
        at += 1; // The attributes, 0.
        at = varint::write(&mut prefix, at, timestamp_delta);
        at = varint::write(&mut prefix, at, offset_delta);
        if let Some(key) = record.key {
            at = varint::write(&mut prefix, at, varint::zigzag_length(key.len()));
            self.append_prefix(&prefix, at);
            self.records.extend_from_slice(key);
            at = 0;
        } else {
            at = varint::write(&mut prefix, at, NULL_LENGTH);
        }
        let value_length =
            record.value.map_or(NULL_LENGTH, |value| varint::zigzag_length(value.len()));
        at = varint::write(&mut prefix, at, value_length);
        self.append_prefix(&prefix, at);
        self.records.extend_from_slice(record.value.unwrap_or_default());

        varint::append(&mut self.records, header_count);
        if with_identity {
            self.append_nullable(Some(IDENTITY_NAME));
            self.append_nullable(Some(&[0; IDENTITY_BYTES]));
            self.identity_at = self.records.len() - IDENTITY_BYTES;
        }
        for (name, value) in record.headers.clone() {
            self.append_nullable(Some(name));
            self.append_nullable(value);
        }
        self.record_count += 1;
    }

    /// Appends `prefix[..end]` by copying all of it: a fixed size needs no call of memcpy.
    #[inline]
    fn append_prefix(&mut self, prefix: &[u8; PREFIX_BYTES], end: usize) {
        let start = self.records.len();
        self.records.extend_from_slice(prefix);
        self.records.truncate(start + end);
    }

    #[inline]
    fn append_nullable(&mut self, bytes: Option<&[u8]>) {
        let length = bytes.map_or(NULL_LENGTH, |bytes| varint::zigzag_length(bytes.len()));
        varint::append(&mut self.records, length);
        self.records.extend_from_slice(bytes.unwrap_or_default());
    }
}

/// Encoded bytes of a key, a value or a header's name: the length and what it counts.
#[inline]
fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::encoded_bytes(varint::zigzag_length(bytes.len())) + bytes.len())
}

/// The golden vectors were made without an identity header.
#[cfg(test)]
pub(super) fn seal_without_identity<'a, H>(
    records: &[Record<'a, H>],
    compressor: &mut Compressor,
    out: &mut Vec<u8>,
) -> Sealed
where
    H: Iterator<Item = RecordHeader<'a>> + Clone,
{
    let mut builder = Builder {
        base_timestamp: records[0].timestamp_ms,
        max_timestamp: records.iter().map(|record| record.timestamp_ms).max().unwrap(),
        ..Builder::default()
    };
    for record in records {
        builder.append(record, false);
    }
    builder.seal_as_is(compressor, out).unwrap()
}
