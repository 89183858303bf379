//! `logging.LogRecord`s: what `logdrive.Handler` does where neither a formatter nor a filter wants the record.
//!
//! A record is copied before `handle` returns, never kept. Anything that goes wrong is handed to the handler's own
//! `_fail`, which is the contract of `logging.Handler.handleError`.

use logdrive_core::sys::set_once::SetOnce;
use pyo3::exceptions::PyException;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use pyo3::types::PyFrozenSet;
use pyo3::types::PyList;
use pyo3::types::PyString;
use pyo3::types::PyTuple;
use pyo3::types::PyType;

use crate::logger::Logger;
use crate::logger::numbered;
use crate::pairs::Pairs;
use crate::text::Text;

static LOG_RECORD: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static STANDARD: PyOnceLock<(usize, Py<PyFrozenSet>)> = PyOnceLock::new();

/// The native half of `logdrive.Handler`, in front of `logging.Handler` among its bases.
#[pyclass(subclass, frozen, module = "logdrive._native")]
pub(crate) struct RecordHandler {
    target: SetOnce<Target>,
}

struct Target {
    logger: Py<Logger>,
    sends_location: bool,
}

#[pymethods]
impl RecordHandler {
    /// Takes whatever the subclass takes; `_bind` says where records go.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { target: SetOnce::new() }
    }

    /// Says where records go; the first call holds.
    fn _bind(&self, logger: Py<Logger>, sends_location: bool) {
        let _first_holds = self.target.set(Box::new(Target { logger, sends_location }));
    }

    /// As `logging.Handler.handle`, but without its lock: writing needs none.
    fn handle<'py>(
        slf: &Bound<'py, Self>,
        record: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let filters = slf.getattr(intern!(py, "filters"))?;
        let is_plain = filters.cast::<PyList>().is_ok_and(|filters| filters.is_empty())
            && slf.getattr(intern!(py, "formatter"))?.is_none();
        if !is_plain {
            return slf.call_method1(intern!(py, "_handle_formatted"), (record,));
        }
        match slf.get().write(record, None) {
            Ok(()) => {}
            Err(error) if error.is_instance_of::<PyException>(py) => {
                slf.call_method1(intern!(py, "_fail"), (record, error))?;
            }
            Err(other) => return Err(other),
        }
        Ok(record.clone())
    }

    /// Sends a record, with `text` in place of its message. Raises what its message or values raise.
    fn _write(&self, record: &Bound<'_, PyAny>, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.write(record, Some(text))
    }
}

impl RecordHandler {
    fn write<'py>(
        &self,
        record: &Bound<'py, PyAny>,
        text: Option<&Bound<'py, PyString>>,
    ) -> PyResult<()> {
        let py = record.py();
        let Some(target) = self.target.get() else {
            return Err(PyTypeError::new_err("the handler was not initialised"));
        };
        let fields = record.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
        let field = |name: &Bound<'py, PyString>| fields.get_item(name);
        let level = field(intern!(py, "levelno"))?.map_or(Ok(0), |level| level.extract::<i64>())?;
        let severity = numbered(level);
        let logger = target.logger.bind(py).get();
        if !logger.client().is_enabled(severity) {
            return Ok(());
        }
        let mut pairs = Pairs::default();
        let present = |value: &Bound<'py, PyAny>| !value.is_none();
        if let Some(name) = field(intern!(py, "name"))?.filter(present) {
            pairs.put("logger", name);
        }
        if target.sends_location {
            for (name, value) in [
                ("code.file.path", field(intern!(py, "pathname"))?),
                ("code.line.number", field(intern!(py, "lineno"))?),
                ("code.function.name", field(intern!(py, "funcName"))?),
            ] {
                if let Some(value) = value.filter(present) {
                    pairs.put(name, value);
                }
            }
        }
        put_exception(record, &fields, &mut pairs)?;
        put_extras(&fields, &mut pairs)?;
        let message = match text {
            Some(text) => text.clone().into_any(),
            None => message(record, &fields)?,
        };
        let text = Text::of(&message)?;
        // What is refused is counted where it is refused.
        let _counted = pairs.with(|pairs| logger.write(py, severity, None, pairs, text.bytes()))?;
        Ok(())
    }
}

/// As `LogRecord.getMessage`, without calling it where it would give `msg` itself.
fn message<'py>(
    record: &Bound<'py, PyAny>,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = record.py();
    if record.get_type().is(LOG_RECORD.import(py, "logging", "LogRecord")?)
        && let Some(message) = fields.get_item(intern!(py, "msg"))?
        && message.is_instance_of::<PyString>()
        && let Some(args) = fields.get_item(intern!(py, "args"))?
        && (args.is_none() || args.cast::<PyTuple>().is_ok_and(|args| args.is_empty()))
    {
        return Ok(message);
    }
    record.call_method0(intern!(py, "getMessage"))
}

/// The exception and the stack that came with the record, named as OpenTelemetry names them.
fn put_exception<'py>(
    record: &Bound<'py, PyAny>,
    fields: &Bound<'py, PyDict>,
    pairs: &mut Pairs<'py>,
) -> PyResult<()> {
    let py = record.py();
    let mut is_there = false;
    for name in [intern!(py, "exc_info"), intern!(py, "exc_text"), intern!(py, "stack_info")] {
        is_there |= fields.get_item(name)?.is_some_and(|value| !value.is_none());
    }
    if is_there {
        let described = py
            .import(intern!(py, "logdrive._exceptions"))?
            .call_method1(intern!(py, "of_record"), (record,))?;
        pairs.extend(described.cast::<PyDict>()?);
    }
    Ok(())
}

/// What `extra=` added: everything that a blank record has not.
fn put_extras<'py>(fields: &Bound<'py, PyDict>, pairs: &mut Pairs<'py>) -> PyResult<()> {
    let py = fields.py();
    let (count, standard) = STANDARD.get_or_try_init(py, || standard_fields(py))?;
    if fields.len() <= *count {
        return Ok(());
    }
    let standard = standard.bind(py);
    for (name, value) in fields {
        if standard.contains(&name)? {
            continue;
        }
        // loguru puts its own extras into one.
        match value.cast::<PyDict>() {
            Ok(nested) if name.eq(intern!(py, "extra"))? => pairs.extend(nested),
            _ => pairs.put_theirs(name, value),
        }
    }
    Ok(())
}

fn standard_fields(py: Python<'_>) -> PyResult<(usize, Py<PyFrozenSet>)> {
    let blank = py
        .import("logging")?
        .getattr("LogRecord")?
        .call1(("", 0, "", 0, "", (), py.None()))?
        .getattr("__dict__")?
        .cast_into::<PyDict>()?;
    let count = blank.len();
    // What formatters add, and what newer versions have.
    for added in ["message", "asctime", "taskName"] {
        blank.set_item(added, py.None())?;
    }
    Ok((count, PyFrozenSet::new(py, blank.keys())?.unbind()))
}
