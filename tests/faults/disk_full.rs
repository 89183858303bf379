//! Fault 2: the disk below spool and ring fills to its last block at random moments, and has room again later.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use logdrive::clock::Clock;

use crate::delivered::Delivered;
use crate::mount::Kind;
use crate::mount::Mount;
use crate::mount::run;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB&codec=none\
    &poll.idle=5ms&spool.bytes_max=1GiB";
const KINDS: [Kind; 4] = [Kind::Tmpfs, Kind::Ext4, Kind::Xfs, Kind::Btrfs];
/// The promise, with what a busy machine needs on top.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn the_disk_fills_and_has_room_again() {
    let row = Row::begin("2", "disk full", 20, 350);
    let (mut tally, mut resumed_max, mut fills) = (Tally::default(), Duration::ZERO, 0);
    for run in 0..row.runs() {
        let Some(mount) = Mount::new(KINDS[run as usize % KINDS.len()]) else { continue };
        let (verdict, resumed) = fill_once(&mount, &mut row.random(run), run);
        tally += verdict;
        resumed_max = resumed_max.max(resumed);
        fills += 1;
    }
    let figures =
        format!("{fills} fills, 0 signals, resumed within {} ms", resumed_max.as_millis());
    row.finish(&figures, &tally);
    assert!(resumed_max <= RESUMES_WITHIN, "resumed after {resumed_max:?}");
}

fn fill_once(mount: &Mount, random: &mut Random, number: u64) -> (Tally, Duration) {
    let site = Site::new();
    let dirs = [site.receiver_dir(0)];
    let address = lasting_address();
    let dir = mount.dir().join("spool");
    let options = format!("{OPTIONS}&spool.dir={}", dir.display());
    let url = site.url_of_topic("full", &[address], &options);
    let filler = mount.dir().join("filler");
    // The application may be faster than the filler: what is freed is room for some segments in any case.
    let reserve = mount.dir().join("reserve");
    run("fallocate", &["-l", "16MiB", reserve.to_str().unwrap()]).unwrap();
    // Sometimes it is full before the application comes.
    let is_full_at_start = random.below(4) == 0;
    if is_full_at_start {
        fill(&filler);
    }
    let mut application = Application::start(0, &url, &site.memory_file("witness"), None);
    application.wait_for(1 + random.below(400));
    if !is_full_at_start {
        fill(&filler);
    }
    // Nobody receives: the spool on the disk, then memory, then the rings fill, and the callers wait.
    wait_until_it_stands(&mut application);
    let stood_at = application.accepted();
    // A try may be under way at this moment.
    wait::until("no half file is left", || !has_half_files(&dir));
    fs::remove_file(&filler).unwrap();
    fs::remove_file(&reserve).unwrap();
    let clock = Clock::start();
    let freed = clock.moment();
    wait::until(&format!("{} goes on, run {number}", mount.name()), || {
        assert!(application.is_running(), "the application has ended on {}", mount.name());
        application.accepted() > stood_at
    });
    let resumed = clock.moment().since(freed);
    let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
    application.wait_for(stood_at + 1_000);
    let accepted = application.stop();
    let verdict = Delivered::read(&dirs, "full").judge(&[accepted], 0);
    let left = [site.slots(&dir), site.slots(&site.ring_dir())].concat();
    verdict.assert_clean(&format!("{} run {number}, left behind: {left:?}", mount.name()));
    assert!(left.is_empty(), "left behind on {}: {left:?}", mount.name());
    (verdict, resumed)
}

/// Takes every block that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for piece in [1 << 20, 64 << 10, 4 << 10] {
        let bytes = vec![0x55; piece];
        while file.write_all(&bytes).and_then(|()| file.sync_data()).is_ok() {}
    }
}

/// Waits until nothing was accepted for a while.
fn wait_until_it_stands(application: &mut Application) {
    let clock = Clock::start();
    let mut last = (0, clock.moment());
    wait::until("rings and spool are full", || {
        assert!(application.is_running(), "the application has ended");
        let accepted = application.accepted();
        if accepted != last.0 {
            last = (accepted, clock.moment());
        }
        clock.moment().since(last.1) > Duration::from_millis(400)
    });
}

/// Segments that could not be allocated leave nothing behind.
fn has_half_files(dir: &Path) -> bool {
    let below = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    below(dir).flat_map(|name| below(&name.path()).collect::<Vec<_>>()).any(|slot| {
        let bytes = fs::metadata(slot.path().join("next.new")).map_or(0, |metadata| metadata.len());
        bytes != 0 && bytes != 4 << 20
    })
}
