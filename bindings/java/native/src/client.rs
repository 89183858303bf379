//! Clients: open, streams, flush, close.

use jni_sys::JNIEnv;
use jni_sys::jbyteArray;
use jni_sys::jclass;
use jni_sys::jint;
use jni_sys::jlong;
use logdrive::Code;
use logdrive::Config;
use logdrive::Error;
use logdrive_bindings::client::OpenClient;
use logdrive_bindings::client::patience;
use logdrive_bindings::exit;
use logdrive_bindings::guard;

use crate::arrays::Environment;
use crate::handles;

/// The version of this library, which has to be that of the classes that loaded it: `byte[]` of its text.
///
/// # Safety
/// Called by the JVM.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_logdrive_Native_version(
    environment: *mut JNIEnv,
    _class: jclass,
) -> jbyteArray {
    guard::value(std::ptr::null_mut(), || {
        // SAFETY: promised by the caller.
        let environment = unsafe { Environment::new(environment) };
        environment.new_bytes(env!("CARGO_PKG_VERSION").as_bytes())
    })
}

/// Opens a client: its handle, or a code, negated; then `error` gets the reason, cut to its length.
///
/// `options` is UTF-8: names and values, each ended by a NUL; the URL first, as the option "url". Options come over the
/// environment's `LOGDRIVE_*`, and these over the URL.
///
/// # Safety
/// Called by the JVM.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_logdrive_Native_open(
    environment: *mut JNIEnv,
    _class: jclass,
    options: jbyteArray,
    error: jbyteArray,
) -> jlong {
    guard::handle(|| {
        // SAFETY: promised by the caller.
        let environment = unsafe { Environment::new(environment) };
        // SAFETY: promised by the caller.
        let options = unsafe { environment.bytes(options)? };
        open(&options).map_err(|reason| {
            // SAFETY: promised by the caller.
            unsafe { environment.put(error, reason.to_string().as_bytes()) };
            reason.code()
        })
    })
}

fn open(options: &[u8]) -> Result<i64, Error> {
    let malformed = || Error::new(Code::InvalidArgument, "options are not pairs of UTF-8");
    let text = std::str::from_utf8(options).map_err(|_| malformed())?;
    let mut words = text.split_terminator('\0');
    let mut config = Config::new();
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(malformed)?;
        config.set(name, value)?;
        if name == "url" {
            config.load_environment(std::env::vars_os())?;
        }
    }
    let open = OpenClient::start(&config)?;
    exit::register(flush_at_exit);
    Ok(handles::add_client(open))
}

extern "C" fn flush_at_exit() {
    guard::value((), || exit::flush(&handles::clients()));
}

/// The handle of a stream's logger, or a code, negated. `name` null means the stream of the client's URL.
///
/// # Safety
/// Called by the JVM.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn Java_io_logdrive_Native_stream(
    environment: *mut JNIEnv,
    _class: jclass,
    client: jlong,
    name: jbyteArray,
) -> jlong {
    guard::handle(|| {
        let open = handles::client(client)?.client;
        if name.is_null() {
            return handles::add_logger(client, (*open).clone());
        }
        // SAFETY: promised by the caller.
        let name = unsafe { Environment::new(environment).bytes(name)? };
        let name = std::str::from_utf8(&name).map_err(|_| Code::InvalidArgument)?;
        let logger = open.stream(name).map_err(|error| error.code())?;
        handles::add_logger(client, logger)
    })
}

/// Waits until all that was accepted before the call is acknowledged or accounted for.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_logdrive_Native_flush(
    _environment: *mut JNIEnv,
    _class: jclass,
    client: jlong,
    deadline_ms: jlong,
) -> jint {
    guard::code(|| {
        let open = handles::client(client)?;
        open.client.flush(patience(deadline_ms.max(0) as u64)).map_err(|error| error.code())
    })
}

/// Refuses further records, flushes, ends the threads, frees the handle. A negative deadline stands for
/// the configured `close.deadline`.
#[unsafe(no_mangle)]
pub extern "system" fn Java_io_logdrive_Native_close(
    _environment: *mut JNIEnv,
    _class: jclass,
    client: jlong,
    deadline_ms: jlong,
) -> jint {
    guard::code(|| {
        let open = handles::remove_client(client)?;
        let deadline = u64::try_from(deadline_ms).map_or(open.close_deadline, patience);
        open.client.close(deadline).map(drop).map_err(|error| error.code())
    })
}
