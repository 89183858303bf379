//! Events on their way to the application's callback, which runs on a thread of its own (`logdrive-event`).
//!
//! Owns a bounded queue and that thread; both exist only where a callback was registered. Whatever the callback does
//! (blocks, panics, logs, asks for figures, closes the client), the pipeline's threads only ever append to the queue.
//! A callback that logs about what it is told cannot feed itself without bound: it is called in bursts, at
//! most ten in a second, and losses that touch are one event by then.
//!
//! Invariants: events are told in the order in which they were noticed; a full queue counts what it refuses; no
//! call begins once [`Notifier::stop`] has returned.

use std::collections::VecDeque;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread::ThreadId;
use std::time::Duration;

use crate::event::Event;
use crate::event::EventCallback;
use crate::own_thread;
use crate::pipeline::supervise;
use crate::stats::Counters;

/// Events that wait at most; of further ones only the number is kept (`Snapshot::events_lost`).
const QUEUE_EVENTS_MAX: usize = 1024;
/// Pause after each burst of calls.
const BURST_INTERVAL: Duration = Duration::from_millis(100);
/// How long a call that is under way is waited for at least when the client is closed, whatever the deadline.
const CALL_PATIENCE_MIN: Duration = Duration::from_secs(1);

/// Takes events; cheap to clone. Does nothing where no callback was registered.
#[derive(Clone)]
pub struct Notifier {
    shared: Option<Arc<Shared>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    callback: EventCallback,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Event>,
    /// The thread that is inside the callback now.
    calling: Option<ThreadId>,
    /// What is queued is still told, without pauses; then the thread ends.
    ends: bool,
    /// Nothing is told any more.
    is_cut: bool,
    has_ended: bool,
}

impl Notifier {
    /// A notifier without its thread, see [`Notifier::start`].
    pub fn new(callback: Option<EventCallback>, counters: Arc<Counters>) -> Self {
        let shared = callback.map(|callback| {
            let (state, changed) = (Mutex::default(), Condvar::new());
            Arc::new(Shared { state, changed, callback, counters })
        });
        Self { shared }
    }

    /// Starts the thread, where there is a callback. It is not joined: a callback may block for ever.
    pub fn start(&self) -> io::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let (parts, counters) =
            (Arc::new(Mutex::new(Some(shared.clone()))), shared.counters.clone());
        supervise::start("logdrive-event", counters, parts, |shared| shared.run()).map(drop)
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.shared.is_some()
    }

    /// Queues an event; counts it as lost where the queue is full.
    pub fn notify(&self, event: Event) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        if state.queue.iter_mut().any(|queued| merge(queued, &event)) {
            return;
        }
        if state.is_cut || state.queue.len() == QUEUE_EVENTS_MAX {
            shared.counters.events.lost.add(1);
            return;
        }
        state.queue.push_back(event);
        drop(state);
        shared.changed.notify_all();
    }

    /// Tells what is queued until `deadline`, and nothing after that. Called by the callback itself, it returns at
    /// once; otherwise it waits for a call under way, at least [`CALL_PATIENCE_MIN`].
    pub fn stop(&self, deadline: Duration) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        state.ends = true;
        shared.changed.notify_all();
        if state.calling != Some(std::thread::current().id()) {
            state = shared.wait(state, deadline, |state| !state.has_ended);
        }
        state.is_cut = true;
        shared.counters.events.lost.add(state.queue.len() as u64);
        state.queue.clear();
        if state.calling.is_some_and(|thread| thread != std::thread::current().id()) {
            drop(shared.wait(state, CALL_PATIENCE_MIN, |state| state.calling.is_some()));
        }
    }
}

impl Shared {
    fn run(&self) {
        // What the callback logs is the application's.
        own_thread::mark(false);
        while let Some(burst) = self.next_burst() {
            for _ in 0..burst {
                let Some(event) = self.begin_call() else { break };
                // Unwind safety: the callback is shared by reference and guards its own state.
                let outcome = catch_unwind(AssertUnwindSafe(|| self.callback.call(&event)));
                if let Err(payload) = outcome {
                    self.counters.events.panics.add(1);
                    // Dropping it may panic again; the leak is the lesser evil.
                    std::mem::forget(payload);
                }
                self.end_call();
            }
            drop(self.wait(self.lock(), BURST_INTERVAL, |state| !state.ends));
        }
    }

    /// How many events wait, at least one; none where the thread is to end.
    fn next_burst(&self) -> Option<usize> {
        let mut state = self.lock();
        while state.queue.is_empty() && !state.ends {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.queue.is_empty() {
            state.has_ended = true;
            self.changed.notify_all();
            return None;
        }
        Some(state.queue.len())
    }

    fn begin_call(&self) -> Option<Event> {
        let mut state = self.lock();
        let event = state.queue.pop_front()?;
        state.calling = Some(std::thread::current().id());
        Some(event)
    }

    fn end_call(&self) {
        self.lock().calling = None;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock guards a queue and flags that are valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        deadline: Duration,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout_while(state, deadline, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Makes one loss of two that touch; false where `queued` has nothing to do with `event`.
fn merge(queued: &mut Event, event: &Event) -> bool {
    let Event::Loss { instance, first_record, count, cause } = event else { return false };
    match queued {
        Event::Loss {
            instance: known,
            first_record: known_first,
            count: known_count,
            cause: known_cause,
        } if (&*known, &*known_cause) == (instance, cause)
            && *known_first <= first_record + count
            && *first_record <= *known_first + *known_count =>
        {
            let end = (*known_first + *known_count).max(first_record + count);
            *known_first = (*known_first).min(*first_record);
            *known_count = end - *known_first;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn loss(first_record: u64, count: u64, cause: &'static str) -> Event {
        Event::Loss { instance: InstanceId([1; 16]), first_record, count, cause }
    }

    fn notifier(callback: impl Fn(&Event) + Send + Sync + 'static) -> (Notifier, Arc<Counters>) {
        let counters = Arc::<Counters>::default();
        (Notifier::new(Some(EventCallback::new(callback)), counters.clone()), counters)
    }

    #[test]
    fn events_come_in_order_losses_that_touch_as_one_and_all_of_them_before_stop_returns() {
        let (sender, told) = mpsc::channel();
        let (notifier, counters) = notifier(move |event| sender.send(event.clone()).unwrap());
        notifier.notify(loss(10, 5, "quota"));
        notifier.notify(Event::SpoolFull);
        notifier.notify(loss(15, 5, "quota"));
        notifier.notify(loss(20, 1, "rejected"));
        notifier.notify(loss(5, 5, "quota"));
        notifier.start().unwrap();
        notifier.stop(PATIENCE);
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, [loss(5, 15, "quota"), Event::SpoolFull, loss(20, 1, "rejected")]);
        assert_eq!(counters.events.lost.value(), 0);
    }

    #[test]
    fn a_callback_that_blocks_holds_up_nobody_and_what_it_misses_is_counted() {
        let (release, blocked) = mpsc::channel::<()>();
        let (entered, inside) = mpsc::channel();
        let blocked = Mutex::new(blocked);
        let (notifier, counters) = notifier(move |_| {
            entered.send(()).unwrap();
            let _released = blocked.lock().unwrap().recv();
        });
        notifier.start().unwrap();
        notifier.notify(Event::SpoolFull);
        inside.recv_timeout(PATIENCE).unwrap();
        for _ in 0..QUEUE_EVENTS_MAX + 7 {
            notifier.notify(Event::SpoolHasRoom);
        }
        assert_eq!(counters.events.lost.value(), 7);
        notifier.stop(Duration::ZERO);
        assert_eq!(counters.events.lost.value(), 7 + QUEUE_EVENTS_MAX as u64);
        drop(release);
        let shared = notifier.shared.as_ref().unwrap();
        drop(shared.wait(shared.lock(), PATIENCE, |state| !state.has_ended));
        assert_eq!(inside.try_iter().count(), 0, "called after stop");
    }

    #[test]
    fn a_callback_that_panics_is_counted_and_called_again() {
        let (sender, told) = mpsc::channel();
        let (notifier, counters) = notifier(move |event| {
            sender.send(()).unwrap();
            assert_eq!(*event, Event::SpoolHasRoom, "on purpose");
        });
        notifier.start().unwrap();
        notifier.notify(Event::SpoolFull);
        notifier.notify(Event::SpoolHasRoom);
        notifier.stop(PATIENCE);
        assert_eq!(told.try_iter().count(), 2);
        assert_eq!((counters.events.panics.value(), counters.batch.panics.value()), (1, 0));
    }

    #[test]
    fn a_callback_may_stop_its_own_notifier() {
        let (sender, stopped) = mpsc::channel();
        let handle: Arc<Mutex<Option<Notifier>>> = Arc::default();
        let own = handle.clone();
        let (notifier, _) = notifier(move |_| {
            let notifier = own.lock().unwrap().take().unwrap();
            notifier.stop(PATIENCE);
            sender.send(()).unwrap();
        });
        *handle.lock().unwrap() = Some(notifier.clone());
        notifier.notify(Event::SpoolFull);
        notifier.notify(Event::SpoolFull);
        notifier.start().unwrap();
        stopped.recv_timeout(PATIENCE).unwrap();
    }
}
