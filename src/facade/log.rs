//! The facade `log`: its records, with their key-values as attributes.
//!
//! ```no_run
//! let client = logdrive::Client::open("receivers://localhost:9092/app-logs")?;
//! let _guard = logdrive::facade::log::install(&client, log::LevelFilter::Info)?;
//! log::info!(path = "/cart", status = 200; "request served");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::Duration;

use ::log::Level;
use ::log::LevelFilter;
use ::log::Log;
use ::log::Metadata;
use ::log::Record;
use ::log::SetLoggerError;
use ::log::kv;

use crate::client::Client;
use crate::facade::Guard;
use crate::facade::Scratch;
use crate::facade::TARGET;
use crate::facade::log_with_scratch;
use crate::own_thread;
use crate::record::Severity;

/// How long [`Log::flush`] waits, which has no deadline of its own.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// Makes `client` the process's logger, for records of `level` and above that the client's own level lets pass.
///
/// # Errors
///
/// There is a logger already: a process has one. To combine several, put a [`Bridge`] into your own.
pub fn install(client: &Client, level: LevelFilter) -> Result<Guard, SetLoggerError> {
    ::log::set_boxed_logger(Box::new(Bridge::new(client)))?;
    ::log::set_max_level(level);
    Ok(Guard::new(client))
}

/// A logger that logs to the topic of the client's URL. `flush` waits at most five seconds.
#[derive(Clone, Debug)]
pub struct Bridge {
    client: Client,
}

impl Bridge {
    /// A logger over `client`, which it keeps open until it is closed by hand.
    pub fn new(client: &Client) -> Self {
        Self { client: client.clone() }
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.client.is_enabled(severity(metadata.level()))
    }

    fn log(&self, record: &Record<'_>) {
        let severity = severity(record.level());
        if !self.client.is_enabled(severity) {
            return;
        }
        log_with_scratch(&self.client, severity, |scratch| {
            scratch.write_text(*record.args());
            scratch.add_text(TARGET, record.target());
            // Visiting fails only where the visitor does, and this one does not.
            let _visited = record.key_values().visit(&mut Visitor(scratch));
        });
    }

    fn flush(&self) {
        if !own_thread::is_ours() {
            // There is nobody to tell; what is not acknowledged yet stays stored.
            let _stored = self.client.flush(FLUSH_DEADLINE);
        }
    }
}

struct Visitor<'a>(&'a mut Scratch);

impl<'kvs> kv::VisitSource<'kvs> for Visitor<'_> {
    fn visit_pair(&mut self, key: kv::Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        match value.to_borrowed_str() {
            Some(text) => self.0.add_text(key.as_str(), text),
            None => self.0.add(key.as_str(), format_args!("{value}")),
        }
        Ok(())
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::Error,
        Level::Warn => Severity::Warn,
        Level::Info => Severity::Info,
        Level::Debug => Severity::Debug,
        Level::Trace => Severity::Trace,
    }
}
