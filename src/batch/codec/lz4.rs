//! One LZ4 frame around `lz4_flex`'s blocks.
//!
//! ```text
//! 04 22 4d 18 | FLG | BD | [u64 content size] | HC |
//!     { u32 length, block, [u32 checksum] }* | 00000000 | [u32 checksum]
//! ```
//!
//! Little-endian; a length with its high bit set is that of a stored block. Out go independent
//! 64 KiB blocks without checksums (the batch's CRC covers them); in comes any frame of
//! <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>, except those with a dictionary.
//! `lz4_flex` has a frame reader too, but that takes a frame without its end mark for a whole one.

use lz4_flex::block::CompressTable;
use lz4_flex::block::DecompressError;
use lz4_flex::block::compress_into_with_table;
use lz4_flex::block::decompress_into;
use lz4_flex::block::decompress_into_with_dict;
use lz4_flex::block::get_maximum_output_size;
use twox_hash::XxHash32;

use crate::batch::codec::CappedOutput;
use crate::batch::codec::Failure;
use crate::batch::codec::check_end;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks, no checksums; blocks of up to 64 KiB; the header's checksum.
const OWN_DESCRIPTOR: [u8; 3] = [0x60, 0x40, 0x82];
const END_MARK: [u8; 4] = [0; 4];
const BLOCK_BYTES: usize = 64 << 10;
const STORED: u32 = 1 << 31;
/// How far back a linked block may refer.
const WINDOW_BYTES: usize = 64 << 10;

pub(super) struct Compressor {
    table: CompressTable,
    block: Vec<u8>,
}

impl Compressor {
    pub(super) fn new() -> Self {
        Self { table: CompressTable::large(), block: vec![0; get_maximum_output_size(BLOCK_BYTES)] }
    }

    pub(super) fn compress(&mut self, records: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&OWN_DESCRIPTOR);
        for input in records.chunks(BLOCK_BYTES) {
            let length = compress_into_with_table(input, &mut self.block, &mut self.table)
                .map_err(|error| error.to_string())?;
            let (mark, block) =
                if length < input.len() { (0, &self.block[..length]) } else { (STORED, input) };
            out.extend_from_slice(&(block.len() as u32 | mark).to_le_bytes());
            out.extend_from_slice(block);
        }
        out.extend_from_slice(&END_MARK);
        Ok(())
    }
}

/// What a frame's descriptor says.
struct Descriptor {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
}

pub(super) fn decompress(body: &[u8], output: &mut CappedOutput<'_>) -> Result<(), Failure> {
    let (descriptor, mut rest) = read_descriptor(body)?;
    loop {
        let length = take_u32(&mut rest)?;
        if length == 0 {
            break;
        }
        let stored = length & STORED != 0;
        let length = (length & !STORED) as usize;
        if length > descriptor.block_bytes_max {
            return Err(Failure::damaged(format_args!("a block of {length} bytes is too large")));
        }
        let block = take(&mut rest, length)?;
        if descriptor.block_checksums && take_u32(&mut rest)? != XxHash32::oneshot(0, block) {
            return Err(Failure::damaged("a block's checksum is wrong"));
        }
        if stored {
            output.extend(block)?;
        } else {
            decompress_block(block, &descriptor, output)?;
        }
    }
    if descriptor.content_bytes.is_some_and(|stated| stated != output.bytes().len() as u64) {
        return Err(Failure::damaged("the content size is wrong"));
    }
    if descriptor.content_checksum && take_u32(&mut rest)? != XxHash32::oneshot(0, output.bytes()) {
        return Err(Failure::damaged("the content's checksum is wrong"));
    }
    check_end(rest)
}

fn decompress_block(
    block: &[u8],
    descriptor: &Descriptor,
    output: &mut CappedOutput<'_>,
) -> Result<(), Failure> {
    let room = output.remaining().min(descriptor.block_bytes_max);
    let result = output.fill(room, |window, fresh| {
        if descriptor.linked {
            let window = &window[window.len().saturating_sub(WINDOW_BYTES)..];
            decompress_into_with_dict(block, fresh, window)
        } else {
            decompress_into(block, fresh)
        }
    });
    match result {
        Ok(_) => Ok(()),
        Err(DecompressError::OutputTooSmall { .. }) if room < descriptor.block_bytes_max => {
            Err(Failure::LimitExceeded)
        }
        Err(error) => Err(Failure::damaged(error)),
    }
}

fn read_descriptor(body: &[u8]) -> Result<(Descriptor, &[u8]), Failure> {
    let Some(start) = body.strip_prefix(&MAGIC) else {
        return Err(Failure::damaged("it does not begin with the magic of an LZ4 frame"));
    };
    let mut rest = start;
    let flags = take(&mut rest, 2)?;
    let (flg, bd) = (flags[0], flags[1]);
    if flg & 0b1100_0011 != 0b0100_0000 {
        return Err(Failure::damaged(format_args!(
            "FLG {flg:#04x}: not version 1, or a dictionary"
        )));
    }
    let block_bytes_max = match bd {
        0x40 => 64 << 10,
        0x50 => 256 << 10,
        0x60 => 1 << 20,
        0x70 => 4 << 20,
        _ => return Err(Failure::damaged(format_args!("BD {bd:#04x} is no block size"))),
    };
    let content_bytes = if flg & 1 << 3 != 0 {
        let low = take_u32(&mut rest)?;
        Some(u64::from(take_u32(&mut rest)?) << 32 | u64::from(low))
    } else {
        None
    };
    let described = &start[..start.len() - rest.len()];
    if take(&mut rest, 1)?[0] != (XxHash32::oneshot(0, described) >> 8) as u8 {
        return Err(Failure::damaged("the descriptor's checksum is wrong"));
    }
    let descriptor = Descriptor {
        linked: flg & 1 << 5 == 0,
        block_checksums: flg & 1 << 4 != 0,
        content_checksum: flg & 1 << 2 != 0,
        content_bytes,
        block_bytes_max,
    };
    Ok((descriptor, rest))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Failure> {
    rest.split_off(..count).ok_or_else(|| Failure::damaged("it ends early"))
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, Failure> {
    let (number, behind) =
        rest.split_first_chunk().ok_or_else(|| Failure::damaged("it ends early"))?;
    *rest = behind;
    Ok(u32::from_le_bytes(*number))
}
