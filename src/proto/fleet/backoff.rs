//! How long to wait after the n-th failure in a row: exponential with full jitter.
//!
//! The formula is `uniform(0, min(longest, shortest * 2^n))`, n = 0, 1, ..; "full jitter" in Marc
//! Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), which spreads a crowd
//! that failed at one instant evenly over the ceiling. Knows nothing of what failed.

use std::time::Duration;

use crate::proto::fleet::random::Random;

/// The bounds of the delays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The ceiling of the first delay.
    pub(super) shortest: Duration,
    /// The ceiling that no delay exceeds.
    pub(super) longest: Duration,
}

/// Counts failures in a row; whoever owns it decides what ends the row.
#[derive(Clone, Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay before the next attempt; the one after it may be twice as long.
    pub(super) fn next_delay(&mut self, limits: Limits, random: &mut Random) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let ceiling = limits.shortest.saturating_mul(factor).min(limits.longest);
        self.failures = self.failures.saturating_add(1);
        random.up_to(ceiling)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { shortest: Duration::from_millis(100), longest: Duration::from_secs(10) };

    #[test]
    fn the_ceiling_doubles_up_to_the_longest_and_the_jitter_is_full() {
        let mut random = Random::new(3);
        for step in 0..64u32 {
            let ceiling = 0.1 * 2f64.powi(step.min(7) as i32);
            let ceiling = ceiling.min(10.0);
            let delays: Vec<f64> = (0..200)
                .map(|_| Backoff { failures: step }.next_delay(LIMITS, &mut random).as_secs_f64())
                .collect();
            let longest = delays.iter().copied().fold(0.0, f64::max);
            let shortest = delays.iter().copied().fold(f64::MAX, f64::min);
            assert!(longest <= ceiling && longest > 0.9 * ceiling, "step {step}: {longest}");
            assert!(shortest < 0.1 * ceiling, "step {step}: {shortest} is no full jitter");
        }
    }

    #[test]
    fn a_reset_starts_over() {
        let mut random = Random::new(4);
        let mut backoff = Backoff { failures: 20 };
        backoff.reset();
        assert!(backoff.next_delay(LIMITS, &mut random) <= LIMITS.shortest);
    }
}
