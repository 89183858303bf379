//! `spool.order=fresh_first`: after an outage records are delivered as they are logged while the backlog drains, and
//! nothing is lost, repeated or forgotten for it.

use std::time::Duration;

use logdrive::Client;
use logdrive::Severity;
use logdrive::batch::RecordIter;
use logdrive::batch::identity;
use logdrive::clock::Clock;
use logdrive::inspect::segment::Found;
use logdrive::inspect::source;

use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

/// Batches go one by one, 32 KiB each, so that a backlog takes its time.
const ONE_BY_ONE: &str = "codec=none&batch.bytes=32KiB&linger=1ms&lanes=1\
    &lane.batches_in_flight_max=1&spool.full=block&ring.full=block&spool.bytes_max=64MiB";

/// Twice as long as a record may wait before it counts as backlog.
const OUTAGE: Duration = Duration::from_secs(4);

const BACKLOG: u64 = 8_000;

/// Between two records that are logged into the outage and after it: fewer than a lane can take.
const PACE: Duration = Duration::from_millis(20);

fn line(number: u64) -> Vec<u8> {
    format!("{number:08} {}", "x".repeat(1_000)).into_bytes()
}

/// A record logged while the backlog was being delivered.
struct Fresh {
    number: u64,
    /// How many records had been delivered when it was logged.
    delivered_before: u64,
}

/// Logs through an outage and on until half of its backlog is delivered: how many records, and those that were
/// logged after it.
fn log_through_an_outage(client: &Client, mut end_outage: impl FnMut()) -> (u64, Vec<Fresh>) {
    let mut number = 1;
    let mut log = || -> u64 {
        client.log(Severity::Info, line(number)).unwrap();
        number += 1;
        number - 1
    };
    (0..BACKLOG).for_each(|_| {
        log();
    });
    let clock = Clock::start();
    let began_at = clock.moment();
    while clock.moment().since(began_at) < OUTAGE {
        log();
        std::thread::sleep(PACE);
    }
    end_outage();
    let mut fresh = Vec::new();
    loop {
        let delivered_before = client.stats().sender.delivered;
        if delivered_before >= BACKLOG / 2 {
            return (log() + 1, fresh);
        }
        fresh.push(Fresh { number: log(), delivered_before });
        let flushed = client.flush(PACE).is_ok();
        let delivered = client.stats().sender.delivered;
        assert!(!flushed || delivered > fresh[fresh.len() - 1].number, "a flush waits for all");
    }
}

/// Numbers of the records in the order in which the receiver stored them.
fn stored_order(site: &Site) -> Vec<u64> {
    let mut numbers = Vec::new();
    for file in source::files(&[site.receiver_dir(0)], None).unwrap() {
        source::walk(&file, |found| {
            let Found::Batch(batch) = found else { panic!("damage") };
            let first = RecordIter::new(&batch.header, batch.body).next().unwrap().unwrap();
            let identity = identity(&first).unwrap();
            let first = identity.first_record;
            numbers.extend(first..first + u64::from(identity.record_count));
        })
        .unwrap();
    }
    numbers
}

/// By how many other records each fresh one was delayed: stored between its call and itself.
fn median_delay(stored: &[u64], fresh: &[Fresh]) -> u64 {
    let mut delays: Vec<u64> = fresh
        .iter()
        .map(|fresh| {
            let place = stored.iter().position(|number| *number == fresh.number).unwrap() as u64;
            place.saturating_sub(fresh.delivered_before)
        })
        .collect();
    delays.sort_unstable();
    delays[delays.len() / 2]
}

fn outage(order: &str, scheme: &str) -> u64 {
    let site = Site::new();
    let address = lasting_address();
    let url = site.url_with_scheme(scheme, &[address], &format!("{ONE_BY_ONE}&{order}"));
    let client = Client::open(&url).unwrap();
    // It was there before, so that all that is to be known of a topic is known.
    let dir = site.receiver_dir(0);
    let receiver = ReceiverProcess::start_at(address, &dir, &[]);
    client.log(Severity::Info, line(0)).unwrap();
    client.flush(wait::PATIENCE).unwrap();
    receiver.kill();
    let mut receiver = None;
    let (logged, fresh) = log_through_an_outage(&client, || {
        receiver = Some(ReceiverProcess::start_at(address, &dir, &["--sync", "5"]));
    });
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.stats().sender;
    assert_eq!((stats.delivered, stats.stored, stats.stored_bytes), (logged, 0, 0));
    client.close(wait::PATIENCE).unwrap();
    let expected: Vec<_> = (0..logged).map(line).collect();
    assert_same_lines(&cat_lines(&[site.receiver_dir(0)]), &expected);
    verify(&[site.receiver_dir(0)]);
    let stored = stored_order(&site);
    assert!(fresh.len() > 5, "too fast to be an outage: {} fresh records", fresh.len());
    let delay = median_delay(&stored, &fresh);
    println!("{order} {scheme}: {} fresh records, delayed by {delay} of {logged}", fresh.len());
    delay
}

#[test]
fn fresh_records_overtake_the_backlog() {
    assert!(outage("spool.order=fresh_first", "receivers") < BACKLOG / 4);
}

#[test]
fn fresh_records_overtake_the_backlog_of_a_partition() {
    assert!(outage("spool.order=fresh_first", "kafka") < BACKLOG / 4);
}

#[test]
fn without_that_option_the_oldest_goes_first() {
    assert!(outage("spool.order=strict", "receivers") > BACKLOG / 3);
}

/// The spool is full throughout the outage: the oldest segments come free, so that nobody who logs waits for long, and
/// what is delivered then is the newest, without a hole.
#[test]
fn the_oldest_gives_way_though_fresh_records_go_first() {
    const OPTIONS: &str = "spool.order=fresh_first&codec=none&batch.bytes=32KiB&linger=1ms&lanes=1\
        &spool.full=drop_oldest&ring.full=block&ring.full_deadline=10s&ring.bytes_max=1MiB&spool.bytes_max=16MiB";
    let site = Site::new();
    let address = lasting_address();
    let client = Client::open(&site.url(&[address], OPTIONS)).unwrap();
    let mut logged = 0;
    let mut log = |records: u64| {
        for _ in 0..records {
            client.log(Severity::Info, line(logged)).unwrap();
            logged += 1;
        }
        client.stats().dropped_total()
    };
    while log(100) == 0 {}
    // From its half on at the latest, what is logged is read ahead of what is older.
    let clock = Clock::start();
    let began_at = clock.moment();
    while clock.moment().since(began_at) < 2 * OUTAGE {
        log(100);
        std::thread::sleep(PACE);
    }
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    let number = |line: &Vec<u8>| std::str::from_utf8(line.get(..8)?).ok()?.parse::<u64>().ok();
    let mut stored: Vec<u64> =
        cat_lines(&[site.receiver_dir(0)]).iter().filter_map(number).collect();
    stored.sort_unstable();
    let kept: Vec<u64> = (stored[0]..logged).collect();
    assert!(stored == kept, "{} of the newest {}: {stats:?}", stored.len(), kept.len());
    verify(&[site.receiver_dir(0)]);
}
