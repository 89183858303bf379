//! The position protocol: one release-store publishes, one acquire-load observes.
//!
//! Generic over its word, so that loom can check on heap memory what the arena does in a mapping.

use std::sync::atomic;

#[cfg(all(test, loom))]
use crate::sync;

/// An atomic u64, std's (in a mapping) or loom's (in its tests).
pub trait Word {
    /// Loads with acquire ordering.
    fn load_acquire(&self) -> u64;
    /// Loads without ordering: for the word's only writer, which reads its own stores.
    fn load_own(&self) -> u64;
    /// Stores with release ordering.
    fn store_release(&self, value: u64);
}

macro_rules! word {
    ($atomic:ty, $ordering:ty) => {
        impl Word for $atomic {
            #[inline(always)]
            fn load_acquire(&self) -> u64 {
                // Partner: the release-store in `store_release` by the word's only writer.
                self.load(<$ordering>::Acquire)
            }

            #[inline(always)]
            fn load_own(&self) -> u64 {
                // Relaxed: the writer reads what it wrote itself, in program order.
                self.load(<$ordering>::Relaxed)
            }

            #[inline(always)]
            fn store_release(&self, value: u64) {
                // Partner: `load_acquire` by the other side, which then sees the bytes before this store.
                self.store(value, <$ordering>::Release)
            }
        }
    };
}

word!(atomic::AtomicU64, atomic::Ordering);
#[cfg(all(test, loom))]
word!(sync::AtomicU64, sync::Ordering);

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// Two slots of one byte each: the smallest arena in which space must be released to be reused.
    struct Ring {
        bytes: [UnsafeCell<u64>; 2],
        tail: sync::AtomicU64,
        released: sync::AtomicU64,
    }

    // SAFETY is loom's to prove here: `UnsafeCell::with` panics on any concurrent access.
    #[allow(unsafe_code)]
    // SAFETY: the test exists to check exactly this; loom reports a race where it is wrong.
    unsafe impl Sync for Ring {}

    #[test]
    fn loom_published_bytes_are_seen_and_released_bytes_are_reused() {
        loom::model(|| {
            let ring = Arc::new(Ring {
                bytes: [UnsafeCell::new(0), UnsafeCell::new(0)],
                tail: sync::AtomicU64::new(0),
                released: sync::AtomicU64::new(0),
            });
            let producer = {
                let ring = ring.clone();
                thread::spawn(move || {
                    for value in 0..3u64 {
                        while value - ring.released.load_acquire() == 2 {
                            thread::yield_now();
                        }
                        ring.bytes[(value % 2) as usize].with_mut(|byte| {
                            #[allow(unsafe_code)]
                            // SAFETY: loom checks that no other thread has access.
                            unsafe {
                                *byte = value + 100
                            }
                        });
                        ring.tail.store_release(value + 1);
                    }
                })
            };
            let mut read = 0;
            while read < 3 {
                let tail = ring.tail.load_acquire();
                assert!(tail >= read);
                while read < tail {
                    let value = ring.bytes[(read % 2) as usize].with(|byte| {
                        #[allow(unsafe_code)]
                        // SAFETY: loom checks that no other thread writes.
                        unsafe {
                            *byte
                        }
                    });
                    assert_eq!(value, read + 100);
                    read += 1;
                    ring.released.store_release(read);
                }
                thread::yield_now();
            }
            producer.join().unwrap();
        });
    }
}
