//! What an application holds: open, streams, flush, statistics, close.
//!
//! Nothing here is on the call path: that is `logger`; what differs between a process and its forked children
//! is `lineage`. Knows no batch, no spool and no protocol.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::Code;
use crate::error::Error;
use crate::ids::StreamId;
use crate::lineage::Lineage;
use crate::lineage::Node;
use crate::logger::Calls;
use crate::logger::Logger;
use crate::record::Severity;
use crate::stats::Snapshot;

/// The stream of the URL's topic.
const FIRST_STREAM: StreamId = StreamId(0);

/// A running client. Cheap to clone, safe to share; all clones are one client.
///
/// It is also the [`Logger`] of the topic in its URL. Dropping the last clone closes it with `close.deadline`;
/// loggers that outlive it are refused as closed. Records that are not delivered by then are not lost:
/// they stay in the slot's files, and the next process that opens the same `name` sends them.
///
/// A forked child may go on using its copy: it gets rings, files and threads of its own at its first record,
/// under an instance of its own. What the parent logged stays the parent's.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    logger: Logger,
}

struct Shared {
    calls: Arc<Calls>,
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
        let lineage =
            Lineage::start(settings).map_err(|error| Error::new(Code::Io, error.to_string()))?;
        let calls = Arc::new(Calls::new(lineage));
        let logger = Logger::new(calls.clone(), FIRST_STREAM);
        Ok(Self { shared: Arc::new(Shared { calls }), logger })
    }

    /// Whether [`Client::start`] would find its configuration right and a place for its files; makes an
    /// empty slot and removes it, and starts no thread. For bindings that start a client at its first record.
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    #[doc(hidden)]
    pub fn probe(config: &Config) -> Result<(), Error> {
        Lineage::probe(&config.settings()?).map_err(|error| Error::new(Code::Io, error.to_string()))
    }

    /// The logger of another stream: the Kafka topic `name`. The same name gives the same stream.
    ///
    /// Takes a lock; get loggers once, not per record.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where Kafka would refuse the name, `TooManyStreams` beyond 64.
    pub fn stream(&self, name: &str) -> Result<Logger, Error> {
        Self::check_stream_name(name)?;
        let calls = &self.shared.calls;
        let node = calls.lineage().node_for_record().ok_or(Error::from(Code::Starting))?;
        let stream = node.stream(name).ok_or(Error::from(Code::TooManyStreams))?;
        Ok(Logger::new(calls.clone(), stream))
    }

    /// Whether [`Client::stream`] would take this name. For bindings that start a client later than they
    /// are told of its streams.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, with what is allowed.
    #[doc(hidden)]
    pub fn check_stream_name(name: &str) -> Result<(), Error> {
        let is_legal = !name.is_empty()
            && name.len() <= 249
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && !matches!(name, "." | "..");
        if is_legal {
            return Ok(());
        }
        let detail = format!(
            "stream name '{name}': use 1 to 249 of A-Z a-z 0-9 . _ -, and neither . nor .."
        );
        Err(Error::new(Code::InvalidArgument, detail))
    }

    /// Waits until everything accepted before the call was acknowledged (or accounted for).
    ///
    /// Blocks the calling thread until `deadline` at most; other threads go on logging.
    ///
    /// # Errors
    ///
    /// `DeadlineExceeded`: nothing is lost by it, the records are still stored.
    pub fn flush(&self, deadline: Duration) -> Result<(), Error> {
        self.flush_in_steps(deadline, deadline, || true)
    }

    /// As [`Client::flush`], asking every `step` whether to go on. For bindings whose host has to look at
    /// its signals during a long wait.
    ///
    /// # Errors
    ///
    /// As [`Client::flush`], also where `go_on` said no.
    #[doc(hidden)]
    pub fn flush_in_steps(
        &self,
        deadline: Duration,
        step: Duration,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let Some(node) = self.node() else { return Ok(()) };
        // The lock is given back before the wait.
        let request = node.pipeline().request_flush();
        let mut rest = deadline;
        loop {
            let patience = rest.min(step);
            if request.wait(patience) {
                return Ok(());
            }
            rest -= patience;
            if rest.is_zero() || !go_on() {
                return Err(Code::DeadlineExceeded.into());
            }
        }
    }

    /// The figures as they are now. Takes a lock and allocates; not for the call path.
    pub fn stats(&self) -> Snapshot {
        let mut snapshot = self.node().map(|node| node.pipeline().snapshot()).unwrap_or_default();
        let refused = self.shared.calls.lineage().refused_without_node();
        if refused > 0 {
            snapshot.refused.push(("starting", refused));
        }
        snapshot
    }

    /// Whether the slots that dead processes of this name left were all found, so that `stored` of a later
    /// [`Client::stats`] includes what they hold.
    pub fn adoption_done(&self) -> bool {
        self.node().is_none_or(|node| node.pipeline().adoption_done())
    }

    /// Refuses further records on all clones, flushes until `deadline`, ends the threads.
    ///
    /// # Errors
    ///
    /// `DeadlineExceeded` where something is still stored: the next process of this name sends it.
    pub fn close(self, deadline: Duration) -> Result<Snapshot, Error> {
        if self.shared.calls.lineage().stop(deadline) {
            Ok(self.stats())
        } else {
            Err(Code::DeadlineExceeded.into())
        }
    }

    /// How long the end of a process may wait for this client.
    #[cfg(any(feature = "log", feature = "tracing", feature = "slog"))]
    pub(crate) fn close_deadline(&self) -> Duration {
        self.shared.calls.lineage().settings().client.close_deadline
    }

    /// Records below `level` are not logged from now on; a disabled call costs about a nanosecond.
    pub fn set_level(&self, level: Severity) {
        self.shared.calls.set_level(level);
    }

    /// This process's pipeline; none in a forked child that has not logged.
    fn node(&self) -> Option<&Node> {
        self.shared.calls.lineage().node()
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
        f.debug_struct("Client")
            .field("topic", &self.shared.calls.lineage().settings().topic)
            .finish()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let lineage = self.calls.lineage();
        // What is not delivered stays stored; there is nobody left to tell.
        let _stored = lineage.stop(lineage.settings().client.close_deadline);
    }
}
