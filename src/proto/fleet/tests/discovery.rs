//! Names and endpoints that change while batches flow.

use super::simulation::*;
use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::fleet::Action;
use crate::proto::fleet::CandidateState;
use crate::proto::fleet::Endpoint;
use crate::proto::fleet::Fleet;
use crate::proto::fleet::Options;
use crate::proto::fleet::Target;
use crate::proto::fleet::random::Random;

#[test]
fn a_hundred_changed_answers_lose_nothing_and_stall_nobody() {
    for seed in SEEDS {
        let mut network = Network::new(seed, 8);
        network.names.insert(EndpointId(0), vec![0, 1, 2]);
        let options = Options { rebind_interval: Some(seconds(4)), ..Options::default() };
        network.add_host(options, milliseconds(10));
        network.run(seconds(5));
        network.hosts[0].longest_wait = seconds(0);
        let mut random = Random::new(seed);
        for _ in 0..100 {
            let first = random.below(8);
            let count = 2 + random.below(4);
            let answer = (0..count).map(|offset| (first + offset) % 8).collect();
            network.names.insert(EndpointId(0), answer);
            network.run(seconds(5));
        }
        // All lanes have rebound since the last change, one after the other.
        network.run(seconds(10));
        let host = &network.hosts[0];
        assert_eq!(host.doubtful, 0, "seed {seed}: a removed address is drained, not cut");
        assert!(host.longest_wait <= milliseconds(100), "seed {seed}: {:?}", host.longest_wait);
        let mut used: Vec<usize> = host
            .fleet
            .lanes()
            .filter_map(|lane| lane.target)
            .map(|target| receiver_at(target.address))
            .collect();
        used.sort_unstable();
        let mut wanted = network.names[&EndpointId(0)].clone();
        wanted.sort_unstable();
        assert_eq!(used, wanted, "seed {seed}");
        network.settle();
    }
}

#[test]
fn a_hanging_resolver_holds_a_moving_lane_for_a_second_and_the_others_not_at_all() {
    let mut network = Network::new(SEEDS[0], 4);
    let options = Options { rebind_interval: Some(seconds(4)), ..Options::default() };
    network.add_host(options, milliseconds(10));
    network.run(seconds(3));
    network.resolver_delay = seconds(30);
    network.hosts[0].longest_wait = seconds(0);
    network.run(seconds(30));
    let host = &network.hosts[0];
    assert!(host.longest_wait <= milliseconds(100), "{:?}", host.longest_wait);
    assert!(host.fleet.lanes().all(|lane| lane.rebinds >= 4), "lanes go on rebinding meanwhile");
}

#[test]
fn names_that_do_not_resolve_keep_connections_and_are_asked_with_backoff() {
    let mut network = Network::new(SEEDS[1], 2);
    let options = Options { rebind_interval: Some(seconds(10)), ..Options::default() };
    network.add_host(options, milliseconds(50));
    network.run(seconds(5));
    network.names.clear();
    let before = network.resolves;
    network.run(seconds(600));
    assert!(network.resolves - before <= 600 / 4, "{}", network.resolves - before);
    assert!(network.hosts[0].fleet.candidates().all(|c| c.state == CandidateState::Active));
    assert_eq!(network.hosts[0].doubtful, 0);
    network.settle();
}

#[test]
fn a_name_that_resolves_late_is_used_without_any_rebinding() {
    let mut network = Network::new(SEEDS[2], 2);
    network.names.insert(EndpointId(0), vec![0]);
    network.names.insert(EndpointId(1), Vec::new());
    network.add_host(Options::default(), milliseconds(50));
    network.run(seconds(60));
    network.names.insert(EndpointId(1), vec![1]);
    network.run(seconds(15));
    let shares = network.shares_over(seconds(20));
    assert!(ratio(&shares) <= 1.2, "{shares:?}");
}

/// A resolver may take its time, and the driver looks names up on its own account as well, of which the fleet
/// does not know: meanwhile a discovery may give the endpoint's number to another host.
#[test]
fn an_answer_about_the_host_that_an_endpoint_had_before_is_not_taken_for_that_of_its_new_one() {
    for was_known in [false, true] {
        let named = |host: &str| Endpoint { id: EndpointId(0), host: host.to_owned(), port: 9092 };
        let (former, present) = (named("former"), named("present"));
        let now = Moment(1);
        let mut fleet = Fleet::new(now, Options::default(), 1);
        fleet.set_endpoints(now, std::slice::from_ref(&former)).unwrap();
        let resolve = Action::Resolve(EndpointId(0));
        assert_eq!(fleet.poll_action(), Some(resolve));
        if was_known {
            // No question of the fleet's is open then.
            fleet.handle_resolved(now, &former, &[address(0)]);
        }
        while fleet.poll_action().is_some() {}
        fleet.set_endpoints(now, std::slice::from_ref(&present)).unwrap();
        let actions: Vec<_> = std::iter::from_fn(|| fleet.poll_action()).collect();
        assert!(actions.contains(&resolve), "{was_known}: {actions:?}");
        assert_eq!(fleet.endpoint(EndpointId(0)), Some(&present));
        fleet.handle_resolved(now, &former, &[address(1)]);
        fleet.handle_resolve_failed(now, &former);
        assert_eq!(fleet.addresses(), 0, "{was_known}");
        fleet.handle_resolved(now, &present, &[address(2)]);
        let candidates = fleet.candidates.iter();
        let known: Vec<_> = candidates.filter(|(_, known)| known.removed_at.is_none()).collect();
        assert_eq!(known.len(), 1, "{was_known}");
        assert_eq!(known[0].0.address, address(2), "{was_known}");
    }
}

#[test]
fn kafka_mode_keeps_one_lane_per_endpoint_and_obeys_the_leaders() {
    let mut network = Network::new(SEEDS[3], 3);
    (0..3).for_each(|id| drop(network.names.insert(EndpointId(id), vec![id as usize])));
    let options = Options { one_lane_per_endpoint: true, ..Options::default() };
    network.add_host(options, milliseconds(0));
    network.run(seconds(2));
    let now = network.now;
    let fleet = &mut network.hosts[0].fleet;
    let mut endpoints_of_lanes: Vec<u32> =
        fleet.lanes().filter_map(|lane| lane.target).map(|target| target.endpoint.0).collect();
    endpoints_of_lanes.sort_unstable();
    assert_eq!(endpoints_of_lanes, [0, 1, 2]);
    let batch = crate::proto::fleet::Batch { token: 1, bytes: 1000, records: 1 };
    let lane = fleet.assign(now, batch, Some(&[EndpointId(2)])).unwrap();
    let target = fleet.lanes().find(|view| view.id == lane).and_then(|view| view.target);
    assert_eq!(target, Some(Target { endpoint: EndpointId(2), address: address(2) }));
    assert_eq!(fleet.assign(now, batch, Some(&[EndpointId(7)])), None);
    assert!(fleet.handle_acknowledged(now, lane, 1));
    // A broker goes, another comes.
    fleet
        .set_endpoints(now, &endpoints([EndpointId(0), EndpointId(2), EndpointId(5)].iter()))
        .unwrap();
    network.names.insert(EndpointId(5), vec![1]);
    network.run(seconds(20));
    let mut endpoints_of_lanes: Vec<u32> = network.hosts[0]
        .fleet
        .lanes()
        .filter_map(|lane| lane.target)
        .map(|target| target.endpoint.0)
        .collect();
    endpoints_of_lanes.sort_unstable();
    assert_eq!(endpoints_of_lanes, [0, 2, 5]);
}

#[test]
fn wrong_lists_of_endpoints_are_refused_whole() {
    let mut network = Network::new(SEEDS[0], 1);
    network.add_host(Options::default(), milliseconds(50));
    let now = network.now;
    let fleet = &mut network.hosts[0].fleet;
    let twice = [EndpointId(3), EndpointId(3)];
    let error = fleet.set_endpoints(now, &endpoints(twice.iter())).unwrap_err();
    assert_eq!(error.to_string(), "two endpoints are numbered 3: give each its own number");
    let many: Vec<EndpointId> = (0..2000).map(EndpointId).collect();
    assert!(fleet.set_endpoints(now, &endpoints(many.iter())).is_err());
    network.settle();
}
