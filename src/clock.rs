//! The only reader of clocks. Everything else takes the time as an argument.

use std::time::Instant;

use crate::ids::Moment;

/// A process-wide clock; cheap to copy, safe to share.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock.
    #[allow(clippy::disallowed_methods, reason = "this module is the reader of clocks")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The monotonic clock, counted from this clock's start.
    pub fn moment(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
