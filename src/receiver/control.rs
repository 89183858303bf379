//! How the loop is told to stop, from any thread.

use std::io;
use std::sync::OnceLock;

use mio::Waker;

use crate::ids::Moment;

/// Shared by the loop and whoever may stop it.
pub(crate) struct Control {
    stop_by: OnceLock<Moment>,
    waker: Waker,
}

impl Control {
    pub fn new(waker: Waker) -> Self {
        Self { stop_by: OnceLock::new(), waker }
    }

    /// Asks the loop to stop by `deadline`. The first call counts.
    pub fn stop(&self, deadline: Moment) -> io::Result<()> {
        self.stop_by.get_or_init(|| deadline);
        self.waker.wake()
    }

    /// Has the loop look at what may have come.
    pub fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// The deadline, once it was asked to stop.
    pub fn stop_by(&self) -> Option<Moment> {
        self.stop_by.get().copied()
    }
}
