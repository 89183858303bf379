//! Equal receivers get equal shares; unequal ones get what they can take.

use super::simulation::*;
use crate::proto::fleet::Options;

#[test]
fn equal_receivers_get_equal_shares_under_light_and_heavy_load() {
    for seed in SEEDS {
        for receivers in [3, 5] {
            for offer_every in [milliseconds(20), milliseconds(1)] {
                let mut network = Network::new(seed, receivers);
                network.add_host(Options::default(), offer_every);
                network.run(seconds(2));
                let shares = network.shares_over(seconds(10));
                assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
            }
        }
    }
}

#[test]
fn receivers_that_are_a_little_slower_keep_their_share() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 3);
        network.receivers[1].latency = milliseconds(3);
        network.receivers[2].latency = milliseconds(4);
        network.add_host(Options::default(), milliseconds(20));
        network.run(seconds(2));
        let shares = network.shares_over(seconds(10));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
    }
}

#[test]
fn lanes_to_one_address_share_it_evenly() {
    let mut network = Network::new(SEEDS[1], 1);
    let options = Options { lanes: 8, ..Options::default() };
    network.add_host(options, milliseconds(5));
    network.run(seconds(20));
    let lanes: Vec<u64> =
        network.hosts[0].fleet.lanes().map(|lane| lane.acknowledged.bytes).collect();
    assert_eq!(lanes.len(), 8);
    assert!(ratio(&lanes) <= 1.2, "{lanes:?}");
}

#[test]
fn more_lanes_than_receivers_still_load_receivers_evenly() {
    let mut network = Network::new(SEEDS[2], 3);
    let options = Options { lanes: 4, ..Options::default() };
    network.add_host(options, milliseconds(10));
    network.run(seconds(2));
    let shares = network.shares_over(seconds(20));
    assert!(ratio(&shares) <= 1.2, "{shares:?}");
}

#[test]
fn a_slow_receiver_leaves_the_load_to_the_others_and_comes_back() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 4);
        network.add_host(Options::default(), milliseconds(5));
        network.run(seconds(5));
        network.receivers[2].bytes_per_second = 1_000_000;
        network.run(seconds(5));
        network.hosts[0].longest_wait = seconds(0);
        let shares = network.shares_over(seconds(10));
        let others: u64 = shares[0] + shares[1] + shares[3];
        assert!(others >= 9 * shares[2], "seed {seed}: {shares:?}");
        assert!(network.hosts[0].longest_wait <= milliseconds(5), "seed {seed}: others waited");
        assert!(network.hosts[0].closes.is_empty(), "seed {seed}: slow is not dead");
        network.receivers[2].bytes_per_second = 400_000_000;
        network.run(seconds(40));
        let shares = network.shares_over(seconds(10));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
        network.settle();
    }
}
