//! What is asked of the cluster, when, and of whom: metadata and producer ids.
//!
//! Metadata is asked for when something failed, when something is missing, and by age; the answers
//! decide which brokers the fleet connects to and who leads which partition. Where no broker was reachable
//! for a while, the hosts of the URL are tried again: a cluster may have moved.

use std::time::Duration;

use crate::config::TargetMode;
use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::pipeline::sender::Producer;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::Connection;
use crate::pipeline::sender::spaces::SpaceId;
use crate::pipeline::sender::spaces::broker_endpoint;
use crate::pipeline::sender::spaces::is_host;
use crate::proto::fleet;
use crate::proto::kafka::client::BrokerView;
use crate::proto::kafka::client::ClusterView;
use crate::proto::kafka::client::CommandError;
use crate::proto::kafka::client::Leader;
use crate::proto::kafka::client::Session;
use crate::proto::kafka::wire::ApiKey;

/// First pause before the cluster is asked again; doubles up to [`PAUSE_MAX`] while the answers do
/// not help (Java's `retry.backoff.ms` and `retry.backoff.max.ms`).
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// After so long without any broker the hosts of the URL are tried again.
const BOOTSTRAP_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// See the module's head.
#[derive(Debug)]
pub struct Inquiry {
    /// Only Kafka mode has metadata.
    has_metadata: bool,
    /// The cluster has named its brokers.
    is_introduced: bool,
    /// When the cluster was last described; none where that is to happen anew.
    described_at: Option<Moment>,
    asked_at: Option<Moment>,
    pause: Duration,
    asked_producer_at: Option<Moment>,
    /// Whose turn it is to be asked, so that a hanging broker does not hold everything up.
    turn: usize,
    unreachable_since: Option<Moment>,
}

impl Inquiry {
    /// Nothing was asked yet.
    pub fn new(mode: TargetMode) -> Self {
        Self {
            has_metadata: mode == TargetMode::Kafka,
            is_introduced: false,
            described_at: None,
            asked_at: None,
            pause: PAUSE_MIN,
            asked_producer_at: None,
            turn: 0,
            unreachable_since: None,
        }
    }

    /// What is known of the cluster may be wrong.
    pub fn refresh(&mut self) {
        self.described_at = None;
    }

    /// Something new is wanted: the pause of an earlier question does not matter.
    pub fn refresh_at_once(&mut self) {
        self.described_at = None;
        self.asked_at = None;
        self.pause = PAUSE_MIN;
    }

    /// The producer id is of no use any more. Said again before another one is there, as every dispatch may, that
    /// changes nothing: the pause since the question goes on.
    fn want_producer(&mut self, producer: &mut Producer) {
        if *producer != Producer::Wanted {
            *producer = Producer::Wanted;
            self.asked_producer_at = None;
        }
    }

    /// Whether to ask for a producer id now; if so, that is noted.
    fn asks_producer(&mut self, now: Moment, producer: Producer) -> bool {
        let is_due = self.asked_producer_at.is_none_or(|at| now.since(at) >= PAUSE_MAX);
        let asks = producer == Producer::Wanted && is_due;
        if asks {
            self.asked_producer_at = Some(now);
        }
        asks
    }
}

impl Sender {
    /// Asks for metadata and a producer id where they are wanted.
    pub(super) fn ask_cluster(&mut self, now: Moment) {
        // Noted as asked also where nobody takes the question, so that it is not put in a loop.
        if self.connections.iter().flatten().any(Connection::is_ready)
            && self.inquiry.asks_producer(now, self.spaces.producer)
            && !self.ask_any(|session| session.request_producer_id(now).is_ok())
        {
            self.number_nothing_unless_offered();
        }
        if !self.inquiry.has_metadata {
            return;
        }
        self.bootstrap_again(now);
        let asked_at = self.inquiry.asked_at;
        let is_due = asked_at.is_none_or(|at| now.since(at) >= self.inquiry.pause);
        if self.wants_metadata(now) && is_due {
            let topics: Vec<String> = self.spaces.topics().iter().cloned().collect();
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            let may_create = self.settings.session.topic_auto_create;
            if self.ask_any(|session| session.request_metadata(now, &names, may_create).is_ok()) {
                if asked_at.is_some() {
                    self.inquiry.pause = (self.inquiry.pause * 2).min(PAUSE_MAX);
                }
                self.inquiry.asked_at = Some(now);
            }
        }
    }

    /// Another producer id is wanted, unless one is already.
    pub(super) fn want_producer(&mut self) {
        self.inquiry.want_producer(&mut self.spaces.producer);
    }

    /// Where nobody that is ready gives producer ids, batches go without numbers, as where the cluster refuses one;
    /// the figures of those receivers say so.
    fn number_nothing_unless_offered(&mut self) {
        let ready = self.connections.iter().flatten().filter_map(|connection| {
            Some((connection.target.address, connection.gives_producer_ids()?))
        });
        // None at all, where the last session has just ended; true, where somebody gives them.
        if ready.clone().map(|(_, gives)| gives).max() != Some(false) {
            return;
        }
        let reason = CommandError::NotOffered(ApiKey::InitProducerId).to_string();
        for (address, _) in ready {
            self.tally.note_failure(address, reason.clone());
        }
        self.spaces.producer = Producer::Unnumbered;
    }

    /// When the cluster is to be asked without an event.
    pub(super) fn inquiry_timeout(&self, now: Moment) -> Option<Moment> {
        let asked_again = |asked: Option<Moment>, pause| asked.map_or(now, |at| at.after(pause));
        let inquiry = &self.inquiry;
        let has_session = self.connections.iter().flatten().any(Connection::is_ready);
        let producer = (self.spaces.producer == Producer::Wanted && has_session)
            .then(|| asked_again(inquiry.asked_producer_at, PAUSE_MAX));
        let metadata = (inquiry.has_metadata && has_session).then(|| {
            if self.wants_metadata(now) {
                asked_again(inquiry.asked_at, inquiry.pause)
            } else {
                let age_max = self.settings.session.metadata_age_max;
                asked_again(inquiry.described_at, age_max)
            }
        });
        let unreachable = inquiry.unreachable_since.map(|at| at.after(BOOTSTRAP_AGAIN_AFTER));
        [producer, metadata, unreachable].into_iter().flatten().min()
    }

    /// Takes over what the cluster says of itself.
    pub(super) fn take_metadata(&mut self, now: Moment, view: &ClusterView) {
        self.inquiry.described_at = Some(now);
        self.spaces.update(now, view);
        for topic in &view.topics {
            if let Some(count) = self.spaces.partition_count(&topic.name) {
                self.placement.publish(&topic.name, count.get());
            }
        }
        self.leave_gone();
        if self.spaces.is_complete() {
            self.inquiry.pause = PAUSE_MIN;
        }
        if !view.brokers.is_empty() {
            self.inquiry.is_introduced = true;
            self.endpoints = view.brokers.iter().map(endpoint).collect();
            self.set_endpoints(now);
        }
        self.dispatch(now);
    }

    /// A broker says who leads the partition now (KIP-951): true where that is news.
    pub(super) fn take_hint(&mut self, now: Moment, id: SpaceId, hint: &Leader) -> bool {
        let space = self.spaces.get(id);
        if hint.epoch <= space.leader_epoch {
            return false;
        }
        let leader = broker_endpoint(hint.broker_id);
        space.leader = Some(leader);
        space.leader_epoch = hint.epoch;
        if let Some(broker) = &hint.broker
            && !self.endpoints.iter().any(|known| known.id == leader)
        {
            self.endpoints.push(endpoint(broker));
            self.set_endpoints(now);
        }
        true
    }

    /// Whether there is a reason to ask for metadata.
    fn wants_metadata(&self, now: Moment) -> bool {
        let age_max = self.settings.session.metadata_age_max;
        let is_old = |at: Moment| now.since(at) >= age_max;
        // A leader that is not connected may have been replaced without telling us.
        let is_away = |leader: Option<EndpointId>| {
            !self.connections.iter().flatten().any(|connection| {
                connection.is_ready() && Some(connection.target.endpoint) == leader
            })
        };
        self.inquiry.described_at.is_none_or(is_old)
            || !self.spaces.is_complete()
            || self.spaces.awaited_leaders().any(is_away)
    }

    /// Adds the hosts of the URL, or those that a discovery found last, where no broker was reachable for too long.
    fn bootstrap_again(&mut self, now: Moment) {
        if self.connections.iter().flatten().any(Connection::is_ready) {
            self.inquiry.unreachable_since = None;
            return;
        }
        let since = *self.inquiry.unreachable_since.get_or_insert(now);
        if now.since(since) >= BOOTSTRAP_AGAIN_AFTER {
            self.inquiry.unreachable_since = Some(now);
            self.hosts.replace_in(&mut self.endpoints);
            self.set_endpoints(now);
        }
    }

    /// Takes over the hosts that a discovery found. A cluster's own word on its brokers has precedence:
    /// there they are only where to begin, and to begin again, which they may be doing.
    pub(super) fn take_hosts(&mut self, now: Moment) {
        if self.hosts.update()
            && (!self.inquiry.has_metadata
                || !self.inquiry.is_introduced
                || self.endpoints.iter().any(|known| is_host(known.id)))
        {
            self.hosts.replace_in(&mut self.endpoints);
            self.set_endpoints(now);
        }
    }

    pub(super) fn set_endpoints(&mut self, now: Moment) {
        // Without them there is no use in connecting; they are on their way.
        if self.credentials.keyring().is_none() {
            return;
        }
        // Refused only beyond the fleet's limit of endpoints: then the known ones stay.
        let _known_stay = self.fleet.set_endpoints(now, &self.endpoints);
    }

    /// Runs `ask` on the next session that is ready and for which it succeeds.
    fn ask_any(&mut self, mut ask: impl FnMut(&mut Session) -> bool) -> bool {
        let count = self.connections.len();
        for _ in 0..count {
            self.inquiry.turn = (self.inquiry.turn + 1) % count;
            let connection = self.connections[self.inquiry.turn].as_mut();
            let session = connection.filter(|known| known.is_ready()).and_then(Connection::session);
            if session.is_some_and(&mut ask) {
                return true;
            }
        }
        false
    }
}

fn endpoint(broker: &BrokerView) -> fleet::Endpoint {
    fleet::Endpoint { id: broker_endpoint(broker.id), host: broker.host.clone(), port: broker.port }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the epochs used up each dispatch says so, and as long as a question is due there is a dispatch every
    /// 100 microseconds.
    #[test]
    fn a_producer_id_that_is_wanted_over_and_over_is_asked_for_once_a_second() {
        let mut inquiry = Inquiry::new(TargetMode::Kafka);
        let used_up = Producer::Known { id: 1, epoch: i16::MAX };
        let mut producer = used_up;
        let mut asked = Vec::new();
        for now in (0..35_000).map(|tick| Moment(tick * 100_000)) {
            inquiry.want_producer(&mut producer);
            assert_eq!(producer, Producer::Wanted);
            if inquiry.asks_producer(now, producer) {
                asked.push(now.0 / 1_000_000);
            }
        }
        assert_eq!(asked, [0, 1_000, 2_000, 3_000]);
        // Of the next id nothing was asked before.
        producer = used_up;
        assert!(!inquiry.asks_producer(Moment(3_500_000_000), producer));
        inquiry.want_producer(&mut producer);
        assert!(inquiry.asks_producer(Moment(3_500_000_000), producer));
    }
}
