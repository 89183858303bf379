//! Kafka's RecordBatch v2 (magic 2): built, compressed, checked, read and split.
//!
//! ```text
//!  push(record) --> Builder: records, encoded back to back, uncompressed
//!                      | seal(identity, compressor)
//!                      v
//!        Sealed: header, 61 bytes (producer -1, CRC 0)      + body: records as the codec left them
//!                      | bind(producer id, epoch, sequence)      (checksum taken once, at seal)
//!                      v
//!        header as it is sent: the CRC combined from 40 header bytes and the body's checksum
//! ```
//!
//! The same bytes lie in the spool, on the Kafka wire and in a receiver's files, so this module is
//! the only one that knows them: [`Header`] the 61 bytes, [`Builder`] and [`RecordIter`] the
//! records, [`codec`] the bodies. Everything that is read is hostile until checked: lengths are
//! bounded before use, decompression stops at its cap, and nothing here panics on foreign bytes.
//!
//! Invariants: a sealed body never changes (I4); the first record of every batch we build carries
//! its identity as its first header (I11); offset deltas are 0..n-1, the last one n-1.
//!
//! It knows no ring, spool, socket, thread or clock. Format: reference "RecordBatch v2" of Apache
//! Kafka 2.1 and later (`DefaultRecordBatch`, `DefaultRecord`).

pub mod builder;
pub mod codec;
pub mod format;
pub mod identity;
pub mod reader;
pub mod split;
pub mod validate;
pub mod varint;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use builder::Record;
pub use builder::RecordHeader;
pub use builder::SealError;
pub use builder::Sealed;
pub use codec::Codec;
pub use codec::CompressError;
pub use codec::Compressor;
pub use codec::DecompressError;
pub use codec::LevelError;
pub use codec::decompress;
pub use format::CrcMismatch;
pub use format::HEADER_BYTES;
pub use format::Header;
pub use format::HeaderError;
pub use format::MAGIC_V2;
pub use format::bind;
pub use format::verify_crc;
pub use identity::identity;
pub use reader::RecordError;
pub use reader::RecordIter;
pub use reader::RecordView;
pub use split::Rewrite;
pub use split::SplitBatch;
pub use split::SplitError;
pub use split::Times;
pub use split::cut;
pub use split::split;
pub use validate::BatchError;
pub use validate::Validation;
pub use validate::validate;

/// The most bytes of a batch, header included, that we ever send: 1,000,000.
///
/// Below the brokers' default `message.max.bytes` of 1,048,588, which counts the same bytes.
/// A sealed batch above it must be [`split()`].
pub const BATCH_BYTES_MAX_HARD: usize = 1_000_000;

/// The most bytes of uncompressed records a batch may hold: 16 MiB.
///
/// [`Builder::seal`] refuses more, so a receiver that decompresses under this cap accepts every
/// batch we build, however well it compresses.
pub const RECORDS_BYTES_MAX_HARD: usize = 16 << 20;
