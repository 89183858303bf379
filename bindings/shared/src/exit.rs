//! The end of the process: what was accepted is given a last chance to arrive.
//!
//! `exit` and a return from `main` run the handler, a JVM after its own shutdown hooks; `_exit`, a signal and a crash
//! do not, and then, as after a deadline, the records stay in their files for the next process of the same name. It
//! flushes and does not close: handlers and destructors that run later may still log, and what they log is stored
//! as well.
#![allow(unsafe_code, reason = "libc's atexit")]

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use logdrive::Code;

use crate::client::OpenClient;

/// The longest that the end of a process is held up, over all clients, whatever `close.deadline` says.
const EXIT_FLUSH_MAX: Duration = Duration::from_secs(2);

/// No `Once`: a child that was forked while it ran would wait for it for ever.
static IS_REGISTERED: AtomicBool = AtomicBool::new(false);

/// Has `handler` run at the end of the process; the first call counts. It is to be a guarded call of [`flush`].
pub fn register(handler: extern "C" fn()) {
    // Relaxed: it only has to be one thread.
    if IS_REGISTERED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: an `extern "C"` function does not unwind, and bindings are never unloaded (linked with -z nodelete).
    let outcome = unsafe { libc::atexit(handler) };
    // Without memory for one more handler, records stay stored at exit, as they do after a crash.
    let _is_stored_instead = outcome;
}

/// Flushes one client after the other, all in two seconds at most.
pub fn flush(clients: &[OpenClient]) {
    let mut patience = EXIT_FLUSH_MAX;
    for open in clients {
        let deadline = open.close_deadline.min(patience);
        if let Err(error) = open.client.flush(deadline) {
            // Its records stay stored; the others share what is left of the time.
            debug_assert_eq!(error.code(), Code::DeadlineExceeded);
            patience -= deadline;
        }
    }
}
