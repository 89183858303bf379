//! Fault 24: the wall clock jumps by days and decades, stands still, and comes back, while the application logs. Real
//! libfaketime; the monotonic clock stays true, as it does when somebody sets the date.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use logdrive::inspect::segment::Found;
use logdrive::inspect::source;

use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::oracle::Tally;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str =
    "name=application&spool.full=block&ring.full=block&ring.bytes_max=2MiB&linger=1ms";
/// As libfaketime has them: an offset, a moment from which time goes on, or one at which it stands still.
const CLOCKS: [&str; 9] = [
    "+1d",
    "-1d",
    "+10y",
    "-10y",
    "@1970-01-01 00:00:05",
    "@2038-01-19 03:14:00",
    "+1",
    "2026-12-31 23:59:59",
    "+0",
];
const JUMPS_PER_SITE: u64 = 20;
/// 2100-01-01, in milliseconds since 1970: a time beyond it was calculated wrongly.
const LATEST_MS: i64 = 4_102_444_800_000;

#[test]
fn the_wall_clock_jumps() {
    let row = Row::begin("24", "jumps of the wall clock", 40, 1_000);
    let Some(library) = library() else { return };
    let (mut tally, mut jumps, mut years) = (Tally::default(), 0, 0);
    for group in 0..row.runs().div_ceil(JUMPS_PER_SITE) {
        let mut random = row.random(group);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("jumps", &[receiver.address], OPTIONS);
        let clock = site.memory_file("clock");
        set(&clock, "+0");
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ];
        let witness = site.memory_file("witness");
        let mut application = Application::start_with(1, &url, &witness, None, &environment);
        let last = row.runs().min((group + 1) * JUMPS_PER_SITE);
        while jumps < last {
            // It logs, and the receiver's files grow, under each clock.
            let logged = application.accepted();
            application.wait_for(logged + 50);
            let stored = crate::support::site::bytes_below(&dirs[0]);
            wait::until("records arrive under this clock", || {
                crate::support::site::bytes_below(&dirs[0]) > stored
            });
            set(&clock, CLOCKS[random.below(CLOCKS.len() as u64) as usize]);
            jumps += 1;
        }
        let accepted = application.stop();
        let verdict = Delivered::read(&dirs, "jumps").judge(&[accepted], 0);
        verdict.assert_clean(&format!("group {group}"));
        delivered::assert_accounted(&dirs);
        years = years.max(years_between_times(&dirs));
        tally += verdict;
    }
    assert!(years >= 5, "the clock did not jump: {years} years between records");
    let figures = format!("records arrive under each clock, times up to {years} years apart");
    row.finish(&figures, &tally);
}

/// libfaketime for programs with threads; none, and a line that says why, where it cannot be installed.
fn library() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/setup.sh");
    let installed = Command::new(script).arg("faketime").output().unwrap();
    if !installed.status.success() {
        let reason = String::from_utf8_lossy(&installed.stderr);
        eprintln!("SKIPPED fault 24: {}", reason.trim());
        return None;
    }
    let dirs = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    dirs.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

fn set(clock: &Path, time: &str) {
    // Renamed into place: nobody reads half a time.
    let fresh = clock.with_extension("new");
    fs::write(&fresh, format!("{time}\n")).unwrap();
    fs::rename(fresh, clock).unwrap();
}

/// Fails where a time is before 1970 or beyond [`LATEST_MS`].
fn years_between_times(dirs: &[PathBuf]) -> i64 {
    let mut times = Vec::new();
    for file in source::files(dirs, None).unwrap() {
        let walked = source::walk(&file, |found| {
            let Found::Batch(batch) = found else { return };
            times.extend([batch.header.base_timestamp, batch.header.max_timestamp]);
        });
        walked.unwrap();
    }
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*first >= 0 && *last < LATEST_MS, "times from {first} to {last}");
    (last - first) / (365 * 86_400_000)
}
