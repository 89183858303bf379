//! A flush as the batcher serves it: which records it asks for, and when all of those are committed.
//!
//! Knows nothing of who waits. Invariant: a request is served only after everything that was published before the
//! batcher saw it has left the rings and is in the spool.

use crate::pipeline::batcher::Batcher;

/// A flush that is being served: however much is logged meanwhile, it ends.
pub(super) struct FlushMark {
    request: u64,
    /// How far the rings were published when the request was seen.
    tails: Vec<u64>,
    /// What was below them has left with tickets below this; none before it has.
    ticket: Option<u64>,
}

impl FlushMark {
    /// A request that was just seen, with the rings published as far as `tails`.
    pub(super) fn new(request: u64, tails: Vec<u64>) -> Self {
        Self { request, tails, ticket: None }
    }
}

impl Batcher {
    /// Tells the gate when everything that was accepted before the request is committed.
    pub(super) fn serve_flush(&mut self) {
        let Some(mark) = &mut self.flush else { return };
        if mark.ticket.is_none() && self.slice.is_empty() && self.consumer.has_reached(&mark.tails)
        {
            mark.ticket = Some(self.next_ticket);
        }
        if mark.ticket.is_some_and(|ticket| ticket <= self.committed_tickets) {
            self.served = mark.request;
            self.links.gate.serve(mark.request, self.last_batch);
            self.flush = None;
        }
    }
}
