//! Scripts for each rule, and a model broker that random interleavings run against.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A space whose partition knows the producer already.
fn space() -> SequenceSpace {
    SequenceSpace { is_known: true, ..SequenceSpace::new(4000, 0, 5) }
}

fn binding(epoch: i16, base_sequence: i32) -> Binding {
    Binding { producer_id: 4000, epoch, base_sequence }
}

#[test]
fn sequences_count_records_and_the_window_is_bounded() {
    let mut space = space();
    for batch in 0..5 {
        assert_eq!(space.assign(batch, 10), Ok(binding(0, batch as i32 * 10)));
    }
    assert_eq!(space.assign(5, 10), Err(AssignError::WindowFull(5)));
    space.acknowledge(2).unwrap();
    assert_eq!(space.assign(5, 1), Ok(binding(0, 50)));
    assert_eq!(space.acknowledge(2), Err(UnknownBatch(2)));
}

#[test]
fn the_first_batch_under_a_producer_id_or_an_epoch_travels_alone_and_then_five_do() {
    let mut space = SequenceSpace::new(4000, 0, 5);
    let mut batch = 0;
    let mut assign_all = |space: &mut SequenceSpace| {
        let first = batch;
        while space.assign(batch, 10).is_ok() {
            batch += 1;
        }
        first..batch
    };
    assert_eq!(assign_all(&mut space), 0..1);
    space.reject_not_appended(0).unwrap();
    assert_eq!(space.next_resend(), Some((0, binding(0, 0))));
    assert_eq!(assign_all(&mut space), 1..1, "nor is it overtaken when it is sent again");
    space.acknowledge(0).unwrap();
    assert_eq!(assign_all(&mut space), 1..6);
    (1..6).for_each(|batch| space.acknowledge(batch).unwrap());
    assert_eq!(assign_all(&mut space), 6..11, "it is known from then on");
    (6..11).for_each(|batch| space.acknowledge(batch).unwrap());
    space.require_bump();
    space.bump().unwrap();
    assert_eq!(assign_all(&mut space), 11..12);
    // A part of it that was appended is as good as all.
    space.advance(11, 4).unwrap();
    assert_eq!(space.next_resend(), Some((11, binding(1, 4))));
    assert_eq!(assign_all(&mut space), 12..16);
    (11..16).for_each(|batch| space.acknowledge(batch).unwrap());
    space.replace_producer_id(4001, 0).unwrap();
    assert_eq!(assign_all(&mut space), 16..17);
    assert_eq!(assign_all(&mut SequenceSpace::of_fleet(4000, 0, 5)), 17..22);
}

/// Topics are made while the first batches travel: NOT_LEADER for the first one, then the broker leads.
#[test]
fn a_producer_whose_first_batch_is_refused_is_not_overtaken_by_its_next_ones() {
    let mut world = World::new(0, true);
    (0..5).for_each(|_| world.run(&Step::Assign { records: 1 }));
    world.run(&Step::TransientError);
    while world.acknowledged.len() < 5 {
        world.run(&Step::Answer);
        if world.records.len() < 5 {
            world.run(&Step::Assign { records: 1 });
        }
    }
    assert_eq!(world.broker.log, [0, 1, 2, 3, 4]);
}

#[test]
fn batches_of_no_record_or_too_many_cannot_be_numbered() {
    assert_eq!(space().assign(0, 0), Err(AssignError::RecordCount(0)));
    assert_eq!(space().assign(0, 1 << 31), Err(AssignError::RecordCount(1 << 31)));
}

#[test]
fn after_a_failure_the_lowest_is_sent_again_alone_and_unchanged() {
    let mut space = space();
    for batch in 0..3 {
        space.assign(batch, 10).unwrap();
    }
    space.reject_not_appended(0).unwrap();
    assert_eq!(space.assign(3, 1), Err(AssignError::Recovering));
    assert_eq!(space.next_resend(), None, "two are in flight");
    assert!(space.earlier_unresolved(1));
    assert!(!space.earlier_unresolved(0));
    space.reject_out_of_order(1).unwrap();
    space.doubt(2).unwrap();
    assert_eq!(space.next_resend(), Some((0, binding(0, 0))));
    assert_eq!(space.next_resend(), None, "one at a time");
    space.acknowledge(0).unwrap();
    assert_eq!(space.next_resend(), Some((1, binding(0, 10))));
    space.acknowledge(1).unwrap();
    assert_eq!(space.next_resend(), Some((2, binding(0, 20))));
    space.acknowledge(2).unwrap();
    assert_eq!(space.assign(3, 1), Ok(binding(0, 30)), "caught up");
}

#[test]
fn a_batch_given_up_on_bumps_the_epoch_after_a_drain_and_renumbers_the_rest() {
    let mut space = space();
    for batch in 0..4 {
        space.assign(batch, 10).unwrap();
    }
    space.give_up(0).unwrap();
    assert_eq!(space.assign(9, 1), Err(AssignError::BumpNeeded));
    space.acknowledge(1).unwrap();
    space.reject_not_appended(2).unwrap();
    space.doubt(3).unwrap();
    assert!(!space.bump_ready());
    assert_eq!(space.bump(), Err(BumpError::Unresolved(1)));
    assert_eq!(space.next_resend(), Some((3, binding(0, 30))), "to learn the fate of 3");
    space.reject_out_of_order(3).unwrap();
    assert_eq!(space.next_resend(), None, "both wait for the bump");
    assert!(space.bump_ready());
    assert_eq!(space.bump(), Ok(vec![(2, binding(1, 0)), (3, binding(1, 10))]));
    assert_eq!(space.next_resend(), Some((2, binding(1, 0))));
}

#[test]
fn an_attempt_in_doubt_stays_in_doubt_when_the_next_one_is_refused() {
    let mut space = space();
    space.assign(0, 10).unwrap();
    space.doubt(0).unwrap();
    assert!(space.next_resend().is_some());
    space.reject_not_appended(0).unwrap();
    assert!(!space.may_be_rebound(0), "the first attempt may have been appended");
    assert!(space.next_resend().is_some());
    space.reject_out_of_order(0).unwrap();
    assert!(space.may_be_rebound(0), "the broker looked and does not have it");
    assert!(space.bump_ready(), "nothing earlier explains the gap");
}

#[test]
fn nothing_new_follows_a_batch_in_doubt_even_while_it_is_on_its_way_again() {
    // Otherwise the broker, which remembers five batches, could have forgotten it: it would call
    // it out of order, and what it has would be bound anew.
    let mut space = space();
    for batch in 0..5 {
        space.assign(batch, 1).unwrap();
    }
    space.doubt(0).unwrap();
    for batch in 1..5 {
        space.acknowledge(batch).unwrap();
    }
    assert_eq!(space.next_resend(), Some((0, binding(0, 0))));
    assert_eq!(space.assign(5, 1), Err(AssignError::Recovering));
    space.acknowledge(0).unwrap();
    assert_eq!(space.assign(5, 1), Ok(binding(0, 5)));
}

#[test]
fn the_epoch_is_bumped_before_a_sequence_would_wrap() {
    let mut space = space();
    assert_eq!(space.assign(0, i32::MAX as u32), Ok(binding(0, 0)));
    assert_eq!(space.assign(1, 1), Err(AssignError::BumpNeeded));
    assert!(!space.bump_ready(), "batch 0 is in flight");
    space.acknowledge(0).unwrap();
    assert_eq!(space.bump(), Ok(vec![]));
    assert_eq!(space.assign(1, 1), Ok(binding(1, 0)));
}

/// Scenario 23: ten starts near the end of the sequences, ten thousand records over each.
#[test]
fn ten_thousand_records_over_the_end_of_an_epoch_are_numbered_without_a_gap() {
    for distance in [0, 1, 2, 99, 100, 101, 1_000, 5_000, 9_999, 10_000] {
        let mut space = space();
        space.assign(0, (i32::MAX - distance) as u32).unwrap();
        space.acknowledge(0).unwrap();
        let (mut epoch, mut next) = (0, i32::MAX - distance);
        let mut sizes = [100, 1, 37, 256, 6].iter().cycle();
        let (mut batch, mut numbered) = (0, 0);
        while numbered < 10_000 {
            let records = *sizes.next().unwrap();
            batch += 1;
            let bound = match space.assign(batch, records) {
                Ok(bound) => bound,
                Err(AssignError::BumpNeeded) => {
                    assert_eq!(space.bump(), Ok(vec![]), "nothing is unresolved");
                    (epoch, next) = (epoch + 1, 0);
                    space.assign(batch, records).unwrap()
                }
                Err(other) => panic!("{distance}: {other}"),
            };
            assert_eq!(bound, binding(epoch, next), "{distance}");
            space.acknowledge(batch).unwrap();
            // The last sequence of a batch is below the end, so it is never wrapped.
            next += records as i32;
            numbered += records;
        }
        assert_eq!(epoch, i16::from(distance < 10_000), "{distance}");
    }
}

#[test]
fn a_batch_goes_on_in_parts_under_the_sequences_that_it_has() {
    let mut space = space();
    space.assign(0, 10).unwrap();
    space.assign(1, 5).unwrap();
    space.reject_for_good(0).unwrap();
    space.reject_out_of_order(1).unwrap();
    assert_eq!(space.next_resend(), Some((0, binding(0, 0))), "its first part");
    space.advance(0, 4).unwrap();
    assert_eq!(space.next_resend(), Some((0, binding(0, 4))), "the rest of it, before 1");
    space.advance(0, 6).unwrap();
    assert_eq!(space.next_resend(), Some((1, binding(0, 10))));
    space.acknowledge(1).unwrap();
    assert_eq!(space.assign(2, 1), Ok(binding(0, 15)));
}

#[test]
fn what_is_left_out_of_a_batch_leaves_no_gap() {
    let mut space = space();
    space.assign(0, 10).unwrap();
    space.omit(0, 1).unwrap();
    assert_eq!(space.next_resend(), Some((0, binding(0, 0))), "nobody has a later sequence");
    space.advance(0, 9).unwrap();
    assert_eq!(space.assign(1, 3), Ok(binding(0, 9)));
    assert_eq!(space.assign(2, 3), Ok(binding(0, 12)));
    space.omit(1, 1).unwrap();
    assert!(!space.bump_ready(), "2 is in flight under a later sequence");
    space.reject_out_of_order(2).unwrap();
    assert_eq!(space.bump(), Ok(vec![(1, binding(1, 0)), (2, binding(1, 2))]));
    space.omit(1, 2).unwrap();
    assert_eq!(space.bump(), Ok(vec![(2, binding(2, 0))]), "nothing of 1 is left");
    assert_eq!(space.omit(1, 1), Err(UnknownBatch(1)));
}

#[test]
fn the_last_epoch_asks_for_a_new_producer_id() {
    let mut space = SequenceSpace::new(4000, i16::MAX, 5);
    space.require_bump();
    assert_eq!(space.bump(), Err(BumpError::EpochsUsedUp(4000)));
    assert_eq!(space.replace_producer_id(4001, 0), Ok(vec![]));
    let first = Binding { producer_id: 4001, epoch: 0, base_sequence: 0 };
    assert_eq!(space.assign(0, 1), Ok(first));
}

/// One partition of a broker, as `ProducerStateManager` judges batches.
#[derive(Default)]
struct Broker {
    /// A producer that it does not know may begin with any sequence, as in Kafka 2.5 to 4.4.
    is_lenient: bool,
    /// By producer id and epoch.
    producers: BTreeMap<(i64, i16), Producer>,
    /// The batches that were appended, in order.
    log: Vec<u64>,
}

#[derive(Default)]
struct Producer {
    next_sequence: i64,
    /// The last five batches: base sequence, and the sequence after the last record.
    window: VecDeque<(i64, i64)>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Stored,
    OutOfOrder,
}

impl Broker {
    fn handle(&mut self, batch: u64, records: u32, binding: Binding) -> Answer {
        let base = i64::from(binding.base_sequence);
        let range = (base, base + i64::from(records));
        assert!(range.1 <= i64::from(i32::MAX), "a sequence wrapped");
        let producer = (binding.producer_id, binding.epoch);
        if let Some((newest, _)) = self.producers.last_key_value() {
            assert!(producer >= *newest, "an old epoch was used after a new one");
        }
        let is_stranger = self.producers.keys().all(|(id, _)| *id != producer.0);
        let next = match self.producers.get(&producer) {
            Some(known) if known.window.contains(&range) => return Answer::Stored,
            Some(known) => known.next_sequence,
            None if self.is_lenient && is_stranger => base,
            None => 0,
        };
        if base != next {
            return Answer::OutOfOrder;
        }
        let Producer { next_sequence, window } = self.producers.entry(producer).or_default();
        *next_sequence = range.1;
        window.push_back(range);
        if window.len() > 5 {
            window.pop_front();
        }
        self.log.push(batch);
        Answer::Stored
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Assign { records: u32 },
    Answer,
    TransientError,
    AppendedButTimedOut,
    Cut { handled: usize },
    GiveUp { nth: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u32..50).prop_map(|records| Step::Assign { records }),
        1 => Just(Step::Assign { records: i32::MAX as u32 / 3 }),
        5 => Just(Step::Answer),
        1 => Just(Step::TransientError),
        1 => Just(Step::AppendedButTimedOut),
        1 => (0usize..6).prop_map(|handled| Step::Cut { handled }),
        1 => (0usize..5).prop_map(|nth| Step::GiveUp { nth }),
    ]
}

/// A driver of one space over one connection to one partition.
struct World {
    space: SequenceSpace,
    broker: Broker,
    network: VecDeque<(u64, Binding)>,
    records: BTreeMap<u64, u32>,
    /// Batches that wait for an answer or a resend.
    unresolved: Vec<u64>,
    acknowledged: Vec<u64>,
    /// Every sequence range that was ever bound, and to which batch.
    bound: Vec<(Binding, u32, u64)>,
}

impl World {
    fn new(epoch: i16, is_lenient: bool) -> Self {
        Self {
            space: SequenceSpace::new(1, epoch, 5),
            broker: Broker { is_lenient, ..Broker::default() },
            network: VecDeque::new(),
            records: BTreeMap::new(),
            unresolved: Vec::new(),
            acknowledged: Vec::new(),
            bound: Vec::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Assign { records } => self.assign(*records),
            Step::Answer => self.answer(),
            Step::TransientError => {
                if let Some((batch, _)) = self.network.pop_front() {
                    self.space.reject_not_appended(batch).unwrap();
                }
            }
            Step::AppendedButTimedOut => {
                if let Some((batch, binding)) = self.network.pop_front() {
                    self.broker.handle(batch, self.records[&batch], binding);
                    self.space.doubt(batch).unwrap();
                }
            }
            Step::Cut { handled } => {
                for (index, (batch, binding)) in
                    std::mem::take(&mut self.network).into_iter().enumerate()
                {
                    if index < *handled {
                        self.broker.handle(batch, self.records[&batch], binding);
                    }
                    self.space.doubt(batch).unwrap();
                }
            }
            Step::GiveUp { nth } => {
                let waiting =
                    self.unresolved.iter().copied().filter(|batch| {
                        self.network.iter().all(|(in_flight, _)| in_flight != batch)
                    });
                if let Some(batch) = waiting.collect::<Vec<_>>().get(*nth).copied() {
                    self.space.give_up(batch).unwrap();
                    self.unresolved.retain(|other| *other != batch);
                }
            }
        }
        self.drive();
    }

    fn assign(&mut self, records: u32) {
        let batch = self.records.len() as u64;
        if let Ok(binding) = self.space.assign(batch, records) {
            self.records.insert(batch, records);
            self.unresolved.push(batch);
            self.note(batch, binding);
            self.network.push_back((batch, binding));
        }
    }

    fn answer(&mut self) {
        let Some((batch, binding)) = self.network.pop_front() else { return };
        match self.broker.handle(batch, self.records[&batch], binding) {
            Answer::Stored => {
                self.space.acknowledge(batch).unwrap();
                self.unresolved.retain(|other| *other != batch);
                self.acknowledged.push(batch);
            }
            Answer::OutOfOrder => self.space.reject_out_of_order(batch).unwrap(),
        }
    }

    fn drive(&mut self) {
        if self.space.bump_ready() {
            assert!(self.network.is_empty());
            let rebound = match self.space.bump() {
                Err(BumpError::EpochsUsedUp(id)) => self.space.replace_producer_id(id + 1, 0),
                outcome => outcome,
            };
            for (batch, binding) in rebound.unwrap() {
                assert!(!self.broker.log.contains(&batch), "an appended batch was bound anew");
                self.note(batch, binding);
            }
        }
        while let Some(resend) = self.space.next_resend() {
            self.network.push_back(resend);
        }
    }

    /// No sequence of an epoch ever belongs to two batches.
    fn note(&mut self, batch: u64, binding: Binding) {
        let records = self.records[&batch];
        let end =
            |binding: &Binding, records: u32| i64::from(binding.base_sequence) + i64::from(records);
        for (other, other_records, other_batch) in &self.bound {
            let same_epoch =
                (other.producer_id, other.epoch) == (binding.producer_id, binding.epoch);
            let apart = end(other, *other_records) <= i64::from(binding.base_sequence)
                || end(&binding, records) <= i64::from(other.base_sequence);
            assert!(!same_epoch || apart, "batches {other_batch} and {batch} share a sequence");
        }
        self.bound.push((binding, records, batch));
    }
}

proptest! {
    #[test]
    fn interleavings_never_reuse_a_sequence_leave_no_gap_and_keep_the_order(
        epoch in prop_oneof![Just(0i16), Just(i16::MAX - 1)],
        is_lenient in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(epoch, is_lenient);
        for step in &steps {
            world.run(step);
        }
        let mut answers_left = 1000;
        while world.space.unresolved() > 0 {
            world.run(&Step::Answer);
            answers_left -= 1;
            prop_assert!(answers_left > 0, "stuck: {:?}", world.space);
        }
        // Whatever happened, the next batch is accepted: no gap is left.
        let last = world.records.len() as u64;
        world.run(&Step::Assign { records: 1 });
        if !world.records.contains_key(&last) {
            world.run(&Step::Assign { records: 1 });
        }
        prop_assert!(world.records.contains_key(&last), "refused: {:?}", world.space);
        world.run(&Step::Answer);
        prop_assert_eq!(world.acknowledged.last(), Some(&last));
        for batch in &world.acknowledged {
            prop_assert!(world.broker.log.contains(batch), "batch {}", batch);
        }
        let log = &world.broker.log;
        prop_assert!(log.is_sorted_by(|one, next| one < next), "twice or out of order: {:?}", log);
    }
}
