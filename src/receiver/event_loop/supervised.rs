//! The loop under supervision: what a panic costs, and how it starts over.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;

use crate::receiver::ReceiverError;
use crate::receiver::event_loop::EventLoop;
use crate::receiver::slab::Slab;
use crate::receiver::stats;
use crate::receiver::store::StoreError;

/// Pause after a caught panic, so that one that comes back at once does not burn a core.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(100);

impl EventLoop {
    /// Runs until it is told to stop, then answers what it has, within the deadline given with it. A panic is
    /// counted and ends all connections; the loop starts over with what is in the files. Fails when readiness
    /// events are refused, or the files cannot be read after a panic.
    pub fn run_supervised(mut self) -> Result<(), ReceiverError> {
        loop {
            // Unwind safety: what a panic may have left half done is dropped, or read anew from the files.
            match catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(ended) => {
                    let now = self.clock.moment();
                    let deadline = self.control.stop_by().unwrap_or(now);
                    self.service.stop(deadline.since(now));
                    return Ok(ended?);
                }
                Err(_panic) => {
                    stats::add(&self.counters.panics, 1);
                    self.start_over()?;
                    std::thread::sleep(PAUSE_AFTER_PANIC);
                }
            }
        }
    }

    fn start_over(&mut self) -> Result<(), StoreError> {
        self.connections = Slab::new();
        self.ready.clear();
        self.holding.clear();
        self.count_open();
        let now = self.clock.moment();
        // Edges that came while nobody looked are lost: what waits is accepted at the next tick.
        self.accept_again = true;
        (self.next_tick, self.next_sync) = (Some(now), None);
        self.service.start_over(&self.options, now)
    }
}
