//! What a commit costs: groups of one 256 KiB batch, delivered at once, as when receivers keep up.
//!
//! Prints the median of seven runs, for memory (tmpfs) and for the directory `TMPDIR` lies on.

use std::path::Path;
use std::time::Duration;

use logdrive::checksum::crc32c;
use logdrive::ids::InstanceId;
use logdrive::ids::Moment;
use logdrive::spool;
use logdrive::spool::Batch;
use logdrive::spool::Group;
use logdrive::spool::Options;
use logdrive::spool::Resolution;

const BODY_BYTES: usize = 256 << 10;
const COMMITS: u32 = 2000;
const RUNS: usize = 7;

fn main() {
    let temporary = std::env::temp_dir();
    for root in [Path::new("/dev/shm"), temporary.as_path()] {
        if !root.is_dir() {
            continue;
        }
        let mut runs: Vec<Duration> = (0..RUNS).map(|_| run(root)).collect();
        runs.sort();
        let per_commit = runs[RUNS / 2].as_nanos() / u128::from(COMMITS);
        let gigabytes_per_second = BODY_BYTES as f64 / per_commit as f64;
        println!(
            "{}: {per_commit} ns per commit of 256 KiB, {gigabytes_per_second:.1} GB/s",
            root.display()
        );
    }
}

/// The time of all commits with their publishing, reading and resolving.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn run(root: &Path) -> Duration {
    let dir = root.join(format!("logdrive-bench-{}", std::process::id()));
    let options = Options::default();
    let (mut writer, mut reader) =
        spool::create(&dir, InstanceId([1; 16]), &options).expect("a writable directory");
    let body = vec![0x5a; BODY_BYTES];
    let header = [0; 61];
    let body_crc = crc32c(&body);
    let mut spent = Duration::ZERO;
    for number in 0..u64::from(COMMITS) {
        writer.prepare(Moment(0));
        let batch = Batch {
            topic: "bench",
            partition: -1,
            severity_max: 0,
            batch_number: number,
            first_record: number,
            record_count: 1,
            max_timestamp: 0,
            header: &header,
            body: &body,
            body_crc,
        };
        let group = Group { first_record: number, positions: &[], batches: &[batch] };
        let start = std::time::Instant::now();
        writer.commit(&group).expect("receivers keep up");
        writer.publish();
        let frame = reader.next().expect("just published");
        reader.resolve(&frame, Resolution::Delivered);
        spent += start.elapsed();
    }
    drop((writer, reader));
    std::fs::remove_dir_all(&dir).expect("our own directory");
    spent
}
