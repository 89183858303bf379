//! Flipped bits, cut, zeroed, swapped, copied and foreign files: no panic, and every frame whose
//! bytes were not touched is found.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Five segments of three groups of two batches; gives (first record, records, file, byte range).
type Stored = (u64, u32, PathBuf, std::ops::Range<usize>);

fn filled() -> (tempfile::TempDir, Vec<Stored>) {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    for _ in 0..15 {
        commit(&mut writer, &[position(1, 5)], &[(3, 9_000), (2, 9_000)]).unwrap();
    }
    writer.publish();
    let stored = drain(&mut reader)
        .iter()
        .map(|frame| {
            let Position { segment, offset } = frame.position();
            let start = usize::try_from(offset).unwrap();
            let end = start + usize::try_from(frame.bytes()).unwrap();
            let path = PathBuf::from(segment::segment_name(segment));
            (frame.first_record(), frame.record_count(), path, start..end)
        })
        .collect();
    assert_eq!(segment_files(dir.path()).len(), 5);
    (dir, stored)
}

/// Recovers, and gives the first records handed out and the totals after all are delivered.
fn salvage(dir: &Path) -> (BTreeSet<u64>, Totals, Report) {
    let mut recovered = recover(dir, &options(8)).unwrap();
    let mut found = BTreeSet::new();
    while let Some(frame) = recovered.reader.next() {
        assert!(found.insert(check(&frame).0), "handed out twice");
        recovered.reader.resolve(&frame, Resolution::Delivered);
        assert_conserved(&recovered.reader);
    }
    assert!(recovered.reader.is_drained());
    // What was damaged is gone through once: the next process finds a clean spool.
    commit(&mut recovered.writer, &[], &[(1, 60_000)]).ok();
    (found, recovered.reader.totals(), recovered.report)
}

#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Zero(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

fn harm() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 0u8..8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        2 => (index(), 1usize..9_000).prop_map(|(at, bytes)| Harm::Zero(at, bytes)),
        1 => index().prop_map(Harm::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn untouched_frames_are_all_found(
        harms in prop::collection::vec((any::<prop::sample::Index>(), harm()), 1..6),
    ) {
        let (dir, stored) = filled();
        let files = segment_files(dir.path());
        let mut touched: Vec<(PathBuf, std::ops::Range<usize>)> = Vec::new();
        for (file, harm) in harms {
            let name = &files[file.index(files.len())];
            let path = dir.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let range = match harm {
                Harm::Flip(at, bit) => {
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                    at..at + 1
                }
                Harm::Zero(at, count) => {
                    let at = at.index(bytes.len());
                    let end = (at + count).min(bytes.len());
                    bytes[at..end].fill(0);
                    at..end
                }
                Harm::Cut(at) => {
                    let at = at.index(bytes.len());
                    bytes.truncate(at);
                    at..usize::MAX
                }
            };
            fs::write(&path, bytes).unwrap();
            touched.push((PathBuf::from(name), range));
        }
        let hit = |path: &PathBuf, bytes: &std::ops::Range<usize>| {
            touched.iter().any(|(p, r)| p == path && r.start < bytes.end && bytes.start < r.end)
        };
        let (found, totals, _) = salvage(dir.path());
        for (first_record, _, path, bytes) in &stored {
            let must_be_found = !hit(path, bytes);
            prop_assert!(!must_be_found || found.contains(first_record), "{first_record} {touched:?}");
        }
        let records: u64 =
            stored.iter().filter(|s| found.contains(&s.0)).map(|s| u64::from(s.1)).sum();
        prop_assert_eq!(totals.delivered, records);
    }
}

#[test]
fn a_single_flip_anywhere_in_the_first_page_loses_nothing() {
    let (pristine, stored) = filled();
    for file in segment_files(pristine.path()) {
        for at in (0..160).chain([4095]) {
            let dir = copy_dir(pristine.path());
            let path = dir.path().join(&file);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 0x40;
            fs::write(&path, bytes).unwrap();
            let (found, totals, report) = salvage(dir.path());
            assert_eq!(found.len(), stored.len(), "{file} at {at}: {report:?}");
            assert_eq!(totals.damaged, 0);
        }
    }
}

#[test]
fn the_damaged_range_is_named_and_its_bytes_are_kept() {
    let (dir, stored) = filled();
    let (first_record, records, file, range) = stored[7].clone();
    let path = dir.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[range.start + 300] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut recovered = recover(dir.path(), &options(8)).unwrap();
    assert_eq!(drain(&mut recovered.reader).len(), 29);
    let damages: Vec<Damage> = std::iter::from_fn(|| recovered.reader.take_damage()).collect();
    let as_u64 = range.start as u64..range.end as u64;
    assert_eq!(damages.len(), 2);
    assert_eq!((&damages[0].bytes, &damages[0].records), (&as_u64, &(0..0)));
    assert_eq!(damages[1].records, first_record..first_record + u64::from(records));
    assert_eq!(recovered.reader.totals().damaged, u64::from(records));
    let kept = format!("{:020}-{}.bytes", damages[0].segment, range.start);
    let kept = fs::read(dir.path().join(quarantine::QUARANTINE_DIR).join(kept)).unwrap();
    assert_eq!(kept, bytes[range]);
}

#[test]
fn a_missing_segment_is_a_range_of_damaged_records() {
    let (dir, _) = filled();
    fs::remove_file(dir.path().join(segment::segment_name(2))).unwrap();
    let (found, totals, report) = salvage(dir.path());
    assert_eq!(found.len(), 24);
    assert_eq!((totals.damaged, totals.delivered), (15, 60));
    assert!(!report.tail_unknown);
}

#[test]
fn a_segment_that_vanishes_before_it_is_reached_is_counted_and_said() {
    let (dir, _) = filled();
    let mut recovered = recover(dir.path(), &options(8)).unwrap();
    assert!(recovered.reader.next().is_some());
    fs::remove_file(dir.path().join(segment::segment_name(3))).unwrap();
    assert_eq!(drain(&mut recovered.reader).len(), 23);
    assert_eq!(recovered.reader.totals().damaged, 15);
    assert!(matches!(recovered.reader.take_error(), Some(SpoolError::Io { action: "open", .. })));
    let damage = recovered.reader.take_damage().unwrap();
    assert_eq!((damage.bytes, damage.records), (0..0, 30..45));
    assert_conserved(&recovered.reader);
    recovered.reader.release_all().unwrap();
    let mut heir = recover(dir.path(), &options(8)).unwrap().reader;
    assert_eq!(heir.take_inherited().next(), Some(Lost { records: 30..45, reason: None }));
}

#[test]
fn a_ledger_that_was_only_being_made_is_no_damage() {
    for blank in [0, 4096] {
        let (dir, _) = filled();
        fs::write(dir.path().join(ledger::LEDGER_FILE), vec![0; blank]).unwrap();
        let (found, _, report) = salvage(dir.path());
        assert_eq!((found.len(), report.set_aside.len()), (30, 0));
    }
}

#[test]
fn a_spool_whose_directory_is_moved_releases_what_is_delivered() {
    let (dir, other) = (private_dir().unwrap(), private_dir().unwrap());
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(3)).unwrap();
    while commit(&mut writer, &[], &[(3, 60_000)]).is_ok() {}
    fs::rename(dir.path(), other.path().join("moved")).unwrap();
    writer.publish();
    for frame in drain(&mut reader) {
        reader.resolve(&frame, Resolution::Delivered);
    }
    let room = commit(&mut writer, &[], &[(3, 60_000)]);
    assert!(room.is_ok(), "none again, not even in memory: {room:?}, {:?}", reader.take_error());
    assert_conserved(&reader);
}

#[test]
fn a_damaged_tail_is_said_to_be_unknown() {
    let (dir, stored) = filled();
    let (_, _, file, range) = stored.last().unwrap().clone();
    let path = dir.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[range.start + 300] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (found, totals, report) = salvage(dir.path());
    assert_eq!(found.len(), 29);
    assert!(report.tail_unknown);
    assert_eq!(totals.damaged, 2, "its group's header tells how many");
}

#[test]
fn swapped_names_are_put_right_and_copies_and_strangers_set_aside() {
    let (dir, stored) = filled();
    let path = |number| dir.path().join(segment::segment_name(number));
    fs::copy(path(3), path(9)).unwrap();
    fs::copy(path(5), path(0)).unwrap();
    fs::rename(path(1), dir.path().join("x.seg")).unwrap();
    fs::rename(path(4), path(1)).unwrap();
    fs::rename(dir.path().join("x.seg"), path(4)).unwrap();
    fs::write(path(11), vec![0x77; 100_000]).unwrap();
    fs::write(path(12), b"").unwrap();
    fs::write(dir.path().join("notes.seg"), b"hello").unwrap();
    fs::create_dir(path(13)).unwrap();
    let other = private_dir().unwrap();
    let (mut writer, _reader) = create(other.path(), InstanceId([1; 16]), &options(2)).unwrap();
    commit(&mut writer, &[], &[(1, 10)]).unwrap();
    fs::copy(other.path().join(segment::segment_name(1)), path(14)).unwrap();
    fs::write(dir.path().join("unrelated.txt"), b"not ours to judge").unwrap();

    let (found, totals, report) = salvage(dir.path());
    assert_eq!(found.len(), stored.len());
    assert_eq!(totals.damaged, 0);
    let reasons: BTreeSet<String> =
        report.set_aside.iter().map(|aside| aside.reason.to_string()).collect();
    assert_eq!(report.set_aside.len(), 7, "{reasons:?}");
    assert!(report.set_aside.iter().all(|aside| aside.path.exists()));
    assert!(reasons.contains(&SetAsideReason::Duplicate(3).to_string()), "{reasons:?}");
    let copy = dir.path().join(quarantine::QUARANTINE_DIR).join(segment::segment_name(0));
    assert!(copy.exists(), "of two equals the one with the right name is kept");
    let foreign = SetAsideReason::OtherInstance(InstanceId([1; 16])).to_string();
    assert!(reasons.contains(&foreign), "{reasons:?}");
    assert!(dir.path().join("unrelated.txt").exists());
}

/// Puts the first `bytes` of segment `from` of `pristine` over those of segment `to` of `dir`.
fn overwrite_start(pristine: &Path, from: u64, dir: &Path, to: u64, bytes: usize) {
    let start = fs::read(pristine.join(segment::segment_name(from))).unwrap();
    let path = dir.join(segment::segment_name(to));
    let mut target = fs::read(&path).unwrap();
    target[..bytes].copy_from_slice(&start[..bytes]);
    fs::write(path, target).unwrap();
}

#[test]
fn good_headers_that_are_not_their_own_hide_nothing() {
    for bytes in [512, format::DATA_START] {
        // Copied, and swapped.
        for (is_swapped, first, second) in
            [(false, 2, 4), (false, 4, 2), (false, 5, 1), (true, 2, 4), (true, 5, 1)]
        {
            let (dir, stored) = filled();
            let pristine = copy_dir(dir.path());
            overwrite_start(pristine.path(), first, dir.path(), second, bytes);
            if is_swapped {
                overwrite_start(pristine.path(), second, dir.path(), first, bytes);
            }
            let (found, totals, report) = salvage(dir.path());
            assert_eq!(found.len(), stored.len(), "{first} {second} {is_swapped}: {report:?}");
            assert_eq!((totals.damaged, report.set_aside.len()), (0, 0));
        }
    }
}

#[test]
fn a_length_that_is_not_its_own_cuts_no_group() {
    let dir = private_dir().unwrap();
    let (mut writer, reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    for bytes in [25_000, 25_000, 17_000, 17_000, 17_000] {
        commit(&mut writer, &[], &[(1, bytes)]).unwrap();
    }
    drop((writer, reader));
    assert_eq!(segment_files(dir.path()).len(), 2);
    for (from, to) in [(1, 2), (2, 1)] {
        let copy = copy_dir(dir.path());
        overwrite_start(dir.path(), from, copy.path(), to, 512);
        let (found, totals, report) = salvage(copy.path());
        assert_eq!((found.len(), totals.damaged), (5, 0), "{from} over {to}: {report:?}");
    }
}

#[test]
fn a_lost_ledger_repeats_nothing_and_says_so() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    for _ in 0..15 {
        commit(&mut writer, &[], &[(1, 20_000)]).unwrap();
    }
    writer.publish();
    for _ in 0..8 {
        let frame = reader.next().unwrap();
        reader.resolve(&frame, Resolution::Delivered);
    }
    assert!(reader.next().is_some(), "and releases two segments");
    drop((writer, reader));
    fs::write(dir.path().join(ledger::LEDGER_FILE), b"garbage").unwrap();
    // One released segment is gone, the other one waits to be recycled.
    fs::remove_file(dir.path().join(segment::segment_name(1))).unwrap();
    // A crash right after the recovery must not turn the unknown into damage.
    let first = recover(dir.path(), &options(8)).unwrap();
    assert!(first.report.ledger_lost && !first.report.tail_unknown);
    assert_eq!(first.report.set_aside.len(), 1);
    drop(first);
    let mut second = recover(dir.path(), &options(8)).unwrap();
    assert_eq!(drain(&mut second.reader).iter().map(check).next(), Some((8, 1)));
    let totals = second.reader.totals();
    assert_eq!(totals.damaged, 0);
    assert_eq!((totals.delivered, totals.unconfirmed), (5, 3));
    assert_eq!(totals.stored_records, 7);
}

#[test]
fn a_directory_that_tells_nothing_is_no_spool() {
    let dir = private_dir().unwrap();
    let error = recover(dir.path(), &options(4)).unwrap_err();
    assert!(matches!(error, SpoolError::NotASpool { .. }), "{error}");
    let named = dir.path().join(INSTANCE.to_string());
    let recovered = recover(&named, &options(4)).unwrap();
    assert_eq!((recovered.instance, recovered.next_record), (INSTANCE, 0));
    assert!(recovered.report.tail_unknown, "nothing tells what was numbered");
}
