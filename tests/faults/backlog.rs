//! Fault 18: a restart on a large backlog. The spool on a disk is filled while nobody receives, its owner is killed;
//! the next process must be ready at once, drain within a bounded memory, and log beside it.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::clock::Clock;

use crate::delivered;
use crate::delivered::Delivered;
use crate::host;
use crate::host::Orders;
use crate::host::Voice;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::scale::scaled;
use crate::support::site;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::witness::Witness;

const MIB: u64 = 1 << 20;
/// Above the rings and what the process had before (the limit).
const RESIDENT_BYTES_MAX: u64 = 64 * MIB;
const RING_BYTES: u64 = 8 * MIB;
const NEW_RECORDS: u64 = 1_000;
/// The host's words to the test, behind its threads' slots.
const READY_MICROS: usize = 2 * host::THREADS_MAX;
const RESIDENT: usize = READY_MICROS + 1;
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[test]
fn a_restart_on_a_large_backlog() {
    let megabytes = scaled(1_024, 10 * 1_024);
    let row = Row::begin("18", "restart on a backlog", 1, 5);
    let (mut tally, mut ready_max, mut resident_max) = (Tally::default(), 0, 0);
    for _ in 0..row.runs() {
        let (verdict, ready, resident) = restart_on(megabytes);
        tally += verdict;
        ready_max = ready.max(ready_max);
        resident_max = resident.max(resident_max);
    }
    let figures = format!(
        "{megabytes} MiB waiting, ready after {ready_max} us, {} KiB resident above the rings",
        resident_max / 1024
    );
    row.finish(&figures, &tally);
    assert!(resident_max <= RESIDENT_BYTES_MAX, "{resident_max} bytes resident");
}

/// The oracle's verdict, the microseconds until the next process was ready, the bytes it had resident at the most.
fn restart_on(megabytes: u64) -> (Tally, u64, u64) {
    let site = Site::new();
    let dirs = [site.receiver_dir(0)];
    let address = lasting_address();
    let options = format!(
        "name=application&spool.full=block&ring.full=block&ring.bytes_max={RING_BYTES}&codec=none\
         &spool.dir={}&spool.bytes_max=12GiB",
        site.spool_dir().display()
    );
    let url = site.url_of_topic("backlog", &[address], &options);
    let mut application = Application::start(0, &url, &site.memory_file("owner"), None);
    // Slower than what others wait for: no deadline but that it goes on.
    while site::bytes_below(&site.spool_dir()) < megabytes * MIB {
        let accepted = application.accepted();
        application.wait_for(accepted + 1);
    }
    let mut accepted = vec![application.kill()];
    let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
    let path = site.memory_file("witness");
    let witness = Witness::create(&path, RESIDENT + 1);
    host::run(host::command("backlog::host", &url, &path, 0, ""), 0);
    accepted.extend(host::promised(&witness, 2, false).pop());
    let verdict = Delivered::read(&dirs, "backlog").judge(&accepted, 0);
    delivered::assert_accounted(&dirs);
    (verdict, witness.read(READY_MICROS), witness.read(RESIDENT))
}

/// No test, but the host of the row above: starts on the backlog, logs, and ends when all is delivered.
#[test]
fn host() {
    let Some(Orders { url, witness, .. }) = host::orders() else { return };
    let before = resident_bytes();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (witness, is_over) = (&witness, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let above = resident_bytes().saturating_sub(before + RING_BYTES);
                witness.store(RESIDENT, above.max(witness.read(RESIDENT)));
                std::thread::sleep(LOOK_EVERY);
            }
        });
        let clock = Clock::start();
        let start = clock.moment();
        let client = host::client(&url);
        let mut voice = Voice::new(witness, 1, 0);
        voice.log(&client).unwrap();
        let ready = clock.moment().since(start);
        witness.store(READY_MICROS, ready.as_micros() as u64);
        (1..NEW_RECORDS).for_each(|_| voice.log(&client).unwrap());
        // As long as it takes, but it must go on.
        let mut stored = u64::MAX;
        while stored > 0 {
            wait::until("the backlog shrinks", || {
                let sender = client.stats().sender;
                let left = sender.stored + sender.adopted_slots;
                let shrinks = sender.adoption_done && left < stored;
                if shrinks {
                    stored = left;
                }
                shrinks
            });
        }
        client.close(wait::PATIENCE).unwrap();
        is_over.store(true, Ordering::Relaxed);
    });
}

/// What is resident of this process: private, of files and of tmpfs.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}
