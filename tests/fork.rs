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
    let status = status_of(child);
    assert!(status == 0, "status {status:#x}");
}

/// How it ended; 0 for well.
fn status_of(child: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: a child of ours; `status` has room.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
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

/// A thread that begins or ends holds a lock of the standard library, which nobody gives back in a child.
#[test]
fn children_of_a_parent_whose_threads_come_and_go_deliver_and_end() {
    const FORKS: u32 = 300;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    let client = client(&receiver, dir.path());
    let is_stopping = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_stopping.load(Ordering::Relaxed) {
                    let spawn = || std::thread::Builder::new().spawn(|| {}).unwrap();
                    let many: Vec<_> = std::iter::repeat_with(spawn).take(16).collect();
                    many.into_iter().for_each(|thread| thread.join().unwrap());
                }
            });
        }
        let mut children = (0..FORKS).map(|number| {
            fork(|| {
                // SAFETY: ends a child that hangs; no memory is touched.
                unsafe { libc::alarm(DEADLINE.as_secs() as u32) };
                client.info(format!("child {number}"));
                client.clone().close(DEADLINE).is_ok()
            })
        });
        let ended_badly = children.find(|child| status_of(*child) != 0);
        is_stopping.store(true, Ordering::Relaxed);
        assert_eq!(ended_badly, None, "a child hung, or closed without success");
    });
    client.close(DEADLINE).unwrap();
    let found = support::cat(&[store.to_str().unwrap()]);
    let expected: Vec<String> = (0..FORKS).map(|number| format!("child {number}")).collect();
    assert_eq!(found, expected);
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

/// Threads of a forked child: it starts with one.
fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn a_client_has_no_threads_before_its_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    let path = dir.path();
    wait_for(fork(|| {
        let unused = client(&receiver, path);
        unused.flush(DEADLINE).unwrap();
        assert!(unused.adoption_done() && thread_count() == 1);
        unused.close(DEADLINE).unwrap();
        let used = client(&receiver, path);
        assert_eq!(thread_count(), 1);
        used.info("first");
        assert!(thread_count() >= 3, "a batcher and a sender");
        used.close(DEADLINE).unwrap();
        thread_count() == 1
    }));
    assert_eq!(support::cat(&[store.to_str().unwrap()]), ["first"]);
    assert!(slots_in(path).is_empty());
}

fn slots_in(dir: &Path) -> Vec<std::path::PathBuf> {
    let names = std::fs::read_dir(dir.join("ring")).into_iter().flatten().flatten();
    names
        .flat_map(|name| std::fs::read_dir(name.path()).unwrap())
        .map(|e| e.unwrap().path())
        .collect()
}

fn set_limit(resource: libc::__rlimit_resource_t, soft: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for the answer.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut limit) }, 0);
    limit.rlim_cur = soft.min(limit.rlim_max);
    // SAFETY: `limit` is a valid structure that is only read.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    let path = dir.path();
    wait_for(fork(|| {
        let url = format!("receivers://{}/forked", receiver.address);
        let mut config = Config::from_url(&url).unwrap();
        config.set("ring.dir", path.join("ring").to_str().unwrap()).unwrap();
        let mut failed = 0;
        for more in 0..64 {
            // Descriptors get the lowest free number, which must lie below.
            set_limit(libc::RLIMIT_NOFILE, 3 + more);
            let Ok(client) = Client::start(&config) else {
                failed += 1;
                set_limit(libc::RLIMIT_NOFILE, 200);
                assert!(slots_in(path).is_empty(), "{more} more descriptors: {:?}", slots_in(path));
                continue;
            };
            set_limit(libc::RLIMIT_NOFILE, 200);
            client.close(DEADLINE).unwrap();
            break;
        }
        failed > 2
    }));
}

/// Where the system refuses threads a record is refused and counted; later ones are accepted and delivered.
#[test]
fn threads_that_are_refused_are_tried_again() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let receiver = ReceiverProcess::start(&store, &[]);
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path();
    wait_for(fork(|| {
        // Root is not bound by the limit; where we are not root, this fails and is not needed.
        // SAFETY: changes this child's user, nothing else.
        let _may_fail = unsafe { libc::setuid(65_534) };
        let client = client(&receiver, path);
        set_limit(libc::RLIMIT_NPROC, 0);
        assert_eq!(client.log(Severity::Info, "too early"), Err(logdrive::Code::Starting));
        assert_eq!(client.stats().refused, [("starting", 1)]);
        set_limit(libc::RLIMIT_NPROC, u64::MAX);
        support::wait::until("threads are started", || {
            client.log(Severity::Info, "in time").is_ok()
        });
        client.close(DEADLINE).unwrap().sender.delivered == 1
    }));
    assert_eq!(support::cat(&[store.to_str().unwrap()]), ["in time"]);
}

/// Where the system refuses the thread that reads credentials, they are read by a later one.
#[test]
fn credentials_are_read_again_after_a_thread_was_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path();
    wait_for(fork(|| {
        // SAFETY: as above.
        let _may_fail = unsafe { libc::setuid(65_534) };
        let (password, rings) = (path.join("password"), path.join("ring"));
        std::fs::write(&password, "one").unwrap();
        let url = format!(
            "receivers://127.0.0.1:1/forked?sasl.mechanism=PLAIN&sasl.username=u&sasl.password_file={}\
             &sasl.insecure_cleartext=true&credentials.reload_interval=100ms&close.deadline=0s&ring.dir={}",
            password.display(),
            rings.display()
        );
        let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
        support::wait::until("threads are started", || {
            client.log(Severity::Info, "in time").is_ok()
        });
        set_limit(libc::RLIMIT_NPROC, 0);
        support::wait::until("a thread is refused", || {
            let sender = client.stats().sender;
            sender.credentials_failure.contains("no thread to read credentials")
        });
        set_limit(libc::RLIMIT_NPROC, u64::MAX);
        std::fs::write(&password, "two").unwrap();
        support::wait::until("the password is read again", || {
            client.stats().sender.credentials_reloads == 1
        });
        true
    }));
}

/// The parent is gone, its child lives and has copies of all its descriptors: the slot is dead all the same.
#[test]
fn a_forked_child_does_not_keep_a_dead_parents_slot_alive() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let path = dir.path();
    let address: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let child = fork(|| {
        let mut config = Config::from_url(&format!("receivers://{address}/forked")).unwrap();
        config.set("ring.dir", path.join("ring").to_str().unwrap()).unwrap();
        let client = Client::start(&config).unwrap();
        log(&client, "dead");
        let grandchild = fork(|| {
            // Until the test lets go of the pipe, which is after the adoption.
            // SAFETY: this process's copy, which nobody uses after this.
            unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&writer)) };
            let mut reader = reader.try_clone().unwrap();
            std::io::Read::read(&mut reader, &mut [0]).unwrap() == 0
        });
        assert!(grandchild > 0);
        std::mem::forget(client);
        true
    });
    wait_for(child);
    let receiver = ReceiverProcess::start(&store, &[]);
    let heir = client(&receiver, path);
    support::wait::until("the slot is adopted and drained", || {
        heir.stats().sender.adopted_delivered == u64::from(RECORDS) && slots_in(path).len() == 1
    });
    heir.close(DEADLINE).unwrap();
    drop(writer);
    check(&store, &["dead"]);
}
