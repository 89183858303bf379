//! The arena: one mapping with the directories of streams and rings and all chunks.
//!
//! Owns who may touch which word (see `ring::layout`) and the pool of free chunks. Shared by all producers
//! and the consumer through an `Arc`; what outlives a crash is in the mapping, the rest in private memory.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::Thread;

use thiserror::Error;

use crate::ids::InstanceId;
use crate::ids::RingId;
use crate::ids::StreamId;
use crate::record::Severity;
use crate::ring::layout;
use crate::ring::layout::Description;
use crate::ring::layout::state;
use crate::ring::pool::ChunkPool;
use crate::ring::position::Word;
use crate::ring::producer::Refusal;
use crate::ring::raw::Memory;
use crate::sys::file_id::FileId;
use crate::sys::mapping::Mapping;

mod header;

/// How an arena is cut.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes for records, rounded down to whole chunks; the header and the rings' heads come on top.
    pub bytes: usize,
    /// Threads that may hold a ring at the same time.
    pub threads_max: u32,
    /// Percent of the chunks kept for severity WARN and above.
    pub reserve_percent: u32,
    /// Largest record, in bytes of it as it is encoded.
    pub record_bytes_max: usize,
}

/// Why a mapping is not an arena that can be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// Too small, or not of this version: foreign, truncated, or its owner died while making it.
    #[error("the arena's header is not of version {version}", version = layout::VERSION)]
    Header,
    /// The header promises more than the file has.
    #[error("the arena says {expected} bytes but the file has {actual}")]
    Truncated {
        /// Bytes by the header.
        expected: usize,
        /// Bytes of the file.
        actual: usize,
    },
}

/// See the module's head.
pub struct Arena {
    memory: Memory,
    description: Description,
    pool: ChunkPool,
    reserve_chunks: u32,
    record_bytes_max: usize,
    /// Records of more bytes go the slow way: `record_bytes_max`, or 0 while only urgent ones are admitted.
    unchecked_bytes_max: AtomicUsize,
    /// Rings `0..rings_used` have been claimed at least once.
    rings_used: AtomicU32,
    is_closed: AtomicBool,
    is_copy: bool,
    consumer_sleeps: AtomicBool,
    consumer_thread: OnceLock<Thread>,
}

/// A ring moves on only by linking a second chunk: with one it would stand still for ever.
const CHUNKS_MIN: u32 = 2;

/// A time anchor as it lies in the header: ticks, wall nanoseconds, nanoseconds per tick (32.32).
pub type TimeAnchor = [u64; 3];

impl Arena {
    /// What a mapping for `options` holds: their bytes in whole chunks, and the rings' heads on top, so that
    /// the limit of threads never eats the room for records.
    pub fn layout(options: &Options, instance: InstanceId) -> Description {
        let chunks = u32::try_from(options.bytes / layout::CHUNK_BYTES).unwrap_or(u32::MAX);
        let chunk_count = chunks.max(CHUNKS_MIN);
        let file = FileId::default();
        Description { instance, ring_count: options.threads_max, chunk_count, file }
    }

    /// Makes an arena in `mapping`, which is zeroed and has [`Description::arena_bytes`] bytes.
    pub fn create(mapping: Mapping, description: Description, options: &Options) -> Self {
        let description = Description { file: mapping.file_id(), ..description };
        let arena = Self::over(Memory::new(mapping), description, options);
        arena.memory.write(layout::DESCRIPTION_AT, &description.encode());
        arena.memory.word(layout::MAGIC_AT).store_release(layout::MAGIC);
        arena
    }

    /// Opens the arena of a dead process for reading what it left. Nothing in it is trusted.
    pub fn open(mapping: Mapping, options: &Options) -> Result<Self, OpenError> {
        let file = mapping.file_id();
        let memory = Memory::new(mapping);
        if memory.len() < layout::HEADER_BYTES
            || memory.word(layout::MAGIC_AT).load_acquire() != layout::MAGIC
        {
            return Err(OpenError::Header);
        }
        let mut bytes = Vec::with_capacity(layout::DESCRIPTION_BYTES);
        memory.read(layout::DESCRIPTION_AT, layout::DESCRIPTION_BYTES, &mut bytes);
        let description = bytes
            .first_chunk::<{ layout::DESCRIPTION_BYTES }>()
            .and_then(Description::decode)
            .ok_or(OpenError::Header)?;
        let (expected, actual) = (description.arena_bytes(), memory.len());
        if expected > actual {
            return Err(OpenError::Truncated { expected, actual });
        }
        let mut arena = Self::over(memory, description, options);
        arena.is_copy = description.file != file;
        // Relaxed: no other thread has the arena yet.
        arena.rings_used.store(description.ring_count, Ordering::Relaxed);
        Ok(arena)
    }

    fn over(memory: Memory, description: Description, options: &Options) -> Self {
        let chunks = u64::from(description.chunk_count);
        let reserve_chunks = (chunks * u64::from(options.reserve_percent.min(100)) / 100) as u32;
        Self {
            memory,
            description,
            pool: ChunkPool::new(description.chunk_count),
            reserve_chunks,
            record_bytes_max: options.record_bytes_max,
            unchecked_bytes_max: AtomicUsize::new(options.record_bytes_max),
            rings_used: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
            is_copy: false,
            consumer_sleeps: AtomicBool::new(false),
            consumer_thread: OnceLock::new(),
        }
    }

    /// Whose arena it is.
    pub fn instance(&self) -> InstanceId {
        self.description.instance
    }

    /// Whether it was opened in another file than its owner made: then the owner may have gone on in that one.
    pub fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Bytes of the mapping.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Share of the chunks in use, 0.0 to 1.0; another thread may change it at once.
    pub fn used_share(&self) -> f64 {
        let count = self.pool.count();
        f64::from(count - self.pool.free().min(count)) / f64::from(count)
    }

    /// Registers a stream; its name survives a crash. Calls must not overlap (the client holds a lock).
    pub fn add_stream(&self, name: &str) -> Option<StreamId> {
        let count = self.memory.word(layout::STREAM_COUNT_AT);
        let index = count.load_own() as usize;
        if index >= layout::STREAMS_MAX || name.len() > layout::STREAM_NAME_BYTES_MAX {
            return None;
        }
        let at = layout::HEADER_BYTES + index * layout::STREAM_BYTES;
        self.memory.word(at).store_release(name.len() as u64);
        self.memory.write(at + 8, name.as_bytes());
        count.store_release(index as u64 + 1);
        Some(StreamId(index as u16))
    }

    /// The names of all streams, in the order of their ids; a malformed one is an empty name.
    pub fn streams(&self) -> Vec<String> {
        let count = self.memory.word(layout::STREAM_COUNT_AT).load_acquire();
        (0..(count as usize).min(layout::STREAMS_MAX))
            .map(|index| {
                let at = layout::HEADER_BYTES + index * layout::STREAM_BYTES;
                let length = self.memory.word(at).load_acquire() as usize;
                let mut name = Vec::new();
                self.memory.read(at + 8, length.min(layout::STREAM_NAME_BYTES_MAX), &mut name);
                String::from_utf8(name).unwrap_or_default()
            })
            .collect()
    }

    /// Records refused so far for `reason`, over all rings.
    pub fn refused(&self, reason: Refusal) -> u64 {
        let slot = reason as usize * 8;
        let without = self.memory.word(layout::REFUSED_WITHOUT_RING_AT + slot).load_acquire();
        (0..self.rings_used()).fold(without, |sum, ring| {
            sum + self.ring_word(RingId(ring), layout::RING_REFUSED_AT + slot).load_acquire()
        })
    }

    /// Counts a refusal where no ring could be had.
    pub fn count_refused_without_ring(&self, reason: Refusal) {
        let slot = layout::REFUSED_WITHOUT_RING_AT + reason as usize * 8;
        // Relaxed: a counter; nothing else is published by it.
        self.memory.word(slot).fetch_add(1, Ordering::Relaxed);
    }

    /// Touches chunks that were never used, until `chunks` of them wait in the pool or none is left:
    /// so that a busy thread does not take the page faults. Called by the consumer off the call path.
    pub fn populate_ahead(&self, chunks: u32) {
        while self.pool.warm_count() < chunks {
            let warmed = self.pool.warm(|chunk| {
                self.memory.populate(self.description.chunk_at(chunk), layout::CHUNK_BYTES);
            });
            if !warmed {
                return;
            }
        }
    }

    /// The consumer's thread says whether it sleeps; a producer wakes it once the arena is half full.
    ///
    /// Returns false where it should not go to sleep: the arena is half full and fuller than with
    /// `free_before` free chunks. (Threads that are quiet hold a chunk each: that alone is no reason.)
    pub fn set_consumer_sleeps(&self, sleeps: bool, free_before: u32) -> bool {
        // SeqCst: ordered against the load of the pool's count in `is_half_used` below and the
        // swap in `wake_consumer`, so that one of the two sides sees the other.
        self.consumer_sleeps.store(sleeps, Ordering::SeqCst);
        !(sleeps && self.is_half_used() && self.pool.free() < free_before)
    }

    /// How many chunks are free; another thread may change it at once.
    pub fn free_chunks(&self) -> u32 {
        self.pool.free()
    }

    /// Nothing is accepted from now on. Calls under way may still finish.
    pub(super) fn close(&self) {
        // Release: partner is `is_closed`; who sees it closed sees what was done before.
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether its file was taken away: then its words are not to be believed any more, and what is accepted may go
    /// nowhere.
    pub fn is_lost(&self) -> bool {
        self.memory.is_dead()
    }

    /// Closes it where it is lost: better a refusal that says so than a record that nobody will find.
    pub fn close_if_lost(&self) {
        if self.is_lost() {
            self.close();
        }
    }

    /// Whether [`Arena::close`] was called.
    #[inline(always)]
    pub(super) fn is_closed(&self) -> bool {
        // Acquire: partner is `close`.
        self.is_closed.load(Ordering::Acquire)
    }

    /// Names the thread that [`Arena::wake_consumer`] wakes; the first call counts.
    pub fn set_consumer_thread(&self, thread: Thread) {
        // The batcher restarts after a panic inside the same thread, so a second call names the same one.
        let _same = self.consumer_thread.set(thread);
    }

    /// Wakes the consumer if it sleeps: at most one futex call per sleep.
    pub fn wake_consumer(&self) {
        // SeqCst: partner is `set_consumer_sleeps`.
        if self.consumer_sleeps.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.consumer_thread.get()
        {
            thread.unpark();
        }
    }

    /// Wakes the consumer whether it sleeps or not: for a flush, never for a record.
    pub fn nudge_consumer(&self) {
        if let Some(thread) = self.consumer_thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn is_half_used(&self) -> bool {
        self.pool.free() < self.pool.count() / 2
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn pool(&self) -> &ChunkPool {
        &self.pool
    }

    pub(super) fn description(&self) -> &Description {
        &self.description
    }

    pub(super) fn reserve_chunks(&self) -> u32 {
        self.reserve_chunks
    }

    /// Largest encoded record.
    pub fn record_bytes_max(&self) -> usize {
        self.record_bytes_max
    }

    /// From now on only records of severity WARN and above are admitted, or all again. Calls under way may
    /// still have seen it otherwise.
    pub fn admit_only_urgent(&self, only_urgent: bool) {
        let bytes_max = if only_urgent { 0 } else { self.record_bytes_max };
        // Relaxed: a threshold of its own; nothing else is published by it.
        self.unchecked_bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// Largest encoded record that needs no look at anything else.
    #[inline(always)]
    pub(super) fn unchecked_bytes_max(&self) -> usize {
        // Relaxed: see `admit_only_urgent`.
        self.unchecked_bytes_max.load(Ordering::Relaxed)
    }

    /// Whether records of this severity are admitted.
    pub(super) fn admits(&self, severity: Severity) -> bool {
        severity >= Severity::Warn || self.unchecked_bytes_max() > 0
    }

    #[inline(always)]
    pub(super) fn ring_word(&self, ring: RingId, at: usize) -> &AtomicU64 {
        self.memory.word(self.description.ring_at(ring) + at)
    }

    #[inline(always)]
    pub(super) fn chunk_word(&self, chunk: u32, at: usize) -> &AtomicU64 {
        self.memory.word(self.description.chunk_at(chunk) + at)
    }

    /// Whether a thread ever had a ring of it.
    pub fn has_rings(&self) -> bool {
        self.rings_used() > 0
    }

    pub(super) fn rings_used(&self) -> u32 {
        // Acquire: partner is the release in `claim_ring`; the entry of each ring below is valid.
        self.rings_used.load(Ordering::Acquire)
    }

    /// Claims a free entry of the directory for the calling thread.
    pub(super) fn claim_ring(&self) -> Option<RingId> {
        let used = self.rings_used();
        for index in 0..self.description.ring_count {
            let entry = self.ring_word(RingId(index), layout::RING_STATE_AT);
            // Acquire: partner is the consumer's release-store of FREE, after which all words are quiet.
            // Relaxed on failure: nothing of a ring that is not ours is read.
            let won = entry
                .compare_exchange(state::FREE, state::LIVE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
            if won {
                if index >= used {
                    // Release: partner is `rings_used`.
                    self.rings_used.fetch_max(index + 1, Ordering::Release);
                }
                return Some(RingId(index));
            }
        }
        None
    }
}
