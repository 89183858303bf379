//! The receiver over real sockets: hostile clients, good clients beside them, and SIGKILL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::receiver::Options;
use logdrive::receiver::Receiver;
use logdrive::receiver::ReceiverError;
use logdrive::receiver::Refusal;
use logdrive::receiver::StoreError;
use logdrive::receiver::Sync;

use support::Client;
use support::DEADLINE;
use support::ReceiverProcess;
use support::Spec;
use support::cat;
use support::logdrive;

fn options(dir: &Path) -> Options {
    Options::new("127.0.0.1:0".parse().unwrap(), dir.join("r"))
}

#[test]
fn hostile_bytes_close_their_connection_and_a_good_client_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(options(dir.path())).unwrap();
    let mut good = Client::connect(receiver.local_addr());
    assert_eq!(good.produce("t", &Spec::of(0, 3).batch()).unwrap(), (0, 0));
    let unknown_api = b"\x00\x00\x00\x0a\x00\x63\x00\x00\x00\x00\x00\x01\xff\xff";
    let unsupported_version = b"\x00\x00\x00\x0a\x00\x00\x00\x02\x00\x00\x00\x01\xff\xff";
    let truncated_body = b"\x00\x00\x00\x0c\x00\x00\x00\x08\x00\x00\x00\x01\xff\xff\xff\xff";
    let cases: [(&[u8], Refusal); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", Refusal::FrameTooLarge),
        (&[0x7f, 0xff, 0xff, 0xff], Refusal::FrameTooLarge),
        (&[0xff; 64], Refusal::Malformed),
        (unknown_api, Refusal::Malformed),
        (unsupported_version, Refusal::Malformed),
        (truncated_body, Refusal::Malformed),
    ];
    for (bytes, reason) in cases {
        let before = receiver.stats().refused_for(reason);
        let mut hostile = Client::connect(receiver.local_addr());
        hostile.stream.write_all(bytes).unwrap();
        hostile.wait_for_close();
        assert_eq!(receiver.stats().refused_for(reason), before + 1, "{bytes:?}");
        let sequence = receiver.stats().records;
        let offset = i64::try_from(sequence).unwrap();
        assert_eq!(good.produce("t", &Spec::of(sequence, 1).batch()).unwrap(), (0, offset));
    }
}

#[test]
fn refused_batches_are_answered_with_kafka_s_codes_and_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(options(dir.path())).unwrap();
    let mut client = Client::connect(receiver.local_addr());
    let good = Spec::of(0, 3).batch();
    let changed = |at: usize, to: u8| {
        let mut batch = good.clone();
        batch[at] = to;
        batch
    };
    for (topic, batch, code) in [
        ("t", changed(16, 1), 43),
        ("t", changed(70, 0xee), 2),
        ("t", changed(60, 9), 87),
        ("t", vec![2; 1_048_589], 10),
        ("../t", good.clone(), 17),
        ("..", good.clone(), 17),
    ] {
        assert_eq!(client.produce(topic, &batch).unwrap().0, code);
    }
    assert_eq!(receiver.stats().batches, 0);
    let names: Vec<_> = std::fs::read_dir(dir.path().join("r")).unwrap().collect();
    assert_eq!(names.len(), 1, "the lock and nothing else");
    assert_eq!(client.produce("t", &good).unwrap(), (0, 0));
}

#[test]
fn announced_lengths_cost_no_memory_and_slow_bytes_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Options {
        first_frame_timeout: Duration::from_secs(1),
        progress_timeout: Duration::from_secs(1),
        ..options(dir.path())
    })
    .unwrap();
    let resident_before = resident_bytes();
    let mut bombs: Vec<_> = (0..200).map(|_| Client::connect(receiver.local_addr())).collect();
    for bomb in &mut bombs {
        bomb.stream.write_all(&(4u32 << 20).saturating_sub(4).to_be_bytes()).unwrap();
        bomb.stream.write_all(&[0; 10]).unwrap();
    }
    let mut good = Client::connect(receiver.local_addr());
    assert_eq!(good.produce("t", &Spec::of(0, 1).batch()).unwrap().0, 0);
    let grown = resident_bytes().saturating_sub(resident_before);
    assert!(
        grown < 200 * (64 << 10) + (64 << 20),
        "200 announced 4 MiB each: grew by {grown} bytes"
    );
    // One that was served and then sends a frame byte by byte.
    let mut slow = Client::connect(receiver.local_addr());
    slow.produce("t", &Spec::of(1, 1).batch()).unwrap();
    slow.stream.write_all(&1000u32.to_be_bytes()).unwrap();
    slow.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut sent = 0;
    while slow.stream.write_all(&[0]).is_ok() {
        sent += 1;
        assert!(sent < 900, "the receiver closes it before the frame is whole");
        let mut byte = [0];
        if matches!(std::io::Read::read(&mut slow.stream, &mut byte), Ok(0)) {
            break;
        }
    }
    bombs.iter_mut().for_each(Client::wait_for_close);
    let stats = receiver.stats();
    assert_eq!(stats.refused_for(Refusal::FirstFrameTimeout), 200);
    assert_eq!(stats.refused_for(Refusal::TooSlow), 1);
    assert_eq!(good.produce("t", &Spec::of(2, 1).batch()).unwrap().0, 0);
}

#[test]
fn silent_strangers_give_way_to_those_who_work() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Options { connections_max: 4, ..options(dir.path()) }).unwrap();
    let mut good = Client::connect(receiver.local_addr());
    good.produce("t", &Spec::of(0, 1).batch()).unwrap();
    let strangers: Vec<_> = (0..20).map(|_| Client::connect(receiver.local_addr())).collect();
    let mut late = Client::connect(receiver.local_addr());
    assert_eq!(late.produce("t", &Spec::of(1, 1).batch()).unwrap().0, 0);
    assert_eq!(good.produce("t", &Spec::of(2, 1).batch()).unwrap().0, 0);
    let stats = receiver.stats();
    assert_eq!(stats.connections, 22);
    assert_eq!(stats.connections_open, 4);
    assert_eq!(stats.refused_for(Refusal::TooManyConnections), 18);
    drop(strangers);
}

#[test]
fn answers_come_in_order_whatever_they_wait_for() {
    for sync in [Sync::None, Sync::Batch, Sync::Interval(Duration::from_millis(20))] {
        let dir = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(Options { sync, ..options(dir.path()) }).unwrap();
        let mut client = Client::connect(receiver.local_addr());
        for n in 0..50 {
            client.send("t", &Spec::of(n, 1).batch(), 1).unwrap();
            client.send("t", &Spec::of(n, 1).batch(), -1).unwrap();
            client.send("bad/topic", &Spec::of(n, 1).batch(), 1).unwrap();
        }
        for n in 0..50 {
            let offset = i64::from(n);
            assert_eq!(client.receive().unwrap(), (3 * n, 0, offset));
            assert_eq!(client.receive().unwrap(), (3 * n + 1, 0, offset), "a repeat");
            assert_eq!(client.receive().unwrap(), (3 * n + 2, 17, -1));
        }
        let stats = receiver.shutdown(DEADLINE).unwrap();
        assert_eq!((stats.batches, stats.duplicates), (50, 50));
    }
}

#[test]
fn acks_0_gets_no_answer_and_an_error_closes_the_connection() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(options(dir.path())).unwrap();
    let mut client = Client::connect(receiver.local_addr());
    client.send("t", &Spec::of(0, 1).batch(), 0).unwrap();
    let second = client.send("t", &Spec::of(1, 1).batch(), 1).unwrap();
    assert_eq!(client.receive().unwrap(), (second, 0, 1), "the only answer");
    client.send("bad/topic", &Spec::of(2, 1).batch(), 0).unwrap();
    client.wait_for_close();
}

#[test]
fn a_client_that_only_writes_is_not_served_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(Options {
        progress_timeout: Duration::from_secs(1),
        ..options(dir.path())
    })
    .unwrap();
    let mut client = Client::connect(receiver.local_addr());
    let frame = long_answer_request();
    client.stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let mut sent = 0;
    while client.stream.write_all(&frame).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the receiver stops reading when its answers are not taken");
    }
    assert_eq!(receiver.stats().refused_for(Refusal::TooSlow), 1);
}

#[test]
fn answers_that_back_up_are_all_sent() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(options(dir.path())).unwrap();
    let mut client = Client::connect(receiver.local_addr());
    let requests = 60;
    let mut writer = client.stream.try_clone().unwrap();
    let writing = std::thread::Builder::new()
        .spawn(move || {
            writer.write_all(&long_answer_request().repeat(requests)).unwrap();
            // The receiver must not take the end of the questions for the end of the answers.
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        })
        .unwrap();
    for _ in 0..requests {
        assert!(client.receive_frame().unwrap().len() > 4000 * 20);
    }
    writing.join().unwrap();
    client.wait_for_close();
}

/// A small question with a long answer: Metadata v1 for 4000 topics.
fn long_answer_request() -> Vec<u8> {
    let mut body = b"\x00\x03\x00\x01\x00\x00\x00\x00\xff\xff\x00\x00\x0f\xa0".to_vec();
    body.extend(b"\x00\x01t".repeat(4000));
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

#[test]
fn a_full_disk_is_answered_and_what_follows_is_stored_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    for sync in ["none", "batch"] {
        let dir = dir.path().join(sync);
        let process = ReceiverProcess::start_with_file_limit(&dir, &["--sync", sync]);
        let mut client = Client::connect(process.address);
        let mut refused = 0;
        for n in 0..50 {
            let batch = Spec::of(n * 100, 100).batch();
            for attempt in 0.. {
                match client.produce("t", &batch).unwrap().0 {
                    0 => break,
                    56 => refused += 1,
                    code => panic!("error {code}"),
                }
                assert!(attempt < 3, "a new file takes what the full one did not");
            }
        }
        assert!(refused > 0, "the limit was met");
        let (_, summary) = process.terminate();
        assert!(summary.contains(&format!("refused storage: {refused}")), "{summary}");
        let dir = dir.to_str().unwrap();
        let verified = logdrive(&["verify", dir]);
        assert!(verified.status.success(), "{verified:?}");
        let expected: Vec<_> = (0..5000).map(|n| Spec::of(0, 0).value(n)).collect();
        assert_eq!(cat(&[dir]), expected);
    }
}

#[test]
fn start_errors_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let first = Receiver::start(options(dir.path())).unwrap();
    let second = Receiver::start(options(dir.path()));
    assert!(matches!(second, Err(ReceiverError::Store(StoreError::InUse(_)))));
    let elsewhere = dir.path().join("other");
    let taken = Receiver::start(Options::new(first.local_addr(), elsewhere));
    assert!(matches!(taken, Err(ReceiverError::Listen { .. })));
    let bad = Receiver::start(Options { segment_bytes: 1, ..options(dir.path()) });
    assert!(matches!(bad, Err(ReceiverError::Options(_))));
    drop(first);
    Receiver::start(options(dir.path())).unwrap();
}

#[test]
fn sigterm_stops_cleanly_with_a_summary() {
    let dir = tempfile::tempdir().unwrap();
    let process = ReceiverProcess::start(dir.path(), &["--sync", "5", "--validate", "header"]);
    let mut client = Client::connect(process.address);
    assert_eq!(client.produce("t", &Spec::of(0, 3).batch()).unwrap(), (0, 0));
    let (code, summary) = process.terminate();
    assert_eq!(code, Some(0));
    assert!(summary.starts_with("received 3 records in 1 batches"), "{summary}");
    let bad = logdrive(&["receive", "--listen", "127.0.0.1:0", "--dir", "x", "--sync", "0"]);
    assert_eq!(bad.status.code(), Some(2));
}

#[test]
fn what_was_acknowledged_survives_sigkill_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut next = 0u64;
    for round in 0..6 {
        let sync = ["none", "batch", "1"][round % 3];
        let process = ReceiverProcess::start(dir.path(), &["--sync", sync]);
        let killed = AtomicBool::new(false);
        let (address, first) = (process.address, next);
        next = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut client = Client::connect(address);
                let (mut sent, mut answered) = (first, first);
                let mut acks = Vec::new();
                loop {
                    // At most 5 in flight, as any idempotent producer.
                    let send = client.send("t", &Spec::of(sent * 10, 10).batch(), -1);
                    sent += 1;
                    if send.is_err() {
                        break;
                    }
                    if sent - answered < 5 {
                        continue;
                    }
                    match client.receive() {
                        Ok((_, 0, _)) => acks.push(answered),
                        Ok(refused) => panic!("refused: {refused:?}"),
                        Err(_) => break,
                    }
                    answered += 1;
                }
                assert!(killed.load(Ordering::SeqCst), "nothing but the kill ends it");
                (sent, acks)
            });
            let before = stored_batches(path);
            wait_until(|| stored_batches(path) >= before + 200 + 37 * round);
            killed.store(true, Ordering::SeqCst);
            process.kill();
            let (sent, acks) = load.join().unwrap();
            assert!(!acks.is_empty());
            acknowledged.extend(acks);
            sent
        });
    }
    let process = ReceiverProcess::start(dir.path(), &[]);
    process.terminate();
    let lines: BTreeSet<_> = cat(&[path]).into_iter().collect();
    for batch in &acknowledged {
        for number in batch * 10..batch * 10 + 10 {
            let line = Spec::of(0, 0).value(number);
            assert!(lines.contains(&line), "{line} was acknowledged and is not there");
        }
    }
    let verified = logdrive(&["verify", "--json", path]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(text.contains("\"damaged\":[]") && text.contains("\"torn\":[]"), "{text}");
}

/// About how many batches the last segment holds, by its size.
fn stored_batches(dir: &str) -> usize {
    let segment = Path::new(dir).join("t-0/00000000000000000000.log");
    let bytes = std::fs::metadata(segment).map_or(0, |metadata| metadata.len());
    usize::try_from(bytes).unwrap() / Spec::of(1_000_000, 10).batch().len()
}

fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..DEADLINE.as_millis() {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("not within {DEADLINE:?}");
}

/// Resident memory of this process, in which the receiver runs.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
