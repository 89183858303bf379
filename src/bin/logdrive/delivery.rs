//! What `ship` and `drain` share: wait for the acknowledgements and show how it goes.
//!
//! On a terminal a line with rate and backlog on standard error, silent otherwise; SIGINT and SIGTERM end the
//! waiting, and what is not acknowledged by then stays stored. What was read by then and finds no room is counted.

use std::io;
use std::io::IsTerminal;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Client;
use logdrive::Code;
use logdrive::clock::Clock;
use logdrive::ids::Moment;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;

use crate::summary::Summary;

/// Pause between two looks at the figures.
const POLL: Duration = Duration::from_millis(20);
/// Pause between two lines on the terminal.
const SHOW_INTERVAL: Duration = Duration::from_millis(200);
/// Records between two looks at the clock while reading.
const RECORDS_PER_LOOK: u64 = 4096;
/// How long the end waits for threads once everything is acknowledged.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The names under which the client counts calls that are tried again, see [`Delivery::log`].
const TRIED_AGAIN: [&str; 3] = ["ring_full", "spool_full", "starting"];
/// The name of our own for records that found no room before the stop.
const STOPPED: &str = "stopped";
/// For how long records that were read before the signal are still logged.
const AFTER_STOP: Duration = Duration::from_secs(1);

/// A run that delivers records and watches them arrive.
pub struct Delivery {
    client: Client,
    clock: Clock,
    start: Moment,
    shown_at: Moment,
    deadline: Option<Duration>,
    is_stopping: Arc<AtomicBool>,
    stopping_since: Option<Moment>,
    is_terminal: bool,
    accepted: u64,
    stopped: u64,
}

impl Delivery {
    /// Starts to watch `client`; `deadline` counts from [`Delivery::finish`], `is_stopping` ends it early.
    pub fn start(client: Client, deadline: Option<Duration>, is_stopping: Arc<AtomicBool>) -> Self {
        let clock = Clock::start();
        let now = clock.moment();
        let is_terminal = io::stderr().is_terminal();
        Self {
            client,
            clock,
            start: now,
            shown_at: now,
            deadline,
            is_stopping,
            stopping_since: None,
            is_terminal,
            accepted: 0,
            stopped: 0,
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether a signal asked us to stop.
    pub fn is_stopping(&self) -> bool {
        // Relaxed: a flag set by a signal handler; nothing is published by it.
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// Logs a record by `log`, again and again until there is room. False where it was refused for good, or we were
    /// told to stop and there was no room in time: either is counted.
    pub fn log(&mut self, log: impl Fn(&Client) -> Result<(), Code>) -> bool {
        loop {
            if self.is_over() {
                self.note_stopped();
                return false;
            }
            match log(&self.client) {
                Ok(()) => break,
                // The receivers are slower than we read, or the system is short of threads: wait, and say so where
                // somebody looks.
                Err(Code::RingFull | Code::SpoolFull | Code::Starting) => {
                    self.show();
                    // Most of these calls have waited themselves, but not all do.
                    std::thread::sleep(POLL);
                }
                Err(_counted) => return false,
            }
        }
        self.accepted += 1;
        if self.accepted.is_multiple_of(RECORDS_PER_LOOK) {
            self.show();
        }
        true
    }

    /// A record was read, and is not logged because we were told to stop.
    pub fn note_stopped(&mut self) {
        self.stopped += 1;
    }

    /// Whether we were told to stop and what had been read then has had its time. All of it together: a call may wait
    /// for a second, and thousands of lines are read at once.
    fn is_over(&mut self) -> bool {
        if !self.is_stopping() {
            return false;
        }
        let now = self.clock.moment();
        now.since(*self.stopping_since.get_or_insert(now)) >= AFTER_STOP
    }

    /// Renews the line on the terminal, if there is one and it is old enough.
    pub fn show(&mut self) {
        let now = self.clock.moment();
        if !self.is_terminal || now.since(self.shown_at) < SHOW_INTERVAL {
            return;
        }
        self.shown_at = now;
        let stats = self.client.stats();
        let seconds = now.since(self.start).as_secs_f64();
        let delivered = stats.sender.delivered + stats.sender.adopted_delivered;
        let connected = stats.sender.receivers.iter().filter(|one| one.is_connected).count();
        let mut err = io::stderr().lock();
        // A terminal that is gone is no reason to stop shipping.
        let _gone = write!(
            err,
            "\r{} read, {delivered} delivered, {:.0}/s, {} waiting, {connected} of {} connected\x1b[K",
            stats.accepted,
            delivered as f64 / seconds.max(0.001),
            Summary::of(&stats, seconds).stored,
            stats.sender.receivers.len(),
        );
    }

    /// Waits until what was logged is acknowledged or accounted for; false where a signal came first.
    pub fn wait_until_flushed(&mut self) -> bool {
        loop {
            if self.client.flush(POLL).is_ok() {
                return true;
            }
            if self.is_stopping() {
                return false;
            }
            self.show();
        }
    }

    /// Waits until everything is acknowledged, also what dead processes left; until the deadline or a signal at most.
    pub fn wait_until_delivered(&mut self) {
        let waiting_since = self.clock.moment();
        loop {
            let now = self.clock.moment();
            let patience =
                self.deadline.map(|deadline| deadline.saturating_sub(now.since(waiting_since)));
            if self.is_stopping() || patience == Some(Duration::ZERO) {
                break;
            }
            let flushed = self.client.flush(POLL.min(patience.unwrap_or(POLL))).is_ok();
            let stats = self.client.stats();
            let adopted = stats.sender.adoption_done && stats.sender.adopted_slots == 0;
            if flushed && adopted && stats.sender.stored == 0 {
                break;
            }
            if flushed {
                std::thread::sleep(POLL);
            }
            self.show();
        }
    }

    /// Waits as [`Delivery::wait_until_delivered`]; then sums up.
    pub fn finish(mut self) -> Summary {
        self.wait_until_delivered();
        let seconds = self.clock.moment().since(self.start).as_secs_f64();
        if self.is_terminal {
            // As in `show`.
            let _gone = write!(io::stderr().lock(), "\r\x1b[K");
        }
        let is_delivered = self.client.stats().sender.stored == 0;
        let closed = self.client.clone();
        // What is still stored is in the figures.
        let _stored = closed.close(if is_delivered { CLOSE_DEADLINE } else { POLL });
        // Those of the end, however it ended: on the way there what was given up is reported, by records that have
        // numbers of their own.
        let mut stats = self.client.stats();
        // The client counts what it has taken out of its rings; what is still there was accepted too.
        stats.accepted = self.accepted + stats.loss_reports;
        // These made us wait, no more: the line was tried again.
        stats.refused.retain(|(reason, _)| !TRIED_AGAIN.contains(reason));
        if self.stopped > 0 {
            stats.refused.push((STOPPED, self.stopped));
        }
        Summary::of(&stats, seconds)
    }
}

/// A flag that SIGINT and SIGTERM raise.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, is_stopping.clone())?;
    }
    Ok(is_stopping)
}

/// A duration as options are written: a number with ms, s, m or h.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let hint = || format!("'{text}': write a number with its unit, as in 500ms, 5s, 2m or 1h");
    let number: u64 = digits.parse().map_err(|_| hint())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _unknown => Err(hint()),
    }
}
