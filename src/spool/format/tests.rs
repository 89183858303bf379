//! Golden bytes: a failure here means that the version must change. And round trips.
//!
//! The checksums were computed from docs/design.md by a few lines of Python, not by this code.

use super::*;
use proptest::prelude::*;

use crate::spool::types::Binding;
use crate::spool::types::Part;

const ADDRESS: Address = Address { instance: InstanceId([0xab; 16]), segment: 3 };

fn batch<'a>(topic: &'a str, header: &'a [u8; 61], body: &'a [u8]) -> Batch<'a> {
    Batch {
        topic,
        partition: -1,
        severity_max: 4,
        batch_number: 0x0102,
        first_record: 0x0304,
        record_count: 5,
        max_timestamp: 0x0607,
        header,
        body,
        body_crc: checksum::crc32c(body),
    }
}

/// The bytes of a whole frame, as the writer lays them out.
fn frame(address: &Address, offset: usize, batch: &Batch<'_>) -> Vec<u8> {
    let header = FrameHeader::of(batch).unwrap();
    let mut bytes = header.encode(address, offset, batch).to_vec();
    bytes.extend([0; FRAME_WORDS_BYTES]);
    bytes.extend(batch.topic.as_bytes());
    bytes.extend(batch.header);
    bytes.extend(batch.body);
    bytes.resize(header.frame_bytes as usize, 0);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_segment_header() {
    let header = SegmentHeader { address: ADDRESS, segment_bytes: 4 << 20 };
    let bytes = header.encode();
    let expected = [
        "4c44534547303031", // magic
        "CRC",
        "02000000",
        "abababababababababababababababab",
        "0300000000000000",
        "0000400000000000",
        "00000000000000000000000000000000",
    ];
    assert_eq!(hex(&bytes), expected.concat().replace("CRC", &hex(&bytes[8..12])));
    assert_eq!(u32_at(&bytes, 8), 0x2d68_86c6);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));

    let mut other = bytes;
    other[12] = 3;
    assert_eq!(SegmentHeader::decode(&other), Err(SegmentHeaderFault::Damaged));
    let crc = checksum::crc32c(&other[12..]);
    other[8..12].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(SegmentHeader::decode(&other), Err(SegmentHeaderFault::Version(3)));
}

#[test]
fn golden_group_header() {
    let header = GroupHeader {
        group_bytes: 512,
        batch_count: 1,
        ring_count: 2,
        number: 7,
        first_record: 0x0304,
        record_count: 5,
        batches_before: 9,
    };
    let positions = [
        RingPosition { ring: RingId(1), position: 0x1122 },
        RingPosition { ring: RingId(2), position: 0x3344 },
    ];
    let bytes = header.encode(&ADDRESS, 4096, &positions);
    let expected = [
        "4c444731", // LDG1
        "CRC",
        "00020000",
        "0100",
        "0000",
        "02000000",
        "00000000",
        "0700000000000000",
        "0403000000000000",
        "0500000000000000",
        "0900000000000000",
        "0000000000000000",
        "0100000000000000",
        "2211000000000000",
        "0200000000000000",
        "4433000000000000",
        &"00".repeat(32),
    ];
    assert_eq!(hex(&bytes), expected.concat().replace("CRC", &hex(&bytes[4..8])));
    assert_eq!(u32_at(&bytes, 4), 0xa3f5_46e5);
    assert_eq!(GroupHeader::decode(&array_at(&bytes, 0), bytes.len()), Some(header));
    assert!(GroupHeader::is_intact(&ADDRESS, 4096, &bytes));
    assert!(!GroupHeader::is_intact(&ADDRESS, 4160, &bytes), "the address is covered");
    assert_eq!(header.positions(&bytes).collect::<Vec<_>>(), positions);
}

#[test]
fn golden_frame() {
    let header = [0xcd; 61];
    let batch = batch("app", &header, b"body");
    let bytes = frame(&ADDRESS, 4224, &batch);
    let expected = [
        "4c444631", // LDF1
        "CRC",
        "40010000", // 192 + 3 + 61 + 4 = 260, padded to 320
        "04000000",
        "BODY",
        "0300",
        "04",
        "00",
        "0201000000000000",
        "0403000000000000",
        "05000000",
        "ffffffff",
        "0706000000000000",
        "0000000000000000",
        &"00".repeat(128),
        "617070",
        &"cd".repeat(61),
        "626f6479",
        &"00".repeat(60),
    ];
    let body_crc = hex(&checksum::crc32c(b"body").to_le_bytes());
    let expected = expected.concat().replace("CRC", &hex(&bytes[4..8])).replace("BODY", &body_crc);
    assert_eq!(hex(&bytes), expected);
    assert_eq!(u32_at(&bytes, 4), 0xba7e_4170);
}

#[test]
fn golden_binding() {
    let binding = Binding {
        producer_id: 0x11,
        epoch: -2,
        base_sequence: 0x22,
        partition: -1,
        batch_crc: 0x33,
        sequence_space: 0x44,
        part: Part { first: 0x55, count: 0x66, rejected: 0x77, rewrite: 0x88, time_ms: -9 },
    };
    let words = encode_binding(&ADDRESS, 4224, 6, &binding);
    let expected = [
        0x11,
        0x0000_0022_0088_fffe,
        0x0000_0033_ffff_ffff,
        0x0000_0066_0000_0055,
        0x0000_0077_0000_0044,
        0xffff_ffff_ffff_fff7,
    ];
    assert_eq!(words[1..], expected);
    assert_eq!(words[0] & 0xffff_ffff, 6);
    assert_eq!(words[0] >> 32, 0x4693_8434);
    assert_eq!(decode_binding(&ADDRESS, 4224, &words), Some((6, binding)));
    assert_eq!(decode_binding(&ADDRESS, 4288, &words), None, "the address is covered");
    assert_eq!(decode_binding(&ADDRESS, 4224, &[0; 7]), None, "an empty slot");
}

#[test]
fn a_flipped_bit_in_committed_shows() {
    let word = committed_word(0x12340);
    assert_eq!(word, 0xffff_fb72_0000_048d);
    assert_eq!(committed_bytes(word), Some(0x12340));
    assert_eq!(committed_bytes(0), None, "a page that was never written");
    for bit in 0..64 {
        assert_eq!(committed_bytes(word ^ 1 << bit), None);
    }
}

#[test]
fn a_flipped_bit_in_a_state_reads_as_stored() {
    for number in [STATE_STORED, STATE_DELIVERED, STATE_UNCONFIRMED, STATE_DROPPED + 15] {
        let word = state_word(number);
        assert_eq!(state_number(word), number);
        for bit in 0..64 {
            assert_eq!(state_number(word ^ 1 << bit), STATE_STORED);
        }
    }
    assert_eq!(state_number(state_word(3)), STATE_STORED, "no state that we write");
}

proptest! {
    #[test]
    fn frames_round_trip_and_any_flipped_bit_shows(
        topic in ".{0,40}",
        header in prop::array::uniform32(any::<u8>()),
        body in prop::collection::vec(any::<u8>(), 0..600),
        numbers in any::<(u32, i32, u8, i64)>(),
        flip in any::<prop::sample::Index>(),
    ) {
        let header61 = std::array::from_fn(|index| header[index % 32]);
        let mut batch = batch(&topic, &header61, &body);
        batch.record_count = numbers.0;
        batch.partition = numbers.1;
        batch.severity_max = numbers.2;
        batch.max_timestamp = numbers.3;
        let mut bytes = frame(&ADDRESS, 4096, &batch);
        let start = array_at(&bytes, 0);
        let decoded = FrameHeader::decode(&start, bytes.len()).unwrap();
        prop_assert_eq!(decoded, FrameHeader::of(&batch).unwrap());
        prop_assert!(FrameHeader::decode(&start, bytes.len() - 1).is_none(), "no room");
        let rest = |bytes: &[u8]| bytes[FRAME_TOPIC..decoded.body_end()].to_vec();
        prop_assert!(FrameHeader::is_intact(&ADDRESS, 4096, &start, &rest(&bytes)));
        prop_assert_eq!(&bytes[decoded.body_start()..decoded.body_end()], &body[..]);
        let end = decoded.batch_header_start();
        prop_assert_eq!(&bytes[FRAME_TOPIC..end], topic.as_bytes());

        let covered: Vec<usize> =
            (0..FRAME_HEADER_BYTES).chain(FRAME_TOPIC..decoded.body_end()).collect();
        let at = covered[flip.index(covered.len())];
        bytes[at] ^= 1 << (at % 8);
        let start = array_at(&bytes, 0);
        let survives = FrameHeader::decode(&start, bytes.len())
            .is_some_and(|_| FrameHeader::is_intact(&ADDRESS, 4096, &start, &rest(&bytes)));
        prop_assert!(!survives);
    }
}
