//! `logdrive cat` and `logdrive verify` over what receivers stored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use logdrive::batch::Codec;
use logdrive::receiver::Options;
use logdrive::receiver::Receiver;

use support::Client;
use support::DEADLINE;
use support::Spec;
use support::cat;
use support::logdrive;

#[test]
fn cat_joins_directories_in_order_and_without_duplicates() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (left, right) = (path("left"), path("right"));
    let send = |dir: &str, batches: &[Vec<u8>]| {
        let options = Options::new("127.0.0.1:0".parse().unwrap(), dir);
        let receiver = Receiver::start(options).unwrap();
        let mut client = Client::connect(receiver.local_addr());
        for batch in batches {
            assert_eq!(client.produce("t", batch).unwrap().0, 0);
        }
        receiver.shutdown(DEADLINE).unwrap();
    };
    let spec = |first_record, record_count| Spec {
        codec: Codec::Lz4,
        ..Spec::of(first_record, record_count)
    };
    // Records 10..20 reach both; 25..30 are reported lost; 32..34 just vanish.
    let lost = Spec::of(30, 1).loss_report(25, 5);
    send(&left, &[spec(20, 5).batch(), spec(0, 10).batch(), spec(10, 10).batch(), lost]);
    send(&right, &[spec(31, 1).batch(), spec(15, 5).batch(), spec(10, 5).batch()]);
    let value = |n: u64| Spec::of(0, 0).value(n);
    let expected: Vec<_> = (0..25).chain(31..32).map(value).collect();
    assert_eq!(cat(&[&left, &right]), expected);
    let verified = logdrive(&["verify", &left, &right]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(0), "{text}");
    send(&right, &[spec(34, 1).batch()]);
    let verified = logdrive(&["verify", "--json", &left, &right]);
    assert_eq!(verified.status.code(), Some(1));
    let text = String::from_utf8(verified.stdout).unwrap();
    let facts = ["\"complete\":false", "\"missing\":2", "\"lost\":5", "\"duplicates\":10"];
    for fact in facts.iter().chain(&["\"gaps\":[{\"first\":32,\"count\":2}]"]) {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
    let line = cat(&[&left, "--format", "json"]).remove(0);
    assert!(line.contains("\"topic\":\"t\"") && line.contains("\"severity\":\"INFO\""), "{line}");
    assert!(line.ends_with("\"value\":\"record 0 of instance 1\"}"), "{line}");
    assert_eq!(cat(&[&left, "--topic", "other"]), [""; 0]);
    assert_eq!(logdrive(&["cat", &path("absent")]).status.code(), Some(2));
    assert_eq!(logdrive(&["cat"]).status.code(), Some(2));
}

#[test]
fn verify_reports_damage() {
    let dir = tempfile::tempdir().unwrap();
    let receiver =
        Receiver::start(Options::new("127.0.0.1:0".parse().unwrap(), dir.path().join("r")))
            .unwrap();
    let mut client = Client::connect(receiver.local_addr());
    for n in 0..3 {
        client.produce("t", &Spec::of(n, 1).batch()).unwrap();
    }
    receiver.shutdown(DEADLINE).unwrap();
    let segment = dir.path().join("r/t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let dir = dir.path().join("r").to_str().unwrap().to_owned();
    let verified = logdrive(&["verify", &dir]);
    assert_eq!(verified.status.code(), Some(1));
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(text.contains("NOT complete: 1 records missing, 1 places damaged"), "{text}");
    assert_eq!(logdrive(&["cat", &dir]).status.code(), Some(1));
}
