//! The free chunks of an arena: a lock-free stack (Treiber's, with a tag against ABA) in private memory.
//!
//! Last in, first out, so that a chunk is reused while it is in cache. It is not in the mapping: recovery
//! never needs it, since the arena of a dead process is only read. Producers pop, the consumer pushes.

use crate::sync::AtomicU32;
use crate::sync::AtomicU64;
use crate::sync::Ordering;

/// No chunk: an index is stored plus one.
const NONE: u64 = 0;
const INDEX_MASK: u64 = 0xffff_ffff;

/// Free chunks, and those never used yet.
pub struct ChunkPool {
    /// Tag in the upper half, index + 1 of the top chunk in the lower.
    top: AtomicU64,
    /// Index + 1 of the chunk below each chunk of the stack.
    below: Box<[AtomicU32]>,
    /// The lowest index that was never handed out.
    fresh: AtomicU32,
    /// Chunks in the stack or fresh. Counted down before a chunk is taken and up after it is back, so
    /// it never promises more than there are.
    free: AtomicU32,
}

impl ChunkPool {
    /// A pool of chunks `0..count`, all fresh.
    pub fn new(count: u32) -> Self {
        Self {
            top: AtomicU64::new(NONE),
            below: (0..count).map(|_| AtomicU32::new(0)).collect(),
            fresh: AtomicU32::new(0),
            free: AtomicU32::new(count),
        }
    }

    /// How many chunks there are in all.
    pub fn count(&self) -> u32 {
        self.below.len() as u32
    }

    /// How many chunks are free now; another thread may change it at once.
    pub fn free(&self) -> u32 {
        // Relaxed: a hint; taking a chunk decides by its own read-modify-write.
        self.free.load(Ordering::Relaxed)
    }

    /// Takes a chunk unless that would leave fewer than `reserve` free.
    pub fn take(&self, reserve: u32) -> Option<u32> {
        loop {
            let before = self.free();
            let taken = self.take_counted(reserve, |pool| pool.pop().or_else(|| pool.take_fresh()));
            if taken.is_some() || before <= reserve {
                return taken;
            }
            relax();
        }
    }

    /// Counts a chunk as taken, then takes it; puts the count back where there was none.
    fn take_counted(&self, reserve: u32, take: impl Fn(&Self) -> Option<u32>) -> Option<u32> {
        // Relaxed: only the count is decided here; the chunk's bytes are handed over by `top` or `fresh`.
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                if free > reserve { Some(free - 1) } else { None }
            })
            .ok()?;
        let taken = take(self);
        if taken.is_none() {
            // Relaxed: as above.
            self.free.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Gives a chunk back.
    pub fn give(&self, chunk: u32) {
        self.push(chunk);
        // Relaxed: see `take`.
        self.free.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves one fresh chunk to the stack after `prepare` has touched it; false where none is fresh.
    pub fn warm(&self, prepare: impl FnOnce(u32)) -> bool {
        // Counted as taken meanwhile, so that nobody waits for it.
        let Some(chunk) = self.take_counted(0, Self::take_fresh) else { return false };
        prepare(chunk);
        self.give(chunk);
        true
    }

    /// About how many chunks of the stack are free: those were touched before.
    pub fn warm_count(&self) -> u32 {
        // Relaxed: a hint for the batcher's populating ahead.
        let fresh = self.count() - self.fresh.load(Ordering::Relaxed);
        self.free().saturating_sub(fresh)
    }

    fn take_fresh(&self) -> Option<u32> {
        let count = self.count();
        // Relaxed: indices are handed out once each; fresh bytes have no earlier writer to observe.
        self.fresh
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |fresh| {
                if fresh < count { Some(fresh + 1) } else { None }
            })
            .ok()
    }

    fn pop(&self) -> Option<u32> {
        // Acquire: partner is the release in `push`; the taker sees that the consumer is done with it.
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let chunk = (top & INDEX_MASK).checked_sub(1)? as usize;
            // Relaxed: published by the `push` whose `top` was acquired; stale values fail the exchange.
            let below = self.below[chunk].load(Ordering::Relaxed);
            let next = (top & !INDEX_MASK).wrapping_add(1 << 32) | u64::from(below);
            // AcqRel/Acquire: as above, and hands the rest of the stack on.
            match self.top.compare_exchange_weak(top, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(chunk as u32),
                Err(changed) => top = changed,
            }
        }
    }

    fn push(&self, chunk: u32) {
        // Relaxed: the exchange below publishes or retries.
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the release of the exchange below.
            self.below[chunk as usize].store((top & INDEX_MASK) as u32, Ordering::Relaxed);
            let next = (top & !INDEX_MASK).wrapping_add(1 << 32) | u64::from(chunk + 1);
            // Release: partner is the acquire in `pop`. AcqRel keeps the release sequence of the rest.
            match self.top.compare_exchange_weak(top, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => top = changed,
            }
        }
    }
}

#[cfg(not(loom))]
fn relax() {
    std::hint::spin_loop();
}

#[cfg(loom)]
fn relax() {
    loom::thread::yield_now();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Arc;

    #[test]
    fn every_chunk_is_handed_out_once_and_the_reserve_is_kept() {
        let pool = ChunkPool::new(10);
        let taken: HashSet<u32> = std::iter::from_fn(|| pool.take(3)).collect();
        assert_eq!(taken.len(), 7);
        assert_eq!(pool.free(), 3);
        let rest: HashSet<u32> = std::iter::from_fn(|| pool.take(0)).collect();
        assert_eq!(rest.len(), 3);
        assert!(taken.is_disjoint(&rest));
        pool.give(4);
        assert_eq!(pool.take(0), Some(4), "last in, first out");
    }

    #[test]
    fn warm_chunks_are_counted_and_taken_first() {
        let pool = ChunkPool::new(4);
        assert_eq!(pool.warm_count(), 0);
        let mut touched = Vec::new();
        while pool.warm_count() < 2 {
            assert!(pool.warm(|chunk| touched.push(chunk)));
        }
        assert_eq!(touched, [0, 1]);
        assert_eq!([pool.take(0), pool.take(0), pool.take(0)], [Some(1), Some(0), Some(2)]);
        assert_eq!(pool.warm_count(), 0);
    }

    #[test]
    fn threads_never_share_a_chunk() {
        let pool = Arc::new(ChunkPool::new(8));
        let owners: Arc<Vec<std::sync::atomic::AtomicU32>> =
            Arc::new((0..8).map(|_| std::sync::atomic::AtomicU32::new(0)).collect());
        let threads: Vec<_> = (1..=4)
            .map(|me| {
                let (pool, owners) = (pool.clone(), owners.clone());
                std::thread::Builder::new()
                    .spawn(move || {
                        let rounds = if cfg!(miri) { 100 } else { 20_000 };
                        for _ in 0..rounds {
                            if let Some(chunk) = pool.take(0) {
                                let owner = &owners[chunk as usize];
                                assert_eq!(owner.swap(me, Ordering::Relaxed), 0);
                                assert_eq!(owner.swap(0, Ordering::Relaxed), me);
                                pool.give(chunk);
                            }
                        }
                    })
                    .unwrap()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(pool.free(), 8);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn loom_two_takers_and_a_giver_never_share_a_chunk() {
        loom::model(|| {
            let pool = Arc::new(ChunkPool::new(2));
            let held = pool.take(0).unwrap();
            let taker = {
                let pool = pool.clone();
                loom::thread::spawn(move || pool.take(0))
            };
            pool.give(held);
            let mine = pool.take(0);
            let theirs = taker.join().unwrap();
            assert!(mine.is_some() && theirs.is_some());
            assert_ne!(mine, theirs);
            assert_eq!(pool.free(), 0);
        });
    }
}
