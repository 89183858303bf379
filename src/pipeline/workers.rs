//! Compression in parallel: slices go out with tickets, groups come back in ticket order.
//!
//! With one worker the batcher encodes by itself and no thread is added. With more, each worker has its own
//! encoder; what it finishes waits until its turn has come. Bounded: at most two slices per worker are out.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;

use crate::pipeline::encode::Encoder;
use crate::pipeline::encode::SealedGroup;
use crate::pipeline::encode::Ticket;
use crate::pipeline::supervise;
use crate::ring::Slice;
use crate::stats::Counters;
use crate::sys::thread::Thread;

/// Slices that may be out at a time, per worker.
const SLICES_PER_WORKER: usize = 2;
/// How long an idle worker sleeps at most; it is woken for each slice.
const IDLE: Duration = Duration::from_millis(500);
/// Pause before a slice that could not even be encoded as placeholders is tried again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A slice on its way through the workers.
struct Job {
    slice: Slice,
    ticket: Ticket,
}

/// What became of it. The slice comes back for reuse.
pub struct Done {
    /// The slice that was encoded, to be reused.
    pub slice: Slice,
    /// Its batches.
    pub group: SealedGroup,
}

struct Shared {
    jobs: ArrayQueue<Job>,
    done: Mutex<BTreeMap<u64, Done>>,
    spare_groups: ArrayQueue<SealedGroup>,
    is_stopping: AtomicBool,
    batcher: OnceLock<std::thread::Thread>,
    counters: Arc<Counters>,
}

/// See the module's head.
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<Thread<Encoder>>,
    /// For threads that are not started yet.
    parked: Vec<Encoder>,
    /// Encodes in the batcher's thread, where there is one worker, or no thread was to be had.
    inline: Option<Encoder>,
    next: u64,
    out: usize,
    slice_bytes: usize,
}

impl Workers {
    /// Workers for `encoders`, one each; their threads start with [`Workers::begin`].
    pub fn new(mut encoders: Vec<Encoder>, counters: Arc<Counters>) -> Self {
        let slots = encoders.len().max(1) * SLICES_PER_WORKER;
        let slice_bytes = encoders.first().map_or(0, Encoder::slice_bytes);
        let shared = Arc::new(Shared {
            jobs: ArrayQueue::new(slots),
            done: Mutex::default(),
            spare_groups: ArrayQueue::new(slots),
            is_stopping: AtomicBool::new(false),
            batcher: OnceLock::new(),
            counters,
        });
        let inline = if encoders.len() == 1 { encoders.pop() } else { None };
        Self { shared, threads: Vec::new(), parked: encoders, inline, next: 0, out: 0, slice_bytes }
    }

    /// Starts the threads; to be called by the thread that is woken when a group is ready. Where the system
    /// refuses some the others do the work, and where it refuses all the batcher's own thread does.
    pub fn begin(&mut self) {
        // The batcher restarts after a panic inside the same thread, so a second call names the same one.
        let _same = self.shared.batcher.set(std::thread::current());
        for (index, encoder) in std::mem::take(&mut self.parked).into_iter().enumerate() {
            let shared = self.shared.clone();
            let name = format!("logdrive-work-{index}");
            let counters = self.shared.counters.clone();
            let parts = Arc::new(Mutex::new(Some(encoder)));
            let body = move |encoder: &mut Encoder| work(&shared, encoder);
            match supervise::start(&name, counters, parts.clone(), body) {
                Ok(thread) => self.threads.push(thread),
                Err(_refused) if self.threads.is_empty() => {
                    self.inline = parts.lock().unwrap_or_else(PoisonError::into_inner).take();
                    return;
                }
                Err(_refused) => return,
            }
        }
    }

    /// Raw bytes that a slice should have.
    pub fn slice_bytes(&self) -> usize {
        self.inline.as_ref().map_or(self.slice_bytes, Encoder::slice_bytes)
    }

    /// Whether another slice may go out.
    pub fn has_room(&self) -> bool {
        if self.inline.is_some() { self.out == 0 } else { self.out < self.shared.jobs.capacity() }
    }

    /// Whether every slice came back.
    pub fn is_idle(&self) -> bool {
        self.out == 0
    }

    /// Sends a slice out; [`Workers::has_room`] must hold. Tickets are numbered from 0 without holes.
    pub fn submit(&mut self, slice: Slice, ticket: Ticket) {
        self.out += 1;
        if let Some(encoder) = &mut self.inline {
            let done = run(&self.shared, encoder, Job { slice, ticket });
            self.shared.finish(done);
            return;
        }
        let pushed = self.shared.jobs.push(Job { slice, ticket });
        debug_assert!(pushed.is_ok(), "the queue holds as many jobs as may be out");
        for thread in &self.threads {
            thread.unpark();
        }
    }

    /// The group whose turn it is, if it is ready.
    pub fn take(&mut self) -> Option<Done> {
        let done = self.shared.lock().remove(&self.next)?;
        self.next += 1;
        self.out -= 1;
        self.slice_bytes = done.group.slice_bytes;
        Some(done)
    }

    /// Gives the memory of a committed group back.
    pub fn recycle(&mut self, group: SealedGroup) {
        match &mut self.inline {
            Some(encoder) => encoder.recycle(group),
            // A full queue means enough spare memory; then this group's is freed.
            None => drop(self.shared.spare_groups.push(group)),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Release: partner is the load in `work`.
        self.shared.is_stopping.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.unpark();
            // A worker's own panics are caught and counted, so there is nothing to learn here.
            let _encoder = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Done>> {
        // A poisoned lock guards a map that is valid at every step.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, done: Done) {
        self.lock().insert(done.group.ticket.number, done);
    }
}

fn work(shared: &Shared, encoder: &mut Encoder) {
    // Acquire: partner is the store in `drop`.
    while !shared.is_stopping.load(Ordering::Acquire) {
        while let Some(group) = shared.spare_groups.pop() {
            encoder.recycle(group);
        }
        match shared.jobs.pop() {
            Some(job) => {
                let done = run(shared, encoder, job);
                shared.finish(done);
                if let Some(batcher) = shared.batcher.get() {
                    batcher.unpark();
                }
            }
            None => std::thread::park_timeout(IDLE),
        }
    }
}

/// Encodes a slice. Where that fails (a defect, or no memory for the codec) its records travel as
/// placeholders, since their numbers are given already; where even that fails, it is tried again.
fn run(shared: &Shared, encoder: &mut Encoder, job: Job) -> Done {
    let Job { slice, ticket } = job;
    // Unwind safety: the encoder clears its builders at the start of each slice.
    let encoded = catch_unwind(AssertUnwindSafe(|| encoder.encode(&slice, ticket)));
    if let Ok(Ok(group)) = encoded {
        return Done { slice, group };
    }
    loop {
        shared.counters.batch.panics.add(1);
        let encoded = catch_unwind(AssertUnwindSafe(|| encoder.encode_lost(&slice, ticket)));
        if let Ok(Ok(group)) = encoded {
            return Done { slice, group };
        }
        std::thread::sleep(PAUSE_AFTER_FAILURE);
    }
}
