//! Events in any order, fitting or not, against the fleet: nothing panics, every token is in exactly
//! one place, windows hold, no timer lies in the past, and shutdown always ends.
//!
//! Input: 4 bytes of options, then one event per 3 bytes (kind, lane or endpoint, argument).

#![no_main]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use logdrive::ids::EndpointId;
use logdrive::ids::LaneId;
use logdrive::ids::Moment;
use logdrive::proto::fleet::Action;
use logdrive::proto::fleet::Batch;
use logdrive::proto::fleet::Endpoint;
use logdrive::proto::fleet::Fleet;
use logdrive::proto::fleet::Options;

fuzz_target!(|data: &[u8]| {
    let Some((options, events)) = data.split_first_chunk::<4>() else { return };
    let mut driver = Driver::new(options);
    driver.apply(0, 3, 0);
    for event in events.chunks_exact(3) {
        driver.apply(event[0], event[1], event[2]);
        driver.check();
    }
    driver.fleet.shutdown(driver.now);
    for _ in 0..50 {
        driver.obey();
        driver.wait(Duration::from_secs(3));
    }
    assert!(driver.fleet.is_idle());
});

struct Driver {
    options: Options,
    fleet: Fleet,
    now: Moment,
    next_token: u64,
    lanes: BTreeMap<LaneId, Vec<Batch>>,
}

impl Driver {
    fn new(bytes: &[u8; 4]) -> Self {
        let options = Options {
            lanes: usize::from(bytes[0] % 6),
            lanes_max: 8,
            one_lane_per_endpoint: bytes[1] & 1 == 1,
            rebind_bytes: (bytes[1] & 2 == 2).then_some(100_000),
            rebind_records: (bytes[1] & 4 == 4).then_some(5_000),
            rebind_interval: (bytes[1] & 8 == 8).then_some(Duration::from_secs(7)),
            concurrent_connects_max: usize::from(bytes[1] >> 6) + 1,
            in_flight_batches_max: usize::from(bytes[2] % 6) + 1,
            in_flight_bytes_max: 150_000,
            ..Options::default()
        };
        let fleet = Fleet::new(Moment(0), options.clone(), u64::from(bytes[3]));
        Self { options, fleet, now: Moment(0), next_token: 0, lanes: BTreeMap::new() }
    }

    fn apply(&mut self, kind: u8, number: u8, argument: u8) {
        let now = self.now;
        let lane = LaneId(u32::from(number));
        let endpoint = EndpointId(u32::from(number % 8));
        match kind % 14 {
            0 => self.set_endpoints(number % 8, argument),
            1 => self.obey(),
            2 => self.assign(u32::from(argument) * 500, None),
            3 => self.assign(u32::from(argument) * 500, Some(&[endpoint])),
            4 => {
                if let Some(batch) = self.take(lane, argument) {
                    assert!(self.fleet.handle_acknowledged(now, lane, batch.token));
                }
            }
            5 => {
                if let Some(batch) = self.take(lane, argument) {
                    assert!(self.fleet.handle_returned(now, lane, batch.token));
                }
            }
            6 => self.closed(lane, argument & 1 == 0),
            7 => self.fleet.handle_connected(now, lane),
            8 => self.fleet.handle_ready(now, lane),
            9 => self.fleet.handle_connecting_failed(now, lane),
            10 => self.fleet.handle_progress(now, lane),
            11 => self.resolved(endpoint, argument),
            12 => self.wait(Duration::from_millis(u64::from(number) * u64::from(argument))),
            _ => {
                if let Some(at) = self.fleet.poll_timeout() {
                    self.now = at;
                    self.fleet.handle_timeout(at);
                }
            }
        }
    }

    fn set_endpoints(&mut self, count: u8, port: u8) {
        let endpoints: Vec<Endpoint> = (0..u32::from(count))
            .map(|id| Endpoint { id: EndpointId(id), host: format!("h{id}"), port: port.into() })
            .collect();
        self.fleet.set_endpoints(self.now, &endpoints).unwrap();
    }

    fn resolved(&mut self, endpoint: EndpointId, argument: u8) {
        let addresses: Vec<SocketAddr> = (argument >> 4..(argument >> 4) + (argument & 7))
            .map(|last| SocketAddr::from(([10, 0, 0, last], 9092)))
            .collect();
        // An answer that fits; for an endpoint that is gone one that does not.
        let known = self.fleet.endpoint(endpoint).cloned();
        let asked = known.unwrap_or(Endpoint { id: endpoint, host: "gone".to_owned(), port: 1 });
        self.fleet.handle_resolved(self.now, &asked, &addresses);
    }

    fn assign(&mut self, bytes: u32, endpoints: Option<&[EndpointId]>) {
        let batch = Batch { token: self.next_token, bytes, records: bytes / 100 };
        if let Some(lane) = self.fleet.assign(self.now, batch, endpoints) {
            self.next_token += 1;
            self.lanes.entry(lane).or_default().push(batch);
        }
    }

    fn obey(&mut self) {
        while let Some(action) = self.fleet.poll_action() {
            match action {
                Action::Close { lane, reason } => {
                    let is_empty = self.lanes.get(&lane).is_none_or(Vec::is_empty);
                    assert!(!reason.is_clean() || is_empty);
                    self.closed(lane, true);
                }
                Action::Connect { lane, .. } => self.fleet.handle_ready(self.now, lane),
                Action::Heartbeat { lane } => self.fleet.handle_progress(self.now, lane),
                Action::Resolve(endpoint) => self.resolved(endpoint, 0x12),
            }
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.fleet.handle_timeout(self.now);
    }

    fn closed(&mut self, lane: LaneId, clean: bool) {
        let tokens = self.fleet.handle_closed(self.now, lane, clean);
        if !tokens.is_empty() {
            let expected = self.lanes.remove(&lane).unwrap();
            assert!(expected.iter().map(|batch| batch.token).eq(tokens));
        }
    }

    fn take(&mut self, lane: LaneId, position: u8) -> Option<Batch> {
        let batches = self.lanes.get_mut(&lane).filter(|batches| !batches.is_empty())?;
        Some(batches.remove(usize::from(position) % batches.len()))
    }

    fn check(&self) {
        for view in self.fleet.lanes() {
            let here = self.lanes.get(&view.id).map_or(&[][..], Vec::as_slice);
            let bytes: u64 = here.iter().map(|batch| u64::from(batch.bytes)).sum();
            assert_eq!((view.in_flight_batches, view.in_flight_bytes), (here.len(), bytes));
            assert!(here.len() <= self.options.in_flight_batches_max);
            assert!(bytes <= self.options.in_flight_bytes_max || here.len() == 1);
        }
        assert!(self.fleet.lanes().count() <= 8, "slots are reused");
        assert!(self.fleet.poll_timeout().is_none_or(|at| at > self.now));
    }
}
