//! Names and values from Python's dictionaries as the core's attributes.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use smallvec::SmallVec;

use crate::text::Text;

/// Attributes up to which a call allocates nothing for them.
const FEW: usize = 8;

/// Python's names and values of one record, kept alive while it is written.
#[derive(Default)]
pub(crate) struct Pairs<'py>(SmallVec<[(Name<'py>, Bound<'py, PyAny>); FEW]>);

enum Name<'py> {
    Ours(&'static str),
    Theirs(Bound<'py, PyAny>),
}

impl<'py> Pairs<'py> {
    /// All entries of keyword arguments; `exc_info` as the attributes of an exception, as logging has it.
    pub(crate) fn of(attributes: &Bound<'py, PyDict>) -> PyResult<Self> {
        let py = attributes.py();
        let mut pairs = Self::default();
        match attributes.get_item(intern!(py, "exc_info"))? {
            None => pairs.extend(attributes),
            Some(argument) => {
                let others = attributes.copy()?;
                others.del_item(intern!(py, "exc_info"))?;
                pairs.extend(&others);
                let described = py
                    .import(intern!(py, "logdrive._exceptions"))?
                    .call_method1(intern!(py, "of_argument"), (argument,))?;
                pairs.extend(described.cast::<PyDict>()?);
            }
        }
        Ok(pairs)
    }

    /// A name of ours.
    pub(crate) fn put(&mut self, name: &'static str, value: Bound<'py, PyAny>) {
        self.0.push((Name::Ours(name), value));
    }

    /// A name of the application's.
    pub(crate) fn put_theirs(&mut self, name: Bound<'py, PyAny>, value: Bound<'py, PyAny>) {
        self.0.push((Name::Theirs(name), value));
    }

    /// All entries of a dictionary.
    pub(crate) fn extend(&mut self, attributes: &Bound<'py, PyDict>) {
        for (name, value) in attributes {
            self.put_theirs(name, value);
        }
    }

    /// Runs `write` with the names and values as bytes. Raises what a value's `__str__` raises.
    pub(crate) fn with<T>(&self, write: impl FnOnce(&[(&str, &[u8])]) -> T) -> PyResult<T> {
        let mut texts: SmallVec<[(Text<'_, 'py>, Text<'_, 'py>); FEW]> = SmallVec::new();
        for (name, value) in &self.0 {
            let name = match name {
                Name::Ours(name) => Text::Borrowed(name.as_bytes()),
                Name::Theirs(name) => Text::of(name)?,
            };
            texts.push((name, Text::of(value)?));
        }
        let mut pairs: SmallVec<[(&str, &[u8]); FEW]> = SmallVec::new();
        for (name, value) in &texts {
            let name = std::str::from_utf8(name.bytes()).map_err(|error| {
                PyValueError::new_err(format!("the name of an attribute is not UTF-8: {error}"))
            })?;
            pairs.push((name, value.bytes()));
        }
        Ok(write(&pairs))
    }
}
