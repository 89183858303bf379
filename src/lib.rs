//! logdrive.

pub mod batch;
pub mod checksum;
mod client;
pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
#[cfg(feature = "cli")]
pub mod inspect;
mod logger;
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
pub use logger::Logger;
pub use record::Severity;
pub use stats::Snapshot;
