//! Fault 22: records and batches that fit exactly, and those that are one byte too large for something: for the
//! limit on records, for a chunk of a ring, for a batch, for what the receiver takes, for a segment.
//!
//! One thread logs, so the n-th record that was accepted is the n-th that must arrive, but for those that are
//! named as lost; empty ones have no name of their own. (A segment that is filled to its last byte, and by one byte
//! more, is a test of `src/spool/tests/basic.rs`.)

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use logdrive::Client;
use logdrive::Code;
use logdrive::Config;
use logdrive::Severity;
use logdrive::receiver::Options;
use logdrive::receiver::Receiver;
use logdrive::sys::faults::Point;

use crate::delivered;
use crate::delivered::Delivered;
use crate::host;
use crate::host::Orders;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::witness::Witness;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&codec=none&poll.idle=5ms";
/// Bytes of frames in one chunk of a ring; of a frame's head and a record's (docs/design.md).
const CHUNK_BYTES: u64 = 16_320;
const HEAD_BYTES: u64 = 8 + 16;

/// What the sizes of one run lie around.
struct Limits {
    options: String,
    record_bytes_max: u64,
    /// What the receiver takes as one batch.
    batch_bytes_max: u64,
    sizes: RangeInclusive<u64>,
    /// Whether each record is a batch of its own.
    alone: bool,
}

/// By turns around each of the limits.
fn limits(run: u64, random: &mut Random) -> Limits {
    let around = |size: u64, by: u64| size.saturating_sub(by)..=size + by;
    let alone = random.below(2) == 0;
    let usual = (256 * 1024, 1_048_588);
    let (options, (record_bytes_max, batch_bytes_max), sizes) = match run % 5 {
        0 => (String::new(), usual, 0..=40),
        1 => {
            let record_bytes_max = 1024 + random.below(13_000);
            let sizes = around(record_bytes_max, 20);
            let options = format!("&record.bytes_max={record_bytes_max}");
            (options, (record_bytes_max, usual.1), sizes)
        }
        2 => {
            let chunks = 1 + random.below(12);
            (String::new(), usual, around(chunks * CHUNK_BYTES - HEAD_BYTES, 40))
        }
        3 => {
            let bytes_max = 16_384 + random.below(10_000);
            let options = format!(
                "&batch.bytes_max={bytes_max}&batch.bytes={bytes_max}&record.bytes_max=14742"
            );
            // The largest that the smallest of these batches allows; two of half its size fill it.
            (options, (14_742, usual.1), around(bytes_max / 2 - 80, 40))
        }
        _ => {
            let bytes_max = 2_000 + random.below(10_000);
            // A batch of one record has some 150 bytes around it.
            (String::new(), (usual.0, bytes_max), around(bytes_max - 150, 40))
        }
    };
    Limits { options, record_bytes_max, batch_bytes_max, sizes, alone }
}

fn text(sequence: u64, bytes: u64) -> Vec<u8> {
    let word = format!("{:016x}", Random::new(sequence).next());
    word.bytes().cycle().take(bytes as usize).collect()
}

#[test]
fn exact_fits_and_one_byte_more() {
    let row = Row::begin("22", "exact fits and one byte more", 40, 10_000);
    let (mut tally, mut refused) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let limits = limits(run, &mut row.random(run));
        let (verdict, too_large) = fit(&limits);
        verdict.assert_clean(&format!("run {run}, {}, {:?}", limits.options, limits.sizes));
        tally += verdict;
        refused += too_large;
    }
    let figures = format!("{refused} refused, {} too large for the receiver", tally.named);
    assert!(refused > 0 && (row.runs() < 5 || tally.named > 0), "no limit was met: {figures}");
    row.finish(&figures, &tally);
}

/// Logs every size once; the verdict, and how many records were refused.
fn fit(limits: &Limits) -> (Tally, u64) {
    let site = Site::new();
    let dirs = [site.receiver_dir(0)];
    let batch_bytes_max = limits.batch_bytes_max as usize;
    let any_port = "127.0.0.1:0".parse().unwrap();
    let options = Options { batch_bytes_max, ..Options::new(any_port, &dirs[0]) };
    let receiver = Receiver::start(options).unwrap();
    let options = format!("{OPTIONS}{}", limits.options);
    let url = site.url_of_topic("sizes", &[receiver.local_addr()], &options);
    let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for (sequence, bytes) in (0u64..).zip(limits.sizes.clone()) {
        let text = text(sequence, bytes);
        loop {
            match client.log(Severity::Info, &text) {
                Ok(()) => accepted.push(text),
                Err(Code::Starting) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(Code::RecordTooLarge) => refused += 1,
                Err(code) => panic!("{code} for {bytes} bytes"),
            }
            break;
        }
        if limits.alone {
            client.flush(wait::PATIENCE).unwrap();
        }
    }
    let stats = client.close(wait::PATIENCE).unwrap();
    receiver.shutdown(wait::PATIENCE).unwrap();
    let too_large = limits.sizes.clone().filter(|bytes| *bytes > limits.record_bytes_max).count();
    assert_eq!(refused, too_large as u64, "refused by the limit on records");
    assert_eq!(stats.refused_total() - refused, refusals_at_the_start(&stats.refused));
    assert_eq!((stats.panics, stats.malformed, stats.sender.damaged), (0, 0, 0), "{stats:?}");
    delivered::assert_accounted(&dirs);
    (judge(&dirs, &accepted, stats.accepted), refused)
}

fn refusals_at_the_start(refused: &[(&str, u64)]) -> u64 {
    refused.iter().filter(|(reason, _)| *reason == "starting").map(|(_, count)| count).sum()
}

/// Goes through the record numbers: each is a record as accepted, a report of losses, or named as lost.
fn judge(dirs: &[PathBuf], accepted: &[Vec<u8>], numbered: u64) -> Tally {
    let mut tally = Tally { accepted: accepted.len() as u64, ..Tally::default() };
    let mut expected = accepted.iter();
    let mut arrived: BTreeMap<u64, Option<Vec<u8>>> = delivered::texts(dirs, "sizes");
    for number in 0..numbered {
        match arrived.remove(&number) {
            Some(None) => {}
            Some(Some(text)) if expected.next() == Some(&text) => tally.delivered += 1,
            Some(Some(_other)) => tally.garbage += 1,
            None => {
                expected.next();
                tally.missing += 1;
            }
        }
    }
    tally.missing += expected.count() as u64;
    tally.phantoms = arrived.len() as u64;
    tally.named = Delivered::read(dirs, "sizes").named();
    tally
}

/// Records of control characters, of which each becomes six bytes of JSON: one slice of them is more than a segment.
const LARGE_OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=8MiB&codec=none\
    &format=json&batch.bytes=1000000&linger=1s";
const LARGE_RECORDS: u64 = 150;
const SEGMENT_BYTES: u64 = 4 << 20;
const STEPS: [Point; 4] =
    [Point::SegmentNamed, Point::GroupCopied, Point::GroupCommitted, Point::RingsReleased];

fn control_characters(sequence: u64) -> u64 {
    18_000 + Random::new(sequence).below(4_000)
}

#[test]
fn a_group_larger_than_a_segment_is_whole_or_absent() {
    let row = Row::begin("22", "a group larger than a segment, killed in its commit", 8, 200);
    let (mut tally, mut larger) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let address = lasting_address();
        let url = site.url_of_topic("large", &[address], LARGE_OPTIONS);
        let path = site.memory_file("witness");
        let witness = Witness::create(&path, 1);
        let point = STEPS[run as usize % STEPS.len()];
        let order = format!("{}:{}", point.name(), 1 + random.below(2));
        let mut command = host::command("sizes::host", &url, &path, 0, "");
        command.env("LOGDRIVE_CRASH_AT", &order);
        // `timeout` dies of the signal that its child died of.
        assert_eq!(command.status().unwrap().signal(), Some(9), "at {order}");
        let mut segments = site.slots(&site.ring_dir()).into_iter().flat_map(|slot| {
            let files = fs::read_dir(slot).unwrap().flatten();
            files.filter(|file| file.path().extension().is_some_and(|e| e == "seg"))
        });
        let is_larger = |file: fs::DirEntry| file.metadata().unwrap().len() > SEGMENT_BYTES;
        larger += u64::from(segments.any(is_larger));
        let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
        let stats = site.drain(&url);
        assert_eq!((stats.panics, stats.spool_errors), (0, 0), "{stats:?}");
        let verdict = judge_large(&dirs, witness.read(0));
        verdict.assert_clean(&format!("run {run}, killed at {order}"));
        delivered::assert_accounted(&dirs);
        assert!(site.slots(&site.ring_dir()).is_empty());
        tally += verdict;
    }
    assert!(larger > 0, "no group was larger than a segment");
    row.finish(&format!("{larger} of them left such a group"), &tally);
}

/// No test, but the process that the one above kills.
#[test]
fn host() {
    let Some(Orders { url, witness, .. }) = host::orders() else { return };
    let client = host::client(&url);
    for sequence in 0..LARGE_RECORDS {
        let mut text = format!("{sequence:08} ").into_bytes();
        text.resize(text.len() + control_characters(sequence) as usize, 1);
        while let Err(code) = client.log(Severity::Info, &text) {
            assert_eq!(code, Code::Starting);
        }
        witness.store(0, sequence + 1);
    }
    // With nobody to send to it ends by its crash point.
    let _never = client.flush(wait::PATIENCE);
}

fn judge_large(dirs: &[PathBuf], accepted: u64) -> Tally {
    let mut tally = Tally::default();
    let mut next = 0;
    let mut seen = vec![0u64; LARGE_RECORDS as usize];
    for text in delivered::texts(dirs, "large").into_values().flatten() {
        let text = String::from_utf8(text).unwrap();
        let message = text.split_once("\"message\":\"").map_or("", |(_, message)| message);
        let sequence: u64 = message.split(' ').next().unwrap().parse().unwrap();
        let characters = control_characters(sequence) as usize;
        let expected = format!("{sequence:08} {}\"}}", "\\u0001".repeat(characters));
        tally.garbage += u64::from(message != expected);
        seen[sequence as usize] += 1;
        tally.disorder += u64::from(sequence < next);
        next = sequence + 1;
    }
    let holes = |range: &[u64]| range.iter().filter(|count| **count == 0).count() as u64;
    // One more may have been published than was witnessed.
    let promised = accepted.max(next.min(accepted + 1));
    tally.accepted = promised;
    tally.delivered = seen.len() as u64 - holes(&seen);
    tally.missing = holes(&seen[..promised as usize]);
    tally.phantoms = next.saturating_sub(promised);
    tally.duplicates = seen.iter().map(|count| count.saturating_sub(1)).sum();
    tally
}
