//! Which batch goes to which lane next, and under which binding.
//!
//! Order of precedence: batches in doubt and refused ones (they are older), then batches that an earlier process
//! bound, then new ones. A new binding is stored before the session gets the batch (I4).

use crate::batch;
use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::sender::Producer;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::Connection;
use crate::pipeline::sender::flights::Flight;
use crate::pipeline::sender::flights::Lookahead;
use crate::pipeline::sender::spaces::SpaceId;
use crate::proto::fleet;
use crate::proto::kafka::client::ProduceRequest;
use crate::proto::kafka::sequence;
use crate::spool::Binding;
use crate::spool::Frame;

/// Producer id, epoch and sequence of a batch that is not numbered.
const UNNUMBERED: sequence::Binding =
    sequence::Binding { producer_id: -1, epoch: -1, base_sequence: -1 };

impl Sender {
    /// Gives batches to lanes until no lane, or no batch, is left.
    pub(super) fn dispatch(&mut self, now: Moment) {
        self.renumber(now);
        self.resend(now);
        self.send_waiting(now);
        while self.send_next(now) {}
    }

    /// Sends batches again that wait for any lane that may take them.
    fn send_waiting(&mut self, now: Moment) {
        let waiting: Vec<u64> = self.flights.waiting().collect();
        for token in waiting {
            let Some(flight) = self.flights.get(token).cloned() else { continue };
            let leader = self.leader_of(&flight);
            if leader == Some(None) {
                continue;
            }
            let leader = leader.flatten();
            if let Some(lane) = self.assign(now, token, &flight.frame, leader.as_slice()) {
                self.flights.stop_waiting(token);
                self.transmit(now, lane, token);
            }
        }
    }

    /// Who must take a batch that is bound: nobody in particular (`None`), or its partition's leader,
    /// if it has one at present.
    fn leader_of(&mut self, flight: &Flight) -> Option<Option<EndpointId>> {
        if self.settings.target.mode == crate::config::TargetMode::Receivers {
            return None;
        }
        let topic = flight.frame.topic();
        self.spaces.want_topic(topic);
        let space = self.spaces.of_partition(topic, flight.binding.partition);
        Some(space.and_then(|space| self.spaces.get(space).leader))
    }

    /// Sends again what the partitions' sequence spaces ask for: lowest sequence first, one at a time.
    fn resend(&mut self, now: Moment) {
        for id in self.spaces.ids() {
            let space = self.spaces.get(id);
            if space.resend_at.is_some_and(|at| at > now) {
                continue;
            }
            space.resend_at = None;
            let Some(leader) = space.leader else { continue };
            let Some(sequences) = &mut space.sequences else { continue };
            let Some((token, _)) = sequences.next_resend() else { continue };
            let Some(frame) = self.flights.get(token).map(|flight| flight.frame.clone()) else {
                continue;
            };
            match self.assign(now, token, &frame, &[leader]) {
                Some(lane) => self.transmit(now, lane, token),
                None => self.put_back(id, token),
            }
        }
    }

    /// The batch could not be sent after all; what is known of its fate stays as it was.
    fn put_back(&mut self, id: SpaceId, token: u64) {
        if let Some(sequences) = &mut self.spaces.get(id).sequences {
            // Cannot fail: the token came from this space.
            let _held = sequences.reject_not_appended(token);
        }
    }

    /// Bumps epochs and replaces producer ids where all fates are known, and stores the new bindings.
    fn renumber(&mut self, now: Moment) {
        for id in self.spaces.ids() {
            let producer = self.spaces.producer;
            let space = self.spaces.get(id);
            let Some(sequences) = &mut space.sequences else { continue };
            let bindings = match producer {
                Producer::Known { id, epoch } if space.wants_new_producer => {
                    let replaced = sequences.replace_producer_id(id, epoch);
                    space.wants_new_producer = replaced.is_err();
                    replaced
                }
                _ if sequences.bump_ready() => sequences.bump(),
                _ => continue,
            };
            match bindings {
                Ok(bindings) => self.store_bindings(id, bindings),
                Err(sequence::BumpError::EpochsUsedUp(_)) => {
                    self.spaces.get(id).wants_new_producer = true;
                    self.spaces.producer = Producer::Wanted;
                    self.asked_producer_at = None;
                }
                Err(sequence::BumpError::Unresolved(_)) => {}
            }
            self.spaces.get(id).resend_at.get_or_insert(now);
        }
    }

    pub(super) fn store_bindings(&mut self, id: SpaceId, bindings: Vec<(u64, sequence::Binding)>) {
        let partition = self.spaces.get(id).partition;
        for (token, numbers) in bindings {
            let Some(flight) = self.flights.get(token).cloned() else { continue };
            if let Some(binding) = self.bind(flight.source, &flight.frame, numbers, partition, id)
                && let Some(flight) = self.flights.get_mut(token)
            {
                flight.binding = binding;
            }
        }
    }

    /// Sends the next batch of the spools; false where there is none, or no place for it.
    fn send_next(&mut self, now: Moment) -> bool {
        let Some(next) = self.flights.peek() else { return false };
        let frame = next.frame.clone();
        if let Some(binding) = frame.binding()
            && binding.producer_id >= 0
        {
            return self.adopt_bound(now, binding);
        }
        if self.spaces.want_topic(frame.topic()) {
            self.asked_metadata_at = None;
            self.metadata_at = None;
            self.ask_cluster(now);
        }
        let open = self.spaces.open_for(frame.topic(), frame.partition(), frame.record_count());
        if open.is_empty() {
            return false;
        }
        let leaders: Vec<EndpointId> =
            open.iter().filter_map(|id| self.spaces.get(*id).leader).collect();
        let token = self.flights.next_token();
        let Some(lane) = self.assign(now, token, &frame, &leaders) else { return false };
        let chosen = self.emptiest(&open, lane);
        let Some(next) = self.flights.take_next() else { return false };
        self.send_new(now, lane, token, next, chosen);
        true
    }

    /// A batch that an earlier process bound keeps its numbers and goes to its partition. There are
    /// only as many as its windows allowed, so all of them may wait at once.
    fn adopt_bound(&mut self, now: Moment, binding: Binding) -> bool {
        let Some(Lookahead { source, frame }) = self.flights.take_next() else { return false };
        let token = self.flights.next_token();
        let flight =
            Flight { source, frame, binding, space: None, lane: None, attempts: 0, faults: 0 };
        self.flights.insert(token, flight);
        self.flights.wait(token);
        self.send_waiting(now);
        true
    }

    /// Of the spaces whose leader the lane is bound to, the one with the fewest bytes on their way.
    fn emptiest(&mut self, open: &[SpaceId], lane: LaneId) -> SpaceId {
        let endpoint = self.connection(lane).map(|connection| connection.target.endpoint);
        let led = open.iter().copied().filter(|id| {
            let leader = self.spaces.get(*id).leader;
            leader.is_none() || leader == endpoint
        });
        let candidates: Vec<SpaceId> = led.collect();
        candidates
            .into_iter()
            .min_by_key(|id| self.spaces.get(*id).unacknowledged_bytes)
            .unwrap_or(open[0])
    }

    fn send_new(&mut self, now: Moment, lane: LaneId, token: u64, next: Lookahead, id: SpaceId) {
        let Lookahead { source, frame } = next;
        let space = self.spaces.get(id);
        let partition = space.partition;
        let numbers = match &mut space.sequences {
            // Cannot fail: the space was open for this batch a moment ago.
            Some(sequences) => sequences.assign(token, frame.record_count()).unwrap_or(UNNUMBERED),
            None => UNNUMBERED,
        };
        space.unacknowledged_bytes += frame.bytes();
        let binding = self.bind(source, &frame, numbers, partition, id);
        let stored = binding.is_some();
        let binding = binding.unwrap_or(Binding {
            producer_id: numbers.producer_id,
            epoch: numbers.epoch,
            base_sequence: numbers.base_sequence,
            partition,
            batch_crc: 0,
            sequence_space: id.0 as u64,
        });
        let space = Some(id);
        let flight =
            Flight { source, frame, binding, space, lane: Some(lane), attempts: 0, faults: 0 };
        self.flights.insert(token, flight);
        if stored {
            self.transmit(now, lane, token);
        } else {
            // Not a byte may leave before the binding is stored: give it back, try again later.
            self.fleet.handle_returned(now, lane, token);
            self.return_batches(now, &[token]);
        }
    }

    /// Binds a frame and stores the binding; `None` where it could not be stored.
    fn bind(
        &mut self,
        source: usize,
        frame: &Frame,
        numbers: sequence::Binding,
        partition: i32,
        id: SpaceId,
    ) -> Option<Binding> {
        let sequence::Binding { producer_id, epoch, base_sequence } = numbers;
        let mut header = frame.header();
        let body_bytes = frame.body().len() as u32;
        let batch_crc = batch::bind(
            &mut header,
            frame.body_crc(),
            body_bytes,
            producer_id,
            epoch,
            base_sequence,
        );
        let binding = Binding {
            producer_id,
            epoch,
            base_sequence,
            partition,
            batch_crc,
            sequence_space: id.0 as u64,
        };
        let reader = &mut self.flights.source(source)?.reader;
        match reader.bind(frame, &binding) {
            Ok(()) => Some(binding),
            Err(_refused) => {
                self.counters.batch.spool_errors.add(1);
                None
            }
        }
    }

    /// Asks the fleet for a lane; with `leaders`, only one bound to one of them will do.
    fn assign(
        &mut self,
        now: Moment,
        token: u64,
        frame: &Frame,
        leaders: &[EndpointId],
    ) -> Option<LaneId> {
        let bytes = (batch::HEADER_BYTES + frame.body().len()) as u32;
        let batch = fleet::Batch { token, bytes, records: frame.record_count() };
        self.fleet.assign(now, batch, (!leaders.is_empty()).then_some(leaders))
    }

    /// Gives a bound batch to its lane's session.
    fn transmit(&mut self, now: Moment, lane: LaneId, token: u64) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = Some(lane);
        flight.attempts += 1;
        let flight = flight.clone();
        if flight.attempts > 1 {
            self.tally.retries += 1;
        }
        let mut header = flight.frame.header();
        let body_bytes = flight.frame.body().len() as u32;
        let Binding { producer_id, epoch, base_sequence, partition, .. } = flight.binding;
        let body_crc = flight.frame.body_crc();
        batch::bind(&mut header, body_crc, body_bytes, producer_id, epoch, base_sequence);
        let request =
            ProduceRequest { topic: flight.frame.topic(), partition, token, header, body_bytes };
        let session = self.connection(lane).and_then(Connection::session);
        let accepted = session.is_some_and(|session| session.produce(now, request).is_ok());
        if !accepted {
            // The session ended a moment ago; its lane is being closed.
            self.fleet.handle_returned(now, lane, token);
            self.return_batches(now, &[token]);
        }
    }
}
