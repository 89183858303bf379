//! A receiver that forwards into a cluster: producers speak to it, consumers read from the cluster.

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

#[test]
fn a_relay_into_a_cluster_delivers_each_record_once() {
    let Some(mut kfake) = Peer::kfake(2, &[]) else { return };
    kfake.tell("create relayed 3");
    let dir = tempfile::tempdir().unwrap();
    let rings = dir.path().join("rings");
    let next = format!("kafka://{}/any?ring.dir={}", kfake.bootstrap, rings.display());
    let config = Config::from_url(&next).unwrap();
    let relay = Receiver::start(Options {
        forward: Some(Forward { config, acknowledge: Acknowledge::Delivered }),
        ..Options::new("127.0.0.1:0".parse().unwrap(), dir.path().join("relay"))
    })
    .unwrap();
    let url = format!(
        "receivers://{}/relayed?ring.full=block&ring.dir={}",
        relay.local_addr(),
        dir.path().join("producer").display()
    );
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
