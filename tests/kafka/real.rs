//! One broker of Apache Kafka, of each release: codecs, topics that do not exist, weaker acknowledgements.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::records::text;
use crate::support::scale::scaled;

const RELEASES: [&str; 2] = ["kafka-3.9", "kafka-4"];
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

fn ship(dir: &Path, to: &str, settings: &[&str], lines: &Path, deadline: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdrive"));
    command.args(["ship", "--json", "--to", to, "--deadline", deadline, "--spool"]).arg(dir);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.arg(lines).output().unwrap()
}

fn write_lines(path: &Path, writer: &str, count: u64) {
    let mut lines = String::new();
    for number in 0..count {
        let _infallible = writeln!(lines, "{}", text(writer, number));
    }
    fs::write(path, lines).unwrap();
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_codec_arrives_unchanged_once_and_in_order() {
    for release in RELEASES {
        let Some(mut kafka) = Peer::kafka(release, 1, &[]) else { return };
        let dir = tempfile::tempdir().unwrap();
        let lines = dir.path().join("lines");
        let count = scaled(20_000, 100_000);
        write_lines(&lines, "ship", count);
        for codec in CODECS {
            kafka.tell(&format!("create {codec} 4 1"));
            let url = format!("kafka://{}/{codec}?codec={codec}", kafka.bootstrap);
            let shipped =
                ship(&dir.path().join("spool"), &url, &["batch.bytes=16KiB"], &lines, "30s");
            assert!(shipped.status.success(), "{release} {codec}: {shipped:?}");
            let consumed = consume(&kafka.bootstrap, codec);
            let arrived = Arrived::new(&consumed);
            arrived.check("ship", count);
            assert_eq!(arrived.count(), count, "{release} {codec}");
            let partitions = consumed.iter().map(|record| record.partition).max();
            assert_eq!(partitions, Some(3), "{release} {codec}: all partitions are used");
        }
        weaker_acknowledgements(&mut kafka, dir.path());
        a_topic_that_does_not_exist(&mut kafka, dir.path());
    }
}

/// Without idempotence: with acks=leader all is delivered, with acks=none all is unconfirmed.
fn weaker_acknowledgements(kafka: &mut Peer, dir: &Path) {
    let lines = dir.join("lines");
    let count = 2_000;
    write_lines(&lines, "weak", count);
    for (acks, outcome) in [("all", "delivered"), ("leader", "delivered"), ("none", "unconfirmed")]
    {
        let topic = format!("acks-{acks}");
        kafka.tell(&format!("create {topic} 1 1"));
        let url = format!("kafka://{}/{topic}", kafka.bootstrap);
        let acks = format!("acks={acks}");
        let settings = ["idempotence=false", &acks];
        let shipped = ship(&dir.join("spool"), &url, &settings, &lines, "30s");
        assert!(shipped.status.success(), "{shipped:?}");
        assert!(stdout(&shipped).contains(&format!("\"{outcome}\":{count},")), "{shipped:?}");
        Arrived::new(&consume(&kafka.bootstrap, &topic)).check("weak", count);
    }
}

/// A topic is created where that is allowed; where not, its records wait until it is there.
fn a_topic_that_does_not_exist(kafka: &mut Peer, dir: &Path) {
    let lines = dir.join("lines");
    let none = dir.join("none");
    let spool = dir.join("spool");
    let count = 1_000;
    write_lines(&lines, "new", count);
    fs::write(&none, "").unwrap();
    let created = format!("kafka://{}/created", kafka.bootstrap);
    let shipped = ship(&spool, &created, &[], &lines, "30s");
    assert!(shipped.status.success(), "{shipped:?}");
    Arrived::new(&consume(&kafka.bootstrap, "created")).check("new", count);

    let missing = format!("kafka://{}/missing", kafka.bootstrap);
    let shipped = ship(&spool, &missing, &["topic.auto_create=false"], &lines, "2s");
    assert_eq!(shipped.status.code(), Some(1), "{shipped:?}");
    assert!(stdout(&shipped).contains(&format!("\"stored\":{count},")), "{shipped:?}");
    assert_eq!(kafka.tell("partitions missing"), "0");
    kafka.tell("create missing 2 1");
    let shipped = ship(&spool, &missing, &["topic.auto_create=false"], &none, "30s");
    assert!(shipped.status.success(), "{shipped:?}");
    assert!(stdout(&shipped).contains(&format!("\"adopted_delivered\":{count},")), "{shipped:?}");
    let arrived = Arrived::new(&consume(&kafka.bootstrap, "missing"));
    arrived.check("new", count);
    assert_eq!(arrived.count(), count);
}
