//! Fault 23: counters at their limits. Rings whose positions begin just below 2^31, 2^32 and 2^63 live on and are
//! adopted; sequence numbers that would wrap make a new epoch instead.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use logdrive::ids::InstanceId;
use logdrive::ids::StreamId;
use logdrive::proto::kafka::sequence::AssignError;
use logdrive::proto::kafka::sequence::SequenceSpace;
use logdrive::record::Record;
use logdrive::record::RecordView;
use logdrive::record::Severity;
use logdrive::ring::Arena;
use logdrive::ring::Consumer;
use logdrive::ring::Options;
use logdrive::ring::Producer;
use logdrive::ring::Slice;
use logdrive::ring::consumer::Limits;
use logdrive::sys::mapping::Mapping;

use crate::row::Row;
use crate::support::oracle::Accepted;
use crate::support::oracle::Oracle;
use crate::support::oracle::Tally;
use crate::support::payload::Texts;
use crate::support::site::Site;

const RECORDS: u64 = 10_000;
/// Where a ring's words begin in an arena's file (docs/design.md): its tail, and what was released.
const TAIL_AT: u64 = 4096 + 64 * 256;
const RELEASED_AT: u64 = TAIL_AT + 128;
/// Of frames, in one chunk.
const CHUNK_BYTES: u64 = 16_320;
const LIMITS: Limits = Limits { bytes: 1 << 20, records: u32::MAX };

#[test]
fn positions_and_sequences_at_their_limits() {
    // Below a power of two by one to some chunks, with which a ring always begins.
    let starts: Vec<u64> = [1u64 << 31, 1 << 32, 1 << 63]
        .iter()
        .flat_map(|limit| {
            [1, 2, 3, 10, 100].map(|chunks| (limit / CHUNK_BYTES - chunks) * CHUNK_BYTES)
        })
        .collect();
    let row = Row::begin("23", "counters at their limits", starts.len() as u64, 1_000);
    let mut tally = Tally::default();
    for run in 0..row.runs() {
        let start = starts[run as usize % starts.len()];
        let verdict = log_from(start, row.random(run).below(RECORDS));
        verdict.assert_clean(&format!("positions from {start}"));
        tally += verdict;
    }
    let epochs = sequences_never_wrap();
    row.finish(&format!("positions from 2^31, 2^32, 2^63; {epochs} epochs, no wrap"), &tally);
}

/// Logs through a ring whose positions begin at `start`; after `adopted_at` records another process reads on.
fn log_from(start: u64, adopted_at: u64) -> Tally {
    let site = Site::new();
    let path = site.memory_file("arena");
    let options = Options {
        bytes: 2 << 20,
        threads_max: 4,
        reserve_percent: 0,
        record_bytes_max: 256 * 1024,
    };
    let description = Arena::layout(&options, InstanceId([7; 16]));
    let mapping = Mapping::create(&path, description.arena_bytes() as u64).unwrap();
    let arena = Arc::new(Arena::create(mapping, description, &options));
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&start.to_le_bytes(), TAIL_AT).unwrap();
    file.write_all_at(&start.to_le_bytes(), RELEASED_AT).unwrap();
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::adopt(arena, &[]);
    let (mut texts, mut oracle) = (Texts::new(1, 0), Oracle::default());
    for sequence in 0..RECORDS {
        while !push(&mut producer, texts.text(sequence)) {
            drain(&mut consumer, &mut oracle);
        }
        if sequence == adopted_at {
            drain(&mut consumer, &mut oracle);
        }
    }
    // The owner is gone; what it left is read from the file.
    let left = Arena::open(Mapping::open(&path).unwrap(), &options).unwrap();
    drain(&mut Consumer::adopt(Arc::new(left), &[]), &mut oracle);
    oracle.judge(&[Accepted { run: 1, by_thread: vec![RECORDS], may_be_one_more: false }], 0)
}

fn push(producer: &mut Producer, body: &[u8]) -> bool {
    let (severity, stream) = (Severity::Info, StreamId(0));
    let record = Record { severity, stream, ticks: 0, key: None, attributes: &[], body };
    producer.push(&record).is_ok()
}

fn drain(consumer: &mut Consumer, oracle: &mut Oracle) {
    loop {
        let mut slice = Slice::default();
        let more = consumer.drain(&mut slice, LIMITS);
        consumer.seal(&mut slice);
        assert_eq!(slice.damaged_bytes(), 0);
        slice
            .encoded_records()
            .for_each(|bytes| oracle.see(RecordView::parse(bytes).unwrap().body));
        consumer.release(slice.positions());
        if !more {
            return;
        }
    }
}

/// Assigns sequences until many epochs have passed; how many did.
fn sequences_never_wrap() -> u32 {
    let mut space = SequenceSpace::new(1, 0, 5);
    let mut epochs = 0;
    let mut next = 0i64;
    for batch in 0..10_000 {
        let records = 1 + (batch * 7_919) as u32 % 900_000;
        let binding = match space.assign(batch, records) {
            Err(AssignError::BumpNeeded) => {
                space.bump().unwrap();
                epochs += 1;
                next = 0;
                space.assign(batch, records).unwrap()
            }
            assigned => assigned.unwrap(),
        };
        assert_eq!(i64::from(binding.base_sequence), next, "batch {batch}");
        next += i64::from(records);
        assert!(next <= i64::from(i32::MAX), "a sequence wrapped at batch {batch}");
        space.acknowledge(batch).unwrap();
    }
    assert!(epochs > 0, "the limit was never reached");
    epochs
}
