//! Where a batch may go, and under which sequence numbers.
//!
//! Receivers mode has one space for the whole fleet: any receiver takes any batch, so a single one sees gaps. Kafka
//! mode has a space per topic and partition, each with the broker that leads it. Owns the spaces and the
//! producer id; decides nothing about connections.

use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::config::TargetMode;
use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::kafka::client::ClusterView;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::sequence::SequenceSpace;

/// Unresolved batches of the fleet's one space: its windows bound them, this is far above.
const FLEET_WINDOW: usize = 1 << 16;

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
    /// The numbers; none before the first batch, or where batches are not numbered.
    pub sequences: Option<SequenceSpace>,
    /// Bytes bound here that are not acknowledged.
    pub unacknowledged_bytes: u64,
    /// Nothing is sent again before this moment.
    pub resend_at: Option<Moment>,
    /// The producer id is of no use here any more.
    pub wants_new_producer: bool,
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

    /// The spaces that may take a new batch of `records` records now.
    pub fn open_for(&mut self, topic: &str, partition: i32, records: u32) -> Vec<SpaceId> {
        let candidates: Vec<SpaceId> = match self.mode {
            TargetMode::Receivers => vec![SpaceId(0)],
            TargetMode::Kafka => self
                .ids()
                .filter(|id| {
                    let space = &self.list[id.0];
                    space.topic == topic
                        && space.leader.is_some()
                        && (partition < 0 || space.partition == partition)
                })
                .collect(),
        };
        candidates.into_iter().filter(|id| self.is_open(*id, records)).collect()
    }

    /// The space of a topic's partition; in receivers mode the fleet's.
    pub fn of_partition(&self, topic: &str, partition: i32) -> Option<SpaceId> {
        match self.mode {
            TargetMode::Receivers => Some(SpaceId(0)),
            TargetMode::Kafka => self.by_partition.get(&(topic.to_owned(), partition)).copied(),
        }
    }

    /// Takes over what the cluster says of its partitions.
    pub fn update(&mut self, view: &ClusterView) {
        for topic in &view.topics {
            for partition in &topic.partitions {
                let key = (topic.name.clone(), partition.index);
                let id = match self.by_partition.get(&key) {
                    Some(id) => *id,
                    None => self.add(topic.name.clone(), partition.index),
                };
                let is_led = partition.error == ErrorCode::None
                    || partition.error.number() == REPLICA_NOT_AVAILABLE;
                self.list[id.0].leader = partition.leader.filter(|_| is_led).map(broker_endpoint);
            }
        }
    }

    /// Whether every topic asked for has a partition that can be written.
    pub fn is_complete(&self) -> bool {
        self.topics.iter().all(|topic| {
            self.list.iter().any(|space| space.topic == *topic && space.leader.is_some())
        })
    }

    fn is_open(&mut self, id: SpaceId, records: u32) -> bool {
        let window = match self.mode {
            TargetMode::Receivers => FLEET_WINDOW,
            TargetMode::Kafka => self.window,
        };
        let producer = self.producer;
        let space = &mut self.list[id.0];
        match producer {
            Producer::Wanted => false,
            Producer::Unnumbered => space.resend_at.is_none(),
            Producer::Known { id, epoch } => space
                .sequences
                .get_or_insert_with(|| SequenceSpace::new(id, epoch, window))
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
            sequences: None,
            unacknowledged_bytes: 0,
            resend_at: None,
            wants_new_producer: false,
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

/// Set in the endpoints of bootstrap servers.
const BOOTSTRAP: u32 = 1 << 31;
