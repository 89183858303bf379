//! A topic that was deleted and made anew with fewer partitions: what was to go to those that are gone goes to others.

use std::collections::BTreeSet;
use std::time::Duration;

use logdrive::Client;
use logdrive::Severity;

use crate::chaos::DEADLINE;
use crate::chaos::open;
use crate::chaos::wait_until;
use crate::peers::Peer;
use crate::peers::consume;

const BEFORE: u32 = 12;
const AFTER: u32 = 4;
const KEYS: u64 = 40;

/// Logs numbers with and without keys, and tells what a consumer is to find.
fn log(client: &Client, numbers: std::ops::Range<u64>) -> BTreeSet<String> {
    let mut logged = BTreeSet::new();
    for number in numbers {
        let (keyed, plain) = (format!("keyed {number}"), format!("plain {number}"));
        let key = format!("key-{}", number % KEYS);
        client.log_keyed(Severity::Info, &key, &keyed, &[]).unwrap();
        client.log(Severity::Info, &plain).unwrap();
        logged.extend([keyed, plain]);
        std::thread::sleep(Duration::from_micros(500));
    }
    logged
}

fn remake(kafka: &mut Peer) {
    kafka.tell("delete remade");
    kafka.tell(&format!("create remade {AFTER} 1"));
    // A broker may list it before it lets go of the old one's files, and take records into those.
    kafka.tell("empty remade");
}

/// Each once; the key's partition where all of its records were logged for the present count.
fn check(kafka: &Peer, expected: &BTreeSet<String>) {
    let consumed = consume(&kafka.bootstrap, "remade");
    let arrived: BTreeSet<String> =
        consumed.iter().map(|one| String::from_utf8(one.value.clone()).unwrap()).collect();
    assert_eq!(arrived.len(), consumed.len(), "each once");
    let missing: Vec<_> = expected.difference(&arrived).collect();
    assert!(missing.is_empty(), "{} of {}: {missing:?}", missing.len(), expected.len());
    let count = AFTER.try_into().unwrap();
    for one in &consumed {
        // The old count is a multiple of the new one, so the old partition's keys have one new partition.
        let Some(key) = &one.key else { continue };
        assert_eq!(one.partition, logdrive::proto::kafka::murmur2::partition_of(key, count));
    }
}

#[test]
fn a_topic_with_fewer_partitions_gets_everything() {
    let Some(mut kafka) = Peer::kafka("kafka-4", 1, &["auto.create.topics.enable=false"]) else {
        return;
    };
    kafka.tell(&format!("create remade {BEFORE} 1"));
    let dir = tempfile::tempdir().unwrap();
    let client = open(&kafka.bootstrap, "remade", dir.path());
    log(&client, 0..400);
    client.flush(DEADLINE).unwrap();
    remake(&mut kafka);
    let mut expected = log(&client, 400..800);
    client.flush(DEADLINE).unwrap();
    check(&kafka, &expected);
    client.close(DEADLINE).unwrap();

    // What a dead process had bound to partitions that are gone since.
    kafka.tell("delete remade");
    kafka.tell(&format!("create remade {BEFORE} 1"));
    kafka.tell("empty remade");
    let dead = open(&kafka.bootstrap, "remade", dir.path());
    log(&dead, 800..1_200);
    dead.flush(DEADLINE).unwrap();
    kafka.tell("freeze 1");
    expected = log(&dead, 1_200..1_600);
    assert!(dead.close(Duration::from_millis(50)).is_err(), "nobody takes it");
    kafka.tell("thaw 1");
    remake(&mut kafka);
    let heir = open(&kafka.bootstrap, "remade", dir.path());
    expected.extend(log(&heir, 1_600..1_700));
    wait_until(|| heir.flush(DEADLINE).is_ok() && heir.stats().sender.adopted_stored == 0);
    let stats = heir.close(DEADLINE).unwrap();
    assert_eq!(stats.sender.stored, 0, "{stats:?}");
    check(&kafka, &expected);
}
