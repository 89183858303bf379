//! The only reader of clocks. Everything else takes the time as an argument.
//!
//! Three readings: [`Clock::moment`] (monotonic, for timers), [`Clock::wall_nanos`] (for people) and
//! [`Clock::ticks`] (the cheapest there is, for the call path; a record is stamped with ticks and the
//! batcher turns them into wall time through a [`Calibration`] taken at the drain).

use std::fmt;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use crate::ids::Moment;
use crate::sys::tsc;

/// A point where ticks and wall time were read together, and the rate between them.
///
/// It is kept in the arena's header too, so that a record left behind by `kill -9` keeps its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// Ticks at the anchor.
    pub ticks: u64,
    /// Wall time at the anchor, nanoseconds since 1970.
    pub wall_nanos: u64,
    /// Nanoseconds per tick, as 32.32 fixed point.
    pub nanos_per_tick: u64,
}

impl Calibration {
    /// Wall time of `ticks` in nanoseconds since 1970; exact at the anchor, saturating far from it.
    pub fn wall_nanos_of(&self, ticks: u64) -> u64 {
        let scale = |delta: u64| {
            u64::try_from((u128::from(delta) * u128::from(self.nanos_per_tick)) >> 32)
                .unwrap_or(u64::MAX)
        };
        if ticks >= self.ticks {
            self.wall_nanos.saturating_add(scale(ticks - self.ticks))
        } else {
            self.wall_nanos.saturating_sub(scale(self.ticks - ticks))
        }
    }
}

/// Where [`Clock::ticks`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The time stamp counter, where it is invariant.
    TimeStampCounter,
    /// The monotonic clock, elsewhere; one tick is one nanosecond.
    Monotonic,
}

/// A process-wide clock; cheap to copy, safe to share.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
    start: Instant,
    start_ticks: u64,
}

impl Clock {
    /// Starts a clock. Spins for 100 µs where the time stamp counter is used, so that the first rate is
    /// good to about 0.03 %; [`Clock::calibrate`] sharpens it as time passes.
    #[allow(clippy::disallowed_methods, reason = "this module is the reader of clocks")]
    pub fn start() -> Self {
        let source = if tsc::is_invariant() { Source::TimeStampCounter } else { Source::Monotonic };
        let start = Instant::now();
        let start_ticks = tsc::ticks();
        if source == Source::TimeStampCounter {
            while start.elapsed() < Duration::from_micros(100) {
                std::hint::spin_loop();
            }
        }
        Self { source, start, start_ticks }
    }

    /// Ticks of the cheapest clock: about 9 ns, no system call. Thread-safe; rises within a thread.
    #[inline(always)]
    pub fn ticks(&self) -> u64 {
        match self.source {
            Source::TimeStampCounter => tsc::ticks(),
            Source::Monotonic => self.moment().0,
        }
    }

    /// The monotonic clock, counted from this clock's start.
    #[inline]
    pub fn moment(&self) -> Moment {
        Moment(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Wall time in nanoseconds since 1970; 0 where the wall clock stands before 1970.
    #[allow(clippy::disallowed_methods, reason = "this module is the reader of clocks")]
    pub fn wall_nanos(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Anchors ticks to wall time now, with the rate measured since the clock's start.
    pub fn calibrate(&self) -> Calibration {
        let ticks = self.ticks();
        let wall_nanos = self.wall_nanos();
        let nanos_per_tick = match self.source {
            Source::Monotonic => 1 << 32,
            Source::TimeStampCounter => {
                let elapsed_ticks = u128::from(ticks.saturating_sub(self.start_ticks).max(1));
                let elapsed_nanos = u128::from(self.moment().0);
                u64::try_from((elapsed_nanos << 32) / elapsed_ticks).unwrap_or(1 << 32)
            }
        };
        Calibration { ticks, wall_nanos, nanos_per_tick }
    }
}

/// A point in time, in milliseconds since 1970, printed as people and other programs read it:
/// `2026-11-20T11:15:55.123Z` (RFC 3339, proleptic Gregorian calendar, UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcMillis(pub i64);

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY_MILLIS: i64 = 86_400_000;
        let days = self.0.div_euclid(DAY_MILLIS);
        let (year, month, day) = civil_date(days);
        let millis = self.0.rem_euclid(DAY_MILLIS);
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years
/// begin in March, so that the leap day is the last one, and 400 of them have 146,097 days.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_and_before_1970() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_173_355_123, "2026-11-20T11:15:55.123Z"),
        ] {
            assert_eq!(UtcMillis(millis).to_string(), text);
        }
        assert!(!UtcMillis(i64::MAX).to_string().is_empty());
        assert!(!UtcMillis(i64::MIN).to_string().is_empty());
    }

    #[test]
    fn calibration_scales_both_ways_and_saturates() {
        let calibration = Calibration { ticks: 1_000, wall_nanos: 50_000, nanos_per_tick: 1 << 31 };
        assert_eq!(calibration.wall_nanos_of(1_000), 50_000);
        assert_eq!(calibration.wall_nanos_of(1_100), 50_050);
        assert_eq!(calibration.wall_nanos_of(900), 49_950);
        let slow = Calibration { ticks: u64::MAX, wall_nanos: 5, nanos_per_tick: u64::MAX };
        assert_eq!(slow.wall_nanos_of(0), 0);
    }

    #[test]
    fn ticks_convert_to_the_wall_clock() {
        let clock = Clock::start();
        let before = clock.wall_nanos();
        let ticks = clock.ticks();
        let after = clock.wall_nanos();
        let converted = clock.calibrate().wall_nanos_of(ticks);
        // 1 ms of slack: the wall clock may be slewed, and the first rate is good to 0.03 %.
        assert!(converted + 1_000_000 > before && converted < after + 1_000_000);
    }
}
