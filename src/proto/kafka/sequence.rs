//! Sequence numbers of one producer id in one partition, or in a whole fleet of receivers.
//!
//! Owns who has which sequences, who may be sent, and when the epoch must be bumped. Knows nothing
//! of bytes, connections or time. Invariants (I4):
//!
//! 1. Within an epoch a sequence belongs to one batch for ever, also if that batch was given up.
//! 2. A batch is bound anew only while it is known not to be appended.
//! 3. The epoch is bumped only while no batch is in flight or in doubt, and before a sequence
//!    would pass `i32::MAX`; so sequences never wrap.
//! 4. In a partition the first batch of a producer id and epoch travels alone until the broker has it: Kafka
//!    2.5 to 4.4 takes any first sequence of a producer that it does not know there. Were the first batch
//!    refused, those behind it would be appended, and it behind them.
//!
//! Rules: Kafka's `TransactionManager` (KIP-360) and `RecordAccumulator`. After a failure nothing
//! new is bound until what is unresolved was sent again, lowest sequence first, one at a time.

use std::collections::VecDeque;

use thiserror::Error;

/// What makes a batch's bytes final: stored before its first byte is sent, the same in every retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Who produces.
    pub producer_id: i64,
    /// Generation of the producer's sequences.
    pub epoch: i16,
    /// Sequence of the first record; the others follow it one by one.
    pub base_sequence: i32,
}

/// Why no batch can be bound now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AssignError {
    /// As many batches as allowed are unresolved.
    #[error("{0} batches are unresolved, which is the limit")]
    WindowFull(usize),
    /// Batches wait to be sent again; new ones would overtake them.
    #[error("batches wait to be sent again before a new one may follow")]
    Recovering,
    /// The epoch has to be bumped first; see [`SequenceSpace::bump`].
    #[error("the epoch has to be bumped before another batch is bound")]
    BumpNeeded,
    /// A batch has at least one record and less than 2^31.
    #[error("a batch of {0} records cannot be numbered")]
    RecordCount(u32),
}

/// Why the epoch cannot be bumped now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BumpError {
    /// The fate of some batches is unknown: resolve them under the old epoch first.
    #[error("{0} batches are in flight or in doubt")]
    Unresolved(usize),
    /// The epoch is at its maximum: a new producer id is needed.
    #[error("the epochs of producer id {0} are used up")]
    EpochsUsedUp(i64),
}

/// A batch of this space was named that the space does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("batch {0} is not unresolved in this sequence space")]
pub struct UnknownBatch(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On its way.
    InFlight,
    /// To be sent again with the same binding; the broker may have it.
    InDoubt,
    /// To be sent again; the broker does not have it.
    NotAppended,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    batch: u64,
    records: i32,
    binding: Binding,
    state: State,
    /// An attempt may have been appended, whatever became of later ones.
    doubted: bool,
}

/// The sequences of one producer id in one place.
///
/// The driver calls [`assign`](Self::assign) for a new batch, stores the binding, sends it, and
/// tells the outcome: [`acknowledge`](Self::acknowledge), [`doubt`](Self::doubt),
/// [`reject_not_appended`](Self::reject_not_appended),
/// [`reject_out_of_order`](Self::reject_out_of_order) or [`give_up`](Self::give_up). What has to be
/// sent again comes from [`next_resend`](Self::next_resend). When [`bump_ready`](Self::bump_ready)
/// it calls [`bump`](Self::bump), and stores the bindings that it returns.
///
/// In one Kafka partition the batches of a space travel in order over one connection; before they
/// move to another one, all that are in flight are put in doubt.
///
/// In a fleet, where receivers accept gaps, a batch that moves stays in flight under its binding, and one that is
/// given up is acknowledged here: its sequences stay its own, and nothing has to be bumped.
#[derive(Debug)]
pub struct SequenceSpace {
    producer_id: i64,
    epoch: i16,
    next_sequence: i32,
    in_flight_max: usize,
    /// Whether the broker knows the producer id and the epoch here, so that it refuses what comes too early.
    is_known: bool,
    /// Whether all receivers together are one place, none of which minds a gap.
    is_fleet: bool,
    bump_needed: bool,
    /// Unresolved batches in the order of their sequences.
    unresolved: VecDeque<Entry>,
}

impl SequenceSpace {
    /// A partition's space; at most `in_flight_max` batches are unresolved at a time (5 for Kafka, which
    /// recognises that many as duplicates), and one until the first is acknowledged.
    pub fn new(producer_id: i64, epoch: i16, in_flight_max: usize) -> Self {
        Self {
            producer_id,
            epoch,
            next_sequence: 0,
            in_flight_max,
            is_known: false,
            is_fleet: false,
            bump_needed: false,
            unresolved: VecDeque::new(),
        }
    }

    /// The space of a whole fleet, which has no order to keep: the first batch goes out with the others.
    pub fn of_fleet(producer_id: i64, epoch: i16, in_flight_max: usize) -> Self {
        Self { is_fleet: true, ..Self::new(producer_id, epoch, in_flight_max) }
    }

    /// How many batches are unresolved.
    pub fn unresolved(&self) -> usize {
        self.unresolved.len()
    }

    /// Whether a batch that was bound before `batch` is unresolved.
    pub fn earlier_unresolved(&self, batch: u64) -> bool {
        self.unresolved.front().is_some_and(|first| first.batch != batch)
            && self.unresolved.iter().any(|entry| entry.batch == batch)
    }

    /// Whether `batch` waits here and no attempt to send it can have been appended: only then may it
    /// be bound to another partition, split or written anew (and is then given up here).
    pub fn may_be_rebound(&self, batch: u64) -> bool {
        self.unresolved
            .iter()
            .any(|entry| entry.batch == batch && entry.state == State::NotAppended)
    }

    /// Whether [`SequenceSpace::bump`] is needed and possible.
    pub fn bump_ready(&self) -> bool {
        self.bump_needed && self.fate_unknown() == 0
    }

    /// Whether a batch of `records` records could be bound now; notes when a bump is needed first.
    pub fn check_assign(&mut self, records: u32) -> Result<(), AssignError> {
        self.assignable_count(records).map(|_| ())
    }

    /// Binds a new batch, which is in flight from now on.
    pub fn assign(&mut self, batch: u64, records: u32) -> Result<Binding, AssignError> {
        let count = self.assignable_count(records)?;
        debug_assert!(self.unresolved.iter().all(|entry| entry.batch != batch), "bound twice");
        let binding = self.bind(count);
        self.unresolved.push_back(Entry {
            batch,
            records: count,
            binding,
            state: State::InFlight,
            doubted: false,
        });
        Ok(binding)
    }

    fn assignable_count(&mut self, records: u32) -> Result<i32, AssignError> {
        let count = match i32::try_from(records) {
            Ok(count) if count > 0 => count,
            Ok(_) | Err(_) => return Err(AssignError::RecordCount(records)),
        };
        if self.next_sequence.checked_add(count).is_none() {
            self.bump_needed = true;
        }
        if self.bump_needed {
            return Err(AssignError::BumpNeeded);
        }
        // A batch in doubt must not fall out of what the broker remembers: nothing follows it, also
        // not while it is on its way again.
        if self.unresolved.iter().any(|entry| entry.doubted || entry.state != State::InFlight) {
            return Err(AssignError::Recovering);
        }
        let window = if self.is_known || self.is_fleet { self.in_flight_max } else { 1 };
        if self.unresolved.len() >= window {
            return Err(AssignError::WindowFull(window));
        }
        Ok(count)
    }

    /// The broker has the batch.
    pub fn acknowledge(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        self.remove(batch)?;
        self.is_known = true;
        Ok(())
    }

    /// The broker may have the batch: it is to be sent again as it is.
    pub fn doubt(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        self.entry(batch).map(|entry| {
            entry.state = State::InDoubt;
            entry.doubted = true;
        })
    }

    /// The broker did not append the batch this time: it is to be sent again. If an earlier attempt
    /// is in doubt this proves nothing about that one, so the batch stays in doubt.
    pub fn reject_not_appended(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        self.entry(batch).map(|entry| {
            entry.state = if entry.doubted { State::InDoubt } else { State::NotAppended };
        })
    }

    /// The broker found the batch neither the next one nor one that it has (error 45): no attempt
    /// was appended, since it remembers at least as many batches as may be unresolved. Unless an
    /// earlier batch explains it, there is a gap and the epoch has to be bumped.
    pub fn reject_out_of_order(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        let explained = self.earlier_unresolved(batch);
        let entry = self.entry(batch)?;
        entry.state = State::NotAppended;
        entry.doubted = false;
        self.bump_needed |= !explained;
        Ok(())
    }

    /// The broker does not know the numbers, or takes none at all: no attempt counts as appended.
    pub fn reject_for_good(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        self.entry(batch).map(|entry| {
            entry.state = State::NotAppended;
            entry.doubted = false;
        })
    }

    /// Ends the space, to go on without numbers: gives back its unresolved batches, none of which
    /// was appended, in their order. `None` while the fate of some is unknown.
    pub fn dissolve(&mut self) -> Option<Vec<u64>> {
        self.check_fates().ok()?;
        Some(self.unresolved.drain(..).map(|entry| entry.batch).collect())
    }

    /// The batch leaves this space without an acknowledgement (expired, split, quarantined, bound
    /// elsewhere). Its sequences are a gap, so the epoch has to be bumped.
    pub fn give_up(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        self.remove(batch)?;
        self.bump_needed = true;
        Ok(())
    }

    /// The broker has the first `records` records of the batch and nothing behind them: the rest goes on under
    /// the sequences that follow. All of them: as [`acknowledge`](Self::acknowledge).
    pub fn advance(&mut self, batch: u64, records: u32) -> Result<(), UnknownBatch> {
        let entry = self.entry(batch)?;
        let count = i32::try_from(records).unwrap_or(i32::MAX).min(entry.records);
        entry.records -= count;
        entry.binding.base_sequence += count;
        entry.state = State::NotAppended;
        entry.doubted = false;
        let is_whole = entry.records == 0;
        self.is_known = true;
        if is_whole { self.acknowledge(batch) } else { Ok(()) }
    }

    /// So many records of the batch, of which nothing is appended, are left out for good: their sequences go to
    /// what follows. Where other batches have sequences behind them, the epoch has to be bumped.
    pub fn omit(&mut self, batch: u64, records: u32) -> Result<(), UnknownBatch> {
        let is_last = self.unresolved.back().is_some_and(|last| last.batch == batch);
        let entry = self.entry(batch)?;
        let count = i32::try_from(records).unwrap_or(i32::MAX).min(entry.records);
        entry.records -= count;
        entry.state = State::NotAppended;
        entry.doubted = false;
        let is_gone = entry.records == 0;
        if is_last && !self.bump_needed {
            self.next_sequence -= count;
        } else {
            self.bump_needed = true;
        }
        if is_gone { self.remove(batch) } else { Ok(()) }
    }

    /// The broker sees a gap that we cannot explain, or forgot us: the epoch has to be bumped.
    pub fn require_bump(&mut self) {
        self.bump_needed = true;
    }

    /// The batch that is to be sent again now, lowest sequence first and one at a time; it is in
    /// flight from now on. While a bump is needed only batches in doubt are sent, to learn their
    /// fate.
    pub fn next_resend(&mut self) -> Option<(u64, Binding)> {
        if self.unresolved.iter().any(|entry| entry.state == State::InFlight) {
            return None;
        }
        let bump_needed = self.bump_needed;
        let entry = self
            .unresolved
            .iter_mut()
            .find(|entry| !bump_needed || entry.state == State::InDoubt)?;
        entry.state = State::InFlight;
        Some((entry.batch, entry.binding))
    }

    /// Moves to the next epoch and returns the new bindings of all unresolved batches, which are
    /// known not to be appended. They are to be stored before [`SequenceSpace::next_resend`].
    pub fn bump(&mut self) -> Result<Vec<(u64, Binding)>, BumpError> {
        self.check_fates()?;
        let epoch = self.epoch.checked_add(1).ok_or(BumpError::EpochsUsedUp(self.producer_id))?;
        Ok(self.renumber(self.producer_id, epoch))
    }

    /// As [`SequenceSpace::bump`], under a new producer id.
    pub fn replace_producer_id(
        &mut self,
        producer_id: i64,
        epoch: i16,
    ) -> Result<Vec<(u64, Binding)>, BumpError> {
        self.check_fates()?;
        Ok(self.renumber(producer_id, epoch))
    }

    fn renumber(&mut self, producer_id: i64, epoch: i16) -> Vec<(u64, Binding)> {
        self.producer_id = producer_id;
        self.epoch = epoch;
        self.next_sequence = 0;
        self.is_known = false;
        self.bump_needed = false;
        let mut entries = std::mem::take(&mut self.unresolved);
        for entry in &mut entries {
            // They fitted into one epoch before, so they fit into this one.
            entry.binding = self.bind(entry.records);
        }
        self.unresolved = entries;
        self.unresolved.iter().map(|entry| (entry.batch, entry.binding)).collect()
    }

    fn bind(&mut self, records: i32) -> Binding {
        let base_sequence = self.next_sequence;
        self.next_sequence += records;
        Binding { producer_id: self.producer_id, epoch: self.epoch, base_sequence }
    }

    fn check_fates(&self) -> Result<(), BumpError> {
        match self.fate_unknown() {
            0 => Ok(()),
            unknown => Err(BumpError::Unresolved(unknown)),
        }
    }

    fn fate_unknown(&self) -> usize {
        self.unresolved.iter().filter(|entry| entry.state != State::NotAppended).count()
    }

    fn entry(&mut self, batch: u64) -> Result<&mut Entry, UnknownBatch> {
        self.unresolved.iter_mut().find(|entry| entry.batch == batch).ok_or(UnknownBatch(batch))
    }

    fn remove(&mut self, batch: u64) -> Result<(), UnknownBatch> {
        let index = self.unresolved.iter().position(|entry| entry.batch == batch);
        self.unresolved.remove(index.ok_or(UnknownBatch(batch))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
