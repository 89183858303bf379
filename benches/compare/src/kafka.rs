//! logdrive, librdkafka and the Java producer against the same Apache Kafka, taking turns.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml --bin kafka -- [--quick] [--date D] [--runs N]
//! [--records N] [--bytes 200] [--codec lz4] [--linger 5] [--partitions 6] [--brokers 1] [--seconds 10]`. Starts the
//! brokers itself (tests/peers). All with acks=all and idempotence, the same texts, a fresh topic each. First the
//! rate, as fast as each goes; then p50 and p99 from the call to the acknowledgement at 10,000 records a second:
//! the rivals' from their callbacks, logdrive's from its count of delivered records, looked at every 0.2 ms, so up
//! to that much too high. The Java producer's start and first records are left out.

mod rival;
#[path = "../../support/mod.rs"]
mod support;

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use logdrive::Severity;
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::BaseRecord;
use rdkafka::producer::Producer;
use rdkafka::producer::ProducerContext;
use rdkafka::producer::ThreadedProducer;
use support::Options;
use support::corpus;
use support::median;
use support::shipping;
use support::shipping::Load;
use support::shipping::Used;

const RUN: &str = "run";
const SENDERS: [&str; 4] =
    ["logdrive, 1 worker", "librdkafka", "Java producer", "logdrive, 2 workers"];
const RIVAL: usize = 1;
const PER_SECOND: usize = 10_000;
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at what is delivered.
const PAUSE: Duration = Duration::from_micros(200);

/// Brokers of Apache Kafka 4.
struct Cluster {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    bootstrap: String,
}

impl Cluster {
    fn start(brokers: usize) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let scripts = root.join("tests/peers");
        for peer in ["python", "kafka-4"] {
            let setup = Command::new(scripts.join("setup.sh")).arg(peer).status();
            assert!(setup.is_ok_and(|status| status.success()), "{peer} cannot be installed");
        }
        let peers = peers_dir();
        let mut child = Command::new(peers.join("python/bin/python"))
            .arg(scripts.join("kafka_cluster.py"))
            .arg(peers.join("kafka-4/libs"))
            .arg(brokers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is installed");
        let mut answers = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("its output can be read");
        let bootstrap = line.trim().strip_prefix("ready ").map(str::to_owned);
        let bootstrap = bootstrap.unwrap_or_else(|| panic!("the cluster said {line:?}"));
        Self { child, answers, bootstrap }
    }

    fn create(&mut self, topic: &str, partitions: usize, replicas: usize) {
        let input = self.child.stdin.as_mut().expect("it was piped");
        writeln!(input, "create {topic} {partitions} {replicas}").expect("it reads commands");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its output can be read");
        assert_eq!(line.trim(), "ok", "create {topic}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let _reaped = self.child.wait();
    }
}

fn peers_dir() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/peers");
    std::env::var_os("PEERS_DIR").map_or_else(default, PathBuf::from)
}

/// What one sender took, run by run.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    cpu: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [RUN, sender, load, bootstrap, topic, linger, per_second] =
        arguments.iter().map(String::as_str).collect::<Vec<_>>()[..]
    {
        return run(sender, load, bootstrap, topic, linger, per_second);
    }
    let known = [
        "quick",
        "date",
        "runs",
        "records",
        "bytes",
        "codec",
        "linger",
        "partitions",
        "brokers",
        "seconds",
    ];
    let options = Options::read(&known);
    let is_quick = options.has("quick");
    let runs: usize = options.list("runs", if is_quick { "1" } else { "5" })[0];
    let records: usize = options.list("records", if is_quick { "500000" } else { "3000000" })[0];
    let seconds: usize = options.list("seconds", if is_quick { "3" } else { "10" })[0];
    let bytes: usize = options.list("bytes", "200")[0];
    let codec = options.value("codec").unwrap_or("lz4").to_owned();
    let linger = options.value("linger").unwrap_or("5").to_owned();
    let partitions: usize = options.list("partitions", "6")[0];
    let brokers: usize = options.list("brokers", "1")[0];
    let mut cluster = Cluster::start(brokers);
    let mut table: [Figures; SENDERS.len()] = Default::default();
    let load = Load { bytes, codec, threads: 1, workers: 1, records };
    warm_up(&mut cluster, &load, partitions, brokers, &linger);
    for turn in 0..runs {
        // Somebody else is the first one in each turn.
        for place in (0..SENDERS.len()).map(|sender| (sender + turn) % SENDERS.len()) {
            let figures = &mut table[place];
            for per_second in [0, PER_SECOND] {
                let topic = format!("bench-{turn}-{place}-{per_second}");
                cluster.create(&topic, partitions, brokers.min(3));
                let records = if per_second == 0 { records } else { per_second * seconds };
                let workers = if place == 3 { 2 } else { 1 };
                let load = Load { records, workers, ..load.clone() };
                let places = [&cluster.bootstrap, &topic, &linger];
                figures.measure(place, &load, places, per_second);
            }
        }
    }
    println!("{}", support::machine());
    println!(
        "{}, Apache Kafka 4.1.0, librdkafka {}, {brokers} broker(s), {partitions} partitions, {bytes} bytes, \
         {}, linger {linger} ms, {runs} runs; median [min-max], ratios to librdkafka",
        options.value("date").unwrap_or_default(),
        rival::version(),
        load.codec
    );
    print(&mut table);
}

/// Has the brokers compiled what they run most, so that nobody's figures hold that.
fn warm_up(cluster: &mut Cluster, load: &Load, partitions: usize, brokers: usize, linger: &String) {
    let topic = "bench-warm".to_owned();
    cluster.create(&topic, partitions, brokers.min(3));
    let load = Load { records: load.records / 3, ..load.clone() };
    Figures::default().measure(RIVAL, &load, [&cluster.bootstrap, &topic, linger], 0);
}

fn print(table: &mut [Figures; SENDERS.len()]) {
    println!(
        "sender              |          Mrec/s        | CPU s/M |  rate | CPU  | p50 ms | p99 ms"
    );
    let rate = median(&mut table[RIVAL].rates);
    let cpu = median(&mut table[RIVAL].cpu);
    for (name, figures) in SENDERS.iter().zip(table) {
        let (own_rate, own_cpu) = (median(&mut figures.rates), median(&mut figures.cpu));
        let (min, max) = (figures.rates[0], figures.rates[figures.rates.len() - 1]);
        println!(
            "{name:<19} | {own_rate:6.2} [{min:6.2}-{max:6.2}] | {own_cpu:7.3} | {:5.2} | {:4.2} | \
             {:6.2} | {:6.2}",
            own_rate / rate,
            own_cpu / cpu,
            median(&mut figures.p50_ms),
            median(&mut figures.p99_ms),
        );
    }
}

impl Figures {
    fn measure(&mut self, place: usize, load: &Load, places: [&String; 3], per_second: usize) {
        let this = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(this);
        child.args([RUN, &place.to_string(), &load.to_string()]).args(places);
        child.arg(per_second.to_string());
        let used = Used::from_child(&mut child);
        if per_second == 0 {
            self.rates.push(load.records as f64 / used.seconds / 1e6);
            self.cpu.push(used.cpu_seconds / load.records as f64 * 1e6);
        } else {
            // A run with a pace prints its latencies in the last two places.
            self.p50_ms.push(used.memory_mib);
            self.p99_ms.push(used.ratio);
        }
    }
}

fn run(sender: &str, load: &str, bootstrap: &str, topic: &str, linger: &str, per_second: &str) {
    let load: Load = load.parse().expect("our own parent wrote it");
    let place: usize = sender.parse().expect("a sender's place");
    let pace: usize = per_second.parse().expect("a number");
    let target = format!("kafka://{bootstrap}/{topic}");
    let extra = format!("&linger={linger}ms");
    match (place, pace) {
        (2, _) => java(&load, bootstrap, topic, linger, per_second),
        (1, 0) => rival::run(&load, topic, rival::settings(&load, bootstrap, linger, true)).print(),
        (1, _) => librdkafka_latency(&load, bootstrap, topic, linger, pace),
        (_, 0) => shipping::run_at(&load, &target, &extra).print(),
        (_, _) => logdrive_latency(&load, &target, &extra, pace),
    }
}

/// Calls `send` with each record when it is due.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock by its nature")]
fn at_pace(load: &Load, per_second: usize, mut send: impl FnMut(usize, &[u8])) {
    let corpus = corpus(load.bytes);
    let start = Instant::now();
    let lines = corpus.chunks_exact(load.bytes).cycle();
    for (number, line) in lines.take(load.records).enumerate() {
        let due = Duration::from_secs_f64(number as f64 / per_second as f64);
        if let Some(left) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(left);
        }
        send(number, line);
    }
}

fn print_latencies(mut latencies: Vec<f64>) {
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize] * 1e3;
    println!("used 0 0 {} {}", at(0.5), at(0.99));
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock by its nature")]
fn logdrive_latency(load: &Load, target: &str, extra: &str, per_second: usize) {
    let client = shipping::client(load, target, extra);
    let before = client.stats().sender.delivered;
    let sent = Mutex::new(Vec::with_capacity(load.records));
    let mut latencies = Vec::with_capacity(load.records);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            at_pace(load, per_second, |_, line| {
                let now = Instant::now();
                client.log(Severity::Info, line).expect("a full ring waits");
                sent.lock().expect("nobody panics").push(now);
            });
            client.flush(DEADLINE).expect("everything is acknowledged in time");
        });
        while latencies.len() < load.records {
            let is_over = sender.is_finished();
            let delivered = (client.stats().sender.delivered - before) as usize;
            let now = Instant::now();
            let sent = sent.lock().expect("nobody panics");
            for at in latencies.len()..delivered.min(sent.len()) {
                latencies.push((now - sent[at]).as_secs_f64());
            }
            assert!(!is_over || latencies.len() == load.records, "not all were delivered");
            drop(sent);
            std::thread::sleep(PAUSE);
        }
    });
    client.close(DEADLINE).expect("everything was acknowledged");
    print_latencies(latencies);
}

/// Notes how long each record took.
#[derive(Default)]
struct Latencies(Mutex<Vec<f64>>);

impl ClientContext for Latencies {}

impl ProducerContext for Latencies {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        assert!(result.is_ok(), "a record was not acknowledged");
        self.0.lock().expect("nobody panics").push(sent.elapsed().as_secs_f64());
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock by its nature")]
fn librdkafka_latency(load: &Load, bootstrap: &str, topic: &str, linger: &str, pace: usize) {
    let producer: ThreadedProducer<Latencies> = rival::settings(load, bootstrap, linger, true)
        .create_with_context(Latencies::default())
        .expect("the configuration is right");
    let send = |line: &[u8]| {
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(topic, Box::new(Instant::now()));
        assert!(producer.send(record.payload(line)).is_ok(), "librdkafka refused a record");
    };
    send(b"warm");
    producer.flush(DEADLINE).expect("the broker answers");
    at_pace(load, pace, |_, line| send(line));
    producer.flush(DEADLINE).expect("everything is acknowledged in time");
    let mut latencies = producer.context().0.lock().expect("nobody panics").split_off(1);
    assert_eq!(latencies.len(), load.records);
    print_latencies(std::mem::take(&mut latencies));
}

fn java(load: &Load, bootstrap: &str, topic: &str, linger: &str, per_second: &str) {
    let file = std::env::temp_dir().join(format!("logdrive-bench-{}", std::process::id()));
    std::fs::write(&file, corpus(load.bytes)).expect("there is room for the corpus");
    let output = Command::new("java")
        .args(["-Xmx600m", "-cp"])
        .arg(peers_dir().join("kafka-4/libs/*"))
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("java/Produce.java"))
        .args([bootstrap, topic])
        .arg(&file)
        .args([&load.bytes.to_string(), &load.records.to_string(), &load.codec])
        .args([linger, per_second])
        .output()
        .expect("java is installed");
    std::fs::remove_file(&file).expect("it was written above");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}
