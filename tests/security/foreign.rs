//! A client that other people wrote (librdkafka), against our receiver with TLS and SASL PLAIN.

use std::path::PathBuf;
use std::process::Command;

use crate::bundle;
use crate::encrypted;
use crate::shown;
use crate::start;
use crate::support::certificates;
use crate::support::certificates::Authority;
use crate::support::site::Site;
use crate::support::site::cat_lines;

const RECORDS: usize = 1_000;
const EX_TEMPFAIL: i32 = 75;

#[test]
fn librdkafka_writes_to_a_guarded_receiver() {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let setup = Command::new(scripts.join("setup.sh")).arg("python").output().unwrap();
    if setup.status.code() == Some(EX_TEMPFAIL) {
        let reason = String::from_utf8_lossy(&setup.stderr).into_owned();
        eprintln!("SKIPPED 1 peer, confluent: {}", reason.trim());
        return;
    }
    assert!(setup.status.success(), "{setup:?}");
    let site = Site::new();
    let authority = Authority::new("authority");
    let trusted = bundle(&[&authority], site.file("ca.pem"));
    certificates::write(&site.file("users"), "alice:wonder\n");
    let (certificate, key) = authority.issue("alice").write(site.disk(), "alice");
    let dir = site.receiver_dir(0);
    let mut arguments = encrypted(&authority, site.disk(), "receiver");
    arguments.extend(["--sasl-users".to_owned(), shown(&site.file("users"))]);
    arguments.extend(["--tls-client-ca".to_owned(), shown(&trusted)]);
    let receiver = start(&dir, &arguments);
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    let peers = std::env::var_os("PEERS_DIR").map_or(default, PathBuf::from);
    let send = |password: &str| {
        Command::new(peers.join("python/bin/python"))
            .arg(scripts.join("confluent_secured.py"))
            .args([&receiver.address.to_string(), &RECORDS.to_string(), &shown(&trusted)])
            .args([&shown(&certificate), &shown(&key), "alice", password])
            .output()
            .unwrap()
    };
    let sent = send("wonder");
    assert!(sent.status.success(), "{sent:?}");
    let refused = send("wander");
    assert!(!refused.status.success(), "{refused:?}");
    let expected: Vec<Vec<u8>> = (0..RECORDS).map(|n| format!("record {n}").into_bytes()).collect();
    assert_eq!(cat_lines(&[dir]), expected);
    let (_, summary) = receiver.terminate();
    assert!(summary.contains("refused authentication_failed: "), "{summary}");
}
