//! Tests of the module as a whole: golden vectors, round trips, hostile bytes.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::batch::*;
use crate::checksum;
use crate::ids::BatchIdentity;
use crate::ids::InstanceId;

const T0: i64 = 1_700_000_000_000;
const LIMIT: usize = RECORDS_BYTES_MAX_HARD;
const INSTANCE: InstanceId = InstanceId(*b"an instance's id");

/// A record that owns its parts, to compare what went in with what came out.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn owned() -> impl Strategy<Value = Owned> {
    let header = (vec(any::<u8>(), 0..20), option::of(vec(any::<u8>(), 0..200)));
    (
        prop_oneof![T0 - 5000..T0 + 5000, any::<i64>()],
        option::of(vec(any::<u8>(), 0..80)),
        option::of(vec(any::<u8>(), 0..9000)),
        vec(header, 0..4),
    )
        .prop_map(|(timestamp_ms, key, value, headers)| Owned {
            timestamp_ms,
            key,
            value,
            headers,
        })
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

fn compressor(codec: Codec) -> Compressor {
    Compressor::new(codec, None).unwrap()
}

fn named(batch: u64, first_record: u64, record_count: usize) -> BatchIdentity {
    let record_count = u32::try_from(record_count).unwrap();
    BatchIdentity { instance: INSTANCE, batch, first_record, record_count }
}

fn push_all(builder: &mut Builder, records: &[Owned]) {
    for record in records {
        builder.push(&Record {
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())),
        });
    }
}

fn build(records: &[Owned], identity: &BatchIdentity, codec: Codec) -> (Sealed, Vec<u8>) {
    let mut builder = Builder::default();
    let mut body = Vec::new();
    push_all(&mut builder, records);
    let sealed = builder.seal(identity, &mut compressor(codec), &mut body).unwrap();
    assert!(builder.is_empty());
    (sealed, body)
}

fn bound(sealed: &Sealed) -> [u8; HEADER_BYTES] {
    let mut header = sealed.header;
    bind(&mut header, sealed.body_crc, sealed.body_bytes, -1, -1, -1);
    header
}

/// Decodes a batch of ours; checks and removes the identity, and the offset deltas.
fn read(sealed: &Sealed, body: &[u8]) -> (BatchIdentity, Vec<Owned>) {
    let mut records = Vec::new();
    let header = validate(&bound(sealed), body, Validation::Records, LIMIT, &mut records).unwrap();
    decompress(header.codec, body, LIMIT, &mut records).unwrap();
    let views: Vec<_> = RecordIter::new(&header, &records).map(Result::unwrap).collect();
    let first = identity(&views[0]).expect("a batch of ours has an identity");
    let records = views.iter().enumerate().map(|(index, view)| {
        assert_eq!(view.offset_delta, i32::try_from(index).unwrap());
        let headers = view.headers().skip(usize::from(index == 0));
        Owned {
            timestamp_ms: view.timestamp_ms,
            key: view.key.map(Into::into),
            value: view.value.map(Into::into),
            headers: headers.map(|(name, value)| (name.into(), value.map(Into::into))).collect(),
        }
    });
    let records: Vec<_> = records.collect();
    assert_eq!(Some(header.base_timestamp), records.first().map(|record| record.timestamp_ms));
    assert_eq!(Some(header.max_timestamp), records.iter().map(|r| r.timestamp_ms).max());
    assert_eq!(sealed.max_timestamp, header.max_timestamp);
    (first, records)
}

/// One line of text each, as a log has it.
fn lines(count: usize) -> Vec<Owned> {
    let line = |index: usize| Owned {
        timestamp_ms: T0 + index as i64,
        key: None,
        value: Some(format!("GET /articles/{index} 200 in {} us", index * 37 % 1000).into()),
        headers: vec![(b"severity".to_vec(), Some(b"INFO".to_vec()))],
    };
    (0..count).map(line).collect()
}

// --- golden vectors: accepted by librdkafka's mock, CRC-checked by Kafka's own Java classes

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

const GOLDEN_RECORDS: &str = "1e000000010a68656c6c6f02026b0276 1c000a02066b65790a776f726c6400";
const GOLDEN_TAIL: &str = "0000018bcfe56800 0000018bcfe56805";

fn golden(codec: Codec) -> (Sealed, Vec<u8>) {
    let headers: [RecordHeader<'_>; 1] = [(b"k", Some(b"v"))];
    let records = [
        Record {
            timestamp_ms: T0,
            key: None,
            value: Some(&b"hello"[..]),
            headers: headers.iter().copied(),
        },
        Record {
            timestamp_ms: T0 + 5,
            key: Some(b"key"),
            value: Some(b"world"),
            headers: headers[..0].iter().copied(),
        },
    ];
    let mut body = Vec::new();
    let sealed = builder::seal_without_identity(&records, &mut compressor(codec), &mut body);
    (sealed, body)
}

#[test]
fn golden_batch_without_codec() {
    let (sealed, body) = golden(Codec::None);
    assert_eq!(body, hex(GOLDEN_RECORDS));
    let header = |crc: &str, producer: &str| {
        hex(&format!(
            "0000000000000000 00000050 ffffffff 02 {crc} 0000 00000001 {GOLDEN_TAIL} {producer}"
        ))
    };
    let anonymous = "ffffffffffffffff ffff ffffffff 00000002";
    assert_eq!(sealed.header.to_vec(), header("00000000", anonymous), "as the spool stores it");
    assert_eq!(bound(&sealed).to_vec(), header("23497874", anonymous));

    let mut with_producer = sealed.header;
    let crc = bind(&mut with_producer, sealed.body_crc, sealed.body_bytes, 4000, 0, 0);
    assert_eq!(crc, 0x419d_6085);
    let producer = "0000000000000fa0 0000 00000000 00000002";
    assert_eq!(with_producer.to_vec(), header("419d6085", producer));
    assert_eq!(verify_crc(&with_producer, &body), Ok(()));
}

#[test]
fn golden_lz4_and_xerial_bodies() {
    for (codec, framed, crc, length) in [
        (
            Codec::Lz4,
            format!("04224d18 60 40 82 1f000080 {GOLDEN_RECORDS} 00000000"),
            0x1742_d9f8,
            0x5f,
        ),
        (
            Codec::Snappy,
            format!("82534e4150505900 00000001 00000001 00000021 1f78 {GOLDEN_RECORDS}"),
            0xe7ed_4d00,
            0x66,
        ),
    ] {
        let (sealed, body) = golden(codec);
        assert_eq!(body, hex(&framed), "{codec}");
        let header = Header::decode(&bound(&sealed)).unwrap();
        assert_eq!((header.crc, header.batch_length), (crc, length), "{codec}");
    }
}

// --- building and reading

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_pushed_is_read_again(records in vec(owned(), 1..40), codec in codec()) {
        let identity = named(7, 1 << 40, records.len());
        let (sealed, body) = build(&records, &identity, codec);
        prop_assert_eq!(sealed.record_count as usize, records.len());
        prop_assert_eq!(sealed.body_bytes as usize, body.len());
        prop_assert_eq!(sealed.body_crc, checksum::crc32c(&body));
        prop_assert_eq!(read(&sealed, &body), (identity, records));
    }

    #[test]
    fn halves_hold_the_whole_in_order(
        records in vec(owned(), 2..40), codec in codec(), other in codec(),
    ) {
        let whole = named(3, 1000, records.len());
        let (sealed, body) = build(&records, &whole, codec);
        let halves = split(&sealed.header, &body, &mut compressor(other)).unwrap().unwrap();
        let first_count = records.len().div_ceil(2);
        let mut joined = Vec::new();
        for (half, identity) in halves.iter().zip([
            named(3, 1000, first_count),
            named(3, 1000 + first_count as u64, records.len() - first_count),
        ]) {
            prop_assert_eq!(half.identity, identity);
            prop_assert_eq!(Header::decode(&half.sealed.header).unwrap().codec, other);
            let (read_identity, records) = read(&half.sealed, &half.body);
            prop_assert_eq!(read_identity, identity);
            joined.extend(records);
        }
        prop_assert_eq!(joined, records);
    }

    #[test]
    fn stray_bytes_never_panic(
        bytes in vec(any::<u8>(), 0..300), codec in codec(), record_count in 1..50i32,
    ) {
        let header = Header {
            record_count,
            ..Header::decode(&golden(Codec::None).0.header).unwrap()
        };
        let mut out = Vec::new();
        let _ = Header::decode(&bytes);
        let _ = decompress(codec, &bytes, 1 << 20, &mut out);
        prop_assert!(RecordIter::new(&header, &bytes).count() <= record_count as usize + 1);
    }
}

#[test]
fn a_builder_is_reused_and_appends_behind_what_is_there() {
    let records = lines(50);
    let mut builder = Builder::with_capacity(1 << 10);
    for codec in Codec::ALL {
        let mut compressor = compressor(codec);
        let mut out = b"before".to_vec();
        for batch in 0..3 {
            let identity = named(batch, 50 * batch, records.len());
            let start = out.len();
            push_all(&mut builder, &records);
            assert_eq!(builder.record_count(), 50);
            let sealed = builder.seal(&identity, &mut compressor, &mut out).unwrap();
            assert_eq!((builder.record_count(), builder.raw_bytes()), (0, 0));
            assert_eq!(read(&sealed, &out[start..]), (identity, records.clone()));
        }
        assert!(out.starts_with(b"before"));
    }
}

#[test]
fn only_the_first_record_carries_the_identity() {
    let records = lines(3);
    let (sealed, body) = build(&records, &named(1, 2, 3), Codec::None);
    let header = Header::decode(&sealed.header).unwrap();
    let identities: Vec<_> =
        RecordIter::new(&header, &body).map(|record| identity(&record.unwrap())).collect();
    assert_eq!(identities, [Some(named(1, 2, 3)), None, None]);
}

#[test]
fn seal_refuses_nothing_and_too_much_and_keeps_the_records() {
    let mut builder = Builder::default();
    let mut compressor = Compressor::none();
    let mut out = Vec::new();
    let empty = builder.seal(&named(0, 0, 0), &mut compressor, &mut out);
    assert_eq!(empty, Err(SealError::Empty));
    let large = Owned { value: Some(vec![0; LIMIT]), ..lines(1).remove(0) };
    push_all(&mut builder, &[large]);
    let raw_bytes = builder.raw_bytes();
    let too_large = builder.seal(&named(0, 0, 1), &mut compressor, &mut out);
    assert_eq!(too_large, Err(SealError::TooLarge { raw_bytes }));
    assert_eq!((builder.record_count(), out.len()), (1, 0));
    builder.clear();
    assert!(builder.is_empty());
}

#[test]
fn one_record_cannot_be_split_and_strangers_batches_are_not() {
    let mut lz4 = compressor(Codec::Lz4);
    let (sealed, body) = build(&lines(1), &named(1, 1, 1), Codec::Lz4);
    assert_eq!(split(&sealed.header, &body, &mut lz4), Ok(None));
    let (sealed, body) = golden(Codec::Zstd);
    let refused = split(&sealed.header, &body, &mut lz4);
    assert_eq!(refused, Err(SplitError::Identity { record_count: 2 }));
}

#[test]
fn real_log_lines_survive_every_codec_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/loghub");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("not run: {} is not there", folder.display());
        return;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|name| name == "log")) {
        let text = fs::read(&path).unwrap();
        // Kept as they are: CR, NUL and invalid UTF-8 too.
        let records: Vec<_> = (0..)
            .zip(text.split(|&byte| byte == b'\n'))
            .map(|(index, line)| Owned {
                timestamp_ms: T0 + index,
                value: Some(line.to_vec()),
                key: None,
                headers: Vec::new(),
            })
            .collect();
        for codec in Codec::ALL {
            let identity = named(1, 0, records.len());
            let (sealed, body) = build(&records, &identity, codec);
            assert_eq!(read(&sealed, &body), (identity, records.clone()), "{}", path.display());
            let compressed = codec != Codec::None;
            assert!(!compressed || body.len() * 3 < text.len() * 2, "{codec} {}", path.display());
        }
    }
}

// --- hostile bytes

/// `validate` of a header and body, signed anew so that the CRC does not hide the defect.
fn judge(header: Header, body: &[u8]) -> Result<Header, BatchError> {
    let mut bytes = header.encode();
    let Header { producer_id, producer_epoch, base_sequence, .. } = header;
    let crc = checksum::crc32c(body);
    bind(&mut bytes, crc, body.len() as u32, producer_id, producer_epoch, base_sequence);
    validate(&bytes, body, Validation::Records, LIMIT, &mut Vec::new())
}

fn with_body(header: Header, body: &[u8]) -> Header {
    Header { batch_length: 49 + i32::try_from(body.len()).unwrap(), ..header }
}

fn with_count(header: Header, record_count: i32) -> Header {
    Header { record_count, last_offset_delta: record_count - 1, ..header }
}

#[test]
fn truncated_at_every_byte_is_refused() {
    for codec in Codec::ALL {
        let (sealed, body) = build(&lines(20), &named(1, 1, 20), codec);
        let header = Header::decode(&sealed.header).unwrap();
        assert!(judge(header, &body).is_ok());
        for end in 0..body.len() {
            let stated = judge(header, &body[..end]).unwrap_err();
            let length = BatchError::Length { stated: body.len(), actual: end };
            assert_eq!(stated, length, "{codec} {end}");
            let error = judge(with_body(header, &body[..end]), &body[..end]);
            assert!(error.is_err(), "{codec} cut to {end} of {} bytes", body.len());
        }
        let longer = [body.as_slice(), &[0]].concat();
        assert!(judge(with_body(header, &longer), &longer).is_err(), "{codec} with a byte more");
    }
}

#[test]
fn what_a_broker_refuses_is_refused() {
    let (sealed, body) = golden(Codec::None);
    let good = Header::decode(&sealed.header).unwrap();
    let record = |index, problem| Err(BatchError::Record(RecordError { index, problem }));
    use reader::RecordProblem::*;
    assert!(judge(good, &body).is_ok());
    assert_eq!(judge(with_count(good, 3), &body), record(2, Missing));
    assert_eq!(judge(with_count(good, 1), &body), record(1, TrailingBytes { bytes: 15 }));
    assert_eq!(
        judge(Header { base_offset: 5, ..good }, &body),
        Err(BatchError::BaseOffset { base_offset: 5 })
    );
    let bytes = Header { producer_id: 9, ..good };
    assert!(matches!(judge(bytes, &body), Err(BatchError::Header(_))));

    let altered = |at: usize, byte: u8| {
        let mut body = body.clone();
        body[at] = byte;
        judge(good, &body)
    };
    let offset_delta = BatchError::OffsetDelta { index: 0, offset_delta: 1 };
    assert_eq!(altered(3, 2), Err(offset_delta));
    assert_eq!(altered(0, 0x01), record(0, NegativeLength { length: -1 }));
    assert_eq!(altered(0, 0x7e), record(0, LengthExceeded { length: 63, left: 30 }));
    assert_eq!(altered(4, 0x03), record(0, NegativeLength { length: -2 }));
    assert_eq!(altered(5, 0x20), record(0, LengthExceeded { length: 16, left: 10 }));
    assert_eq!(altered(11, 0x01), record(0, NegativeHeaderCount { count: -1 }));
    assert_eq!(altered(11, 0x00), record(0, TrailingFieldBytes { bytes: 4 }));
    assert_eq!(altered(12, 0x01), record(0, NegativeLength { length: -1 }));
    assert_eq!(
        altered(11, 0x04),
        record(0, Varint(varint::VarintError::Truncated)),
        "more headers than there are"
    );

    let mut unsigned = bound(&sealed);
    unsigned[20] ^= 1;
    let result = validate(&unsigned, &body, Validation::Header, LIMIT, &mut Vec::new());
    assert!(matches!(result, Err(BatchError::Crc(_))));
}

#[test]
fn validation_of_the_header_does_not_read_records_but_of_records_does() {
    let (sealed, body) = golden(Codec::Zstd);
    let header = with_count(Header::decode(&sealed.header).unwrap(), 9);
    let mut bytes = header.encode();
    bind(&mut bytes, sealed.body_crc, sealed.body_bytes, -1, -1, -1);
    let mut scratch = Vec::new();
    assert_eq!(
        validate(&bytes, &body, Validation::Header, LIMIT, &mut scratch).map(|h| h.record_count),
        Ok(9)
    );
    assert!(validate(&bytes, &body, Validation::Records, LIMIT, &mut scratch).is_err());
}

#[test]
fn the_limit_holds_without_a_codec_too() {
    let (sealed, body) = golden(Codec::None);
    let header = bound(&sealed);
    let check = |limit| validate(&header, &body, Validation::Records, limit, &mut Vec::new());
    assert!(check(31).is_ok());
    let limit = DecompressError::LimitExceeded { limit: 30 };
    assert_eq!(check(30), Err(BatchError::Decompress(limit)));
}
