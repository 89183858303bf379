//! Reading a small file that may hold a secret: bounded, and wiped from memory when dropped.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

/// A bundle of all public authorities is about 230 KiB.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a file was not read. Holds no byte of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot read {path}: {reason}")]
pub struct Unreadable {
    path: String,
    reason: String,
}

/// Reads the whole file; blocks as reading a file does.
///
/// # Errors
/// Where the system refuses, or the file is larger than [`FILE_BYTES_MAX`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
    let unreadable = |reason: String| Unreadable { path: path.display().to_string(), reason };
    let refused = |error: io::Error| unreadable(error.to_string());
    let file = File::open(path).map_err(refused)?;
    // Sized at once: a vector that grows leaves copies of a secret behind.
    let announced = file.metadata().map_or(0, |metadata| metadata.len()).min(FILE_BYTES_MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(announced as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
