//! The one numbered table of result codes, shared by Rust, C and the docs.
//!
//! Stages have error enums of their own; what leaves the library is mapped to a [`Code`].
//! Invariant: a number is never reused and never changes its meaning; 0 is success.

use std::fmt;

macro_rules! codes {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $number:literal, $name:literal, $text:literal;
    )+) => {
        /// A numbered result; the numbers are part of the ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The stable upper-case name, as in the C header without its prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// One English sentence: what happened and what to do.
            pub const fn text(self) -> &'static str {
                match self { $(Code::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// Success.
    Ok = 0, "OK", "success";
    /// The arena has no room left for this severity (policy `ring.full=refuse`).
    RingFull = 1, "RING_FULL", "the ring arena is full: raise ring.bytes_max, log less, or set ring.full=block";
    /// The record is larger than `record.bytes_max`.
    RecordTooLarge = 2, "RECORD_TOO_LARGE", "the record is larger than record.bytes_max";
    /// The client was closed.
    Closed = 3, "CLOSED", "the client is closed";
    /// A record was logged while the same thread was inside a log call (a signal handler, say).
    Reentrant = 4, "REENTRANT", "logged from inside a log call of the same thread";
    /// An argument was malformed; the message names it.
    InvalidArgument = 5, "INVALID_ARGUMENT", "an argument is malformed";
    /// A configuration name, value or combination is wrong; the message names it.
    Configuration = 6, "CONFIGURATION", "the configuration is wrong";
    /// The deadline passed before everything accepted was acknowledged; nothing is lost by it.
    DeadlineExceeded = 7, "DEADLINE_EXCEEDED", "the deadline passed; the records are still stored";
    /// The operating system refused something; the message has its error.
    Io = 8, "IO", "an operating system call failed";
    /// More streams than `streams_max`.
    TooManyStreams = 9, "TOO_MANY_STREAMS", "too many streams: the limit is 64 per client";
    /// More threads than the arena's directory has rings for.
    TooManyThreads = 10, "TOO_MANY_THREADS", "too many threads log at once: raise ring.threads_max";
    /// A defect of logdrive was caught; it was counted and the host goes on.
    Internal = 11, "INTERNAL", "an internal error was caught; please report it";
    /// A file or mapping is of another version, foreign or damaged; it was set aside.
    Damaged = 12, "DAMAGED", "a file is damaged, foreign or of another version";
    /// Our threads cannot be started now; or a forked child has no rings of its own yet: another thread is making
    /// them, or they cannot be made.
    Starting = 13, "STARTING", "threads or the rings of a forked process are being made; the record was refused";
    /// More than 90 % of the spool is in use: only records of severity WARN and above are admitted (`spool.full`).
    SpoolFull = 14, "SPOOL_FULL", "the spool is nearly full and the record is below WARN: raise spool.bytes_max";
}

impl Code {
    /// The code with this number, if there is one.
    pub fn from_number(number: i32) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The number of the code.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What the public API returns: a [`Code`] with the particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    detail: String,
}

impl Error {
    /// An error with particulars: what, which value, what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The numbered code.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self { code, detail: String::new() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            f.write_str(self.code.text())
        } else {
            f.write_str(&self.detail)
        }
    }
}

impl std::error::Error for Code {}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_contiguous_and_map_back() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.number(), i32::try_from(index).unwrap());
            assert_eq!(Code::from_number(code.number()), Some(*code));
        }
        assert_eq!(Code::from_number(-1), None);
    }
}
