//! Answers that wait: for a sync, or for the next hop.
//!
//! Invariant: a connection is in `holding` exactly while an answer of it waits.

use crate::ids::Moment;
use crate::receiver::event_loop::End;
use crate::receiver::event_loop::EventLoop;
use crate::receiver::options::Sync;

impl EventLoop {
    /// Syncs when the policy says so, and lets go the answers that waited for it.
    pub(super) fn sync_if_due(&mut self, now: Moment) {
        let owed = !self.holding.is_empty() || self.service.needs_sync();
        match self.options.sync {
            Sync::None => return,
            Sync::Batch if !owed => return,
            Sync::Batch => {}
            Sync::Interval(interval) => {
                let due = self.next_sync.is_some_and(|sync| sync <= now);
                if !due {
                    if owed && self.next_sync.is_none() {
                        self.next_sync = Some(now.after(interval));
                    }
                    return;
                }
                self.next_sync = None;
            }
        }
        let in_doubt = self.service.sync();
        for index in std::mem::take(&mut self.holding) {
            let Some(connection) = self.connections.get_mut(index) else { continue };
            let released = connection.replies.release(&in_doubt);
            if released.is_err() || connection.flush(now).is_err() {
                self.close(index, &End::Gone);
            } else {
                // It may have been left unread for its answers' sake.
                self.enqueue(index);
            }
        }
    }

    /// Lets go the answers that the next hop's have come for.
    pub(super) fn take_answers(&mut self, now: Moment) {
        let Some(forwarder) = self.service.forwarder() else { return };
        forwarder.maintain(now);
        let mut released = Vec::new();
        self.holding.retain(|index| {
            let Some(connection) = self.connections.get_mut(*index) else { return false };
            let replies = &mut connection.replies;
            match replies.release_answered(|placed| forwarder.answer_for(placed)) {
                Ok(false) => {}
                Ok(true) => released.push((*index, true)),
                Err(_encode) => released.push((*index, false)),
            }
            connection.replies.is_holding()
        });
        for (index, is_good) in released {
            if is_good && self.connections[index].flush(now).is_ok() {
                // It may have been left unread for its answers' sake.
                self.enqueue(index);
            } else {
                self.close(index, &End::Gone);
            }
        }
    }
}
