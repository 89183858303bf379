//! The log call.

use jni_sys::JNIEnv;
use jni_sys::jbyteArray;
use jni_sys::jclass;
use jni_sys::jint;
use jni_sys::jlong;
use logdrive::Code;
use logdrive::Severity;
use logdrive_bindings::guard;

use crate::arrays::Environment;
use crate::attributes;
use crate::handles;

/// Above the upper end of `record.bytes_max`: such a record is not even copied to be refused.
const RECORD_BYTES_MAX: jint = 1 << 20;

/// Logs the `attributes_length` + `text_length` bytes of `bytes` from `offset` on: packed attributes (see
/// `attributes`), then the text. What is longer than any record may be is refused, and counted, without a look at it.
///
/// # Safety
/// Called by the JVM, for `io.logdrive.Logger`, which has checked that the array has these bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_logdrive_Native_log(
    environment: *mut JNIEnv,
    _class: jclass,
    logger: jlong,
    severity: jint,
    bytes: jbyteArray,
    offset: jint,
    attributes_length: jint,
    text_length: jint,
) -> jint {
    guard::code(|| {
        let severity = self::severity(severity)?;
        let split = usize::try_from(attributes_length).map_err(|_| Code::InvalidArgument)?;
        let length = attributes_length.checked_add(text_length).ok_or(Code::InvalidArgument)?;
        if text_length < 0 || offset < 0 {
            return Err(Code::InvalidArgument);
        }
        // SAFETY: promised by the caller.
        let environment = unsafe { Environment::new(environment) };
        handles::with_logger(logger, |logger| {
            if length > RECORD_BYTES_MAX {
                return logger.log(severity, vec![0; RECORD_BYTES_MAX as usize]);
            }
            // SAFETY: promised by the caller.
            unsafe {
                environment.with_bytes(bytes, offset, length, |bytes| {
                    let (packed, text) = bytes.split_at(split);
                    attributes::with(packed, |pairs| logger.log_with(severity, text, pairs))
                })
            }
        })
    })
}

/// The severity with this number.
#[inline(always)]
fn severity(number: jint) -> Result<Severity, Code> {
    u8::try_from(number).ok().and_then(Severity::from_number).ok_or(Code::InvalidArgument)
}
