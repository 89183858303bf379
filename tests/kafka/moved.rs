//! librdkafka's mock cluster and kfake: leaders move while records flow.

use crate::chaos::DEADLINE;
use crate::chaos::THREADS;
use crate::chaos::log_during;
use crate::chaos::open;
use crate::chaos::wait_until;
use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::support::scale::scaled;

const PARTITIONS: u64 = 4;
const BROKERS: u64 = 3;

#[test]
fn leaders_move_in_librdkafkas_mock_cluster() {
    let Some(mut mock) = Peer::mock(BROKERS as u32) else { return };
    mock.tell(&format!("create moved {PARTITIONS}"));
    // One broker is slow: what it leads must not hold up the rest, nor be lost.
    mock.tell("rtt 2 50");
    // What it stores is not compared: it checks no sequences, and is no measure of that.
    let command = |partition, broker| format!("leader moved {partition} {}", broker + 1);
    move_leaders(&mut mock, command);
}

#[test]
fn leaders_move_in_kfake() {
    let Some(mut kfake) = Peer::kfake(BROKERS as u32, &[]) else { return };
    kfake.tell(&format!("create moved {PARTITIONS}"));
    let command = |partition, broker| format!("move moved {partition} {broker}");
    let accepted = move_leaders(&mut kfake, command);
    let arrived = Arrived::new(&consume(&kfake.bootstrap, "moved"));
    for thread in 0..THREADS {
        arrived.check(&format!("app-{thread}"), 1);
    }
    assert_eq!(arrived.count(), accepted);
}

/// Moves every partition to every broker in turn, each time once more was delivered. How many records were accepted,
/// all of which were delivered.
fn move_leaders(peer: &mut Peer, command: impl Fn(u64, u64) -> String) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = peer.bootstrap.clone();
    let client = open(&bootstrap, "moved", dir.path());
    log_during(
        &client,
        "app",
        |_, _| {},
        || {
            // A flush of nothing is no proof that anything flows.
            wait_until(|| client.stats().sender.delivered > 0);
            for turn in 0..scaled(30, 150) {
                peer.tell(&command(turn % PARTITIONS, turn % BROKERS));
                let flushed = client.flush(DEADLINE);
                assert!(flushed.is_ok(), "turn {turn}: {:?}", client.stats());
            }
        },
    );
    client.flush(DEADLINE).unwrap();
    let stats = client.stats();
    assert_eq!(stats.sender.delivered, stats.accepted, "{stats:?}");
    assert!(stats.sender.retries > 0, "no leader was moved in time: {stats:?}");
    client.close(DEADLINE).unwrap();
    stats.accepted
}
