//! Certificates that change under load: authority, server and client, one after the other; nothing is lost.

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::bundle;
use crate::encrypted;
use crate::expected;
use crate::line;
use crate::shown;
use crate::start;
use crate::support::certificates;
use crate::support::certificates::Authority;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

#[test]
fn certificates_are_changed_under_load_and_nothing_is_lost() {
    let site = Site::new();
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let trusted = bundle(&[&old], site.file("ca.pem"));
    let clients = bundle(&[&old, &new], site.file("clients.pem"));
    let (certificate, key) = old.issue("writer").write(site.disk(), "writer");
    let dir = site.receiver_dir(0);
    let mut arguments = encrypted(&old, site.disk(), "receiver");
    arguments.extend(["--tls-client-ca".to_owned(), shown(&clients)]);
    let receiver = start(&dir, &arguments);
    let options = format!(
        "batch.bytes=16KiB&credentials.reload_interval=100ms&tls.ca_file={}\
         &tls.certificate_file={}&tls.key_file={}",
        trusted.display(),
        certificate.display(),
        key.display()
    );
    let url = site.url_with_scheme("receivers+tls", &[receiver.address], &options);
    let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
    let mut count = 0;
    let mut log_until = |what: &str, is_met: &dyn Fn(&logdrive::Snapshot) -> bool| {
        wait::until(what, || {
            for _ in 0..50 {
                client.log(Severity::Info, line(count)).unwrap();
                count += 1;
            }
            is_met(&client.stats())
        });
        client.stats().sender.delivered
    };
    let delivered = log_until("it works", &|stats| stats.sender.delivered > 0);
    // Half of a pair is used by nobody, and holds nothing up.
    let writer = new.issue("writer");
    certificates::write(&certificate, &writer.certificate);
    let delivered = log_until("the half pair is noticed", &|stats| {
        let sender = &stats.sender;
        sender.credentials_failures > 0 && sender.delivered > delivered
    });
    let before = client.stats().sender;
    assert!(before.credentials_failure.contains("key"), "{}", before.credentials_failure);
    assert_eq!(before.credentials_reloads, 0);
    certificates::write(&key, &writer.key);
    let delivered = log_until("the pair is used, by lanes that moved to it", &|stats| {
        let sender = &stats.sender;
        sender.credentials_reloads == 1
            && sender.rebinds > before.rebinds
            && sender.delivered > delivered
    });
    // The new authority beside the old one, a new certificate of the server, then the new one alone.
    bundle(&[&old, &new], trusted.clone());
    let delivered = log_until("both authorities are trusted", &|stats| {
        stats.sender.credentials_reloads == 2 && stats.sender.delivered > delivered
    });
    encrypted(&new, site.disk(), "receiver");
    bundle(&[&new], trusted);
    log_until("the server is known by its new certificate", &|stats| {
        stats.sender.credentials_reloads == 3 && stats.sender.delivered > delivered
    });
    let alone = client.stats().sender.delivered;
    log_until("and goes on being known", &|stats| stats.sender.delivered > alone + 1_000);
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    let sender = &stats.sender;
    assert_eq!((stats.accepted, sender.delivered, sender.stored), (count, count, 0));
    assert_eq!((stats.dropped_total(), stats.refused_total(), stats.panics), (0, 0, 0));
    let dirs = [dir];
    println!("{}", verify(&dirs));
    assert_same_lines(&cat_lines(&dirs), &expected(count));
}
