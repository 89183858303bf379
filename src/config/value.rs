//! From the text of a value to its type, and what an option accepts in words.
//!
//! Owns the spelling of sizes, durations, counts, flags and choices. Knows no option by name.
//! Invariant: what is not exactly one of the documented spellings is refused, never guessed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One kibibyte.
pub(super) const KIB: u64 = 1 << 10;
/// One mebibyte.
pub(super) const MIB: u64 = 1 << 20;
/// One gibibyte.
pub(super) const GIB: u64 = 1 << 30;

/// The type and the range of an option.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number of bytes, `min..=max`.
    Bytes(u64, u64),
    /// A number of bytes that is a multiple of 4096, `min..=max`.
    Pages(u64, u64),
    /// A time span, `min..=max`.
    Duration(Duration, Duration),
    /// A plain number, `min..=max`.
    Count(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or a time span `min..=max`.
    ChoiceOrDuration(&'static [&'static str], Duration, Duration),
    /// `true` or `false`.
    Flag,
    /// A text that the function accepts; the words say which texts those are.
    Text(&'static str, fn(&str) -> bool),
    /// A path of the file system.
    Path,
}

/// What an option accepts: its kind, and what the value 0 (or the empty path) stands for where
/// that is not simply a number of the range.
#[derive(Clone, Copy, Debug)]
pub struct Accepts {
    /// Type and range.
    pub kind: Kind,
    /// The meaning of 0, or of an empty path.
    pub unset: Option<&'static str>,
}

impl Accepts {
    pub(super) const fn of(kind: Kind) -> Self {
        Self { kind, unset: None }
    }

    pub(super) const fn or_unset(kind: Kind, meaning: &'static str) -> Self {
        Self { kind, unset: Some(meaning) }
    }
}

impl Kind {
    /// The kind in one word: `size`, `duration`, `count`, `choice`, `flag`, `text` or `path`.
    pub const fn name(&self) -> &'static str {
        match self {
            Kind::Bytes(..) | Kind::Pages(..) => "size",
            Kind::Duration(..) => "duration",
            Kind::Count(..) => "count",
            Kind::Choice(_) | Kind::ChoiceOrDuration(..) => "choice",
            Kind::Flag => "flag",
            Kind::Text(..) => "text",
            Kind::Path => "path",
        }
    }
}

impl fmt::Display for Accepts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(meaning) = self.unset {
            let zero = if matches!(self.kind, Kind::Path | Kind::Text(..)) { "unset" } else { "0" };
            write!(f, "{zero} ({meaning}) or ")?;
        }
        match self.kind {
            Kind::Bytes(min, max) => {
                write!(f, "a size from {} to {}", display_bytes(min), display_bytes(max))
            }
            Kind::Pages(min, max) => {
                let (min, max) = (display_bytes(min), display_bytes(max));
                write!(f, "a multiple of 4KiB from {min} to {max}")
            }
            Kind::Duration(min, max) => {
                let (min, max) = (display_duration(min), display_duration(max));
                write!(f, "a duration with its unit (us, ms, s, m, h) from {min} to {max}")
            }
            Kind::Count(min, max) => write!(f, "a whole number from {min} to {max}"),
            Kind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Kind::ChoiceOrDuration(words, min, max) => {
                let (min, max) = (display_duration(min), display_duration(max));
                write!(f, "one of {}, or a duration from {min} to {max}", words.join(", "))
            }
            Kind::Flag => f.write_str("true or false"),
            Kind::Text(rule, _) => f.write_str(rule),
            Kind::Path => f.write_str("a path without NUL, of at most 4096 bytes"),
        }
    }
}

/// A type that an option may have.
///
/// `None` means that the text is not accepted; [`Accepts`] says in words what would have been.
pub(super) trait Value: Sized {
    fn parse(text: &str, kind: &Kind) -> Option<Self>;

    /// Whether the text is the one that stands for "not set".
    fn is_unset(text: &str) -> bool {
        parse_bytes(text) == Some(0) || parse_duration(text) == Some(Duration::ZERO)
    }
}

impl<T: Value> Value for Option<T> {
    fn parse(text: &str, kind: &Kind) -> Option<Self> {
        if T::is_unset(text) { Some(None) } else { T::parse(text, kind).map(Some) }
    }
}

impl Value for u64 {
    fn parse(text: &str, kind: &Kind) -> Option<Self> {
        let (value, min, max) = match *kind {
            Kind::Bytes(min, max) => (parse_bytes(text)?, min, max),
            Kind::Pages(min, max) => {
                (parse_bytes(text).filter(|bytes| bytes.is_multiple_of(PAGE_BYTES))?, min, max)
            }
            Kind::Count(min, max) => (parse_number(text)?, min, max),
            Kind::Duration(..) | Kind::Choice(_) | Kind::ChoiceOrDuration(..) => return None,
            Kind::Flag | Kind::Text(..) | Kind::Path => return None,
        };
        (min..=max).contains(&value).then_some(value)
    }
}

impl Value for u32 {
    fn parse(text: &str, kind: &Kind) -> Option<Self> {
        u64::parse(text, kind).and_then(|value| u32::try_from(value).ok())
    }
}

impl Value for Duration {
    fn parse(text: &str, kind: &Kind) -> Option<Self> {
        let (Kind::Duration(min, max) | Kind::ChoiceOrDuration(_, min, max)) = *kind else {
            return None;
        };
        parse_duration(text).filter(|value| (min..=max).contains(value))
    }
}

impl Value for bool {
    fn parse(text: &str, _: &Kind) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

impl Value for String {
    fn parse(text: &str, kind: &Kind) -> Option<Self> {
        let Kind::Text(_, accepted) = *kind else { return None };
        accepted(text).then(|| text.to_owned())
    }

    fn is_unset(text: &str) -> bool {
        text.is_empty()
    }
}

impl Value for PathBuf {
    fn parse(text: &str, _: &Kind) -> Option<Self> {
        let accepted = (1..=PATH_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        accepted.then(|| PathBuf::from(text))
    }

    fn is_unset(text: &str) -> bool {
        text.is_empty()
    }
}

/// `1000000`, `64KiB`, `1MB`: digits, then nothing, `B`, a binary or a decimal unit.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = BYTE_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(factor)
}

/// `250us`, `5ms`, `2s`, `1m`, `1h`: digits and a unit; only `0` may go without.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    if unit.is_empty() {
        return (number == 0).then_some(Duration::ZERO);
    }
    let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(factor).map(Duration::from_micros)
}

/// A whole number without sign, unit or separators.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    unit.is_empty().then_some(number)
}

/// The size in the largest unit that divides it.
pub(super) fn display_bytes(bytes: u64) -> String {
    let units = [("TiB", GIB << 10), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)];
    match units.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// The duration in the largest unit that divides it.
pub(super) fn display_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let unit =
        TIME_UNITS.iter().rev().find(|(_, factor)| micros.is_multiple_of(u128::from(*factor)));
    match unit {
        Some((name, factor)) if micros > 0 => format!("{}{name}", micros / u128::from(*factor)),
        Some(_) | None => "0".to_owned(),
    }
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

const BYTE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", GIB << 10),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// In microseconds, rising.
const TIME_UNITS: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

const PAGE_BYTES: u64 = 4 * KIB;

/// `PATH_MAX` of Linux.
const PATH_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1000000", 1_000_000),
            ("7B", 7),
            ("64KiB", 65_536),
            ("64KB", 64_000),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn anything_but_the_documented_spelling_is_refused() {
        let sizes = ["", "KiB", "64k", "64kib", "64 KiB", " 1", "1 ", "-1", "+1", "1.5MiB", "0x10"];
        for text in sizes.into_iter().chain(["99999999999999999999", "99999999999TiB", "１"]) {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
        for text in ["5", "5 ms", "ms", "1.5s", "5MS", "1d", "-1s", "18446744073709551615h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, micros) in
            [("0", 0), ("250us", 250), ("5ms", 5_000), ("2s", 2_000_000), ("1m", 60_000_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_micros(micros)), "{text}");
        }
        assert_eq!(parse_duration("1h"), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn zero_of_an_optional_value_is_unset_in_any_unit() {
        let kind = Kind::Bytes(MIB, GIB);
        assert_eq!(Option::<u64>::parse("0", &kind), Some(None));
        assert_eq!(Option::<u64>::parse("0MiB", &kind), Some(None));
        assert_eq!(Option::<u64>::parse("1KiB", &kind), None, "below the range is not unset");
        let kind = Kind::Duration(Duration::from_secs(1), Duration::from_secs(9));
        assert_eq!(Option::<Duration>::parse("0s", &kind), Some(None));
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_read_back(bytes in any::<u64>(), micros in any::<u64>()) {
            prop_assert_eq!(parse_bytes(&display_bytes(bytes)), Some(bytes));
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&display_duration(duration)), Some(duration));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            let _ = (parse_bytes(&text), parse_duration(&text), parse_number(&text));
        }
    }
}
