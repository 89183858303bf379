//! Where keyed records go: the partition of a key, as every Kafka client that follows Java's places it.
//!
//! The sender learns how many partitions a topic has, the encoder needs it when it seals: this table is between
//! them. A batch of keyed records holds one partition's keys only. Where the count is not known yet, it holds the
//! keys of one hash, and the sender places it: [`place`].

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use crate::ids::StreamId;
use crate::proto::kafka::murmur2::murmur2;

/// Streams at most: the size of an arena's directory of them.
pub const STREAMS_MAX: usize = 64;

/// A batch that may go to any partition.
pub const ANY: i32 = -1;

/// See the module's head.
#[derive(Debug)]
pub struct Placement {
    by_topic: Mutex<BTreeMap<String, u32>>,
    /// Partitions by stream; 0 for unknown.
    by_stream: [AtomicU32; STREAMS_MAX],
    /// Something was published that was not spread yet.
    has_news: AtomicBool,
}

impl Placement {
    /// Nothing is known.
    pub fn new() -> Self {
        Self {
            by_topic: Mutex::new(BTreeMap::new()),
            by_stream: [const { AtomicU32::new(0) }; STREAMS_MAX],
            has_news: AtomicBool::new(false),
        }
    }

    /// Whether [`Placement::spread`] would tell something new; forgets it.
    pub fn take_news(&self) -> bool {
        // AcqRel: partner is `publish`; the lock orders the counts themselves.
        self.has_news.swap(false, Ordering::AcqRel)
    }

    /// The topic has so many partitions.
    pub fn publish(&self, topic: &str, partition_count: u32) {
        let mut by_topic = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        if by_topic.insert(topic.to_owned(), partition_count) != Some(partition_count) {
            // Release: partner is `take_news`.
            self.has_news.store(true, Ordering::Release);
        }
    }

    /// Lets the encoder know what is known; `topics` are the names of the streams.
    pub fn spread(&self, topics: &[String]) {
        let by_topic = self.by_topic.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, count) in topics.iter().zip(&self.by_stream) {
            // Relaxed: a number on its own; who reads the old one places by hash.
            count.store(by_topic.get(topic).copied().unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// What the batch of a record with this key is marked with: its partition, or the key's hash.
    pub fn mark_of(&self, stream: StreamId, key: &[u8]) -> i32 {
        let hash = (murmur2(key) & POSITIVE).cast_signed();
        // Relaxed: as in `spread`.
        let count = self.by_stream.get(usize::from(stream.0));
        let count = count.map_or(0, |count| count.load(Ordering::Relaxed));
        match NonZeroU32::new(count) {
            Some(count) => (hash.cast_unsigned() % count).cast_signed(),
            // Whatever the count, this one's partition is 0; its mark would be that of any partition.
            None if hash == 0 => 0,
            None => ANY - hash,
        }
    }
}

/// The partition that a batch's mark stands for; none for any. A hash needs the topic's count.
pub fn place(mark: i32, partition_count: Option<NonZeroU32>) -> Result<Option<i32>, CountUnknown> {
    match mark {
        ANY => Ok(None),
        0.. => Ok(Some(mark)),
        _ => {
            let count = partition_count.ok_or(CountUnknown)?;
            Ok(Some((mark.abs_diff(ANY) % count).cast_signed()))
        }
    }
}

/// The batch cannot be placed before the number of the topic's partitions is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountUnknown;

/// Java's `toPositive`.
const POSITIVE: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::kafka::murmur2::partition_of;

    #[test]
    fn a_key_has_one_partition_whether_the_count_is_known_early_or_late() {
        let topics = ["other".to_owned(), "topic".to_owned()];
        let count = NonZeroU32::new(7).unwrap();
        let (early, late) = (Placement::new(), Placement::new());
        early.publish("topic", 7);
        early.spread(&topics);
        for number in 0..1_000 {
            let key = format!("key {number}");
            let expected = partition_of(key.as_bytes(), count).cast_signed();
            assert_eq!(early.mark_of(StreamId(1), key.as_bytes()), expected);
            let mark = late.mark_of(StreamId(1), key.as_bytes());
            assert!(mark < ANY);
            assert_eq!(place(mark, Some(count)), Ok(Some(expected)));
            assert_eq!(place(mark, None), Err(CountUnknown));
            assert_eq!(place(expected, None), Ok(Some(expected)), "placed already");
        }
        assert_eq!(place(ANY, None), Ok(None));
        assert_eq!(place(i32::MIN, Some(count)), Ok(Some((i32::MAX.cast_unsigned() % 7) as i32)));
    }
}
