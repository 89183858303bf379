//! Writing JSON: strings, and bytes that may be no text.
//!
//! Bytes that are not UTF-8 cannot be a JSON string; they become `{"base64":"…"}`, so nothing is
//! lost.

use std::fmt::Write;

/// Appends `text` as a JSON string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' || control == '\u{7f}' => {
                // Writing into a string does not fail.
                let _infallible = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Appends `bytes` as a JSON string, as `{"base64":"…"}` if they are no text, or as null.
pub fn bytes(out: &mut String, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.push_str("null"),
        Some((_, Ok(text))) => string(out, text),
        Some((bytes, Err(_))) => {
            out.push_str("{\"base64\":\"");
            base64(out, bytes);
            out.push_str("\"}");
        }
    }
}

/// Appends `bytes` in base64 with padding (RFC 4648, section 4).
pub fn base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let is_padding = digit > chunk.len();
            out.push(if is_padding { '=' } else { ALPHABET[index as usize].into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in cases {
            let mut out = String::new();
            base64(&mut out, plain.as_bytes());
            assert_eq!(out, encoded);
        }
    }

    #[test]
    fn text_is_escaped_and_other_bytes_are_kept() {
        let mut out = String::new();
        bytes(&mut out, Some("a\"\\\n\u{1}é".as_bytes()));
        bytes(&mut out, Some(&[0xff, 0xfe]));
        bytes(&mut out, None);
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001é\"{\"base64\":\"//4=\"}null");
    }
}
