//! The C ABI of logdrive. What users read is `include/logdrive.h`, which is generated from here; its
//! comments are the doc comments of this crate.
//!
//! ```text
//! C caller --> entries (config, events, client, log, stats) --> guard --> handles --> logdrive_core
//! ```
//!
//! Owns the checks of what C may pass: handles are numbers looked up in a table (`handles`), never
//! dereferenced; texts come as pointer and length (`arguments`). Invariants: no panic leaves an entry (`guard` of
//! `bindings/shared`); no enum, `bool` or type of varying size crosses the boundary; a number once published never
//! changes.

#[cfg(not(all(unix, target_pointer_width = "64")))]
compile_error!(
    "handles are 64-bit numbers in the shape of pointers: only 64-bit Unix is supported"
);

mod arguments;
pub mod attributes;
pub mod client;
pub mod codes;
pub mod config;
pub mod events;
pub mod handles;
pub mod log;
pub mod stats;
mod stats_json;
