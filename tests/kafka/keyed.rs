//! Records with keys: those of one key are in one partition, the one that librdkafka would choose with Java's
//! partitioner, in their order; whether the cluster was known when they were sealed or not.

use std::collections::BTreeMap;

use logdrive::Severity;

use crate::chaos::DEADLINE;
use crate::chaos::open;
use crate::peers::Peer;
use crate::peers::consume;

const PARTITIONS: u32 = 5;
const KEYS: u64 = 40;
const RECORDS: u64 = 4_000;

#[test]
fn records_of_one_key_keep_one_partition_and_their_order() {
    let Some(mut kfake) = Peer::kfake(2, &[]) else { return };
    kfake.tell(&format!("create keyed {PARTITIONS}"));
    let dir = tempfile::tempdir().unwrap();
    let client = open(&kfake.bootstrap, "keyed", dir.path());
    // The first half is sealed when nothing is known of the cluster, most of the second when all is.
    for half in 0..2 {
        for number in half * RECORDS / 2..(half + 1) * RECORDS / 2 {
            let key = format!("key-{}", number % KEYS);
            client.log_keyed(Severity::Info, &key, number.to_string(), &[]).unwrap();
            client.info("no key");
        }
        client.flush(DEADLINE).unwrap();
    }
    client.close(DEADLINE).unwrap();
    let mut by_key: BTreeMap<Vec<u8>, Vec<(u32, u64)>> = BTreeMap::new();
    for record in consume(&kfake.bootstrap, "keyed") {
        if let Some(key) = record.key {
            let number = String::from_utf8(record.value).unwrap().parse().unwrap();
            by_key.entry(key).or_default().push((record.partition, number));
        }
    }
    assert_eq!(by_key.len() as u64, KEYS);
    for (key, records) in by_key {
        let partition = kafka_partition(&key);
        assert!(records.iter().all(|(other, _)| *other == partition), "{key:?}");
        assert!(records.is_sorted_by_key(|(_, number)| *number), "{key:?}: {records:?}");
        assert_eq!(records.len() as u64, RECORDS / KEYS, "{key:?}");
    }
}

fn kafka_partition(key: &[u8]) -> u32 {
    logdrive::proto::kafka::murmur2::partition_of(key, PARTITIONS.try_into().unwrap())
}
