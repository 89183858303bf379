//! What a facade adds to a log call: `log`, `tracing`, `slog` beside `Logger`, each call timed by itself.
//!
//! `cargo bench --features cli,log,slog,tracing --bench facades -- [--quick] [--date D]`. A real `logdrive receive`
//! takes the records meanwhile. Calls come in bursts of 64 with a pause, so that the rings never fill; the cases
//! take turns; each figure is the median over the rounds of that round's percentile. The first row is the timer
//! alone, which is in every other row too.

mod support;

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use log::Log;
use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::clock::Clock;
use logdrive::facade;
use slog::o;
use support::Options;
use support::Receiver;
use support::median;
use tracing_subscriber::layer::SubscriberExt;

const BURST_CALLS: usize = 64;
const BURST_PAUSE: Duration = Duration::from_micros(300);
const PERCENTILES: [f64; 3] = [0.5, 0.9, 0.99];
const DEADLINE: Duration = Duration::from_secs(20);
const CASES: [&str; 8] = [
    "nothing: the timer alone",
    "Logger::log_with, 2 attributes",
    "tracing event, disabled",
    "tracing event, 1 field",
    "tracing event, 3 fields",
    "tracing event, 1 field, in a span with 1",
    "log record, 1 key-value",
    "slog record, 1 value",
];

fn main() {
    let options = Options::read(&["quick", "date"]);
    let (rounds, bursts) = if options.has("quick") { (3, 100) } else { (9, 500) };
    let receiver = Receiver::start(Command::new(env!("CARGO_BIN_EXE_logdrive")), "header");
    let url = format!("receivers://{}/bench?name=facades-{}", receiver.address, std::process::id());
    let client = Client::start(&Config::from_url(&url).expect("the URL is right"));
    let client = client.expect("the client opens");
    client.set_level(Severity::Info);
    let subscriber = tracing_subscriber::registry().with(facade::tracing::layer(&client));
    let mut results = vec![Vec::new(); CASES.len()];
    tracing::subscriber::with_default(subscriber, || {
        let bench = Bench::new(&client);
        for _ in 0..rounds {
            for (case, results) in results.iter_mut().enumerate() {
                results.push(bench.round(case, bursts));
            }
        }
    });
    println!("{}", support::machine());
    println!(
        "{}, {rounds} rounds of {} calls; ns, timer included",
        options.value("date").unwrap_or_default(),
        bursts * BURST_CALLS
    );
    println!("call                                            p50     p90     p99");
    for (name, rounds) in CASES.iter().zip(&results) {
        let figures = (0..PERCENTILES.len()).map(|at| {
            let mut values: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
            format!(" {:7.0}", median(&mut values))
        });
        println!("{name:<43}{}", figures.collect::<String>());
    }
    let stats = client.stats();
    assert_eq!(stats.refused_total(), 0, "a refused call is cheaper than an accepted one: {stats}");
    client.close(DEADLINE).expect("everything is acknowledged in time");
    receiver.stop();
}

struct Bench {
    client: Client,
    clock: Clock,
    bridge: facade::log::Bridge,
    slog: slog::Logger,
    span: tracing::Span,
}

impl Bench {
    fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            clock: Clock::start(),
            bridge: facade::log::Bridge::new(client),
            slog: slog::Logger::root(facade::slog::Drain::new(client), o!()),
            span: tracing::info_span!("request", path = "/cart"),
        }
    }

    /// The percentiles of one round, in nanoseconds.
    fn round(&self, case: usize, bursts: usize) -> [f64; PERCENTILES.len()] {
        let nanos_per_tick = self.clock.calibrate().nanos_per_tick as f64 / (1_u64 << 32) as f64;
        let mut samples = Vec::with_capacity(bursts * BURST_CALLS);
        let in_span = (case == 5).then(|| self.span.enter());
        for burst in 0..bursts {
            for call in 0..BURST_CALLS {
                let number = black_box((burst * BURST_CALLS + call) as u64);
                let before = self.clock.ticks();
                self.call(case, number);
                samples.push(self.clock.ticks() - before);
            }
            std::thread::sleep(BURST_PAUSE);
        }
        drop(in_span);
        samples.sort_unstable();
        let last = samples.len() - 1;
        PERCENTILES.map(|share| samples[(last as f64 * share) as usize] as f64 * nanos_per_tick)
    }

    #[inline(always)]
    fn call(&self, case: usize, number: u64) {
        match case {
            0 => {}
            1 => {
                let pairs: [(&str, &[u8]); 2] = [("target", b"facades"), ("status", b"200")];
                // Counted, and looked at in the end.
                let _counted = self.client.log_with(Severity::Info, "request served", &pairs);
            }
            2 => tracing::debug!(number, "request served"),
            3 | 5 => tracing::info!(number, "request served"),
            4 => tracing::info!(number, path = "/cart", ok = true, "request served"),
            6 => self.bridge.log(
                &log::Record::builder()
                    .args(format_args!("request served"))
                    .target("facades")
                    .key_values(&("number", number))
                    .build(),
            ),
            _ => slog::info!(self.slog, "request served"; "number" => number),
        }
    }
}
