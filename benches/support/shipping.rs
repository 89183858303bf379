//! One run of logdrive: so many records of one size from so many threads, until all are acknowledged.

use std::fmt;
use std::net::SocketAddr;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;
use std::time::Instant;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use super::corpus;
use super::cpu_seconds;
use super::private_mib;

/// Far above what any run takes: a run that is stuck ends with a message.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is sent, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Bytes of a record's text.
    pub bytes: usize,
    /// `lz4`, `none`, or another codec's name.
    pub codec: String,
    /// Threads that log.
    pub threads: usize,
    /// Threads that compress.
    pub workers: usize,
    /// Records in all.
    pub records: usize,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, codec, threads, workers, records } = self;
        write!(f, "{bytes} {codec} {threads} {workers} {records}")
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(format!("{text:?} has five words"));
        let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
        Ok(Self {
            bytes: number(next()?)?,
            codec: next()?.to_owned(),
            threads: number(next()?)?,
            workers: number(next()?)?,
            records: number(next()?)?,
        })
    }
}

/// What a run took.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// From the first record to the last acknowledgement.
    pub seconds: f64,
    /// User and system time of the client's process meanwhile.
    pub cpu_seconds: f64,
    /// Resident memory of the process at full rate, the corpus, arena and spool left out.
    pub memory_mib: f64,
    /// Bytes of texts by bytes on the wire.
    pub ratio: f64,
}

impl Used {
    /// One line that [`Used::from_child`] reads.
    pub fn print(&self) {
        let Self { seconds, cpu_seconds, memory_mib, ratio } = self;
        println!("used {seconds} {cpu_seconds} {memory_mib} {ratio}");
    }

    /// Runs `command` and reads its line.
    pub fn from_child(command: &mut Command) -> Self {
        let output = command.output().expect("a run can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("used "));
        let line = line.unwrap_or_else(|| {
            panic!("a run failed: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [seconds, cpu_seconds, memory_mib, ratio] = numbers[..] else {
            panic!("a run printed {line:?}")
        };
        Self { seconds, cpu_seconds, memory_mib, ratio }
    }
}

/// Runs `log` in each of the load's threads, once for each record, then `finish` once.
///
/// `log` gets a line and does not return before it was taken.
pub fn measure(load: &Load, log: impl Fn(&[u8]) + Sync, finish: impl FnOnce()) -> Used {
    let corpus = corpus(load.bytes);
    let lines = corpus.len() / load.bytes;
    let cpu_before = cpu_seconds("self");
    #[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock by its nature")]
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..load.threads {
            let (corpus, log) = (&corpus, &log);
            let first = lines * thread / load.threads;
            let count = load.records / load.threads;
            let work = move || {
                let (front, back) = corpus.split_at(first * load.bytes);
                let lines = back.chunks_exact(load.bytes).chain(front.chunks_exact(load.bytes));
                lines.cycle().take(count).for_each(log);
            };
            let started = std::thread::Builder::new().spawn_scoped(scope, work);
            drop(started.expect("a thread can be started"));
        }
    });
    let memory_mib = private_mib() - corpus.len() as f64 / f64::from(1 << 20);
    finish();
    Used {
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds("self") - cpu_before,
        memory_mib,
        ratio: 0.0,
    }
}

/// Sends `load` to the receiver at `address` with logdrive; panics where a record was not acknowledged.
pub fn run(load: &Load, address: SocketAddr, extra: &str) -> Used {
    run_at(load, &format!("receivers://{address}/bench"), extra)
}

/// A client for `load` that was connected, and has started every thread of its own.
pub fn client(load: &Load, target: &str, extra: &str) -> Client {
    let url = format!(
        "{target}?codec={}&workers={}&name=bench-{}&ring.full=block&\
         ring.full_deadline=60s&spool.full=block{extra}",
        load.codec,
        load.workers,
        std::process::id()
    );
    let config = Config::from_url(&url).expect("the URL is right");
    let client = Client::start(&config).expect("the client opens");
    client.log(Severity::Info, "warm").expect("the ring is empty");
    client.flush(DEADLINE).expect("the receiver answers");
    client
}

/// Sends `load` to `target`, a URL without options.
pub fn run_at(load: &Load, target: &str, extra: &str) -> Used {
    let client = client(load, target, extra);
    let used = measure(
        load,
        |line| client.log(Severity::Info, line).expect("a full ring waits"),
        || client.flush(DEADLINE).expect("everything is acknowledged in time"),
    );
    let stats = client.stats();
    let expected = (load.records / load.threads * load.threads + 1) as u64;
    assert_eq!(stats.sender.delivered, expected, "{stats}");
    let closed = client.close(DEADLINE);
    assert!(closed.is_ok(), "everything was acknowledged, so closing is quick");
    Used { ratio: stats.bytes_in as f64 / stats.sender.bytes_wire.max(1) as f64, ..used }
}
