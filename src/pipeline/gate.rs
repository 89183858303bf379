//! Flush: a caller asks, the batcher seals what was accepted, the sender says how far all is resolved.
//!
//! Owns the only waiting that the public API does. Nothing on the call path comes here.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Called whenever more batches are resolved.
pub type Watcher = Box<dyn Fn() + Send + Sync>;

/// See the module's head.
#[derive(Default)]
pub struct Gate {
    requested: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
    watcher: Option<Watcher>,
}

#[derive(Debug, Default)]
struct State {
    /// The highest request for which everything accepted before it was committed.
    served: u64,
    /// The last batch committed when that request was served; none where nothing was logged yet.
    last_batch: Option<u64>,
    /// Every batch up to this one is acknowledged or accounted for.
    resolved_through: Option<u64>,
}

impl Gate {
    /// A gate that also calls `watcher`, from the sender's thread, when more batches are resolved.
    pub fn watched_by(watcher: Watcher) -> Self {
        Self { watcher: Some(watcher), ..Self::default() }
    }

    /// Asks the batcher to seal everything accepted so far; to be waited for with [`Gate::wait`].
    pub fn request(&self) -> u64 {
        // AcqRel: partner is `requested`; what the caller logged before is visible to the batcher.
        self.requested.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The newest request; to be read by the batcher before it drains.
    pub fn requested(&self) -> u64 {
        // Acquire: partner is `request`.
        self.requested.load(Ordering::Acquire)
    }

    /// The batcher has committed everything accepted before `request`.
    pub fn serve(&self, request: u64, last_batch: Option<u64>) {
        let mut state = self.lock();
        if request > state.served {
            state.served = request;
            state.last_batch = last_batch;
            self.changed.notify_all();
        }
    }

    /// The sender has resolved every batch up to `batch`.
    pub fn resolve(&self, batch: u64) {
        let mut state = self.lock();
        if state.resolved_through.is_none_or(|through| through < batch) {
            state.resolved_through = Some(batch);
            self.changed.notify_all();
            drop(state);
            if let Some(watcher) = &self.watcher {
                watcher();
            }
        }
    }

    /// Every batch up to this one is resolved; none where not even the first is.
    pub fn resolved_through(&self) -> Option<u64> {
        self.lock().resolved_through
    }

    /// Waits until every batch up to `batch` is resolved; false where `deadline` passes first.
    pub fn wait_through(&self, batch: u64, deadline: Duration) -> bool {
        let is_pending = |state: &mut State| state.resolved_through < Some(batch);
        let waited = self.changed.wait_timeout_while(self.lock(), deadline, is_pending);
        let (_state, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        !timed_out.timed_out()
    }

    /// Waits until everything accepted before `request` is resolved; false where `deadline` passes first.
    pub fn wait(&self, request: u64, deadline: Duration) -> bool {
        // Batches of later requests do not matter: the first one that covers ours is noted once.
        let mut target: Option<Option<u64>> = None;
        let is_pending = |state: &mut State| {
            if target.is_none() && state.served >= request {
                target = Some(state.last_batch);
            }
            target.is_none_or(|last_batch| state.resolved_through < last_batch)
        };
        let waited = self.changed.wait_timeout_while(self.lock(), deadline, is_pending);
        let (_state, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        !timed_out.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock still guards three plain numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_ends_when_it_is_served_and_resolved() {
        let gate = Gate::default();
        let request = gate.request();
        assert!(!gate.wait(request, Duration::ZERO), "not served");
        gate.serve(request, Some(7));
        assert!(!gate.wait(request, Duration::ZERO), "not resolved");
        gate.resolve(6);
        assert!(!gate.wait(request, Duration::ZERO), "batch 7 is not resolved");
        gate.resolve(7);
        assert!(gate.wait(request, Duration::ZERO));
        let nothing_new = gate.request();
        gate.serve(nothing_new, Some(7));
        assert!(gate.wait(nothing_new, Duration::ZERO));
    }

    #[test]
    fn a_watcher_is_told_of_progress_only() {
        let calls = std::sync::Arc::new(AtomicU64::new(0));
        let seen = calls.clone();
        let gate = Gate::watched_by(Box::new(move || {
            seen.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(gate.resolved_through(), None);
        assert!(!gate.wait_through(0, Duration::ZERO), "the first batch has number 0");
        for batch in [0, 4, 4, 2] {
            gate.resolve(batch);
        }
        assert_eq!((gate.resolved_through(), calls.load(Ordering::Relaxed)), (Some(4), 2));
        assert!(gate.wait_through(4, Duration::ZERO) && !gate.wait_through(5, Duration::ZERO));
    }

    #[test]
    fn a_flush_before_the_first_record_needs_no_batch() {
        let gate = Gate::default();
        let request = gate.request();
        gate.serve(request, None);
        assert!(gate.wait(request, Duration::ZERO));
    }
}
