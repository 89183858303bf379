//! What is slow, away or forbidden holds up nothing else: a frozen broker, a quota, a topic that takes nothing.

use std::time::Duration;

use logdrive::Config;
use logdrive::Severity;
use logdrive::clock::Clock;

use crate::chaos::DEADLINE;
use crate::chaos::open;
use crate::chaos::wait_until;
use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::records::text;

/// Batches that a partition may have unacknowledged.
const WINDOW: u64 = 5;

#[test]
fn a_frozen_broker_gets_nothing_new_and_the_others_take_the_load() {
    // Its leadership is not moved: what must go there waits.
    let settings = ["broker.session.timeout.ms=600000", "min.insync.replicas=1"];
    let Some(mut kafka) = Peer::kafka("kafka-4", 3, &settings) else { return };
    kafka.tell("create frozen 6 1");
    assert_eq!(kafka.tell("leaders frozen 2"), "2");
    let dir = tempfile::tempdir().unwrap();
    let client = open(&kafka.bootstrap, "frozen", dir.path());
    let mut number = 0;
    let mut log = |count: u64| {
        for _ in 0..count {
            client.log(Severity::Info, text("app", number)).unwrap();
            number += 1;
            std::thread::sleep(Duration::from_micros(100));
        }
        number
    };
    log(2_000);
    client.flush(DEADLINE).unwrap();
    kafka.tell("freeze 2");
    let accepted = log(10_000);
    let batches = 2 * WINDOW;
    // Only the windows of its two partitions wait, whatever was logged since.
    wait_until(|| {
        let stats = client.stats().sender;
        stats.delivered + stats.stored == accepted && stats.stored < accepted / 4
    });
    let stored = client.stats().sender.stored;
    eprintln!("{stored} of 10000 records wait for the frozen broker, in at most {batches} batches");
    let accepted = log(2_000);
    wait_until(|| {
        client.stats().sender.stored <= stored.max(500) && client.stats().accepted == accepted
    });
    kafka.tell("thaw 2");
    client.flush(DEADLINE).unwrap();
    let stats = client.close(DEADLINE).unwrap();
    assert_eq!(stats.sender.delivered, accepted, "{stats:?}");
    let arrived = Arrived::new(&consume(&kafka.bootstrap, "frozen"));
    arrived.check("app", accepted);
    assert_eq!(arrived.count(), accepted);
}

#[test]
fn a_quota_slows_us_down_and_loses_nothing() {
    for release in ["kafka-3.9", "kafka-4"] {
        let Some(mut kafka) = Peer::kafka(release, 1, &[]) else { return };
        kafka.tell("create quota 2 1");
        kafka.tell("quota 20000");
        let dir = tempfile::tempdir().unwrap();
        let client = open(&kafka.bootstrap, "quota", dir.path());
        let clock = Clock::start();
        let start = clock.moment();
        let count = 800;
        for number in 0..count {
            // Nothing in it compresses well; 400 bytes each.
            let noise: String = (0..20u64).map(|n| hash(number * 20 + n)).collect();
            let body = format!("{number} {noise}");
            client.log(Severity::Info, body).unwrap();
            std::thread::sleep(Duration::from_micros(500));
        }
        client.flush(DEADLINE).unwrap();
        let elapsed = clock.moment().since(start);
        let stats = client.close(DEADLINE).unwrap();
        assert_eq!(stats.sender.delivered, count, "{release}: {stats:?}");
        assert_eq!(stats.sender.retries, 0, "{release}: silence was kept: {stats:?}");
        assert_eq!(consume(&kafka.bootstrap, "quota").len() as u64, count);
        let bytes = stats.sender.bytes_wire;
        assert!(stats.sender.throttled_ms > 0, "{release}: no broker asked for silence");
        let silence = Duration::from_millis(stats.sender.throttled_ms);
        eprintln!("{release}: {bytes} bytes in {elapsed:?}, {silence:?} of silence");
    }
}

fn hash(number: u64) -> String {
    format!("{:016x}", number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31))
}

#[test]
fn a_topic_that_takes_nothing_holds_up_no_other() {
    let Some(mut kafka) = Peer::kafka("kafka-4", 1, &["auto.create.topics.enable=false"]) else {
        return;
    };
    kafka.tell("create there 2 1");
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    config.set("url", &format!("kafka://{}/there", kafka.bootstrap)).unwrap();
    config.set("name", "parked").unwrap();
    config.set("ring.dir", dir.path().join("ring").to_str().unwrap()).unwrap();
    config.set("spool.dir", dir.path().join("spool").to_str().unwrap()).unwrap();
    config.set("linger", "1ms").unwrap();
    let client = logdrive::Client::start(&config).unwrap();
    let missing = client.stream("missing").unwrap();
    let count = 2_000;
    for number in 0..count {
        missing.log(Severity::Info, text("missing", number)).unwrap();
        missing.log_keyed(Severity::Info, "key", text("keyed", number), &[]).unwrap();
        client.log(Severity::Info, text("there", number)).unwrap();
        std::thread::sleep(Duration::from_micros(200));
    }
    wait_until(|| client.stats().sender.delivered == count);
    let stats = client.stats();
    assert_eq!(stats.sender.stored, 2 * count, "{stats:?}");
    Arrived::new(&consume(&kafka.bootstrap, "there")).check("there", count);
    kafka.tell("create missing 2 1");
    client.flush(DEADLINE).unwrap();
    client.close(DEADLINE).unwrap();
    let arrived = Arrived::new(&consume(&kafka.bootstrap, "missing"));
    arrived.check("missing", count);
    arrived.check("keyed", count);
    assert_eq!(arrived.count(), 2 * count);
}
