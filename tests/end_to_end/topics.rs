//! Several topics of one cluster: what one of them does not take holds up no other.

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::wait;

/// A batch of each record.
const OPTIONS: &str = "linger=1ms&batch.records_max=1";
const UNWILLING: &str = "unwilling";

fn open(site: &Site, cluster: &ScriptedReceiver) -> Client {
    let url = site.url_with_scheme("kafka", &[cluster.address], OPTIONS);
    Client::start(&Config::from_url(&url).unwrap()).unwrap()
}

fn line(topic: &str, number: u64) -> Vec<u8> {
    format!("{topic} {number}").into_bytes()
}

/// What of a topic was stored, in order.
fn stored(cluster: &ScriptedReceiver, topic: &str) -> Vec<Vec<u8>> {
    let stored = cluster.stored().into_iter();
    stored.filter(|value| value.starts_with(topic.as_bytes())).collect()
}

/// All of a topic's batches are answered with an error that passes, for a long time. It has a leader, so it counts as
/// one that can be written.
#[test]
fn a_topic_that_is_put_off_holds_up_no_other() {
    const COUNT: u64 = 300;
    let (site, cluster) = (Site::new(), ScriptedReceiver::start(&[], 0));
    cluster.put_off(Some(UNWILLING.as_bytes()));
    let client = open(&site, &cluster);
    let unwilling = client.stream(UNWILLING).unwrap();
    unwilling.log(Severity::Info, line(UNWILLING, 0)).unwrap();
    wait::until("it is put off", || !cluster.seen().is_empty());
    for number in 1..COUNT {
        unwilling.log(Severity::Info, line(UNWILLING, number)).unwrap();
        client.log(Severity::Info, line("willing", number)).unwrap();
    }
    wait::until("the other topic is delivered", || client.stats().sender.delivered == COUNT - 1);
    assert_eq!(client.stats().sender.stored, COUNT);
    cluster.put_off(None);
    client.flush(wait::PATIENCE).unwrap();
    client.close(wait::PATIENCE).unwrap();
    let all: Vec<_> = (0..COUNT).map(|number| line(UNWILLING, number)).collect();
    assert_eq!(stored(&cluster, UNWILLING), all);
    let others: Vec<_> = (1..COUNT).map(|number| line("willing", number)).collect();
    assert_eq!(stored(&cluster, "willing"), others);
}

/// More keyed batches than are held for a partition in passing.
#[test]
fn a_partition_that_is_put_off_holds_up_no_other_topic() {
    const COUNT: u64 = 1_100;
    let (site, cluster) = (Site::new(), ScriptedReceiver::start(&[], 0));
    cluster.put_off(Some(UNWILLING.as_bytes()));
    let client = open(&site, &cluster);
    let unwilling = client.stream(UNWILLING).unwrap();
    for number in 0..COUNT {
        unwilling.log_keyed(Severity::Info, "key", line(UNWILLING, number), &[]).unwrap();
    }
    wait::until("it is put off", || !cluster.seen().is_empty());
    client.log(Severity::Info, line("willing", 0)).unwrap();
    wait::until("the other topic is delivered", || client.stats().sender.delivered == 1);
    assert_eq!(client.stats().sender.stored, COUNT);
    cluster.put_off(None);
    client.flush(wait::PATIENCE).unwrap();
    client.close(wait::PATIENCE).unwrap();
    let all: Vec<_> = (0..COUNT).map(|number| line(UNWILLING, number)).collect();
    assert_eq!(stored(&cluster, UNWILLING), all);
}
