//! The wall between Rust and the host's language: no panic passes it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use logdrive::Code;

static CAUGHT: AtomicU64 = AtomicU64::new(0);

/// Panics caught at the boundary so far, by this copy of the library.
pub fn caught() -> u64 {
    // Relaxed: a statistic.
    CAUGHT.load(Ordering::Relaxed)
}

/// Runs an entry's body; its outcome as the number that the host gets.
#[inline(always)]
pub fn code(body: impl FnOnce() -> Result<(), Code>) -> i32 {
    // Unwind safety: what an entry shares is behind locks that tolerate poison, or per call.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Code::Ok.number(),
        Ok(Err(code)) => code.number(),
        Err(payload) => count(payload).number(),
    }
}

/// As [`code`] for an entry that returns a handle, which is positive; a failure is its code, negated.
pub fn handle(body: impl FnOnce() -> Result<i64, Code>) -> i64 {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    match outcome.unwrap_or_else(|payload| Err(count(payload))) {
        Ok(handle) => handle,
        Err(code) => -i64::from(code.number()),
    }
}

/// As [`code`] for an entry that returns a value; `fallback` after a panic.
#[inline(always)]
pub fn value<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            count(payload);
            fallback
        }
    }
}

#[cold]
fn count(payload: Box<dyn Any + Send>) -> Code {
    // Relaxed: a statistic.
    CAUGHT.fetch_add(1, Ordering::Relaxed);
    // Dropping a payload may run code that panics again; a leak in this event is the lesser evil.
    std::mem::forget(payload);
    Code::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_code_and_is_counted() {
        let before = caught();
        assert_eq!(code(|| panic!("on purpose")), Code::Internal.number());
        assert_eq!(handle(|| panic!("on purpose")), -i64::from(Code::Internal.number()));
        assert_eq!(value(7, || panic!("on purpose")), 7);
        assert_eq!(caught(), before + 3);
        assert_eq!(code(|| Ok(())), 0);
        assert_eq!(code(|| Err(Code::Closed)), Code::Closed.number());
        assert_eq!(handle(|| Ok(5)), 5);
        assert_eq!(handle(|| Err(Code::Closed)), -i64::from(Code::Closed.number()));
    }
}
