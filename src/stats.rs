//! What happened so far, by name: the answer to "was anything lost?".
//!
//! Owns the shared counters of the pipeline's threads and the snapshot that users read. What must
//! survive a crash is not counted here: it is derived from ring positions and frame states (I2).

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// One event counter; any thread may count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        // Relaxed: a statistic; nothing is published by it.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Replaces the count: for what is looked at anew each time, by one thread.
    pub fn set(&self, count: u64) {
        // Relaxed: as in `add`.
        self.0.store(count, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn value(&self) -> u64 {
        // Relaxed: as in `add`.
        self.0.load(Ordering::Relaxed)
    }
}

/// What the batcher's side counts.
#[derive(Debug, Default)]
pub struct BatchCounters {
    /// Records drained from the rings.
    pub drained: Counter,
    /// Records in the rings that cannot be drained now, for the spool or all workers are busy.
    pub waiting: Counter,
    /// Records committed to the spool.
    pub committed: Counter,
    /// Groups committed.
    pub groups: Counter,
    /// Bytes of bodies as the application gave them.
    pub bytes_in: Counter,
    /// Bytes of batches after compression, headers included.
    pub bytes_out: Counter,
    /// Records that could not be encoded and travel as a placeholder.
    pub malformed: Counter,
    /// Commits that found the spool full.
    pub spool_full: Counter,
    /// Commits that the file system refused.
    pub spool_errors: Counter,
    /// Records of our own that report losses; they count as drained and committed too.
    pub loss_reports: Counter,
    /// Places in spools that were found unreadable and copied to the quarantine.
    pub spool_damages: Counter,
    /// Records that were rejected and are not among the dead letters: no room there, or no way to write them.
    pub dead_letters_lost: Counter,
    /// Panics of our threads that were caught.
    pub panics: Counter,
}

impl BatchCounters {
    /// The number that the next record of the open slice will have, where `committed_end` is the next one to be
    /// committed: what was drained comes first. By the thread that drains and commits.
    pub fn next_number(&self, committed_end: u64) -> RangeInclusive<u64> {
        let pending = self.drained.value().saturating_sub(self.committed.value());
        committed_end..=committed_end + pending
    }

    /// Records of our own were put into the open slice.
    pub fn note_reports(&self, reports: u32) {
        self.drained.add(reports.into());
        self.loss_reports.add(reports.into());
    }
}

/// What became of events beside being told.
#[derive(Debug, Default)]
pub struct EventCounters {
    /// Events that the callback was not told of.
    pub lost: Counter,
    /// Panics of the callback.
    pub panics: Counter,
}

/// What one receiver or broker took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// `host:port` as resolved.
    pub address: String,
    /// Whether a lane is ready on it now.
    pub is_connected: bool,
    /// Batches it acknowledged.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them on the wire.
    pub bytes: u64,
    /// How often a lane to it failed.
    pub failures: u64,
    /// Why, the last time; empty where none did. Never holds a secret.
    pub last_failure: String,
}

/// What the sender's side knows; replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Records acknowledged.
    pub delivered: u64,
    /// Records sent where no acknowledgement will ever come.
    pub unconfirmed: u64,
    /// Records given up, by reason, none with a count of zero.
    pub dropped: Vec<(&'static str, u64)>,
    /// Records whose stored bytes were found unreadable.
    pub damaged: u64,
    /// Records that wait in the spool, of this run and of adopted ones; and those of this run before it.
    pub stored: u64,
    /// Bytes that wait in the spool.
    pub stored_bytes: u64,
    /// Records of earlier runs that were waiting when their slots were adopted and are delivered now.
    pub adopted_delivered: u64,
    /// Records of earlier runs that were given up now.
    pub adopted_dropped: u64,
    /// Whether the slots of dead processes were all found, so that the figures include them.
    pub adoption_done: bool,
    /// Records of earlier runs that still wait; `stored` includes them.
    pub adopted_stored: u64,
    /// Slots of dead processes that are not empty yet.
    pub adopted_slots: u64,
    /// Bytes of acknowledged batches on the wire.
    pub bytes_wire: u64,
    /// Attempts beyond the first to send a batch.
    pub retries: u64,
    /// Acknowledgements of new batches at offsets that were acknowledged before: a broker lost what it had
    /// acknowledged, or lies. Each is worth a look at the cluster; what it lost is not sent again.
    pub acknowledgement_regressions: u64,
    /// Milliseconds of silence that brokers asked for, because of their quotas; over all connections.
    pub throttled_ms: u64,
    /// Connections that were moved by the rebinding rules.
    pub rebinds: u64,
    /// Whether servers' certificates are believed without a look (`tls.insecure_skip_verification`).
    pub tls_unverified: bool,
    /// Whether passwords or tokens are sent without encryption (`sasl.insecure_cleartext`).
    pub sasl_cleartext: bool,
    /// How often changed certificates, passwords or tokens were taken over.
    pub credentials_reloads: u64,
    /// How often they could not be read or used; what was known before was used on.
    pub credentials_failures: u64,
    /// Why, if the last look at them failed. Never holds a secret.
    pub credentials_failure: String,
    /// How often the discovery (`discovery`) gave no list; what was known stayed in use.
    pub discovery_failures: u64,
    /// By receiver.
    pub receivers: Vec<ReceiverStats>,
}

/// Counters of one client, shared by its threads.
#[derive(Debug, Default)]
pub struct Counters {
    /// The batcher's.
    pub batch: BatchCounters,
    /// Of the event callback.
    pub events: EventCounters,
    sender: Mutex<SenderStats>,
}

impl Counters {
    /// The sender's latest figures, to be replaced or copied; held for a copy's time only.
    pub fn sender(&self) -> MutexGuard<'_, SenderStats> {
        // A poisoned lock guards a snapshot that is replaced as a whole.
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reading of everything, consistent once the client is at rest (after a flush that returned OK):
/// `accepted + adopted_stored = delivered + unconfirmed + dropped + damaged + stored`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Who logged them, as `logdrive verify` names it: 32 hexadecimal digits; empty before there is a slot.
    pub instance: String,
    /// Records accepted by this client: drained from the rings, or counted in them while the spool is full.
    pub accepted: u64,
    /// How many of them are logdrive's own reports of losses.
    pub loss_reports: u64,
    /// Records refused at the call, by reason, none with a count of zero.
    pub refused: Vec<(&'static str, u64)>,
    /// Bytes of bodies as the application gave them.
    pub bytes_in: u64,
    /// Bytes of sealed batches.
    pub bytes_sealed: u64,
    /// Records that travel as a placeholder because they could not be encoded.
    pub malformed: u64,
    /// Panics of our threads that were caught; every one is a defect worth a report.
    pub panics: u64,
    /// Events that the callback was not told of: it was too slow, or the client was closed meanwhile.
    pub events_lost: u64,
    /// Panics of the event callback that were caught; the application's, not ours.
    pub callback_panics: u64,
    /// Commits that found the spool full.
    pub spool_full: u64,
    /// Commits that the file system refused.
    pub spool_errors: u64,
    /// Places in spools that were found unreadable; what is known of them lies in `quarantine/`.
    pub spool_damages: u64,
    /// Records that were rejected and are not among the dead letters: no room there, or no way to write them.
    pub dead_letters_lost: u64,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Percent of the arena's chunks in use.
    pub arena_used_percent: u8,
    /// Whether the rings are in private memory, which does not survive a crash.
    pub arena_is_private: bool,
    /// Whether the arena's file was taken away (truncated) in use. What was in the rings is lost, and nobody knows how
    /// much that was; from then on records are refused as closed.
    pub arena_is_lost: bool,
    /// How the spool's files are written: `mmap` or `file`, see `spool.store`.
    pub spool_store: &'static str,
    /// Whether new batches are kept in memory alone, because the disk refuses files.
    pub spool_memory_mode: bool,
    /// How often that began.
    pub spool_memory_entries: u64,
    /// Bytes of the segments in memory alone: a crash loses what waits in them.
    pub spool_memory_bytes: u64,
    /// Segments that were written to another file, from memory or from a disk that failed.
    pub spool_segments_rehomed: u64,
    /// The sender's side.
    pub sender: SenderStats,
}

impl Snapshot {
    /// Records refused, over all reasons.
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().map(|(_, count)| count).sum()
    }

    /// Records dropped after they were accepted, over all reasons.
    pub fn dropped_total(&self) -> u64 {
        self.sender.dropped.iter().map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sender = &self.sender;
        write!(
            f,
            "accepted {}, delivered {}, stored {}, dropped {}, refused {}",
            self.accepted,
            sender.delivered,
            sender.stored,
            self.dropped_total(),
            self.refused_total()
        )
    }
}
