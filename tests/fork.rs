//! Fork while logging: parent, children and grandchildren log on, each under an instance of its own, and every record
//! is there once. Real forks, real processes, a real receiver.
#![allow(unsafe_code, reason = "a fork is unsafe by nature; the children here are ours")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use support::ReceiverProcess;

const DEADLINE: Duration = Duration::from_secs(20);
const RECORDS: u32 = 2_000;

fn client(receiver: &ReceiverProcess, dir: &Path) -> Client {
    let url = format!("receivers://{}/forked", receiver.address);
    let mut config = Config::from_url(&url).unwrap();
    config.set("ring.dir", dir.join("ring").to_str().unwrap()).unwrap();
    config.set("ring.full", "block").unwrap();
    Client::start(&config).unwrap()
}

/// Logs `RECORDS` lines that say who logged them.
fn log(client: &Client, who: &str) {
    for sequence in 0..RECORDS {
        loop {
            match client.log(Severity::Info, format!("{who} {sequence}")) {
                Ok(()) => break,
                // The rings of the child are being made by another thread of it.
                Err(logdrive::Code::Starting) => std::thread::yield_now(),
                Err(refused) => panic!("{who} {sequence}: {refused}"),
            }
        }
    }
}

/// Forks; the child runs `body` and ends by `_exit`, 0 where it returned true.
fn fork(body: impl FnOnce() -> bool) -> libc::pid_t {
    // SAFETY: the child runs test code of ours and then ends; malloc and threads work in a forked
    // child of glibc.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!outcome.unwrap_or(false))) };
    }
    child
}

fn wait_for(child: libc::pid_t) {
    let mut status = 0;
    // SAFETY: a child of ours; `status` has room.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
}

/// Lines per writer, each of which must be there exactly once and in order.
fn check(dir: &Path, expected: &[&str]) {
    let lines = support::cat(&[dir.to_str().unwrap()]);
    let mut sequences: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for line in &lines {
        let (who, sequence) = line.split_once(' ').unwrap();
        sequences.entry(who).or_default().push(sequence.parse().unwrap());
    }
    assert_eq!(sequences.keys().copied().collect::<Vec<_>>(), expected);
    for (who, found) in sequences {
        assert_eq!(found, (0..RECORDS).collect::<Vec<_>>(), "{who}");
    }
    let verified = support::logdrive(&["verify", dir.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn parent_child_and_grandchild_log_on_and_every_record_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    let client = client(&receiver, dir.path());
    client.info("parent 0");
    let is_stopping = AtomicBool::new(false);
    let mut children = Vec::new();
    std::thread::scope(|scope| {
        // Other threads log throughout, so that forks catch the rings at any moment.
        for _ in 0..2 {
            scope.spawn(|| {
                let noisy = client.stream("noise").unwrap();
                while !is_stopping.load(Ordering::Relaxed) {
                    noisy.info("noise");
                    std::thread::yield_now();
                }
            });
        }
        for number in 0..4 {
            let client = client.clone();
            children.push(fork(move || {
                log(&client, &format!("child-{number}"));
                let grandchild = fork(|| {
                    log(&client, &format!("grandchild-{number}"));
                    client.clone().close(DEADLINE).is_ok()
                });
                wait_for(grandchild);
                client.close(DEADLINE).is_ok()
            }));
        }
        children.drain(..).for_each(wait_for);
        is_stopping.store(true, Ordering::Relaxed);
    });
    for sequence in 1..RECORDS {
        client.log(Severity::Info, format!("parent {sequence}")).unwrap();
    }
    let stats = client.close(DEADLINE).unwrap();
    assert_eq!(stats.accepted, stats.sender.delivered);
    let forked = store.to_str().unwrap();
    let lines = support::cat(&["--topic", "forked", forked]);
    let noise = support::cat(&["--topic", "noise", forked]).len() as u64;
    assert_eq!(noise + u64::from(RECORDS), stats.accepted, "the noise is the parent's alone");
    assert_eq!(lines.len(), 9 * RECORDS as usize);
    let mut found: Vec<&str> = lines.iter().map(String::as_str).collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 9 * RECORDS as usize);
}

#[test]
fn a_child_that_only_exits_leaves_the_parents_rings_and_slot_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    let client = client(&receiver, dir.path());
    log(&client, "parent");
    for _ in 0..20 {
        let inherited = client.clone();
        // The child drops its copies: producers, client, locks.
        wait_for(fork(move || {
            assert!(inherited.flush(DEADLINE).is_ok(), "nothing of the child's is under way");
            drop(inherited);
            true
        }));
    }
    let second = client.stream("second").unwrap();
    second.info("still here");
    client.flush(DEADLINE).unwrap();
    let stats = client.close(DEADLINE).unwrap();
    assert_eq!(stats.accepted, u64::from(RECORDS) + 1);
    assert_eq!(stats.sender.delivered, stats.accepted);
    assert_eq!(support::cat(&["--topic", "second", store.to_str().unwrap()]), ["still here"]);
}

#[test]
fn prefork_workers_share_a_client_opened_before_the_fork() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    let client = client(&receiver, dir.path());
    let workers: Vec<_> = (0..3)
        .map(|number| {
            let client = client.clone();
            fork(move || {
                log(&client, &format!("worker-{number}"));
                // As a server does that is told to stop: no flush, only an orderly end.
                client.close(DEADLINE).is_ok()
            })
        })
        .collect();
    workers.into_iter().for_each(wait_for);
    client.close(DEADLINE).unwrap();
    check(&store, &["worker-0", "worker-1", "worker-2"]);
}
