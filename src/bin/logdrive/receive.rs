//! `logdrive receive`: a receiver until it is told to stop.

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use logdrive::batch::Validation;
use logdrive::config::Config;
use logdrive::config::ConfigError;
use logdrive::config::URL;
use logdrive::receiver::Acknowledge;
use logdrive::receiver::Forward;
use logdrive::receiver::Forwarded;
use logdrive::receiver::Options;
use logdrive::receiver::Receiver;
use logdrive::receiver::Stats;
use logdrive::receiver::Stopper;
use logdrive::receiver::Sync;
use logdrive::receiver::TlsFiles;
use signal_hook::consts::SIGINT;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use crate::Outcome;
use crate::output;

/// How long a stop may take to answer what was received.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Receive records from logdrive or from any Kafka producer and store them in files.
///
/// Prints "listening on ADDR" when it is ready. SIGTERM and SIGINT stop it: it answers what it has
/// received, syncs its files and prints a summary. Killing it any other way loses nothing that was
/// acknowledged.
#[derive(clap::Args)]
pub struct Arguments {
    /// Host and port to listen on, as 0.0.0.0:9092; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    listen: SocketAddr,
    /// Host and port that clients are told to use, if not the address they connect to.
    #[arg(long, value_name = "ADDR", value_parser = parse_advertise)]
    advertise: Option<(String, u16)>,
    /// Directory for the files, one receiver each; created if missing.
    #[arg(long)]
    dir: PathBuf,
    /// What an acknowledgement promises: "none" that the record survives a crash of the receiver;
    /// "batch" that it survives a power cut; a number the same, synced every so many milliseconds.
    #[arg(long, value_name = "none|batch|MS", default_value = "none", value_parser = parse_sync)]
    sync: Sync,
    /// Begin a new file before one grows beyond this many bytes.
    #[arg(long, value_name = "N", default_value_t = 256 << 20)]
    segment_bytes: u64,
    /// Begin a new file after this many seconds.
    #[arg(long, value_name = "S", default_value_t = 7 * 24 * 3600)]
    segment_age: u64,
    /// Send what is received on to this URL instead of storing it, as receivers://next:9092 or
    /// kafka://broker:9092; --dir then holds what waits. Options go into the URL; see
    /// docs/receivers.md.
    #[arg(long, value_name = "URL", conflicts_with_all = ["sync", "segment_bytes", "segment_age"])]
    forward: Option<String>,
    /// What an acknowledgement promises of a forwarded record: "delivered" that the next hop has
    /// acknowledged it; "stored" that it is in our own spool.
    #[arg(long, value_name = "delivered|stored", value_enum, default_value_t = ForwardAck::Delivered,
          requires = "forward")]
    forward_ack: ForwardAck,
    /// How much of a batch is checked before it is stored: its header and checksum, or every
    /// record.
    #[arg(long, value_enum, default_value_t = Validate::Records)]
    validate: Validate,
    /// PEM file with the certificate to encrypt all connections with, and those between it and its
    /// authority. Read again when it changes, like the other files below.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// PEM file with authorities: clients must have a certificate of one of them.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_client_ca: Option<PathBuf>,
    /// File with lines NAME:PASSWORD, mode 0600: clients must authenticate by SASL PLAIN. Without
    /// TLS passwords travel in the clear.
    #[arg(long, value_name = "FILE")]
    sasl_users: Option<PathBuf>,
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    connections_max: usize,
    /// Connections at once of one address.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    connections_per_address_max: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum ForwardAck {
    Delivered,
    Stored,
}

#[derive(Clone, Copy, ValueEnum)]
enum Validate {
    Header,
    Records,
}

pub fn run(arguments: Arguments) -> Result<Outcome, Box<dyn Error>> {
    let forward = arguments.forward.map(|url| forward(&url, &arguments.dir)).transpose()?;
    let acknowledge = match arguments.forward_ack {
        ForwardAck::Delivered => Acknowledge::Delivered,
        ForwardAck::Stored => Acknowledge::Stored,
    };
    let identity = arguments.tls_certificate.zip(arguments.tls_key);
    let authorities = arguments.tls_client_ca;
    let options = Options {
        forward: forward.map(|config| Forward { config, acknowledge }),
        tls: identity.map(|identity| TlsFiles { authorities, identity: Some(identity) }),
        sasl_users: arguments.sasl_users,
        connections_max: arguments.connections_max,
        connections_per_address_max: arguments.connections_per_address_max,
        advertise: arguments.advertise,
        sync: arguments.sync,
        segment_bytes: arguments.segment_bytes,
        segment_age: Duration::from_secs(arguments.segment_age),
        validate: match arguments.validate {
            Validate::Header => Validation::Header,
            Validate::Records => Validation::Records,
        },
        ..Options::new(arguments.listen, arguments.dir)
    };
    // Before the receiver starts, so that a signal at any time stops it cleanly.
    let signals = Signals::new([SIGTERM, SIGINT])?;
    let receiver = Receiver::start(options)?;
    stop_on(signals, receiver.stopper())?;
    announce(receiver.local_addr())?;
    let stats = receiver.wait()?;
    output::remark(format_args!("{}", summary(&stats)));
    Ok(Outcome::Good)
}

/// The next hop's configuration: the URL over the environment over a relay's defaults. A topic in it would mean
/// nothing, so none is asked for.
fn forward(url: &str, dir: &Path) -> Result<Config, ConfigError> {
    let mut config = Config::new();
    let defaults =
        [("LOGDRIVE_NAME", OsStr::new("relay")), ("LOGDRIVE_SPOOL_DIR", dir.as_os_str())];
    config.load_environment(defaults)?;
    config.load_environment(std::env::vars_os())?;
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let has_topic = place.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    let topic = if has_topic { "" } else { "/any" };
    config.set(URL, &format!("{place}{topic}?{query}"))?;
    Ok(config)
}

fn stop_on(mut signals: Signals, stopper: Stopper) -> io::Result<()> {
    let wait = move || {
        for _signal in signals.forever() {
            stopper.stop(STOP_DEADLINE);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(|_detached| ())
}

fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {address}")?;
    out.flush()
}

fn summary(stats: &Stats) -> String {
    let Stats { connections, batches, records, bytes, duplicates, .. } = stats;
    let mut text = format!(
        "received {records} records in {batches} batches, {bytes} bytes, {duplicates} repeats, \
         over {connections} connections"
    );
    if let Some(Forwarded { delivered, dropped, stored }) = &stats.forwarded {
        text.push_str(&format!("; forwarded {delivered}, waiting {stored}, given up {dropped}"));
    }
    for (reason, count) in &stats.refused {
        text.push_str(&format!("; refused {}: {count}", reason.name()));
    }
    if stats.credentials_failures > 0 {
        let failures = stats.credentials_failures;
        text.push_str(&format!("; certificates or users that could not be used: {failures}"));
    }
    if stats.storage_errors > 0 {
        text.push_str(&format!("; storage errors: {}", stats.storage_errors));
    }
    if stats.panics > 0 {
        text.push_str(&format!("; panics caught, please report them: {}", stats.panics));
    }
    text
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if !text.contains(':') {
        return Err("write it as HOST:PORT".to_owned());
    }
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

fn parse_advertise(text: &str) -> Result<(String, u16), String> {
    let parsed = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parsed {
        Some((host, port)) if !host.is_empty() => {
            // An IPv6 address stands in brackets here, and without them in the protocol.
            Ok((host.trim_matches(['[', ']']).to_owned(), port))
        }
        Some(_) | None => Err("use HOST:PORT".to_owned()),
    }
}

fn parse_sync(text: &str) -> Result<Sync, String> {
    match text {
        "none" => Ok(Sync::None),
        "batch" => Ok(Sync::Batch),
        number => match number.parse() {
            Ok(milliseconds) => Ok(Sync::Interval(Duration::from_millis(milliseconds))),
            Err(_) => Err("use none, batch, or a number of milliseconds from 1 to 5000".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_explained() {
        assert_eq!(parse_sync("none"), Ok(Sync::None));
        assert_eq!(parse_sync("batch"), Ok(Sync::Batch));
        assert_eq!(parse_sync("20"), Ok(Sync::Interval(Duration::from_millis(20))));
        assert!(parse_sync("often").unwrap_err().contains("milliseconds"));
        assert_eq!(parse_listen("127.0.0.1:7"), Ok("127.0.0.1:7".parse().unwrap()));
        assert!(parse_listen("127.0.0.1").unwrap_err().contains("HOST:PORT"));
        assert_eq!(parse_advertise("logs.example:9092"), Ok(("logs.example".to_owned(), 9092)));
        assert_eq!(parse_advertise("[::1]:9092"), Ok(("::1".to_owned(), 9092)));
        for bad in ["logs", ":9092", "logs:", "logs:65536"] {
            assert_eq!(parse_advertise(bad), Err("use HOST:PORT".to_owned()));
        }
    }
}
