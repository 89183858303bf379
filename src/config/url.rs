//! `scheme://host:port,host:port/topic?name=value&...`
//!
//! Owns the syntax only: authorities with several hosts are not standard URLs, hence our own
//! reader. Knows no option. Invariants: what is refused is refused whole; a message never holds
//! the authority when it has a user part, for that may be a password.

use crate::config::error::ConfigError;
use crate::config::error::excerpt;
use crate::config::settings::Target;
use crate::config::settings::TargetMode;
use crate::transport::host::parse_host;

/// A URL, taken apart and percent-decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) target: Target,
    pub(super) topic: String,
    /// Names and values of the query, in their order; no name occurs twice.
    pub(super) parameters: Vec<(String, String)>,
}

/// Reads a URL.
pub(super) fn parse(url: &str) -> Result<Url, ConfigError> {
    if url.len() > URL_BYTES_MAX {
        return problem(format!("it is longer than {URL_BYTES_MAX} bytes"));
    }
    // First, before any message repeats a part. A password may hold an unescaped `/` or `?`, so the
    // whole text is searched for the end of it.
    if url.contains('@') {
        return problem(
            "a user or password does not belong in a URL, where logs and process lists show it \
             (an `@` that is meant is written %40)"
                .to_owned(),
        );
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return problem(format!("it has no scheme; known are {}", schemes()));
    };
    let (mode, tls) = parse_scheme(scheme)?;
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, query),
        None => (rest, ""),
    };
    let (authority, path) = match place.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (place, ""),
    };
    if rest.contains('#') {
        return problem("it has a fragment; a `#` that is meant is written %23".to_owned());
    }
    let hosts = parse_hosts(authority)?;
    let topic = decode(path)?;
    if topic.is_empty() {
        return problem(format!("it names no topic; write {scheme}://{authority}/TOPIC"));
    }
    Ok(Url { target: Target { mode, tls, hosts }, topic, parameters: parse_query(query)? })
}

/// The mode, and whether connections are encrypted.
fn parse_scheme(scheme: &str) -> Result<(TargetMode, bool), ConfigError> {
    let lower = scheme.to_ascii_lowercase();
    let (plain, tls) = match lower.strip_suffix("+tls") {
        Some(plain) => (plain, true),
        None => (lower.as_str(), false),
    };
    match TargetMode::ALL.iter().find(|mode| mode.scheme() == plain) {
        Some(mode) => Ok((*mode, tls)),
        None => {
            let scheme = excerpt(scheme);
            problem(format!("the scheme `{scheme}` is not supported; known are {}", schemes()))
        }
    }
}

fn schemes() -> String {
    let names: Vec<_> = TargetMode::ALL.iter().map(|mode| mode.scheme()).collect();
    format!("{}, and the same with +tls", names.join(", "))
}

fn parse_hosts(authority: &str) -> Result<Vec<(String, u16)>, ConfigError> {
    let mut hosts = Vec::new();
    for text in authority.split(',') {
        let host = parse_host(text).map_err(|error| ConfigError::Url(error.to_string()))?;
        if hosts.contains(&host) {
            return problem(format!("the host `{}` is given twice", excerpt(text)));
        }
        hosts.push(host);
        if hosts.len() > HOSTS_MAX {
            return problem(format!("it has more than {HOSTS_MAX} hosts"));
        }
    }
    Ok(hosts)
}

fn parse_query(query: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return problem(format!("the parameter `{}` has no value", excerpt(pair)));
        };
        let name = decode(name)?;
        if parameters.iter().any(|(earlier, _)| *earlier == name) {
            return problem(format!("the parameter `{}` is given twice", excerpt(&name)));
        }
        parameters.push((name, decode(value)?));
    }
    Ok(parameters)
}

/// Decodes `%XX`; every other character, `+` too, stands for itself.
fn decode(text: &str) -> Result<String, ConfigError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (Some(high), Some(low)) = (hex(after.first()), hex(after.get(1))) else {
            return problem(format!("`{}` has a % without two hexadecimal digits", excerpt(text)));
        };
        bytes.push(high << 4 | low);
        rest = &after[2..];
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => problem(format!("`{}` is not UTF-8 when decoded", excerpt(text))),
    }
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    let digit = char::from(*byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn problem<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Url(text))
}

const URL_BYTES_MAX: usize = 64 << 10;
const HOSTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        parse(url).unwrap().target.hosts
    }

    fn message(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_taken_apart() {
        let url = parse("receivers://h1:9093,H2/app-logs?linger=5ms&codec=lz4").unwrap();
        let hosts = vec![("h1".to_owned(), 9093), ("h2".to_owned(), 9092)];
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parameters = vec![pair("linger", "5ms"), pair("codec", "lz4")];
        let target = Target { mode: TargetMode::Receivers, tls: false, hosts };
        assert_eq!(url, Url { target, topic: "app-logs".to_owned(), parameters });
    }

    #[test]
    fn the_scheme_says_whether_connections_are_encrypted() {
        for (url, mode, tls) in [
            ("kafka://h/t", TargetMode::Kafka, false),
            ("kafka+tls://h/t", TargetMode::Kafka, true),
            ("Receivers+TLS://h/t", TargetMode::Receivers, true),
        ] {
            let target = parse(url).unwrap().target;
            assert_eq!((target.mode, target.tls), (mode, tls), "{url}");
        }
        assert!(message("kafka+ssl://h/t").contains("kafka, receivers, and the same with +tls"));
    }

    #[test]
    fn addresses_of_both_families_are_hosts() {
        assert_eq!(hosts("kafka://[::1]:9/t"), [("::1".to_owned(), 9)]);
        assert_eq!(hosts("kafka://[2001:DB8::1]/t"), [("2001:db8::1".to_owned(), 9092)]);
        assert_eq!(hosts("kafka://127.0.0.1:1/t"), [("127.0.0.1".to_owned(), 1)]);
    }

    #[test]
    fn percent_escapes_are_decoded_and_plus_is_a_plus() {
        let url = parse("kafka://h/t%2Dx?spool.dir=%2Fvar%2Fa+b%26c%3Dd").unwrap();
        assert_eq!(url.topic, "t-x");
        assert_eq!(url.parameters, [("spool.dir".to_owned(), "/var/a+b&c=d".to_owned())]);
    }

    #[test]
    fn each_malformed_part_is_named() {
        for (url, expected) in [
            ("h1:9092/t", "no scheme"),
            ("relp://h/t", "`relp` is not supported; known are kafka, receivers"),
            ("kafka:///t", "host is empty"),
            ("kafka://a,,b/t", "host is empty"),
            ("kafka://a:0/t", "no valid port"),
            ("kafka://a:65536/t", "no valid port"),
            ("kafka://a:+1/t", "no valid port"),
            ("kafka://a:/t", "no valid port"),
            ("kafka://::1/t", "not a host name"),
            ("kafka://fe80::1/t", "brackets"),
            ("kafka://[::1/t", "closing bracket"),
            ("kafka://[::1]9/t", "no valid port"),
            ("kafka://[zz]/t", "no IPv6"),
            ("kafka://a b/t", "not a host name"),
            ("kafka://a,a:9092/t", "given twice"),
            ("kafka://h", "names no topic"),
            ("kafka://h/?a=b", "names no topic"),
            ("kafka://h/t?linger", "no value"),
            ("kafka://h/t?a=1&a=2", "given twice"),
            ("kafka://h/t#x", "fragment"),
            ("kafka://h/%zz", "two hexadecimal"),
            ("kafka://h/%f", "two hexadecimal"),
            ("kafka://h/%ff", "not UTF-8"),
        ] {
            assert!(message(url).contains(expected), "{url}: {}", message(url));
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for url in [
            "kafka://me:secret@h/t",
            "kafka://me:sec/secret@h/t",
            "kafka://me:?secret@h",
            "me:secret@kafka://h/t",
        ] {
            let message = message(url);
            assert!(message.contains("password") && !message.contains("secret"), "{message}");
        }
        assert!(!message("kafka://me:secret%40h/t").contains("secret"));
    }

    #[test]
    fn lengths_are_bounded() {
        let many = (0..=HOSTS_MAX).map(|n| format!("h{n}")).collect::<Vec<_>>().join(",");
        assert!(message(&format!("kafka://{many}/t")).contains("more than 256 hosts"));
        assert!(message(&"x".repeat(URL_BYTES_MAX + 1)).contains("longer"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(tail in "\\PC{0,80}") {
            let _ = parse(&tail);
            let _ = parse(&format!("kafka://{tail}"));
            let _ = parse(&format!("kafka://h/t?{tail}"));
        }
    }
}
