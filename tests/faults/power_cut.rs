//! Fault 6: a power cut. The image below a mounted ext4 is cloned at one instant (a reflink of XFS), mounted, and the
//! spool in it recovered: what was reported durable must be there, and nothing that was never written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::checksum::crc32c;
use logdrive::clock::Clock;
use logdrive::ids::InstanceId;
use logdrive::spool;
use logdrive::spool::Batch;
use logdrive::spool::Group;
use logdrive::spool::Options;
use logdrive::spool::Resolution;
use logdrive::spool::Sync;
use logdrive::spool::Writer;
use tempfile::TempDir;

use crate::mount::Kind;
use crate::mount::Mount;
use crate::mount::run;
use crate::row::Row;
use crate::support::oracle::Tally;
use crate::support::wait;

const MODES: [(&str, Sync); 3] = [
    ("batch", Sync::Batch),
    ("interval", Sync::Interval(Duration::from_millis(20))),
    ("none", Sync::None),
];

fn options(sync: Sync) -> Options {
    Options { segment_bytes: 256 << 10, bytes_max: 128 << 20, sync, ..Options::default() }
}

fn body(number: u64) -> Vec<u8> {
    let bytes = 200 + (number * 131 % 6_000) as usize;
    (0..bytes).map(|index| (number * 17 + index as u64 * 3) as u8).collect()
}

#[test]
fn power_cuts() {
    let row = Row::begin("6", "power cut", 10, 500);
    let Some(outer) = Mount::new(Kind::Xfs) else {
        return row.finish("skipped: no mounts here", &Tally::default());
    };
    let (mut tally, mut invalid, mut lost) = (Tally::default(), 0, 0);
    for cut in 0..row.runs() {
        let (mode, sync) = MODES[cut as usize % MODES.len()];
        let mut random = row.random(cut);
        let until = 20 + random.below(400);
        let (durable, committed, found) = cut_once(&outer, sync, until);
        let valid: Vec<u64> = found.iter().filter(|(_, good)| *good).map(|(n, _)| *n).collect();
        invalid += (found.len() - valid.len()) as u64;
        let missing = (0..durable).filter(|number| !valid.contains(number)).count() as u64;
        println!(
            "cut {cut}, sync {mode}: {durable} durable, {committed} committed, {} found",
            valid.len()
        );
        let verdict = Tally {
            accepted: durable,
            delivered: valid.len() as u64,
            missing,
            garbage: (found.len() - valid.len()) as u64,
            ..Tally::default()
        };
        verdict.assert_clean(&format!("cut {cut}, sync {mode}"));
        lost += committed.saturating_sub(valid.len() as u64);
        tally += verdict;
    }
    let figures = format!(
        "invalid accepted {invalid}, synced missing {}, unsynced lost {lost}",
        tally.missing
    );
    row.finish(&figures, &tally);
}

/// What was durable before the cut, what was committed after it, and what was found, each with whether it is true.
fn cut_once(outer: &Mount, sync: Sync, until: u64) -> (u64, u64, Vec<(u64, bool)>) {
    let image = outer.dir().join("disk");
    let clone = outer.dir().join("clone");
    let file = fs::File::create(&image).unwrap();
    file.set_len(64 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]).unwrap();
    let mounted = TempDir::new().unwrap();
    let at = |dir: &TempDir| dir.path().to_str().unwrap().to_owned();
    run("mount", &["-o", "loop", image.to_str().unwrap(), &at(&mounted)]).unwrap();
    let (durable, committed, stops) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let dir = mounted.path().join("spool");
    let before = std::thread::scope(|scope| {
        scope.spawn(|| write_all(&dir, sync, &durable, &committed, &stops));
        wait::until("groups are committed", || committed.load(Ordering::Acquire) >= until);
        let before = durable.load(Ordering::Acquire);
        run("cp", &["--reflink=always", image.to_str().unwrap(), clone.to_str().unwrap()]).unwrap();
        stops.store(true, Ordering::Release);
        before
    });
    let after = committed.load(Ordering::Acquire);
    unmount(&at(&mounted));
    let again = TempDir::new().unwrap();
    run("mount", &["-o", "loop", clone.to_str().unwrap(), &at(&again)]).unwrap();
    let found = read_all(&again.path().join("spool"));
    unmount(&at(&again));
    fs::remove_file(&image).unwrap();
    fs::remove_file(&clone).unwrap();
    (before, after, found)
}

/// A process that another row has just forked may hold our files until it is another program.
fn unmount(dir: &str) {
    wait::until("it is unmounted", || run("umount", &[dir]).is_ok());
}

fn write_all(
    dir: &Path,
    sync: Sync,
    durable: &AtomicU64,
    committed: &AtomicU64,
    stops: &AtomicBool,
) {
    let clock = Clock::start();
    fs::create_dir(dir).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    fs::File::open(dir.parent().unwrap()).unwrap().sync_all().unwrap();
    let (mut writer, _reader) = spool::create(dir, InstanceId([9; 16]), &options(sync)).unwrap();
    let mut number = 0;
    while !stops.load(Ordering::Acquire) && number < 10_000 {
        commit(&mut writer, number);
        number += 1;
        writer.prepare(clock.moment());
        match sync {
            Sync::Batch => durable.store(number, Ordering::Release),
            Sync::Interval(interval) => {
                // An hour later by its clock: it is due.
                writer.sync_due(clock.moment()).unwrap();
                if number.is_multiple_of(50) {
                    std::thread::sleep(interval);
                    writer.sync_due(clock.moment()).unwrap();
                    durable.store(number, Ordering::Release);
                }
            }
            Sync::None => {}
        }
        committed.store(number, Ordering::Release);
    }
}

fn commit(writer: &mut Writer, number: u64) {
    let body = body(number);
    let batch = Batch {
        topic: "power",
        partition: -1,
        severity_max: 1,
        batch_number: number,
        first_record: number,
        record_count: 1,
        max_timestamp: 0,
        header: &[0x61; 61],
        body: &body,
        body_crc: crc32c(&body),
    };
    writer.commit(&Group { first_record: number, positions: &[], batches: &[batch] }).unwrap();
    writer.publish();
}

fn read_all(dir: &Path) -> Vec<(u64, bool)> {
    // Not even the directory, where nothing was synced.
    if !dir.exists() {
        return Vec::new();
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    let mut recovered = match spool::recover(dir, &options(Sync::None)) {
        Ok(recovered) => recovered,
        Err(spool::SpoolError::NotASpool { .. }) => return Vec::new(),
        Err(error) => panic!("refused: {error}"),
    };
    let mut found = Vec::new();
    while let Some(frame) = recovered.reader.next() {
        found.push((frame.first_record(), frame.body() == body(frame.first_record())));
        recovered.reader.resolve(&frame, Resolution::Delivered);
    }
    found
}
