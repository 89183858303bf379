//! A batch that was refused for what it is: sent again in parts, down to the guilty records.
//!
//! ```text
//! refused --> rewritten, where that can help (another codec, other times)
//!         --> halved (too large: the topic's limit is learned; poison: cut at the named record) --> sent again
//!         --> a single record: to the dead letters, then noted in the frame's binding, then given up
//! ```
//!
//! The frame stays as it is; its binding says which records are on their way and how those before ended, and is
//! stored before a part is sent (I4). A part takes the sequences of the records that it holds, so nothing is numbered
//! anew but what lies behind a record that was left out. Refused means not appended: where an earlier attempt is
//! in doubt, it was refused for the same reason, since the same bytes meet the same rules.

use std::sync::Arc;

use crate::batch;
use crate::batch::Codec;
use crate::batch::Compressor;
use crate::batch::Header;
use crate::batch::Rewrite;
use crate::batch::SplitBatch;
use crate::batch::SplitError;
use crate::batch::Times;
use crate::checksum;
use crate::config::TargetMode;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::dead_letters::REJECTED_HEADER;
use crate::pipeline::losses::Cause;
use crate::pipeline::losses::LOSS_NAME;
use crate::pipeline::losses::Loss;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::division::Division;
use crate::pipeline::sender::division::Refused;
use crate::pipeline::sender::flights::Flight;
use crate::pipeline::sender::payload::Payload;
use crate::proto::kafka::client::Answer;
use crate::proto::kafka::errors::Action;
use crate::proto::kafka::sequence;
use crate::spool::DropReason;
use crate::spool::Resolution;

/// Of a learned limit, what a part is expected to take at most, in percent: halves do not compress alike.
const FILL_PERCENT: usize = 90;

impl Sender {
    /// The receiver has the batch, or the part of it that was sent.
    pub(super) fn deliver(&mut self, now: Moment, lane: LaneId, token: u64) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        let part = flight.division.as_mut().map(|division| {
            let count = division.count();
            division.deliver();
            (count, division.left())
        });
        match part {
            None | Some((_, 0)) => self.finish(now, lane, token, Resolution::Delivered),
            Some((count, _)) => {
                self.fleet.handle_acknowledged(now, lane, token);
                self.note_progress(token, |sequences| sequences.advance(token, count));
                self.send_next_part(now, token, count);
            }
        }
    }

    /// The batch, or the part of it that was sent, is refused for what it is.
    pub(super) fn divide(
        &mut self,
        now: Moment,
        lane: LaneId,
        token: u64,
        answer: &Answer,
        action: Action,
    ) {
        self.fleet.handle_returned(now, lane, token);
        let wall_ms = (self.clock.wall_nanos() / 1_000_000).cast_signed();
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = None;
        flight.faults = 0;
        let payload = flight.payload();
        let records = flight.frame.record_count();
        let division = flight.division.get_or_insert_with(|| Box::new(Division::whole(records)));
        match action {
            Action::ClampTimestamps if rewrite_times(division, payload.header(), wall_ms) => {
                return self.send_again(now, token);
            }
            Action::ReencodeCodec if rewrite_codec(division, payload.header()) => {
                let refused = Header::decode(&payload.header()).map(|header| header.codec);
                self.refused_codecs.extend(refused);
                return self.send_again(now, token);
            }
            Action::Split => {
                let topic = flight.frame.topic().to_owned();
                self.placement.learn_refused_bytes(&topic, payload.bytes());
            }
            _other_cause => {}
        }
        let Some(flight) = self.flights.get_mut(token) else { return };
        if self.refusals.returns(flight.source) {
            return self.settle(token, Resolution::Dropped(drop_reason(action)));
        }
        let Some(division) = &mut flight.division else { return };
        let named = match action {
            Action::Split => None,
            _poison => answer.record_errors.first().map(|fault| fault.index),
        };
        match division.refuse(named) {
            Refused::Smaller => self.send_again(now, token),
            Refused::Single => self.reject_first(now, token, answer, action),
        }
    }

    /// Gives up the one record that was sent, and goes on behind it.
    fn reject_first(&mut self, now: Moment, token: u64, answer: &Answer, action: Action) {
        self.set_aside(token, 1, answer);
        let Some(flight) = self.flights.get_mut(token) else { return };
        let Some(division) = &mut flight.division else { return };
        if division.left() == 1 {
            return self.settle(token, Resolution::Dropped(drop_reason(action)));
        }
        let first_record = flight.frame.first_record() + u64::from(division.part().first);
        division.reject_first();
        let (source, is_report) = (flight.source, flight.refused_report);
        if let Some(source) = self.flights.source(source)
            && !is_report
        {
            let instance = source.slot.instance();
            let cause = Cause::Dropped(DropReason::Rejected);
            self.flights.add_loss(Loss { instance, first_record, count: 1, cause });
        }
        self.note_progress(token, |sequences| sequences.omit(token, 1));
        self.send_next_part(now, token, 0);
    }

    /// Gives up what is left of a batch, for its receiver's sake or because it cannot be divided.
    pub(super) fn quarantine(&mut self, now: Moment, lane: LaneId, token: u64, answer: &Answer) {
        let left = self.flights.get(token).map_or(0, Flight::records_left);
        self.set_aside(token, left, answer);
        self.finish(now, lane, token, Resolution::Dropped(DropReason::Rejected));
    }

    /// Whether the stored bytes are still those that were sealed: what they say of a receiver's complaint.
    pub(super) fn is_intact(&self, token: u64) -> bool {
        self.flights
            .get(token)
            .is_some_and(|flight| checksum::crc32c(flight.frame.body()) == flight.frame.body_crc())
    }

    /// Makes a batch that was just read ready to be sent: where it was divided before, the part that its binding
    /// names; where its topic takes no batch of its size, or its cluster not its codec, a first part, or the whole of
    /// one that cannot be divided. False where it cannot be read: then it is settled.
    pub(super) fn prepare(&mut self, token: u64) -> bool {
        let Some(flight) = self.flights.get_mut(token) else { return false };
        if flight.division.is_some() {
            return true;
        }
        let records = flight.frame.record_count();
        let stored = flight.frame.binding().map(|binding| binding.part).unwrap_or_default();
        let header = flight.frame.header();
        flight.division = Division::restored(records, &stored).map(Box::new);
        let is_guess = flight.division.is_none();
        if is_guess {
            // Who would have to divide it gets the next hop's own word: what was learned is a guess, on the safe side.
            let limit = match self.refusals.returns(flight.source) {
                true => usize::MAX,
                false => self.placement.batch_bytes_max(flight.frame.topic()),
            };
            let mut bytes = flight.payload().bytes();
            let codec = Header::decode(&header).map(|header| header.codec);
            let is_refused = codec.is_ok_and(|codec| self.refused_codecs.contains(&codec));
            if bytes <= limit && !is_refused {
                return true;
            }
            let mut division = Division::whole(records);
            if is_refused {
                rewrite_codec(&mut division, header);
            }
            while bytes > limit && division.count() > 1 {
                division.halve();
                bytes = bytes.div_ceil(2) * 100 / FILL_PERCENT;
            }
            flight.division = Some(Box::new(division));
        }
        if self.try_cut(token) {
            return true;
        }
        if is_guess
            && self.is_intact(token)
            && let Some(flight) = self.flights.get_mut(token)
        {
            // It has no identity to be divided with. What was learned is a guess: whoever gets it has the last word.
            flight.division = None;
            return true;
        }
        self.give_up_undivided(token);
        false
    }

    /// Sends the part that the division names, under the sequences that the batch has.
    fn send_again(&mut self, now: Moment, token: u64) {
        self.note_progress(token, |sequences| sequences.reject_for_good(token));
        self.send_next_part(now, token, 0);
    }

    /// Cuts the next part, stores its binding, `appended` sequences behind the last one, and has it sent.
    fn send_next_part(&mut self, now: Moment, token: u64, appended: u32) {
        if !self.cut(token) {
            return;
        }
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.lane = None;
        let (topic, partition) = (flight.frame.topic().to_owned(), flight.partition);
        let is_numbered_here = flight.space.is_some();
        let id = self.spaces.of_partition(&topic, partition);
        if let Some(last) = self.flights.get(token).and_then(|flight| flight.binding) {
            let base_sequence = match last.base_sequence {
                unnumbered @ ..0 => unnumbered,
                sequence => sequence + appended.cast_signed(),
            };
            let (producer_id, epoch) = (last.producer_id, last.epoch);
            // Cannot fail: the frame has no end yet.
            self.bind(token, sequence::Binding { producer_id, epoch, base_sequence }, id);
        }
        match self.settings.target.mode {
            TargetMode::Receivers => self.flights.wait(token),
            TargetMode::Kafka => {
                let space = self.spaces.get(id);
                space.resend_at.get_or_insert(now);
                if !is_numbered_here || space.sequences.is_none() {
                    space.hold(token);
                }
            }
        }
    }

    /// Tells the space that numbered the batch, in Kafka mode; among receivers, gaps mean nothing.
    fn note_progress(
        &mut self,
        token: u64,
        note: impl FnOnce(&mut sequence::SequenceSpace) -> Result<(), sequence::UnknownBatch>,
    ) {
        let id = self.flights.get(token).and_then(|flight| flight.space);
        let Some(id) = id.filter(|_| self.settings.target.mode == TargetMode::Kafka) else {
            return;
        };
        if let Some(sequences) = &mut self.spaces.get(id).sequences {
            let known = note(sequences);
            debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
        }
    }

    /// As [`Self::try_cut`]; where it cannot be done the batch is given up.
    fn cut(&mut self, token: u64) -> bool {
        let is_cut = self.try_cut(token);
        if !is_cut {
            self.give_up_undivided(token);
        }
        is_cut
    }

    /// Cuts the part that the batch's division names out of its frame; false where that cannot be done.
    fn try_cut(&mut self, token: u64) -> bool {
        let Some(flight) = self.flights.get_mut(token) else { return false };
        let Some(division) = &flight.division else { return true };
        let part = division.part();
        let rewrite = Rewrite { times: division.times(), note: None };
        let level = self.settings.batch.codec_level.map(u32::cast_signed);
        match cut(flight, part.first, part.count, &rewrite, division.codec(), level) {
            Ok(cut) => {
                flight.piece = Some(Arc::new(cut));
                true
            }
            // Damaged, or from somebody who gave it no identity to be divided with it.
            Err(_undividable) => false,
        }
    }

    /// Gives up a batch of which no part can be cut.
    fn give_up_undivided(&mut self, token: u64) {
        let reason = match self.is_intact(token) {
            true => DropReason::Rejected,
            false => DropReason::Unreadable,
        };
        if reason == DropReason::Rejected {
            let left = self.flights.get(token).map_or(0, Flight::records_left);
            self.keep_letter(token, left, None);
        }
        self.settle(token, Resolution::Dropped(reason));
    }

    /// Puts `count` records, from the next one on, to the dead letters; they are given up also where that fails.
    fn set_aside(&mut self, token: u64, count: u32, answer: &Answer) {
        let Some(flight) = self.flights.get(token) else { return };
        let first = flight.division.as_ref().map_or(0, |division| division.part().first);
        let mut reason = answer.error.to_string();
        if let Some(message) = &answer.message {
            reason = format!("{reason}: {message}");
        }
        let note = Some((REJECTED_HEADER, Some(reason.as_bytes())));
        let rewrite = Rewrite { times: Times::Kept, note };
        let letter = cut(flight, first, count, &rewrite, Some(Codec::None), None);
        if let (Ok(letter), Some(flight)) = (&letter, self.flights.get_mut(token)) {
            flight.refused_report = count == 1 && is_report(letter);
        }
        let letter = letter.map(|letter| Payload::Part(Arc::new(letter)));
        self.keep_letter(token, count, letter.ok());
    }

    /// Puts `count` records to the dead letters; where none could be cut, the batch as it is, if they are all of it.
    fn keep_letter(&mut self, token: u64, count: u32, letter: Option<Payload>) {
        let Some(flight) = self.flights.get(token) else { return };
        let (frame, partition, source) = (flight.frame.clone(), flight.partition, flight.source);
        let whole = (count == frame.record_count()).then(|| Payload::Stored(frame.clone()));
        let instance = self.flights.source(source).map(|source| source.slot.instance());
        if let (Some(letter), Some(instance)) = (letter.or(whole), instance)
            && self.dead_letters.keep(instance, frame.topic(), partition, &letter).is_ok()
        {
            return;
        }
        self.counters.batch.dead_letters_lost.add(u64::from(count));
    }
}

fn drop_reason(action: Action) -> DropReason {
    match action {
        Action::Split => DropReason::TooLarge,
        _poison => DropReason::Rejected,
    }
}

/// Whether an uncompressed batch of one record is a report of losses.
fn is_report(letter: &SplitBatch) -> bool {
    let header = Header::decode(&letter.sealed.header);
    let record = header.ok().and_then(|h| batch::RecordIter::new(&h, &letter.body).next()?.ok());
    record.is_some_and(|record| record.headers().any(|(name, _)| name == LOSS_NAME.as_bytes()))
}

fn cut(
    flight: &Flight,
    first: u32,
    count: u32,
    rewrite: &Rewrite<'_>,
    codec: Option<Codec>,
    level: Option<i32>,
) -> Result<SplitBatch, SplitError> {
    let header = flight.frame.header();
    let codec = match codec {
        Some(codec) => codec,
        None => Header::decode(&header)?.codec,
    };
    // The level is the configured codec's; where the frame has another codec, that one's default.
    let compressor = Compressor::new(
        codec,
        level.filter(|level| codec.levels().is_some_and(|levels| levels.contains(level))),
    );
    let mut compressor = compressor.unwrap_or_else(|_| Compressor::none());
    batch::cut(&header, flight.frame.body(), first..first + count, rewrite, &mut compressor)
}

/// Another codec than the one that was refused: `gzip`, which every service takes that takes any, then none. False
/// where nothing is left to try.
fn rewrite_codec(division: &mut Division, header: [u8; batch::HEADER_BYTES]) -> bool {
    let next = match Header::decode(&header).map(|header| header.codec) {
        Ok(Codec::Snappy | Codec::Lz4 | Codec::Zstd) => Codec::Gzip,
        Ok(Codec::Gzip) => Codec::None,
        Ok(Codec::None) | Err(_) => return false,
    };
    division.set_codec(next);
    true
}

/// Times in the future are set to now, then all are: a topic may bound both sides. False where nothing is left to try.
fn rewrite_times(division: &mut Division, header: [u8; batch::HEADER_BYTES], now_ms: i64) -> bool {
    let latest = Header::decode(&header).map_or(i64::MAX, |header| header.max_timestamp);
    let next = match division.times() {
        Times::Kept if latest > now_ms => Times::AtMost(now_ms),
        Times::Kept | Times::AtMost(_) => Times::All(now_ms),
        Times::All(_) => return false,
    };
    division.set_times(next);
    true
}
