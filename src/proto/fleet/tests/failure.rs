//! Receivers that die, freeze and return.

use super::simulation::*;
use crate::ids::Moment;
use crate::proto::fleet::Batch;
use crate::proto::fleet::CandidateState;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::LaneState;
use crate::proto::fleet::Options;

#[test]
fn a_dead_receiver_takes_nothing_and_the_others_do_not_notice() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 3);
        network.add_host(Options::default(), milliseconds(5));
        network.run(seconds(5));
        network.kill(1);
        network.hosts[0].longest_wait = seconds(0);
        let shares = network.shares_over(seconds(30));
        assert!(shares[1] == 0 && shares[0] > 0 && ratio(&[shares[0], shares[2]]) <= 1.2);
        assert!(network.hosts[0].longest_wait <= milliseconds(5), "seed {seed}: a stall");
        network.restart(1);
        // One backoff at the longest, then the ramp.
        network.run(seconds(11));
        let shares = network.shares_over(seconds(10));
        assert!(ratio(&shares) <= 1.2, "seed {seed}: {shares:?}");
        network.settle();
    }
}

#[test]
fn a_frozen_receiver_fails_over_within_the_deadline_and_is_probed_with_one_batch() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 3);
        network.add_host(Options::default(), milliseconds(5));
        network.run(seconds(5));
        network.receivers[0].is_frozen = true;
        let frozen_at = network.now;
        network.hosts[0].longest_wait = seconds(0);
        network.run(seconds(60));
        let host = &network.hosts[0];
        let closes: Vec<Moment> = host
            .closes
            .iter()
            .filter(|(_, reason)| *reason == CloseReason::AcknowledgementDeadline)
            .map(|(at, _)| *at)
            .collect();
        assert!(closes[0].since(frozen_at) <= seconds(11), "seed {seed}: {closes:?}");
        assert!(host.longest_wait <= milliseconds(5), "seed {seed}: a healthy lane waited");
        // A window at first, one batch with each probe.
        assert!(host.doubtful < 5 + closes.len(), "seed {seed}: {}", host.doubtful);
        network.restart(0);
        network.settle();
    }
}

#[test]
fn a_single_frozen_receiver_gets_everything_when_it_thaws_by_restarting() {
    let mut network = Network::new(SEEDS[0], 1);
    network.add_host(Options::default(), milliseconds(50));
    network.run(seconds(3));
    network.receivers[0].is_frozen = true;
    network.run(seconds(60));
    let host = &network.hosts[0];
    let closes = host.closes.len();
    // The windows of both lanes at first, one batch with each probe.
    assert!(closes >= 3 && host.doubtful < 2 * 5 + closes, "{closes} probes, {}", host.doubtful);
    network.kill(0);
    network.run(seconds(30));
    network.restart(0);
    network.settle();
}

#[test]
fn a_stalled_lane_gets_nothing_new_even_when_the_healthy_one_is_full() {
    let mut network = Network::new(SEEDS[2], 2);
    network.add_host(Options::default(), milliseconds(5));
    network.run(seconds(3));
    network.settle();
    let mut now = network.now;
    let fleet = &mut network.hosts[0].fleet;
    let batch = |token| Batch { token, bytes: 1000, records: 1 };
    let stalled = fleet.assign(now, batch(1_000_000), None).unwrap();
    now = now.after(seconds(6));
    let placed: Vec<_> =
        (0..20).map_while(|token| fleet.assign(now, batch(2_000_000 + token), None)).collect();
    assert_eq!(placed.len(), 5, "the window of the healthy lane");
    assert!(placed.iter().all(|lane| *lane != stalled));
}

#[test]
fn an_idle_lane_that_misses_its_heartbeat_is_closed() {
    let mut network = Network::new(SEEDS[3], 2);
    network.add_host(Options::default(), milliseconds(50));
    network.run(seconds(2));
    network.stop_offering();
    network.run(seconds(60));
    assert!(network.hosts[0].closes.is_empty(), "answered heartbeats keep a lane");
    network.receivers[0].is_frozen = true;
    network.run(seconds(16));
    let closes = &network.hosts[0].closes;
    assert!(closes.iter().any(|(_, reason)| *reason == CloseReason::HeartbeatMissed), "{closes:?}");
}

#[test]
fn only_an_acknowledgement_ends_the_backoff() {
    // The receiver accepts and dies again at once, for ever: attempts must thin out all the same.
    for seed in SEEDS {
        let mut network = Network::new(seed, 1);
        network.add_host(Options::default(), milliseconds(100));
        network.run(seconds(3));
        network.receivers[0].is_frozen = true;
        for _ in 0..1200 {
            network.run(milliseconds(100));
            network.kill(0);
            network.receivers[0].is_up = true;
        }
        let attempts: u32 = network.receivers[0].connects.iter().skip(30).sum();
        // 93 s with a mean delay of 5 s; three times as many would be five standard deviations off.
        assert!(attempts <= 60, "seed {seed}: {attempts} attempts");
        let host = &mut network.hosts[0];
        assert!(host.fleet.candidates().all(|candidate| candidate.state != CandidateState::Active));
        network.restart(0);
        network.settle();
        let host = &mut network.hosts[0];
        assert!(host.fleet.candidates().all(|candidate| candidate.state == CandidateState::Active));
    }
}

#[test]
fn shutdown_drains_and_leaves_nothing_behind() {
    let mut network = Network::new(SEEDS[1], 3);
    network.add_host(Options::default(), milliseconds(1));
    network.run(seconds(2));
    network.stop_offering();
    network.hosts[0].fleet.shutdown(network.now);
    network.run(seconds(15));
    let host = &network.hosts[0];
    assert!(host.fleet.is_idle(), "{:?}", host.fleet.lanes().collect::<Vec<_>>());
    assert!(host.fleet.lanes().all(|lane| lane.state == LaneState::Idle));
    assert_eq!(host.doubtful, 0);
    assert_eq!(host.fleet.poll_timeout(), None);
}
