//! Where records go that a receiver refuses for good: files of Kafka record batches, kept for somebody's eyes.
//!
//! ```text
//! <spool root>/<name>/dead-letters/<instance>/<topic>-<partition>/<20 digits>.log
//! ```
//!
//! Laid out as a receiver's directory, so `logdrive cat` and `verify` read one instance's. It outlives its slot.
//! Owns the files of one client, and their bound. Invariants: what [`DeadLetters::keep`] returned from is on
//! the disk, and so is the file's name; a file holds whole batches up to a torn end, which the next opening cuts off.
//! A crash between that and the frame's own note of it may keep a record twice: readers know it by its identity (I11).

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;

use crate::batch;
use crate::batch::HEADER_BYTES;
use crate::ids::InstanceId;
use crate::pipeline::sender::Payload;
use crate::sys::file;

/// The directory's name, beside the slots of an application.
pub const DEAD_LETTERS_DIR: &str = "dead-letters";
/// Header of a record that was refused: the error's name and number, and the receiver's own words.
pub const REJECTED_HEADER: &[u8] = b"logdrive.rejected";

/// Bytes of a batch header up to the end of its length field.
const LENGTH_END: usize = 12;

/// Why a record was not kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The files of this application are as large as they may get.
    #[error("the dead letters take {used} of {bytes_max} bytes: see dead_letters.bytes_max")]
    Full {
        /// What they take.
        used: u64,
        /// What they may.
        bytes_max: u64,
    },
    /// The system refused it.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open file and the offset of the next record in it.
#[derive(Debug)]
struct Letters {
    file: File,
    bytes: u64,
    next_offset: i64,
}

/// See the module's head.
#[derive(Debug)]
pub struct DeadLetters {
    dir: PathBuf,
    bytes_max: u64,
    /// Bytes of all files below `dir`; none before the first record.
    used: Option<u64>,
    open: HashMap<PathBuf, Letters>,
}

/// Files that are open at a time: beyond it all are closed.
const OPEN_MAX: usize = 16;

impl DeadLetters {
    /// For the slots of `application_dir`, which is `<spool root>/<name>`. Touches nothing yet.
    pub fn new(application_dir: &Path, bytes_max: u64) -> Self {
        let dir = application_dir.join(DEAD_LETTERS_DIR);
        Self { dir, bytes_max, used: None, open: HashMap::new() }
    }

    /// Keeps a batch that was refused, or a part of one; blocks until it is on the disk.
    pub fn keep(
        &mut self,
        instance: InstanceId,
        topic: &str,
        partition: i32,
        batch: &Payload,
    ) -> Result<(), KeepError> {
        let used = *self.used.get_or_insert_with(|| bytes_below(&self.dir));
        let bytes = batch.bytes() as u64;
        if used + bytes > self.bytes_max {
            return Err(KeepError::Full { used, bytes_max: self.bytes_max });
        }
        let topic = if is_plain(topic) { topic } else { "unnamed" };
        let instance_dir = self.dir.join(instance.to_string());
        let path = instance_dir.join(format!("{topic}-{}", partition.max(0)));
        let path = path.join(format!("{:020}.log", 0));
        match self.append(&path, batch) {
            Ok(()) => {
                self.used = Some(used + bytes);
                Ok(())
            }
            Err(source) => {
                // Opened anew, which cuts off what was written of it.
                self.open.remove(&path);
                Err(KeepError::Io { path, source })
            }
        }
    }

    fn append(&mut self, path: &Path, batch: &Payload) -> io::Result<()> {
        if !self.open.contains_key(path) {
            if self.open.len() >= OPEN_MAX {
                self.open.clear();
            }
            self.open.insert(path.to_owned(), Letters::open(path)?);
        }
        let Some(letters) = self.open.get_mut(path) else { return Ok(()) };
        letters.append(batch)
    }
}

impl Letters {
    fn open(path: &Path) -> io::Result<Self> {
        let dirs: Vec<&Path> = path.ancestors().skip(1).take(3).collect();
        for dir in dirs.iter().rev() {
            file::create_private_directory(dir)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        let (bytes, next_offset) = good_end(&mut file)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        for dir in dirs.iter().chain(&[path.ancestors().nth(4).unwrap_or(path)]) {
            file::sync_directory(dir)?;
        }
        Ok(Self { file, bytes, next_offset })
    }

    fn append(&mut self, batch: &Payload) -> io::Result<()> {
        let mut header = batch.header();
        let body_bytes = batch.body().len() as u32;
        batch::bind(&mut header, batch.body_crc(), body_bytes, -1, -1, -1);
        let mut bytes = header.to_vec();
        // The base offset is not covered by the checksum, as in a receiver's files.
        bytes[..8].copy_from_slice(&self.next_offset.to_be_bytes());
        bytes.extend_from_slice(batch.body());
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.bytes += bytes.len() as u64;
        self.next_offset += i64::from(batch.record_count());
        Ok(())
    }
}

/// Where the last whole batch ends, and the offset behind it.
fn good_end(file: &mut File) -> io::Result<(u64, i64)> {
    let file_bytes = file.metadata()?.len();
    let (mut end, mut next_offset) = (0, 0);
    let mut header = [0; HEADER_BYTES];
    while end + HEADER_BYTES as u64 <= file_bytes {
        file.seek(SeekFrom::Start(end))?;
        file.read_exact(&mut header)?;
        let Ok(decoded) = batch::Header::decode(&header) else { break };
        let batch_bytes = LENGTH_END as u64 + u64::from(decoded.batch_length.cast_unsigned());
        if end + batch_bytes > file_bytes {
            break;
        }
        let mut body = vec![0; decoded.body_bytes()];
        file.read_exact(&mut body)?;
        if batch::verify_crc(&header, &body).is_err() {
            break;
        }
        end += batch_bytes;
        next_offset = decoded.base_offset.saturating_add(i64::from(decoded.record_count));
    }
    Ok((end, next_offset))
}

/// Bytes of the files in the three levels below `dir`; what cannot be looked at counts nothing.
fn bytes_below(dir: &Path) -> u64 {
    let list = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    list(dir)
        .flat_map(|instance| list(&instance.path()).collect::<Vec<_>>())
        .flat_map(|partition| list(&partition.path()).collect::<Vec<_>>())
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// Whether the topic is a plain file name by Kafka's rule: only a damaged spool has another.
fn is_plain(topic: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&topic.len()) && ![".", ".."].contains(&topic) && topic.bytes().all(is_legal)
}
