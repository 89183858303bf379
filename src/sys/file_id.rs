//! Which file it is, for telling a file from its copy: the bytes are the same, this is not.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// Names one file of this machine, as long as it exists; all zero names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileId(pub [u8; 16]);

impl FileId {
    /// Of the file with this metadata.
    pub fn of(metadata: &Metadata) -> Self {
        // The number of a removed file is given again; the time at which it was made is not, and no copy keeps it. A
        // file system that does not know it (tmpfs before Linux 5.18) is told apart by its own number, which may be
        // another one after a reboot: then an original is taken for a copy.
        let made = metadata.created().ok();
        let made = made.and_then(|made| made.duration_since(SystemTime::UNIX_EPOCH).ok());
        let rest = made.map_or(metadata.dev(), |made| made.as_nanos() as u64);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&metadata.ino().to_le_bytes());
        bytes[8..].copy_from_slice(&rest.to_le_bytes());
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn id(path: &Path) -> FileId {
        FileId::of(&fs::metadata(path).unwrap())
    }

    #[test]
    fn a_file_keeps_it_under_another_name_and_a_copy_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let [path, moved] = ["path", "moved"].map(|name| dir.path().join(name));
        fs::write(&path, b"bytes").unwrap();
        let original = id(&path);
        fs::rename(&path, &moved).unwrap();
        fs::write(&moved, b"others").unwrap();
        assert_eq!(id(&moved), original);
        fs::copy(&moved, &path).unwrap();
        assert_ne!(id(&path), original);
        fs::remove_file(&moved).unwrap();
        fs::copy(&path, &moved).unwrap();
        assert_ne!(id(&moved), original, "whatever number it got");
    }
}
