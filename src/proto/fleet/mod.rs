//! The fleet: every decision about connections, and no connection.
//!
//! It decides which address a lane connects to, when it gives up, waits and tries again, when it
//! moves to another receiver, and which lane gets the next batch. The driver owns sockets,
//! resolver, sessions and the clock; the fleet never sees any of them.
//!
//! ```text
//!                    set_endpoints                      assign, handle_acknowledged
//!                         |                                        |
//!   endpoint --Resolve--> addresses = candidates    lanes = slots, each bound to one candidate
//!   (name, port)          active -> ejected ->      Idle -> Backoff <-> Resolving -> Connecting ->
//!                         half-open -> active       Handshaking -> Ready -> Draining -> Closing -> ..
//! ```
//!
//! # Calling order
//!
//! Four families of methods on [`Fleet`], as in quinn-proto:
//!
//! * `handle_*(now, ..)` tells what happened outside. [`Fleet::handle_timeout`] is called when the
//!   moment that [`Fleet::poll_timeout`] named has come; too early or too often does no harm.
//! * Commands: [`Fleet::set_endpoints`], [`Fleet::assign`], [`Fleet::shutdown`].
//! * `poll_action` until it gives `None`, then `poll_timeout`, after any of the above.
//! * Getters: [`Fleet::lanes`], [`Fleet::candidates`], for the statistics.
//!
//! For each [`Action`] the driver owes one answer, at any later time: `Resolve` is answered by
//! [`Fleet::handle_resolved`] or [`Fleet::handle_resolve_failed`], which name the host that was asked for (where
//! the endpoint's host changes there is another `Resolve`, and the answer to the former does not count),
//! `Connect` by [`Fleet::handle_connected`] and [`Fleet::handle_ready`] or by
//! [`Fleet::handle_connecting_failed`], `Close` by [`Fleet::handle_closed`] (also when there is no
//! socket left to close). After `Close` nothing else is expected of that lane. Events that do not fit
//! the lane's state are ignored, so a late one does no harm. `now` may stand still; where it runs
//! backwards it is taken as standing still.
//!
//! When `assign` gives `None`, nothing may be sent at present; ask again after the next event.
//!
//! # What holds
//!
//! * A token given to `assign` is in flight on exactly one lane, until it is acknowledged, returned,
//!   or handed back by `handle_closed`.
//! * No lane ever exceeds `in_flight_batches_max`; none exceeds `in_flight_bytes_max` but with one
//!   single batch that is larger.
//! * Rebinding leaves no batch in doubt: a lane closes for it only with nothing in flight.
//! * The moment of `poll_timeout` lies after the last `now`, so a driver cannot spin.
//! * Memory is bounded by [`ENDPOINTS_MAX`], [`CANDIDATES_MAX`] and the windows.

use std::time::Duration;

use crate::ids::EndpointId;
use crate::ids::LaneId;

mod addresses;
mod backoff;
mod balance;
mod bind;
mod candidate;
mod endpoint;
#[allow(clippy::module_inception, reason = "the file is named after its one type")]
mod fleet;
mod lane;
mod lane_count;
mod meter;
mod random;
mod rebind;
#[cfg(test)]
mod tests;
mod views;

pub use candidate::CandidateState;
pub use candidate::Target;
pub use endpoint::ENDPOINTS_MAX;
pub use endpoint::EndpointsError;
pub use fleet::Fleet;
pub use lane::LaneState;
pub use meter::Totals;
pub use views::CandidateView;
pub use views::LaneView;

/// At most this many addresses are known at a time over all endpoints; further ones are ignored.
/// The last 64 removed addresses are remembered among them, with their totals and their backoff.
pub const CANDIDATES_MAX: usize = 1024;

/// At most this many lanes; larger numbers in [`Options`] are taken as this.
pub const LANES_MAX: usize = 1024;

/// How a fleet behaves. Counts of zero are taken as one, times below 1 ms as 1 ms.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of lanes; 0 is automatic: one per candidate, at least two, at most `lanes_max`.
    pub lanes: usize,
    /// Bound of the automatic number.
    pub lanes_max: usize,
    /// Kafka mode: exactly one lane, pinned, for each endpoint; `lanes`, `lanes_max` and `rebind_*` are unused, since
    /// a lane that moved would come back to where it was.
    pub one_lane_per_endpoint: bool,
    /// From `Connect` to `handle_ready`, so it includes TLS and the protocol's greeting.
    pub connect_timeout: Duration,
    /// How many lanes may be connecting or handshaking at the same time.
    pub concurrent_connects_max: usize,
    /// Ceiling of the first delay after a failure; doubled by each further one (full jitter).
    pub backoff_min: Duration,
    /// Ceiling of every delay after a failure.
    pub backoff_max: Duration,
    /// A lane whose oldest batch waits this long for its acknowledgement is closed.
    pub acknowledgement_deadline: Duration,
    /// A lane moves after about this many bytes (each `rebind_*` is drawn anew per binding, ±15 %).
    pub rebind_bytes: Option<u64>,
    /// A lane moves after about this many records.
    pub rebind_records: Option<u64>,
    /// A lane moves after about this time.
    pub rebind_interval: Option<Duration>,
    /// A lane on which nothing happened for this long is asked for a sign of life.
    pub heartbeat_interval: Duration,
    /// Unacknowledged batches per lane (Kafka's idempotent producer allows 5 per partition).
    pub in_flight_batches_max: usize,
    /// Unacknowledged bytes per lane; a single larger batch passes when the lane is empty.
    pub in_flight_bytes_max: u64,
}

impl Default for Options {
    /// Receivers mode, with the timers of design §4.
    fn default() -> Self {
        Self {
            lanes: 0,
            lanes_max: 16,
            one_lane_per_endpoint: false,
            connect_timeout: Duration::from_secs(3),
            concurrent_connects_max: 8,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            acknowledgement_deadline: Duration::from_secs(10),
            rebind_bytes: None,
            rebind_records: None,
            rebind_interval: None,
            heartbeat_interval: Duration::from_secs(5),
            in_flight_batches_max: 5,
            in_flight_bytes_max: 4 << 20,
        }
    }
}

impl Options {
    /// Within the bounds that the fleet relies on: no timer is due at the moment it is set.
    fn bounded(self) -> Self {
        let at_least = |duration: Duration| duration.max(Duration::from_millis(1));
        let moves = !self.one_lane_per_endpoint;
        Self {
            lanes: self.lanes.min(LANES_MAX),
            lanes_max: self.lanes_max.clamp(1, LANES_MAX),
            connect_timeout: at_least(self.connect_timeout),
            concurrent_connects_max: self.concurrent_connects_max.max(1),
            backoff_min: at_least(self.backoff_min),
            backoff_max: at_least(self.backoff_max),
            acknowledgement_deadline: at_least(self.acknowledgement_deadline),
            rebind_bytes: self.rebind_bytes.filter(|_| moves),
            rebind_records: self.rebind_records.filter(|_| moves),
            rebind_interval: self.rebind_interval.filter(|_| moves).map(at_least),
            heartbeat_interval: at_least(self.heartbeat_interval),
            in_flight_batches_max: self.in_flight_batches_max.max(1),
            ..self
        }
    }
}

/// A named place that takes batches; its addresses are found by resolving the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What the driver calls it; unique within the fleet.
    pub id: EndpointId,
    /// Host name or literal address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A batch, as far as the fleet is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The driver's name for it, handed back when the batch leaves a lane; unique among those in
    /// flight on one lane.
    pub token: u64,
    /// Bytes on the wire.
    pub bytes: u32,
    /// Records in it.
    pub records: u32,
}

/// What the driver is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close the lane's connection, then report `handle_closed`. What is in flight stays valid until
    /// then. With [`CloseReason::is_clean`], nothing is in flight: close in the protocol's good order.
    Close {
        /// The lane.
        lane: LaneId,
        /// Why.
        reason: CloseReason,
    },
    /// Open a connection, within `connect_timeout` (which the fleet watches).
    Connect {
        /// The lane.
        lane: LaneId,
        /// Where to.
        target: Target,
    },
    /// Send something that the receiver answers; the answer is reported by `handle_progress`. Where
    /// a protocol has no such thing, call `handle_progress` at once.
    Heartbeat {
        /// The lane.
        lane: LaneId,
    },
    /// Find all addresses of the name that [`Fleet::endpoint`] has, off the sender's thread.
    Resolve(EndpointId),
}

impl Action {
    /// The lane it is about, if any.
    pub fn lane(&self) -> Option<LaneId> {
        match self {
            Self::Close { lane, .. } | Self::Connect { lane, .. } | Self::Heartbeat { lane } => {
                Some(*lane)
            }
            Self::Resolve(_) => None,
        }
    }
}

/// Why a lane is closed by the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CloseReason {
    /// The oldest batch was not acknowledged in time: failed, the batches are in doubt.
    AcknowledgementDeadline,
    /// Not ready in time: failed.
    ConnectDeadline,
    /// The endpoint or address is gone, or fewer lanes are wanted: drained.
    EndpointRemoved,
    /// No sign of life after a heartbeat within the acknowledgement deadline: failed.
    HeartbeatMissed,
    /// The lane moves on: drained.
    Rebind,
    /// [`Fleet::shutdown`]: drained.
    Shutdown,
}

impl CloseReason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::AcknowledgementDeadline => "a batch was not acknowledged in time",
            Self::ConnectDeadline => "no connection was made and ready in time",
            Self::EndpointRemoved => "the address is gone",
            Self::HeartbeatMissed => "it was silent after a heartbeat",
            Self::Rebind => "the lane moved on",
            Self::Shutdown => "the client was closed",
        }
    }

    /// Whether the lane has drained, so that no batch is in doubt.
    pub fn is_clean(self) -> bool {
        match self {
            Self::EndpointRemoved | Self::Rebind | Self::Shutdown => true,
            Self::AcknowledgementDeadline | Self::ConnectDeadline | Self::HeartbeatMissed => false,
        }
    }
}
