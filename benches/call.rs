//! What a log call costs its caller: paced, open loop, from time stamp counter to time stamp counter.
//!
//! `cargo bench --features cli --bench call -- [--quick] [--date D] [--rounds N] [--threads 1,4]`. 100,000 calls
//! per second in all, at times fixed beforehand; a real `logdrive receive` takes the records meanwhile. The
//! cases take turns; each figure is the median over the rounds of that round's percentile, and the best round's
//! beside it. The first row measures nothing but the timer, which is in every other row too. With fewer threads
//! than cores a thread spins from call to call; with more it gives its core away, so that its caches cool down.

mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::clock::Clock;
use support::Options;
use support::Receiver;
use support::median;

/// Calls per second over all threads.
const RATE: u64 = 100_000;
const LINE_BYTES: usize = 200;
/// Lines that take turns: an application's text is warm, since it has just written it.
const LINES: usize = 64;
const PERCENTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// Closer than this to its time a call is waited for without giving the core away, whatever the threads.
const SPIN_NANOS: u64 = 5_000;
const DEADLINE: Duration = Duration::from_secs(20);

/// What is called.
#[derive(Clone, Copy)]
enum Case {
    Timer,
    Disabled,
    Plain,
    Attributes,
    Formatted,
}

const CASES: [(Case, &str); 5] = [
    (Case::Timer, "nothing: the timer alone"),
    (Case::Disabled, "log, level disabled"),
    (Case::Plain, "log, 200 B"),
    (Case::Attributes, "log_with, 200 B and 3 attributes"),
    (Case::Formatted, "write, formatted to 200 B"),
];

fn main() {
    let options = Options::read(&["quick", "date", "rounds", "threads"]);
    let is_quick = options.has("quick");
    let rounds: usize = options.list("rounds", if is_quick { "3" } else { "9" })[0];
    let threads: Vec<usize> = options.list("threads", "1,4");
    let calls = if is_quick { RATE / 4 } else { RATE / 2 };
    let receiver = Receiver::start(Command::new(env!("CARGO_BIN_EXE_logdrive")), "header");
    let url = format!("receivers://{}/bench?name=call-{}", receiver.address, std::process::id());
    let config = Config::from_url(&url).expect("the URL is right");
    let client = Client::start(&config).expect("the client opens");
    client.set_level(Severity::Info);
    let bench = Bench { client, clock: Clock::start(), lines: support::corpus(LINE_BYTES) };

    let mut results: Vec<Vec<[f64; PERCENTILES.len()]>> =
        vec![Vec::new(); CASES.len() * threads.len()];
    for _ in 0..rounds {
        for (place, &threads) in threads.iter().enumerate() {
            for (index, (case, _)) in CASES.iter().enumerate() {
                let percentiles = bench.round(*case, threads, calls);
                results[place * CASES.len() + index].push(percentiles);
            }
        }
    }
    println!("{}", support::machine());
    println!(
        "{}, {rounds} rounds of {calls} calls, {RATE} calls/s in all; ns, timer included, steps of \
         {:.1} ns",
        options.value("date").unwrap_or_default(),
        bench.step_nanos()
    );
    println!(
        "threads  call                                  p50     p90     p99   p99.9 | best round"
    );
    for (at, mut rounds) in results.into_iter().enumerate() {
        println!("{}", row(threads[at / CASES.len()], CASES[at % CASES.len()].1, &mut rounds));
    }
    let stats = bench.client.stats();
    assert_eq!(stats.refused_total(), 0, "a refused call is cheaper than an accepted one: {stats}");
    bench.client.close(DEADLINE).expect("everything is acknowledged in time");
    receiver.stop();
}

fn row(threads: usize, name: &str, rounds: &mut [[f64; PERCENTILES.len()]]) -> String {
    let mut row = format!("{threads:>7}  {name:<34}");
    let mut best = String::new();
    for at in 0..PERCENTILES.len() {
        let mut values: Vec<f64> = rounds.iter().map(|percentiles| percentiles[at]).collect();
        let _infallible = write!(row, " {:7.0}", median(&mut values));
        let _infallible = write!(best, " {:5.0}", values[0]);
    }
    row + " |" + &best
}

struct Bench {
    client: Client,
    clock: Clock,
    lines: Vec<u8>,
}

impl Bench {
    /// The percentiles of one round, in nanoseconds.
    fn round(&self, case: Case, threads: usize, calls: u64) -> [f64; PERCENTILES.len()] {
        let each = calls / threads as u64;
        let start = self.clock.ticks();
        let mut samples: Vec<u64> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|thread| {
                    // The threads' times interleave evenly.
                    let work = move || self.paced(case, start, thread as u64, threads as u64, each);
                    std::thread::Builder::new().spawn_scoped(scope, work).expect("a thread starts")
                })
                .collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, Vec<u64>>| {
                handle.join().expect("no call panics")
            };
            handles.into_iter().flat_map(join).collect()
        });
        samples.sort_unstable();
        let nanos_per_tick = self.nanos_per_tick();
        PERCENTILES
            .map(|share| samples[(samples.len() as f64 * share) as usize] as f64 * nanos_per_tick)
    }

    fn paced(&self, case: Case, start: u64, thread: u64, threads: u64, calls: u64) -> Vec<u64> {
        let ticks_per_nano = 1.0 / self.nanos_per_tick();
        let period = 1e9 / RATE as f64 * ticks_per_nano;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let always = (threads as usize) < cores;
        let spin = if always { u64::MAX } else { (SPIN_NANOS as f64 * ticks_per_nano) as u64 };
        // The first calls take the thread's ring and touch its memory.
        let first = start + (10e6 * ticks_per_nano) as u64;
        for warm in 0..100 {
            self.call(case, warm);
        }
        let mut samples = Vec::with_capacity(calls as usize);
        for number in 0..calls {
            let due = first + ((number * threads + thread) as f64 * period) as u64;
            loop {
                let now = self.clock.ticks();
                if now >= due {
                    break;
                }
                if due - now > spin { std::thread::yield_now() } else { std::hint::spin_loop() }
            }
            let before = self.clock.ticks();
            self.call(case, number as usize);
            samples.push(self.clock.ticks() - before);
        }
        samples
    }

    #[inline(always)]
    fn call(&self, case: Case, number: usize) {
        let line = &self.lines[number % LINES * LINE_BYTES..][..LINE_BYTES];
        let client = &self.client;
        let outcome = match case {
            Case::Timer => Ok(()),
            Case::Disabled => client.log(Severity::Debug, line),
            Case::Plain => client.log(Severity::Info, line),
            Case::Attributes => {
                let attributes: [(&str, &[u8]); 3] =
                    [("request", b"4711-0815"), ("user", b"alice"), ("status", b"200")];
                client.log_with(Severity::Info, line, &attributes)
            }
            Case::Formatted => {
                let text = str::from_utf8(&line[..150]).unwrap_or("not UTF-8");
                let (bytes, micros) = (number * 977, number % 1000);
                let parts = format_args!("request {number} of {bytes} B took {micros} us: {text}");
                client.write(Severity::Info, parts)
            }
        };
        black_box(outcome).expect("the ring is never full at this rate");
    }

    /// The step in which the counter was mostly seen to move: figures are multiples of it.
    fn step_nanos(&self) -> f64 {
        let steps = (0..100_000).map(|_| {
            let before = self.clock.ticks();
            self.clock.ticks() - before
        });
        let mut seen: Vec<f64> = steps.filter(|step| *step > 0).map(|step| step as f64).collect();
        median(&mut seen) * self.nanos_per_tick()
    }

    fn nanos_per_tick(&self) -> f64 {
        self.clock.calibrate().nanos_per_tick as f64 / f64::from(u32::MAX)
    }
}
