//! Fault 5: a crash at every named step of a segment's life and of recovery, and again in the recovery from it.

use logdrive::ids::InstanceId;
use logdrive::inspect::spool;
use logdrive::sys::faults::Point;

use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB&codec=none\
    &spool.sync=batch&poll.idle=5ms";

/// Of records of about 8 KB, so many are some segments.
const BACKLOG: u64 = 4_500;

/// How the process gets to a step.
enum Way {
    /// By logging: it is passed again and again.
    Logging,
    /// By logging while nobody receives: where the receiver keeps up, the same files are used again and again.
    Allocating,
    /// By logging, once.
    Starting,
    /// By adopting what a killed process left.
    Adopting,
    /// By delivering a backlog of several segments.
    Draining,
    /// Only with a disk that fails: `spool::tests::memory` has it.
    Elsewhere,
}

fn way(point: Point) -> Way {
    match point {
        Point::SlotMade => Way::Starting,
        Point::SegmentCreated | Point::SegmentAllocated => Way::Allocating,
        Point::SegmentEmptied
        | Point::HeaderWritten
        | Point::SegmentNamed
        | Point::DirectorySynced
        | Point::GroupCopied
        | Point::GroupCommitted
        | Point::RingsReleased
        | Point::GroupPublished
        | Point::HalfBound
        | Point::Bound
        | Point::Acknowledged
        | Point::LedgerStored => Way::Logging,
        Point::RecoveryRead
        | Point::RecoveryCleaned
        | Point::SlotAdopted
        | Point::LeftoversCommitted
        | Point::ArenaRemoved
        | Point::SpoolRemoved
        | Point::SlotEmptied => Way::Adopting,
        Point::SegmentRemoved => Way::Draining,
        Point::SegmentCopied => Way::Elsewhere,
    }
}

#[test]
fn a_crash_at_every_step() {
    let row = Row::begin("5", "crash at every step, twice", 5, 100);
    let (mut tally, mut crashes, mut points) = (Tally::default(), 0, 0);
    for (place, point) in (0u64..).zip(Point::ALL) {
        if matches!(way(*point), Way::Elsewhere) {
            continue;
        }
        points += 1;
        for run in 0..row.runs() {
            let mut random = row.random(place << 32 | run);
            let (verdict, crashed) = crash_at(*point, run, &mut random);
            tally += verdict;
            crashes += crashed;
        }
    }
    row.finish(&format!("{points} steps, {crashes} crashes"), &tally);
}

fn crash_at(point: Point, run: u64, random: &mut Random) -> (Tally, u64) {
    let site = Site::new();
    let dirs = [site.receiver_dir(0)];
    let address = lasting_address();
    // By turns on the tmpfs and on the disk, through a mapping and by pwrite.
    let dir = if run.is_multiple_of(2) { site.memory_file("spool") } else { site.spool_dir() };
    let store = ["mmap", "file"][(run / 2 % 2) as usize];
    let options = format!("{OPTIONS}&spool.dir={}&spool.store={store}", dir.display());
    let url = site.url_of_topic("steps", &[address], &options);
    let mut accepted = Vec::new();
    let backlog = match way(point) {
        Way::Adopting => 20 + random.below(200),
        Way::Draining => BACKLOG,
        Way::Logging | Way::Allocating | Way::Starting | Way::Elsewhere => 0,
    };
    if backlog > 0 {
        let mut first = Application::start(0, &url, &site.memory_file("first"), None);
        first.wait_for(backlog);
        accepted.push(first.kill());
    }
    let start_receiver = || ReceiverProcess::start_at(address, &dirs[0], &[]);
    let early = (!matches!(way(point), Way::Allocating)).then(start_receiver);
    let mut crashes = 0;
    for again in 1..3 {
        let pass = match way(point) {
            Way::Logging | Way::Allocating => 1 + random.below(4),
            Way::Starting | Way::Adopting | Way::Draining | Way::Elsewhere => 1,
        };
        let order = format!("{}:{pass}", point.name());
        let witness = site.memory_file(&format!("witness-{again}"));
        let environment = [("LOGDRIVE_CRASH_AT", order.as_str())];
        let mut application = Application::start_with(again, &url, &witness, None, &environment);
        // A second crash in the recovery has the step before it only where the first one left it something to do.
        let must_crash = again == 1 || !matches!(way(point), Way::Draining | Way::Adopting);
        let goal = if must_crash { u64::MAX } else { 100 };
        wait::until(&format!("a crash at {order}"), || {
            !application.is_running() || application.accepted() >= goal
        });
        if !application.is_running() {
            assert_eq!(application.ended_by_signal(), Some(9), "at {order}");
            crashes += 1;
        }
        accepted.push(application.kill());
    }
    let _receiver = early.unwrap_or_else(start_receiver);
    let stats = site.drain(&url);
    let left = site.slots_left(&dir);
    assert!(left.is_empty(), "left behind at {}: {left:?}, {stats:?}", point.name());
    let verdict = Delivered::read(&dirs, "steps").judge(&accepted, 0);
    verdict.assert_clean(&format!("{} run {run}, store {store}, {stats:?}", point.name()));
    delivered::assert_accounted(&dirs);
    (verdict, crashes)
}

#[test]
fn a_binding_is_stored_before_its_batch_is_sent() {
    let row = Row::begin("5", "a binding is stored before its batch is sent", 4, 20);
    let mut tally = Tally::default();
    for run in 0..row.runs() {
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let dir = site.spool_dir();
        let store = ["mmap", "file"][(run % 2) as usize];
        let options = format!("{OPTIONS}&spool.dir={}&spool.store={store}", dir.display());
        let url = site.url_of_topic("bound", &[receiver.address], &options);
        let environment = [("LOGDRIVE_CRASH_AT", Point::Bound.name())];
        let witness = site.memory_file("witness");
        let mut application = Application::start_with(0, &url, &witness, None, &environment);
        wait::until("a crash", || !application.is_running());
        let accepted = application.kill();
        let slot = site.slots(&dir).pop().unwrap();
        let name = slot.file_name().unwrap().to_str().unwrap();
        let view = spool::read(&slot, InstanceId::parse(name).unwrap()).unwrap();
        assert_eq!(view.bound.len(), 1, "{view:?}");
        site.drain(&url);
        let verdict = Delivered::read(&dirs, "bound").judge(&[accepted], 0);
        verdict.assert_clean(&format!("run {run}, store {store}"));
        tally += verdict;
    }
    row.finish("every one found", &tally);
}
