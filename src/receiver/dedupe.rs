//! The window of batches that were stored lately, for answering an exact repeat without storing it.
//!
//! A repeat is the same (producer id, epoch, base sequence, last sequence), as in Kafka's
//! `ProducerStateEntry`. Gaps are no matter: a fleet of receivers shares one sequence space, so
//! each sees only some of it. What falls out of the window is stored again and dropped by the
//! readers.
//!
//! Invariant: holds at most `producers_max` producers of `batches_max` batches each, 24 bytes
//! apiece.

use std::collections::HashMap;
use std::collections::VecDeque;

use crate::batch::Header;

/// What a producer calls a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerBatch {
    /// Producer id, 0 or more.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence of the first record.
    pub base_sequence: i32,
    /// Sequence of the last record.
    pub last_sequence: i32,
}

impl ProducerBatch {
    /// What the producer of a batch with this header calls it; none if it is not idempotent.
    pub fn of(header: &Header) -> Option<Self> {
        (header.producer_id >= 0).then(|| Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_sequence: last_sequence(header.base_sequence, header.last_offset_delta),
        })
    }
}

/// Sequences wrap from 2^31 - 1 to 0.
fn last_sequence(base_sequence: i32, last_offset_delta: i32) -> i32 {
    base_sequence.wrapping_add(last_offset_delta) & i32::MAX
}

#[derive(Clone, Copy)]
struct Stored {
    base_offset: u64,
    base_sequence: i32,
    last_sequence: i32,
    epoch: i16,
}

#[derive(Default)]
struct Producer {
    last_used: u64,
    /// The epoch seen last, and the highest base sequence that was ever stored under it: a batch
    /// above it is new, which spares the search for all batches that come in order.
    epoch: i16,
    highest_base_sequence: i32,
    batches: VecDeque<Stored>,
}

/// The window of one receiver over all partitions.
pub struct DedupeWindow {
    producers: HashMap<(usize, i64), Producer>,
    producers_max: usize,
    batches_max: usize,
    uses: u64,
}

impl DedupeWindow {
    /// A window of `batches_max` batches for each of `producers_max` pairs of producer and
    /// partition.
    pub fn new(producers_max: usize, batches_max: usize) -> Self {
        Self { producers: HashMap::new(), producers_max, batches_max, uses: 0 }
    }

    /// The offset under which `batch` was stored in `partition`, if it is in the window.
    pub fn find(&self, partition: usize, batch: &ProducerBatch) -> Option<u64> {
        let producer = self.producers.get(&(partition, batch.producer_id))?;
        if batch.epoch == producer.epoch && batch.base_sequence > producer.highest_base_sequence {
            return None;
        }
        producer
            .batches
            .iter()
            .rev()
            .find(|stored| stored.is(batch))
            .map(|stored| stored.base_offset)
    }

    /// Remembers that `batch` was stored in `partition` at `base_offset`.
    pub fn insert(&mut self, partition: usize, batch: &ProducerBatch, base_offset: u64) {
        self.uses += 1;
        let key = (partition, batch.producer_id);
        if !self.producers.contains_key(&key) && self.producers.len() >= self.producers_max {
            self.forget_the_longest_unused();
        }
        let producer = self.producers.entry(key).or_default();
        producer.last_used = self.uses;
        if producer.batches.is_empty() || producer.epoch != batch.epoch {
            producer.epoch = batch.epoch;
            producer.highest_base_sequence = producer.highest_of(batch.epoch);
        }
        producer.highest_base_sequence = producer.highest_base_sequence.max(batch.base_sequence);
        if producer.batches.len() == self.batches_max {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Stored {
            base_offset,
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence,
            epoch: batch.epoch,
        });
    }

    /// Forgets what was stored in `partition` at `base_offset` or above: it did not become durable.
    pub fn forget_from(&mut self, partition: usize, base_offset: u64) {
        for ((of, _), producer) in &mut self.producers {
            if *of == partition {
                producer.batches.retain(|stored| stored.base_offset < base_offset);
            }
        }
    }

    fn forget_the_longest_unused(&mut self) {
        let oldest = self.producers.iter().min_by_key(|(_, producer)| producer.last_used);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.producers.remove(&key);
        }
    }
}

impl Producer {
    fn highest_of(&self, epoch: i16) -> i32 {
        let of_epoch = self.batches.iter().filter(|stored| stored.epoch == epoch);
        of_epoch.map(|stored| stored.base_sequence).max().unwrap_or(-1)
    }
}

impl Stored {
    fn is(&self, batch: &ProducerBatch) -> bool {
        self.epoch == batch.epoch
            && self.base_sequence == batch.base_sequence
            && self.last_sequence == batch.last_sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(producer_id: i64, epoch: i16, base_sequence: i32) -> ProducerBatch {
        ProducerBatch { producer_id, epoch, base_sequence, last_sequence: base_sequence + 9 }
    }

    #[test]
    fn only_an_exact_repeat_is_one() {
        let mut window = DedupeWindow::new(4, 8);
        window.insert(0, &batch(7, 0, 100), 5);
        assert_eq!(window.find(0, &batch(7, 0, 100)), Some(5));
        assert_eq!(window.find(1, &batch(7, 0, 100)), None, "another partition");
        assert_eq!(window.find(0, &batch(8, 0, 100)), None, "another producer");
        assert_eq!(window.find(0, &batch(7, 1, 100)), None, "another epoch");
        assert_eq!(window.find(0, &batch(7, 0, 90)), None, "another sequence");
        let longer = ProducerBatch { last_sequence: 110, ..batch(7, 0, 100) };
        assert_eq!(window.find(0, &longer), None, "another last sequence");
    }

    #[test]
    fn gaps_disorder_and_epochs_that_come_back_are_found() {
        let mut window = DedupeWindow::new(4, 8);
        for (offset, (epoch, base)) in
            [(0, 500), (0, 20), (1, 0), (0, 40), (1, 30)].into_iter().enumerate()
        {
            window.insert(0, &batch(7, epoch, base), offset as u64);
        }
        for (offset, (epoch, base)) in
            [(0, 500), (0, 20), (1, 0), (0, 40), (1, 30)].into_iter().enumerate()
        {
            assert_eq!(window.find(0, &batch(7, epoch, base)), Some(offset as u64));
        }
    }

    #[test]
    fn both_bounds_hold_and_the_oldest_go_first() {
        let mut window = DedupeWindow::new(2, 3);
        for n in 0..5 {
            window.insert(0, &batch(1, 0, n * 10), n as u64);
        }
        assert_eq!(window.find(0, &batch(1, 0, 10)), None);
        assert_eq!(window.find(0, &batch(1, 0, 20)), Some(2));
        window.insert(0, &batch(2, 0, 0), 9);
        window.insert(0, &batch(3, 0, 0), 9);
        assert_eq!(window.producers.len(), 2);
        assert_eq!(window.find(0, &batch(1, 0, 40)), None, "the longest unused producer went");
    }

    #[test]
    fn what_did_not_become_durable_is_forgotten() {
        let mut window = DedupeWindow::new(2, 3);
        window.insert(0, &batch(1, 0, 0), 0);
        window.insert(0, &batch(1, 0, 10), 10);
        window.insert(1, &batch(1, 0, 10), 10);
        window.forget_from(0, 10);
        assert_eq!(window.find(0, &batch(1, 0, 0)), Some(0));
        assert_eq!(window.find(0, &batch(1, 0, 10)), None);
        assert_eq!(window.find(1, &batch(1, 0, 10)), Some(10));
    }
}
