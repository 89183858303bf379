//! The sender's figures, published once per round where anything changed.
//!
//! Delivered, dropped and stored come from the spools (they are derived, not counted beside them); what is counted here
//! is only what no spool knows: retries, rebinds.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::pipeline::sender::Sender;
use crate::pipeline::sender::flights::OWN;
use crate::proto::fleet::CANDIDATES_MAX;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::LaneState;
use crate::spool::DropReason;
use crate::spool::Ended;
use crate::spool::Totals;
use crate::stats::ReceiverStats;
use crate::stats::SenderStats;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Tally {
    /// Attempts beyond the first.
    pub retries: u64,
    /// Acknowledgements at offsets that were acknowledged before.
    pub regressions: u64,
    /// Milliseconds of silence that brokers asked for.
    pub throttled_ms: u64,
    /// All slots of the dead were given to us.
    pub adoption_seen: bool,
    rebinds: u64,
    /// Why the last connection to an address failed.
    failures: BTreeMap<SocketAddr, String>,
}

impl Tally {
    /// A connection to `address` failed.
    pub fn note_failure(&mut self, address: SocketAddr, reason: String) {
        if self.failures.len() >= CANDIDATES_MAX && !self.failures.contains_key(&address) {
            self.failures.pop_first();
        }
        self.failures.insert(address, reason);
    }

    fn last_failure(&self, address: SocketAddr) -> String {
        self.failures.get(&address).cloned().unwrap_or_default()
    }

    /// The fleet closed a lane.
    pub fn count_close(&mut self, reason: CloseReason) {
        self.rebinds += u64::from(reason == CloseReason::Rebind);
    }
}

impl Sender {
    /// Publishes the figures, then how far our own batches are resolved: who waits for that finds
    /// figures that include it.
    pub(super) fn report(&mut self) {
        self.note_troubles();
        for loss in self.flights.take_losses() {
            self.handover.add_loss(loss);
            self.announcer.announce_loss(loss);
        }
        self.store_ended();
        let stats = self.figures();
        self.announcer.announce_receivers(&stats.receivers);
        *self.counters.sender() = stats;
        let (through, taken) = (self.flights.resolved_through(), self.flights.own_taken());
        self.gate.resolve(through, taken, self.flights.take_changes());
    }

    /// Takes what the spools' readers met; before a source is removed, since its reader goes with it.
    pub(super) fn note_troubles(&mut self) {
        let (damages, errors) = self.flights.take_troubles();
        self.counters.batch.spool_damages.add(damages);
        self.counters.batch.spool_errors.add(errors);
    }

    /// Where our memory dies with us, an adopter knows then what was no loss.
    fn store_ended(&mut self) {
        if let Some(arena) = &self.arena
            && let Some(own) = self.flights.source(OWN)
        {
            let Ended { before, doubtful } = own.reader.ended_records();
            arena.store_ended(before, doubtful);
        }
    }

    fn figures(&self) -> SenderStats {
        let (adopted_delivered, adopted_dropped) = self.flights.adopted_ended();
        let mut stats = SenderStats {
            retries: self.tally.retries,
            acknowledgement_regressions: self.tally.regressions,
            throttled_ms: self.tally.throttled_ms,
            rebinds: self.tally.rebinds,
            discovery_failures: self.hosts.failures(),
            adoption_done: self.tally.adoption_seen,
            adopted_delivered,
            adopted_dropped,
            tls_unverified: self.settings.tls.insecure_skip_verification,
            sasl_cleartext: self.settings.sasl.insecure_cleartext,
            credentials_reloads: u64::from(self.credentials.generation),
            credentials_failures: self.credentials.failures,
            credentials_failure: self.credentials.last_failure.clone(),
            receivers: self.receivers(),
            ..SenderStats::default()
        };
        for (index, source) in self.flights.sources() {
            let totals = source.reader.totals();
            stats.stored += totals.stored_records;
            stats.stored_bytes += totals.stored_bytes;
            if index == OWN {
                stats.delivered = totals.delivered;
                stats.unconfirmed = totals.unconfirmed;
                stats.damaged = totals.damaged;
                stats.dropped = dropped(&totals);
            } else {
                stats.adopted_slots += 1;
                stats.adopted_stored += totals.stored_records;
            }
        }
        stats.bytes_wire = stats.receivers.iter().map(|receiver| receiver.bytes).sum();
        stats
    }

    fn receivers(&self) -> Vec<ReceiverStats> {
        let connected: Vec<_> = self
            .fleet
            .lanes()
            .filter(|lane| matches!(lane.state, LaneState::Ready | LaneState::Draining))
            .filter_map(|lane| lane.target)
            .collect();
        self.fleet
            .candidates()
            .map(|candidate| ReceiverStats {
                address: candidate.target.address.to_string(),
                is_connected: connected.contains(&candidate.target),
                batches: candidate.acknowledged.batches,
                records: candidate.acknowledged.records,
                bytes: candidate.acknowledged.bytes,
                failures: candidate.failures,
                last_failure: self.tally.last_failure(candidate.target.address),
            })
            .collect()
    }
}

fn dropped(totals: &Totals) -> Vec<(&'static str, u64)> {
    DropReason::ALL
        .into_iter()
        .map(|reason| (reason.name(), totals.dropped[reason as usize]))
        .filter(|(_, count)| *count > 0)
        .collect()
}
