//! What each file of a dead process's spool is: decided from facts, without touching anything.

use std::collections::BTreeMap;

use crate::ids::InstanceId;
use crate::spool::format::COUNT_MAX;
use crate::spool::format::DATA_START;
use crate::spool::format::SegmentHeader;
use crate::spool::format::SegmentHeaderFault;
use crate::spool::recovery::SEGMENT_BYTES_MAX;
use crate::spool::types::SetAsideReason;

/// What the name, the length and the first bytes of a `.seg` file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// The number in its name, if it has the form that we give.
    pub number: Option<u64>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its header.
    pub header: Result<SegmentHeader, SegmentHeaderFault>,
    /// The bytes of whole groups that it says it holds, if that is a possible number.
    pub committed: Option<usize>,
}

/// What to do with each file, by its index in the list of facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Segments that may hold something, by number.
    pub keep: BTreeMap<u64, usize>,
    /// Files that are known to hold nothing any more.
    pub free: Vec<usize>,
    /// Files to move away.
    pub set_aside: Vec<(usize, SetAsideReason)>,
    /// The number that the next segment gets: higher than any seen.
    pub next_segment: u64,
}

/// Decides, from facts only, what each file is.
pub fn plan(files: &[FileFacts], instance: InstanceId, released_through: u64) -> Plan {
    let mut plan = Plan { next_segment: released_through + 1, ..Plan::default() };
    for (index, file) in files.iter().enumerate() {
        let number = match identify(file, instance, released_through) {
            Ok(number) => number,
            Err(reason) => {
                plan.set_aside.push((index, reason));
                continue;
            }
        };
        plan.next_segment = plan.next_segment.max(number + 1);
        if number <= released_through {
            plan.free.push(index);
            continue;
        }
        let duplicate = match plan.keep.get(&number) {
            // A copy under another name: the one whose name fits is the original.
            Some(other) if file.number == Some(number) => {
                let other = *other;
                plan.keep.insert(number, index);
                other
            }
            Some(_) => index,
            None => {
                plan.keep.insert(number, index);
                continue;
            }
        };
        plan.set_aside.push((duplicate, SetAsideReason::Duplicate(number)));
    }
    plan
}

/// The number of the segment that the file is.
fn identify(
    file: &FileFacts,
    instance: InstanceId,
    released_through: u64,
) -> Result<u64, SetAsideReason> {
    let countable = |number: &u64| (1..COUNT_MAX).contains(number);
    let named = file.number.filter(countable);
    let header = match file.header {
        Ok(header) => header,
        Err(SegmentHeaderFault::Version(version)) => {
            return Err(SetAsideReason::OtherVersion(version));
        }
        // A kill while a recycled segment gets its new header: it still has its released name.
        Err(SegmentHeaderFault::Damaged) if named.is_some_and(|n| n <= released_through) => {
            return named.ok_or(SetAsideReason::Name);
        }
        Err(SegmentHeaderFault::Damaged) => {
            // The frames' checksums cover instance and number, so the name can be tried safely.
            return match named {
                Some(number) if is_segment_length(file.bytes) => Ok(number),
                Some(_) => Err(SetAsideReason::Length(file.bytes)),
                None => Err(SetAsideReason::Name),
            };
        }
    };
    if header.address.instance != instance {
        return Err(SetAsideReason::OtherInstance(header.address.instance));
    }
    if !is_segment_length(file.bytes) {
        return Err(SetAsideReason::Length(file.bytes));
    }
    Some(header.address.segment).filter(countable).ok_or(SetAsideReason::Name)
}

/// Whether a segment may be so long.
pub fn is_segment_length(bytes: u64) -> bool {
    (DATA_START as u64..=SEGMENT_BYTES_MAX).contains(&bytes)
}
