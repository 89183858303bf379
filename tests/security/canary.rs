//! A secret that must be seen nowhere: in no output, no error, no statistics, no debug text, no file of ours.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::line;
use crate::support::certificates;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::wait;

const CANARY: &str = "Zq7canary9secretX";

#[test]
fn no_secret_is_ever_printed_or_stored() {
    let site = Site::new();
    certificates::write(&site.file("secret"), &format!("{CANARY}\n"));
    certificates::write(&site.file("users"), &format!("alice:{CANARY}\nbroken {CANARY}\n"));
    certificates::write(&site.file("key"), &format!("-----BEGIN PRIVATE KEY-----\n{CANARY}"));
    let mut printed = String::new();
    let secret = site.file("secret").display().to_string();
    let command = format!("cat {secret}");
    let address = lasting_address();
    for settings in [
        format!("sasl.mechanism=PLAIN&sasl.username=alice&sasl.password_file={secret}"),
        format!("sasl.mechanism=SCRAM-SHA-256&sasl.username=alice&sasl.password_file={secret}"),
        "sasl.mechanism=PLAIN&sasl.username=alice&sasl.password_variable=CANARY_OF_A_TEST".into(),
        format!("sasl.mechanism=OAUTHBEARER&sasl.token_file={secret}"),
        format!("sasl.mechanism=OAUTHBEARER&sasl.token_command={command}"),
    ] {
        printed.push_str(&ship(&site, address, &settings));
        if !settings.contains("variable") {
            printed.push_str(&in_process(&site, address, &settings));
        }
    }
    // Errors of the files themselves.
    for (name, path) in [("--sasl-users", "users"), ("--tls-key", "key")] {
        let path = site.file(path).display().to_string();
        let dir = site.receiver_dir(0).display().to_string();
        let tls = ["--tls-certificate", &path];
        let output = Command::new(env!("CARGO_BIN_EXE_logdrive"))
            .args(["receive", "--listen", "127.0.0.1:0", "--dir", &dir, name, &path])
            .args(if name == "--tls-key" { &tls[..] } else { &[] })
            .output()
            .unwrap();
        assert!(!output.status.success());
        printed.push_str(&format!("{output:?}"));
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    assert!(printed.len() > 1_000 && printed.contains("sasl"), "{printed}");
    assert!(!printed.contains(CANARY), "{printed}");
    for root in [site.ring_dir(), site.spool_dir()] {
        assert_not_below(&root);
    }
}

/// Everything that the command prints when nobody answers.
fn ship(site: &Site, address: std::net::SocketAddr, settings: &str) -> String {
    let spool = site.spool_dir().display().to_string();
    let url = format!("receivers://{address}/lines?sasl.insecure_cleartext=true&{settings}");
    let lines = site.file("lines");
    fs::write(&lines, "one\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_logdrive"))
        .args(["ship", "--json", "--deadline", "300ms", "--spool", &spool, "--to", &url])
        .arg(lines)
        .env("CANARY_OF_A_TEST", CANARY)
        .output()
        .unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Everything that an application could print.
fn in_process(site: &Site, address: std::net::SocketAddr, settings: &str) -> String {
    let options = format!("sasl.insecure_cleartext=true&{settings}");
    let config = Config::from_url(&site.url(&[address], &options)).unwrap();
    let client = Client::start(&config).unwrap();
    client.log(Severity::Info, line(0)).unwrap();
    wait::until("the failure is there", || {
        client.stats().sender.receivers.iter().any(|of| of.failures > 0)
    });
    let stats = client.stats();
    let late = client.close(Duration::ZERO).unwrap_err();
    format!("{config:?} {:?} {stats:?} {stats} {late} {late:?}", config.settings())
}

fn assert_not_below(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_not_below(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
