//! The logging facades of Rust over a [`Client`]: `log` (with key-values), `tracing` (with span fields), `slog`,
//! each behind the feature of its name.
//!
//! Owns what they share: the guard that closes the client, and a thread's scratch in which a record is put
//! together, so that nothing is allocated once it is warm. Knows nothing of rings. Invariant: no feedback. A record
//! that is made while its thread makes one (a `Debug` that logs), or on a thread of ours, is refused and counted as
//! `reentrant`.
//!
//! Text and values travel as they are formatted; the target (or slog's module) as attribute `target`. What is refused
//! is counted in [`Client::stats`], since none of the three has a way to tell the caller.

use std::cell::RefCell;
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::logger::Logger;
use crate::own_thread;
use crate::record::Severity;
use crate::stats::Snapshot;

#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "slog")]
pub mod slog;
#[cfg(feature = "tracing")]
pub mod tracing;

/// The attribute with the target or module of a record.
const TARGET: &str = "target";
/// Attributes that fit without an allocation.
const FEW: usize = 16;
/// A thread keeps at most this much memory between two records.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Closes the client when dropped, within `close.deadline`: what a facade holds of it lives as long as the process.
///
/// Keep it to the end of `main`: `let _guard = ...`, not `let _ = ...`, which drops it at once. `std::process::exit`
/// skips it; what was accepted is then sent by the next process of the same `name`.
#[must_use = "dropping the guard closes the client"]
#[derive(Debug)]
pub struct Guard(Client);

impl Guard {
    /// Guards `client`.
    pub fn new(client: &Client) -> Self {
        Self(client.clone())
    }

    /// The client, to flush it or to read its figures.
    pub fn client(&self) -> &Client {
        &self.0
    }

    /// As [`Client::close`], for who wants to know whether everything arrived.
    ///
    /// # Errors
    ///
    /// `DeadlineExceeded` where something is still stored.
    pub fn close(self, deadline: Duration) -> Result<Snapshot, Error> {
        self.0.clone().close(deadline)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let client = self.0.clone();
        let deadline = client.close_deadline();
        // What is not delivered stays stored; there is nobody left to tell.
        let _stored = client.close(deadline);
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// Puts a record together and logs it, unless that would feed on itself.
fn log_with_scratch(logger: &Logger, severity: Severity, fill: impl FnOnce(&mut Scratch)) {
    let mut fill = Some(fill);
    let mut log = |scratch: &mut Scratch| {
        scratch.clear();
        if let Some(fill) = fill.take() {
            fill(scratch);
            scratch.log(logger, severity);
        }
    };
    if own_thread::is_ours() {
        return logger.refuse_as_reentrant();
    }
    let tried = SCRATCH.try_with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => log(&mut scratch),
        Err(_borrowed) => logger.refuse_as_reentrant(),
    });
    if tried.is_err() {
        // The thread's locals are destroyed: at its end, or in an exit handler.
        log(&mut Scratch::new());
    }
}

/// One record's text and attributes.
struct Scratch {
    text: String,
    /// Names and values, back to back.
    attributes: String,
    /// Where a name, and behind it its value, ends in `attributes`.
    ends: Vec<(usize, usize)>,
}

impl Scratch {
    const fn new() -> Self {
        Self { text: String::new(), attributes: String::new(), ends: Vec::new() }
    }

    fn clear(&mut self) {
        for buffer in [&mut self.text, &mut self.attributes] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES_MAX);
        }
        self.ends.clear();
        self.ends.shrink_to(KEPT_BYTES_MAX / size_of::<(usize, usize)>());
    }

    /// Appends to the text. What a formatter that fails has written is kept.
    fn write_text(&mut self, text: fmt::Arguments<'_>) {
        let _kept = match text.as_str() {
            Some(plain) => self.text.write_str(plain),
            None => self.text.write_fmt(text),
        };
    }

    /// Adds an attribute. What a formatter that fails has written is kept.
    fn add(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.attributes.push_str(name);
        let name_end = self.attributes.len();
        let _kept = self.attributes.write_fmt(value);
        self.ends.push((name_end, self.attributes.len()));
    }

    /// Adds an attribute that is a text already.
    fn add_text(&mut self, name: &str, value: &str) {
        self.attributes.push_str(name);
        let name_end = self.attributes.len();
        self.attributes.push_str(value);
        self.ends.push((name_end, self.attributes.len()));
    }

    /// Begins an attribute that is appended to piece by piece; where its value starts.
    #[cfg(feature = "tracing")]
    fn begin(&mut self, name: &str) -> usize {
        self.attributes.push_str(name);
        self.attributes.len()
    }

    /// Appends a piece to the attribute that begins at `at`, behind a colon if it is not the first.
    #[cfg(feature = "tracing")]
    fn append(&mut self, at: usize, piece: &str) {
        if self.attributes.len() > at {
            self.attributes.push(':');
        }
        self.attributes.push_str(piece);
    }

    /// Ends the attribute that begins at `at`.
    #[cfg(feature = "tracing")]
    fn end(&mut self, at: usize) {
        self.ends.push((at, self.attributes.len()));
    }

    /// Adds the attributes of `other` whose names are not there yet.
    #[cfg(feature = "tracing")]
    fn add_all_new(&mut self, other: &Scratch) {
        let mut start = 0;
        for &(name_end, value_end) in &other.ends {
            let name = &other.attributes[start..name_end];
            if self.pairs().all(|(known, _)| known != name) {
                self.add_text(name, &other.attributes[name_end..value_end]);
            }
            start = value_end;
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(name_end, value_end)| {
            let name = &self.attributes[start..name_end];
            start = value_end;
            (name, &self.attributes.as_bytes()[name_end..value_end])
        })
    }

    fn log(&self, logger: &Logger, severity: Severity) {
        // Refusals are counted where they happen; there is nobody to tell.
        let _counted = if self.ends.len() <= FEW {
            let mut pairs = [("", &[][..]); FEW];
            for (slot, pair) in pairs.iter_mut().zip(self.pairs()) {
                *slot = pair;
            }
            logger.log_with(severity, &self.text, &pairs[..self.ends.len()])
        } else {
            logger.log_with(severity, &self.text, &self.pairs().collect::<Vec<_>>())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn what_a_thread_of_ours_logs_is_refused_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::from_url("receivers://127.0.0.1:1/t").unwrap();
        config.set("ring.dir", dir.path().to_str().unwrap()).unwrap();
        let client = Client::start(&config).unwrap();
        let log =
            || log_with_scratch(&client, Severity::Info, |scratch| scratch.add_text("a", "b"));
        own_thread::mark(true);
        log();
        own_thread::mark(false);
        assert_eq!(client.stats().refused, [("reentrant", 1)]);
        log();
        assert_eq!(client.stats().refused, [("reentrant", 1)]);
        assert!(client.close(Duration::ZERO).is_err(), "the second one is stored");
    }

    #[test]
    fn a_thread_keeps_little_memory_behind_a_large_record() {
        let mut scratch = Scratch::new();
        scratch.add_text("name", &"x".repeat(1 << 20));
        scratch.clear();
        assert!(scratch.attributes.capacity() <= KEPT_BYTES_MAX);
        assert_eq!(scratch.pairs().count(), 0);
    }
}
