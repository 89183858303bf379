//! Waiting for a condition, with a deadline; never for a time in the hope of something.

use std::time::Duration;

use logdrive::clock::Clock;

/// The longest that a test waits for anything. Far above what is needed: two busy cores are enough.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `is_met`; fails the test after [`PATIENCE`], naming `what` was waited for.
pub fn until(what: &str, mut is_met: impl FnMut() -> bool) {
    let clock = Clock::start();
    let start = clock.moment();
    while !is_met() {
        assert!(clock.moment().since(start) < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL);
    }
}
