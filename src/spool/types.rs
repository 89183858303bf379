//! What goes into the spool and what comes out: plain values and errors.
//!
//! Knows nothing of files or layouts; the limits named here are enforced by the writer.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::spool::store::StoreKind;

/// Length of a Kafka record batch's header in bytes, magic 2.
pub const BATCH_HEADER_BYTES: usize = 61;

/// How many reasons for a drop the ledger has room for.
pub const DROP_REASONS_MAX: usize = 16;

/// The largest group. One that is larger than a segment gets a segment of its own size, so this is also the largest
/// segment beside those of [`Options::segment_bytes`]. A slice of 2 MiB and one record more, each byte six of
/// JSON, stay below it.
pub const GROUP_BYTES_MAX: u64 = 32 << 20;

/// How large a spool may get and what it survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Size of a segment file: a multiple of 4096 from 64 KiB to 1 GiB. Default 4 MiB.
    pub segment_bytes: u64,
    /// Bound on the sum of all segment files of this spool, at least two segments.
    pub bytes_max: u64,
    /// What survives a power cut. A crash of the process loses nothing with any of them.
    pub sync: Sync,
    /// How files are written; by what the file system can be trusted with, where it is `None`.
    pub store: Option<StoreKind>,
    /// Bound on the segments in memory while the disk refuses files; with 0 commits fail instead.
    pub memory_bytes_max: u64,
}

/// When committed groups are forced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Never: the kernel writes back when it likes. Default.
    None,
    /// Before [`Writer::commit`](super::Writer::commit) returns.
    Batch,
    /// By [`Writer::sync_due`](super::Writer::sync_due), at most this long after a commit.
    Interval(Duration),
}

/// One sealed batch, borrowed for the time of a commit.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The topic, at most 65,535 bytes.
    pub topic: &'a str,
    /// The partition fixed at seal, or -1 for any.
    pub partition: i32,
    /// The highest severity of its records.
    pub severity_max: u8,
    /// Number of the batch within its instance, see [`BatchIdentity`](crate::ids::BatchIdentity).
    pub batch_number: u64,
    /// Number of its first record within the instance.
    pub first_record: u64,
    /// How many records it holds, at least one.
    pub record_count: u32,
    /// The latest timestamp in milliseconds since 1970.
    pub max_timestamp: i64,
    /// The batch header as sealed: producer fields -1, CRC 0.
    pub header: &'a [u8; BATCH_HEADER_BYTES],
    /// The compressed records; never changed again.
    pub body: &'a [u8],
    /// CRC-32C of `body`, taken when it was sealed.
    pub body_crc: u32,
}

/// What one drain sealed: committed together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Number of the first record; must follow on the previous group.
    pub first_record: u64,
    /// How far each drained ring is consumed by this group.
    pub positions: &'a [RingPosition],
    /// The batches, at least one, their record ranges one behind the other.
    pub batches: &'a [Batch<'a>],
}

/// Where a committed group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The segment's number.
    pub segment: u64,
    /// Offset behind the group within the segment file.
    pub end_offset: u64,
    /// The group's number within the instance, from 0.
    pub group: u64,
}

/// What a frame was bound to before its first byte was sent (I4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Kafka's producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of the batch's first record.
    pub base_sequence: i32,
    /// The partition the batch goes to.
    pub partition: i32,
    /// CRC of the batch as sent, with the producer fields filled in.
    pub batch_crc: u32,
    /// Which space of sequence numbers counts: a cluster's, or the fleet's.
    pub sequence_space: u32,
    /// Which of the frame's records it covers.
    pub part: Part,
}

/// The records of a frame that a binding covers, and how those before them ended.
///
/// A frame that a receiver does not take as a whole is sent in parts, first to last, one after the other: what
/// a part is made of is told by the frame's own bytes and by this, so that whoever finds it after a crash sends the
/// same part again. The default is the frame as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Records of the frame that have ended before this part: delivered, or rejected.
    pub first: u32,
    /// Records of the part; 0 is the frame as it is stored.
    pub count: u32,
    /// How many of the records before this part were rejected.
    pub rejected: u32,
    /// How the part is written, in the sender's own numbering; 0 is as the frame is.
    pub rewrite: u16,
    /// The time that the rewriting goes by, in milliseconds since 1970.
    pub time_ms: i64,
}

/// How a frame ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A receiver acknowledged it.
    Delivered,
    /// It was sent, and nobody will ever say whether it arrived.
    Unconfirmed,
    /// It was given up; counted, never silent.
    Dropped(DropReason),
}

/// Why a frame was given up; the numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DropReason {
    /// A receiver refused it for good.
    Rejected = 0,
    /// No receiver takes a batch of this size.
    TooLarge = 1,
    /// The spool was full and the policy chose it.
    Quota = 2,
    /// As `Quota`, but it had been sent and its fate was unknown: it may have arrived.
    InDoubt = 3,
    /// Its bytes became unreadable behind us: the file was truncated or its disk failed.
    Unreadable = 4,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [DropReason; 5] = [
        DropReason::Rejected,
        DropReason::TooLarge,
        DropReason::Quota,
        DropReason::InDoubt,
        DropReason::Unreadable,
    ];

    /// The name under which it is counted.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::Rejected => "rejected",
            DropReason::TooLarge => "too_large",
            DropReason::Quota => "quota",
            DropReason::InDoubt => "in_doubt",
            DropReason::Unreadable => "unreadable",
        }
    }
}

/// Where a frame lies, in the order of commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The segment's number.
    pub segment: u64,
    /// Offset of the frame within the segment file.
    pub offset: u64,
}

/// The account of a spool: `records = delivered + unconfirmed + dropped + damaged + stored_records`.
///
/// All but the last two are record counts over the whole life of the instance; of segments that a
/// crash left behind, what was already resolved counts as stored until the reader gets there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records of all published groups.
    pub records: u64,
    /// Batches of all published groups.
    pub batches: u64,
    /// Acknowledged records.
    pub delivered: u64,
    /// Records whose fate nobody can tell.
    pub unconfirmed: u64,
    /// Records given up, by [`DropReason`] number.
    pub dropped: [u64; DROP_REASONS_MAX],
    /// Records whose bytes were found unreadable.
    pub damaged: u64,
    /// Records that wait for a resolution.
    pub stored_records: u64,
    /// Batches that wait for a resolution.
    pub stored_batches: u64,
    /// Bytes of the frames that wait, and of everything not read yet.
    pub stored_bytes: u64,
}

/// Something unreadable that the reader met, with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment in which it was noticed.
    pub segment: u64,
    /// The unreadable bytes, copied to the quarantine; empty when a whole segment is missing.
    pub bytes: Range<u64>,
    /// The records that are missing, from the good neighbours; empty when none is known to be.
    pub records: Range<u64>,
}

/// Why a file was moved to the quarantine instead of being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetAsideReason {
    /// Its format has this version, which we do not know.
    OtherVersion(u32),
    /// It belongs to another instance.
    OtherInstance(InstanceId),
    /// Another file holds the segment of this number already.
    Duplicate(u64),
    /// Its length in bytes is no segment's.
    Length(u64),
    /// Its name or number is none that we would give.
    Name,
    /// It says that it holds groups, and none of them is readable.
    Unreadable,
}

impl fmt::Display for SetAsideReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherVersion(version) => write!(f, "its format version {version} is unknown"),
            Self::OtherInstance(instance) => write!(f, "it belongs to instance {instance}"),
            Self::Duplicate(number) => write!(f, "another file is segment {number} already"),
            Self::Length(bytes) => write!(f, "{bytes} bytes is no length of a segment"),
            Self::Name => f.write_str("its name is none that a segment is given"),
            Self::Unreadable => f.write_str("it holds nothing readable"),
        }
    }
}

/// A file that recovery moved to the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// Why.
    pub reason: SetAsideReason,
}

/// What recovery found. Damage inside segments is reported when the reader gets there, by
/// [`Reader::take_damage`](super::Reader::take_damage).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that may still hold unresolved frames.
    pub segments: usize,
    /// Segments whose content was read, to find the newest groups: bounded, whatever the backlog.
    pub segments_scanned: usize,
    /// Files moved to the quarantine.
    pub set_aside: Vec<SetAside>,
    /// The ledger was unreadable: what released segments held is counted unconfirmed.
    pub ledger_lost: bool,
    /// The newest bytes are unreadable, so record numbers from `next_record` on may have been used:
    /// whoever commits more must do so under a new instance.
    pub tail_unknown: bool,
}

/// Why a spool could not be opened, or a frame not bound.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// An option is out of its range.
    #[error("spool option {name} is {value}: it must be {allowed}")]
    Options {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// The system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory holds nothing that says whose spool it is.
    #[error("{} is no spool: it has no ledger, no segment and no instance's name", path.display())]
    NotASpool {
        /// The directory.
        path: PathBuf,
    },
    /// The frame was resolved already, so it must not be sent again.
    #[error("the frame at {position:?} is resolved and cannot be bound")]
    Resolved {
        /// Which frame.
        position: Position,
    },
}

impl SpoolError {
    /// For `map_err`: an [`SpoolError::Io`] with what was tried on which path.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Why a group was not committed; nothing of it is in the spool then.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The quota leaves no room for another segment; room comes when the reader releases one.
    #[error("the spool is full: {used_bytes} of {bytes_max} bytes of segments are in use")]
    Full {
        /// Bytes of all segment files.
        used_bytes: u64,
        /// The quota.
        bytes_max: u64,
    },
    /// The group is larger than any may be, see [`GROUP_BYTES_MAX`].
    #[error("the group needs {bytes} bytes, and may have {bytes_max}: seal less at once")]
    TooLarge {
        /// What it needs.
        bytes: u64,
        /// What there is.
        bytes_max: u64,
    },
    /// The group has no batch, an empty one, or record numbers that do not follow on.
    #[error("record {found} was expected to be {expected}: record numbers must have no holes")]
    Misnumbered {
        /// The number that comes next.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The system refused a segment file, or could not make the group durable.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
