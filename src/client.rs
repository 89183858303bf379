//! What an application holds: open, log, flush, close.
//!
//! Owns the mapping from stages' refusals to [`Code`]s, the level, and the policy of a full ring. Knows no batch, no
//! spool and no protocol. Invariant (I5): a log call makes no system call, takes no lock and allocates
//! nothing, except where `ring.full=block` says wait or a text is formatted that does not fit its claim.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::config::Config;
use crate::config::RingFull;
use crate::config::Settings;
use crate::error::Code;
use crate::error::Error;
use crate::ids::StreamId;
use crate::pipeline::Pipeline;
use crate::record::Record;
use crate::record::Severity;
use crate::ring::Producer;
use crate::ring::Refusal;
use crate::stats::Snapshot;

/// Bytes that a formatted text may have to be written straight into the ring.
const FORMAT_BYTES_MAX: usize = 1024;
/// How long a call under `ring.full=block` sleeps between two tries.
const BLOCK_POLL: Duration = Duration::from_micros(200);
/// Prefix of the attribute names that are ours; a record that uses it is refused as invalid.
const RESERVED_PREFIX: &str = "logdrive.";

/// A running client. Cheap to clone, safe to share; all clones are one client.
///
/// Dropping the last clone closes it with `close.deadline`. Records that are not delivered by then are
/// not lost: they stay in the slot's files, and the next process that opens the same `name` sends them.
#[derive(Clone)]
pub struct Client {
    logger: Logger,
}

/// Logs to one stream (a Kafka topic) of a client. Cheap to clone, safe to share.
#[derive(Clone)]
pub struct Logger {
    shared: Arc<Shared>,
    stream: StreamId,
}

struct Shared {
    pipeline: Mutex<Pipeline>,
    calls: Calls,
    streams: Mutex<Vec<String>>,
    settings: Arc<Settings>,
}

/// What a log call needs, without a lock.
struct Calls {
    registry: Arc<crate::ring::Registry>,
    clock: crate::clock::Clock,
    level: AtomicU8,
    /// How long a call may wait for room; none under `ring.full=refuse`.
    block: Option<Duration>,
}

impl Client {
    /// Opens a client by URL, such as `receivers://host1:9092,host2:9092/app-logs?linger=5ms`, over the
    /// environment's `LOGDRIVE_*` and the defaults. See docs/configuration.md for every option.
    ///
    /// Touches the disk, never the network: with unreachable receivers it succeeds and keeps records.
    ///
    /// # Errors
    ///
    /// `Configuration`, naming option, value and allowed range; `Io` where no slot can be made.
    pub fn open(url: &str) -> Result<Self, Error> {
        let mut config = Config::from_url(url)?;
        config.load_environment(std::env::vars_os())?;
        Self::start(&config)
    }

    /// Starts a client with this configuration. As [`Client::open`], without reading the environment.
    pub fn start(config: &Config) -> Result<Self, Error> {
        let settings = Arc::new(config.settings()?);
        let pipeline = Pipeline::start(settings.clone())
            .map_err(|error| Error::new(Code::Io, error.to_string()))?;
        let stream = pipeline
            .registry()
            .arena()
            .add_stream(&settings.topic)
            .ok_or(Error::from(Code::TooManyStreams))?;
        let calls = Calls {
            registry: pipeline.registry().clone(),
            clock: *pipeline.clock(),
            level: AtomicU8::new(Severity::Trace as u8),
            block: (settings.ring.full == RingFull::Block).then_some(settings.ring.full_deadline),
        };
        let streams = Mutex::new(vec![settings.topic.clone()]);
        let shared = Arc::new(Shared { pipeline: Mutex::new(pipeline), calls, streams, settings });
        Ok(Self { logger: Logger { shared, stream } })
    }

    /// The logger of another stream: the Kafka topic `name`. The same name gives the same stream.
    ///
    /// Takes a lock; get loggers once, not per record.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where Kafka would refuse the name, `TooManyStreams` beyond 64.
    pub fn stream(&self, name: &str) -> Result<Logger, Error> {
        let is_legal = !name.is_empty()
            && name.len() <= 249
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && !matches!(name, "." | "..");
        if !is_legal {
            let detail = format!(
                "stream name '{name}': use 1 to 249 of A-Z a-z 0-9 . _ -, and neither . nor .."
            );
            return Err(Error::new(Code::InvalidArgument, detail));
        }
        let shared = &self.logger.shared;
        let mut streams = shared.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let known = streams.iter().position(|known| known == name);
        let stream = match known {
            Some(index) => StreamId(index as u16),
            None => {
                let added = shared.calls.registry.arena().add_stream(name);
                let stream = added.ok_or(Error::from(Code::TooManyStreams))?;
                streams.push(name.to_owned());
                stream
            }
        };
        Ok(Logger { shared: shared.clone(), stream })
    }

    /// Waits until everything accepted before the call was acknowledged (or accounted for).
    ///
    /// Blocks the calling thread until `deadline` at most; other threads go on logging.
    ///
    /// # Errors
    ///
    /// `DeadlineExceeded`: nothing is lost by it, the records are still stored.
    pub fn flush(&self, deadline: Duration) -> Result<(), Error> {
        let shared = &self.logger.shared;
        let request = {
            let pipeline = shared.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
            pipeline.request_flush()
        };
        if request.wait(deadline) { Ok(()) } else { Err(Code::DeadlineExceeded.into()) }
    }

    /// The figures as they are now. Takes a lock and allocates; not for the call path.
    pub fn stats(&self) -> Snapshot {
        self.logger.shared.pipeline.lock().unwrap_or_else(PoisonError::into_inner).snapshot()
    }

    /// Whether the slots that dead processes of this name left were all found, so that
    /// `stored` of [`Client::stats`] includes what they hold.
    pub fn adoption_done(&self) -> bool {
        self.logger.shared.pipeline.lock().unwrap_or_else(PoisonError::into_inner).adoption_done()
    }

    /// Refuses further records on all clones, flushes until `deadline`, ends the threads.
    ///
    /// # Errors
    ///
    /// `DeadlineExceeded` where something is still stored: the next process of this name sends it.
    pub fn close(self, deadline: Duration) -> Result<Snapshot, Error> {
        let shared = &self.logger.shared;
        let mut pipeline = shared.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        if pipeline.stop(deadline) {
            Ok(pipeline.snapshot())
        } else {
            Err(Code::DeadlineExceeded.into())
        }
    }

    /// Records below `level` are not logged from now on; a disabled call costs about a nanosecond.
    pub fn set_level(&self, level: Severity) {
        // Relaxed: a filter; threads may see it a moment later.
        self.logger.shared.calls.level.store(level as u8, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Client {
    type Target = Logger;

    /// The logger of the URL's topic.
    fn deref(&self) -> &Logger {
        &self.logger
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("topic", &self.logger.shared.settings.topic).finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let deadline = self.settings.client.close_deadline;
        let pipeline = self.pipeline.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What is not delivered stays stored; there is nobody left to tell.
        let _stored = pipeline.stop(deadline);
    }
}

impl Logger {
    /// Logs a text. Never blocks under `ring.full=refuse`; about ten nanoseconds plus the copy.
    ///
    /// # Errors
    ///
    /// Why the record was not accepted: `RingFull`, `RecordTooLarge`, `Closed`, `Reentrant`,
    /// `TooManyThreads`, `InvalidArgument`. Each is counted. A record below the level is no error.
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
    /// A text of more than 1,024 bytes is formatted on the heap first, so formatting may run twice.
    pub fn write(&self, severity: Severity, text: fmt::Arguments<'_>) -> Result<(), Code> {
        if !self.is_enabled(severity) {
            return Ok(());
        }
        if let Some(plain) = text.as_str() {
            return self.push(severity, None, &[], plain.as_bytes());
        }
        let record = self.record(severity, None, &[], &[]);
        let mut is_written = false;
        let outcome = self.shared.calls.registry.with(|producer| {
            is_written = format_in_place(producer, &record, text);
            Ok(())
        });
        match outcome {
            Ok(()) if is_written => Ok(()),
            Ok(()) => self.push(severity, None, &[], text.to_string().as_bytes()),
            Err(refusal) => Err(code_of(refusal)),
        }
    }

    /// Logs at TRACE. What is refused is counted, see [`Client::stats`].
    pub fn trace(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Trace, text);
    }

    /// Logs at DEBUG. What is refused is counted, see [`Client::stats`].
    pub fn debug(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Debug, text);
    }

    /// Logs at INFO. What is refused is counted, see [`Client::stats`].
    pub fn info(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Info, text);
    }

    /// Logs at WARN. What is refused is counted, see [`Client::stats`].
    pub fn warn(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Warn, text);
    }

    /// Logs at ERROR. What is refused is counted, see [`Client::stats`].
    pub fn error(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Error, text);
    }

    /// Logs at FATAL; does not end the program. What is refused is counted, see [`Client::stats`].
    pub fn fatal(&self, text: impl AsRef<[u8]>) {
        self.count(Severity::Fatal, text);
    }

    /// Whether a record of this severity would be logged.
    #[inline(always)]
    pub fn is_enabled(&self, severity: Severity) -> bool {
        // Relaxed: see `set_level`.
        severity as u8 >= self.shared.calls.level.load(Ordering::Relaxed)
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
        let ticks = self.shared.calls.clock.ticks();
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
        let calls = &self.shared.calls;
        let record = self.record(severity, key, attributes, body);
        let mut is_waiting = false;
        let outcome = calls.registry.with(|producer| {
            if record.attributes.iter().any(|(name, _)| name.starts_with(RESERVED_PREFIX)) {
                return Err(Refusal::Invalid);
            }
            match producer.push(&record) {
                // Not a refusal yet, so not counted as one.
                Err(Refusal::RingFull) if calls.block.is_some() => {
                    is_waiting = true;
                    Ok(())
                }
                outcome => outcome,
            }
        });
        match outcome {
            Ok(()) if is_waiting => calls.push_when_there_is_room(&record),
            Ok(()) => Ok(()),
            Err(refusal) => Err(code_of(refusal)),
        }
    }
}

impl Calls {
    /// Tries again until there is room or the policy's deadline has passed.
    #[cold]
    fn push_when_there_is_room(&self, record: &Record<'_>) -> Result<(), Code> {
        let start = self.clock.moment();
        let patience = self.block.unwrap_or_default();
        loop {
            self.registry.arena().wake_consumer();
            std::thread::sleep(BLOCK_POLL);
            let mut outcome = Ok(());
            let is_last_try = self.clock.moment().since(start) >= patience;
            let called = self.registry.with(|producer| {
                outcome = producer.push(record);
                // Only the refusal that the caller gets is counted.
                if is_last_try { outcome } else { Ok(()) }
            });
            match called.and(outcome) {
                Err(Refusal::RingFull) if !is_last_try => {}
                other => return other.map_err(code_of),
            }
        }
    }
}

/// False where the text does not fit a claim, or no claim was to be had; nothing was logged then.
fn format_in_place(producer: &mut Producer, record: &Record<'_>, text: fmt::Arguments<'_>) -> bool {
    let bytes_max = record.encoded_bytes() + FORMAT_BYTES_MAX;
    let Ok(mut claim) = producer.claim_in_place(record.severity, bytes_max) else { return false };
    let mut is_full = false;
    record.encode(|piece| is_full |= claim.put(piece).is_err());
    if is_full || claim.write_fmt(text).is_err() {
        return false;
    }
    claim.commit();
    true
}

fn code_of(refusal: Refusal) -> Code {
    match refusal {
        Refusal::RingFull => Code::RingFull,
        Refusal::TooLarge => Code::RecordTooLarge,
        Refusal::Closed => Code::Closed,
        Refusal::Reentrant => Code::Reentrant,
        Refusal::TooManyThreads => Code::TooManyThreads,
        Refusal::Invalid => Code::InvalidArgument,
    }
}
