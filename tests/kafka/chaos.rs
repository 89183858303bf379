//! Three brokers of Apache Kafka with replication 3 and min.insync.replicas 2: brokers and the application are
//! killed, and nothing is missing, nothing is there twice, and each partition keeps the order.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::clock::Clock;

use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::records::text;
use crate::support::scale::scaled;

pub const THREADS: u64 = 4;
/// Pause of a thread behind each record: three to four thousand records per second in all.
const PACE: Duration = Duration::from_millis(1);
const BROKERS: u64 = 3;
/// How long a round of killed brokers goes on.
const ROUND: Duration = Duration::from_secs(60);
pub const DEADLINE: Duration = Duration::from_secs(120);

pub fn open(bootstrap: &str, topic: &str, dir: &Path) -> Client {
    let mut config = Config::new();
    let ring = dir.join("ring");
    fs::create_dir_all(&ring).unwrap();
    config.set("url", &format!("kafka://{bootstrap}/{topic}")).unwrap();
    config.set("name", "chaos").unwrap();
    config.set("ring.dir", ring.to_str().unwrap()).unwrap();
    config.set("spool.dir", dir.join("spool").to_str().unwrap()).unwrap();
    // Small batches, so that some are on their way whenever something is killed.
    config.set("linger", "1ms").unwrap();
    config.set("ring.full", "block").unwrap();
    config.set("ring.full_deadline", "60s").unwrap();
    Client::start(&config).unwrap()
}

/// Ends the threads that log when it is dropped, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        // Relaxed: nothing is published by the flag.
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Logs from all threads while `work` goes on; `note` learns of each accepted record, by thread.
pub fn log_during(
    client: &Client,
    writer: &str,
    note: impl Fn(u64, u64) + Sync,
    work: impl FnOnce(),
) {
    let stops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&stops);
        for thread in 0..THREADS {
            let (note, stops) = (&note, &stops);
            scope.spawn(move || {
                let writer = format!("{writer}-{thread}");
                let mut number = 0;
                // Relaxed: nothing is published by the flag.
                while !stops.load(Ordering::Relaxed) {
                    client.log(Severity::Info, text(&writer, number)).unwrap();
                    number += 1;
                    note(thread, number);
                    std::thread::sleep(PACE);
                }
            });
        }
        work();
    });
}

#[test]
fn brokers_are_killed_one_after_another() {
    let Some(mut kafka) = Peer::kafka("kafka-4", BROKERS as u32, &[]) else { return };
    for round in 0..scaled(1, 5) {
        kill_brokers_under_load(&mut kafka, &format!("killed{round}"));
    }
}

fn kill_brokers_under_load(kafka: &mut Peer, topic: &str) {
    kafka.tell(&format!("create {topic} 6 3"));
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = kafka.bootstrap.clone();
    let client = open(&bootstrap, topic, dir.path());
    let accepted: [AtomicU64; THREADS as usize] = Default::default();
    // Relaxed: read after all threads have ended.
    let note = |thread, count| accepted[thread as usize].store(count, Ordering::Relaxed);
    let mut kills = 0;
    log_during(&client, "app", note, || {
        let clock = Clock::start();
        let start = clock.moment();
        // Each one at least once, also on a slow machine.
        while kills < BROKERS || clock.moment().since(start) < ROUND {
            let broker = kills % BROKERS + 1;
            kafka.tell(&format!("kill {broker}"));
            kafka.tell(&format!("start {broker}"));
            kafka.tell(&format!("await {topic} 3"));
            kills += 1;
        }
    });
    let flushed = client.flush(DEADLINE);
    let stats = client.stats();
    assert!(flushed.is_ok(), "{stats:?}");
    let arrived = Arrived::new(&consume(&bootstrap, topic));
    for (thread, accepted) in accepted.iter().enumerate() {
        arrived.check(&format!("app-{thread}"), accepted.load(Ordering::Relaxed));
    }
    assert_eq!(arrived.count(), stats.accepted, "{stats:?}");
    assert_eq!(stats.sender.delivered, stats.accepted, "{stats:?}");
    let (records, retries) = (stats.accepted, stats.sender.retries);
    eprintln!("{topic}: {kills} brokers killed, {records} records, {retries} retries");
    client.close(DEADLINE).unwrap();
}

/// Names the run and the places of [`application`], which is started as a process of its own.
const APPLICATION: &str = "CHAOS_APPLICATION";

#[test]
fn the_application_is_killed_ten_times() {
    let Some(mut kafka) = Peer::kafka("kafka-4", 3, &[]) else { return };
    kafka.tell("create restarted 6 3");
    let dir = tempfile::tempdir().unwrap();
    let runs = scaled(10, 50);
    for run in 0..runs {
        let mut application = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "chaos::application", "--nocapture"])
            .env(APPLICATION, format!("{} {run} {}", kafka.bootstrap, dir.path().display()))
            .spawn()
            .unwrap();
        // Killed at another moment each time, once it has logged that much.
        let wanted = 200 + 150 * (run % 10);
        let has_logged = |thread| accepted_by(dir.path(), run, thread) >= wanted;
        wait_until(|| (0..THREADS).all(has_logged));
        application.kill().unwrap();
        application.wait().unwrap();
    }
    let client = open(&kafka.bootstrap, "restarted", dir.path());
    wait_until(|| client.adoption_done() && client.stats().sender.stored == 0);
    client.close(DEADLINE).unwrap();
    let arrived = Arrived::new(&consume(&kafka.bootstrap, "restarted"));
    for run in 0..runs {
        for thread in 0..THREADS {
            arrived.check(&format!("run{run}-{thread}"), accepted_by(dir.path(), run, thread));
        }
    }
    eprintln!("{} records", arrived.count());
}

/// Waits for it, [`DEADLINE`] at most.
pub fn wait_until(condition: impl Fn() -> bool) {
    let clock = Clock::start();
    let start = clock.moment();
    while !condition() {
        assert!(clock.moment().since(start) < DEADLINE, "waited in vain for {DEADLINE:?}");
        std::thread::sleep(PACE);
    }
}

fn accepted_by(dir: &Path, run: u64, thread: u64) -> u64 {
    let Ok(file) = File::open(dir.join(format!("accepted-{run}"))) else { return 0 };
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 8 * thread).map_or(0, |()| u64::from_le_bytes(bytes))
}

/// What [`the_application_is_killed_ten_times`] starts as a process of its own, and kills; without its variable
/// there is nothing to do.
#[test]
fn application() {
    let Ok(places) = std::env::var(APPLICATION) else { return };
    let [bootstrap, run, dir] = places.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{places}")
    };
    let dir = Path::new(dir);
    let accepted = File::create(dir.join(format!("accepted-{run}"))).unwrap();
    let client = open(bootstrap, "restarted", dir);
    let note = |thread, count: u64| {
        accepted.write_all_at(&count.to_le_bytes(), 8 * thread).unwrap();
    };
    // It logs until it is killed.
    log_during(&client, &format!("run{run}"), note, || {
        loop {
            std::thread::park();
        }
    });
}
