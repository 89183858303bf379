//! Flush: a caller asks, the batcher seals what was accepted, the sender says how far all is resolved.
//!
//! Owns the only waiting that the public API does. Nothing on the call path comes here. Who waits for single batches
//! (a relay, for its producers) learns of each, whatever became of those before it; only what changed is told, since
//! many may wait.

use std::collections::BTreeSet;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Called whenever more batches may be resolved.
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
    /// Where there is a watcher: the last batch up to which all are resolved but those in `unresolved`.
    taken: Option<u64>,
    unresolved: BTreeSet<u64>,
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

    /// The sender has resolved every batch up to `through`, and has read those up to `taken`; `changes` are the batches
    /// that were read or resolved since the last call, and whether each is unresolved.
    pub fn resolve(
        &self,
        through: Option<u64>,
        taken: Option<u64>,
        changes: impl Iterator<Item = (u64, bool)>,
    ) {
        let mut state = self.lock();
        if state.resolved_through < through {
            state.resolved_through = through;
            self.changed.notify_all();
        }
        let Some(watcher) = &self.watcher else {
            // Nobody asks for single batches.
            return changes.for_each(drop);
        };
        // What our disk lost is never read: then only a later one that is tells of it.
        let mut is_news = state.taken < taken;
        state.taken = state.taken.max(taken);
        for (batch, is_unresolved) in changes {
            if is_unresolved {
                state.unresolved.insert(batch);
            } else {
                state.unresolved.remove(&batch);
                is_news = true;
            }
        }
        drop(state);
        if is_news {
            watcher();
        }
    }

    /// Whether this batch is resolved; where there is a watcher.
    pub fn is_resolved(&self, batch: u64) -> bool {
        let state = self.lock();
        state.taken >= Some(batch) && !state.unresolved.contains(&batch)
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
        // A poisoned lock still guards plain numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(gate: &Gate, batch: u64) {
        gate.resolve(Some(batch), Some(batch), [(batch, false)].into_iter());
    }

    #[test]
    fn a_flush_ends_when_it_is_served_and_resolved() {
        let gate = Gate::default();
        let request = gate.request();
        assert!(!gate.wait(request, Duration::ZERO), "not served");
        gate.serve(request, Some(7));
        assert!(!gate.wait(request, Duration::ZERO), "not resolved");
        resolve(&gate, 6);
        assert!(!gate.wait(request, Duration::ZERO), "batch 7 is not resolved");
        resolve(&gate, 7);
        assert!(gate.wait(request, Duration::ZERO));
        let nothing_new = gate.request();
        gate.serve(nothing_new, Some(7));
        assert!(gate.wait(nothing_new, Duration::ZERO));
    }

    #[test]
    fn a_watcher_is_told_of_each_batch_whatever_became_of_those_before_it() {
        let calls = std::sync::Arc::new(AtomicU64::new(0));
        let seen = calls.clone();
        let gate = Gate::watched_by(Box::new(move || {
            seen.fetch_add(1, Ordering::Relaxed);
        }));
        let resolved = || (0..10).filter(|batch| gate.is_resolved(*batch)).collect::<Vec<_>>();
        assert!(!gate.wait_through(0, Duration::ZERO), "the first batch has number 0");
        gate.resolve(None, Some(0), [(0, true)].into_iter());
        assert_eq!((resolved(), calls.load(Ordering::Relaxed)), (vec![], 1));
        // 2 was lost on our disk, so it was never read.
        gate.resolve(None, Some(4), [(1, true), (3, true), (4, false)].into_iter());
        assert_eq!((resolved(), calls.load(Ordering::Relaxed)), (vec![2, 4], 2));
        gate.resolve(None, Some(4), [(1, false)].into_iter());
        assert_eq!((resolved(), calls.load(Ordering::Relaxed)), (vec![1, 2, 4], 3));
        gate.resolve(None, Some(4), [].into_iter());
        assert_eq!(calls.load(Ordering::Relaxed), 3, "no news");
        assert!(!gate.wait_through(0, Duration::ZERO), "0 is where it was");
        gate.resolve(Some(4), Some(4), [(0, false), (3, false)].into_iter());
        assert!(gate.wait_through(4, Duration::ZERO) && !gate.wait_through(5, Duration::ZERO));
        assert_eq!(resolved(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_flush_before_the_first_record_needs_no_batch() {
        let gate = Gate::default();
        let request = gate.request();
        gate.serve(request, None);
        assert!(gate.wait(request, Duration::ZERO));
    }
}
