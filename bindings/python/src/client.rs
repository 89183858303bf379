//! The client as Python holds it, below `logdrive.Client`.

use std::sync::Arc;

use logdrive_core::Client as CoreClient;
use logdrive_core::Config;
use logdrive_core::config::OPTIONS;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use pyo3::types::PyDict;
use pyo3::types::PyString;

use crate::errors::exception;
use crate::lazy::LazyClient;
use crate::logger;
use crate::logger::Logger;
use crate::stats;

/// The native half of `logdrive.Client`.
#[pyclass(extends = Logger, subclass, frozen, module = "logdrive._native")]
pub(crate) struct Client {
    client: Arc<LazyClient>,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (url, /, **options))]
    fn new(
        py: Python<'_>,
        url: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let mut config = Config::new();
        let raise = |error| exception(py, &logdrive_core::Error::from(error));
        config.set("url", url).map_err(raise)?;
        for (name, value) in options.into_iter().flatten() {
            let name = name.extract::<String>()?;
            config.set(option_named(&name), &option_text(&name, &value)?).map_err(raise)?;
        }
        config.load_environment(std::env::vars_os()).map_err(raise)?;
        let client = LazyClient::open(config).map_err(|error| exception(py, &error))?;
        let base = PyClassInitializer::from(Logger::new(client.clone(), None));
        Ok(base.add_subclass(Self { client }))
    }

    /// Starts threads and files now, rather than at the first record. Raises StorageError.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.client.start().map(drop).map_err(|error| exception(py, &error))
    }

    /// The logger of another stream: the Kafka topic `name`. The same name gives the same stream.
    ///
    /// Raises InvalidArgumentError for a name that Kafka would refuse, TooManyStreamsError beyond 64.
    fn stream(&self, py: Python<'_>, name: &str) -> PyResult<Logger> {
        let known = match self.client.started() {
            Some(client) if !self.client.is_closed() => client.stream(name).map(drop),
            Some(_) | None => CoreClient::check_stream_name(name),
        };
        known.map_err(|error| exception(py, &error))?;
        Ok(Logger::new(self.client.clone(), Some(name.to_owned())))
    }

    /// Refuses further records, flushes for `timeout` seconds at most (`close.deadline` where None) and ends the
    /// threads. True if everything was acknowledged; else the next process of this name sends the rest.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = logger::deadline(&self.client, timeout)?;
        py.detach(|| self.client.close(deadline))
    }

    /// The figures as they are now.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats::dictionary(py, &self.client.snapshot())
    }

    /// Records below this level are not logged from now on, in all streams of the client.
    fn set_level(&self, level: &Bound<'_, PyAny>) -> PyResult<()> {
        self.client.set_level(logger::severity(level)?);
        Ok(())
    }

    /// Whether close was called.
    #[getter]
    fn closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// The option that a keyword means: with `_` where the option has a dot, as environment variables spell it.
fn option_named(keyword: &str) -> &str {
    let meant = OPTIONS.iter().find(|option| option.name.replace('.', "_") == keyword);
    meant.map_or(keyword, |option| option.name)
}

/// An option's value as the text that the table reads.
fn option_text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(if flag.is_true() { "true" } else { "false" }.to_owned());
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_str()?.to_owned());
    }
    if let Ok(number) = value.extract::<i64>() {
        return Ok(number.to_string());
    }
    match value.call_method0("__fspath__") {
        Ok(path) => path.extract(),
        Err(_) => Err(PyTypeError::new_err(format!(
            "option {name}: a value is a str, an int, a bool or a path, not {}",
            value.get_type().name()?
        ))),
    }
}
