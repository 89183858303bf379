//! Four producers with long-lived connections and five receivers, directly and behind HAProxy: one receiver is
//! restarted, one comes new.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::namespace::Peer;
use crate::namespace::peer_dir;
use crate::namespace::place;
use crate::namespace::receiver;
use crate::namespace::slack;
use crate::producer::Producer;
use crate::producer::check;
use crate::support::ReceiverProcess;
use crate::support::site::Site;
use crate::support::site::bytes_below;
use crate::support::site::cat_lines;
use crate::support::site::verify;

const PRODUCERS: u64 = 4;
/// The last one joins later.
const RECEIVERS: usize = 6;
const RATE: u64 = 3_000;
/// Small batches, so that a share is made of many; lanes in numbers that a balancer can spread evenly.
const OPTIONS: &str = "batch.bytes=8KiB&linger=5ms&codec=none&discovery.interval=200ms";
/// `rebind.interval` with its jitter, and a second for the discovery, health checks and reconnecting.
const PERIOD: Duration = Duration::from_millis(2 * 1_150 + 1_000);
const REBINDING: &str = "rebind.interval=2s&lanes=12";
/// What a load balancer makes of long-lived connections: each one stays where it first went.
const STAYING: &str = "rebind.interval=0&rebind.bytes=0&lanes=1";
/// How long shares are measured.
const SPAN: Duration = Duration::from_secs(4);
const RATIO_MAX: f64 = 1.2;
const BALANCER_PORT: u16 = 9000;

struct Fleet {
    site: Site,
    namespace: Namespace,
    receivers: Vec<Option<ReceiverProcess>>,
    producers: Vec<Producer>,
    _balancer: Option<Peer>,
}

/// How producers reach the receivers.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// They know all of them, by a file.
    Direct,
    /// They know HAProxy, which uses this algorithm.
    Behind(&'static str),
}

impl Fleet {
    fn start(way: Way, options: &str) -> Self {
        let (site, namespace) = (Site::new(), Namespace::new());
        let receivers = (0..RECEIVERS)
            .map(|n| (n + 1 < RECEIVERS).then(|| receiver(&namespace, n, &site.receiver_dir(n))))
            .collect();
        let mut fleet = Self { site, namespace, receivers, producers: Vec::new(), _balancer: None };
        let (host, more) = match way {
            Way::Direct => {
                fleet.list(RECEIVERS - 1);
                let file = fleet.site.file("receivers");
                (place(0), format!("&discovery=file&discovery.file={}", file.display()))
            }
            Way::Behind(algorithm) => {
                fleet._balancer = Some(haproxy(&fleet, algorithm));
                (format!("127.0.0.1:{BALANCER_PORT}"), String::new())
            }
        };
        for run in 0..PRODUCERS {
            let options = format!("{OPTIONS}&{options}{more}");
            let url = fleet.site.url(&[&host], &options);
            fleet.producers.push(Producer::start(&fleet.namespace, run, &url, RATE));
        }
        fleet
    }

    /// Lists the first receivers in the file that producers watch.
    fn list(&self, count: usize) {
        let lines: String = (0..count).map(|number| place(number) + "\n").collect();
        let (file, fresh) = (self.site.file("receivers"), self.site.file("receivers.new"));
        fs::write(&fresh, lines).unwrap();
        fs::rename(fresh, file).unwrap();
    }

    fn dirs(&self) -> Vec<PathBuf> {
        (0..RECEIVERS).map(|number| self.site.receiver_dir(number)).collect()
    }

    /// KiB that each running receiver stores in a span, after a period has passed; after another one where they are
    /// uneven, `periods_max` in all: what else a machine does makes receivers slow for seconds.
    fn shares(&self, periods_max: u32) -> Vec<u64> {
        for _ in 1..periods_max {
            let shares = self.shares_after_a_period();
            if ratio(&shares) <= RATIO_MAX {
                return shares;
            }
            println!("uneven after a period: {shares:?} KiB in {SPAN:?}");
        }
        self.shares_after_a_period()
    }

    fn shares_after_a_period(&self) -> Vec<u64> {
        // Measuring times, not waits: what is promised is the state after a period.
        std::thread::sleep(PERIOD);
        let before: Vec<u64> = self.dirs().iter().map(|dir| bytes_below(dir)).collect();
        std::thread::sleep(SPAN);
        let after: Vec<u64> = self.dirs().iter().map(|dir| bytes_below(dir)).collect();
        let running = (0..RECEIVERS).filter(|number| self.receivers[*number].is_some());
        running.map(|number| (after[number] - before[number]) >> 10).collect()
    }

    fn restart(&mut self, number: usize) {
        if let Some(old) = self.receivers[number].take() {
            old.kill();
        }
        let dir = self.site.receiver_dir(number);
        self.receivers[number] = Some(receiver(&self.namespace, number, &dir));
    }

    fn end(self) {
        let dirs = self.dirs();
        let finished = self.producers.into_iter().map(|producer| producer.finish().value("logged"));
        let runs: Vec<(u64, u64)> = (0..).zip(finished).collect();
        drop(self.receivers);
        verify(&dirs);
        check(&runs, &cat_lines(&dirs));
    }
}

fn haproxy(fleet: &Fleet, algorithm: &str) -> Peer {
    let servers: String = (0..RECEIVERS)
        .map(|number| {
            format!("  server r{number} {} check inter 200ms fall 1 rise 1\n", place(number))
        })
        .collect();
    let text = format!(
        "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 10m\n  timeout server 10m\n\
         frontend in\n  bind 127.0.0.1:{BALANCER_PORT}\n  default_backend receivers\n\
         backend receivers\n  balance {algorithm}\n{servers}"
    );
    let file = fleet.site.file("haproxy.cfg");
    fs::write(&file, text).unwrap();
    peer_dir("haproxy");
    let mut command = fleet.namespace.command("haproxy");
    Peer::start(&fleet.namespace, command.arg("-db").arg("-f").arg(file), BALANCER_PORT)
}

fn ratio(shares: &[u64]) -> f64 {
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    if *least == 0 { f64::INFINITY } else { *most as f64 / *least as f64 }
}

/// Both changes; the shares after each of them.
fn shares_of(way: Way, options: &str, periods_max: u32) -> Vec<Vec<u64>> {
    let mut fleet = Fleet::start(way, options);
    let mut shares = vec![fleet.shares(periods_max)];
    fleet.restart(1);
    shares.push(fleet.shares(periods_max));
    fleet.restart(RECEIVERS - 1);
    fleet.list(RECEIVERS);
    shares.push(fleet.shares(periods_max));
    fleet.end();
    for (what, shares) in ["at first", "one restarted", "one added"].iter().zip(&shares) {
        let ratio = ratio(shares);
        println!("{way:?}, {options}, {what}: {shares:?} KiB in {SPAN:?}, max/min {ratio:.2}");
    }
    shares
}

#[test]
fn receivers_known_directly_get_equal_shares_after_each_change() {
    let shares = shares_of(Way::Direct, "rebind.interval=2s", slack());
    assert!(shares.iter().all(|shares| ratio(shares) <= RATIO_MAX), "{shares:?}");
}

/// The case to be cured: without rebinding a balancer keeps long-lived connections where they are.
#[test]
fn without_rebinding_a_balancer_leaves_receivers_idle() {
    let shares = shares_of(Way::Behind("roundrobin"), STAYING, 1);
    assert!(shares.iter().all(|shares| ratio(shares).is_infinite()), "{shares:?}");
}

#[test]
fn rebinding_behind_haproxy_gives_equal_shares_after_each_change() {
    for algorithm in ["roundrobin", "leastconn"] {
        let shares = shares_of(Way::Behind(algorithm), REBINDING, slack());
        assert!(shares.iter().all(|shares| ratio(shares) <= RATIO_MAX), "{shares:?}");
    }
}

#[test]
fn the_example_behind_haproxy_runs() {
    let (site, namespace) = (Site::new(), Namespace::new());
    peer_dir("haproxy");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/haproxy/run.py");
    let plot = site.file("plot.svg");
    let output = namespace
        .command("python3")
        .args([example, "--rebind", "on", "--seconds", "9", "--rate", "500"])
        .args(["--logdrive", env!("CARGO_BIN_EXE_logdrive")])
        .arg("--plot")
        .arg(&plot)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("complete: nothing missing"), "{text}");
    assert!(fs::read_to_string(plot).unwrap().contains("</svg>"));
}
