//! The sender's half: hands frames out in order, records how they ended, releases segments.
//!
//! Owns the ledger and the frames' words that change. Invariants: segments are released in the order
//! of their numbers, the ledger before the file; every record number below the cursor is either in a
//! frame or counted damaged, so the account adds up by construction (I2).

use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::spool::format::DATA_START;
use crate::spool::format::STATE_DELIVERED;
use crate::spool::format::STATE_DROPPED;
use crate::spool::format::STATE_STORED;
use crate::spool::format::STATE_UNCONFIRMED;
use crate::spool::frame::Frame;
use crate::spool::ledger::Ledger;
use crate::spool::ledger::LedgerFile;
use crate::spool::ledger::Tally;
use crate::spool::lost::Lost;
use crate::spool::lost::LostRanges;
use crate::spool::quarantine::Quarantine;
use crate::spool::reader::doubt::Doubt;
use crate::spool::reader::walk::Step;
use crate::spool::shared::Shared;
use crate::spool::store::StoreKind;
use crate::spool::track::Amount;
use crate::spool::track::Content;
use crate::spool::track::Mark;
use crate::spool::track::Tracked;
use crate::spool::types::Binding;
use crate::spool::types::Damage;
use crate::spool::types::DropReason;
use crate::spool::types::Options;
use crate::spool::types::Resolution;
use crate::spool::types::SpoolError;
use crate::spool::types::Sync;
use crate::spool::types::Totals;
use crate::sys::faults::Canary;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::faults::is_broken;

mod ahead;
mod doubt;
mod release;
mod walk;

pub use doubt::Ended;

/// The reading half of a spool. `Send`, used by one thread at a time.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    segment_bytes: u64,
    store: StoreKind,
    durable: bool,
    shared: Arc<Shared>,
    /// None where the disk refused it so far.
    ledger_file: Option<LedgerFile>,
    ledger: Ledger,
    quarantine: Quarantine,
    /// Segments not released, in the order of their numbers.
    tracked: VecDeque<Tracked>,
    /// Index in `tracked` of the segment being read.
    reading: usize,
    /// Where the cursor stands in the numbers of the instance.
    mark: Mark,
    /// What was released is unknown: the first good item says where the account starts.
    account_unknown: bool,
    /// Number of the segment whose last piece reading ahead goes on with; none where nothing was skipped.
    ahead: Option<u64>,
    /// What the dead process had numbered, until the last segment it left was read.
    recovered_end: Option<Mark>,
    /// First records of the frames handed out and not resolved.
    unresolved: BTreeSet<u64>,
    /// The first record that is lost, and of which no file tells.
    first_lost: Option<u64>,
    doubt: Doubt,
    /// What had ended when their process died, whether the spool tells how or not.
    ended_before: Ended,
    /// What its process had lost and may not have told, until it is taken.
    inherited: LostRanges,
    /// How far the writer had published when it was last asked.
    published: u64,
    damages: VecDeque<Damage>,
    error: Option<SpoolError>,
    /// How many of the disk's troubles left nothing that wants another file.
    troubles_settled: u64,
}

/// What a dead process left, for a reader to start with.
#[derive(Debug)]
pub struct Backlog {
    /// Its segments.
    pub tracked: VecDeque<Tracked>,
    /// What it had numbered.
    pub end: Mark,
}

impl Reader {
    pub(super) fn new(
        dir: PathBuf,
        options: &Options,
        shared: Arc<Shared>,
        (ledger_file, ledger): (Option<LedgerFile>, Ledger),
        quarantine: Quarantine,
        backlog: Backlog,
    ) -> Self {
        let mark =
            Mark { group: ledger.next_group, record: ledger.records, batches: ledger.batches };
        Self {
            store: options.store.unwrap_or_else(|| StoreKind::suited_to(&dir)),
            durable: options.sync != Sync::None,
            dir,
            segment_bytes: options.segment_bytes,
            shared,
            ledger_file,
            inherited: ledger.lost.clone(),
            quarantine,
            recovered_end: (!backlog.tracked.is_empty()).then_some(backlog.end),
            tracked: backlog.tracked,
            reading: 0,
            mark,
            account_unknown: ledger.account_unknown,
            ledger,
            ahead: None,
            unresolved: BTreeSet::new(),
            first_lost: None,
            doubt: Doubt::default(),
            ended_before: Ended::default(),
            published: 0,
            damages: VecDeque::new(),
            error: None,
            troubles_settled: 0,
        }
    }

    /// The next published frame that is not resolved, in the order of commit; each is handed out
    /// once. Also releases what can be released.
    ///
    /// A segment of a dead process is opened when it is reached, which blocks on the disk; what is
    /// unreadable in it is skipped, counted, and reported by [`Reader::take_damage`]. Where the
    /// system refuses to open it for want of memory or descriptors, this returns `None`, keeps the
    /// error for [`Reader::take_error`] and tries again at the next call.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Frame> {
        self.release();
        self.rehome();
        self.receive();
        while self.reading < self.tracked.len() {
            match self.step() {
                Step::Frame(frame) => return Some(frame),
                Step::Waiting => return None,
                Step::Finished => {
                    self.finish_segment();
                    self.release();
                }
            }
        }
        None
    }

    /// Stores what the frame is about to be sent as; survives a crash of the process when this
    /// returns (I4). A frame can be bound again; the newest binding holds. Where the disk refuses it, or the frame
    /// is in memory, it holds in this process only: after a crash the frame may be sent under other numbers.
    ///
    /// # Errors
    ///
    /// `Resolved` when the frame was resolved: it must not be sent.
    pub fn bind(&mut self, frame: &Frame, binding: &Binding) -> Result<(), SpoolError> {
        if frame.segment().state(frame.offset()) != STATE_STORED {
            return Err(SpoolError::Resolved { position: frame.position() });
        }
        let stored = match is_broken(Canary::BindBeforeSend) {
            true => Ok(()),
            false => frame.segment().set_binding(frame.offset(), binding),
        };
        self.note(stored.map_err(SpoolError::io("store a binding in", &self.dir)));
        crash_point(Point::Bound);
        Ok(())
    }

    /// Stores how the frame ended; a second resolution of the same frame changes nothing. Records that had
    /// ended before, as its binding's [`Part`](super::Part) tells, keep their end.
    ///
    /// Its segment is released by a later call, once all its frames are resolved, all their handles
    /// are dropped, and all segments before it are released.
    pub fn resolve(&mut self, frame: &Frame, resolution: Resolution) {
        self.release();
        let number = frame.position().segment;
        let Ok(index) = self.tracked.binary_search_by_key(&number, |tracked| tracked.number) else {
            return;
        };
        if frame.segment().state(frame.offset()) != STATE_STORED {
            return;
        }
        let state = match resolution {
            Resolution::Delivered => STATE_DELIVERED,
            Resolution::Unconfirmed => STATE_UNCONFIRMED,
            Resolution::Dropped(reason) => STATE_DROPPED + reason as u8,
        };
        let stored = frame.segment().set_state(frame.offset(), state);
        crash_point(Point::Acknowledged);
        self.note(stored.map_err(SpoolError::io("store how a batch ended in", &self.dir)));
        let tracked = &mut self.tracked[index];
        tracked.unresolved.subtract(&amount(frame));
        count(&mut tracked.tally, state, frame);
        lost(state, frame).into_iter().for_each(|lost| tracked.lost.add(lost));
        self.unresolved.remove(&frame.first_record());
        let (_, _, rejected) = frame.ended_in_parts();
        let has_losses = rejected > 0 || matches!(resolution, Resolution::Dropped(_));
        if has_losses && frame.segment().is_memory_alone() {
            self.note_lost(frame.first_record());
        }
    }

    /// What an adopter must not take for lost, where it died with the memory that it was in.
    pub fn ended_records(&self) -> Ended {
        let unread = self.mark.record;
        let unresolved = self.unresolved.first().copied().unwrap_or(unread);
        let before = unread.min(unresolved).min(self.first_lost.unwrap_or(unread));
        Ended { before, doubtful: self.doubt.envelope.clone() }
    }

    /// The account at this moment.
    pub fn totals(&self) -> Totals {
        let mut tally = self.ledger.tally;
        let mut unresolved = Amount::default();
        for tracked in &self.tracked {
            tally.add(&tracked.tally);
            unresolved.add(&tracked.unresolved);
        }
        // First: it makes the counts at least as new.
        let unread_bytes = self.unread_bytes();
        let (records, batches) = self.shared.counts();
        let (records_ahead, batches_ahead, _) = self.read_ahead();
        let (records_unread, batches_unread) =
            (records.saturating_sub(self.mark.record), batches.saturating_sub(self.mark.batches));
        Totals {
            // A dead process may have numbered more than it left to be published.
            records: records.max(self.mark.record),
            batches,
            delivered: tally.delivered,
            unconfirmed: tally.unconfirmed,
            dropped: tally.dropped,
            damaged: tally.damaged,
            stored_records: unresolved.records + records_unread.saturating_sub(records_ahead),
            stored_batches: unresolved.batches + batches_unread.saturating_sub(batches_ahead),
            stored_bytes: unresolved.bytes + unread_bytes,
        }
    }

    /// Whether everything published was read and resolved, and the disk gave all of it. A writer may publish more.
    pub fn is_drained(&self) -> bool {
        self.tracked.iter().all(|tracked| {
            tracked.unresolved.batches == 0 && !matches!(tracked.content, Content::Unopened { .. })
        }) && self.unread_bytes() == 0
            && self.doubt.is_none()
    }

    /// Whether the disk did not give back something of this process's own that may still be in its file. It counts as
    /// damaged here, and is named as lost once its segment is released; until then the next process may find it.
    pub fn is_doubtful(&self) -> bool {
        !self.doubt.is_none()
    }

    /// The next report of something unreadable; everything reported is in [`Totals::damaged`].
    pub fn take_damage(&mut self) -> Option<Damage> {
        self.damages.pop_front()
    }

    /// What the dead process had given up or found damaged and may not have reported: by its ledger, and by the frames
    /// read since the last call.
    pub fn take_inherited(&mut self) -> impl Iterator<Item = Lost> {
        std::mem::take(&mut self.inherited).into_iter()
    }

    /// The latest failure of the system, if there was one since the last call: of opening or
    /// releasing a segment, which is tried again, or of keeping damaged bytes, which is not.
    pub fn take_error(&mut self) -> Option<SpoolError> {
        self.error.take()
    }

    /// Records up to `record` were numbered by the dead process, if it says so elsewhere: what is not found of them
    /// is counted damaged. Where that is so, nothing more is committed to this spool.
    pub fn expect_records_through(&mut self, record: u64) {
        let end = self.recovered_end.unwrap_or(self.mark);
        if record <= end.record {
            return;
        }
        self.recovered_end = Some(Mark { record, ..end });
        if self.reading == self.tracked.len() {
            // No segment is left at whose end the gap would show.
            let number = self.ledger.released_through + 1;
            self.tracked.push_back(Tracked::new(number, Content::Gone));
        }
    }

    /// These had ended when their process died, as [`Reader::ended_records`] told it: those of them that are not found
    /// are no loss, but nobody knows how they ended, so they are counted unconfirmed.
    pub fn expect_ended(&mut self, ended: Ended) {
        self.ended_before = ended;
    }

    fn note_lost(&mut self, record: u64) {
        self.first_lost = Some(self.first_lost.unwrap_or(record).min(record));
    }

    /// Takes over what the writer published meanwhile.
    fn receive(&mut self) {
        // Before the arrivals: every segment up to this position has arrived.
        self.published = self.shared.published();
        while let Some(segment) = self.shared.next_arrival() {
            let number = segment.address.segment;
            self.tracked.push_back(Tracked::new(number, Content::Live { segment }));
        }
    }

    /// How far the cursor is in the stream of bytes that this process committed. The last segment
    /// of this process is never finished, so once it is reached there is always a current one.
    fn live_read(&self) -> u64 {
        match self.tracked.get(self.reading) {
            Some(Tracked { content: Content::Live { segment }, cursor, .. }) => {
                segment.start + (cursor - DATA_START) as u64
            }
            _ => 0,
        }
    }

    fn note(&mut self, outcome: Result<(), SpoolError>) {
        if let Err(error) = outcome {
            self.error = Some(error);
        }
    }

    fn unread_bytes(&self) -> u64 {
        let left: u64 = self.tracked.iter().map(Tracked::unread_bytes).sum();
        let (_, _, ahead) = self.read_ahead();
        left + self.shared.published().saturating_sub(self.live_read() + ahead)
    }
}

fn amount(frame: &Frame) -> Amount {
    Amount { batches: 1, records: u64::from(frame.record_count()), bytes: frame.bytes() }
}

/// Counts the records of a frame that ended in `state`: that is how those ended which had not ended in parts
/// before.
fn count(tally: &mut Tally, state: u8, frame: &Frame) {
    let (records, delivered, rejected) = frame.ended_in_parts();
    tally.delivered += delivered;
    tally.dropped[DropReason::Rejected as usize] += rejected;
    let records = records - delivered - rejected;
    match state {
        STATE_DELIVERED => tally.delivered += records,
        STATE_UNCONFIRMED => tally.unconfirmed += records,
        dropped => tally.dropped[usize::from(dropped - STATE_DROPPED)] += records,
    }
}

/// The records of a frame that were given up with it, if `state` says that they were.
fn lost(state: u8, frame: &Frame) -> Option<Lost> {
    let reason = DropReason::ALL.get(usize::from(state.checked_sub(STATE_DROPPED)?))?;
    let (records, delivered, rejected) = frame.ended_in_parts();
    let first = frame.first_record();
    Some(Lost { records: first + delivered + rejected..first + records, reason: Some(*reason) })
}
