//! Whether a thread is one of ours, so that nothing it does can log into us: a feedback loop would otherwise need
//! only a dependency that logs what it is doing.

use std::cell::Cell;

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
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
