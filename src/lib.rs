//! logdrive: log records from any thread to Kafka clusters or receivers, nothing lost on the way.
//!
//! ```no_run
//! use logdrive::{Client, Severity};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let log = Client::open("receivers://localhost:9092/app-logs?codec=lz4&linger=5ms")?;
//!     log.info("service started");
//!     log.log_with(Severity::Warn, "slow request", &[("path", b"/cart"), ("ms", b"731")])?;
//!     log.write(Severity::Error, format_args!("{} retries left", 3))?;
//!     log.flush(Duration::from_secs(5))?; // everything above is acknowledged
//!     println!("{}", log.close(Duration::from_secs(5))?);
//!     Ok(())
//! }
//! ```
//!
//! # The path of a record
//!
//! ```text
//!  your threads                    logdrive-batch                    logdrive-send
//!  ------------------   -------------------------------   ---------------------------------------
//!  Logger --> ring ---> slice --> batch --> commit -----> spool ---> lanes: long-lived TCP ------> receivers
//!             mmapped    drain    encode,   with ring     mmapped    balanced, rebound,            or Kafka
//!             tmpfs               compress  positions     segments   <= 5 in flight                    |
//!                ^                             |             ^                                         |
//!                '------ space released -------'             '----- space released by the answer ------'
//! ```
//!
//! | module | what it owns |
//! |---|---|
//! | [`Client`], [`Logger`] | what an application holds |
//! | `facade` | `log`, `tracing` and `slog` over a client (features of those names) |
//! | [`config`] | option names, defaults, ranges: one table |
//! | [`Event`] | what a callback of the application is told |
//! | [`record`] | one record's bytes in a ring |
//! | `ring` | per-thread rings in one mapped arena; one release-store per record |
//! | [`batch`] | Kafka's RecordBatch v2, codecs, batch identity |
//! | `spool` | sealed batches in mapped segments: commit, bind, acknowledge, recover |
//! | `proto` | sans-IO: the Kafka client and server, the fleet of lanes |
//! | `transport` | sockets, readiness, name resolution |
//! | `pipeline` | the threads, and everything that knows more than one stage |
//! | [`stats`] | what happened, by name |
//! | `receiver`, `inspect` | the receiver and the tools (feature `cli`) |
//!
//! Modules that are hidden from this page are not API: they are public for benches, tests and fuzzing only.
//!
//! # What is promised
//!
//! Accepted means: the log call returned `Ok`. From then on the record survives `kill -9` of the process and is
//! sent until a receiver has acknowledged it, by this process or by the next one that opens the same
//! `name`. See README.md for the table of guarantees with their limits, and docs/design.md for how they are kept.

pub mod batch;
pub mod checksum;
mod client;
pub mod clock;
pub mod config;
pub mod error;
mod event;
#[cfg(any(feature = "log", feature = "tracing", feature = "slog"))]
pub mod facade;
pub mod ids;
#[cfg(feature = "cli")]
pub mod inspect;
mod lineage;
mod logger;
mod own_thread;
#[doc(hidden)]
pub mod pipeline;
#[doc(hidden)]
pub mod proto;
#[cfg(feature = "cli")]
pub mod receiver;
pub mod record;
#[doc(hidden)]
pub mod ring;
#[doc(hidden)]
pub mod spool;
pub mod stats;
mod sync;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod transport;

pub use client::Client;
pub use config::Config;
pub use error::Code;
pub use error::Error;
pub use event::Event;
pub use logger::Logger;
pub use record::Severity;
pub use stats::Snapshot;
