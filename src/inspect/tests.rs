//! Whose records a batch holds, and in which order they are printed, on batches made by hand.

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use crate::batch;
use crate::batch::Builder;
use crate::batch::Codec;
use crate::batch::Compressor;
use crate::batch::HEADER_BYTES;
use crate::batch::Header;
use crate::batch::Record;
use crate::batch::RecordHeader;
use crate::batch::identity::IDENTITY_NAME;
use crate::ids::BatchIdentity;
use crate::ids::InstanceId;
use crate::inspect::account::Account;
use crate::inspect::catalogue::Catalogue;
use crate::inspect::layout;
use crate::inspect::survey;
use crate::inspect::survey::LOSS_NAME;
use crate::inspect::survey::Loss;
use crate::inspect::survey::Owner;
use crate::inspect::survey::Run;

/// The value of an identity header.
fn identity(instance: u8, first_record: u64, record_count: u32) -> Vec<u8> {
    let (batch, count) = (first_record.to_be_bytes(), record_count.to_be_bytes());
    [&[instance; 16][..], &batch, &first_record.to_be_bytes(), &count].concat()
}

/// A stored batch as a relay may have joined it: one record for each list of headers, and the
/// builder's own identity removed by giving each record its own first header.
fn foreign_batch(producer: (i64, i32), records: &[&[RecordHeader<'_>]]) -> Vec<u8> {
    let mut body = Vec::new();
    for (delta, headers) in (0..).zip(records) {
        let mut record =
            vec![0, 0, delta * 2, 1, 2, b'v', u8::try_from(headers.len() * 2).unwrap()];
        for (name, value) in *headers {
            let value = value.unwrap();
            record.push(u8::try_from(name.len() * 2).unwrap());
            record.extend_from_slice(name);
            record.extend(zigzag(value.len()));
            record.extend_from_slice(value);
        }
        body.extend(zigzag(record.len()));
        body.extend(record);
    }
    let count = i32::try_from(records.len()).unwrap();
    let header = Header {
        base_offset: 0,
        batch_length: i32::try_from(body.len() + 49).unwrap(),
        partition_leader_epoch: 0,
        crc: 0,
        codec: Codec::None,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: 5,
        max_timestamp: 5,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: count,
    };
    let mut head = header.encode();
    let body_bytes = u32::try_from(body.len()).unwrap();
    let (producer_id, sequence) = producer;
    batch::bind(&mut head, crate::checksum::crc32c(&body), body_bytes, producer_id, 0, sequence);
    [&head[..], &body].concat()
}

fn zigzag(length: usize) -> Vec<u8> {
    let value = length * 2;
    if value < 128 {
        vec![u8::try_from(value).unwrap()]
    } else {
        vec![u8::try_from(value % 128 + 128).unwrap(), u8::try_from(value / 128).unwrap()]
    }
}

fn ours(instance: u8, first_record: u64, record_count: u32, timestamp_ms: i64) -> Vec<u8> {
    let mut builder = Builder::with_capacity(0);
    for _ in 0..record_count {
        let headers = std::iter::empty();
        builder.push(&Record { timestamp_ms, key: None, value: Some(b"v"), headers });
    }
    let identity = BatchIdentity {
        instance: InstanceId([instance; 16]),
        batch: first_record,
        first_record,
        record_count,
    };
    let mut body = Vec::new();
    let mut compressor = Compressor::new(Codec::Zstd, None).unwrap();
    let mut sealed = builder.seal(&identity, &mut compressor, &mut body).unwrap();
    let (crc, bytes) = (sealed.body_crc, sealed.body_bytes);
    batch::bind(&mut sealed.header, crc, bytes, 1, 0, 0);
    [&sealed.header[..], &body].concat()
}

/// Writes batches into a receiver's directory, with offsets.
fn store(dir: &Path, topic: &str, batches: &[Vec<u8>]) -> PathBuf {
    let partition = dir.join(format!("{topic}-0"));
    std::fs::create_dir_all(&partition).unwrap();
    let mut file = std::fs::File::create(partition.join(layout::segment_name(0))).unwrap();
    let mut offset = 0;
    for batch in batches {
        let mut batch = batch.clone();
        let records = Header::decode(&batch).unwrap().record_count;
        batch[..8].copy_from_slice(&i64::from(offset).to_be_bytes());
        offset += records;
        file.write_all(&batch).unwrap();
    }
    dir.to_owned()
}

fn survey(bytes: &[u8]) -> survey::Survey {
    let (head, body) = bytes.split_first_chunk::<HEADER_BYTES>().unwrap();
    let header = Header::decode(head).unwrap();
    survey::survey(&header, body, &mut Vec::new()).unwrap()
}

#[test]
fn joined_batches_and_foreign_records_are_told_apart() {
    let (first, second) = (identity(1, 10, 2), identity(2, 50, 1));
    let bytes = foreign_batch(
        (-1, -1),
        &[
            &[],
            &[(b"a", Some(b"b"))],
            &[(IDENTITY_NAME, Some(&first))],
            &[],
            &[(IDENTITY_NAME, Some(&second))],
            &[],
        ],
    );
    let owner =
        |instance, first_record| Owner::Ours { instance: InstanceId([instance; 16]), first_record };
    let expected = [
        Run { index: 0, count: 2, owner: Owner::Foreign },
        Run { index: 2, count: 2, owner: owner(1, 10) },
        Run { index: 4, count: 1, owner: owner(2, 50) },
        Run { index: 5, count: 1, owner: Owner::Foreign },
    ];
    assert_eq!(survey(&bytes).runs, expected);
}

#[test]
fn an_identity_that_claims_too_much_claims_only_its_batch() {
    let greedy = identity(1, u64::MAX - 1, u32::MAX);
    let bytes = foreign_batch((-1, -1), &[&[(IDENTITY_NAME, Some(&greedy))], &[]]);
    assert_eq!(survey(&bytes).runs.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    let dir = store(dir.path(), "t", &[bytes]);
    assert!(Account::of(&[dir]).unwrap().missing() > 0);
}

#[test]
fn a_loss_report_needs_twenty_bytes_and_an_instance() {
    let id = identity(1, 0, 1);
    let value = [&7u64.to_be_bytes()[..], &8u64.to_be_bytes(), &9u32.to_be_bytes()].concat();
    let report = |value: &[u8]| {
        let headers: [RecordHeader<'_>; 2] = [(IDENTITY_NAME, Some(&id)), (LOSS_NAME, Some(value))];
        survey(&foreign_batch((-1, -1), &[&headers])).losses
    };
    let loss = Loss { instance: InstanceId([1; 16]), first_record: 7, count: 8, cause: 9 };
    assert_eq!(report(&value), [loss]);
    assert_eq!(report(&value[..19]), []);
    let stranger = foreign_batch((-1, -1), &[&[(LOSS_NAME, Some(&value))]]);
    assert_eq!(survey(&stranger).losses, []);
}

#[test]
fn records_come_by_instance_then_number_each_once() {
    let dir = tempfile::tempdir().unwrap();
    let left = store(
        &dir.path().join("left"),
        "t",
        &[ours(2, 0, 4, 200), ours(1, 5, 5, 100), foreign_batch((9, 0), &[&[], &[]])],
    );
    let right = store(
        &dir.path().join("right"),
        "t",
        &[ours(1, 0, 7, 100), ours(2, 1, 2, 200), foreign_batch((9, 0), &[&[], &[]])],
    );
    let catalogue = Catalogue::of(&[left.clone(), right.clone()], None).unwrap();
    let printed: Vec<_> = catalogue
        .entries
        .iter()
        .map(|entry| match entry.owner {
            Owner::Ours { instance, first_record } => (instance.0[0], first_record, entry.count),
            Owner::Foreign => (0, 0, entry.count),
        })
        .collect();
    assert_eq!(printed, [(1, 0, 7), (1, 7, 3), (2, 0, 4), (0, 0, 2)]);
    let account = Account::of(&[left, right]).unwrap();
    assert!(account.is_complete());
    assert_eq!((account.batches, account.records, account.foreign_duplicates), (6, 22, 1));
    let duplicates: Vec<_> =
        account.instances.iter().map(|of| (of.records, of.duplicates)).collect();
    assert_eq!(duplicates, [(10, 2), (4, 2)]);
}

#[test]
fn offsets_that_go_back_and_records_that_cannot_be_read_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let mut unreadable = ours(1, 0, 3, 0);
    let middle = HEADER_BYTES + 3;
    unreadable[middle] ^= 0xff;
    let crc = crate::checksum::crc32c(&unreadable[21..]);
    unreadable[17..21].copy_from_slice(&crc.to_be_bytes());
    let dir = store(dir.path(), "t", &[unreadable, ours(1, 3, 3, 0)]);
    let path = dir.join("t-0").join(layout::segment_name(0));
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&ours(1, 6, 3, 0)).unwrap();
    file.write_all(&[0; 100]).unwrap();
    let account = Account::of(&[dir]).unwrap();
    assert_eq!(account.damaged.len(), 2, "{:?}", account.damaged);
    assert_eq!(account.torn.len(), 1, "zeros at the end");
    assert_eq!(account.missing(), 3);
}

proptest::proptest! {
    #[test]
    fn any_file_is_read_without_a_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        batches in 0usize..3,
        flip in 0usize..400,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut content = ours(1, 0, 3, 0).repeat(batches);
        content.extend(bytes);
        let at = flip % content.len().max(1);
        if let Some(byte) = content.get_mut(at) {
            *byte ^= 0x41;
        }
        let partition = dir.path().join("t-0");
        std::fs::create_dir(&partition).unwrap();
        std::fs::write(partition.join(layout::segment_name(0)), &content).unwrap();
        let dirs = [dir.path().to_owned()];
        let account = Account::of(&dirs).unwrap();
        let catalogue = Catalogue::of(&dirs, None).unwrap();
        let covered = account.bytes + account.torn.iter().map(|torn| torn.bytes).sum::<u64>();
        proptest::prop_assert!(covered <= content.len() as u64);
        proptest::prop_assert!(catalogue.entries.len() as u64 <= account.records);
    }
}
