//! Snappy as Kafka knows it: xerial's framing out, xerial or one raw block in.
//!
//! ```text
//! 82 "SNAPPY" 00 | u32 version 1 | u32 compatible with 1 | { u32 length, raw snappy block }*
//! ```
//!
//! Big-endian; a block of ours holds 32 KiB of records at most.
//! Snappy's own framing format ("sNaPpY") is another one, which no Kafka client reads.

use snap::raw::Decoder;
use snap::raw::Encoder;
use snap::raw::decompress_len;
use snap::raw::max_compress_len;

use crate::batch::codec::CappedOutput;
use crate::batch::codec::Failure;

const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_VERSION: u32 = 1;
const CHUNK_BYTES: usize = 32 << 10;
/// A block cannot expand by more: its densest element is a copy, 64 bytes from 3.
const EXPANSION_MAX: usize = 22;

pub(super) struct Compressor {
    encoder: Encoder,
    chunk: Vec<u8>,
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self { encoder: Encoder::new(), chunk: vec![0; max_compress_len(CHUNK_BYTES)] }
    }

    pub(super) fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&XERIAL_MAGIC);
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        for input in records.chunks(CHUNK_BYTES) {
            let length =
                self.encoder.compress(input, &mut self.chunk).map_err(|error| error.to_string())?;
            out.extend_from_slice(&(length as u32).to_be_bytes());
            out.extend_from_slice(&self.chunk[..length]);
        }
        Ok(())
    }
}

pub(super) fn decompress(body: &[u8], output: &mut CappedOutput<'_>) -> Result<(), Failure> {
    let Some(framed) = body.strip_prefix(&XERIAL_MAGIC) else {
        return decompress_block(body, output);
    };
    let (version, mut rest) = split_u32(framed)?;
    let compatible;
    (compatible, rest) = split_u32(rest)?;
    if version < XERIAL_VERSION || compatible > XERIAL_VERSION {
        return Err(Failure::damaged(format_args!("xerial version {version}/{compatible}")));
    }
    while !rest.is_empty() {
        let (length, behind) = split_u32(rest)?;
        let Some((chunk, behind)) = behind.split_at_checked(length as usize) else {
            return Err(Failure::damaged(format_args!(
                "a chunk states {length} bytes, {} are left",
                behind.len()
            )));
        };
        decompress_block(chunk, output)?;
        rest = behind;
    }
    Ok(())
}

fn decompress_block(block: &[u8], output: &mut CappedOutput<'_>) -> Result<(), Failure> {
    let stated = decompress_len(block).map_err(Failure::damaged)?;
    if stated > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(Failure::damaged(format_args!(
            "{stated} bytes cannot come out of {}",
            block.len()
        )));
    }
    if stated > output.remaining() {
        return Err(Failure::LimitExceeded);
    }
    output
        .fill(stated, |_, fresh| Decoder::new().decompress(block, fresh))
        .map(|_| ())
        .map_err(Failure::damaged)
}

fn split_u32(bytes: &[u8]) -> Result<(u32, &[u8]), Failure> {
    let (number, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| Failure::damaged("it ends inside a length or version"))?;
    Ok((u32::from_be_bytes(*number), rest))
}
