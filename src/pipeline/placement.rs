//! What the sender learns of topics and the encoder needs when it seals: how many partitions each has, and how large
//! a batch it takes. This table is between them.
//!
//! Keyed records go to the partition of their key, as every Kafka client that follows Java's places it. A batch of
//! keyed records holds one partition's keys only. Where the count is not known yet, it holds the keys of one hash,
//! and the sender places it: [`place`].

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::MutexGuard;
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

/// Topics of which something is remembered; of more, which only adopted spools can have, nothing is.
const TOPICS_MAX: usize = 1024;

/// See the module's head.
#[derive(Debug)]
pub struct Placement {
    /// Whether keys decide where records go: in Kafka mode.
    places_keys: bool,
    by_topic: Mutex<BTreeMap<String, Known>>,
    /// Partitions by stream; 0 for unknown.
    by_stream: [AtomicU32; STREAMS_MAX],
    /// Largest batch by stream.
    bytes_by_stream: [AtomicU32; STREAMS_MAX],
    /// Something was published that was not spread yet.
    has_news: AtomicBool,
}

/// What is known of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// 0 for unknown.
    partition_count: u32,
    batch_bytes_max: u32,
}

impl Placement {
    /// Nothing is known. `places_keys`: whether keys decide where records go.
    pub fn new(places_keys: bool) -> Self {
        Self {
            places_keys,
            by_topic: Mutex::new(BTreeMap::new()),
            by_stream: [const { AtomicU32::new(0) }; STREAMS_MAX],
            bytes_by_stream: [const { AtomicU32::new(u32::MAX) }; STREAMS_MAX],
            has_news: AtomicBool::new(false),
        }
    }

    /// Whether [`Placement::spread`] would tell something new; forgets it.
    pub fn take_news(&self) -> bool {
        // AcqRel: partner is `publish`; the lock orders the counts themselves.
        self.has_news.swap(false, Ordering::AcqRel)
    }

    /// Whether keys decide where records go.
    pub fn places_keys(&self) -> bool {
        self.places_keys
    }

    /// The topic has so many partitions.
    pub fn publish(&self, topic: &str, partition_count: u32) {
        self.learn(topic, |known| known.partition_count = partition_count);
    }

    /// The topic did not take a batch of so many bytes: half of that is the limit from now on, as long as no smaller
    /// one is refused. So it is never below half of the true one.
    pub fn learn_refused_bytes(&self, topic: &str, bytes: usize) {
        let half = u32::try_from(bytes / 2).unwrap_or(u32::MAX);
        self.learn(topic, |known| known.batch_bytes_max = known.batch_bytes_max.min(half));
    }

    /// Bytes of the largest batch that the topic is expected to take.
    pub fn batch_bytes_max(&self, topic: &str) -> usize {
        self.lock().get(topic).map_or(u32::MAX, |known| known.batch_bytes_max) as usize
    }

    /// The same by stream, for the encoder.
    pub fn stream_bytes_max(&self, stream: StreamId) -> usize {
        // Relaxed: a number on its own; a batch above it is divided when it is refused.
        let bytes = self.bytes_by_stream.get(usize::from(stream.0));
        bytes.map_or(u32::MAX, |bytes| bytes.load(Ordering::Relaxed)) as usize
    }

    /// The least of the limits of all streams.
    pub fn smallest_bytes_max(&self) -> usize {
        // Relaxed: as above.
        let all = self.bytes_by_stream.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        all.min().unwrap_or(u32::MAX) as usize
    }

    /// Lets the encoder know what is known; `topics` are the names of the streams.
    pub fn spread(&self, topics: &[String]) {
        let by_topic = self.lock();
        for (stream, topic) in topics.iter().enumerate().take(STREAMS_MAX) {
            let Some(known) = by_topic.get(topic) else { continue };
            // Relaxed: numbers on their own; who reads an old count places by hash.
            self.by_stream[stream].store(known.partition_count, Ordering::Relaxed);
            self.bytes_by_stream[stream].store(known.batch_bytes_max, Ordering::Relaxed);
        }
    }

    fn learn(&self, topic: &str, note: impl FnOnce(&mut Known)) {
        let mut by_topic = self.lock();
        let unknown = Known { partition_count: 0, batch_bytes_max: u32::MAX };
        let before = by_topic.get(topic).copied();
        if before.is_none() && by_topic.len() >= TOPICS_MAX {
            return;
        }
        let mut known = before.unwrap_or(unknown);
        note(&mut known);
        if before != Some(known) {
            by_topic.insert(topic.to_owned(), known);
            // Release: partner is `take_news`.
            self.has_news.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // A poisoned lock guards a table that is valid at every step.
        self.by_topic.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (early, late) = (Placement::new(true), Placement::new(true));
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

    #[test]
    fn a_learned_limit_reaches_the_encoder_and_is_never_below_half_of_the_true_one() {
        let topics = ["other".to_owned(), "topic".to_owned()];
        let placement = Placement::new(false);
        assert_eq!(placement.smallest_bytes_max(), u32::MAX as usize);
        placement.learn_refused_bytes("topic", 100_001);
        placement.learn_refused_bytes("topic", 300_000);
        assert!(placement.take_news());
        placement.spread(&topics);
        assert_eq!(placement.batch_bytes_max("topic"), 50_000);
        assert_eq!(placement.stream_bytes_max(StreamId(1)), 50_000);
        assert_eq!(placement.stream_bytes_max(StreamId(0)), u32::MAX as usize);
        assert_eq!(placement.smallest_bytes_max(), 50_000);
    }
}
