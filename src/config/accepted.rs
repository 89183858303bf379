//! What the option table accepts, by short names: kinds of text, and ranges in the units of the table.
//!
//! Knows no option; a kind of text is here with the rule that it keeps.

use std::time::Duration;

use crate::config::value::Accepts;
use crate::config::value::Kind;

pub(super) const NAME: Accepts =
    Accepts::of(Kind::Text("1 to 64 of A-Z, a-z, 0-9, `.`, `_`, `-`; not `.` or `..`", |text| {
        is_word(text, 64)
    }));

/// The rule of Kafka's `Topic.validate`.
pub(super) const TOPIC: Accepts =
    Accepts::of(Kind::Text("1 to 249 of A-Z, a-z, 0-9, `.`, `_`, `-`; not `.` or `..`", |text| {
        is_word(text, 249)
    }));

pub(super) const CLIENT_ID: Accepts =
    Accepts::of(Kind::Text("1 to 128 printable ASCII characters", |text| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
    }));

pub(super) const SERVER_NAME: Kind = Kind::Text("a DNS name or an IP address", |text| {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    (1..=253).contains(&text.len()) && text.bytes().all(legal)
});

pub(super) const USERNAME: Kind = Kind::Text("1 to 255 bytes without control characters", |text| {
    (1..=255).contains(&text.len()) && !text.contains(char::is_control)
});

pub(super) const VARIABLE: Kind = Kind::Text("1 to 128 of A-Z, a-z, 0-9, `_`", |text| {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len()) && text.bytes().all(legal)
});

pub(super) const COMMAND: Kind = Kind::Text("1 to 4096 bytes without NUL", |text| {
    (1..=4096).contains(&text.len()) && !text.contains('\0')
});

pub(super) const ZOOKEEPER_PATH: Accepts = Accepts::of(Kind::Text(
    "an absolute path of at most 1024 bytes, without an end slash",
    |text| {
        let is_plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        text.len() <= 1024
            && text.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain))
    },
));

fn is_word(text: &str, length_max: usize) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let length = 1..=length_max;
    length.contains(&text.len()) && text.bytes().all(legal) && !matches!(text, "." | "..")
}

pub(super) const fn bytes(min: u64, max: u64) -> Accepts {
    Accepts::of(Kind::Bytes(min, max))
}

pub(super) const fn count(min: u64, max: u64) -> Accepts {
    Accepts::of(Kind::Count(min, max))
}

pub(super) const fn choice(words: &'static [&'static str]) -> Accepts {
    Accepts::of(Kind::Choice(words))
}

/// In milliseconds.
pub(super) const fn duration(min: u64, max: u64) -> Accepts {
    micros(min * 1_000, max * 1_000)
}

pub(super) const fn micros(min: u64, max: u64) -> Accepts {
    Accepts::of(range(min, max))
}

/// In microseconds.
pub(super) const fn range(min: u64, max: u64) -> Kind {
    Kind::Duration(Duration::from_micros(min), Duration::from_micros(max))
}
