//! A receiver that forwards: chains of them, a next hop that is away or refuses, and `kill -9` of the relay.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use logdrive::Severity;
use logdrive::batch::Codec;

use support::Client;
use support::ReceiverProcess;
use support::Spec;
use support::lasting_address;
use support::random::Random;
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
    fn new(seed: &str) -> Self {
        let mut random = Random::seeded(seed);
        let (last, relay) = (lasting_address(&mut random), lasting_address(&mut random));
        Self { site: Site::new(), last, relay }
    }

    fn dir(&self) -> PathBuf {
        self.site.receiver_dir(0)
    }

    fn start_last(&self) -> ReceiverProcess {
        ReceiverProcess::start_at(self.last, &self.dir(), &[])
    }

    fn start_relay(&self, arguments: &[&str]) -> ReceiverProcess {
        let next = format!(
            "receivers://{}?backoff.max=200ms&backoff.min=5ms&ring.dir={}",
            self.last,
            self.site.file("relay-rings").display()
        );
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
    let chain = Chain::new("a_record_is_acknowledged_when_the_next_hop_has_it");
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
    let chain = Chain::new("with_stored_acknowledgements_the_next_hop_may_be_away");
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

/// Kills of the relay at random moments, under load; what moved while its fate was unknown is dropped by readers.
#[test]
fn a_relay_that_is_killed_loses_nothing() {
    const KILLS: usize = 8;
    let chain = Chain::new("a_relay_that_is_killed_loses_nothing");
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
    let chain = Chain::new("a_repeat_within_the_window_goes_on_once");
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
    let chain = Chain::new("relays_may_be_chained");
    let mut random = Random::seeded("relays_may_be_chained, first");
    let _last = chain.start_last();
    let _second = chain.start_relay(&[]);
    let first = lasting_address(&mut random);
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

#[test]
fn what_the_next_hop_refuses_for_good_is_refused() {
    let chain = Chain::new("what_the_next_hop_refuses_for_good_is_refused");
    // Headers alone are checked by the relay; the next hop looks into the records.
    let _last = chain.start_last();
    let _relay = chain.start_relay(&["--validate", "header"]);
    let mut client = Client::connect(chain.relay);
    let mut damaged = Spec::of(0, 3).batch();
    // The length of the first record: negative, as a zigzag varint.
    damaged[61] = 1;
    let crc = logdrive::checksum::crc32c(&damaged[21..]);
    damaged[17..21].copy_from_slice(&crc.to_be_bytes());
    let (code, _) = client.produce("lines", &damaged).unwrap();
    assert_eq!(code, 87, "INVALID_RECORD");
    assert_eq!(client.produce("lines", &Spec::of(3, 3).batch()).unwrap().0, 0);
}
