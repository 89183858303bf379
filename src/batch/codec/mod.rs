//! The five codecs of a batch body: what we write, and what foreign producers send.
//!
//! Owns the choice of codec and level, the reusable state of compression, and the cap on
//! decompression. Each file below knows the frame of one codec. Knows nothing of records.
//!
//! Invariants: one frame or member per body, nothing behind it; output never grows past its limit,
//! whatever a header claims, and the limit is enforced while decompressing.

mod gzip;
mod lz4;
mod output;
mod snappy;
#[cfg(test)]
mod tests;
mod zstd;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

use output::CappedOutput;

/// How a body is compressed; the numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// One gzip member (RFC 1952).
    Gzip = 1,
    /// Snappy in xerial's framing, chunks of 32 KiB.
    Snappy = 2,
    /// One LZ4 frame of independent 64 KiB blocks.
    Lz4 = 3,
    /// One Zstandard frame (RFC 8878).
    Zstd = 4,
}

/// The name is not that of a codec.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("codec {name:?} does not exist: use none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCodec {
    name: String,
}

/// The codec has no such level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LevelError {
    /// The codec has no levels at all.
    #[error("codec {codec} has no levels, {level} was asked for")]
    NoLevels {
        /// The codec.
        codec: Codec,
        /// The level asked for.
        level: i32,
    },
    /// The level is outside the range.
    #[error("level {level} of codec {codec} is outside {min}..={max}")]
    OutOfRange {
        /// The codec.
        codec: Codec,
        /// The level asked for.
        level: i32,
        /// The lowest level.
        min: i32,
        /// The highest level.
        max: i32,
    },
}

/// A codec failed to compress.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{codec} failed to compress: {detail}")]
pub struct CompressError {
    /// The codec.
    pub codec: Codec,
    /// What its library said.
    pub detail: String,
}

/// Why a body was not decompressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecompressError {
    /// The body holds more than the limit: a bomb, or a batch beyond what we take.
    #[error("the body decompresses to more than the limit of {limit} bytes")]
    LimitExceeded {
        /// The limit.
        limit: usize,
    },
    /// The body is not what its codec writes, or it ends early.
    #[error("the {codec} body is damaged: {detail}")]
    Damaged {
        /// The codec.
        codec: Codec,
        /// What is wrong.
        detail: String,
    },
    /// There are bytes behind the one frame or member.
    #[error("{bytes} bytes follow the {codec} body: a batch has exactly one frame")]
    TrailingBytes {
        /// The codec.
        codec: Codec,
        /// How many.
        bytes: usize,
    },
}

impl Codec {
    /// Every codec, in the order of its number.
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The number in the batch's attributes.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The codec with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(number)).copied()
    }

    /// The name as configured.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    /// The levels that [`Compressor::new`] takes; `None` where a codec has none.
    pub const fn levels(self) -> Option<RangeInclusive<i32>> {
        match self {
            Codec::None | Codec::Snappy | Codec::Lz4 => None,
            Codec::Gzip => Some(gzip::LEVELS),
            Codec::Zstd => Some(zstd::LEVELS),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        let found = Codec::ALL.into_iter().find(|codec| codec.name() == name);
        found.ok_or_else(|| UnknownCodec { name: name.to_owned() })
    }
}

/// One codec at one level with its working memory, reusable batch after batch.
///
/// Allocates when it is made and while `out` grows, not per batch. Use one per thread.
pub struct Compressor(State);

enum State {
    None,
    Gzip(Box<gzip::Compressor>),
    Snappy(Box<snappy::Compressor>),
    Lz4(Box<lz4::Compressor>),
    Zstd(Box<zstd::Compressor>),
}

impl Compressor {
    /// A compressor; `level` is for codecs that have one ([`Codec::levels`]), by default 1, the
    /// fastest of gzip and the fastest of zstd that still finds long matches.
    pub fn new(codec: Codec, level: Option<i32>) -> Result<Self, LevelError> {
        if let Some(level) = level {
            check_level(codec, level)?;
        }
        let level = level.unwrap_or(1);
        Ok(Self(match codec {
            Codec::None => State::None,
            Codec::Gzip => State::Gzip(Box::new(gzip::Compressor::new(level))),
            Codec::Snappy => State::Snappy(Box::new(snappy::Compressor::new())),
            Codec::Lz4 => State::Lz4(Box::new(lz4::Compressor::new())),
            Codec::Zstd => State::Zstd(Box::new(zstd::Compressor::new(level))),
        }))
    }

    /// The compressor that copies; it cannot fail.
    pub const fn none() -> Self {
        Self(State::None)
    }

    /// The codec it was made for.
    pub fn codec(&self) -> Codec {
        match &self.0 {
            State::None => Codec::None,
            State::Gzip(_) => Codec::Gzip,
            State::Snappy(_) => Codec::Snappy,
            State::Lz4(_) => Codec::Lz4,
            State::Zstd(_) => Codec::Zstd,
        }
    }

    /// Appends the compressed `records` to `out`; on an error `out` is as it was.
    pub fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let start = out.len();
        let result = match &mut self.0 {
            State::None => {
                out.extend_from_slice(records);
                Ok(())
            }
            State::Gzip(gzip) => gzip.compress(records, out),
            State::Snappy(snappy) => snappy.compress(records, out),
            State::Lz4(lz4) => lz4.compress(records, out),
            State::Zstd(zstd) => zstd.compress(records, out),
        };
        result.map_err(|detail| {
            out.truncate(start);
            CompressError { codec: self.codec(), detail }
        })
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compressor").field(&self.codec()).finish()
    }
}

/// Replaces what is in `out` by the records of `body`, at most `limit` bytes of them.
///
/// Takes what every Kafka client sends, our own frames included: snappy raw or xerial, LZ4 frames
/// with linked or independent blocks, sizes and checksums. `out` grows with what really arrives
/// and never past `limit`; beyond it at most the codec's own window is held (zstd: 8 MiB). On an
/// error `out` is empty.
pub fn decompress(
    codec: Codec,
    body: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    out.clear();
    let mut output = CappedOutput::new(out, limit);
    let result = match codec {
        Codec::None => output.extend(body),
        Codec::Gzip => gzip::decompress(body, &mut output),
        Codec::Snappy => snappy::decompress(body, &mut output),
        Codec::Lz4 => lz4::decompress(body, &mut output),
        Codec::Zstd => zstd::decompress(body, &mut output),
    };
    result.map_err(|error| {
        out.clear();
        match error {
            Failure::LimitExceeded => DecompressError::LimitExceeded { limit },
            Failure::Damaged(detail) => DecompressError::Damaged { codec, detail },
            Failure::TrailingBytes(bytes) => DecompressError::TrailingBytes { codec, bytes },
        }
    })
}

/// What a codec's file reports; [`decompress`] adds codec and limit.
#[derive(Debug)]
enum Failure {
    LimitExceeded,
    Damaged(String),
    TrailingBytes(usize),
}

impl Failure {
    fn damaged(detail: impl fmt::Display) -> Self {
        Failure::Damaged(detail.to_string())
    }
}

fn check_level(codec: Codec, level: i32) -> Result<(), LevelError> {
    match codec.levels() {
        None => Err(LevelError::NoLevels { codec, level }),
        Some(levels) if levels.contains(&level) => Ok(()),
        Some(levels) => {
            let (min, max) = levels.into_inner();
            Err(LevelError::OutOfRange { codec, level, min, max })
        }
    }
}

/// Fails unless `rest` is empty.
fn check_end(rest: &[u8]) -> Result<(), Failure> {
    if rest.is_empty() { Ok(()) } else { Err(Failure::TrailingBytes(rest.len())) }
}
