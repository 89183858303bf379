//! What an answer means for a batch, and for everything behind it.
//!
//! The table of error codes (`proto::kafka::errors`) says what to do; this module does it. In receivers mode
//! a batch that was not taken goes to another receiver under the same binding; in Kafka mode it stays with
//! its partition, in the order of its sequences.

use std::time::Duration;

use crate::config::TargetMode;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::sender::Producer;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::spaces::broker_endpoint;
use crate::proto::fleet;
use crate::proto::kafka::client::Answer;
use crate::proto::kafka::client::ClusterView;
use crate::proto::kafka::client::Event;
use crate::proto::kafka::client::Outcome;
use crate::proto::kafka::client::Produced;
use crate::proto::kafka::errors::Action;
use crate::proto::kafka::errors::Circumstances;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::errors::Fate;
use crate::spool::DropReason;
use crate::spool::Resolution;

/// Pause before a refused batch is sent to its partition again.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Pause where only somebody's change of configuration can help.
const RETRY_SLOWLY_AFTER: Duration = Duration::from_secs(5);

impl Sender {
    pub(super) fn handle_event(&mut self, now: Moment, lane: LaneId, event: Event) {
        match event {
            Event::Ready => {
                self.fleet.handle_ready(now, lane);
                self.ask_cluster(now);
                self.dispatch(now);
            }
            Event::HeartbeatAnswered => self.fleet.handle_progress(now, lane),
            Event::Metadata(view) => self.take_metadata(now, &view),
            Event::ProducerId { producer_id, producer_epoch } => {
                if self.spaces.producer == Producer::Wanted {
                    self.spaces.producer =
                        Producer::Known { id: producer_id, epoch: producer_epoch };
                }
                self.dispatch(now);
            }
            Event::ProducerIdFailed(ErrorCode::ClusterAuthorizationFailed) => {
                self.spaces.producer = Producer::Unnumbered;
            }
            // Asked again after a pause, of whichever session is ready then.
            Event::ProducerIdFailed(_) => {}
            Event::Produced(produced) => {
                self.handle_produced(now, lane, produced);
                self.dispatch(now);
            }
        }
    }

    fn take_metadata(&mut self, now: Moment, view: &ClusterView) {
        self.metadata_at = Some(now);
        self.spaces.update(view);
        if !view.brokers.is_empty() {
            let brokers = view.brokers.iter().map(|broker| fleet::Endpoint {
                id: broker_endpoint(broker.id),
                host: broker.host.clone(),
                port: broker.port,
            });
            self.endpoints = brokers.collect();
            // Refused only beyond the fleet's limit of endpoints: then the known ones stay.
            let _known_stay = self.fleet.set_endpoints(now, &self.endpoints);
        }
        self.dispatch(now);
    }

    fn handle_produced(&mut self, now: Moment, lane: LaneId, produced: Produced) {
        let token = produced.token;
        let Some(flight) = self.flights.get(token).filter(|flight| flight.lane == Some(lane))
        else {
            // Answered after it had moved on: the newer attempt's answer counts.
            return;
        };
        let (faults, space) = (flight.faults, flight.space);
        let answer = match produced.outcome {
            Outcome::Unconfirmed => {
                return self.finish(now, lane, token, Resolution::Unconfirmed);
            }
            Outcome::Answered(answer) => answer,
        };
        let earlier_unresolved = space.is_some_and(|space| {
            let sequences = self.spaces.get(space).sequences.as_ref();
            sequences.is_some_and(|sequences| sequences.earlier_unresolved(token))
        });
        let verdict = answer.error.verdict(Circumstances {
            earlier_unresolved,
            log_start_offset: answer.log_start_offset,
        });
        match verdict.action {
            Action::Acknowledge => self.finish(now, lane, token, Resolution::Delivered),
            Action::RetrySame { refresh_metadata }
            | Action::RetryRebindable { refresh_metadata } => {
                if refresh_metadata {
                    self.metadata_at = None;
                }
                self.refuse(now, lane, token, verdict.fate, RETRY_AFTER);
            }
            Action::RetryThenQuarantine { retries_max } if faults < retries_max => {
                self.note_fault(token);
                self.refuse(now, lane, token, verdict.fate, RETRY_AFTER);
            }
            Action::VerifyChecksum if faults < 1 => {
                self.note_fault(token);
                self.refuse(now, lane, token, verdict.fate, RETRY_AFTER);
            }
            Action::BumpEpoch => self.bump(now, lane, token, &answer),
            Action::NewProducerId => {
                self.spaces.producer = Producer::Wanted;
                if let Some(space) = space {
                    self.spaces.get(space).wants_new_producer = true;
                }
                self.bump(now, lane, token, &answer);
            }
            Action::DropIdempotence => {
                self.spaces.producer = Producer::Unnumbered;
                self.refuse(now, lane, token, verdict.fate, RETRY_AFTER);
            }
            Action::Renegotiate | Action::StopTopic | Action::StopTarget => {
                self.metadata_at = None;
                self.refuse(now, lane, token, verdict.fate, RETRY_SLOWLY_AFTER);
            }
            Action::Split => {
                self.finish(now, lane, token, Resolution::Dropped(DropReason::TooLarge));
            }
            Action::RetryThenQuarantine { .. }
            | Action::VerifyChecksum
            | Action::Quarantine
            | Action::DropRecords
            | Action::ClampTimestamps
            | Action::ReencodeCodec => {
                self.finish(now, lane, token, Resolution::Dropped(DropReason::Rejected));
            }
        }
    }

    /// An answer blamed the batch itself; after as many as the table allows it is given up.
    fn note_fault(&mut self, token: u64) {
        if let Some(flight) = self.flights.get_mut(token) {
            flight.faults += 1;
        }
    }

    /// The batch is done with: delivered, unconfirmed or given up.
    fn finish(&mut self, now: Moment, lane: LaneId, token: u64, resolution: Resolution) {
        let is_given_up = matches!(resolution, Resolution::Dropped(_));
        if is_given_up {
            self.fleet.handle_returned(now, lane, token);
        } else {
            self.fleet.handle_acknowledged(now, lane, token);
        }
        self.settle(token, resolution);
    }

    /// Resolves a batch and tells its sequence space.
    pub(super) fn settle(&mut self, token: u64, resolution: Resolution) {
        let Some(flight) = self.flights.resolve(token, resolution) else { return };
        let Some(id) = flight.space else { return };
        let space = self.spaces.get(id);
        space.unacknowledged_bytes =
            space.unacknowledged_bytes.saturating_sub(flight.frame.bytes());
        if let Some(sequences) = &mut space.sequences {
            let known = match resolution {
                Resolution::Delivered | Resolution::Unconfirmed => sequences.acknowledge(token),
                Resolution::Dropped(_) => sequences.give_up(token),
            };
            debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
        }
    }

    /// The batch was not taken this time.
    fn refuse(&mut self, now: Moment, lane: LaneId, token: u64, fate: Fate, pause: Duration) {
        if self.settings.target.mode == TargetMode::Receivers {
            // Another receiver may take it; this one has to prove itself again.
            self.close(now, lane, false);
            return;
        }
        self.fleet.handle_returned(now, lane, token);
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = None;
        let Some(id) = flight.space else {
            self.flights.wait(token);
            return;
        };
        let space = self.spaces.get(id);
        space.resend_at = Some(now.after(pause));
        match &mut space.sequences {
            Some(sequences) => {
                let known = match fate {
                    Fate::NotAppended => sequences.reject_not_appended(token),
                    Fate::PossiblyAppended | Fate::Appended => sequences.doubt(token),
                };
                debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
            }
            None => self.flights.wait(token),
        }
    }

    /// The partition sees a gap, or forgot us: the epoch is bumped when all fates are known.
    fn bump(&mut self, now: Moment, lane: LaneId, token: u64, answer: &Answer) {
        let space = self.flights.get(token).and_then(|flight| flight.space);
        if self.settings.target.mode == TargetMode::Receivers {
            return self.close(now, lane, false);
        }
        self.fleet.handle_returned(now, lane, token);
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = None;
        let Some(id) = space else {
            // Bound by an earlier process, whom the cluster does not know any more: not appended.
            return self.rebind_adopted(token);
        };
        self.spaces.get(id).resend_at = Some(now.after(RETRY_AFTER));
        if let Some(sequences) = &mut self.spaces.get(id).sequences {
            let known = if answer.error == ErrorCode::OutOfOrderSequenceNumber {
                sequences.reject_out_of_order(token)
            } else {
                sequences.require_bump();
                sequences.reject_not_appended(token)
            };
            debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
        }
    }

    /// Gives a batch of an earlier process a binding of ours: its fate is known to be not appended.
    fn rebind_adopted(&mut self, token: u64) {
        let Some(flight) = self.flights.get(token).cloned() else { return };
        let records = flight.frame.record_count();
        let open = self.spaces.open_for(flight.frame.topic(), flight.binding.partition, records);
        let Some(id) = open.first().copied() else { return self.flights.wait(token) };
        let space = self.spaces.get(id);
        let numbers = space.sequences.as_mut().and_then(|held| held.assign(token, records).ok());
        let Some(numbers) = numbers else { return self.flights.wait(token) };
        space.unacknowledged_bytes += flight.frame.bytes();
        self.store_bindings(id, vec![(token, numbers)]);
        if let Some(flight) = self.flights.get_mut(token) {
            flight.space = Some(id);
        }
        self.flights.wait(token);
    }

    /// Batches that were on a lane which is gone: their fate is in doubt.
    pub(super) fn return_batches(&mut self, now: Moment, tokens: &[u64]) {
        for token in tokens {
            let Some(flight) = self.flights.get_mut(*token) else { continue };
            flight.lane = None;
            let space = flight.space;
            let held = space.filter(|_| self.settings.target.mode == TargetMode::Kafka);
            let sequences = held.and_then(|id| {
                let space = self.spaces.get(id);
                space.resend_at = Some(now);
                space.sequences.as_mut()
            });
            match sequences {
                // Sent again by its space, in order.
                Some(sequences) => {
                    let known = sequences.doubt(*token);
                    debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
                }
                None => self.flights.wait(*token),
            }
        }
        if !tokens.is_empty() {
            self.metadata_at = self.metadata_at.filter(|_| held_by_receivers(self));
        }
    }
}

/// In receivers mode there is no metadata to refresh.
fn held_by_receivers(sender: &Sender) -> bool {
    sender.settings.target.mode == TargetMode::Receivers
}
