//! What is known for ever about released segments: a file of two checksummed slots.
//!
//! Owns the bytes and the file `ledger`. A slot is written whole by one `pwrite`, alternating, so
//! one of the two is always good; the higher generation holds. The ledger is stored *before* a
//! segment is recycled: a segment at or below `released_through` holds nothing that is still needed.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::checksum;
use crate::ids::InstanceId;
use crate::spool::format::COUNT_MAX;
use crate::spool::format::array_at;
use crate::spool::format::u32_at;
use crate::spool::format::u64_at;
use crate::spool::lost::Lost;
use crate::spool::lost::LostRanges;
use crate::spool::lost::RANGES_MAX;
use crate::spool::types::DROP_REASONS_MAX;
use crate::spool::types::DropReason;

/// The file's name in the spool's directory.
pub const LEDGER_FILE: &str = "ledger";

/// The account of all released segments of an instance.
///
/// Invariant: `records = delivered + unconfirmed + dropped + damaged`, unless it is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Whose spool this is.
    pub instance: InstanceId,
    /// Segments up to this number are released.
    pub released_through: u64,
    /// Number of the group behind the last released one.
    pub next_group: u64,
    /// Records in released segments, also the number of the record behind them.
    pub records: u64,
    /// Batches in released segments.
    pub batches: u64,
    /// How those records ended.
    pub tally: Tally,
    /// Which of them were lost, as far as it is remembered.
    pub lost: LostRanges,
    /// An earlier ledger was unreadable, and no segment was released since: `records` is unknown.
    pub account_unknown: bool,
}

/// Records by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged.
    pub delivered: u64,
    /// Fate unknown for ever.
    pub unconfirmed: u64,
    /// Given up, by reason.
    pub dropped: [u64; DROP_REASONS_MAX],
    /// Unreadable.
    pub damaged: u64,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Tally) {
        self.delivered += other.delivered;
        self.unconfirmed += other.unconfirmed;
        self.damaged += other.damaged;
        for (sum, dropped) in self.dropped.iter_mut().zip(other.dropped) {
            *sum += dropped;
        }
    }
}

/// The ledger's file, with the generation to write next.
#[derive(Debug)]
pub struct LedgerFile {
    file: File,
    generation: u64,
    durable: bool,
}

impl LedgerFile {
    /// Creates or replaces the file with `ledger`, its blocks allocated; `durable`: stores wait for
    /// the disk.
    pub fn create(dir: &Path, ledger: &Ledger, durable: bool) -> io::Result<LedgerFile> {
        let file = options().create(true).truncate(true).open(dir.join(LEDGER_FILE))?;
        file.write_all_at(&[0; LEDGER_BYTES], 0)?;
        let mut ledger_file = LedgerFile { file, generation: 1, durable };
        ledger_file.store(ledger)?;
        Ok(ledger_file)
    }

    /// Opens the file; the ledger is `None` when neither slot is good, or there is no file.
    pub fn open(dir: &Path, durable: bool) -> io::Result<Option<(LedgerFile, Ledger)>> {
        let file = match options().open(dir.join(LEDGER_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let newest = SLOT_OFFSETS
            .iter()
            .filter_map(|offset| {
                let mut slot = [0; SLOT_BYTES];
                file.read_exact_at(&mut slot, *offset).ok()?;
                decode(&slot)
            })
            .max_by_key(|(generation, _)| *generation);
        Ok(newest.map(|(generation, ledger)| {
            (LedgerFile { file, generation: generation + 1, durable }, ledger)
        }))
    }

    /// Whether nothing was ever stored in the file.
    pub fn is_blank(dir: &Path) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let file = options().open(dir.join(LEDGER_FILE))?;
        file.take(LEDGER_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes.len() <= LEDGER_BYTES && bytes.iter().all(|byte| *byte == 0))
    }

    /// Stores a newer state, leaving the one before in the other slot.
    pub fn store(&mut self, ledger: &Ledger) -> io::Result<()> {
        let offset = SLOT_OFFSETS[usize::from(self.generation.is_multiple_of(2))];
        self.file.write_all_at(&encode(self.generation, ledger), offset)?;
        if self.durable {
            self.file.sync_data()?;
        }
        self.generation += 1;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    options
}

fn encode(generation: u64, ledger: &Ledger) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..32].copy_from_slice(&ledger.instance.0);
    let words = [
        generation,
        ledger.released_through,
        ledger.next_group,
        ledger.records,
        ledger.batches,
        ledger.tally.delivered,
        ledger.tally.unconfirmed,
        ledger.tally.damaged,
        u64::from(ledger.account_unknown),
    ];
    let lost = ledger.lost.iter().flat_map(|lost| {
        let Range { start, end } = lost.records;
        [start, end, lost.reason.map_or(DAMAGED, |reason| reason as u64)]
    });
    let words = words.into_iter().chain(ledger.tally.dropped).chain(lost);
    for (slot, word) in bytes[WORDS..].chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    let crc = checksum::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Generation and ledger of a good slot. A good checksum is not enough to trust sums: they are
/// bounded so that no later addition overflows.
fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, Ledger)> {
    let good = bytes[0..8] == MAGIC
        && u32_at(bytes, 8) == checksum::crc32c(&bytes[12..])
        && u32_at(bytes, 12) == VERSION;
    let word = |index: usize| u64_at(bytes, WORDS + 8 * index);
    if !good || (0..WORD_COUNT).any(|index| word(index) > COUNT_MAX) {
        return None;
    }
    let mut lost = LostRanges::default();
    for index in (COUNT_WORDS..WORD_COUNT).step_by(LOST_WORDS) {
        let reason = match word(index + 2) {
            DAMAGED => None,
            number => Some(*DropReason::ALL.get(usize::try_from(number).ok()?)?),
        };
        // What is not used is empty, and so not added.
        lost.add(Lost { records: word(index)..word(index + 1), reason });
    }
    let ledger = Ledger {
        instance: InstanceId(array_at(bytes, 16)),
        released_through: word(1),
        next_group: word(2),
        records: word(3),
        batches: word(4),
        tally: Tally {
            delivered: word(5),
            unconfirmed: word(6),
            damaged: word(7),
            dropped: std::array::from_fn(|reason| word(9 + reason)),
        },
        lost,
        account_unknown: word(8) != 0,
    };
    Some((word(0), ledger))
}

const MAGIC: [u8; 8] = *b"LDLEDGR1";
const VERSION: u32 = 3;
const LEDGER_BYTES: usize = 4096;
const SLOT_OFFSETS: [u64; 2] = [0, 2048];
const WORDS: usize = 32;
const COUNT_WORDS: usize = 9 + DROP_REASONS_MAX;
/// First record, the one behind the last, cause.
const LOST_WORDS: usize = 3;
const WORD_COUNT: usize = COUNT_WORDS + LOST_WORDS * RANGES_MAX;
const SLOT_BYTES: usize = WORDS + 8 * WORD_COUNT;
const _: () = assert!(SLOT_BYTES <= LEDGER_BYTES / SLOT_OFFSETS.len());
/// The number of the cause of what was unreadable; below are those of [`DropReason`].
const DAMAGED: u64 = DROP_REASONS_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(records: u64) -> Ledger {
        Ledger {
            instance: InstanceId([7; 16]),
            released_through: 3,
            next_group: 4,
            records,
            batches: 6,
            tally: Tally { delivered: records - 1, damaged: 1, ..Tally::default() },
            lost: LostRanges::default(),
            account_unknown: true,
        }
    }

    #[test]
    fn golden_bytes_of_a_slot() {
        let mut value = ledger(10);
        value.tally.dropped[15] = 0x55;
        value.lost.add(Lost { records: 2..4, reason: Some(DropReason::InDoubt) });
        value.lost.add(Lost { records: 6..7, reason: None });
        let bytes = encode(9, &value);
        assert_eq!(bytes.len(), 1768);
        assert_eq!(&bytes[0..8], b"LDLEDGR1");
        assert_eq!(bytes[12..16], [3, 0, 0, 0]);
        assert_eq!(bytes[16..32], [7; 16]);
        let words: Vec<u64> = bytes[32..].chunks_exact(8).map(|word| u64_at(word, 0)).collect();
        assert_eq!(words[..9], [9, 3, 4, 10, 6, 9, 0, 1, 1]);
        assert_eq!(words[9..24], [0; 15]);
        assert_eq!(words[24], 0x55);
        assert_eq!(words[25..32], [2, 4, 3, 6, 7, 16, 0]);
        assert!(words[32..].iter().all(|word| *word == 0));
        assert_eq!(decode(&bytes), Some((9, value)));
        assert_eq!(u32_at(&bytes, 8), 0x41db_87dc);
    }

    #[test]
    fn the_newest_good_slot_holds() {
        let dir = tempfile::tempdir().unwrap();
        assert!(LedgerFile::open(dir.path(), false).unwrap().is_none());
        let mut file = LedgerFile::create(dir.path(), &ledger(1), true).unwrap();
        file.store(&ledger(2)).unwrap();
        file.store(&ledger(3)).unwrap();
        let path = dir.path().join(LEDGER_FILE);
        let (mut file, newest) = LedgerFile::open(dir.path(), false).unwrap().unwrap();
        assert_eq!(newest, ledger(3));

        // Torn while the next one is written: the one before still holds.
        file.store(&ledger(4)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for offset in SLOT_OFFSETS {
            let mut torn = bytes.clone();
            torn[usize::try_from(offset).unwrap() + 100] ^= 1;
            std::fs::write(&path, torn).unwrap();
            let (_, survivor) = LedgerFile::open(dir.path(), false).unwrap().unwrap();
            assert!(survivor == ledger(3) || survivor == ledger(4));
        }
        std::fs::write(&path, &bytes[..40]).unwrap();
        assert!(LedgerFile::open(dir.path(), false).unwrap().is_none());
    }
}
