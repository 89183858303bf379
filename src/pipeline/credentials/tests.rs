//! Credentials from every place they may come from, and what happens when they change or vanish.

use std::fs;

use super::*;
use crate::config::Config;
use crate::transport::Poller;

fn watch(options: &str) -> (Poller, Result<Watch, CredentialsError>) {
    let poller = Poller::new().unwrap();
    let url = format!("receivers://h/t?sasl.insecure_cleartext=true&{options}");
    let settings = Config::from_url(&url).unwrap().settings().unwrap();
    let watch = Watch::start(&settings, poller.waker());
    (poller, watch)
}

fn secret_of(watch: &Watch) -> Vec<u8> {
    match watch.keyring().and_then(|keyring| keyring.sasl.as_deref()) {
        Some(Credentials::Plain { password, .. }) => password.expose().to_vec(),
        Some(Credentials::OauthBearer { token }) => token.expose().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Looks once more, and waits until that is over.
fn look(poller: &mut Poller, watch: &mut Watch, now: Moment) -> bool {
    let mut is_news = watch.poll(now);
    poller.wait(Some(Duration::from_secs(30)), |_| {}).unwrap();
    is_news |= watch.poll(now);
    is_news
}

#[test]
fn a_password_is_the_first_line_and_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    fs::write(&path, "one\r\nnot this\n").unwrap();
    let name = path.display();
    let (mut poller, watch) =
        watch(&format!("sasl.mechanism=PLAIN&sasl.username=u&sasl.password_file={name}"));
    let mut watch = watch.unwrap();
    assert_eq!(secret_of(&watch), b"one");
    assert!(!watch.poll(Moment(0)), "it has just been read");
    let later = |seconds: u64| Moment(seconds * 1_000_000_000);
    assert!(!look(&mut poller, &mut watch, later(30)), "nothing changed");
    fs::write(&path, "two").unwrap();
    assert!(look(&mut poller, &mut watch, later(60)));
    assert_eq!((secret_of(&watch), watch.generation), (b"two".to_vec(), 1));
    fs::remove_file(&path).unwrap();
    assert!(!look(&mut poller, &mut watch, later(90)));
    assert_eq!((secret_of(&watch), watch.failures), (b"two".to_vec(), 1), "used on");
    assert!(watch.last_failure.contains("cannot read"), "{}", watch.last_failure);
    assert!(!format!("{:?}", watch.keyring()).contains("two"));
}

#[test]
fn a_token_of_a_command_comes_later_and_a_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "a.b.c\n").unwrap();
    let name = path.display();
    let (mut poller, by_command) =
        watch(&format!("sasl.mechanism=OAUTHBEARER&sasl.token_command=cat {name}"));
    let mut by_command = by_command.unwrap();
    assert!(by_command.keyring().is_none());
    assert!(look(&mut poller, &mut by_command, Moment(1)));
    assert_eq!(secret_of(&by_command), b"a.b.c");
    let (_, by_file) = watch(&format!("sasl.mechanism=OAUTHBEARER&sasl.token_file={name}"));
    assert_eq!(secret_of(&by_file.unwrap()), b"a.b.c");
}

#[test]
fn what_gives_no_secret_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (text, expected) in [
        (&b""[..], "no secret"),
        (b"\nsecond line", "no secret"),
        (b"nul\0", "no secret"),
        (&[b'x'; SECRET_BYTES_MAX + 1], "no secret"),
    ] {
        let path = dir.path().join("password");
        fs::write(&path, text).unwrap();
        let name = path.display();
        let options = format!("sasl.mechanism=PLAIN&sasl.username=u&sasl.password_file={name}");
        let error = watch(&options).1.map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (options, expected) in [
        ("sasl.password_file=/none", "cannot read /none"),
        ("sasl.password_variable=LOGDRIVE_NO_SUCH_VARIABLE", "LOGDRIVE_NO_SUCH_VARIABLE"),
    ] {
        let options = format!("sasl.mechanism=PLAIN&sasl.username=u&{options}");
        let error = watch(&options).1.map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
