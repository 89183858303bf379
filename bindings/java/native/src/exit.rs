//! The end of the JVM: what was accepted is given a last chance to arrive.
//!
//! libc runs the handler after the JVM's own shutdown hooks, so what hooks log is flushed too; no hook of ours has
//! to be ordered among them. It flushes and does not close. A `kill -9` or a crash runs nothing: the records stay in
//! their files for the next process of the same name.

use std::sync::Once;
use std::time::Duration;

use logdrive::Code;

use crate::guard;
use crate::handles;

/// The longest that the end of a process is held up, over all clients, whatever `close.deadline` says.
const EXIT_FLUSH_MAX: Duration = Duration::from_secs(2);

static REGISTERED: Once = Once::new();

/// Registers the handler, once per process.
pub(crate) fn register() {
    REGISTERED.call_once(|| {
        // SAFETY: the handler is never unloaded (linked with -z nodelete) and does not unwind.
        let outcome = unsafe { libc::atexit(flush_all) };
        // Without memory for one more handler, records stay stored at exit, as they do after a crash.
        let _is_stored_instead = outcome;
    });
}

extern "C" fn flush_all() {
    guard::code(|| {
        let mut patience = EXIT_FLUSH_MAX;
        for open in handles::clients() {
            let deadline = open.close_deadline.min(patience);
            if let Err(error) = open.client.flush(deadline) {
                // Its records stay stored; the others share what is left of the time.
                debug_assert_eq!(error.code(), Code::DeadlineExceeded);
                patience -= deadline;
            }
        }
        Ok(())
    });
}
