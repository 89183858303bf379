//! How a receiver's directory is laid out: the one place that knows its names.
//!
//! ```text
//! <dir>/lock                                   held by the receiver that writes here
//! <dir>/<topic>-<partition>/<offset>.log       segments; the name is their first offset, 20 digits
//! <dir>/<topic>-<partition>/<offset>.log.torn  what a restart cut off a torn segment; never read
//! <dir>/<topic>-<partition>/<offset>.log.doubt its sync failed, so nobody knows what of it is on the disk; empty
//! ```
//!
//! A segment holds Kafka record batches back to back and nothing else, so Kafka's own
//! `DumpLogSegments` reads it. Must not know who writes the files or why.
//!
//! Invariant: a topic that [`check_topic`] lets pass is a plain file name below 256 bytes with no
//! separator in it, so no name from the wire can point outside of the directory.

use std::path::Path;
use std::path::PathBuf;

/// Longest topic name in bytes: Kafka's limit (`Topic.MAX_NAME_LENGTH`), which leaves room for
/// `-0.log`.
pub const TOPIC_BYTES_MAX: usize = 249;

/// Name of the file that a receiver locks in its directory.
pub const LOCK_FILE: &str = "lock";

const SEGMENT_SUFFIX: &str = ".log";
const OFFSET_DIGITS: usize = 20;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// A name that [`check_topic`] accepts.
    pub topic: String,
    /// The partition, from 0.
    pub partition: u32,
}

/// Whether `topic` is a legal topic name by Kafka's rule: `[a-zA-Z0-9._-]{1,249}`, not `.` or `..`.
pub fn check_topic(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= TOPIC_BYTES_MAX
        && topic != "."
        && topic != ".."
        && topic.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl TopicPartition {
    /// The name of the partition's directory.
    pub fn directory_name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }

    /// The partition whose directory has this name, if it is one that we would have written.
    pub fn parse(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        let found = Self { topic: topic.to_owned(), partition: partition.parse().ok()? };
        (check_topic(topic) && found.directory_name() == name).then_some(found)
    }
}

/// The name of the segment whose first batch has this offset.
pub fn segment_name(base_offset: u64) -> String {
    format!("{base_offset:0OFFSET_DIGITS$}{SEGMENT_SUFFIX}")
}

/// What a restart cut off the segment at `path`.
pub fn torn_path(path: &Path) -> PathBuf {
    suffixed(path, ".torn")
}

/// What says that a sync of the segment at `path` failed.
pub fn doubt_path(path: &Path) -> PathBuf {
    suffixed(path, ".doubt")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The first offset of the segment with this name, if it is one that we would have written.
pub fn parse_segment_name(name: &str) -> Option<u64> {
    let base_offset = name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?;
    (segment_name(base_offset) == name).then_some(base_offset)
}

/// Partitions in a receiver's directory, sorted by name. Everything else in it is passed over. One of them may be a
/// symbolic link to a directory elsewhere, on a larger disk.
///
/// # Errors
/// When the directory cannot be listed.
pub fn partitions(dir: &Path) -> std::io::Result<Vec<TopicPartition>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let parsed = entry.file_name().to_str().and_then(TopicPartition::parse);
        if let Some(partition) = parsed
            && entry.path().is_dir()
        {
            found.push(partition);
        }
    }
    found.sort();
    Ok(found)
}

/// A segment file and the offset in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Offset of the segment's first record.
    pub base_offset: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Segments in a partition's directory, by rising offset. Everything else in it is passed over.
///
/// # Errors
/// When the directory cannot be listed.
pub fn segments(partition_dir: &Path) -> std::io::Result<Vec<SegmentFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(partition_dir)? {
        let entry = entry?;
        let parsed = entry.file_name().to_str().and_then(parse_segment_name);
        if let Some(base_offset) = parsed
            && entry.file_type()?.is_file()
        {
            found.push(SegmentFile { base_offset, path: entry.path() });
        }
    }
    found.sort_by_key(|segment| segment.base_offset);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_s_rule_for_topic_names() {
        for good in ["a", "app-logs", "a.b_c-1", "...", &"x".repeat(249)] {
            assert!(check_topic(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../x", "a b", "a\0", "é", &"x".repeat(250)] {
            assert!(!check_topic(bad), "{bad}");
        }
    }

    #[test]
    fn directory_names_map_back_and_no_other_name_does() {
        let partition = TopicPartition { topic: "app-logs-7".into(), partition: 12 };
        assert_eq!(partition.directory_name(), "app-logs-7-12");
        assert_eq!(TopicPartition::parse("app-logs-7-12"), Some(partition));
        for bad in ["lock", "-0", "a-", "a-01", "a-+1", "a--1x", "..-0", "a/b-0"] {
            assert_eq!(TopicPartition::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn segment_names_map_back_and_no_other_name_does() {
        assert_eq!(segment_name(42), "00000000000000000042.log");
        assert_eq!(parse_segment_name("00000000000000000042.log"), Some(42));
        for bad in ["42.log", "00000000000000000042.log.torn", "00000000000000000042", ".log"] {
            assert_eq!(parse_segment_name(bad), None, "{bad}");
        }
    }
}
