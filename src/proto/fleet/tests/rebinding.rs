//! Lanes move on, drained, a few at a time, and newcomers get their share.

use super::simulation::*;
use crate::ids::EndpointId;
use crate::proto::fleet::Options;

const PERIOD: u64 = 20;

fn rebinding(lanes: usize) -> Options {
    Options { lanes, rebind_interval: Some(seconds(PERIOD)), ..Options::default() }
}

#[test]
fn rebinding_leaves_no_batch_in_doubt_and_moves_a_quarter_at_most() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 8);
        let options = Options { rebind_bytes: Some(5_000_000), ..rebinding(0) };
        network.add_host(options, milliseconds(2));
        network.run(seconds(30));
        let host = &network.hosts[0];
        let rebinds: u64 = host.fleet.lanes().map(|lane| lane.rebinds).sum();
        // 30 s at 50 MB/s in portions of 5 MB.
        assert!((200..=400).contains(&rebinds), "seed {seed}: {rebinds} rebinds");
        assert!(host.moving_most <= 2, "seed {seed}: {} lanes drained at once", host.moving_most);
        assert_eq!((host.doubtful, host.doubtful_by_rebinding), (0, 0), "seed {seed}");
        network.settle();
    }
}

#[test]
fn a_single_lane_rebinds_by_records_too() {
    let mut network = Network::new(SEEDS[0], 1);
    let options = Options { lanes: 1, rebind_records: Some(10_000), ..Options::default() };
    network.add_host(options, milliseconds(10));
    network.run(seconds(20));
    let host = &network.hosts[0];
    let lane = host.fleet.lanes().next().unwrap();
    let expected = lane.acknowledged.records / 10_000;
    assert!(lane.rebinds.abs_diff(expected) <= expected / 4, "{lane:?}");
    assert_eq!(host.doubtful, 0);
}

#[test]
fn a_restarted_receiver_gets_its_share_within_one_period() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 5);
        (0..4).for_each(|_| network.add_host(rebinding(0), milliseconds(25)));
        network.run(seconds(30));
        network.kill(3);
        network.run(seconds(30));
        network.restart(3);
        network.run(seconds(PERIOD));
        let shares = network.shares_over(seconds(PERIOD));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
        assert!(network.hosts.iter().all(|host| host.doubtful_by_rebinding == 0));
        network.settle();
    }
}

/// Whatever the rebinding rules: a receiver that was down for some seconds, as in a restart, is back in business
/// when the longest pause between two tries has passed.
#[test]
fn a_restarted_receiver_has_its_share_after_the_longest_backoff() {
    for seed in SEEDS {
        let options = Options { rebind_interval: Some(seconds(300)), ..Options::default() };
        let backoff_max = options.backoff_max;
        let mut network = Network::new(seed, 3);
        network.add_host(options, milliseconds(2));
        network.run(seconds(30));
        network.kill(2);
        network.run(seconds(5));
        network.restart(2);
        network.run(backoff_max);
        let shares = network.shares_over(seconds(2));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
        network.settle();
    }
}

#[test]
fn an_added_receiver_gets_its_share_within_one_period() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 4);
        (0..4).for_each(|_| network.add_host(rebinding(0), milliseconds(25)));
        network.run(seconds(45));
        network.add_receiver();
        network.names.insert(EndpointId(0), (0..5).collect());
        network.run(seconds(PERIOD));
        let shares = network.shares_over(seconds(PERIOD));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
        network.settle();
    }
}

/// With 8 lanes and 5 receivers no instant is even; over a few periods the sum is.
#[test]
fn fewer_lanes_than_receivers_visit_all_of_them_evenly() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 5);
        (0..4).for_each(|_| network.add_host(rebinding(2), milliseconds(100)));
        let shares = network.shares_over(seconds(60 * PERIOD));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
        assert!(network.hosts.iter().all(|host| host.doubtful == 0));
    }
}

#[test]
fn with_fewer_lanes_a_new_receiver_has_its_share_after_one_period() {
    let mut fraction = 0.0;
    const RUNS: u64 = 20;
    for seed in 0..RUNS {
        let mut network = Network::new(seed, 4);
        (0..4).for_each(|_| network.add_host(rebinding(2), milliseconds(100)));
        network.run(seconds(45));
        network.add_receiver();
        network.names.insert(EndpointId(0), (0..5).collect());
        // The longest period that the jitter allows.
        let shares = network.shares_over(seconds(PERIOD + PERIOD * 3 / 20 + 1));
        assert!(shares[4] > 0, "seed {seed}: nobody went there: {shares:?}");
        fraction += shares[4] as f64 / shares.iter().sum::<u64>() as f64;
    }
    // A fifth is fair; its first period includes the time until the first lane comes.
    let mean = fraction / RUNS as f64;
    assert!((0.15..=0.3).contains(&mean), "it took {mean} of the load");
}

#[test]
fn crowded_lanes_make_room_for_a_new_receiver_without_any_quota() {
    let mut network = Network::new(SEEDS[2], 2);
    let options = Options { lanes: 4, ..Options::default() };
    network.add_host(options, milliseconds(10));
    network.run(seconds(5));
    // Nothing rebinds here, so the names are learned from a lane that fails.
    network.add_receiver();
    network.add_receiver();
    network.names.insert(EndpointId(0), (0..4).collect());
    network.kill(0);
    network.restart(0);
    network.run(seconds(10));
    let lanes: Vec<usize> =
        network.hosts[0].fleet.candidates().map(|candidate| candidate.lanes).collect();
    assert_eq!(lanes, [1, 1, 1, 1]);
    assert_eq!(network.hosts[0].doubtful_by_rebinding, 0);
    network.settle();
}

/// With a rebind period below `backoff.max` the last pause before the return would be longer than the period.
#[test]
fn a_returned_receiver_has_its_share_within_a_short_rebind_period() {
    for seed in 1..=30 {
        let mut network = Network::new(seed, 3);
        let options = Options { lanes: 3, rebind_interval: Some(seconds(2)), ..Options::default() };
        network.add_host(options, milliseconds(2));
        network.run(seconds(5));
        network.kill(0);
        network.run(seconds(60));
        network.restart(0);
        // A period, and what reconnecting and the ramp-up take.
        network.run(milliseconds(2_500));
        let shares = network.shares_over(seconds(2));
        assert!(ratio(&shares) <= 1.5, "seed {seed}: {shares:?}");
    }
}

/// A broker's only lane would drain, close and come back to the same broker.
#[test]
fn in_kafka_mode_no_quota_moves_a_lane_and_new_credentials_do() {
    let mut network = Network::new(SEEDS[1], 2);
    (0..2).for_each(|id| drop(network.names.insert(EndpointId(id), vec![id as usize])));
    let options = Options {
        one_lane_per_endpoint: true,
        rebind_bytes: Some(5_000_000),
        rebind_records: Some(10_000),
        ..rebinding(0)
    };
    network.add_host(options, milliseconds(10));
    network.run(seconds(3 * PERIOD));
    assert_eq!(network.hosts[0].closes, []);
    let now = network.now;
    let fleet = &mut network.hosts[0].fleet;
    let renewed = fleet.lanes().next().unwrap().id;
    fleet.renew(now, renewed);
    network.run(seconds(PERIOD));
    let host = &network.hosts[0];
    let rebinds: Vec<u64> = host.fleet.lanes().map(|lane| lane.rebinds).collect();
    assert_eq!((rebinds, host.doubtful), (vec![1, 0], 0));
    network.settle();
}
