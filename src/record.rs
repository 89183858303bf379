//! One record as it lies in a ring: severity, stream, time, key, attributes, body.
//!
//! Owns its bytes; knows nothing of where they are stored. What is parsed is hostile until checked:
//! every length is bounded by the bytes at hand.
//!
//! ```text
//! 0   1  severity        1  1  flags: 1 = key, 2 = attributes     2  2  stream
//! 4   4  attribute bytes 8  8  ticks
//! 16 ..  [u32 key length, key] [attributes: { u16 name length, u32 value length, name, value }] body
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::ids::StreamId;

/// Bytes in front of a record's variable part.
pub const HEAD_BYTES: usize = 16;

const FLAG_KEY: u8 = 1;
const FLAG_ATTRIBUTES: u8 = 2;
const ATTRIBUTE_HEAD_BYTES: usize = 6;

/// How serious a record is. The order is the order of the variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    /// Finest detail.
    Trace = 0,
    /// For debugging.
    Debug = 1,
    /// Normal operation.
    Info = 2,
    /// Something that may need attention; from here on a reserve of the arena is kept.
    Warn = 3,
    /// Something failed.
    Error = 4,
    /// The program cannot go on.
    Fatal = 5,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Severity; 6] = [
        Severity::Trace,
        Severity::Debug,
        Severity::Info,
        Severity::Warn,
        Severity::Error,
        Severity::Fatal,
    ];

    /// The upper-case name that travels with a record.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Trace => "TRACE",
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }

    /// The severity with this number.
    pub fn from_number(number: u8) -> Option<Severity> {
        Severity::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Severity::ALL
            .into_iter()
            .find(|severity| severity.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownSeverity(text.to_owned()))
    }
}

/// A text that names no severity.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unknown severity '{0}': use trace, debug, info, warn, error or fatal")]
pub struct UnknownSeverity(String);

/// A record about to be written. Borrowed, so that nothing is allocated on the call path.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How serious.
    pub severity: Severity,
    /// Which stream.
    pub stream: StreamId,
    /// Time stamp in ticks of the clock.
    pub ticks: u64,
    /// Optional key: records of one key keep one partition and their order.
    pub key: Option<&'a [u8]>,
    /// Name and value pairs; names of at most 65,535 bytes.
    pub attributes: &'a [(&'a str, &'a [u8])],
    /// The text as the application gave it.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Bytes of the encoded record; saturating, so that an absurd one is refused by its size.
    #[inline]
    pub fn encoded_bytes(&self) -> usize {
        let mut bytes = HEAD_BYTES.saturating_add(self.body.len());
        if let Some(key) = self.key {
            bytes = bytes.saturating_add(4).saturating_add(key.len());
        }
        if !self.attributes.is_empty() {
            bytes = bytes.saturating_add(self.attribute_bytes());
        }
        bytes
    }

    /// Hands the encoded bytes to `put`, piece by piece, exactly [`Record::encoded_bytes`] of them.
    #[inline]
    pub fn encode(&self, mut put: impl FnMut(&[u8])) {
        put(&self.head());
        if let Some(key) = self.key {
            put(&(key.len() as u32).to_le_bytes());
            put(key);
        }
        for (name, value) in self.attributes {
            let mut head = [0; ATTRIBUTE_HEAD_BYTES];
            head[..2].copy_from_slice(&(name.len() as u16).to_le_bytes());
            head[2..].copy_from_slice(&(value.len() as u32).to_le_bytes());
            put(&head);
            put(name.as_bytes());
            put(value);
        }
        put(self.body);
    }

    /// Whether every length fits its field; a caller refuses a record for which it does not hold.
    #[inline]
    pub fn fits_its_fields(&self) -> bool {
        self.attributes.iter().all(|(name, _)| name.len() <= usize::from(u16::MAX))
    }

    #[inline]
    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut flags = 0;
        if self.key.is_some() {
            flags |= FLAG_KEY;
        }
        let mut attribute_bytes = 0;
        if !self.attributes.is_empty() {
            flags |= FLAG_ATTRIBUTES;
            attribute_bytes = self.attribute_bytes();
        }
        let mut head = [0; HEAD_BYTES];
        head[0] = self.severity as u8;
        head[1] = flags;
        head[2..4].copy_from_slice(&self.stream.0.to_le_bytes());
        head[4..8].copy_from_slice(&(attribute_bytes as u32).to_le_bytes());
        head[8..].copy_from_slice(&self.ticks.to_le_bytes());
        head
    }

    #[inline]
    fn attribute_bytes(&self) -> usize {
        self.attributes.iter().fold(0usize, |sum, (name, value)| {
            sum.saturating_add(ATTRIBUTE_HEAD_BYTES + name.len()).saturating_add(value.len())
        })
    }
}

/// A record read back from a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// How serious.
    pub severity: Severity,
    /// Which stream.
    pub stream: StreamId,
    /// Time stamp in ticks of the clock that wrote it.
    pub ticks: u64,
    /// Optional key.
    pub key: Option<&'a [u8]>,
    attributes: &'a [u8],
    /// The text as the application gave it.
    pub body: &'a [u8],
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// Fewer bytes than a head, or than a length inside asks for.
    #[error("the record ends before its {0}")]
    Truncated(&'static str),
    /// A severity that no version knows.
    #[error("severity {0} is unknown")]
    Severity(u8),
    /// A flag that no version knows.
    #[error("flags {0:#04x} are unknown")]
    Flags(u8),
}

impl<'a> RecordView<'a> {
    /// A text of our own in the first stream, in place of a record that could not be read.
    pub fn plain(severity: Severity, ticks: u64, body: &'a [u8]) -> Self {
        Self { severity, stream: StreamId(0), ticks, key: None, attributes: &[], body }
    }

    /// Parses one record that fills `bytes` exactly.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (head, mut rest) =
            bytes.split_first_chunk::<HEAD_BYTES>().ok_or(ParseError::Truncated("head"))?;
        let severity = Severity::from_number(head[0]).ok_or(ParseError::Severity(head[0]))?;
        let flags = head[1];
        if flags & !(FLAG_KEY | FLAG_ATTRIBUTES) != 0 {
            return Err(ParseError::Flags(flags));
        }
        let stream = StreamId(u16::from_le_bytes([head[2], head[3]]));
        let attribute_bytes = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (_, ticks) = head.split_at(8);
        let ticks =
            u64::from_le_bytes(ticks.try_into().map_err(|_| ParseError::Truncated("time"))?);
        let mut key = None;
        if flags & FLAG_KEY != 0 {
            let (length, tail) =
                rest.split_first_chunk::<4>().ok_or(ParseError::Truncated("key length"))?;
            let length = u32::from_le_bytes(*length) as usize;
            let (found, tail) =
                tail.split_at_checked(length).ok_or(ParseError::Truncated("key"))?;
            (key, rest) = (Some(found), tail);
        }
        let (attributes, body) =
            rest.split_at_checked(attribute_bytes).ok_or(ParseError::Truncated("attributes"))?;
        let view = Self { severity, stream, ticks, key, attributes, body };
        if flags & FLAG_ATTRIBUTES != 0 && view.attributes().any(|attribute| attribute.is_none()) {
            return Err(ParseError::Truncated("attribute value"));
        }
        Ok(view)
    }

    /// Whether the record has attributes.
    pub fn has_attributes(&self) -> bool {
        !self.attributes.is_empty()
    }

    /// The name and value pairs, in the order in which they were given.
    pub fn attribute_pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        Attributes { rest: self.attributes }.flatten()
    }

    fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.attributes }
    }
}

/// A name and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Walks attributes; yields `None` once where the bytes are malformed, then ends.
#[derive(Clone)]
struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    fn split(bytes: &'a [u8]) -> Option<(Pair<'a>, &'a [u8])> {
        let (head, rest) = bytes.split_first_chunk::<ATTRIBUTE_HEAD_BYTES>()?;
        let name_bytes = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let value_bytes = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (name, rest) = rest.split_at_checked(name_bytes)?;
        let (value, rest) = rest.split_at_checked(value_bytes)?;
        Some(((name, value), rest))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Option<Pair<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = Self::split(self.rest);
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(pair, _)| pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(record: &Record<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.encode(|piece| bytes.extend_from_slice(piece));
        assert_eq!(bytes.len(), record.encoded_bytes());
        bytes
    }

    #[test]
    fn golden_bytes() {
        let record = Record {
            severity: Severity::Warn,
            stream: StreamId(7),
            ticks: 0x0102_0304,
            key: Some(b"k"),
            attributes: &[("n", b"val")],
            body: b"body",
        };
        let expected: &[u8] = b"\x03\x03\x07\x00\x0a\x00\x00\x00\x04\x03\x02\x01\x00\x00\x00\x00\
            \x01\x00\x00\x00k\x01\x00\x03\x00\x00\x00nvalbody";
        assert_eq!(encode(&record), expected);
    }

    #[test]
    fn names_of_severities_parse_back() {
        for severity in Severity::ALL {
            assert_eq!(severity.name().to_lowercase().parse(), Ok(severity));
            assert_eq!(Severity::from_number(severity as u8), Some(severity));
        }
        assert!("loud".parse::<Severity>().is_err());
    }

    proptest! {
        #[test]
        fn round_trip(
            severity in 0u8..6, stream: u16, ticks: u64,
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            attributes in proptest::collection::vec(
                (".{0,20}", proptest::collection::vec(any::<u8>(), 0..40)), 0..5),
            body in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let pairs: Vec<(&str, &[u8])> =
                attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            let record = Record {
                severity: Severity::from_number(severity).unwrap(),
                stream: StreamId(stream), ticks, key: key.as_deref(),
                attributes: &pairs, body: &body,
            };
            let bytes = encode(&record);
            let view = RecordView::parse(&bytes).unwrap();
            prop_assert_eq!(view.severity, record.severity);
            prop_assert_eq!(view.stream, record.stream);
            prop_assert_eq!(view.ticks, ticks);
            prop_assert_eq!(view.key, key.as_deref());
            prop_assert_eq!(view.body, body.as_slice());
            let read: Vec<_> = view.attribute_pairs().collect();
            let written: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), *v)).collect();
            prop_assert_eq!(read, written);
            for cut in 0..bytes.len() - body.len() {
                prop_assert!(RecordView::parse(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(view) = RecordView::parse(&bytes) {
                prop_assert!(view.attribute_pairs().count() <= bytes.len());
            }
        }
    }
}
