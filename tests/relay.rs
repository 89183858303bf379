//! A receiver that forwards: chains of them, a next hop that is away or refuses, and `kill -9` of the relay.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use logdrive::Severity;
use logdrive::batch::Codec;

use support::Client;
use support::ReceiverProcess;
use support::Spec;
use support::lasting_address;
use support::random::Random;
use support::scripted::MISSING_TOPIC;
use support::scripted::ScriptedReceiver;
use support::site::Site;
use support::site::assert_same_lines;
use support::site::cat_lines;
use support::site::verify;
use support::wait;

/// Nothing is dropped: producers wait, and so does the relay.
const WAITING: &str = "batch.bytes=8KiB&linger=2ms&ring.full=block&ring.full_deadline=1m\
                       &spool.full=block&acknowledgement.deadline=3s";
const SHORT: Duration = Duration::from_millis(300);

struct Chain {
    site: Site,
    last: std::net::SocketAddr,
    relay: std::net::SocketAddr,
}

impl Chain {
    fn new() -> Self {
        let (last, relay) = (lasting_address(), lasting_address());
        Self { site: Site::new(), last, relay }
    }

    fn dir(&self) -> PathBuf {
        self.site.receiver_dir(0)
    }

    fn start_last(&self) -> ReceiverProcess {
        ReceiverProcess::start_at(self.last, &self.dir(), &[])
    }

    fn start_relay(&self, arguments: &[&str]) -> ReceiverProcess {
        self.start_relay_with("backoff.max=200ms", arguments)
    }

    fn start_relay_with(&self, options: &str, arguments: &[&str]) -> ReceiverProcess {
        self.start_relay_to(&format!("receivers://{}?{options}", self.last), arguments)
    }

    fn start_relay_to(&self, next: &str, arguments: &[&str]) -> ReceiverProcess {
        let rings = self.site.file("relay-rings");
        let next = format!("{next}&backoff.min=5ms&ring.dir={}", rings.display());
        let arguments = [&["--forward", &next], arguments].concat();
        ReceiverProcess::start_at(self.relay, &self.site.file("relay"), &arguments)
    }
}

fn line(number: u64) -> String {
    format!("{number} through the relay {:x}", Random::new(number).next())
}

fn expected(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| line(number).into_bytes()).collect()
}

#[test]
fn a_record_is_acknowledged_when_the_next_hop_has_it() {
    let chain = Chain::new();
    let relay = chain.start_relay(&[]);
    let client = chain.site.client(&[chain.relay], WAITING);
    for number in 0..1000 {
        client.log(Severity::Info, line(number)).unwrap();
    }
    assert!(client.flush(SHORT).is_err(), "acknowledged by a relay whose next hop is away");
    assert_eq!(client.stats().sender.delivered, 0);
    let _last = chain.start_last();
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!((stats.sender.delivered, stats.dropped_total()), (1000, 0));
    verify(&[chain.dir()]);
    assert_same_lines(&cat_lines(&[chain.dir()]), &expected(1000));
    // Nothing is waited for: the stop ends long before its deadline, and leaves nothing.
    let (code, summary) = relay.terminate();
    assert_eq!(code, Some(0), "{summary}");
    assert!(summary.contains("forwarded 1000, waiting 0, given up 0"), "{summary}");
    let left = chain.site.slots(&chain.site.file("relay"));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn with_stored_acknowledgements_the_next_hop_may_be_away() {
    let chain = Chain::new();
    let relay = chain.start_relay(&["--forward-ack", "stored"]);
    let client = chain.site.client(&[chain.relay], WAITING);
    for number in 0..1000 {
        client.log(Severity::Info, line(number)).unwrap();
    }
    client.flush(wait::PATIENCE).unwrap();
    client.close(wait::PATIENCE).unwrap();
    // What it holds survives its death, and the next relay there goes on with it.
    relay.kill();
    let _last = chain.start_last();
    let _relay = chain.start_relay(&["--forward-ack", "stored"]);
    wait::until("all of it is forwarded", || cat_lines(&[chain.dir()]).len() == 1000);
    verify(&[chain.dir()]);
    assert_same_lines(&cat_lines(&[chain.dir()]), &expected(1000));
}

/// The quota is that of the name: what a killed relay left is a part of it.
#[test]
fn what_a_dead_relay_left_takes_its_part_of_the_quota() {
    const QUOTA: &str = "spool.bytes_max=32MiB";
    let chain = Chain::new();
    let mut producer_id = 0;
    let mut taken_until_refused = || {
        let relay = chain.start_relay_with(QUOTA, &["--forward-ack", "stored"]);
        let mut client = Client::connect(chain.relay);
        let before = producer_id;
        loop {
            producer_id += 1;
            let batch = Spec { producer_id, ..Spec::of(0, 2_000) }.batch();
            if client.produce("lines", &batch).unwrap().0 != 0 {
                relay.kill();
                return producer_id - before;
            }
        }
    };
    // Two segments are allowed in any case.
    let (first, second) = (taken_until_refused(), taken_until_refused());
    assert!(first > 200 && second < first / 2, "{first} batches, then {second}");
}

/// Kills of the relay at random moments, under load; what moved while its fate was unknown is dropped by readers.
#[test]
fn a_relay_that_is_killed_loses_nothing() {
    const KILLS: usize = 8;
    let chain = Chain::new();
    let mut random = Random::seeded("a_relay_that_is_killed_loses_nothing");
    let _last = chain.start_last();
    let mut relay = chain.start_relay(&[]);
    let client = chain.site.client(&[chain.relay], WAITING);
    let mut count = 0;
    for _ in 0..KILLS {
        let until = client.stats().sender.delivered + 1 + random.below(3_000);
        wait::until("more records are delivered", || {
            for _ in 0..200 {
                client.log(Severity::Info, line(count)).unwrap();
                count += 1;
            }
            client.stats().sender.delivered >= until
        });
        relay.kill();
        relay = chain.start_relay(&[]);
    }
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!((stats.accepted, stats.sender.delivered), (count, count));
    // What killed relays had stored is delivered by the last one, once more or not.
    wait::until("nothing is left in the relay's spool", || {
        chain.site.slots(&chain.site.file("relay")).len() == 1
    });
    println!("{}", verify(&[chain.dir()]));
    assert_same_lines(&cat_lines(&[chain.dir()]), &expected(count));
}

#[test]
fn a_repeat_within_the_window_goes_on_once() {
    let chain = Chain::new();
    let _last = chain.start_last();
    let _relay = chain.start_relay(&[]);
    let mut client = Client::connect(chain.relay);
    let spec = Spec { codec: Codec::Lz4, ..Spec::of(0, 10) };
    for _ in 0..3 {
        assert_eq!(client.produce("lines", &spec.batch()).unwrap().0, 0);
    }
    assert_eq!(client.produce("lines", &Spec::of(10, 5).batch()).unwrap().0, 0);
    let report = verify(&[chain.dir()]);
    assert!(
        report.contains("\"duplicates\": 0") || report.contains("\"duplicates\":0"),
        "{report}"
    );
    let lines: Vec<Vec<u8>> = (0..15).map(|n| spec.value(n).into_bytes()).collect();
    assert_same_lines(&cat_lines(&[chain.dir()]), &lines);
}

#[test]
fn relays_may_be_chained() {
    let chain = Chain::new();
    let _last = chain.start_last();
    let _second = chain.start_relay(&[]);
    let first = lasting_address();
    let next = format!(
        "receivers://{}/?ring.dir={}",
        chain.relay,
        chain.site.file("first-rings").display()
    );
    let _first = ReceiverProcess::start_at(
        first,
        &chain.site.file("first"),
        &["--forward", next.replace("/?", "?").as_str()],
    );
    let client = chain.site.client(&[first], WAITING);
    for number in 0..5000 {
        client.log(Severity::Info, line(number)).unwrap();
    }
    client.close(wait::PATIENCE).unwrap();
    verify(&[chain.dir()]);
    assert_same_lines(&cat_lines(&[chain.dir()]), &expected(5000));
}

/// As a whole, so that the producer divides it: if a part of it was delivered, the answer could not tell which.
#[test]
fn what_the_next_hop_refuses_for_good_is_refused_as_a_whole() {
    let mut chain = Chain::new();
    let last = ScriptedReceiver::start(&[87, 87], 0);
    chain.last = last.address;
    let relay = chain.start_relay(&[]);
    let mut client = Client::connect(chain.relay);
    // What is refused is not remembered: behind a record that is left out, its producer uses the sequences again.
    for questions in 1..=2 {
        let (code, _) = client.produce("lines", &Spec::of(0, 10).batch()).unwrap();
        assert_eq!((code, last.seen().len()), (87, questions), "INVALID_RECORD");
    }
    for (first_record, record_count) in [(0, 5), (5, 5)] {
        let part = Spec { producer_id: 2, ..Spec::of(first_record, record_count) };
        assert_eq!(client.produce("lines", &part.batch()).unwrap().0, 0);
    }
    let lines: Vec<Vec<u8>> = (0..10).map(|n| Spec::of(0, 10).value(n).into_bytes()).collect();
    assert_same_lines(&last.stored(), &lines);
    let (_, summary) = relay.terminate();
    assert!(summary.contains("forwarded 10, waiting 0, given up 20"), "{summary}");
}

/// What was too large says little of what is smaller: the next hop is asked, and nothing is divided on a guess.
#[test]
fn what_is_smaller_than_a_batch_that_was_too_large_goes_on_whole() {
    let mut chain = Chain::new();
    let last = ScriptedReceiver::start(&[10], 0);
    chain.last = last.address;
    let _relay = chain.start_relay(&[]);
    let mut client = Client::connect(chain.relay);
    let (code, _) = client.produce("lines", &Spec::of(0, 100).batch()).unwrap();
    assert_eq!((code, last.seen().len()), (10, 1), "MESSAGE_TOO_LARGE");
    let smaller = Spec { producer_id: 2, ..Spec::of(0, 80) };
    assert_eq!(client.produce("lines", &smaller.batch()).unwrap().0, 0);
    assert_eq!(last.seen().len(), 2, "one question more: it went on in one piece");
    let lines: Vec<Vec<u8>> = (0..80).map(|n| smaller.value(n).into_bytes()).collect();
    assert_same_lines(&last.stored(), &lines);
}

/// Whose topic the cluster does not have waits; nobody else does.
#[test]
fn a_batch_that_nobody_takes_withholds_no_others_answer() {
    let mut chain = Chain::new();
    let last = ScriptedReceiver::start(&[], 0);
    chain.last = last.address;
    let relay = chain.start_relay_to(&format!("kafka://{}/any?lanes=1", chain.last), &[]);
    let (mut first, mut second) = (Client::connect(chain.relay), Client::connect(chain.relay));
    let stuck = Spec { instance: 2, producer_id: 2, ..Spec::of(0, 10) };
    first.send(MISSING_TOPIC, &stuck.batch(), 1).unwrap();
    let text = stuck.value(4).into_bytes();
    wait::until("the batch is in the relay's spool", || is_below(&chain.site.file("relay"), &text));
    for first_record in [0, 10, 20] {
        let batch = Spec::of(first_record, 10).batch();
        assert_eq!(second.produce("lines", &batch).unwrap().0, 0);
    }
    let lines: Vec<Vec<u8>> = (0..30).map(|n| Spec::of(0, 30).value(n).into_bytes()).collect();
    assert_same_lines(&last.stored(), &lines);
    first.stream.set_nonblocking(true).unwrap();
    assert!(first.receive().is_err(), "nobody has taken that one");
    relay.kill();
}

/// Who was answered has gone: the rest of the batch is delivered, and the relay alone counts what was not.
#[test]
fn with_stored_acknowledgements_the_relay_divides() {
    let mut chain = Chain::new();
    // Ten, the first five of them, then the others down to the first of those.
    let last = ScriptedReceiver::start(&[87, 0, 87, 87, 87, 87], 0);
    chain.last = last.address;
    let relay = chain.start_relay(&["--forward-ack", "stored"]);
    let mut client = Client::connect(chain.relay);
    assert_eq!(client.produce("lines", &Spec::of(0, 10).batch()).unwrap().0, 0);
    wait::until("nine records are forwarded", || last.stored().len() == 9);
    let lines: Vec<Vec<u8>> =
        (0..10).filter(|n| *n != 5).map(|n| Spec::of(0, 10).value(n).into_bytes()).collect();
    assert_same_lines(&last.stored(), &lines);
    let (_, summary) = relay.terminate();
    assert!(summary.contains("forwarded 9, waiting 0, given up 1"), "{summary}");
}

/// Files below `dir`, as far as they are still there.
fn files_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map_while(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.push((path, bytes));
        }
    }
    files
}

fn place_in(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

fn is_below(dir: &Path, text: &[u8]) -> bool {
    files_below(dir).iter().any(|(_, bytes)| place_in(bytes, text).is_some())
}

/// Flips a byte of each place below `dir` where `text` stands; false where there is none.
fn damage(dir: &Path, text: &[u8]) -> bool {
    let mut is_found = false;
    for (path, bytes) in files_below(dir) {
        if let Some(at) = place_in(&bytes, text) {
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(b"X", at as u64).unwrap();
            is_found = true;
        }
    }
    is_found
}

/// The producer still has it: it is to be sent again, and then it is taken, though its numbers are known.
#[test]
fn what_the_relays_disk_spoils_is_taken_again() {
    let chain = Chain::new();
    let _relay = chain.start_relay(&[]);
    let mut client = Client::connect(chain.relay);
    let spec = Spec::of(0, 10);
    let text = spec.value(4).into_bytes();
    client.send("lines", &spec.batch(), 1).unwrap();
    wait::until("the batch is in the relay's spool, and spoilt there", || {
        damage(&chain.site.file("relay"), &text)
    });
    let _last = chain.start_last();
    let (_, code, _) = client.receive().unwrap();
    assert_eq!(code, 56, "KAFKA_STORAGE_ERROR");
    assert_eq!(client.produce("lines", &spec.batch()).unwrap().0, 0);
    let lines: Vec<Vec<u8>> = (0..10).map(|n| spec.value(n).into_bytes()).collect();
    assert_same_lines(&cat_lines(&[chain.dir()]), &lines);
    verify(&[chain.dir()]);
}

/// The batch of a producer that is none of ours: without the identity it cannot be divided.
fn foreign(spec: Spec) -> Vec<u8> {
    let mut batch = spec.batch();
    let name = b"logdrive.id";
    let at = batch.windows(name.len()).position(|window| window == name).unwrap();
    batch[at] = b'L';
    // What the checksum covers begins behind it.
    let crc = logdrive::checksum::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A guess is no verdict: what cannot be divided on its account is sent whole, and the next hop takes it.
#[test]
fn with_stored_acknowledgements_what_cannot_be_divided_goes_on_whole() {
    let mut chain = Chain::new();
    let last = ScriptedReceiver::start(&[10], 0);
    chain.last = last.address;
    let relay = chain.start_relay(&["--forward-ack", "stored"]);
    let mut client = Client::connect(chain.relay);
    // Refused, then taken in two parts: from then on half of its bytes are the limit.
    assert_eq!(client.produce("lines", &Spec::of(0, 100).batch()).unwrap().0, 0);
    wait::until("both parts are forwarded", || last.stored().len() == 100);
    let smaller = Spec { producer_id: 2, ..Spec::of(0, 80) };
    assert_eq!(client.produce("lines", &foreign(smaller)).unwrap().0, 0);
    wait::until("what is smaller is forwarded too", || last.stored().len() == 180);
    let lines: Vec<Vec<u8>> = (0..80).map(|n| smaller.value(n).into_bytes()).collect();
    assert_same_lines(&last.stored()[100..], &lines);
    assert_eq!(last.seen().len(), 4, "in one piece");
    let (_, summary) = relay.terminate();
    assert!(summary.contains("forwarded 180, waiting 0, given up 0"), "{summary}");
}

/// A refusal is a verdict: what cannot be divided down to the guilty record is set aside as it is.
#[test]
fn with_stored_acknowledgements_what_is_refused_and_cannot_be_divided_is_a_dead_letter() {
    let mut chain = Chain::new();
    let last = ScriptedReceiver::start(&[87], 0);
    chain.last = last.address;
    let relay = chain.start_relay(&["--forward-ack", "stored"]);
    let mut client = Client::connect(chain.relay);
    let spec = Spec::of(0, 10);
    assert_eq!(client.produce("lines", &foreign(spec)).unwrap().0, 0);
    wait::until("it was refused", || !last.seen().is_empty());
    let (_, summary) = relay.terminate();
    assert!(summary.contains("forwarded 0, waiting 0, given up 10"), "{summary}");
    let names = std::fs::read_dir(chain.site.file("relay")).unwrap().flatten();
    let letters = names.map(|name| name.path().join("dead-letters")).find(|dir| dir.is_dir());
    let instance = std::fs::read_dir(letters.unwrap()).unwrap().flatten().next().unwrap().path();
    let lines: Vec<Vec<u8>> = (0..10).map(|n| spec.value(n).into_bytes()).collect();
    assert_same_lines(&cat_lines(&[instance]), &lines);
}
