//! Fault 7: a spool is damaged behind its back: bits flip, blocks are zeroed, swapped, copied, files are cut or grown,
//! strangers are put beside them. What was not touched must be found, and nothing may panic, hang or refuse.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use logdrive::checksum::crc32c;
use logdrive::ids::InstanceId;
use logdrive::spool;
use logdrive::spool::Batch;
use logdrive::spool::Group;
use logdrive::spool::Options;
use logdrive::spool::Resolution;
use logdrive::spool::StoreKind;
use tempfile::TempDir;

use crate::row::Row;
use crate::support::oracle::Tally;
use crate::support::random::Random;

const SEGMENT_BYTES: u64 = 64 << 10;
const BATCHES: u64 = 40;
const RECORDS: u32 = 3;

/// A spool as a killed process leaves it, and where each batch lies in it.
struct Pristine {
    dir: TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// File and bytes, by the first record.
    places: BTreeMap<u64, (PathBuf, Range<usize>)>,
}

fn options(kind: StoreKind) -> Options {
    let (segment_bytes, bytes_max) = (SEGMENT_BYTES, 64 * SEGMENT_BYTES);
    Options { segment_bytes, bytes_max, store: Some(kind), ..Options::default() }
}

fn body(first_record: u64) -> Vec<u8> {
    let bytes = 500 + (first_record * 37 % 9_000) as usize;
    (0..bytes).map(|index| (first_record * 31 + index as u64 * 7) as u8).collect()
}

impl Pristine {
    fn new() -> Self {
        let dir = TempDir::with_prefix_in("logdrive-damage-", "/dev/shm").unwrap();
        private(dir.path());
        let instance = InstanceId([7; 16]);
        let kind = StoreKind::Mapped;
        let (mut writer, _reader) = spool::create(dir.path(), instance, &options(kind)).unwrap();
        let mut places = BTreeMap::new();
        for number in 0..BATCHES {
            let first_record = number * u64::from(RECORDS);
            let body = body(first_record);
            let batch = Batch {
                topic: "damage",
                partition: -1,
                severity_max: 1,
                batch_number: number,
                first_record,
                record_count: RECORDS,
                max_timestamp: 0,
                header: &[0x61; 61],
                body: &body,
                body_crc: crc32c(&body),
            };
            let group = Group { first_record, positions: &[], batches: &[batch] };
            let committed = writer.commit(&group).unwrap();
            writer.publish();
            let end = committed.end_offset as usize;
            let frame_bytes = (192 + 6 + 61 + body.len()).next_multiple_of(64);
            let file = PathBuf::from(format!("{:020}.seg", committed.segment));
            places.insert(first_record, (file, end - frame_bytes..end));
        }
        let files = fs::read_dir(dir.path())
            .unwrap()
            .flatten()
            .map(|entry| (PathBuf::from(entry.file_name()), fs::read(entry.path()).unwrap()));
        let files = files.collect();
        Self { dir, files, places }
    }
}

fn private(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
}

/// What was done, and which bytes of which file are not what they were.
struct Mutation {
    what: &'static str,
    touched: Vec<(PathBuf, Range<usize>)>,
}

fn mutate(files: &mut BTreeMap<PathBuf, Vec<u8>>, random: &mut Random) -> Mutation {
    let segments: Vec<PathBuf> =
        files.keys().filter(|path| path.extension().is_some_and(|e| e == "seg")).cloned().collect();
    let pick = |random: &mut Random| segments[random.below(segments.len() as u64) as usize].clone();
    let (first, second) = (pick(random), pick(random));
    let bytes = SEGMENT_BYTES as usize;
    let block = |random: &mut Random| {
        let size = [512, 4096][random.below(2) as usize];
        let start = random.below((bytes / size) as u64) as usize * size;
        start..start + size
    };
    match random.below(9) {
        0 | 1 => {
            let at = random.below(bytes as u64) as usize;
            files.get_mut(&first).unwrap()[at] ^= 1 << random.below(8);
            Mutation { what: "bit flip", touched: vec![(first, at..at + 1)] }
        }
        2 => {
            let range = block(random);
            files.get_mut(&first).unwrap()[range.clone()].fill(0);
            Mutation { what: "zeroed block", touched: vec![(first, range)] }
        }
        3 => {
            let cut = random.below(bytes as u64) as usize;
            files.get_mut(&first).unwrap().truncate(cut);
            // Too short to be a segment at all.
            let from = if cut < 4096 { 0 } else { cut };
            Mutation { what: "truncation", touched: vec![(first, from..bytes)] }
        }
        4 => {
            let (here, there) = (block(random), block(random));
            let there = there.start / here.len() * here.len()
                ..there.start / here.len() * here.len() + here.len();
            let a = files[&first][here.clone()].to_vec();
            let b = files[&second][there.clone()].to_vec();
            files.get_mut(&first).unwrap()[here.clone()].copy_from_slice(&b);
            files.get_mut(&second).unwrap()[there.clone()].copy_from_slice(&a);
            Mutation { what: "swapped blocks", touched: vec![(first, here), (second, there)] }
        }
        5 => {
            let (from, to) = (block(random), block(random));
            let size = from.len().min(to.len());
            let to = to.start..to.start + size;
            let copied = files[&first][from.start..from.start + size].to_vec();
            files.get_mut(&second).unwrap()[to.clone()].copy_from_slice(&copied);
            Mutation { what: "duplicated block", touched: vec![(second, to)] }
        }
        6 => {
            let name = format!("{:020}.seg", random.below(12));
            let stranger = (0..random.below(90_000)).map(|_| random.next() as u8).collect();
            let is_new = files.insert(PathBuf::from(&name), stranger).is_none();
            let touched = if is_new { vec![] } else { vec![(PathBuf::from(name), 0..bytes)] };
            Mutation { what: "foreign file", touched }
        }
        7 => {
            files.remove(&first);
            Mutation { what: "missing file", touched: vec![(first, 0..bytes)] }
        }
        _ => {
            let ledger = files.get_mut(Path::new("ledger")).unwrap();
            for _ in 0..8 {
                let at = random.below(ledger.len() as u64) as usize;
                ledger[at] ^= random.next() as u8;
            }
            Mutation { what: "ledger", touched: vec![] }
        }
    }
}

#[test]
fn damaged_spools() {
    let row = Row::begin("7", "damaged spools", 2_000, 100_000);
    let pristine = Pristine::new();
    let (mut tally, mut aside) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let mut files = pristine.files.clone();
        let mutation = mutate(&mut files, &mut random);
        let dir = TempDir::new_in(pristine.dir.path()).unwrap();
        private(dir.path());
        for (name, bytes) in &files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let kind = [StoreKind::Mapped, StoreKind::File][run as usize % 2];
        // The instance is in headers and ledger; nothing else is needed to find it.
        let mut recovered = spool::recover(dir.path(), &options(kind)).unwrap();
        aside += recovered.report.set_aside.len();
        let mut found = Vec::new();
        while let Some(frame) = recovered.reader.next() {
            let is_true = frame.body() == body(frame.first_record());
            tally.garbage += u64::from(!is_true);
            found.push(frame.first_record());
            recovered.reader.resolve(&frame, Resolution::Delivered);
        }
        let totals = recovered.reader.totals();
        let ended = totals.delivered + totals.unconfirmed + totals.damaged + totals.stored_records;
        assert_eq!(totals.records, ended, "{} {run}: {totals:?}", mutation.what);
        for (first_record, (file, range)) in &pristine.places {
            let hit = mutation.touched.iter().any(|(touched, bytes)| {
                touched == file && bytes.start < range.end && range.start < bytes.end
            });
            tally.accepted += u64::from(!hit);
            let times = found.iter().filter(|found| *found == first_record).count() as u64;
            tally.delivered += times;
            tally.missing += u64::from(!hit && times == 0);
            tally.duplicates += times.saturating_sub(1);
        }
        tally.assert_clean(&format!("{} in run {run}", mutation.what));
    }
    row.finish(&format!("0 panics, {aside} files set aside"), &tally);
}
