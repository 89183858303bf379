//! An application in a namespace: it logs at a steady pace, and answers what it is asked over its standard input.
//!
//! The test binary starts itself again, with the one test [`producer`] and its orders in the environment. Every
//! answer is one line that begins with `@`, behind which stand `name=value` pairs.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::Snapshot;
use logdrive::clock::Clock;
use logdrive::ids::Moment;

use crate::namespace::Namespace;
use crate::support::random::Random;
use crate::support::wait;

const URL: &str = "NETWORK_URL";
const RUN: &str = "NETWORK_RUN";
const RATE: &str = "NETWORK_RECORDS_PER_SECOND";
const CLIENTS: &str = "NETWORK_CLIENTS";
/// Between two rounds of records, and between two looks at the figures.
const PACE: Duration = Duration::from_millis(5);
const LINE_BYTES: usize = 200;

/// What a producer answered.
#[derive(Debug, Default)]
pub struct Figures {
    values: BTreeMap<String, u64>,
    /// By `host:port`.
    pub receivers: BTreeMap<String, Receiver>,
}

/// What one receiver took.
#[derive(Clone, Debug, Default)]
pub struct Receiver {
    pub bytes: u64,
    pub failures: u64,
    /// The longest time in which nothing was acknowledged since the last question.
    pub gap: Duration,
}

impl Figures {
    pub fn value(&self, name: &str) -> u64 {
        *self.values.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn bytes(&self, place: &str) -> u64 {
        self.receivers.get(place).map_or(0, |receiver| receiver.bytes)
    }

    fn parse(line: &str) -> Self {
        let mut figures = Self::default();
        for pair in line.split_whitespace().filter(|word| *word != "@") {
            let (name, value) = pair.split_once('=').unwrap();
            match name.strip_prefix("receiver/") {
                None => drop(figures.values.insert(name.to_owned(), value.parse().unwrap())),
                Some(place) => {
                    let numbers: Vec<u64> =
                        value.split(',').map(|number| number.parse().unwrap()).collect();
                    let gap = Duration::from_millis(numbers[2]);
                    let receiver = Receiver { bytes: numbers[0], failures: numbers[1], gap };
                    figures.receivers.insert(place.to_owned(), receiver);
                }
            }
        }
        figures
    }
}

/// A running producer; killed when dropped.
pub struct Producer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Producer {
    /// Starts one that logs so many records per second, each naming `run`.
    pub fn start(namespace: &Namespace, run: u64, url: &str, records_per_second: u64) -> Self {
        Self::start_many(namespace, run, url, records_per_second, 1)
    }

    /// As [`Producer::start`], with so many clients that take turns, each of a name of its own.
    pub fn start_many(
        namespace: &Namespace,
        run: u64,
        url: &str,
        records_per_second: u64,
        clients: usize,
    ) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = namespace.command(program.to_str().unwrap());
        command.args(["producer::producer", "--exact", "--nocapture"]);
        command.env(URL, url).env(RUN, run.to_string()).env(RATE, records_per_second.to_string());
        command.env(CLIENTS, clients.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, answers }
    }

    /// Its figures now.
    pub fn figures(&mut self) -> Figures {
        self.ask("figures")
    }

    /// Waits until all that was accepted before is acknowledged; the value `took_ms`.
    pub fn flush(&mut self) -> Duration {
        Duration::from_millis(self.ask("flush").value("took_ms"))
    }

    /// Stops logging, delivers all and ends; the last figures.
    pub fn finish(mut self) -> Figures {
        let figures = self.ask("close");
        wait::until("the producer ends", || self.child.try_wait().unwrap().is_some());
        figures
    }

    /// The most memory it had resident, in KiB, without mapped files.
    pub fn anonymous_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn ask(&mut self, order: &str) -> Figures {
        writeln!(self.orders, "{order}").unwrap();
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "{order}: it has ended");
            // The test harness that it runs in has something to say as well.
            if let Some(answer) = line.find("@ ").map(|at| &line[at..]) {
                return Figures::parse(answer);
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The line that record `sequence` of a run holds.
pub fn line(run: u64, sequence: u64) -> String {
    let mut text = format!("{run} {sequence} ");
    let mut random = Random::new(run << 48 ^ sequence);
    while text.len() < LINE_BYTES {
        text.push_str(&format!("{:016x}", random.next()));
    }
    text
}

/// Fails unless `lines` are what each run logged: (run, records), none missing, none twice.
pub fn check(runs: &[(u64, u64)], lines: &[Vec<u8>]) {
    let mut found: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    found.sort_unstable();
    let mut expected: Vec<String> =
        runs.iter().flat_map(|(run, count)| (0..*count).map(|n| line(*run, n))).collect();
    expected.sort_unstable();
    let first = found.iter().zip(&expected).position(|(found, line)| *found != line.as_bytes());
    let difference = first.map(|at| (String::from_utf8_lossy(found[at]), &expected[at]));
    assert_eq!((found.len(), difference), (expected.len(), None), "found, expected");
}

/// No test, but what [`Producer::start`] starts; without orders it has nothing to do.
#[test]
fn producer() {
    let Ok(url) = std::env::var(URL) else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let open = |client: u64| {
        let mut config = Config::from_url(&url).unwrap();
        config.set("name", &format!("producer-{}-{client}", number(RUN))).unwrap();
        Client::start(&config).unwrap()
    };
    let application = Application {
        clients: (0..number(CLIENTS)).map(open).collect(),
        run: number(RUN),
        rate: AtomicU64::new(number(RATE)),
        logged: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        clock: Clock::start(),
    };
    let gaps = std::sync::Mutex::new(Gaps::default());
    std::thread::scope(|scope| {
        scope.spawn(|| application.log_all());
        scope.spawn(|| application.watch(&gaps));
        let mut order = String::new();
        while std::io::stdin().read_line(&mut order).unwrap() > 0 {
            let answer = application.obey(order.trim(), &gaps);
            println!("@ {answer}");
            if order.trim() == "close" {
                break;
            }
            order.clear();
        }
        application.is_over.store(true, Ordering::Release);
    });
}

struct Application {
    clients: Vec<Client>,
    run: u64,
    rate: AtomicU64,
    logged: AtomicU64,
    is_over: AtomicBool,
    clock: Clock,
}

/// Of the first client, by receiver and in all: what was acknowledged, since when, longest time without more.
#[derive(Default)]
struct Gaps(BTreeMap<String, (u64, Option<Moment>, Duration)>);

/// The name of all receivers together.
const ALL: &str = "all";

impl Gaps {
    fn note(&mut self, name: String, acknowledged: u64, now: Moment) {
        let known = self.0.entry(name).or_default();
        let since = *known.1.get_or_insert(now);
        known.2 = known.2.max(now.since(since));
        if known.0 != acknowledged {
            (known.0, known.1) = (acknowledged, Some(now));
        }
    }

    fn longest_ms(&self, name: &str) -> u128 {
        self.0.get(name).map_or(0, |known| known.2.as_millis())
    }
}

impl Application {
    /// Logs at the pace; a round that comes late makes up for it, at most a second's worth.
    fn log_all(&self) {
        let mut paced_at = self.clock.moment();
        let mut due = 0.0;
        // Acquire, with the release of `producer`: an end, nothing else is handed over by it.
        while !self.is_over.load(Ordering::Acquire) {
            let now = self.clock.moment();
            let rate = self.rate.load(Ordering::Relaxed) as f64;
            due = f64::min(due + now.since(paced_at).as_secs_f64() * rate, rate);
            paced_at = now;
            while due >= 1.0 {
                let sequence = self.logged.load(Ordering::Relaxed);
                let client = &self.clients[sequence as usize % self.clients.len()];
                if client.log(Severity::Info, line(self.run, sequence)).is_err() {
                    break;
                }
                self.logged.store(sequence + 1, Ordering::Relaxed);
                due -= 1.0;
            }
            std::thread::sleep(PACE);
        }
    }

    fn watch(&self, gaps: &std::sync::Mutex<Gaps>) {
        while !self.is_over.load(Ordering::Acquire) {
            let now = self.clock.moment();
            let sender = self.clients[0].stats().sender;
            let mut gaps = gaps.lock().unwrap();
            gaps.note(ALL.to_owned(), sender.delivered, now);
            for receiver in sender.receivers {
                gaps.note(receiver.address, receiver.batches, now);
            }
            drop(gaps);
            std::thread::sleep(PACE);
        }
    }

    fn obey(&self, order: &str, gaps: &std::sync::Mutex<Gaps>) -> String {
        match order {
            "flush" => format!("took_ms={}", self.flush().as_millis()),
            "close" => {
                self.rate.store(0, Ordering::Relaxed);
                // The round that is being logged ends with the rate's last second at the latest.
                let mut logged = u64::MAX;
                while self.logged.load(Ordering::Relaxed) != logged {
                    logged = self.logged.load(Ordering::Relaxed);
                    std::thread::sleep(10 * PACE);
                }
                self.flush();
                self.figures(gaps)
            }
            "figures" => self.figures(gaps),
            other => panic!("{other:?}: no such order"),
        }
    }

    fn flush(&self) -> Duration {
        let start = self.clock.moment();
        self.clients.iter().for_each(|client| client.flush(wait::PATIENCE).unwrap());
        self.clock.moment().since(start)
    }

    fn figures(&self, gaps: &std::sync::Mutex<Gaps>) -> String {
        let mut gaps = gaps.lock().unwrap();
        let stats: Vec<_> = self.clients.iter().map(Client::stats).collect();
        let sum = |figure: fn(&Snapshot) -> u64| stats.iter().map(figure).sum::<u64>();
        let mut text = format!(
            "logged={} accepted={} delivered={} dropped={} retries={} rebinds={} panics={} \
             discovery_failures={} stall_ms={}",
            self.logged.load(Ordering::Relaxed),
            sum(|stats| stats.accepted),
            sum(|stats| stats.sender.delivered),
            sum(Snapshot::dropped_total),
            sum(|stats| stats.sender.retries),
            sum(|stats| stats.sender.rebinds),
            sum(|stats| stats.panics),
            sum(|stats| stats.sender.discovery_failures),
            gaps.longest_ms(ALL)
        );
        // By receiver: bytes and failures.
        let mut receivers: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for receiver in stats.iter().flat_map(|stats| &stats.sender.receivers) {
            let known = receivers.entry(&receiver.address).or_default();
            (known.0, known.1) = (known.0 + receiver.bytes, known.1 + receiver.failures);
        }
        for (place, (bytes, failures)) in receivers {
            let gap = gaps.longest_ms(place);
            text.push_str(&format!(" receiver/{place}={bytes},{failures},{gap}"));
        }
        gaps.0.values_mut().for_each(|known| known.2 = Duration::ZERO);
        text
    }
}
