//! The native half of the Python package `logdrive`: calls, conversions and the logging fast path.
//!
//! `lazy` starts the core's client at the first record, `logger` and `client` are what Python holds, `text` and
//! `pairs` turn Python's values into bytes, `records` does so with `logging.LogRecord`s. What needs no speed is
//! Python, in `python/logdrive`. Invariants: no thread of ours touches the interpreter; whatever may wait
//! waits detached from it; a log call raises nothing but what a value's own `__str__` raises.

use pyo3::prelude::*;

mod client;
mod errors;
mod lazy;
mod logger;
mod pairs;
mod records;
mod stats;
mod text;

/// The module `logdrive._native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::logger::Logger;
    #[pymodule_export]
    use crate::records::RecordHandler;

    /// Says whether the interpreter is ending: clients that are collected then wait for nothing.
    #[pyo3::pyfunction]
    fn _set_end(is_end: bool) {
        crate::lazy::set_end(is_end);
    }
}
