//! What the command prints: results on standard output, remarks on standard error.
//!
//! Whoever reads may leave at any time (`logdrive verify DIR | head -1`): that is no failure of the command,
//! whose exit code says what it found. So nothing here panics, which `println!` does on a closed pipe.

use std::io;
use std::io::Write;

/// Prints a result as it is.
///
/// # Errors
///
/// When standard output cannot be written; that its reader has left is no error.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _printed_or_left => Ok(()),
    }
}

/// Prints a remark as a line of its own.
pub fn remark(text: std::fmt::Arguments<'_>) {
    // A remark that nobody can read is lost; there is no place to complain about it.
    let _unread = writeln!(io::stderr().lock(), "{text}");
}
