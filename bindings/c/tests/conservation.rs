//! C and C++ programs with four threads, whose receiver is killed and comes back, and which are killed themselves:
//! exactly what their calls returned from is there, by `logdrive verify` and line by line.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use support::Receiver;

const THREADS: usize = 4;
const PROGRAMS: [&str; 2] = ["c/conserve.c", "cpp/conserve.cpp"];
/// Nothing is refused or dropped: whoever finds no room waits.
const NEVER_DROP: &str = "&name=conserve&ring.full=block&ring.full_deadline=50s&spool.full=block\
     &backoff.min=5ms&backoff.max=200ms";

fn start(source: &str, receiver: &Receiver, records: u64) -> (Child, PathBuf) {
    let program = support::compile(source, &[], receiver.path());
    let witness = receiver.path().join("witness");
    fs::write(&witness, [0; 8 * THREADS]).unwrap();
    let mut child = Command::new(program)
        .arg(receiver.url() + NEVER_DROP)
        .arg(&witness)
        .arg(records.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "logging\n", "{source}");
    (child, witness)
}

fn witnessed(witness: &Path) -> Vec<u64> {
    let bytes = fs::read(witness).unwrap();
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Waits until each thread has logged `count` records.
fn wait_for(witness: &Path, count: u64) {
    support::wait_until("each thread has logged", || {
        witnessed(witness).iter().all(|n| *n >= count)
    });
}

/// Per thread, how many of its lines arrived; they have to be 0, 1, 2 and so on.
fn arrived(receiver: &Receiver) -> [u64; THREADS] {
    let mut counts = [0; THREADS];
    for line in receiver.lines(&[]).lines() {
        let (thread, number) = line.split_once(' ').unwrap();
        let count = &mut counts[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*count), "thread {thread}");
        *count += 1;
    }
    counts
}

#[test]
fn a_receiver_that_is_killed_and_comes_back_costs_nothing() {
    const RECORDS: u64 = 20_000;
    for source in PROGRAMS {
        let mut receiver = Receiver::start();
        let (mut program, witness) = start(source, &receiver, RECORDS);
        wait_for(&witness, RECORDS / 4);
        receiver.kill();
        receiver.start_again();
        assert!(program.wait().unwrap().success(), "{source}");
        assert_eq!(receiver.verified(), RECORDS * THREADS as u64, "{source}");
        assert_eq!(arrived(&receiver), [RECORDS; THREADS], "{source}");
    }
}

#[test]
fn a_killed_program_loses_nothing_that_its_calls_returned_from() {
    for source in PROGRAMS {
        let receiver = Receiver::start();
        let (mut program, witness) = start(source, &receiver, u64::MAX);
        wait_for(&witness, 5_000);
        program.kill().unwrap();
        program.wait().unwrap();
        let witnessed = witnessed(&witness);
        let mut drain = Command::new(support::tool());
        drain.arg("drain").arg(receiver.path().join("spool"));
        support::succeed(drain.args(["--to", &receiver.url(), "--deadline", "50s"]));
        let arrived = arrived(&receiver);
        assert_eq!(receiver.verified(), arrived.iter().sum::<u64>(), "{source}");
        for (arrived, witnessed) in arrived.into_iter().zip(witnessed) {
            // The last one may have been accepted without its witness.
            assert!((witnessed..=witnessed + 1).contains(&arrived), "{arrived} of {witnessed}");
        }
    }
}
