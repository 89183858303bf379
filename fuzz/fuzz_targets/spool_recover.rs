//! Any bytes as a segment: the scan neither panics nor loops, and finds only what lies inside.
//!
//! Checksums keep random bytes out, so the input is also read as a recipe: a good segment is built
//! from it and harmed by it, and whatever the scan then gives must be in order and within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logdrive::ids::InstanceId;
use logdrive::spool::format::Address;
use logdrive::spool::format::DATA_START;
use logdrive::spool::format::FRAME_WORDS_BYTES;
use logdrive::spool::format::FrameHeader;
use logdrive::spool::format::GroupHeader;
use logdrive::spool::format::committed_bytes;
use logdrive::spool::format::group_header_bytes;
use logdrive::spool::scan::Sections;
use logdrive::spool::scan::Survey;
use logdrive::spool::scan::Trust;
use logdrive::spool::scan::next_item;

const ADDRESS: Address = Address { instance: InstanceId([1; 16]), segment: 1 };

fuzz_target!(|input: &[u8]| {
    let Some((word, bytes)) = input.split_first_chunk::<8>() else { return };
    let committed = committed_bytes(u64::from_le_bytes(*word));
    walk(bytes, committed);
    let mut built = build(bytes);
    let end = built.len();
    for harm in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([harm[0], harm[1]])) % end;
        built[at] ^= harm[2];
    }
    walk(&built, Some(end - DATA_START));
    walk(&built, committed);
});

/// A segment of one group per input byte, up to 32, its first byte saying how long the body is.
fn build(recipe: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; DATA_START];
    let header = [0; 61];
    for (number, length) in (0u64..).zip(recipe.iter().take(32)) {
        let body = vec![*length; usize::from(*length)];
        let batch = logdrive::spool::Batch {
            topic: "t",
            partition: 0,
            severity_max: 0,
            batch_number: number,
            first_record: number,
            record_count: 1,
            max_timestamp: 0,
            header: &header,
            body: &body,
            body_crc: logdrive::checksum::crc32c(&body),
        };
        let Some(frame) = FrameHeader::of(&batch) else { return bytes };
        let group = GroupHeader {
            group_bytes: group_header_bytes(0) as u32 + frame.frame_bytes,
            batch_count: 1,
            ring_count: 0,
            number,
            first_record: number,
            record_count: 1,
            batches_before: number,
        };
        bytes.extend(group.encode(&ADDRESS, bytes.len(), &[]));
        let start = bytes.len();
        bytes.extend(frame.encode(&ADDRESS, start, &batch));
        bytes.extend([0; FRAME_WORDS_BYTES]);
        bytes.extend(b"t");
        bytes.extend(header);
        bytes.extend(&body);
        bytes.resize(start + frame.frame_bytes as usize, 0);
    }
    bytes
}

fn walk(bytes: &[u8], committed: Option<usize>) {
    let sections = Sections::of(bytes, &ADDRESS, committed);
    let mut end = DATA_START;
    for section in &sections.ranges {
        assert!(end <= section.start && section.start <= section.end);
        end = section.end;
        for trust in [Trust::Own, Trust::Nothing] {
            let mut at = section.start;
            while let Some(found) = next_item(bytes, &ADDRESS, at..section.end, trust) {
                assert!(at <= found.offset && found.offset < found.end());
                assert!(found.end() <= section.end && section.end <= bytes.len());
                at = found.end();
            }
        }
    }
    Survey::of(bytes, &ADDRESS, &sections);
}
