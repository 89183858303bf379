//! Signal masks: our threads take no signal of the host's.
//!
//! SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS and SIGTRAP stay open: they are synchronous, and blocking
//! them would turn a fault into an immediate kill without the host's own handler.

use std::mem::MaybeUninit;

/// Restores the calling thread's mask when dropped.
#[must_use = "the mask is restored when this is dropped"]
pub struct Blocked {
    previous: libc::sigset_t,
}

/// Blocks all signals but the synchronous ones in the calling thread; threads it starts inherit that.
pub fn block_all() -> Blocked {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    let mut previous = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` initialises the set it is given.
    unsafe { libc::sigfillset(mask.as_mut_ptr()) };
    for signal in
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSYS, libc::SIGTRAP]
    {
        // SAFETY: the set was initialised above and the signal's number is valid.
        unsafe { libc::sigdelset(mask.as_mut_ptr(), signal) };
    }
    // SAFETY: `mask` is initialised, `previous` has room; with valid arguments the call cannot fail.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), previous.as_mut_ptr()) };
    // SAFETY: `pthread_sigmask` wrote the previous mask.
    Blocked { previous: unsafe { previous.assume_init() } }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `previous` came from the kernel; a null pointer means that the old mask is not wanted.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.previous, std::ptr::null_mut())
        };
    }
}
