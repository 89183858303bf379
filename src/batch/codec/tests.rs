//! Round trips, foreign frames and bombs, codec by codec.

use std::io;
use std::io::Read;
use std::io::Write;

use proptest::prelude::*;
use twox_hash::XxHash32;

use crate::batch::codec::Codec;
use crate::batch::codec::Compressor;
use crate::batch::codec::DecompressError;
use crate::batch::codec::LevelError;
use crate::batch::codec::decompress;

const LIMIT: usize = 1 << 20;
const GIB: usize = 1 << 30;

fn compress(codec: Codec, level: Option<i32>, records: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    Compressor::new(codec, level).unwrap().compress(records, &mut body).unwrap();
    body
}

fn expand(codec: Codec, body: &[u8]) -> Result<Vec<u8>, DecompressError> {
    let mut out = b"what was there before".to_vec();
    decompress(codec, body, LIMIT, &mut out).map(|()| out)
}

/// Half text, half noise, so that blocks of both kinds occur.
fn content(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let text = b"a line of text that comes again and again\n".iter().copied().cycle();
    text.take(bytes / 2).chain((0..bytes - bytes / 2).map(|_| noise())).collect()
}

#[test]
fn names_and_numbers_map_back() {
    for codec in Codec::ALL {
        assert_eq!(codec.name().parse(), Ok(codec));
        assert_eq!(Codec::from_number(codec.number()), Some(codec));
        assert_eq!(Compressor::new(codec, None).unwrap().codec(), codec);
    }
    assert_eq!(Codec::from_number(5), None);
    let error = "LZ4".parse::<Codec>().unwrap_err().to_string();
    assert_eq!(error, "codec \"LZ4\" does not exist: use none, gzip, snappy, lz4 or zstd");
}

#[test]
fn levels_are_checked_and_work() {
    let records = content(100_000);
    for codec in Codec::ALL {
        let Some(levels) = codec.levels() else {
            let refused = Compressor::new(codec, Some(1)).unwrap_err();
            assert_eq!(refused, LevelError::NoLevels { codec, level: 1 });
            continue;
        };
        for level in [*levels.start(), *levels.end()] {
            assert_eq!(expand(codec, &compress(codec, Some(level), &records)).unwrap(), records);
        }
        assert!(Compressor::new(codec, Some(levels.start() - 1)).is_err());
        assert!(Compressor::new(codec, Some(levels.end() + 1)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_codec_round_trips(bytes in 1..300_000usize, noise: Vec<u8>) {
        let records = [content(bytes), noise].concat();
        for codec in Codec::ALL {
            prop_assert_eq!(&expand(codec, &compress(codec, None, &records)).unwrap(), &records);
        }
    }
}

#[test]
fn the_edges_of_blocks_and_of_the_limit() {
    for bytes in [32 << 10, 64 << 10, (64 << 10) + 1, LIMIT] {
        let records = content(bytes);
        for codec in Codec::ALL {
            assert_eq!(expand(codec, &compress(codec, None, &records)).unwrap(), records);
        }
    }
    for codec in Codec::ALL {
        let over = compress(codec, None, &vec![0; LIMIT + 1]);
        let limit = Err(DecompressError::LimitExceeded { limit: LIMIT });
        assert_eq!(expand(codec, &over), limit, "{codec}");
    }
}

#[test]
fn a_body_has_one_frame_and_nothing_behind_it() {
    let body = compress(Codec::None, None, b"records");
    assert_eq!(body, b"records");
    for codec in [Codec::Gzip, Codec::Lz4, Codec::Zstd] {
        let one = compress(codec, None, b"some records");
        let two = [one.clone(), one.clone()].concat();
        let trailing = DecompressError::TrailingBytes { codec, bytes: one.len() };
        assert_eq!(expand(codec, &two), Err(trailing));
        let garbage = [one.as_slice(), b"x"].concat();
        let trailing = DecompressError::TrailingBytes { codec, bytes: 1 };
        assert_eq!(expand(codec, &garbage), Err(trailing));
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        assert!(matches!(expand(codec, &[]), Err(DecompressError::Damaged { .. })), "{codec}");
    }
    let snappy = compress(Codec::Snappy, None, b"some records");
    assert!(expand(Codec::Snappy, &[snappy.clone(), snappy].concat()).is_err());
}

// --- bombs: 1 GiB of zeros each

fn assert_refused_within_the_limit(codec: Codec, bomb: &[u8]) {
    let mut out = Vec::new();
    let result = decompress(codec, bomb, LIMIT, &mut out);
    assert_eq!(result, Err(DecompressError::LimitExceeded { limit: LIMIT }), "{codec}");
    assert!(out.capacity() <= LIMIT, "{codec} took {} bytes", out.capacity());
    assert!(out.is_empty());
}

#[test]
fn a_gzip_bomb_is_refused() {
    // A flushed deflate stream ends at a byte, so that it can be repeated.
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 1 << 20]).unwrap();
    encoder.flush().unwrap();
    let mebibyte = encoder.get_ref().clone();
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    bomb.extend(mebibyte.repeat(GIB >> 20));
    assert_refused_within_the_limit(Codec::Gzip, &bomb);
}

#[test]
fn an_lz4_bomb_is_refused() {
    let frame = compress(Codec::Lz4, None, &vec![0; 64 << 10]);
    let (descriptor, block) = (&frame[..7], &frame[7..frame.len() - 4]);
    let bomb = [descriptor, &block.repeat(GIB >> 16), &[0; 4]].concat();
    assert_refused_within_the_limit(Codec::Lz4, &bomb);
}

#[test]
fn snappy_bombs_are_refused() {
    let body = compress(Codec::Snappy, None, &vec![0; 32 << 10]);
    let xerial = [&body[..16], &body[16..].repeat(GIB >> 15)].concat();
    assert_refused_within_the_limit(Codec::Snappy, &xerial);

    // A raw block: one literal zero, then copies of 64 bytes from offset 1.
    let mut raw = vec![0x80, 0x80, 0x80, 0x80, 0x04, 0x00, 0x00];
    raw.extend([0xfe, 0x01, 0x00].repeat(GIB / 64));
    assert_refused_within_the_limit(Codec::Snappy, &raw);
    // The same claim without the bytes for it: a lie, not worth an allocation.
    let mut out = Vec::new();
    let lie = decompress(Codec::Snappy, &raw[..100], usize::MAX, &mut out);
    assert!(matches!(lie, Err(DecompressError::Damaged { .. })), "{lie:?}");
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_zstd_bomb_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    io::copy(&mut io::repeat(0).take(GIB as u64), &mut encoder).unwrap();
    assert_refused_within_the_limit(Codec::Zstd, &encoder.finish().unwrap());
}

#[test]
fn a_zstd_window_above_8_mib_is_refused() {
    let with_window_log = |log| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(b"hardly anything").unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(expand(Codec::Zstd, &with_window_log(23)).unwrap(), b"hardly anything");
    let refused = expand(Codec::Zstd, &with_window_log(24));
    assert!(matches!(refused, Err(DecompressError::Damaged { .. })), "{refused:?}");
}

// --- what foreign producers send

#[test]
fn a_raw_snappy_block_is_read() {
    let records = content(200_000);
    let block = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    assert_eq!(expand(Codec::Snappy, &block).unwrap(), records);
    for end in 0..100 {
        assert!(expand(Codec::Snappy, &block[..end]).is_err());
    }
}

#[test]
fn a_gzip_member_with_every_optional_field_is_read() {
    let mut encoder = flate2::GzBuilder::new()
        .filename("records")
        .comment("from elsewhere")
        .extra(vec![1, 2, 3])
        .mtime(1)
        .write(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"some records").unwrap();
    let mut body = encoder.finish().unwrap();
    assert_eq!(expand(Codec::Gzip, &body).unwrap(), b"some records");
    let crc = body.len() - 8;
    body[crc] ^= 1;
    assert!(expand(Codec::Gzip, &body).is_err(), "the member's own CRC is checked");
}

#[test]
fn a_zstd_frame_without_content_size_is_read() {
    let records = content(300_000);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&records).unwrap();
    assert_eq!(expand(Codec::Zstd, &encoder.finish().unwrap()).unwrap(), records);
}

/// An LZ4 frame as others write it; `flg` says what it contains.
fn foreign_lz4(flg: u8, bd: u8, block_bytes: usize, records: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![flg, bd];
    if flg & 8 != 0 {
        descriptor.extend((records.len() as u64).to_le_bytes());
    }
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18];
    frame.extend(&descriptor);
    frame.push((XxHash32::oneshot(0, &descriptor) >> 8) as u8);
    for (index, input) in records.chunks(block_bytes).enumerate() {
        let start = index * block_bytes;
        let window = &records[start.saturating_sub(64 << 10)..start];
        let block = if flg & 32 != 0 {
            lz4_flex::block::compress(input)
        } else {
            lz4_flex::block::compress_with_dict(input, window)
        };
        frame.extend((block.len() as u32).to_le_bytes());
        frame.extend(&block);
        if flg & 16 != 0 {
            frame.extend(XxHash32::oneshot(0, &block).to_le_bytes());
        }
    }
    frame.extend([0; 4]);
    if flg & 4 != 0 {
        frame.extend(XxHash32::oneshot(0, records).to_le_bytes());
    }
    frame
}

#[test]
fn lz4_frames_of_every_kind_are_read_and_their_checksums_checked() {
    // Noise that comes again 60,000 bytes later: a linked block needs nearly all of its window.
    // A block of noise alone would be larger than its maximum, which real encoders store.
    let records = content(120_000)[60_000..].repeat(5);
    for (bd, block_bytes) in [(0x40, 64 << 10), (0x50, 100_000), (0x70, 1 << 20)] {
        for optional in 0..16u8 {
            // Linked or not, block checksums, content size, content checksum.
            let flg = 0x40 | optional << 2;
            let frame = foreign_lz4(flg, bd, block_bytes, &records);
            assert_eq!(expand(Codec::Lz4, &frame).as_ref(), Ok(&records), "{flg:#x} {bd:#x}");
            for at in [4, 5, 6] {
                let mut damaged = frame.clone();
                damaged[at] ^= 1;
                assert!(expand(Codec::Lz4, &damaged).is_err(), "{flg:#x} {bd:#x} byte {at}");
            }
            let mut damaged = frame.clone();
            *damaged.last_mut().unwrap() ^= 1;
            assert!(expand(Codec::Lz4, &damaged).is_err(), "{flg:#x} {bd:#x} last byte");
            assert!(expand(Codec::Lz4, &frame[..frame.len() - 1]).is_err());
        }
    }
}

#[test]
fn a_wrong_content_size_of_an_lz4_frame_is_refused() {
    let mut frame = foreign_lz4(0x68, 0x40, 64 << 10, b"fifteen letters");
    frame[6] = 14;
    frame[14] = (XxHash32::oneshot(0, &frame[4..14]) >> 8) as u8;
    let refused = expand(Codec::Lz4, &frame).unwrap_err().to_string();
    assert_eq!(refused, "the lz4 body is damaged: the content size is wrong");
}

#[test]
fn a_damaged_lz4_block_shows_by_its_checksum() {
    let mut frame = foreign_lz4(0x70, 0x40, 64 << 10, b"a short literal");
    let literal = frame.len() - 9;
    frame[literal] ^= 1;
    let refused = expand(Codec::Lz4, &frame).unwrap_err().to_string();
    assert_eq!(refused, "the lz4 body is damaged: a block's checksum is wrong");
}

#[test]
fn an_lz4_block_above_its_maximum_is_refused() {
    let frame = foreign_lz4(0x60, 0x40, 100_000, &vec![0; 100_000]);
    let refused = expand(Codec::Lz4, &frame);
    assert!(matches!(refused, Err(DecompressError::Damaged { .. })), "{refused:?}");
}
