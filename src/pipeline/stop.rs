//! The end of a pipeline, and the waiting that leads to it: without a lock, so that others may flush and
//! look at the figures meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::pipeline::BatcherThread;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::sender::Sender;
use crate::pipeline::threads::Ended;
use crate::ring::Arena;
use crate::ring::Registry;
use crate::transport::Waker;

/// A flush that was asked for.
pub struct FlushRequest {
    gate: Arc<Gate>,
    /// None where nothing was ever logged.
    number: Option<u64>,
}

impl FlushRequest {
    /// Asks for everything accepted so far to be sealed.
    pub(super) fn new(gate: &Arc<Gate>, arena: &Arena) -> Self {
        let number = gate.request();
        arena.nudge_consumer();
        Self { gate: gate.clone(), number: Some(number) }
    }

    /// There is nothing to seal.
    pub(super) fn of_nothing(gate: &Arc<Gate>) -> Self {
        Self { gate: gate.clone(), number: None }
    }

    /// Waits until everything accepted before the request is acknowledged or accounted for; false
    /// where `deadline` passes first.
    pub fn wait(&self, deadline: Duration) -> bool {
        self.number.is_none_or(|number| self.gate.wait(number, deadline))
    }
}

/// A pipeline that takes no more records.
pub struct Stopping {
    pub(super) threads: (Ended<BatcherThread>, Ended<Sender>),
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Clock,
    pub(super) gate: Arc<Gate>,
    pub(super) handover: Arc<Handover>,
    pub(super) sender_waker: Waker,
    pub(super) notifier: Notifier,
}

impl Stopping {
    /// Commits what was accepted, waits for it until `deadline`, ends the threads.
    ///
    /// True where everything of this run was acknowledged or accounted for; the slot is gone then.
    /// Then the event callback is told what is left, and never called again.
    pub fn finish(self, deadline: Duration) -> bool {
        let (clock, notifier) = (self.clock, self.notifier.clone());
        let start = clock.moment();
        let is_resolved = self.end_threads(deadline);
        notifier.stop(deadline.saturating_sub(clock.moment().since(start)));
        is_resolved
    }

    fn end_threads(self, deadline: Duration) -> bool {
        let (batcher, sender) = self.threads;
        let arena = self.registry.arena();
        let start = self.clock.moment();
        // Without threads nothing will ever be resolved: there is nothing, or it stays for the next process.
        let runs = matches!(batcher, Ended::Running(_));
        let mut is_resolved = if runs {
            FlushRequest::new(&self.gate, arena).wait(deadline)
        } else {
            !arena.has_rings()
        };
        if runs && is_resolved {
            // What was given up on the way there is reported in-band; the batcher may have begun to, behind what was
            // waited for.
            let rest = deadline.saturating_sub(self.clock.moment().since(start));
            is_resolved = FlushRequest::new(&self.gate, arena).wait(rest);
        }
        self.handover.stop_batcher();
        arena.nudge_consumer();
        let Some(BatcherThread { batcher, .. }) = batcher.join() else { return false };
        let (mut writer, is_empty) = batcher.into_writer();
        if !is_empty {
            // Nobody commits here any more. What cannot be synced is written to another file by the reader.
            let _ = writer.sync_rest();
        }
        let writer = is_empty.then_some(writer);
        self.handover.stop_sender();
        self.sender_waker.wake();
        let Some(sender) = sender.join() else { return false };
        let Some(mut own) = sender.into_own() else { return false };
        let is_accounted = is_resolved && !self.handover.losses().is_news();
        if is_accounted
            && own.reader.is_drained()
            && let Some(writer) = &writer
        {
            // Losses were reported, too. Where the disk takes no ledger, this alone tells it.
            arena.store_ended(writer.next_record(), own.reader.ended_records().doubtful);
        }
        // Counted as damaged by us, left in their files for the next process: more waiting would not help.
        let is_doubtful = own.reader.is_doubtful();
        own.writer = writer;
        match own.remove_drained() {
            Ok(is_gone) => (is_gone || is_doubtful) && is_resolved,
            // Everything is resolved; what could not be removed is removed by the next process.
            Err(_kept) => is_resolved,
        }
    }
}
