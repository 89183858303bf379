//! Apache Kafka that asks who is there: every mechanism, over TLS with client certificates and without, and
//! authentications that expire.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;
use logdrive::Snapshot;
use logdrive::clock::Clock;

use crate::peers::Peer;
use crate::peers::consume;
use crate::records::Arrived;
use crate::records::text;
use crate::support::certificates;
use crate::support::certificates::Authority;
use crate::support::scale::scaled;

const PATIENCE: Duration = Duration::from_secs(60);
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// A broker with both listeners, its authority's bundle, and a client's certificate, in `dir`.
fn secured(release: &str, dir: &Path, more: &[&str]) -> Option<Peer> {
    let authority = Authority::new("authority");
    certificates::write(&dir.join("ca.pem"), &authority.pem());
    authority.issue("alice").write(dir, "alice");
    let server = authority.issue("127.0.0.1");
    certificates::write(&dir.join("server.pem"), &format!("{}{}", server.key, server.certificate));
    let login = "org.apache.kafka.common.security";
    let file = |name: &str| dir.join(name).display().to_string();
    let mut settings = vec![
        "test.listeners=SASL_SSL,SASL_PLAINTEXT".to_owned(),
        format!("sasl.enabled.mechanisms={}", MECHANISMS.join(",")),
        "ssl.client.auth=required".to_owned(),
        "ssl.keystore.type=PEM".to_owned(),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", file("server.pem")),
        format!("ssl.truststore.location={}", file("ca.pem")),
    ];
    for listener in ["sasl_ssl", "sasl_plaintext"] {
        for (mechanism, module) in [
            ("plain", "plain.PlainLoginModule required user_alice=\"wonder\";"),
            ("scram-sha-256", "scram.ScramLoginModule required;"),
            ("scram-sha-512", "scram.ScramLoginModule required;"),
            (
                "oauthbearer",
                "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"x\";",
            ),
        ] {
            settings.push(format!(
                "listener.name.{listener}.{mechanism}.sasl.jaas.config={login}.{module}"
            ));
        }
    }
    settings.extend(more.iter().map(|setting| (*setting).to_owned()));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut kafka = Peer::kafka(release, 1, &settings)?;
    kafka.tell("scram alice wonder");
    certificates::write(&dir.join("password"), "wonder\n");
    certificates::write(&dir.join("token"), &token());
    Some(kafka)
}

/// A token that nobody signed, as Kafka's own handler for tests takes it; it holds for an hour.
#[allow(clippy::disallowed_methods, reason = "a token names the time until which it holds")]
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!("{{\"sub\":\"alice\",\"iat\":{now},\"exp\":{}}}", now + 3_600);
    format!("{}.{}.", base64_url("{\"alg\":\"none\"}"), base64_url(&claims))
}

fn base64_url(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            out.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    out
}

/// The options that say who we are, by mechanism.
fn credentials(dir: &Path, mechanism: &str, password: &str) -> String {
    let mut options = format!("sasl.mechanism={mechanism}");
    let _infallible = if mechanism == "OAUTHBEARER" {
        write!(options, "&sasl.token_command=cat {}", dir.join("token").display())
    } else {
        let file = dir.join(password);
        write!(options, "&sasl.username=alice&sasl.password_file={}", file.display())
    };
    options
}

fn open(kafka: &mut Peer, dir: &Path, listener: &str, topic: &str, options: &str) -> Client {
    let hosts = kafka.tell(&format!("where {listener}"));
    let ring = dir.join(format!("ring-{topic}"));
    let file = |name: &str| dir.join(name).display().to_string();
    let (scheme, more) = match listener {
        "SASL_SSL" => (
            "kafka+tls",
            format!(
                "tls.ca_file={}&tls.certificate_file={}&tls.key_file={}",
                file("ca.pem"),
                file("alice.pem"),
                file("alice.key")
            ),
        ),
        _ => ("kafka", "sasl.insecure_cleartext=true".to_owned()),
    };
    let ring = ring.display();
    let url = format!("{scheme}://{hosts}/{topic}?ring.dir={ring}&backoff.max=1s&{more}&{options}");
    Client::start(&Config::from_url(&url).unwrap()).unwrap()
}

fn check(kafka: &Peer, topic: &str, stats: &Snapshot, count: u64) {
    assert_eq!((stats.accepted, stats.sender.delivered, stats.sender.stored), (count, count, 0));
    let consumed = consume(&kafka.bootstrap, topic);
    let arrived = Arrived::new(&consumed);
    arrived.check("secured", count);
    assert_eq!(arrived.count(), count, "{topic}");
}

#[test]
fn every_mechanism_of_kafka_3() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut kafka) = secured("kafka-3.9", dir.path(), &[]) else { return };
    every_mechanism(&mut kafka, dir.path(), "SASL_SSL");
    a_wrong_password(&mut kafka, dir.path(), "PLAIN");
}

#[test]
fn every_mechanism_of_kafka_4_and_authentications_that_expire() {
    let dir = tempfile::tempdir().unwrap();
    // A broker ends a connection whose time is over at its next request.
    let reauthenticate = ["connections.max.reauth.ms=3000"];
    let Some(mut kafka) = secured("kafka-4", dir.path(), &reauthenticate) else { return };
    every_mechanism(&mut kafka, dir.path(), "SASL_SSL");
    every_mechanism(&mut kafka, dir.path(), "SASL_PLAINTEXT");
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        a_wrong_password(&mut kafka, dir.path(), mechanism);
    }
    for mechanism in ["SCRAM-SHA-256", "OAUTHBEARER"] {
        renewed_in_time(&mut kafka, dir.path(), mechanism);
    }
}

fn every_mechanism(kafka: &mut Peer, dir: &Path, listener: &str) {
    let count = scaled(2_000, 10_000);
    for mechanism in MECHANISMS {
        let topic = format!("{listener}-{mechanism}");
        kafka.tell(&format!("create {topic} 2 1"));
        let client = open(kafka, dir, listener, &topic, &credentials(dir, mechanism, "password"));
        for number in 0..count {
            client.log(Severity::Info, text("secured", number)).unwrap();
        }
        client.flush(PATIENCE).unwrap();
        check(kafka, &topic, &client.close(PATIENCE).unwrap(), count);
    }
}

/// Nothing is delivered, and why is said; once the password is right, everything is.
fn a_wrong_password(kafka: &mut Peer, dir: &Path, mechanism: &str) {
    let topic = format!("wrong-{mechanism}");
    kafka.tell(&format!("create {topic} 1 1"));
    certificates::write(&dir.join("wrong"), "wander\n");
    let options = credentials(dir, mechanism, "wrong");
    let options = format!("{options}&credentials.reload_interval=100ms");
    let client = open(kafka, dir, "SASL_SSL", &topic, &options);
    client.log(Severity::Info, text("secured", 0)).unwrap();
    let clock = Clock::start();
    let start = clock.moment();
    loop {
        let stats = client.stats().sender;
        assert_eq!(stats.delivered, 0);
        let reason = stats.receivers.first().map(|of| of.last_failure.clone()).unwrap_or_default();
        if reason.contains("refused the authentication") {
            break;
        }
        assert!(clock.moment().since(start) < PATIENCE, "{mechanism}: {reason}");
        std::thread::sleep(Duration::from_millis(10));
    }
    certificates::write(&dir.join("wrong"), "wonder\n");
    client.flush(PATIENCE).unwrap();
    check(kafka, &topic, &client.close(PATIENCE).unwrap(), 1);
}

/// Lanes that are always busy are renewed before the broker ends them, so nothing fails and nothing is sent twice.
fn renewed_in_time(kafka: &mut Peer, dir: &Path, mechanism: &str) {
    let topic = format!("renewed-{mechanism}");
    kafka.tell(&format!("create {topic} 2 1"));
    let options = credentials(dir, mechanism, "password");
    let client = open(kafka, dir, "SASL_SSL", &topic, &options);
    let mut count = 0;
    let renewals = scaled(2, 10);
    while client.stats().sender.rebinds < renewals {
        for _ in 0..20 {
            client.log(Severity::Info, text("secured", count)).unwrap();
            count += 1;
        }
        client.flush(PATIENCE).unwrap();
    }
    let stats = client.close(PATIENCE).unwrap();
    let failures: u64 = stats.sender.receivers.iter().map(|of| of.failures).sum();
    assert_eq!((failures, stats.sender.retries), (0, 0), "{:?}", stats.sender.receivers);
    check(kafka, &topic, &stats, count);
}
