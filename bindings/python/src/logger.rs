//! What logs to one stream: `logdrive.Logger`, the base of `logdrive.Client`.

use std::sync::Arc;
use std::time::Duration;

use logdrive_core::Severity;
use logdrive_core::sys::set_once::SetOnce;
use pyo3::exceptions::PyTypeError;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::types::PyString;

use crate::lazy::LazyClient;
use crate::pairs::Pairs;
use crate::text::Text;

/// The longest wait that a caller may ask for: thirty years, as good as for ever.
const TIMEOUT_MAX: f64 = 1e9;

/// Logs to one stream (a Kafka topic) of a client. Safe to share between threads.
#[pyclass(subclass, frozen, weakref, module = "logdrive")]
pub(crate) struct Logger {
    client: Arc<LazyClient>,
    /// None for the topic of the URL.
    stream: Option<String>,
    native: SetOnce<logdrive_core::Logger>,
}

impl Logger {
    pub(crate) fn new(client: Arc<LazyClient>, stream: Option<String>) -> Self {
        Self { client, stream, native: SetOnce::new() }
    }

    pub(crate) fn client(&self) -> &Arc<LazyClient> {
        &self.client
    }

    /// True where the record was accepted; what was refused is counted.
    #[inline]
    pub(crate) fn write(
        &self,
        py: Python<'_>,
        severity: Severity,
        key: Option<&[u8]>,
        pairs: &[(&str, &[u8])],
        body: &[u8],
    ) -> bool {
        let Some(native) = self.native.get().or_else(|| self.resolve()) else {
            self.client.count_refused();
            return false;
        };
        let call = || match key {
            Some(key) => native.log_keyed(severity, key, body, pairs),
            None => native.log_with(severity, body, pairs),
        };
        let outcome = if self.client.waits_for_room() { py.detach(call) } else { call() };
        outcome.is_ok()
    }

    /// The core's logger, once the client is started.
    #[cold]
    fn resolve(&self) -> Option<&logdrive_core::Logger> {
        let client = self.client.for_record()?;
        let native = match &self.stream {
            Some(name) => client.stream(name).ok()?,
            None => (**client).clone(),
        };
        // Where another thread was faster, its logger is as good.
        let _same = self.native.set(Box::new(native));
        self.native.get()
    }

    #[inline]
    fn log_text(
        &self,
        severity: Severity,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        if !self.client.is_enabled(severity) {
            return Ok(false);
        }
        let text = Text::of(message)?;
        let py = message.py();
        match attributes {
            None => Ok(self.write(py, severity, None, &[], text.bytes())),
            Some(attributes) => Pairs::of(attributes)?
                .with(|pairs| self.write(py, severity, None, pairs, text.bytes())),
        }
    }
}

/// A level as Python spells it: a number of the module `logging`, or a name in any case.
pub(crate) fn severity(level: &Bound<'_, PyAny>) -> PyResult<Severity> {
    if let Ok(name) = level.cast::<PyString>() {
        let known = name.to_str().ok().and_then(named);
        return known.ok_or_else(|| {
            PyValueError::new_err(format!(
                "level {name:?}: use trace, debug, info, warn, error or fatal"
            ))
        });
    }
    match level.extract::<i64>() {
        Ok(number) => Ok(numbered(number)),
        Err(_) => Err(PyTypeError::new_err("a level is a number of the logging module or a name")),
    }
}

fn named(name: &str) -> Option<Severity> {
    match name.to_ascii_lowercase().as_str() {
        "warning" => Some(Severity::Warn),
        "critical" => Some(Severity::Fatal),
        name => name.parse().ok(),
    }
}

/// The severity of a number of the module `logging`, whose levels are multiples of ten.
pub(crate) fn numbered(level: i64) -> Severity {
    match level {
        ..10 => Severity::Trace,
        10..20 => Severity::Debug,
        20..30 => Severity::Info,
        30..40 => Severity::Warn,
        40..50 => Severity::Error,
        50.. => Severity::Fatal,
    }
}

/// A timeout as Python spells it; the client's own where it is None.
pub(crate) fn deadline(client: &LazyClient, timeout: Option<f64>) -> PyResult<Duration> {
    match timeout {
        None => Ok(client.close_deadline()),
        Some(seconds) if (0.0..=TIMEOUT_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(seconds) => Err(PyValueError::new_err(format!(
            "timeout {seconds}: use seconds from 0 to {TIMEOUT_MAX}, or None"
        ))),
    }
}

#[pymethods]
impl Logger {
    /// Logs at TRACE, below DEBUG. True where the record was accepted.
    #[pyo3(signature = (message, /, **attributes))]
    fn trace(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Trace, message, attributes)
    }

    /// Logs at DEBUG. True where the record was accepted.
    #[pyo3(signature = (message, /, **attributes))]
    fn debug(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Debug, message, attributes)
    }

    /// Logs at INFO. True where the record was accepted.
    #[pyo3(signature = (message, /, **attributes))]
    fn info(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Info, message, attributes)
    }

    /// Logs at WARN. True where the record was accepted.
    #[pyo3(signature = (message, /, **attributes))]
    fn warn(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Warn, message, attributes)
    }

    /// Logs at ERROR. True where the record was accepted.
    #[pyo3(signature = (message, /, **attributes))]
    fn error(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Error, message, attributes)
    }

    /// Logs at FATAL; does not end the program. True where the record was accepted.
    #[pyo3(signature = (message, /, **attributes))]
    fn fatal(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Fatal, message, attributes)
    }

    /// As `warn`, under the name of the module logging.
    #[pyo3(signature = (message, /, **attributes))]
    fn warning(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Warn, message, attributes)
    }

    /// As `fatal`, under the name of the module logging.
    #[pyo3(signature = (message, /, **attributes))]
    fn critical(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(Severity::Fatal, message, attributes)
    }

    /// Logs at ERROR, with the exception that is being handled.
    #[pyo3(signature = (message, /, **attributes))]
    fn exception(
        &self,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let py = message.py();
        let attributes = attributes.map_or_else(|| Ok(PyDict::new(py)), |given| given.copy())?;
        if !attributes.contains(intern!(py, "exc_info"))? {
            attributes.set_item(intern!(py, "exc_info"), true)?;
        }
        self.log_text(Severity::Error, message, Some(&attributes))
    }

    /// Logs at a level: a number of the logging module, or a name. True where the record was accepted.
    #[pyo3(signature = (level, message, /, **attributes))]
    fn log(
        &self,
        level: &Bound<'_, PyAny>,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.log_text(severity(level)?, message, attributes)
    }

    /// Logs under a key: records of one key keep one partition and their order.
    #[pyo3(signature = (level, key, message, /, **attributes))]
    fn log_keyed(
        &self,
        level: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        message: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let severity = severity(level)?;
        if !self.client.is_enabled(severity) {
            return Ok(false);
        }
        let (key, text, py) = (Text::of(key)?, Text::of(message)?, message.py());
        let pairs = attributes.map(Pairs::of).transpose()?.unwrap_or_default();
        pairs.with(|pairs| self.write(py, severity, Some(key.bytes()), pairs, text.bytes()))
    }

    /// Waits until everything accepted before the call was acknowledged, for `timeout` seconds at most
    /// (`close.deadline` where None). True if so; after False the records are still stored.
    #[pyo3(signature = (timeout = None))]
    fn flush(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = deadline(&self.client, timeout)?;
        py.detach(|| self.client.flush(deadline))
    }

    /// Whether records of this level are logged.
    fn is_enabled(&self, level: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.client.is_enabled(severity(level)?))
    }
}
