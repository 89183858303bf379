//! What is read, what waits, what gives way and what is resolved, on spools of the tests' own.

use std::path::Path;

use super::order::FRESH;
use super::*;
use crate::checksum::crc32c;
use crate::ids::Moment;
use crate::pipeline::slots::Roots;
use crate::spool;

fn commit(writer: &mut spool::Writer, number: u64) {
    commit_of(writer, number, b"body");
}

fn commit_of(writer: &mut spool::Writer, number: u64, body: &[u8]) {
    let batch = spool::Batch {
        topic: "lines",
        partition: -1,
        severity_max: 0,
        batch_number: number,
        first_record: number,
        record_count: 1,
        max_timestamp: 0,
        header: &[0; spool::BATCH_HEADER_BYTES],
        body,
        body_crc: crc32c(body),
    };
    let group = spool::Group { first_record: number, positions: &[], batches: &[batch] };
    writer.commit(&group).unwrap();
    writer.publish();
}

/// An own spool with segments of 64 KiB, and fresh batches first.
fn fresh_first(dir: &Path) -> (spool::Writer, Flights) {
    let slot = Roots::new(Some(dir), None, "test").create().unwrap();
    let options = spool::Options { segment_bytes: 64 << 10, ..spool::Options::default() };
    let (writer, reader) = spool::create(slot.spool_dir(), slot.instance(), &options).unwrap();
    let source = Source { reader, writer: None, slot };
    (writer, Flights::new(source, Some(FreshFirst::new(20))))
}

/// As the quota has it: what was not sent of the oldest segment.
fn give_way(flights: &mut Flights) -> Vec<u64> {
    let Some((source, segment)) = flights.segment_to_give_way() else { return Vec::new() };
    let mut numbers = Vec::new();
    while let Some(next) = flights.take_of(source, segment) {
        let dropped = Resolution::Dropped(spool::DropReason::Quota);
        flights.resolve_frame(source, &next.frame, dropped);
        numbers.push(next.frame.batch_number());
    }
    numbers
}

#[test]
fn the_oldest_gives_way_whatever_was_read_ahead_of_it() {
    const BODY: &[u8] = &[b'x'; 25_000];
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut flights) = fresh_first(dir.path());
    // Two in each segment.
    (0..8).for_each(|number| commit_of(&mut writer, number, BODY));
    let start = Moment(0);
    flights.look(start);
    flights.look(start.after(FRESH));
    (8..12).for_each(|number| commit_of(&mut writer, number, BODY));
    flights.look(start.after(FRESH));
    let mut rounds = Vec::new();
    for _ in 0..6 {
        // What is peeked at stays where no lane takes it.
        flights.peek();
        rounds.push(give_way(&mut flights));
        assert!(flights.put_back.len() <= 1, "one of each source");
    }
    let in_pairs: Vec<Vec<u64>> = (0..6).map(|pair| vec![2 * pair, 2 * pair + 1]).collect();
    assert_eq!(rounds, in_pairs);
    assert!(flights.peek().is_none());
    assert_eq!(flights.resolved_through(), Some(11));
}

#[test]
fn what_was_passed_over_is_not_resolved_by_what_overtook_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut flights) = fresh_first(dir.path());
    (0..3).for_each(|number| commit(&mut writer, number));
    let start = Moment(0);
    flights.look(start);
    flights.look(start.after(FRESH));
    commit(&mut writer, 3);
    flights.look(start.after(FRESH));
    let mut ended = Vec::new();
    while flights.peek().is_some() {
        let next = flights.take_next().unwrap();
        assert_eq!(next.source, OWN);
        flights.resolve_frame(OWN, &next.frame, Resolution::Delivered);
        ended.push((next.frame.batch_number(), flights.resolved_through()));
    }
    assert_eq!(ended, [(3, None), (0, Some(0)), (1, Some(1)), (2, Some(2))]);
    assert_eq!(flights.resolved_through(), Some(3));
}

#[test]
fn a_batch_that_waits_waits_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut flights) = fresh_first(dir.path());
    commit(&mut writer, 0);
    flights.peek();
    let flight = flights.take_next().unwrap().set_out(0, None);
    let token = flights.next_token();
    flights.insert(token, flight);
    // As after a panic, when everything on its way waits anew.
    flights.wait(token);
    flights.wait(token);
    assert_eq!(flights.waiting().collect::<Vec<_>>(), [token], "it would be sent twice");
}
