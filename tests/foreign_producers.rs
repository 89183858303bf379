//! Producers that other people wrote, against our receiver: what they send is what `logdrive cat`
//! gives back, for every codec they have, idempotent and not.
//!
//! `tests/peers/setup.sh` installs them under `target/peers`. Where a registry is out of reach the
//! test is skipped, and says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::ReceiverProcess;
use support::logdrive;

/// Enough that a client sends several batches.
const RECORDS: usize = 2_000;

const EX_TEMPFAIL: i32 = 75;

const ALL_CODECS: &[&str] = &["none", "gzip", "snappy", "lz4", "zstd"];

/// How a peer is installed and called.
struct Peer {
    name: &'static str,
    runtime: &'static str,
    program: PathBuf,
    script: &'static str,
    codecs: &'static [&'static str],
}

#[test]
fn confluent_kafka() {
    check(&Peer {
        name: "confluent",
        runtime: "python",
        program: peers_dir().join("python/bin/python"),
        script: "confluent.py",
        codecs: ALL_CODECS,
    });
}

#[test]
fn kafka_python() {
    check(&Peer {
        name: "kafka-python",
        runtime: "python",
        program: peers_dir().join("python/bin/python"),
        script: "kafka_python.py",
        codecs: ALL_CODECS,
    });
}

#[test]
fn kafkajs() {
    check(&Peer {
        name: "kafkajs",
        runtime: "node",
        program: PathBuf::from("node"),
        script: "kafkajs.js",
        codecs: &["none", "gzip"],
    });
}

fn check(peer: &Peer) {
    if !install(peer) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let receiver = ReceiverProcess::start(dir.path(), &[]);
    let sent = Command::new(&peer.program)
        .arg(scripts_dir().join(peer.script))
        .args([receiver.address.to_string(), RECORDS.to_string()])
        .env("NODE_PATH", peers_dir().join("node/node_modules"))
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let (code, summary) = receiver.terminate();
    assert_eq!(code, Some(0));
    assert!(!summary.contains("refused"), "{summary}");
    for codec in peer.codecs {
        for suffix in ["", "-idempotent"] {
            check_topic(path, &format!("{}-{codec}{suffix}", peer.name));
        }
    }
    let total = RECORDS * peer.codecs.len() * 2;
    let verified = logdrive(&["verify", "--json", path]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{text}");
    assert!(text.contains(&format!("\"records\":{total},\"duplicates\":0}}")), "{text}");
}

fn check_topic(dir: &str, topic: &str) {
    let cat = logdrive(&["cat", dir, "--topic", topic, "--format", "json"]);
    assert!(cat.status.success(), "{cat:?}");
    let text = String::from_utf8(cat.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), RECORDS, "{topic}");
    for (i, line) in lines.iter().enumerate() {
        let key = if i % 2 == 0 { format!("\"key {i}\"") } else { "null".to_owned() };
        let expected = format!(
            "\"key\":{key},\"attributes\":{{\"n\":\"{i}\"}},\"value\":\"record {i} of {topic}\"}}"
        );
        assert!(line.ends_with(&expected), "{topic}: {line} does not end with {expected}");
        assert!(line.contains(&format!("\"offset\":{i},")), "{topic}: {line}");
    }
}

/// Whether the peer can be run; if not, says why.
fn install(peer: &Peer) -> bool {
    let setup = Command::new(scripts_dir().join("setup.sh")).arg(peer.runtime).output().unwrap();
    match setup.status.code() {
        Some(0) => true,
        Some(EX_TEMPFAIL) => {
            let reason = String::from_utf8_lossy(&setup.stderr).into_owned();
            eprintln!("SKIPPED 1 foreign producer, {}: {}", peer.name, reason.trim());
            false
        }
        _ => panic!("{setup:?}"),
    }
}

fn scripts_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

fn peers_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}
