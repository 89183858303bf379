//! What a record carries: text, severity, target, values, spans.

use log::Log;
use logdrive::Client;
use logdrive::Severity;
use logdrive::facade;
use slog::o;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::ReceiverProcess;
use crate::support::site::Site;
use crate::support::site::cat;
use crate::support::wait;

/// Logs by `log`; what arrived, a JSON object per line.
fn logged(log: impl FnOnce(&Client)) -> Vec<String> {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "");
    log(&client);
    client.flush(wait::PATIENCE).unwrap();
    client.close(wait::PATIENCE).unwrap();
    let out = cat(&[site.receiver_dir(0)], &["--format", "json"]);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn assert_holds(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn records_of_log_travel_with_target_and_key_values() {
    let lines = logged(|client| {
        let bridge = facade::log::Bridge::new(client);
        let values = [("path", log::kv::Value::from("/cart")), ("status", 200.into())];
        bridge.log(
            &log::Record::builder()
                .args(format_args!("request {}", 7))
                .level(log::Level::Warn)
                .target("shop")
                .key_values(&values)
                .build(),
        );
        client.set_level(Severity::Error);
        let below = log::Metadata::builder().level(log::Level::Warn).build();
        assert!(!bridge.enabled(&below));
        bridge.log(&log::Record::builder().metadata(below).args(format_args!("below")).build());
        bridge.flush();
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = [
        "\"request 7\"",
        "WARN",
        "\"target\":\"shop\"",
        "\"path\":\"/cart\"",
        "\"status\":\"200\"",
    ];
    assert_holds(&lines[0], &expected);
}

#[test]
fn records_of_slog_travel_with_the_values_of_their_logger() {
    let lines = logged(|client| {
        let root = slog::Logger::root(facade::slog::Drain::new(client), o!("service" => "shop"));
        let log = root.new(o!("order" => 17));
        slog::crit!(log, "request {}", 7; "path" => "/cart", "took" => ?(1, 2));
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let values =
        ["\"path\":\"/cart\"", "\"took\":\"(1, 2)\"", "\"order\":\"17\"", "\"service\":\"shop\""];
    assert_holds(&lines[0], &["\"request 7\"", "FATAL", "facades::contents"]);
    assert_holds(&lines[0], &values);
}

#[test]
fn events_of_tracing_travel_with_their_fields_and_those_of_their_spans() {
    let lines = logged(|client| {
        let subscriber = tracing_subscriber::registry().with(facade::tracing::layer(client));
        tracing::subscriber::with_default(subscriber, || {
            let outer =
                tracing::debug_span!("request", path = "/cart", user = tracing::field::Empty);
            let _outer = outer.enter();
            outer.record("user", "ada");
            let _inner = tracing::info_span!("query", path = "/inner", rows = 3_u64).entered();
            tracing::error!(error = %"refused", big = u64::MAX, rows = ?Some(4), "failed {}", 9);
            tracing::info!(target: "elsewhere", parent: None, yes = true);
        });
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    let expected = [
        "\"failed 9\"",
        "ERROR",
        "\"target\":\"facades::contents\"",
        "\"error\":\"refused\"",
        "\"big\":\"18446744073709551615\"",
        "\"rows\":\"Some(4)\"",
        "\"path\":\"/inner\"",
        "\"user\":\"ada\"",
        "\"span\":\"request:query\"",
    ];
    assert_holds(&lines[0], &expected);
    assert!(!lines[0].contains("/cart") && !lines[0].contains("\"rows\":\"3\""), "{}", lines[0]);
    assert_holds(&lines[1], &["\"target\":\"elsewhere\"", "\"yes\":\"true\"", "INFO"]);
    assert!(!lines[1].contains("span"), "{}", lines[1]);
}

#[test]
fn a_level_holds_for_callsites_that_were_met_before_and_for_no_other_layer() {
    let lines = logged(|client| {
        let (other, seen) = Counting::new();
        let subscriber =
            tracing_subscriber::registry().with(facade::tracing::layer(client)).with(other);
        tracing::subscriber::with_default(subscriber, || {
            for level in [Severity::Warn, Severity::Debug, Severity::Error] {
                facade::tracing::set_level(client, level);
                tracing::info!("met under {level}");
            }
        });
        assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 3);
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_holds(&lines[0], &["met under DEBUG"]);
}

/// A layer that counts events of any level.
struct Counting(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Counting {
    fn new() -> (Self, std::sync::Arc<std::sync::atomic::AtomicU64>) {
        let seen = std::sync::Arc::default();
        (Self(std::sync::Arc::clone(&seen)), seen)
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Counting {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn more_values_than_fit_without_memory_travel_all() {
    let lines = logged(|client| {
        let bridge = facade::log::Bridge::new(client);
        let names: Vec<String> = (0..100).map(|number| format!("name-{number}")).collect();
        let values: Vec<_> =
            names.iter().map(|name| (name.as_str(), log::kv::Value::from(name.as_str()))).collect();
        let record = log::Record::builder().key_values(&values).args(format_args!("many")).build();
        bridge.log(&record);
    });
    assert_holds(&lines[0], &["\"name-0\":\"name-0\"", "\"name-99\":\"name-99\""]);
}
