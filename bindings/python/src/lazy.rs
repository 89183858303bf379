//! The core's client, started at the first record.
//!
//! An application may be opened in a process that only forks (gunicorn --preload, uWSGI, multiprocessing): there it
//! shall have no threads, about which Python warns at every fork since 3.12, and no files. So opening only tries
//! configuration and directories. What a child does with a client that was started before its fork is the
//! core's. Invariant: nothing here is a lock that a forked child could find held.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive_core::Client;
use logdrive_core::Code;
use logdrive_core::Config;
use logdrive_core::Error;
use logdrive_core::Severity;
use logdrive_core::Snapshot;
use logdrive_core::clock::Clock;
use logdrive_core::config::RingFull;
use logdrive_core::sys::fork;
use logdrive_core::sys::set_once::SetOnce;
use pyo3::prelude::*;

/// How long a thread sleeps while another one starts the client, between two looks.
const START_POLL: Duration = Duration::from_micros(100);
/// Pause before a client that could not be started is tried again, as the core's after a fork.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a wait looks at Python's signals.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);

/// Whether the interpreter is ending.
static IS_END: AtomicBool = AtomicBool::new(false);

/// Says whether the interpreter is ending: closing waits for nothing any more then.
pub(crate) fn set_end(is_end: bool) {
    // Relaxed: see where it is read.
    IS_END.store(is_end, Ordering::Relaxed);
}

/// See the module's head.
pub(crate) struct LazyClient {
    config: Config,
    close_deadline: Duration,
    waits_for_room: bool,
    level: AtomicU8,
    is_closed: AtomicBool,
    /// Whether closing left nothing.
    is_settled: AtomicBool,
    /// The process in which a thread is starting the client now; 0 for none.
    started_by: AtomicU64,
    clock: Clock,
    /// No further try before this moment.
    retry_at: AtomicU64,
    /// Records refused before there was a client.
    refused_as_starting: AtomicU64,
    refused_as_closed: AtomicU64,
    client: SetOnce<Client>,
}

impl LazyClient {
    /// Tries configuration and directories; starts nothing.
    pub(crate) fn open(config: Config) -> Result<Arc<Self>, Error> {
        let settings = config.settings()?;
        Client::probe(&config)?;
        Ok(Arc::new(Self {
            config,
            close_deadline: settings.client.close_deadline,
            waits_for_room: settings.ring.full == RingFull::Block,
            level: AtomicU8::new(Severity::Trace as u8),
            is_closed: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            started_by: AtomicU64::new(0),
            clock: Clock::start(),
            retry_at: AtomicU64::new(0),
            refused_as_starting: AtomicU64::new(0),
            refused_as_closed: AtomicU64::new(0),
            client: SetOnce::new(),
        }))
    }

    /// The client, started if need be; none where it cannot be, or was closed before it was started.
    #[inline]
    pub(crate) fn for_record(&self) -> Option<&Client> {
        match self.client.get() {
            Some(client) => Some(client),
            None => self.start_for_record(),
        }
    }

    /// The client, if it was started.
    pub(crate) fn started(&self) -> Option<&Client> {
        self.client.get()
    }

    /// Whether a log call may wait, and so has to let other threads run.
    #[inline]
    pub(crate) fn waits_for_room(&self) -> bool {
        self.waits_for_room
    }

    /// Whether records of this severity are logged.
    #[inline]
    pub(crate) fn is_enabled(&self, severity: Severity) -> bool {
        // Relaxed: a filter; threads may see a change a moment later.
        severity as u8 >= self.level.load(Ordering::Relaxed)
    }

    pub(crate) fn set_level(&self, severity: Severity) {
        // Relaxed: as in `is_enabled`.
        self.level.store(severity as u8, Ordering::Relaxed);
    }

    pub(crate) fn close_deadline(&self) -> Duration {
        self.close_deadline
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Acquire: partner is the store in `close`.
        self.is_closed.load(Ordering::Acquire)
    }

    /// One record more that was refused because there is no client.
    #[cold]
    pub(crate) fn count_refused(&self) {
        let counter =
            if self.is_closed() { &self.refused_as_closed } else { &self.refused_as_starting };
        // Relaxed: a statistic.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts the client now, for those who want to hear of an error.
    pub(crate) fn start(&self) -> Result<&Client, Error> {
        let process = fork::generation();
        loop {
            if let Some(client) = self.client.get() {
                return Ok(client);
            }
            if self.is_closed() {
                return Err(Code::Closed.into());
            }
            // Relaxed: only a hint, the exchange decides.
            let busy_with = self.started_by.load(Ordering::Relaxed);
            if busy_with == process {
                // By another thread of this process, so it will come to an end.
                std::thread::sleep(START_POLL);
                continue;
            }
            // Acquire/Relaxed: partner is the release below. One left behind by a parent is taken over.
            let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
            let taken = self.started_by.compare_exchange(busy_with, process, success, failure);
            if taken.is_err() {
                continue;
            }
            // Another thread may have finished between the two looks.
            let started = match self.client.get() {
                Some(_) => Ok(()),
                None => Client::start(&self.config).map(|client| {
                    let _nobody_else_sets_it = self.client.set(Box::new(client));
                }),
            };
            // Release: partner is the exchange above.
            self.started_by.store(0, Ordering::Release);
            started?;
        }
    }

    #[cold]
    fn start_for_record(&self) -> Option<&Client> {
        // Relaxed: a hint; threads may see it a moment later.
        if self.clock.moment().0 < self.retry_at.load(Ordering::Relaxed) {
            return None;
        }
        let outcome = self.start();
        if outcome.is_err() {
            // Relaxed: as above.
            self.retry_at.store(self.clock.moment().after(RETRY_AFTER).0, Ordering::Relaxed);
        }
        outcome.ok()
    }

    /// Waits until what was accepted is acknowledged. False after `deadline`; of a closed client, whether that
    /// was so when it was closed. Call it detached.
    ///
    /// Raises what a signal's handler raises.
    pub(crate) fn flush(&self, deadline: Duration) -> PyResult<bool> {
        match self.client.get() {
            // Acquire: partner is the store in `close`.
            _ if self.is_closed() => Ok(self.is_settled.load(Ordering::Acquire)),
            Some(client) => wait(client, deadline),
            None => Ok(true),
        }
    }

    /// Flushes until `deadline`, then refuses everything. True where nothing is left; a second call says what the
    /// first one did. Call it detached.
    pub(crate) fn close(&self, deadline: Duration) -> PyResult<bool> {
        // AcqRel: partner is the load in `is_closed`.
        if self.is_closed.swap(true, Ordering::AcqRel) {
            // Acquire: partner is the store below.
            return Ok(self.is_settled.load(Ordering::Acquire));
        }
        let Some(client) = self.client.get() else {
            // Release: partners are the loads above and in `flush`.
            self.is_settled.store(true, Ordering::Release);
            return Ok(true);
        };
        let waited = wait(client, deadline);
        // What other threads logged meanwhile is not waited for if there was no end to the rest.
        let rest = if matches!(waited, Ok(true)) { self.close_deadline } else { Duration::ZERO };
        let is_settled = client.clone().close(rest).is_ok();
        // Release: as above.
        self.is_settled.store(is_settled, Ordering::Release);
        waited.map(|_| is_settled)
    }

    /// The figures; those of the core and what was refused before there was one.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.client.get().map(Client::stats).unwrap_or_default();
        for (reason, counter) in
            [("closed", &self.refused_as_closed), ("starting", &self.refused_as_starting)]
        {
            // Relaxed: a statistic.
            let count = counter.load(Ordering::Relaxed);
            match snapshot.refused.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, known)) => *known += count,
                None if count > 0 => snapshot.refused.push((reason, count)),
                None => {}
            }
        }
        snapshot
    }
}

/// A flush that looks at Python's signals now and then.
fn wait(client: &Client, deadline: Duration) -> PyResult<bool> {
    let mut raised = Ok(());
    let look_at_signals = || {
        raised = Python::attach(|py| py.check_signals());
        raised.is_ok()
    };
    let outcome = client.flush_in_steps(deadline, SIGNALS_EVERY, look_at_signals);
    raised.map(|()| outcome.is_ok())
}

impl Drop for LazyClient {
    /// Closes the client, which may wait for `close.deadline`: not while other threads wait for the interpreter,
    /// and not at its end, where everything was flushed before.
    fn drop(&mut self) {
        let Some(client) = self.client.get().cloned() else { return };
        // Relaxed: set by this thread, or by the one that ends the interpreter.
        let is_end = IS_END.load(Ordering::Relaxed);
        let deadline = if is_end { Duration::ZERO } else { self.close_deadline };
        // What is not delivered stays stored; there is nobody left to tell.
        let _stored = Python::attach(|py| py.detach(|| client.close(deadline)));
    }
}
