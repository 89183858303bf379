//! Threads and their rings: a thread gets its ring on first use, and its exit only marks it closed.
//!
//! Owns the thread-local table. The registry (and through it the arena) outlives the threads; a thread that exits
//! drops its producers, and the consumer drains and frees their rings later.

use std::cell::RefCell;
use std::panic::RefUnwindSafe;
use std::panic::UnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::ring::arena::Arena;
use crate::ring::producer::Producer;
use crate::ring::producer::Refusal;

/// Clients of one process whose rings a thread may hold at once; older ones are closed beyond that.
const CLIENTS_PER_THREAD_MAX: usize = 64;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PRODUCERS: RefCell<Vec<(u64, Producer)>> = const { RefCell::new(Vec::new()) };
}

/// Starts whoever drains the rings; false where that is not possible now.
pub type Starter = Box<dyn Fn() -> bool + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// Hands each thread its producer.
pub struct Registry {
    id: u64,
    arena: Arc<Arena>,
    /// Called before a thread gets a ring: a client that nobody logs to has no threads.
    starter: Option<Starter>,
}

impl Registry {
    /// A registry over `arena`.
    pub fn new(arena: Arc<Arena>) -> Self {
        // Relaxed: only uniqueness matters.
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), arena, starter: None }
    }

    /// A registry that calls `starter` before it hands out a ring.
    pub fn with_starter(arena: Arc<Arena>, starter: Starter) -> Self {
        Self { starter: Some(starter), ..Self::new(arena) }
    }

    /// The arena behind it.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// From now on every call is refused as closed. Calls under way may still finish.
    pub fn close(&self) {
        self.arena.close();
    }

    /// Whether the calling thread can keep a ring from one call to the next: not while its thread-locals are
    /// being destroyed, or after.
    pub fn keeps_rings() -> bool {
        PRODUCERS.try_with(|_| ()).is_ok()
    }

    /// Runs `use_producer` with the calling thread's producer. Counts what it refuses.
    ///
    /// Never blocks. From inside another call of the same thread (a signal handler, a formatter that logs) it is
    /// refused as reentrant. While thread-locals are being destroyed it takes a ring for this one call.
    #[inline]
    pub fn with(
        &self,
        use_producer: impl FnOnce(&mut Producer) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.arena.is_closed() {
            return self.refuse(Refusal::Closed);
        }
        let mut use_producer = Some(use_producer);
        let tried = PRODUCERS.try_with(|producers| {
            let Ok(mut producers) = producers.try_borrow_mut() else {
                return self.refuse(Refusal::Reentrant);
            };
            let index = match producers.iter().position(|(id, _)| *id == self.id) {
                Some(index) => index,
                None => self.claim(&mut producers)?,
            };
            match use_producer.take() {
                Some(use_producer) => self.run(&mut producers[index].1, use_producer),
                None => Ok(()),
            }
        });
        match (tried, use_producer) {
            (Ok(result), _) => result,
            (Err(_destroyed), Some(use_producer)) => {
                let mut producer = self.claim_ring()?;
                self.run(&mut producer, use_producer)
            }
            (Err(_destroyed), None) => Ok(()),
        }
    }

    #[cold]
    fn claim_ring(&self) -> Result<Producer, Refusal> {
        if self.starter.as_ref().is_some_and(|start| !start()) {
            return Err(self.count(Refusal::Starting));
        }
        Producer::claim(self.arena.clone()).ok_or_else(|| self.count(Refusal::TooManyThreads))
    }

    #[cold]
    fn claim(&self, producers: &mut Vec<(u64, Producer)>) -> Result<usize, Refusal> {
        let producer = self.claim_ring()?;
        // A closed client's arena is kept in memory by nothing but producers like these.
        producers.retain(|(_, producer)| !producer.is_closed());
        if producers.len() >= CLIENTS_PER_THREAD_MAX {
            // Never one into which somebody holds a pointer, unless it is so with all.
            let oldest = producers.iter().position(|(_, producer)| !producer.has_open_claim());
            producers.remove(oldest.unwrap_or(0));
        }
        producers.push((self.id, producer));
        Ok(producers.len() - 1)
    }

    #[cold]
    fn refuse(&self, reason: Refusal) -> Result<(), Refusal> {
        Err(self.count(reason))
    }

    #[cold]
    fn count(&self, reason: Refusal) -> Refusal {
        self.arena.count_refused_without_ring(reason);
        reason
    }

    #[inline(always)]
    fn run(
        &self,
        producer: &mut Producer,
        use_producer: impl FnOnce(&mut Producer) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match use_producer(producer) {
            // Looked at again behind the publication: closing drains the rings some time after it has
            // said so, and a record that came behind that drain must not be called accepted. (It may
            // have come before it and be delivered all the same.)
            Ok(()) if self.arena.is_closed() => Err(producer.count_refused(Refusal::Closed)),
            Ok(()) => Ok(()),
            Err(reason) => Err(producer.count_refused(reason)),
        }
    }
}
