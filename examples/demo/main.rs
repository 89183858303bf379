//! `make demo`: eight threads log to three receivers, one of which is killed with SIGKILL and restarted in
//! the middle; then every line is read back from the receivers' files and compared with what was logged.
//!
//! With FILEs as arguments the threads log those lines, again and again; without, they make up web, JSON and
//! Java log lines. Runs for about 20 seconds at a steady rate and exits with 0 only if no line is
//! missing, repeated or changed.

mod account;
mod lines;
mod receivers;
mod screen;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::clock::Clock;

use crate::account::Logged;
use crate::lines::Lines;
use crate::receivers::Receivers;
use crate::screen::Screen;

const THREADS: u32 = 8;
/// Lines that each thread logs per second.
const RATE: u64 = 20_000;
/// Lines between two rests of a thread: 2.5 ms.
const BURST: u64 = 50;
const RUN: Duration = Duration::from_secs(16);
const KILL_AT: Duration = Duration::from_secs(5);
const RESTART_AT: Duration = Duration::from_secs(9);
/// How long the end may take to get everything acknowledged.
const FLUSH_DEADLINE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [word, address, dir] if word == receivers::CHILD => {
            receivers::run_child(address, dir).map(|()| true)
        }
        files => demo(files),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::from(2)
        }
    }
}

fn demo(files: &[String]) -> Result<bool, Box<dyn Error>> {
    let lines = Lines::of(files)?;
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, is_stopping.clone())?;
    }
    let mut receivers = Receivers::start()?;
    let (client, _rings) = open(&receivers)?;
    let clock = Clock::start();
    let mut screen = Screen::new(lines.description());
    let start = clock.moment();
    let logged = std::thread::scope(|scope| -> Result<Vec<Logged>, Box<dyn Error>> {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (client, lines, is_stopping) = (&client, &lines, &*is_stopping);
                scope.spawn(move || log_lines(thread, client, lines, clock, is_stopping))
            })
            .collect();
        let watched = watch(&mut screen, &mut receivers, &client, clock, &is_stopping);
        // Also when the watching failed: the threads must end before the error is told.
        is_stopping.store(true, Ordering::Relaxed);
        let logged = threads.into_iter().map(|thread| thread.join().expect("it does not panic"));
        let logged = logged.collect();
        watched.map(|()| logged)
    })?;
    let is_flushed = client.flush(FLUSH_DEADLINE).is_ok();
    let stats = client.stats();
    screen.show(&stats, &receivers, clock.moment().since(start), true);
    let closed = client.close(Duration::from_secs(5));
    let dirs = receivers.stop()?;
    if !is_flushed || closed.is_err() {
        println!("  not everything was acknowledged within {FLUSH_DEADLINE:?}");
    }
    let verdict = account::compare(&logged, &dirs)?;
    screen.verdict(&verdict, &stats);
    Ok(verdict.is_clean() && stats.refused_total() == 0)
}

/// A client of all three receivers, and the directory of its rings and spool.
fn open(receivers: &Receivers) -> Result<(Client, tempfile::TempDir), Box<dyn Error>> {
    // In memory where there is such a place: a log call must never wait for a disk.
    let shared_memory = std::path::Path::new("/dev/shm");
    let rings = tempfile::tempdir_in(shared_memory).or_else(|_| tempfile::tempdir())?;
    let mut config = Config::new();
    config.set("url", &receivers.url())?;
    config.set("ring.dir", &rings.path().to_string_lossy())?;
    Ok((Client::start(&config)?, rings))
}

/// What each thread does: logs at its rate until the time is over.
fn log_lines(
    thread: u32,
    client: &Client,
    lines: &Lines,
    clock: Clock,
    is_stopping: &AtomicBool,
) -> Logged {
    let mut logged = Logged::default();
    let mut source = lines.source(thread);
    let start = clock.moment();
    while clock.moment().since(start) < RUN && !is_stopping.load(Ordering::Relaxed) {
        source.set_time(clock.wall_nanos());
        for _ in 0..BURST {
            let line = source.next_line(logged.count());
            // A refusal would be told here and not counted as logged; the verdict shows it.
            if client.log(Severity::Info, line).is_ok() {
                logged.add(line);
            }
        }
        let due = start.after(Duration::from_nanos(1_000_000_000 / RATE * logged.count()));
        std::thread::sleep(due.since(clock.moment()));
    }
    logged
}

/// Shows how it goes, and kills and restarts a receiver meanwhile.
fn watch(
    screen: &mut Screen,
    receivers: &mut Receivers,
    client: &Client,
    clock: Clock,
    is_stopping: &AtomicBool,
) -> Result<(), Box<dyn Error>> {
    let start = clock.moment();
    let (mut is_killed, mut is_restarted) = (false, false);
    loop {
        let elapsed = clock.moment().since(start);
        if elapsed >= RUN || is_stopping.load(Ordering::Relaxed) {
            return Ok(());
        }
        if elapsed >= KILL_AT && !is_killed {
            is_killed = true;
            receivers.kill()?;
            screen.event(elapsed, "receiver 3 killed with SIGKILL; the other two take its share");
        }
        if elapsed >= RESTART_AT && !is_restarted {
            is_restarted = true;
            receivers.restart()?;
            screen.event(elapsed, "receiver 3 restarted on the same port and directory");
        }
        screen.show(&client.stats(), receivers, elapsed, false);
        std::thread::sleep(TICK);
    }
}
