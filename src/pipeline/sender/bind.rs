//! What a batch is sent as: its numbers, stored before its first byte is sent (I4), and the request.

use crate::batch;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::sender::Producer;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::Connection;
use crate::pipeline::sender::spaces::SpaceId;
use crate::proto::kafka::client::ProduceRequest;
use crate::proto::kafka::sequence;
use crate::spool::Binding;
use crate::spool::DropReason;
use crate::spool::Resolution;

/// Producer id, epoch and sequence of a batch that is not numbered.
const UNNUMBERED: sequence::Binding =
    sequence::Binding { producer_id: -1, epoch: -1, base_sequence: -1 };

impl Sender {
    /// Bumps epochs and replaces producer ids where all fates are known, and stores the new bindings.
    pub(super) fn renumber(&mut self, now: Moment) {
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
                Producer::Unnumbered => {
                    self.stop_numbering(id);
                    continue;
                }
                Producer::Wanted | Producer::Known { .. } if sequences.bump_ready() => {
                    sequences.bump()
                }
                Producer::Wanted | Producer::Known { .. } => continue,
            };
            match bindings {
                Ok(bindings) => self.store_bindings(id, bindings),
                Err(sequence::BumpError::EpochsUsedUp(_)) => {
                    self.spaces.get(id).wants_new_producer = true;
                    self.want_producer();
                }
                Err(sequence::BumpError::Unresolved(_)) => {}
            }
            self.spaces.get(id).resend_at.get_or_insert(now);
        }
    }

    /// The cluster takes no numbered batches: what was not appended is held, to be sent without numbers.
    fn stop_numbering(&mut self, id: SpaceId) {
        let space = self.spaces.get(id);
        let Some(tokens) = space.sequences.as_mut().and_then(|held| held.dissolve()) else {
            return;
        };
        space.sequences = None;
        for token in tokens {
            self.unbind(id, token);
        }
    }

    /// The batch, which was not appended, is held for its partition until it can be bound again.
    pub(super) fn unbind(&mut self, id: SpaceId, token: u64) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.binding = None;
        flight.lane = None;
        let space = self.spaces.get(id);
        if flight.space.take().is_some() {
            let bytes = flight.frame.bytes();
            space.unacknowledged_bytes = space.unacknowledged_bytes.saturating_sub(bytes);
        }
        space.hold(token);
    }

    fn store_bindings(&mut self, id: SpaceId, bindings: Vec<(u64, sequence::Binding)>) {
        for (token, numbers) in bindings {
            self.bind(token, numbers, id);
        }
    }

    /// Binds a batch that the fleet has given a lane, stores that, and sends it.
    pub(super) fn bind_and_send(&mut self, now: Moment, lane: LaneId, token: u64, id: SpaceId) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.space = Some(id);
        flight.lane = Some(lane);
        let (records, bytes) = (flight.records_left(), flight.frame.bytes());
        self.spaces.note_use(id);
        let space = self.spaces.get(id);
        space.unacknowledged_bytes += bytes;
        let numbers = match &mut space.sequences {
            // Cannot fail: the space was open for this batch a moment ago.
            Some(sequences) => sequences.assign(token, records).unwrap_or(UNNUMBERED),
            None => UNNUMBERED,
        };
        if self.bind(token, numbers, id) {
            self.transmit(now, lane, token);
        } else {
            self.fleet.handle_returned(now, lane, token);
            self.settle(token, Resolution::Dropped(DropReason::Rejected));
        }
    }

    /// Binds a batch and stores the binding; false where it could not be stored, which is only so
    /// for a batch that is resolved already.
    pub(super) fn bind(&mut self, token: u64, numbers: sequence::Binding, id: SpaceId) -> bool {
        let partition = self.spaces.get(id).partition;
        let Some(flight) = self.flights.get(token) else { return false };
        let (source, frame, payload) = (flight.source, flight.frame.clone(), flight.payload());
        let part = flight.division.as_ref().map(|division| division.part());
        let sequence::Binding { producer_id, epoch, base_sequence } = numbers;
        let mut header = payload.header();
        let body_bytes = payload.body().len() as u32;
        let batch_crc = batch::bind(
            &mut header,
            payload.body_crc(),
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
            sequence_space: id.0 as u32,
            part: part.unwrap_or_default(),
        };
        let Some(source) = self.flights.source(source) else { return false };
        if source.reader.bind(&frame, &binding).is_err() {
            self.counters.batch.spool_errors.add(1);
            return false;
        }
        if let Some(flight) = self.flights.get_mut(token) {
            flight.binding = Some(binding);
        }
        true
    }

    /// Gives a bound batch to its lane's session.
    pub(super) fn transmit(&mut self, now: Moment, lane: LaneId, token: u64) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = Some(lane);
        flight.attempts += 1;
        let (frame, payload) = (flight.frame.clone(), flight.payload());
        let Some(binding) = flight.binding else { return };
        if flight.attempts > 1 {
            self.tally.retries += 1;
            if !flight.frame.is_intact() {
                // That is why it failed, and why it would fail for ever: its file was truncated, or its disk broke.
                self.fleet.handle_returned(now, lane, token);
                self.settle(token, Resolution::Dropped(DropReason::Unreadable));
                return;
            }
        }
        let mut header = payload.header();
        let body_bytes = payload.body().len() as u32;
        let Binding { producer_id, epoch, base_sequence, partition, .. } = binding;
        let body_crc = payload.body_crc();
        batch::bind(&mut header, body_crc, body_bytes, producer_id, epoch, base_sequence);
        let request = ProduceRequest { topic: frame.topic(), partition, token, header, body_bytes };
        let session = self.connection(lane).and_then(Connection::session);
        let accepted = session.is_some_and(|session| session.produce(now, request).is_ok());
        if !accepted {
            // The session ended a moment ago; its lane is being closed.
            self.fleet.handle_returned(now, lane, token);
            self.return_batches(now, &[token]);
        }
    }
}
