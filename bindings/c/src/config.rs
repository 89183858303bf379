//! Configurations by name and value.

use std::ffi::OsStr;
use std::ffi::c_char;
use std::os::unix::ffi::OsStrExt;

use logdrive_bindings::guard;
use logdrive_core::Config;
use logdrive_core::Error;

use crate::arguments;
use crate::arguments::TextBuffer;
use crate::handles;
use crate::handles::ConfigHandle;

/// A configuration with all defaults. It needs a URL: set the name "url", or load one.
///
/// NULL only after an internal error. Free it with logdrive_config_free.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_config_new() -> *mut ConfigHandle {
    guard::value(std::ptr::null_mut(), || {
        handles::add_config(Config::new()).unwrap_or(std::ptr::null_mut())
    })
}

/// Sets one option by its name in docs/configuration.md, or with the name "url" all that a URL says.
///
/// A value that is refused changes nothing. `error` (may be NULL) gets what was wrong, the value and
/// what is allowed, cut to `error_size` bytes with its NUL; the empty text on success.
///
/// # Safety
/// `name` and `value` are NUL-terminated; `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_config_set(
    config: *mut ConfigHandle,
    name: *const c_char,
    value: *const c_char,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        let report = unsafe { TextBuffer::new(error, error_size) };
        report.report((|| {
            // SAFETY: promised by the caller.
            let (name, value) =
                unsafe { (arguments::c_text(name, "name")?, arguments::c_text(value, "value")?) };
            handles::change_config(config, |config| config.set(name, value))?.map_err(Error::from)
        })())
    })
}

/// Reads options from a TOML file of at most 1 MiB; blocks as reading a file does.
///
/// # Safety
/// `path` is NUL-terminated; `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_config_load_file(
    config: *mut ConfigHandle,
    path: *const c_char,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        let report = unsafe { TextBuffer::new(error, error_size) };
        report.report((|| {
            // SAFETY: promised by the caller.
            let path = OsStr::from_bytes(unsafe { arguments::c_bytes(path, "path")? });
            handles::change_config(config, |config| config.load_file(path))?.map_err(Error::from)
        })())
    })
}

/// Takes options from the environment: LOGDRIVE_URL, LOGDRIVE_RING_BYTES_MAX and so on.
///
/// Reads the environment, so no other thread may change it meanwhile (setenv).
///
/// # Safety
/// `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_config_load_environment(
    config: *mut ConfigHandle,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        let report = unsafe { TextBuffer::new(error, error_size) };
        let load = |config: &mut Config| config.load_environment(std::env::vars_os());
        report.report(
            handles::change_config(config, load)
                .map_err(Error::from)
                .and_then(|loaded| loaded.map_err(Error::from)),
        )
    })
}

/// Frees a configuration; clients opened with it are not touched. NULL is allowed and does nothing.
///
/// A second call with the same configuration gives LOGDRIVE_CLOSED and does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_config_free(config: *mut ConfigHandle) -> i32 {
    guard::code(|| if config.is_null() { Ok(()) } else { handles::remove_config(config) })
}
