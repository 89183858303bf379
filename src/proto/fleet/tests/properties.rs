//! Random events in any order, fitting or not: nothing panics, and what the module promises holds.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::simulation::address;
use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::proto::fleet::Action;
use crate::proto::fleet::Batch;
use crate::proto::fleet::Endpoint;
use crate::proto::fleet::Fleet;
use crate::proto::fleet::Options;

#[derive(Clone, Debug)]
enum Step {
    Acknowledge { lane: u32, token: u64 },
    AcknowledgeOldest { lane: u32 },
    Assign { bytes: u32, endpoint: Option<u32> },
    Closed { lane: u32, clean: bool },
    Connected { lane: u32 },
    Endpoints { count: u32, port: u16 },
    Failed { lane: u32 },
    Obey,
    Progress { lane: u32 },
    Ready { lane: u32 },
    Resolved { endpoint: u32, port: u16, first: usize, count: usize },
    ReturnOldest { lane: u32 },
    Shutdown,
    Wait { milliseconds: u64 },
    WaitForTimer,
}

fn endpoint(id: u32, port: u16) -> Endpoint {
    Endpoint { id: EndpointId(id), host: format!("h{id}"), port }
}

fn step() -> impl Strategy<Value = Step> {
    let lane = 0..9u32;
    prop_oneof![
        1 => (lane.clone(), 0..200u64).prop_map(|(lane, token)| Step::Acknowledge { lane, token }),
        6 => lane.clone().prop_map(|lane| Step::AcknowledgeOldest { lane }),
        12 => (0..100_000u32, prop::option::weighted(0.2, 0..6u32))
            .prop_map(|(bytes, endpoint)| Step::Assign { bytes, endpoint }),
        2 => (lane.clone(), any::<bool>()).prop_map(|(lane, clean)| Step::Closed { lane, clean }),
        1 => lane.clone().prop_map(|lane| Step::Connected { lane }),
        1 => (0..6u32, 1..3u16).prop_map(|(count, port)| Step::Endpoints { count, port }),
        1 => lane.clone().prop_map(|lane| Step::Failed { lane }),
        12 => Just(Step::Obey),
        1 => lane.clone().prop_map(|lane| Step::Progress { lane }),
        3 => lane.clone().prop_map(|lane| Step::Ready { lane }),
        3 => (0..6u32, 1..3u16, 0..8usize, 0..5usize).prop_map(|(endpoint, port, first, count)| {
            Step::Resolved { endpoint, port, first, count }
        }),
        2 => lane.prop_map(|lane| Step::ReturnOldest { lane }),
        3 => (0..20_000u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        6 => Just(Step::WaitForTimer),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (0..6usize, any::<bool>(), 1..4usize, 1..6usize, prop::option::of(1..300_000u64), any::<bool>())
        .prop_map(|(lanes, pinned, connects, window, rebind_bytes, by_time)| Options {
            lanes,
            lanes_max: 6,
            one_lane_per_endpoint: pinned,
            concurrent_connects_max: connects,
            in_flight_batches_max: window,
            in_flight_bytes_max: 150_000,
            rebind_bytes,
            rebind_interval: by_time.then_some(Duration::from_secs(7)),
            ..Options::default()
        })
}

/// What the driver believes: where each token is.
struct Model {
    options: Options,
    fleet: Fleet,
    now: Moment,
    next_token: u64,
    lanes: BTreeMap<LaneId, Vec<Batch>>,
}

impl Model {
    fn new(options: Options, seed: u64) -> Self {
        let fleet = Fleet::new(Moment(0), options.clone(), seed);
        Self { options, fleet, now: Moment(0), next_token: 0, lanes: BTreeMap::new() }
    }

    fn apply(&mut self, step: &Step) {
        let now = self.now;
        match *step {
            Step::Acknowledge { lane, token } => {
                let lane = LaneId(lane);
                let known = self.take(lane, |batch| batch.token == token).is_some();
                assert_eq!(self.fleet.handle_acknowledged(now, lane, token), known);
            }
            Step::AcknowledgeOldest { lane } => {
                if let Some(batch) = self.take(LaneId(lane), |_| true) {
                    assert!(self.fleet.handle_acknowledged(now, LaneId(lane), batch.token));
                }
            }
            Step::Assign { bytes, endpoint } => {
                let batch = Batch { token: self.next_token, bytes, records: bytes / 10 };
                let allowed = endpoint.map(|endpoint| [EndpointId(endpoint)]);
                let allowed = allowed.as_ref().map(|allowed| allowed.as_slice());
                if let Some(lane) = self.fleet.assign(now, batch, allowed) {
                    self.next_token += 1;
                    self.lanes.entry(lane).or_default().push(batch);
                }
            }
            Step::Closed { lane, clean } => self.closed(LaneId(lane), clean),
            Step::Connected { lane } => self.fleet.handle_connected(now, LaneId(lane)),
            Step::Endpoints { count, port } => {
                let endpoints: Vec<Endpoint> = (0..count).map(|id| endpoint(id, port)).collect();
                self.fleet.set_endpoints(now, &endpoints).unwrap();
            }
            Step::Failed { lane } => self.fleet.handle_connecting_failed(now, LaneId(lane)),
            Step::Obey => self.obey(),
            Step::Progress { lane } => self.fleet.handle_progress(now, LaneId(lane)),
            Step::Ready { lane } => self.fleet.handle_ready(now, LaneId(lane)),
            Step::Resolved { endpoint: id, port, first, count } => {
                let addresses: Vec<_> = (first..first + count).map(address).collect();
                self.fleet.handle_resolved(now, &endpoint(id, port), &addresses);
            }
            Step::ReturnOldest { lane } => {
                if let Some(batch) = self.take(LaneId(lane), |_| true) {
                    assert!(self.fleet.handle_returned(now, LaneId(lane), batch.token));
                }
            }
            Step::Shutdown => self.fleet.shutdown(now),
            Step::Wait { milliseconds } => {
                self.now = now.after(Duration::from_millis(milliseconds));
                self.fleet.handle_timeout(self.now);
            }
            Step::WaitForTimer => {
                if let Some(at) = self.fleet.poll_timeout() {
                    self.now = at;
                    self.fleet.handle_timeout(at);
                }
            }
        }
    }

    /// Does what the fleet asks for, as a network without faults would.
    fn obey(&mut self) {
        while let Some(action) = self.fleet.poll_action() {
            match action {
                Action::Close { lane, reason } => {
                    let is_empty = self.lanes.get(&lane).is_none_or(Vec::is_empty);
                    assert!(!reason.is_clean() || is_empty, "{reason:?} leaves batches in doubt");
                    self.closed(lane, true);
                }
                Action::Connect { lane, .. } => {
                    self.fleet.handle_connected(self.now, lane);
                    self.fleet.handle_ready(self.now, lane);
                }
                Action::Heartbeat { lane } => self.fleet.handle_progress(self.now, lane),
                Action::Resolve(endpoint) => {
                    let first = endpoint.0 as usize;
                    let addresses = [address(first), address(first + 1)];
                    if let Some(asked) = self.fleet.endpoint(endpoint).cloned() {
                        self.fleet.handle_resolved(self.now, &asked, &addresses);
                    }
                }
            }
        }
    }

    fn closed(&mut self, lane: LaneId, clean: bool) {
        let tokens = self.fleet.handle_closed(self.now, lane, clean);
        if !tokens.is_empty() {
            let expected: Vec<u64> =
                self.lanes.remove(&lane).unwrap().iter().map(|batch| batch.token).collect();
            assert_eq!(tokens, expected);
        }
    }

    fn take(&mut self, lane: LaneId, wanted: impl Fn(&Batch) -> bool) -> Option<Batch> {
        let batches = self.lanes.get_mut(&lane)?;
        let position = batches.iter().position(wanted)?;
        Some(batches.remove(position))
    }

    fn check(&self) {
        let mut lanes = 0;
        for view in self.fleet.lanes() {
            lanes += 1;
            let here = self.lanes.get(&view.id).map_or(&[][..], Vec::as_slice);
            let bytes: u64 = here.iter().map(|batch| u64::from(batch.bytes)).sum();
            assert_eq!((view.in_flight_batches, view.in_flight_bytes), (here.len(), bytes));
            assert!(here.len() <= self.options.in_flight_batches_max);
            assert!(bytes <= self.options.in_flight_bytes_max || here.len() == 1);
        }
        assert!(lanes <= 6, "{lanes} slots");
        let by_candidate: usize =
            self.fleet.candidates().map(|candidate| candidate.in_flight_batches).sum();
        assert_eq!(by_candidate, self.lanes.values().map(Vec::len).sum::<usize>());
        let settled = self.fleet.lanes.iter().filter(|lane| lane.is_settled()).count();
        assert_eq!(
            self.fleet.candidates().map(|candidate| candidate.lanes).sum::<usize>(),
            settled
        );
        let connecting = self.fleet.lanes.iter().filter(|lane| lane.is_connecting()).count();
        assert!(connecting <= self.options.concurrent_connects_max, "{connecting} connect at once");
        assert!(self.fleet.poll_timeout().is_none_or(|at| at > self.now), "a timer in the past");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_sequence_of_events_keeps_the_promises(
        options in options(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut model = Model::new(options, seed);
        model.apply(&Step::Endpoints { count: 3, port: 1 });
        for step in &steps {
            model.apply(step);
            model.check();
        }
        // However it got there, it ends: what is in flight is handed back or drained.
        model.apply(&Step::Shutdown);
        for _ in 0..50 {
            model.obey();
            model.apply(&Step::Wait { milliseconds: 3_000 });
            model.check();
        }
        prop_assert!(model.fleet.is_idle());
    }
}
