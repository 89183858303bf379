//! Where everything goes that was not understood: moved or copied, never deleted.
//!
//! Owns `quarantine/` in the spool's directory. Whole files are moved, which takes no space; damaged
//! ranges are copied before their segment is used again, up to a bound.

use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::sys::file;

/// Name of the directory.
pub const QUARANTINE_DIR: &str = "quarantine";

/// The most bytes of damaged ranges that are kept: enough for several whole segments.
const BYTES_MAX: u64 = 64 << 20;

/// How many files of one name are kept beside each other.
const NAMESAKES_MAX: u32 = 1000;

/// The quarantine of one spool; the directory is created when it is first needed.
#[derive(Debug)]
pub struct Quarantine {
    dir: PathBuf,
    bytes_left: u64,
}

impl Quarantine {
    /// Of the spool in `spool_dir`, which may grow to `spool_bytes_max`; what is there counts.
    pub fn of(spool_dir: &Path, spool_bytes_max: u64) -> Self {
        let dir = spool_dir.join(QUARANTINE_DIR);
        let used: u64 = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.metadata().ok())
            .map(|metadata| metadata.len())
            .sum();
        Self { dir, bytes_left: BYTES_MAX.min(spool_bytes_max / 4).saturating_sub(used) }
    }

    /// Moves a file in and says where it is.
    ///
    /// # Errors
    ///
    /// What the system says; the file is then where it was.
    pub fn take(&mut self, path: &Path) -> io::Result<PathBuf> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = self.free_path(&name)?;
        fs::rename(path, &target)?;
        Ok(target)
    }

    /// Keeps a copy of the bytes at `offset` of segment `number`, while the bound allows.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep(&mut self, number: u64, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let Some(bytes_left) = self.bytes_left.checked_sub(bytes.len() as u64) else {
            return Ok(());
        };
        let path = self.free_path(&format!("{number:020}-{offset}.bytes"))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        self.bytes_left = bytes_left;
        Ok(())
    }

    fn free_path(&self, name: &str) -> io::Result<PathBuf> {
        file::create_private_directory(&self.dir)?;
        (0..NAMESAKES_MAX)
            .map(|n| self.dir.join(if n == 0 { name.to_owned() } else { format!("{name}.{n}") }))
            .find(|path| fs::symlink_metadata(path).is_err())
            .ok_or_else(|| io::Error::other(format!("{NAMESAKES_MAX} files named {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_stays_and_copies_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut quarantine = Quarantine::of(dir.path(), 400);
        for content in ["first", "second"] {
            let path = dir.path().join("odd.seg");
            fs::write(&path, content).unwrap();
            let target = quarantine.take(&path).unwrap();
            assert_eq!(fs::read_to_string(target).unwrap(), content);
            assert!(!path.exists());
        }
        quarantine.keep(3, 4096, &[1; 60]).unwrap();
        quarantine.keep(4, 4096, &[2; 41]).unwrap();
        let kept = dir.path().join(QUARANTINE_DIR).join("00000000000000000003-4096.bytes");
        assert_eq!(fs::read(kept).unwrap(), [1; 60]);
        assert_eq!(fs::read_dir(dir.path().join(QUARANTINE_DIR)).unwrap().count(), 3);
        assert_eq!(Quarantine::of(dir.path(), 400).bytes_left, 400 / 4 - 60 - 11);
    }
}
