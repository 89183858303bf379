//! Which process this is: a number that changes in a forked child.
//!
//! The number lies in a private page that the kernel wipes in every child (`MADV_WIPEONFORK`, Linux 4.14), however it
//! was made: `fork`, `_Fork`, a raw `clone`. So a log call finds out with one load, without a system call.
//! Where the kernel lacks it, an atfork handler wipes the word; a raw `clone` goes unnoticed then.

use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use memmap2::MmapOptions;

use crate::sys::faults;
use crate::sys::faults::Canary;

/// The word in the wiped page; null before the first call.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());
/// The highest number given in this process or one it descends from; inherited by children.
static HIGHEST: AtomicU64 = AtomicU64::new(0);

/// The number of this process: never 0, and different in parent, child and grandchild.
///
/// The first call in a process maps a page; every other one is two loads.
#[inline(always)]
pub fn generation() -> u64 {
    if faults::is_broken(Canary::ForkCheck) {
        return 1;
    }
    // Acquire: partner is the exchange in `word`; the page is mapped before its address is seen.
    let word = WORD.load(Ordering::Acquire);
    if !word.is_null() {
        // SAFETY: a non-null pointer is the page that `word` mapped and never unmaps.
        // Relaxed: only this process writes it, and any value but 0 is the same one.
        let number = unsafe { &*word }.load(Ordering::Relaxed);
        if number != 0 {
            return number;
        }
    }
    number_this_process()
}

#[cold]
fn number_this_process() -> u64 {
    let word = word();
    // Relaxed throughout: the numbers stand for themselves, nothing else is published by them.
    // Counted first, so that a child forked in between gets a higher one.
    let next = HIGHEST.fetch_add(1, Ordering::Relaxed) + 1;
    word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed)
        .map_or_else(|n| n, |_| next)
}

/// The wiped word, mapped on the first call.
fn word() -> &'static AtomicU64 {
    // Acquire: as in `generation`.
    let known = WORD.load(Ordering::Acquire);
    if !known.is_null() {
        // SAFETY: as in `generation`.
        return unsafe { &*known };
    }
    let fresh = map_word();
    // AcqRel/Acquire: partner is the load in `generation`.
    match WORD.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: `map_word` gives a valid word that is never freed.
        Ok(_) => unsafe { &*fresh },
        // Another thread was faster; its word counts, ours is a page of waste once per process.
        // SAFETY: as above, for the other thread's word.
        Err(theirs) => unsafe { &*theirs },
    }
}

fn map_word() -> *mut AtomicU64 {
    let wiped = MmapOptions::new().len(4096).map_anon().ok().filter(|page| {
        // SAFETY: the range is the whole page that was just mapped; the advice changes what a
        // child sees, never this process.
        unsafe { libc::madvise(page.as_ptr().cast_mut().cast(), 4096, libc::MADV_WIPEONFORK) == 0 }
    });
    match wiped {
        Some(mut page) => {
            let word = page.as_mut_ptr().cast();
            std::mem::forget(page);
            word
        }
        None => {
            // SAFETY: the handler only stores to an atomic, which is allowed in a forked child.
            unsafe { libc::pthread_atfork(None, None, Some(wipe)) };
            Box::into_raw(Box::new(AtomicU64::new(0)))
        }
    }
}

/// Runs in a forked child where the kernel does not wipe the page.
unsafe extern "C" fn wipe() {
    let word = WORD.load(Ordering::Acquire);
    if !word.is_null() {
        // SAFETY: as in `generation`. Relaxed: the child has one thread.
        unsafe { &*word }.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_child_and_grandchild_have_different_numbers() {
        let mine = generation();
        assert_eq!(generation(), mine);
        // SAFETY: the child only calls what is allowed after a fork: loads, stores, fork and _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let childs = generation();
            let differs = childs != mine && childs == generation();
            // SAFETY: as above.
            let grandchild = unsafe { libc::fork() };
            if grandchild == 0 {
                let differs = differs && generation() != childs && generation() != mine;
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(i32::from(!differs)) };
            }
            // SAFETY: `wait` collects the grandchild; ends this process at once.
            unsafe { libc::_exit(status_of(grandchild) | i32::from(!differs)) };
        }
        assert_eq!(status_of(child), 0);
        assert_eq!(generation(), mine);
    }

    /// `_Fork` runs no atfork handler, and glibc knows nothing of a raw `clone`: the wiped page notices both.
    #[test]
    fn a_child_that_no_handler_saw_has_another_number() {
        unsafe extern "C" {
            fn _Fork() -> libc::pid_t;
        }
        let raw_clone = || {
            let no_flags = libc::c_long::from(libc::SIGCHLD);
            // SAFETY: as `fork`: without a stack the child goes on here, on a copy of this one.
            unsafe { libc::syscall(libc::SYS_clone, no_flags, 0, 0, 0, 0) as libc::pid_t }
        };
        // SAFETY: the child only loads, stores and exits.
        let without_handlers = || unsafe { _Fork() };
        let ways: [&dyn Fn() -> libc::pid_t; 2] = [&raw_clone, &without_handlers];
        for (way, fork) in ways.iter().enumerate() {
            let mine = generation();
            let child = fork();
            assert!(child >= 0, "way {way}");
            if child == 0 {
                let differs = generation() != mine;
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(i32::from(!differs)) };
            }
            assert_eq!(status_of(child), 0, "way {way}");
            assert_eq!(generation(), mine);
        }
    }

    fn status_of(process: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: the process is a child of ours and `status` has room.
        unsafe { libc::waitpid(process, &raw mut status, 0) };
        libc::WEXITSTATUS(status)
    }
}
