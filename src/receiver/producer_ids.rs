//! Producer ids: random, so that receivers who know nothing of each other never give out the same.

use std::hash::BuildHasher;
use std::hash::RandomState;

/// A fresh id of 63 random bits: among a million producers two share one with a chance of 1 in 18
/// million.
///
/// The standard library's hash keys come from the operating system's random source; an id is one
/// SipHash output under a fresh key. It need be unlike others, not secret.
pub(crate) fn random() -> i64 {
    i64::try_from(RandomState::new().hash_one(0u64) >> 1).expect("63 bits fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_never_negative() {
        let ids: std::collections::HashSet<i64> = (0..10_000).map(|_| random()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| *id >= 0));
        assert!(ids.iter().any(|id| *id > 1 << 60), "the high bits are random too");
    }
}
