//! Flush and close: what they promise, and what stays for the next process.

use std::time::Duration;

use logdrive::Code;
use logdrive::Severity;
use logdrive::clock::Clock;

use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::random::Random;
use crate::support::scripted::LATER;
use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::site::run;
use crate::support::site::verify;
use crate::support::wait;

fn lines(from: u64, to: u64) -> Vec<Vec<u8>> {
    (from..to).map(|number| format!("line {number}").into_bytes()).collect()
}

/// When a flush returns, its records are in the receiver's files: looked at while everybody runs on.
#[test]
fn a_flush_returns_when_all_before_it_is_acknowledged() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "linger=10s");
    client.flush(wait::PATIENCE).unwrap();
    for round in 0..20 {
        let expected = lines(0, (round + 1) * 100);
        for line in &expected[round as usize * 100..] {
            client.log(Severity::Info, line).unwrap();
        }
        client.flush(wait::PATIENCE).unwrap();
        assert_eq!(cat_lines(&[site.receiver_dir(0)]), expected);
        assert_eq!(client.stats().sender.delivered, expected.len() as u64);
    }
    client.close(wait::PATIENCE).unwrap();
}

/// Also where its batch was sealed behind all that the close asked for, and nothing was news when that had ended.
#[test]
fn a_close_waits_for_the_report_of_what_was_given_up() {
    let site = Site::new();
    let receiver = ScriptedReceiver::start(&[], LATER);
    let client = site.client(&[receiver.address], "linger=50ms");
    let logger = client.stream("other").unwrap();
    let attempts = || receiver.seen().len();
    let begins = |beginning: &str| {
        receiver.seen().iter().any(|seen| seen.values[0].starts_with(beginning.as_bytes()))
    };
    lines(0, 2).iter().for_each(|line| client.log(Severity::Info, line).unwrap());
    wait::until("they are tried", || begins("line 0"));
    let stats = std::thread::scope(|scope| {
        let closing = scope.spawn(|| client.close(wait::PATIENCE));
        wait::until("no more is taken", || logger.log(Severity::Info, "late") == Err(Code::Closed));
        let asked = attempts();
        wait::until("the batcher has served it", || attempts() > asked + 3);
        // The first line is given up, the second one is put off while the batcher reports the first.
        receiver.put_off(Some(b"line 1"));
        receiver.answer(87);
        wait::until("the batch is divided", || begins("line 1"));
        receiver.answer(LATER);
        let divided = attempts();
        wait::until("the loss is reported", || attempts() > divided + 3);
        receiver.put_off(Some(b"logdrive:"));
        receiver.answer(0);
        wait::until("the second line is stored", || {
            receiver.stored().contains(&b"line 1".to_vec())
        });
        wait::until("the report is tried", || begins("logdrive:") || closing.is_finished());
        receiver.put_off(None);
        closing.join().unwrap().unwrap()
    });
    assert_eq!((stats.dropped_total(), stats.sender.stored), (1, 0), "{stats:?}");
}

#[test]
fn deadlines_are_honoured_and_what_is_left_is_delivered_once() {
    let site = Site::new();
    let address = lasting_address();
    let clock = Clock::start();
    let start = clock.moment();
    let deadline = Duration::from_millis(100);
    // Three clients in turn, while nobody listens; each adopts what those before it left.
    for number in 0..3 {
        let client = site.client(&[address], "");
        for line in lines(number * 50, number * 50 + 50) {
            client.log(Severity::Info, line).unwrap();
        }
        assert_eq!(client.flush(deadline).unwrap_err().code(), Code::DeadlineExceeded);
        match number {
            // Dropping waits for `close.deadline`, closing as long as it is told.
            0 => assert_eq!(client.close(deadline).unwrap_err().code(), Code::DeadlineExceeded),
            1 => {
                let patient = client.clone();
                drop(client);
                assert_eq!(patient.close(deadline).unwrap_err().code(), Code::DeadlineExceeded);
            }
            _ => drop(site.client(&[address], "name=other&close.deadline=100ms")),
        }
    }
    let elapsed = clock.moment().since(start);
    assert!(elapsed >= 5 * deadline && elapsed < wait::PATIENCE / 2, "{elapsed:?}");
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let stats = site.drain(&site.url(&[address], ""));
    assert_eq!(stats.sender.adopted_delivered, 150);
    let mut found = cat_lines(&[site.receiver_dir(0)]);
    found.sort_by_key(|line| {
        line[5..].iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    });
    assert_eq!(found, lines(0, 150));
    verify(&[site.receiver_dir(0)]);
    assert!(site.slots(&site.ring_dir()).is_empty());
}

/// The spool is full and waits, so the batcher cannot commit what it has: closing still ends, and the next
/// client delivers what was in the spool and what was left in the rings.
#[test]
fn a_full_spool_does_not_keep_close_waiting() {
    let site = Site::new();
    let address = lasting_address();
    let options = "spool.bytes_max=16MiB&spool.full=block&codec=none&workers=2";
    let client = site.client(&[address], options);
    let text = |number: u64| format!("{number} {}", "z".repeat(200)).into_bytes();
    let mut count = 0;
    wait::until("the spool is full", || {
        for _ in 0..1_000 {
            // INFO would be refused above 90 %.
            if client.log(Severity::Warn, text(count)).is_ok() {
                count += 1;
            }
        }
        client.stats().spool_full > 0
    });
    client.log(Severity::Warn, text(count)).unwrap();
    count += 1;
    assert_eq!(client.close(Duration::ZERO).unwrap_err().code(), Code::DeadlineExceeded);
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let stats = site.drain(&site.url(&[address], options));
    assert_eq!(stats.sender.adopted_delivered, count);
    let expected: Vec<Vec<u8>> = (0..count).map(text).collect();
    assert_same_lines(&cat_lines(&[site.receiver_dir(0)]), &expected);
    verify(&[site.receiver_dir(0)]);
    assert!(site.slots(&site.ring_dir()).is_empty());
}

/// Every codec with any number of workers, four threads: the same records, in each thread's order.
#[test]
fn every_codec_with_any_number_of_workers() {
    const THREADS: u64 = 4;
    const RECORDS: u64 = 3_000;
    for (codec, workers) in [("none", 1), ("lz4", 2), ("snappy", 4), ("gzip", 2), ("zstd", 4)] {
        let site = Site::new();
        let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
        let options = format!("codec={codec}&workers={workers}&batch.bytes=16KiB&ring.full=block");
        let client = site.client(&[receiver.address], &options);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let client = &client;
                scope.spawn(move || {
                    for record in 0..RECORDS {
                        let filler = Random::new(thread << 32 | record).next();
                        let text = format_args!("{thread} {record} {filler:x}").to_string();
                        client.write(Severity::Info, format_args!("{text}")).unwrap();
                    }
                });
            }
        });
        let stats = client.close(wait::PATIENCE).unwrap();
        assert_eq!(stats.sender.delivered, THREADS * RECORDS, "{codec}");
        let found = cat_lines(&[site.receiver_dir(0)]);
        for thread in 0..THREADS {
            let own = found.iter().filter(|line| line[0] == b'0' + thread as u8);
            let expected = (0..RECORDS).map(|record| {
                let filler = Random::new(thread << 32 | record).next();
                format!("{thread} {record} {filler:x}").into_bytes()
            });
            assert!(own.cloned().eq(expected), "{codec}, {workers} workers, thread {thread}");
        }
        verify(&[site.receiver_dir(0)]);
    }
}

/// Nobody can see in the files that the last records of a run are missing: its statistics say how many there were.
#[test]
fn what_a_closed_client_says_of_its_end_shows_what_is_missing_there() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "");
    lines(0, 100).iter().for_each(|line| client.info(line));
    let stats = client.close(wait::PATIENCE).unwrap();
    let verify = |records: u64| {
        let expected = format!("{}:{records}", stats.instance);
        let (code, out) = run("verify", &[site.receiver_dir(0)], &["--expect", &expected]);
        (code == Some(0), String::from_utf8(out).unwrap())
    };
    let (is_complete, out) = verify(stats.accepted);
    assert!(is_complete && out.contains("end known: 100 records"), "{out}");
    let (is_complete, out) = verify(stats.accepted + 2);
    assert!(!is_complete && out.contains("missing: records 100 to 101"), "{out}");
    let (is_complete, out) = verify(stats.accepted - 1);
    assert!(!is_complete && out.contains("1 records more than the 99"), "{out}");
    let (code, out) = run("verify", &[site.receiver_dir(0)], &[]);
    let out = String::from_utf8(out).unwrap();
    assert!(code == Some(0) && out.contains("end unknown"), "{out}");
}
