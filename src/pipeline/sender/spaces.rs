//! Where a batch may go, and under which sequence numbers.
//!
//! Receivers mode has one space for the whole fleet: any receiver takes any batch, so a single one sees gaps. Kafka
//! mode has a space per topic and partition, each with the broker that leads it, and knows which of them are gone
//! (a topic was deleted and made anew with fewer). Owns the spaces and the
//! producer id; decides nothing about connections.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::TargetMode;
use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::kafka::client::ClusterView;
use crate::proto::kafka::client::TopicView;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::sequence::SequenceSpace;

/// Unresolved batches of the fleet's one space: its windows bound them, this is far above.
const FLEET_WINDOW: usize = 1 << 16;

/// A partition that is listed no more is gone after so long: until then a broker may only be behind, and what was sent
/// to the partition may be there.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// Index of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpaceId(pub usize);

/// Whether batches get sequence numbers, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producer {
    /// An id is needed and not there yet.
    Wanted,
    /// Batches are numbered under this id.
    Known {
        /// The id.
        id: i64,
        /// Its first epoch.
        epoch: i16,
    },
    /// Batches are not numbered: idempotence is off, or the cluster refused it.
    Unnumbered,
}

/// One place with sequence numbers of its own.
#[derive(Debug)]
pub struct Space {
    /// The topic; empty for the fleet's space, which holds all topics.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Who takes its batches; none in receivers mode, where everybody does.
    pub leader: Option<EndpointId>,
    /// Epoch of that leader; -1 for unknown.
    pub leader_epoch: i32,
    /// The numbers; none before the first batch, or where batches are not numbered.
    pub sequences: Option<SequenceSpace>,
    /// Behind the highest offset that was acknowledged here; in Kafka mode.
    pub next_offset: i64,
    /// Bytes bound here that are not acknowledged.
    pub unacknowledged_bytes: u64,
    /// Nothing is sent again before this moment.
    pub resend_at: Option<Moment>,
    /// The producer id is of no use here any more.
    pub wants_new_producer: bool,
    /// The cluster forbids or cannot take what goes here until somebody changes that.
    pub is_stopped: bool,
    /// Batches that go to this partition before any new one, oldest first: those that an earlier
    /// process bound (sent one at a time, under their old numbers), those that are bound to the partition by a key
    /// and found it closed, and, where batches are not numbered, those that were refused.
    pub held: VecDeque<u64>,
    /// When a batch was last bound here, counted in bindings: evens out equal partitions.
    pub used_at: u64,
    /// Since when the cluster lists the topic without this partition.
    absent_since: Option<Moment>,
    /// It has done so for long enough.
    is_gone: bool,
}

impl Space {
    /// Holds a batch, in the order of the tokens.
    pub fn hold(&mut self, token: u64) {
        let index = self.held.partition_point(|held| *held < token);
        if self.held.get(index) != Some(&token) {
            self.held.insert(index, token);
        }
    }

    /// Whether batches are bound here or held.
    fn has_batches(&self) -> bool {
        let unresolved = self.sequences.as_ref().map_or(0, SequenceSpace::unresolved);
        unresolved > 0 || !self.held.is_empty()
    }

    /// Holds a batch no longer.
    pub fn let_go(&mut self, token: u64) {
        self.held.retain(|held| *held != token);
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Spaces {
    mode: TargetMode,
    window: usize,
    list: Vec<Space>,
    by_partition: HashMap<(String, i32), SpaceId>,
    /// Topics that were asked for, in Kafka mode.
    topics: BTreeSet<String>,
    partition_counts: HashMap<String, NonZeroU32>,
    bindings: u64,
    /// The producer id.
    pub producer: Producer,
}

impl Spaces {
    /// No space yet. `window` is how many batches of a partition may be unresolved.
    pub fn new(mode: TargetMode, window: usize, is_idempotent: bool) -> Self {
        let producer = if is_idempotent { Producer::Wanted } else { Producer::Unnumbered };
        let mut spaces = Self {
            mode,
            window,
            list: Vec::new(),
            by_partition: HashMap::new(),
            topics: BTreeSet::new(),
            partition_counts: HashMap::new(),
            bindings: 0,
            producer,
        };
        if mode == TargetMode::Receivers {
            spaces.add(String::new(), 0);
        }
        spaces
    }

    /// A space by its index.
    pub fn get(&mut self, id: SpaceId) -> &mut Space {
        &mut self.list[id.0]
    }

    /// All spaces.
    pub fn ids(&self) -> impl Iterator<Item = SpaceId> + use<> {
        (0..self.list.len()).map(SpaceId)
    }

    /// Topics to ask the cluster for.
    pub fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// Notes that batches of `topic` are to be sent; true where it was not known.
    pub fn want_topic(&mut self, topic: &str) -> bool {
        self.mode == TargetMode::Kafka
            && !self.topics.contains(topic)
            && self.topics.insert(topic.to_owned())
    }

    /// How many partitions the topic has, once that is known.
    pub fn partition_count(&self, topic: &str) -> Option<NonZeroU32> {
        self.partition_counts.get(topic).copied()
    }

    /// Whether any partition of the topic has a leader and is not stopped.
    pub fn is_writable(&self, topic: &str) -> bool {
        let is_open = |space: &Space| space.leader.is_some() && !space.is_stopped;
        self.list.iter().any(|space| space.topic == topic && is_open(space))
    }

    /// The spaces that may take a new batch of `records` records now; in Kafka mode those with a leader.
    pub fn open_for(&mut self, topic: &str, partition: Option<i32>, records: u32) -> Vec<SpaceId> {
        let candidates: Vec<SpaceId> = match self.mode {
            TargetMode::Receivers => vec![SpaceId(0)],
            TargetMode::Kafka => self
                .ids()
                .filter(|id| {
                    let space = &self.list[id.0];
                    space.topic == topic
                        && space.leader.is_some()
                        && partition.is_none_or(|fixed| fixed == space.partition)
                })
                .collect(),
        };
        let is_open = |id: &SpaceId| self.list[id.0].held.is_empty() && self.may_bind(*id, records);
        candidates.into_iter().filter(is_open).collect()
    }

    /// The space of a topic's partition, added where it is not known yet; in receivers mode the fleet's.
    pub fn of_partition(&mut self, topic: &str, partition: i32) -> SpaceId {
        if self.mode == TargetMode::Receivers {
            return SpaceId(0);
        }
        match self.by_partition.get(&(topic.to_owned(), partition)) {
            Some(id) => *id,
            None => self.add(topic.to_owned(), partition),
        }
    }

    /// Batches that are held beyond `allowed` for each partition.
    pub fn held_beyond(&self, allowed: usize) -> usize {
        self.list.iter().map(|space| space.held.len().saturating_sub(allowed)).sum()
    }

    /// Whether a batch that was bound before `token` in the same space is unresolved.
    pub fn earlier_unresolved(&self, id: Option<SpaceId>, token: u64) -> bool {
        let sequences = id.and_then(|id| self.list[id.0].sequences.as_ref());
        sequences.is_some_and(|sequences| sequences.earlier_unresolved(token))
    }

    /// Notes that a batch is bound here.
    pub fn note_use(&mut self, id: SpaceId) {
        self.bindings += 1;
        self.list[id.0].used_at = self.bindings;
    }

    /// Takes over what the cluster says of its partitions.
    pub fn update(&mut self, now: Moment, view: &ClusterView) {
        for topic in &view.topics {
            for partition in &topic.partitions {
                let id = self.of_partition(&topic.name, partition.index);
                let is_led = partition.error == ErrorCode::None
                    || partition.error.number() == REPLICA_NOT_AVAILABLE;
                let space = &mut self.list[id.0];
                space.leader = partition.leader.filter(|_| is_led).map(broker_endpoint);
                space.leader_epoch = partition.leader_epoch;
                space.absent_since = None;
                space.is_gone = false;
            }
            self.note_absent(now, topic);
        }
    }

    /// Notes which partitions a topic has no more, and how many it has. A list that is empty or comes with an error
    /// says nothing of that.
    fn note_absent(&mut self, now: Moment, topic: &TopicView) {
        let Some(count) = NonZeroU32::new(topic.partitions.len() as u32) else { return };
        if topic.error != ErrorCode::None {
            return;
        }
        let is_beyond = |partition: i32| u32::try_from(partition).is_ok_and(|it| it >= count.get());
        let mut some_may_be_there = false;
        for space in self.list.iter_mut().filter(|space| space.topic == topic.name) {
            if is_beyond(space.partition)
                && topic.partitions.iter().all(|listed| listed.index != space.partition)
            {
                space.leader = None;
                let since = *space.absent_since.get_or_insert(now);
                space.is_gone = now.since(since) >= GONE_AFTER;
                some_may_be_there |= !space.is_gone;
            }
        }
        // Keys go where they went for as long as that may be right.
        let known = self.partition_counts.get(&topic.name);
        if !some_may_be_there || known.is_none_or(|known| *known < count) {
            self.partition_counts.insert(topic.name.clone(), count);
        }
    }

    /// Where a batch goes that was meant for a partition: there, or, where that is gone, to the one whose number is
    /// the remainder. That is the keys' own one where the old count is a multiple of the new one.
    pub fn present(&self, topic: &str, partition: i32) -> i32 {
        let space = self.by_partition.get(&(topic.to_owned(), partition));
        let is_gone = space.is_some_and(|id| self.list[id.0].is_gone);
        match self.partition_count(topic) {
            Some(count) if is_gone => (partition.unsigned_abs() % count).cast_signed(),
            Some(_) | None => partition,
        }
    }

    /// The spaces of partitions that are gone and that batches wait for.
    pub fn gone(&self) -> Vec<SpaceId> {
        let is_left = |id: &SpaceId| {
            let space = &self.list[id.0];
            space.is_gone && space.has_batches()
        };
        self.ids().filter(is_left).collect()
    }

    /// Whether every topic asked for can be written.
    pub fn is_complete(&self) -> bool {
        self.topics.iter().all(|topic| {
            self.list.iter().any(|space| space.topic == *topic && space.leader.is_some())
        })
    }

    /// The leaders, or the lack of one, of the partitions that batches wait for.
    pub fn awaited_leaders(&self) -> impl Iterator<Item = Option<EndpointId>> {
        self.list.iter().filter(|space| space.has_batches()).map(|space| space.leader)
    }

    /// Whether a new batch of `records` records may be bound in this space now.
    pub fn may_bind(&mut self, id: SpaceId, records: u32) -> bool {
        let fresh = |id, epoch| match self.mode {
            TargetMode::Receivers => SequenceSpace::of_fleet(id, epoch, FLEET_WINDOW),
            TargetMode::Kafka => SequenceSpace::new(id, epoch, self.window),
        };
        let producer = self.producer;
        let space = &mut self.list[id.0];
        match producer {
            Producer::Wanted => false,
            Producer::Unnumbered => space.resend_at.is_none() && space.sequences.is_none(),
            Producer::Known { id, epoch } => space
                .sequences
                .get_or_insert_with(|| fresh(id, epoch))
                .check_assign(records)
                .is_ok(),
        }
    }

    fn add(&mut self, topic: String, partition: i32) -> SpaceId {
        let id = SpaceId(self.list.len());
        self.by_partition.insert((topic.clone(), partition), id);
        self.list.push(Space {
            topic,
            partition,
            leader: None,
            leader_epoch: -1,
            sequences: None,
            next_offset: 0,
            unacknowledged_bytes: 0,
            resend_at: None,
            wants_new_producer: false,
            is_stopped: false,
            held: VecDeque::new(),
            used_at: 0,
            absent_since: None,
            is_gone: false,
        });
        id
    }
}

/// A partition error that does not hinder writing.
const REPLICA_NOT_AVAILABLE: i16 = 9;

/// The endpoint of a broker, by its node id; bootstrap servers are numbered from the other end.
pub fn broker_endpoint(node: i32) -> EndpointId {
    EndpointId(node.cast_unsigned() & !BOOTSTRAP)
}

/// The endpoint of a host of the URL.
pub fn host_endpoint(index: usize) -> EndpointId {
    EndpointId(BOOTSTRAP | index as u32)
}

/// Whether it is a host of the URL or of a discovery, not a broker that the cluster named.
pub fn is_host(endpoint: EndpointId) -> bool {
    endpoint.0 & BOOTSTRAP != 0
}

/// Set in the endpoints of bootstrap servers.
const BOOTSTRAP: u32 = 1 << 31;

#[cfg(test)]
mod tests;
