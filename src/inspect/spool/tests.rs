//! A spool written by its own writer, looked at while it is written, and after somebody was at its files.

use super::*;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::checksum;
use crate::ids::RingId;
use crate::ids::RingPosition;
use crate::spool::BATCH_HEADER_BYTES;
use crate::spool::Batch;
use crate::spool::Binding;
use crate::spool::Group;
use crate::spool::Options;
use crate::spool::Part;
use crate::spool::Reader as SpoolReader;
use crate::spool::Resolution;
use crate::spool::Writer;

const INSTANCE: InstanceId = InstanceId([3; 16]);
const BODY: [u8; 1000] = [7; 1000];

/// Commits `count` batches of ten records each, one per group.
fn commit(writer: &mut Writer, count: u64) {
    for number in 0..count {
        let batch = Batch {
            topic: "t",
            partition: -1,
            severity_max: 2,
            batch_number: number,
            first_record: 10 * number,
            record_count: 10,
            max_timestamp: 5_000 + number.cast_signed(),
            header: &[0; BATCH_HEADER_BYTES],
            body: &BODY,
            body_crc: checksum::crc32c(&BODY),
        };
        let positions = [RingPosition { ring: RingId(0), position: 64 * (number + 1) }];
        let group = Group { first_record: 10 * number, positions: &positions, batches: &[batch] };
        writer.commit(&group).unwrap();
    }
    writer.publish();
}

fn spool(dir: &Path, batches: u64) -> (Writer, SpoolReader) {
    // The slot's part: without a directory a spool stays in memory.
    DirBuilder::new().mode(0o700).create(dir).unwrap();
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let (mut writer, reader) = spool::create(dir, INSTANCE, &options).unwrap();
    commit(&mut writer, batches);
    (writer, reader)
}

fn newest_segment(dir: &Path) -> PathBuf {
    let segments = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    segments.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap()
}

#[test]
fn what_waits_is_counted_beside_a_living_owner_and_what_is_resolved_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("spool");
    let (_writer, mut reader) = spool(dir, 200);
    let all = read(dir, INSTANCE).unwrap();
    assert_eq!((all.batches, all.records, all.oldest_ms), (200, 2000, Some(5_000)));
    assert!(all.segments > 1 && all.bytes > 200_000 && all.segment_bytes > all.bytes);
    assert_eq!((all.bound.as_slice(), all.problems.as_slice()), (&[][..], &[][..]));

    let first = reader.next().unwrap();
    reader.resolve(&first, Resolution::Delivered);
    for base_sequence in [100, 110] {
        let frame = reader.next().unwrap();
        let binding = Binding {
            producer_id: 77,
            epoch: 2,
            base_sequence,
            partition: 4,
            batch_crc: 1,
            sequence_space: 9,
            part: Part::default(),
        };
        reader.bind(&frame, &binding).unwrap();
    }
    let view = read(dir, INSTANCE).unwrap();
    assert_eq!((view.batches, view.records, view.oldest_ms), (199, 1990, Some(5_001)));
    let expected = Bound {
        topic: "t".to_owned(),
        partition: 4,
        producer_id: 77,
        epoch: 2,
        first_sequence: 100,
        last_sequence: 119,
        batches: 2,
    };
    assert_eq!(view.bound, [expected]);
}

#[test]
fn strange_files_are_named_and_damage_hides_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("spool");
    drop(spool(dir, 30));
    let good = newest_segment(dir);
    let mut bytes = fs::read(&good).unwrap();
    bytes[4096 + 2_000] ^= 1;
    fs::write(&good, &bytes).unwrap();
    let mut other_version = bytes[..64].to_vec();
    other_version[12] = 9;
    let crc = checksum::crc32c(&other_version[12..]);
    other_version[8..12].copy_from_slice(&crc.to_le_bytes());
    other_version.resize(8192, 0);
    fs::write(dir.join("00000000000000000090.seg"), &other_version).unwrap();
    fs::write(dir.join("00000000000000000091.seg"), [0xff; 8192]).unwrap();
    fs::write(dir.join("00000000000000000092.seg"), b"short").unwrap();
    fs::create_dir(dir.join("00000000000000000093.seg")).unwrap();
    std::os::unix::fs::symlink(&good, dir.join("00000000000000000094.seg")).unwrap();
    let view = read(dir, INSTANCE).unwrap();
    assert_eq!((view.batches, view.segments), (29, 1), "{view:?}");
    let problems: Vec<&str> = view.problems.iter().map(|(_, problem)| problem.as_str()).collect();
    assert_eq!(problems.len(), 6, "{problems:?}");
    assert!(problems[0].ends_with("among its batches are unreadable"), "{problems:?}");
    assert!(problems[1].contains("version 9"), "{problems:?}");
    assert!(problems[2].contains("no segment"), "{problems:?}");
    assert!(problems[3].contains("5 bytes"), "{problems:?}");
    assert!(problems[4].contains("regular file"), "{problems:?}");
    assert!(problems[5].contains("cannot be read"), "{problems:?}");
    let stranger = read(dir, InstanceId([4; 16])).unwrap();
    assert_eq!((stranger.batches, stranger.segments), (0, 0));
    assert!(stranger.problems[0].1.contains("belongs to instance"), "{:?}", stranger.problems[0]);

    // The name's number and the checksums make up for a lost header.
    bytes[..64].fill(0);
    fs::write(&good, &bytes).unwrap();
    assert_eq!(read(dir, INSTANCE).unwrap().batches, 29);
    assert!(read(&dir.join("absent"), INSTANCE).is_err());
}
