//! Threads of ours, started by the C library alone.
//!
//! The standard library's threads take a lock of its own while they begin and end (the table by which its handler of
//! stack overflows knows them, in programs whose `main` is Rust's). Where a process forks at such a moment, that lock
//! stays taken in the child for ever, and no thread that the standard library starts there gets to its work: the
//! child's `close` would hang. The C library puts its own locks right in a child.
//!
//! Knows nothing of what the threads do. Invariant: a body's panic ends its thread and nothing else.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

/// Bytes of a thread's stack, as the standard library has it: the host's limit may be any.
const STACK_BYTES: usize = 2 << 20;
/// Of a name, without the NUL at its end: the kernel takes no more.
const NAME_BYTES_MAX: usize = 15;

/// A thread that was started. Dropping it lets the thread run on.
pub struct Thread<T> {
    /// None where it was joined.
    id: Option<libc::pthread_t>,
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    result: Mutex<Option<T>>,
    handle: OnceLock<std::thread::Thread>,
}

struct Start {
    name: CString,
    body: Box<dyn FnOnce() + Send>,
}

/// Starts a thread of that name (15 bytes of it are used).
///
/// # Errors
///
/// What `pthread_create` says.
pub fn start<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Thread<T>> {
    let shared = Arc::new(Shared { result: Mutex::new(None), handle: OnceLock::new() });
    let theirs = shared.clone();
    let body = move || {
        // Nobody else sets it.
        let _first = theirs.handle.set(std::thread::current());
        // SeqCst: partner is the fence in `unpark`.
        fence(Ordering::SeqCst);
        let result = body();
        // A lock around an option that is whole at every step.
        *theirs.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    };
    let name = CString::new(&name.as_bytes()[..name.len().min(NAME_BYTES_MAX)])?;
    let id = create(Box::new(Start { name, body: Box::new(body) }))?;
    Ok(Thread { id: Some(id), shared })
}

fn create(start: Box<Start>) -> io::Result<libc::pthread_t> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: has room for the attributes; glibc's cannot fail, and what it says is looked at below.
    let code = unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    // SAFETY: they were initialised; where the size is refused the default stays.
    unsafe { libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK_BYTES) };
    let argument = Box::into_raw(start);
    let mut id = MaybeUninit::uninit();
    // SAFETY: `id` has room, the attributes are initialised; `enter` owns the argument if this succeeds.
    let code = unsafe {
        libc::pthread_create(id.as_mut_ptr(), attributes.as_ptr(), enter, argument.cast())
    };
    // SAFETY: initialised above, and not used again.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    if code != 0 {
        // SAFETY: made by `into_raw` above, and no thread got it.
        drop(unsafe { Box::from_raw(argument) });
        return Err(io::Error::from_raw_os_error(code));
    }
    // SAFETY: written by the call that succeeded.
    Ok(unsafe { id.assume_init() })
}

extern "C" fn enter(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the box that `create` gave away, to this thread alone.
    let start = unsafe { Box::from_raw(argument.cast::<Start>()) };
    // SAFETY: names the calling thread; a refusal only leaves it without.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), start.name.as_ptr()) };
    // Unwind safety: who joins it is told that there is no result. The panic was reported by its hook.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(start.body)) {
        // Its own drop might panic, out of C.
        std::mem::forget(payload);
    }
    std::ptr::null_mut()
}

impl<T> Thread<T> {
    /// Waits for its end; none where its body panicked.
    pub fn join(mut self) -> Option<T> {
        if let Some(id) = self.id.take() {
            // SAFETY: a thread of ours that was neither joined nor detached. The code says nothing else then.
            unsafe { libc::pthread_join(id, std::ptr::null_mut()) };
        }
        self.shared.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends its `std::thread::park`, or the next one. What was stored before is seen by it.
    pub fn unpark(&self) {
        // SeqCst: partner is the fence in `start`. Either its handle is seen here, or the thread has not looked at
        // anything yet and will see what was stored before.
        fence(Ordering::SeqCst);
        if let Some(handle) = self.shared.handle.get() {
            handle.unpark();
        }
    }
}

impl<T> Drop for Thread<T> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // SAFETY: as in `join`; nobody will ask for it any more.
            unsafe { libc::pthread_detach(id) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_result_comes_back_from_a_thread_with_its_name() {
        let thread = start("logdrive-a-name-that-is-long", || {
            std::fs::read_to_string("/proc/thread-self/comm").unwrap()
        });
        assert_eq!(thread.unwrap().join().unwrap(), "logdrive-a-name\n");
    }

    #[test]
    fn a_panic_leaves_no_result_and_no_dead_process() {
        let thread = start("test", || assert!(std::process::id() == 0, "on purpose")).unwrap();
        assert_eq!(thread.join(), None);
    }

    #[test]
    fn what_was_stored_before_an_unpark_is_seen() {
        for _ in 0..200 {
            let is_over = Arc::new(AtomicBool::new(false));
            let seen = is_over.clone();
            let thread = start("test", move || {
                while !seen.load(Ordering::Relaxed) {
                    std::thread::park();
                }
            });
            let thread = thread.unwrap();
            is_over.store(true, Ordering::Relaxed);
            thread.unpark();
            assert_eq!(thread.join(), Some(()));
        }
    }
}
