//! A network in virtual time: receivers that answer late, die, freeze or crawl, names that change,
//! and hosts (a fleet with a trivial driver each) that offer batches at a steady rate.
//!
//! Invariants: one seed, one run; each batch is queued at its host, in flight on one lane, or done.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::proto::fleet::Action;
use crate::proto::fleet::Batch;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::Endpoint;
use crate::proto::fleet::Fleet;
use crate::proto::fleet::Options;
use crate::proto::fleet::random::Random;

pub(super) struct Receiver {
    pub(super) is_up: bool,
    pub(super) is_frozen: bool,
    pub(super) latency: Duration,
    pub(super) bytes_per_second: u64,
    busy_until: Moment,
    /// Rises when the receiver dies, which ends the connections made before.
    life: u32,
    pub(super) bytes: u64,
    /// Attempts to connect, by second.
    pub(super) connects: Vec<u32>,
}

struct Connection {
    receiver: usize,
    life: u32,
    serial: u64,
}

pub(super) struct Host {
    pub(super) fleet: Fleet,
    connections: BTreeMap<LaneId, Connection>,
    closing: BTreeMap<LaneId, CloseReason>,
    queue: VecDeque<(Batch, Moment)>,
    sizes: BTreeMap<u64, Batch>,
    next_token: u64,
    next_wake: Option<Moment>,
    offer_every: Duration,
    pub(super) done: HashSet<u64>,
    pub(super) closes: Vec<(Moment, CloseReason)>,
    /// Batches whose fate was unknown when a lane was closed for a clean reason.
    pub(super) doubtful_by_rebinding: usize,
    pub(super) doubtful: usize,
    /// The longest that a batch waited for a lane, since the test last set it to zero.
    pub(super) longest_wait: Duration,
    /// The most lanes that were on their way at one time.
    pub(super) moving_most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Offer(usize),
    Wake(usize),
    Resolved(usize, EndpointId),
    Connected(usize, LaneId, u64),
    Ready(usize, LaneId, u64),
    Refused(usize, LaneId, u64),
    Arrived(usize, LaneId, u64, u64),
    Acknowledged(usize, LaneId, u64, u64),
    Answered(usize, LaneId, u64),
    Closed(usize, LaneId),
    Broken(usize, LaneId, u64),
}

pub(super) struct Network {
    pub(super) seed: u64,
    pub(super) now: Moment,
    pub(super) receivers: Vec<Receiver>,
    pub(super) hosts: Vec<Host>,
    /// What each name resolves to: receivers' numbers. A name that is missing does not resolve.
    pub(super) names: BTreeMap<EndpointId, Vec<usize>>,
    pub(super) resolver_delay: Duration,
    pub(super) resolves: usize,
    random: Random,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    serial: u64,
}

impl Network {
    pub(super) fn new(seed: u64, receivers: usize) -> Self {
        let mut network = Self {
            seed,
            now: Moment(1_000_000_000),
            receivers: Vec::new(),
            hosts: Vec::new(),
            names: BTreeMap::new(),
            resolver_delay: Duration::from_millis(2),
            resolves: 0,
            random: Random::new(seed),
            events: BinaryHeap::new(),
            serial: 0,
        };
        (0..receivers).for_each(|_| network.add_receiver());
        network
    }

    pub(super) fn add_receiver(&mut self) {
        self.receivers.push(Receiver {
            is_up: true,
            is_frozen: false,
            latency: Duration::from_millis(2),
            bytes_per_second: 400_000_000,
            busy_until: self.now,
            life: 0,
            bytes: 0,
            connects: Vec::new(),
        });
    }

    /// Adds a host that offers a batch of about 100 kB every `offer_every` to endpoint 0, whose name
    /// resolves to all receivers, unless the test has set names before.
    pub(super) fn add_host(&mut self, options: Options, offer_every: Duration) {
        if self.names.is_empty() {
            self.names.insert(EndpointId(0), (0..self.receivers.len()).collect());
        }
        let seed = self.random.next_u64();
        let mut fleet = Fleet::new(self.now, options, seed);
        fleet.set_endpoints(self.now, &endpoints(self.names.keys())).unwrap();
        self.hosts.push(Host {
            fleet,
            connections: BTreeMap::new(),
            closing: BTreeMap::new(),
            queue: VecDeque::new(),
            sizes: BTreeMap::new(),
            next_token: 0,
            next_wake: None,
            offer_every,
            done: HashSet::new(),
            closes: Vec::new(),
            doubtful_by_rebinding: 0,
            doubtful: 0,
            longest_wait: Duration::ZERO,
            moving_most: 0,
        });
        let host = self.hosts.len() - 1;
        let first = self.random.up_to(offer_every);
        self.after(first, Event::Offer(host));
        self.pump(host);
    }

    pub(super) fn kill(&mut self, receiver: usize) {
        self.receivers[receiver].is_up = false;
        self.receivers[receiver].life += 1;
        let mut broken = Vec::new();
        for (number, host) in self.hosts.iter().enumerate() {
            for (lane, connection) in &host.connections {
                if connection.receiver == receiver {
                    broken.push(Event::Broken(number, *lane, connection.serial));
                }
            }
        }
        for event in broken {
            let delay = self.random.up_to(Duration::from_millis(5));
            self.after(delay, event);
        }
    }

    pub(super) fn restart(&mut self, receiver: usize) {
        self.receivers[receiver].is_up = true;
        self.receivers[receiver].is_frozen = false;
        self.receivers[receiver].busy_until = self.now;
    }

    pub(super) fn stop_offering(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.offer_every = Duration::ZERO);
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(Reverse((at, _, event))) = self.events.peek().copied() {
            if at > end {
                break;
            }
            self.events.pop();
            self.now = at;
            let host = self.happen(event);
            self.pump(host);
        }
        self.now = end;
    }

    /// Runs until every batch that was offered is acknowledged.
    pub(super) fn settle(&mut self) {
        self.stop_offering();
        for _ in 0..120 {
            self.run(Duration::from_secs(1));
            if self.hosts.iter().all(|host| host.done.len() as u64 == host.next_token) {
                return;
            }
        }
        panic!("seed {}: batches are left over two minutes after the last", self.seed);
    }

    /// Bytes that each receiver took while `duration` passed.
    pub(super) fn shares_over(&mut self, duration: Duration) -> Vec<u64> {
        let before: Vec<u64> = self.receivers.iter().map(|receiver| receiver.bytes).collect();
        self.run(duration);
        self.receivers
            .iter()
            .zip(before)
            .map(|(receiver, before)| receiver.bytes - before)
            .collect()
    }

    fn happen(&mut self, event: Event) -> usize {
        let now = self.now;
        match event {
            Event::Offer(host) => self.offer(host),
            Event::Wake(number) => {
                let host = &mut self.hosts[number];
                host.next_wake = None;
                host.fleet.handle_timeout(now);
            }
            Event::Resolved(number, endpoint) => {
                let addresses: Vec<SocketAddr> =
                    self.names.get(&endpoint).into_iter().flatten().copied().map(address).collect();
                let asked = &endpoints([endpoint].iter())[0];
                self.hosts[number].fleet.handle_resolved(now, asked, &addresses);
            }
            Event::Connected(number, lane, serial) => {
                if self.is_alive(number, lane, serial) {
                    self.hosts[number].fleet.handle_connected(now, lane);
                }
            }
            Event::Ready(number, lane, serial) => {
                if self.is_alive(number, lane, serial) {
                    self.hosts[number].fleet.handle_ready(now, lane);
                }
            }
            Event::Refused(number, lane, serial) => {
                if self.take_connection(number, lane, serial) {
                    self.hosts[number].fleet.handle_connecting_failed(now, lane);
                }
            }
            Event::Arrived(number, lane, serial, token) => self.arrive(number, lane, serial, token),
            Event::Acknowledged(number, lane, serial, token) => {
                if self.is_alive(number, lane, serial) {
                    let host = &mut self.hosts[number];
                    assert!(host.fleet.handle_acknowledged(now, lane, token), "seed {}", self.seed);
                    assert!(host.done.insert(token), "acknowledged twice, seed {}", self.seed);
                    host.sizes.remove(&token);
                }
            }
            Event::Answered(number, lane, serial) => {
                if self.is_alive(number, lane, serial) {
                    self.hosts[number].fleet.handle_progress(now, lane);
                }
            }
            Event::Closed(number, lane) => {
                let reason = self.hosts[number].closing.remove(&lane);
                self.hosts[number].connections.remove(&lane);
                self.closed(number, lane, reason);
            }
            Event::Broken(number, lane, serial) => {
                if self.take_connection(number, lane, serial) {
                    self.closed(number, lane, None);
                }
            }
        }
        match event {
            Event::Offer(host)
            | Event::Wake(host)
            | Event::Resolved(host, _)
            | Event::Connected(host, ..)
            | Event::Ready(host, ..)
            | Event::Refused(host, ..)
            | Event::Arrived(host, ..)
            | Event::Acknowledged(host, ..)
            | Event::Answered(host, ..)
            | Event::Closed(host, _)
            | Event::Broken(host, ..) => host,
        }
    }

    fn offer(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        if host.offer_every.is_zero() {
            return;
        }
        let bytes = 50_000 + self.random.below(100_000) as u32;
        let batch = Batch { token: host.next_token, bytes, records: bytes / 100 };
        host.next_token += 1;
        host.sizes.insert(batch.token, batch);
        host.queue.push_back((batch, self.now));
        let next = host.offer_every;
        self.after(next, Event::Offer(number));
    }

    fn arrive(&mut self, number: usize, lane: LaneId, serial: u64, token: u64) {
        if !self.is_alive(number, lane, serial) {
            return;
        }
        let Some(batch) = self.hosts[number].sizes.get(&token).copied() else { return };
        let receiver = &mut self.receivers[self.hosts[number].connections[&lane].receiver];
        if receiver.is_frozen {
            return;
        }
        let work = u64::from(batch.bytes) * 1_000_000_000 / receiver.bytes_per_second;
        receiver.bytes += u64::from(batch.bytes);
        receiver.busy_until = receiver.busy_until.max(self.now).after(Duration::from_nanos(work));
        let answer = receiver.busy_until.since(self.now) + receiver.latency / 2;
        self.after(answer, Event::Acknowledged(number, lane, serial, token));
    }

    fn closed(&mut self, number: usize, lane: LaneId, reason: Option<CloseReason>) {
        let host = &mut self.hosts[number];
        let tokens = host.fleet.handle_closed(self.now, lane, false);
        host.doubtful += tokens.len();
        if reason.is_some_and(CloseReason::is_clean) {
            host.doubtful_by_rebinding += tokens.len();
        }
        for token in tokens.into_iter().rev() {
            host.queue.push_front((host.sizes[&token], self.now));
        }
    }

    /// Does what the host's fleet asks for and places what it can.
    fn pump(&mut self, number: usize) {
        loop {
            while let Some(action) = self.hosts[number].fleet.poll_action() {
                self.act(number, action);
            }
            let host = &mut self.hosts[number];
            let Some((batch, since)) = host.queue.front().copied() else { break };
            let Some(lane) = host.fleet.assign(self.now, batch, None) else { break };
            host.queue.pop_front();
            host.longest_wait = host.longest_wait.max(self.now.since(since));
            let connection = &host.connections[&lane];
            let (serial, delay) =
                (connection.serial, self.receivers[connection.receiver].latency / 2);
            self.after(delay, Event::Arrived(number, lane, serial, batch.token));
        }
        let host = &mut self.hosts[number];
        let moving = host.fleet.lanes.iter().filter(|lane| lane.is_moving).count();
        host.moving_most = host.moving_most.max(moving);
        if let Some(at) = host.fleet.poll_timeout() {
            assert!(at > self.now, "seed {}: a timer in the past", self.seed);
            if host.next_wake.is_none_or(|wake| at < wake) {
                host.next_wake = Some(at);
                self.after(at.since(self.now), Event::Wake(number));
            }
        }
    }

    fn act(&mut self, number: usize, action: Action) {
        match action {
            Action::Resolve(endpoint) => {
                self.resolves += 1;
                self.after(self.resolver_delay, Event::Resolved(number, endpoint));
            }
            Action::Connect { lane, target } => {
                let receiver = receiver_at(target.address);
                let serial = self.serial;
                let second = (self.now.0 / 1_000_000_000) as usize;
                let there = &mut self.receivers[receiver];
                there.connects.resize(there.connects.len().max(second + 1), 0);
                there.connects[second] += 1;
                let (is_up, life, latency) = (there.is_up, there.life, there.latency);
                let connection = Connection { receiver, life, serial };
                self.hosts[number].connections.insert(lane, connection);
                if is_up {
                    self.after(latency, Event::Connected(number, lane, serial));
                    self.after(2 * latency, Event::Ready(number, lane, serial));
                } else {
                    self.after(latency, Event::Refused(number, lane, serial));
                }
            }
            Action::Heartbeat { lane } => {
                let connection = &self.hosts[number].connections[&lane];
                let receiver = &self.receivers[connection.receiver];
                if !receiver.is_frozen {
                    let serial = connection.serial;
                    self.after(receiver.latency, Event::Answered(number, lane, serial));
                }
            }
            Action::Close { lane, reason } => {
                let host = &mut self.hosts[number];
                host.closes.push((self.now, reason));
                host.closing.insert(lane, reason);
                host.connections.remove(&lane);
                self.after(Duration::ZERO, Event::Closed(number, lane));
            }
        }
    }

    fn is_alive(&self, number: usize, lane: LaneId, serial: u64) -> bool {
        self.hosts[number].connections.get(&lane).is_some_and(|connection| {
            connection.serial == serial
                && connection.life == self.receivers[connection.receiver].life
        })
    }

    fn take_connection(&mut self, number: usize, lane: LaneId, serial: u64) -> bool {
        let connections = &mut self.hosts[number].connections;
        let is_same = connections.get(&lane).is_some_and(|found| found.serial == serial);
        is_same && connections.remove(&lane).is_some()
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.serial += 1;
        self.events.push(Reverse((self.now.after(delay), self.serial, event)));
    }
}

pub(super) fn endpoints<'a>(ids: impl Iterator<Item = &'a EndpointId>) -> Vec<Endpoint> {
    ids.map(|id| Endpoint { id: *id, host: format!("receiver-{}", id.0), port: 9092 }).collect()
}

pub(super) fn address(receiver: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(receiver).unwrap()], 9092))
}

pub(super) fn receiver_at(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => usize::from(ip.octets()[3]),
        std::net::IpAddr::V6(_) => unreachable!("the simulation hands out IPv4 only"),
    }
}

pub(super) fn ratio(shares: &[u64]) -> f64 {
    *shares.iter().max().unwrap() as f64 / (*shares.iter().min().unwrap()).max(1) as f64
}

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One of these for each test that draws anything.
pub(super) const SEEDS: [u64; 4] = [1, 0xfeed, 42_424_242, u64::MAX];
