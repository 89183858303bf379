//! Acknowledged records per second, CPU time per record and memory: client to `logdrive receive`, over loopback.
//!
//! `cargo bench --features cli --bench end_to_end -- [--quick] [--date D] [--runs N] [--records N]
//! [--bytes 100,200] [--codec lz4,none] [--threads 1,4] [--workers 1,2] [--validate header,records]
//! [--set name=value&name=value]`. Runs of all cells take turns, and each cell shows its median.
//!
//! The receiver writes to tmpfs and shares the machine with the client. The texts are those of
//! [`support::corpus`]; every record also carries its severity.

mod support;

use std::process::Command;

use support::Options;
use support::Receiver;
use support::median;
use support::shipping;
use support::shipping::Load;
use support::shipping::Used;

const OPTIONS: [&str; 11] = [
    "quick", "date", "runs", "records", "bytes", "codec", "threads", "workers", "validate", "set",
    "help",
];
/// First argument of a run's own process.
const RUN: &str = "run";

struct Cell {
    load: Load,
    validate: String,
    rates: Vec<f64>,
    cpu: Vec<f64>,
    receiver_cpu: Vec<f64>,
    memory: Vec<f64>,
    ratio: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, load, address, extra] = &arguments[..]
        && role == RUN
    {
        let load: Load = load.parse().expect("our own parent wrote it");
        shipping::run(&load, address.parse().expect("an address"), extra).print();
        return;
    }
    let options = Options::read(&OPTIONS);
    let is_quick = options.has("quick");
    let runs = options.list("runs", if is_quick { "1" } else { "5" })[0];
    let extra = options.value("set").map_or(String::new(), |set| format!("&{set}"));
    let mut cells = cells(&options, is_quick);
    for _ in 0..runs {
        for cell in &mut cells {
            cell.run(&extra);
        }
    }
    println!("{}", support::machine());
    println!(
        "{}, {runs} runs{extra}; Mrec/s: median [min-max]",
        options.value("date").unwrap_or_default()
    );
    println!(
        "bytes codec threads workers validate |             Mrec/s |  client CPU s/M | receiver \
         CPU s/M | private MiB | ratio"
    );
    cells.iter_mut().for_each(Cell::print);
}

fn cells(options: &Options, is_quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    let records: usize = options.list("records", if is_quick { "1000000" } else { "2000000" })[0];
    let validates: Vec<String> =
        options.list("validate", if is_quick { "header" } else { "header,records" });
    for bytes in options.list("bytes", if is_quick { "200" } else { "100,200" }) {
        for codec in options.list::<String>("codec", "lz4,none") {
            for threads in options.list("threads", if is_quick { "1" } else { "1,4" }) {
                for workers in options.list("workers", "1,2") {
                    for validate in &validates {
                        let codec = codec.clone();
                        let load = Load { bytes, codec, threads, workers, records };
                        cells.push(Cell::new(load, validate));
                    }
                }
            }
        }
    }
    cells
}

impl Cell {
    fn new(load: Load, validate: &str) -> Self {
        Self {
            load,
            validate: validate.to_owned(),
            rates: Vec::new(),
            cpu: Vec::new(),
            receiver_cpu: Vec::new(),
            memory: Vec::new(),
            ratio: 0.0,
        }
    }

    fn run(&mut self, extra: &str) {
        let receiver =
            Receiver::start(Command::new(env!("CARGO_BIN_EXE_logdrive")), &self.validate);
        let mut child = Command::new(std::env::current_exe().expect("this program has a path"));
        child.args([RUN, &self.load.to_string(), &receiver.address.to_string(), extra]);
        let Used { seconds, cpu_seconds, memory_mib, ratio } = Used::from_child(&mut child);
        let received = receiver.stop();
        let records = received.records as f64;
        assert!(records > self.load.records as f64, "the receiver stored {records} records");
        self.rates.push(records / seconds / 1e6);
        self.cpu.push(cpu_seconds / records * 1e6);
        self.receiver_cpu.push(received.cpu_seconds / records * 1e6);
        self.memory.push(memory_mib);
        self.ratio = ratio;
    }

    fn print(&mut self) {
        let Load { bytes, codec, threads, workers, .. } = &self.load;
        let rate = median(&mut self.rates);
        let (min, max) = (self.rates[0], self.rates[self.rates.len() - 1]);
        println!(
            "{bytes:>5} {codec:>5} {threads:>7} {workers:>7} {:>8} | {rate:5.2} [{min:5.2}-{max:5.2}] \
             | {:15.3} | {:16.3} | {:11.1} | {:5.2}",
            self.validate,
            median(&mut self.cpu),
            median(&mut self.receiver_cpu),
            median(&mut self.memory),
            self.ratio,
        );
    }
}
