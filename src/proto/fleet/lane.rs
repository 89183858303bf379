//! One lane: its phase, what it is bound to, what is in flight on it.
//!
//! Invariants: `in_flight_bytes` is the sum of `in_flight`, which is in the order of assignment, so
//! the front is the oldest; a lane has a target in the phases from `Connecting` to `Closing` and
//! only there. A lane keeps its identity and its totals when it is rebound.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::fleet::Batch;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::Options;
use crate::proto::fleet::backoff::Backoff;
use crate::proto::fleet::candidate::Target;
use crate::proto::fleet::meter::Latency;
use crate::proto::fleet::meter::Recent;
use crate::proto::fleet::meter::Totals;
use crate::proto::fleet::rebind::Quota;

/// Where a lane is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneState {
    /// Not wanted at present.
    Idle,
    /// Waits for its own backoff, for a candidate, or for its turn to connect.
    Backoff,
    /// Waits for fresh addresses.
    Resolving,
    /// Waits for the connection.
    Connecting,
    /// Waits for TLS and the protocol's greeting.
    Handshaking,
    /// Takes batches.
    Ready,
    /// Takes no more batches and waits for the last acknowledgement.
    Draining,
    /// Waits for `handle_closed`.
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Backoff,
    Resolving { until: Moment },
    Connecting { deadline: Moment },
    Handshaking { deadline: Moment },
    Ready,
    Draining { reason: CloseReason },
    Closing { reason: CloseReason },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) batch: Batch,
    pub(super) since: Moment,
}

#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) phase: Phase,
    /// The only endpoint it may bind to, in Kafka mode.
    pub(super) pinned: Option<EndpointId>,
    pub(super) target: Option<Target>,
    pub(super) in_flight: VecDeque<InFlight>,
    pub(super) in_flight_bytes: u64,
    /// Failures in a row of this lane, whatever it was bound to: behind a load balancer one address
    /// is both healthy and not.
    pub(super) backoff: Backoff,
    pub(super) not_before: Moment,
    pub(super) bound_at: Moment,
    pub(super) last_activity: Moment,
    pub(super) heartbeat_at: Option<Moment>,
    pub(super) quota: Quota,
    /// On its way from one candidate to the next by our own decision.
    pub(super) is_moving: bool,
    /// Becomes idle when it is closed.
    pub(super) is_retiring: bool,
    pub(super) latency: Latency,
    pub(super) recent: Recent,
    pub(super) totals: Totals,
    pub(super) rebinds: u64,
    pub(super) failures: u64,
}

impl Lane {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            phase: Phase::Idle,
            pinned: None,
            target: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            backoff: Backoff::default(),
            not_before: now,
            bound_at: now,
            last_activity: now,
            heartbeat_at: None,
            quota: Quota::default(),
            is_moving: false,
            is_retiring: false,
            latency: Latency::default(),
            recent: Recent::new(now),
            totals: Totals::default(),
            rebinds: 0,
            failures: 0,
        }
    }

    pub(super) fn state(&self) -> LaneState {
        match self.phase {
            Phase::Idle => LaneState::Idle,
            Phase::Backoff => LaneState::Backoff,
            Phase::Resolving { .. } => LaneState::Resolving,
            Phase::Connecting { .. } => LaneState::Connecting,
            Phase::Handshaking { .. } => LaneState::Handshaking,
            Phase::Ready => LaneState::Ready,
            Phase::Draining { .. } => LaneState::Draining,
            Phase::Closing { .. } => LaneState::Closing,
        }
    }

    /// Whether it counts among the lanes that are wanted.
    pub(super) fn is_wanted(&self) -> bool {
        self.phase != Phase::Idle && !self.is_retiring
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. } | Phase::Handshaking { .. })
    }

    /// Whether it is bound and means to stay.
    pub(super) fn is_settled(&self) -> bool {
        self.is_connecting() || self.phase == Phase::Ready
    }

    /// Whether it has no connection and looks for a candidate, now or soon.
    pub(super) fn is_unbound(&self) -> bool {
        matches!(self.phase, Phase::Backoff | Phase::Resolving { .. } | Phase::Closing { .. })
    }

    /// Whether its windows let the batch in.
    pub(super) fn has_room(&self, options: &Options, bytes: u32) -> bool {
        self.in_flight.is_empty()
            || (self.in_flight.len() < options.in_flight_batches_max
                && self.in_flight_bytes + u64::from(bytes) <= options.in_flight_bytes_max)
    }

    /// How long the oldest batch has been waiting.
    pub(super) fn oldest_age(&self, now: Moment) -> Duration {
        self.in_flight.front().map_or(Duration::ZERO, |oldest| now.since(oldest.since))
    }

    pub(super) fn take(&mut self, now: Moment, batch: Batch) {
        self.in_flight.push_back(InFlight { batch, since: now });
        self.in_flight_bytes += u64::from(batch.bytes);
        self.last_activity = now;
        self.quota.spend(batch.bytes, batch.records);
        self.recent.add(now, batch.bytes);
    }

    /// Takes the batch with this token out, if it is in flight here.
    pub(super) fn release(&mut self, token: u64) -> Option<InFlight> {
        let position = self.in_flight.iter().position(|entry| entry.batch.token == token)?;
        let entry = self.in_flight.remove(position)?;
        self.in_flight_bytes -= u64::from(entry.batch.bytes);
        Some(entry)
    }

    /// Notes that the receiver said something.
    pub(super) fn progress(&mut self, now: Moment) {
        self.last_activity = now;
        self.heartbeat_at = None;
    }

    /// When the fleet has to look at it next.
    pub(super) fn timer(&self, options: &Options) -> [Option<Moment>; 3] {
        let acknowledgement = self
            .in_flight
            .front()
            .map(|oldest| oldest.since.after(options.acknowledgement_deadline));
        match self.phase {
            Phase::Idle | Phase::Closing { .. } => [None; 3],
            Phase::Backoff => [Some(self.not_before), None, None],
            Phase::Resolving { until } => [Some(until), None, None],
            Phase::Connecting { deadline } | Phase::Handshaking { deadline } => {
                [Some(deadline), None, None]
            }
            Phase::Ready => [acknowledgement, self.quota.until(), self.heartbeat_timer(options)],
            Phase::Draining { .. } => [acknowledgement, None, None],
        }
    }

    /// When a heartbeat is due, or when the one that was sent counts as missed.
    pub(super) fn heartbeat_timer(&self, options: &Options) -> Option<Moment> {
        match self.heartbeat_at {
            Some(at) => Some(at.after(options.acknowledgement_deadline)),
            None if self.in_flight.is_empty() => {
                Some(self.last_activity.after(options.heartbeat_interval))
            }
            None => None,
        }
    }
}
