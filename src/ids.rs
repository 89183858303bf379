//! Newtypes that every stage may use: who a batch is, which ring, which moment.
//!
//! Owns no behaviour beyond conversion and display. Knows nothing of any stage.

use std::fmt;
use std::time::Duration;

/// The 128-bit random identity of one process's run; also the name of its slot.
///
/// A restarted or forked process takes a new one, so `(instance, record number)` never repeats.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(pub [u8; 16]);

impl InstanceId {
    /// Parses the 32 lower-case hexadecimal digits that [`fmt::Display`] prints.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a batch is called for ever: survives retries, rebinding, relays and Kafka itself (I11).
///
/// It travels as a record header on the batch's first record. Record numbers count every record of
/// an instance in the order in which it was committed, over all streams, from 0, without holes:
/// so a reader finds gaps and duplicates from the ranges alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchIdentity {
    /// The process's run that wrote the batch.
    pub instance: InstanceId,
    /// Number of the batch within its instance; unique, rising, not necessarily contiguous.
    pub batch: u64,
    /// Number of the first record in the batch.
    pub first_record: u64,
    /// How many records the batch holds.
    pub record_count: u32,
}

/// Index of a ring in its arena's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RingId(pub u32);

/// Index of a stream (a topic with its defaults) in its arena's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

/// How far a ring has been consumed: every byte below `position` is in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPosition {
    /// The ring.
    pub ring: RingId,
    /// Logical byte position; rises for ever, never wraps.
    pub position: u64,
}

/// One connection slot of the sender. A lane keeps its id when it is rebound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

/// One place that takes batches: a receiver's name and port, or a Kafka broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

/// A reading of the monotonic clock: nanoseconds since an arbitrary start.
///
/// Sans-IO code takes it as an argument, so that tests can run in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The time from `earlier` to `self`; zero where `earlier` is the later one.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self` plus `delay`, saturating.
    pub fn after(self, delay: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_id_round_trips_through_its_text() {
        let id = InstanceId([0xab; 16]);
        assert_eq!(InstanceId::parse(&id.to_string()), Some(id));
        assert_eq!(InstanceId::parse("AB"), None);
        assert_eq!(InstanceId::parse(&"AB".repeat(16)), None, "upper case is not what we print");
    }

    #[test]
    fn moments_saturate() {
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
        assert_eq!(Moment(u64::MAX).after(Duration::from_secs(1)), Moment(u64::MAX));
    }
}
