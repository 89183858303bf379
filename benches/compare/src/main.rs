//! logdrive and librdkafka against the same receiver (`logdrive receive --validate header`), taking turns.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml -- [--quick] [--date D] [--runs N]
//! [--records N] [--bytes 100,200] [--codec lz4,none] [--threads 1,4] [--linger 5]`. Prints medians with their
//! range, then the ratios. Both send acks=all and the same texts; librdkafka without headers, logdrive with the
//! severity as one, kept in its spool until it is acknowledged.

#[path = "../../support/mod.rs"]
mod support;

mod rival;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use logdrive::batch::Validation;
use support::Options;
use support::Receiver;
use support::median;
use support::shipping;
use support::shipping::Load;
use support::shipping::Used;

/// First argument of the processes of a run.
const RUN: &str = "run";
const RECEIVE: &str = "receive";

/// Who sends.
#[derive(Clone, Copy, PartialEq)]
enum Sender {
    Logdrive { workers: usize },
    Librdkafka { is_idempotent: bool },
}

const SENDERS: [(Sender, &str); 4] = [
    (Sender::Logdrive { workers: 1 }, "logdrive, 1 worker"),
    (Sender::Librdkafka { is_idempotent: false }, "librdkafka"),
    (Sender::Logdrive { workers: 2 }, "logdrive, 2 workers"),
    (Sender::Librdkafka { is_idempotent: true }, "librdkafka, idempotent"),
];

/// The figures of one sender under one load.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    cpu: Vec<f64>,
    receiver_cpu: Vec<f64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [RUN, sender, load, address, linger] => return run(sender, load, address, linger),
        [RECEIVE, "--listen", listen, "--validate", _, "--dir", dir] => {
            return receive(listen, dir);
        }
        _ => {}
    }
    let options =
        Options::read(&["quick", "date", "runs", "records", "bytes", "codec", "threads", "linger"]);
    let is_quick = options.has("quick");
    let runs: usize = options.list("runs", if is_quick { "1" } else { "5" })[0];
    let records = options.list("records", if is_quick { "1000000" } else { "2000000" })[0];
    let linger = options.value("linger").unwrap_or("5").to_owned();
    let mut loads = Vec::new();
    for bytes in options.list("bytes", if is_quick { "200" } else { "100,200" }) {
        for codec in options.list::<String>("codec", "lz4,none") {
            for threads in options.list("threads", if is_quick { "1" } else { "1,4" }) {
                let codec = codec.clone();
                loads.push(Load { bytes, codec, threads, workers: 1, records });
            }
        }
    }
    let mut table: Vec<[Figures; SENDERS.len()]> = Vec::new();
    table.resize_with(loads.len(), Default::default);
    for _ in 0..runs {
        for (load, figures) in loads.iter().zip(&mut table) {
            for (place, (sender, _)) in SENDERS.iter().enumerate() {
                figures[place].measure(*sender, load, place, &linger);
            }
        }
    }
    println!("{}", support::machine());
    println!(
        "{}, librdkafka {}, {runs} runs, linger {linger} ms; median [min-max], ratios to librdkafka",
        options.value("date").unwrap_or_default(),
        rival::version()
    );
    println!(
        "bytes codec threads sender                  |          Mrec/s        |  CPU s/M | receiver \
         CPU s/M |  rate | CPU"
    );
    for (load, figures) in loads.iter().zip(&mut table) {
        print(load, figures);
    }
}

impl Figures {
    fn measure(&mut self, sender: Sender, load: &Load, place: usize, linger: &str) {
        let this = || Command::new(std::env::current_exe().expect("this program has a path"));
        let receiver = Receiver::start(this(), "header");
        let workers = match sender {
            Sender::Logdrive { workers } => workers,
            Sender::Librdkafka { .. } => 1,
        };
        let load = Load { workers, ..load.clone() };
        let address = receiver.address.to_string();
        let mut child = this();
        child.args([RUN, &place.to_string(), &load.to_string(), &address, linger]);
        let used = Used::from_child(&mut child);
        let received = receiver.stop();
        let records = received.records as f64;
        assert!(records > load.records as f64, "the receiver stored {records} records");
        self.rates.push(records / used.seconds / 1e6);
        self.cpu.push(used.cpu_seconds / records * 1e6);
        self.receiver_cpu.push(received.cpu_seconds / records * 1e6);
    }
}

fn print(load: &Load, figures: &mut [Figures; SENDERS.len()]) {
    let medians =
        figures.each_mut().map(|figures| (median(&mut figures.rates), median(&mut figures.cpu)));
    let rival = SENDERS.iter().position(|(_, name)| *name == "librdkafka").unwrap_or_default();
    for (place, (_, name)) in SENDERS.iter().enumerate() {
        let Load { bytes, codec, threads, .. } = load;
        let (rate, cpu) = medians[place];
        let rates = &figures[place].rates;
        let (min, max) = (rates[0], rates[rates.len() - 1]);
        let receiver_cpu = median(&mut figures[place].receiver_cpu);
        println!(
            "{bytes:>5} {codec:>5} {threads:>7} {name:<23} | {rate:6.2} [{min:6.2}-{max:6.2}] | \
             {cpu:8.3} | {receiver_cpu:16.3} | {:5.2} | {:4.2}",
            rate / medians[rival].0,
            cpu / medians[rival].1,
        );
    }
}

fn run(sender: &str, load: &str, address: &str, linger: &str) {
    let load: Load = load.parse().expect("our own parent wrote it");
    let address: SocketAddr = address.parse().expect("an address");
    let place: usize = sender.parse().expect("a sender's place");
    let used = match SENDERS[place].0 {
        Sender::Logdrive { .. } => shipping::run(&load, address, &format!("&linger={linger}ms")),
        Sender::Librdkafka { is_idempotent } => {
            let settings = rival::settings(&load, &address.to_string(), linger, is_idempotent);
            rival::run(&load, "bench", settings)
        }
    };
    used.print();
}

/// What `logdrive receive --validate header` does, without its other options.
fn receive(listen: &str, dir: &str) {
    let options = logdrive::receiver::Options {
        validate: Validation::Header,
        ..logdrive::receiver::Options::new(listen.parse().expect("an address"), PathBuf::from(dir))
    };
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])
        .expect("signals can be caught");
    let receiver = logdrive::receiver::Receiver::start(options).expect("the receiver starts");
    let stopper = receiver.stopper();
    let wait = move || {
        for _signal in signals.forever() {
            stopper.stop(std::time::Duration::from_secs(5));
        }
    };
    std::thread::Builder::new().spawn(wait).expect("a thread starts");
    println!("listening on {}", receiver.local_addr());
    std::io::stdout().flush().expect("the parent reads it");
    let stats = receiver.wait().expect("the receiver runs");
    eprintln!("received {} records", stats.records);
}
