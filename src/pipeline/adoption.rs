//! Which slots of dead processes are taken over, and when: at the start, and while we live, since a sibling of
//! the same name may die at any time.
//!
//! Every `adoption.interval` the slots of the name are listed; whose record lock is free is dead, and of several
//! that try, the kernel lets one have it. At most `adoption.slots_max` are open at a time; the next one has its
//! turn when one is delivered and gone. Works in small steps between the batcher's own rounds, so that a large
//! heritage does not keep our own rings waiting.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::Event;
use crate::ids::InstanceId;
use crate::ids::Moment;
use crate::pipeline::adopt::AdoptError;
use crate::pipeline::adopt::Adopting;
use crate::pipeline::adopt::Options;
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::slots::Roots;
use crate::stats::Counters;
use crate::transport::Waker;

/// Pause before a slot that could not be adopted is looked at again: want of memory or descriptors passes.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What an adoption is made of.
pub struct Parts {
    /// Where the slots are.
    pub roots: Roots,
    /// How they are adopted.
    pub options: Options,
    /// Pause between two looks for dead slots.
    pub interval: Duration,
    /// Adopted slots that may be open at a time.
    pub slots_max: usize,
    /// The clock.
    pub clock: Clock,
    /// Takes the spools.
    pub handover: Arc<Handover>,
    /// Statistics.
    pub counters: Arc<Counters>,
    /// Wakes the sender.
    pub sender: Waker,
    /// Takes events.
    pub notifier: Notifier,
}

/// See the module's head.
pub struct Adoption {
    parts: Parts,
    listed_at: Option<Moment>,
    /// Listed and not looked at yet.
    waiting: VecDeque<InstanceId>,
    current: Option<Box<Adopting>>,
    /// Slots that could not be adopted or held nothing, and when.
    refused: BTreeMap<InstanceId, Moment>,
}

impl Adoption {
    /// Nothing was looked at yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            listed_at: None,
            waiting: VecDeque::new(),
            current: None,
            refused: BTreeMap::new(),
        }
    }

    /// One step of bounded work, which may block on the disk; true where the next one can follow at once.
    pub fn step(&mut self) -> bool {
        if self.current.is_some() {
            self.go_on();
            return true;
        }
        if self.waiting.is_empty() {
            self.list_if_due();
        }
        if self.parts.handover.adopted_slots() < self.parts.slots_max
            && let Some(instance) = self.waiting.pop_front()
        {
            self.begin(instance);
            return true;
        }
        if self.waiting.is_empty() && !self.parts.handover.adoption_done() {
            self.parts.handover.finish_adoption();
            self.parts.sender.wake();
        }
        false
    }

    fn list_if_due(&mut self) {
        let now = self.parts.clock.moment();
        if self.listed_at.is_some_and(|at| now.since(at) < self.parts.interval) {
            return;
        }
        self.listed_at = Some(now);
        self.parts.roots.remove_unfinished();
        let instances = self.parts.roots.instances();
        self.refused
            .retain(|instance, at| instances.contains(instance) && now.since(*at) < RETRY_AFTER);
        self.waiting = instances.into();
        self.waiting.retain(|instance| !self.refused.contains_key(instance));
    }

    fn begin(&mut self, instance: InstanceId) {
        let Parts { roots, options, clock, .. } = &self.parts;
        let Some(dead) = roots.adopt(instance) else { return };
        let begun = caught(|| Adopting::begin(dead, options, clock, || roots.create()));
        match begun {
            Ok(adopting) => self.current = Some(Box::new(adopting)),
            Err(failure) => self.note(instance, failure),
        }
    }

    /// Commits the next slice; hands the spools to the sender after the last one.
    fn go_on(&mut self) {
        let Some(mut adopting) = self.current.take() else { return };
        let instance = adopting.instance();
        let step = caught(|| {
            let more = adopting.commit_next()?;
            Ok(if more { Step::More(adopting) } else { Step::Done(adopting.finish()?) })
        });
        match step {
            Ok(Step::More(adopting)) => self.current = Some(adopting),
            Ok(Step::Done(sources)) => {
                if sources.is_empty() {
                    // Files that nobody knows keep its directory: no reason to look at it all the time.
                    self.refused.insert(instance, self.parts.clock.moment());
                }
                for source in sources {
                    self.parts.notifier.notify(Event::SlotAdopted {
                        instance: source.slot.instance(),
                        stored: source.reader.totals().stored_records,
                    });
                    self.parts.handover.give(source);
                }
                self.parts.sender.wake();
            }
            Err(failure) => self.note(instance, failure),
        }
    }

    /// The slot stays as it is, for the next try or for somebody's eyes; the others go on.
    fn note(&mut self, instance: InstanceId, failure: Failure) {
        self.refused.insert(instance, self.parts.clock.moment());
        let counters = &self.parts.counters.batch;
        match failure {
            Failure::Refused(_kept) => counters.spool_errors.add(1),
            Failure::Panic => counters.panics.add(1),
        }
    }
}

/// What a step has come to.
enum Step {
    More(Box<Adopting>),
    Done(Vec<Source>),
}

enum Failure {
    Refused(AdoptError),
    Panic,
}

/// Runs a step whose panic must not cost us more than this one slot.
fn caught<T>(step: impl FnOnce() -> Result<T, AdoptError>) -> Result<T, Failure> {
    // Unwind safety: the slot and all that was made of it are dropped with the panic.
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(outcome) => outcome.map_err(Failure::Refused),
        Err(_panic) => Err(Failure::Panic),
    }
}
