//! Contradictions between options: each value is fine, together they are not.
//!
//! Runs before anything is started. Owns every rule that involves two options.

use std::time::Duration;

use crate::config::choices::Acks;
use crate::config::choices::Codec;
use crate::config::choices::Discovery;
use crate::config::choices::SpoolSync;
use crate::config::error::ConfigError;
use crate::config::settings::Settings;
use crate::config::settings::TargetMode;
use crate::config::value::display_bytes;
use crate::config::value::display_duration;

/// The first contradiction, if there is any.
pub(super) fn check(settings: &Settings) -> Result<(), ConfigError> {
    check_codec(settings)?;
    check_sizes(settings)?;
    check_spool(settings)?;
    check_times(settings)?;
    check_session(settings)?;
    check_lanes(settings)?;
    check_discovery(settings)
}

fn check_codec(settings: &Settings) -> Result<(), ConfigError> {
    let codec = settings.batch.codec;
    let (level_max, advice) = match codec {
        Codec::None | Codec::Snappy | Codec::Lz4 => {
            (0, "this codec has no levels; leave codec.level at 0")
        }
        Codec::Gzip => (9, "the levels of gzip are 1 to 9"),
        Codec::Zstd => (19, "the levels of zstd are 1 to 19"),
    };
    match settings.batch.codec_level {
        Some(level) if level > level_max => {
            contradiction(("codec.level", level), ("codec", codec.name()), advice)
        }
        Some(_) | None => Ok(()),
    }
}

fn check_sizes(settings: &Settings) -> Result<(), ConfigError> {
    let record_max = settings.ring.record_bytes_max;
    let batch_max = settings.batch.bytes_max;
    if settings.batch.bytes > batch_max {
        return contradiction(
            ("batch.bytes", display_bytes(settings.batch.bytes)),
            ("batch.bytes_max", display_bytes(batch_max)),
            "a batch is sealed at the former and may not exceed the latter",
        );
    }
    if record_max > batch_max / 10 * 9 {
        return contradiction(
            ("record.bytes_max", display_bytes(record_max)),
            ("batch.bytes_max", display_bytes(batch_max)),
            "a record must fit in a batch with a tenth to spare",
        );
    }
    match settings.ring.bytes_max {
        Some(ring_max) if ring_max < 2 * record_max => contradiction(
            ("ring.bytes_max", display_bytes(ring_max)),
            ("record.bytes_max", display_bytes(record_max)),
            "the arena must hold two of the largest records",
        ),
        Some(_) | None => Ok(()),
    }
}

fn check_spool(settings: &Settings) -> Result<(), ConfigError> {
    let spool = &settings.spool;
    if let (Some(ring_dir), Some(spool_dir)) = (&settings.ring.dir, &spool.dir)
        && ring_dir == spool_dir
    {
        return contradiction(
            ("spool.dir", spool_dir.display()),
            ("ring.dir", ring_dir.display()),
            "leave spool.dir unset to keep both in one place",
        );
    }
    let sync = match spool.sync {
        SpoolSync::None => None,
        SpoolSync::Batch => Some("batch".to_owned()),
        SpoolSync::Interval(interval) => Some(display_duration(interval)),
    };
    if let (Some(sync), None) = (sync, &spool.dir) {
        let advice = "memory does not survive a power cut; set spool.dir to a directory on a disk";
        return contradiction(("spool.sync", sync), ("spool.dir", "(unset)"), advice);
    }
    match spool.bytes_max {
        Some(quota) if quota / 2 < spool.segment_bytes => contradiction(
            ("spool.segment_bytes", display_bytes(spool.segment_bytes)),
            ("spool.bytes_max", display_bytes(quota)),
            "the quota must hold two segments, one to write and one to release",
        ),
        Some(_) | None => Ok(()),
    }
}

fn check_times(settings: &Settings) -> Result<(), ConfigError> {
    let deadline = settings.acknowledgement_deadline();
    let ordered = [
        (("backoff.min", settings.fleet.backoff_min), ("backoff.max", settings.fleet.backoff_max)),
        (("poll.busy", settings.batch.poll_busy), ("poll.idle", settings.batch.poll_idle)),
        (
            ("acknowledgement.deadline", deadline),
            ("tcp.user_timeout", settings.transport.tcp_user_timeout),
        ),
    ];
    let kafka = (settings.target.mode == TargetMode::Kafka).then_some((
        ("request.timeout", settings.session.request_timeout),
        ("acknowledgement.deadline", deadline),
    ));
    ordered.into_iter().chain(kafka).try_for_each(|(shorter, longer)| in_order(shorter, longer))
}

fn check_session(settings: &Settings) -> Result<(), ConfigError> {
    match settings.session.acks {
        Acks::All => Ok(()),
        acks @ (Acks::Leader | Acks::None) if settings.session.idempotence => contradiction(
            ("acks", acks.name()),
            ("idempotence", true),
            "only acks=all can tell a duplicate; set idempotence=false as well",
        ),
        Acks::Leader | Acks::None => Ok(()),
    }
}

fn check_lanes(settings: &Settings) -> Result<(), ConfigError> {
    match settings.fleet.lanes {
        Some(lanes) if lanes > settings.fleet.lanes_max => contradiction(
            ("lanes", lanes),
            ("lanes.max", settings.fleet.lanes_max),
            "raise lanes.max or lower lanes",
        ),
        Some(_) | None => Ok(()),
    }
}

fn check_discovery(settings: &Settings) -> Result<(), ConfigError> {
    let transport = &settings.transport;
    let chosen = ("discovery", transport.discovery.name());
    let feature = match transport.discovery {
        Discovery::Hosts => return Ok(()),
        Discovery::File if transport.discovery_file.is_none() => {
            let advice = "name the file that lists the receivers";
            return contradiction(chosen, ("discovery.file", "(unset)"), advice);
        }
        Discovery::File => return Ok(()),
        Discovery::Srv => ("srv", cfg!(feature = "srv")),
        Discovery::ZooKeeper => ("zookeeper", cfg!(feature = "zookeeper")),
    };
    if feature.1 {
        return Ok(());
    }
    Err(ConfigError::NotBuilt { option: chosen.0, value: chosen.1, feature: feature.0 })
}

fn in_order(
    shorter: (&'static str, Duration),
    longer: (&'static str, Duration),
) -> Result<(), ConfigError> {
    if shorter.1 <= longer.1 {
        return Ok(());
    }
    contradiction(
        (shorter.0, display_duration(shorter.1)),
        (longer.0, display_duration(longer.1)),
        "the former may not exceed the latter",
    )
}

fn contradiction(
    option: (&'static str, impl ToString),
    other: (&'static str, impl ToString),
    advice: &'static str,
) -> Result<(), ConfigError> {
    Err(ConfigError::Contradiction {
        option: option.0,
        value: option.1.to_string(),
        other: other.0,
        other_value: other.1.to_string(),
        advice,
    })
}
