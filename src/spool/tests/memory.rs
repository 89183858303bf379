//! The disk refuses files: the spool goes on in memory and comes back by itself.

use super::*;
use std::time::Duration;

/// Long after everything that was tried before.
fn later(seconds: u64) -> Moment {
    Moment(0).after(Duration::from_secs(seconds))
}

/// Commits one batch that fills most of a segment.
fn fill(writer: &mut Writer) {
    commit(writer, &[], &[(1, 40_000)]).unwrap();
    writer.publish();
}

#[test]
fn a_directory_that_cannot_be_made_is_found_when_it_can() {
    for store in [StoreKind::Mapped, StoreKind::File] {
        let root = private_dir().unwrap();
        let dir = root.path().join("slot");
        fs::write(&dir, b"in the way").unwrap();
        let options = Options { store: Some(store), ..options(8) };
        let (mut writer, mut reader) = create(&dir, INSTANCE, &options).unwrap();
        let condition = writer.condition();
        assert!(condition.is_memory_mode());
        (0..3).for_each(|_| fill(&mut writer));
        assert_eq!(condition.memory_bytes(), 3 * SEGMENT_BYTES);
        let first = reader.next().unwrap();
        reader.resolve(&first, Resolution::Delivered);
        drop(first);
        let second = reader.next().unwrap();
        assert_eq!(condition.memory_bytes(), 2 * SEGMENT_BYTES, "waits for no ledger");

        writer.prepare(later(1));
        writer.prepare(later(2));
        assert!(condition.is_memory_mode(), "still in the way");
        fs::remove_file(&dir).unwrap();
        file::create_private_directory(&dir).unwrap();
        writer.prepare(later(60));
        assert!(!condition.is_memory_mode());
        reader.tend();
        reader.tend();
        let binding = Binding {
            producer_id: 1,
            epoch: 2,
            base_sequence: 3,
            partition: 0,
            batch_crc: 4,
            sequence_space: 5,
            part: Default::default(),
        };
        reader.bind(&second, &binding).unwrap();
        drop(second);
        assert_eq!((condition.memory_bytes(), condition.segments_rehomed()), (0, 2));
        fill(&mut writer);
        assert_conserved(&reader);
        drop((writer, reader));

        let mut recovered = recover(&dir, &options).unwrap();
        let frames = drain(&mut recovered.reader);
        assert_eq!(frames.iter().map(check).collect::<Vec<_>>(), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(frames[0].binding(), Some(binding), "stored in the copy while on its way");
        assert_eq!(recovered.reader.totals().damaged, 0);
    }
}

#[test]
fn memory_has_its_own_bound_and_room_comes_with_every_delivery() {
    let root = private_dir().unwrap();
    let options = Options { memory_bytes_max: 2 * SEGMENT_BYTES, ..options(8) };
    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    let (mut writer, mut reader) = create(&file, INSTANCE, &options).unwrap();
    for round in 0..20 {
        while commit(&mut writer, &[], &[(1, 40_000)]).is_ok() {}
        writer.publish();
        assert!(writer.condition().memory_bytes() <= 2 * SEGMENT_BYTES);
        let frames = drain(&mut reader);
        assert_eq!(
            frames.len(),
            if round == 0 { 2 } else { 1 },
            "the last one is still written to"
        );
        for frame in &frames {
            check(frame);
            reader.resolve(frame, Resolution::Delivered);
        }
        assert_conserved(&reader);
        drop(frames);
        reader.tend();
    }
}

#[test]
fn what_a_crash_took_with_the_memory_is_counted() {
    let dir = private_dir().unwrap();
    let (mut writer, reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    fill(&mut writer);
    drop((writer, reader));
    let mut recovered = recover(dir.path(), &options(8)).unwrap();
    recovered.reader.expect_records_through(5);
    assert_eq!(drain(&mut recovered.reader).iter().map(check).collect::<Vec<_>>(), [(0, 1)]);
    let damage = recovered.reader.take_damage().unwrap();
    assert_eq!(damage.records, 1..5);
    assert_eq!(recovered.reader.totals().damaged, 4);
}

#[test]
fn what_had_ended_before_the_crash_is_no_loss() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    (0..3).for_each(|_| fill(&mut writer));
    assert_eq!(reader.ended_records().before, 0);
    let frames = drain(&mut reader);
    reader.resolve(&frames[1], Resolution::Delivered);
    assert_eq!(reader.ended_records().before, 0, "the one before may still be lost");
    reader.resolve(&frames[0], Resolution::Delivered);
    assert_eq!(reader.ended_records().before, 2);
    fs::remove_file(dir.path().join(segment::segment_name(1))).unwrap();
    drop((writer, reader, frames));
    let mut recovered = recover(dir.path(), &options(8)).unwrap();
    recovered.reader.expect_ended(Ended { before: 4, ..Ended::default() });
    recovered.reader.expect_records_through(6);
    assert_eq!(drain(&mut recovered.reader).iter().map(check).collect::<Vec<_>>(), [(2, 1)]);
    assert_eq!(recovered.reader.take_damage().unwrap().records, 4..6);
    assert!(recovered.reader.take_damage().is_none());
    let totals = recovered.reader.totals();
    assert_eq!((totals.delivered, totals.unconfirmed, totals.damaged), (1, 2, 2));
    assert_conserved(&recovered.reader);
}

#[test]
fn a_loss_that_only_memory_tells_of_is_not_said_to_have_ended() {
    let root = private_dir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"").unwrap();
    let (mut writer, mut reader) = create(&file, INSTANCE, &options(8)).unwrap();
    (0..3).for_each(|_| fill(&mut writer));
    let frames = drain(&mut reader);
    reader.resolve(&frames[0], Resolution::Delivered);
    reader.resolve(&frames[1], Resolution::Dropped(DropReason::Quota));
    reader.resolve(&frames[2], Resolution::Delivered);
    assert_eq!(reader.ended_records().before, 1);
}

#[test]
fn an_arena_that_numbered_no_more_than_the_spool_holds_changes_nothing() {
    let dir = private_dir().unwrap();
    drop(create(dir.path(), INSTANCE, &options(8)).unwrap());
    let Recovered { mut writer, mut reader, .. } = recover(dir.path(), &options(8)).unwrap();
    reader.expect_records_through(0);
    fill(&mut writer);
    assert!(reader.next().is_some());
    drop((writer, reader));
    let mut recovered = recover(dir.path(), &options(8)).unwrap();
    assert_eq!(drain(&mut recovered.reader).len(), 1, "a new segment is no released one");
}

#[test]
fn a_truncated_segment_is_damage_and_the_spool_goes_on_elsewhere() {
    crate::sys::guard::install();
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    commit(&mut writer, &[], &[(1, 1_000), (1, 20_000)]).unwrap();
    let path = dir.path().join(segment::segment_name(1));
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(8192).unwrap();
    commit(&mut writer, &[], &[(1, 30_000)]).unwrap();
    writer.publish();
    let frames = drain(&mut reader);
    assert_eq!(frames.iter().map(check).collect::<Vec<_>>(), [(0, 1), (2, 1)]);
    frames.iter().for_each(|frame| reader.resolve(frame, Resolution::Delivered));
    assert_eq!(reader.totals().damaged, 1);
    assert_conserved(&reader);
}

#[test]
fn a_disk_that_takes_files_but_no_copies_costs_no_room() {
    let root = private_dir().unwrap();
    let dir = root.path().join("slot");
    fs::write(&dir, b"in the way").unwrap();
    let (mut writer, mut reader) = create(&dir, INSTANCE, &options(8)).unwrap();
    (0..2).for_each(|_| fill(&mut writer));
    fs::remove_file(&dir).unwrap();
    file::create_private_directory(&dir).unwrap();
    let copy = dir.join(home::COPY_FILE);
    fs::create_dir(&copy).unwrap();
    for round in 1..=20 {
        // The first call only sets the time of the next try.
        writer.prepare(later(60 * round));
        writer.prepare(later(60 * round + 30));
        assert!(!writer.condition().is_memory_mode(), "a file can be had");
        reader.tend();
        assert!(writer.condition().is_memory_mode(), "no copy can");
    }
    fs::remove_dir(&copy).unwrap();
    writer.prepare(later(60 * 60));
    writer.prepare(later(60 * 61));
    (0..4).for_each(|_| reader.tend());
    assert_eq!((reader.take_error().is_some(), writer.condition().memory_bytes()), (true, 0));
    (0..6).for_each(|_| fill(&mut writer));
    assert_eq!(segment_files(&dir).len(), 8, "two of them moved there");
    assert_eq!(drain(&mut reader).len(), 8);
    assert_conserved(&reader);
}

#[test]
fn a_file_that_was_given_up_is_used_at_once_when_memory_is_full() {
    for segments in [8, 4] {
        let dir = private_dir().unwrap();
        let memory_bytes_max = 2 * SEGMENT_BYTES;
        let options = Options { memory_bytes_max, ..options(segments) };
        let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options).unwrap();
        (0..2).for_each(|_| fill(&mut writer));
        fs::create_dir(dir.path().join(segment::NEW_SEGMENT_FILE)).unwrap();
        (0..2).for_each(|_| fill(&mut writer));
        assert_eq!(writer.condition().memory_bytes(), memory_bytes_max);
        assert!(matches!(commit(&mut writer, &[], &[(1, 40_000)]), Err(CommitError::Full { .. })));
        let frames = drain(&mut reader);
        reader.resolve(&frames[0], Resolution::Dropped(DropReason::Quota));
        drop(frames);
        reader.tend();
        fill(&mut writer);
        assert!(writer.condition().is_memory_mode(), "the disk still makes no file");
        assert_eq!(segment_files(dir.path()).len(), 2, "the oldest one's file, and the second");
        assert_eq!(drain(&mut reader).iter().map(check).collect::<Vec<_>>(), [(4, 1)]);
        assert_conserved(&reader);
    }
}

#[test]
fn a_segment_is_not_given_up_for_nothing_where_the_disk_takes_no_account() {
    let dir = private_dir().unwrap();
    let options = Options { memory_bytes_max: 2 * SEGMENT_BYTES, ..options(8) };
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options).unwrap();
    (0..2).for_each(|_| fill(&mut writer));
    fs::create_dir(dir.path().join(segment::NEW_SEGMENT_FILE)).unwrap();
    let ledger = dir.path().join(ledger::LEDGER_FILE);
    fs::remove_file(&ledger).unwrap();
    std::os::unix::fs::symlink("nowhere/to/be/found", &ledger).unwrap();
    (0..2).for_each(|_| fill(&mut writer));
    let mut frames = drain(&mut reader);
    assert!((1..=4).all(|segment| reader.would_release(segment)), "nothing waits");
    reader.resolve(&frames[0], Resolution::Dropped(DropReason::Quota));
    frames.remove(0);
    assert!(!reader.would_release(2), "it would wait behind the first one");
    assert!(reader.take_error().is_some(), "there is no ledger");
    assert!(reader.would_release(3), "memory waits for no ledger");
    fs::remove_file(&ledger).unwrap();
    assert!(reader.would_release(2));
    assert_conserved(&reader);
}
