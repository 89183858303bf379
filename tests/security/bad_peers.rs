//! Peers that are not who they say, or speak no proper TLS: not one byte of payload, and all is well once they
//! are mended.

use std::net::SocketAddr;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::bad_server::BadServer;
use crate::bad_server::Badness;
use crate::bundle;
use crate::encrypted;
use crate::expected;
use crate::line;
use crate::start;
use crate::support::ReceiverProcess;
use crate::support::certificates::Authority;
use crate::support::lasting_address;
use crate::support::own_host;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

const OPTIONS: &str =
    "connect.timeout=1s&lanes.max=128&connects.concurrent_max=128&batch.bytes=16KiB";

/// How many of each kind.
const BAD_PEERS: usize = 50;

#[test]
fn bad_peers_get_no_byte_of_payload_and_hold_nothing_up() {
    for badness in Badness::ALL {
        let site = Site::new();
        let authority = Authority::new("authority");
        let trusted = bundle(&[&authority], site.file("ca.pem"));
        let dir = site.receiver_dir(0);
        let good = start(&dir, &encrypted(&authority, site.disk(), "receiver"));
        let any_port = SocketAddr::new(own_host(), 0);
        let bad: Vec<_> =
            (0..BAD_PEERS).map(|_| BadServer::start(badness, &authority, any_port)).collect();
        let mut hosts: Vec<_> = bad.iter().map(|server| server.address).collect();
        hosts.push(good.address);
        let options = format!("{OPTIONS}&tls.ca_file={}", trusted.display());
        let url = site.url_with_scheme("receivers+tls", &hosts, &options);
        let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
        let mut count = 0;
        wait::until("every bad peer was tried, and records are delivered beside them", || {
            for _ in 0..100 {
                client.log(Severity::Info, line(count)).unwrap();
                count += 1;
            }
            bad.iter().all(|server| server.connections() > 0) && client.stats().sender.delivered > 0
        });
        client.flush(wait::PATIENCE).unwrap();
        let stats = client.close(wait::PATIENCE).unwrap();
        let sender = &stats.sender;
        assert_eq!((stats.accepted, sender.delivered, sender.stored), (count, count, 0));
        for server in &bad {
            server.assert_got_nothing(badness);
            let address = server.address.to_string();
            let of_it = sender.receivers.iter().find(|receiver| receiver.address == address);
            let of_it = of_it.unwrap();
            assert_eq!((of_it.records, of_it.bytes), (0, 0), "{badness:?}");
        }
        assert!(!sender.tls_unverified);
        let dirs = [dir];
        verify(&dirs);
        assert_same_lines(&cat_lines(&dirs), &expected(count));
    }
}

#[test]
fn what_is_wrong_is_said_and_all_arrives_once_the_peer_is_mended() {
    for badness in Badness::ALL {
        let site = Site::new();
        let authority = Authority::new("authority");
        let trusted = bundle(&[&authority], site.file("ca.pem"));
        let address = lasting_address();
        let bad = BadServer::start(badness, &authority, address);
        let options = format!("{OPTIONS}&tls.ca_file={}", trusted.display());
        let url = site.url_with_scheme("receivers+tls", &[address], &options);
        let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
        let count = 2_000;
        for number in 0..count {
            client.log(Severity::Info, line(number)).unwrap();
        }
        let words = match badness {
            Badness::WrongName => "not valid for name",
            Badness::Expired => "expired",
            Badness::SelfSigned | Badness::UnknownAuthority => "UnknownIssuer",
            Badness::Truncated => "closed the connection during the TLS handshake",
            Badness::Plaintext => "does the peer speak TLS?",
            Badness::Stalled => "no connection was made and ready in time",
            Badness::Downgrade => "TLS",
        };
        // On a busy machine an attempt may run out of time before it comes to that.
        wait::until(words, || {
            let receivers = client.stats().sender.receivers;
            receivers.first().is_some_and(|of| of.last_failure.contains(words))
        });
        bad.assert_got_nothing(badness);
        drop(bad);
        let dir = site.receiver_dir(0);
        let arguments = encrypted(&authority, site.disk(), "receiver");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let _good = ReceiverProcess::start_at(address, &dir, &arguments);
        client.flush(wait::PATIENCE).unwrap();
        let stats = client.close(wait::PATIENCE).unwrap();
        assert_eq!(
            (stats.accepted, stats.sender.delivered, stats.sender.stored),
            (count, count, 0)
        );
        let dirs = [dir];
        verify(&dirs);
        assert_same_lines(&cat_lines(&dirs), &expected(count));
    }
}

#[test]
fn the_insecure_switch_believes_anybody_and_shows() {
    let site = Site::new();
    let dir = site.receiver_dir(0);
    let nobody_knows = Authority::new("unknown");
    let receiver = start(&dir, &encrypted(&nobody_knows, site.disk(), "receiver"));
    let url = site.url_with_scheme(
        "receivers+tls",
        &[receiver.address],
        "tls.insecure_skip_verification=true",
    );
    let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
    client.log(Severity::Info, line(0)).unwrap();
    client.flush(wait::PATIENCE).unwrap();
    let stats = client.close(wait::PATIENCE).unwrap();
    assert!(stats.sender.tls_unverified);
    assert_same_lines(&cat_lines(&[dir]), &expected(1));
}
