//! What a receiver counts. Written by its loop, read by anyone at any time.
//!
//! Invariant: a counter never falls; each is exact once the loop is idle.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::stats::SenderStats;

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// Why a batch was not stored or a connection was closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// Every reason.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$variant,)+];

            /// A short stable name.
            pub const fn name(self) -> &'static str {
                match self { $(Refusal::$variant => $name,)+ }
            }
        }
    };
}

refusals! {
    /// Connection closed: bytes that are no request we know, or an API or version never advertised.
    Malformed = "malformed";
    /// Connection closed: a frame announced more than `frame_bytes_max`.
    FrameTooLarge = "frame_too_large";
    /// Connection closed: TLS's handshake failed, or the client left before its end.
    TlsHandshake = "tls_handshake";
    /// Connection closed: wrong user or password.
    AuthenticationFailed = "authentication_failed";
    /// Connection closed: a request came before the client was authenticated.
    Unauthenticated = "unauthenticated";
    /// Connection closed: its address had `connections_per_address_max` already.
    TooManyFromAddress = "too_many_from_address";
    /// Connection closed: neither handshake, authentication nor a whole first
    /// frame within `first_frame_timeout`.
    FirstFrameTimeout = "first_frame_timeout";
    /// Connection closed: a begun frame made too little progress.
    TooSlow = "too_slow";
    /// Connection closed: idle for `idle_timeout`.
    Idle = "idle";
    /// Connection closed: it was idle longest when `connections_max` was reached.
    TooManyConnections = "too_many_connections";
    /// Batch refused: older than magic 2.
    OldFormat = "old_format";
    /// Batch refused: its CRC or length is wrong.
    Corrupt = "corrupt";
    /// Batch refused: counts, offsets or compressed data do not agree, or it inflates beyond its
    /// cap.
    InvalidRecord = "invalid_record";
    /// Batch refused: larger than `batch_bytes_max`.
    TooLarge = "too_large";
    /// Batch refused: the topic's name is against Kafka's rule.
    InvalidTopic = "invalid_topic";
    /// Batch refused: a partition other than 0.
    UnknownPartition = "unknown_partition";
    /// Batch refused: `topics_max` was reached.
    TooManyTopics = "too_many_topics";
    /// Batch refused: the disk refused it.
    Storage = "storage";
}

/// The counters themselves.
#[derive(Default)]
pub(crate) struct Counters {
    pub connections: AtomicU64,
    pub connections_open: AtomicU64,
    pub batches: AtomicU64,
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub duplicates: AtomicU64,
    pub storage_errors: AtomicU64,
    pub panics: AtomicU64,
    pub credentials_failures: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    /// Counts one refusal.
    pub fn refuse(&self, reason: Refusal) {
        add(&self.refused[reason as usize], 1);
    }

    /// Says how many connections are open.
    pub fn set_connections_open(&self, count: u64) {
        // Relaxed: counters stand alone, they publish nothing.
        self.connections_open.store(count, Ordering::Relaxed);
    }

    /// The counters as they are.
    pub fn snapshot(&self) -> Stats {
        // Relaxed: counters stand alone, they publish nothing.
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections: load(&self.connections),
            connections_open: load(&self.connections_open),
            batches: load(&self.batches),
            records: load(&self.records),
            bytes: load(&self.bytes),
            duplicates: load(&self.duplicates),
            storage_errors: load(&self.storage_errors),
            panics: load(&self.panics),
            forwarded: None,
            credentials_failures: load(&self.credentials_failures),
            refused: Refusal::ALL
                .iter()
                .map(|reason| (*reason, load(&self.refused[*reason as usize])))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

/// Adds to a counter that only the loop writes.
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    // Relaxed: counters stand alone, they publish nothing.
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// A reading of a receiver's counters, all since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Batches stored, repeats not counted.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them, as stored.
    pub bytes: u64,
    /// Exact repeats, acknowledged and not stored again.
    pub duplicates: u64,
    /// Writes and syncs that the operating system refused.
    pub storage_errors: u64,
    /// Panics that were caught; every one is a defect worth a report. All connections ended with it.
    pub panics: u64,
    /// What became of it, where it is forwarded.
    pub forwarded: Option<Forwarded>,
    /// Looks that found changed certificates or users that cannot be used; the old ones are used on.
    pub credentials_failures: u64,
    /// What was refused, by reason; reasons that never occurred are left out.
    pub refused: Vec<(Refusal, u64)>,
}

/// What a relay did with the records that it took, and with those that earlier relays of its name left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Records that the next hop acknowledged.
    pub delivered: u64,
    /// Records that it refused for good.
    pub dropped: u64,
    /// Records that wait.
    pub stored: u64,
}

impl Forwarded {
    pub(crate) fn of(sender: &SenderStats) -> Self {
        let dropped: u64 = sender.dropped.iter().map(|(_, count)| count).sum();
        Self {
            delivered: sender.delivered + sender.adopted_delivered,
            dropped: dropped + sender.adopted_dropped,
            stored: sender.stored,
        }
    }
}

impl Stats {
    /// How often something was refused for this reason.
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused.iter().find(|(of, _)| *of == reason).map_or(0, |(_, count)| *count)
    }
}
