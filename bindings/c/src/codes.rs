//! The numbers of the ABI: result codes, severities, kinds of values, versions. Plain constants, because C may
//! pass any number where Rust's enums allow only their own.

use std::ffi::CStr;
use std::ffi::c_char;

use logdrive_bindings::guard;
use logdrive_core::Code;
use logdrive_core::Severity;

/// Grows when a program must be compiled anew; functions are added without a new number.
pub const LOGDRIVE_ABI_VERSION: u32 = 1;

/// Success.
pub const LOGDRIVE_OK: i32 = 0;
/// The rings have no room left for this severity (ring.full=refuse).
pub const LOGDRIVE_RING_FULL: i32 = 1;
/// The record is larger than record.bytes_max.
pub const LOGDRIVE_RECORD_TOO_LARGE: i32 = 2;
/// The client was closed, or the handle was freed.
pub const LOGDRIVE_CLOSED: i32 = 3;
/// Logged while the same thread was inside a log call, or held a claim.
pub const LOGDRIVE_REENTRANT: i32 = 4;
/// An argument is NULL, malformed, out of range, or no handle of that type.
pub const LOGDRIVE_INVALID_ARGUMENT: i32 = 5;
/// A configuration name, value or combination is wrong; the error text names it.
pub const LOGDRIVE_CONFIGURATION: i32 = 6;
/// The deadline passed; nothing is lost by it, the records are still stored.
pub const LOGDRIVE_DEADLINE_EXCEEDED: i32 = 7;
/// The operating system refused something; the error text says what.
pub const LOGDRIVE_IO: i32 = 8;
/// More than 64 streams of one client.
pub const LOGDRIVE_TOO_MANY_STREAMS: i32 = 9;
/// More threads log than ring.threads_max.
pub const LOGDRIVE_TOO_MANY_THREADS: i32 = 10;
/// A defect of logdrive was caught and counted.
pub const LOGDRIVE_INTERNAL: i32 = 11;
/// A file is damaged, foreign or of another version; it was set aside.
pub const LOGDRIVE_DAMAGED: i32 = 12;
/// Threads cannot be started now, or a forked child has no rings of its own yet; the record was refused.
pub const LOGDRIVE_STARTING: i32 = 13;
/// The spool is nearly full and the record is below WARN.
pub const LOGDRIVE_SPOOL_FULL: i32 = 14;

/// Finest detail.
pub const LOGDRIVE_SEVERITY_TRACE: i32 = 0;
/// For debugging.
pub const LOGDRIVE_SEVERITY_DEBUG: i32 = 1;
/// Normal operation.
pub const LOGDRIVE_SEVERITY_INFO: i32 = 2;
/// Something that may need attention; from here on a reserve of the rings is kept.
pub const LOGDRIVE_SEVERITY_WARN: i32 = 3;
/// Something failed.
pub const LOGDRIVE_SEVERITY_ERROR: i32 = 4;
/// The program cannot go on. logdrive does not end it.
pub const LOGDRIVE_SEVERITY_FATAL: i32 = 5;

/// The attribute's value is `text`, `text_length` bytes of it.
pub const LOGDRIVE_KIND_TEXT: u32 = 0;
/// The attribute's value is `integer`.
pub const LOGDRIVE_KIND_SIGNED: u32 = 1;
/// The attribute's value is `integer`, read as an unsigned number.
pub const LOGDRIVE_KIND_UNSIGNED: u32 = 2;
/// The attribute's value is `real`.
pub const LOGDRIVE_KIND_REAL: u32 = 3;
/// The attribute's value is "false" where `integer` is 0, and "true" otherwise.
pub const LOGDRIVE_KIND_BOOLEAN: u32 = 4;

/// The most attributes that one call takes.
pub const LOGDRIVE_ATTRIBUTES_MAX: usize = 32;

/// The severity with this number.
#[inline(always)]
pub(crate) fn severity(number: i32) -> Result<Severity, Code> {
    u8::try_from(number).ok().and_then(Severity::from_number).ok_or(Code::InvalidArgument)
}

/// What a result code means, in one English sentence; for an unknown number it says so.
///
/// Never NULL; the text is static and must not be freed. Any thread may call it, a signal handler too.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_strerror(code: i32) -> *const c_char {
    guard::value(c"unknown result code".as_ptr(), || {
        let text = usize::try_from(code).ok().and_then(|index| TEXTS.get(index));
        text.map_or(c"unknown result code", |text| *text).as_ptr()
    })
}

/// The library's version, such as "0.1.0". Static, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_version() -> *const c_char {
    guard::value(c"".as_ptr(), || VERSION.as_ptr().cast())
}

/// LOGDRIVE_ABI_VERSION of the library that is loaded; to be compared with that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn logdrive_abi_version() -> u32 {
    guard::value(0, || LOGDRIVE_ABI_VERSION)
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// The texts of [`Code`], in the order of their numbers, with the NUL that the core's lack.
static TEXTS: [&CStr; 15] = [
    c"success",
    c"the ring arena is full: raise ring.bytes_max, log less, or set ring.full=block",
    c"the record is larger than record.bytes_max",
    c"the client is closed",
    c"logged from inside a log call of the same thread",
    c"an argument is malformed",
    c"the configuration is wrong",
    c"the deadline passed; the records are still stored",
    c"an operating system call failed",
    c"too many streams: the limit is 64 per client",
    c"too many threads log at once: raise ring.threads_max",
    c"an internal error was caught; please report it",
    c"a file is damaged, foreign or of another version",
    c"threads or the rings of a forked process are being made; the record was refused",
    c"the spool is nearly full and the record is below WARN: raise spool.bytes_max",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The source of this file declares exactly the numbers of the core, and their texts.
    #[test]
    fn constants_are_those_of_the_core() {
        let source = include_str!("codes.rs");
        assert_eq!(TEXTS.len(), Code::ALL.len());
        for code in Code::ALL {
            let line = format!("pub const LOGDRIVE_{}: i32 = {};", code.name(), code.number());
            assert!(source.contains(&line), "{line}");
            assert_eq!(TEXTS[code.number() as usize].to_str().unwrap(), code.text());
        }
        for severity in Severity::ALL {
            let line = format!(
                "pub const LOGDRIVE_SEVERITY_{}: i32 = {};",
                severity.name(),
                severity as i32
            );
            assert!(source.contains(&line), "{line}");
        }
    }
}
