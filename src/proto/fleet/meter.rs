//! What is measured per lane and per candidate: latency, recent load, totals.
//!
//! Plain numbers that know nothing of lanes; every reading that ages takes the time.

use std::time::Duration;

use crate::ids::Moment;

/// What was acknowledged since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Acknowledged batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes, as given to [`Fleet::assign`](crate::proto::fleet::Fleet::assign).
    pub bytes: u64,
}

impl Totals {
    pub(super) fn add(&mut self, records: u32, bytes: u32) {
        self.batches += 1;
        self.records += u64::from(records);
        self.bytes = self.bytes.saturating_add(u64::from(bytes));
    }
}

/// Acknowledgement latency, smoothed as TCP smooths its round trip (RFC 6298 §2: weight 1/8).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    smoothed: Option<(Duration, Moment)>,
}

impl Latency {
    pub(super) fn sample(&mut self, now: Moment, sample: Duration) {
        let smoothed = self.aged(now).map_or(sample, |earlier| (earlier * 7 + sample) / 8);
        self.smoothed = Some((smoothed, now));
    }

    /// The smoothed value, for display.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|(smoothed, _)| smoothed)
    }

    /// The smoothed value, halved for each [`LATENCY_HALF_LIFE`] without a sample: a lane that was
    /// slow once and therefore gets nothing would otherwise never be measured again.
    pub(super) fn aged(&self, now: Moment) -> Option<Duration> {
        self.smoothed.map(|(smoothed, at)| smoothed.mul_f64(halved(now, at, LATENCY_HALF_LIFE)))
    }
}

/// Bytes handed out lately: a sum in which each byte weighs half as much per [`RECENT_HALF_LIFE`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Recent {
    bytes: f64,
    at: Moment,
}

impl Recent {
    pub(super) fn new(now: Moment) -> Self {
        Self { bytes: 0.0, at: now }
    }

    pub(super) fn bytes(&self, now: Moment) -> f64 {
        self.bytes * halved(now, self.at, RECENT_HALF_LIFE)
    }

    pub(super) fn add(&mut self, now: Moment, bytes: u32) {
        *self = Self { bytes: self.bytes(now) + f64::from(bytes), at: now };
    }

    /// Lifts the sum to `floor`, so that a newcomer joins the others instead of catching up.
    pub(super) fn raise(&mut self, now: Moment, floor: f64) {
        *self = Self { bytes: self.bytes(now).max(floor), at: now };
    }
}

fn halved(now: Moment, since: Moment, half_life: Duration) -> f64 {
    (-(now.since(since).as_secs_f64() / half_life.as_secs_f64())).exp2()
}

/// A lane that needed 1 s is tried again after about 14 s (seven halvings to the 10 ms that count as
/// good), with one batch; if it is as slow as before, that batch alone waits.
const LATENCY_HALF_LIFE: Duration = Duration::from_secs(2);

/// Far above the time between batches, far below a rebind period.
const RECENT_HALF_LIFE: Duration = Duration::from_secs(10);
