//! Clients: open, streams, level, flush, close.

use std::ffi::c_char;

use logdrive_bindings::client::OpenClient;
use logdrive_bindings::client::patience;
use logdrive_bindings::exit;
use logdrive_bindings::guard;
use logdrive_core::Config;
use logdrive_core::Error;

use crate::arguments;
use crate::arguments::TextBuffer;
use crate::codes;
use crate::handles;
use crate::handles::ClientHandle;
use crate::handles::ConfigHandle;
use crate::handles::LoggerHandle;

/// Opens a client. Touches the disk, never the network: with unreachable receivers it succeeds.
///
/// The configuration is copied; it remains the caller's. Starts two threads with all signals blocked,
/// and registers (once) an atexit handler that flushes for close.deadline, at most two seconds.
/// `*client` is set to NULL on failure, and `error` (may be NULL) gets the reason.
///
/// # Safety
/// `client` points to a pointer; `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_open(
    config: *const ConfigHandle,
    client: *mut *mut ClientHandle,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        let report = unsafe { TextBuffer::new(error, error_size) };
        report.report((|| {
            // SAFETY: promised by the caller.
            unsafe { arguments::store(client, std::ptr::null_mut())? };
            let config = handles::config(config)?;
            // SAFETY: promised by the caller.
            unsafe { open(&config, client) }
        })())
    })
}

/// Opens a client by URL, such as "receivers://host1:9092,host2:9092/app-logs?linger=5ms", over what the
/// environment's LOGDRIVE_* say and the defaults. Else as logdrive_open.
///
/// # Safety
/// `url` is NUL-terminated; `client` points to a pointer; `error` has `error_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_open_url(
    url: *const c_char,
    client: *mut *mut ClientHandle,
    error: *mut c_char,
    error_size: usize,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        let report = unsafe { TextBuffer::new(error, error_size) };
        report.report((|| {
            // SAFETY: promised by the caller.
            let url = unsafe {
                arguments::store(client, std::ptr::null_mut())?;
                arguments::c_text(url, "url")?
            };
            let mut config = Config::from_url(url)?;
            config.load_environment(std::env::vars_os())?;
            // SAFETY: promised by the caller.
            unsafe { open(&config, client) }
        })())
    })
}

/// # Safety
/// `client` points to a writable pointer, if it is not NULL.
unsafe fn open(config: &Config, client: *mut *mut ClientHandle) -> Result<(), Error> {
    let opened = OpenClient::start(config)?;
    exit::register(flush_at_exit);
    let handle = handles::add_client(opened)?;
    // SAFETY: promised by the caller.
    unsafe { arguments::store(client, handle) }.map_err(Error::from)
}

extern "C" fn flush_at_exit() {
    guard::value((), || exit::flush(&handles::clients()));
}

/// The logger of a stream, which is a Kafka topic; `name` NULL means the one of the client's URL.
///
/// The same name gives the same logger. It belongs to the client: it is not freed, and refuses with
/// LOGDRIVE_CLOSED once the client is closed. Allocates: get loggers once, not per record. Any
/// thread may use it. At most 64 streams per client.
///
/// # Safety
/// `name` is NULL or NUL-terminated; `logger` points to a pointer, which is set to NULL on failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_stream(
    client: *mut ClientHandle,
    name: *const c_char,
    logger: *mut *mut LoggerHandle,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        unsafe { arguments::store(logger, std::ptr::null_mut())? };
        let open = handles::client(client)?.client;
        let found = if name.is_null() {
            handles::add_logger(client, "", &open)?
        } else {
            // SAFETY: promised by the caller.
            let name = unsafe { arguments::c_text(name, "name") }.map_err(|e| e.code())?;
            let of_stream = open.stream(name).map_err(|error| error.code())?;
            handles::add_logger(client, name, &of_stream)?
        };
        // SAFETY: promised by the caller.
        unsafe { arguments::store(logger, found) }
    })
}

/// Records below this severity are not logged from now on, by all loggers of the client.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_set_level(client: *mut ClientHandle, severity: i32) -> i32 {
    guard::code(|| {
        let severity = codes::severity(severity)?;
        handles::client(client)?.client.set_level(severity);
        Ok(())
    })
}

/// Waits until all that was accepted before the call is acknowledged or accounted for.
///
/// Blocks this thread for at most `deadline_ms`; other threads go on logging. After
/// LOGDRIVE_DEADLINE_EXCEEDED nothing is lost, the records are still stored.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_flush(client: *mut ClientHandle, deadline_ms: u64) -> i32 {
    guard::code(|| {
        let open = handles::client(client)?;
        open.client.flush(patience(deadline_ms)).map_err(|error| error.code())
    })
}

/// Refuses further records, flushes for at most `deadline_ms`, ends the threads, frees the handle.
///
/// The handle and its loggers are closed whatever the code; further calls with them give LOGDRIVE_CLOSED.
/// After LOGDRIVE_DEADLINE_EXCEEDED the rest stays stored, and the next process that opens the
/// same `name` sends it. NULL is allowed and does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_close(client: *mut ClientHandle, deadline_ms: u64) -> i32 {
    guard::code(|| {
        if client.is_null() {
            return Ok(());
        }
        let open = handles::remove_client(client)?;
        open.client.close(patience(deadline_ms)).map(drop).map_err(|error| error.code())
    })
}
