//! Which batch goes to which lane next.
//!
//! Order of precedence: batches in doubt and refused ones (they are older), then those that are held for their
//! partition or their topic, then new ones. A partition whose leader is away, slow or silent gets nothing new and
//! holds nothing up, nor does a topic that takes nothing (for longer than a moment, where it has a leader): only what
//! must go there waits.

use crate::config::TargetMode;
use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::placement;
use crate::pipeline::placement::place;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::Connection;
use crate::pipeline::sender::flights::Flight;
use crate::pipeline::sender::parked::HELD_MAX;
use crate::pipeline::sender::payload::Payload;
use crate::pipeline::sender::spaces::SpaceId;
use crate::proto::fleet;
use crate::spool::Binding;
use crate::spool::Frame;

/// Where a batch may go.
enum Place {
    /// To this lane, bound in this space; the lane is taken.
    Here(LaneId, SpaceId),
    /// Nowhere now, and later to this partition, if that is decided.
    Later(Option<i32>),
}

impl Sender {
    /// Gives batches to lanes until no lane, or no batch, is left.
    pub(super) fn dispatch(&mut self, now: Moment) {
        self.flights.look(now);
        self.renumber(now);
        for id in self.spaces.ids() {
            self.resend(now, id);
            self.send_held(now, id);
        }
        self.send_waiting(now);
        for topic in self.parked.topics() {
            while self.send_parked(now, &topic) {}
        }
        while self.send_next(now) {
            self.parked.start_waiting_anew();
        }
    }

    /// Sends batches again that wait for any lane, in receivers mode.
    fn send_waiting(&mut self, now: Moment) {
        let waiting: Vec<u64> = self.flights.waiting().collect();
        for token in waiting {
            let Some(payload) = self.payload(token) else { continue };
            if let Some(lane) = self.assign(now, token, &payload, None) {
                self.flights.stop_waiting(token);
                self.transmit(now, lane, token);
            }
        }
    }

    /// Sends again what a partition's sequence space asks for: lowest sequence first, one at a time.
    fn resend(&mut self, now: Moment, id: SpaceId) {
        let space = self.spaces.get(id);
        if space.resend_at.is_some_and(|at| at > now) {
            return;
        }
        space.resend_at = None;
        let Some(leader) = space.leader else { return };
        let Some((token, _)) = space.sequences.as_mut().and_then(|held| held.next_resend()) else {
            return;
        };
        let Some(payload) = self.payload(token) else { return };
        match self.assign(now, token, &payload, Some(&[leader])) {
            Some(lane) => self.transmit(now, lane, token),
            // It could not be sent after all; what is known of its fate stays as it was.
            None => {
                if let Some(sequences) = &mut self.spaces.get(id).sequences {
                    let known = sequences.reject_not_appended(token);
                    debug_assert!(known.is_ok(), "the token came from this space");
                }
            }
        }
    }

    /// Sends what is held for a partition: what is bound already alone, the rest as the window allows.
    fn send_held(&mut self, now: Moment, id: SpaceId) {
        loop {
            let space = self.spaces.get(id);
            let is_paused = space.resend_at.is_some_and(|at| at > now);
            let (Some(leader), Some(token)) = (space.leader, space.held.front().copied()) else {
                return;
            };
            let Some(flight) = self.flights.get(token).cloned() else { return };
            let records = flight.records_left();
            let is_bound = flight.binding.is_some();
            if is_paused
                || flight.lane.is_some()
                || (!is_bound && !self.spaces.may_bind(id, records))
            {
                return;
            }
            let Some(lane) = self.assign(now, token, &flight.payload(), Some(&[leader])) else {
                return;
            };
            if is_bound {
                return self.transmit(now, lane, token);
            }
            self.spaces.get(id).let_go(token);
            self.set_out(now, lane, token, id);
        }
    }

    /// Sends the next batch of the spools; false where there is none, or no place for it.
    fn send_next(&mut self, now: Moment) -> bool {
        let Some(next) = self.flights.peek() else {
            self.parked.start_waiting_anew();
            return false;
        };
        let frame = next.frame.clone();
        if self.spaces.want_topic(frame.topic()) {
            self.inquiry.refresh_at_once();
            self.ask_cluster(now);
        }
        // A binding to a partition means nothing to receivers, who have one each.
        let is_fleet = self.settings.target.mode == TargetMode::Receivers;
        if let Some(binding) = frame.binding()
            && binding.producer_id >= 0
            && (binding.partition == 0 || !is_fleet)
        {
            return self.adopt_bound(now, &frame, binding);
        }
        if !is_fleet && !self.spaces.is_writable(frame.topic()) {
            return self.park_next(&frame);
        }
        if self.parked.holds(frame.topic()) {
            return self.puts_next_aside(now, &frame, true) && self.park_next(&frame);
        }
        let token = self.flights.next_token();
        match self.place(now, token, &frame) {
            Place::Here(lane, id) => {
                let Some(next) = self.flights.take_next() else { return false };
                let partition = self.spaces.get(id).partition;
                self.flights.insert(token, next.set_out(partition, None));
                self.set_out(now, lane, token, id);
                true
            }
            Place::Later(Some(partition)) => self.hold_next(now, &frame, partition),
            // Any receiver takes any batch: where none does, there is none for what comes behind it either.
            Place::Later(None) if is_fleet => false,
            Place::Later(None) => {
                self.puts_next_aside(now, &frame, false) && self.park_next(&frame)
            }
        }
    }

    /// Sends the oldest batch that waits for `topic`; false where there is none, or no place for it.
    fn send_parked(&mut self, now: Moment, topic: &str) -> bool {
        let Some(token) = self.parked.front(topic) else { return false };
        let Some(flight) = self.flights.get(token) else {
            // The quota gave it up meanwhile.
            self.parked.pop(topic);
            return true;
        };
        let frame = flight.frame.clone();
        if !self.spaces.is_writable(topic) {
            return false;
        }
        let place = self.place(now, token, &frame);
        let id = match place {
            Place::Here(_, id) => id,
            Place::Later(Some(partition)) => self.spaces.of_partition(topic, partition),
            Place::Later(None) => return false,
        };
        let partition = self.spaces.get(id).partition;
        if let Some(flight) = self.flights.get_mut(token) {
            flight.partition = partition;
        }
        self.parked.pop(topic);
        match place {
            Place::Here(lane, id) => self.set_out(now, lane, token, id),
            Place::Later(_) => self.spaces.get(id).hold(token),
        }
        true
    }

    /// Where a batch that has no place yet may go now.
    fn place(&mut self, now: Moment, token: u64, frame: &Frame) -> Place {
        let fixed = match self.settings.target.mode {
            TargetMode::Receivers => None,
            TargetMode::Kafka => {
                let count = self.spaces.partition_count(frame.topic());
                let Ok(fixed) = place(frame.partition(), count) else { return Place::Later(None) };
                fixed.map(|partition| self.spaces.present(frame.topic(), partition))
            }
        };
        let open = self.spaces.open_for(frame.topic(), fixed, frame.record_count());
        if open.is_empty() {
            return Place::Later(fixed);
        }
        let leaders: Vec<EndpointId> =
            open.iter().filter_map(|id| self.spaces.get(*id).leader).collect();
        let payload = Payload::Stored(frame.clone());
        match self.assign(now, token, &payload, self.only(&leaders)) {
            Some(lane) => Place::Here(lane, self.emptiest(&open, lane)),
            None => Place::Later(fixed),
        }
    }

    /// Binds and sends a batch that the fleet has given a lane, as its topic takes it.
    fn set_out(&mut self, now: Moment, lane: LaneId, token: u64, id: SpaceId) {
        if self.prepare(token) {
            self.bind_and_send(now, lane, token, id);
        } else {
            self.fleet.handle_returned(now, lane, token);
        }
    }

    /// Puts the next batch aside until its topic takes it; false where too many are put aside.
    fn park_next(&mut self, frame: &Frame) -> bool {
        if !self.has_room_aside() {
            return false;
        }
        let Some(next) = self.flights.take_next() else { return false };
        let token = self.flights.next_token();
        self.flights.insert(token, next.set_out(placement::ANY, None));
        self.parked.push(frame.topic(), token);
        true
    }

    /// A batch that an earlier process bound keeps its numbers and goes to its partition. There are
    /// only as many as its windows allowed, so all of them may wait at once.
    fn adopt_bound(&mut self, now: Moment, frame: &Frame, binding: Binding) -> bool {
        let id = self.spaces.of_partition(frame.topic(), binding.partition);
        let Some(next) = self.flights.take_next() else { return false };
        let token = self.flights.next_token();
        self.flights.insert(token, next.set_out(binding.partition, Some(binding)));
        if !self.prepare(token) {
            return true;
        }
        match self.settings.target.mode {
            TargetMode::Receivers => {
                self.flights.wait(token);
                self.send_waiting(now);
            }
            TargetMode::Kafka => {
                self.spaces.get(id).hold(token);
                self.send_held(now, id);
            }
        }
        true
    }

    /// Puts the next batch aside until its partition takes it, so that others need not wait; false
    /// where too many are put aside.
    fn hold_next(&mut self, now: Moment, frame: &Frame, partition: i32) -> bool {
        if self.settings.target.mode == TargetMode::Receivers {
            return false;
        }
        let id = self.spaces.of_partition(frame.topic(), partition);
        let held = self.spaces.get(id).held.len();
        if held >= HELD_MAX && !self.puts_next_aside(now, frame, held > HELD_MAX) {
            return false;
        }
        let Some(next) = self.flights.take_next() else { return false };
        let token = self.flights.next_token();
        self.flights.insert(token, next.set_out(partition, None));
        self.spaces.get(id).hold(token);
        true
    }

    /// Of the spaces whose leader the lane is bound to, the one with the fewest bytes on their way;
    /// among equals the one that was not used for longest.
    fn emptiest(&mut self, open: &[SpaceId], lane: LaneId) -> SpaceId {
        let endpoint = self.connection(lane).map(|connection| connection.target.endpoint);
        let led = open.iter().copied().filter(|id| {
            let leader = self.spaces.get(*id).leader;
            leader.is_none() || leader == endpoint
        });
        let candidates: Vec<SpaceId> = led.collect();
        let key = |id: &SpaceId| {
            let space = self.spaces.get(*id);
            (space.unacknowledged_bytes, space.used_at)
        };
        candidates.into_iter().min_by_key(key).unwrap_or(open[0])
    }

    /// Asks the fleet for a lane; with `leaders`, only one bound to one of them will do, and only one
    /// whose broker does not want silence.
    pub(super) fn assign(
        &mut self,
        now: Moment,
        token: u64,
        payload: &Payload,
        leaders: Option<&[EndpointId]>,
    ) -> Option<LaneId> {
        let (bytes, records) = (payload.bytes() as u32, payload.record_count());
        let batch = fleet::Batch { token, bytes, records };
        let Some(leaders) = leaders else { return self.fleet.assign(now, batch, None) };
        let connections = || self.connections.iter().flatten();
        let is_muted = |leader: &EndpointId| {
            connections()
                .any(|connection| connection.target.endpoint == *leader && connection.is_muted())
        };
        if connections().any(Connection::is_muted) {
            let speaking: Vec<_> = leaders.iter().copied().filter(|id| !is_muted(id)).collect();
            return self.fleet.assign(now, batch, Some(&speaking));
        }
        self.fleet.assign(now, batch, Some(leaders))
    }

    /// In receivers mode every receiver will do.
    fn only<'a>(&self, leaders: &'a [EndpointId]) -> Option<&'a [EndpointId]> {
        (self.settings.target.mode == TargetMode::Kafka).then_some(leaders)
    }

    fn payload(&self, token: u64) -> Option<Payload> {
        self.flights.get(token).map(Flight::payload)
    }
}
