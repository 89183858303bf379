//! All partitions of a receiver: where a batch goes, what is a repeat, what is durable.
//!
//! Owns the directory (by its lock), the partitions, the window of repeats and the bound on open
//! files. Must not know sockets or the protocol. Blocking: every call may wait for the disk.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::TryLockError;
use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::batch::Header;
use crate::ids::Moment;
use crate::inspect::layout;
use crate::inspect::layout::TopicPartition;
use crate::receiver::dedupe::DedupeWindow;
use crate::receiver::dedupe::ProducerBatch;
use crate::receiver::options::Options;
use crate::receiver::options::Sync;
use crate::receiver::partition;
use crate::receiver::partition::Partition;
use crate::receiver::partition::RollPolicy;
use crate::receiver::partition::SegmentFailed;
use crate::receiver::recovery;
use crate::receiver::segment;

/// Why a receiver's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another receiver writes there.
    #[error("{0} is in use by another receiver: give each its own directory")]
    InUse(PathBuf),
    /// Anybody could plant files there.
    #[error("{0} is writable by everyone: chmod o-w it, or use another directory")]
    WorldWritable(PathBuf),
    /// The operating system refused something.
    #[error("{path}: {error}")]
    Io {
        /// What was being opened, read or written.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

/// A validated batch as the store sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    /// Header and body, 61 bytes or more.
    pub bytes: &'a [u8],
    /// The header, checked.
    pub header: Header,
    /// Offsets it takes up.
    pub record_count: u32,
    /// What its producer calls it, where that is idempotent.
    pub producer: Option<ProducerBatch>,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub partition: usize,
    pub base_offset: u64,
    pub repeat: bool,
}

/// Why a batch was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the topic would be one more than topics_max")]
    TooManyTopics,
    #[error("the batch is too large to be stored")]
    TooLarge,
    #[error("the disk refused the batch: {0}")]
    Storage(#[from] io::Error),
}

/// Offsets that were appended but did not become durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InDoubt {
    pub partition: usize,
    pub offsets: Range<u64>,
}

struct Slot {
    partition: Partition,
    dirty: bool,
    last_used: u64,
}

/// The store of one receiver.
pub(crate) struct Store {
    root: PathBuf,
    /// None only while it is on its way to the next one, see [`Store::read_again`].
    lock: Option<File>,
    slots: Vec<Slot>,
    by_topic: HashMap<String, usize>,
    window: DedupeWindow,
    policy: RollPolicy,
    topics_max: usize,
    open_files_max: usize,
    open_files: usize,
    uses: u64,
    dirty: Vec<usize>,
    in_doubt: Vec<InDoubt>,
}

impl Store {
    /// Takes the directory, creating it if need be, cuts torn tails and finds each partition's end.
    pub fn open(options: &Options, now: Moment) -> Result<Self, StoreError> {
        let lock = take_directory(&options.dir)?;
        Self::read(Some(lock), options, now)
    }

    /// Forgets everything and finds it again in the files, after a panic left nobody knows what.
    pub fn read_again(&mut self, options: &Options, now: Moment) -> Result<(), StoreError> {
        *self = Self::read(self.lock.take(), options, now)?;
        Ok(())
    }

    fn read(lock: Option<File>, options: &Options, now: Moment) -> Result<Self, StoreError> {
        let root = options.dir.clone();
        let mut store = Self {
            lock,
            slots: Vec::new(),
            by_topic: HashMap::new(),
            window: DedupeWindow::new(options.dedupe_producers_max, options.dedupe_batches_max),
            policy: RollPolicy {
                segment_bytes: options.segment_bytes,
                segment_age: options.segment_age,
                durable: options.sync != Sync::None,
            },
            topics_max: options.topics_max,
            open_files_max: options.open_files_max,
            open_files: 0,
            uses: 0,
            dirty: Vec::new(),
            in_doubt: Vec::new(),
            root,
        };
        for name in layout::partitions(&store.root).map_err(StoreError::io(&store.root))? {
            store.recover(&name, now)?;
        }
        Ok(store)
    }

    /// Appends a batch to partition 0 of `topic`, a checked name; or finds that it is a repeat.
    pub fn append(
        &mut self,
        topic: &str,
        batch: &Incoming<'_>,
        now: Moment,
    ) -> Result<Placed, AppendError> {
        let index = self.slot_of(topic)?;
        if let Some(producer) = &batch.producer
            && let Some(base_offset) = self.window.find(index, producer)
        {
            return Ok(Placed { partition: index, base_offset, repeat: true });
        }
        self.make_room_for_a_file(index);
        let slot = &mut self.slots[index];
        let was_open = slot.partition.is_open();
        let appended = slot.partition.append(batch.bytes, batch.record_count, &self.policy, now);
        self.open_files =
            self.open_files + usize::from(slot.partition.is_open()) - usize::from(was_open);
        let base_offset = appended.map_err(|failed| self.note_failure(index, failed))?;
        self.mark_dirty(index);
        if let Some(producer) = &batch.producer {
            self.window.insert(index, producer, base_offset);
        }
        Ok(Placed { partition: index, base_offset, repeat: false })
    }

    /// Makes everything appended so far durable. What could not be made so since the last call is
    /// returned, and forgotten by the window of repeats, so that a retry is stored anew.
    pub fn sync(&mut self) -> Vec<InDoubt> {
        for index in std::mem::take(&mut self.dirty) {
            let slot = &mut self.slots[index];
            slot.dirty = false;
            let was_open = slot.partition.is_open();
            let synced = slot.partition.sync();
            self.open_files -= usize::from(was_open && !slot.partition.is_open());
            if let Err(failed) = synced {
                let _reported_through_in_doubt = self.note_failure(index, failed);
            }
        }
        std::mem::take(&mut self.in_doubt)
    }

    /// Whether [`Store::sync`] has anything to do or to report.
    pub fn needs_sync(&self) -> bool {
        !self.dirty.is_empty() || !self.in_doubt.is_empty()
    }

    fn recover(&mut self, name: &TopicPartition, now: Moment) -> Result<(), StoreError> {
        let index = self.slots.len();
        let dir = self.root.join(name.directory_name());
        let partition = recovery::recover(&dir, now, |producer, base_offset| {
            self.window.insert(index, &producer, base_offset);
        })?;
        self.slots.push(Slot { partition, dirty: false, last_used: 0 });
        if name.partition == 0 {
            self.by_topic.insert(name.topic.clone(), index);
        }
        Ok(())
    }

    fn slot_of(&mut self, topic: &str) -> Result<usize, AppendError> {
        if let Some(index) = self.by_topic.get(topic) {
            return Ok(*index);
        }
        if self.by_topic.len() >= self.topics_max {
            return Err(AppendError::TooManyTopics);
        }
        let name = TopicPartition { topic: topic.to_owned(), partition: 0 };
        let dir = self.root.join(name.directory_name());
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            // Left by an attempt whose sync failed.
            Ok(()) | Err(_) => {}
        }
        if self.policy.durable {
            partition::sync_directory(&self.root)?;
        }
        self.slots.push(Slot {
            partition: Partition::new(dir, 0, None),
            dirty: false,
            last_used: self.uses,
        });
        self.by_topic.insert(name.topic, self.slots.len() - 1);
        Ok(self.slots.len() - 1)
    }

    /// Closes the longest unused file if `index` needs one more than is allowed.
    fn make_room_for_a_file(&mut self, index: usize) {
        self.uses += 1;
        self.slots[index].last_used = self.uses;
        if self.slots[index].partition.is_open() || self.open_files < self.open_files_max {
            return;
        }
        let open = self.slots.iter().enumerate().filter(|(_, slot)| slot.partition.is_open());
        let Some((oldest, _)) = open.min_by_key(|(_, slot)| slot.last_used) else { return };
        let closed = self.slots[oldest].partition.close_file(&self.policy);
        self.open_files -= 1;
        if let Err(failed) = closed {
            let _reported_through_in_doubt = self.note_failure(oldest, failed);
        }
    }

    fn mark_dirty(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(index);
        }
    }

    fn note_failure(&mut self, index: usize, failed: SegmentFailed) -> io::Error {
        if let Some(offsets) = failed.in_doubt
            && self.policy.durable
        {
            self.window.forget_from(index, offsets.start);
            self.in_doubt.push(InDoubt { partition: index, offsets });
        }
        failed.error
    }

    #[cfg(test)]
    pub fn open_files(&self) -> usize {
        let open = self.slots.iter().filter(|slot| slot.partition.is_open()).count();
        assert_eq!(open, self.open_files);
        open
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child that was forked meanwhile, until it calls
        // exec. If this fails, closing is what is left.
        let _unlocked = self.lock.as_ref().map(File::unlock);
    }
}

/// Creates the directory if need be and locks it for this receiver alone.
///
/// The lock is `flock`: it excludes a second receiver of the same process too, and dies with us.
fn take_directory(root: &Path) -> Result<File, StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(StoreError::io(root))?;
    let mode = std::fs::metadata(root).map_err(StoreError::io(root))?.permissions().mode();
    if mode & 0o002 != 0 {
        return Err(StoreError::WorldWritable(root.to_owned()));
    }
    let path = root.join(layout::LOCK_FILE);
    let lock = segment::private_file(OpenOptions::new().write(true).create(true), &path)
        .map_err(StoreError::io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::Io { path, error }),
    }
}
