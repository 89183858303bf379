//! Kafka's own DumpLogSegments reads what our receiver stored, and finds all of it valid.

use std::path::Path;
use std::process::Command;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::receiver::Options;
use logdrive::receiver::Receiver;

use crate::chaos::DEADLINE;
use crate::peers::install;
use crate::peers::peers_dir;

const RECORDS: usize = 2_000;

#[test]
fn dump_log_segments_reads_the_receivers_files() {
    if !install("kafka-4") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new("127.0.0.1:0".parse().unwrap(), dir.path());
    let receiver = Receiver::start(options).unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut config = Config::new();
        config.set("url", &format!("receivers://{}/{codec}", receiver.local_addr())).unwrap();
        config.set("codec", codec).unwrap();
        config.set("name", &format!("dump-{codec}-{}", std::process::id())).unwrap();
        let client = Client::start(&config).unwrap();
        for number in 0..RECORDS {
            client.log(Severity::Info, format!("record {number}")).unwrap();
        }
        client.flush(DEADLINE).unwrap();
        client.close(DEADLINE).unwrap();
    }
    receiver.shutdown(DEADLINE).unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        check(&dir.path().join(format!("{codec}-0/00000000000000000000.log")), codec);
    }
}

fn check(segment: &Path, codec: &str) {
    let dumped = Command::new("java")
        .args(["-Xmx200m", "-cp"])
        .arg(peers_dir().join("kafka-4/libs/*"))
        .args(["kafka.tools.DumpLogSegments", "--print-data-log", "--deep-iteration", "--files"])
        .arg(segment)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&dumped.stdout).into_owned();
    assert!(dumped.status.success(), "{codec}: {dumped:?}");
    let batches: Vec<_> = text.lines().filter(|line| line.starts_with("baseOffset: ")).collect();
    let is_good = |line: &&str| {
        line.contains("isvalid: true") && line.contains(&format!("compresscodec: {codec}"))
    };
    assert!(!batches.is_empty() && batches.iter().all(is_good), "{codec}: {batches:#?}");
    let payloads: Vec<_> = text.lines().filter_map(|line| line.split("payload: ").nth(1)).collect();
    let expected: Vec<_> = (0..RECORDS).map(|number| format!("record {number}")).collect();
    assert_eq!(payloads, expected, "{codec}");
    for complaint in ["Non-consecutive", "Mismatches", "invalid bytes", "corrupt"] {
        assert!(!text.contains(complaint), "{codec}: {complaint} in {text}");
    }
}
