//! The core's errors as the exceptions of `logdrive._errors`.

use logdrive_core::Code;
use logdrive_core::Error;
use pyo3::prelude::*;

const MODULE: &str = "logdrive._errors";

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error.code() {
        Code::Configuration => "ConfigurationError",
        Code::InvalidArgument => "InvalidArgumentError",
        Code::Io => "StorageError",
        Code::TooManyStreams => "TooManyStreamsError",
        Code::Ok
        | Code::RingFull
        | Code::RecordTooLarge
        | Code::Closed
        | Code::Reentrant
        | Code::DeadlineExceeded
        | Code::TooManyThreads
        | Code::Internal
        | Code::Damaged
        | Code::Starting
        | Code::SpoolFull => "Error",
    };
    let raised =
        py.import(MODULE).and_then(|module| module.getattr(class)?.call1((error.to_string(),)));
    raised.map_or_else(|failure| failure, PyErr::from_value)
}
