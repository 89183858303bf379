//! Faults 15 and 16: processes that end while their threads log, in every way there is, and threads that come and go.
//! What was accepted arrives, from the process itself or from the next one of its name.

#![allow(unsafe_code, reason = "atexit and _exit are C's")]

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use logdrive::Client;
use logdrive::Code;
use logdrive::clock::Clock;

use crate::c_program;
use crate::delivered;
use crate::delivered::Delivered;
use crate::host;
use crate::host::Orders;
use crate::host::Voice;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::oracle::Accepted;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::witness::Witness;

const OPTIONS: &str =
    "name=exits&spool.full=block&ring.full=block&ring.bytes_max=2MiB&close.deadline=100ms";
/// The ways to go; what `exit` and a returning main run is the first three's.
const WAYS: [&str; 6] = ["exit", "exit-elsewhere", "atexit", "_exit", "destructor", "drop"];
/// Lifetimes of which a last process delivers what they left.
const RUNS_PER_SITE: u64 = 20;

#[test]
fn processes_that_end_while_their_threads_log() {
    let row = Row::begin("15", "exit races", 200, 10_000);
    let (mut tally, mut left) = (Tally::default(), 0);
    for group in 0..row.runs().div_ceil(RUNS_PER_SITE) {
        let mut random = row.random(group);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("exits", &[receiver.address], OPTIONS);
        let path = site.memory_file("witness");
        let witness = Witness::create(&path, host::THREADS_MAX * RUNS_PER_SITE as usize);
        let runs = RUNS_PER_SITE.min(row.runs() - group * RUNS_PER_SITE) as u32;
        for run in 0..runs {
            let kind = format!("{run} {}", WAYS[random.below(WAYS.len() as u64) as usize]);
            host::run(host::command("exit::host", &url, &path, random.next(), &kind), 0);
        }
        let stats = site.drain(&url);
        assert_eq!(stats.panics, 0);
        left += stats.sender.adopted_delivered;
        let accepted = host::promised(&witness, runs, true);
        let verdict = Delivered::read(&dirs, "exits").judge(&accepted, 0);
        // Missing and left behind would be one fault, missing and nowhere another.
        verdict.assert_clean(&format!("group {group}, left {:?}, {stats:?}", site.files_left()));
        delivered::assert_accounted(&dirs);
        tally += verdict;
    }
    row.finish(&format!("0 hangs, {left} records left to the last process"), &tally);
}

/// No test, but the host of the row above.
#[test]
fn host() {
    let Some(Orders { url, witness, seed, kind }) = host::orders() else { return };
    let (run, way) = kind.split_once(' ').unwrap();
    let run = run.parse().unwrap();
    let (client, witness) = (host::client(&url), Arc::new(witness));
    for thread in 0..3 {
        let (client, witness) = (client.clone(), witness.clone());
        start(move || {
            let mut voice = Voice::new(&witness, run, thread);
            // Until it is told that the client is closed; at an exit it never gets there.
            while voice.log(&client).is_ok() {}
        });
    }
    let mut random = Random::new(seed);
    // Some end before the first record, some after thousands.
    let until = random.below(2) * random.below(2_000);
    let first = run as usize * host::THREADS_MAX;
    wait::until("the host logs", || {
        (0..3).map(|thread| witness.read(first + thread)).sum::<u64>() >= until
    });
    go(way, run, client, witness);
}

fn go(way: &str, run: u32, client: Client, witness: Arc<Witness>) {
    match way {
        "exit" => std::process::exit(0),
        "exit-elsewhere" => {
            start(|| std::process::exit(0));
            let mut voice = Voice::new(&witness, run, 3);
            while voice.log(&client).is_ok() {}
            // Closed before the other thread was there.
            wait::until("the process ends", || false);
        }
        "atexit" => {
            assert!(LAST_WORDS.set((client, run, witness)).is_ok());
            // SAFETY: the handler stays loaded and does not unwind.
            assert_eq!(unsafe { libc::atexit(log_last_words) }, 0);
            std::process::exit(0);
        }
        // SAFETY: ends the process at once.
        "_exit" => unsafe { libc::_exit(0) },
        "destructor" => {
            start(move || {
                LAST.with_borrow_mut(|last| *last = Some(LogsWhenDropped(client, run, witness)));
            })
            .join()
            .unwrap();
        }
        "drop" => drop(client),
        unknown => panic!("{unknown} is no way to go"),
    }
}

static LAST_WORDS: OnceLock<(Client, u32, Arc<Witness>)> = OnceLock::new();

extern "C" fn log_last_words() {
    let Some((client, run, witness)) = LAST_WORDS.get() else { return };
    let mut voice = Voice::new(witness, *run, 4);
    (0..10).for_each(|_| assert_eq!(voice.log(client), Ok(())));
}

thread_local! {
    static LAST: RefCell<Option<LogsWhenDropped>> = const { RefCell::new(None) };
}

struct LogsWhenDropped(Client, u32, Arc<Witness>);

impl Drop for LogsWhenDropped {
    fn drop(&mut self) {
        let mut voice = Voice::new(&self.2, self.1, 5);
        (0..10).for_each(|_| assert_eq!(voice.log(&self.0), Ok(())));
    }
}

fn start(body: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new().spawn(body).unwrap()
}

/// Short-lived threads, whatever the factor: fewer would not show a leak.
const THREADS: usize = 10_000;
const AT_ONCE: usize = 50;

#[test]
fn ten_thousand_threads_come_and_go() {
    let row = Row::begin("16", "10,000 short-lived threads", 1, 10);
    let mut tally = Tally::default();
    for run in 0..row.runs() {
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("threads", &[receiver.address], OPTIONS);
        let path = site.memory_file("witness");
        let witness = Witness::create(&path, THREADS);
        host::run(host::command("exit::threads", &url, &path, run, ""), 0);
        let accepted = Accepted { run: 0, by_thread: witness.read_all(), may_be_one_more: false };
        let verdict = Delivered::read(&dirs, "threads").judge(&[accepted], 0);
        verdict.assert_clean(&format!("run {run}"));
        delivered::assert_accounted(&dirs);
        tally += verdict;
    }
    row.finish("rings, descriptors and threads back to where they were", &tally);
}

/// No test, but the host of the row above.
#[test]
fn threads() {
    let Some(Orders { url, witness, .. }) = host::orders() else { return };
    let client = host::client(&url);
    // Threads and connections are there from the first record on.
    client.stream("first").unwrap().info("first");
    client.flush(wait::PATIENCE).unwrap();
    let count = |of: &str| std::fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
    let before = (count("fd"), count("task"));
    for first in (0..THREADS).step_by(AT_ONCE) {
        std::thread::scope(|scope| {
            for thread in first..first + AT_ONCE {
                let (client, witness) = (&client, &witness);
                scope.spawn(move || {
                    let mut voice = Voice::new(witness, 0, thread as u16);
                    (0..3).for_each(|_| assert_eq!(voice.log(client), Ok(())));
                });
            }
        });
    }
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.stats();
    assert_eq!((stats.refused_total(), stats.panics), (0, 0), "{stats:?}");
    wait::until("the threads' last traces are gone", || {
        count("task") <= before.1 && count("fd") <= before.0 + 2
    });
    let stats = client.close(wait::PATIENCE).unwrap();
    assert!(stats.arena_used_percent <= 5, "{stats:?}");
}

#[test]
fn a_flush_without_a_receiver_ends_at_its_deadline() {
    let row = Row::begin("15", "flush and close at their deadlines", 20, 1_000);
    let site = Site::new();
    let clock = Clock::start();
    let mut over = Vec::new();
    for run in 0..row.runs() {
        let client = site.client(&["127.0.0.1:9"], OPTIONS);
        client.info("nobody will have it soon");
        let deadline = Duration::from_millis(50 + row.random(run).below(100));
        let start = clock.moment();
        let flushed = client.flush(deadline).map_err(|error| error.code());
        assert_eq!(flushed, Err(Code::DeadlineExceeded));
        let waited = clock.moment().since(start);
        assert!(waited >= deadline);
        over.push(100 * (waited - deadline).as_micros() / deadline.as_micros());
        assert!(client.close(Duration::from_millis(10)).is_err());
    }
    over.sort_unstable();
    let (median, most) = (over[over.len() / 2], over[over.len() - 1]);
    row.finish(&format!("overshoot {median} % (median), {most} % (most)"), &Tally::default());
}

#[test]
fn the_c_library_is_unloaded_while_threads_live() {
    let row = Row::begin("15", "dlclose with live threads", 100, 1_000);
    let site = Site::new();
    let dirs = [site.receiver_dir(0)];
    let receiver = ReceiverProcess::start(&dirs[0], &[]);
    let url = site.url_of_topic("unload", &[receiver.address], "");
    let program = c_program::compile("bindings/c/tests/c/unload.c", site.disk());
    let mut command = std::process::Command::new(program);
    command.arg(c_program::library()).arg(&url).arg(row.runs().to_string());
    host::run(command, 0);
    let account = delivered::account(&dirs);
    assert!(account.is_complete(), "{account:?}");
    assert_eq!(account.instances.len() as u64, row.runs());
    let records = account.instances.iter().map(|instance| instance.records).sum();
    let tally = Tally {
        accepted: row.runs(),
        delivered: records,
        missing: row.runs() - records,
        ..Tally::default()
    };
    row.finish("0 crashes, the library stays mapped (nodelete)", &tally);
}
