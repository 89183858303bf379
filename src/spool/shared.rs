//! What the writer and the reader of one spool share.
//!
//! Invariant: each word here has one writer, named beside it, but for the count of removed files.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crossbeam_queue::ArrayQueue;
use crossbeam_queue::SegQueue;

use crate::spool::condition::Condition;
use crate::spool::segment::FreeSegment;
use crate::spool::segment::Segment;

/// Released segments kept for another use; more are removed, so that a spool shrinks after an outage.
const FREE_SEGMENTS_MAX: usize = 4;

/// The meeting place of [`Writer`](super::Writer) and [`Reader`](super::Reader).
#[derive(Debug)]
pub struct Shared {
    /// The writer's: how much of the stream of committed bytes is published.
    published: AtomicU64,
    /// The writer's: records published.
    records: AtomicU64,
    /// The writer's: batches published.
    batches: AtomicU64,
    /// The writer's: bytes of segment files created, those found by recovery included.
    created_bytes: AtomicU64,
    /// Either's: bytes of segment files removed.
    removed_bytes: AtomicU64,
    /// From the writer to the reader: segments in the order of their numbers. The quota bounds it: each
    /// entry is a file.
    arrivals: SegQueue<Arc<Segment>>,
    /// From the reader to the writer: released segments.
    free: ArrayQueue<FreeSegment>,
    /// How the disk does.
    condition: Arc<Condition>,
}

impl Shared {
    /// For a spool that holds `records` in `batches` already, in `segment_bytes` of files.
    pub fn new(records: u64, batches: u64, segment_bytes: u64) -> Self {
        Self {
            published: AtomicU64::new(0),
            records: AtomicU64::new(records),
            batches: AtomicU64::new(batches),
            created_bytes: AtomicU64::new(segment_bytes),
            removed_bytes: AtomicU64::new(0),
            arrivals: SegQueue::new(),
            free: ArrayQueue::new(FREE_SEGMENTS_MAX),
            condition: Arc::default(),
        }
    }

    /// How the disk does.
    pub fn condition(&self) -> &Arc<Condition> {
        &self.condition
    }

    /// Writer: everything committed up to `position` may be read.
    pub fn publish(&self, position: u64, records: u64, batches: u64) {
        self.records.store(records, Ordering::Relaxed);
        self.batches.store(batches, Ordering::Relaxed);
        // Release: shows the counts above, the arrivals pushed and the bytes frozen before to the
        // load in `published`.
        self.published.store(position, Ordering::Release);
    }

    /// Reader: how far it may read. All segments up to there have arrived.
    pub fn published(&self) -> u64 {
        // Acquire: with the store in `publish`.
        self.published.load(Ordering::Acquire)
    }

    /// Records and batches published, at least up to the last [`Shared::published`].
    pub fn counts(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.batches.load(Ordering::Relaxed))
    }

    /// Writer: hands a new segment over.
    pub fn arrive(&self, segment: Arc<Segment>) {
        self.arrivals.push(segment);
    }

    /// Reader: the next segment.
    pub fn next_arrival(&self) -> Option<Arc<Segment>> {
        self.arrivals.pop()
    }

    /// Reader: offers a released segment; back where enough are free.
    pub fn offer_free(&self, segment: FreeSegment) -> Result<(), FreeSegment> {
        self.free.push(segment)
    }

    /// Writer: a released segment.
    pub fn take_free(&self) -> Option<FreeSegment> {
        self.free.pop()
    }

    /// How many released segments wait for another use; the other side may change it at once.
    pub fn free_count(&self) -> usize {
        self.free.len()
    }

    /// Bytes of all segment files. Exact for the writer, who alone makes it grow.
    pub fn used_bytes(&self) -> u64 {
        // Relaxed: the file is gone before the reader counts it; the kernel orders that.
        let removed = self.removed_bytes.load(Ordering::Relaxed);
        self.created_bytes.load(Ordering::Relaxed).saturating_sub(removed)
    }

    /// Writer: a file was created.
    pub fn count_created(&self, bytes: u64) {
        // Relaxed, load and store: one writer.
        let created = self.created_bytes.load(Ordering::Relaxed);
        self.created_bytes.store(created + bytes, Ordering::Relaxed);
    }

    /// A file was removed.
    pub fn count_removed(&self, bytes: u64) {
        // Relaxed: as in `used_bytes`.
        self.removed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
