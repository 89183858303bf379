//! Names that change and name servers that hang; SRV records; a watched file; ZooKeeper: the fleet follows, and loses
//! nothing.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::namespace::Namespace;
use crate::namespace::Peer;
use crate::namespace::address;
use crate::namespace::limit;
use crate::namespace::peer_dir;
use crate::namespace::place;
use crate::namespace::receiver;
use crate::producer::Producer;
use crate::producer::check;
use crate::support::ReceiverProcess;
use crate::support::random::Random;
use crate::support::scale::scaled;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

const RECEIVERS: usize = 3;
const RATE: u64 = 5_000;
const DNS_PORT: u16 = 53;
const CHANGES: usize = 100;
/// Short periods: names are asked for at least every second, lanes move at least every second.
const OPTIONS: &str = "resolve.interval=1s&rebind.interval=1s&batch.bytes=16KiB&codec=none\
                       &discovery.interval=200ms";
/// The period after which a change must have taken effect: discovery, resolution and rebinding, with their jitter.
const PERIOD: Duration = Duration::from_secs(3);
/// How long the others may stall while a name server hangs.
const STALL_MAX: Duration = Duration::from_millis(100);

struct Fleet {
    site: Site,
    namespace: Namespace,
    receivers: Vec<ReceiverProcess>,
}

impl Fleet {
    fn start() -> Self {
        let (site, namespace) = (Site::new(), Namespace::new());
        let start = |number| receiver(&namespace, number, &site.receiver_dir(number));
        let receivers = (0..RECEIVERS).map(start).collect();
        Self { site, namespace, receivers }
    }

    fn producer(&self, host: &str, options: &str) -> Producer {
        let url = self.site.url(&[host], &format!("{OPTIONS}{options}"));
        Producer::start(&self.namespace, 1, &url, RATE)
    }

    /// From now on exactly these receivers are listed: within a period they alone get records.
    fn follows(&self, producer: &mut Producer, listed: &[usize]) {
        let bytes = |producer: &mut Producer| {
            let figures = producer.figures();
            (0..RECEIVERS).map(|number| figures.bytes(&place(number))).collect::<Vec<_>>()
        };
        let mut before = bytes(producer);
        let is_listed = |number: usize| listed.contains(&number);
        let clock = logdrive::clock::Clock::start();
        let start = clock.moment();
        wait::until(&format!("records go to {listed:?} alone"), || {
            // Looked at over a time in which every receiver that takes part gets something.
            std::thread::sleep(Duration::from_millis(500));
            let now = bytes(producer);
            let got: Vec<bool> = now.iter().zip(&before).map(|(now, then)| now > then).collect();
            before = now;
            (0..RECEIVERS).all(|number| got[number] == is_listed(number))
        });
        let took = clock.moment().since(start);
        println!("records go to {listed:?} alone after {took:?}, period {PERIOD:?}");
        assert!(took <= limit(PERIOD), "the change took effect after {took:?}");
    }

    fn end(self, producer: Producer) {
        let count = producer.finish().value("logged");
        drop(self.receivers);
        let dirs: Vec<PathBuf> =
            (0..RECEIVERS).map(|number| self.site.receiver_dir(number)).collect();
        verify(&dirs);
        check(&[(1, count)], &cat_lines(&dirs));
    }
}

fn name_server(namespace: &Namespace, zone: &Path) -> Peer {
    let python = peer_dir("python").join("python/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/dns_server.py");
    let mut command = namespace.command(python.to_str().unwrap());
    Peer::start(namespace, command.arg(script).arg(zone), DNS_PORT)
}

/// Replaces a file in one step, as careful administrators do.
fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).unwrap();
    fs::rename(fresh, path).unwrap();
}

fn addresses(numbers: &[usize]) -> String {
    let line = |number: &usize| format!("receivers.test. 0 IN A {}\n", address(*number));
    numbers.iter().map(line).collect()
}

#[test]
fn names_change_a_hundred_times_and_a_name_server_hangs() {
    let mut random = Random::seeded("names_change_a_hundred_times_and_a_name_server_hangs");
    let fleet = Fleet::start();
    let zone = fleet.site.file("zone");
    replace(&zone, &addresses(&[0, 1, 2]));
    let _name_server = name_server(&fleet.namespace, &zone);
    let mut producer = fleet.producer("receivers.test", "");
    fleet.follows(&mut producer, &[0, 1, 2]);
    producer.figures();
    for _ in 0..CHANGES {
        let first = random.below(3) as usize;
        let listed = [first, (first + 1) % 3, (first + 2) % 3];
        replace(&zone, &addresses(&listed[..1 + random.below(3) as usize]));
        // The pace of the changes: none is waited for.
        std::thread::sleep(Duration::from_millis(100));
    }
    let stall = Duration::from_millis(producer.figures().value("stall_ms"));
    println!("{CHANGES} changed answers: longest stall of all lanes {stall:?}");
    assert!(stall <= limit(STALL_MAX), "{stall:?}");
    replace(&zone, &addresses(&[2]));
    fleet.follows(&mut producer, &[2]);
    replace(&zone, &addresses(&[0, 1]));
    fleet.follows(&mut producer, &[0, 1]);

    let seconds = scaled(8, 30);
    fleet.namespace.silence_name_servers();
    producer.figures();
    std::thread::sleep(Duration::from_secs(seconds));
    let figures = producer.figures();
    let stall = Duration::from_millis(figures.value("stall_ms"));
    println!("name server hangs for {seconds} s: longest stall of all lanes {stall:?}");
    assert!(stall <= limit(STALL_MAX), "{stall:?}");
    fleet.namespace.heal();
    fleet.end(producer);
}

#[test]
fn srv_records_are_followed() {
    let fleet = Fleet::start();
    let zone = fleet.site.file("zone");
    let hosts: String =
        (0..RECEIVERS).map(|n| format!("r{n}.test. 0 IN A {}\n", address(n))).collect();
    let listed = |priorities: &[(usize, u16)]| {
        let service = "_logdrive._tcp.test. 0 IN SRV";
        let line =
            |(n, priority): &(usize, u16)| format!("{service} {priority} 1 9092 r{n}.test.\n");
        replace(&zone, &(hosts.clone() + &priorities.iter().map(line).collect::<String>()));
    };
    listed(&[(0, 10), (1, 10)]);
    let _name_server = name_server(&fleet.namespace, &zone);
    let mut producer = fleet.producer("_logdrive._tcp.test", "&discovery=srv");
    fleet.follows(&mut producer, &[0, 1]);
    listed(&[(0, 10), (1, 10), (2, 10)]);
    fleet.follows(&mut producer, &[0, 1, 2]);
    listed(&[(0, 10), (1, 20), (2, 10)]);
    fleet.follows(&mut producer, &[0, 2]);
    // Nobody is listed: what was known stays in use.
    listed(&[]);
    let failures = producer.figures().value("discovery_failures");
    wait::until("the empty answer is noticed", || {
        producer.figures().value("discovery_failures") > failures
    });
    fleet.follows(&mut producer, &[0, 2]);
    fleet.end(producer);
}

#[test]
fn a_file_is_watched() {
    let fleet = Fleet::start();
    let file = fleet.site.file("receivers");
    let list = |numbers: &[usize]| {
        replace(&file, &numbers.iter().map(|n| place(*n) + "\n").collect::<String>());
    };
    let option = format!("&discovery=file&discovery.file={}", file.display());
    // Until there is a file, the URL's host is used.
    let mut producer = fleet.producer(&place(1), &option);
    fleet.follows(&mut producer, &[1]);
    list(&[0, 2]);
    fleet.follows(&mut producer, &[0, 2]);
    list(&[0, 1, 2]);
    fleet.follows(&mut producer, &[0, 1, 2]);
    fleet.end(producer);
}

#[cfg(feature = "zookeeper")]
#[test]
fn nodes_of_zookeeper_are_followed() {
    let fleet = Fleet::start();
    let mut server = zookeeper::Server::start(&fleet.namespace, &fleet.site.file("zookeeper"));
    let node = |number: usize| format!("/logdrive/receivers/{}", place(number));
    // A place may be a node's name, or its data.
    server.tell(&format!("set {}", node(0)));
    server.tell(&format!("set /logdrive/receivers/second {}", place(1)));
    let mut producer = fleet.producer("127.0.0.1:2181", "&discovery=zookeeper");
    fleet.follows(&mut producer, &[0, 1]);
    server.tell(&format!("set {}", node(2)));
    fleet.follows(&mut producer, &[0, 1, 2]);
    server.tell("delete /logdrive/receivers/second");
    fleet.follows(&mut producer, &[0, 2]);
    // While it is away, what was known stays in use; when it is back, changes are seen again.
    server.tell("kill");
    let failures = producer.figures().value("discovery_failures");
    wait::until("the missing server is noticed", || {
        producer.figures().value("discovery_failures") > failures
    });
    fleet.follows(&mut producer, &[0, 2]);
    server.tell("start");
    server.tell(&format!("delete {}", node(0)));
    wait::until("a change is seen again", || {
        let before = producer.figures().bytes(&place(0));
        std::thread::sleep(Duration::from_millis(500));
        producer.figures().bytes(&place(0)) == before
    });
    fleet.end(producer);
}

#[cfg(feature = "zookeeper")]
mod zookeeper {
    use super::*;
    use std::io::BufRead;
    use std::io::BufReader;
    use std::io::Write;
    use std::process::Child;
    use std::process::ChildStdout;
    use std::process::Command;
    use std::process::Stdio;

    /// tests/peers/zookeeper.py; ends with its standard input.
    pub struct Server {
        child: Child,
        answers: BufReader<ChildStdout>,
    }

    impl Server {
        pub fn start(namespace: &Namespace, data: &Path) -> Self {
            let python = peer_dir("python").join("python/bin/python");
            let libs = peer_dir("kafka-3.9").join("kafka-3.9/libs");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/zookeeper.py");
            let mut command: Command = namespace.command(python.to_str().unwrap());
            command.arg(script).arg(libs).arg(data);
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let answers = BufReader::new(child.stdout.take().unwrap());
            let mut server = Self { child, answers };
            assert_eq!(server.answer(), "ready");
            server
        }

        pub fn tell(&mut self, order: &str) {
            writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
            assert_eq!(self.answer(), "ok", "{order}");
        }

        fn answer(&mut self) -> String {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            line.trim().to_owned()
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            drop(self.child.stdin.take());
            let _ended = self.child.wait();
        }
    }
}
