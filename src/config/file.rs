//! The configuration file: TOML, flattened to dotted names and texts.
//!
//! Owns reading and the mapping of TOML's types to value texts. Knows no option.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::error::ConfigError;

/// Reads the file's entries in the order of their names.
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(ConfigError::Unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ConfigError::Unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::File(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(text),
        Err(error) => Err(ConfigError::File(format!("it is not UTF-8: {error}"))),
    }
}

/// Flattens nested tables and dotted keys alike: `[ring] bytes_max` and `ring.bytes_max`.
fn parse(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let table = DeTable::parse(text)
        .map_err(|error| ConfigError::File(error.to_string().trim_end().to_owned()))?;
    let mut entries = Vec::new();
    flatten("", table.get_ref(), &mut entries)?;
    Ok(entries)
}

/// The parser bounds the depth of nesting, and with it the recursion here.
fn flatten(
    prefix: &str,
    table: &DeTable<'_>,
    entries: &mut Vec<(String, String)>,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => number.to_string(),
                    Err(_) => return unusable(&name, "an integer beyond 64 bits"),
                }
            }
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Table(inner) => {
                flatten(&format!("{name}."), inner, entries)?;
                continue;
            }
            DeValue::Float(_) => return unusable(&name, "a fraction"),
            DeValue::Datetime(_) => return unusable(&name, "a date"),
            DeValue::Array(_) => return unusable(&name, "an array"),
        };
        entries.push((name, text));
    }
    Ok(())
}

fn unusable(name: &str, kind: &str) -> Result<(), ConfigError> {
    let expected = "no option takes that; write a string, a whole number, true or false";
    Err(ConfigError::File(format!("{name} is {kind}: {expected}")))
}

const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_tables_and_dotted_keys_mean_the_same() {
        let expected = vec![
            ("idempotence".to_owned(), "false".to_owned()),
            ("ring.bytes_max".to_owned(), "1048576".to_owned()),
            ("ring.full".to_owned(), "block".to_owned()),
        ];
        for text in [
            "idempotence = false\n[ring]\nbytes_max = 1_048_576\nfull = 'block'",
            "idempotence = false\nring.bytes_max = 0x100000\n'ring.full' = \"block\"",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn types_that_no_option_has_are_named() {
        for (text, expected) in [
            ("linger = 0.5", "linger is a fraction"),
            ("ring = { full = [1] }", "ring.full is an array"),
            ("linger = 2026-11-20", "linger is a date"),
            ("linger = 99999999999999999999", "beyond 64 bits"),
            ("linger =", "line 1"),
            ("linger = 1\nlinger = 2", "duplicate key"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        assert!(parse(&format!("a = {}", "[".repeat(100_000))).is_err());
        assert!(parse(&format!("a{} = 1", ".b".repeat(100_000))).is_err());
    }
}
