//! A receiver that asks who is there: users, strangers, and those who say nothing.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::bundle;
use crate::encrypted;
use crate::expected;
use crate::line;
use crate::shown;
use crate::start;
use crate::support;
use crate::support::DEADLINE;
use crate::support::Spec;
use crate::support::certificates;
use crate::support::certificates::Authority;
use crate::support::logdrive;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::wait;

#[test]
fn users_write_and_others_do_not() {
    let site = Site::new();
    let authority = Authority::new("authority");
    let trusted = bundle(&[&authority], site.file("ca.pem"));
    certificates::write(&site.file("users"), "alice:wonder\nbob:builder\n");
    certificates::write(&site.file("right"), "wonder\n");
    certificates::write(&site.file("wrong"), "wander\n");
    let dir = site.receiver_dir(0);
    let mut arguments = encrypted(&authority, site.disk(), "receiver");
    arguments.extend(["--sasl-users".to_owned(), shown(&site.file("users"))]);
    let receiver = start(&dir, &arguments);
    let client = |scheme: &str, options: &str| {
        let options =
            format!("credentials.reload_interval=100ms&tls.ca_file={}{options}", trusted.display());
        let url = site.url_with_scheme(scheme, &[receiver.address], &options);
        Client::start(&Config::from_url(&url).unwrap()).unwrap()
    };
    let plain = |file: &str| {
        let file = site.file(file);
        format!("&sasl.mechanism=PLAIN&sasl.username=alice&sasl.password_file={}", file.display())
    };
    let reason = |client: &Client| {
        let receivers = client.stats().sender.receivers;
        receivers.first().map(|of| of.last_failure.clone()).unwrap_or_default()
    };

    // The wrong password is refused and said; once it is right, everything arrives.
    let late = client("receivers+tls", &plain("wrong"));
    late.log(Severity::Info, line(0)).unwrap();
    wait::until("it is refused", || reason(&late).contains("wrong user or password"));
    assert_eq!(late.stats().sender.delivered, 0);
    certificates::write(&site.file("wrong"), "wonder\n");
    late.flush(wait::PATIENCE).unwrap();
    late.close(wait::PATIENCE).unwrap();

    // Nobody at all is refused as well.
    let nobody = client("receivers+tls", "");
    nobody.log(Severity::Info, line(1)).unwrap();
    wait::until("it is refused", || !reason(&nobody).is_empty());
    assert_eq!(nobody.stats().sender.delivered, 0);
    nobody.close(Duration::ZERO).unwrap_err();

    let right = client("receivers+tls", &plain("right"));
    wait::until("what nobody could send is sent", || {
        right.stats().sender.adopted_delivered + right.stats().sender.delivered == 1
    });
    right.close(wait::PATIENCE).unwrap();
    assert_same_lines(&cat_lines(&[dir]), &expected(2));
    let (code, summary) = receiver.terminate();
    assert_eq!(code, Some(0));
    for reason in ["authentication_failed", "unauthenticated"] {
        assert!(summary.contains(&format!("refused {reason}: ")), "{summary}");
    }
}

#[test]
fn strangers_are_closed_and_an_address_has_its_limit() {
    let site = Site::new();
    certificates::write(&site.file("users"), "alice:wonder\n");
    let users = shown(&site.file("users"));
    let limits = ["--sasl-users", &users, "--connections-per-address-max", "2"];
    let limits = limits.map(str::to_owned);
    let receiver = start(&site.receiver_dir(0), &limits);
    // A batch before the authentication.
    let mut eager = support::Client::connect(receiver.address);
    eager.send("lines", &Spec::of(0, 3).batch(), 1).unwrap();
    eager.wait_for_close();
    // Two that say nothing take all the places of this address, until their time is over.
    let mut silent =
        [support::Client::connect(receiver.address), support::Client::connect(receiver.address)];
    let mut third = support::Client::connect(receiver.address);
    third.wait_for_close();
    silent.iter_mut().for_each(support::Client::wait_for_close);
    let (_, summary) = receiver.terminate();
    for refused in ["unauthenticated: 1", "too_many_from_address: 1", "first_frame_timeout: 2"] {
        assert!(summary.contains(&format!("refused {refused}")), "{summary}");
    }
}

#[test]
fn half_a_handshake_is_closed_in_time_and_no_tls_at_once() {
    let site = Site::new();
    let authority = Authority::new("authority");
    let receiver = start(&site.receiver_dir(0), &encrypted(&authority, site.disk(), "receiver"));
    let connect = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(receiver.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    // The head of a handshake record whose rest never comes; then a request without TLS.
    let mut half = connect(&[22, 3, 1, 0, 200]);
    let mut no_tls = connect(b"\0\0\0\x0a\0\x12\0\0\0\0\0\0\xff\xff");
    let mut rest = Vec::new();
    no_tls.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 20, "an alert at most: {rest:?}");
    half.read_to_end(&mut rest).unwrap();
    let (_, summary) = receiver.terminate();
    assert!(summary.contains("refused tls_handshake: 1"), "{summary}");
    assert!(summary.contains("refused first_frame_timeout: 1"), "{summary}");
}

#[test]
fn files_that_cannot_be_used_are_refused_at_the_start() {
    let site = Site::new();
    let dir = shown(&site.receiver_dir(0));
    let authority = Authority::new("authority");
    let (one, _) = authority.issue("127.0.0.1").write(site.disk(), "one");
    let (_, other) = authority.issue("127.0.0.1").write(site.disk(), "other");
    let users = site.file("users");
    certificates::write(&users, "alice:wonder\n");
    std::fs::set_permissions(&users, PermissionsExt::from_mode(0o644)).unwrap();
    let (one, other, users) = (shown(&one), shown(&other), shown(&users));
    for (arguments, expected) in [
        (&["--tls-certificate", &one, "--tls-key", &other][..], "key"),
        (&["--tls-certificate", &one, "--tls-key", "/none"], "cannot read /none"),
        (&["--tls-certificate", &one], "--tls-key"),
        (&["--sasl-users", &users], "chmod 600"),
        (&["--sasl-users", &one], "chmod 600"),
    ] {
        let listen = ["receive", "--listen", "127.0.0.1:0", "--dir", &dir];
        if expected == "chmod 600" {
            std::fs::set_permissions(arguments[1], PermissionsExt::from_mode(0o644)).unwrap();
        }
        let output = logdrive(&[&listen[..], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("wonder") && !text.contains("PRIVATE"), "{text}");
    }
}
