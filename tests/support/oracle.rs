//! The oracle: compares what applications were promised with what readers find, record by record.
//!
//! | letter | what must hold | field that must be 0 |
//! |---|---|---|
//! | C | accepted = delivered + named as lost | `missing` beyond `named` |
//! | P | nothing is delivered that was not accepted, but one record per thread and kill | `phantoms` |
//! | G | every payload is the function of its name that it should be | `garbage` |
//! | U | after the readers' de-duplication no record is there twice | `duplicates` |
//! | O | a thread's records come in their order, by record numbers | `disorder` |
//!
//! L (the probe after the fault arrives) and H (the host is unharmed) are the rows' own.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::AddAssign;

use crate::support::payload::Id;
use crate::support::payload::Texts;

/// What one run had been promised, thread by thread.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub run: u32,
    pub by_thread: Vec<u64>,
    /// A record may be published and not yet witnessed when a kill comes.
    pub may_be_one_more: bool,
}

/// The verdict, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub accepted: u64,
    /// Each counted once.
    pub delivered: u64,
    /// Accepted, and not there.
    pub missing: u64,
    /// Named by loss records, or by the counters where the row says so.
    pub named: u64,
    pub phantoms: u64,
    pub garbage: u64,
    pub duplicates: u64,
    pub disorder: u64,
}

impl Tally {
    /// Everything that is wrong; the promise is 0.
    pub fn difference(&self) -> u64 {
        let unexplained = self.missing.abs_diff(self.named);
        unexplained + self.phantoms + self.garbage + self.duplicates + self.disorder
    }

    /// Fails unless nothing is wrong.
    pub fn assert_clean(&self, what: &str) {
        assert_eq!(self.difference(), 0, "{what}: {self:?}");
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.missing += other.missing;
        self.named += other.named;
        self.phantoms += other.phantoms;
        self.garbage += other.garbage;
        self.duplicates += other.duplicates;
        self.disorder += other.disorder;
    }
}

/// One thread's records, as they come.
#[derive(Default)]
struct Thread {
    next: u64,
    holes: BTreeSet<u64>,
    delivered: u64,
}

/// Takes what readers find, record by record, in the order of the records' numbers.
#[derive(Default)]
pub struct Oracle {
    threads: BTreeMap<(u32, u16), Thread>,
    tally: Tally,
    texts: Option<Texts>,
}

impl Oracle {
    /// The next record.
    pub fn see(&mut self, payload: &[u8]) {
        let Some(id) = Id::of(payload, &mut self.texts) else {
            self.tally.garbage += 1;
            return;
        };
        let thread = self.threads.entry((id.run, id.thread)).or_default();
        if id.sequence >= thread.next {
            thread.holes.extend(thread.next..id.sequence);
            thread.next = id.sequence + 1;
        } else if thread.holes.remove(&id.sequence) {
            self.tally.disorder += 1;
        } else {
            self.tally.duplicates += 1;
            return;
        }
        thread.delivered += 1;
    }

    /// The verdict over all `runs`, of whose records `named` are known to be lost.
    pub fn judge(mut self, runs: &[Accepted], named: u64) -> Tally {
        let mut tally = self.tally;
        tally.named = named;
        for accepted in runs {
            let allowed = u64::from(accepted.may_be_one_more);
            for (thread, accepted_records) in (0u16..).zip(&accepted.by_thread) {
                let found = self.threads.remove(&(accepted.run, thread)).unwrap_or_default();
                let beyond = found.next.saturating_sub(*accepted_records);
                // The one more counts as accepted: it was published.
                let promised = accepted_records + beyond.min(allowed);
                let holes = found.holes.range(..promised).count() as u64;
                tally.phantoms += beyond.saturating_sub(allowed);
                tally.accepted += promised;
                tally.delivered += found.delivered;
                tally.missing += holes + promised.saturating_sub(found.next);
            }
        }
        // Records of runs or threads that never were.
        tally.phantoms += self.threads.values().map(|thread| thread.delivered).sum::<u64>();
        tally
    }
}

/// The verdict over lines as `logdrive cat` prints them.
pub fn judge_lines(runs: &[Accepted], lines: &[Vec<u8>]) -> Tally {
    let mut oracle = Oracle::default();
    lines.iter().for_each(|line| oracle.see(line));
    oracle.judge(runs, 0)
}
