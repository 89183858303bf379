//! The rings against a plain list: what was accepted comes out once, in order, whatever the sizes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::ids::StreamId;
use crate::record::Record;
use crate::record::RecordView;
use crate::record::Severity;
use crate::ring::Arena;
use crate::ring::Consumer;
use crate::ring::Options;
use crate::ring::Producer;
use crate::ring::Refusal;
use crate::ring::Registry;
use crate::ring::Slice;
use crate::ring::consumer::Limits;
use crate::sys::mapping::Mapping;

const LIMITS: Limits = Limits { bytes: usize::MAX, records: u32::MAX };

fn arena(bytes: usize, threads_max: u32, reserve_percent: u32) -> Arc<Arena> {
    let options =
        Options { bytes, threads_max, reserve_percent, record_bytes_max: 256 * 1024 + 64 };
    let description = Arena::layout(&options, InstanceId([7; 16]));
    let mapping = Mapping::anonymous(description.arena_bytes() as u64).unwrap();
    Arc::new(Arena::create(mapping, description, &options))
}

fn record(severity: Severity, body: &[u8]) -> Record<'_> {
    Record { severity, stream: StreamId(0), ticks: 77, key: None, attributes: &[], body }
}

fn info(body: &[u8]) -> Record<'_> {
    record(Severity::Info, body)
}

fn bodies(slice: &Slice) -> Vec<Vec<u8>> {
    slice.encoded_records().map(|bytes| RecordView::parse(bytes).unwrap().body.to_vec()).collect()
}

fn drain_all(consumer: &mut Consumer) -> (Vec<Vec<u8>>, Vec<RingPosition>) {
    let mut slice = Slice::default();
    assert!(!consumer.drain(&mut slice, LIMITS));
    consumer.seal(&mut slice);
    assert_eq!(slice.damaged_bytes(), 0);
    let bodies = bodies(&slice);
    assert_eq!(bodies.len(), slice.records() as usize);
    (bodies, slice.positions().to_vec())
}

/// A body that says who wrote it and is `bytes` long (at least 16).
fn body(writer: u64, sequence: u64, bytes: usize) -> Vec<u8> {
    let mut body = vec![sequence as u8; bytes.max(16)];
    body[..8].copy_from_slice(&writer.to_le_bytes());
    body[8..16].copy_from_slice(&sequence.to_le_bytes());
    body
}

#[test]
fn the_limit_of_threads_takes_nothing_from_the_room_for_records() {
    // The heads of 4,096 rings are as large as this whole arena.
    let arena = arena(1 << 20, 4096, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let body = [b'x'; 200];
    let accepted = std::iter::from_fn(|| producer.push(&record(Severity::Info, &body)).ok());
    assert!(accepted.count() >= 4_000);
}

#[test]
fn a_record_of_256_kib_passes_and_comes_out_whole() {
    let arena = arena(4 << 20, 4, 10);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena);
    let large: Vec<u8> = (0..256 * 1024).map(|i| (i * 7) as u8).collect();
    producer.push(&info(b"before")).unwrap();
    producer.push(&info(&large)).unwrap();
    producer.push(&info(b"after")).unwrap();
    let (bodies, _) = drain_all(&mut consumer);
    assert_eq!(bodies, vec![b"before".to_vec(), large, b"after".to_vec()]);
}

#[test]
fn a_claim_over_two_calls_is_one_record_and_shuts_out_others_meanwhile() {
    let arena = arena(1 << 20, 4, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena.clone());
    producer.push(&info(b"before")).unwrap();
    let room = producer.begin(&info(b""), 100).unwrap();
    assert_eq!(producer.push(&info(b"between")), Err(Refusal::Reentrant));
    assert_eq!(producer.begin(&info(b""), 10), Err(Refusal::Reentrant));
    assert!(producer.claim_in_place(Severity::Fatal, 10).is_err());
    assert_eq!(producer.finish(room.wrapping_add(1), Some(6)), Err(Refusal::Invalid));
    assert_eq!(producer.finish(room, Some(101)), Err(Refusal::Invalid));
    assert_eq!(drain_all(&mut consumer).0, [b"before"]);
    // Nobody wrote into it, so it is as zero as a fresh arena.
    producer.finish(room, Some(6)).unwrap();
    assert_eq!(producer.finish(room, Some(6)), Err(Refusal::Invalid));
    let forgotten = producer.begin(&info(b""), 100).unwrap();
    producer.finish(forgotten, None).unwrap();
    producer.push(&info(b"after")).unwrap();
    assert_eq!(drain_all(&mut consumer).0, [vec![0; 6], b"after".to_vec()]);
    // Claims that fill chunk after chunk to the brim.
    for _ in 0..40 {
        let room = producer.begin(&info(b""), 16_000).unwrap();
        producer.finish(room, Some(16_000)).unwrap();
    }
    assert_eq!(drain_all(&mut consumer).0.len(), 40);
}

#[test]
fn a_burst_of_50_000_records_fits_beside_1_000_idle_threads_with_defaults() {
    let arena = arena(32 << 20, 4096, 10);
    let idle: Vec<Producer> = (0..1000)
        .map(|_| {
            let mut producer = Producer::claim(arena.clone()).unwrap();
            producer.push(&info(b"once")).unwrap();
            producer
        })
        .collect();
    let mut busy = Producer::claim(arena.clone()).unwrap();
    let line = [b'x'; 200];
    for _ in 0..50_000 {
        busy.push(&info(&line)).unwrap();
    }
    let (bodies, _) = drain_all(&mut Consumer::new(arena));
    assert_eq!(bodies.len(), 51_000);
    drop(idle);
}

#[test]
fn a_full_arena_refuses_info_first_then_warn_and_space_comes_back() {
    let arena = arena(1 << 20, 4, 25);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena.clone());
    let line = [b'x'; 1000];
    let mut accepted = 0;
    while producer.push(&info(&line)).is_ok() {
        accepted += 1;
    }
    assert_eq!(producer.push(&info(&line)), Err(Refusal::RingFull));
    let mut warnings = 0;
    while producer.push(&record(Severity::Warn, &line)).is_ok() {
        warnings += 1;
    }
    assert!(warnings * 4 > accepted, "{warnings} warnings after {accepted} records");
    let (bodies, positions) = drain_all(&mut consumer);
    assert_eq!(bodies.len(), accepted + warnings);
    assert_eq!(producer.push(&info(&line)), Err(Refusal::RingFull), "not before the commit");
    consumer.release(&positions);
    producer.push(&info(&line)).unwrap();
    assert_eq!(drain_all(&mut consumer).0.len(), 1);
}

#[test]
fn a_refused_large_record_leaves_the_ring_as_it_was() {
    let arena = arena(512 << 10, 4, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena.clone());
    producer.push(&info(b"one")).unwrap();
    let huge = vec![1; 256 * 1024];
    let mut fitted = 0;
    while producer.push(&info(&huge)).is_ok() {
        fitted += 1;
    }
    producer.push(&info(b"two")).unwrap();
    let (bodies, _) = drain_all(&mut consumer);
    assert_eq!(bodies.len(), 2 + fitted);
    assert_eq!(bodies.last().unwrap(), b"two");
    assert_eq!(producer.push(&info(&vec![1; 300 * 1024])), Err(Refusal::TooLarge));
}

/// A body whose frame is exactly a whole chunk.
fn chunk_filler() -> Vec<u8> {
    use crate::ring::layout;
    vec![7; layout::CHUNK_PAYLOAD_BYTES - layout::FRAME_HEAD_BYTES - crate::record::HEAD_BYTES]
}

#[test]
fn a_chunk_that_is_full_to_its_last_byte_is_not_freed_before_its_producer_has_left() {
    let arena = arena(512 << 10, 4, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena.clone());
    // Leave the arena one chunk short of what a large record needs, so that linking ahead stops halfway.
    let mut other = Producer::claim(arena.clone()).unwrap();
    producer.push(&info(&chunk_filler())).unwrap();
    while other.push(&info(&chunk_filler())).is_ok() {}
    let (_, positions) = drain_all(&mut consumer);
    consumer.release(&positions);
    // The producer's chunk is full, released, and may be linked to the next; it is still its own.
    for round in 0..50u8 {
        producer.push(&info(&chunk_filler())).unwrap();
        other.push(&info(&[round; 100])).unwrap();
        let (found, positions) = drain_all(&mut consumer);
        assert_eq!(found.len(), 2, "round {round}");
        assert!(found.contains(&chunk_filler()) && found.contains(&vec![round; 100]));
        consumer.release(&positions);
    }
}

#[test]
fn a_link_ahead_does_not_free_the_chunk_that_is_still_written() {
    use crate::ring::layout;
    use crate::ring::position::Word;
    let arena = arena(512 << 10, 4, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena.clone());
    producer.push(&info(&chunk_filler())).unwrap();
    let free = arena.free_chunks();
    // What a producer has done between linking the next chunk and entering it.
    let next = arena.pool().take(0).unwrap();
    arena.chunk_word(next, layout::CHUNK_RING_AT).store_release(0);
    arena.chunk_word(next, layout::CHUNK_ORDINAL_AT).store_release(1);
    arena.chunk_word(0, layout::CHUNK_NEXT_AT).store_release(u64::from(next) + 1);
    let (_, positions) = drain_all(&mut consumer);
    consumer.release(&positions);
    assert_eq!(arena.free_chunks(), free - 1, "the full chunk is still its producer's");
    producer.push(&info(b"next")).unwrap();
    let (found, positions) = drain_all(&mut consumer);
    assert_eq!(found, [b"next".to_vec()]);
    consumer.release(&positions);
    assert_eq!(arena.free_chunks(), free, "now it has left");
}

#[test]
fn threads_that_are_gone_give_their_rings_back() {
    let arena = arena(1 << 20, 2, 0);
    let mut consumer = Consumer::new(arena.clone());
    for round in 0..50u64 {
        let mut producer = Producer::claim(arena.clone()).unwrap();
        producer.push(&info(&body(1, round, 20_000))).unwrap();
        drop(producer);
        let (bodies, positions) = drain_all(&mut consumer);
        assert_eq!(bodies, vec![body(1, round, 20_000)]);
        consumer.release(&positions);
        consumer.reclaim_closed();
    }
    assert_eq!(arena.used_share(), 0.0);
    let _one = Producer::claim(arena.clone()).unwrap();
    let _two = Producer::claim(arena.clone()).unwrap();
    assert!(Producer::claim(arena.clone()).is_none(), "the directory has two entries");
}

#[test]
fn an_uncommitted_claim_logs_nothing_and_a_committed_one_its_bytes() {
    let arena = arena(1 << 20, 2, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut encoded = Vec::new();
    info(b"claimed").encode(|piece| encoded.extend_from_slice(piece));
    for _ in 0..2000 {
        let mut claim = producer.claim_in_place(Severity::Info, 500).unwrap();
        claim.put(b"rubbish").unwrap();
        drop(claim);
        let mut claim = producer.claim_in_place(Severity::Info, encoded.len()).unwrap();
        claim.put(&encoded[..5]).unwrap();
        claim.put(&encoded[5..]).unwrap();
        assert!(claim.put(b"!").is_err());
        claim.commit();
    }
    let (bodies, _) = drain_all(&mut Consumer::new(arena));
    assert_eq!(bodies, vec![b"claimed".to_vec(); 2000]);
}

#[test]
fn registry_refuses_reentrant_and_closed_calls_and_counts_them() {
    let registry = Registry::new(arena(1 << 20, 4, 0));
    let result = registry.with(|producer| {
        assert_eq!(registry.with(|_| Ok(())), Err(Refusal::Reentrant));
        producer.push(&info(b"outer"))
    });
    assert_eq!(result, Ok(()));
    registry.close();
    assert_eq!(registry.with(|_| Ok(())), Err(Refusal::Closed));
    assert_eq!(registry.arena().refused(Refusal::Reentrant), 1);
    assert_eq!(registry.arena().refused(Refusal::Closed), 1);
}

#[test]
fn streams_and_time_anchors_survive_in_the_mapping() {
    let arena = arena(1 << 20, 2, 0);
    assert_eq!(arena.add_stream("app-logs"), Some(StreamId(0)));
    assert_eq!(arena.add_stream("audit"), Some(StreamId(1)));
    assert_eq!(arena.streams(), ["app-logs", "audit"]);
    for generation in 1..5 {
        arena.store_time_anchor([generation, 2, 3]);
        assert_eq!(arena.time_anchor(), [generation, 2, 3]);
    }
}

#[test]
fn adoption_starts_at_the_higher_of_released_and_committed() {
    let arena = arena(1 << 20, 2, 0);
    let mut producer = Producer::claim(arena.clone()).unwrap();
    let mut consumer = Consumer::new(arena.clone());
    let mut expected = Vec::new();
    for sequence in 0..100 {
        producer.push(&info(&body(0, sequence, 900))).unwrap();
    }
    // Committed to the spool, but the process died before it stored the released position.
    let (_, committed) = drain_all(&mut consumer);
    for sequence in 100..150 {
        expected.push(body(0, sequence, 900));
        producer.push(&info(&body(0, sequence, 900))).unwrap();
    }
    let mut adopter = Consumer::adopt(arena.clone(), &committed);
    assert_eq!(drain_all(&mut adopter).0, expected);
    let mut naive = Consumer::adopt(arena, &[]);
    assert_eq!(drain_all(&mut naive).0.len(), 150);
}

#[test]
fn an_interrupted_adoption_takes_the_records_in_the_order_of_one_that_was_not() {
    let arena = arena(4 << 20, 8, 0);
    for writer in 0..3 {
        let mut producer = Producer::claim(arena.clone()).unwrap();
        for sequence in 0..50 {
            producer.push(&info(&body(writer, sequence, 300 * (writer as usize + 1)))).unwrap();
        }
    }
    let limits = Limits { bytes: 10_000, records: u32::MAX };
    let slices = |is_interrupted: bool| {
        let mut consumer = Consumer::adopt(arena.clone(), &[]);
        let (mut taken, mut positions) = (Vec::new(), BTreeMap::new());
        loop {
            let mut slice = Slice::default();
            consumer.drain(&mut slice, limits);
            consumer.seal(&mut slice);
            if slice.records() == 0 {
                return taken;
            }
            taken.push(bodies(&slice));
            positions.extend(slice.positions().iter().map(|at| (at.ring.0, *at)));
            if is_interrupted {
                let committed: Vec<_> = positions.values().copied().collect();
                consumer = Consumer::adopt(arena.clone(), &committed);
            }
        }
    };
    assert!(slices(false).len() > 5);
    assert_eq!(slices(true), slices(false));
}

#[test]
fn damage_in_one_ring_is_counted_and_the_others_are_read() {
    use crate::ring::layout;
    use crate::ring::position::Word;
    let arena = arena(1 << 20, 2, 0);
    let mut damaged = Producer::claim(arena.clone()).unwrap();
    let mut sound = Producer::claim(arena.clone()).unwrap();
    damaged.push(&info(b"lost")).unwrap();
    sound.push(&info(b"found")).unwrap();
    let at = arena.description().chunk_at(0) + layout::CHUNK_HEADER_BYTES;
    for head in [u64::MAX, 0, layout::frame_head(layout::kind::WHOLE, 1 << 20), 9 << 32] {
        arena.memory().word(at).store_release(head);
        let mut slice = Slice::default();
        Consumer::adopt(arena.clone(), &[]).drain(&mut slice, LIMITS);
        assert_eq!(bodies(&slice), vec![b"found".to_vec()], "head {head:#x}");
        assert_eq!(slice.damaged_bytes(), 32);
    }
    arena.chunk_word(0, layout::CHUNK_RING_AT).store_release(5);
    let mut slice = Slice::default();
    Consumer::adopt(arena.clone(), &[]).drain(&mut slice, LIMITS);
    assert_eq!(bodies(&slice), vec![b"found".to_vec()]);
}

#[test]
fn threads_log_while_the_consumer_drains_and_nothing_is_lost_or_reordered() {
    let arena = arena(2 << 20, 8, 0);
    let per_thread: u64 = if cfg!(miri) { 200 } else { 30_000 };
    let writers: Vec<_> = (0..4u64)
        .map(|writer| {
            let arena = arena.clone();
            std::thread::Builder::new()
                .spawn(move || {
                    let mut producer = Producer::claim(arena).unwrap();
                    for sequence in 0..per_thread {
                        let bytes = 16 + (sequence * 37 % 400) as usize;
                        let bytes = if sequence % 997 == 0 { 40_000 } else { bytes };
                        let body = body(writer, sequence, bytes);
                        while producer.push(&info(&body)) == Err(Refusal::RingFull) {
                            std::thread::yield_now();
                        }
                    }
                })
                .unwrap()
        })
        .collect();
    let mut consumer = Consumer::new(arena.clone());
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    let mut slice = Slice::default();
    while next.values().sum::<u64>() < 4 * per_thread {
        slice.clear();
        consumer.drain(&mut slice, Limits { bytes: 100_000, records: 500 });
        consumer.seal(&mut slice);
        for found in bodies(&slice) {
            let writer = u64::from_le_bytes(found[..8].try_into().unwrap());
            let expected = next.entry(writer).or_default();
            assert_eq!(u64::from_le_bytes(found[8..16].try_into().unwrap()), *expected);
            assert!(found[16..].iter().all(|byte| *byte == *expected as u8));
            *expected += 1;
        }
        consumer.release(slice.positions());
        if slice.is_empty() {
            std::thread::yield_now();
        }
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    consumer.reclaim_closed();
    assert_eq!(arena.used_share(), 0.0);
}

#[derive(Clone, Debug)]
enum Step {
    Log { thread: usize, bytes: usize },
    Drain { bytes: usize, records: u32 },
    Release,
    Restart { thread: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, prop_oneof![16..600usize, 15_000..18_000usize, 30_000..70_000usize])
            .prop_map(|(thread, bytes)| Step::Log { thread, bytes }),
        2 => (1..60_000usize, 1..40u32).prop_map(|(bytes, records)| Step::Drain { bytes, records }),
        1 => Just(Step::Release),
        1 => (0..3usize).prop_map(|thread| Step::Restart { thread }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The model: a list of accepted records per writer.
    #[test]
    fn accepted_equals_drained(steps in proptest::collection::vec(step(), 1..120)) {
        let arena = arena(512 << 10, 8, 10);
        let mut consumer = Consumer::new(arena.clone());
        let claim = || Producer::claim(arena.clone()).unwrap();
        let mut producers = [claim(), claim(), claim()];
        let mut accepted: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 3];
        let mut drained: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 3];
        let mut slice = Slice::default();
        let collect = |slice: &Slice, drained: &mut Vec<Vec<Vec<u8>>>| {
            for found in bodies(slice) {
                drained[u64::from_le_bytes(found[..8].try_into().unwrap()) as usize].push(found);
            }
        };
        for (sequence, step) in steps.into_iter().enumerate() {
            match step {
                Step::Log { thread, bytes } => {
                    let body = body(thread as u64, sequence as u64, bytes);
                    if producers[thread].push(&info(&body)).is_ok() {
                        accepted[thread].push(body);
                    }
                }
                Step::Drain { bytes, records } => {
                    slice.clear();
                    consumer.drain(&mut slice, Limits { bytes, records });
                    consumer.seal(&mut slice);
                    prop_assert!(slice.records() <= records);
                    prop_assert_eq!(slice.damaged_bytes(), 0);
                    collect(&slice, &mut drained);
                }
                Step::Release => {
                    consumer.release(slice.positions());
                    consumer.reclaim_closed();
                }
                Step::Restart { thread } => {
                    if let Some(fresh) = Producer::claim(arena.clone()) {
                        // Order between an old and a new ring of one writer is not promised: drain first.
                        slice.clear();
                        consumer.drain(&mut slice, LIMITS);
                        consumer.seal(&mut slice);
                        collect(&slice, &mut drained);
                        consumer.release(slice.positions());
                        producers[thread] = fresh;
                        consumer.reclaim_closed();
                    }
                }
            }
        }
        slice.clear();
        consumer.drain(&mut slice, LIMITS);
        collect(&slice, &mut drained);
        prop_assert_eq!(accepted, drained);
    }
}
