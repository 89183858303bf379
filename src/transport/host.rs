//! `host`, `host:port`, `[IPv6]:port`: the one reader of places, for the URL, for files, for ZooKeeper.
//!
//! Knows no resolver. Invariant: what it returns is a legal host name or address with a port that is not 0.

use std::net::Ipv6Addr;

/// Kafka's usual port.
pub const PORT_DEFAULT: u16 = 9092;

/// Longest part of a malformed host that a message repeats, in characters.
const SHOWN_MAX: usize = 64;

/// Why a text names no place; the message says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing is there.
    #[error("a host is empty; write host:port,host:port")]
    Empty,
    /// Not repeated in the message: it may be the `@` behind a password.
    #[error("a host holds a percent escape; write it as it is")]
    Escape,
    /// An opening bracket alone.
    #[error("`{0}` has no closing bracket")]
    NoBracket(String),
    /// Something else than an IPv6 address stands in brackets.
    #[error("`{0}` has no IPv6 address in its brackets")]
    NoAddress(String),
    /// Characters that no host name has.
    #[error("`{0}` is not a host name or address")]
    NoName(String),
    /// Behind the host stands something that is not a port.
    #[error("`{0}` has no valid port (1 to 65535); an IPv6 address goes into brackets")]
    NoPort(String),
}

/// Reads one place; names become lower case, a missing port is [`PORT_DEFAULT`].
pub fn parse_host(text: &str) -> Result<(String, u16), HostError> {
    if text.contains('%') {
        return Err(HostError::Escape);
    }
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    let shown = || {
        let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
        if text.chars().nth(SHOWN_MAX).is_some() {
            shown.push('…');
        }
        shown
    };
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) =
            bracketed.split_once(']').ok_or_else(|| HostError::NoBracket(shown()))?;
        let address: Ipv6Addr = address.parse().map_err(|_| HostError::NoAddress(shown()))?;
        (address.to_string(), port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        if !is_host_name(host) {
            return Err(HostError::NoName(shown()));
        }
        (host.to_ascii_lowercase(), port)
    };
    let number = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => None,
        None if port.is_empty() => Some(PORT_DEFAULT),
        None => None,
    };
    match number {
        Some(number) if number > 0 => Ok((host, number)),
        Some(_) | None => Err(HostError::NoPort(shown())),
    }
}

/// Letters, digits, `-`, `_` and `.`, of at most the 253 bytes that DNS allows.
fn is_host_name(host: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=253).contains(&host.len()) && host.bytes().all(legal)
}
