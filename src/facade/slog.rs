//! The facade `slog`: its records, with their own values and those of their logger as attributes.
//!
//! ```no_run
//! use slog::o;
//!
//! let client = logdrive::Client::open("receivers://localhost:9092/app-logs")?;
//! let _guard = logdrive::facade::Guard::new(&client);
//! let log = slog::Logger::root(logdrive::facade::slog::Drain::new(&client), o!("service" => "shop"));
//! slog::info!(log, "request served"; "path" => "/cart", "status" => 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use ::slog::KV;
use ::slog::Key;
use ::slog::Level;
use ::slog::Never;
use ::slog::OwnedKVList;
use ::slog::Record;
use ::slog::Serializer;

use crate::client::Client;
use crate::facade::Scratch;
use crate::facade::TARGET;
use crate::facade::log_with_scratch;
use crate::record::Severity;

/// A drain that logs to the topic of the client's URL, and never fails: what is refused is counted in the client's
/// figures. It needs no `Fuse` and no `Mutex` around it.
#[derive(Clone, Debug)]
pub struct Drain {
    client: Client,
}

impl Drain {
    /// A drain over `client`, which it keeps open until it is closed by hand.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}

impl ::slog::Drain for Drain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let severity = severity(record.level());
        if !self.client.is_enabled(severity) {
            return Ok(());
        }
        log_with_scratch(&self.client, severity, |scratch| {
            scratch.write_text(*record.msg());
            scratch.add_text(TARGET, record.module());
            let mut attributes = Attributes(scratch);
            // A value that cannot be serialised is the application's; the others travel.
            let _own = record.kv().serialize(record, &mut attributes);
            let _inherited = values.serialize(record, &mut attributes);
        });
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        self.client.is_enabled(severity(level))
    }
}

struct Attributes<'a>(&'a mut Scratch);

impl Serializer for Attributes<'_> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> ::slog::Result {
        let name = AsRef::<str>::as_ref(&key);
        self.0.add(name, *value);
        Ok(())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> ::slog::Result {
        let name = AsRef::<str>::as_ref(&key);
        self.0.add_text(name, value);
        Ok(())
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Critical => Severity::Fatal,
        Level::Error => Severity::Error,
        Level::Warning => Severity::Warn,
        Level::Info => Severity::Info,
        Level::Debug => Severity::Debug,
        Level::Trace => Severity::Trace,
    }
}
