//! Attributes as C passes them, and where in the source a call stands, as the core's names and values.
//!
//! Nothing is allocated: numbers are formatted into buffers on the stack.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use logdrive_core::Code;

use crate::arguments;
use crate::codes;

/// A name and a value that travel with a record. Zero it, then set what is needed; see
/// logdrive_macros.h for functions that make one.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Attribute {
    /// sizeof(logdrive_attribute) of the header the caller was compiled with; also the distance between
    /// the elements of an array.
    pub struct_size: u32,
    /// Which member is the value: one of LOGDRIVE_KIND_*.
    pub kind: u32,
    /// UTF-8 without NUL bytes, not empty, not beginning with "logdrive."; need not be NUL-terminated.
    pub name: *const c_char,
    /// Bytes of `name`, at most 65,535.
    pub name_length: u64,
    /// Any bytes.
    pub text: *const c_char,
    /// Bytes of `text`.
    pub text_length: u64,
    /// A number, or whether.
    pub integer: i64,
    /// A number.
    pub real: f64,
}

/// Where a log call stands in the source. Static data of the caller; the macros make it.
#[repr(C)]
pub struct CallSite {
    /// sizeof(logdrive_callsite) of the header the caller was compiled with.
    pub struct_size: u32,
    /// Line number; 0 if unknown.
    pub line: u32,
    /// Path of the file, NUL-terminated; NULL if unknown.
    pub file: *const c_char,
    /// Bytes of `file` without its NUL.
    pub file_length: u64,
    /// Name of the function, NUL-terminated; NULL if unknown.
    pub function: *const c_char,
    /// Bytes of `function` without its NUL.
    pub function_length: u64,
}

/// Room for one number as text.
#[derive(Clone, Copy)]
enum Number {
    Integer(itoa::Buffer),
    Real(ryu::Buffer),
}

/// Attributes of a call site in front of the caller's.
const SITE_ATTRIBUTES: usize = 3;
/// Calls with few attributes pay for few.
const FEW: usize = 6;
const MANY: usize = codes::LOGDRIVE_ATTRIBUTES_MAX;

type Pair<'a> = (&'a str, &'a [u8]);

/// What C passed: the attributes of one call.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) first: *const Attribute,
    pub(crate) count: usize,
    pub(crate) site: *const CallSite,
}

impl Passed {
    /// Runs `body` with the names and values.
    ///
    /// # Safety
    /// Where not NULL, `first` points to `count` attributes of their `struct_size`, `site` to a call site, and the
    /// texts in them to as many bytes as they say.
    #[inline(always)]
    pub(crate) unsafe fn with<T>(
        self,
        body: impl FnOnce(&[Pair<'_>]) -> Result<T, Code>,
    ) -> Result<T, Code> {
        if self.count == 0 && self.site.is_null() {
            body(&[])
        } else if self.count <= FEW {
            // SAFETY: passed on.
            unsafe { self.with_room::<FEW, { FEW + SITE_ATTRIBUTES }, T>(body) }
        } else {
            // SAFETY: passed on.
            unsafe { self.with_room::<MANY, { MANY + SITE_ATTRIBUTES }, T>(body) }
        }
    }

    /// # Safety
    /// As [`Passed::with`].
    unsafe fn with_room<const N: usize, const PAIRS: usize, T>(
        self,
        body: impl FnOnce(&[Pair<'_>]) -> Result<T, Code>,
    ) -> Result<T, Code> {
        if self.count > N || (self.first.is_null() && self.count > 0) {
            return Err(Code::InvalidArgument);
        }
        let mut numbers = [const { MaybeUninit::<Number>::uninit() }; N];
        let mut line = itoa::Buffer::new();
        let mut pairs: [Pair<'_>; PAIRS] = [("", &[]); PAIRS];
        let mut used = 0;
        // SAFETY: promised by the caller.
        if let Some(site) = unsafe { self.site.as_ref() } {
            // SAFETY: promised by the caller.
            used = unsafe { site.pairs(&mut line, &mut pairs)? };
        }
        let mut next = self.first;
        let mut stride = 0;
        for number in numbers.iter_mut().take(self.count) {
            // SAFETY: the first word of an element of the caller's array; sizes are checked before the rest.
            let size = unsafe { (&raw const (*next).struct_size).read_unaligned() } as usize;
            if size < size_of::<Attribute>() || (stride != 0 && size != stride) {
                return Err(Code::InvalidArgument);
            }
            stride = size;
            // SAFETY: the element is at least as large as ours, and `stride` bytes by the caller's promise.
            let attribute = unsafe {
                arguments::rest_is_zero(next, size)?;
                next.read_unaligned()
            };
            // SAFETY: promised by the caller.
            pairs[used] = unsafe { attribute.pair(number)? };
            used += 1;
            next = next.wrapping_byte_add(stride);
        }
        body(&pairs[..used])
    }
}

impl Attribute {
    /// # Safety
    /// The texts have as many bytes as the attribute says, for as long as `'a`.
    #[inline(always)]
    unsafe fn pair<'a>(self, number: &'a mut MaybeUninit<Number>) -> Result<Pair<'a>, Code> {
        // SAFETY: promised by the caller.
        let name = unsafe { arguments::bytes(self.name, self.name_length as usize)? };
        let is_legal = !name.is_empty() && name.len() <= 0xffff && !name.contains(&0);
        let name = std::str::from_utf8(name).ok().filter(|_| is_legal);
        let name = name.ok_or(Code::InvalidArgument)?;
        let value = match self.kind {
            // SAFETY: promised by the caller.
            codes::LOGDRIVE_KIND_TEXT => unsafe {
                arguments::bytes(self.text, self.text_length as usize)?
            },
            codes::LOGDRIVE_KIND_SIGNED => integer(number, self.integer),
            codes::LOGDRIVE_KIND_UNSIGNED => integer(number, self.integer as u64),
            codes::LOGDRIVE_KIND_REAL => real(number, self.real),
            codes::LOGDRIVE_KIND_BOOLEAN if self.integer == 0 => b"false",
            codes::LOGDRIVE_KIND_BOOLEAN => b"true",
            _unknown => return Err(Code::InvalidArgument),
        };
        Ok((name, value))
    }
}

fn integer(room: &mut MaybeUninit<Number>, value: impl itoa::Integer) -> &[u8] {
    match room.write(Number::Integer(itoa::Buffer::new())) {
        Number::Integer(buffer) => buffer.format(value).as_bytes(),
        Number::Real(_) => &[],
    }
}

fn real(room: &mut MaybeUninit<Number>, value: f64) -> &[u8] {
    match room.write(Number::Real(ryu::Buffer::new())) {
        Number::Real(buffer) => buffer.format(value).as_bytes(),
        Number::Integer(_) => &[],
    }
}

impl CallSite {
    /// Names as in OpenTelemetry's conventions for code: file, line, function.
    ///
    /// # Safety
    /// The texts have as many bytes as the call site says, for as long as `'a`.
    unsafe fn pairs<'a>(
        &'a self,
        line: &'a mut itoa::Buffer,
        pairs: &mut [Pair<'a>],
    ) -> Result<usize, Code> {
        if (self.struct_size as usize) < size_of::<CallSite>() {
            return Err(Code::InvalidArgument);
        }
        // SAFETY: at least as large as ours by the check.
        unsafe { arguments::rest_is_zero(self, self.struct_size as usize)? };
        let mut used = 0;
        let mut add = |name, value: &'a [u8]| {
            if !value.is_empty() {
                pairs[used] = (name, value);
                used += 1;
            }
        };
        // SAFETY: promised by the caller.
        add("code.file.path", unsafe { arguments::bytes(self.file, self.file_length as usize)? });
        if self.line > 0 {
            add("code.line.number", line.format(self.line).as_bytes());
        }
        // SAFETY: promised by the caller.
        let function = unsafe { arguments::bytes(self.function, self.function_length as usize)? };
        add("code.function.name", function);
        Ok(used)
    }
}
