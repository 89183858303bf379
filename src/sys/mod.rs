//! What the operating system gives: mappings, private files, locks, threads, the time stamp counter.
//!
//! Owns the unsafe calls outside `ring::raw`; every block says why it is sound. Knows nothing of
//! records, batches or formats.
#![allow(unsafe_code)]

pub mod allocate;
pub mod append;
pub mod faults;
pub mod file;
pub mod file_id;
pub mod fork;
pub mod guard;
pub mod lock;
pub mod mapping;
pub mod memory;
pub mod process;
pub mod set_once;
pub mod signals;
pub mod thread;
pub mod tsc;
