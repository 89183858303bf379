//! A client in this process and in its forked children: each has a pipeline of its own.
//!
//! A forked child has copies of everything the parent has, but none of its threads, and must not
//! touch its rings, sockets or locks. It finds out with one load per call (`sys::fork`), takes a fresh
//! slot and instance, and starts threads of its own at its first record. Owns the chain of these
//! pipelines; never frees, sends or unlocks anything of another process. Invariant: a node is used only
//! in the process that made it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Settings;
use crate::ids::StreamId;
use crate::pipeline;
use crate::pipeline::Pipeline;
use crate::pipeline::StartError;
use crate::ring::Registry;
use crate::sys::fork;
use crate::sys::set_once::SetOnce;

/// Pause before a child tries again to start a pipeline that could not be started.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The pipeline of one process.
pub(crate) struct Node {
    generation: u64,
    registry: Arc<Registry>,
    pipeline: Mutex<Pipeline>,
    /// Serialises the adding of streams.
    streams: Mutex<()>,
    heir: Heir,
}

/// The node of the child that was forked from a node's process, once it has logged.
#[derive(Default)]
struct Heir {
    node: SetOnce<Node>,
    /// The process in which a thread is starting the node now; a dead one's number means nobody.
    started_by: AtomicU64,
    /// No further try before this moment.
    retry_at: AtomicU64,
    /// Records refused while there was no node.
    refused: AtomicU64,
}

/// See the module's head.
pub(crate) struct Lineage {
    first: Node,
    clock: Clock,
    settings: Arc<Settings>,
    is_closed: AtomicBool,
}

impl Node {
    fn start(
        settings: &Arc<Settings>,
        clock: Clock,
        topics: &[String],
    ) -> Result<Self, StartError> {
        let pipeline = Pipeline::start(settings.clone(), clock)?;
        let registry = pipeline.registry().clone();
        for topic in topics {
            // A fresh directory has room for as many streams as the parent's had.
            let _added = registry.arena().add_stream(topic);
        }
        let generation = fork::generation();
        let pipeline = Mutex::new(pipeline);
        Ok(Self {
            generation,
            registry,
            pipeline,
            streams: Mutex::default(),
            heir: Heir::default(),
        })
    }

    /// The calling thread's rings.
    #[inline(always)]
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The stream of topic `name`, added where it is new; none where there are too many.
    pub(crate) fn stream(&self, name: &str) -> Option<StreamId> {
        // A poisoned lock guards nothing but the order of calls.
        let _one_at_a_time = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let arena = self.registry.arena();
        let known = arena.streams().iter().position(|known| known == name);
        known.map(|index| StreamId(index as u16)).or_else(|| arena.add_stream(name))
    }

    /// The pipeline; to be held for a moment only.
    pub(crate) fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        // A poisoned lock guards handles that are valid at every step.
        self.pipeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lineage {
    /// Starts the pipeline of this process, with the topic of the URL as its first stream.
    pub(crate) fn start(settings: Arc<Settings>) -> Result<Self, StartError> {
        let clock = Clock::start();
        let first = Node::start(&settings, clock, std::slice::from_ref(&settings.topic))?;
        Ok(Self { first, clock, settings, is_closed: AtomicBool::new(false) })
    }

    /// Whether a pipeline would find a place for its files; starts nothing.
    pub(crate) fn probe(settings: &Settings) -> Result<(), StartError> {
        pipeline::probe(settings)
    }

    /// The checked configuration.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The clock that stamps records.
    #[inline(always)]
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// This process's node, for a record: a forked child starts its own at its first one.
    ///
    /// `None` while another thread of the child starts it, or where it cannot be started: the record
    /// is refused, and counted.
    #[inline(always)]
    pub(crate) fn node_for_record(&self) -> Option<&Node> {
        let generation = fork::generation();
        if self.first.generation == generation {
            return Some(&self.first);
        }
        self.node_of_child(generation)
    }

    /// This process's node; `None` in a forked child that has not logged.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.last_of(fork::generation()).ok()
    }

    /// Stops this process's pipeline; true where everything it accepted was acknowledged.
    pub(crate) fn stop(&self, deadline: Duration) -> bool {
        // Release: partner is the load in `start_heir`; a child forked later starts nothing any more.
        self.is_closed.store(true, Ordering::Release);
        let Some(node) = self.node() else { return true };
        // The lock is given back before the waiting begins.
        let stopping = node.pipeline().begin_stop();
        stopping.is_none_or(|stopping| stopping.finish(deadline))
    }

    /// Records refused in this process while it had no node.
    pub(crate) fn refused_without_node(&self) -> u64 {
        let (Ok(node) | Err(node)) = self.last_of(fork::generation());
        // A node's own count is that of its children.
        let before = std::iter::successors(Some(&self.first), |node| node.heir.node.get());
        let parents = before.take_while(|before| !std::ptr::eq(*before, node)).last();
        // Relaxed: a statistic.
        parents.map_or(0, |parent| parent.heir.refused.load(Ordering::Relaxed))
    }

    /// The node of process `generation`, or the last node there is.
    fn last_of(&self, generation: u64) -> Result<&Node, &Node> {
        let mut node = &self.first;
        while node.generation != generation {
            node = node.heir.node.get().ok_or(node)?;
        }
        Ok(node)
    }

    #[cold]
    fn node_of_child(&self, generation: u64) -> Option<&Node> {
        let parent = match self.last_of(generation) {
            Ok(node) => return Some(node),
            Err(parent) => parent,
        };
        let node = self.start_heir(parent, generation);
        if node.is_none() {
            // Relaxed: a statistic.
            parent.heir.refused.fetch_add(1, Ordering::Relaxed);
        }
        node
    }

    fn start_heir<'a>(&self, parent: &'a Node, generation: u64) -> Option<&'a Node> {
        let heir = &parent.heir;
        let now = self.clock.moment();
        // Relaxed: only this process's threads compete, and the node itself is published by `set`.
        let retry_at = heir.retry_at.load(Ordering::Relaxed);
        let busy_with = heir.started_by.load(Ordering::Relaxed);
        // Acquire: partner is `stop`.
        let is_closed = self.is_closed.load(Ordering::Acquire);
        if is_closed || busy_with == generation || now.0 < retry_at {
            return None;
        }
        // Acquire/Relaxed: partner is the release below; one thread at a time starts the node.
        heir.started_by
            .compare_exchange(busy_with, generation, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        // Another thread may have finished between the two looks.
        if let Some(node) = heir.node.get() {
            heir.started_by.store(0, Ordering::Release);
            return Some(node);
        }
        // The parent's directory of streams is in memory that both processes map.
        let topics = parent.registry.arena().streams();
        let started = match Node::start(&self.settings, self.clock, &topics) {
            Ok(node) => heir.node.set(Box::new(node)).ok(),
            Err(_refused) => {
                // Relaxed: a hint.
                heir.retry_at.store(now.after(RETRY_AFTER).0, Ordering::Relaxed);
                None
            }
        };
        // Release: partner is the exchange above.
        heir.started_by.store(0, Ordering::Release);
        started
    }
}
