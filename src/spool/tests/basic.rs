//! What a user of the spool relies on, one promise per test.

use super::*;
use std::time::Duration;

use crate::ids::Moment;

#[test]
fn a_frame_is_seen_only_after_publish_and_only_once() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(4)).unwrap();
    let committed = commit(&mut writer, &[], &[(3, 100), (2, 50)]).unwrap();
    assert_eq!((committed.segment, committed.group), (1, 0));
    assert!(reader.next().is_none(), "not published");
    assert_eq!(reader.totals(), Totals::default());
    writer.publish();
    let frames = drain(&mut reader);
    assert_eq!(frames.iter().map(check).collect::<Vec<_>>(), [(0, 3), (3, 2)]);
    assert!(frames[0].position() < frames[1].position());
    let totals = reader.totals();
    assert_eq!((totals.records, totals.stored_records, totals.stored_batches), (5, 5, 2));
    assert_eq!(totals.stored_bytes, frames.iter().map(Frame::bytes).sum::<u64>());
    assert!(!reader.is_drained());
    reader.resolve(&frames[0], Resolution::Delivered);
    reader.resolve(&frames[0], Resolution::Unconfirmed);
    reader.resolve(&frames[1], Resolution::Dropped(DropReason::Rejected));
    let totals = reader.totals();
    assert_eq!((totals.delivered, totals.unconfirmed, totals.dropped[0]), (3, 0, 2));
    assert!(reader.is_drained());
    assert_conserved(&reader);
}

#[test]
fn segments_go_round_and_their_files_stay_few() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(20)).unwrap();
    let mut next = 0;
    for _ in 0..100 {
        writer.prepare(Moment(0));
        commit(&mut writer, &[], &[(10, 20_000)]).unwrap();
        writer.publish();
        let frame = reader.next().unwrap();
        assert_eq!(check(&frame), (next, 10));
        next += 10;
        reader.resolve(&frame, Resolution::Delivered);
    }
    assert!(reader.next().is_none());
    assert!(segment_files(dir.path()).len() <= 3, "{:?}", segment_files(dir.path()));
    assert_eq!(reader.totals().delivered, 1000);
    assert_conserved(&reader);
}

#[test]
fn a_full_quota_says_full_and_a_resolution_makes_room() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(3)).unwrap();
    let mut committed = 0;
    let error = loop {
        match commit(&mut writer, &[], &[(1, 20_000)]) {
            Ok(_) => committed += 1,
            Err(error) => break error,
        }
        writer.publish();
    };
    assert_eq!(committed, 9, "three segments of three");
    let CommitError::Full { used_bytes, bytes_max } = error else { panic!("{error}") };
    assert_eq!((used_bytes, bytes_max), (3 * SEGMENT_BYTES, 3 * SEGMENT_BYTES));
    for _ in 0..3 {
        let frame = reader.next().unwrap();
        reader.resolve(&frame, Resolution::Dropped(DropReason::Quota));
    }
    let held = reader.next().unwrap();
    commit(&mut writer, &[], &[(1, 20_000)]).unwrap();
    writer.publish();
    assert_eq!(check(&held), (3, 1));
    assert_eq!(drain(&mut reader).len(), 6);
    assert_conserved(&reader);
}

#[test]
fn a_held_handle_keeps_its_segment_from_being_recycled() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(2)).unwrap();
    for _ in 0..6 {
        commit(&mut writer, &[], &[(1, 20_000)]).unwrap();
        writer.publish();
    }
    let frames = drain(&mut reader);
    let held = frames[0].clone();
    for frame in frames {
        reader.resolve(&frame, Resolution::Delivered);
    }
    assert!(reader.next().is_none());
    assert!(matches!(commit(&mut writer, &[], &[(1, 20_000)]), Err(CommitError::Full { .. })));
    assert_eq!(check(&held), (0, 1));
    drop(held);
    assert!(reader.next().is_none());
    commit(&mut writer, &[], &[(1, 20_000)]).unwrap();
}

#[test]
fn after_an_outage_the_files_are_given_back() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(40)).unwrap();
    for _ in 0..30 {
        commit(&mut writer, &[], &[(1, 50_000)]).unwrap();
    }
    writer.publish();
    assert_eq!(segment_files(dir.path()).len(), 30);
    while let Some(frame) = reader.next() {
        reader.resolve(&frame, Resolution::Delivered);
    }
    assert!(segment_files(dir.path()).len() <= 5, "{:?}", segment_files(dir.path()));
    for _ in 0..39 {
        commit(&mut writer, &[], &[(1, 50_000)]).unwrap();
    }
}

#[test]
fn groups_that_cannot_be_are_refused() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(4)).unwrap();
    let large = usize::try_from(GROUP_BYTES_MAX).unwrap();
    let error = commit(&mut writer, &[], &[(1, large)]).unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { .. }), "{error}");
    assert!(matches!(
        writer.commit(&Group { first_record: 1, positions: &[], batches: &[] }),
        Err(CommitError::Misnumbered { expected: 0, found: 1 })
    ));
    assert!(commit(&mut writer, &[], &[]).is_err(), "empty");
    assert!(commit(&mut writer, &[], &[(0, 10)]).is_err(), "no records");
    commit(&mut writer, &[], &[(1, 0)]).unwrap();
    writer.publish();
    assert_eq!(drain(&mut reader).iter().map(check).collect::<Vec<_>>(), [(0, 1)]);
}

/// The body that fills a segment: behind 4096, its group with one ring's position 128, 192, the topic 8, 61.
const EXACT_BODY: usize = SEGMENT_BYTES as usize - 4096 - 128 - 192 - 8 - 61;

#[test]
fn a_group_larger_than_a_segment_is_one_commit_in_a_segment_of_its_own() {
    let dir = private_dir().unwrap();
    // Two segments and no more: each larger one needs the room of those that are free.
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(2)).unwrap();
    let mut segments = Vec::new();
    let bodies = [EXACT_BODY, EXACT_BODY + 1, 40_000, 200_000, 40_000];
    for (group, bytes) in (0u32..).zip(bodies) {
        writer.prepare(Moment(0));
        let batches = [(1, bytes), (1, 0), (2, bytes)];
        let batches = if bytes < 200_000 { &batches[..1] } else { &batches[..] };
        let ends = position(group, 7);
        let committed = commit(&mut writer, &[ends], batches).unwrap();
        assert_eq!(committed.group, u64::from(group), "one commit");
        let path = dir.path().join(segment::segment_name(committed.segment));
        let length = fs::metadata(path).unwrap().len();
        segments.push((committed.segment, length));
        assert!(length == SEGMENT_BYTES || length - committed.end_offset < 4096, "its own size");
        let copied = copy_dir(dir.path());
        let recovered = recover(copied.path(), &options(2)).unwrap();
        assert_eq!(recovered.positions.last(), Some(&ends), "with its positions");
        assert_eq!(recovered.next_record, writer.next_record());
        writer.publish();
        let frames = drain(&mut reader);
        assert_eq!(frames.iter().map(check).count(), batches.len());
        frames.iter().for_each(|frame| reader.resolve(frame, Resolution::Delivered));
        drop(frames);
        assert_eq!(drain(&mut reader).len(), 0);
        assert_conserved(&reader);
    }
    let ordinary: Vec<u64> =
        segments.iter().filter(|(_, bytes)| *bytes == SEGMENT_BYTES).map(|(n, _)| *n).collect();
    assert_eq!(ordinary, [1, 3, 5], "{segments:?}");
    assert_eq!(segment_files(dir.path()).len(), 1, "what was larger is given back");
}

#[test]
fn a_group_larger_than_the_memory_for_segments_is_one_commit_too() {
    let root = private_dir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    let options = Options { memory_bytes_max: 2 * SEGMENT_BYTES, ..options(4) };
    let (mut writer, mut reader) = create(&file, INSTANCE, &options).unwrap();
    for (group, bytes) in [100, 500_000, 40_000, 40_000].into_iter().enumerate() {
        let committed = commit(&mut writer, &[], &[(1, bytes)]).unwrap();
        assert_eq!(committed.group, group as u64);
        writer.publish();
        let frames = drain(&mut reader);
        assert_eq!(frames.len(), 1);
        frames.iter().for_each(|frame| reader.resolve(frame, Resolution::Delivered));
        drop(frames);
        reader.tend();
    }
    assert_eq!(writer.condition().memory_bytes(), SEGMENT_BYTES, "what was larger is given back");
}

#[test]
fn options_out_of_range_name_themselves() {
    let dir = private_dir().unwrap();
    for (segment_bytes, bytes_max, name) in [
        (4096, 1 << 20, "segment_bytes"),
        (65_537, 1 << 20, "segment_bytes"),
        (2 << 30, 1 << 40, "segment_bytes"),
        (65_536, 65_536, "bytes_max"),
    ] {
        let options = Options { segment_bytes, bytes_max, sync: Sync::None, ..Options::default() };
        let error = create(dir.path(), INSTANCE, &options).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    Options::default().check().unwrap();
    let no_quota = Options { bytes_max: u64::MAX, ..options(2) };
    let (mut writer, _reader) = create(dir.path(), INSTANCE, &no_quota).unwrap();
    commit(&mut writer, &[], &[(1, 10)]).unwrap();
}

#[test]
fn bindings_survive_and_the_newest_holds() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(4)).unwrap();
    commit(&mut writer, &[], &[(1, 10), (1, 10)]).unwrap();
    writer.publish();
    let frames = drain(&mut reader);
    assert_eq!(frames[0].binding(), None);
    let binding = |sequence| Binding {
        producer_id: 77,
        epoch: 3,
        base_sequence: sequence,
        partition: 5,
        batch_crc: 0xdead_beef,
        sequence_space: 9,
        part: Part::default(),
    };
    for sequence in 0..5 {
        reader.bind(&frames[0], &binding(sequence)).unwrap();
        assert_eq!(frames[0].binding(), Some(binding(sequence)));
        let crashed = copy_dir(dir.path());
        let mut recovered = recover(crashed.path(), &options(4)).unwrap();
        assert_eq!(recovered.reader.next().unwrap().binding(), Some(binding(sequence)));
        assert_eq!(recovered.reader.next().unwrap().binding(), None);
    }
    // Killed while the newest one, in slot 0, was written: the one before holds.
    let torn = copy_dir(dir.path());
    let path = torn.path().join(segment::segment_name(1));
    let mut bytes = fs::read(&path).unwrap();
    let slot = usize::try_from(frames[0].position().offset).unwrap() + format::FRAME_BINDINGS[0];
    bytes[slot..slot + 8].fill(0);
    fs::write(&path, bytes).unwrap();
    let mut recovered = recover(torn.path(), &options(4)).unwrap();
    assert_eq!(recovered.reader.next().unwrap().binding(), Some(binding(3)));

    reader.resolve(&frames[0], Resolution::Delivered);
    let error = reader.bind(&frames[0], &binding(6)).unwrap_err();
    assert!(matches!(error, SpoolError::Resolved { .. }), "{error}");
}

#[test]
fn a_frame_that_ended_in_parts_is_counted_by_part_also_after_a_crash() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(4)).unwrap();
    commit(&mut writer, &[], &[(10, 10), (10, 10), (10, 10)]).unwrap();
    writer.publish();
    let frames = drain(&mut reader);
    let ends = [
        (Part { first: 6, rejected: 2, ..Part::default() }, Resolution::Delivered),
        (
            Part { first: 9, rejected: 0, ..Part::default() },
            Resolution::Dropped(DropReason::TooLarge),
        ),
        // What no sender of ours writes takes nothing from the account.
        (
            Part { first: 99, rejected: 999, ..Part::default() },
            Resolution::Dropped(DropReason::Quota),
        ),
    ];
    for (frame, (part, resolution)) in frames.iter().zip(ends) {
        let binding = Binding {
            producer_id: 77,
            epoch: 3,
            base_sequence: 0,
            partition: 5,
            batch_crc: 0,
            sequence_space: 0,
            part,
        };
        reader.bind(frame, &binding).unwrap();
        reader.resolve(frame, resolution);
        assert_conserved(&reader);
    }
    let crashed = copy_dir(dir.path());
    let mut recovered = recover(crashed.path(), &options(4)).unwrap();
    assert!(recovered.reader.next().is_none());
    for reader in [&reader, &recovered.reader] {
        let totals = reader.totals();
        let dropped = [DropReason::Rejected, DropReason::TooLarge, DropReason::Quota];
        let dropped = dropped.map(|reason| totals.dropped[reason as usize]);
        assert_eq!((totals.delivered, dropped), (8 + 9, [2 + 10, 1, 0]));
        assert_conserved(reader);
    }
}

#[test]
fn every_unpublished_ring_position_is_in_the_newest_group() {
    let dir = private_dir().unwrap();
    let (mut writer, _reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    commit(&mut writer, &[position(9, 1)], &[(1, 10)]).unwrap();
    writer.publish();
    // Three groups in three segments, none published.
    commit(&mut writer, &[position(0, 100), position(1, 7)], &[(1, 50_000)]).unwrap();
    commit(&mut writer, &[position(2, 50)], &[(1, 50_000)]).unwrap();
    commit(&mut writer, &[position(0, 200)], &[(1, 50_000)]).unwrap();
    let crashed = copy_dir(dir.path());
    let recovered = recover(crashed.path(), &options(8)).unwrap();
    assert_eq!(recovered.report.segments_scanned, 1);
    assert_eq!(recovered.positions, [position(0, 200), position(1, 7), position(2, 50)]);
    assert_eq!((recovered.next_group, recovered.next_record), (4, 4));
}

#[test]
fn starting_reads_one_segment_whatever_the_backlog() {
    let dir = private_dir().unwrap();
    let options = Options {
        segment_bytes: 4 << 20,
        bytes_max: 2 << 30,
        sync: Sync::None,
        ..Options::default()
    };
    let (mut writer, reader) = create(dir.path(), INSTANCE, &options).unwrap();
    // 256 segments of 4 MiB, each nearly full.
    for _ in 0..256 {
        commit(&mut writer, &[], &[(1000, 4_100_000)]).unwrap();
    }
    writer.publish();
    drop((writer, reader));
    let mut recovered = recover(dir.path(), &options).unwrap();
    assert_eq!((recovered.report.segments, recovered.report.segments_scanned), (256, 1));
    assert_eq!(recovered.next_record, 256_000);
    let mapped = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.contains(dir.path().to_str().unwrap())).count()
    };
    assert_eq!(mapped(), 0, "nothing of the backlog is mapped yet");
    assert_eq!(recovered.reader.totals().stored_records, 256_000);
    let frame = recovered.reader.next().unwrap();
    assert_eq!(check(&frame), (0, 1000));
    assert_eq!(mapped(), 1);
    assert_conserved(&recovered.reader);
}

#[test]
fn both_kinds_of_sync_work_and_the_interval_is_kept() {
    for sync in [Sync::Batch, Sync::Interval(Duration::from_secs(1))] {
        let dir = private_dir().unwrap();
        let options = Options { sync, ..options(4) };
        let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options).unwrap();
        for second in 0..5 {
            commit(&mut writer, &[], &[(1, 30_000)]).unwrap();
            writer.publish();
            writer.sync_due(Moment(second * 600_000_000)).unwrap();
        }
        assert_eq!(drain(&mut reader).len(), 5);
        let crashed = copy_dir(dir.path());
        assert_eq!(drain(&mut recover(crashed.path(), &options).unwrap().reader).len(), 5);
    }
}

#[test]
fn a_drained_spool_can_be_removed_and_another_cannot() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(4)).unwrap();
    commit(&mut writer, &[], &[(1, 10)]).unwrap();
    writer.publish();
    assert!(!remove_drained(writer, reader).unwrap());
    let recovered = recover(dir.path(), &options(4)).unwrap();
    (writer, reader) = (recovered.writer, recovered.reader);
    let frame = reader.next().unwrap();
    reader.resolve(&frame, Resolution::Delivered);
    drop(frame);
    assert!(remove_drained(writer, reader).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn halves_can_be_sent_to_their_threads() {
    fn is_send<T: Send>() {}
    is_send::<Writer>();
    is_send::<Reader>();
    is_send::<Frame>();
}
