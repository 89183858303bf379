//! What C passes: texts by pointer and length or NUL-terminated, and buffers for texts that we return.
//!
//! Every pointer is checked for NULL and every length for what Rust allows; that a pointer which is not NULL points
//! to so many bytes is the one thing that C has to keep.

use std::ffi::CStr;
use std::ffi::c_char;

use logdrive_core::Code;
use logdrive_core::Error;

/// The bytes at `at`; none where `length` is 0, whatever `at` is.
///
/// # Safety
/// Where it is not NULL, `at` points to `length` readable bytes, for as long as `'a`.
#[inline(always)]
pub(crate) unsafe fn bytes<'a>(at: *const c_char, length: usize) -> Result<&'a [u8], Code> {
    if length == 0 {
        return Ok(&[]);
    }
    if at.is_null() {
        return Err(Code::InvalidArgument);
    }
    if length > isize::MAX as usize {
        return Err(Code::RecordTooLarge);
    }
    // SAFETY: not NULL, not longer than a slice may be, and readable by the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(at.cast(), length) })
}

/// The NUL-terminated bytes at `at`; `what` names the argument in the error.
///
/// # Safety
/// Where it is not NULL, `at` points to bytes that end with a NUL, readable for as long as `'a`.
pub(crate) unsafe fn c_bytes<'a>(at: *const c_char, what: &str) -> Result<&'a [u8], Error> {
    if at.is_null() {
        return Err(Error::new(Code::InvalidArgument, format!("{what} is NULL")));
    }
    // SAFETY: not NULL, and terminated by the caller's promise.
    Ok(unsafe { CStr::from_ptr(at) }.to_bytes())
}

/// As [`c_bytes`], for a text: UTF-8.
///
/// # Safety
/// As [`c_bytes`].
pub(crate) unsafe fn c_text<'a>(at: *const c_char, what: &str) -> Result<&'a str, Error> {
    // SAFETY: passed on.
    let bytes = unsafe { c_bytes(at, what) }?;
    std::str::from_utf8(bytes)
        .map_err(|error| Error::new(Code::InvalidArgument, format!("{what} is not UTF-8: {error}")))
}

/// A buffer of the caller for a text; NULL or of size 0 if the caller does not want it.
#[derive(Clone, Copy)]
pub(crate) struct TextBuffer {
    at: *mut c_char,
    size: usize,
}

impl TextBuffer {
    /// # Safety
    /// Where it is not NULL, `at` points to `size` writable bytes during the call.
    pub(crate) unsafe fn new(at: *mut c_char, size: usize) -> Self {
        Self { at, size }
    }

    /// Writes as much of `text` as fits, ended by a NUL, never cutting a character in two.
    pub(crate) fn put(&self, text: &str) {
        if self.at.is_null() || self.size == 0 {
            return;
        }
        let mut length = text.len().min(self.size - 1);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        // SAFETY: `length` bytes and a NUL are at most `size`, writable by the promise of `new`.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast(), self.at, length);
            *self.at.add(length) = 0;
        }
    }

    /// Writes why an entry failed, or the empty text; the code remains.
    pub(crate) fn report(&self, outcome: Result<(), Error>) -> Result<(), Code> {
        match outcome {
            Ok(()) => {
                self.put("");
                Ok(())
            }
            Err(error) => {
                self.put(&error.to_string());
                Err(error.code())
            }
        }
    }
}

/// Stores a result where C wants it.
///
/// # Safety
/// Where it is not NULL, `at` points to a writable `T`.
pub(crate) unsafe fn store<T>(at: *mut T, value: T) -> Result<(), Code> {
    if at.is_null() {
        return Err(Code::InvalidArgument);
    }
    // SAFETY: not NULL, and writable by the caller's promise.
    unsafe { at.write(value) };
    Ok(())
}

/// Accepts a structure of a newer header only if what we do not know of it is zero, as the kernel does
/// (`copy_struct_from_user`): a caller that asks for more than we can do must hear of it.
///
/// # Safety
/// `at` points to `size` readable bytes.
#[inline(always)]
pub(crate) unsafe fn rest_is_zero<T>(at: *const T, size: usize) -> Result<(), Code> {
    let known = size_of::<T>();
    if size <= known {
        return Ok(());
    }
    if size > STRUCT_BYTES_MAX {
        return Err(Code::InvalidArgument);
    }
    // SAFETY: within the `size` bytes of the caller's promise.
    let rest = unsafe { std::slice::from_raw_parts(at.cast::<u8>().add(known), size - known) };
    if rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Code::InvalidArgument) }
}

/// No structure of any version is larger; a `struct_size` beyond it was never set.
pub(crate) const STRUCT_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_always_ended() {
        for (size, expected) in [(1, ""), (2, "a"), (3, "a"), (4, "aé"), (9, "aéz")] {
            let mut buffer = [b'#' as c_char; 10];
            // SAFETY: the buffer has at least `size` bytes.
            unsafe { TextBuffer::new(buffer.as_mut_ptr(), size) }.put("aéz");
            // SAFETY: `put` ends the text.
            let written = unsafe { CStr::from_ptr(buffer.as_ptr()) };
            assert_eq!(written.to_str().unwrap(), expected);
            assert_eq!(buffer[size] as u8, b'#', "size {size}");
        }
        // SAFETY: NULL is allowed.
        unsafe { TextBuffer::new(std::ptr::null_mut(), 9) }.put("nowhere");
    }
}
