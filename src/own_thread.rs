//! Threads of ours: they are known as such, so that nothing they do can log into us. A feedback loop would otherwise
//! need only a dependency that logs what it is doing.

use std::cell::Cell;
use std::io;

use crate::sys::thread;
use crate::sys::thread::Thread;

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Starts a thread of ours; of the name 15 bytes are used. It takes over the caller's blocked signals.
///
/// # Errors
///
/// The system gives no thread.
pub fn start<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Thread<T>> {
    thread::start(name, move || {
        mark(true);
        body()
    })
}

/// Says whether the calling thread is one of ours from now on.
pub fn mark(is_ours: bool) {
    IS_OURS.set(is_ours);
}

/// Whether the calling thread is one of ours.
#[cfg(any(feature = "log", feature = "tracing", feature = "slog"))]
pub fn is_ours() -> bool {
    // Without a destructor, so it can be read to the thread's very end.
    IS_OURS.get()
}
