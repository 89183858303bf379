//! Receivers and brokers that answer with errors: the documented action, and every record accounted for.

use std::time::Duration;

use logdrive::Client;
use logdrive::Code;
use logdrive::Config;
use logdrive::Severity;
use logdrive::Snapshot;

use crate::support::scripted::Lie;
use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::wait;

const RECORDS: u64 = 10;
/// Answers that cannot be believed, one after the other.
const LIES: usize = 5;

fn log_ten(client: &Client, from: u64) -> Vec<Vec<u8>> {
    let lines: Vec<String> =
        (from..from + RECORDS).map(|number| format!("line {number}")).collect();
    lines.iter().for_each(|line| client.log(Severity::Info, line).unwrap());
    lines.into_iter().map(String::into_bytes).collect()
}

fn assert_conserved(stats: &Snapshot) {
    let sender = &stats.sender;
    let ended = sender.delivered + sender.unconfirmed + stats.dropped_total() + sender.damaged;
    assert_eq!(stats.accepted, ended + sender.stored, "{stats:?}");
    assert_eq!((stats.panics, stats.spool_errors), (0, 0), "{stats:?}");
}

/// The statistics tell that connections failed, and why.
fn assert_reported(stats: &Snapshot, failures: u64) {
    let receiver = &stats.sender.receivers[0];
    assert!(receiver.failures >= failures && !receiver.last_failure.is_empty(), "{receiver:?}");
}

fn open(site: &Site, scheme: &str, receiver: &ScriptedReceiver) -> Client {
    let url = site.url_with_scheme(scheme, &[receiver.address], "linger=50ms");
    Client::start(&Config::from_url(&url).unwrap()).unwrap()
}

/// What a batch that was not taken is sent as again: the very same bytes.
#[test]
fn an_error_that_passes_is_answered_with_the_same_bytes() {
    for scheme in ["receivers", "kafka"] {
        for code in [-1, 2, 7, 56] {
            let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[code], 0));
            let client = open(&site, scheme, &receiver);
            let lines = log_ten(&client, 0);
            client.flush(wait::PATIENCE).unwrap();
            let stats = client.close(wait::PATIENCE).unwrap();
            let seen = receiver.seen();
            let context = format!("{scheme}, code {code}: {stats:?}");
            assert_eq!(seen[0].code, code, "{context}");
            assert_eq!(seen[0].bytes, seen[1].bytes, "{context}");
            assert_eq!(receiver.stored(), lines, "{context}");
            assert_eq!((stats.sender.delivered, stats.sender.retries), (RECORDS, 1), "{context}");
            assert_conserved(&stats);
        }
    }
}

/// A partition that does not know the producer takes any first sequence: the scripted one never looks at sequences
/// at all. For a second topic, on a connection that works, its first answer is NOT_LEADER, as where it was just made.
#[test]
fn the_first_batch_that_is_refused_keeps_its_place_in_the_partition() {
    let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[0, 6], 0));
    let options = "linger=50ms&batch.bytes=4KiB&codec=none";
    let url = site.url_with_scheme("kafka", &[receiver.address], options);
    let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
    client.log(Severity::Info, "of the first topic").unwrap();
    client.flush(wait::PATIENCE).unwrap();
    receiver.lie(&[Lie::Slow]);
    let stream = client.stream("new").unwrap();
    let lines: Vec<String> = (0..100).map(|number| format!("{number:0>1000}")).collect();
    lines.iter().for_each(|line| stream.log(Severity::Info, line).unwrap());
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    let stored = receiver.stored();
    assert!(receiver.seen().len() > 10, "many batches: {stats:?}");
    assert!(stored[1..].iter().eq(lines.iter().map(String::as_bytes)), "out of order: {stats:?}");
    assert_conserved(&stats);
}

/// A gap in the sequence, as a partition sees it: the epoch is bumped and numbers start from 0.
#[test]
fn a_gap_in_the_sequence_bumps_the_epoch_of_a_partition() {
    let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[0, 45], 0));
    let client = open(&site, "kafka", &receiver);
    let mut lines = log_ten(&client, 0);
    client.flush(wait::PATIENCE).unwrap();
    lines.extend(log_ten(&client, RECORDS));
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    let numbers: Vec<_> = receiver
        .seen()
        .iter()
        .map(|seen| (seen.code, seen.header.producer_epoch, seen.header.base_sequence))
        .collect();
    assert_eq!(numbers, [(0, 0, 0), (45, 0, 10), (0, 1, 0)]);
    assert_eq!(receiver.stored(), lines);
    assert_conserved(&stats);
}

/// Our own receivers do not judge gaps, one of Kafka behind a `receivers://` URL does: kept, never dropped.
#[test]
fn a_gap_at_a_receiver_is_tried_again() {
    let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[45, 45, 45], 0));
    let client = open(&site, "receivers", &receiver);
    let lines = log_ten(&client, 0);
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert_eq!(receiver.stored(), lines);
    assert_conserved(&stats);
}

/// Errors that say nothing of the batch keep it, however long they last.
#[test]
fn an_error_that_stays_keeps_the_records_until_it_ends() {
    for scheme in ["receivers", "kafka"] {
        for code in [7, 56] {
            let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[], code));
            let client = open(&site, scheme, &receiver);
            let lines = log_ten(&client, 0);
            wait::until("some attempts", || receiver.seen().len() > 5);
            let late = client.flush(Duration::from_millis(10)).unwrap_err();
            assert_eq!(late.code(), Code::DeadlineExceeded);
            let stats = client.stats();
            assert_eq!(
                (stats.accepted, stats.sender.stored),
                (RECORDS, RECORDS),
                "{scheme} {code}"
            );
            assert_conserved(&stats);
            receiver.relent();
            client.flush(wait::PATIENCE).unwrap();
            assert_conserved(&client.close(wait::PATIENCE).unwrap());
            assert_eq!(receiver.stored(), lines, "{scheme} {code}");
        }
    }
}

/// Errors of the batch itself end it after the attempts of the table, counted; the next ones go on.
#[test]
fn a_batch_that_is_never_taken_is_given_up_and_counted() {
    for scheme in ["receivers", "kafka"] {
        // Divided, the first of ten records is sent in five parts, with code 2 each of them twice.
        for (code, attempts) in [(87, 5), (2, 10), (-1, 4)] {
            let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[], code));
            let client = open(&site, scheme, &receiver);
            log_ten(&client, 0);
            client.flush(wait::PATIENCE).unwrap();
            receiver.relent();
            let lines = log_ten(&client, RECORDS);
            client.flush(wait::PATIENCE).unwrap();
            let stats = client.close(wait::PATIENCE).unwrap();
            let context = format!("{scheme}, code {code}: {stats:?}");
            let seen = receiver.seen();
            let of_first = seen.iter().filter(|seen| seen.values[0] == b"line 0").count();
            assert_eq!(of_first, attempts, "{context}");
            // Beside the lines there are reports of the loss; one that came too early was given up as well.
            let (stored, reports): (Vec<_>, Vec<_>) =
                receiver.stored().into_iter().partition(|value| value.starts_with(b"line "));
            assert_eq!(stored, lines, "{context}");
            assert!(!reports.is_empty(), "{context}");
            let delivered = RECORDS + reports.len() as u64;
            assert_eq!(stats.sender.delivered, delivered, "{context}");
            assert_eq!(stats.accepted, 2 * RECORDS + stats.loss_reports, "{context}");
            assert_conserved(&stats);
        }
    }
}

/// A record that one receiver refuses for good is no matter for the others: what is unanswered at a frozen one
/// holds up nothing new.
#[test]
fn a_batch_that_is_given_up_stops_no_healthy_receiver() {
    let (site, frozen) = (Site::new(), ScriptedReceiver::start(&[], 0));
    // Each answer waits for the next one.
    frozen.lie(&[Lie::Late; 1_000]);
    let healthy = ScriptedReceiver::start(&[], 0);
    // None of them ends before the test gives up.
    let options = "linger=1ms&acknowledgement.deadline=5m&request.timeout=5m&tcp.user_timeout=5m&\
                   heartbeat.interval=5m&close.deadline=0s";
    let client = site.client(&[frozen.address, healthy.address], options);
    let mut count = 0;
    let mut log_one = || {
        let line = format!("line {count}");
        count += 1;
        client.log(Severity::Info, &line).unwrap();
        let has_it = |receiver: &ScriptedReceiver| {
            receiver.seen().iter().any(|seen| seen.values.iter().any(|it| it == line.as_bytes()))
        };
        wait::until(&format!("{line} arrived"), || has_it(&frozen) || has_it(&healthy));
    };
    while frozen.seen().is_empty() || healthy.seen().is_empty() {
        log_one();
    }
    healthy.answer(87);
    while client.stats().dropped_total() == 0 {
        log_one();
    }
    healthy.relent();
    let before = healthy.seen().len();
    while healthy.seen().len() < before + 10 {
        log_one();
    }
}

/// An answer that cannot be believed is none: the connection is given up, and the batch, which stays stored, is
/// sent again as it was.
#[test]
fn an_answer_that_cannot_be_believed_releases_nothing() {
    for scheme in ["receivers", "kafka"] {
        for lie in [Lie::Future, Lie::Garbage, Lie::Torn] {
            let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[], 0));
            receiver.lie(&[lie; LIES]);
            let client = open(&site, scheme, &receiver);
            let lines = log_ten(&client, 0);
            wait::until("every lie was told", || {
                let stats = client.stats();
                assert!(stats.sender.delivered == 0 || receiver.seen().len() > LIES, "{stats:?}");
                receiver.seen().len() > LIES
            });
            client.flush(wait::PATIENCE).unwrap();
            let stats = client.close(wait::PATIENCE).unwrap();
            let context = format!("{scheme}, {lie:?}: {stats:?}");
            assert_eq!(stats.sender.delivered, RECORDS, "{context}");
            assert_eq!(stats.sender.retries, LIES as u64, "{context}");
            assert_reported(&stats, LIES as u64);
            let seen = receiver.seen();
            assert!(seen.iter().all(|one| one.bytes == seen[0].bytes), "{context}");
            assert_eq!(seen[LIES].values, lines, "{context}");
            assert_conserved(&stats);
        }
    }
}

/// An answer that comes twice counts once, and one that comes behind another not at all.
#[test]
fn answers_that_come_twice_or_out_of_order_end_the_connection() {
    for scheme in ["receivers", "kafka"] {
        for lie in [Lie::Twice, Lie::Late] {
            let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[], 0));
            receiver.lie(&[lie]);
            let client = open(&site, scheme, &receiver);
            let mut lines = log_ten(&client, 0);
            wait::until("the first batch is there", || !receiver.seen().is_empty());
            lines.extend(log_ten(&client, RECORDS));
            client.flush(wait::PATIENCE).unwrap();
            let stats = client.close(wait::PATIENCE).unwrap();
            let context = format!("{scheme}, {lie:?}: {stats:?}");
            assert_eq!(stats.sender.delivered, 2 * RECORDS, "{context}");
            assert_reported(&stats, 1);
            let mut stored = receiver.stored();
            stored.sort();
            stored.dedup();
            lines.sort();
            assert_eq!(stored, lines, "{context}");
            assert_conserved(&stats);
        }
    }
}

/// A broker that acknowledges new batches where it has acknowledged others before lost those, or lies: it is said.
#[test]
fn an_offset_that_goes_back_is_reported() {
    let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[], 0));
    let client = open(&site, "kafka", &receiver);
    for batch in 0..3 {
        // It appends everything at offset 0.
        log_ten(&client, batch * RECORDS);
        client.flush(wait::PATIENCE).unwrap();
        assert_eq!(client.stats().sender.acknowledgement_regressions, batch);
    }
    assert_conserved(&client.close(wait::PATIENCE).unwrap());
}

/// Who gives no producer ids gets batches without numbers, and the statistics say so.
#[test]
fn a_cluster_without_producer_ids_gets_batches_without_numbers() {
    for scheme in ["receivers", "kafka"] {
        let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[], 0));
        receiver.hide_producer_ids();
        let client = open(&site, scheme, &receiver);
        let lines = log_ten(&client, 0);
        client.flush(wait::PATIENCE).unwrap();
        let stats = client.close(wait::PATIENCE).unwrap();
        assert_eq!(receiver.stored(), lines, "{scheme}: {stats:?}");
        let seen = receiver.seen();
        assert!(seen.iter().all(|one| one.header.producer_id == -1), "{scheme}: {seen:?}");
        let told = &stats.sender.receivers[0].last_failure;
        assert!(told.contains("InitProducerId"), "{scheme}: {told}");
        assert_conserved(&stats);
    }
}

/// Losing a connection is no verdict on the batch: it does not use up the attempts that an error leaves.
#[test]
fn lost_connections_do_not_count_as_refusals() {
    for code in [2, -1] {
        let (site, receiver) = (Site::new(), ScriptedReceiver::start(&[7, 7, 7, 7, 7, code], 0));
        let client = open(&site, "receivers", &receiver);
        let lines = log_ten(&client, 0);
        client.flush(wait::PATIENCE).unwrap();
        let stats = client.close(wait::PATIENCE).unwrap();
        assert_eq!(receiver.stored(), lines, "code {code}: {stats:?}");
        assert_conserved(&stats);
    }
}
