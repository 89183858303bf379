//! Batches between the spool and their outcome: where each is, and which come next.
//!
//! Owns the tokens, the sources they came from, and which batches of our own are resolved. A token is in flight on
//! one lane, waiting to be sent again, or held by its sequence space.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::SplitBatch;
use crate::ids::LaneId;
use crate::pipeline::handover::Source;
use crate::pipeline::losses::Cause;
use crate::pipeline::losses::Loss;
use crate::pipeline::sender::division::Division;
use crate::pipeline::sender::payload::Payload;
use crate::pipeline::sender::spaces::SpaceId;
use crate::spool::Binding;
use crate::spool::Frame;
use crate::spool::Resolution;

mod order;
mod own;
#[cfg(test)]
mod tests;

pub use order::FreshFirst;
use own::OwnBatches;

/// Index of our own spool among the sources.
pub const OWN: usize = 0;

/// One batch on its way.
#[derive(Clone)]
pub struct Flight {
    /// Which source it came from.
    pub source: usize,
    /// Its bytes.
    pub frame: Frame,
    /// Its partition, where that is decided.
    pub partition: i32,
    /// What it is bound to; none for one that waits for its partition, or is to be bound anew.
    pub binding: Option<Binding>,
    /// The space that numbered it; none for a batch that is not bound by this process.
    pub space: Option<SpaceId>,
    /// The lane it is on.
    pub lane: Option<LaneId>,
    /// How often it was sent.
    pub attempts: u32,
    /// How often an answer said that the batch itself is at fault; a lost connection says nothing of it.
    pub faults: u32,
    /// How it is sent in parts; none for a batch that is sent as it is stored.
    pub division: Option<Box<Division>>,
    /// The part that is sent now, where it is divided.
    pub piece: Option<Arc<SplitBatch>>,
    /// What was refused of it last is a report of losses: its own loss is not reported, for that report would
    /// be refused as well, for ever.
    pub refused_report: bool,
}

impl Flight {
    /// What is sent of it.
    pub fn payload(&self) -> Payload {
        match &self.piece {
            Some(piece) => Payload::Part(piece.clone()),
            None => Payload::Stored(self.frame.clone()),
        }
    }

    /// Records that have no end yet.
    pub fn records_left(&self) -> u32 {
        self.division.as_ref().map_or(self.frame.record_count(), |division| division.left())
    }
}

/// A batch that was read from a spool and has no lane yet.
pub struct Lookahead {
    /// Which source.
    pub source: usize,
    /// The batch.
    pub frame: Frame,
}

impl Lookahead {
    /// The batch as it sets out: never sent, on no lane, numbered by nobody here.
    pub fn set_out(self, partition: i32, binding: Option<Binding>) -> Flight {
        let Self { source, frame } = self;
        Flight {
            source,
            frame,
            partition,
            binding,
            space: None,
            lane: None,
            attempts: 0,
            faults: 0,
            division: None,
            piece: None,
            refused_report: false,
        }
    }
}

/// See the module's head.
pub struct Flights {
    sources: Vec<Option<Source>>,
    flights: HashMap<u64, Flight>,
    /// To be sent again on any lane that may take them, oldest first.
    waiting: VecDeque<u64>,
    lookahead: Option<Lookahead>,
    /// Batches that were read and are not wanted yet, at most one of each source.
    put_back: Vec<Lookahead>,
    next_token: u64,
    own: OwnBatches,
    /// None where the oldest goes first.
    order: Option<FreshFirst>,
    losses: Vec<Loss>,
    adopted_delivered: u64,
    adopted_dropped: u64,
}

impl Flights {
    /// No batch yet; `own` is this process's spool.
    pub fn new(own: Source, order: Option<FreshFirst>) -> Self {
        Self {
            sources: vec![Some(own)],
            flights: HashMap::new(),
            waiting: VecDeque::new(),
            lookahead: None,
            put_back: Vec::new(),
            next_token: 0,
            own: OwnBatches::default(),
            order,
            losses: Vec::new(),
            adopted_delivered: 0,
            adopted_dropped: 0,
        }
    }

    /// Adds the spool of a dead process.
    pub fn adopt(&mut self, source: Source) {
        match self.sources.iter().skip(1).position(Option::is_none) {
            Some(free) => self.sources[free + 1] = Some(source),
            None => self.sources.push(Some(source)),
        }
    }

    /// All sources; our own is the first.
    pub fn sources(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.sources
            .iter()
            .enumerate()
            .filter_map(|(index, source)| Some((index, source.as_ref()?)))
    }

    /// A source by its index.
    pub fn source(&mut self, index: usize) -> Option<&mut Source> {
        self.sources.get_mut(index)?.as_mut()
    }

    /// Records of adopted spools that this process delivered, and those it gave up. A spool's own account
    /// begins with its first owner, so it cannot tell.
    pub fn adopted_ended(&self) -> (u64, u64) {
        (self.adopted_delivered, self.adopted_dropped)
    }

    /// What the spools' readers met since the last call: places of damage, failures of the system. What they lost, and
    /// what the dead had lost, is among the losses then.
    pub fn take_troubles(&mut self) -> (u64, u64) {
        let (mut damages, mut errors) = (0, 0);
        for source in self.sources.iter_mut().flatten() {
            while let Some(damage) = source.reader.take_damage() {
                damages += 1;
                if !damage.records.is_empty() {
                    self.losses.push(Loss {
                        instance: source.slot.instance(),
                        first_record: damage.records.start,
                        count: damage.records.end - damage.records.start,
                        cause: Cause::Damaged,
                    });
                }
            }
            let instance = source.slot.instance();
            self.losses.extend(source.reader.take_inherited().map(|lost| Loss {
                instance,
                first_record: lost.records.start,
                count: lost.records.end - lost.records.start,
                cause: lost.reason.map_or(Cause::Damaged, Cause::Dropped),
            }));
            errors += u64::from(source.reader.take_error().is_some());
        }
        (damages, errors)
    }

    /// Takes a source out; our own only at the end.
    pub fn take_source(&mut self, index: usize) -> Option<Source> {
        self.sources.get_mut(index)?.take()
    }

    /// Adopted sources with nothing left to deliver, nor in flight.
    pub fn drained(&self) -> Vec<usize> {
        let in_use = |index| {
            self.flights.values().any(|flight| flight.source == index)
                || self.lookahead.iter().chain(&self.put_back).any(|next| next.source == index)
        };
        self.sources()
            .filter(|(index, source)| {
                *index != OWN && source.reader.is_drained() && !in_use(*index)
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// Takes the batch that [`Flights::peek`] showed.
    pub fn take_next(&mut self) -> Option<Lookahead> {
        self.lookahead.take()
    }

    /// The oldest segment of all that holds a batch without an outcome, and its source, where giving it up makes room:
    /// adopted ones are older than our own, but their files are no room for us while the disk refuses us new ones.
    pub fn segment_to_give_way(&mut self) -> Option<(usize, u64)> {
        let is_own_alone = self.source(OWN).is_some_and(|own| own.reader.is_memory_mode());
        let adopted = 1..if is_own_alone { 1 } else { self.sources.len() };
        let mut oldest =
            adopted.chain([OWN]).map(|source| (source, self.oldest_segment_of(source)));
        let (source, segment) = oldest.find_map(|(source, segment)| Some((source, segment?)))?;
        self.source(source)?.reader.would_release(segment).then_some((source, segment))
    }

    fn oldest_segment_of(&mut self, source: usize) -> Option<u64> {
        // The batch that is next may be a fresh one: an older one may stand at the reader's cursor.
        if let Some(next) = self.read(source) {
            self.put_back.push(next);
        }
        let unsent = self.lookahead.iter().chain(&self.put_back);
        let unsent = unsent.filter(|next| next.source == source).map(|next| &next.frame);
        let sent = self.flights.values().filter(|flight| flight.source == source);
        unsent.chain(sent.map(|flight| &flight.frame)).map(|frame| frame.position().segment).min()
    }

    /// Takes a batch of `source` that was never sent, if one lies in `segment`.
    pub fn take_of(&mut self, source: usize, segment: u64) -> Option<Lookahead> {
        let is_in =
            |next: &Lookahead| next.source == source && next.frame.position().segment == segment;
        if let Some(next) = self.lookahead.take_if(|next| is_in(next)) {
            return Some(next);
        }
        let next = self.read(source)?;
        if is_in(&next) {
            return Some(next);
        }
        self.put_back.push(next);
        None
    }

    /// Gives the files of adopted spools back whose batches have all ended: nobody writes there any more.
    pub fn discard_free(&mut self) -> u64 {
        let adopted = self.sources.iter_mut().skip(1).flatten();
        let writers = adopted.filter_map(|source| source.writer.as_mut());
        writers.filter_map(|writer| writer.discard_free().err()).count() as u64
    }

    /// Reads the oldest frame of a source that was not read yet.
    pub fn read(&mut self, source: usize) -> Option<Lookahead> {
        if let Some(index) = self.put_back.iter().position(|next| next.source == source) {
            return Some(self.put_back.remove(index));
        }
        let frame = self.sources.get_mut(source)?.as_mut()?.reader.next()?;
        if source == OWN {
            self.own.take_in_order(frame.batch_number());
        }
        Some(Lookahead { source, frame })
    }

    /// Names the next batch.
    pub fn next_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Notes a batch that is on its way.
    pub fn insert(&mut self, token: u64, flight: Flight) {
        self.flights.insert(token, flight);
    }

    /// A batch on its way.
    pub fn get(&self, token: u64) -> Option<&Flight> {
        self.flights.get(&token)
    }

    /// A batch on its way.
    pub fn get_mut(&mut self, token: u64) -> Option<&mut Flight> {
        self.flights.get_mut(&token)
    }

    /// All batches on their way.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Flight)> {
        self.flights.iter().map(|(token, flight)| (*token, flight))
    }

    /// The batch left its lane, if it was on one, and may go to any other.
    pub fn wait(&mut self, token: u64) {
        if let Some(flight) = self.flights.get_mut(&token) {
            flight.lane = None;
            // Once: after a panic those wait anew that waited already.
            if !self.waiting.contains(&token) {
                self.waiting.push_back(token);
            }
        }
    }

    /// The batches that wait for a lane, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().copied()
    }

    /// The batch does not wait any more.
    pub fn stop_waiting(&mut self, token: u64) {
        self.waiting.retain(|waiting| *waiting != token);
    }

    /// Ends a batch: its outcome goes to its spool.
    pub fn resolve(&mut self, token: u64, resolution: Resolution) -> Option<Flight> {
        let flight = self.flights.remove(&token)?;
        self.stop_waiting(token);
        let losses = self.losses.len();
        self.resolve_frame(flight.source, &flight.frame, resolution);
        if flight.refused_report {
            self.losses.truncate(losses);
        }
        Some(flight)
    }

    /// Ends a frame that never became a flight.
    pub fn resolve_frame(&mut self, source: usize, frame: &Frame, resolution: Resolution) {
        let (records, delivered, rejected) = frame.ended_in_parts();
        let ended = delivered + rejected;
        if let Some(source) = self.sources.get_mut(source).and_then(Option::as_mut) {
            source.reader.resolve(frame, resolution);
            if let Resolution::Dropped(reason) = resolution {
                self.losses.push(Loss {
                    instance: source.slot.instance(),
                    first_record: frame.first_record() + ended,
                    count: records - ended,
                    cause: Cause::Dropped(reason),
                });
            }
        }
        if source != OWN {
            self.adopted_delivered += delivered;
            self.adopted_dropped += rejected;
            match resolution {
                Resolution::Delivered | Resolution::Unconfirmed => {
                    self.adopted_delivered += records - ended;
                }
                Resolution::Dropped(_) => self.adopted_dropped += records - ended,
            }
        }
        if source == OWN {
            self.own.resolve(frame.batch_number());
        }
    }

    /// Records were lost.
    pub fn add_loss(&mut self, loss: Loss) {
        self.losses.push(loss);
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// Every batch of our own up to this one is resolved.
    pub fn resolved_through(&self) -> Option<u64> {
        self.own.resolved_through(self.skips_own())
    }

    /// Every batch of our own up to this one was read.
    pub fn own_taken(&self) -> Option<u64> {
        self.own.taken(self.skips_own())
    }

    /// Batches of our own that were read or resolved since the last call, and whether each is unresolved.
    pub fn take_changes(&mut self) -> impl Iterator<Item = (u64, bool)> {
        self.own.take_changes()
    }

    /// Every batch on its way, oldest first.
    pub fn tokens(&self) -> Vec<u64> {
        let mut tokens: Vec<u64> = self.flights.keys().copied().collect();
        tokens.sort_unstable();
        tokens
    }
}
