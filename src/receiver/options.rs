//! What a receiver can be told, with defaults and ranges. Knows nothing of how it is carried out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::batch;
use crate::batch::Validation;
use crate::receiver::forward::Forward;
use crate::transport::tls::Files;

/// When a batch counts as stored, and so when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sync {
    /// After the write returned: survives the death of the process, not of the machine.
    #[default]
    None,
    /// After `fdatasync`: survives a power cut. One sync covers all that arrived in one wake-up.
    Batch,
    /// After the next of the syncs that happen at this interval: survives a power cut too, with
    /// fewer syncs and later acknowledgements. 1 ms to 5 s.
    Interval(Duration),
}

/// Options of a receiver. Start from [`Options::new`]; every other field has a default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Directory of the segment files; created (0700) if it is missing.
    pub dir: PathBuf,
    /// Where batches go on to; then `dir` is the relay's spool (unless `spool.dir` is set), nothing is stored for
    /// readers, and `sync` must be [`Sync::None`]: `spool.sync` says how durable the spool is.
    pub forward: Option<Forward>,
    /// Host and port that clients are told to use; by default the address they connected to.
    pub advertise: Option<(String, u16)>,
    /// How durable a batch is before it is acknowledged. Default [`Sync::None`].
    pub sync: Sync,
    /// How much of a batch is checked before it is stored. Default [`Validation::Records`].
    pub validate: Validation,
    /// A segment is closed before it would exceed this many bytes. Default 256 MiB; from
    /// 1 MiB to 2,147,483,647.
    pub segment_bytes: u64,
    /// A segment is closed at the first batch after this time. Default 7 days, as Kafka's
    /// `log.roll.ms`.
    pub segment_age: Duration,
    /// Connections at once. Default 1024. At the limit the one that was idle longest gives way.
    pub connections_max: usize,
    /// Connections at once of one address; further ones are closed. Default 1024: behind a load
    /// balancer all clients have its address.
    pub connections_per_address_max: usize,
    /// Certificate and key to encrypt all connections with, and authorities that clients' certificates must
    /// come from, if clients are to have any. Default none: nothing is encrypted.
    pub tls: Option<Files>,
    /// File of `NAME:PASSWORD` lines, mode 0600: clients must authenticate by SASL PLAIN. Default none.
    pub sasl_users: Option<PathBuf>,
    /// Read buffer of one connection, bytes; it grows only as bytes arrive. Default 4 MiB.
    pub connection_bytes_max: usize,
    /// Largest frame, bytes, at most `connection_bytes_max`. Default 4 MiB - 4.
    pub frame_bytes_max: usize,
    /// Largest batch as it arrives, bytes. Default 1,048,588, as Kafka's `message.max.bytes`.
    pub batch_bytes_max: usize,
    /// Largest batch when decompressed, bytes. Default 16 MiB, which our own
    /// producers never exceed.
    pub batch_bytes_decompressed_max: usize,
    /// Time from connecting to the first whole frame; TLS's handshake and the authentication, where there
    /// are any, happen in it. Default 4.8 s, so that
    /// with the grain of the timer it is over within 5 s.
    pub first_frame_timeout: Duration,
    /// A begun frame must progress within this time, by 1 KiB/s or more. Default 4.8 s.
    pub progress_timeout: Duration,
    /// A connection that sends nothing for this long is closed. Default 10 min, as Kafka's
    /// `connections.max.idle.ms`.
    pub idle_timeout: Duration,
    /// Topics at once; a batch for one more is refused. Default 1024.
    pub topics_max: usize,
    /// Segment files open at once. Default 256.
    pub open_files_max: usize,
    /// Pairs of producer and partition in the window of repeats. Default 2048.
    pub dedupe_producers_max: usize,
    /// Batches in the window of repeats, for each of those pairs; 24 bytes each. Default 1024.
    pub dedupe_batches_max: usize,
}

impl Options {
    /// The defaults, for a receiver at `listen` that stores in `dir`.
    pub fn new(listen: SocketAddr, dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            dir: dir.into(),
            forward: None,
            advertise: None,
            sync: Sync::default(),
            validate: Validation::Records,
            segment_bytes: 256 << 20,
            segment_age: Duration::from_secs(7 * 24 * 3600),
            connections_max: 1024,
            connections_per_address_max: 1024,
            tls: None,
            sasl_users: None,
            connection_bytes_max: 4 << 20,
            frame_bytes_max: (4 << 20) - 4,
            batch_bytes_max: 1_048_588,
            batch_bytes_decompressed_max: batch::RECORDS_BYTES_MAX_HARD,
            first_frame_timeout: Duration::from_millis(4_800),
            progress_timeout: Duration::from_millis(4_800),
            idle_timeout: Duration::from_secs(600),
            topics_max: 1024,
            open_files_max: 256,
            dedupe_producers_max: 2048,
            dedupe_batches_max: 1024,
        }
    }

    /// What is wrong with the options, if anything: the name, the value and the range.
    pub(crate) fn check(&self) -> Result<(), String> {
        let interval = match self.sync {
            Sync::None | Sync::Batch => Duration::from_millis(1),
            Sync::Interval(interval) => interval,
        };
        if self.forward.is_some() && self.sync != Sync::None {
            return Err(
                "sync must be none where batches are forwarded: set spool.sync in the URL".into()
            );
        }
        check("sync", interval.as_millis(), 1, 5_000)?;
        check("segment_bytes", self.segment_bytes.into(), 1 << 20, (1 << 31) - 1)?;
        check("segment_age (s)", self.segment_age.as_secs().into(), 1, u128::MAX)?;
        check("connections_max", self.connections_max as u128, 1, 1 << 20)?;
        let per_address = self.connections_per_address_max as u128;
        check("connections_per_address_max", per_address, 1, 1 << 20)?;
        check("connection_bytes_max", self.connection_bytes_max as u128, 64 << 10, 128 << 20)?;
        let frame_max = self.connection_bytes_max as u128 - 4;
        check("frame_bytes_max", self.frame_bytes_max as u128, 1 << 10, frame_max)?;
        check("batch_bytes_max", self.batch_bytes_max as u128, 61, self.frame_bytes_max as u128)?;
        let decompressed = self.batch_bytes_decompressed_max as u128;
        check("batch_bytes_decompressed_max", decompressed, 1 << 10, 1 << 30)?;
        check("topics_max", self.topics_max as u128, 1, 1 << 20)?;
        check("open_files_max", self.open_files_max as u128, 1, 1 << 20)?;
        check("dedupe_producers_max", self.dedupe_producers_max as u128, 1, 1 << 24)?;
        check("dedupe_batches_max", self.dedupe_batches_max as u128, 1, 1 << 20)
    }
}

fn check(name: &str, value: u128, min: u128, max: u128) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}: it must be from {min} to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_each_range_is_checked() {
        let options = || Options::new("127.0.0.1:0".parse().unwrap(), "x");
        assert_eq!(options().check(), Ok(()));
        let bad = [
            Options { sync: Sync::Interval(Duration::ZERO), ..options() },
            Options { segment_bytes: 1, ..options() },
            Options { connections_max: 0, ..options() },
            Options { connection_bytes_max: 10, ..options() },
            Options { frame_bytes_max: 4 << 20, ..options() },
            Options { batch_bytes_max: 60, ..options() },
            Options { topics_max: 0, ..options() },
        ];
        for options in bad {
            assert!(options.check().unwrap_err().contains("must be from"));
        }
    }
}
