//! What is read next: the oldest, or fresh batches before the backlog (`spool.order=fresh_first`).
//!
//! The backlog is what dead processes left, and what of our own spool waited unread for one to two seconds: the end
//! of what is published is noted once a second, and where the last place but one was not reached when the next is
//! noted, reading goes on at the last one. While both wait, batches are taken from both in proportion; a share that
//! one of them does not use is the other's. Batches count, not bytes: a lane's window is used up by small ones too.
//! Knows nothing of lanes and partitions: what is bound first goes first.

use std::time::Duration;

use crate::ids::Moment;
use crate::pipeline::sender::flights::Flights;
use crate::pipeline::sender::flights::Lookahead;
use crate::pipeline::sender::flights::OWN;
use crate::spool::Reader;

/// How long a batch may wait unread, at least, before it is backlog; twice that at most.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// See the module's head.
#[derive(Debug)]
pub struct FreshFirst {
    /// The backlog's, of a hundred batches.
    backlog_share: i64,
    /// Hundredths of batches that the backlog should have had by now; negative where it had more.
    owed: i64,
    /// Ends of what was published, and when that was seen.
    older: Option<(u64, Moment)>,
    newer: Option<(u64, Moment)>,
}

impl FreshFirst {
    /// The backlog gets `backlog_share` percent of the batches while there are fresh batches too.
    pub fn new(backlog_share: u32) -> Self {
        Self { backlog_share: i64::from(backlog_share), owed: 0, older: None, newer: None }
    }

    /// Leaves what has waited for long to the backlog.
    pub fn look(&mut self, now: Moment, own: &mut Reader) {
        if self.newer.is_none_or(|(_, noted_at)| now.since(noted_at) >= FRESH) {
            self.older = self.newer.replace((own.published_position(), now));
        }
        if let (Some((older, _)), Some((newer, _))) = (self.older, self.newer)
            && own.ahead_position() < older
        {
            // Not yet where nothing stands behind it: then there is only backlog.
            let _skipped: bool = own.skip_to(newer);
        }
    }

    /// Whether it is the backlog's turn.
    pub fn owes_backlog(&self) -> bool {
        self.owed > 0
    }

    /// A fresh batch was taken while there is a backlog.
    pub fn note_fresh(&mut self) {
        self.owed += self.backlog_share;
    }

    /// A batch of the backlog was taken because it was its turn.
    pub fn note_backlog(&mut self) {
        self.owed -= 100 - self.backlog_share;
    }

    /// There is no backlog.
    pub fn settle(&mut self) {
        self.owed = 0;
    }
}

impl Flights {
    /// The next batch that was never sent by us: the oldest, those of adopted spools being older than our own; or as
    /// fresh ones and the backlog take turns.
    pub fn peek(&mut self) -> Option<&Lookahead> {
        if self.lookahead.is_none() {
            self.lookahead = match self.order.take() {
                None => (1..self.sources.len()).chain([OWN]).find_map(|index| self.read(index)),
                Some(mut order) => {
                    let next = self.read_in_turn(&mut order);
                    self.order = Some(order);
                    next
                }
            };
        }
        self.lookahead.as_ref()
    }

    /// What waited for long is backlog from now on.
    pub fn look(&mut self, now: Moment) {
        if let (Some(order), Some(Some(own))) = (&mut self.order, self.sources.get_mut(OWN)) {
            if !own.reader.is_ahead() {
                self.own.note_order();
            }
            order.look(now, &mut own.reader);
        }
    }

    fn read_in_turn(&mut self, order: &mut FreshFirst) -> Option<Lookahead> {
        if order.owes_backlog() {
            if let Some(next) = self.read_backlog() {
                order.note_backlog();
                return Some(next);
            }
            order.settle();
        }
        let Some(next) = self.read_fresh() else { return self.read_backlog() };
        if self.skips_own() || self.sources.iter().skip(1).any(Option::is_some) {
            order.note_fresh();
        }
        Some(next)
    }

    fn read_backlog(&mut self) -> Option<Lookahead> {
        let own = self.skips_own().then_some(OWN);
        (1..self.sources.len()).chain(own).find_map(|index| self.read(index))
    }

    fn read_fresh(&mut self) -> Option<Lookahead> {
        if !self.skips_own() {
            return self.read(OWN);
        }
        let frame = self.source(OWN)?.reader.next_ahead()?;
        self.own.take(frame.batch_number());
        Some(Lookahead { source: OWN, frame })
    }

    /// Whether batches of our own were passed over, for the backlog.
    pub(super) fn skips_own(&self) -> bool {
        matches!(self.sources.first(), Some(Some(own)) if own.reader.is_ahead())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_gets_its_share_and_no_more() {
        for share in 1..=90 {
            let mut order = FreshFirst::new(share);
            let mut backlog = 0;
            for taken in 1..=1_000 {
                if order.owes_backlog() {
                    order.note_backlog();
                    backlog += 1;
                } else {
                    order.note_fresh();
                }
                let due = u64::from(share) * taken / 100;
                assert!(due.abs_diff(backlog) <= 1, "{share} % of {taken}: {backlog}");
            }
        }
    }
}
