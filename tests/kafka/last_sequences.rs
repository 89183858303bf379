//! A real broker at the end of the sequences: what [`SequenceSpace`] numbers there, and the epoch behind it.
//!
//! Two thousand million records would take an hour, so the first of them are only said to have been sent: a broker
//! takes any sequence from a producer that it does not know.

use std::collections::VecDeque;

use logdrive::batch;
use logdrive::batch::HEADER_BYTES;
use logdrive::checksum;
use logdrive::proto::kafka::sequence::AssignError;
use logdrive::proto::kafka::sequence::Binding;
use logdrive::proto::kafka::sequence::SequenceSpace;

use crate::peers::Peer;
use crate::peers::consume;
use crate::support::Client;
use crate::support::Spec;

const RELEASES: [&str; 2] = ["kafka-3.9", "kafka-4"];
const PRODUCER_ID: i64 = 4711;
const TOPIC: &str = "sequences";
const ACKS_ALL: i16 = -1;
const RECORDS: u32 = 10;
const BATCHES: u64 = 8;
/// Sequences that are left for the first batches: not a multiple of [`RECORDS`].
const LEFT: i32 = 34;

/// The batch as it is sent under this binding.
fn bound(number: u64, binding: &Binding) -> Vec<u8> {
    let mut bytes = Spec::of(number * u64::from(RECORDS), RECORDS).batch();
    let (header, body) = bytes.split_first_chunk_mut::<HEADER_BYTES>().unwrap();
    let (crc, body_bytes) = (checksum::crc32c(body), body.len() as u32);
    let Binding { producer_id, epoch, base_sequence } = *binding;
    batch::bind(header, crc, body_bytes, producer_id, epoch, base_sequence);
    bytes
}

/// NOT_LEADER_OR_FOLLOWER: the topic was made a moment ago.
const NOT_YET: i16 = 6;

/// Error code and offset.
fn produce(client: &mut Client, batch: &[u8]) -> (i16, i64) {
    loop {
        client.send(TOPIC, batch, ACKS_ALL).unwrap();
        let (_, code, offset) = client.receive().unwrap();
        if code != NOT_YET {
            return (code, offset);
        }
    }
}

#[test]
fn no_sequence_wraps_and_a_broker_follows_the_bumped_epoch() {
    for release in RELEASES {
        let Some(mut kafka) = Peer::kafka(release, 1, &[]) else { return };
        kafka.tell(&format!("create {TOPIC} 1 1"));
        let mut client = Client::connect(kafka.bootstrap.parse().unwrap());
        let mut space = SequenceSpace::new(PRODUCER_ID, 0, 5);
        space.assign(u64::MAX, (i32::MAX - LEFT) as u32).unwrap();
        space.acknowledge(u64::MAX).unwrap();
        let mut sent: VecDeque<(Vec<u8>, i64)> = VecDeque::new();
        let mut numbers = Vec::new();
        for number in 0..BATCHES {
            let binding = match space.assign(number, RECORDS) {
                Err(AssignError::BumpNeeded) => {
                    assert_eq!(space.bump().unwrap(), [], "nothing waits to be bound anew");
                    space.assign(number, RECORDS).unwrap()
                }
                assigned => assigned.unwrap(),
            };
            numbers.push((binding.epoch, binding.base_sequence));
            let batch = bound(number, &binding);
            let offset = (number * u64::from(RECORDS)) as i64;
            assert_eq!(produce(&mut client, &batch), (0, offset), "{release}: {binding:?}");
            space.acknowledge(number).unwrap();
            sent.push_back((batch, offset));
        }
        let end = i32::MAX - LEFT;
        let before = [(0, end), (0, end + 10), (0, end + 20)];
        let behind = [(1, 0), (1, 10), (1, 20), (1, 30), (1, 40)];
        assert_eq!(numbers, [&before[..], &behind].concat());
        // A repeat in the new epoch is known for what it is, and gets the offset that the batch has.
        for (batch, offset) in sent.iter().skip(before.len()) {
            assert_eq!(produce(&mut client, batch), (0, *offset), "{release}: a repeat");
        }
        let values: Vec<Vec<u8>> =
            consume(&kafka.bootstrap, TOPIC).into_iter().map(|record| record.value).collect();
        let all = BATCHES * u64::from(RECORDS);
        let expected: Vec<Vec<u8>> =
            (0..all).map(|number| Spec::of(0, 1).value(number).into_bytes()).collect();
        assert_eq!(values, expected, "{release}: missing 0, duplicated 0, in order");
    }
}
