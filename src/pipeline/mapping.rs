//! How a record of ours becomes a Kafka record: the one place to change what consumers see.
//!
//! `format=text`: value = the text as the application gave it; severity and attributes are record headers.
//! `format=json`: value = one JSON object. Owns no state but a scratch buffer.

use crate::batch::Builder;
use crate::batch::Record;
use crate::clock::Calibration;
use crate::config::Format;
use crate::config::Timestamps;
use crate::record::RecordView;

/// Header with the severity's name.
pub const SEVERITY_HEADER: &[u8] = b"severity";
/// Header with the time in nanoseconds since 1970, decimal; only with `timestamps=ns`.
pub const TIME_HEADER: &[u8] = b"time_ns";

/// Names that applications cannot use.
const RESERVED_PREFIX: &[u8] = b"logdrive.";
const NANOS_PER_MILLI: u64 = 1_000_000;

/// See the module's head.
#[derive(Debug)]
pub struct Mapping {
    format: Format,
    timestamps: Timestamps,
    scratch: Vec<u8>,
}

impl Mapping {
    /// A mapping for these settings.
    pub fn new(format: Format, timestamps: Timestamps) -> Self {
        Self { format, timestamps, scratch: Vec::new() }
    }

    /// Appends `record` to `builder`, its ticks turned into wall time by `calibration`.
    #[inline]
    pub fn push(
        &mut self,
        builder: &mut Builder,
        record: &RecordView<'_>,
        calibration: &Calibration,
    ) {
        let nanos = calibration.wall_nanos_of(record.ticks);
        let timestamp_ms = (nanos / NANOS_PER_MILLI).cast_signed();
        let severity = std::iter::once((SEVERITY_HEADER, Some(record.severity.name().as_bytes())));
        match (self.format, self.timestamps) {
            (Format::Text, Timestamps::Milliseconds) if !record.has_attributes() => {
                let (key, value) = (record.key, Some(record.body));
                builder.push(&Record { timestamp_ms, key, value, headers: severity });
            }
            (Format::Text, timestamps) => {
                let time = TimeText::new(nanos);
                let time = (timestamps == Timestamps::Nanoseconds)
                    .then_some((TIME_HEADER, Some(time.as_bytes())));
                let attributes = record.attribute_pairs().map(|(name, value)| (name, Some(value)));
                let headers = severity.chain(time).chain(attributes);
                let (key, value) = (record.key, Some(record.body));
                builder.push(&Record { timestamp_ms, key, value, headers });
            }
            (Format::Json, _) => {
                write_json(&mut self.scratch, record, nanos);
                let (key, value) = (record.key, Some(self.scratch.as_slice()));
                // What logdrive itself says is a header in either format.
                let reserved = record
                    .attribute_pairs()
                    .filter(|(name, _)| name.starts_with(RESERVED_PREFIX))
                    .map(|(name, value)| (name, Some(value)));
                builder.push(&Record {
                    timestamp_ms,
                    key,
                    value,
                    headers: severity.chain(reserved),
                });
            }
        }
    }
}

/// Decimal digits of a u64 without an allocation.
struct TimeText {
    digits: [u8; 20],
    start: usize,
}

impl TimeText {
    fn new(mut value: u64) -> Self {
        let mut text = Self { digits: [b'0'; 20], start: 20 };
        loop {
            text.start -= 1;
            text.digits[text.start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return text;
            }
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// One object: `{"time_ns":…,"severity":"…","message":"…",<attributes>}`. Text that is not UTF-8 has its
/// bad bytes replaced by U+FFFD; an attribute named like a fixed field gets a leading underscore.
fn write_json(out: &mut Vec<u8>, record: &RecordView<'_>, nanos: u64) {
    out.clear();
    out.extend_from_slice(b"{\"time_ns\":");
    out.extend_from_slice(TimeText::new(nanos).as_bytes());
    out.extend_from_slice(b",\"severity\":\"");
    out.extend_from_slice(record.severity.name().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    write_json_string(out, b"", record.body);
    let is_ours = |name: &[u8]| name.starts_with(RESERVED_PREFIX);
    for (name, value) in record.attribute_pairs().filter(|(name, _)| !is_ours(name)) {
        let prefix: &[u8] = match name {
            b"time_ns" | b"severity" | b"message" => b"_",
            _ => b"",
        };
        out.push(b',');
        write_json_string(out, prefix, name);
        out.push(b':');
        write_json_string(out, b"", value);
    }
    out.push(b'}');
}

fn write_json_string(out: &mut Vec<u8>, prefix: &[u8], text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(prefix);
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 | 0x7f => {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u00");
                    out.push(HEX[usize::from(byte >> 4)]);
                    out.push(HEX[usize::from(byte & 15)]);
                }
                plain => out.push(plain),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StreamId;
    use crate::record::Severity;

    fn encoded(body: &[u8], attributes: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        crate::record::Record {
            severity: Severity::Warn,
            stream: StreamId(0),
            ticks: 0,
            key: None,
            attributes,
            body,
        }
        .encode(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    #[test]
    fn json_escapes_whatever_it_is_given() {
        let bytes = encoded(b"a\"b\\c\n\x01\xff", &[("message", b"x"), ("k\t", b"\x7f")]);
        let mut out = Vec::new();
        write_json(&mut out, &RecordView::parse(&bytes).unwrap(), 1_700_000_000_000_000_001);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"time_ns\":1700000000000000001,\"severity\":\"WARN\",\
             \"message\":\"a\\\"b\\\\c\\n\\u0001\u{fffd}\",\"_message\":\"x\",\"k\\t\":\"\\u007f\"}"
        );
    }

    #[test]
    fn time_text_covers_the_whole_range() {
        assert_eq!(TimeText::new(0).as_bytes(), b"0");
        assert_eq!(TimeText::new(u64::MAX).as_bytes(), b"18446744073709551615");
    }
}
