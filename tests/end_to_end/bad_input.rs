//! What users and disks do wrong: an answer that says what, and nobody else is harmed.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

use logdrive::Client;
use logdrive::Code;
use logdrive::Config;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::site::cat;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

#[test]
fn a_wrong_option_is_named_with_its_value_and_range_and_nothing_starts() {
    let site = Site::new();
    let cases: &[(&str, &[&str])] = &[
        ("linger=soon", &["linger", "soon", "10s"]),
        ("linger=11s", &["linger", "11s", "10s"]),
        ("lingr=5ms", &["lingr", "linger"]),
        ("workers=0", &["workers", "0", "1 to 64"]),
        ("codec=lzma", &["codec", "lzma", "lz4"]),
        ("batch.bytes=2MiB", &["batch.bytes", "2MiB", "1000000"]),
        ("codec=gzip&codec.level=12", &["codec.level", "12", "1 to 9"]),
        ("acks=leader", &["acks", "leader", "idempotence"]),
        ("poll.busy=1s&poll.idle=2ms", &["poll.busy", "1s", "poll.idle", "2ms"]),
        ("name=..", &["name", ".."]),
    ];
    for (options, parts) in cases {
        let url = site.url(&["127.0.0.1:9"], options);
        // What is wrong by itself is found at once, contradictions when the client is opened.
        let error = match Config::from_url(&url) {
            Ok(config) => Client::start(&config).unwrap_err(),
            Err(error) => error.into(),
        };
        let message = error.to_string();
        assert_eq!(error.code(), Code::Configuration, "{options}: {message}");
        for part in *parts {
            assert!(message.contains(part), "{options}: '{part}' is not in '{message}'");
        }
        assert!(!site.ring_dir().exists(), "{options} started something");
    }
    for url in ["receivers://", "http://a/b", "receivers://a:b/c", "receivers://a:1", "a", ""] {
        let error = Client::open(url).unwrap_err();
        assert_eq!(error.code(), Code::Configuration, "{url}: {error}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn each_refusal_has_its_own_code_and_counter() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "record.bytes_max=1KiB");
    client.log(Severity::Info, "before").unwrap();
    assert_eq!(client.log(Severity::Info, "x".repeat(1100)), Err(Code::RecordTooLarge));
    let reserved = client.log_with(Severity::Info, "x", &[("logdrive.id", b"mine")]);
    assert_eq!(reserved, Err(Code::InvalidArgument));
    client.log(Severity::Info, "after").unwrap();
    let other = client.clone();
    let refused = |name: &str| {
        let refused = other.stats().refused;
        refused.iter().find(|(reason, _)| *reason == name).map_or(0, |(_, count)| *count)
    };
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!(other.log(Severity::Info, "too late"), Err(Code::Closed));
    assert_eq!((stats.accepted, stats.sender.delivered), (2, 2));
    for name in ["record_too_large", "invalid", "closed"] {
        assert_eq!(refused(name), 1, "{name}");
    }
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [&b"before"[..], b"after"]);
}

/// Nobody listens: above 90 % of the spool INFO is refused and WARN is not; then the spool is full and waits, the
/// arena fills, and the account includes what is in it; then a receiver comes and gets exactly what was accepted.
#[test]
fn a_full_spool_keeps_a_share_for_warn_and_a_full_arena_refuses_all() {
    let site = Site::new();
    let address = lasting_address();
    let options = "ring.bytes_max=1MiB&spool.bytes_max=16MiB&spool.full=block&codec=none";
    let client = site.client(&[address], options);
    let mut expected = Vec::new();
    let text = |number: usize| format!("{number} {}", "z".repeat(500));
    let mut log_until_refused = |severity, code| {
        let mut refused = 0;
        // The batcher empties the arena as long as it can; after that a refusal stays one.
        wait::until("all are refused", || {
            let before = refused;
            for _ in 0..1000 {
                match client.log(severity, text(expected.len())) {
                    Ok(()) => expected.push(text(expected.len())),
                    Err(refusal) => refused += u64::from(refusal == code),
                }
            }
            refused == before + 1000
        });
        (refused, expected.len() as u64)
    };
    let (_, below_warn) = log_until_refused(Severity::Info, Code::SpoolFull);
    let (_, all) = log_until_refused(Severity::Warn, Code::RingFull);
    let text_bytes = text(0).len() as u64;
    let spooled = 12 << 20;
    assert!(
        below_warn * text_bytes > spooled,
        "90 % of 16 MiB, but for heads and the ends of segments: {below_warn}"
    );
    assert!((all - below_warn) * text_bytes > 1 << 20, "the rest, and the arena: {all}");
    wait::until("what is in the rings is counted", || client.stats().accepted == all);
    let stats = client.stats();
    assert_eq!((stats.sender.stored, stats.sender.delivered), (all, 0), "{stats:?}");
    assert!(stats.refused.iter().any(|(reason, _)| *reason == "spool_full"), "{stats:?}");
    let refused = stats.refused_total();
    assert!(stats.sender.receivers.iter().all(|receiver| !receiver.is_connected), "{stats:?}");

    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    client.flush(wait::PATIENCE).unwrap();
    wait::until("INFO is admitted again", || client.log(Severity::Info, "after").is_ok());
    let refused_before = refused;
    let stats = client.close(wait::PATIENCE).unwrap();
    expected.push("after".to_owned());
    assert_eq!((stats.accepted, stats.sender.delivered), (all + 1, all + 1));
    assert!(stats.refused_total() >= refused_before && stats.dropped_total() == 0);
    let expected: Vec<&[u8]> = expected.iter().map(|line| line.as_bytes()).collect();
    assert!(cat_lines(&[site.receiver_dir(0)]) == expected);
    verify(&[site.receiver_dir(0)]);
}

#[test]
fn the_sixty_fifth_stream_is_refused_and_the_others_work() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "");
    // The URL's topic is the first.
    for number in 1..64 {
        let stream = client.stream(&format!("stream-{number}")).unwrap();
        stream.log(Severity::Info, format!("of {number}")).unwrap();
    }
    assert_eq!(client.stream("one-too-many").unwrap_err().code(), Code::TooManyStreams);
    assert_eq!(client.stream("no/path").unwrap_err().code(), Code::InvalidArgument);
    client.stream("stream-7").unwrap().log(Severity::Info, "again of 7").unwrap();
    client.close(wait::PATIENCE).unwrap();
    let dirs = [site.receiver_dir(0)];
    assert_eq!(cat(&dirs, &["--topic", "stream-7"]), b"of 7\nagain of 7\n");
    assert_eq!(cat(&dirs, &["--topic", "stream-63"]), b"of 63\n");
    assert_eq!(cat_lines(&dirs).len(), 64);
    verify(&dirs);
}

#[test]
fn what_a_consumer_sees_of_a_record() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let log = |options: &str| {
        let client = site.client(&[receiver.address], options);
        let attributes: [(&str, &[u8]); 2] = [("user", b"\"me\""), ("raw", b"\xff")];
        client.log_keyed(Severity::Error, "the key", "line\r\n\u{20ac}", &attributes).unwrap();
        client.log(Severity::Trace, b"\xff\xfe").unwrap();
        client.close(wait::PATIENCE).unwrap();
    };
    let dirs = [site.receiver_dir(0)];
    log("topic=text");
    let text = String::from_utf8(cat(&dirs, &["--topic", "text", "--format", "json"])).unwrap();
    let [first, second] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    for part in [
        "\"topic\":\"text\"",
        "\"key\":\"the key\"",
        "\"severity\":\"ERROR\"",
        "\"attributes\":{\"user\":\"\\\"me\\\"\",\"raw\":{\"base64\":\"/w==\"}}",
        "\"value\":\"line\\r\\n\u{20ac}\"",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(second.contains("\"key\":null,\"severity\":\"TRACE\",\"attributes\":{}"), "{second}");
    assert!(second.contains("\"value_base64\":\"//4=\""), "{second}");

    log("topic=nanos&timestamps=ns");
    let nanos = String::from_utf8(cat(&dirs, &["--topic", "nanos", "--format", "json"])).unwrap();
    let milliseconds = number_behind(&nanos, "\"timestamp\":");
    let nanoseconds = number_behind(&nanos, "\"time_ns\":\"");
    assert_eq!(nanoseconds / 1_000_000, milliseconds, "{nanos}");

    log("topic=objects&format=json");
    let objects = String::from_utf8(cat(&dirs, &["--topic", "objects"])).unwrap();
    let tail = "\"severity\":\"ERROR\",\"message\":\"line\\r\\n\u{20ac}\",\
        \"user\":\"\\\"me\\\"\",\"raw\":\"\u{fffd}\"}";
    assert!(objects.lines().next().unwrap().ends_with(tail), "{objects}");
}

fn number_behind(text: &str, name: &str) -> u64 {
    let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("no {name} in {text}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// A way to spoil a file, and its name.
type Spoil = (&'static str, fn(&Path));

/// Ways to spoil a file that a dead process left.
const SPOILS: &[Spoil] = &[
    ("truncated", |path| {
        let bytes = fs::metadata(path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(bytes / 2).unwrap();
    }),
    ("cut to a few bytes", |path| {
        fs::File::options().write(true).open(path).unwrap().set_len(5).unwrap();
    }),
    ("foreign", |path| fs::write(path, b"this is somebody else's file\n").unwrap()),
    ("of another version", |path| {
        // The versions of all our files stand within their first 16 bytes.
        let mut bytes = fs::read(path).unwrap();
        bytes[4..16].fill(0x5a);
        fs::write(path, bytes).unwrap();
    }),
];

/// A file in a dead process's slot is spoiled: the next process starts all the same, uses a fresh slot and
/// delivers what it logs; and the spoiled bytes are still somewhere, unless all could be read that was
/// accepted (a ledger has its account twice, of segments the part behind the last frame says nothing).
#[test]
fn spoiled_files_are_kept_and_a_fresh_slot_is_used() {
    let mut spoiled = 0;
    for (how, spoil) in SPOILS {
        for number in 0.. {
            let site = Site::new();
            let url = site.url(&["127.0.0.1:9"], "name=application");
            let mut application = Application::start(0, &url, &site.file("witness"), None);
            application.wait_for(2_000);
            let accepted = application.kill();
            let Some(path) = files_with_bytes(&site.ring_dir()).into_iter().nth(number) else {
                break;
            };
            spoil(&path);
            let bytes = fs::read(&path).unwrap();
            let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
            let client = site.client(&[receiver.address], "name=application");
            client.log(Severity::Info, "a fresh record").unwrap();
            client.flush(wait::PATIENCE).unwrap();
            wait::until("the dead slot was looked at", || {
                let sender = client.stats().sender;
                sender.adoption_done && sender.stored == 0
            });
            let context = format!("{} {how}", path.display());
            let stats = client.stats();
            assert_eq!(
                (stats.accepted, stats.sender.delivered, stats.panics),
                (1, 1, 0),
                "{context}"
            );
            client.close(wait::PATIENCE).unwrap();
            let kept = files_with_bytes(&site.ring_dir());
            let kept = kept.iter().any(|path| fs::read(path).unwrap() == bytes);
            let found = cat_lines(&[site.receiver_dir(0)]);
            assert!(found.contains(&b"a fresh record".to_vec()), "{context}");
            let all = accepted.by_thread.iter().sum::<u64>() < found.len() as u64;
            assert!(kept || all, "{context} was deleted, {} of {accepted:?}", found.len());
            spoiled += 1;
        }
    }
    println!("{spoiled} files were spoiled");
    assert!(spoiled >= 3 * SPOILS.len());
}

/// All files below `dir` that are not empty, in a fixed order of their names.
fn files_with_bytes(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            files.extend(files_with_bytes(&entry.path()));
        } else if metadata.len() > 0 {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Somebody removes the files of a dead process's spool: what was still in its rings is delivered.
#[test]
fn rings_outlive_their_spool() {
    let site = Site::new();
    let url = site.url(&["127.0.0.1:9"], "name=application&linger=10s&batch.bytes=1000000");
    let mut application = Application::start(0, &url, &site.file("witness"), None);
    application.wait_for(100);
    drop(application.kill());
    for path in files_with_bytes(&site.ring_dir()) {
        if path.file_name().is_none_or(|name| name != "arena" && name != "slot") {
            fs::remove_file(path).unwrap();
        }
    }
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let stats = site.drain(&site.url(&[receiver.address], "name=application"));
    assert_eq!((stats.spool_errors, stats.panics), (0, 0), "{stats:?}");
    assert!(!cat_lines(&[site.receiver_dir(0)]).is_empty());
    assert!(site.slots(&site.ring_dir()).is_empty());
}

/// A process that died while it made its slot leaves next to nothing, and no error.
#[test]
fn a_slot_that_was_never_finished_is_no_error() {
    let site = Site::new();
    let dir = site.ring_dir().join("default");
    let unfinished = [&[][..], &["lock"], &["lock", "quarantine"], &["lock", "slot"]];
    for (number, files) in unfinished.into_iter().enumerate() {
        let slot = dir.join(format!("{number:032x}"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&slot).unwrap();
        files.iter().for_each(|name| fs::write(slot.join(name), b"").unwrap());
    }
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let stats = site.drain(&site.url(&[receiver.address], ""));
    assert_eq!((stats.spool_errors, stats.panics), (0, 0), "{stats:?}");
}
