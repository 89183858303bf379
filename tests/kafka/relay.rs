//! A receiver that forwards into a cluster: producers speak to it, consumers read from the cluster.

use std::path::Path;

use logdrive::Client;
use logdrive::Severity;
use logdrive::config::Config;
use logdrive::receiver::Acknowledge;
use logdrive::receiver::Forward;
use logdrive::receiver::Options;
use logdrive::receiver::Receiver;

use crate::chaos::DEADLINE;
use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::records::text;
use crate::support::scale::scaled;

/// One into the cluster, and the options of a client that knows only it.
fn relay(bootstrap: &str, dir: &Path) -> (Receiver, String) {
    let next = format!("kafka://{bootstrap}/any?ring.dir={}", dir.join("rings").display());
    let config = Config::from_url(&next).unwrap();
    let relay = Receiver::start(Options {
        forward: Some(Forward { config, acknowledge: Acknowledge::Delivered }),
        ..Options::new("127.0.0.1:0".parse().unwrap(), dir.join("relay"))
    })
    .unwrap();
    let options = format!("ring.full=block&ring.dir={}", dir.join("producer").display());
    (relay, options)
}

#[test]
fn a_relay_into_a_cluster_delivers_each_record_once() {
    let Some(mut kfake) = Peer::kfake(2, &[]) else { return };
    kfake.tell("create relayed 3");
    let dir = tempfile::tempdir().unwrap();
    let (relay, options) = relay(&kfake.bootstrap, dir.path());
    let url = format!("receivers://{}/relayed?{options}", relay.local_addr());
    let client = Client::open(&url).unwrap();
    let count = scaled(5_000, 25_000);
    for number in 0..count {
        client.log(Severity::Info, text("relayed", number)).unwrap();
    }
    let stats = client.close(DEADLINE).unwrap();
    assert_eq!(stats.sender.delivered, count);
    // Acknowledged is consumable: nothing is waited for.
    let arrived = Arrived::new(&consume(&kfake.bootstrap, "relayed"));
    arrived.check("relayed", count);
    assert_eq!(arrived.count(), count);
    assert_eq!(relay.shutdown(DEADLINE).unwrap().panics, 0);
}

/// The relay divides nothing, so the application finds the guilty records, counts them, and no good one is there twice.
#[test]
fn what_the_cluster_refuses_is_found_by_the_application() {
    let Some(mut kfake) = Peer::kfake(1, &[]) else { return };
    kfake.tell("create refused 2");
    kfake.tell("poison 87 0 GUILTY");
    kfake.tell("limit 6000");
    let dir = tempfile::tempdir().unwrap();
    let (relay, options) = relay(&kfake.bootstrap, dir.path());
    let url = format!("receivers://{}/refused?codec=none&{options}", relay.local_addr());
    let client = Client::open(&url).unwrap();
    let is_guilty = |number: &u64| number % 97 == 5;
    let count = scaled(2_000, 10_000);
    for number in 0..count {
        let text = text("good", number);
        let guilt = if is_guilty(&number) { "GUILTY " } else { "" };
        client.log(Severity::Info, format!("{guilt}{text}")).unwrap();
    }
    client.flush(DEADLINE).unwrap();
    let stats = client.close(DEADLINE).unwrap();
    let guilty = (0..count).filter(is_guilty).count() as u64;
    assert_eq!(stats.sender.dropped, [("rejected", guilty)], "{stats:?}");
    assert_eq!(stats.sender.delivered, stats.accepted - guilty, "{stats:?}");
    // Lanes to a receiver keep no order between batches that were sent again.
    let (_disorder, numbers) = Arrived::new(&consume(&kfake.bootstrap, "refused")).numbers("good");
    let good: Vec<u64> = (0..count).filter(|number| !is_guilty(number)).collect();
    assert_eq!(numbers, good, "missing 0, duplicated 0");
    assert_eq!(relay.shutdown(DEADLINE).unwrap().panics, 0);
}
