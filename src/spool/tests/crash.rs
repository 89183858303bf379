//! A crash at every step of a segment's life, and a process killed for real.

use super::*;
use std::env;
use std::io::Read;
use std::io::Write;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::Ordering;

use crate::spool::format::Address;
use crate::spool::format::COMMITTED;
use crate::spool::format::DATA_START;
use crate::spool::format::SegmentHeader;
use crate::spool::format::committed_word;
use crate::sys::mapping::Mapping;

/// Two full segments, the first one delivered and in the ledger, but its file not yet recycled.
fn released() -> tempfile::TempDir {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    for _ in 0..6 {
        commit(&mut writer, &[position(0, 1)], &[(1, 20_000)]).unwrap();
    }
    writer.publish();
    for _ in 0..3 {
        let frame = reader.next().unwrap();
        reader.resolve(&frame, Resolution::Delivered);
    }
    assert!(reader.next().is_some(), "and releases the first segment");
    copy_dir(dir.path())
}

/// What every one of these crashes must leave: records 3, 4, 5, once each, and a true account.
fn assert_second_segment_is_left(dir: &Path) {
    for _ in 0..2 {
        let mut recovered = recover(dir, &options(8)).unwrap();
        assert_eq!(recovered.report.set_aside, []);
        assert_eq!((recovered.next_record, recovered.next_group), (6, 6));
        let frames = drain(&mut recovered.reader);
        assert_eq!(frames.iter().map(check).collect::<Vec<_>>(), [(3, 1), (4, 1), (5, 1)]);
        let totals = recovered.reader.totals();
        assert_eq!((totals.records, totals.delivered, totals.damaged), (6, 3, 0));
        assert_eq!(recovered.reader.take_damage(), None);
        assert_conserved(&recovered.reader);
        assert_eq!(segment_files(dir), [segment::segment_name(2)]);
    }
}

#[test]
fn crash_between_ledger_and_recycling() {
    let dir = released();
    assert_eq!(segment_files(dir.path()).len(), 2);
    assert_second_segment_is_left(dir.path());
}

#[test]
fn what_a_dead_process_gave_up_is_known_by_its_numbers() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    for _ in 0..9 {
        commit(&mut writer, &[], &[(10, 20_000)]).unwrap();
    }
    writer.publish();
    let quota = Resolution::Dropped(DropReason::Quota);
    // Three frames in a segment: of the drops, two are in the ledger and one is only a state.
    for resolution in [Resolution::Delivered, quota, quota, quota, Resolution::Delivered] {
        let frame = reader.next().unwrap();
        reader.resolve(&frame, resolution);
    }
    let given_up = |records| Lost { records, reason: Some(DropReason::Quota) };
    let crashed = copy_dir(dir.path());
    let mut heir = recover(crashed.path(), &options(8)).unwrap().reader;
    assert_eq!(heir.take_inherited().collect::<Vec<_>>(), [given_up(10..30)]);
    for frame in drain(&mut heir) {
        heir.resolve(&frame, Resolution::Delivered);
    }
    assert_eq!(heir.take_inherited().collect::<Vec<_>>(), [given_up(30..40)], "each is told once");
    assert!(heir.next().is_none(), "and releases all");
    assert_conserved(&heir);
    let mut next_heir = recover(crashed.path(), &options(8)).unwrap().reader;
    assert_eq!(next_heir.take_inherited().collect::<Vec<_>>(), [given_up(10..40)]);
}

#[test]
fn crash_at_each_step_of_recycling() {
    let path = |dir: &tempfile::TempDir, number| dir.path().join(segment::segment_name(number));
    let dir = released();
    let mut mapping = Mapping::open(&path(&dir, 1)).unwrap();
    mapping.atomic_u64(COMMITTED).store(committed_word(0), Ordering::Release);
    assert_second_segment_is_left(copy_dir(dir.path()).path());

    let address = Address { instance: INSTANCE, segment: 3 };
    let header = SegmentHeader { address, segment_bytes: SEGMENT_BYTES }.encode();
    mapping.write(0, &header[..33]);
    assert_second_segment_is_left(copy_dir(dir.path()).path());
    mapping.write(0, &header);
    assert_second_segment_is_left(copy_dir(dir.path()).path());

    fs::rename(path(&dir, 1), path(&dir, 3)).unwrap();
    assert_second_segment_is_left(copy_dir(dir.path()).path());
}

#[test]
fn crash_while_a_segment_is_allocated() {
    let dir = released();
    fs::write(dir.path().join(segment::NEW_SEGMENT_FILE), [0; 1000]).unwrap();
    assert_second_segment_is_left(dir.path());
    assert!(!dir.path().join(segment::NEW_SEGMENT_FILE).exists());
}

#[test]
fn crash_before_the_ledger_repeats_nothing() {
    let dir = private_dir().unwrap();
    let (mut writer, mut reader) = create(dir.path(), INSTANCE, &options(8)).unwrap();
    for _ in 0..6 {
        commit(&mut writer, &[], &[(1, 20_000)]).unwrap();
    }
    writer.publish();
    for _ in 0..3 {
        let frame = reader.next().unwrap();
        reader.resolve(&frame, Resolution::Delivered);
    }
    let dir = copy_dir(dir.path());
    let mut recovered = recover(dir.path(), &options(8)).unwrap();
    assert_eq!(drain(&mut recovered.reader).len(), 3);
    assert_eq!(recovered.reader.totals().delivered, 3);
    assert_second_segment_is_left(dir.path());
}

#[test]
fn half_a_group_is_none_and_a_whole_one_above_committed_counts() {
    let dir = private_dir().unwrap();
    let (mut writer, _reader) = create(dir.path(), INSTANCE, &options(4)).unwrap();
    commit(&mut writer, &[position(0, 10)], &[(1, 1000)]).unwrap();
    let second = commit(&mut writer, &[position(0, 20)], &[(1, 1000), (1, 1000)]).unwrap();
    let path = dir.path().join(segment::segment_name(1));
    let first_group_bytes = 128 + format::frame_bytes(8, 1000);
    let end = usize::try_from(second.end_offset).unwrap();
    assert!(DATA_START + first_group_bytes < end);

    let mapping = Mapping::open(&path).unwrap();
    mapping.atomic_u64(COMMITTED).store(committed_word(first_group_bytes), Ordering::Release);
    let whole = copy_dir(dir.path());
    let mut recovered = recover(whole.path(), &options(4)).unwrap();
    assert_eq!(recovered.positions, [position(0, 20)]);
    assert_eq!((recovered.next_record, drain(&mut recovered.reader).len()), (3, 3));

    // The last frame's body was not copied to its end.
    let half = copy_dir(dir.path());
    let path = half.path().join(segment::segment_name(1));
    let mut bytes = fs::read(&path).unwrap();
    bytes[end - 100..end].fill(0);
    fs::write(&path, bytes).unwrap();
    let mut recovered = recover(half.path(), &options(4)).unwrap();
    assert_eq!(recovered.positions, [position(0, 10)], "the ring still holds those records");
    assert_eq!((recovered.next_record, drain(&mut recovered.reader).len()), (1, 1));
    assert!(!recovered.report.tail_unknown);
    assert_eq!(recovered.reader.take_damage(), None);
}

const CHILD_DIR: &str = "LOGDRIVE_TEST_SPOOL_DIR";

/// Runs only as the child of the next test: commits and resolves for ever, and says after each step
/// what it has done, so that the parent knows what must be there.
#[test]
fn child_process() {
    let Some(dir) = env::var_os(CHILD_DIR) else { return };
    let recovered = recover(Path::new(&dir), &options(8)).unwrap();
    let (mut writer, mut reader) = (recovered.writer, recovered.reader);
    let say = |what: u8, number: u64| {
        let mut line = [what; 9];
        line[1..].copy_from_slice(&number.to_le_bytes());
        std::io::stderr().write_all(&line).unwrap();
    };
    loop {
        let positions = [position(0, writer.next_record())];
        match commit(&mut writer, &positions, &[(1, 9_000), (1, 5_000)]) {
            Ok(_) => say(b'C', writer.next_record()),
            Err(CommitError::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        writer.publish();
        writer.prepare(Moment(0));
        for _ in 0..2 {
            let Some(frame) = reader.next() else { continue };
            check(&frame);
            reader.resolve(&frame, Resolution::Delivered);
            say(b'R', frame.first_record());
        }
    }
}

#[test]
fn ten_kills_lose_and_repeat_nothing() {
    let dir = private_dir().unwrap();
    drop(create(dir.path(), INSTANCE, &options(8)).unwrap());
    let mut committed = 0;
    let mut resolved = 0;
    for kill in 0..10 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "spool::tests::crash::child_process", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = listen_and_kill(&mut child, 200 + 37 * kill);
        for line in said.chunks_exact(9) {
            let number = u64::from_le_bytes(line[1..].try_into().unwrap());
            match line[0] {
                b'C' => committed = number,
                b'R' => {
                    assert_eq!(number, resolved, "in order, none twice, none left out");
                    resolved = number + 1;
                }
                other => panic!("said {other}"),
            }
        }
        let crashed = copy_dir(dir.path());
        let mut recovered = recover(crashed.path(), &options(8)).unwrap();
        assert!(recovered.next_record >= committed, "a commit that was reported is lost");
        assert!(recovered.next_record <= committed + 2);
        let frames = drain(&mut recovered.reader);
        let first = frames.first().map_or(recovered.next_record, Frame::first_record);
        // It may have been killed between a resolution and the report of it.
        assert!(first == resolved || first == resolved + 1, "{first}, {resolved}");
        let expected: Vec<(u64, u32)> = (first..recovered.next_record).map(|n| (n, 1)).collect();
        assert_eq!(frames.iter().map(check).collect::<Vec<_>>(), expected);
        let totals = recovered.reader.totals();
        assert_eq!((totals.delivered, totals.damaged), (first, 0));
        assert_conserved(&recovered.reader);
        (committed, resolved) = (recovered.next_record, first);
    }
    assert!(committed > 100, "the children did something");
}

/// Reads what the child says until it has said `lines`, kills it, and reads the rest.
fn listen_and_kill(child: &mut Child, lines: usize) -> Vec<u8> {
    let mut said = vec![0; 9 * lines];
    let mut stderr = child.stderr.take().unwrap();
    let heard = stderr.read_exact(&mut said);
    child.kill().unwrap();
    child.wait().unwrap();
    heard.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&said)));
    stderr.read_to_end(&mut said).unwrap();
    said
}
