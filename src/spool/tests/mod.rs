//! Tests of the whole spool: what it promises, a model, crashes, damage.

mod basic;
mod crash;
mod damage;
mod memory;
mod model;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::checksum;
use crate::ids::InstanceId;
use crate::ids::Moment;
use crate::ids::RingId;
use crate::ids::RingPosition;
use crate::spool::*;

const INSTANCE: InstanceId = InstanceId([0x5a; 16]);
const SEGMENT_BYTES: u64 = 64 << 10;

/// A fresh directory that is ours alone, in memory where that is possible.
fn private_dir() -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(fs::Permissions::from_mode(0o700));
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
}

/// `segments` of the smallest size.
fn options(segments: u64) -> Options {
    Options {
        segment_bytes: SEGMENT_BYTES,
        bytes_max: segments * SEGMENT_BYTES,
        ..Options::default()
    }
}

/// The body of a batch: a function of its first record, so that any mixing up shows.
fn body(first_record: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (first_record.wrapping_mul(31) + index as u64) as u8).collect()
}

fn position(ring: u32, position: u64) -> RingPosition {
    RingPosition { ring: RingId(ring), position }
}

/// Commits one group: a batch per element of `batches`, of (records, body bytes).
fn commit(
    writer: &mut Writer,
    positions: &[RingPosition],
    batches: &[(u32, usize)],
) -> Result<Committed, CommitError> {
    let first_record = writer.next_record();
    let mut next = first_record;
    let bodies: Vec<(u64, u32, Vec<u8>)> = batches
        .iter()
        .map(|(records, bytes)| {
            let first = next;
            next += u64::from(*records);
            (first, *records, body(first, *bytes))
        })
        .collect();
    let header = [0x61; 61];
    let batches: Vec<Batch<'_>> = bodies
        .iter()
        .map(|(first_record, record_count, body)| Batch {
            topic: "app-logs",
            partition: -1,
            severity_max: 3,
            batch_number: *first_record,
            first_record: *first_record,
            record_count: *record_count,
            max_timestamp: 1_700_000_000_000,
            header: &header,
            body,
            body_crc: checksum::crc32c(body),
        })
        .collect();
    writer.commit(&Group { first_record, positions, batches: &batches })
}

/// Checks what a frame holds against what [`commit`] put in, and gives (first record, records).
fn check(frame: &Frame) -> (u64, u32) {
    let expected = body(frame.first_record(), frame.body().len());
    assert_eq!(frame.body(), expected, "record {}", frame.first_record());
    assert_eq!(frame.body_crc(), checksum::crc32c(frame.body()));
    assert_eq!(frame.topic(), "app-logs");
    assert_eq!(frame.header(), [0x61; 61]);
    assert_eq!(frame.batch_number(), frame.first_record());
    assert_eq!((frame.partition(), frame.severity_max()), (-1, 3));
    assert_eq!(frame.max_timestamp(), 1_700_000_000_000);
    (frame.first_record(), frame.record_count())
}

/// I2, exactly.
fn assert_conserved(reader: &Reader) {
    let totals = reader.totals();
    let ended = totals.delivered + totals.unconfirmed + totals.damaged;
    let dropped: u64 = totals.dropped.iter().sum();
    assert_eq!(totals.records, ended + dropped + totals.stored_records, "{totals:?}");
}

/// Everything the reader hands out at once.
fn drain(reader: &mut Reader) -> Vec<Frame> {
    std::iter::from_fn(|| reader.next()).collect()
}

/// The directory as a crash at this instant would leave it: mappings and files are one.
fn copy_dir(from: &Path) -> tempfile::TempDir {
    let to = private_dir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

/// Names of the segment files, sorted.
fn segment_files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".seg"))
        .collect();
    names.sort();
    names
}
