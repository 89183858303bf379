//! The pipeline's two threads: parked until the first record, started once, ended once.
//!
//! A client that nobody logs to has no thread, so a server may open it, fork its workers, and close it again.
//! Where the system refuses a thread, what it was to own stays here and the next record tries again; no record
//! that was accepted meanwhile is touched. Invariant: what a forked child inherits of this is never used or freed.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Clock;
use crate::pipeline::BatcherThread;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::sender::Sender;
use crate::pipeline::supervise;
use crate::ring::registry::Starter;
use crate::stats::Counters;
use crate::sys::fork;
use crate::sys::thread::Thread;

/// Pause before threads that the system refused are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const PARKED: u8 = 0;
const STARTING: u8 = 1;
const RUNNING: u8 = 2;
const STOPPED: u8 = 3;

/// See the module's head.
pub struct Threads {
    state: AtomicU8,
    retry_at: AtomicU64,
    sender: Parked<Sender>,
    batcher: Parked<BatcherThread>,
    notifier: Notifier,
    counters: Arc<Counters>,
    clock: Clock,
    generation: u64,
}

/// What a thread owns, before and while it runs.
struct Parked<T> {
    parts: Arc<Mutex<Option<T>>>,
    handle: Mutex<Option<Thread<T>>>,
}

/// What a thread owns, to be had back.
pub enum Ended<T> {
    /// It never ran.
    Never(T),
    /// It ends when it is told to.
    Running(Thread<T>),
}

impl<T> Ended<T> {
    /// Waits for the thread's end.
    pub fn join(self) -> Option<T> {
        match self {
            Ended::Never(parts) => Some(parts),
            // Caught panics never end our threads, so there is always a result.
            Ended::Running(thread) => thread.join(),
        }
    }
}

impl Threads {
    /// Nothing runs yet.
    pub fn new(
        batcher: BatcherThread,
        sender: Sender,
        notifier: Notifier,
        counters: Arc<Counters>,
        clock: Clock,
    ) -> Self {
        Self {
            state: AtomicU8::new(PARKED),
            retry_at: AtomicU64::new(0),
            sender: Parked::new(sender),
            batcher: Parked::new(batcher),
            notifier,
            counters,
            clock,
            generation: fork::generation(),
        }
    }

    /// Starts the threads unless they run, or are being started by another caller: that one is not waited
    /// for, since the rings are there already. False where the system refuses them.
    pub fn start(&self) -> bool {
        // Acquire: partner is the release below.
        if self.state.load(Ordering::Acquire) != PARKED {
            return true;
        }
        // Relaxed: a hint.
        if self.clock.moment().0 < self.retry_at.load(Ordering::Relaxed) {
            return false;
        }
        // Acquire: as above. Relaxed: who comes second only learns that it did.
        let won =
            self.state.compare_exchange(PARKED, STARTING, Ordering::Acquire, Ordering::Relaxed);
        if won.is_err() {
            return true;
        }
        let started = self.start_both().is_ok();
        if !started {
            let retry_at = self.clock.moment().after(RETRY_AFTER);
            // Relaxed: as above.
            self.retry_at.store(retry_at.0, Ordering::Relaxed);
        }
        // Release: partner is the load above, and the exchange in `stop`.
        self.state.store(if started { RUNNING } else { PARKED }, Ordering::Release);
        started
    }

    /// [`Threads::start`], for whoever hands out rings.
    pub fn starter(self: &Arc<Self>) -> Starter {
        let threads = self.clone();
        Box::new(move || threads.start())
    }

    /// Whether no thread was ever started.
    pub fn are_parked(&self) -> bool {
        // Acquire: as in `start`.
        self.state.load(Ordering::Acquire) == PARKED
    }

    /// What the threads own, the batcher's and the sender's; they still have to be told to end. Waits while
    /// another caller starts them. None where it was called before.
    pub fn stop(&self) -> Option<(Ended<BatcherThread>, Ended<Sender>)> {
        loop {
            // Acquire: as in `start`.
            let state = self.state.load(Ordering::Acquire);
            match state {
                STOPPED => return None,
                STARTING => std::thread::yield_now(),
                parked_or_running => {
                    let before = parked_or_running;
                    // Acquire: as in `start`. Relaxed: then it is looked at again.
                    let (seen, other) = (Ordering::Acquire, Ordering::Relaxed);
                    if self.state.compare_exchange(before, STOPPED, seen, other).is_ok() {
                        return Some((self.batcher.end()?, self.sender.end()?));
                    }
                }
            }
        }
    }

    fn start_both(&self) -> io::Result<()> {
        self.sender.start("logdrive-send", &self.counters, Sender::run)?;
        self.batcher.start("logdrive-batch", &self.counters, BatcherThread::run)?;
        // Last: when another try follows a failure, the others are not started again, and this must not be.
        self.notifier.start()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            return;
        }
        // A forked child's copy. What is in it is the parent's: mappings, descriptors, locks; and the handles
        // are of threads whose stacks belong to threads of the child by now.
        std::mem::forget(self.sender.parts.clone());
        std::mem::forget(self.batcher.parts.clone());
        std::mem::forget(lock(&self.sender.handle).take());
        std::mem::forget(lock(&self.batcher.handle).take());
    }
}

impl<T: Send + 'static> Parked<T> {
    fn new(parts: T) -> Self {
        Self { parts: Arc::new(Mutex::new(Some(parts))), handle: Mutex::new(None) }
    }

    fn start(
        &self,
        name: &str,
        counters: &Arc<Counters>,
        body: impl FnMut(&mut T) + Send + 'static,
    ) -> io::Result<()> {
        let mut handle = lock(&self.handle);
        if handle.is_none() {
            *handle = Some(supervise::start(name, counters.clone(), self.parts.clone(), body)?);
        }
        Ok(())
    }

    fn end(&self) -> Option<Ended<T>> {
        if let Some(thread) = lock(&self.handle).take() {
            return Some(Ended::Running(thread));
        }
        lock(&self.parts).take().map(Ended::Never)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned lock guards an option that is whole at every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
