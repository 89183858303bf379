//! Losses, reported to whoever reads the records: which numbers, how many, why.
//!
//! A batch that was given up leaves a hole in the record numbers. The next group carries a record of
//! our own that names it, so that `verify` and every reader know the hole for what it is. Ranges of one
//! cause that touch are merged, and a range that grew is reported again as a whole. A report is a record like
//! others: where it may be among records that are lost later, what it said is news again. Bounded: beyond
//! [`RANGES_MAX`] the oldest range is reported no more. Losses of adopted slots are reported too, under the instance
//! that logged the records. A relay also asks for the causes, of more ranges: [`CAUSES_MAX`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::ops::RangeInclusive;

use crate::ids::InstanceId;
use crate::ids::StreamId;
use crate::record::Record;
use crate::record::Severity;
use crate::ring::Slice;
use crate::spool;
use crate::spool::DropReason;

/// Attribute, and so record header, with the range: u64 first record, u64 count, u32 cause, big-endian, then the 16
/// bytes of the instance whose records they were.
pub const LOSS_NAME: &str = "logdrive.loss";
/// Ranges that are remembered to be merged with later ones.
const RANGES_MAX: usize = 64;

/// Ranges of our own whose cause is remembered, about 1 MiB: a producer may ask a relay for its batch late, when
/// many others were refused. Whose cause is forgotten has to be sent again, though it may have been delivered.
const CAUSES_MAX: usize = 1 << 14;

/// The number of the cause [`Cause::Damaged`]; below are the spool's drop reasons.
const DAMAGED: u32 = spool::DROP_REASONS_MAX as u32;

/// Why records were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// They were given up.
    Dropped(DropReason),
    /// Their stored bytes were unreadable.
    Damaged,
}

impl Cause {
    fn number(self) -> u32 {
        match self {
            Cause::Dropped(reason) => reason as u32,
            Cause::Damaged => DAMAGED,
        }
    }

    /// The name under which it is counted.
    pub fn text(self) -> &'static str {
        match self {
            Cause::Dropped(reason) => reason.name(),
            Cause::Damaged => "damaged",
        }
    }
}

/// Records that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Who logged them.
    pub instance: InstanceId,
    /// Number of the first one within the instance.
    pub first_record: u64,
    /// How many.
    pub count: u64,
    /// Why.
    pub cause: Cause,
}

impl Loss {
    fn end(&self) -> u64 {
        self.first_record + self.count
    }
}

/// Whether a range is to be reported.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Untold,
    /// By a record of our own that has one of these numbers.
    Told(Range<u64>),
}

/// The losses of one process and of the slots that it adopted, merged, and which of them are news.
#[derive(Debug)]
pub struct Losses {
    own: InstanceId,
    ranges: Vec<(Loss, News)>,
    /// By the first number of a range of our own: its end, and why it was lost. They do not overlap.
    causes: BTreeMap<u64, (u64, Cause)>,
    /// Where the last range of our own ends whose cause is remembered no more.
    forgotten_end: u64,
}

impl Losses {
    /// None yet of the process whose slot has this instance.
    pub fn new(own: InstanceId) -> Self {
        Self { own, ranges: Vec::new(), causes: BTreeMap::new(), forgotten_end: 0 }
    }

    /// Notes a loss.
    pub fn add(&mut self, mut loss: Loss) {
        if loss.instance == self.own {
            self.note_cause(&loss);
            let is_lost =
                |told: &Range<u64>| told.start < loss.end() && loss.first_record < told.end;
            for (_, news) in &mut self.ranges {
                if matches!(news, News::Told(told) if is_lost(told)) {
                    *news = News::Untold;
                }
            }
        }
        self.ranges.retain(|(known, _)| {
            let touches = (known.instance, known.cause) == (loss.instance, loss.cause)
                && known.first_record <= loss.end()
                && loss.first_record <= known.end();
            if touches {
                let end = known.end().max(loss.end());
                loss.first_record = known.first_record.min(loss.first_record);
                loss.count = end - loss.first_record;
            }
            !touches
        });
        if self.ranges.len() == RANGES_MAX {
            self.ranges.remove(0);
        }
        self.ranges.push((loss, News::Untold));
    }

    fn note_cause(&mut self, loss: &Loss) {
        let (first, mut end) = (loss.first_record, loss.end());
        while let Some((&within, &(its_end, _))) = self.causes.range(first..end).next() {
            self.causes.remove(&within);
            end = end.max(its_end);
        }
        match self.causes.range_mut(..first).next_back() {
            Some((_, (before, cause))) if *cause == loss.cause && *before >= first => {
                *before = end.max(*before);
            }
            Some((_, (before, _))) if *before >= end => {}
            Some(_) | None => {
                self.causes.insert(first, (end, loss.cause));
            }
        }
        if self.causes.len() > CAUSES_MAX
            && let Some((_, (oldest_end, _))) = self.causes.pop_first()
        {
            self.forgotten_end = self.forgotten_end.max(oldest_end);
        }
    }

    /// Why the record of our own with this number was lost, if it was and is remembered.
    pub fn cause_of(&self, number: u64) -> Option<Cause> {
        let (_, (end, cause)) = self.causes.range(..=number).next_back()?;
        (number < *end).then_some(*cause)
    }

    /// Whether the record of our own with this number is known to be lost only if [`Losses::cause_of`] says so.
    pub fn remembers(&self, number: u64) -> bool {
        number >= self.forgotten_end
    }

    /// Whether there is something to report.
    pub fn is_news(&self) -> bool {
        self.ranges.iter().any(|(_, news)| *news == News::Untold)
    }

    /// Appends a record for each range that is news; says how many. The number of the first of them will be in
    /// `first_number`, which may be too large, never too small.
    pub fn report(
        &mut self,
        slice: &mut Slice,
        ticks: u64,
        first_number: RangeInclusive<u64>,
    ) -> u32 {
        let told = *first_number.start()..first_number.end() + RANGES_MAX as u64;
        let mut reports = 0;
        for (loss, news) in self.ranges.iter_mut().filter(|(_, news)| *news == News::Untold) {
            *news = News::Told(told.clone());
            reports += 1;
            let body = format!(
                "logdrive: {} records from number {} of {} were lost ({})",
                loss.count,
                loss.first_record,
                loss.instance,
                loss.cause.text()
            );
            let mut value = [0; 36];
            value[..8].copy_from_slice(&loss.first_record.to_be_bytes());
            value[8..16].copy_from_slice(&loss.count.to_be_bytes());
            value[16..20].copy_from_slice(&loss.cause.number().to_be_bytes());
            value[20..].copy_from_slice(&loss.instance.0);
            slice.push(&Record {
                severity: Severity::Error,
                stream: StreamId(0),
                ticks,
                key: None,
                attributes: &[(LOSS_NAME, &value)],
                body: body.as_bytes(),
            });
        }
        reports
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordView;

    fn loss(first_record: u64, count: u64) -> Loss {
        let cause = Cause::Dropped(DropReason::Quota);
        Loss { instance: InstanceId([1; 16]), first_record, count, cause }
    }

    fn reported(losses: &mut Losses) -> Vec<(u64, u64)> {
        let mut slice = Slice::default();
        let reports = losses.report(&mut slice, 1, 1_000..=1_100);
        assert_eq!(slice.records(), reports);
        let values = slice.encoded_records().map(|bytes| {
            let record = RecordView::parse(bytes).unwrap();
            let (name, value) = record.attribute_pairs().next().unwrap();
            assert_eq!((name, value.len()), (LOSS_NAME.as_bytes(), 36));
            let number = |at: usize| u64::from_be_bytes(value[at..at + 8].try_into().unwrap());
            (number(0), number(8))
        });
        values.collect()
    }

    #[test]
    fn neighbours_are_merged_and_reported_again_as_a_whole() {
        let mut losses = Losses::new(InstanceId([1; 16]));
        losses.add(loss(0, 10));
        losses.add(loss(20, 5));
        assert_eq!(reported(&mut losses), [(0, 10), (20, 5)]);
        assert!(!losses.is_news());
        assert_eq!(reported(&mut losses), []);
        losses.add(loss(10, 10));
        assert_eq!(reported(&mut losses), [(0, 25)]);
        losses.add(Loss { cause: Cause::Damaged, ..loss(25, 1) });
        losses.add(Loss { instance: InstanceId([2; 16]), ..loss(25, 1) });
        assert_eq!(reported(&mut losses), [(25, 1), (25, 1)], "other causes, other instances");
    }

    #[test]
    fn what_a_lost_report_said_is_news_again() {
        let mut losses = Losses::new(InstanceId([1; 16]));
        let other = Loss { instance: InstanceId([2; 16]), ..loss(7, 1) };
        let damage =
            |first_record, count| Loss { cause: Cause::Damaged, ..loss(first_record, count) };
        losses.add(loss(0, 10));
        losses.add(other);
        assert_eq!(reported(&mut losses), [(0, 10), (7, 1)]);
        losses.add(damage(900, 100));
        assert_eq!(reported(&mut losses), [(900, 100)], "before the report");
        losses.add(damage(1_100 + RANGES_MAX as u64, 5));
        assert_eq!(reported(&mut losses), [(1_164, 5)], "behind it");
        losses.add(Loss { instance: InstanceId([2; 16]), ..damage(1_050, 1) });
        assert_eq!(reported(&mut losses), [(1_050, 1)], "numbers of another instance");
        losses.add(damage(1_163, 1));
        let told = reported(&mut losses);
        assert!(told.contains(&(0, 10)) && told.contains(&(7, 1)), "{told:?}");
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_known() {
        let mut losses = Losses::new(InstanceId([1; 16]));
        let count = CAUSES_MAX as u64 + 1_000;
        (0..count).for_each(|number| losses.add(loss(number * 2, 1)));
        assert_eq!(reported(&mut losses).len(), RANGES_MAX);
        let first_remembered = 2 * (count - CAUSES_MAX as u64);
        assert!(!losses.remembers(first_remembered - 2) && losses.remembers(first_remembered));
        assert_eq!(losses.cause_of(first_remembered - 2), None);
        assert_eq!(losses.cause_of(first_remembered), Some(Cause::Dropped(DropReason::Quota)));
        assert_eq!(losses.cause_of(first_remembered + 1), None);
    }

    #[test]
    fn the_cause_of_a_number_is_known_however_its_range_came_about() {
        let mut losses = Losses::new(InstanceId([1; 16]));
        for (first, count) in [(10, 5), (15, 5), (30, 2), (40, 2), (28, 20), (12, 3)] {
            losses.add(loss(first, count));
        }
        losses.add(Loss { cause: Cause::Damaged, ..loss(60, 1) });
        let known: Vec<u64> =
            (0..100).filter(|number| losses.cause_of(*number).is_some()).collect();
        let expected: Vec<u64> = (10..20).chain(28..48).chain(60..61).collect();
        assert_eq!(known, expected);
        assert_eq!(losses.cause_of(60), Some(Cause::Damaged));
    }

    #[test]
    fn losses_of_an_adopted_slot_say_nothing_of_our_own_numbers() {
        let mut losses = Losses::new(InstanceId([1; 16]));
        for number in 0..=RANGES_MAX as u64 {
            losses.add(Loss { instance: InstanceId([2; 16]), ..loss(number * 2, 1) });
        }
        assert!((0..1000).all(|number| losses.cause_of(number).is_none()));
        assert!(losses.remembers(0));
    }
}
