//! The log call: from a text to a record in the calling thread's ring.
//!
//! Owns the mapping from refusals to [`Code`]s, the level, and the policy of a full ring. Invariant (I5): a call
//! makes no system call, takes no lock and allocates nothing, except where `ring.full=block` says
//! wait, or a formatted text does not fit its claim.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::config::RingFull;
use crate::error::Code;
use crate::ids::StreamId;
use crate::lineage::Lineage;
use crate::record::Record;
use crate::record::Severity;
use crate::ring::Producer;
use crate::ring::Refusal;
use crate::ring::Registry;

/// Bytes that a formatted text may have to be written straight into the ring.
const FORMAT_BYTES_MAX: usize = 1024;
/// How long a call under `ring.full=block` sleeps between two tries.
const BLOCK_POLL: Duration = Duration::from_micros(200);
/// Prefix of the attribute names that are ours; a record that uses it is refused as invalid.
const RESERVED_PREFIX: &str = "logdrive.";

/// Logs to one stream (a Kafka topic) of a client. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Logger {
    calls: Arc<Calls>,
    stream: StreamId,
}

/// What a log call needs, without a lock.
pub(crate) struct Calls {
    lineage: Lineage,
    level: AtomicU8,
    /// How long a call may wait for room; none under `ring.full=refuse`.
    block: Option<Duration>,
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Logger {
    pub(crate) fn new(calls: Arc<Calls>, stream: StreamId) -> Self {
        Self { calls, stream }
    }

    /// Logs a text. Never blocks under `ring.full=refuse`; about ten nanoseconds plus the copy.
    ///
    /// # Errors
    ///
    /// Why the record was not accepted: `RingFull`, `SpoolFull`, `RecordTooLarge`, `Closed`, `Reentrant`,
    /// `TooManyThreads`, `InvalidArgument`; `Starting` where threads cannot be started, or a forked
    /// child's rings are being made. Each is counted. A record below the level is no error.
    #[inline]
    pub fn log(&self, severity: Severity, text: impl AsRef<[u8]>) -> Result<(), Code> {
        if !self.is_enabled(severity) {
            return Ok(());
        }
        self.push(severity, None, &[], text.as_ref())
    }

    /// Logs a text with name and value pairs, which become record headers (or JSON fields).
    ///
    /// Names that begin with `logdrive.` are refused. See [`Logger::log`] for the rest.
    pub fn log_with(
        &self,
        severity: Severity,
        text: impl AsRef<[u8]>,
        attributes: &[(&str, &[u8])],
    ) -> Result<(), Code> {
        if !self.is_enabled(severity) {
            return Ok(());
        }
        self.push(severity, None, attributes, text.as_ref())
    }

    /// Logs a text under a key: records of one key keep one partition and their order.
    pub fn log_keyed(
        &self,
        severity: Severity,
        key: impl AsRef<[u8]>,
        text: impl AsRef<[u8]>,
        attributes: &[(&str, &[u8])],
    ) -> Result<(), Code> {
        if !self.is_enabled(severity) {
            return Ok(());
        }
        self.push(severity, Some(key.as_ref()), attributes, text.as_ref())
    }

    /// Formats straight into the ring: `logger.write(Severity::Info, format_args!("{x} of {y}"))`.
    ///
    /// A text of more than 1,024 bytes is formatted on the heap, so formatting may run twice; it does not run at all
    /// where there is no room.
    pub fn write(&self, severity: Severity, text: fmt::Arguments<'_>) -> Result<(), Code> {
        if !self.is_enabled(severity) {
            return Ok(());
        }
        if let Some(plain) = text.as_str() {
            return self.push(severity, None, &[], plain.as_bytes());
        }
        let record = self.record(severity, None, &[], &[]);
        let mut is_written = false;
        self.offer(|producer| {
            is_written = format_in_place(producer, &record, text)?;
            Ok(())
        })?;
        if is_written {
            return Ok(());
        }
        let mut formatted = String::new();
        // A value that cannot be formatted is the caller's defect, never a panic of ours.
        formatted.write_fmt(text).map_err(|_| Code::InvalidArgument)?;
        self.push(severity, None, &[], formatted.as_bytes())
    }

    /// Logs at TRACE. What is refused is counted in [`Client::stats`](crate::Client::stats).
    pub fn trace(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Trace, text);
    }

    /// Logs at DEBUG. What is refused is counted in [`Client::stats`](crate::Client::stats).
    pub fn debug(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Debug, text);
    }

    /// Logs at INFO. What is refused is counted in [`Client::stats`](crate::Client::stats).
    pub fn info(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Info, text);
    }

    /// Logs at WARN. What is refused is counted in [`Client::stats`](crate::Client::stats).
    pub fn warn(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Warn, text);
    }

    /// Logs at ERROR. What is refused is counted in [`Client::stats`](crate::Client::stats).
    pub fn error(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Error, text);
    }

    /// Logs at FATAL; does not end the program.
    ///
    /// What is refused is counted in [`Client::stats`](crate::Client::stats).
    pub fn fatal(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Fatal, text);
    }

    /// Whether a record of this severity would be logged.
    #[inline(always)]
    pub fn is_enabled(&self, severity: Severity) -> bool {
        // Relaxed: see `set_level`.
        severity as u8 >= self.calls.level.load(Ordering::Relaxed)
    }

    /// Claims room in the ring for a text of at most `bytes_max` bytes that the caller writes through
    /// the pointer, then [`Logger::commit`]s or [`Logger::discard`]s on the same thread. For
    /// bindings of languages that format text themselves; in Rust use [`Logger::write`].
    ///
    /// Until then, records of this thread are refused as `Reentrant`. The room stays valid even if the
    /// client is closed; a forked child has no part in it. Whether the severity is enabled is not looked at.
    ///
    /// # Errors
    ///
    /// As [`Logger::log`]. `RecordTooLarge`, which is not counted here, also where there is no such room
    /// though [`Logger::log_with`] would take the record: it does not fit one chunk of the ring, or
    /// the thread's locals are destroyed (in atexit handlers, say), and its ring lasts for one call only.
    #[doc(hidden)]
    pub fn claim(
        &self,
        severity: Severity,
        attributes: &[(&str, &[u8])],
        bytes_max: usize,
    ) -> Result<*mut u8, Code> {
        if has_reserved_name(attributes) {
            return self.offer(|_| Err(Refusal::Invalid)).map(|()| std::ptr::null_mut());
        }
        if !Registry::keeps_rings() {
            return Err(Code::RecordTooLarge);
        }
        let record = self.record(severity, None, attributes, &[]);
        let mut room = Err(Code::RecordTooLarge);
        self.offer(|producer| {
            match producer.begin(&record, bytes_max) {
                Ok(body) => room = Ok(body),
                // Nothing was offered yet; the caller logs it in another way.
                Err(Refusal::TooLarge) => {}
                Err(other) => return Err(other),
            }
            Ok(())
        })?;
        room
    }

    /// Logs the first `bytes` bytes of what [`Logger::claim`] gave to this thread.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where `room` is not this thread's claim or has less room; `Closed`.
    #[doc(hidden)]
    pub fn commit(&self, room: *const u8, bytes: usize) -> Result<(), Code> {
        self.offer(|producer| producer.finish(room, Some(bytes)))
    }

    /// Forgets a claim. Errors as [`Logger::commit`].
    #[doc(hidden)]
    pub fn discard(&self, room: *const u8) -> Result<(), Code> {
        self.offer(|producer| producer.finish(room, None))
    }

    /// Counts a record that would have fed on itself.
    #[cfg(any(feature = "log", feature = "tracing", feature = "slog"))]
    #[cold]
    pub(crate) fn refuse_as_reentrant(&self) {
        // Counted is all that there is to it.
        let _counted = self.offer(|_| Err(Refusal::Reentrant));
    }

    #[inline]
    fn count(&self, severity: Severity, text: impl AsRef<[u8]>) {
        // A refusal is counted where it happens; the caller of this form does not want to know.
        let _counted = self.log(severity, text);
    }

    #[inline(always)]
    fn record<'a>(
        &self,
        severity: Severity,
        key: Option<&'a [u8]>,
        attributes: &'a [(&'a str, &'a [u8])],
        body: &'a [u8],
    ) -> Record<'a> {
        let ticks = self.calls.lineage.clock().ticks();
        Record { severity, stream: self.stream, ticks, key, attributes, body }
    }

    #[inline(always)]
    fn push(
        &self,
        severity: Severity,
        key: Option<&[u8]>,
        attributes: &[(&str, &[u8])],
        body: &[u8],
    ) -> Result<(), Code> {
        let record = self.record(severity, key, attributes, body);
        self.offer(|producer| {
            if has_reserved_name(record.attributes) {
                return Err(Refusal::Invalid);
            }
            producer.push(&record)
        })
    }

    /// Calls `write` with this thread's producer, again where the policy says to wait for room.
    #[inline(always)]
    fn offer(
        &self,
        mut write: impl FnMut(&mut Producer) -> Result<(), Refusal>,
    ) -> Result<(), Code> {
        let calls = &*self.calls;
        let Some(node) = calls.lineage.node_for_record() else { return Err(Code::Starting) };
        let mut is_waiting = false;
        let outcome = node.registry().with(|producer| match write(producer) {
            // Not a refusal yet, so not counted as one.
            Err(Refusal::RingFull | Refusal::SpoolFull) if calls.block.is_some() => {
                is_waiting = true;
                Ok(())
            }
            outcome => outcome,
        });
        match outcome {
            Ok(()) if is_waiting => calls.write_when_there_is_room(node.registry(), &mut write),
            Ok(()) => Ok(()),
            Err(refusal) => Err(code_of(refusal)),
        }
    }
}

fn has_reserved_name(attributes: &[(&str, &[u8])]) -> bool {
    attributes.iter().any(|(name, _)| name.starts_with(RESERVED_PREFIX))
}

impl Calls {
    /// Every severity is enabled.
    pub(crate) fn new(lineage: Lineage) -> Self {
        let ring = &lineage.settings().ring;
        let block = (ring.full == RingFull::Block).then_some(ring.full_deadline);
        Self { lineage, level: AtomicU8::new(Severity::Trace as u8), block }
    }

    pub(crate) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub(crate) fn set_level(&self, level: Severity) {
        // Relaxed: a filter; threads may see it a moment later.
        self.level.store(level as u8, Ordering::Relaxed);
    }

    /// Tries again until there is room or the policy's deadline has passed.
    #[cold]
    fn write_when_there_is_room(
        &self,
        registry: &Registry,
        write: &mut dyn FnMut(&mut Producer) -> Result<(), Refusal>,
    ) -> Result<(), Code> {
        let clock = self.lineage.clock();
        let start = clock.moment();
        let patience = self.block.unwrap_or_default();
        loop {
            registry.arena().wake_consumer();
            std::thread::sleep(BLOCK_POLL);
            let mut outcome = Ok(());
            let is_last_try = clock.moment().since(start) >= patience;
            let called = registry.with(|producer| {
                outcome = write(producer);
                // Only the refusal that the caller gets is counted.
                if is_last_try { outcome } else { Ok(()) }
            });
            match called.and(outcome) {
                Err(Refusal::RingFull | Refusal::SpoolFull) if !is_last_try => {}
                other => return other.map_err(code_of),
            }
        }
    }
}

/// False where the text does not fit a claim; nothing was logged then, and it is to be formatted elsewhere.
fn format_in_place(
    producer: &mut Producer,
    record: &Record<'_>,
    text: fmt::Arguments<'_>,
) -> Result<bool, Refusal> {
    let bytes_max = record.encoded_bytes() + FORMAT_BYTES_MAX;
    let mut claim = match producer.claim_in_place(record.severity, bytes_max) {
        Ok(claim) => claim,
        // No record may be as large as the claim; the text may still be small enough.
        Err(Refusal::TooLarge) => return Ok(false),
        Err(refusal) => return Err(refusal),
    };
    let mut is_full = false;
    record.encode(|piece| is_full |= claim.put(piece).is_err());
    if is_full || claim.write_fmt(text).is_err() {
        return Ok(false);
    }
    claim.commit();
    Ok(true)
}

fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::RingFull => Code::RingFull,
        Refusal::TooLarge => Code::RecordTooLarge,
        Refusal::Closed => Code::Closed,
        Refusal::Reentrant => Code::Reentrant,
        Refusal::TooManyThreads => Code::TooManyThreads,
        Refusal::Invalid => Code::InvalidArgument,
        Refusal::SpoolFull => Code::SpoolFull,
        Refusal::Starting => Code::Starting,
    }
}
