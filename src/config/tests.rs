//! The configuration as its users meet it: sources, precedence, defaults, errors, contradictions.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::Code;
use crate::error::Error;

const RECEIVERS: &str = "receivers://h1/logs";
const KAFKA: &str = "kafka://h1/logs";

/// The environment as a test gives it.
fn variables<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with(url: &str, options: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let mut config = Config::from_url(url)?;
    for (name, value) in options {
        config.set(name, value)?;
    }
    config.settings()
}

#[test]
fn every_default_passes_its_own_check_and_the_whole_does() {
    let defaults = Groups::default();
    for spec in OPTIONS {
        if spec.default.is_empty() {
            continue;
        }
        let mut groups = defaults.clone();
        spec.apply(&mut groups, spec.default).unwrap();
        assert_eq!(format!("{groups:?}"), format!("{defaults:?}"), "{}", spec.name);
    }
    for url in [RECEIVERS, KAFKA] {
        with(url, &[]).unwrap();
    }
}

#[test]
fn names_are_unique_also_as_environment_variables_and_documented() {
    let mut seen = BTreeSet::new();
    for spec in OPTIONS {
        assert!(seen.insert(spec.name.to_owned()), "{} is there twice", spec.name);
        assert!(seen.insert(spec.environment_variable()), "{} is ambiguous", spec.name);
        assert!(spec.documentation.trim().ends_with('.'), "{} has no sentence", spec.name);
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let settings = with(RECEIVERS, &[]).unwrap();
    assert_eq!(settings.topic, "logs");
    assert_eq!(settings.client.name, "default");
    assert_eq!(settings.batch.codec, Codec::Lz4);
    assert_eq!(settings.batch.linger, Duration::from_millis(20));
    assert_eq!(settings.batch.bytes, 256 << 10);
    assert_eq!(settings.ring.bytes_max, None);
    assert_eq!(settings.ring.reserve_percent, 10);
    assert_eq!(settings.spool.sync, SpoolSync::None);
    assert_eq!(settings.fleet.rebind_bytes, Some(256 << 20));
    assert_eq!(settings.fleet.rebind_records, None);
    assert_eq!(settings.acknowledgement_deadline(), Duration::from_secs(10));
    assert_eq!(with(KAFKA, &[]).unwrap().acknowledgement_deadline(), Duration::from_secs(30));
}

#[test]
fn url_parameters_setters_files_and_variables_reach_the_same_field() {
    let expected = Some(16 << 20);
    let url = Config::from_url("receivers://h/t?ring.bytes_max=16MiB").unwrap();
    let mut setter = Config::from_url(RECEIVERS).unwrap();
    setter.set("ring.bytes_max", "16MiB").unwrap();
    let mut from_file = Config::from_url(RECEIVERS).unwrap();
    from_file.load_file(file("[ring]\nbytes_max = 16777216").path()).unwrap();
    let mut environment = Config::from_url(RECEIVERS).unwrap();
    let pairs = variables([("LOGDRIVE_RING_BYTES_MAX", "16MiB"), ("PATH", "/bin")]);
    environment.load_environment(pairs).unwrap();
    for config in [url, setter, from_file, environment] {
        assert_eq!(config.settings().unwrap().ring.bytes_max, expected);
    }
}

/// Applies the sources in the order of `order`; each sets another linger, and another host.
fn in_order(order: &[usize]) -> Settings {
    let file = file("url = 'kafka://file/t?linger=8ms'\nlinger = '1ms'");
    let mut config = Config::new();
    for step in order {
        match step {
            0 => config.load_file(file.path()).unwrap(),
            1 => {
                let url = "kafka://environment/t?linger=9ms";
                let pairs = variables([("LOGDRIVE_LINGER", "2ms"), ("LOGDRIVE_URL", url)]);
                config.load_environment(pairs).unwrap();
            }
            2 => config.set(URL, "receivers://url/t?linger=3ms").unwrap(),
            _ => config.set("linger", "4ms").unwrap(),
        }
    }
    config.settings().unwrap()
}

#[test]
fn a_stronger_source_wins_whatever_the_order_of_calls() {
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];
    for (sources, millis, host) in
        [(1, 1, "file"), (2, 2, "environment"), (3, 3, "url"), (4, 4, "url")]
    {
        for order in orders {
            let order: Vec<usize> = order.into_iter().filter(|step| *step < sources).collect();
            let settings = in_order(&order);
            assert_eq!(settings.batch.linger, Duration::from_millis(millis), "{order:?}");
            assert_eq!(settings.target.hosts, [(host.to_owned(), 9092)], "{order:?}");
        }
    }
}

#[test]
fn within_one_source_the_later_value_holds() {
    let settings = with(RECEIVERS, &[("linger", "1ms"), ("linger", "2ms")]).unwrap();
    assert_eq!(settings.batch.linger, Duration::from_millis(2));
}

#[test]
fn unknown_names_name_the_nearest_known_one() {
    let mut config = Config::from_url(RECEIVERS).unwrap();
    let message = |error: ConfigError| error.to_string();
    let setter = message(config.set("ring.byte_max", "1").unwrap_err());
    assert_eq!(setter, "unknown option `ring.byte_max`; did you mean `ring.bytes_max`?");
    let url = message(Config::from_url("kafka://h/t?lingr=1ms").unwrap_err());
    assert_eq!(url, "URL: unknown option `lingr`; did you mean `linger`?");
    let pairs = variables([("LOGDRIVE_LINGR", "1ms")]);
    let environment = message(config.load_environment(pairs).unwrap_err());
    assert!(environment.contains("did you mean `LOGDRIVE_LINGER`?"), "{environment}");
    let file = file("[ring]\nthread_max = 3");
    let from_file = message(config.load_file(file.path()).unwrap_err());
    assert!(from_file.contains("`ring.threads_max`"), "{from_file}");
    assert!(from_file.starts_with(&file.path().display().to_string()), "{from_file}");
}

#[test]
fn a_refused_value_names_option_value_and_range_and_changes_nothing() {
    let mut config = Config::from_url(RECEIVERS).unwrap();
    config.set("linger", "7ms").unwrap();
    let error = config.set("linger", "11s").unwrap_err();
    assert_eq!(
        error.to_string(),
        "linger: `11s` is not accepted; allowed is \
         a duration with its unit (us, ms, s, m, h) from 0 to 10s"
    );
    config.set(URL, "receivers://other/t?codec=zstd&linger=soon").unwrap_err();
    config.load_file(file("codec = 'zstd'\nlinger = 5").path()).unwrap_err();
    let pairs = variables([("LOGDRIVE_CODEC", "zstd"), ("LOGDRIVE_WORKERS", "many")]);
    config.load_environment(pairs).unwrap_err();
    let settings = config.settings().unwrap();
    assert_eq!(settings.batch.linger, Duration::from_millis(7));
    assert_eq!(settings.batch.codec, Codec::Lz4);
    assert_eq!(settings.target.hosts[0].0, "h1");
}

#[test]
fn a_weak_source_is_checked_even_where_a_stronger_one_has_spoken() {
    let mut config = Config::from_url("receivers://h/t?linger=1ms").unwrap();
    let error = config.load_environment(variables([("LOGDRIVE_LINGER", "?")])).unwrap_err();
    assert!(error.to_string().starts_with("LOGDRIVE_LINGER: linger: `?`"), "{error}");
}

#[test]
fn values_just_outside_their_range_are_refused() {
    for (name, good, bad) in [
        ("batch.bytes", "4KiB", "4095"),
        ("record.bytes_max", "900000", "900001"),
        ("ring.threads_max", "65536", "0"),
        ("lane.batches_in_flight_max", "5", "6"),
        ("spool.sync", "none", "0"),
        ("spool.segment_bytes", "4MiB", "257MiB"),
        ("spool.segment_bytes", "4100KiB", "5000000"),
        ("codec", "zstd", "ZSTD"),
        ("idempotence", "false", "no"),
        ("name", "a.b-c_9", ".."),
        ("name", "a", "a/b"),
        ("topic", "t", "a b"),
        ("client_id", "x y", "é"),
        ("workers", "64", "65"),
        ("ring.dir", "/dev/shm/a", "a\0b"),
    ] {
        with(RECEIVERS, &[(name, good)]).unwrap();
        let error = with(RECEIVERS, &[(name, bad)]).unwrap_err();
        let named = matches!(&error, ConfigError::InvalidValue { option, .. } if *option == name);
        assert!(named, "{name}={bad}: {error}");
    }
}

#[test]
fn contradictions_name_both_options() {
    for (url, options, first, second) in [
        (RECEIVERS, &[("batch.bytes_max", "100000")][..], "batch.bytes", "batch.bytes_max"),
        (
            RECEIVERS,
            &[("record.bytes_max", "900000"), ("batch.bytes_max", "999999")],
            "record.bytes_max",
            "batch.bytes_max",
        ),
        (
            RECEIVERS,
            &[("record.bytes_max", "600000"), ("ring.bytes_max", "1MiB")],
            "ring.bytes_max",
            "record.bytes_max",
        ),
        (
            RECEIVERS,
            &[("record.bytes_max", "600000"), ("format", "json")],
            "record.bytes_max",
            "spool.segment_bytes",
        ),
        (RECEIVERS, &[("codec.level", "3")], "codec.level", "codec"),
        (RECEIVERS, &[("codec", "gzip"), ("codec.level", "10")], "codec.level", "codec"),
        (RECEIVERS, &[("spool.dir", "/a"), ("ring.dir", "/a/")], "spool.dir", "ring.dir"),
        (RECEIVERS, &[("spool.sync", "batch")], "spool.sync", "spool.dir"),
        (
            RECEIVERS,
            &[("spool.bytes_max", "16MiB"), ("spool.segment_bytes", "16MiB")],
            "spool.segment_bytes",
            "spool.bytes_max",
        ),
        (
            RECEIVERS,
            &[("spool.memory_bytes_max", "16MiB"), ("spool.segment_bytes", "16MiB")],
            "spool.segment_bytes",
            "spool.memory_bytes_max",
        ),
        (RECEIVERS, &[("backoff.min", "20s")], "backoff.min", "backoff.max"),
        (RECEIVERS, &[("poll.busy", "100ms")], "poll.busy", "poll.idle"),
        (RECEIVERS, &[("tcp.user_timeout", "9s")], "acknowledgement.deadline", "tcp.user_timeout"),
        (KAFKA, &[("request.timeout", "31s")], "request.timeout", "acknowledgement.deadline"),
        (KAFKA, &[("acks", "leader")], "acks", "idempotence"),
        (RECEIVERS, &[("lanes", "17")], "lanes", "lanes.max"),
    ] {
        let error = with(url, options).unwrap_err();
        let both = matches!(&error, ConfigError::Contradiction { option, other, .. }
            if (*option, *other) == (first, second));
        assert!(both, "{options:?}: {error}");
    }
}

#[test]
fn what_resolves_a_contradiction_is_accepted() {
    with(KAFKA, &[("acks", "none"), ("idempotence", "false")]).unwrap();
    with(KAFKA, &[("rebind.records", "1000")]).unwrap();
    with(RECEIVERS, &[("request.timeout", "31s")]).unwrap();
    with(RECEIVERS, &[("codec", "zstd"), ("codec.level", "19")]).unwrap();
    with(RECEIVERS, &[("spool.sync", "100ms"), ("spool.dir", "/var/spool/x")]).unwrap();
    with(RECEIVERS, &[("record.bytes_max", "900000")]).unwrap();
}

#[test]
fn without_a_url_there_is_nothing_to_open() {
    assert!(matches!(Config::new().check(), Err(ConfigError::NoUrl)));
    let mut config = Config::new();
    config.set("linger", "1ms").unwrap();
    assert!(matches!(config.check(), Err(ConfigError::NoUrl)));
    config.set(URL, RECEIVERS).unwrap();
    assert_eq!(config.settings().unwrap().topic, "logs");
    config.set("topic", "").unwrap();
    assert!(matches!(config.check(), Err(ConfigError::NoTopic)));
}

#[test]
fn a_missing_or_oversized_file_is_an_error_with_its_path() {
    let mut config = Config::new();
    let message = config.load_file("/nonexistent/logdrive.toml").unwrap_err().to_string();
    assert!(message.starts_with("/nonexistent/logdrive.toml: cannot read"), "{message}");
    let large = file(&"#".repeat((1 << 20) + 1));
    assert!(config.load_file(large.path()).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn errors_leave_the_library_as_configuration_errors() {
    let error = Error::from(Config::from_url("kafka://h/t?codec=rar").unwrap_err());
    assert_eq!(error.code(), Code::Configuration);
    assert!(error.to_string().contains("none, gzip, snappy, lz4, zstd"), "{error}");
}

proptest! {
    #[test]
    fn no_value_makes_any_option_panic(value in "\\PC{0,40}", index in 0..OPTIONS.len()) {
        let _ = Config::new().set(OPTIONS[index].name, &value);
    }

    #[test]
    fn no_name_makes_the_suggestion_panic(name in any::<String>()) {
        prop_assume!(name != URL && OPTIONS.iter().all(|spec| spec.name != name));
        let unknown = matches!(
            Config::new().set(&name, "1"),
            Err(ConfigError::UnknownOption { .. })
        );
        prop_assert!(unknown);
    }
}
