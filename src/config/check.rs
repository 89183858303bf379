//! Contradictions between options: each value is fine, together they are not.
//!
//! Runs before anything is started. Owns every rule that involves two options.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::choices::Acks;
use crate::config::choices::Codec;
use crate::config::choices::Discovery;
use crate::config::choices::Format;
use crate::config::choices::SaslMechanism;
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
    check_tls(settings)?;
    check_sasl(settings)?;
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
    // A control character is six bytes of JSON; the rest is for the object's fixed part and the headers.
    let segment = settings.spool.segment_bytes;
    if settings.batch.format == Format::Json && record_max > segment / 8 {
        return contradiction(
            ("record.bytes_max", display_bytes(record_max)),
            ("spool.segment_bytes", display_bytes(segment)),
            "with format=json a record may grow sixfold and must fit in a segment",
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
    if let Some(memory_bytes_max) = spool.memory_bytes_max
        && memory_bytes_max / 2 < spool.segment_bytes
    {
        return contradiction(
            ("spool.segment_bytes", display_bytes(spool.segment_bytes)),
            ("spool.memory_bytes_max", display_bytes(memory_bytes_max)),
            "the memory must hold two segments, one to write and one to release",
        );
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

fn check_tls(settings: &Settings) -> Result<(), ConfigError> {
    let tls = &settings.tls;
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let given = [
        ("tls.ca_file", shown(&tls.ca_file)),
        ("tls.certificate_file", shown(&tls.certificate_file)),
        ("tls.key_file", shown(&tls.key_file)),
        ("tls.server_name", tls.server_name.clone()),
        (
            "tls.insecure_skip_verification",
            tls.insecure_skip_verification.then(|| "true".to_owned()),
        ),
    ];
    if !settings.target.tls {
        let needless = given.iter().find_map(|(name, value)| Some((*name, value.as_ref()?)));
        return match needless {
            Some(option) => contradiction(
                option,
                ("url", format!("{}://", settings.target.mode.scheme())),
                "only the schemes kafka+tls:// and receivers+tls:// encrypt",
            ),
            None => Ok(()),
        };
    }
    match (&tls.certificate_file, &tls.key_file) {
        (Some(_), Some(_)) | (None, None) => {}
        (Some(certificate), None) => {
            return contradiction(
                ("tls.certificate_file", certificate.display()),
                ("tls.key_file", "(unset)"),
                "a certificate is of no use without its key",
            );
        }
        (None, Some(key)) => {
            return contradiction(
                ("tls.key_file", key.display()),
                ("tls.certificate_file", "(unset)"),
                "a key is of no use without its certificate",
            );
        }
    }
    match &tls.ca_file {
        Some(authorities) if tls.insecure_skip_verification => contradiction(
            ("tls.insecure_skip_verification", true),
            ("tls.ca_file", authorities.display()),
            "nobody would look at the authorities; leave one of the two out",
        ),
        Some(_) | None => Ok(()),
    }
}

fn check_sasl(settings: &Settings) -> Result<(), ConfigError> {
    let sasl = &settings.sasl;
    let mechanism = ("sasl.mechanism", sasl.mechanism.name());
    let sources = |file: bool, other: bool| file as u8 + other as u8;
    let passwords = sources(sasl.password_file.is_some(), sasl.password_variable.is_some());
    let tokens = sources(sasl.token_file.is_some(), sasl.token_command.is_some());
    let has_user = sasl.username.is_some();
    let advice = match sasl.mechanism {
        SaslMechanism::None if has_user || passwords + tokens > 0 => {
            "the credentials would not be used; name a mechanism"
        }
        SaslMechanism::None => return Ok(()),
        SaslMechanism::Plain | SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512
            if !has_user || passwords != 1 || tokens > 0 =>
        {
            "it takes sasl.username and one of sasl.password_file and sasl.password_variable"
        }
        SaslMechanism::OauthBearer if has_user || passwords > 0 || tokens != 1 => {
            "it takes one of sasl.token_file and sasl.token_command, and nothing else"
        }
        SaslMechanism::Plain | SaslMechanism::OauthBearer
            if !settings.target.tls && !sasl.insecure_cleartext =>
        {
            return contradiction(
                mechanism,
                ("url", format!("{}://", settings.target.mode.scheme())),
                "the secret would travel in the clear: use a scheme with +tls, or \
                 sasl.insecure_cleartext=true where nobody can listen",
            );
        }
        SaslMechanism::Plain
        | SaslMechanism::ScramSha256
        | SaslMechanism::ScramSha512
        | SaslMechanism::OauthBearer => return Ok(()),
    };
    contradiction(mechanism, ("the options", "sasl.*"), advice)
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
