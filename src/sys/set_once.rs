//! A cell that is set once, without a lock: a forked child can never find it half set.
//!
//! `std::sync::OnceLock` blocks for ever in a child that was forked while another thread was setting it.

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering;

/// See the module's head.
#[derive(Debug)]
pub struct SetOnce<T> {
    value: AtomicPtr<T>,
    owns: PhantomData<T>,
}

impl<T> SetOnce<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// The value, once it is set.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // Acquire: partner is the exchange in `set`.
        let value = self.value.load(Ordering::Acquire);
        // SAFETY: null, or a box's pointer that `set` put here and only `drop` takes away.
        unsafe { value.as_ref() }
    }

    /// Sets the value; gives it back where there is one already.
    pub fn set(&self, value: Box<T>) -> Result<&T, Box<T>> {
        let value = Box::into_raw(value);
        let empty = ptr::null_mut();
        // Release: partner is the load in `get`. Relaxed on failure: the other value is not read here.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        let outcome = self.value.compare_exchange(empty, value, success, failure);
        match outcome {
            // SAFETY: the box lives in this cell until the cell is dropped.
            Ok(_) => Ok(unsafe { &*value }),
            // SAFETY: the pointer came from `into_raw` above and was not given away.
            Err(_) => Err(unsafe { Box::from_raw(value) }),
        }
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for SetOnce<T> {
    fn drop(&mut self) {
        let value = *self.value.get_mut();
        if !value.is_null() {
            // SAFETY: the pointer came from a box in `set`; nobody borrows from a cell being dropped.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

// SAFETY: as a `Box<T>` that is shared only after a release-store, like `OnceLock<T>`.
unsafe impl<T: Send> Send for SetOnce<T> {}
// SAFETY: as above: `get` gives `&T` to any thread, `set` moves a `T` between threads.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let cell = SetOnce::new();
        assert_eq!(cell.get(), None);
        assert_eq!(cell.set(Box::new("first".to_owned())).unwrap(), "first");
        assert_eq!(*cell.set(Box::new("second".to_owned())).unwrap_err(), "second");
        assert_eq!(cell.get().unwrap(), "first");
    }
}
