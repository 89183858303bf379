//! A network that cuts, delays and swallows answers, and receivers that are killed in the middle; a cluster that
//! moves.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::scripted::Lie;
use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

const OPTIONS: &str =
    "batch.bytes=8KiB&linger=2ms&ring.full=block&ring.full_deadline=1m&spool.full=block";
/// Cuts that a run must have seen, else it proves nothing.
const CUTS_MIN: u64 = 30;

fn expected(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| line(number).into_bytes()).collect()
}

fn line(number: u64) -> String {
    format!("{number} {:x}", Random::new(number).next()).repeat(3)
}

/// Connections are cut at any byte, answers are swallowed, pieces delayed, on the way to three receivers.
#[test]
fn a_hostile_network_loses_nothing() {
    let site = Site::new();
    let mut random = Random::seeded("a_hostile_network_loses_nothing");
    let dirs: Vec<PathBuf> = (0..3).map(|number| site.receiver_dir(number)).collect();
    let receivers: Vec<_> = dirs.iter().map(|dir| ReceiverProcess::start(dir, &[])).collect();
    let proxies: Vec<_> = receivers
        .iter()
        .map(|receiver| Proxy::start(receiver.address, Random::new(random.next())))
        .collect();
    let addresses: Vec<_> = proxies.iter().map(|proxy| proxy.address).collect();
    let client = site.client(&addresses, OPTIONS);
    let mut count = 0;
    wait::until("the network has been hostile for long enough", || {
        for _ in 0..500 {
            client.log(Severity::Info, line(count)).unwrap();
            count += 1;
        }
        let cuts: u64 = proxies.iter().map(Proxy::cuts).sum();
        let swallowed: u64 = proxies.iter().map(Proxy::swallowed).sum();
        cuts >= CUTS_MIN && swallowed > 0
    });
    proxies.iter().for_each(Proxy::calm_down);
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert!(stats.sender.retries > 0, "{stats:?}");
    assert_eq!((stats.accepted, stats.sender.delivered, stats.sender.stored), (count, count, 0));
    assert_eq!((stats.dropped_total(), stats.panics, stats.spool_errors), (0, 0, 0));
    println!("{}", verify(&dirs));
    assert_same_lines(&cat_lines(&dirs), &expected(count));
}

/// Receivers are killed with SIGKILL at random moments and come back; none of what they acknowledged is lost.
#[test]
fn killed_receivers_keep_what_they_acknowledged() {
    const KILLS: usize = 12;
    let site = Site::new();
    let mut random = Random::seeded("killed_receivers_keep_what_they_acknowledged");
    let dirs: Vec<PathBuf> = (0..3).map(|number| site.receiver_dir(number)).collect();
    let addresses: Vec<_> = dirs.iter().map(|_| lasting_address()).collect();
    let start = |index: usize| ReceiverProcess::start_at(addresses[index], &dirs[index], &[]);
    let mut receivers: Vec<_> = (0..3).map(start).collect();
    let client = site.client(&addresses, OPTIONS);
    let mut count = 0;
    for _ in 0..KILLS {
        let victim = random.below(3) as usize;
        let until = client.stats().sender.delivered + 1 + random.below(5_000);
        wait::until("more records are delivered", || {
            for _ in 0..200 {
                client.log(Severity::Info, line(count)).unwrap();
                count += 1;
            }
            client.stats().sender.delivered >= until
        });
        receivers.remove(victim).kill();
        receivers.insert(victim, start(victim));
    }
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!((stats.accepted, stats.sender.delivered, stats.sender.stored), (count, count, 0));
    assert_eq!((stats.dropped_total(), stats.panics, stats.spool_errors), (0, 0, 0));
    println!("{}", verify(&dirs));
    assert_same_lines(&cat_lines(&dirs), &expected(count));
}

/// A cluster that has moved, whose former bootstrap hosts are tried again when the discovery names others: these take
/// their numbers.
#[test]
fn hosts_that_a_discovery_finds_after_a_cluster_is_gone_are_tried() {
    let (site, former) = (Site::new(), ScriptedReceiver::start(&[], 0));
    // Takes connections, and so tells when bootstrap hosts are tried.
    let witness = TcpListener::bind("127.0.0.1:0").unwrap();
    witness.set_nonblocking(true).unwrap();
    let file = site.file("hosts");
    let text = format!("{}\n{}\n", former.address, witness.local_addr().unwrap());
    fs::write(&file, text).unwrap();
    let options = format!(
        "discovery=file&discovery.file={}&discovery.interval=100ms&linger=5ms",
        file.display()
    );
    let url = site.url_with_scheme("kafka", &[former.address], &options);
    let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
    client.log(Severity::Info, "to the former").unwrap();
    client.flush(wait::PATIENCE).unwrap();
    while witness.accept().is_ok() {}
    former.lie(&[Lie::Torn]);
    drop(former);
    client.log(Severity::Info, "to the present").unwrap();
    wait::until("the former hosts are tried again", || witness.accept().is_ok());
    let present = ScriptedReceiver::start(&[], 0);
    fs::write(&file, format!("{}\n", present.address)).unwrap();
    wait::until("the present host has it", || !present.stored().is_empty());
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!((stats.sender.delivered, stats.sender.stored), (2, 0), "{stats:?}");
}
