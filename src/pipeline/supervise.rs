//! Our threads: named, with all signals blocked, and restarted when they panic.
//!
//! A panic never leaves a thread of ours and never ends it: it is caught, counted, and the body runs again on
//! the state it left. Nothing here knows what the threads do.

use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::own_thread;
use crate::stats::Counters;
use crate::sys::signals;
use crate::sys::thread::Thread;

/// Pause after a caught panic, so that one that comes back at once does not burn a core.
const PAUSE_AFTER_PANIC: Duration = Duration::from_millis(100);

/// Starts a thread that takes what is in `parts` and runs `body` on it until that returns; `body` is called again
/// after a panic. Where the system refuses the thread, the parts stay where they are.
pub fn start<T: Send + 'static>(
    name: &str,
    counters: Arc<Counters>,
    parts: Arc<Mutex<Option<T>>>,
    mut body: impl FnMut(&mut T) + Send + 'static,
) -> io::Result<Thread<T>> {
    // Inherited by the new thread, so that it never runs with a signal open.
    let _blocked = signals::block_all();
    own_thread::start(name, move || {
        // A poisoned lock guards an option that is whole at every step.
        let taken = parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = taken.expect("each thread has parts of its own");
        // Unwind safety: the bodies keep their state valid at every step, or repair it when called again.
        while catch_unwind(AssertUnwindSafe(|| body(&mut state))).is_err() {
            counters.batch.panics.add(1);
            std::thread::sleep(PAUSE_AFTER_PANIC);
        }
        state
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_body_is_counted_and_runs_again() {
        let counters = Arc::new(Counters::default());
        let parts = Arc::new(Mutex::new(Some(0)));
        let thread = start("test", counters.clone(), parts, |runs| {
            *runs += 1;
            assert!(*runs > 2, "run {runs} fails on purpose");
        });
        assert_eq!(thread.unwrap().join().unwrap(), 3);
        assert_eq!(counters.batch.panics.value(), 2);
    }

    #[cfg(any(feature = "log", feature = "tracing", feature = "slog"))]
    #[test]
    fn our_threads_know_that_they_are_ours() {
        let parts = Arc::new(Mutex::new(Some(false)));
        let thread =
            start("test", Arc::default(), parts, |is_ours| *is_ours = own_thread::is_ours());
        assert!(thread.unwrap().join().unwrap());
        assert!(!own_thread::is_ours());
    }

    #[test]
    fn our_threads_have_their_signals_blocked_and_the_caller_keeps_its_own() {
        fn own() -> u64 {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("SigBlk:")).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        }
        let before = own();
        let parts = Arc::new(Mutex::new(Some(0)));
        let thread = start("test", Arc::default(), parts, |seen| *seen = own()).unwrap();
        let seen = thread.join().unwrap();
        for signal in [libc::SIGTERM, libc::SIGPIPE, libc::SIGXFSZ, libc::SIGCHLD, libc::SIGINT] {
            assert_ne!(seen & 1 << (signal - 1), 0, "signal {signal}");
        }
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            assert_eq!(seen & 1 << (signal - 1), 0, "signal {signal}");
        }
        assert_eq!(own(), before);
    }
}
