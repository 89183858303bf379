//! `byte[]` of the JVM: copied out of and into, never pinned and never referred to.
//!
//! Regions are copied rather than pinned (`GetPrimitiveArrayCritical`): a pinned array holds up the garbage
//! collector, and for texts of some hundred bytes the copy is the faster of the two.

use std::mem::MaybeUninit;

use jni_sys::JNIEnv;
use jni_sys::jbyteArray;
use jni_sys::jint;
use logdrive::Code;

/// Up to so many bytes are copied to the stack, more to the heap.
const STACK_BYTES: usize = 4096;

/// A thread's JNI environment, valid during one native call.
#[derive(Clone, Copy)]
pub(crate) struct Environment(*mut JNIEnv);

impl Environment {
    /// # Safety
    /// `environment` is what the JVM passed to the native call that is running.
    #[inline(always)]
    pub(crate) unsafe fn new(environment: *mut JNIEnv) -> Self {
        Self(environment)
    }

    /// Runs `body` with a copy of `length` bytes of `array` from `offset` on.
    ///
    /// # Safety
    /// `array` is null or a live `byte[]` that has these bytes: the one thing that is not looked at again
    /// here, because `io.logdrive.Logger` has, and each look costs as much as a short record's copy.
    #[inline(always)]
    pub(crate) unsafe fn with_bytes<T>(
        self,
        array: jbyteArray,
        offset: jint,
        length: jint,
        body: impl FnOnce(&[u8]) -> Result<T, Code>,
    ) -> Result<T, Code> {
        let bytes = usize::try_from(length).map_err(|_| Code::InvalidArgument)?;
        if array.is_null() {
            return Err(Code::InvalidArgument);
        }
        if bytes > STACK_BYTES {
            // SAFETY: passed on.
            return body(&unsafe { self.many_bytes(array, offset, length) });
        }
        let mut room = [const { MaybeUninit::<u8>::uninit() }; STACK_BYTES];
        // SAFETY: `room` has as many bytes, and the array is the caller's promise.
        unsafe { self.copy_out(array, offset, length, (&raw mut room).cast()) };
        // SAFETY: `copy_out` has written so many bytes.
        body(unsafe { std::slice::from_raw_parts((&raw const room).cast(), bytes) })
    }

    /// # Safety
    /// As [`Environment::with_bytes`]; `length` is not negative.
    #[cold]
    unsafe fn many_bytes(self, array: jbyteArray, offset: jint, length: jint) -> Vec<u8> {
        let mut room = vec![0; length as usize];
        // SAFETY: `room` has as many bytes, and the array is the caller's promise.
        unsafe { self.copy_out(array, offset, length, room.as_mut_ptr()) };
        room
    }

    /// # Safety
    /// `array` is a live `byte[]` that has these bytes; `to` has room for them.
    #[inline(always)]
    unsafe fn copy_out(self, array: jbyteArray, offset: jint, length: jint, to: *mut u8) {
        // SAFETY: the environment is valid by `new`'s promise, the rest is the caller's.
        unsafe { ((**self.0).v1_1.GetByteArrayRegion)(self.0, array, offset, length, to.cast()) };
    }

    /// # Safety
    /// `array` is a live `byte[]`.
    pub(crate) unsafe fn length(self, array: jbyteArray) -> i64 {
        // SAFETY: promised by the caller.
        i64::from(unsafe { ((**self.0).v1_1.GetArrayLength)(self.0, array) })
    }

    /// All of `array`, which is null or a `byte[]`; none where it is null.
    ///
    /// # Safety
    /// `array` is null or a live `byte[]`.
    pub(crate) unsafe fn bytes(self, array: jbyteArray) -> Result<Vec<u8>, Code> {
        if array.is_null() {
            return Err(Code::InvalidArgument);
        }
        // SAFETY: not null, and promised by the caller.
        unsafe {
            let length = self.length(array) as jint;
            self.with_bytes(array, 0, length, |bytes| Ok(bytes.to_vec()))
        }
    }

    /// Writes as much of `text` as `array` has room for; null is allowed and gets nothing.
    ///
    /// # Safety
    /// `array` is null or a live `byte[]`.
    pub(crate) unsafe fn put(self, array: jbyteArray, text: &[u8]) {
        if array.is_null() {
            return;
        }
        // SAFETY: not null, and promised by the caller; the length is at most that of the array.
        unsafe {
            let length = (text.len() as i64).min(self.length(array)) as jint;
            let from = text.as_ptr().cast();
            ((**self.0).v1_1.SetByteArrayRegion)(self.0, array, 0, length, from);
        }
    }

    /// A new `byte[]` with these bytes; null, with an `OutOfMemoryError` pending, where there is no memory for it.
    pub(crate) fn new_bytes(self, bytes: &[u8]) -> jbyteArray {
        let length = jint::try_from(bytes.len()).unwrap_or(jint::MAX);
        // SAFETY: the environment is valid by `new`'s promise.
        let array = unsafe { ((**self.0).v1_1.NewByteArray)(self.0, length) };
        // SAFETY: a live array, or null.
        unsafe { self.put(array, bytes) };
        array
    }
}
