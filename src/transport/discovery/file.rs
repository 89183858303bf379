//! A file that lists the receivers, one `host:port` per line; `#` begins a comment.
//!
//! Read anew each time and compared by content: that sees edits, renames over it, and the symbolic links that
//! Kubernetes swaps for a ConfigMap, on every file system.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::PathBuf;

use crate::transport::discovery::DiscoveryError;
use crate::transport::discovery::Hosts;
use crate::transport::discovery::Source;
use crate::transport::discovery::checked;
use crate::transport::host::parse_host;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// See the module's head.
pub struct FileSource {
    path: PathBuf,
}

impl FileSource {
    /// The file need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn read(&self) -> io::Result<String> {
        let mut text = String::new();
        File::open(&self.path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
        }
        Ok(text)
    }
}

impl Source for FileSource {
    fn hosts(&mut self) -> Result<Hosts, DiscoveryError> {
        let path = self.path.display().to_string();
        let text = self.read().map_err(|error| DiscoveryError::File {
            path: path.clone(),
            error,
            max: FILE_BYTES_MAX,
        })?;
        let mut hosts = Hosts::new();
        for (index, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            hosts.push(parse_host(entry).map_err(|error| DiscoveryError::Malformed {
                place: format!("{path}, line {}", index + 1),
                error,
            })?);
        }
        checked(&path, hosts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_each_time_and_refused_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("receivers");
        let mut source = FileSource::new(path.clone());
        let message = |source: &mut FileSource| source.hosts().unwrap_err().to_string();
        assert!(message(&mut source).contains("No such file"));
        std::fs::write(&path, "# ours\n B:1 # first\n\na\n[::1]:7\n").unwrap();
        let expected = [("::1".to_owned(), 7), ("a".to_owned(), 9092), ("b".to_owned(), 1)];
        assert_eq!(source.hosts().unwrap(), expected);
        std::fs::write(&path, "a:1\nb:0\n").unwrap();
        assert!(message(&mut source).contains("line 2: `b:0` has no valid port"));
        std::fs::write(&path, "# nobody\n").unwrap();
        assert!(message(&mut source).contains("lists no host"));
        std::fs::write(&path, "a\n".repeat(40_000)).unwrap();
        assert!(message(&mut source).contains("65536 bytes"));
    }
}
