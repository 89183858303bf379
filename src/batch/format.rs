//! The 61 bytes in front of every batch: where each field lies, what a valid one looks like, how a
//! producer is bound to it.
//!
//! Owns the layout; no other file knows an offset of it. Knows nothing of records or codecs' bytes.
//! Invariant: what [`Header::decode`] returns has passed every check that needs only the header.

use thiserror::Error;

use crate::batch::codec::Codec;
use crate::checksum;

// Big-endian, back to back; the CRC covers everything from ATTRIBUTES to the end of the body.
const BASE_OFFSET: usize = 0;
const BATCH_LENGTH: usize = BASE_OFFSET + 8;
const PARTITION_LEADER_EPOCH: usize = BATCH_LENGTH + 4;
const MAGIC: usize = PARTITION_LEADER_EPOCH + 4;
const CRC: usize = MAGIC + 1;
const ATTRIBUTES: usize = CRC + 4;
const LAST_OFFSET_DELTA: usize = ATTRIBUTES + 2;
const BASE_TIMESTAMP: usize = LAST_OFFSET_DELTA + 4;
const MAX_TIMESTAMP: usize = BASE_TIMESTAMP + 8;
const PRODUCER_ID: usize = MAX_TIMESTAMP + 8;
const PRODUCER_EPOCH: usize = PRODUCER_ID + 8;
const BASE_SEQUENCE: usize = PRODUCER_EPOCH + 2;
const RECORD_COUNT: usize = BASE_SEQUENCE + 4;

/// Bytes of the header; the body follows.
pub const HEADER_BYTES: usize = RECORD_COUNT + 4;
/// The only batch format we write and read.
pub const MAGIC_V2: u8 = 2;
/// `batch_length` counts from behind itself, so a whole batch is longer by this.
pub const LENGTH_OVERHEAD_BYTES: usize = PARTITION_LEADER_EPOCH;

const _: () = assert!(HEADER_BYTES == 61);

const CODEC_MASK: u16 = 0b111;
const LOG_APPEND_TIME: u16 = 1 << 3;
const TRANSACTIONAL: u16 = 1 << 4;
const CONTROL: u16 = 1 << 5;

/// The fields of a batch header of magic 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Offset of the first record in its partition; 0 from a producer.
    pub base_offset: i64,
    /// Bytes of the batch behind this field: its length without the first 12 bytes.
    pub batch_length: i32,
    /// Written by brokers; -1 from a producer. Not covered by the CRC.
    pub partition_leader_epoch: i32,
    /// CRC-32C of everything from the attributes on; 0 in a batch that is not bound yet.
    pub crc: u32,
    /// How the body is compressed.
    pub codec: Codec,
    /// The attribute bits as read; [`Header::encode`] takes its low three from `codec`.
    pub attributes: u16,
    /// Offset of the last record less that of the first: `record_count` - 1.
    pub last_offset_delta: i32,
    /// Milliseconds since the Unix epoch, of the first record.
    pub base_timestamp: i64,
    /// Milliseconds since the Unix epoch, the latest of all records.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1 without idempotence.
    pub base_sequence: i32,
    /// Records in the body, at least 1.
    pub record_count: i32,
}

/// Why 61 bytes are not the header of a batch that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("a batch header has 61 bytes, only {bytes} are there")]
    Truncated {
        /// The bytes there are.
        bytes: usize,
    },
    /// A format older or newer than v2.
    #[error("batch magic {magic} is not supported: send magic 2 (Kafka 0.11 or later)")]
    Magic {
        /// The magic byte.
        magic: u8,
    },
    /// The length field is too small for a header.
    #[error("batch length {batch_length} is too small: a header alone has 49 bytes behind it")]
    Length {
        /// The length field.
        batch_length: i32,
    },
    /// A codec number without meaning.
    #[error("codec {codec} does not exist: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd")]
    Codec {
        /// The three codec bits.
        codec: u8,
    },
    /// The broker-only timestamp type.
    #[error("the timestamp type is LogAppendTime, which a producer may not set")]
    LogAppendTime,
    /// Transactions are not supported.
    #[error("the batch is transactional, which is not supported")]
    Transactional,
    /// A broker-only batch.
    #[error("the batch is a control batch, which a producer may not send")]
    Control,
    /// No records, or a negative number of them.
    #[error("record count {record_count} is not positive")]
    RecordCount {
        /// The count field.
        record_count: i32,
    },
    /// The two counts contradict each other.
    #[error("last offset delta {last_offset_delta} does not fit record count {record_count}")]
    LastOffsetDelta {
        /// The last offset delta field.
        last_offset_delta: i32,
        /// The count field.
        record_count: i32,
    },
    /// A producer id without an epoch.
    #[error("producer id {producer_id} has the epoch {producer_epoch}")]
    ProducerEpoch {
        /// The producer id field.
        producer_id: i64,
        /// The epoch field.
        producer_epoch: i16,
    },
    /// A producer id without a sequence.
    #[error("producer id {producer_id} has the base sequence {base_sequence}")]
    BaseSequence {
        /// The producer id field.
        producer_id: i64,
        /// The sequence field.
        base_sequence: i32,
    },
}

/// The CRC-32C in a batch's header is not that of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the batch's CRC-32C is {computed:08x}, its header says {stored:08x}")]
pub struct CrcMismatch {
    /// What the header says.
    pub stored: u32,
    /// What the bytes give.
    pub computed: u32,
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, BASE_OFFSET, self.base_offset.to_be_bytes());
        put(&mut bytes, BATCH_LENGTH, self.batch_length.to_be_bytes());
        put(&mut bytes, PARTITION_LEADER_EPOCH, self.partition_leader_epoch.to_be_bytes());
        bytes[MAGIC] = MAGIC_V2;
        put(&mut bytes, CRC, self.crc.to_be_bytes());
        let attributes = (self.attributes & !CODEC_MASK) | u16::from(self.codec.number());
        put(&mut bytes, ATTRIBUTES, attributes.to_be_bytes());
        put(&mut bytes, LAST_OFFSET_DELTA, self.last_offset_delta.to_be_bytes());
        put(&mut bytes, BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        put(&mut bytes, MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(&mut bytes, PRODUCER_ID, self.producer_id.to_be_bytes());
        put(&mut bytes, PRODUCER_EPOCH, self.producer_epoch.to_be_bytes());
        put(&mut bytes, BASE_SEQUENCE, self.base_sequence.to_be_bytes());
        put(&mut bytes, RECORD_COUNT, self.record_count.to_be_bytes());
        bytes
    }

    /// Reads and checks the first 61 bytes of `bytes`; what follows them is not looked at.
    ///
    /// The CRC and everything that needs the body is checked by [`crate::batch::validate()`].
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        // An old format is shorter, and its sender deserves the clearer message.
        if let Some(&magic) = bytes.get(MAGIC).filter(|&&magic| magic != MAGIC_V2) {
            return Err(HeaderError::Magic { magic });
        }
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HeaderError::Truncated { bytes: bytes.len() });
        };
        let attributes = u16::from_be_bytes(take(bytes, ATTRIBUTES));
        let number = (attributes & CODEC_MASK) as u8;
        let header = Header {
            base_offset: i64::from_be_bytes(take(bytes, BASE_OFFSET)),
            batch_length: i32::from_be_bytes(take(bytes, BATCH_LENGTH)),
            partition_leader_epoch: i32::from_be_bytes(take(bytes, PARTITION_LEADER_EPOCH)),
            crc: u32::from_be_bytes(take(bytes, CRC)),
            codec: Codec::from_number(number).ok_or(HeaderError::Codec { codec: number })?,
            attributes,
            last_offset_delta: i32::from_be_bytes(take(bytes, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(take(bytes, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(take(bytes, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(take(bytes, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(take(bytes, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(take(bytes, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(take(bytes, RECORD_COUNT)),
        };
        header.check().map(|()| header)
    }

    /// Bytes of the body as the length field states them.
    ///
    /// Never negative for a decoded header.
    pub fn body_bytes(&self) -> usize {
        let total = usize::try_from(self.batch_length).unwrap_or(0) + LENGTH_OVERHEAD_BYTES;
        total.saturating_sub(HEADER_BYTES)
    }

    fn check(&self) -> Result<(), HeaderError> {
        let Header { batch_length, record_count, last_offset_delta, producer_id, .. } = *self;
        let header_length = HEADER_BYTES - LENGTH_OVERHEAD_BYTES;
        if !usize::try_from(batch_length).is_ok_and(|length| length >= header_length) {
            return Err(HeaderError::Length { batch_length });
        }
        if self.attributes & LOG_APPEND_TIME != 0 {
            return Err(HeaderError::LogAppendTime);
        }
        if self.attributes & TRANSACTIONAL != 0 {
            return Err(HeaderError::Transactional);
        }
        if self.attributes & CONTROL != 0 {
            return Err(HeaderError::Control);
        }
        if record_count < 1 {
            return Err(HeaderError::RecordCount { record_count });
        }
        if last_offset_delta != record_count - 1 {
            return Err(HeaderError::LastOffsetDelta { last_offset_delta, record_count });
        }
        if producer_id >= 0 && self.producer_epoch < 0 {
            let producer_epoch = self.producer_epoch;
            return Err(HeaderError::ProducerEpoch { producer_id, producer_epoch });
        }
        if producer_id >= 0 && self.base_sequence < 0 {
            let base_sequence = self.base_sequence;
            return Err(HeaderError::BaseSequence { producer_id, base_sequence });
        }
        Ok(())
    }
}

/// Binds a sealed batch to a producer: patches the three producer fields and the CRC, which it
/// returns, without reading the body.
///
/// `body_crc` must be the checksum taken when the body was sealed: the new CRC then tells the
/// receiver of any damage since. Rebinding is the same call.
pub fn bind(
    header: &mut [u8; HEADER_BYTES],
    body_crc: u32,
    body_bytes: u32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> u32 {
    put(header, PRODUCER_ID, producer_id.to_be_bytes());
    put(header, PRODUCER_EPOCH, producer_epoch.to_be_bytes());
    put(header, BASE_SEQUENCE, base_sequence.to_be_bytes());
    let crc = checksum::combine(checksum::crc32c(&header[ATTRIBUTES..]), body_crc, body_bytes);
    put(header, CRC, crc.to_be_bytes());
    crc
}

/// Compares the CRC in the header with that of the bytes.
pub fn verify_crc(header: &[u8; HEADER_BYTES], body: &[u8]) -> Result<(), CrcMismatch> {
    let stored = u32::from_be_bytes(take(header, CRC));
    let computed = checksum::extend(checksum::crc32c(&header[ATTRIBUTES..]), body);
    if stored == computed { Ok(()) } else { Err(CrcMismatch { stored, computed }) }
}

fn put<const N: usize>(bytes: &mut [u8; HEADER_BYTES], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

fn take<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            base_offset: 0,
            batch_length: 49 + 7,
            partition_leader_epoch: -1,
            crc: 0x1234_5678,
            codec: Codec::Zstd,
            attributes: 4,
            last_offset_delta: 2,
            base_timestamp: 1_700_000_000_000,
            max_timestamp: 1_700_000_000_005,
            producer_id: 4000,
            producer_epoch: 3,
            base_sequence: 17,
            record_count: 3,
        }
    }

    #[test]
    fn every_field_round_trips() {
        let header = header();
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        assert_eq!(header.body_bytes(), 7);
    }

    #[test]
    fn each_contradiction_has_its_own_error() {
        let good = header();
        let refused = |change: fn(&mut Header)| {
            let mut header = good;
            change(&mut header);
            Header::decode(&header.encode()).unwrap_err()
        };
        assert_eq!(refused(|h| h.batch_length = 48), HeaderError::Length { batch_length: 48 });
        assert_eq!(refused(|h| h.batch_length = -1), HeaderError::Length { batch_length: -1 });
        assert_eq!(refused(|h| h.attributes |= 8), HeaderError::LogAppendTime);
        assert_eq!(refused(|h| h.attributes |= 16), HeaderError::Transactional);
        assert_eq!(refused(|h| h.attributes |= 32), HeaderError::Control);
        assert_eq!(refused(|h| h.record_count = 0), HeaderError::RecordCount { record_count: 0 });
        assert_eq!(
            refused(|h| h.record_count = i32::MIN),
            HeaderError::RecordCount { record_count: i32::MIN }
        );
        assert_eq!(
            refused(|h| h.last_offset_delta = 3),
            HeaderError::LastOffsetDelta { last_offset_delta: 3, record_count: 3 }
        );
        assert_eq!(
            refused(|h| h.producer_epoch = -1),
            HeaderError::ProducerEpoch { producer_id: 4000, producer_epoch: -1 }
        );
        assert_eq!(
            refused(|h| h.base_sequence = -1),
            HeaderError::BaseSequence { producer_id: 4000, base_sequence: -1 }
        );
        for codec in 5..8u8 {
            let mut bytes = good.encode();
            bytes[ATTRIBUTES + 1] = codec;
            assert_eq!(Header::decode(&bytes), Err(HeaderError::Codec { codec }));
        }
        for magic in [0, 1, 3, 0xff] {
            let mut bytes = good.encode();
            bytes[MAGIC] = magic;
            assert_eq!(Header::decode(&bytes), Err(HeaderError::Magic { magic }));
            assert_eq!(Header::decode(&bytes[..30]), Err(HeaderError::Magic { magic }));
        }
    }

    #[test]
    fn unused_attribute_bits_are_accepted_as_brokers_do() {
        let header = Header { attributes: 0xff80 | 4, ..header() };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn truncated_at_every_byte() {
        let bytes = header().encode();
        for end in 0..HEADER_BYTES {
            assert_eq!(Header::decode(&bytes[..end]), Err(HeaderError::Truncated { bytes: end }));
        }
    }

    #[test]
    fn bind_signs_what_verify_checks_and_damage_shows() {
        let body = b"a body of seven words or so";
        let mut bytes = header().encode();
        let body_crc = checksum::crc32c(body);
        let crc = bind(&mut bytes, body_crc, body.len() as u32, 7, 1, 99);
        assert_eq!(verify_crc(&bytes, body), Ok(()));
        let bound = Header::decode(&bytes).unwrap();
        assert_eq!((bound.producer_id, bound.producer_epoch, bound.base_sequence), (7, 1, 99));
        assert_eq!(bound.crc, crc);
        let damaged = b"a body of seven words or se";
        assert!(verify_crc(&bytes, damaged).is_err());
        bytes[RECORD_COUNT] ^= 1;
        assert!(verify_crc(&bytes, body).is_err());
    }
}
