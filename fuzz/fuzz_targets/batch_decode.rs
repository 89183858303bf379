//! Bytes from a stranger, taken for a batch: nothing may panic or grow past the limit, and what
//! validates must read the same again after it was built anew.
//!
//! Input: the 61 bytes of a header, then the body. Lengths and CRC are put right, or the fuzzer
//! would never get past them; so is the magic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logdrive::batch::Builder;
use logdrive::batch::Codec;
use logdrive::batch::Compressor;
use logdrive::batch::HEADER_BYTES;
use logdrive::batch::Header;
use logdrive::batch::Record;
use logdrive::batch::RecordIter;
use logdrive::batch::Validation;
use logdrive::batch::bind;
use logdrive::batch::decompress;
use logdrive::batch::split;
use logdrive::batch::validate;
use logdrive::checksum::crc32c;
use logdrive::ids::BatchIdentity;
use logdrive::ids::InstanceId;

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let _ = Header::decode(data);
    let Some((header, body)) = data.split_first_chunk::<HEADER_BYTES>() else { return };
    for codec in Codec::ALL {
        let mut out = Vec::new();
        let _ = decompress(codec, body, LIMIT, &mut out);
        assert!(out.capacity() <= LIMIT);
    }
    let Some(bytes) = put_right(header, body) else { return };
    let _ = split(&bytes, body, &mut Compressor::none());
    let mut scratch = Vec::new();
    let Ok(header) = validate(&bytes, body, Validation::Records, LIMIT, &mut scratch) else {
        return;
    };
    let records = if header.codec == Codec::None { body } else { &scratch };
    rebuild(&header, records);
});

/// The header with magic, length and CRC as the body wants them.
fn put_right(header: &[u8; HEADER_BYTES], body: &[u8]) -> Option<[u8; HEADER_BYTES]> {
    let mut bytes = *header;
    bytes[16] = 2;
    let decoded = Header::decode(&bytes).ok()?;
    let batch_length = i32::try_from(HEADER_BYTES - 12 + body.len()).ok()?;
    let mut bytes = Header { base_offset: 0, batch_length, ..decoded }.encode();
    let Header { producer_id, producer_epoch, base_sequence, .. } = decoded;
    let body_bytes = u32::try_from(body.len()).ok()?;
    bind(&mut bytes, crc32c(body), body_bytes, producer_id, producer_epoch, base_sequence);
    Some(bytes)
}

fn rebuild(header: &Header, records: &[u8]) {
    let before: Vec<_> = RecordIter::new(header, records).map(|record| record.unwrap()).collect();
    let mut builder = Builder::default();
    for view in &before {
        builder.push(&Record {
            timestamp_ms: view.timestamp_ms,
            key: view.key,
            value: view.value,
            headers: view.headers(),
        });
    }
    let identity = BatchIdentity {
        instance: InstanceId([0; 16]),
        batch: 0,
        first_record: 0,
        record_count: builder.record_count(),
    };
    let mut body = Vec::new();
    let sealed = builder.seal(&identity, &mut Compressor::none(), &mut body).unwrap();
    let header = Header::decode(&sealed.header).unwrap();
    let after = RecordIter::new(&header, &body).map(|record| record.unwrap());
    assert_eq!(before.len(), sealed.record_count as usize);
    for (index, (before, after)) in before.iter().zip(after).enumerate() {
        let added = usize::from(index == 0);
        assert_eq!((before.timestamp_ms, before.key), (after.timestamp_ms, after.key));
        assert_eq!(before.value, after.value);
        assert!(before.headers().eq(after.headers().skip(added)));
    }
}
