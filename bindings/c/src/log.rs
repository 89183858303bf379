//! The call path: one lookup, one push. See `handles` for why it takes no lock.

use std::ffi::c_char;

use logdrive_bindings::guard;
use logdrive_core::Code;

use crate::arguments;
use crate::attributes::Attribute;
use crate::attributes::CallSite;
use crate::attributes::Passed;
use crate::codes;
use crate::handles;
use crate::handles::LoggerHandle;

/// Logs `length` bytes of `text` as they are: any bytes, NULs too; need not be NUL-terminated.
///
/// LOGDRIVE_OK means accepted: the record survives a crash of this process. Takes no lock, makes no system call and
/// allocates nothing once the thread has used the logger (but under ring.full=block it may wait). A
/// record below the level is LOGDRIVE_OK too. What is refused is counted (logdrive_get_stats).
///
/// Any thread may call it, from atexit handlers and destructors too. A signal handler may, if its thread has
/// used this logger before; a call that it interrupted makes it LOGDRIVE_REENTRANT.
///
/// # Safety
/// `text` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_log(
    logger: *mut LoggerHandle,
    severity: i32,
    text: *const c_char,
    length: usize,
) -> i32 {
    guard::code(|| {
        let severity = codes::severity(severity)?;
        // SAFETY: promised by the caller.
        let text = unsafe { arguments::bytes(text, length)? };
        handles::with_logger(logger, |logger| logger.log(severity, text))
    })
}

/// As logdrive_log, with up to LOGDRIVE_ATTRIBUTES_MAX attributes and the call's place in the source.
///
/// `attributes` may be NULL if `attributes_count` is 0; `site` may be NULL.
///
/// # Safety
/// `text` points to `length` bytes, `attributes` to as many elements, each as large as its struct_size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_log_with(
    logger: *mut LoggerHandle,
    severity: i32,
    text: *const c_char,
    length: usize,
    attributes: *const Attribute,
    attributes_count: usize,
    site: *const CallSite,
) -> i32 {
    guard::code(|| {
        let severity = codes::severity(severity)?;
        // SAFETY: promised by the caller.
        let text = unsafe { arguments::bytes(text, length)? };
        let passed = Passed { first: attributes, count: attributes_count, site };
        handles::with_logger(logger, |logger| {
            // SAFETY: promised by the caller.
            unsafe { passed.with(|pairs| logger.log_with(severity, text, pairs)) }
        })
    })
}

/// As logdrive_log_with, under a key: records of one key keep one partition and their order.
///
/// # Safety
/// As logdrive_log_with; `key` points to `key_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_log_keyed(
    logger: *mut LoggerHandle,
    severity: i32,
    key: *const c_char,
    key_length: usize,
    text: *const c_char,
    length: usize,
    attributes: *const Attribute,
    attributes_count: usize,
    site: *const CallSite,
) -> i32 {
    guard::code(|| {
        let severity = codes::severity(severity)?;
        // SAFETY: promised by the caller.
        let (key, text) =
            unsafe { (arguments::bytes(key, key_length)?, arguments::bytes(text, length)?) };
        let passed = Passed { first: attributes, count: attributes_count, site };
        handles::with_logger(logger, |logger| {
            // SAFETY: promised by the caller.
            unsafe { passed.with(|pairs| logger.log_keyed(severity, key, text, pairs)) }
        })
    })
}

/// Claims room in the ring for a text of at most `capacity` bytes, which the caller writes to `*text` and then
/// passes to logdrive_commit or logdrive_discard, on the same thread.
///
/// `*text` is NULL, with LOGDRIVE_OK, where the severity is not enabled: there is nothing to do then. Until the claim
/// is committed or discarded, other records of this thread are refused as LOGDRIVE_REENTRANT.
/// LOGDRIVE_RECORD_TOO_LARGE, which is not counted, where there is no such room: a capacity above about 16,000
/// bytes, or a thread whose locals are destroyed already (an atexit handler). Then use logdrive_log.
///
/// # Safety
/// `text` points to a pointer; `site` is NULL or points to a call site.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_claim(
    logger: *mut LoggerHandle,
    severity: i32,
    capacity: usize,
    site: *const CallSite,
    text: *mut *mut c_char,
) -> i32 {
    guard::code(|| {
        // SAFETY: promised by the caller.
        unsafe { arguments::store(text, std::ptr::null_mut())? };
        let severity = codes::severity(severity)?;
        let passed = Passed { first: std::ptr::null(), count: 0, site };
        let room = handles::with_logger(logger, |logger| {
            if !logger.is_enabled(severity) {
                return Ok(std::ptr::null_mut());
            }
            // SAFETY: promised by the caller.
            unsafe { passed.with(|pairs| logger.claim(severity, pairs, capacity)) }
        })?;
        // SAFETY: promised by the caller.
        unsafe { arguments::store(text, room.cast()) }
    })
}

/// Logs the first `length` bytes of a claim of this thread and ends it.
///
/// LOGDRIVE_INVALID_ARGUMENT where `text` is no open claim of this thread, or smaller; the claim stays open.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_commit(
    logger: *mut LoggerHandle,
    text: *const c_char,
    length: usize,
) -> i32 {
    guard::code(|| handles::with_logger(logger, |logger| logger.commit(text.cast(), length)))
}

/// Ends a claim of this thread without logging.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_discard(logger: *mut LoggerHandle, text: *const c_char) -> i32 {
    guard::code(|| handles::with_logger(logger, |logger| logger.discard(text.cast())))
}

/// 1 where a record of this severity would be logged; 0 where not, or where an argument is wrong.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_enabled(logger: *const LoggerHandle, severity: i32) -> i32 {
    guard::value(0, || {
        let enabled = codes::severity(severity).and_then(|severity| {
            handles::with_logger(logger, |logger| Ok(logger.is_enabled(severity)))
        });
        // A logger that cannot log has nothing enabled.
        i32::from(enabled == Ok::<bool, Code>(true))
    })
}
