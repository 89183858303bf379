//! Nothing that logs while it is logged feeds on itself.

use std::fmt;

use log::Log;
use logdrive::facade;
use slog::o;
use tracing_subscriber::layer::SubscriberExt;

use crate::support::ReceiverProcess;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::wait;

/// Logs, by every facade, while it is formatted.
struct Nested {
    bridge: facade::log::Bridge,
    slog: slog::Logger,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bridge.log(&log::Record::builder().args(format_args!("nested")).build());
        slog::info!(self.slog, "nested");
        tracing::info!("nested");
        f.write_str("whole")
    }
}

#[test]
fn what_a_value_logs_while_it_is_formatted_is_refused_and_counted() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "");
    let nested = Nested {
        bridge: facade::log::Bridge::new(&client),
        slog: slog::Logger::root(facade::slog::Drain::new(&client), o!()),
    };
    let subscriber = tracing_subscriber::registry().with(facade::tracing::layer(&client));
    tracing::subscriber::with_default(subscriber, || {
        nested.bridge.log(&log::Record::builder().args(format_args!("{nested}")).build());
        slog::info!(nested.slog, "{}", nested);
        // Within an event, tracing itself keeps the third one from us.
        tracing::info!("{nested}");
    });
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!(stats.refused, [("reentrant", 8)]);
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [b"whole"; 3]);
}

#[test]
fn the_guard_closes_the_client_that_facades_still_hold() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let client = site.client(&[receiver.address], "");
    let guard = facade::log::install(&client, log::LevelFilter::Info).unwrap();
    assert!(facade::log::install(&client, log::LevelFilter::Info).is_err(), "a process has one");
    log::info!(number = 7; "installed");
    log::debug!("below the level");
    assert_eq!(guard.client().stats().refused_total(), 0);
    drop(guard);
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [b"installed"]);
    log::info!("too late");
    assert_eq!(client.stats().refused, [("closed", 1)]);
}
