//! Exact counts by `logdrive verify`, with four threads that log through `tracing`, a receiver that is killed and comes
//! back, and a program that is killed.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use logdrive::Client;
use logdrive::Config;
use logdrive::facade;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

const THREADS: u64 = 4;
/// Nothing is refused or dropped: whoever finds no room waits.
const NEVER_DROP: &str = "name=facades&spool.full=block&ring.full=block&ring.full_deadline=1m";
const URL: &str = "FACADES_URL";
const WITNESS: &str = "FACADES_WITNESS";

/// Per thread, how many of its lines are there; they have to be 0, 1, 2 and so on.
fn counts(lines: &[Vec<u8>]) -> [u64; THREADS as usize] {
    let mut counts = [0; THREADS as usize];
    for line in lines {
        let text = std::str::from_utf8(line).unwrap();
        let (thread, number) = text.split_once(' ').unwrap();
        let count = &mut counts[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*count), "thread {thread}");
        *count += 1;
    }
    counts
}

#[test]
fn four_threads_and_a_receiver_that_restarts_lose_and_repeat_nothing() {
    const RECORDS: u64 = 5_000;
    let site = Site::new();
    let address = lasting_address();
    let dir = site.receiver_dir(0);
    let client = site.client(&[address], NEVER_DROP);
    let subscriber = tracing_subscriber::registry().with(facade::tracing::layer(&client));
    let dispatch = tracing::Dispatch::new(subscriber);
    let first = ReceiverProcess::start_at(address, &dir, &[]);
    let _second = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let dispatch = &dispatch;
            scope.spawn(move || {
                tracing::dispatcher::with_default(dispatch, || {
                    for number in 0..RECORDS {
                        tracing::info!(number, "{thread} {number}");
                    }
                });
            });
        }
        wait::until("something is delivered", || client.stats().sender.delivered > 0);
        first.kill();
        ReceiverProcess::start_at(address, &dir, &[])
    });
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!((stats.accepted, stats.sender.delivered), (THREADS * RECORDS, THREADS * RECORDS));
    verify(std::slice::from_ref(&dir));
    assert_eq!(counts(&cat_lines(&[dir])), [RECORDS; THREADS as usize]);
}

#[test]
fn a_killed_program_loses_nothing_that_its_macros_returned_from() {
    let site = Site::new();
    let address = lasting_address();
    let dir = site.receiver_dir(0);
    let url = site.url(&[address], NEVER_DROP);
    let receiver = ReceiverProcess::start_at(address, &dir, &[]);
    let witness = site.file("witness");
    fs::write(&witness, [0; 8 * THREADS as usize]).unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["conservation::program", "--exact"])
        .env(URL, &url)
        .env(WITNESS, &witness)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait::until("each thread has logged", || {
        witnessed(&witness).iter().all(|count| *count > 1_000)
    });
    program.kill().unwrap();
    program.wait().unwrap();
    let witnessed = witnessed(&witness);
    site.drain(&url);
    verify(std::slice::from_ref(&dir));
    let counts = counts(&cat_lines(&[dir]));
    for (count, witnessed) in counts.into_iter().zip(witnessed) {
        // The last one may have been accepted without its witness.
        assert!((witnessed..=witnessed + 1).contains(&count), "{count} of {witnessed}");
    }
    drop(receiver);
}

fn witnessed(path: &Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Not a test of its own: the program that is killed, when told so by its environment.
#[test]
fn program() {
    let Ok(url) = std::env::var(URL) else { return };
    let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
    tracing_subscriber::registry().with(facade::tracing::layer(&client)).init();
    let witness = File::options().write(true).open(std::env::var(WITNESS).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let witness = &witness;
            scope.spawn(move || {
                for number in 0_u64.. {
                    tracing::info!(number, "{thread} {number}");
                    witness.write_all_at(&(number + 1).to_le_bytes(), thread * 8).unwrap();
                }
            });
        }
    });
}
