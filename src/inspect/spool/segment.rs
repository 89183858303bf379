//! One segment file of a spool, copied into memory and walked there.
//!
//! Copied, because a living owner goes on to write the file; so at most [`SEGMENT_BYTES_MAX`] bytes of
//! memory, and never more than the file has. Where batches are, and what is good, is `spool`'s to say.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::ids::InstanceId;
use crate::spool::BATCH_HEADER_BYTES;
use crate::spool::Binding;
use crate::spool::SEGMENT_BYTES_MAX;
use crate::spool::format;
use crate::spool::format::Address;
use crate::spool::format::BINDING_BYTES;
use crate::spool::format::COMMITTED;
use crate::spool::format::DATA_START;
use crate::spool::format::FRAME_BINDINGS;
use crate::spool::format::FRAME_STATE;
use crate::spool::format::FRAME_TOPIC;
use crate::spool::format::FrameHeader;
use crate::spool::format::SEGMENT_HEADER_BYTES;
use crate::spool::format::STATE_STORED;
use crate::spool::format::SegmentHeader;
use crate::spool::format::SegmentHeaderFault;
use crate::spool::scan;
use crate::spool::scan::Item;
use crate::spool::scan::Sections;
use crate::spool::scan::Trust;

/// How often a file is read again that its owner recycled meanwhile.
const READS_MAX: u32 = 3;

/// Why a file with a segment's name is not read.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A directory, a pipe or the like.
    #[error("is no regular file")]
    NotAFile,
    /// Too short or too long.
    #[error("{0} bytes is no length of a segment")]
    Length(u64),
    /// Written by another version.
    #[error("its format version {0} is unknown to this program")]
    Version(u32),
    /// Its header is destroyed, and its name does not tell its number.
    #[error("is no segment: its header is unreadable")]
    Header,
    /// In another's slot.
    #[error("belongs to instance {0}")]
    OtherInstance(InstanceId),
}

/// The bytes of a segment.
pub struct Contents<'a> {
    address: Address,
    bytes: &'a [u8],
}

/// A batch that waits.
pub struct Stored<'a> {
    /// What the frame says of it.
    pub header: FrameHeader,
    /// Its topic.
    pub topic: &'a str,
    /// The Kafka header as sealed.
    pub batch_header: &'a [u8],
    /// What it was bound to last.
    pub binding: Option<Binding>,
}

/// Reads the segment of `instance` at `path` into `scratch`; `None` where its owner removed or renamed it
/// meanwhile, or goes on recycling it.
pub fn read<'a>(
    path: &Path,
    instance: InstanceId,
    scratch: &'a mut Vec<u8>,
) -> Result<Option<Contents<'a>>, Problem> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Problem::NotAFile);
    }
    let file_bytes = metadata.len();
    if !(DATA_START as u64..=SEGMENT_BYTES_MAX).contains(&file_bytes) {
        return Err(Problem::Length(file_bytes));
    }
    for _ in 0..READS_MAX {
        if !copy(&file, file_bytes, scratch)? {
            continue;
        }
        let address = address(path, instance, scratch)?;
        return Ok(Some(Contents { address, bytes: scratch }));
    }
    Ok(None)
}

/// Copies the file; false where it became another segment, or shorter, meanwhile.
fn copy(file: &File, file_bytes: u64, scratch: &mut Vec<u8>) -> io::Result<bool> {
    let mut head = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut head, 0)?;
    scratch.clear();
    let mut rest = file;
    io::Seek::rewind(&mut rest)?;
    rest.take(file_bytes).read_to_end(scratch)?;
    let mut head_now = [0; SEGMENT_HEADER_BYTES];
    file.read_exact_at(&mut head_now, 0)?;
    Ok(head == head_now && scratch.len() as u64 == file_bytes)
}

/// Whose segment it is, and its number. With a destroyed header the name's number is tried: every checksum
/// covers it.
fn address(path: &Path, instance: InstanceId, bytes: &[u8]) -> Result<Address, Problem> {
    match SegmentHeader::decode(&format::array_at(bytes, 0)) {
        Ok(header) if header.address.instance == instance => Ok(header.address),
        Ok(header) => Err(Problem::OtherInstance(header.address.instance)),
        Err(SegmentHeaderFault::Version(version)) => Err(Problem::Version(version)),
        Err(SegmentHeaderFault::Damaged) => {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let segment = stem.and_then(|stem| stem.parse().ok()).ok_or(Problem::Header)?;
            let address = Address { instance, segment };
            let range = DATA_START..bytes.len();
            let found = scan::next_item(bytes, &address, range, Trust::Nothing);
            found.map(|_| address).ok_or(Problem::Header)
        }
    }
}

impl<'a> Contents<'a> {
    /// Length of the file.
    pub fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Calls `visit` with every batch that waits; the bytes between them that are unreadable.
    pub fn visit(&self, mut visit: impl FnMut(Stored<'a>)) -> u64 {
        let Self { address, bytes } = self;
        let sections = Sections::of(
            *bytes,
            address,
            format::committed_bytes(format::u64_at(bytes, COMMITTED)),
        );
        let mut damaged = 0;
        for section in sections.ranges {
            let mut offset = section.start;
            while let Some(found) =
                scan::next_item(*bytes, address, offset..section.end, Trust::Nothing)
            {
                damaged += found.offset - offset;
                if let Item::Frame(header) = found.item {
                    self.stored(found.offset, header).into_iter().for_each(&mut visit);
                }
                offset = found.end().min(section.end);
            }
            // Where `committed` is unreadable, the section is the whole file, and its end was never used.
            if sections.committed_fits {
                damaged += section.end - offset;
            }
        }
        damaged as u64
    }

    fn stored(&self, offset: usize, header: FrameHeader) -> Option<Stored<'a>> {
        let frame = &self.bytes[offset..offset + header.frame_bytes as usize];
        if format::state_number(format::u64_at(frame, FRAME_STATE)) != STATE_STORED {
            return None;
        }
        let words = FRAME_BINDINGS.map(|start| {
            let slot = &frame[start..start + BINDING_BYTES];
            std::array::from_fn(|index| format::u64_at(slot, 8 * index))
        });
        let binding = scan::newest_binding(&self.address, offset, &words);
        let batch_header = header.batch_header_start();
        Some(Stored {
            header,
            topic: std::str::from_utf8(&frame[FRAME_TOPIC..batch_header]).ok()?,
            batch_header: &frame[batch_header..batch_header + BATCH_HEADER_BYTES],
            binding: binding.map(|(_, _, binding)| binding),
        })
    }
}
