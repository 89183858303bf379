//! The oracle can fail: each of its checks is shown one fault that only it finds.

use crate::support::oracle::Accepted;
use crate::support::oracle::Oracle;
use crate::support::oracle::Tally;
use crate::support::payload::Texts;

/// The verdict over these sequences of thread 0 of run 1, of which ten were accepted.
fn verdict(sequences: &[u64], may_be_one_more: bool, named: u64, extra: &[&[u8]]) -> Tally {
    let mut oracle = Oracle::default();
    let mut texts = Texts::new(1, 0);
    sequences.iter().for_each(|sequence| oracle.see(texts.text(*sequence)));
    extra.iter().for_each(|payload| oracle.see(payload));
    oracle.judge(&[Accepted { run: 1, by_thread: vec![10], may_be_one_more }], named)
}

const ALL: [u64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

#[test]
fn what_is_right_passes() {
    let expected = Tally { accepted: 10, delivered: 10, ..Tally::default() };
    assert_eq!(verdict(&ALL, false, 0, &[]), expected);
    assert_eq!(expected.difference(), 0);
    let one_more = verdict(&[&ALL[..], &[10]].concat(), true, 0, &[]);
    assert_eq!(one_more, Tally { accepted: 11, delivered: 11, ..Tally::default() });
    let named = verdict(&[0, 1, 2, 9], false, 6, &[]);
    assert_eq!((named.missing, named.difference()), (6, 0));
}

#[test]
fn conservation_a_hole_and_a_missing_end_are_found_unless_they_are_named() {
    let hole = verdict(&[0, 1, 2, 3, 5, 6, 7, 8, 9], false, 0, &[]);
    assert_eq!((hole.missing, hole.difference()), (1, 1));
    let end = verdict(&ALL[..7], false, 0, &[]);
    assert_eq!((end.missing, end.difference()), (3, 3));
    let nothing = verdict(&[], false, 0, &[]);
    assert_eq!((nothing.missing, nothing.difference()), (10, 10));
    // More named than is missing is a false account too.
    assert_eq!(verdict(&ALL, false, 2, &[]).difference(), 2);
}

#[test]
fn phantoms_beyond_what_was_accepted_and_of_strangers_are_found() {
    let ahead = verdict(&[&ALL[..], &[10]].concat(), false, 0, &[]);
    assert_eq!((ahead.phantoms, ahead.difference()), (1, 1));
    let two_ahead = verdict(&[&ALL[..], &[10, 11]].concat(), true, 0, &[]);
    assert_eq!((two_ahead.phantoms, two_ahead.difference()), (1, 1));
    let stranger = verdict(&ALL, false, 0, &[Texts::new(2, 0).text(0)]);
    assert_eq!((stranger.phantoms, stranger.difference()), (1, 1));
}

#[test]
fn garbage_in_any_byte_is_found() {
    let mut texts = Texts::new(1, 0);
    let whole = (0..).find(|sequence| texts.text(*sequence).len() > 300).unwrap();
    let good = texts.text(whole).to_vec();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let tally = verdict(&ALL, false, 0, &[&bad]);
        assert_ne!(tally.difference(), 0, "byte {at}");
    }
    assert_eq!(verdict(&ALL, false, 0, &[&good[..good.len() - 1]]).garbage, 1);
    assert_eq!(verdict(&ALL, false, 0, &[b""]).garbage, 1);
}

#[test]
fn a_second_copy_is_found() {
    let twice = verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4], false, 0, &[]);
    assert_eq!((twice.duplicates, twice.difference()), (1, 1));
}

#[test]
fn a_wrong_order_is_found() {
    let swapped = verdict(&[0, 1, 3, 2, 4, 5, 6, 7, 8, 9], false, 0, &[]);
    assert_eq!((swapped.disorder, swapped.difference()), (1, 1));
    assert_eq!((swapped.missing, swapped.duplicates), (0, 0));
}
