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
use crate::pipeline::sender::spaces::SpaceId;
use crate::proto::kafka::client::Answer;
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
                self.retire_outdated(now, lane);
                self.ask_cluster(now);
                self.dispatch(now);
            }
            Event::Expiring => self.fleet.renew(now, lane),
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

    fn handle_produced(&mut self, now: Moment, lane: LaneId, produced: Produced) {
        let token = produced.token;
        self.tally.throttled_ms += produced.throttle.as_millis() as u64;
        // An answer that comes after it had moved on does not count: the newer attempt's does.
        let flight = self.flights.get(token).filter(|flight| flight.lane == Some(lane));
        let Some(flight) = flight else { return };
        let faults = flight.faults;
        let numbered_by = flight.space;
        let topic = flight.frame.topic().to_owned();
        let id = self.spaces.of_partition(&topic, flight.partition);
        let Outcome::Answered(answer) = produced.outcome else {
            return self.finish(now, lane, token, Resolution::Unconfirmed);
        };
        let verdict = answer.error.verdict(Circumstances {
            earlier_unresolved: self.spaces.earlier_unresolved(numbered_by, token),
            log_start_offset: answer.log_start_offset,
        });
        match verdict.action {
            Action::Acknowledge => {
                self.audit(token, id, answer.base_offset);
                self.deliver(now, lane, token);
            }
            Action::RetrySame { refresh_metadata }
            | Action::RetryRebindable { refresh_metadata } => {
                if refresh_metadata {
                    self.inquiry.refresh();
                }
                let hint = answer.current_leader.as_ref();
                let is_news = hint.is_some_and(|hint| self.take_hint(now, id, hint));
                let pause = if is_news { Duration::ZERO } else { RETRY_AFTER };
                self.refuse(now, lane, token, verdict.fate, pause);
            }
            Action::RetryThenQuarantine { retries_max } if faults < retries_max => {
                self.blame(now, lane, token, verdict.fate);
            }
            Action::VerifyChecksum if faults < 1 && self.is_intact(token) => {
                self.blame(now, lane, token, verdict.fate);
            }
            Action::BumpEpoch => self.bump(now, lane, token, id, &answer),
            Action::NewProducerId => {
                // Only our own id is replaced; an earlier process's is given up by binding anew.
                if numbered_by.is_some() {
                    self.replace_producer(id);
                }
                self.bump(now, lane, token, id, &answer);
            }
            Action::DropIdempotence => self.drop_idempotence(now, lane, token, id),
            Action::Renegotiate => {
                // The versions are asked for on a new connection.
                self.refuse(now, lane, token, verdict.fate, RETRY_AFTER);
                self.close(now, lane, true);
            }
            Action::StopTopic | Action::StopTarget => {
                self.stop(id);
                self.refuse(now, lane, token, verdict.fate, RETRY_SLOWLY_AFTER);
            }
            Action::VerifyChecksum if !self.is_intact(token) => {
                // Our disk is at fault: who gave it to us may still have it.
                self.finish(now, lane, token, Resolution::Dropped(DropReason::Unreadable));
            }
            // It may have been appended, so that parts of it could be there twice: it ends as a whole.
            Action::RetryThenQuarantine { .. } => self.quarantine(now, lane, token, &answer),
            Action::Split
            | Action::VerifyChecksum
            | Action::Quarantine
            | Action::DropRecords
            | Action::ClampTimestamps
            | Action::ReencodeCodec => self.divide(now, lane, token, &answer, verdict.action),
        }
    }

    /// Compares where a batch was appended with what was acknowledged before: offsets of a partition only rise. One
    /// that was sent before may have been appended then.
    fn audit(&mut self, token: u64, id: SpaceId, base_offset: i64) {
        let Some(flight) = self.flights.get(token) else { return };
        if self.settings.target.mode == TargetMode::Receivers || base_offset < 0 {
            return;
        }
        let records = i64::from(flight.payload().record_count());
        let is_first_attempt = flight.attempts == 1;
        let space = self.spaces.get(id);
        if is_first_attempt && base_offset < space.next_offset {
            self.tally.regressions += 1;
            // From there on it counts anew, or every later one would be news.
            space.next_offset = 0;
        }
        space.next_offset = space.next_offset.max(base_offset.saturating_add(records));
    }

    /// Nothing can be written there until somebody changes the configuration.
    fn stop(&mut self, id: SpaceId) {
        self.inquiry.refresh();
        self.spaces.get(id).is_stopped = self.settings.target.mode == TargetMode::Kafka;
    }

    fn replace_producer(&mut self, id: SpaceId) {
        self.spaces.get(id).wants_new_producer = true;
        self.want_producer();
    }

    /// The answer blamed the batch itself: one attempt less of those that the table allows.
    fn blame(&mut self, now: Moment, lane: LaneId, token: u64, fate: Fate) {
        if let Some(flight) = self.flights.get_mut(token) {
            flight.faults += 1;
        }
        self.refuse(now, lane, token, fate, RETRY_AFTER);
    }

    /// The batch is done with: delivered, unconfirmed or given up.
    pub(super) fn finish(&mut self, now: Moment, lane: LaneId, token: u64, resolution: Resolution) {
        let is_given_up = matches!(resolution, Resolution::Dropped(_));
        if is_given_up {
            self.fleet.handle_returned(now, lane, token);
        } else {
            self.fleet.handle_acknowledged(now, lane, token);
        }
        self.settle(token, resolution);
    }

    /// Resolves a batch and tells its space.
    pub(super) fn settle(&mut self, token: u64, resolution: Resolution) {
        let Some(flight) = self.flights.resolve(token, resolution) else { return };
        let Some(id) = flight.space else {
            // A batch without a partition waits for its topic, in no space.
            if self.settings.target.mode == TargetMode::Kafka && flight.partition >= 0 {
                let id = self.spaces.of_partition(flight.frame.topic(), flight.partition);
                let space = self.spaces.get(id);
                space.let_go(token);
                space.is_stopped = false;
            }
            return;
        };
        let space = self.spaces.get(id);
        space.let_go(token);
        // The next batch finds out again.
        space.is_stopped = false;
        space.unacknowledged_bytes =
            space.unacknowledged_bytes.saturating_sub(flight.frame.bytes());
        if let Some(sequences) = &mut space.sequences {
            let is_given_up = matches!(resolution, Resolution::Dropped(_));
            // Among receivers a gap means nothing: a bump would have to wait for the slowest of them.
            let known = match is_given_up && self.settings.target.mode == TargetMode::Kafka {
                true => sequences.give_up(token),
                false => sequences.acknowledge(token),
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
        self.put_back(token, fate, now.after(pause));
    }

    /// The batch goes to its partition again, at `resend_at` at the earliest; in Kafka mode.
    fn put_back(&mut self, token: u64, fate: Fate, resend_at: Moment) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        if flight.partition < 0 {
            // It waits for its topic, and was never sent.
            return;
        }
        flight.lane = None;
        let topic = flight.frame.topic().to_owned();
        let numbered_by = flight.space;
        let id = self.spaces.of_partition(&topic, flight.partition);
        let space = self.spaces.get(id);
        space.resend_at = Some(resend_at);
        match space.sequences.as_mut().filter(|_| numbered_by.is_some()) {
            Some(sequences) => {
                let known = match fate {
                    Fate::NotAppended => sequences.reject_not_appended(token),
                    Fate::PossiblyAppended | Fate::Appended => sequences.doubt(token),
                };
                debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
            }
            None => space.hold(token),
        }
    }

    /// The partition sees a gap, or forgot us: the epoch is bumped when all fates are known.
    fn bump(&mut self, now: Moment, lane: LaneId, token: u64, id: SpaceId, answer: &Answer) {
        if self.settings.target.mode == TargetMode::Receivers {
            return self.close(now, lane, false);
        }
        self.fleet.handle_returned(now, lane, token);
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = None;
        let space = self.spaces.get(id);
        space.resend_at = Some(now.after(RETRY_AFTER));
        if flight.space.is_none() {
            // Bound by an earlier process, whom the partition does not know, or whose batch it misses:
            // not appended, so it gets numbers of ours.
            return self.unbind(id, token);
        }
        if let Some(sequences) = &mut space.sequences {
            let known = if answer.error == ErrorCode::OutOfOrderSequenceNumber {
                sequences.reject_out_of_order(token)
            } else {
                sequences.require_bump();
                sequences.reject_for_good(token)
            };
            debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
        }
    }

    /// The cluster takes no numbered batches.
    fn drop_idempotence(&mut self, now: Moment, lane: LaneId, token: u64, id: SpaceId) {
        if self.settings.target.mode == TargetMode::Receivers {
            return self.close(now, lane, false);
        }
        self.fleet.handle_returned(now, lane, token);
        self.spaces.producer = Producer::Unnumbered;
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = None;
        let space = self.spaces.get(id);
        space.resend_at = Some(now.after(RETRY_AFTER));
        match space.sequences.as_mut().filter(|_| flight.space.is_some()) {
            Some(sequences) => {
                let known = sequences.reject_for_good(token);
                debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
            }
            None => self.unbind(id, token),
        }
    }

    /// Batches that were on a lane which is gone: their fate is in doubt.
    pub(super) fn return_batches(&mut self, now: Moment, tokens: &[u64]) {
        let is_kafka = self.settings.target.mode == TargetMode::Kafka;
        for token in tokens {
            if is_kafka {
                self.put_back(*token, Fate::PossiblyAppended, now);
            } else {
                self.flights.wait(*token);
            }
        }
        if is_kafka {
            self.inquiry.refresh();
        }
    }
}
