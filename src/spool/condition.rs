//! How the disk does, as the writer found and everybody may know.
//!
//! Beside each word stands who writes it; where that is both halves of a spool, the word is an addition or tells what
//! either has just seen.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// See the module's head. All words are for information and change at any time.
#[derive(Debug, Default)]
pub struct Condition {
    /// Both halves'.
    is_memory_mode: AtomicBool,
    /// Both halves'.
    memory_entries: AtomicU64,
    /// The writer's: bytes of segments that were made in memory.
    memory_created: AtomicU64,
    /// Both halves': bytes of them that were delivered, moved to the disk or not needed.
    memory_ended: AtomicU64,
    /// The reader's.
    segments_rehomed: AtomicU64,
}

impl Condition {
    /// Whether new segments are in memory, because the disk refuses them.
    pub fn is_memory_mode(&self) -> bool {
        // Acquire: partner is the store in `set_memory_mode`.
        self.is_memory_mode.load(Ordering::Acquire)
    }

    /// How often that began.
    pub fn memory_entries(&self) -> u64 {
        // Relaxed: a statistic.
        self.memory_entries.load(Ordering::Relaxed)
    }

    /// Bytes of the segments that are in memory alone: what a crash would lose is among them.
    pub fn memory_bytes(&self) -> u64 {
        // Relaxed, here and above: statistics, and the writer's own bound, which may lag behind.
        let ended = self.memory_ended.load(Ordering::Relaxed);
        self.memory_created.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// Segments that were written to another file, from memory or from a disk that failed.
    pub fn segments_rehomed(&self) -> u64 {
        // Relaxed: a statistic.
        self.segments_rehomed.load(Ordering::Relaxed)
    }

    pub(super) fn set_memory_mode(&self, is_memory_mode: bool) {
        let was = self.is_memory_mode();
        if is_memory_mode && !was {
            // Relaxed: a statistic.
            self.memory_entries.fetch_add(1, Ordering::Relaxed);
        }
        // Release: partner is the load in `is_memory_mode`.
        self.is_memory_mode.store(is_memory_mode, Ordering::Release);
    }

    pub(super) fn count_memory_created(&self, bytes: u64) {
        // Relaxed: a statistic.
        self.memory_created.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_memory_ended(&self, bytes: u64) {
        // Relaxed: a statistic.
        self.memory_ended.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_rehomed(&self) {
        // Relaxed: a statistic.
        self.segments_rehomed.fetch_add(1, Ordering::Relaxed);
    }
}
