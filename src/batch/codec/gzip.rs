//! One gzip member (RFC 1952) around `flate2`'s deflate.
//!
//! Two members in a row are valid gzip, but librdkafka silently reads the first one only, so they
//! are refused.

use std::ops::RangeInclusive;

use flate2::Compress;
use flate2::Compression;
use flate2::Crc;
use flate2::FlushCompress;
use flate2::Status;
use flate2::bufread::GzDecoder;

use crate::batch::codec::CappedOutput;
use crate::batch::codec::Failure;
use crate::batch::codec::check_end;

pub(super) const LEVELS: RangeInclusive<i32> = 1..=9;

/// Magic, deflate, no flags, no time, no hint, operating system unknown.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// By how much the output grows when deflate has filled it.
const GROW_BYTES: usize = 64 << 10;

pub(super) struct Compressor {
    deflate: Compress,
}

impl Compressor {
    /// `level` is one of [`LEVELS`].
    pub(super) fn new(level: i32) -> Self {
        Self { deflate: Compress::new(Compression::new(level.unsigned_abs()), false) }
    }

    pub(super) fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.deflate.reset();
        out.extend_from_slice(&MEMBER_HEADER);
        let mut consumed = 0;
        loop {
            out.reserve(GROW_BYTES);
            let before = self.deflate.total_in();
            let status = self
                .deflate
                .compress_vec(&records[consumed..], out, FlushCompress::Finish)
                .map_err(|error| error.to_string())?;
            consumed += (self.deflate.total_in() - before) as usize;
            match status {
                Status::StreamEnd => break,
                Status::Ok | Status::BufError => {}
            }
        }
        let mut crc = Crc::new();
        crc.update(records);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(())
    }
}

pub(super) fn decompress(body: &[u8], output: &mut CappedOutput<'_>) -> Result<(), Failure> {
    let mut decoder = GzDecoder::new(body);
    output.read_to_end(&mut decoder)?;
    check_end(decoder.into_inner())
}
