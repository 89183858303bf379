//! Python's values as the bytes of a message, an attribute's name or its value.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use pyo3::types::PyBytes;
use pyo3::types::PyString;

/// Bytes, borrowed from an object of the caller wherever that has them.
pub(crate) enum Text<'a, 'py> {
    Borrowed(&'a [u8]),
    Owned(Bound<'py, PyBytes>),
}

impl<'a, 'py> Text<'a, 'py> {
    /// `str` as UTF-8 (lone surrogates as `\udc80`, since they have none), `bytes` as they are, `bool` as the other
    /// bindings spell it, anything else as `str()` of it.
    ///
    /// Raises what `__str__` raises.
    #[inline]
    pub(crate) fn of(value: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = value.cast::<PyString>() {
            return match text.to_str() {
                Ok(utf8) => Ok(Self::Borrowed(utf8.as_bytes())),
                Err(_surrogates) => escaped(text).map(Self::Owned),
            };
        }
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Self::Borrowed(bytes.as_bytes()));
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            return Ok(Self::Borrowed(if flag.is_true() { b"true" } else { b"false" }));
        }
        let text = value.str()?;
        match text.to_str() {
            Ok(utf8) => Ok(Self::Owned(PyBytes::new(value.py(), utf8.as_bytes()))),
            Err(_surrogates) => escaped(&text).map(Self::Owned),
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes.as_bytes(),
        }
    }
}

#[cold]
fn escaped<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    let py = text.py();
    let arguments = (intern!(py, "utf-8"), intern!(py, "backslashreplace"));
    Ok(text.call_method1(intern!(py, "encode"), arguments)?.cast_into::<PyBytes>()?)
}
