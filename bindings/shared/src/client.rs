//! A client that is open, as a binding keeps it behind a handle.

use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Error;

/// What stands behind a client's handle.
#[derive(Clone)]
pub struct OpenClient {
    /// The client itself.
    pub client: Client,
    /// `close.deadline` of its configuration.
    pub close_deadline: Duration,
}

impl OpenClient {
    /// Starts a client.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start(config: &Config) -> Result<Self, Error> {
        let close_deadline = config.settings()?.client.close_deadline;
        Ok(Self { client: Client::start(config)?, close_deadline })
    }
}

/// How long a host wants to wait: a day at most, since longer waits mean "for ever", and would overflow the clock's
/// arithmetic.
pub fn patience(deadline_ms: u64) -> Duration {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    Duration::from_millis(deadline_ms.min(DAY_MS))
}
